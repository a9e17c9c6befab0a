//! `demo`: the whole gate at work, with real programs on real faces, every outcome checked.
//!
//! Renders a scene, enrols two people from one picture each with `enroll-tool`, plays the scene to `gate-daemon run`
//! with a simulated relay, compares what happened with what must happen, and writes a report.

mod draw;
mod report;
pub mod scene;

use crate::trace::FrameTrace;
use anyhow::{Context, Result, bail};
use gate_site::Site;
use scene::{ACTS, Act, Expected, FPS};
use serde::Deserialize;
use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The demo's own configuration.
const CONFIG: &str = include_str!("../../../config/demo.toml");
/// Who is enrolled, from which one picture.
pub const ENROLLED: [(&str, &str, &str); 2] =
    [("obama", "Barack Obama", "obama.jpg"), ("collins", "Eileen Collins", "astronaut.png")];

/// How to show it.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// Where scene, people and report are written; made anew each time.
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    out: PathBuf,
    /// As fast as the machine can, instead of in true time. The decisions are the same.
    #[arg(long)]
    fast: bool,
}

/// One line of the event log.
#[derive(Clone, Debug, Deserialize)]
pub struct Happened {
    /// Monotonic milliseconds.
    pub mono_ms: u64,
    /// `granted`, `refused`, `relay` ...
    pub event: String,
    /// Who, if anybody.
    pub person: Option<String>,
    /// Why, if refused.
    pub reason: Option<String>,
    /// The relay's state.
    pub on: Option<bool>,
    /// Which face.
    pub track: Option<u32>,
}

/// An act and what came of it.
pub struct Outcome {
    /// The act.
    pub act: &'static Act,
    /// First frame, and one past the last.
    pub frames: (u32, u32),
    /// What happened in it.
    pub events: Vec<Happened>,
    /// In words.
    pub summary: String,
    /// Whether it was the expected one.
    pub right: bool,
}

/// Runs the demo; `false` when an outcome was not the expected one.
///
/// # Errors
/// When something is missing or one of the programs fails.
pub fn demo(site: &Site, args: &DemoArgs) -> Result<bool> {
    let models = std::path::absolute(&site.config.vision.models)?;
    let samples = models.join("cache/samples");
    let out = std::path::absolute(&args.out)?;
    let folder = prepare(&out, &models)?;
    println!("rendering the scene from photographs ...");
    let mut vision = site.vision()?;
    scene::render(&mut vision, &samples, &folder, |n, total| gate_cli::bar("frames", n, total))?;
    drop(vision);

    let config = out.join("gate.toml");
    enrol(&config, &samples)?;
    let fast = args.fast || !std::io::stdout().is_terminal();
    let happened = play(&config, &out, fast)?;
    let trace = read_trace(&out.join("trace.jsonl"))?;
    let outcomes = outcomes(&happened);
    let relay = report::relay_trace(&out.join("relay.jsonl"))?;
    report::write(&out, &folder, &samples, &outcomes, &happened, &trace, &relay)?;

    println!();
    for outcome in &outcomes {
        println!("{} {:<60} {}", if outcome.right { "ok   " } else { "WRONG" }, outcome.act.title, outcome.summary);
    }
    let right = outcomes.iter().filter(|o| o.right).count();
    println!("\n{right} of {} outcomes as expected. Report: {}", outcomes.len(), out.join("report.html").display());
    Ok(right == outcomes.len())
}

/// An empty folder with the demo's configuration in it.
fn prepare(out: &Path, models: &Path) -> Result<PathBuf> {
    // Only what an earlier demo made is cleared away: a mistyped --out costs nobody their files.
    let ours =
        ["scene", "store", "store-anchor", "gate.toml", "site.key", "events.jsonl", "relay.jsonl", "trace.jsonl"];
    for name in ours.map(|name| out.join(name)) {
        let gone = if name.is_dir() { std::fs::remove_dir_all(&name) } else { std::fs::remove_file(&name) };
        match gone {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("{} cannot be cleared", name.display()));
            }
            _ => {}
        }
    }
    let folder = out.join("scene");
    std::fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let models = models.to_str().context("the models' folder has a name that is not UTF-8")?;
    std::fs::write(out.join("gate.toml"), format!("{CONFIG}\n[vision]\nmodels = {models:?}\n"))?;
    Ok(folder)
}

/// Enrols everybody from one picture with the real tool.
fn enrol(config: &Path, samples: &Path) -> Result<()> {
    let tool = |words: &[&str], picture: Option<PathBuf>| -> Result<()> {
        let mut command = Command::new(beside("enroll-tool")?);
        command.args(["--config"]).arg(config).args(words).args(picture).stdout(Stdio::null());
        let status = command.status().context("enroll-tool cannot be started; `make build` makes it")?;
        if !status.success() {
            bail!("enroll-tool {} ended with {status}", words.join(" "));
        }
        Ok(())
    };
    tool(&["init"], None)?;
    for (id, name, picture) in ENROLLED {
        tool(&["add", "--id", id, "--name", name], Some(samples.join(picture)))?;
        println!("enrolled {name} from one picture, {picture}");
    }
    Ok(())
}

/// Plays the scene to the real daemon and tells what happens as it happens.
fn play(config: &Path, out: &Path, fast: bool) -> Result<Vec<Happened>> {
    let mut daemon = Command::new(std::env::current_exe()?)
        .args(["run", "--events", "-", "--pace", if fast { "fast" } else { "real" }, "--config"])
        .arg(config)
        .arg("--trace")
        .arg(out.join("trace.jsonl"))
        .env("RUST_LOG", "error")
        .stdout(Stdio::piped())
        .spawn()
        .context("starting gate-daemon run")?;
    let stdout = daemon.stdout.take().context("the daemon's output")?;
    let mut log = std::fs::File::create(out.join("events.jsonl"))?;
    let happened = std::thread::scope(|scope| -> Result<Vec<Happened>> {
        let (_playing, over) = channel();
        let (mut happened, mut titles) = (Vec::new(), Titles { next: 0 });
        let mut live = (!fast).then_some((Titles { next: 0 }, over));
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            writeln!(log, "{line}")?;
            let event: Happened = serde_json::from_str(&line).with_context(|| format!("an odd event: {line}"))?;
            if let Some((mut titles, over)) = live.take() {
                // In true time the acts are announced as they begin, which no event would tell.
                std::thread::Builder::new()
                    .spawn_scoped(scope, move || titles.announce(&over))
                    .context("starting a thread")?;
            }
            if fast {
                titles.until(event.mono_ms);
            }
            if let Some(words) = in_words(&event) {
                println!("{:6.2} s      {words}", event.mono_ms as f32 / 1e3);
            }
            happened.push(event);
        }
        Ok(happened)
    })?;
    let status = daemon.wait()?;
    if !status.success() {
        bail!("gate-daemon run ended with {status}");
    }
    Ok(happened)
}

/// Tells which act begins.
struct Titles {
    next: usize,
}

impl Titles {
    /// Tells the acts that have begun by `now_ms`.
    fn until(&mut self, now_ms: u64) {
        let starts = scene::starts();
        while self.next < ACTS.len() && frame_ms(starts[self.next]) <= now_ms {
            println!("{:6.2} s  {}", frame_ms(starts[self.next]) as f32 / 1e3, ACTS[self.next].title);
            self.next += 1;
        }
    }

    /// Tells each act when it begins, counted from now, until the other end of `over` is dropped.
    fn announce(&mut self, over: &Receiver<()>) {
        let (began, starts) = (Instant::now(), scene::starts());
        while self.next < ACTS.len() {
            let due = Duration::from_millis(frame_ms(starts[self.next]));
            if over.recv_timeout(due.saturating_sub(began.elapsed())) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            self.until(frame_ms(starts[self.next]));
        }
    }
}

/// An event as the timeline tells it.
pub fn in_words(event: &Happened) -> Option<String> {
    Some(match (event.event.as_str(), event.on) {
        ("granted", _) => format!("granted: {}", event.person.as_deref().unwrap_or("?")),
        ("refused", _) => format!("refused: {}", event.reason.as_deref().unwrap_or("?")),
        ("relay", Some(true)) => "relay on: UNLOCKED".into(),
        ("relay", Some(false)) => "relay off: locked".into(),
        ("fault", _) => "fault: locked".into(),
        _ => return None,
    })
}

/// When a frame of the scene is due, milliseconds.
pub fn frame_ms(frame: u32) -> u64 {
    u64::from(frame) * 1_000 / u64::from(FPS)
}

/// What came of each act.
fn outcomes(happened: &[Happened]) -> Vec<Outcome> {
    let starts = scene::starts();
    let acts = ACTS.iter().enumerate().map(|(i, act)| (act, (starts[i], starts[i + 1])));
    acts.map(|(act, frames)| {
        let within = |e: &&Happened| e.mono_ms >= frame_ms(frames.0) && e.mono_ms < frame_ms(frames.1);
        let events: Vec<Happened> = happened.iter().filter(within).cloned().collect();
        let unlocked = happened.iter().take_while(|e| e.mono_ms < frame_ms(frames.1)).filter_map(|e| e.on).last();
        let (summary, right) = judge(act, &events, unlocked == Some(true));
        Outcome { act, frames, events, summary, right }
    })
    .collect()
}

/// The outcome in words, and whether it is the expected one. `open` = the relay is on when the act ends.
fn judge(act: &Act, events: &[Happened], open: bool) -> (String, bool) {
    let granted: Vec<&str> =
        events.iter().filter(|e| e.event == "granted").filter_map(|e| e.person.as_deref()).collect();
    let mut refused: Vec<&str> = events.iter().filter_map(|e| e.reason.as_deref()).collect();
    refused.dedup();
    let right = match act.expected {
        Expected::Locked => granted.is_empty() && refused.is_empty() && !open,
        Expected::Opens(id) => granted == [id] && refused.is_empty(),
        Expected::Refused(reason) => granted.is_empty() && refused == [reason.name()] && !open,
    };
    let mut said = Vec::new();
    said.extend(granted.iter().map(|id| format!("opened for {id}")));
    said.extend(refused.iter().map(|reason| format!("stayed shut: {reason}")));
    if said.is_empty() {
        said.push(if open { "open".into() } else { "locked".into() });
    }
    (said.join(", "), right)
}

fn read_trace(path: &Path) -> Result<Vec<FrameTrace>> {
    let text = std::fs::read_to_string(path).context("the daemon left no trace")?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// The program of this name beside this one.
fn beside(name: &str) -> Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.is_file() {
        bail!("{} is missing; `make build` makes it", path.display());
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::reason::Reason;

    fn event(line: &str) -> Happened {
        serde_json::from_str(line).unwrap()
    }

    /// The demo is worth nothing if it cannot fail.
    #[test]
    fn every_wrong_outcome_is_told_apart_from_the_right_one() {
        let act = |expected| ACTS.iter().find(|a| a.expected == expected).unwrap();
        let granted = event(r#"{"mono_ms":5,"event":"granted","person":"obama","track":1}"#);
        let other = event(r#"{"mono_ms":5,"event":"granted","person":"collins","track":1}"#);
        let unknown = event(r#"{"mono_ms":5,"event":"refused","reason":"Unknown","track":1}"#);
        let blurred = event(r#"{"mono_ms":5,"event":"refused","reason":"Blurred","track":1}"#);

        let opens = act(Expected::Opens("obama"));
        assert!(judge(opens, std::slice::from_ref(&granted), true).1);
        assert!(!judge(opens, &[], false).1, "nothing happened");
        assert!(!judge(opens, &[other], true).1, "somebody else");
        assert!(!judge(opens, &[granted.clone(), granted.clone()], true).1, "twice");

        let refused = act(Expected::Refused(Reason::Unknown));
        assert!(judge(refused, std::slice::from_ref(&unknown), false).1);
        assert!(!judge(refused, &[], false).1, "no reason given");
        assert!(!judge(refused, &[blurred], false).1, "another reason");
        assert!(!judge(refused, &[unknown.clone(), granted], true).1, "let in after all");

        let locked = act(Expected::Locked);
        assert!(judge(locked, &[], false).1);
        assert!(!judge(locked, &[], true).1, "still open");
        assert!(!judge(locked, &[unknown], false).1, "a refusal out of nothing");
    }
}
