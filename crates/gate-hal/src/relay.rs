//! The relay's own thread and clock: the second layer that keeps the door from standing open.
//!
//! The gate's state machine ends each pulse by itself. This thread ends it too, by its own clock, when the machine or
//! the thread that runs it does not:
//! ```text
//!            set(true)                     set(false), drop
//!     off ─────────────> on (since t) ─────────────────────> off
//!      ^                      │ t + pulse_max: forced
//!      │      set(false)      v
//!      └──────────────── off, held
//!     a line that cannot be driven: off is tried again and again, `fault` tells, set(true) is refused
//! ```

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::guarded::guarded;
use crate::{Output, OutputError};

/// How long a caller waits for the line to be driven.
const WAIT: Duration = Duration::from_secs(1);
/// How long after a failed `off` it is tried again.
const RETRY: Duration = Duration::from_millis(100);
/// How long a guard that is dropped goes on trying to switch off.
const LAST_TRIES: Duration = Duration::from_secs(2);

/// Owns the relay's line on a thread of its own, and lets it be on no longer than a maximum.
pub struct RelayGuard {
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    pulse_max: Duration,
}

#[derive(Default)]
struct State {
    /// What the caller wants.
    wanted: bool,
    /// Counts the calls of `set`, and those the thread has carried out.
    asked: u64,
    done: u64,
    /// The last call that failed, and how. Kept, since its caller may wake up only after the thread has gone on.
    failed: Option<(u64, OutputError)>,
    /// What the line is; `None` when unknown.
    driven: Option<bool>,
    /// Since when the line is, or may be, on.
    on_since: Option<Instant>,
    /// The line was forced off: `set(true)` is refused until `set(false)`.
    held: Option<String>,
    /// Why the line could not be driven.
    trouble: Option<String>,
    failures: u64,
    /// Since when the driver has been at work.
    call_since: Option<Instant>,
    stop: bool,
    gone: bool,
}

impl Shared {
    /// No code of ours panics under this lock; if a panic ever did, locking the door matters more than it.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a change, at most `timeout`.
    fn wait<'a>(&self, state: MutexGuard<'a, State>, timeout: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, timeout).unwrap_or_else(PoisonError::into_inner).0
    }
}

impl RelayGuard {
    /// Drives `output` off and takes it over. No pulse will be longer than `pulse_max`.
    #[must_use]
    pub fn start(output: Box<dyn Output>, pulse_max: Duration) -> RelayGuard {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), pulse_max });
        let worker = Arc::clone(&shared);
        let thread = thread::Builder::new().name("relay".to_owned()).spawn(move || {
            let _ending = Ending(&worker);
            run(&worker, output);
        });
        let thread = thread.map_err(|error| {
            let mut state = shared.lock();
            state.trouble = Some(format!("the relay's thread cannot start ({error})"));
            state.gone = true;
        });
        RelayGuard { shared, thread: thread.ok() }
    }

    /// Energises the relay, or not; returns once the line is driven. `true` while on does not prolong the pulse.
    /// Waits at most a second, whatever the driver does.
    ///
    /// # Errors
    /// [`OutputError::Drive`]: the line could not be driven, or the thread has ended: it must be opened anew.
    /// [`OutputError::Wedged`]: the driver hangs.
    /// [`OutputError::Refused`]: `true` after a forced off (call `set(false)` first), or while the line is at fault.
    /// After any error of `set(true)` the line is driven off.
    pub fn set(&self, on: bool) -> Result<(), OutputError> {
        let mut state = self.shared.lock();
        if on && let Some(why) = state.refusal() {
            return Err(OutputError::Refused { why });
        }
        if !on {
            state.held = None;
        }
        state.wanted = on;
        state.asked += 1;
        let ours = state.asked;
        self.shared.changed.notify_all();
        let start = Instant::now();
        while state.done < ours {
            let waited = start.elapsed();
            if state.gone {
                state.wanted = false;
                let why = state.trouble.clone().unwrap_or_else(|| "its thread has ended".to_owned());
                return Err(OutputError::Drive { at: "the relay's line".to_owned(), on, why });
            }
            if waited >= WAIT {
                // Nobody will be told if this works later, so it must not: the door would open for no one.
                state.wanted = false;
                return Err(OutputError::Wedged { waited_ms: waited.as_millis() as u64 });
            }
            state = self.shared.wait(state, WAIT - waited);
        }
        match &state.failed {
            Some((call, error)) if *call >= ours => Err(error.clone()),
            // The maximum was reached in the meantime.
            _ => match &state.held {
                Some(why) if on => Err(OutputError::Refused { why: why.clone() }),
                _ => Ok(()),
            },
        }
    }

    /// What is wrong with the relay now: a line that cannot be driven, a driver that hangs, a pulse that was cut off.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        let state = self.shared.lock();
        let hung = state.call_since.map(|since| since.elapsed()).filter(|hung| *hung > WAIT);
        let hung = hung.map(|hung| format!("the relay's driver has hung for {} ms", hung.as_millis()));
        hung.or_else(|| state.trouble.clone()).or_else(|| state.held.clone())
    }
}

/// Marks the thread's end, in a panic as well: whoever waits for it then hears of it at once.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if !state.stop {
            tracing::error!("the relay's thread has ended, a fault of this program: the gate stays locked");
            state.trouble = Some("the relay's thread has ended".to_owned());
        }
        state.gone = true;
        self.0.changed.notify_all();
    }
}

impl Drop for RelayGuard {
    /// Drives the line off. Gives up after some seconds, so that a wedged driver cannot keep the process alive.
    fn drop(&mut self) {
        let start = Instant::now();
        let mut state = self.shared.lock();
        state.stop = true;
        state.wanted = false;
        self.shared.changed.notify_all();
        while !state.gone && start.elapsed() < LAST_TRIES + WAIT {
            state = self.shared.wait(state, RETRY);
        }
        let gone = state.gone;
        drop(state);
        if let Some(thread) = self.thread.take()
            && gone
        {
            let _ = thread.join();
        } else if !gone {
            tracing::error!("the relay's driver hangs: its line was not switched off");
        }
    }
}

impl State {
    /// Why the line may not be switched on now.
    fn refusal(&self) -> Option<String> {
        if let Some(why) = &self.held {
            return Some(format!("{why}; switch it off first"));
        }
        self.trouble.as_ref().map(|why| format!("{why}; it must be off once before"))
    }

    /// Ends a pulse that has reached its maximum.
    fn enforce(&mut self, pulse_max: Duration) {
        if self.wanted && self.on_since.is_some_and(|since| since.elapsed() >= pulse_max) {
            let why = format!("the relay was on for {} ms, its maximum, and was forced off", pulse_max.as_millis());
            tracing::error!("{why}");
            self.wanted = false;
            self.held = Some(why);
        }
    }

    /// Takes note of what the driver did when told `on` for call number `call`.
    fn driven(&mut self, call: u64, on: bool, result: Result<(), OutputError>) {
        self.done = call;
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tracing::info!(on, "the relay's line can be driven again");
                }
                self.failures = 0;
                self.driven = Some(on);
                if !on {
                    self.on_since = None;
                }
            }
            Err(error) => {
                // The first failure and then about one in ten seconds: a log is for reading.
                if self.failures.is_multiple_of(100) {
                    tracing::error!(%error, tries = self.failures + 1, "the relay's line cannot be driven");
                }
                self.failures += 1;
                self.driven = None;
                self.wanted = false;
                self.trouble = Some(error.to_string());
                self.failed = Some((call, error));
            }
        }
    }
}

/// The thread: brings the line to what is wanted, for ever.
fn run(shared: &Shared, mut output: Box<dyn Output>) {
    let mut state = shared.lock();
    let mut stopping = None;
    loop {
        state.enforce(shared.pulse_max);
        // A line in an unknown state, as at the start, is driven off before it may go on.
        let target = state.wanted && state.driven.is_some();
        let settled = state.driven == Some(target);
        if settled {
            state.done = state.asked;
            shared.changed.notify_all();
        }
        if state.stop {
            let since = *stopping.get_or_insert_with(Instant::now);
            if settled || since.elapsed() >= LAST_TRIES {
                break;
            }
        }
        if settled {
            let left = state.on_since.map(|since| shared.pulse_max.saturating_sub(since.elapsed()));
            // Nothing else ends a wait but a call; an hour stands for "no deadline".
            state = shared.wait(state, left.unwrap_or(Duration::from_secs(3600)));
            continue;
        }
        let (asked, carried_out) = (state.asked, target == state.wanted);
        if target {
            // Before the driver is called: its own time is part of the pulse.
            state.on_since = Some(Instant::now());
        }
        state.call_since = Some(Instant::now());
        drop(state);
        let result = guarded(|| output.set(target))
            .unwrap_or_else(|why| Err(OutputError::Drive { at: "the relay's line".to_owned(), on: target, why }));
        state = shared.lock();
        state.call_since = None;
        let failed = result.is_err();
        let call = if carried_out || failed { asked } else { state.done };
        state.driven(call, target, result);
        shared.changed.notify_all();
        // A failed "on" is followed by "off" at once; a failed "off" by another after a moment.
        if failed && !target {
            state = shared.wait(state, RETRY);
        }
    }
    if state.driven != Some(false) {
        tracing::error!("the relay's line could not be switched off: lock the door by hand");
    }
    drop(state);
    // The line is released before anybody hears that the thread has gone.
    if let Err(why) = guarded(move || drop(output)) {
        tracing::error!(%why, "the relay's line was not closed cleanly");
    }
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;
