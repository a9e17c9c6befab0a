//! The decider: sightings in, actions out.
//!
//! A grant needs, on one track without an interruption: enough identifications that agree within a window, each near enough
//! (tau) and clear of the second-best person (margin), with the average of all clear looks in that window near enough, too,
//! on frames good enough to compare; the evidence of life that is asked for, from these same frames; a person who may enter
//! now and is not locked out, with nobody else in front; and the gate locked and without fault. The frame that completes the
//! evidence must itself be a match that bears life: a grant never rests on a face that has left.
//!
//! Whoever is not let in has had a chance. Chances are counted and bounded: see [`crate::attempts`].
//!
//! Nothing here blocks, allocates, reads a clock or panics on input: time comes in, actions go out.

mod attention;

pub use attention::SETTLED_LOOK_MS;

use crate::alarm::{Alarm, Alarms};
use crate::asking::{Asking, Step};
use crate::attempts::{Attempts, Limits};
use crate::clock::{ClockFloor, WallClock};
use crate::evidence::{Evidence, LightAnswer, Verdict};
use crate::gate::{Fault, Gate, State};
use crate::light::{self, Code, LightSample};
use crate::liveness::{PadLook, PadTest, PadThresholds, PadVerdict};
use crate::person::{Access, PersonKey};
use crate::policy::{PadMode, PadPolicy, Policy, SeveralFaces};
use crate::quality::Quality;
use crate::reason::Reason;
use crate::track::{FACES_MAX, TRACKS_MAX, TrackId};
use heapless::{Deque, Vec};

/// How long the red lamp shows a refusal, milliseconds.
const REFUSAL_SIGN_MS: u64 = 1_500;

/// A glance measures a face's width to within this part: one that seems a little too small may be near enough.
const GLANCE_NEAR: f32 = 0.8;
/// Most recent grants remembered.
const GRANTS_MAX: usize = 16;
/// How often a face is asked by the lamp before it is sent to the other reader.
const LIGHT_TRIES_MAX: u8 = 3;
/// For how long an answer to the lamp holds, milliseconds, where the frames that follow show life by themselves. Where they
/// are not asked to, it holds for the frame that completes it.
const LIGHT_HOLDS_MS: u64 = 1_500;

/// Most actions that one step can return: a refusal, a lock-out and a grant for each face and for each track that ends, the
/// relay, faults, the light, lamps and alarms.
pub const ACTIONS_MAX: usize = 3 * FACES_MAX + 3 * TRACKS_MAX + 18;

/// Two clocks read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Monotonic milliseconds: pulses, windows and timeouts follow it.
    pub mono_ms: u64,
    /// Unix milliseconds, UTC: only validity follows it.
    pub wall_ms: i64,
}

/// The nearest enrolled person to one face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identification {
    /// Who is nearest.
    pub person: PersonKey,
    /// Whether that person may enter.
    pub access: Access,
    /// Dissimilarity d² to them.
    pub d2: f32,
    /// Dissimilarity d² to the nearest other person, if there is one.
    pub runner_up_d2: Option<f32>,
}

/// What became of looking a face up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Lookup {
    /// The face was not encoded in this frame.
    #[default]
    NotDone,
    /// The encoder has found too little of a face to compare.
    Unclear,
    /// Nobody is enrolled.
    EmptyGallery,
    /// The nearest enrolled person.
    Found(Identification),
}

/// One face of a sighting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FaceSighting {
    /// The track it continues.
    pub track: TrackId,
    /// How good it is.
    pub quality: Quality,
    /// Who it is nearest to.
    pub lookup: Lookup,
    /// What the frame says about whether it is live; `None` = it was not looked at for that.
    pub pad: Option<PadLook>,
    /// What it shows of the lamp's light; wanted of the face that [`Decider::asked`] names. Its time is set by the decider.
    pub light: Option<LightSample>,
}

/// All that one frame has shown.
#[derive(Clone, Debug, Default)]
pub struct Sighting {
    /// The faces, in any order.
    pub faces: Vec<FaceSighting, FACES_MAX>,
    /// The frame was only glanced at: it shows who stands where, and of their quality only that somebody is too far away.
    pub glance: bool,
    /// Fresh random bytes, for the lamp's code; not looked at where no lamp is asked.
    pub random: [u8; 8],
}

/// What happened, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The gate opens for somebody.
    Granted {
        /// For whom.
        person: PersonKey,
        /// On which evidence.
        track: TrackId,
    },
    /// Somebody is refused. Once for each track and reason.
    Refused {
        /// Why.
        reason: Reason,
        /// Which face.
        track: TrackId,
        /// Who it is, where that is certain (suspended, expired, not yet valid, clock unsure), or whose picture was held up.
        person: Option<PersonKey>,
    },
    /// The relay is switched.
    Relay {
        /// On = the gate is unlocked.
        on: bool,
    },
    /// Too many attempts with this person's face: the person is locked out from now on, or no longer.
    Lockout {
        /// Whose face was tried.
        person: PersonKey,
        /// Whether it stands now.
        present: bool,
    },
    /// Staff should look: an alarm begins or ends.
    Alarm {
        /// Why.
        cause: Alarm,
        /// Whether it stands now.
        present: bool,
    },
    /// A fault came or went.
    Fault {
        /// Which.
        fault: Fault,
        /// Whether it stands now.
        present: bool,
    },
}

/// What the world must do now, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Switch the relay.
    Relay(bool),
    /// Play this code on the lamp that asks faces, from now on; `None` = lamp out at once.
    Light(Option<Code>),
    /// Show these lamps.
    Lamps {
        /// Come in.
        green: bool,
        /// Not you, not now, or out of order.
        red: bool,
    },
    /// Switch the alarm's output.
    Alarm(bool),
    /// Write this into the event log.
    Log(Event),
}

/// The actions of one step.
pub type Actions = Vec<Action, ACTIONS_MAX>;

/// Holds the evidence of every live track and the gate; see the module's text for the rule.
#[derive(Clone, Debug)]
pub struct Decider {
    policy: Policy,
    gate: Gate,
    evidence: Vec<Evidence, TRACKS_MAX>,
    /// Who was let in lately, and when.
    granted: Deque<(PersonKey, u64), GRANTS_MAX>,
    pad_thresholds: PadThresholds,
    attempts: Attempts,
    alarms: Alarms,
    asking: Asking,
    clock_floor: ClockFloor,
    seen_ms: Option<u64>,
    red_until_ms: u64,
    lamps: (bool, bool),
    relay_on: bool,
    alarm_on: bool,
}

impl Decider {
    /// A decider whose gate is in `Boot`.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            gate: Gate::new(policy.pulse_ms, policy.pulse_max_ms),
            pad_thresholds: PadThresholds::derive(&policy.liveness.model, policy.liveness.bpcer_target),
            policy,
            evidence: Vec::new(),
            granted: Deque::new(),
            attempts: Attempts::default(),
            alarms: Alarms::default(),
            asking: Asking::default(),
            clock_floor: ClockFloor::default(),
            seen_ms: None,
            red_until_ms: 0,
            lamps: (false, false),
            relay_on: false,
            alarm_on: false,
        }
    }

    /// The gate's state.
    #[must_use]
    pub fn state(&self) -> State {
        self.gate.state()
    }

    /// Whether this fault is present.
    #[must_use]
    pub fn has(&self, fault: Fault) -> bool {
        self.gate.has(fault)
    }

    /// Whether this alarm stands.
    #[must_use]
    pub fn has_alarm(&self, cause: Alarm) -> bool {
        self.alarms.has(cause)
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Another gallery is in force, and with its size another threshold. Evidence gathered under the old one is dropped.
    pub fn gallery_changed(&mut self, tau: f32) {
        self.policy.tau = tau;
        self.evidence.iter_mut().for_each(Evidence::forget);
    }

    /// Another policy is in force. Evidence gathered under the old one is dropped, and nobody is asked by the lamp any more.
    /// What has happened stays so: an open pulse, a lock-out and alarms end as they would have, faults stand, and whoever was
    /// let in lately rests.
    pub fn set_policy(&mut self, policy: Policy, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.gate.set_pulse(policy.pulse_ms, policy.pulse_max_ms);
        self.pad_thresholds = PadThresholds::derive(&policy.liveness.model, policy.liveness.bpcer_target);
        self.policy = policy;
        self.start_afresh(&mut actions);
        self.outputs(now, &mut actions);
        actions
    }

    /// One frame was looked at. That it could be proves camera and models: their faults are cleared.
    pub fn step(&mut self, sighting: &Sighting, now: Now) -> Actions {
        let mut actions = self.tick(now);
        let pulse_just_over = actions.iter().any(|a| matches!(a, Action::Relay(false)));
        self.seen_ms = Some(now.mono_ms);
        self.gate.ready();
        for fault in [Fault::Camera, Fault::Model] {
            self.clear_into(fault, &mut actions);
        }
        let rest_ms = u64::from(self.policy.regrant_after_ms);
        while self.granted.front().is_some_and(|(_, t)| now.mono_ms.saturating_sub(*t) >= rest_ms) {
            self.granted.pop_front();
        }
        let lost_ms = u64::from(self.policy.track_lost_ms);
        self.evidence.retain(|e| now.mono_ms.saturating_sub(e.seen_ms) <= lost_ms);

        self.interrupt_absent(sighting, now, &mut actions);
        // The answer to the lamp first: a grant rests on the frames of the challenge, the last of which is this one.
        self.ask(sighting, now, &mut actions);

        let nearest_px = nearest_px(sighting);
        for face in &sighting.faces {
            let Some(verdict) = self.verdict(face, sighting, nearest_px) else {
                // Still there, but behind somebody: the track lives on, its evidence starts afresh.
                self.interrupt(face.track, now, &mut actions);
                if let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == face.track) {
                    evidence.seen_ms = now.mono_ms;
                }
                continue;
            };
            self.weigh(face, verdict, now, !pulse_just_over, &mut actions);
            self.schedule(face.track, verdict, now);
        }
        self.outputs(now, &mut actions);
        actions
    }

    /// Time has passed without a frame. Call it at [`Decider::deadline_ms`] at the latest.
    pub fn tick(&mut self, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.gate.tick(now.mono_ms);
        let stalled = self.seen_ms.is_some_and(|t| now.mono_ms.saturating_sub(t) > u64::from(self.policy.stall_ms));
        if stalled {
            self.fault_into(Fault::Camera, &mut actions);
        }
        while let Some(person) = self.attempts.next_over(now.mono_ms) {
            log(&mut actions, Event::Lockout { person, present: false });
        }
        for cause in self.alarms.expire(now.mono_ms) {
            log(&mut actions, Event::Alarm { cause, present: false });
        }
        self.outputs(now, &mut actions);
        actions
    }

    /// `known_ms` (Unix milliseconds) has passed for sure: no wall clock below it is believed from now on. The floor only grows.
    pub fn raise_clock_floor(&mut self, known_ms: i64, now: Now) {
        self.clock_floor.raise(known_ms, now.mono_ms);
    }

    /// Staff have declared the wall clock right: only `known_ms` has passed for sure, whatever was believed before.
    pub fn accept_clock(&mut self, known_ms: i64, now: Now) {
        self.clock_floor = ClockFloor::default();
        self.clock_floor.raise(known_ms, now.mono_ms);
    }

    /// The wall clock now, and what it is checked against.
    #[must_use]
    pub fn wall_clock(&self, now: Now) -> WallClock {
        WallClock { wall_ms: now.wall_ms, floor_ms: self.clock_floor.at(now.mono_ms) }
    }

    /// The relay was switched on, as an action asked: its pulse counts from here.
    pub fn relay_is_on(&mut self, now: Now) {
        self.gate.line_is_on(now.mono_ms);
    }

    /// Something is wrong: lock at once.
    pub fn fault(&mut self, fault: Fault, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.fault_into(fault, &mut actions);
        self.outputs(now, &mut actions);
        actions
    }

    /// This is in order again.
    pub fn clear(&mut self, fault: Fault, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.clear_into(fault, &mut actions);
        self.outputs(now, &mut actions);
        actions
    }

    /// Somebody interferes with the camera: raise the alarm. Whether the gate opens does not depend on it.
    pub fn tampered(&mut self, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.raise(Alarm::Tamper, now, &mut actions);
        self.outputs(now, &mut actions);
        actions
    }

    /// The machine is about to stop: lock, lamps out, alarms over.
    pub fn stop(&mut self, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.gate.stop();
        if self.asking.stop() {
            push(&mut actions, Action::Light(None));
        }
        for cause in self.alarms.stop() {
            log(&mut actions, Event::Alarm { cause, present: false });
        }
        self.outputs(now, &mut actions);
        actions
    }

    /// When [`Decider::tick`] must be called at the latest, monotonic milliseconds; `None` = no time is due.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        let stall = self
            .seen_ms
            .filter(|_| !self.gate.has(Fault::Camera))
            .map(|t| t.saturating_add(u64::from(self.policy.stall_ms) + 1));
        let sign = self.lamps.1.then_some(self.red_until_ms).filter(|_| self.gate.state() != State::Faulted);
        let due = [self.gate.deadline_ms(), stall, sign, self.attempts.deadline_ms(), self.alarms.deadline_ms()];
        due.into_iter().flatten().min()
    }

    /// What this frame says about one face; `None` when the face does not count (somebody behind the nearest).
    fn verdict(&self, face: &FaceSighting, sighting: &Sighting, nearest_px: f32) -> Option<Verdict> {
        let counts = |f: &FaceSighting| f.quality.face_px >= self.policy.bystander_ratio * nearest_px;
        match self.policy.several_faces {
            SeveralFaces::Nearest if face.quality.face_px < nearest_px => return None,
            SeveralFaces::Refuse if !counts(face) => return None,
            SeveralFaces::Refuse if sighting.faces.iter().filter(|f| counts(f)).count() > 1 => {
                return Some(Verdict::Hindered(Reason::SeveralFaces));
            }
            SeveralFaces::Nearest | SeveralFaces::Refuse => {}
        }
        if sighting.glance {
            let is_far = face.quality.face_px < GLANCE_NEAR * self.policy.quality.min_face_px;
            return Some(if is_far { Verdict::Hindered(Reason::TooFar) } else { Verdict::Silent });
        }
        if let Some(reason) = face.quality.refusal(&self.policy.quality) {
            return Some(Verdict::Hindered(reason));
        }
        Some(match face.lookup {
            Lookup::NotDone => Verdict::Silent,
            Lookup::Unclear => Verdict::Hindered(Reason::Unclear),
            // Compared with nobody, so it says nothing about anybody.
            Lookup::EmptyGallery => Verdict::Hindered(Reason::Unknown),
            Lookup::Found(found) => self.compare(&found),
        })
    }

    fn compare(&self, found: &Identification) -> Verdict {
        // Written so that a NaN is never a match.
        let near = found.d2 <= self.policy.tau;
        let clear = found.runner_up_d2.is_none_or(|other| other - found.d2 >= self.policy.margin_d2);
        match (near, clear) {
            (true, true) => Verdict::Match(found.person, found.access, found.d2),
            (true, false) => Verdict::NoMatch(Reason::Ambiguous, found.d2),
            (false, _) => Verdict::NoMatch(Reason::Unknown, found.d2),
        }
    }

    /// Ends the evidence of every track whose face this frame does not show: a gap is an interruption.
    fn interrupt_absent(&mut self, sighting: &Sighting, now: Now, actions: &mut Actions) {
        for place in 0..self.evidence.len() {
            let track = self.evidence[place].track;
            if sighting.faces.iter().all(|face| face.track != track) {
                self.interrupt(track, now, actions);
            }
        }
    }

    /// What this track has shown so far counts for nothing any more; a chance that was not used up is one all the same.
    fn interrupt(&mut self, track: TrackId, now: Now, actions: &mut Actions) {
        if self.asking.track() == Some(track) {
            self.abandon(now, actions);
        }
        let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == track) else { return };
        let claim = evidence.claim();
        let model = &self.policy.liveness.model;
        // A face that looks live by then is somebody who walked past, and whoever was let in just now may go.
        let was_judged = self.policy.liveness.mode.is_passive()
            && evidence.pad.verdict() != Some(PadVerdict::BonaFide)
            && evidence.pad.llr(model) < self.pad_thresholds.accept;
        let is_told = evidence.was_reported(Reason::PresentationAttack) || evidence.is_exposed;
        evidence.forget();

        let is_known = |person: &PersonKey| self.granted.iter().any(|(granted, _)| granted == person);
        if let Some(person) = claim.filter(|person| was_judged && !is_told && !is_known(person)) {
            self.expose(Some(person), now, actions);
        }
    }

    /// Adds one verdict to its track's evidence and acts on what it then shows.
    fn weigh(&mut self, face: &FaceSighting, verdict: Verdict, now: Now, may_open: bool, actions: &mut Actions) {
        let track = face.track;
        let Policy { agreeing_frames, tau, window_ms, refuse_after_ms, .. } = self.policy;
        let (mode, model, thresholds) = (self.policy.liveness.mode, self.policy.liveness.model, self.pad_thresholds);
        if let Verdict::Match(person, ..) = verdict {
            let is_another = |e: &Evidence| e.track == track && e.claim().is_some_and(|claim| claim != person);
            if self.evidence.iter().any(is_another) {
                self.interrupt(track, now, actions);
            }
        }

        let Some(evidence) = evidence_of(&mut self.evidence, track, now.mono_ms) else { return };
        let bears_life = |look: PadLook| PadTest::bears_life(&look, &model, &thresholds);
        evidence.take(verdict, !mode.is_passive() || face.pad.is_some_and(bears_life), now.mono_ms, window_ms);
        match (verdict, face.pad) {
            (Verdict::Match(..), Some(look)) => evidence.pad.take(look, now.mono_ms, &model, &thresholds),
            (Verdict::NoMatch(..), Some(look)) => evidence.pad.take_against(look, now.mono_ms, &model, &thresholds),
            _ => None,
        };
        let (is_compared, is_recognised) =
            (evidence.is_compared(agreeing_frames), evidence.is_recognised(agreeing_frames, tau));
        let standing = evidence.standing(now.mono_ms, refuse_after_ms);

        // Whoever is compared is asked, enrolled or not: the lamp must not tell who is.
        if mode.is_active() && is_compared && matches!(verdict, Verdict::Match(..) | Verdict::NoMatch(..)) {
            self.begin_asking(track, now);
        }
        if let Verdict::Match(person, access, _) = verdict {
            if is_recognised {
                self.recognised(track, person, access, now, may_open, actions);
            }
            return;
        }
        // A refusal waits for the end of the challenge, as it does for somebody who is enrolled.
        if let Some(reason) = standing.filter(|_| self.asking.track() != Some(track)) {
            let news = self.refuse(track, reason, None, now, actions);
            if news && reason == Reason::Unknown {
                self.expose(None, now, actions);
            }
        }
    }

    /// It is certain whose face this is: is it live, and may they come in now?
    fn recognised(
        &mut self,
        track: TrackId,
        person: PersonKey,
        access: Access,
        now: Now,
        may_open: bool,
        actions: &mut Actions,
    ) {
        match self.liveness(track, now.mono_ms) {
            Some(PadVerdict::BonaFide) => {}
            Some(PadVerdict::Attack) => return self.attacked(track, person, now, actions),
            None => return self.tell_unproven(track, now, actions),
        }
        if self.attempts.is_locked_out(person) {
            self.refuse(track, Reason::LockedOut, None, now, actions);
            return;
        }
        if let Some(reason) = access.refusal(self.wall_clock(now)) {
            self.refuse(track, reason, Some(person), now, actions);
            return;
        }

        let is_rested = self.granted.iter().all(|(p, _)| *p != person);
        if !is_rested || !may_open || self.attempts.is_pausing(now.mono_ms) || !self.bears_grant(track) {
            return;
        }
        if self.gate.grant(now.mono_ms) {
            // A grant uses the evidence up: the next one needs its own.
            self.evidence.iter_mut().filter(|e| e.track == track).for_each(Evidence::forget);
            self.attempts.let_in(person);
            if self.granted.is_full() {
                self.granted.pop_front();
            }
            // There is room: one was just removed if it was full.
            let _ = self.granted.push_back((person, now.mono_ms));
            self.red_until_ms = now.mono_ms;
            log(actions, Event::Granted { person, track });
            self.outputs(now, actions);
        }
    }

    /// Whether the frames that a grant would rest on bear identity and life, each of them.
    fn bears_grant(&self, track: TrackId) -> bool {
        let Some(evidence) = self.evidence.iter().find(|e| e.track == track) else { return false };
        let since_ms = match (self.policy.liveness.mode.is_active(), evidence.light) {
            (false, _) => 0,
            (true, Some(answer)) => answer.began_ms,
            (true, None) => return false,
        };
        evidence.bears_grant(self.policy.agreeing_frames, since_ms)
    }

    /// Whether this track's face is live, by all the evidence that the policy asks for; `None` = not decided yet.
    fn liveness(&self, track: TrackId, now_ms: u64) -> Option<PadVerdict> {
        let evidence = self.evidence.iter().find(|e| e.track == track)?;
        let mode = self.policy.liveness.mode;
        match mode {
            PadMode::Off => Some(PadVerdict::BonaFide),
            PadMode::Passive => evidence.pad.verdict(),
            PadMode::Active => answered(evidence, mode, now_ms),
            PadMode::Both => match (evidence.pad.verdict(), answered(evidence, mode, now_ms)) {
                (Some(PadVerdict::Attack), _) | (_, Some(PadVerdict::Attack)) => Some(PadVerdict::Attack),
                (Some(PadVerdict::BonaFide), Some(PadVerdict::BonaFide)) => Some(PadVerdict::BonaFide),
                _ => None,
            },
        }
    }

    /// The face that is asked by the lamp now, if any: its light is wanted in the next sighting.
    #[must_use]
    pub fn asked(&self) -> Option<TrackId> {
        self.asking.track()
    }

    /// Whether this track is taken for a presentation attack, for diagnosis and pictures.
    #[must_use]
    pub fn is_attack(&self, track: TrackId) -> bool {
        let attack = |e: &Evidence| {
            let by_light = e.light.is_some_and(|answer| answer.verdict == PadVerdict::Attack);
            by_light || e.pad.verdict() == Some(PadVerdict::Attack)
        };
        self.policy.liveness.mode != PadMode::Off && self.evidence.iter().any(|e| e.track == track && attack(e))
    }

    /// Asks this face, if nobody is asked already, it was not asked too often, and its answer is not there.
    fn begin_asking(&mut self, track: TrackId, now: Now) {
        let Some(evidence) = self.evidence.iter().find(|e| e.track == track) else { return };
        let mode = self.policy.liveness.mode;
        let claim = evidence.claim();
        let is_settled = match claim {
            Some(person) => self.granted.iter().any(|(granted, _)| *granted == person),
            // A stranger is asked as anybody is, and once.
            None => evidence.light.is_some(),
        };
        let may_ask = self.gate.state() == State::Locked
            && !self.asking.is_playing()
            && evidence.light_tries < LIGHT_TRIES_MAX
            && answered(evidence, mode, now.mono_ms).is_none();
        if may_ask && !is_settled {
            self.asking.watch(track);
        }
    }

    /// Leads the lamp: takes in what the asked face shows, and judges it when the code is over.
    fn ask(&mut self, sighting: &Sighting, now: Now, actions: &mut Actions) {
        let Some(track) = self.asking.track() else { return };
        let nearest_px = nearest_px(sighting);
        let shown = sighting.faces.iter().find(|face| face.track == track).and_then(|face| {
            let person = match self.verdict(face, sighting, nearest_px)? {
                Verdict::Match(person, ..) => Some(person),
                Verdict::NoMatch(..) => None,
                Verdict::Hindered(_) | Verdict::Silent => return None,
            };
            Some((face.light?, person))
        });
        let Some((sample, person)) = shown.filter(|_| self.gate.state() == State::Locked) else {
            // A frame in which the face was not compared, or not good enough for that, could have shown anybody's.
            return self.abandon(now, actions);
        };

        let policy = self.policy.liveness.light;
        let step = self.asking.take(sample, person, sighting.random, now.mono_ms, &policy);
        let (verdict, began_ms) = match step {
            Step::Nothing => return,
            Step::Begin(code) => return push(actions, Action::Light(Some(code))),
            Step::Answered { verdict, began_ms } => (verdict, began_ms),
        };
        let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == track) else { return };
        let answer = |verdict| LightAnswer { verdict, person, began_ms, at_ms: now.mono_ms };
        match verdict {
            light::Verdict::BonaFide => evidence.light = Some(answer(PadVerdict::BonaFide)),
            light::Verdict::Attack(_) => evidence.light = Some(answer(PadVerdict::Attack)),
            light::Verdict::Unusable(_) => self.count_try(track, now, actions),
        }
    }

    /// Asks nobody any more. Once the lamp has played, that counts as a try.
    fn abandon(&mut self, now: Now, actions: &mut Actions) {
        let track = self.asking.track();
        if self.asking.stop() {
            push(actions, Action::Light(None));
            if let Some(track) = track {
                self.count_try(track, now, actions);
            }
        }
    }

    /// A challenge without an answer: a chance that was had.
    fn count_try(&mut self, track: TrackId, now: Now, actions: &mut Actions) {
        let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == track) else { return };
        evidence.light_tries = evidence.light_tries.saturating_add(1);
        evidence.is_exposed = true;
        let claim = evidence.claim();
        self.expose(claim, now, actions);
    }

    /// Whoever was asked by the lamp too often is sent to the other reader.
    fn tell_unproven(&mut self, track: TrackId, now: Now, actions: &mut Actions) {
        let is_spent = |e: &Evidence| e.track == track && e.light_tries >= LIGHT_TRIES_MAX;
        if self.policy.liveness.mode.is_active() && self.evidence.iter().any(is_spent) {
            self.refuse(track, Reason::Unproven, None, now, actions);
        }
    }

    /// A picture of this person: refused, once for each track.
    fn attacked(&mut self, track: TrackId, person: PersonKey, now: Now, actions: &mut Actions) {
        if self.refuse(track, Reason::PresentationAttack, Some(person), now, actions) {
            self.expose(Some(person), now, actions);
        }
    }

    /// Counts a chance that somebody had with this person's face, or with nobody's.
    fn expose(&mut self, person: Option<PersonKey>, now: Now, actions: &mut Actions) {
        let PadPolicy { attacks_max, attacks_window_ms, lockout_ms, .. } = self.policy.liveness;
        let limits = Limits {
            exposures_max: attacks_max,
            forgive_ms: u64::from(attacks_window_ms),
            lockout_ms: u64::from(lockout_ms),
        };
        let outcome = self.attempts.expose(person, now.mono_ms, &limits);
        if outcome.alarm {
            self.raise(Alarm::Attack, now, actions);
        }
        if let Some(person) = outcome.locked_out {
            log(actions, Event::Lockout { person, present: true });
        }
    }

    /// Tells a refusal, once for each track and reason; says whether it was news.
    fn refuse(
        &mut self,
        track: TrackId,
        reason: Reason,
        person: Option<PersonKey>,
        now: Now,
        actions: &mut Actions,
    ) -> bool {
        let news = self.evidence.iter_mut().find(|e| e.track == track).is_some_and(|evidence| evidence.report(reason));
        if news {
            self.red_until_ms = now.mono_ms.saturating_add(REFUSAL_SIGN_MS);
            log(actions, Event::Refused { reason, track, person });
        }
        news
    }

    /// Raises an alarm, or lets one that stands last as long as a new one.
    fn raise(&mut self, cause: Alarm, now: Now, actions: &mut Actions) {
        let until_ms = now.mono_ms.saturating_add(u64::from(self.policy.alarm_ms));
        if self.alarms.raise(cause, until_ms) {
            log(actions, Event::Alarm { cause, present: true });
        }
    }

    fn fault_into(&mut self, fault: Fault, actions: &mut Actions) {
        if self.gate.fault(fault) {
            self.start_afresh(actions);
            log(actions, Event::Fault { fault, present: true });
        }
    }

    /// Everybody starts from nothing, and nobody is asked by the lamp any more.
    fn start_afresh(&mut self, actions: &mut Actions) {
        self.evidence.iter_mut().for_each(Evidence::forget);
        if self.asking.stop() {
            push(actions, Action::Light(None));
        }
    }

    fn clear_into(&mut self, fault: Fault, actions: &mut Actions) {
        if self.gate.clear(fault) {
            log(actions, Event::Fault { fault, present: false });
        }
    }

    /// Brings relay, lamps and alarm to what the state says.
    fn outputs(&mut self, now: Now, actions: &mut Actions) {
        let on = self.gate.relay_on();
        if on != self.relay_on {
            self.relay_on = on;
            push(actions, Action::Relay(on));
            log(actions, Event::Relay { on });
        }
        let faulted = self.gate.state() == State::Faulted;
        let lamps = (on, faulted || (!on && now.mono_ms < self.red_until_ms));
        if lamps != self.lamps {
            self.lamps = lamps;
            push(actions, Action::Lamps { green: lamps.0, red: lamps.1 });
        }
        let alarm_on = self.alarms.any();
        if alarm_on != self.alarm_on {
            self.alarm_on = alarm_on;
            push(actions, Action::Alarm(alarm_on));
        }
    }
}

/// Width of the largest face, pixels of the frame.
fn nearest_px(sighting: &Sighting) -> f32 {
    sighting.faces.iter().map(|f| f.quality.face_px).fold(0.0f32, f32::max)
}

/// What the answer to the lamp shows now of the person whom the track is taken for. Somebody else's answer shows nothing.
fn answered(evidence: &Evidence, mode: PadMode, now_ms: u64) -> Option<PadVerdict> {
    let holds_ms = if mode.is_passive() { LIGHT_HOLDS_MS } else { 0 };
    let is_theirs = |answer: &LightAnswer| answer.person.is_some() && answer.person == evidence.claim();
    let holds = |answer: &LightAnswer| {
        let is_fresh = now_ms.saturating_sub(answer.at_ms) <= holds_ms;
        answer.verdict == PadVerdict::Attack || (is_fresh && is_theirs(answer))
    };
    evidence.light.filter(holds).map(|answer| answer.verdict)
}

/// The evidence of `track`, begun if it is new. When all places are taken the one not seen for longest gives way.
fn evidence_of(all: &mut Vec<Evidence, TRACKS_MAX>, track: TrackId, now_ms: u64) -> Option<&mut Evidence> {
    let index = match all.iter().position(|e| e.track == track) {
        Some(index) => index,
        None => {
            if all.is_full() {
                let oldest = (0..all.len()).min_by_key(|i| all[*i].seen_ms)?;
                all.swap_remove(oldest);
            }
            all.push(Evidence::new(track, now_ms)).ok()?;
            all.len() - 1
        }
    };
    all.get_mut(index)
}

fn log(actions: &mut Actions, event: Event) {
    push(actions, Action::Log(event));
}

fn push(actions: &mut Actions, action: Action) {
    // ACTIONS_MAX holds the most that one step can produce; the simulation checks it.
    let pushed = actions.push(action);
    debug_assert!(pushed.is_ok(), "more actions than ACTIONS_MAX");
}
