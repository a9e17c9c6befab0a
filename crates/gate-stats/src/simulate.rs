//! Faces made up for tests: people in random directions, pictures scattered around them.

use crate::{Collection, Measure};
use gate_core::similarity::normalise;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::f64::consts::TAU;

pub(crate) fn rng(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A normal deviate (Box & Muller).
pub(crate) fn normal(rng: &mut impl Rng) -> f64 {
    let (u, v): (f64, f64) = (rng.random(), rng.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos()
}

/// `people` with `pictures` each, in `dim` dimensions, pictures around their person by `scatter`.
pub(crate) fn faces(people: u32, pictures: u32, dim: usize, scatter: f64, seed: u64) -> Collection {
    let mut rng = rng(seed);
    let (mut vectors, mut person) = (vec![], vec![]);
    for p in 0..people {
        let centre: Vec<f64> = (0..dim).map(|_| normal(&mut rng)).collect();
        for _ in 0..pictures {
            let mut row: Vec<f32> = centre.iter().map(|x| (x + scatter * normal(&mut rng)) as f32).collect();
            assert!(normalise(&mut row));
            vectors.extend(row);
            person.push(p);
        }
    }
    Collection::new(dim, vectors, person).unwrap()
}

/// A number in 0..1 that only two pictures decide (splitmix64).
fn noise(a: f32, b: f32, salt: u64) -> f64 {
    let (a, b) = (a.min(b) as u64, a.max(b) as u64);
    let mut x = (a << 32 | b).wrapping_add((salt + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for factor in [0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb] {
        x = (x ^ (x >> 30)).wrapping_mul(factor);
    }
    ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// Independent impostor scores: comparisons give `quantile` of a uniform number that only the two pictures decide.
pub(crate) struct Independent {
    pub quantile: fn(f64) -> f64,
    pub seed: u64,
}

impl Measure for Independent {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        (self.quantile)(noise(a[0], b[0], self.seed)) as f32
    }
}

/// Pictures for [`Independent`].
pub(crate) fn numbered(person: Vec<u32>) -> Collection {
    Collection::new(1, (0..person.len()).map(|i| i as f32).collect(), person).unwrap()
}

/// Normal scores that hang together by person: genuine ones by how unlike himself somebody is, impostor ones by how much
/// both look like everybody.
///
/// Genuine: N(0.8, HARD² + NOISE²); impostor: N(2, 2 WOLF² + NOISE²).
pub(crate) struct Clustered {
    pub seed: u64,
}

pub(crate) const HARD: f64 = 0.3;
pub(crate) const WOLF: f64 = 0.1;
pub(crate) const NOISE: f64 = 0.2;

impl Measure for Clustered {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        let (u, v) = (noise(a[0], b[0], 2 * self.seed), noise(a[0], b[0], 2 * self.seed + 1));
        let deviate = NOISE * (-2.0 * (1.0 - u).ln()).sqrt() * (TAU * v).cos();
        let d2 = if a[1] == b[1] { 0.8 + f64::from(a[2]) } else { 2.0 + f64::from(a[3] + b[3]) };
        (d2 + deviate) as f32
    }
}

/// Pictures for [`Clustered`]: number, person, how hard, how much like others.
pub(crate) fn clustered(people: u32, pictures: u32, seed: u64) -> Collection {
    let mut rng = rng(seed);
    let (mut vectors, mut person) = (vec![], vec![]);
    for p in 0..people {
        let (hard, wolf) = (HARD * normal(&mut rng), WOLF * normal(&mut rng));
        for _ in 0..pictures {
            vectors.extend([person.len() as f32, p as f32, hard as f32, wolf as f32]);
            person.push(p);
        }
    }
    Collection::new(4, vectors, person).unwrap()
}
