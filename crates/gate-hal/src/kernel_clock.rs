//! What the kernel knows about its clocks: the wall clock beside the boot clock, and whether a time source disciplines it.

use crate::{Clock, SystemClock};
use libc::{CLOCK_BOOTTIME, STA_UNSYNC, TIME_ERROR};

/// Two clocks read further apart than this were not read at the same moment, milliseconds: the process was paused between.
const APART_MAX_MS: u64 = 200;
/// How often a reading is tried again.
const TRIES: usize = 3;

/// The machine's clocks, read at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelClock {
    /// The wall clock, Unix milliseconds.
    pub wall_ms: i64,
    /// Milliseconds since the machine started. Goes on while it is suspended, and never jumps.
    pub boot_ms: u64,
    /// Whether a time source (NTP, PTP, GPS) disciplines the wall clock; `None` when the kernel may not be asked.
    pub is_synchronised: Option<bool>,
}

impl KernelClock {
    /// Reads the clocks. `None` when they could not be read at the same moment, on a machine under heavy load: try later.
    #[must_use]
    pub fn read() -> Option<Self> {
        let clock = SystemClock::new();
        for _ in 0..TRIES {
            let before_ms = boot_ms()?;
            let wall_ms = clock.wall_ms();
            let boot_ms = boot_ms()?;
            if boot_ms.saturating_sub(before_ms) <= APART_MAX_MS {
                return Some(Self { wall_ms, boot_ms, is_synchronised: is_synchronised() });
            }
        }
        None
    }
}

#[allow(unsafe_code)]
fn boot_ms() -> Option<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec into the one that is passed.
    let answer = unsafe { libc::clock_gettime(CLOCK_BOOTTIME, &raw mut time) };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    (answer == 0).then_some(seconds.saturating_mul(1_000).saturating_add(nanos / 1_000_000))
}

/// Whether a time source disciplines the wall clock; `None` when the kernel may not be asked.
#[must_use]
#[allow(unsafe_code)]
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: a timex is plain numbers, for which all zeros is a value.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one timex into the one that is passed. `modes` is 0: nothing is set.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(state != TIME_ERROR && timex.status & STA_UNSYNC == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    #[test]
    fn both_clocks_are_the_machines_and_go_on_together() {
        let before = KernelClock::read().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        let after = KernelClock::read().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
        assert!((now - after.wall_ms).abs() < 10_000, "{after:?}");
        assert!(after.boot_ms >= before.boot_ms + 30, "{before:?} {after:?}");
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!((uptime * 1e3 - after.boot_ms as f64).abs() < 10_000.0, "{uptime} {after:?}");
    }

    #[test]
    fn asking_for_synchronisation_gives_the_same_answer_each_time() {
        // Machines differ in the answer; asking must neither fail on one machine and not on the next call, nor change it.
        let answers: Vec<_> = (0..10).map(|_| is_synchronised()).collect();
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
    }
}
