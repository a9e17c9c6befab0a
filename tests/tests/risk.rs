//! The risk that the owner states: what the gate does when it cannot be kept, and how a site's own measurements and learned
//! comparisons come into force.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::daemon::PATIENCE;
use gate_tests::programs::{models, models_of_its_own, sample};
use gate_tests::{Look, Portrait, Scene, Site};
use std::fmt::Write;
use std::fs;
use toml::toml;

/// The exit code of a fault of the system.
const FAULT: i32 = 3;

/// The enrolled person comes, and then a stranger.
fn both_come(site: &Site) {
    let (known, stranger) = (Look::new(Portrait::Obama3, 120.0), Look::new(Portrait::Biden, 120.0));
    Scene::new().stay(1_000, &[known]).nobody(700).stay(1_200, &[stranger]).write(&site.path("frames"));
}

/// The hash of the encoder in use, from its card.
fn encoder_sha256() -> String {
    let card: toml::Table = fs::read_to_string(models().join("sface.toml")).unwrap().parse().unwrap();
    card["sha256"].as_str().unwrap().to_owned()
}

/// A calibration file with these points of FMR and d².
fn calibration(comparison: &str, encoder_sha256: &str, points: &[(f64, f32)]) -> String {
    let none = "{ errors = 0, trials = 0, low = 0.0, high = 1.0 }";
    let points: String = points.iter().map(|(fmr, d2)| format!("{{ fmr = {fmr:e}, d2 = {d2} }}, ")).collect();
    format!(
        r#"
        format = 1
        made_at = "2026-01-01T00:00:00Z"
        encoder = "sface"
        encoder_sha256 = "{encoder_sha256}"
        comparison = "{comparison}"
        [measured]
        people = 1
        references = 1
        visits = 0
        fpir_target = 1e-3
        tau = 1.0
        fmr = {none}
        fnmr = {none}
        fpir = {none}
        [impostors]
        measured_on = "a test's site"
        comparisons = 1000
        points = [{points}]
        "#
    )
}

/// A site with this calibration in force.
fn calibrated(text: &str) -> Site {
    let site = Site::enrolled().with(toml! {
        [policy]
        calibration = "calibration.toml"
    });
    fs::write(site.path("calibration.toml"), text).unwrap();
    both_come(&site);
    site
}

#[test]
fn a_risk_that_cannot_be_kept_warns_or_keeps_the_gate_locked() {
    // One person, FMR measured to 3e-6 and fitted to 1e-8 at best: nothing supports one in a billion.
    let site = Site::enrolled().with(toml! {
        [policy]
        fpir_target = 1e-10
    });
    both_come(&site);
    let played = site.replay(&[]);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["obama"], "by default it works");
    assert!(played.answer.stderr.contains("NOT enough"), "and says so: {}", played.answer.stderr);

    let site = site.with(toml! {
        [policy]
        fpir_unmet = "refuse"
    });
    fs::remove_file(site.path("events.jsonl")).unwrap();
    fs::remove_file(site.path("relay.jsonl")).unwrap();
    let played = site.replay(&[]);
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0]);
    assert!(played.relay.iter().all(|change| !change.on), "{:?}", played.relay);
    assert!(played.log.0.iter().any(|event| event.is_fault("risk", true)), "{:#?}", played.log);
    assert!(played.answer.stderr.contains("fpir_unmet"), "{}", played.answer.stderr);
    let check: gate_tests::Answer = site.daemon(&["check"]).output().unwrap().into();
    assert!(check.code != Some(0) && check.stdout.contains("the gate will not open"), "{check:#?}");
}

#[test]
fn a_gate_that_refused_arms_when_people_leave_and_locks_when_too_many_come() {
    // At FMR 1e-2 and no further, one reference keeps FPIR 1e-2 and two do not.
    let site =
        calibrated(&calibration("distance", &encoder_sha256(), &[(1e-2, 1.2), (1e-1, 1.3)])).looping().with(toml! {
            [policy]
            fpir_target = 1e-2
            fpir_unmet = "refuse"
            regrant_after_ms = 300
            [relay]
            pulse_ms = 300
        });
    assert!(PATIENCE.as_secs() >= 10);
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the grant", |event| event.is_granted("obama"));
    let before = daemon.mark();
    site.enrol("collins", &sample("astronaut.png"));
    daemon.wait_for(before, "the fault", |event| event.is_fault("risk", true));
    let locked = daemon.mark();
    site.tool(&["remove", "collins", "--yes"]).done();
    daemon.wait_for(locked, "its end", |event| event.is_fault("risk", false));
    daemon.wait_for(locked, "the next grant", |event| event.is_granted("obama"));
    let log = site.log();
    let end = log.0.iter().position(|event| event.is_fault("risk", false)).unwrap();
    let while_locked = &log.0[locked..end];
    assert!(while_locked.iter().all(|event| event.kind() != "granted"), "{while_locked:#?}");
    daemon.stop().done();
}

#[test]
fn a_sites_calibration_decides_the_threshold() {
    // Even the strictest point lies beyond every stranger; the loosest as strict as only the same picture is.
    let strict = calibration("distance", &encoder_sha256(), &[(1e-4, 0.05), (1e-1, 0.06)]);
    let played = calibrated(&strict).replay(&[]);
    played.ended_locked();
    assert_eq!(played.log.granted(), [""; 0], "nobody is as near as this site asks");
    assert!(played.answer.stderr.contains("a test's site"), "the log names it: {}", played.answer.stderr);
    let usual = calibration("distance", &encoder_sha256(), &[(1e-4, 1.1), (1e-1, 1.5)]);
    assert_eq!(calibrated(&usual).replay(&[]).log.granted(), ["obama"]);
}

#[test]
fn a_calibration_for_something_else_or_damaged_is_refused() {
    let good = [(1e-3, 1.1), (1e-1, 1.5)];
    let cases = [
        (calibration("logistic", &encoder_sha256(), &good), "comparison"),
        (calibration("distance", "0000", &good), "other weights"),
        (calibration("distance", &encoder_sha256(), &[(1e-3, 1.5), (1e-1, 1.1)]), "make no sense"),
        (calibration("distance", &encoder_sha256(), &good).replace("format = 1", "format = 9"), "form 9"),
        ("junk".to_owned(), "calibration.toml"),
    ];
    for (text, word) in cases {
        let played = calibrated(&text).replay(&[]);
        played.answer.refused(FAULT, &["[policy] calibration", word, "gate-lab calibrate"]);
        assert!(played.relay.iter().all(|change| !change.on), "{:?}", played.relay);
    }
    let site = calibrated("");
    fs::remove_file(site.path("calibration.toml")).unwrap();
    site.replay(&[]).answer.refused(FAULT, &["calibration.toml", "No such file"]);
}

#[test]
fn a_learned_comparison_comes_into_force_with_everybody_who_is_enrolled() {
    // A head that weighs all elements alike orders faces nearly as the distance does.
    let mut weights = String::new();
    for _ in 0..128 {
        write!(weights, "0.1256, ").unwrap();
    }
    let card = format!(
        r#"
        name = "sface-logistic"
        job = "compare"
        about = "a test's head"
        origin = "this test"
        licence = "MIT"
        encoder = "sface"
        encoder_sha256 = "{}"
        [head]
        kind = "logistic"
        bias = 0.0
        scale = 0.1
        offset = 1.2
        weights = [{weights}]
        [impostors]
        measured_on = "a test's head"
        comparisons = 1000
        points = [{{ fmr = 1e-4, d2 = 1.1 }}, {{ fmr = 1e-2, d2 = 1.2 }}]
        "#,
        encoder_sha256()
    );
    let site = Site::enrolled();
    let copy = site.path("models");
    models_of_its_own(&copy);
    let mut keys = toml! {
        [policy]
        comparison = "logistic"
        [vision]
    };
    keys["vision"].as_table_mut().unwrap().insert("models".into(), copy.to_str().unwrap().into());
    let site = site.with(keys);
    both_come(&site);

    site.replay(&[]).answer.refused(FAULT, &["sface-logistic", "sface"]);
    fs::write(copy.join("sface-logistic.toml"), card).unwrap();
    let played = site.replay(&[]);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["obama"], "enrolled before, with nothing but the distance in mind");
    assert_eq!(played.log.refused(), ["Unknown"]);
    let verified = site.tool(&["--json", "verify", "--id", "obama", sample("obama2.jpg").to_str().unwrap()]);
    assert_eq!(verified.json()["match"], true, "{verified:#?}");
}
