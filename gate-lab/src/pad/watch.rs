//! Watches one clip as the gate would: faces, tracks, quality, liveness; without asking who it is.

use super::clips::Clip;
use anyhow::{Context, Result};
use gate_core::geometry::Rect;
use gate_core::liveness::{DEADLINE_MS, PadLook, PadTest, PadThresholds, PadVerdict, ScoreModel};
use gate_core::policy::QualityPolicy;
use gate_core::track::{FACES_MAX, TrackId, Tracker};
use gate_hal::{Camera, CameraError, CameraOptions, Frame, Pace, ReplayClock, open_replay};
use gate_site::Site;
use gate_vision::{Liveness, Portrait, Vision, portrait};
use image::RgbImage;
use std::sync::Arc;
use std::time::Duration;

/// For how long a single picture is looked at, standing still, milliseconds: past the deadline of a verdict.
const STILL_MS: f64 = DEADLINE_MS as f64 + 200.0;
/// The longest side of the picture that is kept of a clip, pixels.
const SHOWN_PX: u32 = 320;

/// One look at the nearest face.
#[derive(Clone, Debug)]
pub struct Look {
    /// Since the clip's begin, milliseconds.
    pub at_ms: u64,
    /// The track it continues.
    pub track: TrackId,
    /// What the frame says.
    pub pad: PadLook,
    /// For a site's classifier; empty unless asked for.
    pub features: Vec<f32>,
}

/// Everything that was seen in a clip.
pub struct Watched {
    /// The looks, in order.
    pub looks: Vec<Look>,
    /// Width and height of its frames, pixels.
    pub frame_px: (u32, u32),
    /// Frames of it that were looked at.
    pub frames: u64,
    /// A frame with a usable face in it, if there is one.
    pub shown: Option<RgbImage>,
    /// Time that liveness took, all looks together.
    pub spent: Duration,
}

/// What came of a clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decided {
    /// The verdict; `None` = the gate stays locked for want of evidence.
    pub verdict: Option<PadVerdict>,
    /// When it fell, counted from the first usable look at a face, milliseconds.
    pub at_ms: Option<u64>,
    /// Log-likelihood ratio at the deadline, of the track with the most looks; `None` without a usable look.
    pub llr: Option<f32>,
    /// What it is the sum of: score, outline, surroundings.
    pub parts: Option<[f32; 3]>,
}

/// What watches.
pub struct Watcher {
    vision: Vision,
    liveness: Liveness,
    options: CameraOptions,
    quality: QualityPolicy,
    track_lost_ms: u32,
    fps: f64,
}

impl Watcher {
    /// Loads the networks of `site` for so many threads; frames are thinned out to `fps`.
    ///
    /// # Errors
    /// When a network or the site's calibration cannot be loaded.
    pub fn several(site: &Site, fps: f64, threads: usize) -> Result<Vec<Self>> {
        let policy = site.config.policy(0.0);
        let options = CameraOptions { replay_pace: Pace::Fast, replay_fps: fps, ..site.camera_options()? };
        let watcher = |vision: Vision| {
            let liveness = site.liveness(&vision)?.context("liveness was not loaded")?;
            let (options, quality) = (options.clone(), policy.quality);
            Ok(Self { vision, liveness, options, quality, track_lost_ms: policy.track_lost_ms, fps })
        };
        Vision::load_several(&site.vision_options(), threads)?.into_iter().map(watcher).collect()
    }

    /// The liveness network and what it scores by.
    #[must_use]
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Watches a clip from its first frame to its last.
    ///
    /// # Errors
    /// When it cannot be read, or a network cannot be run.
    pub fn watch(&mut self, clip: &Clip, with_features: bool) -> Result<Watched> {
        let mut replay = open_replay(&clip.path, &self.options, Arc::new(ReplayClock::new(0)))?;
        let mut watched =
            Watched { looks: Vec::new(), frame_px: (0, 0), frames: 0, shown: None, spent: Duration::ZERO };
        let mut tracker = Tracker::new(self.track_lost_ms);
        let (mut frame, mut due_ms) = (Frame::empty(), 0.0);
        loop {
            match replay.next_frame(&mut frame, Duration::from_secs(10)) {
                Ok(()) => {}
                Err(CameraError::End) => break,
                Err(error) if error.is_passing() => continue,
                Err(error) => return Err(error.into()),
            }
            // A little early is in time: containers round their times.
            if (frame.at_ms as f64) + 2.0 < due_ms {
                continue;
            }
            due_ms = (due_ms + 1e3 / self.fps).max(frame.at_ms as f64);
            let repeats = if clip.is_picture() { (STILL_MS * self.fps / 1e3).ceil() as u64 } else { 1 };
            for n in 0..repeats {
                let at_ms = frame.at_ms + (n as f64 * 1e3 / self.fps) as u64;
                self.look(&frame, at_ms, &mut tracker, with_features, &mut watched)?;
            }
        }
        Ok(watched)
    }

    fn look(
        &mut self,
        frame: &Frame,
        at_ms: u64,
        tracker: &mut Tracker,
        with_features: bool,
        watched: &mut Watched,
    ) -> Result<()> {
        let Some(picture) = frame.view() else { return Ok(()) };
        watched.frame_px = (frame.width_px, frame.height_px);
        watched.frames += 1;
        let faces = self.vision.detect(picture)?;
        let portraits: Vec<Portrait> =
            faces.iter().take(FACES_MAX).filter_map(|face| portrait(picture, face)).collect();
        let boxes: Vec<Rect> = portraits.iter().map(|p| p.face.rect).collect();
        let tracks = tracker.update(&boxes, at_ms);
        let (Some(nearest), Some(track)) = (portraits.first(), tracks.first()) else { return Ok(()) };
        self.liveness.remember(picture, at_ms);
        if nearest.quality.refusal(&self.quality).is_some() {
            return Ok(());
        }
        let began = std::time::Instant::now();
        let pad = self.liveness.look(picture, &nearest.face.rect)?;
        watched.spent += began.elapsed();
        let features =
            if with_features { self.liveness.features(picture, &nearest.face.rect).to_vec() } else { Vec::new() };
        watched.looks.push(Look { at_ms, track: *track, pad, features });
        // The third look is among those that decide.
        if watched.looks.len() == 3 || watched.shown.is_none() {
            watched.shown = thumbnail(frame);
        }
        Ok(())
    }
}

impl Watched {
    /// The same with other evidence in each look: `of` gets the look's number and what it was. Without features and picture.
    #[must_use]
    pub fn with_scores(&self, of: impl Fn(usize, PadLook) -> PadLook) -> Self {
        let look = |(n, look): (usize, &Look)| Look { pad: of(n, look.pad), features: Vec::new(), ..look.clone() };
        Self { looks: self.looks.iter().enumerate().map(look).collect(), ..self.without_looks() }
    }

    /// The same without what was seen in it.
    #[must_use]
    pub fn without_looks(&self) -> Self {
        Self { looks: Vec::new(), shown: None, ..*self }
    }

    /// What the gate would have decided: bona fide if any track of the nearest face ever was, since the gate would have
    /// opened then.
    #[must_use]
    pub fn decide(&self, model: &ScoreModel, thresholds: &PadThresholds) -> Decided {
        let Some(first) = self.looks.first() else {
            return Decided { verdict: None, at_ms: None, llr: None, parts: None };
        };
        let mut tests: Vec<(TrackId, PadTest)> = Vec::new();
        let (mut attack, mut bona_fide) = (None, None);
        for look in &self.looks {
            let place = tests.iter().position(|(track, _)| *track == look.track).unwrap_or(tests.len());
            if place == tests.len() {
                tests.push((look.track, PadTest::default()));
            }
            let since_ms = look.at_ms - first.at_ms;
            match tests[place].1.take(look.pad, look.at_ms, model, thresholds) {
                Some(PadVerdict::BonaFide) => _ = bona_fide.get_or_insert(since_ms),
                Some(PadVerdict::Attack) => _ = attack.get_or_insert(since_ms),
                None => {}
            }
        }
        let verdict =
            bona_fide.map(|at| (PadVerdict::BonaFide, at)).or_else(|| attack.map(|at| (PadVerdict::Attack, at)));
        let parts = self.parts_at_deadline(model);
        let llr = parts.map(|parts| parts.iter().sum());
        Decided { verdict: verdict.map(|v| v.0), at_ms: verdict.map(|v| v.1), llr, parts }
    }

    /// The longest track's evidence when the test must end.
    fn parts_at_deadline(&self, model: &ScoreModel) -> Option<[f32; 3]> {
        let looks = self.longest_track();
        let first = looks.first()?;
        let mut test = PadTest::default();
        // Thresholds that end nothing: all looks up to the deadline have their say.
        let open = PadThresholds { accept: f32::INFINITY, reject: f32::NEG_INFINITY, decide: f32::NEG_INFINITY };
        for look in looks.iter().take_while(|look| look.at_ms - first.at_ms <= DEADLINE_MS) {
            test.take(look.pad, look.at_ms, model, &open);
        }
        Some(test.parts(model))
    }

    /// The looks of the track that has the most.
    #[must_use]
    pub fn longest_track(&self) -> Vec<&Look> {
        let count = |track| self.looks.iter().filter(|look| look.track == track).count();
        // Of equals the first.
        let best =
            self.looks.iter().map(|look| look.track).max_by_key(|track| (count(*track), std::cmp::Reverse(*track)));
        self.looks.iter().filter(|look| Some(look.track) == best).collect()
    }
}

fn thumbnail(frame: &Frame) -> Option<RgbImage> {
    let picture = RgbImage::from_raw(frame.width_px, frame.height_px, frame.rgb.clone())?;
    let scale = (SHOWN_PX as f32 / frame.width_px.max(frame.height_px) as f32).min(1.0);
    let side = |px: u32| ((px as f32 * scale) as u32).max(1);
    let (w, h) = (side(frame.width_px), side(frame.height_px));
    Some(image::imageops::resize(&picture, w, h, image::imageops::FilterType::Triangle))
}
