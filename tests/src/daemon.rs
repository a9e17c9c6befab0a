//! A daemon that runs beside the test.

use crate::events::{Event, Log};
use crate::site::{Answer, Site};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything may take that is bound to happen. Far more than it takes: a slow machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// How often a test looks.
const LOOK: Duration = Duration::from_millis(10);

/// A running daemon; killed when it is dropped.
pub struct Daemon {
    child: Child,
    events: PathBuf,
    stderr: PathBuf,
}

impl Daemon {
    /// Starts `command`, whose events go to the site's log.
    #[must_use]
    pub fn start(mut command: Command, site: &Site) -> Self {
        let stderr = site.path("daemon.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&stderr).unwrap());
        Self { child: command.spawn().unwrap(), events: site.path("events.jsonl"), stderr }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        // The child is not reaped yet, so the number is still its own.
        let (pid, signal) = (i32::try_from(self.child.id()).unwrap(), Signal::try_from(signal).unwrap());
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|e| panic!("the daemon is gone ({e}): {}", self.said()));
    }

    /// How many events there are by now; what comes later is new.
    #[must_use]
    pub fn mark(&self) -> usize {
        Log::read(&self.events).0.len()
    }

    /// Waits for an event after the first `mark` ones, and returns it with the time it took.
    ///
    /// # Panics
    /// When it does not come, or the daemon ends.
    pub fn wait_for(&mut self, mark: usize, what: &str, is_it: impl Fn(&Event) -> bool) -> (Event, Duration) {
        let start = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            let log = Log::read(&self.events);
            if let Some(event) = log.0.iter().skip(mark).find(|event| is_it(event)) {
                return (event.clone(), start.elapsed());
            }
            let new: Vec<_> = log.0.iter().skip(mark).collect();
            assert!(ended.is_none(), "{what}: the daemon has ended ({ended:?}); {new:#?} {}", self.said());
            assert!(start.elapsed() < PATIENCE, "{what} did not come; there is {new:#?} {}", self.said());
            sleep(LOOK);
        }
    }

    /// Insists that it runs.
    pub fn is_running(&mut self) {
        let ended = self.child.try_wait().unwrap();
        assert!(ended.is_none(), "the daemon has ended ({ended:?}): {}", self.said());
    }

    /// Asks it to stop, as systemd does, and waits until it has.
    #[must_use = "its end tells how it went"]
    pub fn stop(self) -> Answer {
        self.end_by(libc::SIGTERM)
    }

    /// Asks it to stop, and waits until it has.
    #[must_use = "its end tells how it went"]
    pub fn end_by(mut self, signal: i32) -> Answer {
        self.signal(signal);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Answer { code: status.code(), stdout: String::new(), stderr: self.said() };
            }
            assert!(start.elapsed() < PATIENCE, "it does not stop: {}", self.said());
            sleep(LOOK);
        }
    }

    /// Ends it without giving it a chance to do anything about it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has written to standard error.
    #[must_use]
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
