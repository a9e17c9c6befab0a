//! Who a reference belongs to, and whether they may come in now.

use crate::clock::WallClock;
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
    /// Why this person must not enter now, or `None` when they may.
    ///
    /// While the clock is behind ([`WallClock::is_behind`]) nobody knows the time, only that it is later than it seems. An
    /// admission that ends may be over, so it does not count. One that only begins has begun if the late clock says so.
    #[must_use]
    pub fn refusal(&self, clock: WallClock) -> Option<Reason> {
        if self.suspended {
            return Some(Reason::Suspended);
        }
        let has_begun = self.valid_from_ms.is_none_or(|from| clock.wall_ms >= from);
        let is_over = self.valid_until_ms.is_some_and(|until| clock.wall_ms >= until);

        if clock.is_behind() && !is_over && (self.valid_until_ms.is_some() || !has_begun) {
            return Some(Reason::ClockUnsure);
        }
        if !has_begun {
            return Some(Reason::NotYetValid);
        }
        is_over.then_some(Reason::Expired)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::CLOCK_TOLERANCE_MS;
    use proptest::prelude::*;

    const DAY_MS: i64 = 86_400_000;
    /// 2026-01-01.
    const NOW_MS: i64 = 1_767_225_600_000;

    /// A clock that shows `wall_ms` where it is known to be 2026 at least.
    fn late(wall_ms: i64) -> WallClock {
        WallClock { wall_ms, floor_ms: NOW_MS }
    }

    #[test]
    fn validity_starts_at_from_and_ends_before_until() {
        let access = Access { suspended: false, valid_from_ms: Some(100), valid_until_ms: Some(200) };
        let at = |wall_ms| access.refusal(WallClock::unchecked(wall_ms));
        assert_eq!(at(99), Some(Reason::NotYetValid));
        assert_eq!(at(100), None);
        assert_eq!(at(199), None);
        assert_eq!(at(200), Some(Reason::Expired));
    }

    #[test]
    fn suspension_wins_over_validity() {
        let access = Access { suspended: true, ..Access::default() };
        assert_eq!(access.refusal(WallClock::unchecked(0)), Some(Reason::Suspended));
        assert_eq!(access.refusal(late(0)), Some(Reason::Suspended));
    }

    #[test]
    fn a_clock_that_lags_lets_nobody_in_whose_admission_ends() {
        // Expired yesterday. The right clock knows; 1970, 2000 and the day before yesterday do not.
        let over = Access { valid_until_ms: Some(NOW_MS - DAY_MS), ..Access::default() };
        assert_eq!(over.refusal(late(NOW_MS)), Some(Reason::Expired));
        for wall_ms in [i64::MIN, 0, 946_684_800_000, NOW_MS - 2 * DAY_MS] {
            assert_eq!(over.refusal(late(wall_ms)), Some(Reason::ClockUnsure), "{wall_ms}");
        }
        // Still running by every account, and yet: how late is it?
        let running = Access { valid_until_ms: Some(NOW_MS + DAY_MS), ..Access::default() };
        assert_eq!(running.refusal(late(NOW_MS - DAY_MS)), Some(Reason::ClockUnsure));
        assert_eq!(running.refusal(late(NOW_MS - CLOCK_TOLERANCE_MS)), None);
        // Over even by the clock that lags: that much is sure.
        assert_eq!(over.refusal(late(NOW_MS - DAY_MS)), Some(Reason::Expired));
    }

    #[test]
    fn a_clock_that_lags_keeps_nobody_out_whose_admission_has_no_end() {
        assert_eq!(Access::default().refusal(late(0)), None);
        let begins = |from| Access { valid_from_ms: Some(from), ..Access::default() };
        // It has begun even by the clock that lags.
        assert_eq!(begins(NOW_MS - 2 * DAY_MS).refusal(late(NOW_MS - DAY_MS)), None);
        // It may have begun by now: staff must set the clock, and nobody claims that it has not.
        assert_eq!(begins(NOW_MS - DAY_MS / 2).refusal(late(NOW_MS - DAY_MS)), Some(Reason::ClockUnsure));
        assert_eq!(begins(NOW_MS + DAY_MS).refusal(late(NOW_MS)), Some(Reason::NotYetValid));
    }

    proptest! {
        /// The rule that a late clock must not break: who enters now could have entered at the floor or later, at some time
        /// that the clock can truly be.
        #[test]
        fn a_lower_clock_never_lets_somebody_in_whom_the_floor_refuses_for_good(
            wall in any::<i64>(), floor in any::<i64>(),
            from in proptest::option::of(any::<i64>()), until in proptest::option::of(any::<i64>()),
        ) {
            let access = Access { suspended: false, valid_from_ms: from, valid_until_ms: until };
            if access.refusal(WallClock { wall_ms: wall, floor_ms: floor }).is_none() {
                prop_assert!(from.is_none_or(|from| wall >= from));
                let earliest = floor.saturating_sub(CLOCK_TOLERANCE_MS);
                prop_assert!(until.is_none_or(|until| wall < until && earliest < until));
            }
        }

        /// Without a floor, and with a clock at or above it, the dates alone decide.
        #[test]
        fn a_clock_that_is_not_behind_is_taken_at_its_word(
            wall in any::<i64>(), ahead in 0..i64::MAX,
            from in proptest::option::of(any::<i64>()), until in proptest::option::of(any::<i64>()),
        ) {
            let access = Access { suspended: false, valid_from_ms: from, valid_until_ms: until };
            let checked = WallClock { wall_ms: wall, floor_ms: wall.saturating_sub(ahead) };
            prop_assert_eq!(access.refusal(checked), access.refusal(WallClock::unchecked(wall)));
        }
    }
}
