//! The rig: the gate's package on a real kernel, with a camera and a GPIO chip of that kernel, under real systemd.
//!
//! ```text
//!  host                                            guest: User-Mode Linux, Debian, systemd
//!  ────                                            ───────────────────────────────────────
//!  kernel.sh, root.sh ──▶ disk image ──boots──▶    gate-rig guest
//!  scenes ──render──▶ clips, face-gate.deb ─────▶    dpkg -i; feeds v4l2loopback; watches gpio-sim's line;
//!  report.html ◀── lines "RIG ok ..." ◀──────────    kills, unplugs, fills the disk; tells each test's outcome
//!
//!  cuts ──kills the kernel 100 times──▶            gate-rig init: enrols and writes events until the power is gone
//! ```
//! One program on both sides: the guest runs the same file, from a folder that both see.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod boot;
mod clips;
mod cuts;
mod guest;
mod host;
mod machine;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

const USE: &str = "\
use: gate-rig [--deb FILE] [--cuts N] [NAME ...]   boot, test, report; NAME: only tests whose names contain it
     (`make rig` makes the package first; needs root, mmdebstrap, e2fsprogs)";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1).peekable();
    // The ways in on the guest's side.
    if std::process::id() == 1 {
        cuts::init();
    }
    match words.peek().map(String::as_str) {
        Some("guest") => return guest::run(),
        Some("sandbox") => return guest::sandbox::probe(),
        _ => {}
    }
    let mut wishes = host::Wishes { deb: None, cuts: 100, only: Vec::new() };
    while let Some(word) = words.next() {
        match word.as_str() {
            "--deb" => wishes.deb = words.next().map(PathBuf::from),
            "--cuts" => match words.next().and_then(|n| n.parse().ok()) {
                Some(count) => wishes.cuts = count,
                None => return used_badly(),
            },
            _ if word.starts_with('-') => return used_badly(),
            _ => wishes.only.push(word),
        }
    }
    match host::run(&wishes) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("rig: {e:#}");
            ExitCode::from(3)
        }
    }
}

fn used_badly() -> ExitCode {
    eprintln!("{USE}");
    ExitCode::from(2)
}
