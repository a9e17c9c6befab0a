//! What a frame says about whether a face is bona fide, as evidence for [`gate_core::liveness`].
//!
//! ```text
//!  frame ──┬─ crop 2.7x ──▶ network ──▶ logits, inner features ─┬─▶ log-odds ─────────────────┐
//!          ├─ colour texture (only with a site's calibration) ──┴─▶ the site's classifier ────┤ score
//!          ├─ grid, four faces wide ──▶ straight edges around the face ───────────────────────┤ outline
//!          └─ the same grid a moment ago ──▶ do the surroundings move with the face? ─────────┘ surroundings
//! ```
//! What each cue is worth, alone and together, and which were thrown out: docs/LIVENESS.md.

mod classifier;
mod crop;
mod outline;
mod patch;
mod surroundings;
mod texture;

pub use classifier::Classifier;

use crate::card::{Card, Channels, Job};
use crate::error::VisionError;
use crate::network::{Network, bad_model, failed};
use crate::runtime::{Runtime, SessionOptions};
use gate_core::geometry::Rect;
use gate_core::liveness::{PadLook, ScoreModel};
use gate_core::picture::Rgb;
use outline::Gradients;
use patch::{AREA, Grid, Luma, Motion, SIDE_PX};
use std::collections::VecDeque;
use std::path::Path;
use surroundings::Watch;
use texture::{TEXTURE_DIM, Textures};

/// The surroundings are compared with a frame at least so much older, milliseconds: less, and little has moved.
const EARLIER_MIN_MS: u64 = 180;
/// A frame older than this is no moment ago.
const EARLIER_MAX_MS: u64 = 600;
/// Most earlier frames kept.
const EARLIER_FRAMES: usize = 8;

/// The liveness network, the cues beside it, and what they need to remember.
pub struct Liveness {
    network: Network,
    model: ScoreModel,
    /// Where the logits and the inner features are among the outputs.
    outputs: [Option<usize>; 2],
    side_px: usize,
    crop: f32,
    bona_fide_class: usize,
    planes: Vec<f32>,
    logits: Vec<f32>,
    embedding: Vec<f32>,
    classifier: Option<Classifier>,
    textures: Textures,
    features: Vec<f32>,
    watch: Watch,
    grid: Vec<f32>,
    work: Vec<f32>,
    gradients: Gradients,
    /// Luma of this frame and of some before it, oldest first, with their times in milliseconds.
    frames: VecDeque<(u64, Luma)>,
}

impl Liveness {
    /// Loads the network of this card.
    ///
    /// # Errors
    /// See [`Card::load`] and [`Runtime::session`]; and when the graph does not do what the card says.
    pub fn load(runtime: &Runtime, models: &Path, name: &str, options: SessionOptions) -> Result<Self, VisionError> {
        let card = Card::load(models, name, Job::Liveness)?;
        let network = Network::load(runtime, card, options)?;
        let about = network.card().liveness.as_ref();
        let about = about.ok_or_else(|| bad_model(network.card(), "the card has no [liveness]"))?;
        let (side_px, crop, bona_fide_class) = (about.side_px, about.crop, about.bona_fide_class);
        let model = about.score.model();
        let outputs = ["logits", "embedding"].map(|name| network.output(name));
        let mut liveness = Self {
            network,
            model,
            outputs,
            side_px,
            crop,
            bona_fide_class,
            planes: vec![0.0; 3 * side_px * side_px],
            logits: Vec::new(),
            embedding: Vec::new(),
            classifier: None,
            textures: Textures::new(),
            features: Vec::new(),
            watch: Watch::new(),
            grid: vec![0.0; AREA],
            work: vec![0.0; AREA],
            gradients: Gradients::new(),
            frames: VecDeque::new(),
        };
        // A first run proves that card and weights fit, and takes the cost of first use away from the first visitor.
        let blank = vec![127; 3 * side_px * side_px];
        let side = side_px as u32;
        let face = Rect { x: 0.0, y: 0.0, w: side_px as f32, h: side_px as f32 };
        if let Some(picture) = Rgb::new(&blank, side, side) {
            liveness.run(picture, &face)?;
        }
        Ok(liveness)
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &Card {
        self.network.card()
    }

    /// How the scores of [`Self::look`] are distributed: the card's, or the site's own once it is calibrated.
    #[must_use]
    pub fn model(&self) -> ScoreModel {
        self.classifier.as_ref().map_or(self.model, Classifier::model)
    }

    /// Scores by the site's own classifier from now on.
    ///
    /// # Errors
    /// When it was made for other features than these.
    pub fn calibrate(&mut self, classifier: Classifier) -> Result<(), VisionError> {
        let want = self.feature_dim();
        if classifier.dim() != want {
            let why = format!("the site's liveness classifier weighs {} features, there are {want}", classifier.dim());
            return Err(bad_model(self.card(), why));
        }
        self.classifier = Some(classifier);
        Ok(())
    }

    /// Length of [`Self::features`].
    #[must_use]
    pub fn feature_dim(&self) -> usize {
        TEXTURE_DIM + self.logits.len() + self.embedding.len()
    }

    /// Keeps the frame for comparisons with later ones. Once for each frame that shows a face, before [`Self::look`];
    /// `at_ms` is monotonic.
    pub fn remember(&mut self, picture: Rgb<'_>, at_ms: u64) {
        // An old frame gives its memory to the new one.
        let full = self.frames.len() == EARLIER_FRAMES;
        let mut luma = if full { self.frames.pop_front().unwrap_or_default().1 } else { Luma::default() };
        luma.take(picture);
        self.frames.push_back((at_ms, luma));
    }

    /// One look at a face of the frame that was remembered last. About 3 ms on one core, most of it the network's.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn look(&mut self, picture: Rgb<'_>, face: &Rect) -> Result<PadLook, VisionError> {
        self.check_size(picture)?;
        self.run(picture, face)?;
        if self.classifier.is_some() {
            self.read_features(picture, face);
        }
        let score = self.classifier.as_ref().map_or_else(|| self.log_odds(), |site| site.score(&self.features));
        let grid = Grid::of(face);
        let Some((at_ms, luma)) = self.frames.back() else {
            return Ok(PadLook { score, outline: 0.0, surroundings: None });
        };
        grid.fill(luma, &Motion::default(), &(0..SIDE_PX), &mut self.work, &mut self.grid);
        let outline = outline::strength(&self.grid, &mut self.gradients);
        // The youngest frame that is old enough.
        let ages = EARLIER_MIN_MS..=EARLIER_MAX_MS;
        let earlier = self.frames.iter().rev().find(|(t, _)| ages.contains(&at_ms.saturating_sub(*t)));
        let surroundings = earlier.and_then(|(_, earlier)| self.watch.compare(grid, &self.grid, earlier));
        Ok(PadLook { score, outline, surroundings })
    }

    /// Everything that a site's classifier may weigh of the face that was looked at last: colour texture, the network's logits,
    /// its inner features.
    pub fn features(&mut self, picture: Rgb<'_>, face: &Rect) -> &[f32] {
        self.read_features(picture, face);
        &self.features
    }

    /// A site's classifier is for frames of one size.
    fn check_size(&self, picture: Rgb<'_>) -> Result<(), VisionError> {
        let (found, wanted) =
            ((picture.width_px(), picture.height_px()), self.classifier.as_ref().map(Classifier::frame_px));
        let Some((w, h)) = wanted.filter(|wanted| *wanted != found) else { return Ok(()) };
        let why = format!(
            "the site's liveness classifier was made for frames of {w}x{h}, these are {}x{}: calibrate anew, or set the camera back",
            found.0, found.1
        );
        Err(failed(self.card(), why))
    }

    fn read_features(&mut self, picture: Rgb<'_>, face: &Rect) {
        self.features.clear();
        self.textures.read(picture, face, &mut self.features);
        self.features.extend_from_slice(&self.logits);
        self.features.extend_from_slice(&self.embedding);
    }

    /// ln(p / (1 - p)) of the class "bona fide" after softmax.
    fn log_odds(&self) -> f32 {
        let is_other = |(class, _): &(usize, &f32)| *class != self.bona_fide_class;
        let most = self.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let others: f32 = self.logits.iter().enumerate().filter(is_other).map(|(_, logit)| (logit - most).exp()).sum();
        let bona_fide = self.logits.get(self.bona_fide_class).copied().unwrap_or(f32::NAN);
        bona_fide - most - others.max(f32::MIN_POSITIVE).ln()
    }

    /// Runs the network; fills `logits` and `embedding`.
    fn run(&mut self, picture: Rgb<'_>, face: &Rect) -> Result<(), VisionError> {
        let area = self.side_px * self.side_px;
        let input = self.network.card().input;
        let planes = &mut self.planes;
        crop::resized(picture, face, self.crop, self.side_px, |at, [r, g, b]| {
            let ordered = if input.channels == Channels::Rgb { [r, g, b] } else { [b, g, r] };
            for (plane, value) in ordered.into_iter().enumerate() {
                planes[plane * area + at] = (((value + 0.5) as u32) as f32 - input.mean) * input.scale;
            }
        });
        let outputs = self.network.run([1, 3, self.side_px, self.side_px], &self.planes)?;
        for (output, into) in self.outputs.into_iter().zip([&mut self.logits, &mut self.embedding]) {
            into.clear();
            if let Some(output) = output {
                into.extend_from_slice(outputs.at(output)?);
            }
        }
        drop(outputs);
        let sound = self.logits.len() > self.bona_fide_class && self.logits.iter().all(|v| v.is_finite());
        if !sound {
            let why = format!("its logits {:?} have no class {} or are no numbers", self.logits, self.bona_fide_class);
            return Err(failed(self.card(), why));
        }
        Ok(())
    }
}
