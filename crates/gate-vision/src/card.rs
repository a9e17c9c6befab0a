//! Model cards: everything about a network that is not its weights.
//!
//! A card is a TOML file in `models/`. It names the weights and their hash, the exact pre-processing, and, for an
//! encoder, its measured impostor distribution. Adding an encoder is adding a card.

use crate::error::VisionError;
use gate_core::liveness::ScoreModel;
use gate_core::threshold::{ImpostorPoint, ImpostorTable};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Finds faces and their five landmarks.
    Detect,
    /// Maps an aligned face to a vector.
    Encode,
    /// Compares two vectors; see [`crate::comparer`].
    Compare,
    /// Tells a bona fide face from a presentation attack (ISO/IEC 30107), from one picture.
    Liveness,
}

/// The order of the colour planes that a network eats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How pixels become numbers: `(value - mean) * scale`, planes one after the other (NCHW).
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// Order of the planes.
    pub channels: Channels,
    /// Taken from each value, 0..=255.
    pub mean: f32,
    /// Multiplied afterwards.
    pub scale: f32,
}

/// What is done to the published graph before it runs; see [`crate::onnx`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prepare {
    /// Let height and width of the input be any (multiple of 32).
    pub any_size: bool,
    /// Take the weights out of the graph's inputs, so that constants can be folded.
    pub weights_are_constant: bool,
    /// Write PRelu as Relu and two depthwise convolutions, which keeps ONNX Runtime's blocked layout.
    pub split_prelu: bool,
    /// Write an encoder in 8-bit integers: another encoder, for the CPU only.
    pub int8: bool,
}

/// How a detector's boxes are chosen.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// Least score of a face, 0..=1.
    pub score_min: f32,
    /// Boxes that overlap a better one by more than this (IoU) are dropped.
    pub nms_iou: f32,
    /// Sizes to which a face that matters is resized for closer looks, pixels; landmarks are the mean of all looks.
    #[serde(default)]
    pub closer_px: Vec<f32>,
}

/// A point of the impostor distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// False match rate per comparison.
    pub fmr: f64,
    /// Dissimilarity d² at which it is reached; of an extrapolated point the strict end of its interval.
    pub d2: f32,
    /// No comparison stands behind it: a tail was fitted to the measured ones.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub extrapolated: bool,
    /// The best estimate of an extrapolated point, for a person to read. No decision rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub middle: Option<f32>,
}

/// The impostor distribution that these points describe; `None` when they make no sense.
#[must_use]
pub fn impostor_table(points: &[Point]) -> Option<ImpostorTable> {
    let points: Vec<ImpostorPoint> =
        points.iter().map(|p| ImpostorPoint { fmr: p.fmr, d2: p.d2, extrapolated: p.extrapolated }).collect();
    ImpostorTable::new(&points)
}

/// An encoder's output and what is known of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoding {
    /// Length of the vector.
    pub dim: usize,
    /// The mean face: the mean of people's vectors, one for each person. It is taken from every vector before vectors are
    /// compared, since what all faces share tells nobody apart. Empty: nothing is taken.
    #[serde(default)]
    pub mean: Vec<f32>,
    /// Least length of the network's output before it is made a unit vector: less, and it has found too little of a face to
    /// tell people apart (Meng et al.: MagFace, 2021, on length as quality). 0 lets everything through.
    #[serde(default)]
    pub length_min: f32,
    /// What the impostor distribution was measured on, for a person to read.
    pub measured_on: String,
    /// Impostor comparisons behind it.
    pub comparisons: u64,
    /// The distribution: FMR -> d².
    pub impostors: Vec<Point>,
}

/// How a liveness score is distributed, see [`ScoreModel`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    /// What it was measured on, for a person to read.
    pub measured_on: String,
    /// Clips behind it, of both classes.
    pub clips: u64,
    /// Mean score of bona fide presentations.
    pub bona_fide: f32,
    /// Mean score of attacks.
    pub attack: f32,
    /// Standard deviation of clips' means about their class's.
    pub between: f32,
    /// Standard deviation of frames about their clip's mean.
    pub within: f32,
    /// Two frames count as two when they are this far apart, milliseconds.
    pub correlation_ms: f32,
}

impl Score {
    /// As the core works with it.
    #[must_use]
    pub fn model(&self) -> ScoreModel {
        ScoreModel {
            bona_fide: self.bona_fide,
            attack: self.attack,
            between: self.between,
            within: self.within,
            correlation_ms: self.correlation_ms,
        }
    }
}

/// What a liveness network sees of a face, and which of its outputs means what.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Liveness {
    /// Side of the square that is cut out around a face, as a multiple of the face's box. At least 1.
    pub crop: f32,
    /// Side to which that square is resized, pixels. At least 1.
    pub side_px: usize,
    /// Which of the network's `logits`, counted from 0, stands for a bona fide face. The others are attacks.
    pub bona_fide_class: usize,
    /// How its log-odds of "bona fide" are distributed.
    pub score: Score,
}

impl Liveness {
    /// Neither nothing nor more than any such network looks at.
    fn makes_sense(&self) -> bool {
        (1.0..=16.0).contains(&self.crop)
            && (1..=1024).contains(&self.side_px)
            && self.bona_fide_class < 16
            && self.score.model().is_sound()
    }
}

/// A model card.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The card's name, equal to its file name without `.toml`.
    pub name: String,
    /// What the network is for.
    pub job: Job,
    /// One line for a person.
    pub about: String,
    /// Whose work it is and where it is described.
    pub origin: String,
    /// The licence of the weights.
    pub licence: String,
    /// The weights may be used for research only; using them is warned of.
    #[serde(default)]
    pub research_only: bool,
    /// The weights' file name, beside the card or below `cache/`.
    pub file: String,
    /// Lower-case hex sha256 of the weights.
    pub sha256: String,
    /// Pre-processing.
    pub input: Input,
    /// Changes to the graph.
    #[serde(default)]
    pub prepare: Prepare,
    /// For a detector.
    pub detection: Option<Detection>,
    /// For an encoder.
    pub encoding: Option<Encoding>,
    /// For a liveness network.
    pub liveness: Option<Liveness>,
    /// The folder that the card came from.
    #[serde(skip)]
    dir: PathBuf,
}

impl Card {
    /// Reads `<models>/<name>.toml` and checks that it makes sense.
    ///
    /// # Errors
    /// When there is no such card, or it is not one, or it is for another job.
    pub fn load(models: &Path, name: &str, job: Job) -> Result<Self, VisionError> {
        let (path, text) = read(models, name)?;
        let bad = |why: String| VisionError::BadCard { path: path.clone(), why };
        let mut card: Card = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        card.dir = models.to_path_buf();
        if card.name != name {
            return Err(bad(format!("it calls itself {:?}; name and file name must be equal", card.name)));
        }
        if card.job != job {
            return Err(bad(format!("it is for the job {:?}, not {job:?}", card.job)));
        }
        match job {
            Job::Detect if card.detection.is_none() => return Err(bad("a detector needs [detection]".into())),
            Job::Encode => {
                card.impostor_table()
                    .ok_or_else(|| bad(format!("an encoder needs [encoding] with impostors; {TABLE_FORM}")))?;
            }
            Job::Liveness if !card.liveness.as_ref().is_some_and(Liveness::makes_sense) => {
                let wanted = "crop 1 to 16, side_px 1 to 1024, bona_fide_class 0 to 15, and [liveness.score] with bona_fide above attack and a spread";
                return Err(bad(format!("a liveness network needs [liveness] with {wanted}")));
            }
            Job::Detect | Job::Compare | Job::Liveness => {}
        }
        Ok(card)
    }

    /// The encoder's measured impostor distribution; `None` for a detector or a table that makes no sense.
    #[must_use]
    pub fn impostor_table(&self) -> Option<ImpostorTable> {
        impostor_table(&self.encoding.as_ref()?.impostors)
    }

    /// Where the weights are: beside the card, where small ones are kept with it, or else in `cache/`, where set-up puts
    /// them.
    #[must_use]
    pub fn weights_path(&self) -> PathBuf {
        let beside = self.dir.join(&self.file);
        if beside.is_file() { beside } else { self.cache().join(&self.file) }
    }

    /// The folder for what is fetched or compiled.
    pub(crate) fn cache(&self) -> PathBuf {
        self.dir.join("cache")
    }

    /// What tells this encoder's vectors from any other's: the sha256 of its weights, or, where they are made into others,
    /// of that hash and how.
    #[must_use]
    pub fn encoder_sha256(&self) -> String {
        match self.prepare.int8 {
            false => self.sha256.clone(),
            true => sha256_hex(format!("{} int8 {}", self.sha256, crate::int8::FORM).as_bytes()),
        }
    }

    /// Reads the weights and checks their hash.
    ///
    /// # Errors
    /// When they are missing, unreadable, or not those that the card names.
    pub fn weights(&self) -> Result<Vec<u8>, VisionError> {
        let path = self.weights_path();
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(VisionError::WeightsMissing { name: self.name.clone(), path });
            }
            Err(source) => return Err(VisionError::Io { path, source }),
        };
        let found = sha256_hex(&bytes);
        if found != self.sha256 {
            return Err(VisionError::WrongHash { name: self.name.clone(), path, found, wanted: self.sha256.clone() });
        }
        Ok(bytes)
    }
}

/// What a table of points must be like, for error messages.
pub(crate) const TABLE_FORM: &str = "d2 must grow with fmr, extrapolated points be stricter than all measured ones, \
                                     and 64 points be enough";

/// Lower-case hex sha256.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// The path and the text of a card.
pub(crate) fn read(models: &Path, name: &str) -> Result<(PathBuf, String), VisionError> {
    let path = models.join(format!("{name}.toml"));
    // A card decides what is run, weights included: those need no check of their own, since the card pins their hash.
    gate_guard::trusted::check(&path)?;
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(VisionError::NoCard { name: name.into(), path, present: present(models) })
        }
        Err(source) => Err(VisionError::Io { path, source }),
    }
}

/// The names of the cards in a folder, for an error message.
fn present(models: &Path) -> String {
    let Ok(entries) = std::fs::read_dir(models) else { return "none, the folder cannot be read".into() };
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|e| e.file_name().to_str().and_then(|n| n.strip_suffix(".toml")).map(String::from))
        .filter(|n| n != "assets")
        .collect();
    names.sort();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
