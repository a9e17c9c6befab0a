//! Encodings and how far apart they are.
//!
//! An encoder maps a face to a unit vector; the dissimilarity of two faces is d² = ||f(a) - f(b)||², 0..=4.

use libm::sqrtf;

/// Dot product. Eight running sums, so that the compiler can use vector registers.
#[must_use]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (chunks_a, chunks_b) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail: f32 = chunks_a.remainder().iter().zip(chunks_b.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in chunks_a.zip(chunks_b) {
        for k in 0..8 {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f32>() + tail
}

/// Dissimilarity d² of two unit vectors of equal length, 0..=4. NaN when an input is, so that it is never a match.
#[must_use]
pub fn dissimilarity(a: &[f32], b: &[f32]) -> f32 {
    let d2 = 2.0 - 2.0 * dot(a, b);
    // Rounding can take it a little below 0. Not `max`, which would turn NaN into a perfect match.
    if d2 < 0.0 { 0.0 } else { d2 }
}

/// Scales `v` to unit length in place; `false` (and `v` untouched) when it is not finite or has no length.
#[must_use]
pub fn normalise(v: &mut [f32]) -> bool {
    let norm = sqrtf(dot(v, v));
    if !norm.is_finite() || norm < 1e-6 {
        return false;
    }
    for x in v {
        *x /= norm;
    }
    true
}

/// unit(v - mean) in place; `false` when the lengths differ, or the result is not finite or has no length.
#[must_use]
pub fn centre(v: &mut [f32], mean: &[f32]) -> bool {
    if v.len() != mean.len() {
        return false;
    }
    for (x, m) in v.iter_mut().zip(mean) {
        *x -= m;
    }
    normalise(v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn dissimilarity_is_the_squared_distance(mut a in proptest::collection::vec(-1.0f32..1.0, 131), mut b in proptest::collection::vec(-1.0f32..1.0, 131)) {
            prop_assume!(normalise(&mut a) && normalise(&mut b));
            let direct: f32 = a.iter().zip(&b).map(|(x, y)| (x - y) * (x - y)).sum();
            prop_assert!((dissimilarity(&a, &b) - direct).abs() < 1e-4);
            prop_assert!(dissimilarity(&a, &a) < 1e-5);
        }
    }

    #[test]
    fn vectors_without_direction_are_refused() {
        assert!(!normalise(&mut [0.0; 4]));
        assert!(!normalise(&mut [f32::NAN, 1.0]));
    }
}
