//! The impostor table, and what lies beyond its last measured point.
//!
//! The excesses of a distribution beyond a high threshold tend to a generalised Pareto distribution (Pickands 1975;
//! Balkema & de Haan 1974). Here the extreme is the *nearest*: with u the dissimilarity that a small part zeta of all impostor
//! comparisons reaches, x = u - d2 of those is fitted, and the threshold at a rarer FMR is
//!
//! ```text
//! d2(fmr) = u - scale * ((zeta / fmr)^shape - 1) / shape
//! ```
//! An extrapolation is a belief about what was not seen. It is marked as such, has an interval, and its strict end serves.

use crate::bootstrap::Scored;
use crate::rate::{Estimate, PEOPLE_MIN};
use crate::verification::{people_in, threshold_at_fmr};
use crate::{Bootstrap, Comparisons, StatsError, Unsupported};
use rand::RngExt;

/// Fewest comparisons in a tail that is fitted.
const TAIL_MIN: usize = 200;

/// A generalised Pareto fit of the nearest impostors, with bootstrap replicates of it.
#[derive(Clone, Debug)]
pub struct Tail {
    fit: Fit,
    replicates: Vec<Fit>,
    comparisons: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Fit {
    fraction: f64,
    u: f64,
    scale: f64,
    shape: f64,
}

/// A point of the impostor table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TablePoint {
    /// False match rate per comparison.
    pub fmr: f64,
    /// The threshold, best estimate.
    pub d2: f32,
    /// Strict end of its 95 % interval.
    pub low: f32,
    /// Loose end.
    pub high: f32,
    /// Impostor comparisons at or below `d2`; 0 when extrapolated.
    pub comparisons: u64,
    /// From the fitted tail.
    pub extrapolated: bool,
}

impl TablePoint {
    /// The threshold that a policy may use: the measured one, or the strict end of an extrapolated one.
    #[must_use]
    pub fn strict(&self) -> f32 {
        if self.extrapolated { self.low } else { self.d2 }
    }
}

impl Tail {
    /// Fits the nearest `fraction` of all impostor comparisons (0.001 to 0.003 is usual), or of those kept if they are fewer.
    ///
    /// By probability-weighted moments (Hosking & Wallis, 1987), sound for shapes below 1/2. Where the tail begins is a
    /// choice; each replicate draws its own, from half to twice the fraction, so the interval has that choice in it.
    ///
    /// # Errors
    /// When fewer than 200 comparisons, or fewer than [`PEOPLE_MIN`] people, are in the tail.
    pub fn fit(comparisons: &Comparisons, fraction: f64, bootstrap: &Bootstrap) -> Result<Self, StatsError> {
        let near = comparisons.scored(comparisons.nearest_impostors());
        let kept = near.len() as f64 / comparisons.impostors().max(1) as f64;
        // Half of what was kept, so that a replicate may take twice as much, and some more.
        let fraction = fraction.min(0.4 * kept);
        let found = (fraction * comparisons.impostors() as f64) as usize;
        let nobody = comparisons.pictures().len();
        if found < TAIL_MIN || people_in(&near[..found], nobody) < PEOPLE_MIN {
            return Err(StatsError::TailTooShort { found, needed: TAIL_MIN });
        }
        let all = vec![1; nobody + 1];
        let short = StatsError::TailTooShort { found, needed: TAIL_MIN };
        let fit = Fit::new(&near, &all, comparisons.impostors() as f64, fraction).ok_or(short)?;
        let replicates = bootstrap.run(&comparisons.present(), nobody, |times, rng| {
            let total = comparisons.impostor_weight(&near, times);
            let fraction = fraction * 2f64.powf(rng.random_range(-1.0..1.0));
            Fit::new(&near, times, total, fraction)
        });
        Ok(Self { fit, replicates: replicates.into_iter().flatten().collect(), comparisons: found })
    }

    /// The threshold at this false match rate, with its interval. `None` outside the tail: there it is measured.
    #[must_use]
    pub fn d2_at(&self, fmr: f64) -> Option<Estimate> {
        // Below half the fraction every replicate is in its own tail.
        if !(fmr > 0.0 && fmr <= 0.49 * self.fit.fraction) {
            return None;
        }
        let d2 = self.fit.d2_at(fmr);
        Some(Estimate::bootstrapped(d2, self.replicates.iter().map(|fit| fit.d2_at(fmr))))
    }

    /// The shape of the fit: below 0 the tail ends somewhere, at 0 it falls exponentially, above 0 as a power.
    #[must_use]
    pub fn shape(&self) -> f64 {
        self.fit.shape
    }

    /// The scale of the fit, in units of d².
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.fit.scale
    }

    /// The part of the comparisons that was fitted.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        self.fit.fraction
    }

    /// Comparisons in the fitted tail.
    #[must_use]
    pub fn comparisons(&self) -> usize {
        self.comparisons
    }
}

impl Fit {
    /// Fits the nearest `fraction` of the `total` weight; `None` when nothing varies there.
    fn new(near: &[Scored], times: &[u32], total: f64, fraction: f64) -> Option<Self> {
        let (mut end, mut weight) = (0, 0.0);
        while end < near.len() && weight < fraction * total {
            weight += f64::from(near[end].weight(times));
            end += 1;
        }
        let u = f64::from(near.get(end).or(near.last())?.d2);
        // From the smallest excess to the largest: a0 = mean of x, a1 = mean of x (1 - F(x)).
        let (mut below, mut a0, mut a1) = (0.0, 0.0, 0.0);
        for trial in near[..end].iter().rev() {
            let w = f64::from(trial.weight(times));
            let x = u - f64::from(trial.d2);
            a0 += w * x;
            a1 += w * x * (1.0 - (below + 0.5 * w) / weight);
            below += w;
        }
        let (a0, a1) = (a0 / weight, a1 / weight);
        let shape = 2.0 - a0 / (a0 - 2.0 * a1);
        let scale = 2.0 * a0 * a1 / (a0 - 2.0 * a1);
        (shape.is_finite() && scale.is_finite() && scale > 0.0).then_some(Self {
            fraction: weight / total,
            u,
            scale,
            shape,
        })
    }

    fn d2_at(&self, fmr: f64) -> f32 {
        let logs = (self.fraction / fmr).ln();
        // (e^(shape logs) - 1) / shape, which is logs where the shape is 0.
        let reach = if self.shape.abs() < 1e-9 { logs } else { (self.shape * logs).exp_m1() / self.shape };
        (self.u - self.scale * reach) as f32
    }
}

/// The impostor distribution for a card, loosest first: two points a decade from 1e-1, measured as far as
/// [`COMPARISONS_MIN`](crate::COMPARISONS_MIN) comparisons reach, and from the tail beyond, down to `limit` (such as 1e-8).
///
/// Where no tail can be fitted the table ends with what was measured. [`TablePoint::strict`] never grows from one point to
/// the next, and `low` of an extrapolated point is at most the strictest measured threshold.
///
/// # Errors
/// When not even the loosest point is supported.
pub fn impostor_table(
    comparisons: &Comparisons,
    fraction: f64,
    limit: f64,
    bootstrap: &Bootstrap,
) -> Result<Vec<TablePoint>, Unsupported> {
    let fmrs: Vec<f64> = (1..=12)
        .flat_map(|decade| [format!("1e-{decade}"), format!("3e-{}", decade + 1)])
        .filter_map(|text| text.parse().ok())
        .take_while(|fmr| *fmr >= limit * (1.0 - 1e-9))
        .collect();
    let measured = threshold_at_fmr(comparisons, &fmrs, bootstrap);
    let tail = Tail::fit(comparisons, fraction, bootstrap).ok();
    let mut points: Vec<TablePoint> = Vec::with_capacity(fmrs.len());
    for (fmr, measured) in fmrs.into_iter().zip(measured) {
        let before = points.last().copied();
        let point = match (measured, before) {
            (Ok((at, comparisons)), _) => {
                TablePoint { fmr, d2: at.d2, low: at.low, high: at.high, comparisons, extrapolated: false }
            }
            (Err(why), None) => return Err(why),
            (Err(_), Some(before)) => {
                let Some(at) = tail.as_ref().and_then(|tail| tail.d2_at(fmr)) else { break };
                let d2 = at.d2.min(before.d2);
                let (low, high) = (at.low.min(before.strict()).min(d2), at.high.min(before.high).max(d2));
                TablePoint { fmr, d2, low, high, comparisons: 0, extrapolated: true }
            }
        };
        points.push(point);
    }
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Clustered, Independent, NOISE, WOLF, clustered, faces, numbered};
    use crate::{Distance, KEEP_DEFAULT, all_pairs};
    use gate_core::threshold::{ImpostorPoint, ImpostorTable};
    use statrs::distribution::{ContinuousCDF, Normal};

    /// Of 20 measurements, in how many does the interval at 1e-7 hold the truth? 2e5 comparisons each.
    fn held(quantile: fn(f64) -> f64) -> (u32, f64) {
        let (mut held, mut shape) = (0, 0.0);
        for seed in 0..20 {
            let people = numbered((0..640).collect());
            let comparisons = all_pairs(&people, &Independent { quantile, seed }, 20_000, &|_| ());
            let tail = Tail::fit(&comparisons, 0.01, &Bootstrap { replicates: 100, seed: 1 }).unwrap();
            let at = tail.d2_at(1e-7).unwrap();
            assert!(at.low <= at.d2 && at.d2 <= at.high);
            let truth = quantile(1e-7) as f32;
            held += u32::from(at.low <= truth && truth <= at.high);
            shape += tail.shape() / 20.0;
        }
        (held, shape)
    }

    #[test]
    fn the_interval_holds_the_truth_that_lies_far_beyond_the_data() {
        // A tail that ends at 0, P(d2 < x) = (x / 1.2)^10: exactly Pareto, shape -1/10.
        let (times, shape) = held(|p| 1.2 * p.powf(0.1));
        assert!(times >= 18 && (shape + 0.1).abs() < 0.05, "{times} of 20, shape {shape}");
        // A tail that never ends, P(d2 < x) = e^(10 (x - 2)): shape 0.
        let (times, shape) = held(|p| 2.0 + 0.1 * p.ln());
        assert!(times >= 18 && shape.abs() < 0.05, "{times} of 20, shape {shape}");
    }

    #[test]
    fn the_strict_end_is_safe_where_people_look_alike_and_the_tail_is_no_pareto() {
        let impostor = Normal::new(2.0, (2.0 * WOLF * WOLF + NOISE * NOISE).sqrt()).unwrap();
        let truth = impostor.inverse_cdf(1e-7) as f32;
        let safe = |seed: &u64| {
            let people = clustered(640, 1, *seed);
            let comparisons = all_pairs(&people, &Clustered { seed: *seed }, 20_000, &|_| ());
            let tail = Tail::fit(&comparisons, 0.01, &Bootstrap { replicates: 100, seed: 1 }).unwrap();
            tail.d2_at(1e-7).unwrap().low <= truth
        };
        let times = (0..20).filter(safe).count();
        assert!(times >= 18, "{times} of 20");
    }

    #[test]
    fn a_fit_on_few_people_foretells_what_many_measure() {
        let few = all_pairs(&faces(900, 1, 24, 0.5, 5), &Distance, KEEP_DEFAULT, &|_| ());
        let many = all_pairs(&faces(4500, 1, 24, 0.5, 6), &Distance, KEEP_DEFAULT, &|_| ());
        let tail = Tail::fit(&few, 2e-3, &Bootstrap::default()).unwrap();
        // 4e5 comparisons support 1e-4; 1e7 support 3e-6.
        for fmr in [1e-5, 3e-6] {
            let (told, truth) = (tail.d2_at(fmr).unwrap(), many.threshold(fmr).unwrap().0);
            assert!(told.low <= truth && truth <= told.high, "{fmr}: {told:?} does not hold {truth}");
            assert!(told.high - told.low < 0.4, "{fmr}: {told:?} says nothing");
        }
    }

    #[test]
    fn the_table_is_one_that_the_policy_takes() {
        let comparisons = all_pairs(&faces(600, 2, 24, 0.5, 9), &Distance, KEEP_DEFAULT, &|_| ());
        let points = impostor_table(&comparisons, 2e-3, 1e-8, &Bootstrap { replicates: 100, seed: 1 }).unwrap();
        assert_eq!((points[0].fmr, points[1].fmr, points.last().unwrap().fmr), (1e-1, 3e-2, 1e-8));
        for point in &points {
            assert!(point.low <= point.d2 && point.d2 <= point.high && point.low.is_finite(), "{point:?}");
            assert_eq!(point.extrapolated, point.fmr * (comparisons.impostors() as f64) < 30.0, "{point:?}");
            assert_eq!(point.extrapolated, point.comparisons == 0);
        }
        for pair in points.windows(2) {
            assert!(pair[1].d2 <= pair[0].d2 && pair[1].strict() <= pair[0].strict(), "{pair:?}");
        }
        let given: Vec<ImpostorPoint> =
            points.iter().map(|p| ImpostorPoint { fmr: p.fmr, d2: p.strict(), extrapolated: p.extrapolated }).collect();
        assert!(ImpostorTable::new(&given).unwrap().threshold(1e-3, 1000).extrapolated);
    }

    #[test]
    fn where_nothing_can_be_fitted_the_table_ends_with_what_was_measured() {
        let small = all_pairs(&faces(60, 1, 24, 0.5, 9), &Distance, KEEP_DEFAULT, &|_| ());
        let points = impostor_table(&small, 2e-3, 1e-8, &Bootstrap::default()).unwrap();
        assert_eq!(points.iter().map(|p| (p.fmr, p.extrapolated)).collect::<Vec<_>>(), [(0.1, false), (0.03, false)]);
        assert!(matches!(
            Tail::fit(&small, 2e-3, &Bootstrap::default()),
            Err(StatsError::TailTooShort { found: 3, .. })
        ));
        let alone = all_pairs(&faces(1, 4, 24, 0.5, 9), &Distance, KEEP_DEFAULT, &|_| ());
        assert!(impostor_table(&alone, 2e-3, 1e-8, &Bootstrap::default()).is_err());
    }
}
