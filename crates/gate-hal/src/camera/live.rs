//! The capture thread: one live camera, opened again and again for ever, of which only the newest frame is kept.
//!
//! ```text
//!   worker thread                         slot (one frame)                 the gate's thread
//!   open ── next_frame ── decode ──swap──> [ newest, fresh ] ──swap──> newest(frame, timeout)
//!     ^        │ error, silence                 │ states: Opened, Lost      │ watches the worker's progress
//!     └─ back-off                               └───────────────────────────┘
//! ```
//! A frame that no camera can have taken ([`super::inspect`]) never comes into the slot.
//!
//! Nothing queues: a slow gate sees fewer frames, never older ones. A driver call that does not come back cannot be
//! ended from outside; its thread is then abandoned: it ends by itself when the driver returns, and what it brings is
//! thrown away.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::inspect::Inspector;
use super::{Camera, CameraError, CameraIdentity, CameraOptions, CameraSpec, open};
use crate::guarded::guarded;
use crate::{Clock, Frame};

/// Opens the camera; called again after each loss.
pub type Opener = Arc<dyn Fn() -> Result<Box<dyn Camera>, CameraError> + Send + Sync>;

/// The times of a [`Capture`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Without a frame for so long, the camera is reported as lost.
    pub silent: Duration,
    /// A driver's `next_frame` that is not back by then is given up, and the camera opened anew.
    pub stuck: Duration,
    /// The same for opening, which takes some cameras seconds.
    pub stuck_opening: Duration,
    /// The first wait between two attempts to open; it doubles up to `backoff_max`.
    pub backoff: Duration,
    /// The longest wait between two attempts to open.
    pub backoff_max: Duration,
    /// Frames thrown away after each opening: the first of many cameras is dark or torn, and some drivers hand out one
    /// that is left from before, which must not pass for the present.
    pub warm_up: u64,
    /// How many threads may be stuck in a driver at a time before no new one is tried.
    pub abandoned: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            silent: Duration::from_secs(2),
            stuck: Duration::from_secs(5),
            stuck_opening: Duration::from_secs(10),
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(1),
            warm_up: 1,
            abandoned: 3,
        }
    }
}

/// A change of the camera's state; each is reported once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraState {
    /// The first frame has come, or frames flow again.
    Opened {
        /// What it is and in which mode it runs.
        describe: String,
        /// Which camera it is, where the kernel tells.
        identity: Option<CameraIdentity>,
    },
    /// No frames: missing, unplugged, wedged, silent. It is being opened again.
    Lost {
        /// What, where, what to do.
        why: String,
        /// It was running, and its device was taken away.
        unplugged: bool,
    },
    /// Another camera than the pinned one is there. It is looked for again and again.
    Changed {
        /// Which one, where, what to do.
        why: String,
    },
    /// Frames come that no camera can have taken; none of them is given out.
    Suspect {
        /// What is wrong with them.
        why: String,
    },
}

impl CameraState {
    fn lost(why: String) -> Self {
        CameraState::Lost { why, unplugged: false }
    }
}

/// What [`Capture::newest`] has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Newest {
    /// A new frame was swapped in.
    Frame,
    /// No new frame within the timeout, and nothing to report.
    Nothing,
    /// The camera's state has changed.
    State(CameraState),
    /// The camera has no more frames (a replay).
    End,
}

/// Reported states that nobody has fetched; more push out the oldest.
const STATES_MAX: usize = 16;
/// The longest that one driver call is let wait: so soon a thread sees that it shall stop.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);
/// A driver call that is silent for this much longer than a lost camera is given up.
const STUCK_AFTER_SILENT: Duration = Duration::from_secs(3);
/// How long `stop` waits for the thread.
const STOP_WAIT: Duration = Duration::from_secs(1);
/// The shortest wait between two looks at the worker's progress.
const MOMENT: Duration = Duration::from_millis(20);

/// A live camera on a thread of its own.
pub struct Capture {
    shared: Arc<Shared>,
    /// The only camera that is opened.
    pinned: Arc<Mutex<Option<CameraIdentity>>>,
}

struct Shared {
    slot: Mutex<Slot>,
    changed: Condvar,
    opener: Opener,
    limits: Limits,
    /// Of the worker in charge. It outlives every opening.
    inspector: Mutex<Inspector>,
    began: Instant,
}

struct Slot {
    /// Which worker may write here: those of older generations are abandoned.
    generation: u64,
    frame: Frame,
    fresh: bool,
    states: VecDeque<CameraState>,
    /// The last reported state.
    state: Option<CameraState>,
    /// What the open camera says it is.
    describe: String,
    /// A camera has run, and nobody was told yet that its device is gone.
    present: bool,
    /// The camera shall be closed and opened anew.
    reopen: bool,
    /// The last bad frame's or timeout's words since the last good frame.
    trouble: Option<String>,
    /// When the last frame came; before the first, when the thread started.
    last_frame: Instant,
    /// The driver call in progress, and whether it is an opening one.
    call: Option<(Instant, bool)>,
    /// Threads that are in the driver or on the way out.
    abandoned: usize,
    working: bool,
    ended: bool,
    stop: bool,
}

impl Capture {
    /// Starts the thread for the camera `spec`. Comes back at once; whether the camera is there is reported by
    /// [`Capture::newest`].
    #[must_use]
    pub fn start(spec: CameraSpec, options: CameraOptions, clock: Arc<dyn Clock>) -> Capture {
        let limits = Limits { silent: options.stall, stuck: options.stall + STUCK_AFTER_SILENT, ..Limits::default() };
        let pinned = Arc::new(Mutex::new(options.identity.clone()));
        let identity = Arc::clone(&pinned);
        let opener = move || {
            let identity = identity.lock().unwrap_or_else(PoisonError::into_inner).clone();
            open(&spec, &CameraOptions { identity, ..options.clone() }, &clock)
        };
        let mut capture = Self::with_opener(Arc::new(opener), limits);
        capture.pinned = pinned;
        capture
    }

    /// Starts the thread for whatever `opener` opens: other cameras, faults for tests.
    #[must_use]
    pub fn with_opener(opener: Opener, limits: Limits) -> Capture {
        let slot = Slot {
            generation: 0,
            frame: Frame::empty(),
            fresh: false,
            states: VecDeque::new(),
            state: None,
            describe: String::new(),
            present: false,
            reopen: false,
            trouble: None,
            last_frame: Instant::now(),
            call: None,
            abandoned: 0,
            working: false,
            ended: false,
            stop: false,
        };
        let shared = Arc::new(Shared {
            slot: Mutex::new(slot),
            changed: Condvar::new(),
            opener,
            limits,
            inspector: Mutex::default(),
            began: Instant::now(),
        });
        spawn(&shared, &mut shared.lock());
        Capture { shared, pinned: Arc::default() }
    }

    /// Swaps the newest frame into `frame`, or says what else there is. States come before frames. Waits at most
    /// `timeout`, whatever the driver does.
    pub fn newest(&self, frame: &mut Frame, timeout: Duration) -> Newest {
        let start = Instant::now();
        let mut slot = self.shared.lock();
        loop {
            let next_check = self.watch(&mut slot);
            if let Some(state) = slot.states.pop_front() {
                return Newest::State(state);
            }
            if slot.fresh {
                slot.fresh = false;
                std::mem::swap(frame, &mut slot.frame);
                return Newest::Frame;
            }
            if slot.ended {
                return Newest::End;
            }
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Newest::Nothing;
            }
            slot = self.shared.wait(slot, left.min(next_check));
        }
    }

    /// Closes the camera and opens it anew, only if it is this one, where one is named. The outcome is the next state:
    /// [`CameraState::Opened`], `Changed`, `Lost` or `Suspect`.
    pub fn reopen(&self, identity: Option<CameraIdentity>) {
        *self.pinned.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        let mut slot = self.shared.lock();
        slot.reopen = true;
        slot.state = None;
        // What was reported before says nothing about the camera that is opened from now on.
        slot.states.clear();
        slot.fresh = false;
        slot.last_frame = Instant::now();
        self.shared.changed.notify_all();
    }

    /// Ends the thread and closes the camera. Waits about a second at most; a thread that is stuck in its driver ends
    /// when the driver returns.
    pub fn stop(self) {}

    /// Looks at the worker's progress: reports silence, abandons a stuck thread. Returns when to look again.
    fn watch(&self, slot: &mut Slot) -> Duration {
        let limits = &self.shared.limits;
        if slot.ended || slot.stop {
            return Duration::MAX;
        }
        let silent = slot.last_frame.elapsed();
        // A camera may take longer for its first frame than between two.
        let patience = match slot.state {
            None => Some(limits.stuck),
            Some(CameraState::Opened { .. }) => Some(limits.silent),
            Some(CameraState::Lost { .. } | CameraState::Changed { .. } | CameraState::Suspect { .. }) => None,
        };
        if let Some(patience) = patience.filter(|patience| silent >= *patience) {
            let camera = if slot.describe.is_empty() { "the camera" } else { &slot.describe };
            let after = slot.trouble.as_ref().map(|trouble| format!(": {trouble}")).unwrap_or_default();
            let why = format!("no frame for {} ms from {camera}{after}", patience.as_millis());
            slot.report(CameraState::lost(why));
        }
        let mut next = patience.unwrap_or(MOMENT).saturating_sub(silent).max(MOMENT);
        if let Some((since, opening)) = slot.call {
            let limit = if opening { limits.stuck_opening } else { limits.stuck };
            if since.elapsed() >= limit && slot.abandoned < limits.abandoned {
                self.abandon(slot, opening, limit);
            }
            next = next.min(limit.saturating_sub(since.elapsed()).max(MOMENT));
        }
        if !slot.working {
            // No thread could be started: the machine is out of threads or memory for the moment.
            spawn(&self.shared, slot);
        }
        next
    }

    /// Leaves the stuck thread behind and starts another.
    fn abandon(&self, slot: &mut Slot, opening: bool, hung: Duration) {
        let doing = if opening { "opening it" } else { "waiting for a frame" };
        let why = format!(
            "the camera's driver has hung for {} ms while {doing}: it is opened anew; unplug and replug it, or open it \
             as v4l:, which has timeouts",
            hung.as_millis()
        );
        tracing::warn!(abandoned = slot.abandoned + 1, "{why}");
        slot.report(CameraState::lost(why));
        slot.generation += 1;
        slot.abandoned += 1;
        slot.call = None;
        slot.last_frame = Instant::now();
        spawn(&self.shared, slot);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let start = Instant::now();
        let mut slot = self.shared.lock();
        slot.stop = true;
        self.shared.changed.notify_all();
        while slot.working && start.elapsed() < STOP_WAIT {
            slot = self.shared.wait(slot, STOP_WAIT);
        }
    }
}

impl Shared {
    /// A panic under this lock would be one of ours; the slot is whole after each statement, so go on.
    fn lock(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, slot: MutexGuard<'a, Slot>, timeout: Duration) -> MutexGuard<'a, Slot> {
        self.changed.wait_timeout(slot, timeout).unwrap_or_else(PoisonError::into_inner).0
    }

    /// Looks whether a camera can have taken this frame.
    fn inspect(&self, generation: u64, camera: &dyn Camera, frame: &Frame) -> Result<(), CameraError> {
        // What an abandoned worker brings is thrown away, and must not be remembered as seen.
        let Some(agreed_fps) = camera.agreed_fps().filter(|_| self.own(generation).is_some()) else { return Ok(()) };
        let received_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut inspector = self.inspector.lock().unwrap_or_else(PoisonError::into_inner);
        inspector.look(frame, agreed_fps, received_ms).map_err(|finding| CameraError::Odd {
            camera: camera.describe(),
            why: finding.odd.to_string(),
            alarm: finding.alarm,
        })
    }

    /// The slot, if it is still this worker's.
    fn own(&self, generation: u64) -> Option<MutexGuard<'_, Slot>> {
        let slot = self.lock();
        (slot.generation == generation && !slot.stop).then_some(slot)
    }
}

impl Slot {
    /// Reports that the camera could not be opened, or is lost.
    fn failed(&mut self, error: &CameraError) {
        let why = error.to_string();
        match error {
            CameraError::Odd { .. } => {
                // It goes on: that is told again, though not more often than a camera is opened.
                self.state = None;
                self.report(CameraState::Suspect { why });
            }
            CameraError::Changed { .. } => {
                self.present = false;
                self.report(CameraState::Changed { why });
            }
            CameraError::Unplugged { .. } | CameraError::Missing { .. } if self.present => {
                self.present = false;
                self.report(CameraState::Lost { why, unplugged: true });
            }
            _ => self.report(CameraState::lost(why)),
        }
    }

    /// Reports a change; the same state again is none, nor is another oddity.
    fn report(&mut self, state: CameraState) {
        if !matches!(state, CameraState::Opened { .. }) {
            // A picture from before the loss must not be taken for the present.
            self.fresh = false;
        }
        let is_known = match (&self.state, &state) {
            (Some(CameraState::Suspect { .. }), CameraState::Suspect { .. }) => true,
            (Some(CameraState::Lost { why: before, .. }), CameraState::Lost { why, .. }) => before == why,
            (before, state) => before.as_ref() == Some(state),
        };
        if is_known {
            return;
        }
        if self.states.len() == STATES_MAX {
            self.states.pop_front();
        }
        self.state = Some(state.clone());
        self.states.push_back(state);
    }
}

/// Starts a worker of the slot's generation.
fn spawn(shared: &Arc<Shared>, slot: &mut Slot) {
    let (worker, generation) = (Arc::clone(shared), slot.generation);
    let spawned = thread::Builder::new().name(format!("camera-{generation}")).spawn(move || {
        if let Err(why) = guarded(|| run(&worker, generation)) {
            tracing::error!(%why, "the camera's thread failed");
        }
        let mut slot = worker.lock();
        if slot.generation == generation {
            slot.working = false;
        } else {
            slot.abandoned = slot.abandoned.saturating_sub(1);
            tracing::info!("an abandoned camera thread has come back from its driver");
        }
        worker.changed.notify_all();
    });
    slot.working = spawned.is_ok();
    if let Err(error) = spawned {
        let why = format!("the camera's thread cannot start ({error}); it is tried again");
        slot.report(CameraState::lost(why));
    }
}

/// A worker: opens, reads until the camera is lost, waits, opens again; until it is stopped, abandoned or at the end.
fn run(shared: &Shared, generation: u64) {
    let mut backoff = shared.limits.backoff;
    let mut frame = Frame::empty();
    loop {
        if let Some(mut slot) = shared.own(generation) {
            slot.reopen = false;
        }
        let opened = call(shared, generation, true, || (shared.opener)());
        let Some(mut slot) = shared.own(generation) else { return };
        let error = match opened {
            Ok(mut camera) => {
                shared.inspector.lock().unwrap_or_else(PoisonError::into_inner).opened();
                slot.describe = camera.describe();
                slot.trouble = None;
                slot.last_frame = Instant::now();
                drop(slot);
                let (error, frames) = read(shared, generation, camera.as_mut(), &mut frame);
                if frames > shared.limits.warm_up {
                    backoff = shared.limits.backoff;
                }
                // Closing is a driver call too.
                let closed = call(shared, generation, false, move || {
                    drop(camera);
                    Ok(())
                });
                if let Err(error) = closed {
                    tracing::warn!(%error, "the camera was not closed cleanly");
                }
                error
            }
            Err(error) => {
                drop(slot);
                error
            }
        };
        let Some(mut slot) = shared.own(generation) else { return };
        if matches!(error, CameraError::End) {
            slot.ended = true;
            return;
        }
        if !slot.reopen {
            slot.failed(&error);
            shared.changed.notify_all();
        }
        let until = Instant::now() + backoff;
        while !slot.stop && slot.generation == generation && !slot.reopen && Instant::now() < until {
            slot = shared.wait(slot, until.saturating_duration_since(Instant::now()));
        }
        backoff = (backoff * 2).min(shared.limits.backoff_max);
    }
}

/// Reads frames into the slot until the camera fails for good. Returns why, and how many frames it gave.
fn read(shared: &Shared, generation: u64, camera: &mut dyn Camera, frame: &mut Frame) -> (CameraError, u64) {
    let mut frames = 0;
    loop {
        let mut result = call(shared, generation, false, || camera.next_frame(frame, CALL_TIMEOUT));
        if result.is_ok() && frames >= shared.limits.warm_up {
            result = shared.inspect(generation, camera, frame);
        }
        let Some(mut slot) = shared.own(generation) else { return (CameraError::End, frames) };
        if slot.reopen {
            return (CameraError::Lost { camera: slot.describe.clone(), why: "it is opened anew".to_owned() }, frames);
        }
        match result {
            Ok(()) if frames < shared.limits.warm_up => frames += 1,
            Ok(()) => {
                frames += 1;
                std::mem::swap(frame, &mut slot.frame);
                slot.fresh = true;
                slot.last_frame = Instant::now();
                slot.trouble = None;
                slot.present = true;
                if !matches!(slot.state, Some(CameraState::Opened { .. })) {
                    let describe = slot.describe.clone();
                    slot.report(CameraState::Opened { describe, identity: camera.identity().cloned() });
                }
                shared.changed.notify_all();
            }
            Err(error) if error.is_passing() && slot.last_frame.elapsed() < shared.limits.stuck => {
                tracing::debug!(%error, "no frame");
                if let CameraError::Odd { alarm: true, .. } = error {
                    slot.report(CameraState::Suspect { why: error.to_string() });
                    shared.changed.notify_all();
                }
                slot.trouble = Some(error.to_string());
            }
            Err(error) => return (error, frames),
        }
    }
}

/// Runs one driver call under the watch of [`Capture::newest`]; a panic of the driver's code is a loss.
fn call<T>(
    shared: &Shared,
    generation: u64,
    opening: bool,
    driver: impl FnOnce() -> Result<T, CameraError>,
) -> Result<T, CameraError> {
    if let Some(mut slot) = shared.own(generation) {
        slot.call = Some((Instant::now(), opening));
    }
    let result = guarded(driver).unwrap_or_else(|why| {
        Err(CameraError::Lost { camera: "the camera".to_owned(), why: format!("its driver's code failed: {why}") })
    });
    if let Some(mut slot) = shared.own(generation) {
        slot.call = None;
    }
    result
}

#[cfg(test)]
#[path = "live_tests.rs"]
mod tests;
