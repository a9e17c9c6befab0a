//! A site in a temporary folder: configuration, store, frames, event log, relay trace.

use crate::daemon::Daemon;
use crate::events::{Log, RelayChange, relay_trace};
use crate::programs::{enroll_tool, gate_daemon, models, sample};
use crate::scene::{Look, Portrait, Scene};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use tempfile::TempDir;
use toml::{Table, toml};

/// How long the relay is on in a test's site, unless the test says otherwise.
pub const PULSE_MS: u64 = 1_000;
/// Frames per second of every scene.
pub const FPS: u64 = 15;

/// A site of its own for one test.
pub struct Site {
    dir: TempDir,
    config: Table,
}

/// What a program that has ended leaves.
#[derive(Debug)]
pub struct Answer {
    /// Its exit code; `None` when a signal has ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// What a replay leaves when it is over.
#[derive(Debug)]
pub struct Played {
    /// The daemon's end.
    pub answer: Answer,
    /// Everything it has logged.
    pub log: Log,
    /// Everything the relay has done.
    pub relay: Vec<RelayChange>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// A site whose store is not made yet. Everything that a user cares about is as the defaults have it.
    #[must_use]
    pub fn new() -> Self {
        let mut config = toml! {
            [camera]
            source = "replay:frames"
            replay_pace = "fast"
            [relay]
            driver = "simulated"
            trace = "relay.jsonl"
            [store]
            dir = "store"
            [events]
            file = "events.jsonl"
        };
        section(&mut config, "camera").insert("replay_fps".into(), (FPS as f64).into());
        section(&mut config, "relay").insert("pulse_ms".into(), (PULSE_MS as i64).into());
        section(&mut config, "vision").insert("models".into(), models().to_str().unwrap().into());
        Self { dir: tempfile::tempdir().unwrap(), config }
    }

    /// A site with an empty store.
    #[must_use]
    pub fn empty() -> Self {
        let site = Self::new();
        site.tool(&["init"]).done();
        site
    }

    /// A site where `obama` is enrolled, from the one picture `obama.jpg`. The enrolment itself is done once.
    #[must_use]
    pub fn enrolled() -> Self {
        static TEMPLATE: OnceLock<Site> = OnceLock::new();
        let template = TEMPLATE.get_or_init(|| {
            let site = Self::empty();
            site.enrol("obama", &sample("obama.jpg"));
            site
        });
        let site = Self::new();
        for folder in ["store", "store-anchor"] {
            copy_folder(&template.path(folder), &site.path(folder));
        }
        site
    }

    /// Puts keys into the configuration; what it has already is replaced.
    #[must_use]
    pub fn with(mut self, keys: Table) -> Self {
        put(&mut self.config, keys);
        self
    }

    /// The camera shows its frames in true time, again and again.
    #[must_use]
    pub fn looping(self) -> Self {
        self.with(toml! {
            [camera]
            replay_pace = "real"
            replay_loop = true
        })
    }

    /// A grant opens for a minute: longer than any test waits, so that no pulse ends by itself.
    #[must_use]
    pub fn with_long_pulses(self) -> Self {
        self.with(toml! {
            [relay]
            pulse_ms = 60000
            pulse_max_ms = 60000
        })
    }

    /// One person comes and goes without end, and is quickly let in or refused again.
    #[must_use]
    pub fn busy(self) -> Self {
        let site = self.looping().with(toml! {
            [relay]
            pulse_ms = 300
            [policy]
            refuse_after_ms = 300
            regrant_after_ms = 600
            track_lost_ms = 200
        });
        Scene::new().stay(1_400, &[Look::new(Portrait::Obama2, 130.0)]).nobody(400).write(&site.path("frames"));
        site
    }

    /// A path in the site's folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the configuration and returns its path.
    pub fn write_config(&self) -> PathBuf {
        let path = self.path("gate.toml");
        fs::write(&path, toml::to_string(&self.config).unwrap()).unwrap();
        path
    }

    /// Runs the staff's tool.
    pub fn tool(&self, args: &[&str]) -> Answer {
        let config = self.write_config();
        let output = Command::new(enroll_tool()).arg("--config").arg(config).args(args).output().unwrap();
        output.into()
    }

    /// Enrols a person from one picture.
    pub fn enrol(&self, id: &str, photo: &Path) {
        self.tool(&["add", "--id", id, "--name", id, photo.to_str().unwrap()]).done();
    }

    /// The daemon with the site's configuration, not started yet.
    #[must_use]
    pub fn daemon(&self, args: &[&str]) -> Command {
        let mut command = Command::new(gate_daemon());
        command.arg("--config").arg(self.write_config()).args(args);
        // The tester's own environment must not decide what is logged or loaded.
        let decide = ["RUST_LOG", "ORT_DYLIB_PATH", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
        for name in decide.into_iter().chain(["RUNTIME_DIRECTORY"]) {
            command.env_remove(name);
        }
        command
    }

    /// Starts `gate-daemon run` and leaves it running.
    #[must_use]
    pub fn start(&self, args: &[&str]) -> Daemon {
        let mut command = self.daemon(&["run"]);
        command.args(args);
        Daemon::start(command, self)
    }

    /// Lets a scene happen in front of the camera, from its first frame to its last.
    pub fn play(&self, scene: &Scene) -> Played {
        scene.write(&self.path("frames"));
        self.replay(&[])
    }

    /// Runs the daemon over whatever its camera replays.
    pub fn replay(&self, args: &[&str]) -> Played {
        let (events, trace) = (self.path("events.jsonl"), self.path("relay.jsonl"));
        let answer = self.daemon(&["run"]).args(args).output().unwrap().into();
        Played { answer, log: Log::read(&events), relay: relay_trace(&trace) }
    }

    /// The events so far.
    #[must_use]
    pub fn log(&self) -> Log {
        Log::read(&self.path("events.jsonl"))
    }

    /// The relay's trace so far.
    #[must_use]
    pub fn relay(&self) -> Vec<RelayChange> {
        relay_trace(&self.path("relay.jsonl"))
    }
}

impl Answer {
    /// The answer of a program that has done what it was asked.
    ///
    /// # Panics
    /// When it has not.
    #[must_use = "or call `done`"]
    pub fn is_done(&self) -> bool {
        self.code == Some(0)
    }

    /// Insists that the program has done what it was asked.
    pub fn done(&self) {
        assert!(self.is_done(), "{self:#?}");
    }

    /// Standard output as one JSON value.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }

    /// Insists that the program has refused with this exit code and has named all of `words`.
    pub fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in {}", self.stderr);
        }
    }
}

impl Played {
    /// Insists that the replay has ended well, with the gate locked.
    pub fn ended_locked(&self) {
        self.answer.done();
        // An alarm that still stands ends with the gate.
        let last = self.log.0.iter().rfind(|event| event.kind() != "alarm").expect("events");
        assert!(last.is_camera("ended") || last.is_relay(false), "{:#?}", self.log);
        let on = self.log.all(|event| event.kind() == "relay").last().is_some_and(|event| event.is_relay(true));
        assert!(!on && !self.relay.last().unwrap().on, "left unlocked: {:#?} {:#?}", self.log, self.relay);
    }
}

/// Puts keys into a configuration; what it has already is replaced.
///
/// # Panics
/// When a key is in no section.
pub fn put(config: &mut Table, keys: Table) {
    for (name, value) in keys {
        let toml::Value::Table(value) = value else { panic!("`{name}` is in no section") };
        section(config, &name).extend(value);
    }
}

fn section<'a>(config: &'a mut Table, name: &str) -> &'a mut Table {
    let section = config.entry(name).or_insert_with(|| Table::new().into());
    section.as_table_mut().unwrap()
}

/// Copies a folder and what is in it, sub-folders excepted.
pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
