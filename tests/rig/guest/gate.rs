//! The installed gate as its owner sees it: systemctl, journal, configuration, event log, the staff's tool.

use gate_tests::site::put;
use gate_tests::{Event, Log};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};
use toml::Table;

/// The unit.
pub const UNIT: &str = "gate-daemon";
const CONFIG: &str = "/etc/face-gate/gate.toml";
/// Where the rig lets the gate write its events.
pub const EVENTS: &str = "/var/lib/face-gate/events.jsonl";
/// How long anything may take that is bound to happen. Far more than it takes: a slow machine fails no test.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// The same where each look starts a program: in a guest that costs more than what is waited for.
const ASK: Duration = Duration::from_millis(100);

/// What a program has answered.
#[derive(Debug)]
pub struct Answer {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Standard output and standard error.
    pub said: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Self { ok: output.status.success(), said }
    }
}

impl Answer {
    /// Insists that it has done what it was asked.
    #[track_caller]
    pub fn done(self) -> String {
        assert!(self.ok, "{}", self.said);
        self.said
    }
}

/// Runs a program of the guest.
pub fn sh(line: &str) -> Answer {
    Command::new("sh").args(["-c", line]).output().unwrap().into()
}

/// The staff's tool, as root.
pub fn tool(args: &[&str]) -> Answer {
    Command::new("enroll-tool").args(args).output().unwrap().into()
}

/// Writes the configuration: the rig's own with these keys over it.
pub fn configure(base: &Table, keys: Table) {
    let mut config = base.clone();
    put(&mut config, keys);
    fs::write(CONFIG, toml::to_string(&config).unwrap()).unwrap();
}

/// systemctl on the gate's unit.
pub fn systemctl(verb: &str) -> Answer {
    sh(&format!("systemctl {verb} {UNIT}"))
}

/// A property of the unit.
pub fn property(name: &str) -> String {
    systemctl(&format!("show --value -p {name}")).done().trim().to_owned()
}

/// The main process; 0 while there is none.
pub fn pid() -> i32 {
    property("MainPID").parse().unwrap()
}

/// Waits until the unit is ready with another main process than `old`, and returns how long that took.
#[track_caller]
pub fn wait_ready(old: i32) -> Duration {
    wait("the gate is ready again", || property("ActiveState") == "active" && ![0, old].contains(&pid()))
}

/// Waits until something is so; tells how long it took.
#[track_caller]
pub fn wait(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in {PATIENCE:?}; {}", journal(8));
        sleep(ASK);
    }
    start.elapsed()
}

/// Sends the gate a signal.
pub fn signal(signal: i32) {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid()), signal).expect("the gate is not there");
}

/// The last lines of the unit's journal.
pub fn journal(lines: usize) -> String {
    sh(&format!("journalctl -q --no-pager -o cat -n {lines} -u {UNIT}")).said
}

/// A place in the journal; what comes later is new.
pub fn journal_mark() -> String {
    sh("journalctl -q -n 0 --show-cursor").said.trim().trim_start_matches("-- cursor: ").to_owned()
}

/// Waits until the unit's journal after a mark holds all of these words.
#[track_caller]
pub fn wait_told(mark: &str, words: &[&str]) -> Duration {
    let line = format!("journalctl -q --no-pager -o cat --after-cursor='{mark}' -u {UNIT}");
    wait(&format!("the journal tells {words:?}"), || {
        let said = sh(&line).said;
        words.iter().all(|word| said.contains(word))
    })
}

/// The events so far; each is checked for its promised form.
pub fn events() -> Log {
    Log::read(Path::new(EVENTS))
}

/// How many events there are by now.
pub fn mark() -> usize {
    events().0.len()
}

/// The events after a mark.
pub fn since(mark: usize) -> Vec<Event> {
    events().0.into_iter().skip(mark).collect()
}

/// Waits for an event after the first `mark` ones.
#[track_caller]
pub fn wait_event(mark: usize, what: &str, is_it: impl Fn(&Event) -> bool) -> Event {
    let start = Instant::now();
    loop {
        let new = since(mark);
        if let Some(event) = new.iter().find(|event| is_it(event)) {
            return event.clone();
        }
        assert!(start.elapsed() < PATIENCE, "{what}: did not come; there is {new:#?}; {}", journal(8));
        sleep(LOOK);
    }
}

/// What the metrics' socket tells.
pub fn scrape(socket: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap_or_else(|e| panic!("{socket}: {e}"));
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: gate\r\nConnection: close\r\n\r\n").unwrap();
    let mut told = String::new();
    stream.read_to_string(&mut told).unwrap();
    told
}
