//! A frame by frame record for diagnosis and for the demo's report: boxes, landmarks, quality, dissimilarities.
//!
//! It holds scores, which nobody at the gate may learn, so it is written only when the owner asks for it by
//! `run --trace FILE`, into a file that only its owner can read.

use crate::gate::Seen;
use anyhow::{Context, Result};
use gate_core::decision::{Lookup, Now};
use gate_core::gate::State;
use gate_core::policy::QualityPolicy;
use gate_site::Members;
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// One frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameTrace {
    /// The frame's number from the camera.
    pub seq: u64,
    /// Monotonic milliseconds.
    pub mono_ms: u64,
    /// Whether the relay is on after it.
    pub unlocked: bool,
    /// The threshold in force.
    pub tau: f32,
    /// The faces, largest first.
    pub faces: Vec<FaceTrace>,
}

/// One face of a frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaceTrace {
    /// Left, top, width, height, pixels.
    #[serde(rename = "box")]
    pub rect: [f32; 4],
    /// Five points, pixels.
    pub landmarks: [[f32; 2]; 5],
    /// Track number.
    pub track: u32,
    /// Estimated turn to the side, degrees.
    pub yaw_deg: f32,
    /// Estimated nod, degrees.
    pub pitch_deg: f32,
    /// See [`gate_core::quality::Quality`].
    pub sharpness: f32,
    /// Mean luma.
    pub luma: f32,
    /// What is wrong with this face, if anything.
    pub poor: Option<String>,
    /// The nearest person, if the face was encoded.
    pub nearest: Option<String>,
    /// Dissimilarity to them.
    pub d2: Option<f32>,
    /// Dissimilarity to the next person.
    pub runner_up_d2: Option<f32>,
    /// Liveness: it is taken for a presentation attack.
    pub attack: bool,
    /// Liveness: the network's or the site's score, larger = more likely live.
    pub live_score: Option<f32>,
    /// Liveness: strength of straight edges around the face.
    pub outline: Option<f32>,
    /// Liveness: share of the surroundings where motion shows, their difference if still, and if carried along.
    pub surroundings: Option<[f32; 3]>,
}

/// The file it is written to.
pub struct Trace {
    out: BufWriter<File>,
}

impl Trace {
    /// Begins a new file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("the trace {} cannot be written", path.display()))?;
        tracing::warn!(file = %path.display(), "the trace holds scores: keep it on this machine, delete it afterwards");
        Ok(Self { out: BufWriter::new(file) })
    }

    /// Appends one frame.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn write(
        &mut self,
        seq: u64,
        now: Now,
        state: State,
        seen: &[Seen],
        members: &Members,
        policy: &QualityPolicy,
    ) -> Result<()> {
        let frame = FrameTrace {
            seq,
            mono_ms: now.mono_ms,
            unlocked: matches!(state, State::Unlocked { .. }),
            tau: members.tau().d2,
            faces: seen.iter().map(|s| face_trace(s, members, policy)).collect(),
        };
        serde_json::to_writer(&mut self.out, &frame)?;
        self.out.write_all(b"\n")?;
        Ok(self.out.flush()?)
    }
}

fn face_trace(seen: &Seen, members: &Members, policy: &QualityPolicy) -> FaceTrace {
    let (r, quality) = (seen.face.rect, seen.sighting.quality);
    let found = match seen.sighting.lookup {
        Lookup::Found(found) => Some(found),
        Lookup::NotDone | Lookup::Unclear | Lookup::EmptyGallery => None,
    };
    FaceTrace {
        rect: [r.x, r.y, r.w, r.h],
        landmarks: seen.face.landmarks.map(|p| [p.x, p.y]),
        track: seen.sighting.track.0,
        yaw_deg: quality.pose.yaw_deg,
        pitch_deg: quality.pose.pitch_deg,
        sharpness: quality.sharpness,
        luma: quality.luma,
        poor: quality.refusal(policy).map(|r| r.name().into()),
        nearest: found.and_then(|f| members.person(f.person)).map(|p| p.id.clone()),
        d2: found.map(|f| f.d2),
        runner_up_d2: found.and_then(|f| f.runner_up_d2),
        attack: seen.attack,
        live_score: seen.sighting.pad.map(|p| p.score),
        outline: seen.sighting.pad.map(|p| p.outline),
        surroundings: seen.sighting.pad.and_then(|p| p.surroundings).map(|s| [s.share, s.still, s.carried]),
    }
}
