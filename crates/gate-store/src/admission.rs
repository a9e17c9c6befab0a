//! What staff wrote about a person's admission. What counts now follows from it: [`Admission::access`].

use crate::day::Day;
use gate_core::person::Access;

/// Whether and when a person may come in, as staff wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admission {
    /// Staff have taken the right away for the time being.
    pub suspended: bool,
    /// When it begins; `None` = it always has.
    pub from: Option<Edge>,
    /// When it ends; `None` = never.
    pub until: Option<Edge>,
}

/// Where an admission begins or ends: an instant, or a whole day in a named time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// The instant, Unix milliseconds; of a day as it followed from the time zone's rules when the day was written down.
    pub written_ms: i64,
    /// The day, where one was written.
    pub day: Option<Day>,
}

impl Edge {
    /// An admission begins or ends at this instant, Unix milliseconds.
    #[must_use]
    pub fn at(ms: i64) -> Self {
        Self { written_ms: ms, day: None }
    }

    /// An admission begins with this day. `None` when this machine does not know the day's time zone.
    #[must_use]
    pub fn begin_of(day: Day) -> Option<Self> {
        Some(Self { written_ms: day.begins_ms()?, day: Some(day) })
    }

    /// An admission ends with this day. `None` when this machine does not know the day's time zone.
    #[must_use]
    pub fn end_of(day: Day) -> Option<Self> {
        Some(Self { written_ms: day.ends_ms()?, day: Some(day) })
    }

    /// Whether this machine lacks the rules of the day's time zone, so that the instant written down counts.
    #[must_use]
    pub fn is_zone_unknown(&self) -> bool {
        self.day.as_ref().is_some_and(|day| day.begins_ms().is_none())
    }
}

impl Admission {
    /// Always, until staff say otherwise.
    pub const ALWAYS: &Self = &Self { suspended: false, from: None, until: None };

    /// What counts now. A day is a day by the time zone rules that this machine has now; where it has none for that zone,
    /// the instant counts that was written down with the day.
    #[must_use]
    pub fn access(&self) -> Access {
        let instant = |edge: &Option<Edge>, of_day: fn(&Day) -> Option<i64>| {
            edge.as_ref().map(|edge| edge.day.as_ref().and_then(of_day).unwrap_or(edge.written_ms))
        };
        Access {
            suspended: self.suspended,
            valid_from_ms: instant(&self.from, Day::begins_ms),
            valid_until_ms: instant(&self.until, Day::ends_ms),
        }
    }
}

impl From<Access> for Admission {
    /// The same in instants.
    fn from(access: Access) -> Self {
        Self {
            suspended: access.suspended,
            from: access.valid_from_ms.map(Edge::at),
            until: access.valid_until_ms.map(Edge::at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(zone: &str) -> Day {
        Day::new("2026-12-31".parse().unwrap(), zone)
    }

    #[test]
    fn a_day_counts_by_the_rules_of_now_and_by_what_was_written_where_there_are_none() {
        let seoul = Edge::end_of(day("Asia/Seoul")).unwrap();
        // The rules have changed since: what was written down is an hour off.
        let moved = Edge { written_ms: seoul.written_ms - 3_600_000, ..seoul.clone() };
        let unknown = Edge { day: Some(day("Mars/Olympus_Mons")), ..moved.clone() };
        for (until, wanted_ms) in [(&seoul, seoul.written_ms), (&moved, seoul.written_ms), (&unknown, moved.written_ms)]
        {
            let admission = Admission { until: Some(until.clone()), ..Admission::default() };
            assert_eq!(admission.access().valid_until_ms, Some(wanted_ms));
        }
        assert!(unknown.is_zone_unknown() && !moved.is_zone_unknown());
        assert_eq!(Edge::begin_of(day("Mars/Olympus_Mons")), None);
    }

    #[test]
    fn a_day_is_whole_and_instants_stay_what_they_are() {
        let (from, until) = (Edge::begin_of(day("UTC")).unwrap(), Edge::end_of(day("UTC")).unwrap());
        assert_eq!(until.written_ms - from.written_ms, 86_400_000);
        let access = Access { suspended: true, valid_from_ms: Some(-5), valid_until_ms: Some(i64::MAX) };
        assert_eq!(Admission::from(access).access(), access);
    }
}
