//! Recognition says yes to a good photograph: what becomes of one that is held up at the gate, over the real programs.
//!
//! The photographs are rendered (crate gate-stage). What real ones do is measured on recorded clips: docs/LIVENESS.md.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_stage::Species;
use gate_tests::{Look, Portrait, Scene, Site};
use std::fs;
use toml::toml;

/// The photograph is brought near, held there, and taken away.
fn held_up(species: Species) -> Scene {
    let there = Look::new(Portrait::Obama2, 110.0).on(species);
    Scene::new().nobody(300).walk_up(700, 70.0, there).stay(1_500, &[there]).nobody(1_000)
}

fn live(portrait: Portrait) -> Scene {
    let there = Look::new(portrait, 130.0);
    Scene::new().walk_up(1_000, 60.0, there).stay(1_200, &[there]).nobody(1_000)
}

#[test]
fn a_photograph_on_paper_or_on_a_screen_opens_nothing_and_the_log_says_why() {
    for species in Species::ALL {
        let played = Site::enrolled().play(&held_up(species));
        played.ended_locked();
        assert_eq!(played.log.granted(), [""; 0], "{}: {:#?}", species.name(), played.log);
        assert_eq!(played.log.refused(), ["PresentationAttack"], "{}: {:#?}", species.name(), played.log);
        assert!(played.relay.iter().all(|change| !change.on));
        // The officer is told whose picture it was; neither log nor output holds a score.
        let refusal = played.log.all(|event| event.kind() == "refused")[0];
        assert_eq!(refusal.text("person"), "obama");
        for score in ["d2", "score", "llr"] {
            assert!(refusal.0.get(score).is_none(), "{refusal:?}");
        }
    }
}

#[test]
fn the_live_person_comes_in_after_their_photograph_was_refused() {
    let played = Site::enrolled().play(&held_up(Species::Phone).then(live(Portrait::Obama3)));
    played.ended_locked();
    assert_eq!(played.log.refused(), ["PresentationAttack"], "{:#?}", played.log);
    assert_eq!(played.log.granted(), ["obama"], "{:#?}", played.log);
}

#[test]
fn without_liveness_the_photograph_opens_which_is_why_it_is_there() {
    let site = Site::enrolled().with(toml! {
        [liveness]
        mode = "off"
    });
    let played = site.play(&held_up(Species::Phone));
    assert_eq!(played.log.granted(), ["obama"], "{:#?}", played.log);
    assert!(played.answer.stderr.contains("a photograph of an enrolled person opens the gate"), "it warns");
}

#[test]
fn three_photographs_lock_out_whose_they_are_for_a_while_and_then_it_is_over() {
    let site = Site::enrolled().with(toml! {
        [liveness]
        lockout_ms = 6_000
    });
    let attack = || held_up(Species::Paper);
    let scene =
        attack().then(attack()).then(attack()).then(live(Portrait::Obama3)).nobody(2_000).then(live(Portrait::Obama3));
    let played = site.play(&scene);
    played.ended_locked();
    let lockouts = played.log.all(|event| event.kind() == "lockout");
    assert!(lockouts.iter().all(|event| event.text("person") == "obama"));
    let present: Vec<bool> = lockouts.iter().map(|event| event.0["present"] == true).collect();
    assert_eq!(present, [true, false], "{:#?}", played.log);
    let attack = "PresentationAttack";
    assert_eq!(played.log.refused(), [attack, attack, attack, "LockedOut"], "{:#?}", played.log);
    assert_eq!(played.log.granted(), ["obama"], "{:#?}", played.log);
}

#[test]
fn a_liveness_network_that_is_damaged_or_missing_keeps_the_gate_from_starting() {
    let site = Site::enrolled();
    let models = site.path("models");
    gate_tests::programs::models_of_its_own(&models);
    let folder = toml::Value::String(models.display().to_string());
    let site = site.with(toml::Table::from_iter([(
        "vision".to_owned(),
        toml::Value::Table(toml::Table::from_iter([("models".to_owned(), folder)])),
    )]));
    let weights = models.join("minifasnet_v2.onnx");
    let mut bytes = fs::read(&weights).unwrap();
    bytes[500_000] ^= 1;
    fs::write(&weights, bytes).unwrap();
    let damaged = site.play(&live(Portrait::Obama2));
    assert_ne!(damaged.answer.code, Some(0));
    assert!(damaged.answer.stderr.contains("minifasnet_v2"), "{}", damaged.answer.stderr);
    assert!(damaged.relay.iter().all(|change| !change.on));
    fs::remove_file(&weights).unwrap();
    let missing = site.play(&live(Portrait::Obama2));
    assert_ne!(missing.answer.code, Some(0));
    assert!(missing.answer.stderr.contains("minifasnet_v2"), "{}", missing.answer.stderr);
}

#[test]
fn a_lamp_that_is_asked_for_and_not_there_is_told_before_anything_runs() {
    let site = Site::enrolled().with(toml! {
        [liveness]
        mode = "active"
    });
    let played = site.play(&live(Portrait::Obama2));
    assert_ne!(played.answer.code, Some(0));
    assert!(played.answer.stderr.contains("[light]"), "{}", played.answer.stderr);
}

#[test]
fn a_recording_cannot_answer_the_lamp() {
    // Frames of yesterday know nothing of today's code: neither a live face nor a picture in them gets in.
    let site = Site::enrolled().with(toml! {
        [liveness]
        mode = "both"
        [light]
        line = 23
    });
    let there = Look::new(Portrait::Obama2, 130.0);
    let played = site.play(&Scene::new().walk_up(700, 90.0, there).stay(5_000, &[there]).nobody(500));
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0], "{:#?}", played.log);
    assert_eq!(played.log.refused().len(), 1, "{:#?}", played.log);
}
