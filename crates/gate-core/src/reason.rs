//! Why somebody was not let in, or not enrolled. One typed reason for each refusal.

use serde::{Deserialize, Serialize};

/// The exact reason of a refusal. The event log has it; the person at the gate sees only a coarse sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// No face in the picture (enrolment only: an empty gate refuses nobody).
    NoFace,
    /// More than one face where one is needed: two people at the gate, or in an enrolment picture.
    SeveralFaces,
    /// The face is too small: the person stands too far away.
    TooFar,
    /// The face reaches beyond the frame's edge.
    OutOfFrame,
    /// The face is under-exposed.
    TooDark,
    /// The face is over-exposed.
    TooBright,
    /// The face is out of focus or smeared by motion.
    Blurred,
    /// The head is turned too far to the side, up or down.
    TurnedAway,
    /// Too little of a face can be made out to tell people apart: covered, or seen badly in some other way.
    Unclear,
    /// Nobody enrolled is similar enough.
    Unknown,
    /// Two enrolled people are too close to call.
    Ambiguous,
    /// A picture of an enrolled person, on paper or on a screen, not the person.
    PresentationAttack,
    /// The lamp was asked again and again, and whether the face is live could not be seen.
    Unproven,
    /// Too many presentation attacks: nobody is let in for a while.
    LockedOut,
    /// The person's validity has not begun.
    NotYetValid,
    /// The person's validity is over.
    Expired,
    /// The person is suspended.
    Suspended,
    /// The clock shows a time that has passed for sure, and the person's admission depends on the time.
    ClockUnsure,
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Every reason, in declaration order.
    pub const ALL: [Reason; 18] = [
        Reason::NoFace,
        Reason::SeveralFaces,
        Reason::TooFar,
        Reason::OutOfFrame,
        Reason::TooDark,
        Reason::TooBright,
        Reason::Blurred,
        Reason::TurnedAway,
        Reason::Unclear,
        Reason::Unknown,
        Reason::Ambiguous,
        Reason::PresentationAttack,
        Reason::Unproven,
        Reason::LockedOut,
        Reason::NotYetValid,
        Reason::Expired,
        Reason::Suspended,
        Reason::ClockUnsure,
    ];

    /// The reason's name in events and `--json` output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Reason::NoFace => "NoFace",
            Reason::SeveralFaces => "SeveralFaces",
            Reason::TooFar => "TooFar",
            Reason::OutOfFrame => "OutOfFrame",
            Reason::TooDark => "TooDark",
            Reason::TooBright => "TooBright",
            Reason::Blurred => "Blurred",
            Reason::TurnedAway => "TurnedAway",
            Reason::Unclear => "Unclear",
            Reason::Unknown => "Unknown",
            Reason::Ambiguous => "Ambiguous",
            Reason::PresentationAttack => "PresentationAttack",
            Reason::Unproven => "Unproven",
            Reason::LockedOut => "LockedOut",
            Reason::NotYetValid => "NotYetValid",
            Reason::Expired => "Expired",
            Reason::Suspended => "Suspended",
            Reason::ClockUnsure => "ClockUnsure",
        }
    }

    /// What the person in front of the camera, or staff beside them, can do about it.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Reason::NoFace => "no face found: look into the camera, uncover the face",
            Reason::SeveralFaces => "several faces: one person at a time",
            Reason::TooFar => "the face is too small: come closer",
            Reason::OutOfFrame => "the face is cut off by the picture's edge: step into the middle",
            Reason::TooDark => "the face is too dark: more light on the face",
            Reason::TooBright => "the face is too bright: less direct light, no sun behind the camera",
            Reason::Blurred => "the face is blurred: hold still, clean the lens",
            Reason::TurnedAway => "the face is turned away: look straight into the camera",
            Reason::Unclear => {
                "the face cannot be made out: uncover it (hand, scarf, sunglasses), look into the camera"
            }
            Reason::Unknown => "not enrolled: ask staff",
            Reason::Ambiguous => "too close to call between two enrolled people: ask staff",
            // Whoever tries it learns nothing; whoever is wronged has another way in.
            Reason::PresentationAttack => "please use the other reader",
            Reason::Unproven => "hold still and look into the camera, or please use the other reader",
            Reason::LockedOut => "locked for a while: please use the other reader, or ask staff",
            Reason::NotYetValid => "the admission has not begun: ask staff",
            Reason::Expired => "the admission is over: ask staff",
            Reason::Suspended => "the admission is suspended: ask staff",
            Reason::ClockUnsure => "this gate's clock is wrong: ask staff, who must set it",
        }
    }

    /// This reason's bit in a set of reasons.
    pub(crate) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn all_lists_every_reason_once_in_order() {
        for (index, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert_eq!(serde_json::to_string(reason).unwrap(), format!("\"{}\"", reason.name()));
        }
    }
}
