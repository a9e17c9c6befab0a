//! People change while the gate runs: nobody restarts anything, and each change counts within a second.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::daemon::PATIENCE;
use gate_tests::programs::sample;
use gate_tests::{Daemon, Event, Look, Portrait, Scene, Site};
use std::time::Duration;

/// The promise.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);
/// A new track, its evidence, and the time that a reason must stand, on top of it.
const ACTED_ON_WITHIN: Duration = Duration::from_secs(3);

/// Changes the store with the staff's tool, and sees the gate notice it and act on it.
fn change(site: &Site, daemon: &mut Daemon, args: &[&str], people: u64, then: impl Fn(&Event) -> bool) -> Event {
    let before = daemon.mark();
    site.tool(args).done();
    let loaded = |event: &Event| event.kind() == "gallery" && event.0["people"] == people;
    let (gallery, took) = daemon.wait_for(before, "the new gallery", loaded);
    assert!(took <= NOTICED_WITHIN, "{args:?} was noticed after {took:?}");
    // What is decided from here on goes by the new gallery.
    let at = site.log().0.iter().position(|event| *event == gallery).unwrap();
    let (event, took) = daemon.wait_for(at, &format!("what follows from {args:?}"), then);
    assert!(took <= ACTED_ON_WITHIN, "{args:?} was acted on after {took:?}");
    event
}

#[test]
fn who_is_enrolled_suspended_expired_or_erased_counts_at_once() {
    let site = Site::empty().busy();
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the stranger's refusal", |event| event.is_refused("Unknown"));

    let photo = sample("obama.jpg");
    let add = ["add", "--id", "obama", "--name", "Barack", photo.to_str().unwrap()];
    change(&site, &mut daemon, &add, 1, |event| event.is_granted("obama"));

    let refused = change(&site, &mut daemon, &["suspend", "obama"], 1, |event| event.is_refused("Suspended"));
    assert_eq!(refused.text("person"), "obama", "the officer can see whose admission it is");
    let before = daemon.mark();
    change(&site, &mut daemon, &["resume", "obama"], 1, |event| event.is_granted("obama"));
    let unknown = site.log().0[before..].iter().filter(|event| event.is_refused("Unknown")).count();
    assert_eq!(unknown, 0, "a change of the gallery never makes a stranger of anybody: {:#?}", site.log());

    let past = ["set", "obama", "--valid-until", "2020-01-31"];
    change(&site, &mut daemon, &past, 1, |event| event.is_refused("Expired"));
    let future = ["set", "obama", "--valid-until", "none", "--valid-from", "2999-01-01"];
    change(&site, &mut daemon, &future, 1, |event| event.is_refused("NotYetValid"));
    let before = daemon.mark();
    change(&site, &mut daemon, &["remove", "obama", "--yes"], 0, |event| event.is_refused("Unknown"));
    assert!(site.log().0[before..].iter().all(|event| event.kind() != "granted"), "{:#?}", site.log());
    daemon.stop().done();
}

#[test]
fn a_stop_in_the_middle_of_a_pulse_locks_first() {
    // A pulse that cannot be over by itself while the test runs.
    let site = Site::enrolled().looping().with_long_pulses();
    assert!(PATIENCE < Duration::from_secs(60));
    Scene::new().stay(1_000, &[Look::new(Portrait::Obama3, 120.0)]).write(&site.path("frames"));
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let before = site.log().0.len();
        let mut daemon = site.start(&[]);
        daemon.wait_for(before, "the pulse", |event| event.is_relay(true));
        daemon.end_by(signal).done();
        assert!(site.log().0.last().unwrap().is_relay(false), "{:#?}", site.log());
        assert!(!site.relay().last().unwrap().on, "{:#?}", site.relay());
    }
}
