//! The owner's policy as plain values: what the decider asks of a person before it opens.

use crate::light::LightPolicy;
use crate::liveness::ScoreModel;

/// What happens when more than one face is near enough to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SeveralFaces {
    /// Nobody is let in until one person stands alone.
    #[default]
    Refuse,
    /// Only the nearest (largest) face can be granted.
    Nearest,
}

/// What a face must be like before its identity counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QualityPolicy {
    /// Smallest width of the face box, pixels of the frame.
    pub min_face_px: f32,
    /// Largest estimated turn to either side, degrees.
    pub max_yaw_deg: f32,
    /// Largest estimated nod up or down, degrees.
    pub max_pitch_deg: f32,
    /// Least sharpness (see [`crate::quality::Quality::sharpness`]).
    pub min_sharpness: f32,
    /// Least mean luma of the face, 0..255.
    pub min_luma: f32,
    /// Largest mean luma of the face, 0..255.
    pub max_luma: f32,
}

impl Default for QualityPolicy {
    fn default() -> Self {
        Self {
            min_face_px: 48.0,
            max_yaw_deg: 40.0,
            max_pitch_deg: 35.0,
            min_sharpness: 3.0,
            min_luma: 40.0,
            max_luma: 225.0,
        }
    }
}

/// Which evidence of a live face is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PadMode {
    /// None: a good photograph opens the gate.
    Off,
    /// What the frames show by themselves.
    #[default]
    Passive,
    /// The answer to the lamp's code.
    Active,
    /// Both of them.
    Both,
}

impl PadMode {
    /// Whether the frames themselves are asked.
    #[must_use]
    pub const fn is_passive(self) -> bool {
        matches!(self, PadMode::Passive | PadMode::Both)
    }

    /// Whether the lamp is asked.
    #[must_use]
    pub const fn is_active(self) -> bool {
        matches!(self, PadMode::Active | PadMode::Both)
    }
}

/// Presentation attack detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadPolicy {
    /// Which evidence is asked for.
    pub mode: PadMode,
    /// How passive scores are distributed.
    pub model: ScoreModel,
    /// Part of the live people that may be refused, 0..1; the thresholds follow from it and from the model.
    pub bpcer_target: f32,
    /// So many attempts with one person's face lock that person out; 0 = attempts are not bounded.
    pub attacks_max: u8,
    /// One attempt is forgiven after so long, milliseconds.
    pub attacks_window_ms: u32,
    /// How long the first lock-out lasts, milliseconds. Each further one lasts twice as long, up to 8 times.
    pub lockout_ms: u32,
    /// How the answer to the lamp's code is judged.
    pub light: LightPolicy,
}

impl Default for PadPolicy {
    fn default() -> Self {
        Self {
            mode: PadMode::default(),
            // A stand-in for a card's: what is measured stands there.
            model: ScoreModel { bona_fide: 5.0, attack: -7.0, between: 3.0, within: 1.8, correlation_ms: 250.0 },
            bpcer_target: 0.02,
            attacks_max: 3,
            attacks_window_ms: 600_000,
            lockout_ms: 30_000,
            light: LightPolicy::default(),
        }
    }
}

/// What one track must show before the gate opens, and how the gate behaves then.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Largest dissimilarity d² at which two faces count as one person's.
    pub tau: f32,
    /// Largest dissimilarity d² at which two frames of a track count as the same face: looser than `tau`, since frames of one
    /// visit are alike, and strict enough that another person's face is noticed.
    pub same_face_d2: f32,
    /// Least distance in d² between the best person and the second best.
    pub margin_d2: f32,
    /// Agreeing identifications needed on one track.
    pub agreeing_frames: u8,
    /// They must lie within this long, milliseconds.
    pub window_ms: u32,
    /// A reason must hold this long on a track before it is reported, milliseconds.
    pub refuse_after_ms: u32,
    /// Somebody who was let in is let in again only after this long, milliseconds, on whatever track.
    pub regrant_after_ms: u32,
    /// A track not seen for this long is over, milliseconds.
    pub track_lost_ms: u32,
    /// How long the relay is on for a grant, milliseconds. Never above `pulse_max_ms`.
    pub pulse_ms: u32,
    /// Longest time the relay may ever be on, milliseconds.
    pub pulse_max_ms: u32,
    /// No sighting for this long is a camera fault, milliseconds.
    pub stall_ms: u32,
    /// How long an alarm stands after it was last raised, milliseconds.
    pub alarm_ms: u32,
    /// What to do about two people.
    pub several_faces: SeveralFaces,
    /// Another face counts as a second person when it is at least this part of the nearest face's width, 0..1.
    pub bystander_ratio: f32,
    /// What a face must be like.
    pub quality: QualityPolicy,
    /// What shows that a face is live.
    pub liveness: PadPolicy,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tau: 1.0,
            // The encoder's own table says; this is SFace's at an FMR of 1e-3.
            same_face_d2: 1.268,
            margin_d2: 0.05,
            agreeing_frames: 3,
            window_ms: 1_500,
            refuse_after_ms: 700,
            regrant_after_ms: 5_000,
            track_lost_ms: 500,
            pulse_ms: 3_000,
            pulse_max_ms: 10_000,
            stall_ms: 2_000,
            alarm_ms: 60_000,
            several_faces: SeveralFaces::Refuse,
            bystander_ratio: 0.5,
            quality: QualityPolicy::default(),
            liveness: PadPolicy::default(),
        }
    }
}
