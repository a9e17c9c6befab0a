//! How the encoder's vectors are compared: plainly, or as a comparison card says.
//!
//! A comparison card chains onto an encoder's card: a learned adapter, a verification head, or both, with the impostor
//! distribution measured for them. References stay what the encoder made, so changing the comparison enrols nobody anew.
//!
//! ```text
//! encoder's vector ──minus the card's mean face──▶ ──[adapter]──▶ unit vector ──[head], or d²──▶ dissimilarity
//! ```

use crate::card::{Card, Encoding, Job, Point, TABLE_FORM, impostor_table, read, sha256_hex};
use crate::error::VisionError;
use gate_core::comparison::{Adapter, Comparison, Head};
use gate_core::similarity::centre;
use gate_core::threshold::ImpostorTable;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::path::Path;

/// The name of the plain comparison, which needs no card.
pub const DISTANCE: &str = "distance";

/// A comparison card: `models/<encoder>-<comparison>.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonCard {
    /// The card's name, equal to its file name without `.toml`.
    pub name: String,
    /// [`Job::Compare`].
    pub job: Job,
    /// One line for a person.
    pub about: String,
    /// How it was made and from what.
    pub origin: String,
    /// On which terms it may be used: those of the data it was learned from.
    pub licence: String,
    /// The card of the encoder whose vectors it compares.
    pub encoder: String,
    /// The hash of that encoder's weights.
    pub encoder_sha256: String,
    /// A map that comes first.
    pub adapter: Option<AdapterFile>,
    /// What compares then; without it d².
    pub head: Option<HeadWeights>,
    /// The impostor distribution of the whole.
    pub impostors: Impostors,
}

/// The adapter's weights: a file beside the card, little-endian 32-bit floats, `dim` rows of the encoder's length, then
/// `dim` of the bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterFile {
    /// Its name.
    pub file: String,
    /// Lower-case hex sha256.
    pub sha256: String,
    /// Length of the vectors that come out.
    pub dim: usize,
}

/// Which feature of two elements a head weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadKind {
    /// |a - b|.
    Logistic,
    /// (a - b)² / (|a| + |b|).
    ChiSquare,
}

/// A verification head. The probability of one person is sigmoid((offset - dissimilarity) / scale).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadWeights {
    /// The feature.
    pub kind: HeadKind,
    /// Added to the weighted sum.
    pub bias: f32,
    /// One logit on the scale of d².
    pub scale: f32,
    /// The dissimilarity at which both answers are as likely.
    pub offset: f32,
    /// One for each element, on the scale of d².
    pub weights: Vec<f32>,
}

/// A measured impostor distribution.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impostors {
    /// On what, for a person to read.
    pub measured_on: String,
    /// Impostor comparisons behind it.
    pub comparisons: u64,
    /// FMR -> d².
    pub points: Vec<Point>,
}

impl ComparisonCard {
    /// Reads `<models>/<encoder>-<comparison>.toml` and checks that it is for this encoder.
    ///
    /// # Errors
    /// When there is no such card, or it makes no sense, or was made for other weights.
    pub fn load(models: &Path, encoder: &Card, comparison: &str) -> Result<Self, VisionError> {
        let name = format!("{}-{comparison}", encoder.name);
        let (path, text) = read(models, &name)?;
        let bad = |why: String| VisionError::BadCard { path: path.clone(), why };
        let card: Self = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if card.name != name {
            return Err(bad(format!("it calls itself {:?}; name and file name must be equal", card.name)));
        }
        if card.job != Job::Compare {
            return Err(bad(format!("it is for the job {:?}, not Compare", card.job)));
        }
        if card.encoder_sha256 != encoder.encoder_sha256() {
            return Err(bad(format!(
                "it was learned on other weights than those of {:?}; learn it anew with gate-lab, or set [policy] \
                 comparison = \"{DISTANCE}\"",
                encoder.name
            )));
        }
        Ok(card)
    }
}

/// A comparison, loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparer {
    name: String,
    dim_in: usize,
    /// The mean face; empty where the encoder's card has none.
    mean: Vec<f32>,
    /// Weights and bias.
    adapter: Option<(Vec<f32>, Vec<f32>)>,
    head: Option<HeadWeights>,
    impostors: ImpostorTable,
    measured_on: String,
}

impl Comparer {
    /// Loads the comparison that a configuration names: [`DISTANCE`], or else a card's.
    ///
    /// # Errors
    /// When the card is missing, damaged, or does not fit the encoder.
    pub fn load(models: &Path, encoder: &Card, comparison: &str) -> Result<Self, VisionError> {
        if comparison == DISTANCE {
            return Self::distance(models, encoder);
        }
        let card = ComparisonCard::load(models, encoder, comparison)?;
        let path = models.join(format!("{}.toml", card.name));
        let bad = |why: String| VisionError::BadCard { path: path.clone(), why };
        let plain = Self::distance(models, encoder)?;
        let dim_in = plain.dim_in;
        let adapter = card.adapter.as_ref().map(|file| file.load(models, dim_in)).transpose()?;
        let dim = card.adapter.as_ref().map_or(dim_in, |adapter| adapter.dim);
        if let Some(head) = &card.head {
            let finite = head.bias.is_finite() && head.weights.iter().all(|w| w.is_finite());
            if head.weights.len() != dim || !finite {
                return Err(bad(format!("the head needs {dim} finite weights, it has {}", head.weights.len())));
            }
        }
        let impostors = impostor_table(&card.impostors.points)
            .ok_or_else(|| bad(format!("[impostors] points make no sense; {TABLE_FORM}")))?;
        let measured_on = card.impostors.measured_on;
        Ok(Self { name: comparison.into(), adapter, head: card.head, impostors, measured_on, ..plain })
    }

    /// The plain distance of the encoder's vectors.
    fn distance(models: &Path, encoder: &Card) -> Result<Self, VisionError> {
        let path = models.join(format!("{}.toml", encoder.name));
        let no_table =
            || VisionError::BadCard { path, why: format!("an encoder needs [encoding] impostors; {TABLE_FORM}") };
        let (encoding, impostors) = encoder.encoding.as_ref().zip(encoder.impostor_table()).ok_or_else(no_table)?;
        let Encoding { dim, mean, measured_on, .. } = encoding.clone();
        if !(mean.is_empty() || mean.len() == dim && mean.iter().all(|x| x.is_finite())) {
            let path = models.join(format!("{}.toml", encoder.name));
            return Err(VisionError::BadCard { path, why: format!("[encoding] mean must have {dim} finite numbers") });
        }
        Ok(Self { name: DISTANCE.into(), dim_in: dim, mean, adapter: None, head: None, impostors, measured_on })
    }

    /// The same comparison with another impostor distribution: the one measured at a site, say.
    #[must_use]
    pub fn with_impostors(self, impostors: ImpostorTable, measured_on: String) -> Self {
        Self { impostors, measured_on, ..self }
    }

    /// The same comparison with another mean face taken out of every vector.
    #[must_use]
    pub fn with_mean(self, mean: Vec<f32>) -> Self {
        Self { mean, ..self }
    }

    /// Whether the other compares the same vectors in the same way, whatever was measured with it.
    #[must_use]
    pub fn compares_like(&self, other: &Self) -> bool {
        (&self.mean, &self.adapter, &self.head) == (&other.mean, &other.adapter, &other.head)
    }

    /// As the configuration names it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Length of the vectors that are compared, after the adapter.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.adapter.as_ref().map_or(self.dim_in, |(_, bias)| bias.len())
    }

    /// The impostor distribution.
    #[must_use]
    pub fn impostors(&self) -> &ImpostorTable {
        &self.impostors
    }

    /// On what it was measured.
    #[must_use]
    pub fn measured_on(&self) -> &str {
        &self.measured_on
    }

    /// What compares vectors that went through [`Self::adapt`].
    #[must_use]
    pub fn comparison(&self) -> Comparison<'_> {
        match &self.head {
            None => Comparison::Distance,
            Some(HeadWeights { kind, weights, bias, .. }) => {
                let head = Head { weights, bias: *bias };
                match kind {
                    HeadKind::Logistic => Comparison::Logistic(head),
                    HeadKind::ChiSquare => Comparison::ChiSquare(head),
                }
            }
        }
    }

    /// Maps the encoder's vectors, one after the other, to those that are compared. One that cannot be mapped (of no
    /// direction) becomes NaN, which is never near to anything.
    #[must_use]
    pub fn adapt<'a>(&self, vectors: impl Into<Cow<'a, [f32]>>) -> Cow<'a, [f32]> {
        let vectors = self.centred(vectors.into());
        let Some((weights, bias)) = &self.adapter else { return vectors };
        let dim = bias.len();
        let mut out = vec![f32::NAN; vectors.len() / self.dim_in.max(1) * dim];
        if let Some(adapter) = Adapter::new(self.dim_in, weights, bias) {
            for (x, y) in vectors.chunks_exact(self.dim_in).zip(out.chunks_exact_mut(dim)) {
                if !adapter.apply(x, y) {
                    y.fill(f32::NAN);
                }
            }
        }
        Cow::Owned(out)
    }

    /// Takes the mean face out.
    fn centred<'a>(&self, vectors: Cow<'a, [f32]>) -> Cow<'a, [f32]> {
        if self.mean.is_empty() {
            return vectors;
        }
        let mut vectors = vectors.into_owned();
        for vector in vectors.chunks_exact_mut(self.dim_in) {
            if !centre(vector, &self.mean) {
                vector.fill(f32::NAN);
            }
        }
        Cow::Owned(vectors)
    }

    /// How unlike two of the encoder's vectors are.
    #[must_use]
    pub fn dissimilarity(&self, a: &[f32], b: &[f32]) -> f32 {
        self.comparison().compare(&self.adapt(a), &self.adapt(b))
    }
}

impl AdapterFile {
    /// Weights and bias.
    fn load(&self, models: &Path, dim_in: usize) -> Result<(Vec<f32>, Vec<f32>), VisionError> {
        let path = models.join(&self.file);
        let bytes = std::fs::read(&path).map_err(|source| VisionError::Io { path: path.clone(), source })?;
        let bad = |why: String| VisionError::BadCard { path: path.clone(), why };
        let found = sha256_hex(&bytes);
        if found != self.sha256 {
            return Err(bad(format!("sha256 {found}, its card says {}; learn it anew with gate-lab", self.sha256)));
        }
        let floats: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        let wanted = self.dim.checked_mul(dim_in).and_then(|n| n.checked_add(self.dim));
        if self.dim == 0 || Some(floats.len()) != wanted || floats.iter().any(|x| !x.is_finite()) {
            return Err(bad(format!("{} rows of {dim_in} finite numbers and a bias are expected", self.dim)));
        }
        let (weights, bias) = floats.split_at(self.dim * dim_in);
        Ok((weights.to_vec(), bias.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const ENCODER: &str = r#"
        name = "tiny"
        job = "encode"
        about = "a test"
        origin = "here"
        licence = "MIT"
        file = "tiny.onnx"
        sha256 = "aa"
        [input]
        channels = "rgb"
        mean = 0.0
        scale = 1.0
        [encoding]
        dim = 2
        measured_on = "nothing"
        comparisons = 100
        impostors = [{ fmr = 1e-2, d2 = 1.0 }, { fmr = 1e-4, d2 = 0.5, extrapolated = true, middle = 0.6 }]
    "#;
    const LEARNED: &str = r#"
        name = "tiny-logistic"
        job = "compare"
        about = "a test"
        origin = "here"
        licence = "MIT"
        encoder = "tiny"
        encoder_sha256 = "aa"
        [head]
        kind = "logistic"
        bias = 0.5
        scale = 0.1
        offset = 1.0
        weights = [1.0, 2.0]
        [impostors]
        measured_on = "nothing"
        comparisons = 100
        points = [{ fmr = 1e-2, d2 = 0.9 }]
    "#;

    fn models(learned: &str) -> (tempfile::TempDir, Card) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("tiny.toml"), ENCODER).unwrap();
        fs::write(dir.path().join("tiny-logistic.toml"), learned).unwrap();
        let card = Card::load(dir.path(), "tiny", Job::Encode).unwrap();
        (dir, card)
    }

    #[test]
    fn a_head_compares_as_its_card_says() {
        let (dir, encoder) = models(LEARNED);
        let comparer = Comparer::load(dir.path(), &encoder, "logistic").unwrap();
        assert!((comparer.dissimilarity(&[0.6, 0.8], &[1.0, 0.0]) - (0.5 + 0.4 + 1.6)).abs() < 1e-6);
        assert_eq!(comparer.impostors().points().len(), 1);
        let plain = Comparer::load(dir.path(), &encoder, DISTANCE).unwrap();
        assert!((plain.dissimilarity(&[0.6, 0.8], &[1.0, 0.0]) - 0.8).abs() < 1e-6);
        assert!(plain.impostors().points()[0].extrapolated);
    }

    #[test]
    fn an_adapter_comes_first_and_its_file_is_pinned() {
        let turned: Vec<u8> = [0.0f32, 1.0, -1.0, 0.0, 0.0, 0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        let adapter = format!("[adapter]\nfile = \"t.f32\"\nsha256 = \"{}\"\ndim = 2\n[head]", sha256_hex(&turned));
        let (dir, encoder) = models(&LEARNED.replace("[head]", &adapter));
        fs::write(dir.path().join("t.f32"), &turned).unwrap();
        let comparer = Comparer::load(dir.path(), &encoder, "logistic").unwrap();
        assert_eq!(*comparer.adapt(vec![0.6, 0.8, 1.0, 0.0]), [0.8, -0.6, 0.0, -1.0]);
        assert!(comparer.adapt(vec![0.0, 0.0]).iter().all(|x| x.is_nan()));
        fs::write(dir.path().join("t.f32"), &turned[..20]).unwrap();
        let error = Comparer::load(dir.path(), &encoder, "logistic").unwrap_err().to_string();
        assert!(error.contains("sha256"), "{error}");
    }

    #[test]
    fn the_mean_face_is_taken_out_before_anything_is_compared() {
        let (dir, _) = models(LEARNED);
        let centred = ENCODER.replace("dim = 2", "dim = 2\nmean = [0.2, 0.8]");
        fs::write(dir.path().join("tiny.toml"), centred).unwrap();
        let encoder = Card::load(dir.path(), "tiny", Job::Encode).unwrap();
        let plain = Comparer::load(dir.path(), &encoder, DISTANCE).unwrap();
        // (0.6, 0.8) becomes (0.4, 0), and (-0.6, 0.8) becomes (-0.8, 0): opposite.
        assert!((plain.dissimilarity(&[0.6, 0.8], &[-0.6, 0.8]) - 4.0).abs() < 1e-5);
        assert!(plain.adapt(vec![0.2, 0.8]).iter().all(|x| x.is_nan()), "the mean face is nobody");
        let learned = Comparer::load(dir.path(), &encoder, "logistic").unwrap();
        assert!((learned.dissimilarity(&[0.6, 0.8], &[-0.6, 0.8]) - 2.5).abs() < 1e-5);
        for bad in ["mean = [0.2]", "mean = [0.2, inf]"] {
            let text = ENCODER.replace("dim = 2", &format!("dim = 2\n{bad}"));
            fs::write(dir.path().join("tiny.toml"), text).unwrap();
            let encoder = Card::load(dir.path(), "tiny", Job::Encode).unwrap();
            assert!(Comparer::load(dir.path(), &encoder, DISTANCE).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_table_compares_like_the_same_comparer_and_another_mean_or_head_does_not() {
        let (dir, card) = models(LEARNED);
        let plain = Comparer::load(dir.path(), &card, DISTANCE).unwrap();
        let stricter = impostor_table(&[Point { fmr: 1e-3, d2: 0.1, extrapolated: false, middle: None }]).unwrap();
        assert!(plain.compares_like(&plain.clone().with_impostors(stricter, "elsewhere".into())));
        assert!(!plain.compares_like(&plain.clone().with_mean(vec![0.5, 0.5])));
        assert!(!plain.compares_like(&Comparer::load(dir.path(), &card, "logistic").unwrap()));
    }

    #[test]
    fn what_does_not_fit_the_encoder_is_refused() {
        for (from, to, word) in [
            ("encoder_sha256 = \"aa\"", "encoder_sha256 = \"bb\"", "other weights"),
            ("weights = [1.0, 2.0]", "weights = [1.0]", "2 finite weights"),
            ("weights = [1.0, 2.0]", "weights = [1.0, nan]", "finite"),
            ("job = \"compare\"", "job = \"encode\"", "not Compare"),
            ("fmr = 1e-2", "fmr = 0.0", "make no sense"),
        ] {
            let (dir, encoder) = models(&LEARNED.replace(from, to));
            let error = Comparer::load(dir.path(), &encoder, "logistic").unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
        let (dir, encoder) = models(LEARNED);
        let error = Comparer::load(dir.path(), &encoder, "chi_square").unwrap_err().to_string();
        assert!(error.contains("tiny-chi_square") && error.contains("tiny-logistic"), "{error}");
    }
}
