//! Days of validity: a day of the calendar in a named time zone, and the instants at which it begins and ends.
//!
//! Staff write `2026-12-31` and mean the whole of that day where the gate stands. So the day is what is stored, with the
//! zone's name. The instants follow from it by the time zone rules of this machine, each time the store is read: neither a
//! change of the machine's own zone nor of a country's rules moves the day.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, Zoned};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where Linux keeps the rules of time zones.
const ZONEINFO: &str = "/usr/share/zoneinfo";

/// A day of the calendar in a named time zone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "DayText", try_from = "DayText")]
pub struct Day {
    date: Date,
    zone: String,
}

/// A [`Day`] as it is stored.
#[derive(Serialize, Deserialize)]
struct DayText {
    day: String,
    zone: String,
}

impl From<Day> for DayText {
    fn from(day: Day) -> Self {
        Self { day: day.date.to_string(), zone: day.zone }
    }
}

impl TryFrom<DayText> for Day {
    type Error = jiff::Error;

    fn try_from(text: DayText) -> Result<Self, jiff::Error> {
        Ok(Self { date: text.day.parse()?, zone: text.zone })
    }
}

impl fmt::Display for Day {
    /// The day as it was written: `2026-12-31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date.fmt(f)
    }
}

impl Day {
    /// The day `date` where the IANA time zone `zone` is kept.
    #[must_use]
    pub fn new(date: Date, zone: &str) -> Self {
        Self { date, zone: zone.to_owned() }
    }

    /// The IANA name of its time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// Its first instant, Unix milliseconds. `None` when this machine does not know the time zone.
    #[must_use]
    pub fn begins_ms(&self) -> Option<i64> {
        Some(first_instant(self.date, &self.rules()?)?.as_millisecond())
    }

    /// The first instant after it, Unix milliseconds. `None` when this machine does not know the time zone, or the
    /// calendar ends.
    #[must_use]
    pub fn ends_ms(&self) -> Option<i64> {
        Some(first_instant(self.date.tomorrow().ok()?, &self.rules()?)?.as_millisecond())
    }

    fn rules(&self) -> Option<TimeZone> {
        TimeZone::get(&self.zone).ok()
    }
}

/// A number that differs after this machine's time zone rules were exchanged: days must be computed anew then. What was
/// cached of the old rules is dropped.
pub(crate) fn zone_rules_mark() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let folder = std::env::var_os("TZDIR").map_or_else(|| PathBuf::from(ZONEINFO), PathBuf::from);
    let mut hasher = DefaultHasher::new();
    // An update replaces files by renaming, which changes the folder; tzdata.zi is in every release.
    for path in [folder.join("tzdata.zi"), folder] {
        path.metadata().map(|m| (m.dev(), m.ino(), m.mtime(), m.mtime_nsec())).ok().hash(&mut hasher);
    }

    let mark = hasher.finish();
    if LAST.swap(mark, Ordering::Relaxed) != mark {
        jiff::tz::db().reset();
    }
    mark
}

/// The first instant of a day: midnight where there is one. Where the clock skips midnight, the day begins when it
/// has skipped it; where the clock shows midnight twice, the first time counts.
#[must_use]
pub fn first_instant(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let midnight = DateTime::from_parts(date, Time::midnight());
    let ambiguous = zone.to_ambiguous_timestamp(midnight);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => {
            // The instant before the clock moves, then the move: a gap may begin before midnight and end after it.
            let before = ambiguous.earlier().ok()?;
            zone.following(before).next().map(|moved| moved.timestamp())
        }
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => ambiguous.earlier().ok(),
    }
}

/// The day of which `at` is the first instant in its zone.
#[must_use]
pub fn day_begun_by(at: &Zoned) -> Option<Date> {
    (first_instant(at.date(), at.time_zone())? == at.timestamp()).then(|| at.date())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz;

    const DAY_MS: i64 = 86_400_000;

    fn day(date: &str, zone: &str) -> Day {
        Day::new(date.parse().unwrap(), zone)
    }

    fn instant(text: &str) -> Option<i64> {
        Some(text.parse::<Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn a_day_is_the_days_own_zones_whatever_the_machines() {
        let here = day("2026-12-31", "Asia/Seoul");
        assert_eq!(here.begins_ms(), instant("2026-12-30T15:00:00Z"));
        assert_eq!(here.ends_ms(), instant("2026-12-31T15:00:00Z"));
        assert_eq!((here.to_string().as_str(), here.zone()), ("2026-12-31", "Asia/Seoul"));
        assert_eq!(day("2026-12-31", "UTC").ends_ms(), instant("2027-01-01T00:00:00Z"));
    }

    #[test]
    fn midnight_may_be_skipped_shown_twice_or_lie_within_a_gap() {
        // Santiago goes from 24:00 on the 5th to 01:00 on the 6th.
        assert_eq!(day("2026-09-05", "America/Santiago").ends_ms(), instant("2026-09-06T04:00:00Z"));
        assert_eq!(day("2026-09-06", "America/Santiago").begins_ms(), instant("2026-09-06T04:00:00Z"));
        // Havana goes back from 01:00 to 00:00: the day begins at the first midnight.
        assert_eq!(day("2026-11-01", "America/Havana").begins_ms(), instant("2026-11-01T04:00:00Z"));
        // Toronto went from 23:30 to 00:30: the day began there, and not at 01:00.
        assert_eq!(day("1919-03-31", "America/Toronto").begins_ms(), instant("1919-03-31T04:30:00Z"));
        // Apia had no 30th: it begins and ends when the 31st begins.
        let skipped = day("2011-12-30", "Pacific/Apia");
        assert_eq!(skipped.begins_ms(), skipped.ends_ms());
        assert_eq!(skipped.ends_ms(), day("2011-12-31", "Pacific/Apia").begins_ms());
    }

    #[test]
    fn an_unknown_zone_and_the_calendars_end_have_no_instant() {
        assert_eq!(day("2026-12-31", "Mars/Olympus_Mons").begins_ms(), None);
        assert_eq!(day("2026-12-31", "../../etc/passwd").begins_ms(), None);
        assert_eq!(day("9999-12-31", "Asia/Seoul").ends_ms(), None);
    }

    #[test]
    fn a_day_is_stored_as_text_and_read_back() {
        let stored = serde_json::to_string(&day("2026-12-31", "Asia/Seoul")).unwrap();
        assert_eq!(stored, r#"{"day":"2026-12-31","zone":"Asia/Seoul"}"#);
        assert_eq!(serde_json::from_str::<Day>(&stored).unwrap(), day("2026-12-31", "Asia/Seoul"));
        assert!(serde_json::from_str::<Day>(r#"{"day":"2026-13-31","zone":"UTC"}"#).is_err());
    }

    /// Every change of every zone's clock until 2040, and the days around it: gaps, folds, skipped days.
    #[test]
    fn around_every_change_of_every_clock_days_follow_each_other_without_gap_or_overlap() {
        let end: Timestamp = "2040-01-01T00:00:00Z".parse().unwrap();
        let (mut zones, mut changes) = (0, 0);
        for name in tz::db().available() {
            let zone = TimeZone::get(name.as_str()).unwrap();
            zones += 1;
            for change in zone.following(Timestamp::UNIX_EPOCH).take_while(|change| change.timestamp() < end) {
                changes += 1;
                let date = change.timestamp().to_zoned(zone.clone()).date();
                for date in [date.yesterday().unwrap(), date, date.tomorrow().unwrap()] {
                    check_day(date, name.as_str(), &zone);
                }
            }
        }
        assert!(zones > 300 && changes > 5_000, "{changes} changes in {zones} zones");
    }

    fn check_day(date: Date, name: &str, zone: &TimeZone) {
        let what = format!("{date} in {name}");
        let day = Day::new(date, name);
        let (begins, ends) = (day.begins_ms().unwrap(), day.ends_ms().unwrap());
        let length = ends - begins;
        assert!((0..=2 * DAY_MS).contains(&length), "{what} lasts {length} ms");
        assert_eq!(Some(ends), Day::new(date.tomorrow().unwrap(), name).begins_ms(), "{what}");

        let date_at = |ms| Timestamp::from_millisecond(ms).unwrap().to_zoned(zone.clone());
        let (first, before) = (date_at(begins), date_at(begins - 1));
        assert!(before.date() < date, "{what}: begins at {first}, after {before}");
        if length == 0 {
            assert!(first.date() > date, "{what} is skipped");
        } else {
            assert_eq!(first.date(), date, "{what} begins at {first}");
            assert_eq!(day_begun_by(&first), Some(date), "{what}");
            assert_eq!(day_begun_by(&date_at(begins + 1)), None, "{what}");
        }
        assert!(date_at(ends).date() > date, "{what}");
    }
}
