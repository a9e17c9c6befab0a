//! Cameras through `nokhwa`, the default maker.
//!
//! `nokhwa` 0.10 knows no timeout: a wedged camera blocks `next_frame` for ever, so it belongs under
//! [`Capture`](super::Capture). It also refuses to open a camera that somebody left in a mode it does not know, and
//! does not tell the rows' padding; therefore the mode is agreed by V4L2 first and then asked for by name.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nokhwa::NokhwaError;
use nokhwa::utils::{ApiBackend, CameraFormat, CameraIndex, FrameFormat, RequestedFormat, RequestedFormatType};

use super::decode::{Layout, Wire, decode};
use super::identity::Held;
use super::modes::Mode;
use super::v4l::negotiate;
use super::{Camera, CameraError, CameraIdentity, CameraOptions};
use crate::guarded::guarded;
use crate::{Clock, Frame};

/// What nokhwa can read. Not GREY: it looks for a format named GRAY, which no kernel has.
const USABLE: [Wire; 5] = [Wire::Yuyv, Wire::Nv12, Wire::Mjpg, Wire::Rgb, Wire::Bgr];

/// A camera opened by nokhwa.
pub(crate) struct NokhwaCamera {
    name: String,
    mode: Mode,
    layout: Layout,
    clock: Arc<dyn Clock>,
    /// In an `Option` so that its drop, which may panic, is guarded.
    camera: Option<nokhwa::Camera>,
    seq: u64,
    held: Held,
}

impl NokhwaCamera {
    /// Opens `path` and starts its stream.
    ///
    /// # Errors
    /// As [`super::open`].
    pub(crate) fn open(path: &Path, options: &CameraOptions, clock: Arc<dyn Clock>) -> Result<Self, CameraError> {
        let name = path.display().to_string();
        let index = device_index(path)?;
        let node = PathBuf::from(format!("/dev/video{index}"));
        let held = Held::open(&node, options.identity.as_ref())?;
        let opened = guarded(|| {
            let advice = format!("ask for `auto`, or open it as v4l:{name}, which also reads grey");
            let (device, mode, layout) = negotiate(&node, &held, options, &USABLE, &advice)?;
            drop(device);
            let camera = start(&name, index, mode)?;
            // nokhwa shows nobody its file. While the device is held, its node stays that device's.
            held.insist_on(std::fs::metadata(&node))?;
            Ok((camera, mode, layout))
        });
        let (camera, mode, layout) =
            opened.unwrap_or_else(|why| Err(CameraError::Lost { camera: name.clone(), why }))?;
        Ok(Self { name, mode, layout, clock, camera: Some(camera), seq: 0, held })
    }
}

/// Nokhwa knows cameras by number only; a stable name below `/dev/v4l/by-id` is a link to a numbered node.
fn device_index(path: &Path) -> Result<u32, CameraError> {
    let name = path.display().to_string();
    let real: PathBuf = std::fs::canonicalize(path).map_err(|error| CameraError::from_device(&name, &error))?;
    let number = real.to_str().and_then(|path| path.strip_prefix("/dev/video")).and_then(|n| n.parse().ok());
    number.ok_or_else(|| CameraError::Unsupported {
        advice: format!("open it as v4l:{name}"),
        camera: name,
        why: "nokhwa opens only /dev/video0, /dev/video1 ...".to_owned(),
    })
}

fn start(name: &str, index: u32, mode: Mode) -> Result<nokhwa::Camera, CameraError> {
    let format = match mode.wire {
        Wire::Yuyv => FrameFormat::YUYV,
        Wire::Nv12 => FrameFormat::NV12,
        Wire::Mjpg => FrameFormat::MJPEG,
        Wire::Rgb => FrameFormat::RAWRGB,
        Wire::Bgr => FrameFormat::RAWBGR,
        Wire::Grey => FrameFormat::GRAY,
    };
    // The driver runs in this mode already; nokhwa takes whole rates only and says so itself.
    let exact = CameraFormat::new_from(mode.width_px, mode.height_px, format, mode.fps.round() as u32);
    let formats = [format];
    let asked = RequestedFormat::with_formats(RequestedFormatType::Exact(exact), &formats);
    let failed = |error: NokhwaError| match error {
        NokhwaError::OpenDeviceError(_, why) | NokhwaError::OpenStreamError(why) => {
            CameraError::Lost { camera: name.to_owned(), why }
        }
        error => CameraError::Unsupported {
            camera: name.to_owned(),
            why: error.to_string(),
            advice: format!("nokhwa cannot run this camera: open it as v4l:{name}"),
        },
    };
    let mut camera =
        nokhwa::Camera::with_backend(CameraIndex::Index(index), asked, ApiBackend::Video4Linux).map_err(failed)?;
    camera.open_stream().map_err(failed)?;
    Ok(camera)
}

impl Camera for NokhwaCamera {
    fn describe(&self) -> String {
        format!("nokhwa:{} {}", self.name, self.mode)
    }

    fn identity(&self) -> Option<&CameraIdentity> {
        self.held.identity()
    }

    fn agreed_fps(&self) -> Option<f64> {
        Some(self.mode.fps)
    }

    /// Ignores `timeout`: nokhwa waits for as long as the driver does.
    fn next_frame(&mut self, frame: &mut Frame, _timeout: Duration) -> Result<(), CameraError> {
        frame.clear();
        let lost = |why: String| match self.held.is_gone() {
            true => CameraError::Unplugged { camera: self.name.clone() },
            false => CameraError::Lost { camera: self.name.clone(), why },
        };
        let camera = self.camera.as_mut().ok_or_else(|| lost("its stream is closed".to_owned()))?;
        let data = camera.frame_raw().map_err(|error| lost(error.to_string()))?;
        frame.at_ms = self.clock.mono_ms();
        frame.seq = self.seq;
        self.seq += 1;
        decode(&self.layout, &data, frame).map_err(|why| {
            frame.clear();
            CameraError::Decode { camera: self.name.clone(), why }
        })
    }
}

impl Drop for NokhwaCamera {
    fn drop(&mut self) {
        let camera = self.camera.take();
        if let Err(why) = guarded(move || drop(camera)) {
            tracing::warn!(camera = %self.name, %why, "the camera's stream did not stop cleanly");
        }
    }
}
