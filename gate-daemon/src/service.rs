//! What systemd is told: ready, alive, and one line of status.

use sd_notify::NotifyState;
use std::time::{Duration, Instant};

/// How often the status line is renewed.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// The connection to the service manager; without one every call does nothing.
pub struct Service {
    watchdog_every: Option<Duration>,
    fed: Instant,
    told: Option<Instant>,
    frames: u32,
}

impl Service {
    /// Reads the service manager's wishes from the environment.
    pub fn new() -> Self {
        // Fed three times within the limit, so that one late frame is no alarm.
        let watchdog_every = sd_notify::watchdog_enabled().map(|limit| limit / 3);
        Self { watchdog_every, fed: Instant::now(), told: None, frames: 0 }
    }

    /// Start-up is finished.
    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    /// The configuration is being reread; [`Service::ready`] says that this is over.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => notify(&[NotifyState::Reloading, now]),
            Err(e) => tracing::debug!("no monotonic clock to tell a reload by: {e}"),
        }
    }

    /// The gate is shutting down.
    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// Progress was made: a frame was decided on, or the camera is away and the gate is known to be locked. Says whether the
    /// watchdog was fed with it.
    pub fn alive(&mut self) -> bool {
        let due = self.watchdog_every.is_some_and(|every| self.fed.elapsed() >= every);
        if due {
            notify(&[NotifyState::Watchdog]);
            self.fed = Instant::now();
        }
        due
    }

    /// Counts a frame.
    pub fn frame(&mut self) {
        self.frames += 1;
    }

    /// Renews the status line once a second; `describe` gets the frames a second.
    pub fn status(&mut self, describe: impl FnOnce(f32) -> String) {
        let since = self.told.map(|t| t.elapsed());
        if since.is_some_and(|s| s < STATUS_EVERY) {
            return;
        }
        let fps = since.map_or(0.0, |s| self.frames as f32 / s.as_secs_f32());
        notify(&[NotifyState::Status(&describe(fps))]);
        self.told = Some(Instant::now());
        self.frames = 0;
    }
}

fn notify(state: &[NotifyState<'_>]) {
    // Nobody listens when the gate is started by hand.
    if let Err(e) = sd_notify::notify(state) {
        tracing::debug!("the service manager was not reached: {e}");
    }
}
