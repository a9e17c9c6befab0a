//! `pad`: presentation attack detection, measured on labelled clips (ISO/IEC 30107-3).
//!
//! ```text
//!  clips (a folder for each species) ──watch──▶ looks ──decide, as the gate does──▶ rates with intervals ──▶ text, JSON, report
//! ```

mod calibrate;
mod capture;
mod clips;
mod rates;
mod report;
mod site;
mod watch;

pub use calibrate::{CALIBRATE_HELP, CalibrateLivenessArgs, run as calibrate_liveness};

use crate::answer;
use crate::files::write_private;
use crate::progress::Progress;
use crate::refusal::refuse;
use crate::words::{count, interval, percent};
use anyhow::{Context, Result};
use clap::Args;
use clips::{Clip, list};
use gate_core::liveness::{PadThresholds, PadVerdict};
use gate_core::policy::PadMode;
use gate_site::Site;
use rates::Rates;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use watch::{Decided, Watched, Watcher};

pub const PAD_HELP: &str = "\
Examples:
  gate-lab pad --clips clips/
  gate-lab pad --clips clips/ --report pad.html
  gate-lab --config /etc/face-gate/gate.toml pad --clips clips/ --json | jq .bpcer

Clips: DIR/bona_fide/... for live people and DIR/SPECIES/... for each kind of attack (print, phone ...). A clip is a video, a \
GIF, a picture (looked at as a clip that stands still) or a folder of numbered pictures. Where people are told apart, a \
folder for each stands between: DIR/phone/ana/01.mp4. Videos need ffmpeg.

Each clip is watched as the gate watches: the nearest face, good enough by [quality], at --fps frames a second. It counts as \
bona_fide when the gate would have opened on any of its tracks, as attack when one was refused and none was accepted, and as \
none when no verdict fell (no usable face, or too short). at_ms counts from the first usable look at a face.

APCER: attack clips taken for live people, by species, the worst one first; BPCER: live people taken for attacks. Both are of \
the clips that had a verdict; those without are told beside. Intervals hold 95 % (Clopper and Pearson), for clips that are \
independent: several of one person, camera or light are not, and the true interval is wider.

--json: {\"bpcer\":0.02,\"species\":{\"phone\":{\"apcer\":0.0,\"clips\":12}},\"clips\":[{\"path\":\"..\",\"species\":\"phone\",\
\"decision\":\"attack\",\"at_ms\":200}]} and more. A rate without clips is null.

The report shows faces: it is readable by its owner only.";

/// Measure presentation attack detection.
#[derive(Debug, Args)]
pub struct PadArgs {
    /// The clips: a folder for each attack species, and bona_fide
    #[arg(long, value_name = "DIR")]
    pub clips: PathBuf,
    /// Frames a second that are looked at; without it [camera] fps
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=120))]
    pub fps: Option<u32>,
    /// Write a report with plots and the clips that were decided wrongly, one HTML file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Write what every look has shown, one JSON line each; it holds scores
    #[arg(long, value_name = "FILE")]
    pub looks: Option<PathBuf>,
}

/// A clip and what came of it.
pub(crate) struct Judged {
    clip: Clip,
    watched: Watched,
    decided: Decided,
}

/// Measures.
///
/// # Errors
/// When there are no clips, one cannot be read, or a network cannot be run.
pub fn run(mut site: Site, args: &PadArgs, json: bool) -> Result<()> {
    // Measuring asks the frames, whatever the gate is set to.
    if !PadMode::from(site.config.liveness.mode).is_passive() {
        site.config.liveness.mode = gate_config::LivenessMode::Passive;
    }
    let clips = list(&args.clips)?;
    let fps = f64::from(args.fps.unwrap_or(site.config.camera.fps));
    let (model, watched) = watch_all(&site, &clips, fps, false)?;
    let thresholds = PadThresholds::derive(&model, site.config.liveness.bpcer_target);
    let judged: Vec<Judged> = clips
        .into_iter()
        .zip(watched)
        .map(|(clip, watched)| Judged { decided: watched.decide(&model, &thresholds), clip, watched })
        .collect();
    let rates = Rates::of(&judged);
    if let Some(path) = &args.looks {
        let mut lines = String::new();
        for clip in &judged {
            write_looks(&mut lines, clip)?;
        }
        write_private(path, lines.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    if let Some(path) = &args.report {
        let page = report::page(&judged, &rates, &thresholds, fps);
        write_private(path, page.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
        eprintln!("gate-lab: report: {}", path.display());
    }
    answer(json, &in_words(&judged, &rates, fps), &in_json(&judged, &rates))
}

/// Watches every clip, on all cores; the score model that the site's scores follow comes with it.
pub(crate) fn watch_all(
    site: &Site,
    clips: &[Clip],
    fps: f64,
    with_features: bool,
) -> Result<(gate_core::liveness::ScoreModel, Vec<Watched>)> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(clips.len()).max(1);
    let mut watchers = Watcher::several(site, fps, threads)?;
    let model = watchers[0].liveness().model();
    let progress = Progress::new("clips", clips.len());
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Watched>> = Mutex::default();
    let failed: Mutex<Option<anyhow::Error>> = Mutex::default();
    std::thread::scope(|scope| {
        for watcher in &mut watchers {
            scope.spawn(|| {
                let mut place = next.fetch_add(1, Ordering::Relaxed);
                while let Some(clip) = clips.get(place) {
                    match watcher.watch(clip, with_features) {
                        Ok(watched) => _ = results.lock().map(|mut all| all.insert(place, watched)),
                        Err(error) => {
                            let error = error.context(format!("{} cannot be watched", clip.path.display()));
                            // The first one is told; the others stop.
                            _ = failed.lock().map(|mut slot| _ = slot.get_or_insert(error));
                            next.store(clips.len(), Ordering::Relaxed);
                        }
                    }
                    progress.step();
                    place = next.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    progress.finish();
    if let Some(error) = failed.into_inner().unwrap_or(None) {
        return Err(refuse(format!("{error:#}; take it out, or make it readable")));
    }
    let watched = results.into_inner().map_err(|_| anyhow::anyhow!("a thread broke off"))?;
    Ok((model, watched.into_values().collect()))
}

/// The decision as it stands in JSON.
pub(crate) fn decision(decided: &Decided) -> &'static str {
    match decided.verdict {
        Some(PadVerdict::BonaFide) => "bona_fide",
        Some(PadVerdict::Attack) => "attack",
        None => "none",
    }
}

#[derive(Serialize)]
struct PadJson<'a> {
    bpcer: Option<f64>,
    bpcer_interval: (f64, f64),
    bona_fide_clips: u64,
    bona_fide_without_verdict: u64,
    species: BTreeMap<&'a str, SpeciesJson>,
    apcer_at_bpcer: BTreeMap<String, BTreeMap<&'a str, f64>>,
    area_by_evidence: BTreeMap<&'a str, f64>,
    clips: Vec<ClipJson<'a>>,
}

#[derive(Serialize)]
struct SpeciesJson {
    apcer: Option<f64>,
    clips: u64,
    apcer_interval: (f64, f64),
    without_verdict: u64,
}

#[derive(Serialize)]
struct ClipJson<'a> {
    path: &'a Path,
    species: &'a str,
    person: &'a str,
    decision: &'static str,
    at_ms: Option<u64>,
}

fn in_json<'a>(judged: &'a [Judged], rates: &'a Rates) -> PadJson<'a> {
    let species = rates.species.iter().map(|s| {
        let json = SpeciesJson {
            apcer: s.stated(),
            clips: s.clips,
            apcer_interval: (s.rate.low, s.rate.high),
            without_verdict: s.without_verdict,
        };
        (s.name.as_str(), json)
    });
    let clip = |j: &'a Judged| ClipJson {
        path: &j.clip.path,
        species: &j.clip.species,
        person: &j.clip.person,
        decision: decision(&j.decided),
        at_ms: j.decided.at_ms,
    };
    let at_fixed = |(bpcer, by): &'a (f64, BTreeMap<String, f64>)| {
        (format!("{bpcer}"), by.iter().map(|(name, apcer)| (name.as_str(), *apcer)).collect())
    };
    PadJson {
        bpcer: rates.bona_fide.stated(),
        bpcer_interval: (rates.bona_fide.rate.low, rates.bona_fide.rate.high),
        bona_fide_clips: rates.bona_fide.clips,
        bona_fide_without_verdict: rates.bona_fide.without_verdict,
        species: species.collect(),
        apcer_at_bpcer: rates.apcer_at_bpcer.iter().map(at_fixed).collect(),
        area_by_evidence: rates.cues.iter().copied().collect(),
        clips: judged.iter().map(clip).collect(),
    }
}

/// The answer for people.
fn in_words(judged: &[Judged], rates: &Rates, fps: f64) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "presentation attack detection, clip by clip, at {fps} frames a second");
    let mut row = |name: &str, what: &str, class: &rates::Class| {
        let rate = class.stated().map_or("-".into(), percent);
        let (low, high) = (class.rate.low, class.rate.high);
        let none = if class.without_verdict > 0 {
            format!(", {} without a verdict", class.without_verdict)
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "  {name:<16} {what} {rate:>8}   95 %: {:<18} {}{none}{}",
            interval(low, high),
            count(class.clips, "clip", "clips"),
            class.median_ms.map_or(String::new(), |ms| format!(", decided after {ms} ms (median)")),
        );
    };
    for species in &rates.species {
        row(&species.name, "APCER", species);
    }
    row("bona fide", "BPCER", &rates.bona_fide);
    for (bpcer, by) in &rates.apcer_at_bpcer {
        let all: Vec<String> = by.iter().map(|(name, apcer)| format!("{name} {}", percent(*apcer))).collect();
        let _ = writeln!(text, "  APCER at BPCER {}: {}", percent(*bpcer), all.join(", "));
    }
    if !rates.cues.is_empty() {
        let all: Vec<String> = rates.cues.iter().map(|(name, area)| format!("{name} {area:.3}")).collect();
        let _ = writeln!(text, "  area under the ROC curve, by evidence: {}", all.join(", "));
    }
    for j in judged.iter().filter(|j| j.is_wrong()) {
        let _ = writeln!(
            text,
            "  wrong: {} ({}) taken for {}",
            j.clip.path.display(),
            j.clip.species,
            decision(&j.decided)
        );
    }
    let looks: usize = judged.iter().map(|j| j.watched.looks.len()).sum();
    if looks > 0 {
        let spent: f64 = judged.iter().map(|j| j.watched.spent.as_secs_f64()).sum();
        let _ = writeln!(
            text,
            "  {:.2} ms a look for liveness, network and all, on this machine",
            1e3 * spent / looks as f64
        );
    }
    text
}

impl Judged {
    /// Whether the gate would have done the wrong thing.
    pub(crate) fn is_wrong(&self) -> bool {
        let right = if self.clip.is_bona_fide() { PadVerdict::BonaFide } else { PadVerdict::Attack };
        self.decided.verdict.is_some_and(|verdict| verdict != right)
    }
}

#[derive(Serialize)]
struct LookJson<'a> {
    path: &'a Path,
    at_ms: u64,
    track: u32,
    score: f32,
    outline: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    surroundings: Option<[f32; 3]>,
}

fn write_looks(lines: &mut String, judged: &Judged) -> Result<()> {
    for look in &judged.watched.looks {
        let line = LookJson {
            path: &judged.clip.path,
            at_ms: look.at_ms,
            track: look.track.0,
            score: look.pad.score,
            outline: look.pad.outline,
            surroundings: look.pad.surroundings.map(|s| [s.share, s.still, s.carried]),
        };
        lines.push_str(&serde_json::to_string(&line)?);
        lines.push('\n');
    }
    Ok(())
}
