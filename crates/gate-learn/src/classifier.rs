//! A linear classifier of two classes: L2-regularised logistic regression, for few samples of many features.
//!
//! The loss is convex, so there is one answer; Newton's method finds it, each step by conjugate gradients, which never needs
//! the matrix (features x features) itself. Features are standardised inside and the weights given back for the features as
//! they came. Both classes weigh the same, however many samples each has.

use crate::error::LearnError;

/// `score = weights . features + bias`: the log-odds of the class `true`.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearClassifier {
    /// One for each feature.
    pub weights: Vec<f32>,
    /// Added at the end.
    pub bias: f32,
}

impl LinearClassifier {
    /// The score of one sample.
    #[must_use]
    pub fn score(&self, features: &[f32]) -> f32 {
        self.weights.iter().zip(features).map(|(w, f)| w * f).sum::<f32>() + self.bias
    }

    /// Learns from `samples` (one row of features each) and their classes; `strength` > 0 draws the weights to zero.
    ///
    /// # Errors
    /// Without samples of both classes, with rows of different lengths, or numbers that are none.
    pub fn fit(samples: &[&[f32]], is_true: &[bool], strength: f64) -> Result<Self, LearnError> {
        let dim = samples.first().map_or(0, |row| row.len());
        let sound = samples.len() == is_true.len()
            && dim > 0
            && samples.iter().all(|row| row.len() == dim && row.iter().all(|v| v.is_finite()));
        if !sound {
            return Err(LearnError::Option("samples must be rows of the same length, of finite numbers".into()));
        }
        if !(strength.is_finite() && strength > 0.0) {
            return Err(LearnError::Option("a strength of regularisation is a number above 0".into()));
        }
        let trues = is_true.iter().filter(|t| **t).count();
        if trues == 0 || trues == samples.len() {
            return Err(LearnError::TooLittle("samples of both classes are needed".into()));
        }
        let problem = Problem::new(samples, is_true, trues, dim, strength);
        Ok(problem.unscaled(&problem.solve()))
    }
}

/// The standardised samples.
struct Problem {
    /// Rows of `dim` features and a 1 for the bias.
    rows: Vec<Vec<f64>>,
    /// Class and weight of each row.
    targets: Vec<(f64, f64)>,
    means: Vec<f64>,
    spreads: Vec<f64>,
    strength: f64,
}

impl Problem {
    fn new(samples: &[&[f32]], is_true: &[bool], trues: usize, dim: usize, strength: f64) -> Self {
        let n = samples.len() as f64;
        let column = |k: usize| samples.iter().map(move |row| f64::from(row[k]));
        let means: Vec<f64> = (0..dim).map(|k| column(k).sum::<f64>() / n).collect();
        let spread = |k: usize| (column(k).map(|v| (v - means[k]).powi(2)).sum::<f64>() / n).sqrt();
        // A feature that never changes says nothing: its weight stays zero.
        let spreads: Vec<f64> = (0..dim).map(spread).map(|s| if s > 1e-9 { s } else { f64::INFINITY }).collect();
        let row = |row: &&[f32]| {
            let scaled = row.iter().enumerate().map(|(k, v)| (f64::from(*v) - means[k]) / spreads[k]);
            scaled.chain([1.0]).collect()
        };
        let rows = samples.iter().map(row).collect();
        let (of_true, of_false) = (0.5 / trues as f64, 0.5 / (samples.len() - trues) as f64);
        let target = |t: &bool| if *t { (1.0, of_true) } else { (0.0, of_false) };
        Self { rows, targets: is_true.iter().map(target).collect(), means, spreads, strength: strength / n }
    }

    /// The minimum, bias last.
    fn solve(&self) -> Vec<f64> {
        let width = self.means.len() + 1;
        let mut at = vec![0.0; width];
        for _ in 0..100 {
            let probabilities: Vec<f64> = self.rows.iter().map(|row| sigmoid(dot(row, &at))).collect();
            let gradient = self.gradient(&at, &probabilities);
            if dot(&gradient, &gradient).sqrt() < 1e-9 {
                break;
            }
            let step = self.newton_step(&gradient, &probabilities);
            let (before, mut part) = (self.loss(&at), 1.0);
            let moved = |part: f64| at.iter().zip(&step).map(|(a, s)| a - part * s).collect::<Vec<f64>>();
            // A full step overshoots far from the minimum only.
            while part > 1e-6 && self.loss(&moved(part)) > before {
                part *= 0.5;
            }
            at = moved(part);
        }
        at
    }

    fn loss(&self, at: &[f64]) -> f64 {
        let fits = self.rows.iter().zip(&self.targets).map(|(row, (y, c))| {
            let score = dot(row, at);
            c * (softplus(score) - y * score)
        });
        let weights = &at[..at.len() - 1];
        fits.sum::<f64>() + 0.5 * self.strength * dot(weights, weights)
    }

    fn gradient(&self, at: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let mut gradient: Vec<f64> = at.iter().map(|a| self.strength * a).collect();
        if let Some(bias) = gradient.last_mut() {
            *bias = 0.0;
        }
        for ((row, (y, c)), p) in self.rows.iter().zip(&self.targets).zip(probabilities) {
            add(&mut gradient, c * (p - y), row);
        }
        gradient
    }

    /// Solves Hessian x step = gradient by conjugate gradients.
    fn newton_step(&self, gradient: &[f64], probabilities: &[f64]) -> Vec<f64> {
        let times = |direction: &[f64]| {
            // The bias is not drawn to zero; a trace of it keeps the system well posed.
            let mut out: Vec<f64> = direction.iter().map(|d| self.strength * d).collect();
            if let (Some(bias), Some(d)) = (out.last_mut(), direction.last()) {
                *bias = 1e-9 * d;
            }
            for ((row, (_, c)), p) in self.rows.iter().zip(&self.targets).zip(probabilities) {
                add(&mut out, c * p * (1.0 - p) * dot(row, direction), row);
            }
            out
        };
        let mut step = vec![0.0; gradient.len()];
        let mut rest = gradient.to_vec();
        let mut direction = rest.clone();
        let mut size = dot(&rest, &rest);
        let enough = 1e-12 * size;
        for _ in 0..2 * self.rows.len().max(32) {
            if size <= enough {
                break;
            }
            let along = times(&direction);
            let alpha = size / dot(&direction, &along).max(f64::MIN_POSITIVE);
            add(&mut step, alpha, &direction);
            add(&mut rest, -alpha, &along);
            let next = dot(&rest, &rest);
            direction = rest.iter().zip(&direction).map(|(r, d)| r + next / size * d).collect();
            size = next;
        }
        step
    }

    /// For the features as they came.
    fn unscaled(&self, at: &[f64]) -> LinearClassifier {
        let (bias, scaled) = at.split_last().unwrap_or((&0.0, &[]));
        let weights: Vec<f64> = scaled.iter().zip(&self.spreads).map(|(w, s)| w / s).collect();
        let bias = bias - dot(&weights, &self.means);
        LinearClassifier { weights: weights.iter().map(|w| *w as f32).collect(), bias: bias as f32 }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn add(to: &mut [f64], factor: f64, what: &[f64]) {
    to.iter_mut().zip(what).for_each(|(t, w)| *t += factor * w);
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// ln(1 + e^x), without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    fn normal(rng: &mut ChaCha8Rng) -> f32 {
        (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0
    }

    /// 40 samples of 200 features, of which the first three tell the classes apart.
    fn samples(seed: u64) -> (Vec<Vec<f32>>, Vec<bool>) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let row = |n: usize, rng: &mut ChaCha8Rng| -> Vec<f32> {
            let shift = |k: usize| if k < 3 && n.is_multiple_of(2) { 3.0 } else { 0.0 };
            (0..200).map(|k| 10.0 + 0.1 * (normal(rng) + shift(k))).collect()
        };
        ((0..40).map(|n| row(n, &mut rng)).collect(), (0..40usize).map(|n| n.is_multiple_of(2)).collect())
    }

    #[test]
    fn it_tells_unseen_samples_apart_by_the_features_that_matter() {
        let ((train, classes), (test, wanted)) = (samples(1), samples(2));
        let rows: Vec<&[f32]> = train.iter().map(Vec::as_slice).collect();
        let learned = LinearClassifier::fit(&rows, &classes, 1.0).unwrap();
        let right = test.iter().zip(&wanted).filter(|(row, is)| (learned.score(row) > 0.0) == **is).count();
        // Guessing gets 20; so many by chance happens once in a million times.
        assert!(right >= 35, "{right} of 40");
    }

    #[test]
    fn the_answer_is_the_minimum_and_stronger_regularisation_means_smaller_weights() {
        let (train, classes) = samples(3);
        let rows: Vec<&[f32]> = train.iter().map(Vec::as_slice).collect();
        let problem = Problem::new(&rows, &classes, 20, 200, 0.5);
        let at = problem.solve();
        let probabilities: Vec<f64> = problem.rows.iter().map(|row| sigmoid(dot(row, &at))).collect();
        let gradient = problem.gradient(&at, &probabilities);
        assert!(dot(&gradient, &gradient).sqrt() < 1e-6);
        let size = |strength| {
            let learned = LinearClassifier::fit(&rows, &classes, strength).unwrap();
            learned.weights.iter().map(|w| w * w).sum::<f32>()
        };
        assert!(size(10.0) < 0.5 * size(0.1));
    }

    #[test]
    fn what_cannot_be_learned_is_refused_and_a_constant_feature_is_harmless() {
        let rows: [&[f32]; 4] = [&[1.0, 7.0], &[2.0, 7.0], &[-1.0, 7.0], &[-2.0, 7.0]];
        assert!(LinearClassifier::fit(&rows, &[true; 4], 1.0).is_err());
        assert!(LinearClassifier::fit(&[], &[], 1.0).is_err());
        assert!(LinearClassifier::fit(&rows, &[true, true, false, false], 0.0).is_err());
        assert!(LinearClassifier::fit(&[&[f32::NAN], &[1.0]], &[true, false], 1.0).is_err());
        let learned = LinearClassifier::fit(&rows, &[true, true, false, false], 1.0).unwrap();
        assert!(learned.weights[0] > 0.0 && learned.weights[1] == 0.0, "{learned:?}");
    }
}
