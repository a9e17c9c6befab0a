//! The one line of `systemctl status`: how the gate is, and what happened last. Never who, never a score.

use gate_core::decision::Event;
use std::time::{Duration, Instant};

/// What the line remembers from one moment to the next.
#[derive(Debug, Default)]
pub struct Status {
    last: Option<(String, Instant)>,
    /// Why the newest configuration was not taken.
    config_kept: Option<String>,
    /// How long ago the people were last confirmed, where that is too long.
    people_age: Option<Duration>,
    /// What is wrong with threads that the gate can do without.
    helpers: Vec<String>,
}

impl Status {
    /// Something was decided.
    pub fn decided(&mut self, event: &Event) {
        let what = match event {
            Event::Granted { .. } => "granted".to_owned(),
            Event::Refused { reason, .. } => format!("refused {}", reason.name()),
            Event::Lockout { present: true, .. } => "locked out".to_owned(),
            Event::Lockout { present: false, .. } => "lock-out over".to_owned(),
            Event::Alarm { cause, present: true } => format!("alarm {}", cause.name()),
            Event::Alarm { cause, present: false } => format!("alarm {} over", cause.name()),
            Event::Relay { .. } | Event::Fault { .. } => return,
        };
        self.last = Some((what, Instant::now()));
    }

    /// A configuration was reread; `why` it was not taken, if so.
    pub fn config(&mut self, why: Option<&str>) {
        // One line: of a fault in a file the first one, which has place and reason.
        self.config_kept = why.map(|why| why.lines().next().unwrap_or_default().to_owned());
    }

    /// The people in force were last found to be those of the store so long ago, which is too long; `None` = they are up
    /// to date.
    pub fn people(&mut self, too_old: Option<Duration>) {
        self.people_age = too_old;
    }

    /// Threads that the gate can do without are in trouble.
    pub fn helpers(&mut self, troubles: Vec<String>) {
        self.helpers = troubles;
    }

    /// What follows the state, the people, the rate and the provider.
    pub fn tail(&self) -> String {
        let last =
            self.last.as_ref().map_or("nobody yet".to_owned(), |(what, at)| format!("{what} {}", age(at.elapsed())));
        let kept = self
            .config_kept
            .as_ref()
            .map_or(String::new(), |why| format!("; the new configuration is NOT in force: {why}"));
        let people =
            self.people_age.map_or(String::new(), |at| format!("; the people were last confirmed {}", age(at)));
        let helpers: String = self.helpers.iter().map(|trouble| format!("; {trouble}")).collect();
        format!("last: {last}{kept}{people}{helpers}")
    }
}

/// How long ago, in one unit.
fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3_600 => format!("{} min ago", seconds / 60),
        3_600..86_400 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::person::PersonKey;
    use gate_core::reason::Reason;
    use gate_core::track::TrackId;

    #[test]
    fn the_line_tells_what_and_when_but_not_who() {
        let mut status = Status::default();
        assert_eq!(status.tail(), "last: nobody yet");
        status.decided(&Event::Refused { reason: Reason::Suspended, track: TrackId(7), person: Some(PersonKey(9)) });
        status.decided(&Event::Relay { on: false });
        assert_eq!(status.tail(), "last: refused Suspended 0 s ago");
        status.config(Some("gate.toml:3:1: unknown key\n  3 | ...\n"));
        assert!(status.tail().ends_with("NOT in force: gate.toml:3:1: unknown key"), "{}", status.tail());
        status.config(None);
        status.people(Some(Duration::from_secs(12)));
        status.helpers(vec!["the thread `metrics` has ended".into()]);
        let told =
            "last: refused Suspended 0 s ago; the people were last confirmed 12 s ago; the thread `metrics` has ended";
        assert_eq!(status.tail(), told);
        status.people(None);
        status.helpers(vec![]);
        assert_eq!(status.tail(), "last: refused Suspended 0 s ago");
    }

    #[test]
    fn an_age_is_told_in_one_unit() {
        let told = [0, 59, 60, 3_599, 3_600, 86_399, 86_400].map(|s| age(Duration::from_secs(s)));
        assert_eq!(told, ["0 s ago", "59 s ago", "1 min ago", "59 min ago", "1 h ago", "23 h ago", "1 days ago"]);
    }
}
