//! Which camera is trusted. Devices that every Linux has stand where cameras would: that they bring no pictures comes
//! after the question which device it is.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::{Answer, Site};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;
use toml::toml;

/// The pinned device, and another one.
const PINNED: (&str, &str) = ("/dev/null", "device:@virtual/mem/null");
const OTHER: (&str, &str) = ("/dev/zero", "device:@virtual/mem/zero");

/// A site whose camera is pinned, and the name under which it is opened.
fn pinned() -> (Site, String) {
    let site = Site::enrolled().with(toml! {
        [camera]
        identity = "device:@virtual/mem/null"
        [alarm]
        line = 5
        hold_ms = 1000
    });
    let source = format!("v4l:{}", site.path("camera").display());
    (site, source)
}

/// Lets the camera's name lead to this node.
fn point_to(site: &Site, node: &str) {
    let part = site.path("camera.new");
    symlink(node, &part).unwrap();
    fs::rename(part, site.path("camera")).unwrap();
}

/// What the alarm's output has done.
fn alarm_trace(site: &Site) -> Vec<bool> {
    let text = fs::read_to_string(site.path("relay.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["output"] == "alarm").map(|line| line["on"].as_bool().unwrap()).collect()
}

#[test]
fn another_camera_locks_raises_the_alarm_and_stays_a_fault_when_it_is_gone() {
    let (site, source) = pinned();
    point_to(&site, OTHER.0);
    let mut daemon = site.start(&["--camera", &source]);
    let (changed, _) = daemon.wait_for(0, "the other camera", |event| event.is_camera("changed"));
    for word in [PINNED.1, OTHER.1, "gate-daemon devices --pin"] {
        assert!(changed.text("detail").contains(word), "{word} is not in {changed:?}");
    }
    daemon.wait_for(0, "the fault", |event| event.is_fault("camera_changed", true));
    let (begun, _) = daemon.wait_for(0, "the alarm", |event| event.is_alarm("tamper", true));
    let (over, _) = daemon.wait_for(0, "its end", |event| event.is_alarm("tamper", false));
    assert!((1_000..3_000).contains(&(over.mono_ms() - begun.mono_ms())), "{begun:?} {over:?}");
    assert_eq!(alarm_trace(&site), [false, true, false]);

    // The right one is back: it is opened, and found to be no camera. The fault stays.
    let before = daemon.mark();
    point_to(&site, PINNED.0);
    let (lost, _) = daemon.wait_for(before, "an attempt at the right one", |event| event.is_camera("lost"));
    assert!(lost.text("detail").contains("does not fit"), "{lost:?}");

    // A reload looks anew. Only frames of the right camera would show that it is there.
    daemon.signal(libc::SIGHUP);
    daemon.wait_for(before, "the reload", |event| event.kind() == "config" && event.text("state") == "loaded");
    sleep(Duration::from_secs(2));
    let cleared = |event: &gate_tests::Event| event.is_fault("camera_changed", false);
    assert!(site.log().all(cleared).is_empty(), "{:#?}", site.log());
    assert!(daemon.said().contains("camera changed"), "{}", daemon.said());
    daemon.stop().done();
    assert!(site.relay().iter().all(|change| !change.on), "{:?}", site.relay());
}

#[test]
fn a_reload_pins_another_camera_and_the_one_before_is_not_trusted_any_more() {
    let (site, source) = pinned();
    point_to(&site, PINNED.0);
    let mut daemon = site.start(&["--camera", &source]);
    daemon.wait_for(0, "an attempt", |event| event.is_camera("lost"));
    assert!(site.log().all(|event| event.kind() == "alarm").is_empty(), "{:#?}", site.log());

    let config = site.path("gate.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace(PINNED.1, OTHER.1)).unwrap();
    let before = daemon.mark();
    daemon.signal(libc::SIGHUP);
    let (loaded, _) = daemon.wait_for(before, "the reload", |event| event.kind() == "config");
    assert_eq!((loaded.text("state"), loaded.text("detail")), ("loaded", ""));
    let (changed, _) = daemon.wait_for(before, "the one before", |event| event.is_camera("changed"));
    assert!(changed.text("detail").contains(PINNED.1), "{changed:?}");
    daemon.wait_for(before, "the fault", |event| event.is_fault("camera_changed", true));
    daemon.stop().done();
}

/// `gate-daemon devices` for a camera at `node`.
fn devices(site: &Site, args: &[&str]) -> Answer {
    site.daemon(&[&["devices"], args].concat()).output().unwrap().into()
}

fn at(source: &str) -> Site {
    let mut table = toml! { [camera] };
    table["camera"].as_table_mut().unwrap().insert("source".into(), source.into());
    Site::new().with(table)
}

#[test]
fn the_camera_is_pinned_by_a_line_that_is_printed_or_written() {
    let site = at("v4l:/dev/null");
    let printed = devices(&site, &["--pin"]);
    printed.done();
    assert_eq!(printed.stdout, format!("[camera]\nidentity = \"{}\"\n", PINNED.1));
    let config = site.path("gate.toml");
    assert!(!fs::read_to_string(&config).unwrap().contains("identity"), "only printed");

    let written = devices(&site, &["--pin", "--write"]);
    written.done();
    assert!(written.stdout.contains("systemctl reload"), "{written:?}");
    let text = fs::read_to_string(&config).unwrap();
    assert!(text.contains(printed.stdout.lines().nth(1).unwrap()), "{text}");
}

#[test]
fn what_is_no_camera_is_not_pinned_and_the_file_stays_as_it_is() {
    for (source, words) in [
        ("replay:frames", &["a replay is no camera"][..]),
        ("v4l:/dev/video97", &["/dev/video97", "gate-daemon devices"]),
        ("v4l:/proc/self/status", &["/proc/self/status"]),
    ] {
        let site = at(source);
        let answer = devices(&site, &["--pin", "--write"]);
        answer.refused(3, words);
        assert!(!fs::read_to_string(site.path("gate.toml")).unwrap().contains("identity"), "{source}");
    }
    devices(&at("v4l:/dev/null"), &["--usbguard"]).refused(3, &["is no USB camera"]);
    devices(&at("v4l:/dev/null"), &["--write"]).refused(2, &["--pin"]);
}

#[test]
fn an_identity_that_names_no_camera_keeps_the_gate_from_starting() {
    for identity in ["usb:046d:0825", "usb:46d:825:A@1"] {
        let mut table = toml! { [camera] };
        table["camera"].as_table_mut().unwrap().insert("identity".into(), identity.into());
        let site = Site::enrolled().with(table);
        let answer: Answer = site.daemon(&["run", "--camera", "v4l:/dev/null"]).output().unwrap().into();
        answer.refused(2, &["identity", "gate-daemon devices --pin"]);
        assert!(!Path::new(&site.path("relay.jsonl")).exists() || site.relay().iter().all(|change| !change.on));
    }
}
