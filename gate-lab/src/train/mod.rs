//! `train-head`, `train-adapter`, `train-encoder`: learning from labelled pictures, and a card of what was learned.
//!
//! ```text
//! pictures ──faces──▶ vectors, chips ─┬─ people to learn from ──▶ gate-learn ──▶ head, adapter, network
//!                                     └─ people to measure on ──▶ gate-stats ──▶ impostor table ──▶ card
//! ```
//! What is measured is measured on people that nothing was learned from.

mod adapter;
mod curve;
mod encoder;
mod head;

pub use adapter::AdapterArgs;
pub use encoder::EncoderArgs;
pub use head::HeadArgs;

use crate::args::Data;
use crate::card::{FMR_MIN, TAIL};
use crate::faces::{self, FacesOptions};
use crate::files;
use crate::pictures::Listing;
use crate::refusal::refuse;
use anyhow::{Context, Result};
use gate_core::comparison::Comparison;
use gate_learn::hold_out;
use gate_site::Site;
use gate_stats::{Bootstrap, Collection, Comparisons, KEEP_DEFAULT, all_pairs, fnmr_at_fmr, impostor_table};
use gate_vision::Comparer;
use gate_vision::align::CHIP_BYTES;
use gate_vision::card::{Card, Job, Point};
use gate_vision::comparer::{DISTANCE, Impostors};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The rates in the summary.
const FMRS: [f64; 4] = [1e-2, 1e-3, 1e-4, 1e-5];

/// What all three have in common.
#[derive(Debug, clap::Args)]
pub struct Common {
    #[command(flatten)]
    data: Data,
    /// Measure on the people of this LFW pairs file (with --images); nothing is learned from them
    #[arg(long, value_name = "FILE", requires = "images")]
    test_pairs: Option<PathBuf>,
    /// Measure on the people of this folder; nothing is learned from them
    #[arg(long, value_name = "DIR", conflicts_with = "test_pairs")]
    test_people: Option<PathBuf>,
    /// One person in so many is measured on, when neither is given
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..))]
    test_one_in: u16,
    /// Of everything that is drawn: the same seed gives the same result
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The data set's name, for the card
    #[arg(long, value_name = "TEXT")]
    data_set: Option<String>,
}

/// Labelled faces.
#[derive(Debug, Default)]
struct Labelled {
    dim: usize,
    vectors: Vec<f32>,
    chips: Vec<u8>,
    person: Vec<u32>,
}

/// To learn from, and to measure on: different people.
#[derive(Debug)]
struct Sets {
    encoder: Card,
    train: Labelled,
    test: Labelled,
    /// What was learned from, for the card.
    about: String,
}

impl Labelled {
    fn people(&self) -> usize {
        self.person.iter().collect::<std::collections::BTreeSet<_>>().len()
    }

    fn select(&self, pictures: &[u32]) -> Self {
        let mut chosen = Self { dim: self.dim, ..Self::default() };
        for i in pictures.iter().map(|i| *i as usize) {
            chosen.vectors.extend_from_slice(&self.vectors[i * self.dim..][..self.dim]);
            chosen.person.push(self.person[i]);
            if !self.chips.is_empty() {
                chosen.chips.extend_from_slice(&self.chips[i * CHIP_BYTES..][..CHIP_BYTES]);
            }
        }
        chosen
    }

    fn about(&self, name: &str) -> String {
        format!("{name}, {} pictures of {} people", self.person.len(), self.people())
    }
}

/// Loads both sets. A vector is what the gate compares: the encoder's, less the card's mean face.
fn load(site: &Site, common: &Common, chips: bool) -> Result<Sets> {
    let mut site = site.clone();
    if let Some(encoder) = &common.data.encoder {
        site.config.vision.encoder.clone_from(encoder);
    }
    let site = &site;
    let vision = &site.config.vision;
    let encoder = Card::load(&vision.models, &vision.encoder, Job::Encode)?;
    let plain = Comparer::load(&vision.models, &encoder, DISTANCE)?;
    let mut numbers = HashMap::new();
    let mut read = |data: &Data| -> Result<Labelled> {
        let listing = Listing::read(data)?;
        let set = faces::load(&FacesOptions::new(site, &listing, data, chips))?;
        eprintln!("gate-lab: {} pictures, {} missed", set.pictures.len() + set.missed.len(), set.missed.len());
        let mut number = |person: u32| {
            let next = numbers.len() as u32;
            *numbers.entry(set.people[person as usize].clone()).or_insert(next)
        };
        let person = set.pictures.iter().map(|picture| number(picture.person)).collect();
        Ok(Labelled { dim: set.dim, vectors: plain.adapt(set.vectors).into_owned(), chips: set.chips, person })
    };
    let all = read(&common.data)?;
    let test = match (&common.test_pairs, &common.test_people) {
        (None, None) => None,
        (pairs, people) => {
            let images = pairs.as_ref().and(common.data.images.clone());
            Some(read(&Data { pairs: pairs.clone(), images, people: people.clone(), ..common.data.clone() })?)
        }
    };
    let name = common.data_set.clone().unwrap_or_else(|| "a data set without a name".into());
    let (train, test) = match test {
        None => {
            let (train, test) = hold_out(&all.person, usize::from(common.test_one_in), common.seed)
                .map_err(|error| refuse(error.to_string()))?;
            (all.select(&train), all.select(&test))
        }
        Some(test) => {
            let strangers = |i: &u32| !test.person.contains(&all.person[*i as usize]);
            let train: Vec<u32> = (0..all.person.len() as u32).filter(strangers).collect();
            (all.select(&train), test)
        }
    };
    if train.person.is_empty() || test.person.is_empty() {
        return Err(refuse("nobody is left to learn from, or to measure on: the two sets must be different people"));
    }
    let about = train.about(&name);
    println!("learned from {about}; measured on {} pictures of {} others", test.person.len(), test.people());
    Ok(Sets { encoder, train, test, about })
}

/// All pairs of these vectors.
fn compare(dim: usize, vectors: Vec<f32>, person: &[u32], comparison: Comparison<'_>) -> Result<Comparisons> {
    // Numbers from 0 on, without those of the other set.
    let mut numbers = HashMap::new();
    let person = person.iter().map(|person| {
        let next = numbers.len() as u32;
        *numbers.entry(*person).or_insert(next)
    });
    let person = person.collect();
    let collection = Collection::new(dim, vectors, person)?;
    Ok(all_pairs(&collection, &comparison, KEEP_DEFAULT, &|_| {}))
}

/// The impostor table of a card.
fn impostors(comparisons: &Comparisons, test: &Labelled, of: &str) -> Result<Impostors> {
    let table = impostor_table(comparisons, TAIL, FMR_MIN, &Bootstrap::default())
        .context("the people to measure on are too few for an impostor table; name more with --test-people")?;
    let points = table
        .iter()
        .map(|point| Point {
            fmr: point.fmr,
            d2: point.strict(),
            extrapolated: point.extrapolated,
            middle: point.extrapolated.then_some(point.d2),
        })
        .collect();
    let measured_on = format!(
        "{of}: {} pictures of {} people not learned from, all impostor pairs",
        test.person.len(),
        test.people()
    );
    Ok(Impostors { measured_on, comparisons: comparisons.impostors(), points })
}

/// The rates of both, side by side, with what stands behind them.
fn summary(what: &[(&str, &Comparisons)]) {
    for (name, comparisons) in what {
        println!("{name}: {} genuine, {} impostor comparisons", comparisons.genuine().len(), comparisons.impostors());
        for point in fnmr_at_fmr(comparisons, &FMRS, &Bootstrap::default()) {
            match point {
                Ok(point) => println!(
                    "  FMR {:.0e}: FNMR {:.4} ({:.4} to {:.4}), {} of {} genuine, {} people; tau {:.4}",
                    point.fmr,
                    point.fnmr.rate,
                    point.fnmr.low,
                    point.fnmr.high,
                    point.fnmr.errors,
                    point.fnmr.trials,
                    point.fnmr.people,
                    point.threshold.d2
                ),
                Err(why) => println!("  FMR {why}"),
            }
        }
    }
}

/// Writes a file that the gate may read.
fn write_public(path: &Path, bytes: &[u8]) -> Result<()> {
    files::write_public(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

/// What was handed in was too little or made no sense; or the tensor library failed.
fn learned<T>(result: Result<T, gate_learn::LearnError>) -> Result<T> {
    result.map_err(|error| match error {
        gate_learn::LearnError::Tensor(_) => error.into(),
        other => refuse(other.to_string()),
    })
}

/// `None` when the name cannot be that of a file.
fn sound(name: &str) -> Option<&str> {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (!name.is_empty() && name != DISTANCE && name.chars().all(good)).then_some(name)
}

/// A name for a card.
fn card_name(name: &str) -> Result<String, String> {
    sound(name)
        .map(String::from)
        .ok_or_else(|| format!("{name:?}: letters, digits, - and _ make a name; distance is taken"))
}
