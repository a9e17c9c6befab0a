//! Another camera in the camera's place, and a recording in the place of what it sees: nothing opens, and it is told.

use super::faults::{back, lost};
use super::gate::{mark, sh, since, systemctl, wait_event};
use super::{NODE, Rig, load_loopback, load_loopbacks};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::{Table, toml};

/// The other camera's node.
const OTHER: &str = "/dev/video11";
/// The name under which the gate opens its camera, whichever that is: as udev's link is.
const NAME: &str = "/dev/rig-camera";
/// The alarm that the test configures.
const HOLD: Duration = Duration::from_secs(2);

/// Makes the camera's name lead to this node.
#[track_caller]
fn point_to(node: &str) {
    sh(&format!("ln -sfn {node} {NAME}")).done();
}

pub fn another_camera(rig: &mut Rig) -> String {
    systemctl("stop").done();
    rig.camera.unplug();
    sh("rmmod v4l2loopback").done();
    load_loopbacks(&[(NODE, "door"), (OTHER, "other")]);
    rig.camera.plug();
    let mut other = rig.camera.beside(Path::new(OTHER));
    other.plug();
    other.keep_playing("ana-stands");
    point_to(NODE);
    let mut keys = toml! {
        [camera]
        identity = "device:door@virtual/video4linux/video10"
        [alarm]
    };
    let mut set = |section: &str, key: &str, value: toml::Value| {
        keys[section].as_table_mut().unwrap().insert(key.to_owned(), value);
    };
    set("camera", "source", format!("v4l:{NAME}").into());
    set("alarm", "hold_ms", (HOLD.as_millis() as i64).into());
    rig.start_with(keys);
    rig.ana_comes_in();

    // The door's camera is pulled out, and another one takes its name.
    let (before, edges) = (mark(), rig.wire.mark());
    point_to(OTHER);
    rig.camera.unplug();
    lost(before);
    wait_event(before, "the other camera", |event| event.is_camera("changed"));
    wait_event(before, "the fault", |event| event.is_fault("camera_changed", true));
    wait_event(before, "the alarm", |event| event.is_alarm("tamper", true));
    wait_event(before, "the alarm's end", |event| event.is_alarm("tamper", false));
    assert_eq!(rig.wire.openings(edges), 0, "it opened for what the other camera shows");

    // A reload finds the other one still there.
    let asked = mark();
    systemctl("reload").done();
    wait_event(asked, "the other camera again", |event| event.is_camera("changed"));

    // The right one is back and shows Ana. Nobody has looked yet.
    let returned = mark();
    point_to(NODE);
    rig.camera.plug();
    rig.camera.keep_playing("ana-stands");
    let told = back(returned, Instant::now());
    sleep(Duration::from_secs(3));
    assert_eq!(rig.wire.openings(edges), 0, "frames of the right camera have cleared it: {:#?}", since(before));
    assert!(!since(before).iter().any(|event| event.is_fault("camera_changed", false)));

    rig.camera.nobody();
    let asked = mark();
    systemctl("reload").done();
    wait_event(asked, "the fault's end", |event| event.is_fault("camera_changed", false));
    rig.ana_comes_in();

    systemctl("stop").done();
    other.unplug();
    rig.camera.unplug();
    sh(&format!("rm -f {NAME}; rmmod v4l2loopback")).done();
    load_loopback();
    rig.camera.plug();
    rig.start_with(Table::new());
    told
}

pub fn recording(rig: &mut Rig) -> String {
    // What was let in once from a recording is let in no second time.
    let before = mark();
    rig.camera.replay("ana-stands");
    wait_event(before, "the alarm", |event| event.is_alarm("tamper", true));
    wait_event(before, "what is wrong", |event| event.is_camera("suspect"));
    let edges = rig.wire.mark();
    sleep(rig.camera.length("ana-stands") + Duration::from_secs(2));
    assert_eq!(rig.wire.openings(edges), 0, "the recording has opened it again");
    let returned = mark();
    rig.camera.nobody();
    let told = back(returned, Instant::now());
    rig.ana_comes_in();
    told
}
