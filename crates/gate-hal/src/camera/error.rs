//! What can go wrong with a camera, in words for the person who installs it.

use std::time::Duration;

/// Why there is no frame. Each message says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CameraError {
    /// The replay is over; nothing is wrong.
    #[error("the replay is over")]
    End,
    /// No frame within the time the caller gave. The next call may succeed.
    #[error(
        "{camera} gave no frame within {} ms: if this goes on, check its cable and power, or ask for a lower rate",
        waited.as_millis()
    )]
    Timeout {
        /// Which camera.
        camera: String,
        /// How long the call waited.
        waited: Duration,
    },
    /// There is no such camera or file.
    #[error("there is no camera at {camera}: {advice}")]
    Missing {
        /// What was asked for.
        camera: String,
        /// What exists, and what to do.
        advice: String,
    },
    /// The camera exists, but this process may not use it, or somebody else does.
    #[error("{camera} cannot be opened ({why}): {advice}")]
    Busy {
        /// Which camera.
        camera: String,
        /// The system's own words.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// The camera worked and went away, or its driver failed. Open it anew.
    #[error("{camera} is lost ({why}): check its cable and power; it will be opened again when it is back")]
    Lost {
        /// Which camera.
        camera: String,
        /// The driver's own words.
        why: String,
    },
    /// The camera was taken out: its device is gone.
    #[error("{camera} was unplugged: look who did it; it will be opened again when it is back")]
    Unplugged {
        /// Which camera.
        camera: String,
    },
    /// Another camera than the pinned one is behind this name.
    #[error(
        "{camera} is another camera: it is `{found}`, and [camera] identity is `{pinned}`: put the right one back; a new \
         camera is pinned by `gate-daemon devices --pin`"
    )]
    Changed {
        /// What was opened.
        camera: String,
        /// The identity of what is there.
        found: String,
        /// The identity that is expected.
        pinned: String,
    },
    /// The camera or file cannot give what was asked for.
    #[error("{camera} does not fit: {why}: {advice}")]
    Unsupported {
        /// Which camera or file.
        camera: String,
        /// What does not fit.
        why: String,
        /// What to do.
        advice: String,
    },
    /// One bad frame or picture; the next may be good.
    #[error("{camera} gave a bad frame ({why}): a single one does no harm; many mean a bad cable, hub or file")]
    Decode {
        /// Which camera or file.
        camera: String,
        /// What was wrong with it.
        why: String,
    },
    /// A frame that no camera can have taken; the next may be good.
    #[error(
        "{camera} gives frames that no camera can have taken ({why}): none of them counts; look at the camera and its cable"
    )]
    Odd {
        /// Which camera.
        camera: String,
        /// What is odd about it.
        why: String,
        /// Whether somebody should look.
        alarm: bool,
    },
    /// A program that the maker needs is not installed, or failed.
    #[error("{tool} is needed to replay {path}, but {why}: {advice}")]
    Tool {
        /// The program.
        tool: &'static str,
        /// The file it was to read.
        path: String,
        /// What happened.
        why: String,
        /// What to do.
        advice: &'static str,
    },
}

impl CameraError {
    /// Whether the same camera may be asked again without opening it anew.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, CameraError::Timeout { .. } | CameraError::Decode { .. } | CameraError::Odd { .. })
    }

    /// The error of opening or using the device node `camera`, told from the system's error.
    pub(crate) fn from_device(camera: &str, error: &std::io::Error) -> Self {
        let why = error.to_string();
        let camera = camera.to_owned();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => {
                CameraError::Missing { camera, advice: crate::devices::camera_advice() }
            }
            Some(libc::EACCES | libc::EPERM) => CameraError::Busy {
                camera,
                why,
                advice: "add the gate's user to the group `video` (sudo usermod -aG video USER) and log in again",
            },
            Some(libc::EBUSY) => CameraError::Busy {
                camera,
                why,
                advice: "the running daemon or another program uses the camera; `fuser -v /dev/video*` names it: stop it",
            },
            _ => CameraError::Lost { camera, why },
        }
    }
}
