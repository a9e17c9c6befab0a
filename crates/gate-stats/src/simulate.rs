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

/// Every picture is the number it has; comparing two gives a number in 0..1 that only they decide: independent scores.
pub(crate) struct Independent;

impl Measure for Independent {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        let (a, b) = (a[0].min(b[0]) as u64, a[0].max(b[0]) as u64);
        rng(a * 1_000_003 + b).random()
    }
}

/// Pictures for [`Independent`].
pub(crate) fn numbered(person: Vec<u32>) -> Collection {
    Collection::new(1, (0..person.len()).map(|i| i as f32).collect(), person).unwrap()
}
