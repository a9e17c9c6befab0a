//! The daemon's event log and the simulated relay's trace, read the way an owner's program would read them.

use serde_json::Value;
use std::fmt;
use std::path::Path;

/// Whether a value is of the right type.
type IsRight = fn(&Value) -> bool;

/// One event.
#[derive(Clone, PartialEq)]
pub struct Event(pub Value);

impl fmt::Debug for Event {
    /// As it stands in the log: a failed test shows many of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Event {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0["event"].as_str().unwrap()
    }

    /// When, on the gate's monotonic clock.
    #[must_use]
    pub fn mono_ms(&self) -> u64 {
        self.0["mono_ms"].as_u64().unwrap()
    }

    /// A text in it; empty when there is none of this name.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or("")
    }

    /// Whether this is `granted`, for that person.
    #[must_use]
    pub fn is_granted(&self, person: &str) -> bool {
        self.kind() == "granted" && self.text("person") == person
    }

    /// Whether this is `refused`, for that reason.
    #[must_use]
    pub fn is_refused(&self, reason: &str) -> bool {
        self.kind() == "refused" && self.text("reason") == reason
    }

    /// Whether this is `relay`, on or off.
    #[must_use]
    pub fn is_relay(&self, on: bool) -> bool {
        self.kind() == "relay" && self.0["on"] == on
    }

    /// Whether this is `fault`, come or gone.
    #[must_use]
    pub fn is_fault(&self, fault: &str, present: bool) -> bool {
        self.kind() == "fault" && self.text("fault") == fault && self.0["present"] == present
    }

    /// Whether this is an alarm of that cause, beginning or ending.
    #[must_use]
    pub fn is_alarm(&self, cause: &str, present: bool) -> bool {
        self.kind() == "alarm" && self.text("cause") == cause && self.0["present"] == present
    }

    /// Whether this is `camera`, in that state.
    #[must_use]
    pub fn is_camera(&self, state: &str) -> bool {
        self.kind() == "camera" && self.text("state") == state
    }

    /// The event without what differs from run to run: the wall clock, and the pace in the camera's description.
    #[must_use]
    pub fn timeless(&self) -> Value {
        let mut value = self.0.clone();
        value.as_object_mut().unwrap().remove("at");
        if let Some(detail) = value["detail"].as_str() {
            value["detail"] = detail.replace("fast pace", "any pace").replace("real pace", "any pace").into();
        } else {
            value.as_object_mut().unwrap().remove("detail");
        }
        value
    }

    /// Holds the promised form: exactly the keys of its kind, of the right types, and nothing that tells a score.
    fn check(&self) {
        let keys: &[(&str, IsRight)] = match self.kind() {
            "granted" => &[("person", Value::is_string), ("track", Value::is_u64)],
            "refused" => &[("reason", Value::is_string), ("track", Value::is_u64)],
            "relay" => &[("on", Value::is_boolean)],
            "camera" => &[("state", Value::is_string), ("detail", Value::is_string)],
            "config" => &[("state", Value::is_string), ("detail", Value::is_string)],
            "clock" => &[("state", Value::is_string), ("detail", Value::is_string)],
            "gallery" => &[("people", Value::is_u64)],
            "fault" => &[("fault", Value::is_string), ("present", Value::is_boolean)],
            "lockout" => &[("person", Value::is_string), ("present", Value::is_boolean)],
            "alarm" => &[("cause", Value::is_string), ("present", Value::is_boolean)],
            other => panic!("an event of an unknown kind {other:?}: {}", self.0),
        };
        for (key, is_right) in keys {
            assert!(is_right(&self.0[*key]), "`{key}` of {}", self.0);
        }
        let at: jiff::Timestamp = self.text("at").parse().unwrap_or_else(|e| panic!("`at` of {}: {e}", self.0));
        assert!(at.as_second() > 1_600_000_000, "{}", self.0);
        assert!(self.0["mono_ms"].is_u64(), "{}", self.0);
        for (key, value) in self.0.as_object().unwrap() {
            let is_known = ["at", "mono_ms", "event"].contains(&key.as_str()) || keys.iter().any(|(k, _)| k == key);
            // Whose admission it is that is suspended or over is certain, and the officer needs to know.
            let is_person = self.kind() == "refused" && key == "person";
            // Said only where it is so.
            let is_notice = self.kind() == "granted" && key == "picture_confirmed" && *value == false;
            assert!(is_known || is_person || is_notice, "an unknown key `{key}` in {}", self.0);
            // Every measure of likeness is a fraction, and no event has anything to tell in fractions.
            assert!(!value.is_f64(), "`{key}` looks like a score in {}", self.0);
            let said = value.as_str().unwrap_or("").to_lowercase();
            // By whole words: a temporary folder's random name may hold any two letters.
            for word in said.split(|c: char| !c.is_alphanumeric()) {
                let speaks = ["d2", "tau"].contains(&word)
                    || ["score", "distance", "similar", "confidence"].iter().any(|begin| word.starts_with(begin));
                assert!(!speaks, "`{key}` speaks of a score in {}", self.0);
            }
        }
    }
}

/// All events so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Log(pub Vec<Event>);

impl Log {
    /// Reads the log and checks the form of every event. A line that is still being written is left for later.
    #[must_use]
    pub fn read(path: &Path) -> Self {
        let events: Vec<Event> = lines(path).into_iter().map(Event).collect();
        events.iter().for_each(Event::check);
        Self(events)
    }

    /// The events that `is_wanted` takes.
    pub fn all(&self, is_wanted: impl Fn(&Event) -> bool) -> Vec<&Event> {
        self.0.iter().filter(|event| is_wanted(event)).collect()
    }

    /// Everybody who was granted, in order.
    #[must_use]
    pub fn granted(&self) -> Vec<&str> {
        self.all(|event| event.kind() == "granted").into_iter().map(|event| event.text("person")).collect()
    }

    /// The reasons of all refusals, in order.
    #[must_use]
    pub fn refused(&self) -> Vec<&str> {
        self.all(|event| event.kind() == "refused").into_iter().map(|event| event.text("reason")).collect()
    }

    /// Without wall clock and pace: equal for equal frames.
    #[must_use]
    pub fn timeless(&self) -> Vec<Value> {
        self.0.iter().map(Event::timeless).collect()
    }
}

/// One line of the simulated relay's trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayChange {
    /// When, on the gate's monotonic clock.
    pub mono_ms: u64,
    /// On = unlocked.
    pub on: bool,
}

/// Reads the relay's trace; empty when the relay was never opened.
#[must_use]
pub fn relay_trace(path: &Path) -> Vec<RelayChange> {
    let change =
        |line: Value| RelayChange { mono_ms: line["mono_ms"].as_u64().unwrap(), on: line["on"].as_bool().unwrap() };
    // Lamps and light write into the same file.
    lines(path).into_iter().filter(|line| line["output"] == "relay").map(change).collect()
}

/// Every complete line of a file of JSON lines; none when there is no such file.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}
