//! Error rates of presentation attack detection (ISO/IEC 30107-3), by species.

use super::Judged;
use gate_stats::Rate;
use std::collections::{BTreeMap, BTreeSet};

/// BPCERs at which the APCER is told.
const FIXED_BPCERS: [f64; 3] = [0.01, 0.05, 0.1];

/// One class of presentations.
pub struct Class {
    /// The species, or `bona_fide`.
    pub name: String,
    /// Clips of it.
    pub clips: u64,
    /// Clips of it without a verdict.
    pub without_verdict: u64,
    /// What went wrong in the others.
    pub rate: Rate,
    /// Median time to the verdict, milliseconds.
    pub median_ms: Option<u64>,
}

impl Class {
    /// The error rate; `None` without a clip that had a verdict.
    pub fn stated(&self) -> Option<f64> {
        (self.rate.trials > 0).then_some(self.rate.rate)
    }
}

/// All rates of a measurement.
pub struct Rates {
    /// Attack species, the worst one first.
    pub species: Vec<Class>,
    /// Live people.
    pub bona_fide: Class,
    /// APCER by species at thresholds that refuse this part of the live people's clips; without bona fide clips empty.
    pub apcer_at_bpcer: Vec<(f64, BTreeMap<String, f64>)>,
    /// What each kind of evidence is worth by itself and all together: (name, chance that a live clip has more of it than an
    /// attack, the area under the ROC curve). Empty without clips of both kinds.
    pub cues: Vec<(&'static str, f64)>,
}

impl Rates {
    /// Counts.
    pub fn of(judged: &[Judged]) -> Self {
        let names: BTreeSet<&str> =
            judged.iter().filter(|j| !j.clip.is_bona_fide()).map(|j| j.clip.species.as_str()).collect();
        let mut species: Vec<Class> = names.iter().map(|name| class(judged, name)).collect();
        species.sort_by(|a, b| b.rate.rate.total_cmp(&a.rate.rate).then(a.name.cmp(&b.name)));
        Self {
            bona_fide: class(judged, super::clips::BONA_FIDE),
            apcer_at_bpcer: at_fixed_bpcer(judged, &names),
            cues: cues(judged),
            species,
        }
    }
}

fn class(judged: &[Judged], name: &str) -> Class {
    let all: Vec<&Judged> = judged.iter().filter(|j| j.clip.species == name).collect();
    let decided: Vec<&&Judged> = all.iter().filter(|j| j.decided.verdict.is_some()).collect();
    let people: BTreeSet<&str> = decided.iter().map(|j| j.clip.person.as_str()).collect();
    let errors = decided.iter().filter(|j| j.is_wrong()).count() as u64;
    let mut times: Vec<u64> = decided.iter().filter_map(|j| j.decided.at_ms).collect();
    times.sort_unstable();
    Class {
        name: name.to_owned(),
        clips: all.len() as u64,
        without_verdict: (all.len() - decided.len()) as u64,
        rate: Rate::independent(errors, decided.len() as u64, people.len() as u32),
        median_ms: times.get(times.len() / 2).copied(),
    }
}

/// The APCER where the threshold refuses at most this part of the live people's clips, by evidence at the deadline.
fn at_fixed_bpcer(judged: &[Judged], species: &BTreeSet<&str>) -> Vec<(f64, BTreeMap<String, f64>)> {
    let llrs = |name: &str| -> Vec<f32> {
        judged.iter().filter(|j| j.clip.species == name).filter_map(|j| j.decided.llr).collect()
    };
    let mut live = llrs(super::clips::BONA_FIDE);
    live.sort_by(f32::total_cmp);
    let mut all = Vec::new();
    for bpcer in FIXED_BPCERS {
        // So few clips may be refused; with fewer clips than 1/BPCER none.
        let refused = (bpcer * live.len() as f64).floor() as usize;
        let Some(threshold) = live.get(refused) else { continue };
        let apcer = |name: &&str| {
            let attacks = llrs(name);
            let passed = attacks.iter().filter(|llr| *llr >= threshold).count();
            (!attacks.is_empty()).then(|| ((*name).to_owned(), passed as f64 / attacks.len() as f64))
        };
        all.push((bpcer, species.iter().filter_map(apcer).collect()));
    }
    all
}

/// One number of the three parts of the evidence.
type Part = fn(&[f32; 3]) -> f32;

/// The area under the ROC curve of each cue's evidence at the deadline, and of their sum.
fn cues(judged: &[Judged]) -> Vec<(&'static str, f64)> {
    let of = |live: bool, value: Part| -> Vec<f32> {
        let kept = judged.iter().filter(|j| j.clip.is_bona_fide() == live);
        kept.filter_map(|j| j.decided.parts.as_ref().map(value)).collect()
    };
    let area = |value: Part| -> Option<f64> {
        let (live, attacks) = (of(true, value), of(false, value));
        let pairs = live.len() * attacks.len();
        let won = |l: f32, a: f32| {
            if l > a {
                1.0
            } else if l < a {
                0.0
            } else {
                0.5
            }
        };
        let sum: f64 = live.iter().flat_map(|l| attacks.iter().map(move |a| won(*l, *a))).sum();
        (pairs > 0).then(|| sum / pairs as f64)
    };
    let all: [(&str, Part); 4] =
        [("network", |p| p[0]), ("outline", |p| p[1]), ("surroundings", |p| p[2]), ("together", |p| p.iter().sum())];
    all.into_iter().filter_map(|(name, value)| Some((name, area(value)?))).collect()
}
