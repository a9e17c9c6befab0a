//! The gate asks a face by its lamp: who is let in then, and who is not.

use gate_core::decision::{Action, Decider, Event, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gate::Fault;
use gate_core::geometry::Point;
use gate_core::light::{Code, LightPolicy, LightSample, Patch};
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::{PadMode, PadPolicy, Policy};
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_core::track::TrackId;

const ANA: PersonKey = PersonKey(1);
const LATE_MS: f32 = 60.0;
const FRAME_MS: u64 = 40;

/// A face of which the lamp's light and the relief of its answer are known.
#[derive(Clone, Copy)]
struct Stands {
    answer: f32,
    relief: f32,
    score: f32,
    /// Dissimilarity to the enrolled person.
    d2: f32,
    /// Sharpness of the picture.
    sharpness: f32,
}

const HEAD: Stands = Stands { answer: 0.3, relief: 1.0, score: 6.0, d2: 0.5, sharpness: 20.0 };
const SCREEN: Stands = Stands { answer: 0.0, relief: 0.0, score: 6.0, d2: 0.5, sharpness: 20.0 };
const PRINT: Stands = Stands { answer: 0.3, relief: 0.0, score: 6.0, d2: 0.5, sharpness: 20.0 };

struct Gate {
    decider: Decider,
    now_ms: u64,
    lamp: Option<(Code, u64)>,
    codes: Vec<Code>,
    events: Vec<Event>,
}

impl Gate {
    fn new(mode: PadMode) -> Self {
        let liveness = PadPolicy { mode, ..PadPolicy::default() };
        let decider = Decider::new(Policy { liveness, ..Policy::default() });
        Self { decider, now_ms: 1_000, lamp: None, codes: Vec::new(), events: Vec::new() }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.now_ms, wall_ms: 0 }
    }

    /// What the camera sees of the face now: the lamp's light of a moment ago.
    fn sample(&self, stands: Stands) -> LightSample {
        let lit = self.lamp.map_or(0.0, |(code, began)| {
            let seen = (self.now_ms - began) as f32 - LATE_MS;
            code.lit_part(seen - 8.0, seen + 8.0)
        });
        let head = LightPolicy::default().head;
        let luma = |light: f32| Patch { luma: 255.0 * (0.2 * light).powf(1.0 / 2.2), saturated: 0.0 };
        let on = |i: usize| (0.5 + 0.02 * i as f32) * (1.0 + lit * stands.answer * (1.0 + stands.relief * head[i]));
        LightSample {
            at_ms: 0,
            face: std::array::from_fn(|i| luma(on(i))),
            background: std::array::from_fn(|i| luma((0.4 + 0.1 * i as f32) * (1.0 + 0.02 * lit))),
            centre: Point { x: 320.0, y: 240.0 },
            size_px: 150.0,
        }
    }

    fn show(&mut self, frames: u64, track: u32, stands: Stands) -> &mut Self {
        for _ in 0..frames {
            self.now_ms += FRAME_MS;
            let quality = Quality {
                face_px: 120.0,
                visible_part: 1.0,
                sharpness: stands.sharpness,
                luma: 120.0,
                ..Quality::default()
            };
            let found = Identification { person: ANA, access: Access::default(), d2: stands.d2, runner_up_d2: None };
            let wanted = self.decider.asked() == Some(TrackId(track));
            let face = FaceSighting {
                track: TrackId(track),
                quality,
                lookup: Lookup::Found(found),
                pad: Some(PadLook::of_score(stands.score)),
                light: wanted.then(|| self.sample(stands)),
            };
            let random = self.now_ms.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
            let sighting = Sighting { faces: [face].into_iter().collect(), random, glance: false };
            let actions = self.decider.step(&sighting, self.now());
            self.take(&actions);
        }
        self
    }

    fn take(&mut self, actions: &gate_core::decision::Actions) {
        for action in actions {
            match action {
                Action::Light(code) => {
                    self.lamp = code.map(|code| (code, self.now_ms));
                    self.codes.extend(code);
                }
                Action::Log(event) => self.events.push(*event),
                _ => {}
            }
        }
    }

    fn granted(&self) -> bool {
        self.events.iter().any(|e| matches!(e, Event::Granted { .. }))
    }

    fn refusals(&self) -> Vec<Reason> {
        let refused = |e: &Event| if let Event::Refused { reason, .. } = e { Some(*reason) } else { None };
        self.events.iter().filter_map(refused).collect()
    }
}

#[test]
fn a_head_that_answers_is_let_in_within_a_second_and_a_half() {
    let mut gate = Gate::new(PadMode::Active);
    gate.show(1_500 / FRAME_MS, 1, HEAD);
    assert!(gate.granted(), "{:?}", gate.events);
    assert!(gate.refusals().is_empty());
    assert_eq!(gate.codes.len(), 1, "asked once");
}

#[test]
fn a_screen_and_a_print_are_refused_whatever_the_network_says() {
    for stands in [SCREEN, PRINT] {
        for mode in [PadMode::Active, PadMode::Both] {
            let mut gate = Gate::new(mode);
            gate.show(10_000 / FRAME_MS, 1, stands);
            assert!(!gate.granted(), "{mode:?}");
            let told = gate.refusals();
            assert!(matches!(told[..], [Reason::PresentationAttack | Reason::Unproven]), "{mode:?}: {told:?}");
            assert!(gate.codes.len() <= 3, "{mode:?}: asked {} times", gate.codes.len());
        }
    }
}

#[test]
fn both_asks_for_both() {
    let mut gate = Gate::new(PadMode::Both);
    gate.show(1_500 / FRAME_MS, 1, HEAD);
    assert!(gate.granted(), "{:?}", gate.events);
    let mut gate = Gate::new(PadMode::Both);
    gate.show(3_000 / FRAME_MS, 1, Stands { score: -8.0, ..HEAD });
    assert!(!gate.granted() && gate.refusals() == [Reason::PresentationAttack], "{:?}", gate.events);
}

#[test]
fn every_face_is_asked_by_a_code_of_its_own() {
    let mut gate = Gate::new(PadMode::Active);
    for track in 1..=20 {
        gate.show(15, track, HEAD);
    }
    let mut codes: Vec<u16> = gate.codes.iter().map(Code::bits).collect();
    codes.sort_unstable();
    codes.dedup();
    assert!(codes.len() > 10, "{} different codes of {}", codes.len(), gate.codes.len());
}

#[test]
fn the_lamp_goes_out_when_the_face_leaves_or_something_breaks() {
    for breaks in [false, true] {
        let mut gate = Gate::new(PadMode::Active);
        gate.show(8, 1, HEAD);
        assert!(gate.lamp.is_some(), "asking");
        let now = gate.now();
        let actions =
            if breaks { gate.decider.fault(Fault::Light, now) } else { gate.decider.step(&Sighting::default(), now) };
        gate.take(&actions);
        assert!(gate.lamp.is_none() && gate.decider.asked().is_none(), "breaks: {breaks}");
        gate.show(5, 2, HEAD);
        assert!(!gate.granted());
    }
}

#[test]
fn an_answer_is_not_good_for_a_face_that_comes_later() {
    let mut gate = Gate::new(PadMode::Active);
    gate.show(1_500 / FRAME_MS, 1, HEAD);
    assert!(gate.granted());
    // A screen, on a track of its own.
    gate.events.clear();
    gate.now_ms += 10_000;
    gate.show(6_000 / FRAME_MS, 2, SCREEN);
    assert!(!gate.granted());
}

#[test]
fn another_policy_puts_the_lamp_out_and_asks_anew() {
    let mut gate = Gate::new(PadMode::Active);
    while gate.lamp.is_none() {
        gate.show(1, 1, HEAD);
    }
    let policy = *gate.decider.policy();
    let actions = gate.decider.set_policy(policy, gate.now());
    gate.take(&actions);
    assert!(gate.lamp.is_none() && gate.decider.asked().is_none());
    gate.show(1_500 / FRAME_MS, 1, HEAD);
    assert!(gate.granted(), "{:?}", gate.events);
    assert_eq!(gate.codes.len(), 2, "an answer to half a code counts for nothing");
}

#[test]
fn the_lamp_does_not_tell_who_is_enrolled() {
    let stranger = Stands { d2: 1.6, ..HEAD };
    for mode in [PadMode::Active, PadMode::Both] {
        // A photo of somebody enrolled and one of nobody: lamp and refusal come at the same times.
        let seen = |stands: Stands| {
            let mut gate = Gate::new(mode);
            let mut lamp = Vec::new();
            for _ in 0..4_000 / FRAME_MS {
                gate.show(1, 1, stands);
                lamp.push((gate.codes.len(), gate.lamp.is_some(), gate.refusals().len()));
            }
            assert!(!gate.granted(), "{mode:?}");
            assert_eq!(gate.codes.len(), 1, "{mode:?}: asked once");
            lamp
        };
        assert_eq!(seen(SCREEN), seen(Stands { d2: 1.6, ..SCREEN }), "{mode:?}");
        seen(stranger);
    }
}

#[test]
fn somebody_elses_answer_and_a_frame_that_is_not_compared_are_worth_nothing() {
    let stranger = Stands { d2: 1.6, ..HEAD };
    let blurred = Stands { d2: 1.6, sharpness: 0.5, ..HEAD };
    for mode in [PadMode::Active, PadMode::Both] {
        for other in [stranger, blurred] {
            for photo in [SCREEN, PRINT] {
                for before in 1..10 {
                    // The photo sets the lamp off, the own face answers, the photo collects the grant.
                    let mut gate = Gate::new(mode);
                    gate.show(before, 1, photo).show(25, 1, other).show(50, 1, photo);
                    assert!(!gate.granted(), "{mode:?}, {before} frames before: {:?}", gate.events);
                }
            }
        }
    }
}

#[test]
fn a_challenge_that_is_left_unanswered_counts_as_an_attempt() {
    let mut gate = Gate::new(PadMode::Active);
    for track in 1..=3 {
        gate.show(8, track, SCREEN);
        assert!(gate.lamp.is_some(), "asking");
        let actions = gate.decider.step(&Sighting::default(), gate.now());
        gate.take(&actions);
    }
    assert!(gate.events.contains(&Event::Lockout { person: ANA, present: true }), "{:?}", gate.events);
}
