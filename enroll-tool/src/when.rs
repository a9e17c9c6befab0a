//! Points in time as staff writes and reads them.

use crate::refusal::refuse;
use anyhow::Result;
use gate_core::clock::WallClock;
use gate_core::reason::Reason;
use gate_site::Site;
use gate_store::{Admission, Day, Edge, day_begun_by};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use std::path::Path;

/// A point in time on the command line, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// No limit.
    None,
    /// Unix milliseconds.
    AtMs(i64),
    /// A whole day, in the site's time zone.
    Day(Date),
}

impl When {
    /// Reads the beginning or the end of an admission.
    ///
    /// # Errors
    /// When it is neither a day, nor RFC 3339, nor `none`.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(When::None);
        }
        let day: Option<Date> = (text.len() == "2026-12-31".len()).then(|| text.parse().ok()).flatten();
        let instant = || text.parse::<Timestamp>().ok().map(|at| When::AtMs(at.as_millisecond()));
        day.map(When::Day)
            .or_else(instant)
            .ok_or_else(|| "write a day as 2026-12-31, an instant as 2026-12-31T17:00:00Z, or none".to_owned())
    }

    /// Where an admission begins: a day begins at its first instant.
    ///
    /// # Errors
    /// When the site's time zone is not known.
    pub fn begins(self, zone: &Zone) -> Result<Option<Edge>> {
        self.edge(zone, Edge::begin_of)
    }

    /// Where an admission ends: a day ends when the next one begins.
    ///
    /// # Errors
    /// When the site's time zone is not known.
    pub fn ends(self, zone: &Zone) -> Result<Option<Edge>> {
        self.edge(zone, Edge::end_of)
    }

    fn edge(self, zone: &Zone, of_day: impl FnOnce(Day) -> Option<Edge>) -> Result<Option<Edge>> {
        let date = match self {
            When::None => return Ok(None),
            When::AtMs(ms) => return Ok(Some(Edge::at(ms))),
            When::Day(date) => date,
        };
        let name = zone.name.as_ref().map_err(|why| refuse(why.clone()))?;
        let edge = of_day(Day::new(date, name));
        edge.map(Some).ok_or_else(|| refuse(format!("{date} is beyond the calendar: write an earlier day, or none")))
    }
}

/// The time zone in which days are meant, and times are shown.
pub struct Zone {
    /// Its IANA name, or why there is none.
    name: Result<String, String>,
    rules: TimeZone,
}

impl Zone {
    /// The one that the configuration names, else the system's.
    #[must_use]
    pub fn of_site(site: &Site) -> Self {
        let Some(name) = site.config.enrol.time_zone.as_deref() else { return Self::of_system() };
        match TimeZone::get(name) {
            Ok(rules) => Self { name: Ok(name.to_owned()), rules },
            Err(_) => Self {
                name: Err(format!(
                    "[enrol] time_zone: this machine knows no time zone {name:?}; `timedatectl list-timezones` lists them, \
                     the package tzdata brings them"
                )),
                rules: TimeZone::system(),
            },
        }
    }

    fn of_system() -> Self {
        let rules = match TimeZone::try_system() {
            Ok(rules) => rules,
            // By convention a machine without this file keeps UTC.
            Err(_) if std::env::var_os("TZ").is_none() && !Path::new("/etc/localtime").exists() => TimeZone::UTC,
            Err(_) => TimeZone::system(),
        };
        let is_known = |name: &&str| !rules.is_unknown() && TimeZone::get(name).is_ok();
        let name = rules.iana_name().filter(is_known).map(str::to_owned);
        let name = name.ok_or_else(|| {
            "this machine's time zone has no name, and a day is kept with its zone: set [enrol] time_zone, as in \
             \"Asia/Seoul\", or write an instant (2026-12-31T17:00:00Z)"
                .to_owned()
        });
        Self { name, rules }
    }

    /// A point in time, for people.
    #[must_use]
    pub fn local(&self, ms: i64) -> String {
        let Ok(at) = Timestamp::from_millisecond(ms) else { return "out of range".to_owned() };
        at.to_zoned(self.rules.clone()).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// The beginning of an admission, for people: the day as it was written, or a day when it is a whole day here.
    #[must_use]
    pub fn first_day(&self, edge: &Edge) -> String {
        self.written_day(edge).or_else(|| self.day_at(edge.written_ms)).unwrap_or_else(|| self.local(edge.written_ms))
    }

    /// The end of an admission, for people: the day as it was written, or the last day when it ends with a day here.
    #[must_use]
    pub fn last_day(&self, edge: &Edge) -> String {
        let last = || {
            let next: Date = self.day_at(edge.written_ms)?.parse().ok()?;
            Some(next.yesterday().ok()?.to_string())
        };
        self.written_day(edge).or_else(last).unwrap_or_else(|| self.local(edge.written_ms))
    }

    /// The day that was written, with its zone where that is another than here.
    fn written_day(&self, edge: &Edge) -> Option<String> {
        let day = edge.day.as_ref()?;
        let is_here = self.name.as_deref() == Ok(day.zone());
        let unknown = if edge.is_zone_unknown() { ", a zone unknown to this machine" } else { "" };
        Some(if is_here { day.to_string() } else { format!("{day} ({}{unknown})", day.zone()) })
    }

    /// The day that begins here at this instant, if one does.
    fn day_at(&self, ms: i64) -> Option<String> {
        let at = Timestamp::from_millisecond(ms).ok()?.to_zoned(self.rules.clone());
        day_begun_by(&at).map(|day| day.to_string())
    }

    /// Whether, and when, somebody may come in, in a few words.
    #[must_use]
    pub fn standing(&self, admission: &Admission, clock: WallClock) -> String {
        let from = admission.from.as_ref().map(|edge| self.first_day(edge));
        let until = admission.until.as_ref().map(|edge| self.last_day(edge));
        let times = match (&from, &until) {
            (None, None) => String::new(),
            (Some(from), None) => format!("from {from}"),
            (None, Some(until)) => format!("until {until}"),
            (Some(from), Some(until)) => format!("{from} to {until}"),
        };
        let word = match admission.access().refusal(clock) {
            Some(Reason::Suspended) => "suspended",
            Some(Reason::NotYetValid) => "not yet",
            Some(Reason::Expired) => "over",
            Some(Reason::ClockUnsure) => "not while the clock is wrong",
            _ => "admitted",
        };
        if times.is_empty() { word.to_owned() } else { format!("{word}, {times}") }
    }
}

/// Now, Unix milliseconds.
#[must_use]
pub fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// RFC 3339, UTC, for machines.
#[must_use]
pub fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| "out of range".to_owned(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::person::Access;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    fn zone(name: &str) -> Zone {
        Zone { name: Ok(name.to_owned()), rules: TimeZone::get(name).unwrap() }
    }

    fn day(text: &str) -> When {
        When::parse(text).unwrap()
    }

    #[test]
    fn a_day_begins_and_ends_in_the_sites_zone() {
        let seoul = zone("Asia/Seoul");
        let (from, until) = (day("2026-01-31").begins(&seoul).unwrap(), day("2026-01-31").ends(&seoul).unwrap());
        let (Some(from), Some(until)) = (from, until) else { panic!("both are days") };
        assert_eq!(rfc3339(from.written_ms), "2026-01-30T15:00:00Z");
        assert_eq!(until.written_ms - from.written_ms, DAY_MS);
        assert_eq!((seoul.first_day(&from).as_str(), seoul.last_day(&until).as_str()), ("2026-01-31", "2026-01-31"));
        // Whoever reads it elsewhere reads the same day, and where it is meant.
        let utc = zone("UTC");
        assert_eq!(utc.first_day(&from), "2026-01-31 (Asia/Seoul)");
        assert_eq!(utc.last_day(&until), "2026-01-31 (Asia/Seoul)");
    }

    #[test]
    fn a_day_is_shown_as_it_was_written_where_midnight_does_not_exist() {
        let santiago = zone("America/Santiago");
        let until = day("2026-09-05").ends(&santiago).unwrap().unwrap();
        assert_eq!(rfc3339(until.written_ms), "2026-09-06T04:00:00Z", "01:00 there");
        assert_eq!(santiago.last_day(&until), "2026-09-05");
        let from = day("2026-09-06").begins(&santiago).unwrap().unwrap();
        assert_eq!((from.written_ms, santiago.first_day(&from)), (until.written_ms, "2026-09-06".to_owned()));
        // So is one from before days were kept as days.
        assert_eq!(santiago.last_day(&Edge::at(until.written_ms)), "2026-09-05");
        assert_eq!(santiago.first_day(&Edge::at(until.written_ms)), "2026-09-06");
        assert_eq!(santiago.last_day(&Edge::at(until.written_ms + 60_000)), "2026-09-06 01:01");
    }

    #[test]
    fn a_zone_without_a_name_takes_instants_and_refuses_days() {
        let nameless = Zone { name: Err("set [enrol] time_zone".to_owned()), rules: TimeZone::UTC };
        assert_eq!(day("1970-01-01T00:00:01Z").ends(&nameless).unwrap(), Some(Edge::at(1000)));
        assert_eq!(When::None.begins(&nameless).unwrap(), None);
        let why = day("2026-12-31").ends(&nameless).unwrap_err().to_string();
        assert!(why.contains("[enrol] time_zone"), "{why}");
        assert!(day("9999-12-31").ends(&zone("UTC")).unwrap_err().to_string().contains("beyond the calendar"));
    }

    #[test]
    fn instants_and_none_are_read_and_all_else_is_refused() {
        assert_eq!(When::parse("1970-01-01T00:00:01Z"), Ok(When::AtMs(1000)));
        assert_eq!(When::parse("1970-01-01T01:00:01+01:00"), Ok(When::AtMs(1000)));
        assert_eq!(When::parse("None"), Ok(When::None));
        for text in ["", "tomorrow", "31.12.2026", "2026-13-01", "2026-02-30", "2026-12-31T17:00", "9999-12-31x"] {
            assert!(When::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn standing_says_whether_and_when() {
        let here = zone("UTC");
        let at = |access: Access, now_ms| here.standing(&access.into(), WallClock::unchecked(now_ms));
        let begins = Access { valid_from_ms: Some(10 * DAY_MS), ..Access::default() };
        assert_eq!(at(begins, 0), "not yet, from 1970-01-11");
        assert_eq!(at(begins, 11 * DAY_MS), "admitted, from 1970-01-11");
        assert_eq!(at(Access { suspended: true, ..Access::default() }, 0), "suspended");
        let ends = Access { valid_until_ms: Some(DAY_MS), ..Access::default() };
        assert_eq!(at(ends, DAY_MS), "over, until 1970-01-01");
        let late = WallClock { wall_ms: 0, floor_ms: 2 * DAY_MS };
        assert_eq!(here.standing(&ends.into(), late), "not while the clock is wrong, until 1970-01-01");
    }
}
