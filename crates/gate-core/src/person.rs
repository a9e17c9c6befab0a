//! Who a reference belongs to, and whether they may come in now.

use crate::reason::Reason;

/// A person's number in the store: small, stable for the person's life there, never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonKey(pub u32);

/// What the store says about a person's right to enter. Times are Unix milliseconds, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Staff have taken the right away for the time being.
    pub suspended: bool,
    /// First instant at which the person may enter; `None` = always was.
    pub valid_from_ms: Option<i64>,
    /// First instant at which the person may no longer enter; `None` = no end.
    pub valid_until_ms: Option<i64>,
}

impl Access {
    /// Why this person must not enter at `wall_ms` (Unix milliseconds), or `None` when they may.
    #[must_use]
    pub fn refusal(&self, wall_ms: i64) -> Option<Reason> {
        if self.suspended {
            return Some(Reason::Suspended);
        }
        if self.valid_from_ms.is_some_and(|from| wall_ms < from) {
            return Some(Reason::NotYetValid);
        }
        if self.valid_until_ms.is_some_and(|until| wall_ms >= until) {
            return Some(Reason::Expired);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_starts_at_from_and_ends_before_until() {
        let access = Access { suspended: false, valid_from_ms: Some(100), valid_until_ms: Some(200) };
        assert_eq!(access.refusal(99), Some(Reason::NotYetValid));
        assert_eq!(access.refusal(100), None);
        assert_eq!(access.refusal(199), None);
        assert_eq!(access.refusal(200), Some(Reason::Expired));
    }

    #[test]
    fn suspension_wins_over_validity() {
        let access = Access { suspended: true, ..Access::default() };
        assert_eq!(access.refusal(0), Some(Reason::Suspended));
    }
}
