//! Maps an aligned face to a unit vector.

use crate::align::CHIP_BYTES;
use crate::card::{Card, Channels, Job};
use crate::error::VisionError;
use crate::runtime::{Runtime, SessionOptions};
use gate_core::geometry::CHIP_PX;
use gate_core::similarity::{dot, normalise};
use ort::session::Session;
use ort::value::TensorRef;
use std::path::Path;

const AREA: usize = CHIP_PX * CHIP_PX;

/// The encoder's network with its buffers.
pub struct Encoder {
    card: Card,
    dim: usize,
    session: Session,
    input_name: String,
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
        let session = runtime.session(&card, options)?;
        let bad = |why: String| VisionError::BadModel { name: card.name.clone(), why };
        let dim = card.encoding.as_ref().map(|e| e.dim).ok_or_else(|| bad("the card has no [encoding]".into()))?;
        let [input] = session.inputs() else { return Err(bad("the graph must have one input".into())) };
        let input_name = input.name().to_string();
        let mut encoder =
            Self { card, dim, session, input_name, planes: vec![0.0; 3 * AREA], encoding: Vec::with_capacity(dim) };
        // A first run proves that card and weights fit, and takes the cost of first use away from the first visitor.
        encoder.encode(&[127; CHIP_BYTES])?;
        Ok(encoder)
    }

    /// The card.
    #[must_use]
    pub fn card(&self) -> &Card {
        &self.card
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
        let length_min = self.card.encoding.as_ref().map_or(0.0, |e| e.length_min);
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
        let (first, rest) = self.planes.split_at_mut(AREA);
        let (second, third) = rest.split_at_mut(AREA);
        let input = self.card.input;
        let (red, blue) = match input.channels {
            Channels::Rgb => (first, third),
            Channels::Bgr => (third, first),
        };
        let convert = |value: u8| (f32::from(value) - input.mean) * input.scale;
        let planes = red.iter_mut().zip(second).zip(blue);
        for ([r, g, b], ((to_r, to_g), to_b)) in chip.as_chunks::<3>().0.iter().zip(planes) {
            *to_r = convert(*r);
            *to_g = convert(*g);
            *to_b = convert(*b);
        }
        let run = |e: ort::Error| VisionError::Run { name: self.card.name.clone(), why: e.to_string() };
        let tensor =
            TensorRef::from_array_view(([1usize, 3, CHIP_PX, CHIP_PX], self.planes.as_slice())).map_err(run)?;
        let outputs = self.session.run(ort::inputs![self.input_name.as_str() => tensor]).map_err(run)?;
        let (_, vector) = outputs[0].try_extract_tensor::<f32>().map_err(run)?;
        self.encoding.clear();
        self.encoding.extend_from_slice(vector);
        drop(outputs);
        if self.encoding.len() != self.dim {
            let why = format!("it gives vectors of {}, the card says {}", self.encoding.len(), self.dim);
            return Err(VisionError::BadModel { name: self.card.name.clone(), why });
        }
        let length = dot(&self.encoding, &self.encoding).sqrt();
        if !normalise(&mut self.encoding) {
            let why = "it gave a vector without direction".into();
            return Err(VisionError::Run { name: self.card.name.clone(), why });
        }
        Ok(length)
    }
}
