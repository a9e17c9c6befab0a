//! A thread that helps the gate is stuck or cannot start: what it would have told counts all the same, or the gate locks.
//! Wedged for real: a lease that the kernel waits for, a pipe that nobody reads, a database that is read for ever, a system without threads.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_store::{Admission, KeySource, NewPerson, NewReference, SiteKey, Store};
use gate_tests::{Answer, Daemon, Event, Look, Portrait, Scene, Site};
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use toml::toml;

/// systemd kills whoever takes longer than 5 s; a machine that builds beside the test gets twice that.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Nobody is let in, for longer than the person takes to come round again.
fn nobody_gets_in(site: &Site, daemon: &mut Daemon, from: usize) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(4_000) {
        std::thread::sleep(Duration::from_millis(50));
        daemon.is_running();
    }
    let granted: Vec<Event> = site.log().0.split_off(from).into_iter().filter(|e| e.kind() == "granted").collect();
    assert!(granted.is_empty(), "{granted:#?}");
}

fn stops_in_time(daemon: Daemon) -> Answer {
    let start = Instant::now();
    let answer = daemon.stop();
    assert!(start.elapsed() < STOPPED_WITHIN, "it took {:?}: {}", start.elapsed(), answer.stderr);
    answer
}

fn store_path(site: &Site, file: &str) -> PathBuf {
    site.path("store").join(file)
}

/// Runs a program as somebody whose threads can be limited: no limit holds for root. It may still read and write every file.
fn unprivileged(command: &Command) -> Command {
    if !nix::unistd::geteuid().is_root() {
        let mut same = Command::new(command.get_program());
        same.args(command.get_args());
        return with_env_of(same, command);
    }
    let files = "-all,+dac_override,+dac_read_search";
    let mut other = Command::new("setpriv");
    other.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    other.args(["--inh-caps", files, "--ambient-caps", files]);
    other.arg(command.get_program()).args(command.get_args());
    with_env_of(other, command)
}

fn with_env_of(mut command: Command, other: &Command) -> Command {
    for (name, value) in other.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Sets how many threads the user of `pid` may have when it wants another one; returns what it was.
fn limit_threads(pid: u32, most: &str) -> String {
    // As the same user: root may change others' limits only with a capability that containers take away.
    let prlimit = |args: &[&str]| {
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={pid}")).args(args);
        let answer: Answer = unprivileged(&command).output().unwrap().into();
        answer.done();
        answer.stdout.trim().to_owned()
    };
    let before = prlimit(&["--nproc", "--output", "SOFT", "--noheadings", "--raw"]);
    prlimit(&[&format!("--nproc={most}:")]);
    before
}

/// Enrols so many made-up people that the gallery is opened by more than one thread.
fn enrol_a_crowd(site: &Site) {
    let dir = site.path("store");
    let mut store = Store::open(&dir, &SiteKey::load(&KeySource::find(None, &dir)).unwrap()).unwrap();
    let known = store.person("obama").unwrap();
    let encoder = &known.references[0].encoder_sha256;
    let vectors: Vec<Vec<f32>> = (0..4_200)
        .map(|person| {
            let values: Vec<f32> = (0..128).map(|k| ((person * 131 + k) as f32 * 0.7).sin()).collect();
            let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
            values.iter().map(|value| value / length).collect()
        })
        .collect();
    let references: Vec<_> =
        vectors.iter().map(|vector| [NewReference { encoder_sha256: encoder, vector, picture: None }]).collect();
    let ids: Vec<String> = (0..vectors.len()).map(|number| format!("p{number}")).collect();
    let people = ids.iter().map(|id| NewPerson { id, name: "made up", admission: Admission::ALWAYS });
    store.add_people(people.zip(references.iter().map(|one| &one[..]))).unwrap();
}

#[test]
fn a_suspension_counts_although_the_system_has_no_thread_to_give() {
    // The limit holds for whoever the daemon runs as, or this test would prove nothing.
    let mut shell = Command::new("bash");
    shell.args(["-c", "ulimit -Su 1; (exit 0)"]);
    assert!(!unprivileged(&shell).output().unwrap().status.success(), "the limit does not hold");

    let site = Site::enrolled().busy().with(toml! {
        [policy]
        tau = 0.9
        refuse_after_ms = 300
        regrant_after_ms = 600
        track_lost_ms = 200
    });
    enrol_a_crowd(&site);
    let mut daemon = Daemon::start(unprivileged(&site.daemon(&["run"])), &site);
    daemon.wait_for(0, "a grant", |event| event.is_granted("obama"));

    let before = limit_threads(daemon.pid(), "1");
    site.tool(&["suspend", "obama"]).done();
    let mark = daemon.mark();
    // Refused, or locked; the gate opens the people on the thread that reads them, so refused.
    let told = |event: &Event| event.is_refused("Suspended") || event.is_fault("store", true);
    let (event, _) = daemon.wait_for(mark, "the refusal", told);
    assert!(event.is_refused("Suspended"), "{event:?} {}", daemon.said());
    let mark = daemon.mark();
    nobody_gets_in(&site, &mut daemon, mark);

    // And it goes on.
    limit_threads(daemon.pid(), &before);
    let mark = daemon.mark();
    site.tool(&["resume", "obama"]).done();
    daemon.wait_for(mark, "a grant", |event| event.is_granted("obama"));
    stops_in_time(daemon).done();
}

#[test]
fn a_database_that_is_read_for_ever_locks_and_a_suspension_counts_afterwards() {
    let site = Site::enrolled().busy();
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "a grant", |event| event.is_granted("obama"));
    let change = |sql: &str| Connection::open(store_path(&site, "people.db")).unwrap().execute_batch(sql).unwrap();
    let endless = "ALTER TABLE people RENAME TO away;
        CREATE VIEW people AS
          WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
          SELECT x AS person_key, 'p' || x AS id, 1 AS slot, x'00' AS slot_mark, x'00' AS record FROM n;";

    let mark = daemon.mark();
    change(endless);
    daemon.wait_for(mark, "the fault", |event| event.is_fault("store", true));
    assert!(daemon.said().contains("view `people`"), "{}", daemon.said());
    let locked = daemon.mark();
    nobody_gets_in(&site, &mut daemon, locked);

    let mark = daemon.mark();
    change("DROP VIEW people; ALTER TABLE away RENAME TO people;");
    site.tool(&["suspend", "obama"]).done();
    daemon.wait_for(mark, "the end of the fault", |event| event.is_fault("store", false));
    let mark = daemon.mark();
    daemon.wait_for(mark, "the refusal", |event| event.is_refused("Suspended"));
    let mark = daemon.mark();
    nobody_gets_in(&site, &mut daemon, mark);

    change(endless);
    stops_in_time(daemon).done();
}

/// What the gate tells of one of its gauges.
fn gauge(socket: &Path, name: &str) -> f64 {
    let mut client = UnixStream::connect(socket).unwrap();
    client.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
}

/// Takes a lease on the file that is named and keeps it. Whoever opens the file makes the kernel send a signal.
const LEASE: &str = "import fcntl, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
time.sleep(60)";

/// A process with a lease on a file: the kernel lets whoever opens the file wait until it is dropped, or for 45 s.
struct Lease(Child);

impl Lease {
    fn on(path: &Path) -> Self {
        let python = Command::new("python3").arg("-c").arg(LEASE).arg(path).stdout(Stdio::piped()).spawn();
        let mut holder = Self(python.unwrap());
        let mut line = String::new();
        BufReader::new(holder.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "leased\n");
        holder
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_store_that_never_answers_locks_and_keeps_no_process_alive() {
    let site = Site::enrolled().busy().with(toml! {
        [store]
        gallery_age_max_ms = 1000
        [metrics]
        listen = "unix:metrics.sock"
    });
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "a grant", |event| event.is_granted("obama"));
    assert!(gauge(&site.path("metrics.sock"), "face_gate_gallery_age_seconds") < 5.0);

    // Whoever opens it waits until the lease is given up.
    let (database, away, leased) = (store_path(&site, "people.db"), site.path("away"), site.path("leased"));
    fs::copy(&database, &leased).unwrap();
    let lease = Lease::on(&leased);
    let mark = daemon.mark();
    fs::rename(&database, &away).unwrap();
    fs::rename(&leased, &database).unwrap();
    daemon.wait_for(mark, "the fault", |event| event.is_fault("store", true));
    let locked = daemon.mark();
    nobody_gets_in(&site, &mut daemon, locked);
    assert!(gauge(&site.path("metrics.sock"), "face_gate_gallery_age_seconds") > 1.0, "{}", daemon.said());

    let mark = daemon.mark();
    fs::rename(&database, &leased).unwrap();
    fs::rename(&away, &database).unwrap();
    drop(lease);
    daemon.wait_for(mark, "the end of the fault", |event| event.is_fault("store", false));
    daemon.wait_for(mark, "a grant", |event| event.is_granted("obama"));

    let mark = daemon.mark();
    let _lease = Lease::on(&leased);
    fs::rename(&database, &away).unwrap();
    fs::rename(&leased, &database).unwrap();
    daemon.wait_for(mark, "the fault", |event| event.is_fault("store", true));
    stops_in_time(daemon).done();
    assert!(!site.relay().last().unwrap().on);
}

#[test]
fn a_signal_ends_a_gate_whose_store_does_not_answer_at_the_start() {
    let site = Site::enrolled().busy();
    let _lease = Lease::on(&store_path(&site, "people.db"));
    let mut daemon = site.start(&[]);
    let start = Instant::now();
    while !daemon.said().contains("locked") {
        assert!(start.elapsed() < Duration::from_secs(20), "{}", daemon.said());
        std::thread::sleep(Duration::from_millis(20));
    }
    daemon.is_running();
    stops_in_time(daemon).done();
    assert!(site.relay().iter().all(|change| !change.on), "{:?}", site.relay());
}

#[test]
fn a_relay_that_never_answers_is_a_fault_and_the_stop_path_locks_it_later() {
    let site = Site::enrolled().busy().with(toml! {
        [relay]
        pulse_ms = 300
        trace = "relay.pipe"
    });
    let path = site.path("relay.pipe");
    mkfifo(&path);
    let mut pipe = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let drain = |pipe: &mut File| {
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        while let Ok(read) = pipe.read(&mut some) {
            all.extend_from_slice(&some[..read]);
        }
        String::from_utf8(all).unwrap()
    };
    Scene::new().nobody(400).stay(1_400, &[Look::new(Portrait::Obama2, 130.0)]).write(&site.path("frames"));
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "a pulse's end", |event| event.is_relay(false));
    assert!(drain(&mut pipe).trim_end().ends_with("\"on\":false}"));

    for chunk in [&[b' '; 4096][..], b" "] {
        while pipe.write(chunk).is_ok() {}
    }
    let mark = daemon.mark();
    daemon.wait_for(mark, "the fault", |event| event.is_fault("relay", true));
    let locked = daemon.mark();
    nobody_gets_in(&site, &mut daemon, locked);
    stops_in_time(daemon).refused(3, &["look at the door"]);

    assert!(!drain(&mut pipe).contains("\"on\":true"), "it was never switched on");
    let answer: Answer = site.daemon(&["relay", "lock"]).output().unwrap().into();
    answer.done();
    assert!(drain(&mut pipe).trim_end().ends_with("\"on\":false}"));
}
