//! Disks and clocks.

use super::door::SOON;
use super::gate::{EVENTS, journal_mark, mark, pid, property, sh, since, tool, wait_event, wait_ready, wait_told};
use super::{PULSE_MS, Rig, shared};
use std::fs;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, SystemTime};
use toml::toml;

const DIR: &str = "/var/lib/face-gate";

pub fn disk_full(rig: &mut Rig) -> String {
    let before = mark();
    // A small disk of its own, so that the guest itself goes on.
    sh(&format!(
        "systemctl stop gate-daemon && mkdir -p /run/rig && cp -a {DIR} /run/rig/kept && cp -a {DIR}-anchor /run/rig/ && mount -t tmpfs -o size=3M,mode=0700 \
         none {DIR} && chown face-gate:face-gate {DIR} && cp -a /run/rig/kept/. {DIR}/ && systemctl start gate-daemon"
    ))
    .done();
    wait_ready(0);
    wait_event(before, "the first frame", |event| event.is_camera("opened"));
    fill_the_last_page();
    let (told, people) = (journal_mark(), tool(&["list", "--json"]).done());
    sh(&format!("dd if=/dev/zero of={DIR}/filler bs=4k; sync"));
    let answer = tool(&["add", "--id", "ben", "--name", "Ben", shared("samples/biden.jpg").to_str().unwrap()]);
    assert!(!answer.ok && answer.said.contains("make room"), "{}", answer.said);
    // The person outside is let in all the same; the relay's wire tells, as the log cannot.
    let edges = rig.wire.mark();
    rig.camera.play("ana");
    rig.wire.wait(edges, true, rig.camera.length("ana") + SOON).expect("a full disk must not keep Ana out");
    wait_told(&told, &["events cannot be written"]);
    fs::remove_file(format!("{DIR}/filler")).unwrap();
    assert_eq!(tool(&["list", "--json"]).done(), people, "nobody is lost, nobody half there");
    sleep(rig.camera.length("ana"));
    rig.ana_comes_in();
    wait_told(&told, &["events are written again"]);
    // The store below is the older one now: its anchor goes back with it.
    sh(&format!(
        "systemctl stop gate-daemon && umount {DIR} && cp -a /run/rig/face-gate-anchor/. {DIR}-anchor/ && \
         systemctl start gate-daemon"
    ))
    .done();
    wait_ready(0);
    "she is let in; told; enrolling is refused and loses nobody; written again when there is room".into()
}

/// A file's last page is the file's own, full disk or not: its room is taken by blanks behind the last event, which are
/// no part of it.
fn fill_the_last_page() {
    const PAGE: usize = 4096;
    let text = fs::read_to_string(EVENTS).unwrap();
    let last = text.lines().next_back().unwrap();
    let room = PAGE - text.len() % PAGE;
    let room = if room > last.len() { room } else { room + PAGE };
    let line = format!("{last:<width$}\n", width = room - 1);
    fs::File::options().append(true).open(EVENTS).unwrap().write_all(line.as_bytes()).unwrap();
}

pub fn read_only(rig: &mut Rig) -> String {
    let told = journal_mark();
    sh(&format!("mount --bind {DIR} {DIR} && mount -o remount,ro,bind {DIR}")).done();
    let answer = tool(&["suspend", "ana"]);
    assert!(!answer.ok, "{}", answer.said);
    let edges = rig.wire.mark();
    rig.camera.play("ana");
    rig.wire.wait(edges, true, rig.camera.length("ana") + SOON).expect("a read-only disk must not keep Ana out");
    sleep(rig.camera.length("ana"));
    // A gate that starts on such a disk says what is wrong and stays locked, or opens for its people: never in between.
    let old = pid();
    super::gate::systemctl("restart --no-block").done();
    let (edges, before) = (rig.wire.mark(), mark());
    wait_told(&told, &["Read-only"]);
    sh(&format!("umount {DIR}")).done();
    wait_ready(old);
    assert_eq!(rig.wire.openings(edges), 0, "{:#?}", since(before));
    rig.ana_comes_in();
    "a running gate goes on; a starting one says so and stays locked; over when the disk is back".into()
}

pub fn damaged(rig: &mut Rig) -> String {
    let file = format!("{DIR}/people.db");
    tool(&["list"]).done();
    sh(&format!("systemctl stop gate-daemon; cp -a {DIR} /run/store-kept; systemctl start gate-daemon")).done();
    wait_ready(0);
    let (before, edges) = (mark(), rig.wire.mark());
    // As a failing card does: pages of the file turn to noise under the running gate.
    sh(&format!("dd if=/dev/urandom of={file} bs=4096 count=6 conv=notrunc")).done();
    tool(&["suspend", "ana"]);
    rig.camera.play("ana");
    wait_event(before, "the store's fault", |event| event.is_fault("store", true));
    let openings = rig.wire.openings(edges);
    rig.camera.play("ana");
    sleep(rig.camera.length("ana") + Duration::from_millis(PULSE_MS));
    assert_eq!(rig.wire.openings(edges), openings, "it opens by a store that it cannot read");
    let before = mark();
    sh(&format!("systemctl stop gate-daemon; rm -rf {DIR}/people.db* ; cp -a /run/store-kept/people.* {DIR}/; systemctl start gate-daemon"))
        .done();
    wait_ready(0);
    wait_event(before, "the gallery", |event| event.kind() == "gallery");
    rig.ana_comes_in();
    "locked until a whole one was back".into()
}

pub fn clock_stepped(rig: &mut Rig) -> String {
    const HOURS: i64 = 30;
    // A clock before 2020 would be no test of a gate; a machine's clock is set right when there is a network.
    let tomorrow = SystemTime::now() + Duration::from_secs(24 * 3600);
    let day =
        sh(&format!("date -d @{} +%F", tomorrow.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())).done();
    let edges = rig.wire.mark();
    tool(&["set", "ana", "--valid-until", day.trim()]).done();
    sleep(Duration::from_millis(500));
    let before = rig.ana_comes_in();
    rig.start_with(toml! {
        [relay]
        pulse_ms = 1500
    });
    let (log, edges_now) = (mark(), rig.wire.mark());
    rig.camera.play("ana");
    let on =
        rig.wire.wait(edges_now, true, rig.camera.length("ana") + SOON).unwrap_or_else(|| panic!("{:#?}", since(log)));
    let stepped = Stepped::by(3 * HOURS);
    let told = wait_event(log, "the clock's step", |event| event.kind() == "clock" && event.text("state") == "stepped");
    assert!(told.text("detail").starts_with("by +32"), "{told:?}");
    let off = rig.wire.wait(edges_now, false, SOON * 2).expect("the pulse ends whatever the clock says");
    let pulse = (off - on).as_millis();
    // A pulse that followed the clock would end at once or never.
    let (at_least, at_most) = rig.wire.pulse(edges_now);
    let (wanted, late) = (Duration::from_millis(1_500), Duration::from_secs(2));
    assert!(
        at_most >= wanted / 2 && at_least < wanted + late,
        "the clock's step changed the pulse: {at_least:?} to {at_most:?}"
    );
    sleep(rig.camera.length("ana"));
    let log = mark();
    rig.camera.play("ana");
    wait_event(log, "the admission's end", |event| event.is_refused("Expired"));
    sleep(rig.camera.length("ana"));
    drop(stepped);
    let after = rig.ana_comes_in();

    // Set back by two days. The store was changed since, and its change is sealed: the gate knows that the clock lags.
    let log = mark();
    let stepped = Stepped::by(-48);
    wait_event(log, "the clock's fault", |event| event.is_fault("clock", true));
    rig.camera.play("ana");
    wait_event(log, "a clock that nobody believes", |event| event.is_refused("ClockUnsure"));
    sleep(rig.camera.length("ana") + Duration::from_secs(1));
    assert!(property("StatusText").contains("BEHIND"), "{}", property("StatusText"));
    assert!(!sh("gate-daemon check").ok && sh("gate-daemon check").said.contains("FAIL  clock"));
    tool(&["set", "ana", "--valid-until", "none"]).done();
    sleep(Duration::from_millis(500));
    rig.ana_comes_in();
    drop(stepped);
    wait_event(log, "the clock's recovery", |event| event.is_fault("clock", false));
    assert_eq!(rig.wire.openings(edges), 4);
    format!(
        "pulse {pulse} ms of 1500 across a step of {} h; before: {}; after: {}",
        3 * HOURS,
        before.told(),
        after.told()
    )
}

/// A wall clock that goes wrong by so many hours, until it is dropped.
struct Stepped(i64);

impl Stepped {
    fn by(hours: i64) -> Self {
        step(hours);
        Self(hours)
    }
}

impl Drop for Stepped {
    fn drop(&mut self) {
        step(-self.0);
    }
}

/// Sets the wall clock by so many hours.
fn step(hours: i64) {
    sh(&format!("date -s @$(( $(date +%s) + {} ))", hours * 3600)).done();
}
