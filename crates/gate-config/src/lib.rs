//! `gate.toml` as types: every key with its default, checked with the line at fault, and a JSON schema for editors.
//!
//! ```text
//!  text ──toml──> table with spans ──check (against the schema)──> ──rules (across keys)──> Config
//!                                         └── Faults: file:line:column, what, the line, a caret ──┘
//! ```
//!
//! The types in [`sections`] are the one place where a key, its default, its range and its explanation stand: the JSON
//! schema is made from them, and a file is checked against that schema, so an editor and the daemon refuse the same things.
#![forbid(unsafe_code)]

mod check;
mod error;
mod paths;
mod rules;
mod schema;
pub mod sections;
mod suggest;

use std::path::{Path, PathBuf};

use gate_core::light::LightPolicy;
use gate_core::policy::{PadPolicy, Policy, QualityPolicy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::{ConfigError, Fault};
pub use schema::schema;
pub use sections::{
    ActiveLevel, Alarm, Camera, CameraFormat, Driver, Enrol, Events, FpirUnmet, Lamps, Light, Listen, Liveness,
    LivenessMode, Log, Metrics, PolicySection, Provider, Quality, Relay, ReplayPace, SeveralFaces, Store, Vision,
};

/// Longest configuration file that is read, bytes.
const FILE_MAX_BYTES: u64 = 1 << 20;

/// How a face gate is configured. Every key has a default; a file names only what differs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "gate.toml", inline)]
pub struct Config {
    /// Where frames come from.
    pub camera: Camera,
    /// The output that opens the gate.
    pub relay: Relay,
    /// The lamps beside the gate.
    pub lamps: Lamps,
    /// The lamp that asks faces for an answer.
    pub light: Light,
    /// The output for attacks and tampering.
    pub alarm: Alarm,
    /// The networks and where they run.
    pub vision: Vision,
    /// What it takes to be let in.
    pub policy: PolicySection,
    /// What a face at the gate must be like before its identity counts.
    pub quality: Quality,
    /// What shows that a face is live.
    pub liveness: Liveness,
    /// What an enrolment picture must be like.
    pub enrol: Enrol,
    /// Where people are kept.
    pub store: Store,
    /// Where events are written.
    pub events: Events,
    /// Counters for whoever watches over the gate.
    pub metrics: Metrics,
    /// What is logged.
    pub log: Log,
    /// The folder of the file this came from; its relative paths were resolved against it. Empty without a file.
    #[serde(skip)]
    pub folder: PathBuf,
}

impl Config {
    /// Reads and checks a configuration file. Relative paths in it are taken from the file's own folder.
    ///
    /// # Errors
    /// When the file is missing, unreadable, or says something it cannot mean; all faults of a file at once.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let unreadable = |source| match source {
            std::io::Error { .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ConfigError::Missing { path: path.to_owned() }
            }
            source => ConfigError::Unreadable { path: path.to_owned(), source },
        };
        let found_bytes = std::fs::metadata(path).map_err(unreadable)?.len();
        if found_bytes > FILE_MAX_BYTES {
            return Err(ConfigError::TooLong { path: path.to_owned(), max_bytes: FILE_MAX_BYTES });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse_in(&text, &path.display().to_string(), path.parent().unwrap_or(Path::new("")))
    }

    /// Checks the text of a configuration file; `name` is its path, for error messages and to resolve relative paths. Empty:
    /// there is no file, these are the defaults.
    ///
    /// # Errors
    /// [`ConfigError::Faults`] with everything that is wrong in it.
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        Self::parse_in(text, name, Path::new(name).parent().unwrap_or(Path::new("")))
    }

    fn parse_in(text: &str, name: &str, folder: &Path) -> Result<Self, ConfigError> {
        let source = error::Source { name, text };
        let table = toml::de::DeTable::parse(text).map_err(|error| source.syntax(&error))?;
        let notes = check::check(&table);
        if !notes.is_empty() {
            return Err(source.faults(notes));
        }
        let mut config: Self = toml::from_str(text).map_err(|error| source.syntax(&error))?;
        let notes = rules::check(&config, &table);
        if !notes.is_empty() {
            return Err(source.faults(notes));
        }
        config.resolve((!name.is_empty()).then_some(folder));
        Ok(config)
    }

    /// What contradicts itself in a configuration that was put together from several, if anything. One that was loaded never
    /// does.
    #[must_use]
    pub fn contradiction(&self) -> Option<String> {
        let table = toml::de::DeTable::parse("").ok()?;
        let notes = rules::check(self, &table);
        let messages: Vec<_> = notes.into_iter().map(|note| note.message).collect();
        (!messages.is_empty()).then(|| messages.join("; "))
    }

    /// The core's policy, with the threshold in force: `tau` as set here, or as derived from `fpir_target`. How liveness scores
    /// are distributed stands on the network's card: the core's stand-in is there until that is loaded.
    #[must_use]
    pub fn policy(&self, tau: f32) -> Policy {
        let policy = &self.policy;
        Policy {
            tau,
            // The encoder's table says, once it is loaded.
            same_face_d2: Policy::default().same_face_d2,
            margin_d2: policy.margin_d2,
            agreeing_frames: policy.agreeing_frames,
            window_ms: policy.window_ms,
            refuse_after_ms: policy.refuse_after_ms,
            regrant_after_ms: policy.regrant_after_ms,
            track_lost_ms: policy.track_lost_ms,
            pulse_ms: self.relay.pulse_ms,
            pulse_max_ms: self.relay.pulse_max_ms,
            stall_ms: self.camera.stall_ms,
            alarm_ms: self.alarm.hold_ms,
            several_faces: policy.several_faces.into(),
            bystander_ratio: policy.bystander_ratio,
            quality: QualityPolicy {
                min_face_px: self.quality.min_face_px,
                max_yaw_deg: self.quality.max_yaw_deg,
                max_pitch_deg: self.quality.max_pitch_deg,
                min_sharpness: self.quality.min_sharpness,
                min_luma: self.quality.min_luma,
                max_luma: self.quality.max_luma,
            },
            liveness: PadPolicy {
                mode: self.liveness.mode.into(),
                bpcer_target: self.liveness.bpcer_target,
                attacks_max: self.liveness.attacks_max,
                attacks_window_ms: self.liveness.attacks_window_ms,
                lockout_ms: self.liveness.lockout_ms,
                light: LightPolicy {
                    latency_min_ms: self.light.latency_min_ms,
                    latency_max_ms: self.light.latency_max_ms,
                    ..LightPolicy::default()
                },
                ..PadPolicy::default()
            },
        }
    }

    /// What an enrolment picture must be like.
    #[must_use]
    pub fn enrol_quality(&self) -> QualityPolicy {
        QualityPolicy {
            min_face_px: self.enrol.min_face_px,
            max_yaw_deg: self.enrol.max_yaw_deg,
            max_pitch_deg: self.enrol.max_pitch_deg,
            min_sharpness: self.enrol.min_sharpness,
            min_luma: self.enrol.min_luma,
            max_luma: self.enrol.max_luma,
        }
    }
}
