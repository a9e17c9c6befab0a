//! Whatever is missing, damaged or wrong: the gate says what, where and what to do, and stays locked.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::programs::models_of_its_own;
use gate_tests::{Answer, Daemon, Look, Portrait, Scene, Site};
use std::fs;
use std::thread::sleep;
use std::time::Duration;
use toml::{Table, toml};

/// The exit code of a fault of the system.
const FAULT: i32 = 3;

/// A site whose enrolled person stands in front of the camera for long enough to be let in.
fn somebody_waits() -> Site {
    let site = Site::enrolled();
    Scene::new().stay(1_000, &[Look::new(Portrait::Obama3, 120.0)]).write(&site.path("frames"));
    site
}

/// The daemon does not start, and the relay was never on.
fn does_not_start(site: &Site, words: &[&str]) {
    let played = site.replay(&[]);
    played.answer.refused(FAULT, words);
    assert!(played.relay.iter().all(|change| !change.on), "{:?}", played.relay);
    assert_eq!(played.log.granted(), [""; 0]);
}

fn vision(key: &str, value: &str) -> Table {
    let mut table = Table::new();
    table.insert("vision".into(), Table::from_iter([(key.to_owned(), value.into())]).into());
    table
}

#[test]
fn the_waiting_person_would_be_let_in() {
    let played = somebody_waits().replay(&[]);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["obama"], "the other tests here prove something");
}

#[test]
fn a_daemon_killed_in_a_pulse_is_locked_by_the_stop_path() {
    let site = somebody_waits().looping().with_long_pulses();
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the pulse", |event| event.is_relay(true));
    daemon.kill();
    assert!(site.relay().last().unwrap().on, "nothing has locked it yet: {:?}", site.relay());
    let answer: Answer = site.daemon(&["relay", "lock"]).output().unwrap().into();
    answer.done();
    assert!(answer.stdout.contains("locked"), "{answer:?}");
    assert!(!site.relay().last().unwrap().on, "{:?}", site.relay());
}

#[test]
fn the_stop_path_locks_the_line_that_was_driven_whatever_the_configuration_says_by_then() {
    let site = somebody_waits().looping().with_long_pulses();
    let run = site.path("run");
    fs::create_dir(&run).unwrap();
    let mut command = site.daemon(&["run"]);
    command.env("RUNTIME_DIRECTORY", &run);
    let mut daemon = Daemon::start(command, &site);
    daemon.wait_for(0, "the pulse", |event| event.is_relay(true));
    daemon.kill();
    let driven = |site: &Site| site.relay().last().unwrap().on;
    assert!(driven(&site), "nothing has locked it yet: {:?}", site.relay());

    // Without the note the broken configuration says nothing of any line.
    let mut command = site.daemon(&["relay", "lock"]);
    let config = site.path("gate.toml");
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, "[relay\n").unwrap();
    let answer: Answer = command.output().unwrap().into();
    answer.refused(2, &["gate.toml:1"]);
    assert!(driven(&site));
    // With it, that line is locked.
    let answer: Answer = command.env("RUNTIME_DIRECTORY", &run).output().unwrap().into();
    answer.done();
    assert!(answer.stdout.contains("locked") && answer.stderr.contains("gate.toml:1"), "{answer:?}");
    assert!(!driven(&site), "{:?}", site.relay());

    // Another line by now: both of them.
    fs::write(&config, good.replace("relay.jsonl", "other.jsonl")).unwrap();
    let answer: Answer = command.output().unwrap().into();
    answer.done();
    assert_eq!(answer.stdout.matches("locked").count(), 2, "{answer:?}");
    // One that cannot be had: named, and the driven one is locked all the same.
    fs::write(&config, good.replace("relay.jsonl", "no/such/folder/relay.jsonl")).unwrap();
    let answer: Answer = command.output().unwrap().into();
    answer.refused(FAULT, &["not everything is locked", "no/such/folder"]);
    assert!(answer.stdout.contains("relay.jsonl: locked"), "{answer:?}");
}

#[test]
fn the_installers_pulse_ends_locked_and_keeps_to_the_maximum() {
    let site = Site::new().with(toml! {
        [relay]
        pulse_ms = 100
        pulse_max_ms = 300
    });
    let answer: Answer = site.daemon(&["relay", "pulse", "--ms", "5000"]).output().unwrap().into();
    answer.done();
    let relay = site.relay();
    let states: Vec<_> = relay.iter().map(|change| change.on).collect();
    assert_eq!(states, [false, true, false]);
    let on_ms = relay[2].mono_ms - relay[1].mono_ms;
    assert!((250..2_000).contains(&on_ms), "asked for 5000 ms, allowed are 300: {relay:?}");
}

#[test]
fn a_damaged_model_is_named_and_never_used() {
    for file in ["face_detection_yunet_2023mar.onnx", "face_recognition_sface_2021dec.onnx"] {
        let site = somebody_waits();
        let copy = site.path("models");
        models_of_its_own(&copy);
        let damaged = copy.join("cache").join(file);
        let mut bytes = fs::read(&damaged).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::remove_file(&damaged).unwrap();
        fs::write(&damaged, bytes).unwrap();
        let site = site.with(vision("models", copy.to_str().unwrap()));
        does_not_start(&site, &[damaged.to_str().unwrap(), "damaged", "make setup"]);

        fs::remove_file(&damaged).unwrap();
        does_not_start(&site, &[damaged.to_str().unwrap(), "missing", "make setup"]);
    }
}

#[test]
fn a_missing_or_wrong_runtime_is_named() {
    let site = somebody_waits();
    let library = site.path("libonnxruntime.so");
    let site = site.with(vision("runtime", library.to_str().unwrap()));
    does_not_start(&site, &[library.to_str().unwrap(), "ONNX Runtime", "make setup"]);
    fs::write(&library, "no library").unwrap();
    does_not_start(&site, &[library.to_str().unwrap(), "ONNX Runtime", "cannot be used"]);
}

#[test]
fn a_missing_store_says_how_to_make_one() {
    let site = somebody_waits();
    fs::remove_dir_all(site.path("store")).unwrap();
    does_not_start(&site, &[site.path("store").to_str().unwrap(), "enroll-tool init"]);

    let site = somebody_waits();
    fs::remove_file(site.path("store/people.db")).unwrap();
    does_not_start(&site, &[site.path("store/people.db").to_str().unwrap(), "enroll-tool init"]);
}

#[test]
fn the_key_of_another_site_opens_nothing() {
    let (site, other) = (somebody_waits(), Site::empty());
    fs::remove_file(site.path("store/site.key")).unwrap();
    fs::copy(other.path("store/site.key"), site.path("store/site.key")).unwrap();
    does_not_start(&site, &["site key", site.path("store/people.db").to_str().unwrap(), "backup"]);
}

#[test]
fn a_typo_in_the_configuration_is_shown_with_the_right_word() {
    let site = somebody_waits();
    let config = site.write_config();
    let text = fs::read_to_string(&config).unwrap().replace("pulse_ms", "puls_ms");
    let line = 1 + text.lines().position(|line| line.starts_with("puls_ms")).unwrap();
    fs::write(&config, text).unwrap();
    let mut command = site.daemon(&["run"]);
    // Starting it has written the right configuration again.
    fs::write(&config, fs::read_to_string(&config).unwrap().replace("pulse_ms", "puls_ms")).unwrap();
    let answer: Answer = command.output().unwrap().into();
    assert!(answer.code.is_some_and(|code| code != 0), "{answer:?}");
    for word in [&format!("gate.toml:{line}:1"), "puls_ms", "^^^", "pulse_ms"] {
        assert!(answer.stderr.contains(word), "{word} is not in {}", answer.stderr);
    }
    assert_eq!(site.relay(), [], "nothing was opened");
}

#[test]
fn a_relay_that_cannot_be_had_stops_the_gate_from_starting() {
    let site = somebody_waits().with(toml! {
        [relay]
        trace = "no/such/folder/relay.jsonl"
    });
    does_not_start(&site, &["relay", "no/such/folder/relay.jsonl"]);
}

#[test]
fn an_event_log_that_cannot_be_had_stops_the_gate_from_starting() {
    let site = somebody_waits().with(toml! {
        [events]
        file = "no/such/folder/events.jsonl"
    });
    does_not_start(&site, &["no/such/folder/events.jsonl", "[events] file"]);
}

#[test]
fn a_full_event_log_is_told_and_the_gate_works_on() {
    let played = somebody_waits().replay(&["--events", "/dev/full"]);
    played.answer.refused(FAULT, &["events cannot be written", "/dev/full", "the log is not complete"]);
    let on: Vec<bool> = played.relay.iter().map(|change| change.on).collect();
    assert_eq!(on, [false, true, false], "the person was let in all the same, and the gate locked");
}

#[test]
fn recorded_faces_never_drive_a_real_relay() {
    let site = somebody_waits();
    let mut command = site.daemon(&["run"]);
    let config = site.path("gate.toml");
    let text = fs::read_to_string(&config).unwrap();
    let real: String = text.lines().filter(|line| !line.starts_with("trace")).map(|line| format!("{line}\n")).collect();
    let real = real.replace("driver = \"simulated\"", "driver = \"gpiocdev\"\nchip = \"/dev/no-such-chip\"");
    assert!(real.contains("gpiocdev"), "{real}");
    fs::write(&config, real).unwrap();
    let answer: Answer = command.output().unwrap().into();
    // A chip that is not there would have been a fault, had it been opened.
    assert!(answer.is_done() && answer.stderr.contains("the relay is simulated"), "{answer:?}");
    assert_eq!(site.log().granted(), ["obama"]);
}

#[test]
fn a_replay_that_is_not_there_is_told_at_once() {
    let site = Site::enrolled();
    does_not_start(&site, &[site.path("frames").to_str().unwrap(), "No such file"]);
}

#[test]
fn a_camera_that_is_missing_is_waited_for() {
    let site = Site::enrolled();
    let device = site.path("camera");
    let mut daemon = site.start(&["--camera", &format!("v4l:{}", device.display())]);
    let (lost, _) = daemon.wait_for(0, "the loss", |event| event.is_camera("lost"));
    assert!(lost.text("detail").contains(device.to_str().unwrap()), "{lost:?}");
    daemon.wait_for(0, "the fault", |event| event.is_fault("camera", true));
    sleep(Duration::from_secs(2));
    daemon.is_running();
    // Something appears under its name: that the complaint changes shows that it is opened again and again.
    let before = daemon.mark();
    fs::write(&device, "no camera").unwrap();
    let (lost, _) = daemon.wait_for(before, "another attempt", |event| event.is_camera("lost"));
    assert!(lost.text("detail").contains(device.to_str().unwrap()), "{lost:?}");
    daemon.is_running();
    daemon.stop().done();
    assert!(site.relay().iter().all(|change| !change.on), "{:?}", site.relay());
}
