//! Whether a helper thread is alive.
//!
//! ```text
//!  thread: Heart        beat() ── works ── rest() ── waits for work ── beat() ── …      dropped in a panic: ended
//!  watcher: Heartbeat                late, when it works for longer than its limit
//! ```
//!
//! A thread that waits for work has no deadline, so an idle one never wakes up just to say so.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What the thread does, in the two low bits of the shared number.
const WORKS: u64 = 0;
const RESTS: u64 = 1;
const ENDED: u64 = 2;

/// The thread's end. Dropping it without [`Heart::retire`], as a panic does, says that the thread has ended.
#[derive(Debug)]
pub struct Heart {
    shared: Arc<Shared>,
}

/// The watcher's end.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    shared: Arc<Shared>,
}

/// How a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It works within its limit, or waits for work.
    Well,
    /// It has been at one piece of work for so long, which is more than its limit.
    Late(Duration),
    /// It has ended without being asked to.
    Ended,
}

#[derive(Debug)]
struct Shared {
    name: &'static str,
    limit: Duration,
    began: Instant,
    /// Milliseconds from `began`, times four, plus what the thread does: one number, so that both change at once.
    beat: AtomicU64,
}

/// Both ends for a thread that may be at one piece of work for no longer than `limit`. It works from now on.
#[must_use]
pub fn heartbeat(name: &'static str, limit: Duration) -> (Heart, Heartbeat) {
    let shared = Arc::new(Shared { name, limit, began: Instant::now(), beat: AtomicU64::new(WORKS) });
    (Heart { shared: Arc::clone(&shared) }, Heartbeat { shared })
}

impl Shared {
    fn now_ms(&self) -> u64 {
        // The two bits are lost after a hundred million years.
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX) & (u64::MAX >> 2)
    }

    fn set(&self, doing: u64) {
        self.beat.store((self.now_ms() << 2) | doing, Relaxed);
    }
}

impl Heart {
    /// A piece of work begins, or goes on.
    pub fn beat(&self) {
        self.shared.set(WORKS);
    }

    /// The thread waits for work from now on.
    pub fn rest(&self) {
        self.shared.set(RESTS);
    }

    /// The thread ends as it was asked to.
    pub fn retire(self) {
        self.rest();
        // Dropping it would say otherwise.
        std::mem::forget(self);
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.shared.set(ENDED);
    }
}

impl Heartbeat {
    /// How the thread is now.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let beat = self.shared.beat.load(Relaxed);
        match beat & 3 {
            ENDED => Condition::Ended,
            RESTS => Condition::Well,
            _ => {
                let worked = Duration::from_millis(self.shared.now_ms().saturating_sub(beat >> 2));
                if worked > self.shared.limit { Condition::Late(worked) } else { Condition::Well }
            }
        }
    }

    /// What is wrong with the thread, if anything.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let condition = self.condition();
        (condition != Condition::Well).then(|| format!("the thread `{}` {condition}", self.shared.name))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Well => f.write_str("is well"),
            Condition::Late(worked) => write!(f, "has been stuck for {} ms", worked.as_millis()),
            Condition::Ended => f.write_str("has ended, a fault of this program"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::thread::{sleep, spawn};

    #[test]
    fn a_thread_that_works_too_long_is_late_until_it_beats_again() {
        let (heart, watch) = heartbeat("test", Duration::from_millis(20));
        assert_eq!((watch.condition(), watch.trouble()), (Condition::Well, None));
        sleep(Duration::from_millis(40));
        assert!(matches!(watch.condition(), Condition::Late(worked) if worked >= Duration::from_millis(40)));
        assert!(watch.trouble().unwrap().starts_with("the thread `test` has been stuck for "));
        heart.beat();
        assert_eq!(watch.condition(), Condition::Well);

        heart.rest();
        sleep(Duration::from_millis(40));
        assert_eq!(watch.condition(), Condition::Well, "an idle thread has no deadline");
    }

    #[test]
    fn a_thread_that_panics_has_ended_and_one_that_retires_has_not() {
        let (heart, watch) = heartbeat("test", Duration::from_secs(60));
        let (go, until) = channel::<()>();
        let thread = spawn(move || {
            let _heart = heart;
            let _ = until.recv();
            panic!("as the test wants it");
        });
        assert_eq!(watch.condition(), Condition::Well);
        drop(go);
        assert!(thread.join().is_err());
        assert_eq!(watch.condition(), Condition::Ended);

        let (heart, watch) = heartbeat("test", Duration::from_secs(60));
        heart.retire();
        assert_eq!(watch.condition(), Condition::Well);
    }
}
