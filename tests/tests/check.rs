//! The doctor walks the installer, and does no harm beside a running gate.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::{Answer, Daemon, Look, Portrait, Scene, Site};
use std::fs;
use std::process::{Command, Stdio};
use toml::toml;

fn asked(mut command: Command) -> Answer {
    command.output().unwrap().into()
}

/// One finding's line, and whether it is sound.
fn finding(answer: &Answer, what: &str) -> (bool, String) {
    let json = answer.json();
    let found = json["checks"].as_array().unwrap().iter().find(|check| check["what"] == what).unwrap().clone();
    let text = found["found"].as_str().or(found["error"].as_str()).unwrap().to_owned();
    (found["ok"].as_bool().unwrap(), text)
}

fn next(answer: &Answer) -> Vec<String> {
    answer.json()["next"].as_array().unwrap().iter().map(|step| step.as_str().unwrap().to_owned()).collect()
}

/// Each of `words` stands in a step of its own, in this order, and there are no more.
fn steps(answer: &Answer, words: &[&str]) {
    let steps = next(answer);
    assert_eq!(steps.len(), words.len(), "{steps:#?}");
    for (step, word) in steps.iter().zip(words) {
        assert!(step.contains(word), "{word:?} is not in {step:?}");
    }
}

#[test]
fn a_new_site_is_walked_step_by_step() {
    let site = Site::new().with(toml! {
        [camera]
        source = "v4l:/dev/no-such-camera"
    });
    let answer = asked(site.daemon(&["check", "--json"]));
    assert_eq!(answer.code, Some(1), "{answer:?}");
    assert!(!finding(&answer, "camera").0 && !finding(&answer, "store").0, "{answer:?}");
    let config = site.path("gate.toml");
    steps(&answer, &["gate-daemon devices", config.to_str().unwrap(), "enroll-tool init", "enroll-tool add", "check"]);

    let site = Site::enrolled();
    Scene::new().nobody(400).write(&site.path("frames"));
    let answer = asked(site.daemon(&["check", "--json"]));
    answer.done();
    steps(&answer, &["[camera] source", "a simulated relay opens nothing", "systemctl enable --now gate-daemon"]);
    let words = asked(site.daemon(&["check"]));
    words.done();
    assert!(words.stdout.contains("what to do next:\n  1. "), "{}", words.stdout);

    let mut command = site.daemon(&["check", "--json"]);
    fs::write(site.path("gate.toml"), "[relay\n").unwrap();
    let answer: Answer = command.output().unwrap().into();
    assert_eq!(answer.code, Some(1), "{answer:?}");
    steps(&answer, &["correct the configuration"]);
}

#[test]
fn beside_a_running_gate_nothing_is_touched_and_nothing_fails() {
    let site = Site::enrolled().looping().with_long_pulses();
    Scene::new().stay(1_000, &[Look::new(Portrait::Obama3, 120.0)]).write(&site.path("frames"));
    let run = site.path("run");
    fs::create_dir(&run).unwrap();
    let mut command = site.daemon(&["run"]);
    command.env("RUNTIME_DIRECTORY", &run);
    let mut daemon = Daemon::start(command, &site);
    daemon.wait_for(0, "the pulse", |event| event.is_relay(true));
    let before = site.relay();
    let mut command = site.daemon(&["check", "--json"]);
    command.env("RUNTIME_DIRECTORY", &run);
    let answer = asked(command);
    answer.done();
    let (sound, relay) = finding(&answer, "relay");
    assert!(sound && relay.contains("in use by the running gate"), "{relay}");
    assert!(relay.contains(&daemon.pid().to_string()), "{relay}");
    assert_eq!(site.relay(), before, "somebody walks in just now: the door stays as it is");
    assert!(next(&answer).iter().any(|step| step.contains("the gate runs")), "{answer:?}");
    daemon.is_running();
    daemon.stop().done();

    // A note that outlived its writer is no running gate.
    let mut command = site.daemon(&["check", "--json"]);
    command.env("RUNTIME_DIRECTORY", &run);
    let answer = asked(command);
    answer.done();
    assert!(!finding(&answer, "relay").1.contains("in use"), "{answer:?}");
}

#[test]
fn a_listing_whose_reader_has_gone_ends_without_a_word() {
    let site = Site::new();
    let mut child = site.daemon(&["check"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
