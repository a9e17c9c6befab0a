//! Time as an argument: the machine's clock for a real gate, a clock moved by the frames for a replay.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Where the gate gets its time from.
pub trait Clock: Send + Sync {
    /// Milliseconds since the clock's own start; never goes backwards.
    fn mono_ms(&self) -> u64;
    /// Milliseconds since 1970-01-01 UTC; may jump when somebody sets the time.
    fn wall_ms(&self) -> i64;
}

/// The machine's clock. Its monotonic part starts at 0 when it is made.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn mono_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> i64 {
        // A clock set before 1970 (a board without a battery) reads as negative time, not as an error.
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }
}

/// A replay's clock: it stands still until a frame (or a test) moves it, so the same frames give the same times.
#[derive(Debug)]
pub struct ReplayClock {
    mono_ms: AtomicU64,
    start_wall_ms: i64,
}

impl ReplayClock {
    /// A clock at monotonic 0 and wall time `start_wall_ms` (Unix milliseconds).
    #[must_use]
    pub fn new(start_wall_ms: i64) -> Self {
        Self { mono_ms: AtomicU64::new(0), start_wall_ms }
    }

    /// Moves the clock on to `mono_ms`; an earlier time than now is ignored.
    pub fn set(&self, mono_ms: u64) {
        self.mono_ms.fetch_max(mono_ms, Ordering::AcqRel);
    }
}

impl Clock for ReplayClock {
    fn mono_ms(&self) -> u64 {
        self.mono_ms.load(Ordering::Acquire)
    }

    fn wall_ms(&self) -> i64 {
        self.start_wall_ms.saturating_add(i64::try_from(self.mono_ms()).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_clock_never_goes_backwards() {
        let clock = ReplayClock::new(1_000);
        clock.set(500);
        clock.set(20);
        assert_eq!((clock.mono_ms(), clock.wall_ms()), (500, 1_500));
    }

    #[test]
    fn a_replay_clock_saturates() {
        let clock = ReplayClock::new(i64::MAX);
        clock.set(u64::MAX);
        assert_eq!(clock.wall_ms(), i64::MAX);
    }

    #[test]
    fn the_system_clock_starts_at_zero_and_knows_the_century() {
        let clock = SystemClock::new();
        assert!(clock.mono_ms() < 60_000);
        assert!(clock.wall_ms() > 1_600_000_000_000);
    }
}
