//! Power cuts: the kernel is killed again and again while people are enrolled and events are written. Whatever was
//! acknowledged is there at the next start, nothing is half there.
//!
//! ```text
//!  guest (gate-rig as init)                      host
//!  CUT list [..], CUT events N      ──────▶      compares with what was acknowledged before the cut
//!  CUT try N add p7
//!  (enroll-tool ends with 0)
//!  CUT ack N add p7                 ──────▶      remembers; kills the machine at a random moment
//! ```
//! What is lost is the guest's memory with everything that it had not given to its disk; the disk itself is honest.

use crate::guest::Random;
use crate::host::Workshop;
use crate::machine::{Machine, Parts, changes, make_disk};
use crate::report::Outcome;
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The test's name.
pub const NAME: &str = "power_cuts_lose_nothing_acknowledged";
/// From power on until the guest has shown its people.
const BOOT_MAX: Duration = Duration::from_secs(120);
/// In each round of so many the gate runs as well and writes events.
const EVENTS_EVERY: usize = 10;
/// It has so long to start and to let people in, milliseconds; the power goes within as long again, whatever is acknowledged.
const GATE_MS: u64 = 3_500;
/// The power goes after less than so many acknowledged acts...
const ACTS_MAX: u64 = 4;
/// ...and within this long after the last of them, milliseconds: in the midst of the next one.
const AFTER_MAX_MS: u64 = 400;
/// A guest that acknowledges nothing loses its power all the same.
const WORK_MAX: Duration = Duration::from_secs(10);
const STORE: &str = "/var/lib/face-gate";

/// What is known of a person: whether they are suspended.
type People = BTreeMap<String, bool>;

/// What a tool was asked to do.
#[derive(Clone, Debug, PartialEq)]
struct Act {
    verb: String,
    id: String,
}

impl Act {
    fn parse(text: &str) -> Option<Self> {
        let (verb, id) = text.split_once(' ')?;
        Some(Self { verb: verb.to_owned(), id: id.to_owned() })
    }

    fn apply(&self, people: &mut People) {
        match self.verb.as_str() {
            "add" | "resume" => people.insert(self.id.clone(), false),
            "suspend" => people.insert(self.id.clone(), true),
            _ => people.remove(&self.id),
        };
    }
}

/// What must be there at the next start.
#[derive(Default)]
struct Acknowledged {
    people: People,
    /// What was begun and not acknowledged: it may be done, or not.
    open: Option<Act>,
    events: u64,
    /// Over all cuts.
    acts: u64,
}

/// Cuts the power `count` times.
pub fn run(shop: &Workshop, count: usize) -> Result<Outcome> {
    let start = Instant::now();
    let (disk, changes) = (shop.dir.join("cuts.img"), changes(&shop.dir, "cuts"));
    prepare(shop, &disk)?;
    let seed = u64::from(SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos());
    let mut random = Random(seed);
    let mut known = Acknowledged::default();
    let mut outcome = Outcome { name: NAME.into(), ok: true, seconds: 0.0, facts: String::new() };
    for number in 1..=count {
        let with_gate = number % EVENTS_EVERY == 0;
        let parts = Parts {
            kernel: &shop.kernel,
            disk: &disk,
            changes: &changes,
            shared: &shop.shared,
            init: "/sbin/gate-rig",
            // The gate takes its time to start: its events are cut short in some of the rounds, the staff's acts in all.
            more: if with_gate { &["rig.gate"] } else { &[] },
            memory_mib: 512,
            cores: 1,
            patient: true,
        };
        let (acts, after_ms) = if with_gate {
            (0, GATE_MS + random.below(GATE_MS))
        } else {
            (random.below(ACTS_MAX), random.below(AFTER_MAX_MS))
        };
        if let Err(e) = once(&parts, &mut known, acts, Duration::from_millis(after_ms)) {
            outcome.ok = false;
            outcome.facts = format!("cut {number} of {count}, seed {seed}: {e:#}");
            break;
        }
        if number % 20 == 0 {
            println!("     power cut {number} times");
        }
    }
    outcome.seconds = start.elapsed().as_secs_f32();
    if outcome.ok {
        outcome.facts = format!(
            "{count} cuts; {} acts of the staff's tool and {} events acknowledged before one, all there after it",
            known.acts, known.events
        );
        let _ = fs::remove_file(&changes);
    }
    println!("{}", outcome.told());
    Ok(outcome)
}

/// The guest's disk: the package unpacked, this program as its init.
fn prepare(shop: &Workshop, disk: &Path) -> Result<()> {
    let root = shop.dir.join("cuts-root");
    let steps = "set -e; rm -rf \"$2\"; cp -a \"$1\" \"$2\"; \
                 dpkg-deb --fsys-tarfile \"$3\" | tar -x --keep-directory-symlink -C \"$2\"; \
                 chroot \"$2\" gate-daemon setup >/dev/null; cp \"$4\" \"$2/sbin/gate-rig\"";
    let status = Command::new("sh")
        .args(["-c", steps, "sh"])
        .args([&shop.root, &root, &shop.shared.join("face-gate.deb")])
        .arg(std::env::current_exe()?)
        .status()?;
    ensure!(status.success(), "the disk for the power cuts could not be filled");
    let config = format!(
        "[camera]\nsource = \"replay:/mnt/frames\"\nreplay_loop = true\n[relay]\npulse_ms = 300\n\
         [policy]\nregrant_after_ms = 300\n[events]\nfile = \"{STORE}/events.jsonl\"\n"
    );
    fs::write(root.join("etc/face-gate/gate.toml"), config)?;
    let frames = shop.shared.join("frames");
    if !frames.exists() {
        let there = gate_tests::Look::new(gate_tests::Portrait::Obama3, 130.0);
        gate_tests::Scene::new().walk_up(800, 60.0, there).stay(800, &[there]).leave(300, there).write(&frames);
    }
    make_disk(&root, disk, 1_536)
}

/// One start, its check, some work, and the cut.
fn once(parts: &Parts<'_>, known: &mut Acknowledged, acts: u64, after: Duration) -> Result<()> {
    let machine = Machine::start(parts)?;
    let deadline = Instant::now() + BOOT_MAX;
    let mut console = Vec::new();
    loop {
        let Some(line) = machine.line(deadline) else {
            let last = console.iter().rev().take(6).rev().cloned().collect::<Vec<_>>().join(" | ");
            bail!("the machine did not come up: {last}");
        };
        match told(&line) {
            Some(("list", list)) => compare(known, list)?,
            Some(("events", count)) => {
                let count: u64 = count.parse().context("the number of events")?;
                ensure!(count >= known.events, "{count} events are there, {} were acknowledged", known.events);
                known.events = count;
            }
            Some(("bad", why)) => bail!("{why}"),
            Some(("works", _)) => break,
            _ => console.push(line),
        }
    }
    let (first, mut end) = (known.acts, Instant::now() + WORK_MAX);
    if acts == 0 {
        end = Instant::now() + after;
    }
    while let Some(line) = machine.line(end) {
        acknowledge(known, &line)?;
        if acts > 0 && known.acts == first + acts {
            end = end.min(Instant::now() + after);
        }
    }
    for line in machine.cut() {
        acknowledge(known, &line)?;
    }
    Ok(())
}

/// What the guest tells in a line of its console: a word, and what belongs to it.
fn told(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("CUT ").map(|told| told.split_once(' ').unwrap_or((told, "")))
}

/// Takes in what the guest tells while it works.
fn acknowledge(known: &mut Acknowledged, line: &str) -> Result<()> {
    match told(line) {
        Some(("try", act)) => known.open = Act::parse(act),
        Some(("ack", act)) => {
            let act = Act::parse(act).context("an act")?;
            act.apply(&mut known.people);
            known.open = None;
            known.acts += 1;
        }
        Some(("events", count)) => known.events = count.parse().unwrap_or(known.events),
        Some(("bad", why)) => bail!("{why}"),
        // A line that was cut with the power.
        _ => {}
    }
    Ok(())
}

/// What is there against what must be there.
fn compare(known: &mut Acknowledged, list: &str) -> Result<()> {
    let list: Value = serde_json::from_str(list).with_context(|| format!("the list of people: {list}"))?;
    let mut there = People::new();
    for person in list.as_array().context("a list")? {
        let id = person["id"].as_str().context("an id")?;
        let references = person["references"].as_array().map_or(0, Vec::len);
        ensure!(references == 1, "{id} is half there: {references} references");
        there.insert(id.to_owned(), person["suspended"] == true);
    }
    let mut with_open = known.people.clone();
    if let Some(act) = known.open.take() {
        act.apply(&mut with_open);
    }
    ensure!(
        there == known.people || there == with_open,
        "acknowledged were {:?}, or with the last act {with_open:?}; there is {there:?}",
        known.people
    );
    known.people = there;
    Ok(())
}

/// The guest's side: the first process of the machine.
pub fn init() -> ! {
    let mount = |kind: &str, from: &str, to: &str, with: &str| {
        let done =
            Command::new("mount").args(["-t", kind, from, to]).args(with.split(' ').filter(|w| !w.is_empty())).status();
        if !done.is_ok_and(|status| status.success()) {
            println!("CUT bad {to} could not be mounted");
        }
    };
    #[allow(unsafe_code)]
    // SAFETY: there is no other thread yet.
    unsafe {
        std::env::set_var("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    };
    mount("proc", "p", "/proc", "");
    mount("sysfs", "s", "/sys", "");
    mount("tmpfs", "t", "/run", "");
    mount("tmpfs", "t", "/tmp", "");
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let shared = line.split_whitespace().find_map(|word| word.strip_prefix("rig.shared=")).unwrap_or_default();
    mount("hostfs", "none", "/mnt", &format!("-o {shared}"));
    let mut there = check().unwrap_or_else(|e| {
        println!("CUT bad {}", format!("{e:#}").replace('\n', " | "));
        Vec::new()
    });
    println!("CUT works");
    if line.split_whitespace().any(|word| word == "rig.gate") {
        let started = Command::new("gate-daemon").arg("run").stdin(Stdio::null()).stderr(Stdio::null()).spawn();
        if let Err(e) = started {
            println!("CUT bad the gate does not start: {e}");
        }
        std::thread::spawn(watch_events);
    }
    let mut random = Random(u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos()));
    loop {
        let act = next_act(&mut random, &mut there);
        println!("CUT try {} {}", act.verb, act.id);
        let mut words = vec![act.verb.as_str()];
        if act.verb == "add" {
            words.extend(["--id", &act.id, "--name", &act.id, "/mnt/samples/obama.jpg", "--allow-duplicate"]);
        } else {
            words.push(&act.id);
        }
        if act.verb == "remove" {
            words.push("--yes");
        }
        let output = tool(&words);
        match output {
            Ok(_) => println!("CUT ack {} {}", act.verb, act.id),
            Err(e) => println!("CUT bad {} {}: {}", act.verb, act.id, format!("{e:#}").replace('\n', " | ")),
        }
    }
}

/// One person in three acts is new; the others are suspended, admitted again, erased.
fn next_act(random: &mut Random, there: &mut Vec<String>) -> Act {
    if there.len() < 2 || (there.len() < 12 && random.below(4) == 0) {
        let id = format!("p{}", random.below(1_000_000_000));
        there.push(id.clone());
        return Act { verb: "add".into(), id };
    }
    let at = random.below(there.len() as u64) as usize;
    let verb = ["suspend", "resume", "suspend", "resume", "remove"][random.below(5) as usize];
    let id = if verb == "remove" { there.remove(at) } else { there[at].clone() };
    Act { verb: verb.into(), id }
}

fn tool(words: &[&str]) -> Result<String> {
    let output = Command::new("enroll-tool").args(words).output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

/// Shows the people and how many events there are; returns who is there. A store that is not made yet is made.
fn check() -> Result<Vec<String>> {
    if !Path::new(STORE).join("people.db").exists() {
        fs::create_dir_all(STORE)?;
        tool(&["init"]).context("making the store")?;
    }
    let found: Value = serde_json::from_str(&tool(&["check", "--json"]).context("the store does not open")?)?;
    ensure!(found["sound"] == true, "the store is not sound: {found}");
    let list = tool(&["list", "--json"])?;
    println!("CUT list {}", list.trim());
    println!("CUT events {}", count_events()?);
    let list: Value = serde_json::from_str(&list)?;
    Ok(list.as_array().into_iter().flatten().filter_map(|p| p["id"].as_str().map(str::to_owned)).collect())
}

/// Whole events in the log. A line that a cut has torn is none; it must not have taken the next one with it.
fn count_events() -> Result<u64> {
    let bytes = fs::read(Path::new(STORE).join("events.jsonl")).unwrap_or_default();
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n"));
    Ok(lines.filter(|line| serde_json::from_slice::<Value>(line).is_ok_and(|event| event["event"].is_string())).count()
        as u64)
}

/// Tells how many events are on the disk. They count as acknowledged when they have been readable for a while, since the
/// log is read here before its writer has heard from the disk.
fn watch_events() {
    let mut before = 0;
    loop {
        if before > 0 {
            println!("CUT events {before}");
        }
        before = count_events().unwrap_or(before);
        sleep(Duration::from_millis(300));
    }
}
