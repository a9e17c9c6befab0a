//! Learns from labelled faces: how to compare two encodings, how to turn them, and how to make them.
//!
//! ```text
//! aligned faces ──[encoder]──▶ vectors ──[adapter]──▶ unit vectors ──[head]──▶ dissimilarity on the scale of d²
//!                 encoder.rs             adapter.rs                  head.rs
//!                      └──── mining.rs: triplets ────┘
//! ```
//! Pure: slices in, values out, progress through a callback. The same seed gives the same result, bit for bit, on the
//! same machine. People, not pictures, are held out: a face that was learned from says nothing about strangers.
#![forbid(unsafe_code)]

mod adapter;
mod classifier;
mod encoder;
mod error;
mod export;
mod faces;
mod head;
mod layers;
mod mining;
mod pairs;
mod training;
mod verification;

pub use adapter::{AdapterOptions, TrainedAdapter, train_adapter};
pub use classifier::LinearClassifier;
pub use encoder::{Chips, EncoderOptions, Network, TrainedEncoder, train_encoder};
pub use error::LearnError;
pub use faces::{Faces, hold_out};
pub use head::{Candidate, Feature, HeadOptions, Prior, TrainedHead, train_head};
pub use mining::Mining;
pub use training::BatchShape;
pub use verification::{Operating, Verification};

/// How far a training is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub total: usize,
    /// What was measured after an epoch that has just ended.
    pub epoch: Option<Epoch>,
}

/// One point of the loss curve. Epoch 0 is what was there before the first step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Epoch {
    /// Its number.
    pub number: usize,
    /// Mean triplet loss over the epoch's steps; NaN for epoch 0.
    pub train_loss: f64,
    /// Part of the chosen triplets that violated the margin and so taught something; NaN for epoch 0.
    pub active: f64,
    /// Soft FNMR at FMR 1e-3 on the held-out people, see [`Verification::soft_fnmr`]. Training keeps the least.
    pub held_out_loss: f64,
    /// Part of the held-out people's genuine pairs found at FMR 1e-3 (or the least FMR that they support).
    pub held_out_tar: f64,
}
