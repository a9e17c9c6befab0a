//! `gate-lab train-adapter`: a map on top of the frozen encoder, as a comparison card and a file of weights.

use super::{Common, card_name, compare, curve, impostors, learned, load, summary, write_public};
use anyhow::{Context, Result};
use clap::ValueEnum;
use gate_core::comparison::Comparison;
use gate_learn::{AdapterOptions, Faces, Mining, Progress, train_adapter};
use gate_site::Site;
use gate_vision::card::{Job, sha256_hex};
use gate_vision::comparer::{AdapterFile, ComparisonCard};
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;

/// Learn an adapter, unit(W x + b), by triplets
#[derive(Debug, clap::Args)]
pub struct AdapterArgs {
    #[command(flatten)]
    common: Common,
    /// The comparison's name, as [policy] comparison gives it
    #[arg(long, value_parser = card_name, default_value = "adapter")]
    name: String,
    /// Folder for card and weights; that of the models when left out
    #[arg(long, value_name = "DIR")]
    card_dir: Option<PathBuf>,
    #[command(flatten)]
    triplets: Triplets,
    /// At most so many epochs
    #[arg(long, default_value_t = AdapterOptions::default().epochs)]
    epochs: usize,
    /// Epochs without a gain on held-out people after which training ends
    #[arg(long, default_value_t = AdapterOptions::default().patience)]
    patience: usize,
    /// Adam's learning rate
    #[arg(long, default_value_t = AdapterOptions::default().learning_rate)]
    learning_rate: f64,
}

/// How triplets are chosen.
#[derive(Debug, clap::Args)]
pub struct Triplets {
    /// How negatives are found within a batch
    #[arg(long, value_enum, default_value_t = By::SemiHard)]
    mining: By,
    /// The margin, in d²
    #[arg(long, default_value_t = 0.3)]
    pub alpha: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Any other person: for comparison, it learns least
    Random,
    /// The nearest one beyond the positive, within the margin
    SemiHard,
    /// The nearest one of all
    Hard,
}

impl Triplets {
    /// As gate-learn calls it.
    #[must_use]
    pub fn mining(&self) -> Mining {
        match self.mining {
            By::Random => Mining::Random,
            By::SemiHard => Mining::SemiHard,
            By::Hard => Mining::Hard,
        }
    }
}

/// A bar that follows a training.
pub fn follow() -> impl FnMut(Progress) {
    let bar = ProgressBar::new(0);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {msg}  {eta} left") {
        bar.set_style(style);
    }
    move |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        if let Some(e) = progress.epoch {
            let taught = match e.number {
                0 => "nothing learned yet".to_owned(),
                _ => format!("loss {:.4}  taught by {:>3.0} %", e.train_loss, 100.0 * e.active),
            };
            let line = format!(
                "epoch {:>3}  {taught}  held out: soft FNMR {:.4}, TAR {:.4} at FMR 1e-3",
                e.number, e.held_out_loss, e.held_out_tar
            );
            if bar.is_hidden() { eprintln!("gate-lab: {line}") } else { bar.println(line) }
        }
    }
}

impl AdapterArgs {
    /// Learns, measures, writes card, weights and loss curve.
    ///
    /// # Errors
    /// A refusal when there is too little to learn from; a fault.
    pub fn run(&self, site: &Site) -> Result<()> {
        let sets = load(site, &self.common, false)?;
        let options = AdapterOptions {
            mining: self.triplets.mining(),
            alpha: self.triplets.alpha,
            epochs: self.epochs,
            patience: self.patience,
            learning_rate: self.learning_rate,
            seed: self.common.seed,
            ..AdapterOptions::default()
        };
        let faces = learned(Faces::new(sets.train.dim, &sets.train.vectors, &sets.train.person))?;
        let adapter = learned(train_adapter(&faces, &options, &mut follow()))?;
        let (test, encoder) = (&sets.test, &sets.encoder);
        let plain = compare(test.dim, test.vectors.clone(), &test.person, Comparison::Distance)?;
        let adapted = compare(test.dim, adapter.apply(&test.vectors), &test.person, Comparison::Distance)?;
        let name = format!("{}-{}", encoder.name, self.name);
        let folder = self.card_dir.as_ref().unwrap_or(&site.config.vision.models);
        let weights: Vec<u8> = adapter.weights.iter().chain(&adapter.bias).flat_map(|x| x.to_le_bytes()).collect();
        let file = AdapterFile { file: format!("{name}.f32"), sha256: sha256_hex(&weights), dim: adapter.dim };
        let card = ComparisonCard {
            name: name.clone(),
            job: Job::Compare,
            about: format!("triplet adapter on {}", encoder.name),
            origin: format!(
                "gate-lab train-adapter, seed {}, {}; {:?} mining, margin {}, epoch {} of {}",
                self.common.seed,
                sets.about,
                options.mining,
                options.alpha,
                adapter.best_epoch,
                adapter.curve.len() - 1
            ),
            licence: "made here; the terms are those of the data".into(),
            encoder: encoder.name.clone(),
            encoder_sha256: encoder.encoder_sha256(),
            impostors: impostors(
                &adapted,
                test,
                self.common.data_set.as_deref().unwrap_or("a data set without a name"),
            )?,
            adapter: Some(file),
            head: None,
        };
        let path = folder.join(format!("{name}.toml"));
        let text = toml::to_string(&card).context("the card cannot be written as TOML")?;
        // The weights first: a card must not name what is not there.
        for (path, bytes) in [(folder.join(format!("{name}.f32")), weights.as_slice()), (path.clone(), text.as_bytes())]
        {
            write_public(&path, bytes)?;
        }
        let curves = curve::write(&self.common.data.out, &name, &adapter.curve, adapter.best_epoch)?;
        if adapter.is_identity() {
            println!("no epoch did better than the plain encodings on held-out people: this adapter changes nothing");
        }
        summary(&[("d²", &plain), ("adapter", &adapted)]);
        println!("written: {}, {}, {}", path.display(), curves[0].display(), curves[1].display());
        Ok(())
    }
}
