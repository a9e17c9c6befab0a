//! `gate-lab train-encoder`: a siamese ConvNet from nothing, as an ONNX graph and an ordinary encoder's card.

use super::adapter::{Triplets, follow};
use super::{Common, card_name, compare, curve, impostors, learned, load, summary, write_public};
use crate::refusal::refuse;
use anyhow::{Context, Result};
use gate_core::comparison::Comparison;
use gate_learn::{Chips, EncoderOptions, Network, train_encoder};
use gate_site::Site;
use gate_vision::card::{Point, sha256_hex};
use serde::Serialize;
use std::path::PathBuf;

/// Learn an encoder end to end, by triplets
#[derive(Debug, clap::Args)]
pub struct EncoderArgs {
    #[command(flatten)]
    common: Common,
    /// The encoder's name, as [vision] encoder gives it
    #[arg(long, value_parser = card_name, default_value = "siamese")]
    name: String,
    /// Folder for the card, with cache/ for the network; that of the models when left out
    #[arg(long, value_name = "DIR")]
    card_dir: Option<PathBuf>,
    #[command(flatten)]
    triplets: Triplets,
    /// Length of the vectors
    #[arg(long, default_value_t = EncoderOptions::default().dim)]
    dim: usize,
    /// At most so many epochs
    #[arg(long, default_value_t = EncoderOptions::default().epochs)]
    epochs: usize,
    /// Epochs without a gain on held-out people after which training ends
    #[arg(long, default_value_t = EncoderOptions::default().patience)]
    patience: usize,
    /// Adam's learning rate
    #[arg(long, default_value_t = EncoderOptions::default().learning_rate)]
    learning_rate: f64,
}

/// The card; gate-vision reads it.
#[derive(Serialize)]
struct EncoderCard {
    name: String,
    job: &'static str,
    about: String,
    origin: String,
    licence: &'static str,
    file: String,
    sha256: String,
    input: Input,
    encoding: Encoding,
}

#[derive(Serialize)]
struct Input {
    channels: &'static str,
    mean: f32,
    scale: f32,
}

#[derive(Serialize)]
struct Encoding {
    dim: usize,
    measured_on: String,
    comparisons: u64,
    impostors: Vec<Point>,
}

impl EncoderArgs {
    /// Learns, measures, writes network, card and loss curve.
    ///
    /// # Errors
    /// A refusal when there is too little to learn from; a fault.
    pub fn run(&self, site: &Site) -> Result<()> {
        if self.name == site.config.vision.encoder {
            return Err(refuse(format!("--name {}: that is the encoder in use; choose another name", self.name)));
        }
        let sets = load(site, &self.common, true)?;
        let options = EncoderOptions {
            dim: self.dim,
            mining: self.triplets.mining(),
            alpha: self.triplets.alpha,
            epochs: self.epochs,
            patience: self.patience,
            learning_rate: self.learning_rate,
            seed: self.common.seed,
            ..EncoderOptions::default()
        };
        let chips = learned(Chips::new(&sets.train.chips, &sets.train.person))?;
        let trained = learned(train_encoder(&chips, &options, &mut follow()))?;
        let test = &sets.test;
        let of = |network: &Network| {
            compare(self.dim, learned(network.embed(&test.chips))?, &test.person, Comparison::Distance)
        };
        let (before, after) = (of(&trained.untrained)?, of(&trained.network)?);
        let name = &self.name;
        let onnx = trained.network.onnx();
        let table = impostors(&after, test, self.common.data_set.as_deref().unwrap_or("a data set without a name"))?;
        let card = EncoderCard {
            name: name.clone(),
            job: "encode",
            about: format!("siamese ConvNet trained from nothing; {}-d", self.dim),
            origin: format!(
                "gate-lab train-encoder, seed {}, {}; {:?} mining, margin {}, epoch {} of {}",
                self.common.seed,
                sets.about,
                options.mining,
                options.alpha,
                trained.best_epoch,
                trained.curve.len() - 1
            ),
            licence: "made here; the terms are those of the data",
            file: format!("{name}.onnx"),
            sha256: sha256_hex(&onnx),
            input: Input { channels: "rgb", mean: 127.5, scale: 1.0 / 127.5 },
            encoding: Encoding {
                dim: self.dim,
                measured_on: table.measured_on,
                comparisons: table.comparisons,
                impostors: table.points,
            },
        };
        let folder = self.card_dir.as_ref().unwrap_or(&site.config.vision.models);
        let path = folder.join(format!("{name}.toml"));
        let text = toml::to_string(&card).context("the card cannot be written as TOML")?;
        // The network first: a card must not name what is not there.
        let network = folder.join("cache").join(format!("{name}.onnx"));
        for (path, bytes) in [(&network, onnx.as_slice()), (&path, text.as_bytes())] {
            write_public(path, bytes)?;
        }
        let curves = curve::write(&self.common.data.out, name, &trained.curve, trained.best_epoch)?;
        summary(&[("untrained", &before), ("trained", &after)]);
        println!(
            "written: {}, {}, {}, {}",
            path.display(),
            network.display(),
            curves[0].display(),
            curves[1].display()
        );
        Ok(())
    }
}
