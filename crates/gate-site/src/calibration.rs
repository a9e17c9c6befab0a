//! A site's calibration file: what was measured with the site's own people, camera and light.
//!
//! `gate-lab calibrate` writes it, the gate loads it. The threshold is not in it: people come and go, so the file holds the
//! impostor distribution, and tau follows from it and from the number of references, as from a card.

use crate::SiteError;
use gate_core::threshold::ImpostorTable;
use gate_vision::card::{Card, impostor_table};
use gate_vision::comparer::Impostors;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The form of the file that is written now.
pub const FORMAT: u32 = 1;

/// A calibration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// [`FORMAT`].
    pub format: u32,
    /// When it was made, UTC.
    pub made_at: String,
    /// The encoder's card.
    pub encoder: String,
    /// The hash of the encoder's weights.
    pub encoder_sha256: String,
    /// The comparison, as the configuration names it.
    pub comparison: String,
    /// What was measured, for a person to read. The gate decides nothing by it.
    pub measured: Measured,
    /// The site's impostor distribution, every point the strict end of its interval.
    pub impostors: Impostors,
}

/// What a calibration has found at the threshold that followed from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// People enrolled, with usable references.
    pub people: u32,
    /// Their references.
    pub references: u32,
    /// Pictures of visits that were compared.
    pub visits: u32,
    /// The risk that the configuration asked for.
    pub fpir_target: f64,
    /// The threshold at that risk and that number of references.
    pub tau: f32,
    /// False matches per comparison.
    pub fmr: Stated,
    /// Visits of enrolled people that did not match their own references.
    pub fnmr: Stated,
    /// Searches by people who are not enrolled (each visitor's own references taken out) that found somebody.
    pub fpir: Stated,
}

/// An error rate with its trials and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stated {
    /// Errors seen.
    pub errors: u64,
    /// Trials made.
    pub trials: u64,
    /// Errors by trials; absent where too few people stand behind them.
    pub rate: Option<f64>,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Calibration {
    /// Reads a calibration and checks that it is for this encoder and this comparison.
    ///
    /// # Errors
    /// When it cannot be read, makes no sense, or was made for something else.
    pub fn load(path: &Path, encoder: &Card, comparison: &str) -> Result<(Self, ImpostorTable), SiteError> {
        let bad = |why: String| SiteError::Calibration { path: path.to_path_buf(), why };
        let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
        let calibration: Self = toml::from_str(&text).map_err(|e| bad(e.to_string()))?;
        if calibration.format != FORMAT {
            return Err(bad(format!("it is of form {}, this program reads form {FORMAT}", calibration.format)));
        }
        if calibration.encoder_sha256 != encoder.encoder_sha256() {
            return Err(bad(format!(
                "it was made with other weights ({}) than those of the encoder {:?}",
                calibration.encoder, encoder.name
            )));
        }
        if calibration.comparison != comparison {
            return Err(bad(format!(
                "it was made for comparison = {:?}, [policy] says {comparison:?}",
                calibration.comparison
            )));
        }
        let table = impostor_table(&calibration.impostors.points)
            .ok_or_else(|| bad("the points of [impostors] make no sense: d2 must grow with fmr".into()))?;
        Ok((calibration, table))
    }
}
