//! One guest from the host's side: it is booted, its outcomes are read, and it is booted again where its kernel hangs.

use crate::guest::{FROM, NUMBER, TESTS};
use crate::host::Workshop;
use crate::machine::{Machine, Parts, changes};
use crate::report::Outcome;
use anyhow::{Context, Result};
use std::fs;
use std::time::{Duration, Instant};

/// The longest that one test may take, the slowest machine considered.
const TEST_MAX: Duration = Duration::from_secs(300);
/// From power on to the first test.
const BOOT_MAX: Duration = Duration::from_secs(180);

/// What guests have told.
#[derive(Default)]
pub struct Told {
    /// The tests' outcomes.
    pub outcomes: Vec<Outcome>,
    /// How often a relay's line went on.
    pub openings: u64,
    /// For how long at the longest, milliseconds.
    pub longest_ms: u64,
    /// A sentence for each guest that fell silent and was booted again.
    pub silences: Vec<String>,
}

impl Told {
    /// Takes in what another has told.
    pub fn add(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.openings += other.openings;
        self.longest_ms = self.longest_ms.max(other.longest_ms);
        self.silences.extend(other.silences);
    }
}

/// How one boot has ended.
enum End {
    /// All was tried.
    Done,
    /// Too early, in this test, and why.
    Early { test: String, is_on: bool, why: String },
}

/// Runs a guest's tests. A guest that falls silent is booted once more, for the test in which it did and those after it:
/// its kernel is a young one where it has two cores. A gate that makes it hang does so again, and that fails.
pub fn guest(shop: &Workshop, number: usize) -> Result<Told> {
    let mut all = Told::default();
    let mut from = 0;
    loop {
        let (told, end) = boot(shop, number, from)?;
        all.add(told);
        let End::Early { test, is_on, why } = end else { return Ok(all) };
        let at = TESTS[number].iter().position(|(name, _)| *name == test).unwrap_or_default();
        if is_on && all.silences.is_empty() {
            println!("     {why}; it is booted again");
            all.silences.push(format!(" Guest {number} fell silent in {test} and was booted again."));
            from = at;
            continue;
        }
        let outcome = Outcome { name: test, ok: false, seconds: 0.0, facts: why };
        println!("{}", outcome.told());
        all.outcomes.push(outcome);
        return Ok(all);
    }
}

/// Boots a guest and reads what it tells.
fn boot(shop: &Workshop, number: usize, from: usize) -> Result<(Told, End)> {
    let changes = changes(&shop.dir, &format!("guest-{number}"));
    let mut machine = Machine::start(&Parts {
        kernel: &shop.kernel,
        disk: &shop.disk,
        changes: &changes,
        shared: &shop.shared,
        init: "/lib/systemd/systemd",
        more: &[&format!("{NUMBER}{number}"), &format!("{FROM}{from}")],
        memory_mib: 1_024,
        cores: 2,
        patient: false,
    })?;
    let (mut all, mut test, mut console) = (Told::default(), String::from("booting"), Vec::new());
    let mut deadline = Instant::now() + BOOT_MAX;
    let mut is_done = false;
    while !is_done && let Some(line) = machine.line(deadline) {
        console.push(line.clone());
        let Some(told) = line.strip_prefix("RIG ") else {
            if line.starts_with("    ") {
                println!("{line}");
            }
            continue;
        };
        deadline = Instant::now() + TEST_MAX;
        if let Some(name) = told.strip_prefix("try ") {
            test = name.to_owned();
        } else if let Some(outcome) = Outcome::parse(told) {
            println!("{}", outcome.told());
            // The package is installed again at a second boot: that is no other test.
            if from == 0 || outcome.name != TESTS[number][0].0 {
                all.outcomes.push(outcome);
            }
        } else if let Some(counts) = told.strip_prefix("wire ") {
            let (openings, longest_ms) = counts.split_once(' ').context("what has happened on the wire")?;
            (all.openings, all.longest_ms) = (openings.parse()?, longest_ms.parse()?);
        } else if told == "end" {
            is_done = true;
        } else {
            println!("     {told}");
        }
    }
    let end = if is_done { End::Done } else { early(shop, number, &mut machine, test, console)? };
    let _ = fs::remove_file(&changes);
    Ok((all, end))
}

/// Keeps the console of a guest that has stopped too early, and where its tasks stand.
fn early(shop: &Workshop, number: usize, machine: &mut Machine, test: String, mut console: Vec<String>) -> Result<End> {
    let last = console.iter().rev().take(8).rev().cloned().collect::<Vec<_>>().join(" | ");
    let is_on = machine.is_on();
    if is_on {
        let tasks = machine.tasks().unwrap_or_else(|e| vec![format!("its tasks cannot be told: {e:#}")]);
        stuck(&tasks).for_each(|line| println!("    {line}"));
        console.extend(tasks);
    }
    let file = shop.dir.join(format!("guest-{number}.console"));
    fs::write(&file, console.join("\n"))?;
    let what = if is_on { "fallen silent" } else { "ended" };
    let why = format!("in {test} guest {number} has {what}; its console, whole in {}: {last}", file.display());
    Ok(End::Early { test, is_on, why })
}

/// Of what a kernel tells of its tasks: those that nothing can wake, and the gate's and the rig's own.
fn stuck(tasks: &[String]) -> impl Iterator<Item = &String> {
    let mut is_one = false;
    tasks.iter().filter(move |line| {
        if let Some(task) = line.strip_prefix("task:") {
            is_one = task.contains("state:D") || task.starts_with("gate-");
        }
        is_one
    })
}
