//! Measures the laps of one piece of work.

use std::time::{Duration, Instant};

/// A stopwatch that gives lap times.
pub struct Stopwatch {
    since: Instant,
}

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }

    /// The time since the start or the last lap.
    pub fn lap(&mut self) -> Duration {
        let now = Instant::now();
        let lap = now - self.since;
        self.since = now;
        lap
    }
}
