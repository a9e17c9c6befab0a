//! A site's own liveness classifier: one weight for each feature, learned by `gate-lab calibrate-liveness`.

use gate_core::liveness::ScoreModel;

/// `score = weights . features + bias`, and how that score is distributed at the site.
#[derive(Clone, Debug, PartialEq)]
pub struct Classifier {
    weights: Vec<f32>,
    bias: f32,
    model: ScoreModel,
    frame_px: (u32, u32),
}

impl Classifier {
    /// A classifier for frames of this width and height; `None` when a number is not finite or the model makes no sense.
    #[must_use]
    pub fn new(weights: Vec<f32>, bias: f32, model: ScoreModel, frame_px: (u32, u32)) -> Option<Self> {
        let sound = weights.iter().all(|w| w.is_finite()) && bias.is_finite() && model.is_sound();
        (sound && !weights.is_empty()).then_some(Self { weights, bias, model, frame_px })
    }

    /// Width and height of the frames that it was learned from.
    #[must_use]
    pub fn frame_px(&self) -> (u32, u32) {
        self.frame_px
    }

    /// Features that it weighs.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.weights.len()
    }

    /// How its scores are distributed.
    #[must_use]
    pub fn model(&self) -> ScoreModel {
        self.model
    }

    /// The score of these features: larger = more likely bona fide.
    #[must_use]
    pub fn score(&self, features: &[f32]) -> f32 {
        self.weights.iter().zip(features).map(|(w, f)| w * f).sum::<f32>() + self.bias
    }
}
