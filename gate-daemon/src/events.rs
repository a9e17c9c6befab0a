//! The event log: what happened, as JSON lines. Who and why, never how similar: no score leaves the decision.

use crate::event_writer::{EventThread, LogHealth, open_sink};
use anyhow::Result;
use gate_core::decision::{Event, Now};
use gate_core::person::PersonKey;
use gate_site::Members;
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// One event, as it stands in the log.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record<'a> {
    /// The gate opens for somebody.
    Granted {
        /// The person's id.
        person: &'a str,
        /// The track's number.
        track: u32,
        /// `false` where nobody has confirmed by a live camera that the pictures show this person alone; else absent.
        #[serde(skip_serializing_if = "Option::is_none")]
        picture_confirmed: Option<bool>,
    },
    /// Somebody is refused.
    Refused {
        /// The exact reason.
        reason: &'static str,
        /// The person's id, where it is certain.
        #[serde(skip_serializing_if = "Option::is_none")]
        person: Option<&'a str>,
        /// The track's number.
        track: u32,
    },
    /// The relay is switched.
    Relay {
        /// On = unlocked.
        on: bool,
    },
    /// Too many attempts with one person's face: that person is locked out for a while, or the time is over.
    Lockout {
        /// The person's id.
        person: &'a str,
        /// Whether it stands now.
        present: bool,
    },
    /// Somebody attacks the gate or tampers with it: the alarm begins or ends.
    Alarm {
        /// `attack` or `tamper`.
        cause: &'static str,
        /// Whether it stands now.
        present: bool,
    },
    /// Something that keeps the gate locked came or went.
    Fault {
        /// Which.
        fault: &'static str,
        /// Whether it stands now.
        present: bool,
    },
    /// The camera came or went.
    Camera {
        /// `opened`, `lost` or `ended`.
        state: &'static str,
        /// What it is, or why it was lost.
        detail: &'a str,
    },
    /// The wall clock: set, behind, or no longer so.
    Clock {
        /// `stepped`, `behind`, `right` or `accepted`.
        state: &'static str,
        /// By how much it was set, or what it is behind.
        detail: &'a str,
    },
    /// The configuration was reread.
    Config {
        /// `loaded`, or `kept` where the new one cannot be used.
        state: &'static str,
        /// What waits for a restart, or what is wrong and where.
        detail: &'a str,
    },
    /// The gallery was loaded.
    Gallery {
        /// People who can be recognised.
        people: usize,
    },
}

#[derive(Serialize)]
struct Line<'a> {
    at: String,
    mono_ms: u64,
    #[serde(flatten)]
    record: &'a Record<'a>,
}

/// Where events are written: by a thread of their own, so that no disk ever holds the gate up.
pub struct EventLog {
    thread: Option<EventThread>,
    health: Arc<LogHealth>,
}

impl EventLog {
    /// Appends to `file`, or writes to standard output for `-`, or nowhere.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(file: Option<&Path>) -> Result<Self> {
        let start = |file: &Path| EventThread::start(open_sink(file)?, file.display().to_string());
        let thread = file.map(start).transpose()?;
        let health = thread.as_ref().map(EventThread::health).unwrap_or_default();
        Ok(Self { thread, health })
    }

    /// Hands one event over, whole. A full disk is told once and does not stop the gate.
    pub fn write(&mut self, record: &Record<'_>, now: Now) {
        let Some(thread) = &self.thread else { return };
        let line = Line { at: rfc3339(now.wall_ms), mono_ms: now.mono_ms, record };
        match serde_json::to_string(&line) {
            // Safe for a terminal, and the same JSON.
            Ok(json) => thread.write(format!("{}\n", gate_cli::line(&json)).into_bytes()),
            Err(e) => tracing::error!("an event cannot be written down: {e}"),
        }
    }

    /// How the log is doing.
    pub fn health(&self) -> &Arc<LogHealth> {
        &self.health
    }

    /// Writes what is still queued, and ends; says whether the log is complete.
    pub fn finish(&mut self) -> bool {
        if let Some(thread) = &mut self.thread {
            thread.finish();
        }
        !self.health.is_failing()
    }

    /// Writes what the decider reports.
    pub fn decided(&mut self, event: Event, members: &Members, now: Now) {
        let id = |key: PersonKey| members.person(key).map(|p| p.id.as_str());
        let record = match event {
            Event::Granted { person, track } => {
                let confirmed = members.person(person).is_some_and(|person| person.confirmed);
                let picture_confirmed = (!confirmed).then_some(false);
                Record::Granted { person: id(person).unwrap_or("?"), track: track.0, picture_confirmed }
            }
            Event::Refused { reason, track, person } => {
                Record::Refused { reason: reason.name(), person: person.and_then(id), track: track.0 }
            }
            Event::Relay { on } => Record::Relay { on },
            Event::Lockout { person, present } => Record::Lockout { person: id(person).unwrap_or("?"), present },
            Event::Alarm { cause, present } => Record::Alarm { cause: cause.name(), present },
            Event::Fault { fault, present } => Record::Fault { fault: fault.name(), present },
        };
        match &record {
            Record::Granted { person, track, .. } => tracing::info!(person, track, "granted"),
            Record::Refused { reason, track, .. } => tracing::info!(reason, track, "refused"),
            Record::Lockout { person, present: true } => {
                tracing::error!(
                    person,
                    "locked out: somebody tries this person's face again and again; look who is at the gate"
                );
            }
            Record::Lockout { person, .. } => tracing::info!(person, "the lock-out is over"),
            Record::Alarm { cause, present: true } => tracing::error!(cause, "alarm: look who stands at the gate"),
            Record::Alarm { cause, .. } => tracing::info!(cause, "the alarm is over"),
            Record::Fault { fault, present: true } => tracing::error!(fault, "fault: the gate stays locked"),
            Record::Fault { fault, .. } => tracing::info!(fault, "fault is over"),
            other => tracing::debug!(?other, "event"),
        }
        self.write(&record, now);
    }
}

/// Unix milliseconds as RFC 3339, UTC, with milliseconds.
pub fn rfc3339(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms).map_or_else(|_| unix_ms.to_string(), |t| format!("{t:.3}"))
}
