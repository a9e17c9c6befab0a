//! Enrolling in front of the camera: guides the person and keeps the best of the good frames.
//!
//! ```text
//!  frame ──> one good face? ──no──> a short line (come closer, turn, light ...)      nobody, or two: start over
//!                 └──yes──> encoded: the face of the frames before? ──no──> start over
//!                                └──yes──> live? ──a picture──> refused
//!                                             └──> keep the best ──8 good frames or 2 s, and live──> done
//! ```
//! Each frame that counts is compared and looked at for life, so nobody can show a live face and then a picture.

use crate::enrol::{Enroller, Reference};
use crate::life::Life;
use crate::refusal::refuse_face;
use anyhow::{Result, anyhow};
use gate_core::liveness::PadVerdict;
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_hal::{
    Camera, CameraError, CameraOptions, CameraSpec, CameraState, Capture, Frame, Newest, Replay, ReplayClock,
    SystemClock, open_replay,
};
use gate_vision::Portrait;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Good frames to choose from.
const GOOD_FRAMES: u32 = 8;
/// Enough, even if there were fewer good ones since the first.
const GOOD_MS: u64 = 2_000;
/// A fault must last this long before it is told: people arrive blurred and turned away.
const TELL_AFTER_MS: u64 = 300;
/// The longest wait for one frame.
const FRAME_WAIT: Duration = Duration::from_millis(500);
/// Sharpness beyond this is a camera's sharpening, or noise.
const SHARP_ENOUGH: f32 = 15.0;

/// Takes one reference with the camera; with `life`, of a live face.
///
/// # Errors
/// A refusal when there was no good picture in time, or the face is a picture; a fault of camera or networks.
pub fn capture(
    spec: &CameraSpec,
    options: &CameraOptions,
    enroller: &mut Enroller,
    life: Option<Life>,
    timeout: Duration,
) -> Result<Reference> {
    let mut feed = Feed::open(spec, options)?;
    let mut session = Session { life, ..Session::default() };
    let (start, timeout_ms) = (Instant::now(), timeout.as_millis() as u64);
    let mut frame = Frame::empty();
    let mut lost = None;
    let mut seen = false;
    while start.elapsed() < timeout {
        match feed.next(&mut frame)? {
            Step::Frame if frame.at_ms >= timeout_ms => break,
            Step::Frame => {
                seen = true;
                lost = None;
                if session.take(enroller, &frame)? {
                    break;
                }
            }
            Step::Nothing => {}
            Step::Lost(why) => {
                eprintln!("{}", gate_cli::line(&why));
                lost = Some(why);
            }
            Step::End => break,
        }
    }
    let is_undecided = session.life.as_ref().is_some_and(|life| life.verdict().is_none());
    match (session.best, seen, lost) {
        (Some(_), ..) if is_undecided => Err(refuse_face(
            Reason::Unproven,
            format!("{spec}: {}: stand still a little longer", Reason::Unproven.advice()),
        )),
        (Some(best), ..) => {
            eprintln!("thank you");
            let picture = best.frame.view().ok_or_else(|| anyhow!("the camera gave an empty frame"))?;
            enroller.reference_of(picture, &best.portrait, best.vector, spec.to_string())
        }
        (None, _, Some(why)) => Err(anyhow!("no picture from {spec}: {why}")),
        (None, false, None) => Err(anyhow!("no picture from {spec} within {} s", timeout.as_secs())),
        (None, true, None) => {
            let reason = session.fault.map_or(Reason::NoFace, |(reason, _)| reason);
            Err(refuse_face(reason, format!("no good picture from {spec}: {}", reason.advice())))
        }
    }
}

/// What has been seen so far.
#[derive(Default)]
struct Session {
    best: Option<Best>,
    /// The face of the first good frame: all others must be the same.
    first: Option<Vec<f32>>,
    life: Option<Life>,
    good: u32,
    first_good_ms: u64,
    /// What is wrong now, and since when.
    fault: Option<(Reason, u64)>,
    said: Option<&'static str>,
}

/// The best frame so far.
struct Best {
    merit: f32,
    portrait: Portrait,
    vector: Vec<f32>,
    frame: Frame,
}

impl Session {
    /// Looks at one frame; `true` when there is enough to choose from.
    fn take(&mut self, enroller: &mut Enroller, frame: &Frame) -> Result<bool> {
        let Some(picture) = frame.view() else { return Ok(false) };
        let mut portraits = enroller.portraits(picture)?;
        match enroller.choose(&portraits).err() {
            Some(reason) => self.refused(reason, frame.at_ms),
            None => {
                let portrait = enroller.look_closer(picture, portraits.swap_remove(0))?;
                match enroller.vector(&portrait)? {
                    Some(vector) => self.accepted(enroller, portrait, vector, frame)?,
                    None => self.refused(Reason::Unclear, frame.at_ms),
                }
            }
        }
        let is_decided = self.life.as_ref().is_none_or(|life| life.verdict().is_some());
        let is_enough = self.good > 0 && frame.at_ms.saturating_sub(self.first_good_ms) >= GOOD_MS;
        Ok(is_decided && (self.good >= GOOD_FRAMES || is_enough))
    }

    fn refused(&mut self, reason: Reason, at_ms: u64) {
        if matches!(reason, Reason::NoFace | Reason::SeveralFaces) {
            // Whoever comes next may be somebody else.
            self.start_over();
        }
        let since_ms = match self.fault {
            Some((before, since_ms)) if before == reason => since_ms,
            _ => at_ms,
        };
        self.fault = Some((reason, since_ms));
        if at_ms.saturating_sub(since_ms) >= TELL_AFTER_MS {
            self.say(short(reason));
        }
    }

    fn start_over(&mut self) {
        (self.best, self.first, self.good) = (None, None, 0);
        if let Some(life) = &mut self.life {
            life.forget();
        }
    }

    fn accepted(&mut self, enroller: &Enroller, portrait: Portrait, vector: Vec<f32>, frame: &Frame) -> Result<()> {
        if self.first.as_ref().is_some_and(|first| !enroller.same_take(first, &vector)) {
            self.start_over();
        }
        let Some(picture) = frame.view() else { return Ok(()) };
        if let Some(life) = &mut self.life
            && life.look(picture, &portrait.face.rect, frame.at_ms)? == Some(PadVerdict::Attack)
        {
            let message = format!("the camera: {}", Reason::PresentationAttack.advice());
            return Err(refuse_face(Reason::PresentationAttack, message));
        }

        self.fault = None;
        self.say("good, hold still");
        if self.good == 0 {
            self.first_good_ms = frame.at_ms;
            self.first = Some(vector.clone());
        }
        self.good += 1;
        let merit = merit(&portrait.quality);
        if self.best.as_ref().is_none_or(|best| merit > best.merit) {
            self.best = Some(Best { merit, portrait, vector, frame: frame.clone() });
        }
        Ok(())
    }

    /// Says it once, until something else is to be said.
    fn say(&mut self, line: &'static str) {
        if self.said != Some(line) {
            eprintln!("{line}");
            self.said = Some(line);
        }
    }
}

/// Sharp and frontal is best: five degrees of turn weigh as much as one of sharpness.
fn merit(quality: &Quality) -> f32 {
    quality.sharpness.min(SHARP_ENOUGH) - (quality.pose.yaw_deg.abs() + quality.pose.pitch_deg.abs()) / 5.0
}

/// A few words for the person in front of the camera.
fn short(reason: Reason) -> &'static str {
    match reason {
        Reason::NoFace => "look into the camera",
        Reason::SeveralFaces => "one person only, please",
        Reason::TooFar => "come closer",
        Reason::OutOfFrame => "step into the middle",
        Reason::TooDark => "more light on the face",
        Reason::TooBright => "less light on the face",
        Reason::Blurred => "hold still",
        Reason::TurnedAway => "turn to the camera",
        Reason::Unclear => "uncover the face",
        other => other.advice(),
    }
}

/// Frames of a live camera, or of a replay.
enum Feed {
    Live(Capture),
    Replayed(Box<Replay>),
}

/// What the feed has.
enum Step {
    Frame,
    Nothing,
    Lost(String),
    End,
}

impl Feed {
    fn open(spec: &CameraSpec, options: &CameraOptions) -> Result<Self> {
        Ok(match spec {
            CameraSpec::Replay(path) => {
                let clock = Arc::new(ReplayClock::new(0));
                Feed::Replayed(Box::new(open_replay(path, options, clock)?))
            }
            live => Feed::Live(Capture::start(live.clone(), options.clone(), Arc::new(SystemClock::new()))),
        })
    }

    /// Fills in the next frame, or says why there is none.
    fn next(&mut self, frame: &mut Frame) -> Result<Step> {
        match self {
            Feed::Live(capture) => Ok(match capture.newest(frame, FRAME_WAIT) {
                Newest::Frame => Step::Frame,
                Newest::State(
                    CameraState::Lost { why, .. } | CameraState::Changed { why } | CameraState::Suspect { why },
                ) => Step::Lost(why),
                Newest::State(CameraState::Opened { describe, .. }) => {
                    tracing::info!("camera: {describe}");
                    Step::Nothing
                }
                Newest::Nothing => Step::Nothing,
                Newest::End => Step::End,
            }),
            Feed::Replayed(replay) => match replay.next_frame(frame, FRAME_WAIT) {
                Ok(()) => Ok(Step::Frame),
                Err(CameraError::End) => Ok(Step::End),
                Err(error) if error.is_passing() => Ok(Step::Nothing),
                Err(error) => Err(error.into()),
            },
        }
    }
}
