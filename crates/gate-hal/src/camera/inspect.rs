//! Frames that no sensor can have taken: the same picture to the last bit, or numbers and times that cannot be.
//!
//! A sensor's noise makes each picture of a lit scene different. A picture that comes again is a recording that has begun
//! anew, a still, a test picture, or a camera that has frozen. The gate decides on none of them.
//!
//! | finding | frame | alarm |
//! |---|---|---|
//! | equal to the frame just before | withheld | after [`FROZEN_MAX`] in a row |
//! | equal to an earlier frame | withheld | after [`ODD_MAX`] more odd frames than good ones |
//! | number, time or rate that cannot be | withheld | the same |
//!
//! After an alarm every frame is withheld until [`CALM`] good ones came in a row.
//!
//! A frame of 640x480 takes 0.2 ms, on the capture thread.
//!
//! Single repetitions are no alarm: in low light many cameras give each picture twice to keep their rate. A dark or
//! saturated picture says nothing: without light there is no noise. Its few lit pixels are counted, and so is not asked.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hasher};

use crate::Frame;

/// Frames remembered: a quarter of an hour at 15 a second.
const REMEMBERED: usize = 16_384;
/// Equal frames in a row that are a frozen camera.
const FROZEN_MAX: u32 = 30;
/// Odd frames, less the good ones since, that raise the alarm.
const ODD_MAX: u32 = 8;
/// Good frames in a row after which a camera that has raised the alarm is believed again: two seconds at 15 a second.
const CALM: u32 = 30;
/// Of the rows of a picture every such one is looked at: noise is in all of them.
const ROW_STEP: usize = 4;
/// Pixels neither dark nor saturated, of the whole picture, from which noise must show: half of the smallest face.
const LIT_MIN: usize = 1_000;
/// What is neither dark nor saturated.
const LIT: std::ops::Range<u8> = 24..232;
/// So many times the rate that was agreed is impossible.
const RATE_FACTOR: f64 = 3.0;
/// Frames that may come at once after a pause: all buffers of a driver.
const BURST: f64 = 16.0;

/// Why a frame cannot be what it seems.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Odd {
    /// Equal to the one just before it.
    Frozen,
    /// Equal to an earlier one.
    Repeated,
    /// Its number is not after the one before.
    Number { before: u64, number: u64 },
    /// It was taken before the one that came before it, or at the same moment.
    Time { before_us: u64, taken_us: u64 },
    /// More frames come than the camera has agreed to.
    Rate { agreed_fps: f64 },
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Odd::Frozen => f.write_str(
                "it gives the same picture again and again, to the last bit: it has frozen, or it shows a still or a test \
                 picture",
            ),
            Odd::Repeated => f.write_str(
                "it gives pictures again that it has given before, to the last bit: it plays a recording or a test picture",
            ),
            Odd::Number { before, number } => write!(f, "after frame {before} it gives frame {number}"),
            Odd::Time { before_us, taken_us } => {
                write!(f, "a frame of {taken_us} \u{b5}s came after the one of {before_us} \u{b5}s")
            }
            Odd::Rate { agreed_fps } => {
                write!(f, "far more frames come than the {agreed_fps:.0} a second that were agreed: set [camera] fps to its rate")
            }
        }
    }
}

/// A frame that must not be used.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Finding {
    /// What is odd about it.
    pub(crate) odd: Odd,
    /// Whether it is time to tell somebody.
    pub(crate) alarm: bool,
}

/// Looks at every frame of one camera, from one opening to the next.
#[derive(Debug, Default)]
pub(crate) struct Inspector {
    seen: HashSet<u64>,
    /// The same, oldest first.
    order: VecDeque<u64>,
    /// The frame before, if it was lit.
    before: Option<u64>,
    number: Option<u64>,
    taken_us: Option<u64>,
    /// Frames above the agreed rate, and when that was counted.
    burst: f64,
    received_ms: Option<u64>,
    equal: u32,
    odd: u32,
    /// What raised the alarm, and how many good frames are missing until it is believed again.
    doubted: Option<(Odd, u32)>,
}

impl Inspector {
    /// The camera was opened anew: numbers and times begin anew. Pictures stay known: opening a player again is no way
    /// around.
    pub(crate) fn opened(&mut self) {
        (self.number, self.taken_us, self.received_ms) = (None, None, None);
        self.burst = 0.0;
    }

    /// Looks at one frame, received at `received_ms`, of a camera that agreed to `agreed_fps`.
    ///
    /// # Errors
    /// What is odd about it.
    pub(crate) fn look(&mut self, frame: &Frame, agreed_fps: f64, received_ms: u64) -> Result<(), Finding> {
        let stamps = self.stamps(frame, agreed_fps, received_ms);
        let outcome = stamps.and_then(|()| self.picture(frame));
        let Err(odd) = outcome else {
            (self.equal, self.odd) = (0, self.odd.saturating_sub(1));
            return self.believe();
        };
        let alarm = if odd == Odd::Frozen {
            self.equal = self.equal.saturating_add(1);
            self.equal >= FROZEN_MAX
        } else {
            self.equal = 0;
            self.odd = (self.odd + 1).min(ODD_MAX);
            self.odd >= ODD_MAX
        };
        if alarm {
            self.doubted = Some((odd, CALM));
        }
        Err(Finding { odd, alarm })
    }

    /// A good frame: it counts unless the camera has raised the alarm just now.
    fn believe(&mut self) -> Result<(), Finding> {
        let Some((odd, missing)) = self.doubted.take() else { return Ok(()) };
        if missing <= 1 {
            self.odd = 0;
            return Ok(());
        }
        self.doubted = Some((odd, missing - 1));
        Err(Finding { odd, alarm: true })
    }

    fn stamps(&mut self, frame: &Frame, agreed_fps: f64, received_ms: u64) -> Result<(), Odd> {
        let (before, number) = (self.number.replace(frame.seq), frame.seq);
        let before_us = std::mem::replace(&mut self.taken_us, frame.taken_us);
        let elapsed_ms = self.received_ms.replace(received_ms).map_or(0, |before| received_ms.saturating_sub(before));
        let allowed = elapsed_ms as f64 / 1e3 * agreed_fps * RATE_FACTOR;
        self.burst = (self.burst - allowed).max(0.0) + 1.0;

        // Some drivers leave every number at 0.
        if let Some(before) = before.filter(|before| (*before, number) != (0, 0))
            && !is_after(before, number)
        {
            return Err(Odd::Number { before, number });
        }
        if let (Some(before_us), Some(taken_us)) = (before_us, frame.taken_us)
            && taken_us <= before_us
        {
            return Err(Odd::Time { before_us, taken_us });
        }
        if agreed_fps >= 1.0 && self.burst > BURST {
            // Not more than what makes the next frame in time a good one again.
            self.burst = BURST;
            return Err(Odd::Rate { agreed_fps });
        }
        Ok(())
    }

    fn picture(&mut self, frame: &Frame) -> Result<(), Odd> {
        let digest = digest(frame);
        let before = std::mem::replace(&mut self.before, digest);
        let Some(digest) = digest else { return Ok(()) };
        if before == Some(digest) {
            return Err(Odd::Frozen);
        }
        if !self.seen.insert(digest) {
            return Err(Odd::Repeated);
        }
        self.order.push_back(digest);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        Ok(())
    }
}

/// Whether `number` comes after `before`. The kernel counts in 32 bits and begins again at 0.
fn is_after(before: u64, number: u64) -> bool {
    let step = (number as u32).wrapping_sub(before as u32);
    step != 0 && step <= u32::MAX / 2
}

/// What tells one lit picture from another; `None` for one that is too dark or too bright to have noise.
fn digest(frame: &Frame) -> Option<u64> {
    let row_bytes = frame.width_px as usize * 3;
    let mut lit = 0;
    let mut hasher = DefaultHasher::new();
    for row in frame.rgb.chunks_exact(row_bytes.max(1)).step_by(ROW_STEP) {
        lit += row.chunks_exact(3).filter(|pixel| LIT.contains(&pixel[1])).count();
        hasher.write(row);
    }
    (lit * ROW_STEP >= LIT_MIN).then(|| hasher.finish())
}

#[cfg(test)]
#[path = "inspect_tests.rs"]
mod tests;
