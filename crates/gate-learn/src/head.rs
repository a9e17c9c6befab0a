//! The verification head: y = sigmoid(sum_k w_k phi_k(a, b) + b), learned from labelled pairs of frozen encodings.
//!
//! Features after Taigman, Yang, Ranzato, Wolf: DeepFace, 2014 (section 4.2, weighted chi-square), and the logistic unit
//! over |f(a)_k - f(b)_k|. The loss is convex: Newton's method finds the one minimum, with no learning rate to choose.
//! The regularisation is chosen by cross-validation over people, and the answer is brought onto the scale of d².

use crate::error::LearnError;
use crate::faces::{Faces, deal};
use crate::pairs::{Impostors, Pair, choose};
use crate::verification::Verification;
use crate::{Epoch, Progress};
use candle_core::{Device, Tensor};
use gate_core::comparison::{Comparison, Head, chi_square};
use gate_core::similarity::dissimilarity;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What a head weighs of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// |a - b|.
    Logistic,
    /// (a - b)² / (|a| + |b|), 0 where both are 0: the chi-square distance of the positive and the negative parts of
    /// the elements, taken as two histograms. That is what makes it sound for elements that have a sign.
    ChiSquare,
}

impl Feature {
    fn of(self, a: f32, b: f32) -> f32 {
        match self {
            Feature::Logistic => (a - b).abs(),
            Feature::ChiSquare => chi_square(a, b),
        }
    }
}

/// What the weights are drawn to where the data says little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prior {
    /// Zero: a feature counts only where the data asks for it.
    Zero,
    /// One weight common to all, itself free: the plain distance of that feature. The stronger prior on little data.
    Common,
}

/// How a head is learned.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadOptions {
    /// The feature.
    pub feature: Feature,
    /// The priors to choose from.
    pub priors: Vec<Prior>,
    /// The strengths of regularisation to choose from.
    pub strengths: Vec<f64>,
    /// Into how many sets the people are dealt for that choice.
    pub folds: usize,
    /// Nearest impostors of each picture to learn from.
    pub hardest: usize,
    /// Impostors drawn at random for each picture.
    pub random: usize,
    /// Of everything drawn.
    pub seed: u64,
}

impl HeadOptions {
    /// What earned its place on LFW View 1.
    #[must_use]
    pub fn new(feature: Feature) -> Self {
        let strengths = vec![1.0, 1e-1, 1e-2, 1e-3, 1e-4];
        Self { feature, priors: vec![Prior::Common, Prior::Zero], strengths, folds: 4, hardest: 5, random: 5, seed: 1 }
    }
}

/// One prior and strength, and how it did on people it was not learned from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// The prior.
    pub prior: Prior,
    /// The strength.
    pub strength: f64,
    /// Mean soft FNMR at FMR 1e-3 over the folds, see [`Verification::soft_fnmr`]. The least is chosen.
    pub soft_fnmr: f64,
    /// Mean part of the genuine pairs found at FMR 1e-3.
    pub tar: f64,
}

/// A learned head. `sum_k weights[k] * phi_k + bias` is a dissimilarity on the scale of d², smaller = more alike; the
/// probability of one person is sigmoid((offset - dissimilarity) / scale).
#[derive(Clone, Debug, PartialEq)]
pub struct TrainedHead {
    /// The feature.
    pub feature: Feature,
    /// One for each element.
    pub weights: Vec<f32>,
    /// Added at the end.
    pub bias: f32,
    /// One logit on the scale of d².
    pub scale: f32,
    /// The dissimilarity at which both answers are as likely.
    pub offset: f32,
    /// What was chosen.
    pub chosen: Candidate,
    /// Everything that was tried.
    pub candidates: Vec<Candidate>,
    /// The plain d² over the same folds, for comparison: soft FNMR and TAR.
    pub plain: (f64, f64),
    /// Genuine pairs learned from.
    pub genuine: usize,
    /// Impostor pairs learned from.
    pub impostors: usize,
}

impl TrainedHead {
    /// As the gate compares with it.
    #[must_use]
    pub fn comparison(&self) -> Comparison<'_> {
        let head = Head { weights: &self.weights, bias: self.bias };
        match self.feature {
            Feature::Logistic => Comparison::Logistic(head),
            Feature::ChiSquare => Comparison::ChiSquare(head),
        }
    }
}

/// Learns a head.
///
/// # Errors
/// With too few people or pairs of both kinds, or options that make no sense.
pub fn train_head(
    faces: &Faces<'_>,
    options: &HeadOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<TrainedHead, LearnError> {
    if options.folds < 2 || options.priors.is_empty() || options.strengths.is_empty() {
        return Err(LearnError::Option("a head needs two folds, a prior and a strength at least".into()));
    }
    if options.strengths.iter().any(|s| !s.is_finite() || *s <= 0.0) {
        return Err(LearnError::Option("a strength of regularisation is a number above 0".into()));
    }
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let of = Impostors { hardest: options.hardest, random: options.random };
    let folds = deal(faces.person(), options.folds, &mut rng);
    let mut candidates: Vec<Candidate> = options
        .priors
        .iter()
        .flat_map(|prior| {
            options.strengths.iter().map(|s| Candidate { prior: *prior, strength: *s, soft_fnmr: 0.0, tar: 0.0 })
        })
        .collect();
    let total = options.folds * candidates.len() + 1;
    let mut done = 0;
    let mut plain = (0.0, 0.0);
    let share = 1.0 / options.folds as f64;
    for (n, held) in folds.iter().enumerate() {
        let train: Vec<u32> = folds.iter().enumerate().filter(|(m, _)| *m != n).flat_map(|(_, f)| f).copied().collect();
        let problem = Problem::new(faces, options.feature, choose(faces, &train, of, &mut rng))?;
        let of_plain = Verification::all_pairs(held, faces.person(), |i, j| dissimilarity(faces.row(i), faces.row(j)));
        let tar = |v: &Verification| v.at_fmr(1e-3).map(|at| at.tar);
        let no_pairs = || LearnError::TooLittle(format!("fold {} has no genuine or no impostor pairs", n + 1));
        plain.0 += share * of_plain.soft_fnmr();
        plain.1 += share * tar(&of_plain).ok_or_else(no_pairs)?;
        let mut logits = vec![0.0; faces.dim() + 1];
        for candidate in &mut candidates {
            // Strengths come one after the other: the last solution is near the next one.
            problem.solve(candidate.prior, candidate.strength, &mut logits)?;
            let head = negated(&logits);
            let scores = Verification::all_pairs(held, faces.person(), |i, j| {
                as_comparison(options.feature, &head).compare(faces.row(i), faces.row(j))
            });
            candidate.soft_fnmr += share * scores.soft_fnmr();
            candidate.tar += share * tar(&scores).ok_or_else(no_pairs)?;
            done += 1;
            progress(Progress { done, total, epoch: None::<Epoch> });
        }
    }
    let best = candidates.iter().min_by(|a, b| a.soft_fnmr.total_cmp(&b.soft_fnmr));
    let chosen = *best.ok_or_else(|| LearnError::Option("nothing to choose from".into()))?;
    let all: Vec<u32> = (0..faces.len() as u32).collect();
    let problem = Problem::new(faces, options.feature, choose(faces, &all, of, &mut rng))?;
    let mut logits = vec![0.0; faces.dim() + 1];
    problem.solve(chosen.prior, chosen.strength, &mut logits)?;
    let genuine = problem.pairs.iter().filter(|p| p.genuine).count();
    let impostors = problem.pairs.len() - genuine;
    let (scale, offset) = scale(faces, options.feature, &logits, &mut rng)?;
    progress(Progress { done: total, total, epoch: None });
    let (bias, weights) = logits.split_last().ok_or_else(|| LearnError::Option("no weights".into()))?;
    Ok(TrainedHead {
        feature: options.feature,
        weights: weights.iter().map(|w| (-scale * w) as f32).collect(),
        bias: (offset - scale * bias) as f32,
        scale: scale as f32,
        offset: offset as f32,
        chosen,
        candidates,
        plain,
        genuine,
        impostors,
    })
}

/// The logits as a dissimilarity of some scale: weights and bias.
fn negated(logits: &[f64]) -> (Vec<f32>, f32) {
    let mut all: Vec<f32> = logits.iter().map(|w| -w as f32).collect();
    let bias = all.pop().unwrap_or(0.0);
    (all, bias)
}

fn as_comparison(feature: Feature, (weights, bias): &(Vec<f32>, f32)) -> Comparison<'_> {
    let head = Head { weights, bias: *bias };
    match feature {
        Feature::Logistic => Comparison::Logistic(head),
        Feature::ChiSquare => Comparison::ChiSquare(head),
    }
}

/// Impostor pairs looked at for the scale.
const SCALE_PAIRS: usize = 2_000_000;

/// `(scale, offset)` such that offset - scale * logit equals d² where FMR is 1e-2 and where it is 1e-4 (or the least FMR
/// supported), over impostor pairs drawn from these faces.
fn scale(faces: &Faces<'_>, feature: Feature, logits: &[f64], rng: &mut ChaCha8Rng) -> Result<(f64, f64), LearnError> {
    let head = negated(logits);
    let comparison = as_comparison(feature, &head);
    let (mut by_head, mut by_distance) = (Vec::new(), Vec::new());
    let mut take = |i: usize, j: usize| {
        if faces.person()[i] != faces.person()[j] {
            by_head.push(comparison.compare(faces.row(i), faces.row(j)));
            by_distance.push(dissimilarity(faces.row(i), faces.row(j)));
        }
    };
    let n = faces.len();
    if n * n / 2 <= SCALE_PAIRS {
        (0..n).for_each(|i| (i + 1..n).for_each(|j| take(i, j)));
    } else {
        (0..SCALE_PAIRS).for_each(|_| take(rng.random_range(0..n), rng.random_range(0..n)));
    }
    // One genuine pair stands in: at_fmr asks for both kinds.
    let ends = |scores: Vec<f32>| {
        let scores = Verification::new(vec![0.0], scores);
        let at = |fmr| scores.at_fmr(fmr).map(|at| f64::from(at.threshold));
        at(1e-2).zip(at(1e-4))
    };
    let few = || LearnError::TooLittle("too few impostor pairs to find the scale of d²".into());
    let ((loose, strict), (d2_loose, d2_strict)) = ends(by_head).zip(ends(by_distance)).ok_or_else(few)?;
    let scale = (d2_loose - d2_strict) / (loose - strict);
    if !scale.is_finite() || scale <= 0.0 {
        return Err(few());
    }
    Ok((scale, d2_loose - scale * loose))
}

/// Pairs with their features.
struct Problem {
    pairs: Vec<Pair>,
    /// pairs x (dim + 1); the last column is 1.
    features: Vec<f32>,
    columns: usize,
    tensor: Tensor,
    /// What the features are divided by: their mean. The strengths mean the same for every encoder.
    unit: f64,
}

impl Problem {
    fn new(faces: &Faces<'_>, feature: Feature, pairs: Vec<Pair>) -> Result<Self, LearnError> {
        if pairs.iter().all(|p| p.genuine) || !pairs.iter().any(|p| p.genuine) {
            return Err(LearnError::TooLittle("pairs of one person and pairs of two people are both needed".into()));
        }
        let columns = faces.dim() + 1;
        let mut features = Vec::with_capacity(pairs.len() * columns);
        for pair in &pairs {
            let (a, b) = (faces.row(pair.a as usize), faces.row(pair.b as usize));
            features.extend(a.iter().zip(b).map(|(a, b)| feature.of(*a, *b)));
            features.push(0.0);
        }
        let sum: f64 = features.iter().map(|x| f64::from(*x)).sum();
        let unit = (sum / (pairs.len() * faces.dim()) as f64).max(f64::MIN_POSITIVE);
        for row in features.chunks_exact_mut(columns) {
            row.iter_mut().for_each(|x| *x = (f64::from(*x) / unit) as f32);
            row[columns - 1] = 1.0;
        }
        let tensor = Tensor::from_slice(&features, (pairs.len(), columns), &Device::Cpu)?;
        Ok(Self { pairs, features, columns, tensor, unit })
    }

    /// Logits of the features as they come, not divided by their mean. Starts from what is in `logits`.
    fn solve(&self, prior: Prior, strength: f64, logits: &mut [f64]) -> Result<(), LearnError> {
        let last = self.columns - 1;
        let mut x = logits.to_vec();
        x[..last].iter_mut().for_each(|w| *w *= self.unit);
        let (mut loss, mut gradient, mut curvature) = self.loss(&x, prior, strength);
        for _ in 0..50 {
            let step = cholesky_solve(self.hessian(&curvature, prior, strength)?, &gradient)
                .ok_or_else(|| LearnError::TooLittle("the pairs do not determine the weights".into()))?;
            let slope: f64 = step.iter().zip(&gradient).map(|(s, g)| s * g).sum();
            // Newton's decrement: half of it is what is left to gain.
            if slope < 1e-10 {
                break;
            }
            let mut pace = 1.0;
            loop {
                let next: Vec<f64> = x.iter().zip(&step).map(|(x, s)| x - pace * s).collect();
                let found = self.loss(&next, prior, strength);
                if found.0 <= loss - 1e-4 * pace * slope {
                    (x, (loss, gradient, curvature)) = (next, found);
                    break;
                }
                pace /= 2.0;
                if pace < 1e-6 {
                    break;
                }
            }
            if pace < 1e-6 {
                break;
            }
        }
        x[..last].iter_mut().for_each(|w| *w /= self.unit);
        logits.copy_from_slice(&x);
        Ok(())
    }

    /// Loss, gradient, and the weight of each pair in the Hessian.
    fn loss(&self, x: &[f64], prior: Prior, strength: f64) -> (f64, Vec<f64>, Vec<f32>) {
        let last = self.columns - 1;
        let weights = &x[..last];
        let centre = match prior {
            Prior::Zero => 0.0,
            Prior::Common => weights.iter().sum::<f64>() / last as f64,
        };
        let mut loss = 0.5 * strength * weights.iter().map(|w| (w - centre) * (w - centre)).sum::<f64>();
        let mut gradient: Vec<f64> = weights.iter().map(|w| strength * (w - centre)).chain([0.0]).collect();
        let mut curvature = Vec::with_capacity(self.pairs.len());
        for (pair, row) in self.pairs.iter().zip(self.features.chunks_exact(self.columns)) {
            let z: f64 = row.iter().zip(x).map(|(f, w)| f64::from(*f) * w).sum();
            let sign = if pair.genuine { 1.0 } else { -1.0 };
            // -ln sigmoid(sign * z), without overflow on either side.
            loss += pair.weight * ((-sign * z).max(0.0) + (-(z.abs())).exp().ln_1p());
            let y = 1.0 / (1.0 + (-z).exp());
            let error = pair.weight * (y - if pair.genuine { 1.0 } else { 0.0 });
            gradient.iter_mut().zip(row).for_each(|(g, f)| *g += error * f64::from(*f));
            curvature.push((pair.weight * y * (1.0 - y)) as f32);
        }
        (loss, gradient, curvature)
    }

    /// columns x columns. In f32: only the length of the steps depends on it, not where they end.
    fn hessian(&self, curvature: &[f32], prior: Prior, strength: f64) -> Result<Vec<f64>, LearnError> {
        let (n, last) = (self.columns, self.columns - 1);
        let weighted =
            self.tensor.broadcast_mul(&Tensor::from_slice(curvature, (curvature.len(), 1), &Device::Cpu)?)?;
        let product = self.tensor.t()?.matmul(&weighted)?.flatten_all()?.to_vec1::<f32>()?;
        let mut hessian: Vec<f64> = product.into_iter().map(f64::from).collect();
        for i in 0..last {
            hessian[i * n + i] += strength;
            if prior == Prior::Common {
                (0..last).for_each(|j| hessian[i * n + j] -= strength / last as f64);
            }
        }
        // Rounding must not make it indefinite.
        let trace: f64 = (0..n).map(|i| hessian[i * n + i]).sum();
        (0..n).for_each(|i| hessian[i * n + i] += 1e-7 * trace / n as f64);
        Ok(hessian)
    }
}

/// Solves A x = b for a symmetric positive definite A, row by row. `None` when it is not.
fn cholesky_solve(mut a: Vec<f64>, b: &[f64]) -> Option<Vec<f64>> {
    let n = b.len();
    for j in 0..n {
        for i in j..n {
            let sum: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - sum;
            if i > j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > 0.0 {
                a[j * n + j] = rest.sqrt();
            } else {
                return None;
            }
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let sum: f64 = (0..i).map(|k| a[i * n + k] * x[k]).sum();
        x[i] = (x[i] - sum) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let sum: f64 = (i + 1..n).map(|k| a[k * n + i] * x[k]).sum();
        x[i] = (x[i] - sum) / a[i * n + i];
    }
    Some(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verification::tests::crowd;

    fn problem(feature: Feature) -> Problem {
        let (vectors, person) = crowd(12, 3, 8, 0.4, 7);
        let faces = Faces::new(8, &vectors, &person).unwrap();
        let all: Vec<u32> = (0..faces.len() as u32).collect();
        let of = Impostors { hardest: 3, random: 3 };
        Problem::new(&faces, feature, choose(&faces, &all, of, &mut ChaCha8Rng::seed_from_u64(1))).unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        for feature in [Feature::Logistic, Feature::ChiSquare] {
            let problem = problem(feature);
            let x: Vec<f64> = (0..9).map(|k| 0.3 * f64::from(k) - 1.0).collect();
            for prior in [Prior::Zero, Prior::Common] {
                let (_, gradient, _) = problem.loss(&x, prior, 0.1);
                for k in 0..9 {
                    let at = |by: f64| {
                        let mut x = x.clone();
                        x[k] += by;
                        problem.loss(&x, prior, 0.1).0
                    };
                    let numeric = (at(1e-5) - at(-1e-5)) / 2e-5;
                    assert!((gradient[k] - numeric).abs() < 1e-7, "{feature:?} {k}: {} and {numeric}", gradient[k]);
                }
            }
        }
    }

    #[test]
    fn newton_ends_where_the_gradient_is_zero() {
        let problem = problem(Feature::Logistic);
        for prior in [Prior::Zero, Prior::Common] {
            let mut logits = vec![0.0; 9];
            problem.solve(prior, 1e-2, &mut logits).unwrap();
            logits[..8].iter_mut().for_each(|w| *w *= problem.unit);
            let (_, gradient, _) = problem.loss(&logits, prior, 1e-2);
            assert!(gradient.iter().all(|g| g.abs() < 1e-4), "{gradient:?}");
        }
    }

    #[test]
    fn a_system_is_solved_and_an_indefinite_one_refused() {
        let x = cholesky_solve(vec![4.0, 2.0, 2.0, 3.0], &[10.0, 9.0]).unwrap();
        assert!((x[0] - 1.5).abs() < 1e-12 && (x[1] - 2.0).abs() < 1e-12);
        assert!(cholesky_solve(vec![1.0, 2.0, 2.0, 1.0], &[1.0, 1.0]).is_none());
    }
}
