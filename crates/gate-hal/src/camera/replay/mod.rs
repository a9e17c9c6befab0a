//! Replay: a folder of pictures, a picture, a GIF or a video file as a camera.
//!
//! Each frame is given once, in order, with the time at which it is due: the same file gives the same frames and
//! times on every run. With [`Pace::Real`] a frame is held back until it is due; with [`Pace::Fast`] it is not.

mod gif;
mod pictures;
mod video;

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::{Camera, CameraError, CameraOptions, Pace};
use crate::{Frame, ReplayClock};

/// Pictures of more pixels are refused: they are a mistake or a decompression bomb.
const PIXELS_MAX: u64 = 64_000_000;

/// Where a replay's pictures come from.
trait Source: Send {
    /// What it is: file, kind, rate.
    fn describe(&self) -> String;
    /// Fills in the next picture's pixels; `false` at the end.
    fn next(&mut self, frame: &mut Frame) -> Result<bool, CameraError>;
    /// When the picture just given is due, in milliseconds since the very first; goes on over rewinds.
    fn due_ms(&self) -> u64;
    /// Goes back to the first picture.
    fn rewind(&mut self) -> Result<(), CameraError>;
}

/// A replayed camera. Unlike a live one it drops nothing, so it needs no [`Capture`](super::Capture).
pub struct Replay {
    source: Box<dyn Source>,
    pace: Pace,
    again: bool,
    clock: Option<Arc<ReplayClock>>,
    /// The next frame, read already but not due yet.
    held: Frame,
    is_held: bool,
    seq: u64,
    /// Frames since the last rewind: a pass without any would go round for ever.
    in_pass: u64,
    /// When the first frame was asked for.
    start: Option<Instant>,
}

/// Opens a replay that moves `clock` to each frame's time as it gives the frame.
///
/// # Errors
/// [`CameraError::Missing`]: no such file, or a folder without pictures. [`CameraError::Unsupported`]: not a picture,
/// GIF or video, damaged, or too large. [`CameraError::Tool`]: a video, and ffmpeg is not installed or failed.
pub fn open_replay(path: &Path, options: &CameraOptions, clock: Arc<ReplayClock>) -> Result<Replay, CameraError> {
    Replay::open(path, options, Some(clock))
}

impl Replay {
    /// Opens `path`; moves `clock`, if there is one.
    pub(crate) fn open(
        path: &Path,
        options: &CameraOptions,
        clock: Option<Arc<ReplayClock>>,
    ) -> Result<Self, CameraError> {
        Ok(Self {
            source: source(path, options)?,
            pace: options.replay_pace,
            again: options.replay_loop,
            clock,
            held: Frame::empty(),
            is_held: false,
            seq: 0,
            in_pass: 0,
            start: None,
        })
    }

    /// Reads the next frame into `held`.
    fn hold(&mut self) -> Result<(), CameraError> {
        self.held.clear();
        while !self.source.next(&mut self.held)? {
            if !self.again || self.in_pass == 0 {
                return Err(CameraError::End);
            }
            self.in_pass = 0;
            self.source.rewind()?;
        }
        self.in_pass += 1;
        self.held.at_ms = self.source.due_ms();
        self.held.seq = self.seq;
        self.seq += 1;
        self.is_held = true;
        Ok(())
    }
}

impl Camera for Replay {
    fn describe(&self) -> String {
        format!("replay:{}, {} pace", self.source.describe(), self.pace)
    }

    /// A picture that is not due within `timeout` is a [`CameraError::Timeout`]; it is given by a later call.
    fn next_frame(&mut self, frame: &mut Frame, timeout: Duration) -> Result<(), CameraError> {
        frame.clear();
        let start = *self.start.get_or_insert_with(Instant::now);
        if !self.is_held {
            self.hold()?;
        }
        if self.pace == Pace::Real {
            let wait = Duration::from_millis(self.held.at_ms).saturating_sub(start.elapsed());
            thread::sleep(wait.min(timeout));
            if wait > timeout {
                return Err(CameraError::Timeout { camera: self.source.describe(), waited: timeout });
            }
        }
        std::mem::swap(frame, &mut self.held);
        self.is_held = false;
        if let Some(clock) = &self.clock {
            clock.set(frame.at_ms);
        }
        Ok(())
    }
}

/// The source that fits the file's kind.
fn source(path: &Path, options: &CameraOptions) -> Result<Box<dyn Source>, CameraError> {
    let fps = options.replay_fps;
    if !(fps.is_finite() && (0.001..=1000.0).contains(&fps)) {
        return Err(unsupported(path, format!("{fps} pictures a second"), "set replay_fps between 0.001 and 1000"));
    }
    let kind = std::fs::metadata(path).map_err(|error| CameraError::Missing {
        camera: path.display().to_string(),
        advice: format!("{error}; name a folder of pictures, a picture, a GIF or a video file"),
    })?;
    if kind.is_dir() {
        return Ok(Box::new(pictures::Pictures::folder(path, fps)?));
    }
    // By content, not by name: a renamed file still plays.
    Ok(match pictures::sniff(path)? {
        Some(image::ImageFormat::Gif) => Box::new(gif::Gif::open(path)?),
        Some(_) => Box::new(pictures::Pictures::single(path, fps)),
        None => Box::new(video::Video::open(path)?),
    })
}

/// When frame `number` of a steady sequence is due.
fn due_ms(number: u64, fps: f64) -> u64 {
    (number as f64 * 1000.0 / fps).round() as u64
}

/// Frees the caller of a long struct literal.
fn unsupported(path: &Path, why: impl ToString, advice: &str) -> CameraError {
    CameraError::Unsupported { camera: path.display().to_string(), why: why.to_string(), advice: advice.to_owned() }
}

/// One picture that cannot be read; those after it may.
fn bad_frame(path: &Path, why: impl ToString) -> CameraError {
    CameraError::Decode { camera: path.display().to_string(), why: why.to_string() }
}

/// Whether a picture of this size may be decoded.
fn check_size(width_px: u32, height_px: u32) -> Result<(), String> {
    match u64::from(width_px) * u64::from(height_px) {
        0 => Err("it has no pixels".to_owned()),
        1..=PIXELS_MAX => Ok(()),
        _ => Err(format!("{width_px}x{height_px} is more than {} megapixels", PIXELS_MAX / 1_000_000)),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
