//! What `bench` looks at, and whom the gate knows meanwhile.

use crate::demo::scene;
use anyhow::{Context, Result, bail};
use gate_core::geometry::Face;
use gate_core::person::{Access, PersonKey};
use gate_core::similarity::normalise;
use gate_hal::{Camera, CameraError, CameraOptions, Frame, Pace, ReplayClock, open_replay};
use gate_store::{GalleryPerson, StoredGallery};
use gate_vision::Vision;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Most frames kept of a replay.
const FRAMES_MAX: usize = 300;
/// Where the pictures of who walks up are, below the models' folder.
const SAMPLES: &str = "cache/samples";

/// Frames with their times, and the vector of the person in them who is enrolled.
pub struct Clip {
    /// The frames, in order; `at_ms` from the first one on.
    pub frames: Vec<Frame>,
    /// How long the clip lasts, milliseconds.
    pub length_ms: f64,
    /// The unit vector of whom the gate shall know.
    pub reference: Vec<f32>,
}

impl Clip {
    /// Somebody walks up, is let in and goes through, as in the demo: 640x480, made of samples.
    ///
    /// # Errors
    /// When a sample is missing.
    pub fn walk_up(vision: &mut Vision, models: &Path) -> Result<Self> {
        let samples = models.join(SAMPLES);
        let pictures = scene::walk_up(vision, &samples)?;
        let step_ms = 1e3 / f64::from(scene::FPS);
        let frames = pictures.into_iter().enumerate().map(|(n, picture)| Frame {
            width_px: picture.width(),
            height_px: picture.height(),
            rgb: picture.into_raw(),
            seq: n as u64,
            at_ms: (n as f64 * step_ms) as u64,
            taken_us: None,
        });
        let frames: Vec<Frame> = frames.collect();
        let (_, _, enrolled) = crate::demo::ENROLLED[0];
        let photo = gate_vision::photo::Photo::read(&samples.join(enrolled))?;
        let portraits = vision.portraits(&photo)?;
        let portrait = portraits.first().with_context(|| format!("no face in {enrolled}"))?;
        let reference = vision.encode(&portrait.chip)?.to_vec();
        Ok(Self { length_ms: frames.len() as f64 * step_ms, frames, reference })
    }

    /// All frames of a replay, decoded beforehand; whoever comes nearest in it is enrolled.
    ///
    /// # Errors
    /// When it cannot be read, or has no frames.
    pub fn replayed(vision: &mut Vision, path: &Path, fps: f64) -> Result<Self> {
        let options = CameraOptions { replay_pace: Pace::Fast, replay_fps: fps, ..CameraOptions::default() };
        let mut replay = open_replay(path, &options, Arc::new(ReplayClock::new(0)))?;
        let mut frames: Vec<Frame> = Vec::new();
        while frames.len() < FRAMES_MAX {
            let mut frame = Frame::empty();
            match replay.next_frame(&mut frame, Duration::from_secs(10)) {
                Ok(()) => frames.push(frame),
                Err(CameraError::End) => break,
                Err(e) => return Err(e.into()),
            }
        }
        let [first, .., last] = frames.as_slice() else { bail!("{}: fewer than two frames", path.display()) };
        let (first_ms, span_ms) = (first.at_ms, (last.at_ms - first.at_ms) as f64);
        frames.iter_mut().for_each(|frame| frame.at_ms -= first_ms);
        let reference = nearest(vision, &frames)?;
        Ok(Self { length_ms: span_ms * (1.0 + 1.0 / (frames.len() - 1) as f64), frames, reference })
    }

    /// What the frames take in memory.
    pub fn megabytes(&self) -> f64 {
        self.frames.iter().map(|frame| frame.rgb.len()).sum::<usize>() as f64 / f64::from(1 << 20)
    }

    /// The size of the frames, for a table.
    pub fn size(&self) -> String {
        format!("{}x{}", self.frames[0].width_px, self.frames[0].height_px)
    }
}

/// The vector of the largest face of all frames; one that nobody has when there is no face.
fn nearest(vision: &mut Vision, frames: &[Frame]) -> Result<Vec<f32>> {
    let mut best: Option<(&Frame, Face)> = None;
    for frame in frames {
        let picture = frame.view().context("an empty frame")?;
        if let Some(face) = vision.detect(picture)?.first()
            && best.is_none_or(|(_, than)| face.rect.w > than.rect.w)
        {
            best = Some((frame, *face));
        }
    }
    let portrait = best.and_then(|(frame, face)| gate_vision::portrait(frame.view()?, &face));
    let Some(portrait) = portrait else { return Ok(unit_vectors(1, vision.encoder().dim(), 7)) };
    Ok(vision.encode(&portrait.chip)?.to_vec())
}

/// A gallery of made-up people whom nobody looks like, the same at every run, and one person with this reference, who comes
/// last.
pub fn gallery(strangers: u32, reference: &[f32]) -> StoredGallery {
    let dim = reference.len();
    let mut references = unit_vectors(strangers as usize, dim, 0x9E37_79B9_7F4A_7C15);
    references.extend_from_slice(reference);
    let keys = (1..=strangers + 1).map(PersonKey);
    let people = keys.clone().map(|key| GalleryPerson {
        key,
        id: format!("p{}", key.0),
        access: Access::default(),
        confirmed: true,
    });
    StoredGallery { dim, references, owners: keys.collect(), people: people.collect(), ..StoredGallery::default() }
}

/// Unit vectors in arbitrary directions.
fn unit_vectors(count: usize, dim: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let mut vectors: Vec<f32> = (0..count * dim).map(|_| next()).collect();
    for row in vectors.chunks_mut(dim) {
        // A random row has a direction.
        let _ = normalise(row);
    }
    vectors
}
