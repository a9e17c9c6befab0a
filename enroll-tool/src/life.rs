//! Whether the face before the enrolment camera is live: the gate's network and cues, over the frames of one face.

use anyhow::{Context, Result};
use gate_core::geometry::Rect;
use gate_core::liveness::{PadTest, PadThresholds, PadVerdict, ScoreModel};
use gate_core::picture::Rgb;
use gate_vision::Liveness;

/// The test over the face that is before the camera.
pub struct Life {
    liveness: Liveness,
    model: ScoreModel,
    thresholds: PadThresholds,
    test: PadTest,
}

impl Life {
    /// A test that may refuse this part of the live people.
    #[must_use]
    pub fn new(liveness: Liveness, bpcer_target: f32) -> Self {
        let model = liveness.model();
        let thresholds = PadThresholds::derive(&model, bpcer_target);
        Self { liveness, model, thresholds, test: PadTest::default() }
    }

    /// Looks at a face of a frame and says where the test stands: `None` = not decided yet.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn look(&mut self, picture: Rgb<'_>, face: &Rect, at_ms: u64) -> Result<Option<PadVerdict>> {
        self.liveness.remember(picture, at_ms);
        let look = self.liveness.look(picture, face).context("telling a live face from a picture")?;
        Ok(self.test.take(look, at_ms, &self.model, &self.thresholds))
    }

    /// Where the test stands.
    #[must_use]
    pub fn verdict(&self) -> Option<PadVerdict> {
        self.test.verdict()
    }

    /// Begins anew, for another face.
    pub fn forget(&mut self) {
        self.test = PadTest::default();
    }
}
