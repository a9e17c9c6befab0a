//! Tests of the relay thread with scripted lines.

use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::wedged::{Deadly, output_into_a_pipe};

/// What a scripted line was told, and when.
type Told = Arc<Mutex<Vec<(bool, Instant)>>>;

/// A line that fails as often as told, or hangs.
struct Line {
    told: Told,
    off_failures: Arc<AtomicU32>,
    on_failures: Arc<AtomicU32>,
    hang: Arc<Mutex<()>>,
}

/// The handles of a scripted line.
struct Script {
    told: Told,
    off_failures: Arc<AtomicU32>,
    on_failures: Arc<AtomicU32>,
    hang: Arc<Mutex<()>>,
}

fn line() -> (Box<dyn Output>, Script) {
    let script = Script {
        told: Told::default(),
        off_failures: Arc::default(),
        on_failures: Arc::default(),
        hang: Arc::default(),
    };
    let line = Line {
        told: script.told.clone(),
        off_failures: script.off_failures.clone(),
        on_failures: script.on_failures.clone(),
        hang: script.hang.clone(),
    };
    (Box::new(line), script)
}

impl Output for Line {
    fn describe(&self) -> String {
        "scripted".to_owned()
    }

    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        drop(self.hang.lock().unwrap());
        let failures = if on { &self.on_failures } else { &self.off_failures };
        if failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(OutputError::Drive { at: "scripted".to_owned(), on, why: "as told".to_owned() });
        }
        self.told.lock().unwrap().push((on, Instant::now()));
        Ok(())
    }
}

impl Script {
    fn states(&self) -> Vec<bool> {
        self.told.lock().unwrap().iter().map(|(on, _)| *on).collect()
    }

    /// Waits until the line was told `states`; panics when that does not come about.
    #[track_caller]
    fn await_states(&self, states: &[bool]) {
        let start = Instant::now();
        while self.states() != states {
            assert!(start.elapsed() < Duration::from_secs(20), "{:?} instead of {states:?}", self.states());
            thread::sleep(Duration::from_millis(5));
        }
    }
}

const LONG: Duration = Duration::from_secs(600);

#[test]
fn the_line_is_driven_off_at_the_start_and_as_asked_after_that() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    // Not even a caller in a hurry gets ahead of the first off.
    guard.set(true).unwrap();
    assert_eq!(script.states(), [false, true]);
    guard.set(true).unwrap();
    guard.set(false).unwrap();
    assert_eq!(script.states(), [false, true, false]);
    assert_eq!(guard.fault(), None);
}

#[test]
fn a_pulse_is_cut_off_at_its_maximum_and_asking_again_does_not_prolong_it() {
    let (output, script) = line();
    let pulse_max = Duration::from_millis(200);
    let guard = RelayGuard::start(output, pulse_max);
    script.await_states(&[false]);
    guard.set(true).unwrap();
    let mut refused = None;
    // A state machine gone mad: it never switches off and asks again and again.
    while refused.is_none() {
        refused = guard.set(true).err();
        thread::sleep(Duration::from_millis(10));
    }
    script.await_states(&[false, true, false]);
    let told = script.told.lock().unwrap().clone();
    assert!(told[2].1 - told[1].1 >= pulse_max - Duration::from_millis(50), "cut off early");
    assert!(matches!(refused, Some(OutputError::Refused { .. })), "{refused:?}");
    assert!(guard.fault().unwrap().contains("200 ms"));

    guard.set(false).unwrap();
    assert_eq!(guard.fault(), None);
    guard.set(true).unwrap();
    assert_eq!(script.states().last(), Some(&true));
}

#[test]
fn an_off_that_fails_is_tried_until_it_works_and_tells_of_it() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    guard.set(true).unwrap();
    script.off_failures.store(3, Ordering::SeqCst);
    assert!(matches!(guard.set(false), Err(OutputError::Drive { on: false, .. })));
    assert!(guard.fault().unwrap().contains("as told"));
    assert!(matches!(guard.set(true), Err(OutputError::Refused { .. })));
    let before = script.states().len();
    let start = Instant::now();
    while guard.fault().is_some() {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(script.states()[before..], [false]);
    guard.set(true).unwrap();
}

#[test]
fn an_on_that_fails_is_told_to_its_caller_and_followed_by_off() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    script.await_states(&[false]);
    script.on_failures.store(1, Ordering::SeqCst);
    assert!(matches!(guard.set(true), Err(OutputError::Drive { on: true, .. })));
    script.await_states(&[false, false]);
    guard.set(false).unwrap();
    guard.set(true).unwrap();
}

#[test]
fn a_driver_that_hangs_neither_holds_the_caller_nor_opens_the_door_later() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    script.await_states(&[false]);
    let hang = script.hang.lock().unwrap();
    let start = Instant::now();
    assert!(matches!(guard.set(true), Err(OutputError::Wedged { .. })));
    assert!(start.elapsed() < Duration::from_secs(15));
    thread::sleep(Duration::from_millis(100));
    assert!(guard.fault().unwrap().contains("hung"));
    drop(hang);
    // The call under way still switches on, for a moment; the next switches off.
    script.await_states(&[false, true, false]);
}

#[test]
fn dropping_the_guard_drives_the_line_off() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    guard.set(true).unwrap();
    script.off_failures.store(2, Ordering::SeqCst);
    drop(guard);
    assert_eq!(script.states().last(), Some(&false));
}

#[test]
fn dropping_the_guard_of_a_line_that_hangs_comes_back() {
    let (output, script) = line();
    let guard = RelayGuard::start(output, LONG);
    guard.set(true).unwrap();
    let hang = script.hang.lock().unwrap();
    drop(guard);
    drop(hang);
    script.await_states(&[false, true, false]);
}

#[test]
fn an_output_that_panics_is_a_failure_not_the_end_of_the_thread() {
    struct Panics(Arc<AtomicU32>);
    impl Output for Panics {
        fn describe(&self) -> String {
            String::new()
        }
        fn set(&mut self, on: bool) -> Result<(), OutputError> {
            assert!(!on || self.0.fetch_add(1, Ordering::SeqCst) > 0, "the first time is a bug");
            Ok(())
        }
    }
    let guard = RelayGuard::start(Box::new(Panics(Arc::default())), LONG);
    assert!(guard.set(true).unwrap_err().to_string().contains("the first time is a bug"));
    guard.set(false).unwrap();
    guard.set(true).unwrap();
}

#[test]
fn a_real_line_that_hangs_is_a_fault_until_it_comes_back_locked() {
    let folder = tempfile::tempdir().unwrap();
    let (output, mut pipe) = output_into_a_pipe(folder.path(), "relay");
    let guard = RelayGuard::start(output, LONG);
    guard.set(false).unwrap();
    pipe.fill();
    assert!(matches!(guard.set(true), Err(OutputError::Wedged { .. })));
    assert!(guard.fault().unwrap().contains("hung"));
    assert!(guard.set(false).is_err());

    let (start, mut seen) = (Instant::now(), String::new());
    while guard.set(false).is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "{seen}");
        seen += &pipe.drain();
    }
    seen += &pipe.drain();
    assert!(seen.trim_end().ends_with("\"on\":false}"), "{seen}");
    assert_eq!(guard.fault(), None);
}

#[test]
fn a_thread_that_has_ended_is_a_fault_at_once_and_waits_for_nobody() {
    let guard = RelayGuard::start(Box::new(Deadly), LONG);
    guard.set(false).unwrap();
    assert!(guard.set(true).is_err());
    let start = Instant::now();
    while !guard.fault().is_some_and(|why| why.contains("the relay's thread has ended")) {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", guard.fault());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(matches!(guard.set(true), Err(OutputError::Refused { .. })));
    assert!(matches!(guard.set(false), Err(OutputError::Drive { .. })), "nobody can say that it is locked");
    let start = Instant::now();
    drop(guard);
    assert!(start.elapsed() < LAST_TRIES, "its end was waited for: {:?}", start.elapsed());
}
