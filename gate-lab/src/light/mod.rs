//! `light-test`: how often active light errs, in simulation or in the flesh.
//!
//! ```text
//!  --record DIR  camera and lamp of the gate ──▶ *.jsonl ───┐
//!  --simulate    gate-render: species x lamp x frame rate ──│──▶ answers ──┐
//!  --trials DIR  *.jsonl, recorded at a gate ◀──────────────┘──▶ answers ──┴──▶ table of APCER and BPCER, picture
//! ```
//! What comes from --simulate is simulation: it says which attacks the method can tell apart at all, and how its limits hang together. What
//! a gate does at its own door, with its own lamp and camera, only --trials says.

mod picture;
mod record;
mod table;
mod trials;

use crate::answer;
use crate::files::write_private;
use crate::progress::Progress;
use crate::refusal::refuse;
use anyhow::{Context, Result};
use clap::Args;
use gate_core::light::{Answer, Challenge, Code, LightPolicy, LightSample};
use gate_render::{Conditions, Species, Trial};
use gate_site::Site;
use rayon::prelude::*;
use serde::Serialize;
use std::path::PathBuf;
use table::{Outcome, Row};

/// What is said with every simulated rate.
const SIMULATED: &str = "These rates come from simulation until somebody measures in the flesh: record challenges at the gate and \
                         run `gate-lab light-test --trials DIR`.";
/// Seeds of conditions stand so far apart.
const SEED_STEP: u64 = 1_000_003;

/// Help with examples.
pub const HELP: &str = "\
Examples:
  gate-lab light-test --simulate                                   every species under every lamp and frame rate
  gate-lab light-test --simulate --lamp 0.3 --fps 15 --count 2000  one condition, more closely
  gate-lab light-test --simulate --picture light.svg               a head, a print and a screen, as the gate sees them
  gate-lab light-test --record trials/ --label \"bona fide\" --count 20    ask 20 times at this gate, and keep the answers
  gate-lab light-test --trials trials/                             the rates of what was recorded

To measure in the flesh: mount lamp and camera as they will stay. Record at least 300 challenges of real people (30 people or more, at \
noon, at dusk, at night, with glasses, hats and beards), and at least 300 of each attack: a print flat, bent and glossy, a phone and a tablet \
with a photograph and with a video. With 300 trials and no error the rate is below 1.3 % at 95 %. --record uses the gate's camera and the \
lamp of [light], with the gate stopped; it keeps brightnesses, no pictures. One file per session, one challenge per line:

  {\"label\":\"bona fide\",\"code\":3654,\"lamp\":0.4,\"fps\":15,\"samples\":[{\"at_ms\":-20,\"face\":[[118.2,0.0],..25],\"background\":[[80.1,0.0],..6],\
\"centre\":[320.5,240.1],\"size_px\":140.2},..]}

A patch is [mean luma 0..255, saturated part 0..1], or null when it was not seen. label: \"bona fide\", or any name of an attack species. \
code: the bits of the code. lamp (part of the ambient light) and fps may be left out; the table is broken down by them.

APCER: attacks taken for bona fide. BPCER: bona fide taken for attacks. Neither counts what was unusable; a gate asks again then, so an \
attacker has several tries. Intervals: 95 %, Clopper and Pearson.";

/// `light-test`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["simulate", "trials", "record"]))]
pub struct LightArgs {
    /// Simulate
    #[arg(long)]
    simulate: bool,
    /// Judge recorded challenges: a folder of .jsonl files
    #[arg(long, value_name = "DIR")]
    trials: Option<PathBuf>,
    /// Ask at this gate, with its camera and lamp, and keep the answers in this folder
    #[arg(long, value_name = "DIR", requires = "label")]
    record: Option<PathBuf>,
    /// What stands there: "bona fide", or the name of an attack species
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Trials to record, or simulated trials of each species under each condition
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
    /// The lamp's light on the face as parts of the ambient light
    #[arg(long, value_name = "PART,..", value_delimiter = ',', default_value = "0.05,0.1,0.3,1,2")]
    lamp: Vec<f32>,
    /// Frames a second
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "10,15,30")]
    fps: Vec<f32>,
    /// The camera's delay as it was measured, from,to in milliseconds; simulated cameras then have one within it
    #[arg(long, value_name = "FROM,TO", value_delimiter = ',')]
    latency: Option<Vec<u16>>,
    /// Of everything that is drawn; the same one gives the same answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Draw a head, a print and a screen: response maps and time courses, SVG
    #[arg(long, value_name = "FILE", conflicts_with = "trials")]
    picture: Option<PathBuf>,
}

/// What `--json` says.
#[derive(Serialize)]
struct Report<'a> {
    simulated: bool,
    rows: &'a [Row],
}

/// Measures, and tells.
///
/// # Errors
/// A refusal when numbers or recordings make no sense; a fault when a file cannot be read or written.
pub fn run(site: &Site, args: &LightArgs, json: bool) -> Result<()> {
    if let (Some(folder), Some(label)) = (&args.record, &args.label) {
        return record::record(site, folder, label, args.count);
    }
    let policy = args.policy()?;
    let (outcomes, note) = match &args.trials {
        Some(folder) => (trials::judge_folder(folder, &policy)?, String::new()),
        None => (args.simulate(&policy)?, format!("{SIMULATED}\n")),
    };
    if let Some(path) = &args.picture {
        let svg = picture::draw(&policy, args.seed)?;
        write_private(path, svg.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let rows = table::rows(&outcomes);
    answer(json, &format!("{}\n{note}", table::text(&rows)), &Report { simulated: args.simulate, rows: &rows })
}

impl LightArgs {
    fn policy(&self) -> Result<LightPolicy> {
        let mut policy = LightPolicy::default();
        if let Some(latency) = self.latency.as_deref() {
            let [from, to] = latency else {
                return Err(refuse("--latency takes two numbers: FROM,TO in milliseconds"));
            };
            if from > to || *to > 500 {
                return Err(refuse(format!("--latency {from},{to}: from must not be above to, and to not above 500")));
            }
            (policy.latency_min_ms, policy.latency_max_ms) = (*from, *to);
        }
        let outside = |value: &f32, low: f32, high: f32| !(low..=high).contains(value);
        if self.lamp.iter().any(|lamp| outside(lamp, 0.001, 100.0)) {
            return Err(refuse("--lamp: parts of the ambient light, from 0.001 to 100"));
        }
        if self.fps.iter().any(|fps| outside(fps, 1.0, 240.0)) {
            return Err(refuse("--fps: frames a second, from 1 to 240"));
        }
        Ok(policy)
    }

    fn simulate(&self, policy: &LightPolicy) -> Result<Vec<Outcome>> {
        let mut jobs = Vec::new();
        for (l, lamp_ratio) in self.lamp.iter().enumerate() {
            for (f, fps) in self.fps.iter().enumerate() {
                for (s, species) in Species::ALL.into_iter().enumerate() {
                    let block = ((self.seed * 100 + l as u64) * 100 + f as u64) * 100 + s as u64;
                    let conditions = Conditions { lamp_ratio: *lamp_ratio, fps: *fps };
                    jobs.extend((0..u64::from(self.count)).map(|i| (species, conditions, block * SEED_STEP + i)));
                }
            }
        }
        let progress = Progress::new("challenges", jobs.len());
        let run = |(species, conditions, seed): &(Species, Conditions, u64)| {
            let mut trial = Trial::draw(*species, *conditions, *seed);
            if self.latency.is_some() {
                let (from, to) = (f32::from(policy.latency_min_ms), f32::from(policy.latency_max_ms));
                trial.camera.latency_ms = from + (to - from) * trial.camera.latency_ms / 150.0;
            }
            let (answer, duration_ms) = judge(trial.code, &trial.samples(), policy);
            progress.step();
            let (lamp, fps) = (Some(conditions.lamp_ratio), Some(conditions.fps));
            Outcome { species: species.name().to_owned(), lamp, fps, verdict: answer.verdict, duration_ms }
        };
        let outcomes = jobs.par_iter().map(run).collect();
        progress.finish();
        Ok(outcomes)
    }
}

/// What the gate would say, and how long it took: from the code's begin to the last frame.
fn judge(code: Code, samples: &[LightSample], policy: &LightPolicy) -> (Answer, i32) {
    let mut challenge = Challenge::begin(code);
    samples.iter().for_each(|sample| challenge.take(sample));
    (challenge.finish(policy), samples.last().map_or(0, |sample| sample.at_ms))
}
