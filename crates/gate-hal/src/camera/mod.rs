//! Cameras: one trait, three makers (nokhwa, raw v4l, replay), and the thread that keeps the newest frame.

mod decode;
mod error;
mod identity;
mod inspect;
mod jpeg;
mod live;
mod modes;
mod nokhwa;
mod replay;
mod spec;
mod v4l;

use std::sync::Arc;
use std::time::Duration;

pub use error::CameraError;
pub use identity::{CameraIdentity, Described, IdentityError, UsbDevice, describe_camera};
pub use live::{CameraState, Capture, Limits, Newest, Opener};
pub use replay::{Replay, open_replay};
pub use spec::{CameraOptions, CameraSpec, Pace, PixelFormat, SpecError};

use crate::{Clock, Frame};

/// Something that gives pictures, one after the other.
pub trait Camera: Send {
    /// What it is and in which mode it runs, for logs and `check`: maker, device, size, format, rate.
    fn describe(&self) -> String;

    /// Which camera it is, as far as the kernel tells.
    fn identity(&self) -> Option<&CameraIdentity> {
        None
    }

    /// Frames a second agreed with a camera's driver. What a camera brings is checked against that; a replay has none,
    /// and may show the same picture as often as it likes.
    fn agreed_fps(&self) -> Option<f64> {
        None
    }

    /// Fills `frame` with the next picture, reusing its buffer. Waits at most `timeout`, except for `nokhwa`, whose
    /// driver call knows no timeout: run it under [`Capture`].
    ///
    /// # Errors
    /// [`CameraError::Timeout`] and [`CameraError::Decode`]: go on, the next call may succeed. [`CameraError::End`]:
    /// a replay is over. All others: open the camera anew. After an error `frame` holds no picture that may be used.
    fn next_frame(&mut self, frame: &mut Frame, timeout: Duration) -> Result<(), CameraError>;
}

/// Opens a camera. Frames are stamped with `clock` at receipt; a replay stamps its own time, which starts at 0.
///
/// # Errors
/// [`CameraError::Missing`], [`CameraError::Busy`], [`CameraError::Unsupported`], [`CameraError::Tool`] ...: each says
/// what, where and what to do.
pub fn open(
    spec: &CameraSpec,
    options: &CameraOptions,
    clock: &Arc<dyn Clock>,
) -> Result<Box<dyn Camera>, CameraError> {
    match spec {
        CameraSpec::Nokhwa(device) => {
            nokhwa::NokhwaCamera::open(device, options, Arc::clone(clock)).map(|camera| Box::new(camera) as _)
        }
        CameraSpec::V4l(device) => {
            v4l::V4lCamera::open(device, options, Arc::clone(clock)).map(|camera| Box::new(camera) as _)
        }
        CameraSpec::Replay(path) => Replay::open(path, options, None).map(|replay| Box::new(replay) as _),
    }
}
