//! The wall clock, checked against the newest time that is known for sure.
//!
//! Validity dates follow the wall clock, and a wall clock that lags makes them longer: a board without a clock battery
//! starts in 1970, a false time source or a careless hand sets the clock back. Such a clock cannot be set right here, but
//! it can be noticed: some moments are known to have passed, and no true clock shows a time before them.
//!
//! ```text
//!  build, newest change of the store, sealed anchor, this clock while it runs undisturbed
//!      └──raise──▶ ClockFloor ──at(mono)──▶ WallClock { wall, floor } ──▶ Access::refusal
//!  wall + boot clock ──▶ ClockWatch ──▶ steps, and which readings are sure enough to raise the floor
//! ```
//!
//! A clock that is ahead cannot be noticed this way: see [`WallClock::is_behind`].

/// How far the wall clock may be behind the floor, milliseconds.
///
/// A time source corrects a clock by seconds, and the machine that enrols may be another one than the machine at the gate.
/// Two minutes cover both. They prolong an admission by two minutes at most.
pub const CLOCK_TOLERANCE_MS: i64 = 120_000;

/// A wall clock that departs from the boot clock by more than this between two readings was set, milliseconds. Slewing
/// (at most 500 ppm) takes over an hour for as much.
pub const STEP_MS: i64 = 2_000;

/// A clock that no time source disciplines counts as known after it has run for this long without a step, milliseconds.
///
/// Boards start with any time, the far future included, and a time source corrects it within the first minutes. A floor
/// that followed such a time would refuse people for as long as the clock was wrong.
pub const SETTLED_MS: u64 = 600_000;

/// Of this many elapsed milliseconds the floor rises by one less: the monotonic clock may be fast, by up to 500 ppm while a
/// time source slews it, and the floor must not overtake a true clock.
const RATE_LOSS: u64 = 1_000;

/// The wall clock as it was read, and the earliest time that it can truly be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// What the clock shows, Unix milliseconds.
    pub wall_ms: i64,
    /// The floor: the newest time that is known for sure, Unix milliseconds. `i64::MIN` = none is known.
    pub floor_ms: i64,
}

impl WallClock {
    /// A clock about which nothing else is known.
    #[must_use]
    pub const fn unchecked(wall_ms: i64) -> Self {
        Self { wall_ms, floor_ms: i64::MIN }
    }

    /// Whether the clock shows a time that has passed for sure, so that nobody knows what time it is.
    ///
    /// A clock that is ahead looks like a clock that is right: no earlier moment contradicts it. It ends admissions too
    /// soon, which is safe, and begins them too soon, which only a time source prevents.
    #[must_use]
    pub const fn is_behind(self) -> bool {
        self.wall_ms < self.floor_ms.saturating_sub(CLOCK_TOLERANCE_MS)
    }

    /// How far the clock is behind the floor, milliseconds; 0 when it is not.
    #[must_use]
    pub const fn behind_ms(self) -> i64 {
        if self.wall_ms < self.floor_ms { self.floor_ms.saturating_sub(self.wall_ms) } else { 0 }
    }
}

/// The newest time that is known for sure. It goes on with the monotonic clock, and never falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFloor {
    known_ms: i64,
    at_mono_ms: u64,
}

impl Default for ClockFloor {
    /// Nothing is known.
    fn default() -> Self {
        Self { known_ms: i64::MIN, at_mono_ms: 0 }
    }
}

impl ClockFloor {
    /// `known_ms` (Unix milliseconds) has passed for sure when the monotonic clock shows `mono_ms`. An earlier time than
    /// the floor changes nothing.
    pub fn raise(&mut self, known_ms: i64, mono_ms: u64) {
        if known_ms > self.at(mono_ms) {
            // A monotonic clock that ran backwards would make the floor fall later.
            let at_mono_ms = if self.at_mono_ms > mono_ms { self.at_mono_ms } else { mono_ms };
            *self = Self { known_ms, at_mono_ms };
        }
    }

    /// The floor when the monotonic clock shows `mono_ms`, Unix milliseconds; `i64::MIN` while nothing is known.
    #[must_use]
    pub fn at(&self, mono_ms: u64) -> i64 {
        if self.known_ms == i64::MIN {
            return i64::MIN;
        }
        let elapsed_ms = mono_ms.saturating_sub(self.at_mono_ms);
        let sure_ms = elapsed_ms - elapsed_ms.div_ceil(RATE_LOSS);
        self.known_ms.saturating_add(i64::try_from(sure_ms).unwrap_or(i64::MAX))
    }
}

/// What a reading of the clocks has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The wall clock was set by so many milliseconds since the last reading; negative = set back.
    pub stepped_ms: Option<i64>,
    /// The wall clock's time, if it is sure enough to raise the floor.
    pub known_ms: Option<i64>,
}

/// Follows the wall clock of a running machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClockWatch {
    /// The last reading: wall clock and boot clock.
    last: Option<(i64, u64)>,
    /// The boot clock since when the wall clock has run without a step.
    undisturbed_since_ms: u64,
}

impl ClockWatch {
    /// Takes a reading: the wall clock, the boot clock (monotonic, goes on while the machine is suspended) read at the same
    /// moment, and whether a time source disciplines the wall clock.
    pub fn read(&mut self, wall_ms: i64, boot_ms: u64, is_synchronised: bool) -> Reading {
        let stepped_ms = self.last.and_then(|(wall_before, boot_before)| {
            let elapsed = i64::try_from(boot_ms.saturating_sub(boot_before)).unwrap_or(i64::MAX);
            let step = wall_ms.saturating_sub(wall_before).saturating_sub(elapsed);
            (step.saturating_abs() > STEP_MS).then_some(step)
        });

        if self.last.is_none() || stepped_ms.is_some() {
            self.undisturbed_since_ms = boot_ms;
        }
        self.last = Some((wall_ms, boot_ms));

        let is_settled = boot_ms.saturating_sub(self.undisturbed_since_ms) >= SETTLED_MS;
        Reading { stepped_ms, known_ms: (is_synchronised || is_settled).then_some(wall_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DAY_MS: i64 = 86_400_000;
    /// 2026-01-01.
    const NOW_MS: i64 = 1_767_225_600_000;

    #[test]
    fn a_clock_is_behind_only_below_floor_and_tolerance() {
        let at = |wall_ms| WallClock { wall_ms, floor_ms: NOW_MS };
        for (wall_ms, is_behind) in [
            (i64::MIN, true),
            (0, true),
            (NOW_MS - DAY_MS, true),
            (NOW_MS - CLOCK_TOLERANCE_MS - 1, true),
            (NOW_MS - CLOCK_TOLERANCE_MS, false),
            (NOW_MS, false),
            (i64::MAX, false),
        ] {
            assert_eq!(at(wall_ms).is_behind(), is_behind, "{wall_ms}");
        }
        assert_eq!((at(NOW_MS - DAY_MS).behind_ms(), at(NOW_MS + 1).behind_ms()), (DAY_MS, 0));
        assert!(!WallClock::unchecked(i64::MIN).is_behind());
        assert_eq!(WallClock { wall_ms: i64::MIN, floor_ms: i64::MAX }.behind_ms(), i64::MAX);
    }

    #[test]
    fn the_floor_goes_on_with_the_monotonic_clock_and_never_overtakes_a_true_one() {
        let mut floor = ClockFloor::default();
        assert_eq!(floor.at(u64::MAX), i64::MIN, "nothing is known, however long it runs");
        floor.raise(NOW_MS, 5_000);
        assert_eq!((floor.at(0), floor.at(5_000)), (NOW_MS, NOW_MS));
        // A day later, by a monotonic clock that is 500 ppm fast.
        let fast = 5_000 + DAY_MS as u64 + DAY_MS as u64 / 2_000;
        let risen = floor.at(fast) - NOW_MS;
        assert!(risen < DAY_MS && risen > DAY_MS - CLOCK_TOLERANCE_MS, "{risen}");
        floor.raise(NOW_MS - DAY_MS, fast);
        assert_eq!(floor.at(fast), NOW_MS + risen, "an older time changes nothing");
    }

    #[test]
    fn each_step_is_seen_once_and_neither_drift_nor_a_suspended_machine_is_one() {
        let mut watch = ClockWatch::default();
        let (mut wall, mut boot) = (NOW_MS, 7_000);
        let mut turn = |wall_by: i64, boot_by: u64| {
            (wall, boot) = (wall + wall_by, boot + boot_by);
            watch.read(wall, boot, false).stepped_ms
        };
        assert_eq!(turn(0, 0), None);
        assert_eq!(turn(50, 50), None);
        assert_eq!(turn(50 - DAY_MS, 50), Some(-DAY_MS));
        assert_eq!(turn(50, 50), None, "told once");
        assert_eq!(turn(DAY_MS + 50, 50), Some(DAY_MS));
        assert_eq!(turn(3 * DAY_MS, 3 * DAY_MS as u64), None, "suspended for three days");
        assert_eq!(turn(50 + STEP_MS, 50), None);
        assert_eq!(turn(50 + STEP_MS + 1, 50), Some(STEP_MS + 1));
        // Slewed by 500 ppm for a week, at one reading a second.
        assert!((0..7 * 86_400).all(|second| turn(1_000 + second % 2, 1_000).is_none()));
    }

    #[test]
    fn a_clock_counts_as_known_when_it_is_synchronised_or_has_settled() {
        let mut watch = ClockWatch::default();
        assert_eq!(watch.read(NOW_MS, 0, true).known_ms, Some(NOW_MS));
        assert_eq!(watch.read(NOW_MS + 50, 50, false).known_ms, None);
        let settled = NOW_MS + SETTLED_MS as i64;
        assert_eq!(watch.read(settled - 1, SETTLED_MS - 1, false).known_ms, None);
        assert_eq!(watch.read(settled, SETTLED_MS, false).known_ms, Some(settled));
        // A step begins it anew: a clock that leaps to the next century raises no floor at once.
        let leap = settled + 40_000 * DAY_MS;
        let reading = watch.read(leap, SETTLED_MS + 50, false);
        assert_eq!((reading.stepped_ms, reading.known_ms), (Some(40_000 * DAY_MS - 50), None));
        let later = watch.read(leap + SETTLED_MS as i64, 2 * SETTLED_MS + 50, false);
        assert_eq!(later, Reading { stepped_ms: None, known_ms: Some(leap + SETTLED_MS as i64) });
    }

    proptest! {
        #[test]
        fn the_floor_never_falls_and_nothing_panics(
            steps in proptest::collection::vec((any::<i64>(), any::<u64>(), any::<bool>()), 1..40)
        ) {
            let (mut floor, mut watch) = (ClockFloor::default(), ClockWatch::default());
            let (mut before, mut mono) = (i64::MIN, 0u64);
            for (known, by, is_synchronised) in steps {
                mono = mono.saturating_add(by % 1_000_000_007);
                prop_assert!(floor.at(mono) >= before);
                floor.raise(known, mono);
                prop_assert!(floor.at(mono) >= known.max(before));
                before = floor.at(mono);
                let _ = watch.read(known, by, is_synchronised);
                let clock = WallClock { wall_ms: known, floor_ms: floor.at(by) };
                let _ = (clock.is_behind(), clock.behind_ms());
            }
        }
    }
}
