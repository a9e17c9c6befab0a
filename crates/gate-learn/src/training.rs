//! What the adapter and the encoder have in common: batches of people, epochs, early stopping on held-out people.

use crate::error::LearnError;
use crate::faces::by_person;
use crate::verification::Verification;
use crate::{Epoch, Progress};
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Batches of several people with several pictures each, and of others who are only there to be told from them.
pub(crate) struct Batches {
    several: Vec<Vec<u32>>,
    single: Vec<u32>,
    shape: BatchShape,
}

/// The make-up of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchShape {
    /// People with more than one picture.
    pub people: usize,
    /// Pictures of each of them, at most.
    pub pictures: usize,
    /// People with one picture.
    pub others: usize,
}

impl Batches {
    pub fn new(person: &[u32], pictures: &[u32], shape: BatchShape) -> Result<Self, LearnError> {
        if shape.people < 2 || shape.pictures < 2 {
            return Err(LearnError::Option("a batch needs two people with two pictures each at least".into()));
        }
        let (several, single): (Vec<_>, Vec<_>) =
            by_person(person, pictures).into_iter().partition(|pictures| pictures.len() > 1);
        Ok(Self { several, single: single.concat(), shape })
    }

    /// One epoch: everybody with several pictures once, pictures and company drawn anew.
    pub fn epoch(&mut self, rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
        self.several.shuffle(rng);
        self.several.iter_mut().for_each(|pictures| pictures.shuffle(rng));
        // One person alone gives no triplet; a small rest joins the batch before.
        let count = (self.several.len() / self.shape.people).max(1);
        let mut batches = Vec::with_capacity(count);
        for n in 0..count {
            let end = if n + 1 == count { self.several.len() } else { (n + 1) * self.shape.people };
            let people = &self.several[n * self.shape.people..end];
            let mut batch: Vec<u32> = people.iter().flat_map(|p| p.iter().take(self.shape.pictures)).copied().collect();
            let (drawn, _) = self.single.partial_shuffle(rng, self.shape.others);
            batch.extend_from_slice(drawn);
            batches.push(batch);
        }
        batches
    }
}

/// Something that learns from batches of pictures.
pub(crate) trait Learner {
    /// What is kept of the best epoch.
    type Kept;
    /// Learns from these pictures: mean loss, part of the triplets active. `part` of the training is done, 0..1.
    fn step(&mut self, pictures: &[u32], part: f64, rng: &mut ChaCha8Rng) -> Result<(f64, f64), LearnError>;
    /// How it does on the held-out people.
    fn held_out(&self) -> Result<Verification, LearnError>;
    /// What it has learned.
    fn keep(&self) -> Result<Self::Kept, LearnError>;
}

/// When training ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Patience {
    pub epochs: usize,
    /// Epochs without a gain on the held-out people after which it ends early.
    pub patience: usize,
}

/// The best epoch's result; epoch 0 is what was there before.
pub(crate) struct Fitted<K> {
    pub best: K,
    pub best_epoch: usize,
    pub curve: Vec<Epoch>,
}

/// Trains until the held-out people gain no more.
pub(crate) fn fit<L: Learner>(
    learner: &mut L,
    batches: &mut Batches,
    until: Patience,
    rng: &mut ChaCha8Rng,
    progress: &mut dyn FnMut(Progress),
) -> Result<Fitted<L::Kept>, LearnError> {
    let measure = |learner: &L, number, train_loss, active| -> Result<Epoch, LearnError> {
        let scores = learner.held_out()?;
        let held_out_tar = scores.at_fmr(1e-3).map_or(0.0, |at| at.tar);
        Ok(Epoch { number, train_loss, active, held_out_loss: scores.soft_fnmr(), held_out_tar })
    };
    let first = measure(learner, 0, f64::NAN, f64::NAN)?;
    let mut fitted = Fitted { best: learner.keep()?, best_epoch: 0, curve: vec![first] };
    let (mut least, mut done) = (first.held_out_loss, 0);
    progress(Progress { done, total: until.epochs, epoch: Some(first) });
    for number in 1..=until.epochs {
        let epoch = batches.epoch(rng);
        let (mut total, steps) = (until.epochs * epoch.len(), epoch.len() as f64);
        let (mut train_loss, mut active) = (0.0, 0.0);
        for batch in epoch {
            let (loss, part) = learner.step(&batch, done as f64 / total as f64, rng)?;
            train_loss += loss / steps;
            active += part / steps;
            done += 1;
            progress(Progress { done, total, epoch: None });
        }
        let epoch = measure(learner, number, train_loss, active)?;
        fitted.curve.push(epoch);
        if epoch.held_out_loss < least {
            least = epoch.held_out_loss;
            fitted.best = learner.keep()?;
            fitted.best_epoch = number;
        }
        let ends = number - fitted.best_epoch >= until.patience.max(1);
        if ends {
            total = done;
        }
        progress(Progress { done, total, epoch: Some(epoch) });
        if ends {
            break;
        }
    }
    Ok(fitted)
}
