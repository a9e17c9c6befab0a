//! `gate-lab train-head`: a verification head, as a comparison card.

use super::{Common, card_name, compare, impostors, learned, load, summary, write_public};
use crate::progress::Progress;
use anyhow::{Context, Result};
use clap::ValueEnum;
use gate_core::comparison::Comparison;
use gate_learn::{Faces, Feature, HeadOptions, Prior, train_head};
use gate_site::Site;
use gate_vision::card::Job;
use gate_vision::comparer::{ComparisonCard, HeadKind, HeadWeights};
use std::path::PathBuf;

/// Learn a verification head: y = sigmoid(sum w_k phi_k(a, b) + b)
#[derive(Debug, clap::Args)]
pub struct HeadArgs {
    #[command(flatten)]
    common: Common,
    /// What it weighs
    #[arg(long, value_enum, default_value_t = Kind::Logistic)]
    kind: Kind,
    /// The comparison's name, as [policy] comparison gives it; that of the kind when left out
    #[arg(long, value_parser = card_name)]
    name: Option<String>,
    /// Folder for the card; that of the models when left out
    #[arg(long, value_name = "DIR")]
    card_dir: Option<PathBuf>,
    /// Nearest impostors of each picture to learn from
    #[arg(long, default_value_t = HeadOptions::new(Feature::Logistic).hardest)]
    hardest: usize,
    /// Impostors drawn at random for each picture
    #[arg(long, default_value_t = HeadOptions::new(Feature::Logistic).random)]
    random: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// |a - b|
    Logistic,
    /// (a - b)² / (|a| + |b|)
    #[value(name = "chi_square", alias = "chi-square")]
    ChiSquare,
}

impl HeadArgs {
    /// Learns, measures, writes the card.
    ///
    /// # Errors
    /// A refusal when there is too little to learn from; a fault.
    pub fn run(&self, site: &Site) -> Result<()> {
        let sets = load(site, &self.common, false)?;
        let (feature, kind, name) = match self.kind {
            Kind::Logistic => (Feature::Logistic, HeadKind::Logistic, "logistic"),
            Kind::ChiSquare => (Feature::ChiSquare, HeadKind::ChiSquare, "chi_square"),
        };
        let options = HeadOptions {
            hardest: self.hardest,
            random: self.random,
            seed: self.common.seed,
            ..HeadOptions::new(feature)
        };
        let faces = learned(Faces::new(sets.train.dim, &sets.train.vectors, &sets.train.person))?;
        let bar = Progress::new("trainings", options.folds * options.priors.len() * options.strengths.len() + 1);
        let head = learned(train_head(&faces, &options, &mut |_| bar.step()))?;
        bar.finish();
        let test = &sets.test;
        let plain = compare(test.dim, test.vectors.clone(), &test.person, Comparison::Distance)?;
        let of_head = compare(test.dim, test.vectors.clone(), &test.person, head.comparison())?;
        let encoder = &sets.encoder;
        let name = format!("{}-{}", encoder.name, self.name.as_deref().unwrap_or(name));
        let data_set = self.common.data_set.as_deref().unwrap_or("a data set without a name");
        let prior = match head.chosen.prior {
            Prior::Zero => "zero",
            Prior::Common => "one common weight",
        };
        let card = ComparisonCard {
            name: name.clone(),
            job: Job::Compare,
            about: format!("{:?} verification head on {}", feature, encoder.name),
            origin: format!(
                "gate-lab train-head, seed {}, {}; {} genuine and {} impostor pairs, prior {prior}, strength {}",
                self.common.seed, sets.about, head.genuine, head.impostors, head.chosen.strength
            ),
            licence: "made here; the terms are those of the data".into(),
            encoder: encoder.name.clone(),
            encoder_sha256: encoder.encoder_sha256(),
            adapter: None,
            impostors: impostors(&of_head, test, data_set)?,
            head: Some(HeadWeights {
                kind,
                bias: head.bias,
                scale: head.scale,
                offset: head.offset,
                weights: head.weights,
            }),
        };
        let folder = self.card_dir.as_ref().unwrap_or(&site.config.vision.models);
        let path = folder.join(format!("{name}.toml"));
        let text = toml::to_string(&card).context("the card cannot be written as TOML")?;
        write_public(&path, text.as_bytes())?;
        println!("over {} folds of people, soft FNMR at FMR 1e-3 (TAR):", options.folds);
        println!("  d²: {:.5} ({:.4})", head.plain.0, head.plain.1);
        for c in &head.candidates {
            let mark = if *c == head.chosen { "  <- kept" } else { "" };
            println!("  {:?} prior, strength {:.0e}: {:.5} ({:.4}){mark}", c.prior, c.strength, c.soft_fnmr, c.tar);
        }
        summary(&[("d²", &plain), ("head", &of_head)]);
        println!("written: {}", path.display());
        Ok(())
    }
}
