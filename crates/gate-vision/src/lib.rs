//! The gate's eyes: detect, align and encode faces with ONNX Runtime, and tell live ones from pictures.
//!
//! ```text
//! Rgb ──▶ Detector ──▶ faces ──┬─▶ align ──▶ chip ──▶ Quality
//!                              │               └────▶ Encoder ──▶ unit vector
//!                              └─▶ Liveness ──▶ PadLook
//! ```
//!
//! A network is described by a [`card::Card`]; [`Vision`] holds the two networks that every program needs, [`Liveness`] the one
//! that the gate needs as well. How vectors are compared, and how often strangers come near, is a [`Comparer`]'s.
#![forbid(unsafe_code)]

pub mod align;
pub mod card;
pub mod comparer;
mod detect;
mod encode;
mod error;
mod int8;
pub mod liveness;
mod network;
mod onnx;
mod optimised;
pub mod photo;
mod runtime;

pub use comparer::Comparer;
pub use detect::Detector;
pub use encode::Encoder;
pub use error::VisionError;
pub use liveness::Liveness;
pub use runtime::{Optimised, Provider, Runtime, SessionOptions};

use align::{CHIP_BYTES, Chip, align, new_chip};
use card::{Card, Job};
use gate_core::geometry::{Face, Faces};
use gate_core::picture::Rgb;
use gate_core::quality::Quality;
use photo::Photo;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Raised with every change between a picture and its vector that no card tells of: whoever keeps vectors of pictures makes
/// them anew then.
pub const PIPELINE: u32 = 2;

/// How wide a face must be in what the detector sees so that a glance does not miss it, pixels: of 500 faces of LFW, so wide
/// in an input of 320x256, shrunk by means, YuNet finds 496; 32 pixels wide all, 16 wide 443.
const GLANCE_FACE_PX: f32 = 24.0;

/// Which networks to load, and how to run them.
#[derive(Clone, Debug)]
pub struct VisionOptions {
    /// The ONNX Runtime library; `None` = look at the usual places.
    pub runtime: Option<PathBuf>,
    /// The folder of the model cards.
    pub models: PathBuf,
    /// The detector's card.
    pub detector: String,
    /// The encoder's card.
    pub encoder: String,
    /// Where and how to run them.
    pub session: SessionOptions,
    /// The longest side that the detector sees, pixels.
    pub detect_max_px: u32,
}

impl VisionOptions {
    /// Holds the weights of detector, encoder and, where one is named, liveness network against the hashes of their cards.
    /// A start on optimised graphs does not read them.
    ///
    /// # Errors
    /// See [`Card::load`] and [`Card::weights`].
    pub fn check_weights(&self, liveness: Option<&str>) -> Result<(), VisionError> {
        self.cards(liveness)?.iter().try_for_each(|card| card.weights().map(drop))
    }

    fn cards(&self, liveness: Option<&str>) -> Result<Vec<Card>, VisionError> {
        let networks = [(self.detector.as_str(), Job::Detect), (self.encoder.as_str(), Job::Encode)];
        let networks = networks.into_iter().chain(liveness.map(|name| (name, Job::Liveness)));
        networks.map(|(name, job)| Card::load(&self.models, name, job)).collect()
    }
}

/// Detector, encoder and the runtime under them.
pub struct Vision {
    runtime: Arc<Runtime>,
    detector: Detector,
    encoder: Encoder,
    detect_max_px: u32,
}

/// One face of a picture, cut out and measured.
pub struct Portrait {
    /// Where it is.
    pub face: Face,
    /// How good it is.
    pub quality: Quality,
    /// The aligned face.
    pub chip: Chip,
}

impl Vision {
    /// Loads the library and both networks.
    ///
    /// # Errors
    /// When anything is missing, damaged, or does not fit; each error says what to do.
    pub fn load(options: &VisionOptions) -> Result<Self, VisionError> {
        Self::on(Arc::new(Runtime::load(options.runtime.as_deref(), &options.models)?), options)
    }

    /// The same, on graphs that are optimised for this machine's CPU first: the detector's, the encoder's and, where one is
    /// named, the liveness network's. `made` is told of each, and of what was made now.
    ///
    /// # Errors
    /// See [`Runtime::optimise`]; and as [`Self::load`].
    pub fn optimise_and_load(
        options: &VisionOptions,
        liveness: Option<&str>,
        mut made: impl FnMut(&str, Option<Optimised>),
    ) -> Result<Self, VisionError> {
        let runtime = Arc::new(Runtime::load(options.runtime.as_deref(), &options.models)?);
        for card in options.cards(liveness)? {
            made(&card.name, runtime.optimise(&card)?);
        }
        Self::on(runtime, options)
    }

    /// Loads the library once and the networks `count` times, for as many threads.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_several(options: &VisionOptions, count: usize) -> Result<Vec<Self>, VisionError> {
        let runtime = Arc::new(Runtime::load(options.runtime.as_deref(), &options.models)?);
        (0..count).map(|_| Self::on(Arc::clone(&runtime), options)).collect()
    }

    fn on(runtime: Arc<Runtime>, options: &VisionOptions) -> Result<Self, VisionError> {
        // One after the other: together they would need their memory at the same moment, to save a few milliseconds.
        let encoder = Encoder::load(&runtime, &options.models, &options.encoder, options.session)?;
        let detector = Detector::load(&runtime, &options.models, &options.detector, options.session)?;
        Ok(Self { runtime, detector, encoder, detect_max_px: options.detect_max_px })
    }

    /// Loads a liveness network on the same library.
    ///
    /// # Errors
    /// See [`Liveness::load`].
    pub fn liveness(&self, options: &VisionOptions, card: &str) -> Result<Liveness, VisionError> {
        Liveness::load(&self.runtime, &options.models, card, options.session)
    }

    /// The loaded library's path.
    #[must_use]
    pub fn runtime_path(&self) -> &Path {
        self.runtime.path()
    }

    /// How long ONNX Runtime has worked so far, on these networks and on those of [`Self::liveness`]. What a look took beyond
    /// that is the gate's own.
    #[must_use]
    pub fn in_runtime(&self) -> Duration {
        Duration::from_nanos(self.runtime.spent_ns().load(Ordering::Relaxed))
    }

    /// The encoder.
    #[must_use]
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// The faces of a frame, largest first.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn detect(&mut self, frame: Rgb<'_>) -> Result<Faces, VisionError> {
        self.detector.detect(frame, self.detect_max_px)
    }

    /// The faces of a frame that are at least `face_px` wide, at a fraction of the cost of [`Self::detect`]; of smaller ones
    /// some. For frames in which nobody is compared: boxes and landmarks are coarser.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn glance(&mut self, frame: Rgb<'_>, face_px: f32) -> Result<Faces, VisionError> {
        match self.glance_factor(frame, face_px) {
            Some(factor) => self.detector.detect_shrunk(frame, factor),
            None => self.detect(frame),
        }
    }

    /// Whether a glance at this frame is all that [`Self::detect`] would see, so that a second look would be the first again.
    #[must_use]
    pub fn is_glance_whole(&self, frame: Rgb<'_>, face_px: f32) -> bool {
        self.glance_factor(frame, face_px).is_none()
    }

    /// By how much a glance shrinks the frame; `None` where whole looks see no more than it could.
    fn glance_factor(&self, frame: Rgb<'_>, face_px: f32) -> Option<u32> {
        let factor = (face_px / GLANCE_FACE_PX) as u32;
        let (w, h) = (frame.width_px(), frame.height_px());
        (factor > 1 && w.max(h) / factor <= self.detect_max_px && w.min(h) >= factor).then_some(factor)
    }

    /// The same face, seen closer: with better landmarks. For faces that will be encoded.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn look_closer(&mut self, picture: Rgb<'_>, face: &Face) -> Result<Face, VisionError> {
        self.detector.look_closer(picture, face)
    }

    /// The unit vector of an aligned face; valid until the next call.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn encode(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<&[f32], VisionError> {
        self.encoder.encode(chip)
    }

    /// The unit vector of an aligned face, or `None` when too little of a face can be made out on it to tell people apart:
    /// it is covered, turned away, smeared. Valid until the next call.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn encode_clear(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<Option<&[f32]>, VisionError> {
        self.encoder.encode_clear(chip)
    }

    /// The unit vector of an aligned face, and how long the network's output was: how much of a face it has found. Valid
    /// until the next call.
    ///
    /// # Errors
    /// When the network cannot be run.
    pub fn encode_measured(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<(&[f32], f32), VisionError> {
        self.encoder.encode_measured(chip)
    }

    /// All faces of a handed-in picture, largest first, each looked at closer, cut out and measured.
    ///
    /// A face that fills the whole picture is found at a second look, with a margin around it.
    ///
    /// # Errors
    /// When a network cannot be run.
    pub fn portraits(&mut self, photo: &Photo) -> Result<Vec<Portrait>, VisionError> {
        let Some(picture) = photo.view() else { return Ok(Vec::new()) };
        let mut faces = self.detect(picture)?;
        if faces.is_empty() {
            faces = self.detector.detect_in_margin(picture, self.detect_max_px)?;
        }
        let mut portraits = Vec::with_capacity(faces.len());
        for face in &faces {
            portraits.extend(portrait(picture, &self.look_closer(picture, face)?));
        }
        Ok(portraits)
    }
}

/// Cuts `face` out of `picture` and measures it; `None` when its landmarks coincide.
#[must_use]
pub fn portrait(picture: Rgb<'_>, face: &Face) -> Option<Portrait> {
    let mut chip = new_chip();
    let quality = cut_out(picture, face, &mut chip)?;
    Some(Portrait { face: *face, quality, chip })
}

/// The same, into a chip that is there already.
pub fn cut_out(picture: Rgb<'_>, face: &Face, chip: &mut Chip) -> Option<Quality> {
    let is_cut = align(picture, face, chip);
    is_cut.then(|| Quality::measure(face, picture.width_px(), picture.height_px(), chip.as_slice()))?
}
