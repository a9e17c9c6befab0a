//! Alarms: when they begin and end, what their output does, and that they decide nothing else.

use gate_core::alarm::Alarm;
use gate_core::decision::{Action, Actions, Decider, Event, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gate::{Fault, State};
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::Policy;
use gate_core::quality::Quality;
use gate_core::track::TrackId;

const HOLD_MS: u32 = 10_000;
const BEGUN: Action = Action::Log(Event::Alarm { cause: Alarm::Tamper, present: true });
const OVER: Action = Action::Log(Event::Alarm { cause: Alarm::Tamper, present: false });

fn at(mono_ms: u64) -> Now {
    Now { mono_ms, wall_ms: 1_700_000_000_000 + mono_ms as i64 }
}

fn decider() -> Decider {
    Decider::new(Policy { alarm_ms: HOLD_MS, ..Policy::default() })
}

/// What a frame in which nobody is seen leads to, and a frame that shows an enrolled, live person.
fn step(decider: &mut Decider, is_there: bool, now: Now) -> Actions {
    let found = Identification { person: PersonKey(1), access: Access::default(), d2: 0.4, runner_up_d2: Some(1.9) };
    let face = FaceSighting {
        track: TrackId(1),
        quality: Quality { face_px: 120.0, visible_part: 1.0, sharpness: 20.0, luma: 120.0, ..Quality::default() },
        lookup: Lookup::Found(found),
        pad: Some(PadLook { score: 6.0, outline: 4.8, surroundings: None }),
        light: None,
    };
    let faces = is_there.then_some(face).into_iter().collect();
    decider.step(&Sighting { faces, ..Sighting::default() }, now)
}

fn about_alarms(actions: &Actions) -> Vec<Action> {
    let is_alarm = |a: &&Action| matches!(a, Action::Alarm(_) | Action::Log(Event::Alarm { .. }));
    actions.iter().filter(is_alarm).copied().collect()
}

#[test]
fn an_alarm_is_told_once_and_stands_until_its_time_after_the_last_cause() {
    let mut decider = decider();
    assert_eq!(about_alarms(&decider.tampered(at(1_000))), [BEGUN, Action::Alarm(true)]);
    assert!(decider.has_alarm(Alarm::Tamper) && !decider.has_alarm(Alarm::Attack));
    assert_eq!(about_alarms(&decider.tampered(at(5_000))), [], "it stands already");
    assert_eq!(about_alarms(&decider.tick(at(14_999))), []);
    assert_eq!(decider.deadline_ms(), Some(15_000), "its end is due at a known time");
    assert_eq!(about_alarms(&decider.tick(at(15_000))), [OVER, Action::Alarm(false)]);
    assert_eq!(about_alarms(&decider.tampered(at(15_001))), [BEGUN, Action::Alarm(true)], "another one is news");
}

#[test]
fn a_frame_ends_an_alarm_that_is_due() {
    let mut decider = decider();
    decider.tampered(at(0));
    assert_eq!(about_alarms(&step(&mut decider, false, at(u64::from(HOLD_MS)))), [OVER, Action::Alarm(false)]);
}

#[test]
fn a_stop_ends_alarms_and_switches_their_output_off() {
    let mut decider = decider();
    decider.tampered(at(0));
    assert_eq!(about_alarms(&decider.stop(at(5))), [OVER, Action::Alarm(false)]);
    assert_eq!(about_alarms(&decider.stop(at(6))), []);
    assert!(!decider.has_alarm(Alarm::Tamper));
}

#[test]
fn another_policy_leaves_an_alarm_that_stands_and_counts_for_the_next_one() {
    let mut decider = decider();
    decider.tampered(at(0));
    let actions = decider.set_policy(Policy { alarm_ms: 50, ..Policy::default() }, at(100));
    assert_eq!(about_alarms(&actions), []);
    assert_eq!(about_alarms(&decider.tick(at(9_999))), []);
    assert_eq!(about_alarms(&decider.tick(at(10_000))), [OVER, Action::Alarm(false)]);
    decider.tampered(at(20_000));
    assert_eq!(about_alarms(&decider.tick(at(20_050))), [OVER, Action::Alarm(false)]);
}

#[test]
fn times_at_the_end_of_the_clock_do_not_overflow() {
    let mut decider = decider();
    decider.tampered(at(u64::MAX - 1));
    assert_eq!(about_alarms(&decider.tick(Now { mono_ms: u64::MAX, wall_ms: 0 })), [OVER, Action::Alarm(false)]);
}

#[test]
fn a_changed_camera_locks_until_it_is_cleared_and_frames_do_not_clear_it() {
    let mut decider = decider();
    step(&mut decider, false, at(0));
    decider.fault(Fault::Camera, at(50));
    decider.fault(Fault::CameraChanged, at(50));
    decider.tampered(at(50));
    for frame in 1..200 {
        let actions = step(&mut decider, true, at(frame * 66));
        assert!(!actions.iter().any(|a| matches!(a, Action::Relay(true))), "frame {frame}");
    }
    assert!(!decider.has(Fault::Camera), "frames come again");
    assert_eq!(decider.state(), State::Faulted);
    decider.set_policy(Policy::default(), at(13_300));
    assert!(decider.has(Fault::CameraChanged), "nor does another policy");
    decider.clear(Fault::CameraChanged, at(13_300));
    let opened = (0..10).any(|frame| {
        let actions = step(&mut decider, true, at(13_366 + frame * 66));
        actions.contains(&Action::Relay(true))
    });
    assert!(opened, "and then it works again");
}

/// The same visits, with and without tampering at every moment: all but the alarms is the same.
#[test]
fn alarms_change_nothing_else() {
    let (mut calm, mut alarmed) = (decider(), decider());
    let (mut grants, mut alarms) = (0, 0);
    for frame in 0..4_000u64 {
        let now = at(frame * 66);
        // Somebody stands there for two seconds in every nine.
        let is_there = frame % 140 < 30;
        if frame % 37 == 0 || frame % 140 == 2 {
            alarms += about_alarms(&alarmed.tampered(now)).len();
        }
        let expected: Vec<Action> = step(&mut calm, is_there, now).into_iter().collect();
        let actions = step(&mut alarmed, is_there, now);
        let rest: Vec<Action> = actions.iter().filter(|a| !about_alarms(&actions).contains(a)).copied().collect();
        assert_eq!(rest, expected, "frame {frame}");
        assert_eq!(calm.state(), alarmed.state());
        grants += expected.iter().filter(|a| matches!(a, Action::Log(Event::Granted { .. }))).count();
    }
    assert!(grants > 20 && alarms >= 2, "{grants} grants, {alarms} actions about alarms");
}
