//! Chance, by seed.

use rand::Rng;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A source of random numbers; the same seed gives the same ones.
#[derive(Clone, Debug)]
pub struct Chance(ChaCha8Rng);

impl Chance {
    /// Begins at this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// Eight random bytes.
    pub fn bytes(&mut self) -> [u8; 8] {
        self.0.next_u64().to_le_bytes()
    }

    /// Evenly between two numbers.
    pub fn between(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * (self.0.next_u32() >> 8) as f32 / (1u32 << 24) as f32
    }

    /// Between two positive numbers, evenly in the logarithm.
    pub fn between_log(&mut self, low: f32, high: f32) -> f32 {
        self.between(low.ln(), high.ln()).exp()
    }

    /// With this probability.
    pub fn happens(&mut self, probability: f32) -> bool {
        self.between(0.0, 1.0) < probability
    }

    /// Nearly normal, mean 0 and standard deviation 1: the sum of four bytes, for pixels.
    pub fn normal(&mut self) -> f32 {
        let sum: u32 = self.0.next_u32().to_le_bytes().iter().map(|byte| u32::from(*byte)).sum();
        (sum as f32 - 510.0) / 147.8
    }
}
