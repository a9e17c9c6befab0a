//! Who gets in: people enrolled from ONE picture, strangers, nobody, and everything that spoils a look.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::scene::MIDDLE;
use gate_tests::site::{FPS, PULSE_MS};
use gate_tests::{Log, Look, Played, Portrait, Scene, Site};

/// Longest distance between two frames, milliseconds: a replay's relay moves when a frame is there.
const FRAME_MS: u64 = 1000 / FPS + 1;

/// Somebody comes from afar, stands at the gate, and goes.
fn walkup(portrait: Portrait) -> Scene {
    let there = Look::new(portrait, 150.0);
    Scene::new().nobody(400).walk_up(1_500, 40.0, there).stay(1_200, &[there]).leave(600, there).nobody(1_000)
}

/// Somebody stands there for long enough to be told what is wrong.
fn standing(look: Look) -> Played {
    Site::enrolled().play(&Scene::new().stay(1_500, &[look]))
}

/// Nobody is let in, and everybody is told this one thing once.
fn refused_once(played: &Played, reason: &str) {
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0], "{:#?}", played.log);
    assert_eq!(played.log.refused(), [reason], "{:#?}", played.log);
    assert!(played.relay.iter().all(|change| !change.on), "{:?}", played.relay);
}

/// The relay is on once, for one pulse from the grant on, by the log and by the relay's own trace.
fn one_pulse(played: &Played, person: &str) {
    let Log(events) = &played.log;
    let grant = events.iter().position(|event| event.is_granted(person)).expect("a grant");
    let granted_ms = events[grant].mono_ms();
    let relay: Vec<_> =
        played.log.all(|event| event.kind() == "relay").iter().map(|e| (e.mono_ms(), &e.0["on"])).collect();
    assert_eq!(relay.len(), 2, "{relay:?}");
    assert_eq!((relay[0].0, relay[0].1 == true), (granted_ms, true));
    assert_eq!((relay[1].0, relay[1].1 == true), (granted_ms + PULSE_MS, false));
    let trace: Vec<_> = played.relay.iter().map(|change| (change.mono_ms, change.on)).collect();
    let [(_, false), (on_ms, true), (off_ms, false)] = trace[..] else { panic!("{trace:?}") };
    assert_eq!(on_ms, granted_ms);
    assert!((PULSE_MS..=PULSE_MS + FRAME_MS).contains(&(off_ms - on_ms)), "{trace:?}");
}

#[test]
fn an_enrolled_person_is_let_in_by_another_picture_once_for_one_pulse() {
    for portrait in [Portrait::Obama2, Portrait::Obama3] {
        let played = Site::enrolled().play(&walkup(portrait));
        played.ended_locked();
        assert_eq!(played.log.granted(), ["obama"], "{portrait:?}: {:#?}", played.log);
        assert_eq!(played.log.refused(), [""; 0], "{portrait:?}: the lamp shows red to a person on the way in");
        one_pulse(&played, "obama");
    }
}

#[test]
fn the_log_begins_with_who_is_known_and_ends_with_the_replay() {
    let played = Site::enrolled().play(&walkup(Portrait::Obama2));
    let kinds: Vec<_> = played.log.0.iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, ["gallery", "camera", "granted", "relay", "relay", "camera"]);
    assert_eq!(played.log.0[0].0["people"], 1);
    assert!(played.log.0[1].is_camera("opened") && played.log.0[5].is_camera("ended"));
}

#[test]
fn a_stranger_stays_outside_and_is_refused_once_per_track() {
    let there = Look::new(Portrait::Biden, 140.0);
    let twice = walkup(Portrait::Biden).stay(1_500, &[there]);
    let played = Site::enrolled().play(&twice);
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0]);
    assert_eq!(played.log.refused(), ["Unknown", "Unknown"], "{:#?}", played.log);
    let tracks: Vec<_> = played.log.all(|event| event.is_refused("Unknown")).iter().map(|e| &e.0["track"]).collect();
    assert_ne!(tracks[0], tracks[1], "who has left and comes back is told anew");
    assert!(played.log.all(|event| event.kind() == "refused").iter().all(|event| event.text("person").is_empty()));
}

#[test]
fn nobody_at_the_gate_is_no_event() {
    let played = Site::enrolled().play(&Scene::new().nobody(2_000));
    played.ended_locked();
    let kinds: Vec<_> = played.log.0.iter().map(|event| event.kind()).collect();
    assert_eq!(kinds, ["gallery", "camera", "camera"]);
    assert_eq!(played.relay.len(), 1, "locked at the start, and nothing after it: {:?}", played.relay);
}

#[test]
fn nobody_gets_in_where_nobody_is_enrolled() {
    let played = Site::empty().play(&walkup(Portrait::Obama2));
    refused_once(&played, "Unknown");
    assert_eq!(played.log.0[0].0["people"], 0);
}

#[test]
fn two_people_at_once_are_asked_to_come_one_by_one() {
    let pair =
        [Look::new(Portrait::Obama2, 110.0).at(170.0, 220.0), Look::new(Portrait::Biden, 105.0).at(470.0, 220.0)];
    let played = Site::enrolled().play(&Scene::new().stay(1_500, &pair));
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0], "{:#?}", played.log);
    assert_eq!(played.log.refused(), ["SeveralFaces", "SeveralFaces"], "each of the two, once: {:#?}", played.log);
}

#[test]
fn a_grant_is_not_for_the_next_person() {
    let (ours, stranger) = (Look::new(Portrait::Obama3, 140.0), Look::new(Portrait::Biden, 140.0));
    // The stranger follows on the heels of the person who was let in.
    let scene = Scene::new().stay(1_000, &[ours]).leave(400, ours).stay(2_500, &[stranger]);
    let played = Site::enrolled().play(&scene);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["obama"], "{:#?}", played.log);
    assert_eq!(played.log.refused(), ["Unknown"], "{:#?}", played.log);
    one_pulse(&played, "obama");
}

#[test]
fn what_spoils_a_look_has_its_own_reason() {
    refused_once(&standing(Look::new(Portrait::Obama2, 34.0)), "TooFar");
    refused_once(&standing(Look::new(Portrait::Obama3, 130.0).blurred(4.0)), "Blurred");
    refused_once(&standing(Look::new(Portrait::Obama3, 130.0).lit(0.2)), "TooDark");
    refused_once(&standing(Look::new(Portrait::Obama3, 200.0).at(60.0, MIDDLE.1)), "OutOfFrame");
}
