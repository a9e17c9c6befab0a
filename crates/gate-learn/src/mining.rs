//! Triplets: which anchor, positive and negative a batch teaches with, and the loss of them.
//!
//! max(d²(A, P) - d²(A, N) + alpha, 0) after Schroff, Kalenichenko, Philbin: FaceNet, 2015; the hardest pair of each
//! anchor after Hermans, Beyer, Leibe: In Defense of the Triplet Loss, 2017.

use crate::error::LearnError;
use candle_core::{Device, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// How the negatives are found within a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// Any other person, for each pair of anchor and positive. Most such triplets hold already and teach nothing.
    Random,
    /// For each pair of anchor and positive, the nearest negative that is farther than the positive, but by less than
    /// alpha; without one, the farthest of those nearer than the positive. A negative beyond alpha teaches nothing.
    SemiHard,
    /// For each anchor, its farthest positive and its nearest negative.
    Hard,
}

/// Rows of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Triplet {
    pub anchor: usize,
    pub positive: usize,
    pub negative: usize,
}

/// The triplets of a batch whose d² are `distances` (n x n, row by row) and whose people are `person`.
pub(crate) fn mine(
    mining: Mining,
    alpha: f32,
    distances: &[f32],
    person: &[u32],
    rng: &mut ChaCha8Rng,
) -> Vec<Triplet> {
    let n = person.len();
    let mut triplets = Vec::new();
    for (anchor, d) in distances.chunks_exact(n).enumerate() {
        let positives: Vec<usize> = (0..n).filter(|j| *j != anchor && person[*j] == person[anchor]).collect();
        let negatives: Vec<usize> = (0..n).filter(|j| person[*j] != person[anchor]).collect();
        if positives.is_empty() || negatives.is_empty() {
            continue;
        }
        let nearest = |among: &[usize]| among.iter().copied().min_by(|i, j| d[*i].total_cmp(&d[*j]));
        let farthest = |among: &[usize]| among.iter().copied().max_by(|i, j| d[*i].total_cmp(&d[*j]));
        match mining {
            Mining::Random => triplets.extend(positives.iter().map(|positive| {
                let negative = negatives[rng.random_range(0..negatives.len())];
                Triplet { anchor, positive: *positive, negative }
            })),
            Mining::SemiHard => triplets.extend(positives.iter().filter_map(|positive| {
                let (far, near): (Vec<usize>, Vec<usize>) = negatives.iter().partition(|j| d[**j] > d[*positive]);
                let negative = nearest(&far).filter(|j| d[*j] < d[*positive] + alpha).or_else(|| farthest(&near))?;
                Some(Triplet { anchor, positive: *positive, negative })
            })),
            Mining::Hard => {
                triplets.extend(farthest(&positives).zip(nearest(&negatives)).map(|(positive, negative)| Triplet {
                    anchor,
                    positive,
                    negative,
                }))
            }
        }
    }
    triplets
}

/// Mean loss of a batch as a scalar tensor, and the part of its triplets that violate the margin. `None` when no triplet
/// does, so there is nothing to learn. `embeddings`: n unit vectors.
pub(crate) fn loss(
    embeddings: &Tensor,
    person: &[u32],
    mining: Mining,
    alpha: f32,
    rng: &mut ChaCha8Rng,
) -> Result<Option<(Tensor, f64)>, LearnError> {
    let n = person.len();
    let distances = embeddings.matmul(&embeddings.t()?)?.affine(-2.0, 2.0)?;
    let d = distances.flatten_all()?.to_vec1::<f32>()?;
    let triplets = mine(mining, alpha, &d, person, rng);
    // The loss is linear in the distances of the active triplets; a table of their coefficients gives its gradient.
    let mut coefficients = vec![0.0f32; n * n];
    let mut active = 0usize;
    for t in &triplets {
        let (ap, an) = (t.anchor * n + t.positive, t.anchor * n + t.negative);
        if d[ap] - d[an] + alpha > 0.0 {
            active += 1;
            coefficients[ap] += 1.0;
            coefficients[an] -= 1.0;
        }
    }
    if active == 0 {
        return Ok(None);
    }
    let count = triplets.len() as f64;
    let sum = (distances * Tensor::from_vec(coefficients, (n, n), &Device::Cpu)?)?.sum_all()?;
    let loss = sum.affine(1.0 / count, f64::from(alpha) * active as f64 / count)?;
    Ok(Some((loss, active as f64 / count)))
}

/// Rows of a tensor brought to length 1.
pub(crate) fn unit_rows(x: &Tensor) -> Result<Tensor, LearnError> {
    let length = (x.sqr()?.sum_keepdim(1)? + 1e-12)?.sqrt()?;
    Ok(x.broadcast_div(&length)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Var;
    use rand::SeedableRng;

    /// Points on a line: two people of two pictures, and one of one.
    const AT: [f32; 5] = [0.0, 0.5, 0.6, 1.5, 0.1];
    const PERSON: [u32; 5] = [0, 0, 1, 1, 2];

    fn mined(mining: Mining, alpha: f32) -> Vec<(usize, usize, usize)> {
        let d: Vec<f32> = AT.iter().flat_map(|a| AT.iter().map(move |b| (a - b) * (a - b))).collect();
        let triplets = mine(mining, alpha, &d, &PERSON, &mut ChaCha8Rng::seed_from_u64(1));
        triplets.into_iter().map(|t| (t.anchor, t.positive, t.negative)).collect()
    }

    #[test]
    fn the_hardest_are_the_farthest_positive_and_the_nearest_negative() {
        assert_eq!(mined(Mining::Hard, 0.2), [(0, 1, 4), (1, 0, 2), (2, 3, 1), (3, 2, 1)]);
    }

    #[test]
    fn semi_hard_ones_lie_within_the_margin() {
        // From 0 the positive is at 0.25: 2 at 0.36 is farther by less than 0.2. From 1 it is at 0.25 too, nothing lies
        // in 0.25..0.45 and the farthest of the nearer ones is 4 at 0.16. From 3 the positive is at 0.81, 1 at 1.0.
        assert_eq!(mined(Mining::SemiHard, 0.2), [(0, 1, 2), (1, 0, 4), (2, 3, 0), (3, 2, 1)]);
    }

    #[test]
    fn random_ones_are_of_another_person() {
        let triplets = mined(Mining::Random, 0.2);
        assert_eq!(triplets.len(), 4, "one for each anchor and positive");
        assert!(triplets.iter().all(|(a, p, n)| PERSON[*a] == PERSON[*p] && PERSON[*a] != PERSON[*n]));
    }

    #[test]
    fn the_loss_and_its_gradient_are_those_of_the_formula() {
        let angles = [0.0f32, 0.5, 0.6, 1.5, 0.1];
        let points = |angles: &[f32]| -> Vec<f32> { angles.iter().flat_map(|a| [a.cos(), a.sin()]).collect() };
        let value = |rows: Vec<f32>| {
            let x = Var::from_vec(rows, (5, 2), &Device::Cpu).unwrap();
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let (loss, active) = loss(&x, &PERSON, Mining::Hard, 0.2, &mut rng).unwrap().unwrap();
            let gradient = loss.backward().unwrap().get(&x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (loss.to_scalar::<f32>().unwrap(), active, gradient)
        };
        let (got, active, gradient) = value(points(&angles));
        let d2 = |i: usize, j: usize| 2.0 - 2.0 * (angles[i] - angles[j]).cos();
        let terms = [(0, 1, 4), (1, 0, 2), (2, 3, 1), (3, 2, 1)].map(|(a, p, n)| (d2(a, p) - d2(a, n) + 0.2).max(0.0));
        assert!((got - terms.iter().sum::<f32>() / 4.0).abs() < 1e-5);
        assert!((active - terms.iter().filter(|t| **t > 0.0).count() as f64 / 4.0).abs() < 1e-9);
        for k in 0..10 {
            let moved = |by: f32| {
                let mut rows = points(&angles);
                rows[k] += by;
                value(rows).0
            };
            let numeric = (moved(1e-3) - moved(-1e-3)) / 2e-3;
            assert!((gradient[k] - numeric).abs() < 2e-3, "element {k}: {} and {numeric}", gradient[k]);
        }
    }
}
