//! Cameras by raw V4L2: real timeouts, the driver's sequence numbers, and GREY (infrared), which nokhwa cannot give.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use v4l::buffer::{Flags, Metadata, Type};
use v4l::io::traits::CaptureStream;
use v4l::prelude::{Device, MmapStream};
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, FourCC};

use super::decode::{Layout, Wire, decode};
use super::identity::Held;
use super::modes::{Mode, choose, modes, nothing_fits};
use super::{Camera, CameraError, CameraIdentity, CameraOptions};
use crate::guarded::guarded;
use crate::{Clock, Frame};

/// An open V4L2 camera.
pub(crate) struct V4lCamera {
    name: String,
    mode: Mode,
    layout: Layout,
    clock: Arc<dyn Clock>,
    /// Dropped before the device, which it reads from. In an `Option` so that its drop, which may panic, is guarded.
    stream: Option<MmapStream<'static>>,
    buffers: Buffers,
    _device: Device,
    held: Held,
}

/// Whose the stream's buffers are. `MmapStream::next` always queues its last buffer and then waits; after a wait without
/// a frame it would queue the same one a second time, which the driver refuses.
#[derive(Clone, Copy, PartialEq)]
enum Buffers {
    /// The stream has not begun.
    Idle,
    /// One is ours, to be queued by `next`.
    OneOurs,
    /// All are the driver's: a wait inside `next` ended without one.
    AllQueued,
}

/// Opens the device that is held at `path` and agrees with its driver on the mode nearest to the asked one.
///
/// # Errors
/// As [`super::open`].
pub(crate) fn negotiate(
    path: &Path,
    held: &Held,
    options: &CameraOptions,
    usable: &[Wire],
    advice: &str,
) -> Result<(Device, Mode, Layout), CameraError> {
    let name = path.display().to_string();
    let failed = |error: io::Error| CameraError::from_device(&name, &error);
    let device = Device::with_path(path).map_err(failed)?;
    held.insist_on(std::fs::metadata(format!("/proc/self/fd/{}", device.handle().fd())))?;
    let modes = modes(&device, options).map_err(|error| match error.raw_os_error() {
        // Nodes of decoders, of metadata and of multi-planar or raw sensors answer like this.
        Some(libc::ENOTTY | libc::EINVAL) => nothing_fits(&name, &[], options, NOT_A_CAMERA),
        _ => failed(error),
    })?;
    let wanted = choose(&modes, options, usable)
        .ok_or_else(|| nothing_fits(&name, &modes, options, if modes.is_empty() { NOT_A_CAMERA } else { advice }))?;
    let asked = Format::new(wanted.width_px, wanted.height_px, FourCC::new(wanted.wire.fourcc()));
    let got = device.set_format(&asked).map_err(failed)?;
    let wire = Wire::from_fourcc(&got.fourcc.repr)
        .filter(|wire| usable.contains(wire))
        .ok_or_else(|| nothing_fits(&name, &modes, options, advice))?;
    // Not every driver lets its rate be set; it runs at its own then.
    let interval = device.set_params(&Parameters::with_fps(options.fps.max(1))).or_else(|_| device.params());
    let fps = interval.map_or(wanted.fps, |parameters| {
        f64::from(parameters.interval.denominator) / f64::from(parameters.interval.numerator.max(1))
    });
    let mode = Mode { wire, width_px: got.width, height_px: got.height, fps };
    let layout = Layout { wire, width_px: got.width, height_px: got.height, stride_bytes: got.stride };
    Ok((device, mode, layout))
}

const NOT_A_CAMERA: &str = "it may be a decoder's or a raw sensor's node: `gate-daemon devices` lists cameras; a CSI \
                            camera without a V4L2 picture format needs libcamera and v4l2loopback";

impl V4lCamera {
    /// Opens `path` and starts its stream.
    ///
    /// # Errors
    /// As [`super::open`].
    pub(crate) fn open(path: &Path, options: &CameraOptions, clock: Arc<dyn Clock>) -> Result<Self, CameraError> {
        let name = path.display().to_string();
        let held = Held::open(path, options.identity.as_ref())?;
        let opened = guarded(|| {
            let advice = "ask for a format it has, or for `auto`";
            let (device, mode, layout) = negotiate(path, &held, options, &Wire::ALL, advice)?;
            let stream = MmapStream::with_buffers(&device, Type::VideoCapture, 4)
                .map_err(|error| CameraError::from_device(&name, &error))?;
            Ok((device, mode, layout, stream))
        });
        let (device, mode, layout, stream) =
            opened.unwrap_or_else(|why| Err(CameraError::Lost { camera: name.clone(), why }))?;
        Ok(Self { name, mode, layout, clock, stream: Some(stream), buffers: Buffers::Idle, _device: device, held })
    }

    /// Waits until `next` has a frame at once.
    fn wait(&mut self, timeout: Duration) -> Result<(), io::Error> {
        let Some(stream) = self.stream.as_mut() else { return Err(io::ErrorKind::NotConnected.into()) };
        // poll(2) takes milliseconds in an i32, and 0 would not wait at all.
        let timeout = timeout.clamp(Duration::from_millis(1), Duration::from_secs(60));
        stream.set_timeout(timeout);
        if self.buffers == Buffers::AllQueued {
            // Takes a buffer back so that `next` has one to queue. Its picture cannot be reached and is given up.
            CaptureStream::dequeue(stream)?;
            self.buffers = Buffers::OneOurs;
        }
        // Waiting here and not inside `next` keeps the buffers in order. A stream that has not begun cannot be waited
        // for: its first `next` begins it.
        if self.buffers == Buffers::OneOurs && stream.handle().poll(libc::POLLIN, timeout.as_millis() as i32)? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    fn error(&self, error: &io::Error, waited: Duration) -> CameraError {
        if error.raw_os_error() == Some(libc::ENODEV) || self.held.is_gone() {
            return CameraError::Unplugged { camera: self.name.clone() };
        }
        match error.kind() {
            // Interrupted: a signal came while waiting.
            io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {
                CameraError::Timeout { camera: self.name.clone(), waited }
            }
            _ => CameraError::Lost { camera: self.name.clone(), why: error.to_string() },
        }
    }
}

impl Camera for V4lCamera {
    fn describe(&self) -> String {
        format!("v4l:{} {}", self.name, self.mode)
    }

    fn identity(&self) -> Option<&CameraIdentity> {
        self.held.identity()
    }

    fn agreed_fps(&self) -> Option<f64> {
        Some(self.mode.fps)
    }

    fn next_frame(&mut self, frame: &mut Frame, timeout: Duration) -> Result<(), CameraError> {
        frame.clear();
        self.wait(timeout).map_err(|error| self.error(&error, timeout))?;
        let Some(stream) = self.stream.as_mut() else {
            return Err(self.error(&io::ErrorKind::NotConnected.into(), timeout));
        };
        let decoded = match CaptureStream::next(stream) {
            Ok((_, meta)) if meta.flags.contains(Flags::ERROR) => Err("the driver marked it as damaged".to_owned()),
            Ok((data, meta)) => {
                frame.at_ms = self.clock.mono_ms();
                frame.seq = u64::from(meta.sequence);
                frame.taken_us = taken_us(meta);
                // Some drivers leave `bytesused` at 0 for formats of a fixed size.
                let used = if meta.bytesused == 0 { data.len() } else { data.len().min(meta.bytesused as usize) };
                decode(&self.layout, &data[..used], frame)
            }
            Err(error) => {
                self.buffers = Buffers::AllQueued;
                return Err(self.error(&error, timeout));
            }
        };
        self.buffers = Buffers::OneOurs;
        decoded.map_err(|why| {
            frame.clear();
            CameraError::Decode { camera: self.name.clone(), why }
        })
    }
}

/// When the driver says a frame was taken, microseconds of the machine's steady clock.
fn taken_us(meta: &Metadata) -> Option<u64> {
    let at = u64::try_from(meta.timestamp.sec).ok()?.checked_mul(1_000_000)?;
    let at = at.checked_add(u64::try_from(meta.timestamp.usec).ok()?)?;
    let is_steady = meta.flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_MONOTONIC;
    (is_steady && at > 0).then_some(at)
}

impl Drop for V4lCamera {
    fn drop(&mut self) {
        // `MmapStream` panics when the driver will not stop; an unplugged camera must not take the gate down.
        let stream = self.stream.take();
        if let Err(why) = guarded(move || drop(stream)) {
            tracing::warn!(camera = %self.name, %why, "the camera's stream did not stop cleanly");
        }
    }
}
