//! What goes wrong with a camera: nothing opens meanwhile, it is told, and it is over by itself.

use super::gate::{mark, pid, property, sh, since, systemctl, wait, wait_event, wait_ready};
use super::{NODE, Rig, load_loopback};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::Table;

/// Waits until frames flow again after a moment; tells how long that took.
#[track_caller]
pub fn back(before: usize, since: Instant) -> String {
    wait_event(before, "the camera's return", |event| event.is_fault("camera", false));
    format!("frames decided on again {} ms after its return", since.elapsed().as_millis())
}

#[track_caller]
pub fn lost(before: usize) {
    wait_event(before, "the camera's loss", |event| event.is_camera("lost"));
    wait_event(before, "the fault", |event| event.is_fault("camera", true));
}

/// Takes the camera away until the gate has let it go: a loopback keeps its format as long as somebody has it open.
#[track_caller]
fn swapped(rig: &mut Rig) {
    let before = mark();
    rig.camera.unplug();
    wait_event(before, "the camera's loss", |event| event.is_camera("lost"));
    wait_let_go();
}

#[track_caller]
pub fn wait_let_go() {
    let holds = || {
        let open = fs::read_dir(format!("/proc/{}/fd", pid())).into_iter().flatten().flatten();
        open.filter_map(|fd| fs::read_link(fd.path()).ok()).any(|path| path == Path::new(NODE))
    };
    wait("the gate lets the camera go", || !holds());
}

pub fn absent_then_plugged(rig: &mut Rig) -> String {
    systemctl("stop").done();
    rig.camera.unplug();
    sh("rmmod v4l2loopback").done();
    let (before, edges) = (mark(), rig.wire.mark());
    systemctl("start").done();
    wait_ready(0);
    lost(before);
    wait("the status line tells of it", || property("StatusText").contains("fault"));
    sleep(Duration::from_secs(1));
    let before = mark();
    load_loopback();
    rig.camera.plug();
    let told = back(before, Instant::now());
    assert_eq!(rig.wire.openings(edges), 0);
    rig.ana_comes_in();
    told
}

pub fn unplugged(rig: &mut Rig) -> String {
    let (before, edges) = (mark(), rig.wire.mark());
    rig.camera.keep_playing("ana-stands");
    sleep(Duration::from_millis(300));
    rig.camera.unplug();
    lost(before);
    let (before, openings) = (mark(), rig.wire.openings(edges));
    sleep(Duration::from_millis(rig.random.below(1_500)));
    assert_eq!(rig.wire.openings(edges), openings, "it opened without a camera: {:#?}", since(before));
    rig.camera.plug();
    let told = back(before, Instant::now());
    rig.ana_comes_in();
    told
}

pub fn unbound(rig: &mut Rig) -> String {
    let node = vivid_node();
    let mut camera = Table::new();
    camera.insert("source".into(), format!("v4l:{}", node.display()).into());
    let before = mark();
    rig.start_with(Table::from_iter([("camera".to_owned(), camera.into())]));
    wait_event(before, "vivid's first frame", |event| event.is_camera("opened"));
    let driver = "/sys/bus/platform/drivers/vivid";
    let (mut told, edges) = (String::new(), rig.wire.mark());
    for round in 0..2 {
        let before = mark();
        fs::write(format!("{driver}/unbind"), "vivid.0").unwrap();
        lost(before);
        if round == 0 {
            // It stands for a minute: the second time is the same alarm.
            wait_event(before, "the alarm", |event| event.is_alarm("tamper", true));
        }
        let before = mark();
        fs::write(format!("{driver}/bind"), "vivid.0").unwrap();
        told = back(before, Instant::now());
    }
    assert_eq!(rig.wire.openings(edges), 0);
    told
}

/// The node of vivid's camera.
fn vivid_node() -> PathBuf {
    let nodes = fs::read_dir("/sys/class/video4linux").unwrap().flatten();
    let name = |path: PathBuf| fs::read_to_string(path.join("name")).unwrap_or_default();
    let node = nodes.map(|entry| entry.path()).find(|path| name(path.clone()).contains("vid-cap")).expect("vivid");
    PathBuf::from("/dev").join(node.file_name().unwrap())
}

pub fn stalls(rig: &mut Rig) -> String {
    let (before, edges) = (mark(), rig.wire.mark());
    rig.camera.fall_silent();
    lost(before);
    let before = mark();
    rig.camera.nobody();
    let told = back(before, Instant::now());
    assert_eq!(rig.wire.openings(edges), 0);
    rig.ana_comes_in();
    told
}

pub fn changes_format(rig: &mut Rig) -> String {
    let edges = rig.wire.mark();
    for (fourcc, width_px, height_px) in [(b"GREY", 320, 240), (b"YUYV", 1280, 720)] {
        swapped(rig);
        let before = mark();
        rig.camera.plug_junk(fourcc, width_px, height_px);
        let size = format!("{width_px}x{height_px}");
        wait_event(before, "the other format", |e| e.is_camera("opened") && e.text("detail").contains(&size));
    }
    swapped(rig);
    let before = mark();
    rig.camera.plug();
    let told = back(before, Instant::now());
    assert_eq!(rig.wire.openings(edges), 0);
    rig.ana_comes_in();
    told
}

pub fn garbage(rig: &mut Rig) -> String {
    let edges = rig.wire.mark();
    rig.camera.give_junk();
    sleep(Duration::from_secs(2));
    // Noise in a format that has to be decoded.
    swapped(rig);
    let before = mark();
    rig.camera.plug_junk(b"MJPG", 640, 480);
    wait_event(before, "what is wrong with it", |event| event.is_camera("lost"));
    let reasons: Vec<String> = since(before)
        .iter()
        .filter(|event| event.is_camera("lost"))
        .map(|event| event.text("detail").to_owned())
        .collect();
    assert_eq!(rig.wire.openings(edges), 0);
    rig.camera.unplug();
    wait_let_go();
    let before = mark();
    rig.camera.plug();
    let told = back(before, Instant::now());
    rig.ana_comes_in();
    format!("{told}; told: {}", reasons.last().map_or("", String::as_str))
}
