//! The decider: sightings in, actions out.
//!
//! A grant needs, on one live track: enough identifications that agree within a window, each near enough (tau) and
//! clear of the second-best person (margin), with the average of all clear looks in that window near enough, too, on frames
//! good enough to compare; the evidence asked for that the face is live; a person who may enter now, with nobody else in
//! front; and the gate locked, without fault and not locked out. The frame that completes the evidence must itself be a
//! match: a grant never rests on a face that has left.
//!
//! Nothing here blocks, allocates, reads a clock or panics on input: time comes in, actions go out.

mod attention;

pub use attention::SETTLED_LOOK_MS;

use crate::asking::{Asking, Step};
use crate::evidence::{Evidence, Verdict};
use crate::gate::{Fault, Gate, State};
use crate::light::{self, Code, LightSample};
use crate::liveness::{PadLook, PadThresholds, PadVerdict};
use crate::person::{Access, PersonKey};
use crate::policy::{PadMode, Policy, SeveralFaces};
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
/// For how long an answer to the lamp shows that a face is live, milliseconds: another one may be held up later.
const LIGHT_HOLDS_MS: u64 = 1_500;
/// Most recent attacks remembered; the policy's `attacks_max` is cut to this.
const ATTACKS_MAX: usize = 16;

/// Most actions that one step can return: a refusal and a grant for each face, the relay, faults, a lock-out, the light
/// and lamps.
pub const ACTIONS_MAX: usize = 2 * FACES_MAX + 12;

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
        /// Who it is, where that is certain (suspended, expired, not yet valid), or whose picture was held up.
        person: Option<PersonKey>,
    },
    /// The relay is switched.
    Relay {
        /// On = the gate is unlocked.
        on: bool,
    },
    /// Too many presentation attacks: nobody is let in from now on, or the time is over.
    Lockout {
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
    /// When somebody held up a picture, lately.
    attacks_ms: Deque<u64, ATTACKS_MAX>,
    locked_out_until_ms: Option<u64>,
    asking: Asking,
    seen_ms: Option<u64>,
    red_until_ms: u64,
    lamps: (bool, bool),
    relay_on: bool,
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
            attacks_ms: Deque::new(),
            locked_out_until_ms: None,
            asking: Asking::default(),
            seen_ms: None,
            red_until_ms: 0,
            lamps: (false, false),
            relay_on: false,
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
    /// What has happened stays so: an open pulse and a lock-out end as they would have, faults stand, and whoever was let in
    /// lately rests.
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

        let nearest_px = nearest_px(sighting);
        for face in &sighting.faces {
            let Some(verdict) = self.verdict(face, sighting, nearest_px) else {
                // Still there, but behind somebody: the track lives on, its evidence starts afresh.
                if let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == face.track) {
                    evidence.seen_ms = now.mono_ms;
                    evidence.forget();
                }
                continue;
            };
            self.weigh(face, verdict, now, !pulse_just_over, &mut actions);
            self.schedule(face.track, verdict, now);
        }
        self.ask(sighting, now, &mut actions);
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
        if self.locked_out_until_ms.is_some_and(|until| now.mono_ms >= until) {
            self.locked_out_until_ms = None;
            log(&mut actions, Event::Lockout { present: false });
        }
        self.outputs(now, &mut actions);
        actions
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

    /// The machine is about to stop: lock, lamps out.
    pub fn stop(&mut self, now: Now) -> Actions {
        let mut actions = Actions::new();
        self.gate.stop();
        if self.asking.stop() {
            push(&mut actions, Action::Light(None));
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
        [self.gate.deadline_ms(), stall, sign, self.locked_out_until_ms].into_iter().flatten().min()
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

    /// Adds one verdict to its track's evidence and acts on what it then shows.
    fn weigh(&mut self, face: &FaceSighting, verdict: Verdict, now: Now, may_open: bool, actions: &mut Actions) {
        let track = face.track;
        let (window_ms, refuse_after_ms) = (self.policy.window_ms, self.policy.refuse_after_ms);
        let (pad_model, pad_thresholds) = (self.policy.liveness.model, self.pad_thresholds);
        let Some(evidence) = evidence_of(&mut self.evidence, track, now.mono_ms) else { return };
        evidence.take(verdict, now.mono_ms, window_ms);
        if let (Verdict::Match(..) | Verdict::NoMatch(..), Some(look)) = (verdict, face.pad) {
            evidence.pad.take(look, now.mono_ms, &pad_model, &pad_thresholds);
        }
        if let Verdict::Match(person, access, _) = verdict {
            if evidence.complete(self.policy.agreeing_frames, self.policy.tau) {
                self.recognised(track, person, access, now, may_open, actions);
            }
            return;
        }
        if let Some(reason) = evidence.standing(now.mono_ms, refuse_after_ms) {
            self.refuse(track, reason, None, now, actions);
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
        let liveness = self.liveness(track, now.mono_ms);
        if liveness == Some(PadVerdict::Attack) {
            return self.attacked(track, Reason::PresentationAttack, Some(person), now, actions);
        }
        if self.locked_out_until_ms.is_some() {
            self.refuse(track, Reason::LockedOut, None, now, actions);
            return;
        }
        let rested = self.granted.iter().all(|(p, _)| *p != person);
        if liveness != Some(PadVerdict::BonaFide) {
            // Whoever was just let in need not be asked again.
            if self.policy.liveness.mode.is_active() && rested {
                self.begin_asking(track, now, actions);
            }
            return;
        }
        if let Some(reason) = access.refusal(now.wall_ms) {
            self.refuse(track, reason, Some(person), now, actions);
            return;
        }
        if rested && may_open && self.gate.grant(now.mono_ms) {
            // A grant uses the evidence up: the next one needs its own.
            self.evidence.iter_mut().filter(|e| e.track == track).for_each(Evidence::forget);
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

    /// Whether this track's face is live, by all the evidence that the policy asks for; `None` = not decided yet.
    fn liveness(&self, track: TrackId, now_ms: u64) -> Option<PadVerdict> {
        let evidence = self.evidence.iter().find(|e| e.track == track)?;
        match self.policy.liveness.mode {
            PadMode::Off => Some(PadVerdict::BonaFide),
            PadMode::Passive => evidence.pad.verdict(),
            PadMode::Active => answered(evidence, now_ms),
            PadMode::Both => match (evidence.pad.verdict(), answered(evidence, now_ms)) {
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
            let by_light = e.light.is_some_and(|(verdict, _)| verdict == PadVerdict::Attack);
            by_light || e.pad.verdict() == Some(PadVerdict::Attack)
        };
        self.policy.liveness.mode != PadMode::Off && self.evidence.iter().any(|e| e.track == track && attack(e))
    }

    /// Asks this face, if nobody is asked already, it was not asked too often, and its answer is not there.
    fn begin_asking(&mut self, track: TrackId, now: Now, actions: &mut Actions) {
        let Some(evidence) = self.evidence.iter().find(|e| e.track == track) else { return };
        if answered(evidence, now.mono_ms).is_some() || self.asking.is_playing() || self.gate.state() != State::Locked {
            return;
        }
        if evidence.light_tries >= LIGHT_TRIES_MAX {
            // Each try is a chance for a picture, too: so it counts as one.
            return self.attacked(track, Reason::Unproven, None, now, actions);
        }
        self.asking.watch(track);
    }

    /// Leads the lamp: takes in what the asked face shows, and judges it when the code is over.
    fn ask(&mut self, sighting: &Sighting, now: Now, actions: &mut Actions) {
        let Some(track) = self.asking.track() else { return };
        let face = sighting.faces.iter().find(|face| face.track == track);
        let Some(sample) = face.and_then(|face| face.light) else {
            // Without the face there is nothing to ask. One frame may lack it; a code with a gap answers nothing.
            if (face.is_none() || self.gate.state() != State::Locked) && self.asking.stop() {
                push(actions, Action::Light(None));
            }
            return;
        };
        let policy = self.policy.liveness.light;
        match self.asking.take(sample, sighting.random, now.mono_ms, &policy) {
            Step::Nothing => {}
            Step::Begin(code) => push(actions, Action::Light(Some(code))),
            Step::Answered(answer) => {
                let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == track) else { return };
                match answer.verdict {
                    light::Verdict::BonaFide => evidence.light = Some((PadVerdict::BonaFide, now.mono_ms)),
                    light::Verdict::Attack(_) => evidence.light = Some((PadVerdict::Attack, now.mono_ms)),
                    light::Verdict::Unusable(_) => evidence.light_tries = evidence.light_tries.saturating_add(1),
                }
            }
        }
    }

    /// Liveness refuses this face, once for each track. Too many of that lock everybody out for a while.
    fn attacked(&mut self, track: TrackId, reason: Reason, person: Option<PersonKey>, now: Now, actions: &mut Actions) {
        if !self.refuse(track, reason, person, now, actions) {
            return;
        }
        let policy = self.policy.liveness;
        let window_ms = u64::from(policy.attacks_window_ms);
        while self.attacks_ms.is_full()
            || self.attacks_ms.front().is_some_and(|t| now.mono_ms.saturating_sub(*t) > window_ms)
        {
            self.attacks_ms.pop_front();
        }
        // There is room: one was just removed if it was full.
        let _ = self.attacks_ms.push_back(now.mono_ms);
        let attacks_max = usize::from(policy.attacks_max).min(ATTACKS_MAX);
        let too_many = attacks_max > 0 && self.attacks_ms.len() >= attacks_max;
        // Attacks while locked out do not make it longer: whoever stands before the gate must not be able to close it for good.
        if too_many && policy.lockout_ms > 0 && self.locked_out_until_ms.is_none() {
            self.attacks_ms.clear();
            self.locked_out_until_ms = Some(now.mono_ms.saturating_add(u64::from(policy.lockout_ms)));
            log(actions, Event::Lockout { present: true });
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

    /// Brings relay and lamps to what the state says.
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
    }
}

/// Width of the largest face, pixels of the frame.
fn nearest_px(sighting: &Sighting) -> f32 {
    sighting.faces.iter().map(|f| f.quality.face_px).fold(0.0f32, f32::max)
}

/// What the answer to the lamp shows now.
fn answered(evidence: &Evidence, now_ms: u64) -> Option<PadVerdict> {
    let holds = |(verdict, at_ms): &(PadVerdict, u64)| {
        *verdict == PadVerdict::Attack || now_ms.saturating_sub(*at_ms) <= LIGHT_HOLDS_MS
    };
    evidence.light.filter(holds).map(|(verdict, _)| verdict)
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
