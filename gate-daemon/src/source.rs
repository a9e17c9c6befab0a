//! Where frames come from: a live camera on its own thread, of which only the newest frame counts, or a replay, of
//! which every frame counts and whose time is its own.

use anyhow::Result;
use gate_core::decision::Now;
use gate_hal::{
    Camera, CameraError, CameraIdentity, CameraOptions, CameraSpec, CameraState, Capture, Clock, Frame, Newest, Replay,
    ReplayClock, SystemClock, open_replay,
};
use std::sync::Arc;
use std::time::Duration;

/// A camera that is running.
pub enum Source {
    /// A real one.
    Live(Capture, Arc<SystemClock>),
    /// A recorded one.
    Replay(Box<Replay>, Arc<ReplayClock>),
}

/// What the source has.
pub enum Next {
    /// A frame.
    Frame,
    /// Nothing new within the timeout.
    Nothing,
    /// The camera came or went.
    State(CameraState),
    /// One frame could not be read; the next may be.
    Bad(CameraError),
    /// A replay cannot go on.
    Broken(CameraError),
    /// A replay is over.
    End,
}

impl Source {
    /// Starts the camera. A live one that is missing is no error: it is waited for.
    ///
    /// # Errors
    /// When a replay cannot be opened.
    pub fn start(spec: CameraSpec, options: &CameraOptions) -> Result<Self> {
        match spec {
            CameraSpec::Replay(path) => {
                let clock = Arc::new(ReplayClock::new(SystemClock::new().wall_ms()));
                let replay = open_replay(&path, options, Arc::clone(&clock))?;
                Ok(Source::Replay(Box::new(replay), clock))
            }
            live => {
                let clock = Arc::new(SystemClock::new());
                Ok(Source::Live(Capture::start(live, options.clone(), Arc::clone(&clock) as _), clock))
            }
        }
    }

    /// The clock that decisions go by.
    pub fn clock(&self) -> Arc<dyn Clock> {
        match self {
            Source::Live(_, clock) => Arc::clone(clock) as _,
            Source::Replay(_, clock) => Arc::clone(clock) as _,
        }
    }

    /// What it is, when that is known before the first frame.
    pub fn describe(&self) -> Option<String> {
        match self {
            Source::Live(..) => None,
            Source::Replay(replay, _) => Some(replay.describe()),
        }
    }

    /// Waits at most `timeout` for the next frame.
    pub fn next(&mut self, frame: &mut Frame, timeout: Duration) -> Next {
        match self {
            Source::Live(capture, _) => match capture.newest(frame, timeout) {
                Newest::Frame => Next::Frame,
                Newest::Nothing => Next::Nothing,
                Newest::State(state) => Next::State(state),
                Newest::End => Next::End,
            },
            Source::Replay(replay, _) => match replay.next_frame(frame, timeout) {
                Ok(()) => Next::Frame,
                Err(CameraError::End) => Next::End,
                Err(CameraError::Timeout { .. }) => Next::Nothing,
                Err(e) if e.is_passing() => Next::Bad(e),
                Err(e) => Next::Broken(e),
            },
        }
    }

    /// Opens a live camera anew, only if it is this one, where one is named.
    pub fn reopen(&self, identity: Option<CameraIdentity>) {
        if let Source::Live(capture, _) = self {
            capture.reopen(identity);
        }
    }

    /// Both clocks now. Of a replay: the time of the frame given last.
    pub fn now(&self) -> Now {
        let clock = self.clock();
        Now { mono_ms: clock.mono_ms(), wall_ms: clock.wall_ms() }
    }

    /// Whether time passes only from frame to frame.
    pub fn is_replay(&self) -> bool {
        matches!(self, Source::Replay(..))
    }
}
