//! Bad input told apart from a fault of the system, and the exit code of each.

use gate_core::reason::Reason;
use gate_site::SiteError;
use gate_store::StoreError;
use std::fmt;

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; a match; everything taken.
    Done = 0,
    /// No match; some refused.
    NoMatch = 1,
    /// Bad use or bad input.
    BadInput = 2,
    /// Store, key, models, runtime, camera or disk.
    Fault = 3,
}

/// What was handed in cannot be taken. The message says what to do.
#[derive(Debug)]
pub struct Refusal {
    /// For people.
    pub message: String,
    /// For programs, when it is the face.
    pub reason: Option<Reason>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// A refusal that is not the face's fault.
pub fn refuse(message: impl Into<String>) -> anyhow::Error {
    Refusal { message: message.into(), reason: None }.into()
}

/// A refusal of a face.
pub fn refuse_face(reason: Reason, message: impl Into<String>) -> anyhow::Error {
    Refusal { message: message.into(), reason: Some(reason) }.into()
}

/// The exit code that an error calls for, and the typed reason if it has one.
#[must_use]
pub fn classify(error: &anyhow::Error) -> (Exit, Option<Reason>) {
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return (Exit::BadInput, refusal.reason);
    }
    let bad_input = match error.downcast_ref::<SiteError>() {
        Some(SiteError::Config(_) | SiteError::Camera(_) | SiteError::Line { .. }) => true,
        Some(SiteError::Store(error)) => is_bad_input(error),
        Some(_) => false,
        None => error.downcast_ref::<StoreError>().is_some_and(is_bad_input),
    };
    (if bad_input { Exit::BadInput } else { Exit::Fault }, None)
}

/// Whether the store refused what it was given, rather than failed.
#[must_use]
pub fn is_bad_input(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::AlreadyThere { .. }
            | StoreError::UnknownPerson { .. }
            | StoreError::DuplicateId { .. }
            | StoreError::BadId { .. }
            | StoreError::BadName { .. }
            | StoreError::NoReference { .. }
            | StoreError::TooManyReferences { .. }
            | StoreError::PictureTooLarge { .. }
            | StoreError::ChangedMeanwhile { .. }
    )
}
