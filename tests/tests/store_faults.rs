//! The store is taken away, damaged or exchanged while the gate runs: locked until it can be read, then at work again.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::daemon::PATIENCE;
use gate_tests::site::copy_folder;
use gate_tests::{Daemon, Look, Portrait, Scene, Site};
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};
use toml::toml;

/// A gate whose one enrolled person comes and goes without end.
fn busy_gate() -> (Site, Daemon) {
    let site = Site::enrolled().looping().with(toml! {
        [relay]
        pulse_ms = 300
        [policy]
        regrant_after_ms = 500
        track_lost_ms = 200
        refuse_after_ms = 300
    });
    let person = Look::new(Portrait::Obama2, 130.0);
    Scene::new().stay(1_000, &[person]).nobody(400).write(&site.path("frames"));
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "a grant", |event| event.is_granted("obama"));
    (site, daemon)
}

/// Nobody is let in from the fault on, for longer than the person takes to come round again.
fn stays_locked(site: &Site, daemon: &mut Daemon, from: usize) {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(2_500) {
        std::thread::sleep(Duration::from_millis(50));
        daemon.is_running();
    }
    let log = site.log();
    let fault = log.0.iter().skip(from).position(|event| event.is_fault("store", true)).expect("the fault") + from;
    let after: Vec<_> = log.0[fault..].iter().filter(|event| event.kind() == "granted").collect();
    assert!(after.is_empty(), "{after:#?}");
    assert!(!site.relay().last().unwrap().on);
}

#[test]
fn a_store_that_is_taken_away_locks_and_comes_back() {
    let (site, mut daemon) = busy_gate();
    let before = daemon.mark();
    fs::rename(site.path("store"), site.path("away")).unwrap();
    daemon.wait_for(before, "the fault", |event| event.is_fault("store", true));
    stays_locked(&site, &mut daemon, before);

    let before = daemon.mark();
    fs::rename(site.path("away"), site.path("store")).unwrap();
    daemon.wait_for(before, "the end of the fault", |event| event.is_fault("store", false));
    daemon.wait_for(before, "a grant", |event| event.is_granted("obama"));
    daemon.stop().done();
}

#[test]
fn a_store_that_is_damaged_locks_and_a_backup_helps() {
    let (site, mut daemon) = busy_gate();
    copy_folder(&site.path("store"), &site.path("backup"));
    let before = daemon.mark();
    let file = OpenOptions::new().write(true).open(site.path("store/people.db")).unwrap();
    file.write_all_at(&[0xa5; 20_000], 0).unwrap();
    file.sync_all().unwrap();
    daemon.wait_for(before, "the fault", |event| event.is_fault("store", true));
    stays_locked(&site, &mut daemon, before);

    let before = daemon.mark();
    fs::remove_dir_all(site.path("store")).unwrap();
    copy_folder(&site.path("backup"), &site.path("store"));
    daemon.wait_for(before, "the end of the fault", |event| event.is_fault("store", false));
    daemon.wait_for(before, "a grant", |event| event.is_granted("obama"));
    daemon.stop().done();
}

#[test]
fn a_store_that_is_exchanged_counts_at_once() {
    // Restoring a backup puts another file in place of the one the daemon has open.
    let (site, mut daemon) = busy_gate();
    let other = Site::empty();
    copy_folder(&other.path("store"), &site.path("restored"));
    let before = daemon.mark();
    fs::rename(site.path("store"), site.path("away")).unwrap();
    fs::rename(site.path("restored"), site.path("store")).unwrap();
    let nobody = |event: &gate_tests::Event| event.kind() == "gallery" && event.0["people"] == 0;
    daemon.wait_for(before, "the other gallery", nobody);
    let before = daemon.mark();
    daemon.wait_for(before, "the refusal", |event| event.is_refused("Unknown"));
    assert!(PATIENCE > Duration::from_secs(1));
    daemon.stop().done();
    assert!(site.log().0[before..].iter().all(|event| event.kind() != "granted"), "{:#?}", site.log());
}
