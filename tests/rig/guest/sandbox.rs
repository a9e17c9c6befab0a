//! The unit's sandbox, tried from inside: this program runs in the gate's place and tries what the gate must not do.

use super::Rig;
use super::gate::{UNIT, sh};
use std::fs;
use std::net::UdpSocket;
use std::process::ExitCode;

/// The most that systemd may find exposed, of 10.
const EXPOSURE_MAX: f32 = 1.6;

/// Runs inside the unit: a line for each attempt.
pub fn probe() -> ExitCode {
    let chip = std::env::args().nth(2).unwrap_or_default();
    let tell = |what: &str, can: bool| println!("{} {what}", if can { "can" } else { "cannot" });
    let reads = |path: &str| fs::File::open(path).is_ok();
    let writes = |path: &str| fs::write(path, "x").is_ok();
    tell("read /home", fs::read_dir("/home").is_ok_and(|mut d| d.next().is_some()));
    tell("read /root", fs::read_dir("/root").is_ok_and(|mut d| d.next().is_some()));
    tell("read the site key where root keeps it", reads("/etc/credstore/face-gate.key"));
    tell("open an internet socket", UdpSocket::bind("127.0.0.1:0").is_ok());
    for path in ["/etc/face-gate/x", "/usr/bin/x", "/var/lib/x", "/var/tmp/../lib/x", "/run/x", "/x", "/mnt/x"] {
        tell(&format!("write {path}"), writes(path));
    }
    for node in ["/dev/ubda", "/dev/mem", "/dev/kmsg", "/dev/loop0"] {
        tell(&format!("open {node}"), reads(node));
    }
    #[allow(unsafe_code)]
    // SAFETY: each call takes numbers and constant strings; what is asked for must be refused.
    unsafe {
        tell("make a namespace", libc::unshare(libc::CLONE_NEWUSER) == 0);
        tell("mount", libc::mount(c"none".as_ptr(), c"/tmp".as_ptr(), c"tmpfs".as_ptr(), 0, std::ptr::null()) == 0);
        tell("signal another's process", libc::kill(1, 0) == 0);
        tell(
            "set the clock",
            libc::clock_settime(libc::CLOCK_REALTIME, &libc::timespec { tv_sec: 0, tv_nsec: 0 }) == 0,
        );
        let mut timex: libc::timex = std::mem::zeroed();
        timex.modes = libc::ADJ_STATUS;
        tell("adjust the clock", libc::adjtimex(&raw mut timex) >= 0);
        timex.modes = 0;
        tell("ask whether the clock is synchronised", libc::adjtimex(&raw mut timex) >= 0);
        tell("become root", libc::setuid(0) == 0);
    }
    tell("see other processes", fs::read("/proc/1/cmdline").is_ok());
    // What it needs.
    tell("keep its state", writes("/var/lib/face-gate/rig-probe"));
    let _ = fs::remove_file("/var/lib/face-gate/rig-probe");
    tell("open the camera", v4l::Device::with_path(super::NODE).is_ok());
    tell("open the GPIO chip", fs::File::options().read(true).write(true).open(chip).is_ok());
    tell("read /proc/cpuinfo", reads("/proc/cpuinfo"));
    tell("read /sys/devices/system/cpu", fs::read_dir("/sys/devices/system/cpu").is_ok_and(|mut d| d.next().is_some()));
    tell(
        "have the site key",
        std::env::var("CREDENTIALS_DIRECTORY").is_ok_and(|dir| reads(&format!("{dir}/face-gate.key"))),
    );
    ExitCode::SUCCESS
}

/// What the gate needs, of all that is tried.
const NEEDED: [&str; 7] = [
    "ask whether the clock is synchronised",
    "keep its state",
    "open the camera",
    "open the GPIO chip",
    "read /proc/cpuinfo",
    "read /sys/devices/system/cpu",
    "have the site key",
];

pub fn holds(rig: &mut Rig) -> String {
    let unit = fs::read_to_string(format!("/lib/systemd/system/{UNIT}.service"))
        .or_else(|_| fs::read_to_string(format!("/usr/lib/systemd/system/{UNIT}.service")))
        .unwrap();
    let ours = |line: &&str| {
        !["ExecStart=", "ExecStopPost=", "ExecReload=", "Type=", "Restart=", "WatchdogSec="]
            .iter()
            .any(|key| line.starts_with(key))
    };
    let rest: Vec<&str> = unit.lines().filter(ours).collect();
    let exec = format!(
        "[Service]\nType=oneshot\nStandardOutput=file:/run/rig-sandbox.txt\nExecStart=/usr/bin/gate-rig sandbox {}",
        rig.wire.chip.display()
    );
    fs::write("/run/systemd/system/rig-sandbox.service", rest.join("\n").replace("[Service]", &exec)).unwrap();
    fs::write("/root/secret", "x").unwrap();
    sh("mkdir -p /home/somebody; cp /mnt/gate-rig /usr/bin/gate-rig; systemctl daemon-reload").done();
    sh("systemctl start rig-sandbox").done();
    let told = fs::read_to_string("/run/rig-sandbox.txt").unwrap();
    sh("rm -f /usr/bin/gate-rig /run/systemd/system/rig-sandbox.service; systemctl daemon-reload").done();
    let wrong: Vec<&str> = told
        .lines()
        .filter(|line| match line.split_once(' ') {
            Some(("can", what)) => !NEEDED.contains(&what),
            Some((_, what)) => NEEDED.contains(&what),
            None => true,
        })
        .collect();
    assert!(wrong.is_empty() && told.lines().count() > 20, "{wrong:?} of {told}");
    let security = sh(&format!("systemd-analyze security --no-pager {UNIT}")).said;
    let exposure = security.lines().rev().find(|line| line.contains("exposure level")).unwrap_or_default();
    let level: f32 =
        exposure.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("{security}"));
    assert!(level <= EXPOSURE_MAX, "{security}");
    format!("{} attempts as they should end; exposure {level} of 10", told.lines().count())
}
