//! Accuracy over listed pairs, as the LFW protocol states it.

use crate::comparisons::compare_rows;
use crate::{Collection, Measure, Rate, StatsError};

/// A listed comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labelled {
    /// Dissimilarity.
    pub d2: f32,
    /// Whether both pictures are of one person.
    pub same: bool,
}

/// The best threshold over some pairs, and how many it tells right.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accuracy {
    /// Pairs told right.
    pub right: u64,
    /// Pairs.
    pub pairs: u64,
    /// right / pairs.
    pub accuracy: f64,
    /// Lower end of the 95 % interval, as if pairs were independent (Clopper & Pearson).
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The threshold: halfway between two of the pairs' values.
    pub d2: f32,
}

/// Accuracy over k folds.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldAccuracy {
    /// Mean over the folds.
    pub mean: f64,
    /// Standard error of the mean: the folds' standard deviation / sqrt(k).
    pub standard_error: f64,
    /// Accuracy of each fold and the threshold that the others chose for it.
    pub folds: Vec<(f64, f32)>,
}

/// Compares pairs of pictures, by their rows, in the order given.
///
/// # Errors
/// When a pair names a picture that is not there.
pub fn labelled(
    collection: &Collection,
    measure: &dyn Measure,
    pairs: &[(u32, u32)],
) -> Result<Vec<Labelled>, StatsError> {
    let one = |(i, pair): (usize, &(u32, u32))| {
        let d2 = compare_rows(collection, measure, i, *pair)?;
        Ok(Labelled { d2, same: collection.person(pair.0 as usize) == collection.person(pair.1 as usize) })
    };
    pairs.iter().enumerate().map(one).collect()
}

/// The threshold that tells most pairs right, chosen on the very pairs it is measured on (LFW's View 1): a little
/// optimistic. `None` without pairs.
#[must_use]
pub fn best_accuracy(pairs: &[Labelled]) -> Option<Accuracy> {
    let (d2, right) = best_threshold(pairs.iter())?;
    let errors = Rate::independent(pairs.len() as u64 - right, pairs.len() as u64, 0);
    let (low, high) = (1.0 - errors.high, 1.0 - errors.low);
    Some(Accuracy { right, pairs: errors.trials, accuracy: 1.0 - errors.rate, low, high, d2 })
}

/// Accuracy over folds, the threshold of each chosen on all others (LFW's View 2; Huang et al., 2007).
///
/// # Errors
/// With fewer than two folds, or an empty one.
pub fn fold_accuracy(folds: &[Vec<Labelled>]) -> Result<FoldAccuracy, StatsError> {
    let bad = |fold| StatsError::Folds { fold, folds: folds.len() };
    if folds.len() < 2 {
        return Err(bad(0));
    }
    let mut results = Vec::with_capacity(folds.len());
    for (i, fold) in folds.iter().enumerate() {
        let others = folds.iter().enumerate().filter(|(j, _)| *j != i).flat_map(|(_, pairs)| pairs);
        let (d2, _) = best_threshold(others).ok_or_else(|| bad(i))?;
        let right = fold.iter().filter(|pair| (pair.d2 <= d2) == pair.same).count();
        if fold.is_empty() {
            return Err(bad(i));
        }
        results.push((right as f64 / fold.len() as f64, d2));
    }
    let k = results.len() as f64;
    let mean = results.iter().map(|(accuracy, _)| accuracy).sum::<f64>() / k;
    let variance = results.iter().map(|(accuracy, _)| (accuracy - mean).powi(2)).sum::<f64>() / (k - 1.0);
    Ok(FoldAccuracy { mean, standard_error: (variance / k).sqrt(), folds: results })
}

/// The best threshold and how many pairs it tells right; of equally good ones the strictest.
fn best_threshold<'a>(pairs: impl Iterator<Item = &'a Labelled>) -> Option<(f32, u64)> {
    let mut pairs: Vec<&Labelled> = pairs.collect();
    pairs.sort_unstable_by(|a, b| a.d2.total_cmp(&b.d2));
    let first = pairs.first()?;
    let mut right = pairs.iter().filter(|pair| !pair.same).count() as u64;
    let mut best = (first.d2.next_down(), right);
    for (i, pair) in pairs.iter().enumerate() {
        right = if pair.same { right + 1 } else { right - 1 };
        let next = pairs.get(i + 1).map_or(pair.d2, |next| next.d2);
        let apart = next > pair.d2 || i + 1 == pairs.len();
        if apart && right > best.1 {
            let middle = pair.d2 + (next - pair.d2) / 2.0;
            best = (if middle.is_finite() && middle < next { middle } else { pair.d2 }, right);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(f32, bool)]) -> Vec<Labelled> {
        values.iter().map(|(d2, same)| Labelled { d2: *d2, same: *same }).collect()
    }

    #[test]
    fn the_best_threshold_lies_between_the_kinds() {
        let got = best_accuracy(&pairs(&[(0.2, true), (0.9, true), (1.1, false), (1.5, true), (1.8, false)])).unwrap();
        assert_eq!((got.right, got.pairs), (4, 5));
        assert!((got.d2 - 1.0).abs() < 1e-6 && got.low < 0.8 && got.high > 0.8, "{got:?}");
        assert!(best_accuracy(&[]).is_none());
        let ties = best_accuracy(&pairs(&[(1.0, true), (1.0, false), (1.0, true)])).unwrap();
        assert_eq!(ties.right, 2);
        let strangers = best_accuracy(&pairs(&[(1.0, false), (f32::INFINITY, false)])).unwrap();
        assert!(strangers.right == 2 && strangers.d2 < 1.0);
    }

    #[test]
    fn a_fold_has_no_part_in_its_own_threshold() {
        let easy = pairs(&[(0.5, true), (1.5, false)]);
        let odd = pairs(&[(1.4, true), (1.6, false)]);
        let got = fold_accuracy(&[easy.clone(), easy.clone(), odd.clone()]).unwrap();
        assert_eq!(got.folds[2], (0.5, 1.0), "its own best threshold would be 1.5");
        // By hand: 1, 1, 1/2.
        assert!((got.mean - 2.5 / 3.0).abs() < 1e-9);
        assert!((got.standard_error - (0.5f64 / 3.0 / 2.0 / 3.0).sqrt()).abs() < 1e-9, "{got:?}");
        assert!(fold_accuracy(std::slice::from_ref(&easy)).is_err());
        assert_eq!(fold_accuracy(&[easy, vec![], odd]), Err(StatsError::Folds { fold: 1, folds: 3 }));
    }
}
