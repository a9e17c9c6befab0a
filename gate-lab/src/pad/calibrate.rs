//! `calibrate-liveness`: a classifier of this site's own, from clips of its people and of attacks on it.
//!
//! ```text
//!  clips ──watch──▶ features ──┬─ people left out in turn ──▶ scores ──▶ how they lie, error rates ──┐
//!                              └─ everybody ──▶ weights ─────────────────────────────────────────────┴─▶ file
//! ```

use super::capture::{self, Capturing};
use super::clips::{Clip, list};
use super::rates::Rates;
use super::site::{Learned, Presentation, learn};
use super::{Judged, watch_all};
use crate::answer;
use crate::files::write_private;
use crate::refusal::refuse;
use crate::words::{count, interval, percent};
use anyhow::{Context, Result};
use clap::Args;
use gate_config::LivenessMode;
use gate_core::liveness::{PadLook, PadThresholds, ScoreModel};
use gate_site::Site;
use gate_site::calibration::Stated;
use gate_site::liveness::{FORMAT, LivenessCalibration, Measured};
use gate_stats::Rate;
use gate_vision::card::{Card, Job, Score};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Fewer people than this, and the next one may change everything: measured elsewhere, two people give a bad draw up to a
/// quarter of the live people refused.
const PEOPLE_MIN: usize = 5;
/// Fewer clips of a kind than this are told.
const CLIPS_MIN: usize = 10;

pub const CALIBRATE_HELP: &str = "\
Examples:
  gate-lab calibrate-liveness --clips clips/ --capture 6 --species print,phone      record, then calibrate
  gate-lab calibrate-liveness --clips clips/ --out /etc/face-gate/liveness.toml     clips that are there already

Ten minutes of staff time: at least five people stand before the gate's camera, then hold up prints and phones that show \
them. With --capture the tool says what to do and records it; without, the clips are laid out as gate-lab pad --help says, with \
a folder for each person: clips/bona_fide/ana/01/, clips/phone/ana/01/ ...

What is learned weighs colour texture and the network's inner features. The error rates told are those of people left out of \
the learning, each in turn. The file is for this camera and this frame size: the gate refuses it for others. Name it in \
gate.toml: [liveness] calibration = \"liveness.toml\"; calibrate anew when camera, lens or light are changed.

Recorded clips show faces: they are readable by their owner only. Delete them when the calibration is made.";

/// Calibrate liveness for this site.
#[derive(Debug, Args)]
pub struct CalibrateLivenessArgs {
    /// The clips: a folder for each attack species, and bona_fide
    #[arg(long, value_name = "DIR")]
    clips: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE", default_value = "liveness.toml")]
    out: PathBuf,
    /// First record clips of so many people with the gate's camera, into --clips
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u32).range(1..=100))]
    capture: Option<u32>,
    /// The attacks to record
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "print,phone")]
    species: Vec<String>,
    /// How long each recorded clip is, seconds
    #[arg(long, value_name = "S", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: u32,
    /// Seed of who is left out together
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// What was found.
#[derive(Serialize)]
struct Findings<'a> {
    people: usize,
    clips: usize,
    clips_without_a_look: usize,
    bpcer: Stated,
    apcer: &'a BTreeMap<String, Stated>,
    network_bpcer: Stated,
    network_apcer: Stated,
    warnings: &'a [String],
    out: &'a Path,
}

/// Records if asked to, learns, measures, and writes the file.
///
/// # Errors
/// When there are too few clips or people, they do not fit together, or the file cannot be written.
pub fn run(mut site: Site, args: &CalibrateLivenessArgs, json: bool) -> Result<()> {
    // The network's own scores are the peer that the site's are measured against.
    site.config.liveness.calibration = None;
    site.config.liveness.mode = LivenessMode::Passive;
    if let Some(people) = args.capture {
        capture::record(
            &site,
            &Capturing { people, species: &args.species, seconds: args.seconds, folder: &args.clips },
        )?;
    }
    let clips = list(&args.clips)?;
    let fps = f64::from(site.config.camera.fps);
    let (network_model, watched) = watch_all(&site, &clips, fps, true)?;
    let (frame_px, presentations) = presentations(&clips, &watched)?;
    let warnings = warnings(&presentations, clips.len());
    let target = site.config.liveness.bpcer_target;
    let learned = learn(&presentations, network_model.correlation_ms, args.seed)?;

    let by_site = rates(&learned, &presentations, target);
    let by_network = network_alone(&presentations, &network_model, target);
    let stated = |rate: &Rate| Stated {
        errors: rate.errors,
        trials: rate.trials,
        rate: (rate.trials > 0).then_some(rate.rate),
        low: rate.low,
        high: rate.high,
    };
    let apcer: BTreeMap<String, Stated> =
        by_site.species.iter().map(|class| (class.name.clone(), stated(&class.rate))).collect();
    let of_all = |rates: &Rates| {
        let errors = rates.species.iter().map(|c| c.rate.errors).sum();
        let trials = rates.species.iter().map(|c| c.rate.trials).sum();
        stated(&Rate::independent(errors, trials, 0))
    };
    let network = Card::load(&site.config.vision.models, &site.config.liveness.network, Job::Liveness)?;
    let people = people(&presentations).len();
    let calibration = LivenessCalibration {
        format: FORMAT,
        made_at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        network: network.name.clone(),
        network_sha256: network.sha256.clone(),
        camera: site.config.camera.source.clone(),
        width_px: frame_px.0,
        height_px: frame_px.1,
        measured: Measured {
            people: people as u32,
            bpcer_target: target,
            bpcer: stated(&by_site.bona_fide.rate),
            apcer,
            network_bpcer: stated(&by_network.bona_fide.rate),
            network_apcer: of_all(&by_network),
        },
        score: Score {
            measured_on: format!(
                "{} of {} at this site",
                count(clips.len() as u64, "clip", "clips"),
                count(people as u64, "person", "people")
            ),
            clips: presentations.len() as u64,
            bona_fide: learned.model.bona_fide,
            attack: learned.model.attack,
            between: learned.model.between,
            within: learned.model.within,
            correlation_ms: learned.model.correlation_ms,
        },
        bias: learned.classifier.bias,
        weights: learned.classifier.weights.clone(),
    };
    let comment = "# Made by gate-lab calibrate-liveness. Name it in gate.toml: [liveness] calibration = \"FILE\"\n";
    let text = format!("{comment}{}", toml::to_string(&calibration).context("writing a calibration")?);
    write_private(&args.out, text.as_bytes()).with_context(|| format!("{} cannot be written", args.out.display()))?;
    let measured = &calibration.measured;
    let findings = Findings {
        people,
        clips: clips.len(),
        clips_without_a_look: clips.len() - presentations.len(),
        bpcer: measured.bpcer,
        apcer: &measured.apcer,
        network_bpcer: measured.network_bpcer,
        network_apcer: measured.network_apcer,
        warnings: &warnings,
        out: &args.out,
    };
    answer(json, &in_words(&findings, &learned, frame_px), &findings)
}

/// The clips in which a face was looked at, all of one frame size.
fn presentations<'a>(
    clips: &'a [Clip],
    watched: &'a [super::watch::Watched],
) -> Result<((u32, u32), Vec<Presentation<'a>>)> {
    let seen: Vec<_> = clips.iter().zip(watched).filter(|(_, watched)| !watched.looks.is_empty()).collect();
    let Some((_, first)) = seen.first() else {
        return Err(refuse(
            "in none of the clips a face good enough was found; see [quality], and gate-lab pad --clips",
        ));
    };
    let frame_px = first.frame_px;
    if let Some((clip, other)) = seen.iter().find(|(_, watched)| watched.frame_px != frame_px) {
        return Err(refuse(format!(
            "the clips are not of one camera: frames of {}x{} and, in {}, of {}x{}; calibrate with the gate's own",
            frame_px.0,
            frame_px.1,
            clip.path.display(),
            other.frame_px.0,
            other.frame_px.1
        )));
    }
    let presentations = seen.into_iter().map(|(clip, watched)| Presentation { clip, watched }).collect();
    Ok((frame_px, presentations))
}

fn people<'a>(presentations: &[Presentation<'a>]) -> BTreeSet<&'a str> {
    presentations.iter().map(|p| p.clip.person.as_str()).collect()
}

/// What speaks against trusting the result.
fn warnings(presentations: &[Presentation<'_>], all: usize) -> Vec<String> {
    let mut warnings = Vec::new();
    let live: BTreeSet<&str> =
        presentations.iter().filter(|p| p.clip.is_bona_fide()).map(|p| p.clip.person.as_str()).collect();
    if live.len() < PEOPLE_MIN {
        warnings.push(format!(
            "only {}: take at least {PEOPLE_MIN}, or the next person may be refused again and again",
            count(live.len() as u64, "live person", "live people")
        ));
    }
    let species: BTreeSet<&str> = presentations.iter().map(|p| p.clip.species.as_str()).collect();
    for name in species {
        let clips = presentations.iter().filter(|p| p.clip.species == name).count();
        if clips < CLIPS_MIN {
            warnings
                .push(format!("only {} of {name}: take at least {CLIPS_MIN}", count(clips as u64, "clip", "clips")));
        }
    }
    if presentations.len() < all {
        let lost = count((all - presentations.len()) as u64, "clip", "clips");
        warnings.push(format!("in {lost} no face good enough was found"));
    }
    warnings
}

/// Error rates of the site's classifier on people left out, decided as the gate decides.
fn rates(learned: &Learned, presentations: &[Presentation<'_>], target: f32) -> Rates {
    let thresholds = PadThresholds::derive(&learned.model, target);
    judge(presentations, |n, p| {
        p.watched
            .with_scores(|k, pad| PadLook { score: learned.scores[n][k], ..pad })
            .decide(&learned.model, &thresholds)
    })
}

/// Error rates of the network alone: neither outline nor surroundings have a say.
fn network_alone(presentations: &[Presentation<'_>], model: &ScoreModel, target: f32) -> Rates {
    let thresholds = PadThresholds::derive(model, target);
    judge(presentations, |_, p| p.watched.with_scores(|_, pad| PadLook::of_score(pad.score)).decide(model, &thresholds))
}

fn judge(
    presentations: &[Presentation<'_>],
    decide: impl Fn(usize, &Presentation<'_>) -> super::watch::Decided,
) -> Rates {
    let judged: Vec<Judged> = presentations
        .iter()
        .enumerate()
        .map(|(n, p)| Judged { clip: p.clip.clone(), decided: decide(n, p), watched: p.watched.without_looks() })
        .collect();
    Rates::of(&judged)
}

fn in_words(findings: &Findings<'_>, learned: &Learned, frame_px: (u32, u32)) -> String {
    let mut text = String::new();
    let row = |s: &Stated| format!("{} of {} ({})", s.errors, s.trials, interval(s.low, s.high));
    let _ = writeln!(
        text,
        "liveness of this site: {} of {}, frames of {}x{}; rates of people left out of the learning, 95 % intervals",
        count(findings.clips as u64, "clip", "clips"),
        count(findings.people as u64, "person", "people"),
        frame_px.0,
        frame_px.1
    );
    for (species, apcer) in findings.apcer {
        let _ = writeln!(text, "  APCER {species:<14} {:>8}  {}", apcer.rate.map_or("-".into(), percent), row(apcer));
    }
    let _ = writeln!(
        text,
        "  BPCER {:<14} {:>8}  {}",
        "",
        findings.bpcer.rate.map_or("-".into(), percent),
        row(&findings.bpcer)
    );
    let _ = writeln!(
        text,
        "  the network alone, by its card: APCER {}, BPCER {}",
        row(&findings.network_apcer),
        row(&findings.network_bpcer)
    );
    let _ = writeln!(text, "  regularisation {}, separation d' = {:.1}", learned.strength, learned.model.separation());
    for warning in findings.warnings {
        let _ = writeln!(text, "  warning: {warning}");
    }
    let _ = writeln!(text, "written: {}; name it in gate.toml: [liveness] calibration", findings.out.display());
    text
}
