//! A site's liveness calibration: a classifier learned from its own people, camera and attacks.
//!
//! `gate-lab calibrate-liveness` writes it, the gate loads it. Colour texture tells pictures from skin well within one camera
//! and light, and badly across cameras; so the file names the camera and the size of its frames, and is refused for others.

use crate::SiteError;
use crate::calibration::Stated;
use gate_config::Camera;
use gate_vision::card::{Card, Score};
use gate_vision::liveness::Classifier;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The form of the file that is written now.
pub const FORMAT: u32 = 1;

/// A liveness calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LivenessCalibration {
    /// [`FORMAT`].
    pub format: u32,
    /// When it was made, UTC.
    pub made_at: String,
    /// The liveness network's card.
    pub network: String,
    /// The hash of its weights: the classifier weighs its inner features.
    pub network_sha256: String,
    /// The camera, as the configuration names it.
    pub camera: String,
    /// Width of its frames, pixels.
    pub width_px: u32,
    /// Height of its frames, pixels.
    pub height_px: u32,
    /// What was measured on people left out of the learning, for a person to read. The gate decides nothing by it.
    pub measured: Measured,
    /// How the classifier's scores are distributed, on people left out of the learning.
    pub score: Score,
    /// Added to the weighted features.
    pub bias: f32,
    /// One for each feature.
    pub weights: Vec<f32>,
}

/// What a liveness calibration has found, by people and clips left out of the learning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// People behind it.
    pub people: u32,
    /// The BPCER that was asked for.
    pub bpcer_target: f32,
    /// Bona fide clips refused.
    pub bpcer: Stated,
    /// Attack clips accepted, for each species.
    pub apcer: BTreeMap<String, Stated>,
    /// The same of the network alone: bona fide clips refused.
    pub network_bpcer: Stated,
    /// And attack clips accepted, of all species.
    pub network_apcer: Stated,
}

impl LivenessCalibration {
    /// Reads a calibration and checks that it is for this network and camera.
    ///
    /// # Errors
    /// When it cannot be read, makes no sense, or was made for something else.
    pub fn load(path: &Path, network: &Card, camera: &Camera) -> Result<Classifier, SiteError> {
        let bad = |why: String| SiteError::LivenessCalibration { path: path.to_path_buf(), why };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let calibration: Self = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if calibration.format != FORMAT {
            return Err(bad(format!("it is of form {}, this program reads form {FORMAT}", calibration.format)));
        }
        if calibration.network_sha256 != network.sha256 {
            return Err(bad(format!(
                "it was made with other weights ({}) than those of the network {:?}",
                calibration.network, network.name
            )));
        }
        // A replay of the camera's own clips is how one looks into what the gate has done.
        let is_replay = camera.source.starts_with("replay:");
        if calibration.camera != camera.source && !is_replay {
            return Err(bad(format!(
                "it was made for the camera {:?}, [camera] source is {:?}",
                calibration.camera, camera.source
            )));
        }
        let frame_px = (calibration.width_px, calibration.height_px);
        if frame_px != (camera.width_px, camera.height_px) && !is_replay {
            return Err(bad(format!(
                "it was made for frames of {}x{}, [camera] asks for {}x{}",
                frame_px.0, frame_px.1, camera.width_px, camera.height_px
            )));
        }
        Classifier::new(calibration.weights, calibration.bias, calibration.score.model(), frame_px)
            .ok_or_else(|| bad("its weights or [score] make no sense".into()))
    }
}
