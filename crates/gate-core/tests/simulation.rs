//! A seeded simulation of the decider: a million steps of people, crowds, faults and odd clocks, checked by an oracle
//! that knows only the promises, not the code. A failure prints the seed and the step; the same seed replays it.

use gate_core::clock::{CLOCK_TOLERANCE_MS, WallClock};
use gate_core::decision::{
    ACTIONS_MAX, Action, Actions, Decider, Event, FaceSighting, Identification, Lookup, Now, Sighting,
};
use gate_core::gate::Fault;
use gate_core::geometry::Pose;
use gate_core::liveness::{PadLook, Surroundings};
use gate_core::person::{Access, PersonKey};
use gate_core::policy::{PadPolicy, Policy, SeveralFaces};
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_core::track::TrackId;
use std::collections::{HashMap, HashSet, VecDeque};

/// How long the first lock-out lasts, milliseconds.
const LOCKOUT_MS: u32 = 3_000;

/// xorshift64*: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
    fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// Somebody in front of the gate.
struct Visitor {
    track: TrackId,
    person: PersonKey,
    access: Access,
    d2: f32,
    runner_up: Option<f32>,
    face_px: f32,
    poor: bool,
    /// A picture held up, not a person.
    photo: bool,
}

/// What must hold, re-derived from the inputs alone.
struct Oracle {
    policy: Policy,
    /// When the relay went on, and how long it may stay so: the policy may change meanwhile.
    relay_on_since: Option<(u64, u32)>,
    faults: HashSet<Fault>,
    /// Clear matches seen on each track: when, and of whom.
    matches: HashMap<TrackId, VecDeque<(u64, PersonKey)>>,
    refused: HashSet<(TrackId, Reason)>,
    /// Tracks that are pictures.
    photos: HashSet<TrackId>,
    /// Everybody whom a face has matched so far.
    shown: HashSet<PersonKey>,
    /// Who is locked out, and since when.
    locked_out: HashMap<PersonKey, u64>,
    /// The newest time that the decider was told has passed.
    known_ms: i64,
    grants: u64,
    refusals: u64,
    lockouts: u64,
}

impl Oracle {
    fn sees(&mut self, sighting: &Sighting, now: Now) {
        // A gap is an interruption.
        self.matches.retain(|track, _| sighting.faces.iter().any(|face| face.track == *track));
        for face in &sighting.faces {
            if let Lookup::Found(found) = face.lookup
                && found.d2 <= self.policy.tau
                && found.runner_up_d2.is_none_or(|r| r - found.d2 >= self.policy.margin_d2)
                && face.quality.refusal(&self.policy.quality).is_none()
            {
                self.matches.entry(face.track).or_default().push_back((now.mono_ms, found.person));
                self.shown.insert(found.person);
            }
        }
    }

    fn check(&mut self, actions: &Actions, sighting: Option<&Sighting>, now: Now, context: &str) {
        assert!(actions.len() < ACTIONS_MAX, "{context}: actions overflow");
        let granted: Vec<(PersonKey, TrackId)> = actions
            .iter()
            .filter_map(|a| match a {
                Action::Log(Event::Granted { person, track }) => Some((*person, *track)),
                _ => None,
            })
            .collect();
        assert!(granted.len() <= 1, "{context}: two grants in one step");
        for action in actions {
            match action {
                Action::Log(Event::Fault { fault, present: true }) => assert!(self.faults.insert(*fault), "{context}"),
                Action::Log(Event::Fault { fault, present: false }) => assert!(self.faults.remove(fault), "{context}"),
                Action::Log(Event::Refused { reason, track, .. }) => {
                    self.refusals += 1;
                    assert!(
                        self.refused.insert((*track, *reason)),
                        "{context}: {reason:?} reported twice on {track:?}"
                    );
                }
                Action::Log(Event::Lockout { person, present: true }) => {
                    assert!(self.shown.contains(person), "{context}: locked out without having been shown");
                    assert!(self.policy.liveness.attacks_max > 0, "{context}: attempts are not bounded");
                    assert!(self.locked_out.insert(*person, now.mono_ms).is_none(), "{context}");
                    self.lockouts += 1;
                }
                Action::Log(Event::Lockout { person, present: false }) => {
                    let since = self.locked_out.remove(person);
                    let lasted = now.mono_ms - since.unwrap_or_else(|| panic!("{context}: not locked out"));
                    assert!(lasted <= 8 * u64::from(LOCKOUT_MS), "{context}: {lasted} ms");
                }
                Action::Relay(true) => {
                    assert_eq!(granted.len(), 1, "{context}: relay on without a grant");
                    let pulse = (now.mono_ms, self.policy.pulse_ms);
                    assert!(self.relay_on_since.replace(pulse).is_none(), "{context}: on while on");
                }
                Action::Relay(false) => {
                    let pulse = self.relay_on_since.take();
                    let (since, pulse_ms) = pulse.unwrap_or_else(|| panic!("{context}: off while off"));
                    // The simulation ticks at every deadline, so the pulse must be exact or cut short.
                    assert!(now.mono_ms - since <= u64::from(pulse_ms), "{context}: pulse too long");
                }
                _ => {}
            }
        }
        assert!(self.faults.is_empty() || self.relay_on_since.is_none(), "{context}: a fault did not lock");
        if let Some((person, track)) = granted.first() {
            self.grants += 1;
            self.check_grant(*person, *track, sighting, now, context);
        }
    }

    fn check_grant(&mut self, person: PersonKey, track: TrackId, sighting: Option<&Sighting>, now: Now, context: &str) {
        let sighting = sighting.unwrap_or_else(|| panic!("{context}: granted without looking"));
        let face = sighting.faces.iter().find(|f| f.track == track).expect("granted a face that is not there");
        let Lookup::Found(found) = face.lookup else { panic!("{context}: granted a face that was not identified") };
        assert_eq!(found.person, person, "{context}: granted somebody else");
        assert!(found.d2 <= self.policy.tau, "{context}: too dissimilar");
        assert!(!self.locked_out.contains_key(&person), "{context}: opened for somebody who is locked out");
        assert!(!self.photos.contains(&track), "{context}: opened for a picture");
        let clock = WallClock::unchecked(now.wall_ms);
        assert_eq!(found.access.refusal(clock), None, "{context}: may not enter now");
        let is_behind = now.wall_ms < self.known_ms.saturating_sub(CLOCK_TOLERANCE_MS);
        assert!(!is_behind || found.access.valid_until_ms.is_none(), "{context}: let in by a clock that lags");
        assert_eq!(face.quality.refusal(&self.policy.quality), None, "{context}: poor face granted");
        for other in sighting.faces.iter().filter(|f| f.track != track) {
            match self.policy.several_faces {
                SeveralFaces::Refuse => assert!(
                    other.quality.face_px < self.policy.bystander_ratio * face.quality.face_px,
                    "{context}: granted beside a second person"
                ),
                SeveralFaces::Nearest => {
                    assert!(other.quality.face_px <= face.quality.face_px, "{context}: not the nearest")
                }
            }
        }
        let window = u64::from(self.policy.window_ms);
        let seen = self
            .matches
            .get(&track)
            .map_or(0, |all| all.iter().rev().take_while(|(t, p)| *p == person && now.mono_ms - t <= window).count());
        assert!(seen >= usize::from(self.policy.agreeing_frames), "{context}: only {seen} agreeing frames");
        // A grant uses the evidence up.
        self.matches.remove(&track);
    }
}

fn visitor(dice: &mut Dice, track: u32, wall_ms: i64) -> Visitor {
    let access = Access {
        suspended: dice.chance(10),
        valid_from_ms: dice.chance(20).then(|| wall_ms + dice.below(4_000) as i64 - 2_000),
        valid_until_ms: dice.chance(20).then(|| wall_ms + dice.below(4_000) as i64 - 1_000),
    };
    Visitor {
        track: TrackId(track),
        person: PersonKey(dice.below(5) as u32),
        access,
        d2: dice.below(200) as f32 / 100.0,
        runner_up: dice.chance(80).then(|| dice.below(60) as f32 / 100.0),
        face_px: 30.0 + dice.below(150) as f32,
        poor: dice.chance(15),
        photo: dice.chance(20),
    }
}

fn face(visitor: &Visitor, dice: &mut Dice) -> FaceSighting {
    let wobble = dice.below(20) as f32 / 100.0 - 0.1;
    let d2 = if dice.chance(1) { f32::NAN } else { visitor.d2 + wobble };
    let found = Identification {
        person: if dice.chance(5) { PersonKey(dice.below(5) as u32) } else { visitor.person },
        access: visitor.access,
        d2,
        runner_up_d2: visitor.runner_up.map(|more| visitor.d2 + more),
    };
    let lookup = match dice.below(20) {
        0 => Lookup::NotDone,
        1 => Lookup::EmptyGallery,
        2 => Lookup::Unclear,
        _ => Lookup::Found(found),
    };
    let yaw_deg = if visitor.poor && dice.chance(70) { 70.0 } else { 5.0 };
    let pose = Pose { yaw_deg, ..Pose::default() };
    let quality = Quality { face_px: visitor.face_px, visible_part: 1.0, pose, sharpness: 20.0, luma: 120.0 };
    let score = (if visitor.photo { -7.0 } else { 5.5 }) + dice.below(60) as f32 / 10.0 - 3.0;
    let seen = Surroundings { share: 0.1, still: dice.below(30) as f32, carried: dice.below(30) as f32 };
    let look = PadLook {
        score: if dice.chance(1) { f32::NAN } else { score },
        outline: dice.below(100) as f32 / 10.0,
        surroundings: dice.chance(50).then_some(seen),
    };
    FaceSighting { track: visitor.track, quality, lookup, pad: dice.chance(90).then_some(look), light: None }
}

fn a_policy(dice: &mut Dice) -> Policy {
    Policy {
        agreeing_frames: 1 + dice.below(4) as u8,
        pulse_ms: 200 + dice.below(3_000) as u32,
        several_faces: if dice.chance(50) { SeveralFaces::Refuse } else { SeveralFaces::Nearest },
        liveness: PadPolicy { attacks_max: dice.below(4) as u8, lockout_ms: LOCKOUT_MS, ..PadPolicy::default() },
        ..Policy::default()
    }
}

/// Leaves out what the decider does not want.
fn spare(decider: &Decider, sighting: &mut Sighting, now: Now) {
    let bare = |face: &FaceSighting| FaceSighting { lookup: Lookup::NotDone, pad: None, ..*face };
    let glanced = Sighting { faces: sighting.faces.iter().map(bare).collect(), glance: true, ..Sighting::default() };
    sighting.glance = !glanced.faces.iter().any(|face| decider.wants(face, &glanced, now));
    let looked_at = Sighting { glance: sighting.glance, ..glanced };
    for face in &mut sighting.faces {
        if !decider.wants(&bare(face), &looked_at, now) {
            *face = bare(face);
        }
    }
}

fn simulate(seed: u64, steps: u64) -> (u64, u64, u64) {
    let mut dice = Dice(seed);
    // Every second gate compares only whom the decider wants compared, as the daemon does.
    let is_sparing = seed.is_multiple_of(2);
    let policy = a_policy(&mut dice);
    let mut decider = Decider::new(policy);
    let mut oracle = Oracle {
        policy,
        relay_on_since: None,
        faults: HashSet::new(),
        matches: HashMap::new(),
        refused: HashSet::new(),
        photos: HashSet::new(),
        shown: HashSet::new(),
        locked_out: HashMap::new(),
        known_ms: i64::MIN,
        grants: 0,
        refusals: 0,
        lockouts: 0,
    };
    let mut now = Now { mono_ms: 1_000, wall_ms: 1_700_000_000_000 };
    let (mut visitors, mut tracks, mut seen_ms) = (Vec::<Visitor>::new(), 0u32, now.mono_ms);
    for step in 0..steps {
        let context = format!("seed {seed} step {step}");
        let pause = if dice.chance(2) { dice.below(4_000) } else { 20 + dice.below(80) };
        let target = now.mono_ms + pause;
        // Nobody keeps a track over a gap in which the tracker would have lost them.
        if target - seen_ms > u64::from(policy.track_lost_ms) {
            visitors.clear();
        }
        // As the daemon does: tick at every deadline on the way.
        while let Some(deadline) = decider.deadline_ms().filter(|d| *d < target) {
            now = advance(now, deadline.max(now.mono_ms), &mut dice);
            let actions = decider.tick(now);
            oracle.check(&actions, None, now, &context);
        }
        now = advance(now, target, &mut dice);
        // The clock is right now and then, and the gate knows it.
        if dice.chance(1) {
            decider.raise_clock_floor(now.wall_ms, now);
            oracle.known_ms = oracle.known_ms.max(now.wall_ms);
        }
        let (actions, sighting) = match dice.below(200) {
            // The owner changes their mind: what was gathered under the old policy no longer counts.
            9 if dice.chance(20) => {
                let tau = 0.8 + dice.below(5) as f32 / 10.0;
                oracle.policy = Policy { tau, ..a_policy(&mut dice) };
                oracle.matches.clear();
                (decider.set_policy(oracle.policy, now), None)
            }
            0 => {
                let fault = Fault::ALL[dice.below(4) as usize];
                (decider.fault(fault, now), None)
            }
            1..=8 => {
                let fault = Fault::ALL[dice.below(4) as usize];
                (decider.clear(fault, now), None)
            }
            _ => {
                visitors.retain(|_| !dice.chance(3));
                while visitors.len() < 8 && dice.chance(if visitors.is_empty() { 40 } else { 1 }) {
                    tracks += 1;
                    let visitor = visitor(&mut dice, tracks, now.wall_ms);
                    if visitor.photo {
                        oracle.photos.insert(visitor.track);
                    }
                    visitors.push(visitor);
                }
                let faces = visitors.iter().map(|v| face(v, &mut dice)).collect();
                let mut sighting = Sighting { faces, ..Sighting::default() };
                if is_sparing {
                    spare(&decider, &mut sighting, now);
                }
                seen_ms = now.mono_ms;
                oracle.sees(&sighting, now);
                (decider.step(&sighting, now), Some(sighting))
            }
        };
        oracle.check(&actions, sighting.as_ref(), now, &context);
        // A line that is on as late as a slow machine has it.
        if actions.iter().any(|action| matches!(action, Action::Relay(true))) && dice.chance(50) {
            now = advance(now, now.mono_ms + dice.below(150), &mut dice);
            decider.relay_is_on(now);
            oracle.relay_on_since = oracle.relay_on_since.map(|(_, pulse_ms)| (now.mono_ms, pulse_ms));
        }
    }
    (oracle.grants, oracle.refusals, oracle.lockouts)
}

/// The monotonic clock goes on to `mono_ms`; the wall clock is set back or forward by hours now and then.
fn advance(now: Now, mono_ms: u64, dice: &mut Dice) -> Now {
    let jump = if dice.below(1_000) == 0 { dice.below(7_200_000) as i64 - 3_600_000 } else { 0 };
    Now { mono_ms, wall_ms: now.wall_ms + (mono_ms - now.mono_ms) as i64 + jump }
}

#[test]
fn a_million_steps_keep_every_promise() {
    let (mut grants, mut refusals, mut lockouts) = (0, 0, 0);
    for seed in 1..=20u64 {
        let (g, r, l) = simulate(seed * 7_919, 50_000);
        grants += g;
        refusals += r;
        lockouts += l;
    }
    // The simulation would prove nothing if the gate never opened in it.
    let enough = grants > 500 && refusals > 1_000 && lockouts > 10;
    assert!(enough, "{grants} grants, {refusals} refusals, {lockouts} lock-outs");
}

#[test]
fn the_same_seed_gives_the_same_outcome() {
    assert_eq!(simulate(42, 5_000), simulate(42, 5_000));
}
