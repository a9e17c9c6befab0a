//! Intervals by drawing people anew.
//!
//! A replicate draws as many people as there are, with replacement. Person p comes up m_p times; a genuine comparison of p
//! then weighs m_p and an impostor comparison of p and q weighs m_p m_q. Threshold and rate are computed anew with these
//! weights, and the middle 95 % of the replicates is the interval. (Bolle, Ratha & Pankanti: Error analysis of pattern
//! recognition systems - the subsets bootstrap. CVIU 93, 2004; for pairs of people: Poh & Bengio, 2007.)

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// How many replicates, and the seed: the same one gives the same intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// Replicates; 400 leave ten outside each end of a 95 % interval.
    pub replicates: u32,
    /// Seed.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { replicates: 400, seed: 1 }
    }
}

/// A comparison, or a search, and the people whose multiplicities it is weighed with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scored {
    pub d2: f32,
    /// Person numbers. A trial of one person has `nobody` as the second: the entry after the last, which weighs 1.
    pub people: [u32; 2],
}

impl Scored {
    #[inline]
    pub fn weight(&self, times: &[u32]) -> u32 {
        times[self.people[0] as usize] * times[self.people[1] as usize]
    }
}

impl Bootstrap {
    /// Calls `replicate` with the multiplicities of each replicate. `present` are the people to draw from, all below
    /// `nobody`; `times[nobody]` is 1.
    pub(crate) fn run<T: Send>(
        &self,
        present: &[u32],
        nobody: usize,
        replicate: impl Fn(&[u32], &mut ChaCha8Rng) -> T + Sync,
    ) -> Vec<T> {
        let one = |number: u32| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(u64::from(number));
            let mut times = vec![0u32; nobody + 1];
            for _ in present {
                times[present[rng.random_range(0..present.len())] as usize] += 1;
            }
            times[nobody] = 1;
            replicate(&times, &mut rng)
        };
        (0..self.replicates).into_par_iter().map(one).collect()
    }
}

/// The largest thresholds at which at most `allowed[i]` of the weight is at or below them; `allowed` ascending, `sorted` by
/// d2. Where the list ends before, the threshold is its last value.
pub(crate) fn thresholds(sorted: &[Scored], times: &[u32], allowed: &[f64]) -> Vec<f32> {
    let mut found = Vec::with_capacity(allowed.len());
    let (mut sum, mut before) = (0.0f64, f32::NEG_INFINITY);
    for trial in sorted {
        let weight = trial.weight(times);
        if weight == 0 {
            continue;
        }
        sum += f64::from(weight);
        while found.len() < allowed.len() && sum > allowed[found.len()] {
            // Of equal values all or none are let in.
            let below = trial.d2.next_down();
            found.push(if before.is_finite() { before.min(below) } else { below });
        }
        if found.len() == allowed.len() {
            break;
        }
        before = trial.d2;
    }
    found.resize(allowed.len(), before);
    found
}

/// Part of the weight above each threshold; NaN when there is none at all. `sorted` by d2.
pub(crate) fn above(sorted: &[Scored], times: &[u32], thresholds: &[f32]) -> Vec<f64> {
    let mut sums = Vec::with_capacity(sorted.len() + 1);
    let mut sum = 0u64;
    sums.push(0);
    for trial in sorted {
        sum += u64::from(trial.weight(times));
        sums.push(sum);
    }
    let part = |tau: &f32| {
        let within = sums[sorted.partition_point(|trial| trial.d2 <= *tau)];
        (sum - within) as f64 / sum as f64
    };
    thresholds.iter().map(part).collect()
}
