//! A rate that can be stated, and the refusal to state one.

use statrs::distribution::{Beta, ContinuousCDF};
use thiserror::Error;

/// Fewest comparisons (or searches) that must be behind a threshold for its error rate to be stated: with 30 of them the
/// true rate is within about a factor of 1.4 of the measured one even if they were independent ("rule of 30",
/// Doddington et al., The NIST speaker recognition evaluation, 2000).
pub const COMPARISONS_MIN: u64 = 30;

/// Fewest people that an interval is drawn from.
pub const PEOPLE_MIN: u32 = 5;

/// An error rate with what stands behind it. The interval holds the true rate in 95 % of measurements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Errors seen.
    pub errors: u64,
    /// Trials made.
    pub trials: u64,
    /// People behind the trials.
    pub people: u32,
    /// errors / trials.
    pub rate: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval; never 0.
    pub high: f64,
}

/// A threshold, or another number on the scale of d², with its 95 % interval; `low` is the strict end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// Best estimate.
    pub d2: f32,
    /// Lower end, at most `d2`.
    pub low: f32,
    /// Upper end, at least `d2`.
    pub high: f32,
}

/// A claim that the data cannot support.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum Unsupported {
    /// Too few comparisons (or searches) at this rate.
    #[error("{fmr:.0e} cannot be stated: {comparisons} impostor trials, and it takes {needed}")]
    TooFewComparisons {
        /// The FMR (or FPIR) asked for.
        fmr: f64,
        /// Impostor comparisons, or different probes of strangers.
        comparisons: u64,
        /// How many it takes.
        needed: u64,
    },
    /// Too few people: the next one may change everything.
    #[error("{fmr:.0e} cannot be stated: {people} people behind it, and it takes {needed}")]
    TooFewPeople {
        /// The FMR (or FPIR) asked for.
        fmr: f64,
        /// People with a trial of the kind that is missing.
        people: u32,
        /// How many it takes.
        needed: u32,
    },
}

/// The exact 95 % interval of a binomial rate (Clopper & Pearson, 1934), for trials that are independent.
///
/// With no trials nothing is known: (0, 1).
#[must_use]
pub fn clopper_pearson(errors: u64, trials: u64) -> (f64, f64) {
    let errors = errors.min(trials);
    let quantile = |a: u64, b: u64, p: f64| Beta::new(a as f64, b as f64).map(|beta| beta.inverse_cdf(p));
    let low = if errors == 0 { 0.0 } else { quantile(errors, trials - errors + 1, 0.025).unwrap_or(0.0) };
    let high = if errors == trials { 1.0 } else { quantile(errors + 1, trials - errors, 0.975).unwrap_or(1.0) };
    (low, high)
}

impl Rate {
    /// A rate with the interval of independent trials, one for each person (or whatever is drawn at random).
    #[must_use]
    pub fn independent(errors: u64, trials: u64, people: u32) -> Self {
        let (low, high) = clopper_pearson(errors, trials);
        Self { errors, trials, people, rate: errors as f64 / trials.max(1) as f64, low, high }
    }

    /// A rate with the interval of bootstrap replicates, never narrower than that of as many independent trials.
    ///
    /// Trials that hang together tell less than independent ones, so the binomial interval is the least that is due; it
    /// also serves where errors are few and replicates of them are all alike. With no error at all every replicate has
    /// none, and the interval would be [0, 0]. Then the trial is the *person*: each has passed, and the bound is that of
    /// 0 errors in so many people. That is cautious, since it grants nothing for several trials of one person.
    pub(crate) fn bootstrapped(errors: u64, trials: u64, people: u32, replicates: Vec<f64>) -> Self {
        let plain = Self::independent(errors, trials, people);
        let (low, high) = percentiles(replicates).unwrap_or((plain.low, plain.high));
        let by_person = if errors == 0 { clopper_pearson(0, u64::from(people)).1 } else { 0.0 };
        Self { low: low.min(plain.low), high: high.max(plain.high).max(by_person), ..plain }
    }
}

impl Estimate {
    pub(crate) fn bootstrapped(d2: f32, replicates: impl Iterator<Item = f32>) -> Self {
        let (low, high) = percentiles(replicates.map(f64::from).collect()).unwrap_or((d2.into(), d2.into()));
        Self { d2, low: (low as f32).min(d2), high: (high as f32).max(d2) }
    }
}

/// The middle 95 % of the finite ones; `None` when there are none.
fn percentiles(mut values: Vec<f64>) -> Option<(f64, f64)> {
    values.retain(|x| x.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)? as f64;
    Some((values[(0.025 * last).floor() as usize], values[(0.975 * last).ceil() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clopper_pearson_gives_the_published_values() {
        // R: binom.test(x, n)$conf.int
        for (errors, trials, low, high) in
            [(0, 10, 0.0, 0.308_497_1), (1, 10, 0.002_528_579, 0.445_016_1), (5, 1000, 0.001_625_347, 0.011_628_66)]
        {
            let got = clopper_pearson(errors, trials);
            assert!((got.0 - low).abs() < 1e-5 && (got.1 - high).abs() < 1e-5, "{errors}/{trials}: {got:?}");
        }
        assert_eq!(clopper_pearson(10, 10).1, 1.0);
        assert_eq!(clopper_pearson(0, 0), (0.0, 1.0));
    }

    #[test]
    fn no_error_is_no_zero_and_counts_people_not_trials() {
        let rate = Rate::bootstrapped(0, 1_000_000, 20, vec![0.0; 400]);
        assert_eq!((rate.rate, rate.low), (0.0, 0.0));
        assert!((rate.high - clopper_pearson(0, 20).1).abs() < 1e-12 && rate.high > 0.1, "{rate:?}");
    }
}
