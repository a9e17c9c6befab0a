//! Why nothing could be learned.

use thiserror::Error;

/// Why nothing could be learned.
#[derive(Debug, Error)]
pub enum LearnError {
    /// The slices do not fit together, or hold what is no number.
    #[error("the faces do not fit together: {0}")]
    Shape(String),
    /// Too little data for what is asked.
    #[error("too little to learn from: {0}")]
    TooLittle(String),
    /// An option that makes no sense.
    #[error("{0}")]
    Option(String),
    /// The tensor library gave up.
    #[error("the tensor library failed: {0}")]
    Tensor(#[from] candle_core::Error),
}
