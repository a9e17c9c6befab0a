//! What the system shows of the running programs: no core dumps, locked keys, private files, root's rights given up.
#![allow(clippy::unwrap_used)]

use gate_tests::programs::{enroll_tool, gate_daemon};
use gate_tests::{Answer, Look, Portrait, Scene, Site};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Nobody's account.
const EVE: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(20);

/// A file of `/proc` about a process; empty when that has ended.
fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default()
}

/// The words of a line of `/proc/PID/status`.
fn status(pid: u32, line: &str) -> Vec<String> {
    let text = proc(pid, "status");
    let found = text.lines().find_map(|found| found.strip_prefix(line)).unwrap_or_default();
    found.split_whitespace().map(str::to_owned).collect()
}

/// Whom the system shows as owner of a process's files: root for a process that cannot be dumped or debugged.
fn shown_owner(pid: u32) -> Option<u32> {
    fs::metadata(format!("/proc/{pid}/mem")).ok().map(|meta| meta.uid())
}

/// How large a process's core dump may be: soft and hard limit.
fn core_limit(pid: u32) -> Vec<String> {
    let limits = proc(pid, "limits");
    let line = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap_or("? ?");
    line.split_whitespace().take(2).map(str::to_owned).collect()
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        sleep(Duration::from_millis(10));
    }
}

/// Runs a command with unlimited core dumps, as another user where the tester may.
fn start(mut command: Command, as_eve: bool) -> (Child, u32) {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "ulimit -c unlimited 2>/dev/null; exec \"$@\"", "sh"]).arg(command.get_program());
    shell.args(command.get_args()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if as_eve && is_root {
        shell.uid(EVE).gid(EVE);
    }
    command = shell;
    let user = if as_eve && is_root { EVE } else { fs::metadata("/proc/self").unwrap().uid() };
    (command.spawn().unwrap(), user)
}

#[test]
fn the_gate_leaves_no_core_dump_and_lets_nobody_look_into_its_memory() {
    // `relay pulse` is as much of the gate's program as an ordinary user can run for a while without a store.
    let site = Site::new();
    let config = site.write_config();
    fs::write(&config, "[relay]\ndriver = \"simulated\"\npulse_max_ms = 60000\n").unwrap();
    fs::set_permissions(config.parent().unwrap(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    // Where anybody can run it: the checkout may be root's alone.
    fs::copy(gate_daemon(), site.path("gate-daemon")).unwrap();
    let mut gate = Command::new(site.path("gate-daemon"));
    gate.arg("--config").arg(&config).args(["relay", "pulse", "--ms", "60000"]);
    let (mut gate, user) = start(gate, true);
    let mut sleeper = Command::new("sleep");
    sleeper.arg("60");
    let (mut sleeper, _) = start(sleeper, true);

    let is = |pid: u32, name: &str| proc(pid, "comm").trim_end() == name;
    until("sleep runs", || is(sleeper.id(), "sleep"));
    until("the gate runs", || is(gate.id(), "gate-daemon"));
    until("its core limit is set", || core_limit(gate.id()).iter().all(|limit| limit == "0"));
    if user != 0 {
        assert_eq!(shown_owner(sleeper.id()), Some(user), "any other program can be looked into");
        until("nobody can look into the gate", || shown_owner(gate.id()) == Some(0));
    }
    assert_eq!(core_limit(gate.id()), ["0", "0"], "soft and hard, whatever it was started with");

    assert!(Command::new("kill").args(["-ABRT", &gate.id().to_string()]).status().unwrap().success());
    let end = gate.wait().unwrap();
    assert!(end.signal().is_some() && !end.core_dumped(), "{end}");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[test]
fn the_running_gate_has_its_key_locked_into_memory() {
    let site = Site::enrolled().looping();
    Scene::new().nobody(1_000).write(&site.path("frames"));
    let mut daemon = site.start(&[]);
    daemon.wait_for(0, "the camera", |event| event.is_camera("opened"));
    let locked: u64 = status(daemon.pid(), "VmLck:")[0].parse().unwrap();
    assert!(locked > 0, "{}", proc(daemon.pid(), "status"));
    let log = fs::metadata(site.path("events.jsonl")).unwrap();
    assert_eq!(log.mode() & 0o777, 0o600, "who came when is the owner's to read");
    daemon.stop().done();
}

#[test]
fn root_at_the_desk_becomes_the_stores_owner_and_stays_unseen() {
    let site = Site::empty().with(toml::toml! {
        [camera]
        replay_loop = true
        replay_pace = "real"
    });
    let store = site.path("store");
    if chown(&store, Some(EVE), Some(EVE)).is_err() {
        return; // not root: there is nobody to become
    }
    let anchor = site.path("store-anchor");
    chown(&anchor, Some(EVE), Some(EVE)).unwrap();
    for entry in [&store, &anchor].into_iter().flat_map(|folder| fs::read_dir(folder).unwrap().flatten()) {
        chown(entry.path(), Some(EVE), Some(EVE)).unwrap();
    }
    fs::set_permissions(site.path(""), Permissions::from_mode(0o755)).unwrap();
    Scene::new().nobody(1_000).write(&site.path("frames"));

    let mut tool = Command::new(enroll_tool());
    tool.arg("--config").arg(site.write_config()).args(["add", "--id", "ana", "--name", "Ana", "--timeout", "30"]);
    tool.arg(format!("--camera=replay:{}", site.path("frames").display()));
    let (mut tool, _) = start(tool, false);
    let eve = EVE.to_string();
    until("it becomes the owner", || status(tool.id(), "Uid:").iter().all(|id| *id == eve));
    assert_eq!(status(tool.id(), "Gid:").len(), 4);
    assert!(status(tool.id(), "Gid:").iter().all(|id| *id == eve));
    assert!(!status(tool.id(), "Groups:").contains(&"0".to_owned()), "none of root's groups is left");
    assert_eq!(status(tool.id(), "CapEff:"), ["0000000000000000"]);
    assert_eq!(shown_owner(tool.id()), Some(0), "the store's owner cannot look into it");
    until("its key is locked", || status(tool.id(), "VmLck:").first().is_some_and(|kb| kb != "0"));
    tool.kill().unwrap();
    tool.wait().unwrap();
}

fn somebody_comes(site: &Site) {
    let near = Look::new(Portrait::Obama2, 130.0);
    Scene::new().nobody(500).stay(2_000, &[near]).nobody(500).write(&site.path("frames"));
}

#[test]
fn a_full_disk_under_the_trace_does_not_stop_the_gate() {
    let site = Site::enrolled();
    somebody_comes(&site);
    let played = site.replay(&["--trace", "/dev/full"]);
    played.ended_locked();
    assert!(played.log.0.iter().any(|event| event.is_granted("obama")), "{:#?}", played.log);
    let Answer { stderr, .. } = &played.answer;
    assert_eq!(stderr.matches("the trace cannot be written").count(), 1, "it is told once: {stderr}");
}

#[test]
fn a_trace_in_place_of_a_file_that_others_can_read_is_private() {
    let site = Site::enrolled();
    somebody_comes(&site);
    let trace = site.path("trace.jsonl");
    fs::write(&trace, "old\n").unwrap();
    fs::set_permissions(&trace, Permissions::from_mode(0o666)).unwrap();
    site.replay(&["--trace", trace.to_str().unwrap()]).ended_locked();
    let text = fs::read_to_string(&trace).unwrap();
    assert_eq!(fs::metadata(&trace).unwrap().mode() & 0o777, 0o600);
    assert!(!text.contains("old") && text.lines().count() > 10);
    let is_json = |line: &str| serde_json::from_str::<serde_json::Value>(line).is_ok();
    assert!(text.lines().all(is_json));

    let victim = site.path("victim");
    fs::write(&victim, "precious").unwrap();
    let link = |name: &str| std::os::unix::fs::symlink(&victim, site.path(name)).unwrap();
    link("linked-trace");
    link("linked-events");
    for (flag, name) in [("--trace", "linked-trace"), ("--events", "linked-events")] {
        let played = site.daemon(&["run", flag, site.path(name).to_str().unwrap()]).output().unwrap();
        Answer::from(played).refused(3, &[name, "symbolic link"]);
        assert_eq!(read(&victim), "precious");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
