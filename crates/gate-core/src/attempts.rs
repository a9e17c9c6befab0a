//! Bounds how often the gate can be tried: by the identity that is attacked, and by the place before the gate.
//!
//! An *exposure* is one chance that somebody had: a photo that was judged or withdrawn before it was, a challenge that was
//! not answered, a stranger who was refused. Each fills a leaky bucket.
//!
//! ```text
//!  exposure of a person ─▶ that person's bucket ─ full ─▶ locked out: lockout_ms, then twice as long, up to 8 times
//!                      └─▶ the place's bucket ─── full ─▶ nobody is let in for a moment after each exposure: at most 5 s
//! ```
//!
//! Only the person whose photo is shown is locked out, so one photo keeps nobody else outside. The pause for the place is
//! short and counts from the last exposure: whoever then stands there alone is let in after it at the latest.

use crate::person::PersonKey;
use heapless::Vec;

/// Most people whose exposures are counted at once.
const PEOPLE_MAX: usize = 64;
/// A lock-out grows to at most this many times its first length.
const GROWTH_MAX: u32 = 8;
/// So many exposures of anybody cost nothing.
const SPOT_FREE: u8 = 8;
/// The place forgives one exposure after so long, milliseconds.
const SPOT_FORGIVE_MS: u64 = 15_000;
/// The first pause after an exposure, milliseconds; each further one is twice as long.
const SPOT_PAUSE_MS: u64 = 250;
/// The longest pause, milliseconds.
const SPOT_PAUSE_MAX_MS: u64 = 5_000;

/// What the owner allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// So many exposures of one person lock that person out; 0 = attempts are not bounded.
    pub(crate) exposures_max: u8,
    /// One exposure is forgiven after so long, milliseconds.
    pub(crate) forgive_ms: u64,
    /// The first lock-out, milliseconds.
    pub(crate) lockout_ms: u64,
}

/// Exposures not yet forgiven.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: u8,
    /// From when on the next one is being forgiven.
    since_ms: u64,
}

impl Bucket {
    const fn new(now_ms: u64) -> Self {
        Self { level: 0, since_ms: now_ms }
    }

    fn leak(&mut self, now_ms: u64, forgive_ms: u64) {
        let forgiven = now_ms.saturating_sub(self.since_ms) / forgive_ms.max(1);
        self.level = u8::try_from(forgiven).map_or(0, |forgiven| self.level.saturating_sub(forgiven));
        self.since_ms = match self.level {
            0 => now_ms,
            _ => self.since_ms.saturating_add(forgiven.saturating_mul(forgive_ms)),
        };
    }

    fn fill(&mut self, now_ms: u64, forgive_ms: u64, most: u8) {
        self.leak(now_ms, forgive_ms);
        self.level = self.level.saturating_add(1).min(most);
    }
}

/// What was counted for one person.
#[derive(Clone, Copy, Debug)]
struct Exposed {
    person: PersonKey,
    bucket: Bucket,
    locked_until_ms: Option<u64>,
}

/// What an exposure has led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// This person is locked out from now on.
    pub(crate) locked_out: Option<PersonKey>,
    /// Somebody is trying: worth an alarm.
    pub(crate) alarm: bool,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    people: Vec<Exposed, PEOPLE_MAX>,
    spot: Bucket,
    last_exposure_ms: Option<u64>,
}

impl Default for Attempts {
    fn default() -> Self {
        Self { people: Vec::new(), spot: Bucket::new(0), last_exposure_ms: None }
    }
}

impl Attempts {
    /// Counts one chance that somebody had: with the face of `person`, or with one that is nobody's.
    pub(crate) fn expose(&mut self, person: Option<PersonKey>, now_ms: u64, limits: &Limits) -> Outcome {
        if limits.exposures_max == 0 {
            return Outcome::default();
        }
        self.last_exposure_ms = Some(now_ms);
        self.spot.fill(now_ms, SPOT_FORGIVE_MS, SPOT_FREE + 8);
        let crowd = self.spot.level == SPOT_FREE + 1;
        let Some(person) = person else { return Outcome { locked_out: None, alarm: crowd } };

        let exposed = self.of(person, now_ms);
        // What is shown during a lock-out does not lengthen it.
        if exposed.locked_until_ms.is_some() {
            return Outcome { locked_out: None, alarm: crowd };
        }
        let most = limits.exposures_max.saturating_add(GROWTH_MAX.ilog2() as u8);
        exposed.bucket.fill(now_ms, limits.forgive_ms, most);
        let Some(over) = exposed.bucket.level.checked_sub(limits.exposures_max) else {
            return Outcome { locked_out: None, alarm: crowd };
        };

        let lasts_ms = limits.lockout_ms.saturating_mul(1 << over.min(GROWTH_MAX.ilog2() as u8));
        if lasts_ms == 0 {
            return Outcome { locked_out: None, alarm: true };
        }
        exposed.locked_until_ms = Some(now_ms.saturating_add(lasts_ms));
        Outcome { locked_out: Some(person), alarm: true }
    }

    /// The person was let in: nothing counts against them any more.
    pub(crate) fn let_in(&mut self, person: PersonKey) {
        self.people.retain(|exposed| exposed.person != person);
    }

    /// Whether this person is locked out.
    pub(crate) fn is_locked_out(&self, person: PersonKey) -> bool {
        self.people.iter().any(|exposed| exposed.person == person && exposed.locked_until_ms.is_some())
    }

    /// Whether the pause after the last exposure is still on.
    pub(crate) fn is_pausing(&self, now_ms: u64) -> bool {
        let Some(last_ms) = self.last_exposure_ms else { return false };
        let mut spot = self.spot;
        spot.leak(now_ms, SPOT_FORGIVE_MS);
        let Some(over) = spot.level.checked_sub(SPOT_FREE + 1) else { return false };
        let pause_ms = (SPOT_PAUSE_MS << over.min(8)).min(SPOT_PAUSE_MAX_MS);
        now_ms.saturating_sub(last_ms) < pause_ms
    }

    /// Ends one lock-out that is over and says whose; `None` when none is.
    pub(crate) fn next_over(&mut self, now_ms: u64) -> Option<PersonKey> {
        let over = self
            .people
            .iter_mut()
            .find(|exposed| exposed.locked_until_ms.is_some_and(|until_ms| now_ms >= until_ms))?;
        over.locked_until_ms = None;
        Some(over.person)
    }

    /// When the next lock-out is over, monotonic milliseconds.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        self.people.iter().filter_map(|exposed| exposed.locked_until_ms).min()
    }

    /// The person's count. When all places are taken, the person with the fewest exposures gives way, and of several the one
    /// whose lock-out is over first: with so many faces shown, the pause for the place stands in the way.
    fn of(&mut self, person: PersonKey, now_ms: u64) -> &mut Exposed {
        let place = match self.people.iter().position(|exposed| exposed.person == person) {
            Some(place) => place,
            None => {
                if self.people.is_full() {
                    let weight = |exposed: &Exposed| (exposed.locked_until_ms, exposed.bucket.level);
                    let least = (0..PEOPLE_MAX).min_by_key(|place| weight(&self.people[*place])).unwrap_or(0);
                    self.people.swap_remove(least);
                }
                let fresh = Exposed { person, bucket: Bucket::new(now_ms), locked_until_ms: None };
                // There is room: one was just removed if it was full.
                let _ = self.people.push(fresh);
                self.people.len() - 1
            }
        };
        &mut self.people[place]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { exposures_max: 3, forgive_ms: 600_000, lockout_ms: 30_000 };
    const ANA: PersonKey = PersonKey(1);
    const BO: PersonKey = PersonKey(2);

    #[test]
    fn lock_outs_grow_and_concern_only_the_identity_that_is_attacked() {
        let mut attempts = Attempts::default();
        let (mut now_ms, mut lengths_ms) = (0, Vec::<u64, 16>::new());
        while now_ms < 3_600_000 && !lengths_ms.is_full() {
            now_ms += 2_000;
            while attempts.next_over(now_ms).is_some() {}
            if attempts.expose(Some(ANA), now_ms, &LIMITS).locked_out.is_some() {
                let until_ms = attempts.deadline_ms().unwrap();
                let _ = lengths_ms.push(until_ms - now_ms);
            }
            assert!(!attempts.is_locked_out(BO));
        }
        assert_eq!(lengths_ms[..4], [30_000, 60_000, 120_000, 240_000]);
        assert!(lengths_ms[4..].iter().all(|ms| (120_000..=240_000).contains(ms)), "{lengths_ms:?}");
    }

    #[test]
    fn an_hour_of_photos_has_few_chances_and_the_place_is_never_shut_for_long() {
        let mut attempts = Attempts::default();
        let (mut chances, mut shut_ms) = (0, 0);
        for second in 0..3_600u64 {
            let now_ms = second * 1_000;
            while attempts.next_over(now_ms).is_some() {}
            if second % 4 == 0 {
                chances += u32::from(!attempts.is_locked_out(ANA));
                attempts.expose(Some(ANA), now_ms, &LIMITS);
            }
            let pause = (0..10_000).step_by(100).find(|ms| !attempts.is_pausing(now_ms + ms)).unwrap();
            shut_ms = shut_ms.max(pause);
        }
        assert!(chances <= 25, "{chances} chances in an hour");
        assert!(shut_ms <= SPOT_PAUSE_MAX_MS, "whoever stands there alone waits {shut_ms} ms");
    }

    #[test]
    fn a_fan_of_photos_is_slowed_down_by_the_place() {
        let mut attempts = Attempts::default();
        let outcomes: Vec<Outcome, 64> =
            (0..64u32).map(|n| attempts.expose(Some(PersonKey(n)), u64::from(n) * 500, &LIMITS)).collect();
        assert!(outcomes.iter().all(|outcome| outcome.locked_out.is_none()), "each photo once");
        assert_eq!(outcomes.iter().filter(|outcome| outcome.alarm).count(), 1, "one alarm");
        let last_ms = 63 * 500;
        assert!(
            attempts.is_pausing(last_ms + SPOT_PAUSE_MAX_MS - 1) && !attempts.is_pausing(last_ms + SPOT_PAUSE_MAX_MS)
        );
        assert!(!attempts.is_pausing(last_ms + 600_000), "it is forgiven");
    }

    #[test]
    fn a_visit_now_and_then_is_forgiven_and_a_grant_starts_afresh() {
        let mut attempts = Attempts::default();
        for hour in 0..100 {
            let outcome = attempts.expose(Some(ANA), hour * 3_600_000, &LIMITS);
            assert_eq!(outcome, Outcome::default());
        }
        for _ in 0..20 {
            attempts.expose(Some(BO), 0, &LIMITS);
            attempts.expose(Some(BO), 0, &LIMITS);
            attempts.let_in(BO);
        }
        assert!(!attempts.is_locked_out(BO));
    }

    #[test]
    fn bounds_hold_however_many_people_are_shown() {
        let mut attempts = Attempts::default();
        for n in 0..10_000u32 {
            let now_ms = u64::from(n);
            for _ in 0..4 {
                attempts.expose(Some(PersonKey(n % 700)), now_ms, &LIMITS);
            }
        }
        assert!(attempts.people.len() <= PEOPLE_MAX && attempts.deadline_ms().is_some());
        let off = Limits { exposures_max: 0, ..LIMITS };
        let mut attempts = Attempts::default();
        assert!((0..1_000).all(|ms| attempts.expose(Some(ANA), ms, &off) == Outcome::default()));
    }
}
