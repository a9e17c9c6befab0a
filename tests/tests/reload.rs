//! `systemctl reload`: another policy comes into force on the running gate; a bad one does not.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::{Daemon, Event, Site};
use serde_json::Value;
use std::fs;

/// Edits the configuration, asks for a reload, and waits until it is told what became of it.
fn reload(site: &Site, daemon: &mut Daemon, edit: impl Fn(String) -> String) -> Event {
    let config = site.path("gate.toml");
    fs::write(&config, edit(fs::read_to_string(&config).unwrap())).unwrap();
    let before = daemon.mark();
    daemon.signal(libc::SIGHUP);
    daemon.wait_for(before, "what became of the reload", |event| event.kind() == "config").0
}

/// The length of the next whole pulse.
fn next_pulse_ms(site: &Site, daemon: &mut Daemon) -> u64 {
    let before = daemon.mark();
    let (on, _) = daemon.wait_for(before, "a pulse", |event| event.is_relay(true));
    let at = site.log().0.iter().position(|event| *event == on).unwrap();
    let (off, _) = daemon.wait_for(at, "its end", |event| event.is_relay(false));
    off.mono_ms() - on.mono_ms()
}

#[test]
fn another_policy_comes_into_force_without_a_dropped_frame_and_a_bad_one_is_not_taken() {
    let site = Site::enrolled().busy();
    let trace = site.path("trace.jsonl");
    let mut daemon = site.start(&["--trace", trace.to_str().unwrap()]);
    assert_eq!(next_pulse_ms(&site, &mut daemon), 300);

    let loaded = reload(&site, &mut daemon, |text| text.replace("pulse_ms = 300", "pulse_ms = 500"));
    assert_eq!((loaded.text("state"), loaded.text("detail")), ("loaded", ""), "{loaded:?}");
    assert_eq!(next_pulse_ms(&site, &mut daemon), 500);

    let kept = reload(&site, &mut daemon, |text| text.replace("pulse_ms = 500", "puls_ms = 700"));
    assert_eq!(kept.text("state"), "kept");
    let line =
        1 + fs::read_to_string(site.path("gate.toml")).unwrap().lines().position(|l| l.starts_with("puls_")).unwrap();
    for word in [&format!("gate.toml:{line}:1"), "puls_ms", "pulse_ms", "^^^"] {
        assert!(kept.text("detail").contains(word), "{word} is not in {kept:?}");
        assert!(daemon.said().contains(word), "{word} is not in the log: {}", daemon.said());
    }
    assert_eq!(next_pulse_ms(&site, &mut daemon), 500, "the old one stays in force");

    // What is opened at the start waits for a restart, and says so; the rest is taken up.
    let moved = |text: String| text.replace("puls_ms = 700", "pulse_ms = 400").replace("events.jsonl", "other.jsonl");
    let loaded = reload(&site, &mut daemon, moved);
    assert_eq!((loaded.text("state"), loaded.text("detail")), ("loaded", "restart needed for [events]"));
    assert!(daemon.said().contains("[events] has changed: restart needed"), "{}", daemon.said());
    assert_eq!(next_pulse_ms(&site, &mut daemon), 400);
    daemon.stop().done();

    let seen: Vec<Value> =
        fs::read_to_string(&trace).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let seq: Vec<u64> = seen.iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
    assert!(seq.windows(2).all(|pair| pair[1] == pair[0] + 1), "each frame was looked at: {seq:?}");
}

#[test]
fn another_risk_is_weighed_at_once_and_people_get_the_threshold_that_it_calls_for() {
    let site = Site::enrolled().busy();
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "a grant", |event| event.is_granted("obama"));
    let unmet = "\n[policy]\nfpir_target = 1e-15\nfpir_unmet = \"refuse\"\n";
    let loaded = reload(&site, &mut daemon, |text| text.replace("\n[policy]\n", unmet));
    assert_eq!(loaded.text("state"), "loaded", "{loaded:?}");
    let at = site.log().0.iter().position(|event| *event == loaded).unwrap();
    daemon.wait_for(at, "the fault", |event| event.is_fault("risk", true));
    let locked = daemon.mark();
    reload(&site, &mut daemon, |text| text.replace(unmet, "\n[policy]\n"));
    daemon.wait_for(locked, "its end", |event| event.is_fault("risk", false));
    daemon.wait_for(locked, "a grant", |event| event.is_granted("obama"));
    daemon.stop().done();
}

#[test]
fn a_reload_forgets_no_fault() {
    let site = Site::enrolled();
    let mut daemon = site.start(&["--camera", &format!("v4l:{}", site.path("camera").display())]);
    daemon.wait_for(0, "the fault", |event| event.is_fault("camera", true));
    let loaded = reload(&site, &mut daemon, |text| text.replace("pulse_ms = 1000", "pulse_ms = 400"));
    assert_eq!(
        (loaded.text("state"), loaded.text("detail")),
        ("loaded", ""),
        "the command line's camera is none of it"
    );
    daemon.stop().done();
    assert!(site.log().0.iter().all(|event| !event.is_fault("camera", false)), "{:#?}", site.log());
}
