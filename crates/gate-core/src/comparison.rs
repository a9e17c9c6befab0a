//! How two encodings are compared: by their plain distance, or by a verification head learned from labelled pairs.
//!
//! ```text
//! encoding ──Adapter (learned, optional)──▶ unit vector ─┬─▶ Distance    d² = ||a - b||²
//!                                                        ├─▶ Logistic    sum w_k |a_k - b_k| + bias
//!                                                        └─▶ ChiSquare   sum w_k (a_k - b_k)² / (|a_k| + |b_k|) + bias
//! ```
//! Verification is a binary classification here, y = sigmoid(z); z and the threshold are brought onto the scale of d² when
//! the head is trained, so smaller is more alike whichever comparison is in force.

use crate::similarity::{dissimilarity, dot, normalise};

/// A verification head: one weight for each element of the vectors, and a bias, on the scale of d².
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Head<'a> {
    /// One for each element.
    pub weights: &'a [f32],
    /// Added at the end.
    pub bias: f32,
}

/// How two vectors of equal length are compared; smaller is more alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Comparison<'a> {
    /// d², the squared distance of unit vectors.
    #[default]
    Distance,
    /// The logistic head over |a_k - b_k|.
    Logistic(Head<'a>),
    /// The head over (a_k - b_k)² / (|a_k| + |b_k|).
    ///
    /// A chi-square distance is made for histograms, which have no signs. Split each signed element into its positive and
    /// its negative part and both are histograms; the distance over the two together is exactly this term, bounded by
    /// |a_k| + |b_k|, and 0 where both are 0.
    ChiSquare(Head<'a>),
}

impl Comparison<'_> {
    /// How unlike `a` and `b` are. NaN when an input is; a comparison with NaN is never a match.
    #[must_use]
    pub fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Comparison::Distance => dissimilarity(a, b),
            Comparison::Logistic(head) => head.sum(a, b, |x, y| (x - y).abs()),
            Comparison::ChiSquare(head) => head.sum(a, b, chi_square),
        }
    }
}

impl Head<'_> {
    /// Weighted sum of the feature of each element, plus the bias. Eight running sums, as in [`dot`].
    #[inline]
    fn sum(&self, a: &[f32], b: &[f32], feature: impl Fn(f32, f32) -> f32) -> f32 {
        let mut sums = [0.0f32; 8];
        let (a8, a_rest) = a.as_chunks::<8>();
        let (b8, b_rest) = b.as_chunks::<8>();
        let (w8, w_rest) = self.weights.as_chunks::<8>();
        for ((a, b), w) in a8.iter().zip(b8).zip(w8) {
            for k in 0..8 {
                sums[k] += w[k] * feature(a[k], b[k]);
            }
        }
        let rest: f32 = a_rest.iter().zip(b_rest).zip(w_rest).map(|((a, b), w)| w * feature(*a, *b)).sum();
        sums.iter().sum::<f32>() + rest + self.bias
    }
}

/// The chi-square term of one element.
#[must_use]
#[inline]
pub fn chi_square(a: f32, b: f32) -> f32 {
    // The smallest normal number keeps 0/0 out and changes nothing else.
    (a - b) * (a - b) / (a.abs() + b.abs()).max(f32::MIN_POSITIVE)
}

/// A learned map on top of a frozen encoder: unit(W x + b).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adapter<'a> {
    dim_in: usize,
    weights: &'a [f32],
    bias: &'a [f32],
}

impl<'a> Adapter<'a> {
    /// `weights` row by row, as many rows as `bias` has elements; `None` when the lengths do not fit together.
    #[must_use]
    pub fn new(dim_in: usize, weights: &'a [f32], bias: &'a [f32]) -> Option<Self> {
        let fits = dim_in > 0 && !bias.is_empty() && Some(weights.len()) == bias.len().checked_mul(dim_in);
        fits.then_some(Self { dim_in, weights, bias })
    }

    /// Length of the vectors that come out.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.bias.len()
    }

    /// Maps `x` to a unit vector; `false` when a length does not fit or the result has no direction.
    #[must_use]
    pub fn apply(&self, x: &[f32], out: &mut [f32]) -> bool {
        if x.len() != self.dim_in || out.len() != self.bias.len() {
            return false;
        }
        for ((row, bias), y) in self.weights.chunks_exact(self.dim_in).zip(self.bias).zip(out.iter_mut()) {
            *y = dot(row, x) + bias;
        }
        normalise(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    const WEIGHTS: [f32; 11] = [0.5, 1.0, 0.0, 2.0, 1.5, 0.25, 1.0, 1.0, 3.0, 0.75, 1.0];

    /// The chi-square distance of two histograms, from its definition.
    fn histograms(a: &[f32], b: &[f32], weights: &[f32]) -> f64 {
        let term = |x: f64, y: f64| if x + y > 0.0 { (x - y) * (x - y) / (x + y) } else { 0.0 };
        let parts = |x: f32| (f64::from(x.max(0.0)), f64::from((-x).max(0.0)));
        let pairs = a.iter().zip(b).zip(weights);
        pairs
            .map(|((a, b), w)| {
                let ((ap, an), (bp, bn)) = (parts(*a), parts(*b));
                f64::from(*w) * (term(ap, bp) + term(an, bn))
            })
            .sum()
    }

    proptest! {
        #[test]
        fn chi_square_is_that_of_positive_and_negative_parts(
            a in proptest::collection::vec(-1.0f32..1.0, 11),
            b in proptest::collection::vec(-1.0f32..1.0, 11),
        ) {
            let head = Head { weights: &WEIGHTS, bias: 0.25 };
            let got = f64::from(Comparison::ChiSquare(head).compare(&a, &b));
            prop_assert!((got - 0.25 - histograms(&a, &b, &WEIGHTS)).abs() < 1e-4);
        }

        #[test]
        fn comparing_has_no_direction(
            a in proptest::collection::vec(-1.0f32..1.0, 11),
            b in proptest::collection::vec(-1.0f32..1.0, 11),
        ) {
            let head = Head { weights: &WEIGHTS, bias: 0.1 };
            for comparison in [Comparison::Distance, Comparison::Logistic(head), Comparison::ChiSquare(head)] {
                prop_assert_eq!(comparison.compare(&a, &b), comparison.compare(&b, &a));
            }
        }

        #[test]
        fn the_logistic_sum_is_its_definition(
            a in proptest::collection::vec(-1.0f32..1.0, 11),
            b in proptest::collection::vec(-1.0f32..1.0, 11),
        ) {
            let head = Head { weights: &WEIGHTS, bias: -0.5 };
            let want: f32 = a.iter().zip(&b).zip(&WEIGHTS).map(|((a, b), w)| w * (a - b).abs()).sum::<f32>() - 0.5;
            prop_assert!((Comparison::Logistic(head).compare(&a, &b) - want).abs() < 1e-4);
        }
    }

    #[test]
    fn a_vector_that_is_not_a_number_is_never_near() {
        let head = Head { weights: &WEIGHTS, bias: 0.0 };
        let (bad, good) = ([f32::NAN; 11], [0.1; 11]);
        for comparison in [Comparison::Distance, Comparison::Logistic(head), Comparison::ChiSquare(head)] {
            let d = comparison.compare(&bad, &good);
            assert!(d.is_nan(), "{comparison:?} gives {d}");
        }
    }

    #[test]
    fn the_identity_changes_nothing_and_odd_shapes_are_refused() {
        let eye: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect();
        let identity = Adapter::new(3, &eye, &[0.0; 3]).unwrap();
        let mut out = [0.0; 3];
        assert!(identity.apply(&[0.6, 0.8, 0.0], &mut out));
        assert!((out[0] - 0.6).abs() < 1e-6 && (out[1] - 0.8).abs() < 1e-6 && out[2].abs() < 1e-6);
        assert!(!identity.apply(&[0.6, 0.8], &mut out));
        assert!(!identity.apply(&[0.0; 3], &mut out), "no direction");
        assert!(Adapter::new(3, &eye, &[0.0; 2]).is_none());
        assert!(Adapter::new(0, &[], &[]).is_none());
    }
}
