//! What systemd hears: ready, a status line, and a sign of life that comes from frames, not from a timer.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::daemon::PATIENCE;
use gate_tests::{Look, Portrait, Scene, Site};
use std::io::ErrorKind;
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

/// systemd's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message, if one comes within `timeout`.
    fn next(&self, timeout: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(timeout)).unwrap();
        let mut message = [0; 4096];
        match self.0.recv(&mut message) {
            Ok(length) => Some(String::from_utf8(message[..length].to_vec()).unwrap()),
            Err(e) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&e.kind()) => None,
            Err(e) => panic!("{e}"),
        }
    }

    /// Waits for a line that begins like this and returns it.
    fn wait_for(&self, begin: &str) -> String {
        let message = self.wait_for_all(begin);
        message.lines().find(|line| line.starts_with(begin)).unwrap().to_owned()
    }

    /// The same, with all that came with it.
    fn wait_for_all(&self, begin: &str) -> String {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let message = self.next(PATIENCE).unwrap_or_default();
            if message.lines().any(|line| line.starts_with(begin)) {
                return message;
            }
        }
        panic!("{begin} did not come");
    }
}

#[test]
fn systemd_hears_of_readiness_status_and_frames_and_of_a_daemon_that_hangs() {
    let site = Site::enrolled().looping();
    Scene::new().stay(600, &[Look::new(Portrait::Biden, 100.0)]).write(&site.path("frames"));
    let socket = site.path("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let gate = site.daemon(&["run"]);
    // Who is watched is known by its process id, which the shell has before it becomes the daemon.
    let mut command = Command::new("sh");
    command.arg("-c").arg("WATCHDOG_PID=$$ exec \"$@\"").arg("sh").arg(gate.get_program()).args(gate.get_args());
    for (name, value) in gate.get_envs() {
        if value.is_none() {
            command.env_remove(name);
        }
    }
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "600000");
    let daemon = gate_tests::Daemon::start(command, &site);

    manager.wait_for("READY=1");
    let status = manager.wait_for("STATUS=");
    assert!(status.contains("1 enrolled"), "{status}");
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    let status = manager.wait_for("STATUS=");
    assert!(status.contains("locked") && status.contains("frames a second"), "{status}");
    assert!(status.contains("; cpu; last: "), "{status}");
    // What happened last, and when; not who.
    while !manager.wait_for("STATUS=").contains("last: refused Unknown ") {}
    assert!(manager.wait_for("STATUS=").contains(" s ago"));

    let config = site.path("gate.toml");
    let good = std::fs::read_to_string(&config).unwrap();
    for (text, told) in [(format!("bad\n{good}"), true), (good, false)] {
        std::fs::write(&config, text).unwrap();
        daemon.signal(libc::SIGHUP);
        let reloading = manager.wait_for_all("RELOADING=1");
        assert!(reloading.lines().any(|line| line.starts_with("MONOTONIC_USEC=")), "{reloading}");
        manager.wait_for("READY=1");
        let is_told = |status: &str| status.contains("NOT in force") && status.contains("gate.toml:1:");
        while is_told(&manager.wait_for("STATUS=")) != told {}
    }

    daemon.signal(libc::SIGSTOP);
    // What was under way comes in; then there is silence for longer than systemd waits.
    while manager.next(Duration::from_millis(300)).is_some() {}
    assert_eq!(manager.next(Duration::from_millis(1_500)), None);
    daemon.signal(libc::SIGCONT);
    manager.wait_for("WATCHDOG=1");
    daemon.stop().done();
    manager.wait_for("STOPPING=1");
}

#[test]
fn without_a_camera_the_daemon_is_alive_and_says_that_it_is_locked() {
    let site = Site::enrolled();
    let socket = site.path("notify");
    let manager = Manager(UnixDatagram::bind(&socket).unwrap());
    let mut command = site.daemon(&["run", "--camera"]);
    command.arg(format!("v4l:{}", site.path("camera").display()));
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "600000");
    let daemon = gate_tests::Daemon::start(command, &site);
    manager.wait_for("READY=1");
    while !manager.wait_for("STATUS=").contains("locked by a fault: camera;") {}
    // Restarting would not bring the camera back: systemd must not be made to try.
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    daemon.stop().done();
}
