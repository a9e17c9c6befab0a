//! What can go wrong with models and pictures, each with what to do about it.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VisionError {
    /// A file that root does not run code from.
    #[error(transparent)]
    Untrusted(#[from] gate_guard::Untrusted),
    /// No ONNX Runtime library at any of the usual places.
    #[error(
        "ONNX Runtime was not found; looked at {looked_at}. Run `make setup`, or name the library in [vision] runtime"
    )]
    RuntimeMissing {
        /// The places, for a person to read.
        looked_at: String,
    },
    /// The library is there but cannot be used.
    #[error("ONNX Runtime at {} cannot be used: {why}. Version 1.22 or later for this processor is needed", path.display())]
    RuntimeUnusable {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        why: String,
    },
    /// The execution provider asked for is not to be had.
    #[error(
        "the execution provider {provider:?} is not available: {why}. Install a library that has it and name it in \
         [vision] runtime, or set provider = \"cpu\", or strict = false to fall back to the CPU"
    )]
    Provider {
        /// Its name in the configuration.
        provider: &'static str,
        /// What ONNX Runtime said.
        why: String,
    },
    /// An encoder in 8-bit integers was to run elsewhere than on the CPU.
    #[error(
        "model {name:?} is in 8-bit integers, which run on the CPU only and not on {provider:?}: set provider = \"cpu\", or \
         [vision] encoder to one of 32 bits, such as \"sface\""
    )]
    CpuOnly {
        /// The card's name.
        name: String,
        /// The provider's name in the configuration.
        provider: &'static str,
    },
    /// No such model card.
    #[error("there is no model card {name:?} at {}; cards there: {present}", path.display())]
    NoCard {
        /// The card's name.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The cards that exist.
        present: String,
    },
    /// A card that cannot be read or makes no sense.
    #[error("model card {}: {why}", path.display())]
    BadCard {
        /// The card.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The weights are not there.
    #[error("model {name:?}: the weights are missing at {}. Run `make setup`, or `gate-daemon setup`", path.display())]
    WeightsMissing {
        /// The card's name.
        name: String,
        /// Where they belong.
        path: PathBuf,
    },
    /// The weights are not those that the card names.
    #[error(
        "model {name:?}: {} is damaged or another file: sha256 {found}, the card says {wanted}. Delete it and run `make setup`",
        path.display()
    )]
    WrongHash {
        /// The card's name.
        name: String,
        /// The file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// The card's hash.
        wanted: String,
    },
    /// The graph does not fit its card.
    #[error("model {name:?}: {why}. The card and the weights do not belong together")]
    BadModel {
        /// The card's name.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A network could not be run.
    #[error("model {name:?} could not be run: {why}")]
    Run {
        /// The card's name.
        name: String,
        /// What ONNX Runtime said.
        why: String,
    },
    /// A picture that cannot be used.
    #[error("{}: {why}", path.display())]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        why: String,
    },
    /// A file that cannot be written.
    #[error("{} cannot be written: {source}. Whoever owns that folder has to do it (sudo)", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file that cannot be read.
    #[error("{} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
