//! What an owner's monitoring sees of a running gate: counts that agree with its event log, and nobody's identity.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::daemon::PATIENCE;
use gate_tests::programs::root;
use gate_tests::{Look, Portrait, Scene, Site};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};
use toml::toml;

/// Every sample by its name and labels.
type Samples = BTreeMap<String, f64>;

/// Scrapes, and holds the text to what OpenMetrics asks for.
fn scrape(socket: &Path) -> (String, Samples) {
    let mut client = UnixStream::connect(socket).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nAccept: */*\r\n\r\n").unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(head.contains("Content-Type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
    assert!(body.ends_with("# EOF\n"), "{body}");
    let mut samples = Samples::new();
    let mut types = BTreeSet::new();
    for line in body.lines() {
        if let Some(about) = line.strip_prefix("# TYPE ") {
            assert!(types.insert(about.split(' ').next().unwrap().to_owned()), "{about} twice");
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(types.iter().any(|family| name.starts_with(family.as_str())), "{line} is of no family");
        assert!(samples.insert(name.to_owned(), value.parse().unwrap()).is_none(), "{name} twice");
    }
    (body.to_owned(), samples)
}

/// Scrapes until a sample is at least this.
fn scrape_until(socket: &Path, name: &str, at_least: f64) -> (String, Samples) {
    let start = Instant::now();
    loop {
        let (text, samples) = scrape(socket);
        if samples[name] >= at_least {
            return (text, samples);
        }
        assert!(start.elapsed() < PATIENCE, "{name} does not come to {at_least}: {text}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Every name of a metric in a text.
fn names_in(text: &str) -> BTreeSet<String> {
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    text.split(word).filter(|word| word.starts_with("face_gate_")).map(str::to_owned).collect()
}

#[test]
fn what_monitoring_sees_agrees_with_the_event_log_and_names_nobody() {
    let site = Site::enrolled().looping().with(toml! {
        [relay]
        pulse_ms = 300
        [policy]
        track_lost_ms = 200
        [metrics]
        listen = "unix:metrics.sock"
    });
    let (ours, stranger) = (Look::new(Portrait::Obama3, 130.0), Look::new(Portrait::Biden, 130.0));
    Scene::new().stay(1_000, &[ours]).nobody(400).stay(1_200, &[stranger]).nobody(400).write(&site.path("frames"));
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the grant", |event| event.is_granted("obama"));
    daemon.wait_for(0, "the refusal", |event| event.is_refused("Unknown"));
    // The next grant needs a rest: until then the counts stand still.
    let socket = site.path("metrics.sock");
    let unknown = "face_gate_decisions_total{outcome=\"refused\",reason=\"Unknown\"}";
    let (text, samples) = scrape_until(&socket, unknown, 1.0);
    assert_eq!(samples["face_gate_decisions_total{outcome=\"granted\",reason=\"\"}"], 1.0, "{text}");
    assert_eq!(samples["face_gate_pulses_total"], 1.0, "{text}");
    assert_eq!(samples["face_gate_relay_on"], 0.0, "{text}");
    assert_eq!(samples["face_gate_people"], 1.0, "{text}");
    assert_eq!(samples["face_gate_camera_up"], 1.0, "{text}");
    assert_eq!(samples["face_gate_fault{fault=\"camera\"}"], 0.0, "{text}");
    assert_eq!(samples["face_gate_events_dropped_total"], 0.0, "{text}");
    let (frames, faces) = (samples["face_gate_frames_total"], samples["face_gate_faces_total"]);
    assert!(frames > faces && faces > 10.0, "{text}");
    let count = |stage: &str| samples[&format!("face_gate_stage_seconds_count{{stage=\"{stage}\"}}")];
    assert_eq!((count("frame"), count("detect")), (frames, frames), "{text}");
    assert!(count("encode") > 0.0 && count("encode") <= faces && count("liveness") > 0.0, "{text}");
    assert!(samples["face_gate_stage_seconds_sum{stage=\"frame\"}"] > 0.0, "{text}");

    let (_, later) = scrape_until(&socket, "face_gate_frames_total", frames + 5.0);
    assert!(later["face_gate_faces_total"] >= faces);
    // No id, no name, nothing that a likeness could be read off.
    for word in ["obama", "Barack", "tau", "d2", "score", "similar"] {
        assert!(!text.contains(word), "{word} stands in {text}");
    }
    daemon.stop().done();
    assert!(!socket.exists(), "the socket goes with the gate");
}

#[test]
fn the_ready_made_board_asks_for_what_the_gate_exports_and_for_all_of_it() {
    let site = Site::enrolled().looping().with(toml! {
        [metrics]
        listen = "unix:metrics.sock"
    });
    Scene::new().nobody(400).write(&site.path("frames"));
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the start", |event| event.is_camera("opened"));
    let (_, samples) = scrape_until(&site.path("metrics.sock"), "face_gate_frames_total", 1.0);
    daemon.stop().done();
    let exported: BTreeSet<String> = samples.keys().map(|name| name.split('{').next().unwrap().to_owned()).collect();
    let board = fs::read_to_string(root().join("docs/grafana/face-gate.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&board).unwrap();
    assert!(parsed["panels"].as_array().unwrap().len() > 5);
    let asked = names_in(&board);
    assert!(asked.is_subset(&exported), "the board asks for {:?}", asked.difference(&exported));
    let is_part = |name: &&String| name.ends_with("_seconds_sum") || name.ends_with("_seconds_count");
    let forgotten: Vec<_> = exported.difference(&asked).filter(|name| !is_part(name)).collect();
    assert!(forgotten.is_empty(), "the board shows nothing of {forgotten:?}");
}

#[test]
fn metrics_are_off_unless_asked_for_and_a_socket_that_cannot_be_had_keeps_nobody_outside() {
    let scene = Scene::new().stay(1_000, &[Look::new(Portrait::Obama3, 120.0)]);
    let played = Site::enrolled().play(&scene);
    assert!(!played.answer.stderr.contains("metrics"), "{}", played.answer.stderr);
    let played = Site::enrolled()
        .with(toml! {
            [metrics]
            listen = "unix:no/such/folder/metrics.sock"
        })
        .play(&scene);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["obama"]);
    assert!(played.answer.stderr.contains("the metrics are not served"), "{}", played.answer.stderr);
}
