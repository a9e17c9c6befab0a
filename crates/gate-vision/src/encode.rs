//! Maps an aligned face to a unit vector.

use crate::align::CHIP_BYTES;
use crate::card::{Card, Job};
use crate::error::VisionError;
use crate::network::{Network, bad_model, failed, write_planes};
use crate::runtime::{Runtime, SessionOptions};
use gate_core::geometry::CHIP_PX;
use gate_core::similarity::{dot, normalise};
use std::path::Path;

const AREA: usize = CHIP_PX * CHIP_PX;

/// The encoder's network with its buffers.
pub struct Encoder {
    network: Network,
    dim: usize,
    planes: Vec<f32>,
    encoding: Vec<f32>,
}

impl Encoder {
    /// Loads the encoder of this card.
    ///
    /// # Errors
    /// See [`Card::load`] and [`Runtime::session`].
    pub fn load(runtime: &Runtime, models: &Path, name: &str, options: SessionOptions) -> Result<Self, VisionError> {
        let card = Card::load(models, name, Job::Encode)?;
        let network = Network::load(runtime, card, options)?;
        let dim = network.card().encoding.as_ref().map(|encoding| encoding.dim);
        let dim = dim.ok_or_else(|| bad_model(network.card(), "the card has no [encoding]"))?;
        let mut encoder = Self { network, dim, planes: vec![0.0; 3 * AREA], encoding: Vec::with_capacity(dim) };
        // A first run proves that card and weights fit, and takes the cost of first use away from the first visitor.
        encoder.encode(&[127; CHIP_BYTES])?;
        Ok(encoder)
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &Card {
        self.network.card()
    }

    /// Length of the vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// The unit vector of an aligned face. It stays valid until the next call.
    ///
    /// # Errors
    /// When the network cannot be run, or gives a vector of another length or without direction.
    pub fn encode(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<&[f32], VisionError> {
        self.run(chip)?;
        Ok(&self.encoding)
    }

    /// The same, or `None` when the network's output is shorter than the card's `length_min`: a face that cannot be made
    /// out well enough to tell people apart.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_clear(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<Option<&[f32]>, VisionError> {
        let length_min = self.card().encoding.as_ref().map_or(0.0, |e| e.length_min);
        let (vector, length) = self.encode_measured(chip)?;
        Ok((length >= length_min).then_some(vector))
    }

    /// The unit vector, and the length that the network's output had before it was made one.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_measured(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<(&[f32], f32), VisionError> {
        let length = self.run(chip)?;
        Ok((&self.encoding, length))
    }

    /// Fills `encoding` and returns the length that the network's output had.
    fn run(&mut self, chip: &[u8; CHIP_BYTES]) -> Result<f32, VisionError> {
        write_planes(self.network.card().input, chip, CHIP_PX, &mut self.planes, CHIP_PX);
        let outputs = self.network.run([1, 3, CHIP_PX, CHIP_PX], &self.planes)?;
        self.encoding.clear();
        self.encoding.extend_from_slice(outputs.at(0)?);
        drop(outputs);
        let card = self.network.card();
        if self.encoding.len() != self.dim {
            let why = format!("it gives vectors of {}, the card says {}", self.encoding.len(), self.dim);
            return Err(bad_model(card, why));
        }
        let length = dot(&self.encoding, &self.encoding).sqrt();
        if !normalise(&mut self.encoding) {
            return Err(failed(card, "it gave a vector without direction"));
        }
        Ok(length)
    }
}
