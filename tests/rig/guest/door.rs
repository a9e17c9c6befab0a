//! Who gets in and who does not.

use super::gate::{journal_mark, mark, property, scrape, sh, since, systemctl, tool, wait_event, wait_told};
use super::{PULSE_MAX_MS, PULSE_MS, Rig, shared};
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::toml;

/// How long may pass until something that a promise gives a second to; a machine under load is slower.
pub const SOON: Duration = Duration::from_secs(3);

/// Longer than the rest that the rig configures.
const REST: Duration = Duration::from_millis(3_500);

/// A visit of somebody who is let in.
pub struct Visit {
    /// From the first frame with them in it to the relay.
    pub to_relay: Duration,
    /// How long the relay was on.
    pub pulse: Duration,
}

impl Visit {
    /// In words.
    pub fn told(&self) -> String {
        format!("relay {} ms after the first frame, on for {} ms", self.to_relay.as_millis(), self.pulse.as_millis())
    }
}

/// Insists that a clip's person is let in once, for one pulse.
#[track_caller]
pub fn visit(rig: &Rig, clip: &str) -> Visit {
    // Who was let in just now is let in again after a rest only, and a face has to leave before it can come.
    rig.camera.nobody();
    let rested = rig.wire.edges().last().map_or(REST, |edge| edge.at.elapsed());
    sleep(REST.saturating_sub(rested).max(Duration::from_millis(700)));
    let (before, edges) = (mark(), rig.wire.mark());
    let came = rig.camera.play(clip);
    let patience = rig.camera.length(clip) + SOON;
    let on =
        rig.wire.wait(edges, true, patience).unwrap_or_else(|| panic!("{clip} did not open: {:#?}", since(before)));
    let off = rig.wire.wait(edges, false, Duration::from_millis(PULSE_MAX_MS)).expect("the relay stays on");
    let pulse = off - on;
    let (_, at_most) = rig.wire.pulse(edges);
    assert!(at_most >= Duration::from_millis(PULSE_MS) / 2, "the pulse was cut to {at_most:?}");
    sleep(patience.saturating_sub(came.elapsed()).saturating_sub(SOON));
    assert_eq!(rig.wire.openings(edges), 1, "one visit, one opening: {:#?}", since(before));
    let granted: Vec<String> =
        since(before).iter().filter(|e| e.kind() == "granted").map(|e| e.text("person").to_owned()).collect();
    assert_eq!(granted.len(), 1, "{granted:?}");
    Visit { to_relay: on - came, pulse }
}

pub fn opens(rig: &mut Rig) -> String {
    rig.ana_comes_in().told()
}

pub fn opens_by_nokhwa(rig: &mut Rig) -> String {
    rig.start_with(toml! {
        [camera]
        source = "nokhwa:10"
    });
    rig.ana_comes_in().told()
}

pub fn never_opens(rig: &mut Rig) -> String {
    let (before, edges) = (mark(), rig.wire.mark());
    sleep(Duration::from_secs(1));
    assert_eq!(since(before).len(), 0, "nobody is no event");
    for (clip, reason) in [("ben", "Unknown"), ("phone", "PresentationAttack"), ("paper", "PresentationAttack")] {
        let before = mark();
        rig.camera.play(clip);
        wait_event(before, clip, |event| event.is_refused(reason));
        sleep(rig.camera.length(clip));
    }
    assert_eq!(rig.wire.openings(edges), 0, "{:#?}", since(before));
    "3 clips refused by their reason, 0 openings".into()
}

pub fn enrolled_while_running(rig: &mut Rig) -> String {
    let (before, edges) = (mark(), rig.wire.mark());
    rig.camera.keep_playing("ben-stands");
    wait_event(before, "the stranger's refusal", |event| event.is_refused("Unknown"));
    tool(&["add", "--id", "ben", "--name", "Ben", shared("samples/biden.jpg").to_str().unwrap()]).done();
    let done = Instant::now();
    let on = rig.wire.wait(edges, true, SOON).unwrap_or_else(|| panic!("not within {SOON:?}: {:#?}", since(before)));
    format!("relay {} ms after enroll-tool had ended", on.saturating_duration_since(done).as_millis())
}

pub fn suspended_and_expired(rig: &mut Rig) -> String {
    let edges = rig.wire.mark();
    // Each act is waited for: two in a row would be one change of the gallery, or two.
    let change = |act: &[&str]| {
        let before = mark();
        tool(act).done();
        wait_event(before, "the changed gallery", |event| event.kind() == "gallery");
    };
    let refused = |reason: &str| {
        let before = mark();
        rig.camera.play("ben");
        wait_event(before, reason, |event| event.is_refused(reason));
        sleep(rig.camera.length("ben"));
    };
    change(&["suspend", "ben"]);
    refused("Suspended");
    change(&["set", "ben", "--valid-until", "2020-01-31"]);
    change(&["resume", "ben"]);
    refused("Expired");
    assert_eq!(rig.wire.openings(edges), 0);
    tool(&["remove", "ben", "--yes"]).done();
    "refused by name, 0 openings".into()
}

pub fn reload(rig: &mut Rig) -> String {
    let config = "/etc/face-gate/gate.toml";
    let good = std::fs::read_to_string(config).unwrap();
    let (pid, before) = (property("MainPID"), mark());
    std::fs::write(config, good.replace("regrant_after_ms = 3000", "regrant_after_ms = 2900")).unwrap();
    systemctl("reload").done();
    wait_event(before, "the new configuration", |event| event.kind() == "config" && event.text("state") == "loaded");
    let told = journal_mark();
    std::fs::write(config, good.replace("regrant_after_ms", "regrant_afer_ms")).unwrap();
    let before = mark();
    // What systemctl says of a reload that kept the old one differs with its version; the gate's word counts.
    systemctl("reload");
    wait_event(before, "the bad configuration", |event| event.kind() == "config" && event.text("state") == "kept");
    wait_told(&told, &["regrant_afer_ms", "gate.toml"]);
    let visit = rig.ana_comes_in();
    std::fs::write(config, good).unwrap();
    systemctl("reload").done();
    assert_eq!(property("MainPID"), pid, "it is the same process");
    visit.told()
}

pub fn pulse_of_the_maximum(rig: &mut Rig) -> String {
    rig.start_with(toml! {
        [relay]
        pulse_ms = 900
        pulse_max_ms = 900
    });
    let before = mark();
    let visit = rig.ana_comes_in();
    let faults = since(before).iter().filter(|event| event.is_fault("relay", true)).count();
    assert_eq!(faults, 0, "{:#?}", since(before));
    visit.told()
}

pub fn metrics_and_status(rig: &mut Rig) -> String {
    rig.start_with(toml! {
        [metrics]
        listen = "unix:/run/face-gate/metrics.sock"
    });
    rig.ana_comes_in();
    let status = property("StatusText");
    for word in ["1 enrolled", "frames a second", "granted"] {
        assert!(status.contains(word), "{word:?} is not in {status:?}");
    }
    assert!(!status.contains("ana"), "{status}");
    let scraped = scrape("/run/face-gate/metrics.sock");
    for word in ["frames", "granted"] {
        assert!(scraped.contains(word), "{word:?} is not in {scraped}");
    }
    assert!(!scraped.contains("ana"), "{scraped}");
    status
}

/// Over everything that has happened to the gate until now.
pub fn every_opening_was_granted(rig: &mut Rig) -> String {
    // The journal and not the event log: that one was full, read-only and put back meanwhile.
    let journal = sh("journalctl -q --no-pager -o cat -t gate-daemon").done();
    let granted = journal.lines().filter(|line| *line == "granted").count();
    let openings = rig.wire.openings(0);
    assert!(openings <= granted, "the line went on {openings} times, for {granted} grants");
    let longest = rig.wire.pulses().into_iter().max().unwrap_or_default();
    assert!(longest <= Duration::from_millis(PULSE_MAX_MS), "the line was on for {longest:?}");
    format!("{openings} openings, {granted} grants; the longest {} ms", longest.as_millis())
}
