//! The command line, and the help that teaches it.

use crate::calibrate::CalibrateArgs;
use crate::import::{IMPORT_HELP, ImportArgs};
use crate::light::LightArgs;
use crate::pad::{CALIBRATE_HELP, CalibrateLivenessArgs, PAD_HELP, PadArgs};
use crate::study::StudyArgs;
use crate::train::{AdapterArgs, EncoderArgs, HeadArgs};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

const ABOUT: &str = "\
Measures how well the face gate recognises people, calibrates it, and learns from labelled pictures. Every rate is given \
with its trials, its people and a 95 % interval; a rate that the pictures cannot support is not given.";

const LEARN: &str = "\
A first day:
  gate-lab evaluate --people photos/                                      a folder per person
  gate-lab evaluate --pairs pairsDevTest.txt --images lfw/ --all-pairs    Labeled Faces in the Wild
  gate-lab evaluate --people photos/ --report report.html                 with plots and the hardest errors
  gate-lab card sface --people photos/ --name \"our own, 2026\" --write     measure an encoder's impostor table

Exit codes:
  0  done
  2  bad use or bad input: the message says what to do
  3  a fault of the system: models, runtime, disk

d2 is the dissimilarity of two faces, from 0 (the same picture) to 4.";

/// Everything on the command line.
#[derive(Debug, Parser)]
#[command(name = "gate-lab", version, about = ABOUT, after_help = LEARN, max_term_width = 110)]
pub struct Cli {
    /// The configuration; without it /etc/face-gate/gate.toml if there is one, else the defaults
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Another folder of model cards than [vision] models
    #[arg(long, global = true, value_name = "DIR")]
    pub models: Option<PathBuf>,
    /// Answer in JSON on standard output
    #[arg(long, global = true)]
    pub json: bool,
    /// Say more on standard error; -vv even more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Measure error rates on labelled pictures
    #[command(after_help = EVALUATE_HELP)]
    Evaluate(Evaluate),
    /// Measure the impostor table of an encoder's card
    #[command(after_help = CARD_HELP)]
    Card(Card),
    /// Measure this site, from its own people and recorded visits
    Calibrate(CalibrateArgs),
    /// Measure what else could be done with the same encoder: the tables of docs/ACCURACY.md
    Study(StudyArgs),
    /// Measure how often active light errs, in simulation or from recorded challenges
    #[command(after_help = crate::light::HELP)]
    LightTest(LightArgs),
    /// Learn a verification head from labelled pictures
    TrainHead(HeadArgs),
    /// Learn an adapter on top of the encoder, by triplets
    TrainAdapter(AdapterArgs),
    /// Learn a small encoder from nothing, by triplets
    TrainEncoder(EncoderArgs),
    /// Measure how well live people are told from pictures of them, on labelled clips
    #[command(after_help = PAD_HELP)]
    Pad(PadArgs),
    /// Learn this site's own liveness classifier, from its people, camera and attacks
    #[command(after_help = CALIBRATE_HELP)]
    CalibrateLiveness(CalibrateLivenessArgs),
    /// Turn a published TFLite network into the ONNX file that the gate runs
    #[command(after_help = IMPORT_HELP)]
    ImportTflite(ImportArgs),
    /// Write man pages and shell completions, for the package
    #[command(hide = true)]
    Manual(gate_manual::ManualArgs),
}

impl Command {
    /// Whether it answers in JSON, too.
    #[must_use]
    pub fn has_json(&self) -> bool {
        matches!(
            self,
            Command::Evaluate(_)
                | Command::Card(_)
                | Command::Calibrate(_)
                | Command::Pad(_)
                | Command::CalibrateLiveness(_)
                | Command::LightTest(_)
        )
    }
}

const EVALUATE_HELP: &str = "\
Examples:
  gate-lab evaluate --people photos/
  gate-lab evaluate --pairs pairsDevTest.txt --images lfw/ --all-pairs --report report.html
  gate-lab evaluate --people photos/ --gallery 50,200 --json | jq .fnir_at_fpir

Pictures: a folder for each person (--people), or those that a pairs file in the form of LFW names (--pairs with --images; \
View 1 and View 2). With both, the listed pairs give the accuracy and all pictures the rest. On a picture with several \
faces the most central one counts.

Without --all-pairs the listed pairs are compared; with it, or without a pairs file, every picture is compared with every \
other. 1:N: galleries with one picture each of so many people; the other pictures are searched in them.

--json: {\"images\":N,\"people\":N,\"faces_missed\":N,\"accuracy\":0.99,\"fnmr_at_fmr\":{\"1e-3\":{\"fnmr\":0.01,\"low\":..,\"high\":..,\
\"d2\":..}},\"fnir_at_fpir\":{\"1e-2\":0.02}} and more. What the pictures cannot support is null, and \"unsupported\" says why; \
accuracy is null without pairs. fnir_at_fpir is that of the largest gallery; fnir_by_gallery has all.

The report contains faces, the encodings kept in --out are biometric data: both are readable by their owner only.";

const CARD_HELP: &str = "\
Examples:
  gate-lab card sface --people photos/
  gate-lab card sface --people lfw/ --name \"LFW View 1\" --write
  gate-lab card sface --people visits/ --centre                                  with the mean face of one's own camera

Every picture is compared with every other one of another person. Points are measured where at least 30 comparisons stand \
behind them, and fitted (generalised Pareto) beyond, down to an FMR of 1e-8; a fitted point is marked as extrapolated and is \
the strict end of its 95 % interval.

A new encoder's card needs [encoding] with its dim and some table to begin with, such as \
measured_on = \"nothing\", comparisons = 0, impostors = [{ fmr = 0.1, d2 = 0.0 }].";

/// Which pictures, and what is kept of them.
#[derive(Clone, Debug, Default, Args)]
pub struct Data {
    /// A pairs file in the form of LFW's View 1 or View 2
    #[arg(long, value_name = "FILE", requires = "images")]
    pub pairs: Option<PathBuf>,
    /// Where its pictures are: DIR/Name/Name_0001.jpg
    #[arg(long, value_name = "DIR", requires = "pairs")]
    pub images: Option<PathBuf>,
    /// A folder with a folder of pictures for each person
    #[arg(long, value_name = "DIR")]
    pub people: Option<PathBuf>,
    /// Label errors to correct: lines `same NAME NAME` (one person) and `wrong NAME_NUMBER` (left out)
    #[arg(long, value_name = "FILE")]
    pub errata: Option<PathBuf>,
    /// Another encoder than [vision] encoder: the name of its card
    #[arg(long, value_name = "NAME")]
    pub encoder: Option<String>,
    /// Where encodings are kept between runs
    #[arg(long, value_name = "DIR", default_value = "gate-lab.out")]
    pub out: PathBuf,
    /// Keep no encodings, and use none
    #[arg(long)]
    pub no_cache: bool,
}

/// Measure error rates.
#[derive(Debug, Args)]
pub struct Evaluate {
    /// Pictures
    #[command(flatten)]
    pub data: Data,
    /// Compare every picture with every other, not only the listed pairs
    #[arg(long)]
    pub all_pairs: bool,
    /// Gallery sizes for 1:N, people with one picture each
    #[arg(long, value_name = "N,..", value_delimiter = ',', default_value = "100,1000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub gallery: Vec<u32>,
    /// Galleries drawn of each size
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub draws: u32,
    /// Seed of everything that is drawn; the same one gives the same answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Another comparison than [policy] comparison: distance, or that of a comparison card
    #[arg(long, value_name = "NAME")]
    pub comparison: Option<String>,
    /// Write a report with plots and the hardest errors, one HTML file
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Measure a card's impostor table.
#[derive(Debug, Args)]
pub struct Card {
    /// The encoder's card
    #[arg(value_name = "MODEL")]
    pub model: String,
    /// Pictures
    #[command(flatten)]
    pub data: Data,
    /// The data set's name, for the card
    #[arg(long, value_name = "TEXT")]
    pub name: Option<String>,
    /// First learn the mean face from these pictures, which is taken out of every vector before vectors are compared
    #[arg(long)]
    pub centre: bool,
    /// Write it into the card; everything else in it stays
    #[arg(long)]
    pub write: bool,
    /// Seed of the intervals
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
}
