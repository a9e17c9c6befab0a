//! What time it is at least: the moments that have passed for sure, and where each is known from.

use crate::Site;
use gate_core::clock::WallClock;
use gate_store::{Number, Store};

/// When this program was made, Unix milliseconds; 0 where that is not known. See `build.rs`.
const MADE_S: &str = env!("GATE_MADE_S");

/// The newest moments that have passed for sure, Unix milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KnownTimes {
    /// When this program was made.
    pub made_ms: Option<i64>,
    /// When somebody was last enrolled or changed, as it is sealed in the store.
    pub store_ms: Option<i64>,
    /// The newest time that the gate has noted in its anchor.
    pub noted_ms: Option<i64>,
}

impl KnownTimes {
    /// What the program itself knows.
    #[must_use]
    pub fn of_program() -> Self {
        let made_s: Option<i64> = MADE_S.parse().ok().filter(|made_s| *made_s > 0);
        Self { made_ms: made_s.map(|made_s| made_s.saturating_mul(1_000)), ..Self::default() }
    }

    /// The newest of them, and how it is known.
    #[must_use]
    pub fn newest(&self) -> Option<(i64, &'static str)> {
        let known = [
            (self.made_ms, "this program was made"),
            (self.store_ms, "the store was last changed"),
            (self.noted_ms, "the gate last noted the time"),
        ];
        known.into_iter().filter_map(|(ms, how)| Some((ms?, how))).max_by_key(|(ms, _)| *ms)
    }

    /// This reading of the wall clock, checked against all of them.
    #[must_use]
    pub fn check(&self, wall_ms: i64) -> WallClock {
        self.newest().map_or(WallClock::unchecked(wall_ms), |(floor_ms, _)| WallClock { wall_ms, floor_ms })
    }
}

impl Site {
    /// The moments that have passed for sure, as far as program, store and anchor tell. What cannot be read tells nothing.
    #[must_use]
    pub fn known_times(&self, store: Option<&Store>) -> KnownTimes {
        let noted = self.anchor().ok().and_then(|anchor| anchor.get(Number::NewestMs).ok());
        KnownTimes {
            // No encoder has this name: no reference is opened, only records.
            store_ms: store.and_then(|store| store.gallery("", 0).ok()?.newest_ms),
            noted_ms: noted.filter(|ms| *ms > 0).and_then(|ms| i64::try_from(ms).ok()),
            ..KnownTimes::of_program()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_moment_counts_and_says_how_it_is_known() {
        let none = KnownTimes::default();
        assert_eq!((none.newest(), none.check(i64::MIN).is_behind()), (None, false));
        let known = KnownTimes { made_ms: Some(1_000), store_ms: Some(3_000_000), noted_ms: Some(2_000) };
        assert_eq!(known.newest(), Some((3_000_000, "the store was last changed")));
        assert_eq!(known.check(5), WallClock { wall_ms: 5, floor_ms: 3_000_000 });
    }

    #[test]
    fn this_program_knows_when_it_was_made_and_that_is_past() {
        let made_ms = KnownTimes::of_program().made_ms;
        let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64;
        // Sources without history know nothing; ours have one.
        assert!(made_ms.is_none_or(|made_ms| (1_700_000_000_000..=now_ms).contains(&made_ms)), "{made_ms:?}");
    }
}
