//! The gate ends, however it ends: locked at once, back by itself, open for its people again.

use super::door::SOON;
use super::gate::{
    journal_mark, mark, pid, property, sh, signal, since, systemctl, wait, wait_event, wait_ready, wait_told,
};
use super::{PULSE_MAX_MS, Rig};
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::{Table, toml};

/// Within this long after the gate's death its line is off: the promise is a second.
const OFF: Duration = Duration::from_secs(1);
/// How often the gate is killed.
const KILLS: usize = 4;

/// Insists that the line is off soon, and stays so.
#[track_caller]
fn goes_off(rig: &Rig, died: Instant) -> Duration {
    while rig.wire.is_on() {
        assert!(died.elapsed() < OFF, "the line is on {OFF:?} after the gate's death");
        sleep(Duration::from_millis(1));
    }
    died.elapsed()
}

/// Waits until Ana has opened the gate, and leaves it in the pulse.
#[track_caller]
fn in_a_pulse(rig: &Rig) -> Instant {
    let (edges, before) = (rig.wire.mark(), mark());
    rig.camera.keep_playing("ana-stands");
    rig.wire.wait(edges, true, SOON * 3).unwrap_or_else(|| panic!("no pulse: {:#?}", since(before)))
}

pub fn killed(rig: &mut Rig) -> String {
    let (mut off, mut back) = (Duration::ZERO, Duration::ZERO);
    let mut in_pulses = 0;
    for round in 0..KILLS {
        if round % 2 == 0 {
            in_a_pulse(rig);
        } else {
            rig.camera.keep_playing("ana-stands");
        }
        sleep(Duration::from_millis(rig.random.below(if round % 2 == 0 { 300 } else { 1_500 })));
        let old = pid();
        if old == 0 {
            continue;
        }
        in_pulses += usize::from(rig.wire.is_on());
        signal(libc::SIGKILL);
        let died = Instant::now();
        off = off.max(goes_off(rig, died));
        back = back.max(wait_ready(old));
    }
    rig.camera.nobody();
    rig.ana_comes_in();
    format!(
        "{KILLS} kills, {in_pulses} in a pulse; line off after {} ms at the latest, ready again after {:.1} s",
        off.as_millis(),
        back.as_secs_f32()
    )
}

pub fn hung(rig: &mut Rig) -> String {
    rig.start_with(toml! {
        [relay]
        pulse_ms = 9000
    });
    let on = in_a_pulse(rig);
    let (edges, old, told) = (rig.wire.mark(), pid(), journal_mark());
    signal(libc::SIGSTOP);
    let off =
        rig.wire.wait(edges, false, Duration::from_millis(PULSE_MAX_MS)).expect("the line of a hung gate stays on");
    rig.camera.nobody();
    wait_told(&told, &["Watchdog timeout"]);
    let back = wait_ready(old);
    format!("on for {} ms in all, ready again {:.1} s later", (off - on).as_millis(), back.as_secs_f32())
}

pub fn out_of_memory(rig: &mut Rig) -> String {
    in_a_pulse(rig);
    let (old, edges, told) = (pid(), rig.wire.mark(), journal_mark());
    systemctl_limit("MemoryMax=20M");
    wait("the kernel ends it", || pid() != old);
    rig.camera.nobody();
    if rig.wire.is_on() {
        rig.wire.wait(edges, false, OFF).expect("the line is still on");
    }
    wait_told(&told, &["oom-kill"]);
    systemctl_limit("MemoryMax=infinity");
    let back = wait_ready(old);
    rig.ana_comes_in();
    format!("killed by the kernel; back {:.1} s after there was memory again", back.as_secs_f32())
}

fn systemctl_limit(limit: &str) {
    sh(&format!("systemctl set-property --runtime gate-daemon {limit}")).done();
}

/// A file that is to be whole again whatever happens meanwhile.
struct Whole<'a> {
    file: &'a Path,
    bytes: Vec<u8>,
}

impl Drop for Whole<'_> {
    fn drop(&mut self) {
        // At once in its place: the gate is trying all the time.
        let part = self.file.with_extension("part");
        fs::write(&part, &self.bytes).unwrap();
        fs::rename(part, self.file).unwrap();
    }
}

/// Damages a file, then takes it away; each time the gate stays locked, tells which file it is, and comes back with it.
fn damaged(rig: &mut Rig, file: &Path, damage: fn(&mut Vec<u8>)) -> String {
    let whole = Whole { file, bytes: fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display())) };
    let mut bytes = whole.bytes.clone();
    damage(&mut bytes);
    let edges = rig.wire.mark();
    let name = file.file_name().unwrap().to_str().unwrap();
    systemctl("stop").done();
    rig.camera.keep_playing("ana-stands");
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
    let told = journal_mark();
    systemctl("start --no-block").done();
    wait_told(&told, &[name]);
    fs::remove_file(file).unwrap();
    let told = journal_mark();
    wait_told(&told, &[name]);
    assert_eq!(rig.wire.openings(edges), 0);
    rig.camera.nobody();
    drop(whole);
    let back = wait_ready(0);
    rig.ana_comes_in();
    format!("named, 0 openings; back {:.1} s after the file was whole", back.as_secs_f32())
}

pub fn runtime_damaged(rig: &mut Rig) -> String {
    // A flipped bit of code is not for the gate to find (dpkg --verify does); a library that is cut short is.
    damaged(rig, Path::new("/usr/lib/face-gate/libonnxruntime.so"), |bytes| bytes.truncate(bytes.len() / 3))
}

pub fn model_damaged(rig: &mut Rig) -> String {
    // The optimised graph first: the gate goes back to the weights, until those are damaged, too.
    let graphs = "/usr/share/face-gate/models/cache/graphs";
    sh(&format!("cp -a {graphs} {graphs}-kept; truncate -s 9999 {graphs}/sface-*.ort")).done();
    let told = damaged(rig, Path::new("/usr/share/face-gate/models/face_recognition_sface_2021dec.onnx"), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    sh(&format!("rm -r {graphs}; mv {graphs}-kept {graphs}")).done();
    told
}

pub fn configuration_broken(rig: &mut Rig) -> String {
    rig.start_with(toml! {
        [relay]
        pulse_ms = 5000
    });
    let before = mark();
    in_a_pulse(rig);
    fs::write("/etc/face-gate/gate.toml", "[relay\nline = ").unwrap();
    let told = journal_mark();
    signal(libc::SIGKILL);
    let off = goes_off(rig, Instant::now());
    wait_told(&told, &["locked"]);
    assert_ne!(property("ActiveState"), "active", "{:#?}", since(before));
    rig.camera.nobody();
    rig.start_with(Table::new());
    wait_event(before, "a gate that is back", |event| event.is_camera("opened"));
    format!("line off after {} ms, though the configuration was gone", off.as_millis())
}
