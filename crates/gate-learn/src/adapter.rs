//! The triplet adapter: x -> unit(W x + b) on top of a frozen encoder, W = identity + what is learned.

use crate::error::LearnError;
use crate::faces::{Faces, by_person, split};
use crate::mining::{Mining, loss, unit_rows};
use crate::training::{BatchShape, Batches, Learner, Patience, fit};
use crate::verification::Verification;
use crate::{Epoch, Progress};
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use gate_core::comparison::Adapter;
use gate_core::similarity::dissimilarity;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// How an adapter is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterOptions {
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
    /// Adam's.
    pub learning_rate: f64,
    /// Pull towards the identity, in each step this times the learning rate.
    pub decay: f64,
    /// One person in so many is held out.
    pub one_in: usize,
    /// Of everything drawn.
    pub seed: u64,
}

impl Default for AdapterOptions {
    fn default() -> Self {
        Self {
            mining: Mining::SemiHard,
            alpha: 0.3,
            batch: BatchShape { people: 100, pictures: 4, others: 300 },
            epochs: 60,
            patience: 15,
            learning_rate: 1e-4,
            decay: 1.0,
            one_in: 4,
            seed: 1,
        }
    }
}

/// A learned adapter, of the encoder's length in and out.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedAdapter {
    /// Length of a vector.
    pub dim: usize,
    /// Row by row, dim x dim.
    pub weights: Vec<f32>,
    /// One for each row.
    pub bias: Vec<f32>,
    /// The loss curve; `curve[0]` is the identity.
    pub curve: Vec<Epoch>,
    /// The epoch that is kept. 0: nothing did better than the identity on the held-out people, and this is the identity.
    pub best_epoch: usize,
    /// People learned from and held out.
    pub people: (usize, usize),
}

impl TrainedAdapter {
    /// These vectors, one after the other, mapped. One without direction becomes NaN.
    #[must_use]
    pub fn apply(&self, vectors: &[f32]) -> Vec<f32> {
        apply(self.dim, &self.weights, &self.bias, vectors)
    }

    /// Whether training found nothing better than leaving the encodings as they are.
    #[must_use]
    pub fn is_identity(&self) -> bool {
        self.best_epoch == 0
    }
}

fn apply(dim: usize, weights: &[f32], bias: &[f32], vectors: &[f32]) -> Vec<f32> {
    let mut out = vec![f32::NAN; vectors.len()];
    if let Some(adapter) = Adapter::new(dim, weights, bias) {
        for (x, y) in vectors.chunks_exact(dim).zip(out.chunks_exact_mut(dim)) {
            if !adapter.apply(x, y) {
                y.fill(f32::NAN);
            }
        }
    }
    out
}

/// Learns an adapter. Never worse than the identity on the held-out people: if no epoch beats it, it is what comes back.
///
/// # Errors
/// With too few people of several pictures, or options that make no sense.
pub fn train_adapter(
    faces: &Faces<'_>,
    options: &AdapterOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedAdapter, LearnError> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let (train, held) = split(faces.person(), options.one_in, &mut rng)?;
    let mut batches = Batches::new(faces.person(), &train, options.batch)?;
    let mut learner = Turning::new(faces, &held, options)?;
    let until = Patience { epochs: options.epochs, patience: options.patience };
    let fitted = fit(&mut learner, &mut batches, until, &mut rng, progress)?;
    let (weights, bias) = fitted.best;
    let count = |pictures: &[u32]| by_person(faces.person(), pictures).len();
    let people = (count(&train), count(&held));
    Ok(TrainedAdapter { dim: faces.dim(), weights, bias, curve: fitted.curve, best_epoch: fitted.best_epoch, people })
}

/// The adapter while it learns.
struct Turning<'a> {
    faces: &'a Faces<'a>,
    held: &'a [u32],
    mining: Mining,
    alpha: f32,
    /// What W has beyond the identity.
    residual: Var,
    bias: Var,
    optimiser: AdamW,
}

impl<'a> Turning<'a> {
    fn new(faces: &'a Faces<'a>, held: &'a [u32], options: &AdapterOptions) -> Result<Self, LearnError> {
        let dim = faces.dim();
        let residual = Var::zeros((dim, dim), DType::F32, &Device::Cpu)?;
        let bias = Var::zeros(dim, DType::F32, &Device::Cpu)?;
        let params = ParamsAdamW { lr: options.learning_rate, weight_decay: options.decay, ..ParamsAdamW::default() };
        let optimiser = AdamW::new(vec![residual.clone(), bias.clone()], params)?;
        Ok(Self { faces, held, mining: options.mining, alpha: options.alpha, residual, bias, optimiser })
    }
}

impl Learner for Turning<'_> {
    type Kept = (Vec<f32>, Vec<f32>);

    fn step(&mut self, pictures: &[u32], _part: f64, rng: &mut ChaCha8Rng) -> Result<(f64, f64), LearnError> {
        let x = self.faces.tensor(pictures)?;
        let turned = (&x + x.matmul(&self.residual.t()?)?)?.broadcast_add(&self.bias)?;
        let person: Vec<u32> = pictures.iter().map(|i| self.faces.person()[*i as usize]).collect();
        let Some((loss, active)) = loss(&unit_rows(&turned)?, &person, self.mining, self.alpha, rng)? else {
            return Ok((0.0, 0.0));
        };
        self.optimiser.backward_step(&loss)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), active))
    }

    fn held_out(&self) -> Result<Verification, LearnError> {
        let (dim, (weights, bias)) = (self.faces.dim(), self.keep()?);
        let rows: Vec<f32> = self.held.iter().flat_map(|i| self.faces.row(*i as usize)).copied().collect();
        let turned = apply(dim, &weights, &bias, &rows);
        let person: Vec<u32> = self.held.iter().map(|i| self.faces.person()[*i as usize]).collect();
        let all: Vec<u32> = (0..person.len() as u32).collect();
        let row = |i: usize| &turned[i * dim..][..dim];
        Ok(Verification::all_pairs(&all, &person, |i, j| dissimilarity(row(i), row(j))))
    }

    fn keep(&self) -> Result<Self::Kept, LearnError> {
        let weights = (Tensor::eye(self.faces.dim(), DType::F32, &Device::Cpu)? + self.residual.as_tensor())?;
        Ok((weights.flatten_all()?.to_vec1()?, self.bias.to_vec1()?))
    }
}
