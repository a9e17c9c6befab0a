//! Points in time as staff writes and reads them.

use gate_core::person::Access;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A point in time on the command line, or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// No limit.
    None,
    /// Unix milliseconds.
    AtMs(i64),
}

impl When {
    /// Reads the beginning of an admission: a day begins at its first instant, local time.
    ///
    /// # Errors
    /// When it is neither a day, nor RFC 3339, nor `none`.
    pub fn from(text: &str) -> Result<Self, String> {
        Self::parse(text, Date::to_zoned)
    }

    /// Reads the end of an admission: a day ends when the next one begins, local time.
    ///
    /// # Errors
    /// When it is neither a day, nor RFC 3339, nor `none`.
    pub fn until(text: &str) -> Result<Self, String> {
        Self::parse(text, |day, zone| day.tomorrow()?.to_zoned(zone))
    }

    fn parse(
        text: &str,
        edge: impl FnOnce(Date, TimeZone) -> Result<jiff::Zoned, jiff::Error>,
    ) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(When::None);
        }
        let day: Option<Date> = (text.len() == "2026-12-31".len()).then(|| text.parse().ok()).flatten();
        let instant = match day {
            Some(day) => edge(day, TimeZone::system()).ok().map(|zoned| zoned.timestamp()),
            None => text.parse::<Timestamp>().ok(),
        };
        instant
            .map(|instant| When::AtMs(instant.as_millisecond()))
            .ok_or_else(|| "write a day as 2026-12-31, an instant as 2026-12-31T17:00:00Z, or none".to_owned())
    }

    /// As the store keeps it.
    #[must_use]
    pub fn ms(self) -> Option<i64> {
        match self {
            When::None => None,
            When::AtMs(ms) => Some(ms),
        }
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

/// Local time, for people.
#[must_use]
pub fn local(ms: i64) -> String {
    let Ok(at) = Timestamp::from_millisecond(ms) else { return "out of range".to_owned() };
    at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string()
}

/// The beginning of an admission, for people: a day when it is a whole day.
#[must_use]
pub fn first_day(ms: i64) -> String {
    let text = local(ms);
    text.strip_suffix(" 00:00").map(str::to_owned).unwrap_or(text)
}

/// The end of an admission, for people: the last day when it ends with the day.
#[must_use]
pub fn last_day(ms: i64) -> String {
    let text = local(ms);
    if text.ends_with(" 00:00") { first_day_of(ms - 1) } else { text }
}

fn first_day_of(ms: i64) -> String {
    let text = local(ms);
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// Whether, and when, somebody may come in, in a few words.
#[must_use]
pub fn standing(access: &Access, now_ms: i64) -> String {
    let from = access.valid_from_ms.map(first_day);
    let until = access.valid_until_ms.map(last_day);
    let times = match (&from, &until) {
        (None, None) => String::new(),
        (Some(from), None) => format!("from {from}"),
        (None, Some(until)) => format!("until {until}"),
        (Some(from), Some(until)) => format!("{from} to {until}"),
    };
    use gate_core::reason::Reason;
    let word = match access.refusal(now_ms) {
        Some(Reason::Suspended) => "suspended",
        Some(Reason::NotYetValid) => "not yet",
        Some(Reason::Expired) => "over",
        _ => "admitted",
    };
    if times.is_empty() { word.to_owned() } else { format!("{word}, {times}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_and_ends_in_local_time() {
        let (from, until) = (When::from("2026-01-31").unwrap(), When::until("2026-01-31").unwrap());
        let (Some(from), Some(until)) = (from.ms(), until.ms()) else { panic!("both are instants") };
        assert_eq!(until - from, 24 * 3600 * 1000);
        assert_eq!((first_day(from).as_str(), last_day(until).as_str()), ("2026-01-31", "2026-01-31"));
    }

    #[test]
    fn instants_and_none_are_read_and_all_else_is_refused() {
        assert_eq!(When::from("1970-01-01T00:00:01Z"), Ok(When::AtMs(1000)));
        assert_eq!(When::until("1970-01-01T01:00:01+01:00"), Ok(When::AtMs(1000)));
        assert_eq!(When::until("None"), Ok(When::None));
        for text in ["", "tomorrow", "31.12.2026", "2026-13-01", "2026-02-30", "2026-12-31T17:00", "9999-12-31x"] {
            assert!(When::until(text).is_err(), "{text}");
        }
    }

    #[test]
    fn standing_says_whether_and_when() {
        let day = 24 * 3600 * 1000;
        let access = Access { suspended: false, valid_from_ms: Some(10 * day), valid_until_ms: None };
        assert!(standing(&access, 0).starts_with("not yet, from 1970-01-1"));
        assert!(standing(&access, 11 * day).starts_with("admitted, from "));
        assert_eq!(standing(&Access { suspended: true, ..Access::default() }, 0), "suspended");
        let over = Access { valid_until_ms: Some(day), ..Access::default() };
        assert!(standing(&over, day).starts_with("over, until 19"));
    }
}
