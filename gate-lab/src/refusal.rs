//! Bad input told apart from a fault of the system, and the exit code of each.

use gate_site::SiteError;
use gate_vision::VisionError;
use std::fmt;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Bad use or bad input.
    BadInput = 2,
    /// Models, runtime or disk.
    Fault = 3,
}

/// What was handed in cannot be taken. The message says what to do.
#[derive(Debug)]
pub struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

/// A refusal.
pub fn refuse(message: impl Into<String>) -> anyhow::Error {
    Refusal(message.into()).into()
}

/// The exit code that an error calls for.
#[must_use]
pub fn classify(error: &anyhow::Error) -> Exit {
    let card = |error: &VisionError| matches!(error, VisionError::NoCard { .. } | VisionError::BadCard { .. });
    let bad_input = error.is::<Refusal>()
        || error.downcast_ref::<gate_stats::StatsError>().is_some()
        || error.downcast_ref::<VisionError>().is_some_and(card)
        || match error.downcast_ref::<SiteError>() {
            Some(SiteError::Config(_) | SiteError::Camera(_) | SiteError::Line { .. }) => true,
            Some(SiteError::Vision(error)) => card(error),
            _ => false,
        };
    if bad_input { Exit::BadInput } else { Exit::Fault }
}
