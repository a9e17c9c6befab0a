//! The siamese ConvNet: both pictures of a pair go through the same network, learned from nothing by triplets.
//!
//! ```text
//! 112x112x3 ─ mean of 2x2 ─ 56 ─ conv/2 ─ 28x28x32 ─ conv/2 ─ 14x14x64 ─ conv ─ 14x14x64 ─ conv/2 ─ 7x7x128
//!           ─ conv ─ 7x7x64 ─ linear ─ dim
//! ```
//! Each conv is 3x3, batch norm, ReLU; 0.6 million weights and 20 million multiplications a picture, so that a CPU can
//! train it. The last step is linear over all places, not a mean over them: faces are aligned, and place tells much.

use crate::error::LearnError;
use crate::export::to_onnx;
use crate::faces::{by_person, split};
use crate::layers::{Block, Patches, noise};
use crate::mining::{Mining, loss, unit_rows};
use crate::training::{BatchShape, Batches, Learner, Patience, fit};
use crate::verification::Verification;
use crate::{Epoch, Progress};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use gate_core::geometry::CHIP_PX;
use gate_core::similarity::{dissimilarity, normalise};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Bytes of a chip.
const CHIP_BYTES: usize = CHIP_PX * CHIP_PX * 3;
/// Side after the mean of 2x2.
const HALF_PX: usize = CHIP_PX / 2;
/// Channels in, channels out, stride of each block.
const BLOCKS: [(usize, usize, usize); 5] = [(3, 32, 2), (32, 64, 2), (64, 64, 1), (64, 128, 2), (128, 64, 1)];
/// Pictures embedded at once.
const CHUNK: usize = 64;
/// Farthest that augmentation moves a face, pixels of the chip.
const SHIFT_PX: i32 = 5;

/// Aligned faces, `CHIP_PX` x `CHIP_PX` RGB one after the other, and whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Chips<'a> {
    bytes: &'a [u8],
    person: &'a [u32],
}

impl<'a> Chips<'a> {
    /// # Errors
    /// When the lengths do not fit together.
    pub fn new(bytes: &'a [u8], person: &'a [u32]) -> Result<Self, LearnError> {
        if person.len().checked_mul(CHIP_BYTES) != Some(bytes.len()) {
            return Err(LearnError::Shape(format!(
                "{} bytes are not {} chips of {CHIP_BYTES}",
                bytes.len(),
                person.len()
            )));
        }
        Ok(Self { bytes, person })
    }

    fn chip(&self, i: u32) -> &'a [u8] {
        &self.bytes[i as usize * CHIP_BYTES..][..CHIP_BYTES]
    }
}

/// How an encoder is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderOptions {
    /// Length of the vectors.
    pub dim: usize,
    /// How triplets are found.
    pub mining: Mining,
    /// The margin, in d².
    pub alpha: f32,
    /// The make-up of a batch.
    pub batch: BatchShape,
    /// At most.
    pub epochs: usize,
    /// Epochs without a gain on the held-out people after which training ends.
    pub patience: usize,
    /// Adam's, falling to zero over the epochs along a half cosine.
    pub learning_rate: f64,
    /// Pull of the weights towards zero, in each step this times the learning rate.
    pub decay: f64,
    /// One person in so many is held out.
    pub one_in: usize,
    /// Of everything drawn.
    pub seed: u64,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self {
            dim: 128,
            mining: Mining::SemiHard,
            alpha: 0.3,
            batch: BatchShape { people: 32, pictures: 4, others: 32 },
            epochs: 40,
            patience: 12,
            learning_rate: 2e-3,
            decay: 0.05,
            one_in: 6,
            seed: 1,
        }
    }
}

/// One convolution, its batch norm folded in, and a ReLU.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Conv {
    pub channels: usize,
    pub out: usize,
    pub stride: usize,
    /// (ky, kx, channel) x out.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// A network ready for use.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub(crate) convs: Vec<Conv>,
    /// Side and channels of what the last convolution gives.
    pub(crate) last: (usize, usize),
    /// (y, x, channel) x dim.
    pub(crate) linear: Vec<f32>,
    pub(crate) dim: usize,
}

impl Network {
    /// A network with weights drawn from a seed.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn untrained(dim: usize, seed: u64) -> Result<Self, LearnError> {
        Siamese::new(dim, &mut ChaCha8Rng::seed_from_u64(seed))?.network()
    }

    /// Length of the vectors.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// As an ONNX graph: `input` [1, 3, 112, 112], RGB planes, each value less 127.5 and divided by it; `embedding`
    /// [1, dim], not of length 1.
    #[must_use]
    pub fn onnx(&self) -> Vec<u8> {
        to_onnx(self)
    }

    /// Unit vectors of chips (RGB, one after the other), one after the other. One without direction stays zero.
    ///
    /// # Errors
    /// When the tensor library fails.
    pub fn embed(&self, chips: &[u8]) -> Result<Vec<f32>, LearnError> {
        let mut all = Vec::with_capacity(chips.len() / CHIP_BYTES * self.dim);
        for chunk in chips.chunks(CHUNK * CHIP_BYTES) {
            let pixels: Vec<f32> = chunk.chunks_exact(CHIP_BYTES).flat_map(|c| halved(c, &View::PLAIN)).collect();
            all.extend(self.embed_pixels(&pixels)?);
        }
        all.chunks_exact_mut(self.dim).for_each(|row| {
            let _ = normalise(row);
        });
        Ok(all)
    }

    fn embed_pixels(&self, pixels: &[f32]) -> Result<Vec<f32>, LearnError> {
        let (mut pixels, mut side) = (pixels.to_vec(), HALF_PX);
        for conv in &self.convs {
            let patches = Patches { side, channels: conv.channels, stride: conv.stride };
            let gathered = patches.gather(&pixels);
            let columns = 9 * conv.channels;
            let rows = gathered.len() / columns;
            let x = Tensor::from_vec(gathered, (rows, columns), &Device::Cpu)?;
            let weight = Tensor::from_slice(&conv.weight, (columns, conv.out), &Device::Cpu)?;
            pixels = x.matmul(&weight)?.flatten_all()?.to_vec1()?;
            for row in pixels.chunks_exact_mut(conv.out) {
                row.iter_mut().zip(&conv.bias).for_each(|(y, b)| *y = (*y + b).max(0.0));
            }
            side = patches.out_side();
        }
        let columns = self.last.0 * self.last.0 * self.last.1;
        let rows = pixels.len() / columns;
        let linear = Tensor::from_slice(&self.linear, (columns, self.dim), &Device::Cpu)?;
        Ok(Tensor::from_vec(pixels, (rows, columns), &Device::Cpu)?.matmul(&linear)?.flatten_all()?.to_vec1()?)
    }
}

/// A learned encoder.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedEncoder {
    /// The best epoch's network.
    pub network: Network,
    /// The network before the first step, to compare with.
    pub untrained: Network,
    /// The loss curve; `curve[0]` is the untrained network.
    pub curve: Vec<Epoch>,
    /// The epoch that is kept.
    pub best_epoch: usize,
    /// People learned from and held out.
    pub people: (usize, usize),
}

/// Learns an encoder from nothing.
///
/// # Errors
/// With too few people of several pictures, or options that make no sense.
pub fn train_encoder(
    chips: &Chips<'_>,
    options: &EncoderOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedEncoder, LearnError> {
    if options.dim == 0 {
        return Err(LearnError::Option("an encoding has one element at least".into()));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let (train, held) = split(chips.person, options.one_in, &mut rng)?;
    let mut batches = Batches::new(chips.person, &train, options.batch)?;
    let net = Siamese::new(options.dim, &mut rng)?;
    let params = ParamsAdamW { lr: options.learning_rate, weight_decay: options.decay, ..ParamsAdamW::default() };
    let optimiser = AdamW::new(net.vars(), params)?;
    let mut learner = Learning { chips, held: &held, options, net, optimiser };
    // The batch norms of the untrained network need statistics too.
    let first: Vec<u32> = train.iter().step_by(train.len().div_ceil(CHUNK)).copied().collect();
    learner.net.forward(&learner.batch(&first, |_| View::PLAIN)?)?;
    let untrained = learner.net.network()?;
    let until = Patience { epochs: options.epochs, patience: options.patience };
    let fitted = fit(&mut learner, &mut batches, until, &mut rng, progress)?;
    let people = (by_person(chips.person, &train).len(), by_person(chips.person, &held).len());
    Ok(TrainedEncoder { network: fitted.best, untrained, curve: fitted.curve, best_epoch: fitted.best_epoch, people })
}

/// The network while it learns.
struct Siamese {
    blocks: Vec<Block>,
    linear: Var,
    dim: usize,
}

impl Siamese {
    fn new(dim: usize, rng: &mut ChaCha8Rng) -> Result<Self, LearnError> {
        let (mut side, mut blocks) = (HALF_PX, Vec::new());
        for (channels, out, stride) in BLOCKS {
            let block = Block::new(Patches { side, channels, stride }, out, rng)?;
            side = block.patches.out_side();
            blocks.push(block);
        }
        let out = blocks.last().map_or(3, |block| block.out);
        Ok(Self { blocks, linear: noise(side * side * out, dim, rng)?, dim })
    }

    fn vars(&self) -> Vec<Var> {
        self.blocks.iter().flat_map(Block::vars).chain([self.linear.clone()]).collect()
    }

    /// n x 56 x 56 x 3 -> n x dim unit vectors.
    fn forward(&mut self, pixels: &Tensor) -> Result<Tensor, LearnError> {
        let mut x = pixels.clone();
        for block in &mut self.blocks {
            x = block.forward(&x)?;
        }
        unit_rows(&x.flatten_from(1)?.matmul(&self.linear)?)
    }

    fn network(&self) -> Result<Network, LearnError> {
        let mut convs = Vec::new();
        for block in &self.blocks {
            let (weight, bias) = block.folded()?;
            let Patches { channels, stride, .. } = block.patches;
            convs.push(Conv { channels, out: block.out, stride, weight, bias });
        }
        let last = self.blocks.last().map_or((HALF_PX, 3), |block| (block.patches.out_side(), block.out));
        Ok(Network { convs, last, linear: self.linear.flatten_all()?.to_vec1()?, dim: self.dim })
    }
}

struct Learning<'a> {
    chips: &'a Chips<'a>,
    held: &'a [u32],
    options: &'a EncoderOptions,
    net: Siamese,
    optimiser: AdamW,
}

impl Learning<'_> {
    /// These pictures, each seen as `view` says.
    fn batch(&self, pictures: &[u32], mut view: impl FnMut(u32) -> View) -> Result<Tensor, LearnError> {
        let pixels: Vec<f32> = pictures.iter().flat_map(|i| halved(self.chips.chip(*i), &view(*i))).collect();
        Ok(Tensor::from_vec(pixels, (pictures.len(), HALF_PX, HALF_PX, 3), &Device::Cpu)?.to_dtype(DType::F32)?)
    }
}

impl Learner for Learning<'_> {
    type Kept = Network;

    fn step(&mut self, pictures: &[u32], part: f64, rng: &mut ChaCha8Rng) -> Result<(f64, f64), LearnError> {
        let x = self.batch(pictures, |_| View::draw(rng))?;
        let person: Vec<u32> = pictures.iter().map(|i| self.chips.person[*i as usize]).collect();
        let embeddings = self.net.forward(&x)?;
        let Some((loss, active)) = loss(&embeddings, &person, self.options.mining, self.options.alpha, rng)? else {
            return Ok((0.0, 0.0));
        };
        self.optimiser
            .set_learning_rate(self.options.learning_rate * 0.5 * (1.0 + (std::f64::consts::PI * part).cos()));
        self.optimiser.backward_step(&loss)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), active))
    }

    fn held_out(&self) -> Result<Verification, LearnError> {
        let network = self.net.network()?;
        let bytes: Vec<u8> = self.held.iter().flat_map(|i| self.chips.chip(*i)).copied().collect();
        let vectors = network.embed(&bytes)?;
        let person: Vec<u32> = self.held.iter().map(|i| self.chips.person[*i as usize]).collect();
        let all: Vec<u32> = (0..person.len() as u32).collect();
        let row = |i: usize| &vectors[i * network.dim..][..network.dim];
        Ok(Verification::all_pairs(&all, &person, |i, j| dissimilarity(row(i), row(j))))
    }

    fn keep(&self) -> Result<Network, LearnError> {
        self.net.network()
    }
}

/// How augmentation changes a face: what a camera, a lamp and an aligner change from visit to visit.
#[derive(Clone, Copy, Debug)]
struct View {
    mirrored: bool,
    shift_px: (i32, i32),
    contrast: f32,
    brightness: f32,
}

impl View {
    const PLAIN: View = View { mirrored: false, shift_px: (0, 0), contrast: 1.0, brightness: 0.0 };

    fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            mirrored: rng.random(),
            shift_px: (rng.random_range(-SHIFT_PX..=SHIFT_PX), rng.random_range(-SHIFT_PX..=SHIFT_PX)),
            contrast: rng.random_range(0.75..1.25),
            brightness: rng.random_range(-0.2..0.2),
        }
    }
}

/// The chip as `view` sees it, as the mean of each 2x2 pixels, -1..=1 for the plain view. What a shift brings in from
/// outside is the edge's pixel.
fn halved(chip: &[u8], view: &View) -> Vec<f32> {
    let last = CHIP_PX as i32 - 1;
    let mut out = Vec::with_capacity(HALF_PX * HALF_PX * 3);
    let column = |x: i32| (if view.mirrored { last - x } else { x } + view.shift_px.0).clamp(0, last) as usize;
    let row = |y: i32| (y + view.shift_px.1).clamp(0, last) as usize;
    for y in (0..=last).step_by(2) {
        let rows = [row(y), row(y + 1)].map(|y| &chip[y * CHIP_PX * 3..][..CHIP_PX * 3]);
        for x in (0..=last).step_by(2) {
            let columns = [column(x) * 3, column(x + 1) * 3];
            for c in 0..3 {
                let sum: u32 = rows.iter().flat_map(|row| columns.iter().map(|x| u32::from(row[x + c]))).sum();
                out.push((sum as f32 / 510.0 - 1.0) * view.contrast + view.brightness);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_mirrors_moves_and_halves() {
        let mut chip = vec![0u8; CHIP_BYTES];
        let at = |x: usize, y: usize| (y * CHIP_PX + x) * 3;
        for (x, y) in [(20, 40), (21, 40), (20, 41), (21, 41)] {
            chip[at(x, y)] = 255;
        }
        let red = |view: View| {
            let pixels = halved(&chip, &view);
            let bright: Vec<usize> = (0..HALF_PX * HALF_PX).filter(|i| pixels[i * 3] > 0.9).collect();
            (bright, pixels[1])
        };
        assert_eq!(red(View::PLAIN), (vec![20 * HALF_PX + 10], -1.0));
        let mirrored = View { mirrored: true, ..View::PLAIN };
        assert_eq!(red(mirrored).0, [20 * HALF_PX + 45]);
        let moved = View { shift_px: (2, -4), ..View::PLAIN };
        assert_eq!(red(moved).0, [22 * HALF_PX + 9]);
    }
}
