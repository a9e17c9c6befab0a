//! 1:1 verification: FNMR at stated FMR, the DET curve, histograms.

use crate::bootstrap::{Scored, above, thresholds};
use crate::rate::{COMPARISONS_MIN, Estimate, PEOPLE_MIN, Rate, Unsupported};
use crate::{Bootstrap, Comparisons};

/// The false match rates that are reported.
pub const FMR_TARGETS: [f64; 6] = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6];

/// A point of operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VerificationPoint {
    /// The false match rate asked for; the threshold's is at most this.
    pub fmr: f64,
    /// The threshold that has it, with its interval.
    pub threshold: Estimate,
    /// Impostor comparisons in all.
    pub impostors: u64,
    /// Impostor comparisons at or below the threshold.
    pub false_matches: u64,
    /// Genuine comparisons above the threshold. Its interval has the threshold's uncertainty in it.
    pub fnmr: Rate,
}

/// A point of the DET curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DetPoint {
    /// False match rate at the threshold.
    pub fmr: f64,
    /// False non-match rate at the threshold.
    pub fnmr: f64,
    /// The threshold.
    pub d2: f32,
}

/// Counts of comparisons in equal bins from `from` to `to`.
#[derive(Clone, Debug, PartialEq)]
pub struct Histograms {
    /// Lower edge of the first bin.
    pub from: f32,
    /// Upper edge of the last.
    pub to: f32,
    /// Genuine comparisons in each bin.
    pub genuine: Vec<u64>,
    /// Impostor comparisons in each bin.
    pub impostors: Vec<u64>,
}

/// FNMR at each false match rate, with intervals by drawing people anew; in the order given.
#[must_use]
pub fn fnmr_at_fmr(
    comparisons: &Comparisons,
    fmrs: &[f64],
    bootstrap: &Bootstrap,
) -> Vec<Result<VerificationPoint, Unsupported>> {
    let genuine = comparisons.scored(comparisons.genuine());
    let people = people_in(&genuine, comparisons.pictures().len());
    let few = |fmr| Unsupported::TooFewPeople { fmr, people, needed: PEOPLE_MIN };
    let measured = measure(comparisons, fmrs, bootstrap, &genuine);
    let point = |(fmr, measured): (&f64, Result<Measured, Unsupported>)| {
        let Measured { threshold, false_matches, fnmrs } = measured?;
        if people < PEOPLE_MIN {
            return Err(few(*fmr));
        }
        let within = genuine.partition_point(|trial| trial.d2 <= threshold.d2);
        let errors = (genuine.len() - within) as u64;
        let fnmr = Rate::bootstrapped(errors, genuine.len() as u64, people, fnmrs);
        Ok(VerificationPoint { fmr: *fmr, threshold, impostors: comparisons.impostors(), false_matches, fnmr })
    };
    fmrs.iter().zip(measured).map(point).collect()
}

/// The threshold at each false match rate and how many impostor comparisons it lets match; needs no genuine comparison.
#[must_use]
pub fn threshold_at_fmr(
    comparisons: &Comparisons,
    fmrs: &[f64],
    bootstrap: &Bootstrap,
) -> Vec<Result<(Estimate, u64), Unsupported>> {
    let measured = measure(comparisons, fmrs, bootstrap, &[]);
    measured.into_iter().map(|point| point.map(|m| (m.threshold, m.false_matches))).collect()
}

struct Measured {
    threshold: Estimate,
    false_matches: u64,
    /// Of each replicate.
    fnmrs: Vec<f64>,
}

/// Whether so many comparisons of so many people support a rate.
pub(crate) fn supported(fmr: f64, comparisons: u64, people: u32) -> Result<(), Unsupported> {
    // Rounding must not refuse 30 of 300 at 1e-1.
    if fmr * comparisons as f64 * (1.0 + 1e-12) < COMPARISONS_MIN as f64 {
        let needed = (COMPARISONS_MIN as f64 / fmr * (1.0 - 1e-12)).ceil() as u64;
        return Err(Unsupported::TooFewComparisons { fmr, comparisons, needed });
    }
    if people < PEOPLE_MIN {
        return Err(Unsupported::TooFewPeople { fmr, people, needed: PEOPLE_MIN });
    }
    Ok(())
}

/// People with a trial among these.
pub(crate) fn people_in(trials: &[Scored], nobody: usize) -> u32 {
    let mut seen = vec![false; nobody + 1];
    for person in trials.iter().flat_map(|trial| trial.people) {
        seen[person as usize] = true;
    }
    seen[..nobody].iter().filter(|seen| **seen).count() as u32
}

fn measure(
    comparisons: &Comparisons,
    fmrs: &[f64],
    bootstrap: &Bootstrap,
    genuine: &[Scored],
) -> Vec<Result<Measured, Unsupported>> {
    let nobody = comparisons.pictures().len();
    let near = comparisons.scored(comparisons.nearest_impostors());
    let sample = if comparisons.complete() { vec![] } else { comparisons.scored(comparisons.sample()) };
    let people = people_in(&near, nobody).max(people_in(&sample, nobody));
    let support: Vec<_> = fmrs.iter().map(|fmr| supported(*fmr, comparisons.impostors(), people)).collect();
    let mut rates: Vec<f64> = fmrs.iter().zip(&support).filter(|(_, s)| s.is_ok()).map(|(fmr, _)| *fmr).collect();
    rates.sort_unstable_by(f64::total_cmp);
    // A replicate needs more or fewer of the nearest; beyond what was surely kept the sample stands for all.
    let most = if comparisons.complete() { f64::INFINITY } else { 0.8 * near.len() as f64 };
    let exact = rates.partition_point(|fmr| fmr * comparisons.impostors() as f64 <= most);
    let replicates = bootstrap.run(&comparisons.present(), nobody, |times, _| {
        let total = comparisons.impostor_weight(&near, times);
        let allowed: Vec<f64> = rates[..exact].iter().map(|fmr| fmr * total).collect();
        let mut taus = thresholds(&near, times, &allowed);
        let total: f64 = sample.iter().map(|trial| f64::from(trial.weight(times))).sum();
        let allowed: Vec<f64> = rates[exact..].iter().map(|fmr| fmr * total).collect();
        taus.extend(thresholds(&sample, times, &allowed));
        let fnmrs = above(genuine, times, &taus);
        (taus, fnmrs)
    });
    let point = |fmr: &f64| {
        let at = rates.partition_point(|rate| rate < fmr);
        let (d2, false_matches) = comparisons.threshold(*fmr).unwrap_or((f32::NEG_INFINITY, 0));
        let threshold = Estimate::bootstrapped(d2, replicates.iter().map(|(taus, _)| taus[at]));
        Measured { threshold, false_matches, fnmrs: replicates.iter().map(|(_, fnmrs)| fnmrs[at]).collect() }
    };
    fmrs.iter().zip(support).map(|(fmr, support)| support.map(|()| point(fmr))).collect()
}

/// The DET curve, loosest first: `per_decade` points per decade of FMR, as far as [`COMPARISONS_MIN`] comparisons reach.
/// Empty without genuine comparisons.
#[must_use]
pub fn det(comparisons: &Comparisons, per_decade: u32) -> Vec<DetPoint> {
    let grid = (0..).map(|i| 10f64.powf(-f64::from(i) / f64::from(per_decade.max(1))));
    let reach = COMPARISONS_MIN as f64 / comparisons.impostors() as f64;
    let point = |fmr| {
        let (d2, _) = comparisons.threshold(fmr)?;
        Some(DetPoint { fmr: comparisons.fmr(d2), fnmr: comparisons.fnmr(d2)?, d2 })
    };
    grid.take_while(|fmr| *fmr >= reach).map_while(point).collect()
}

/// The equal error rate and its threshold: for comparing encoders, nothing to operate at. `None` without both kinds.
#[must_use]
pub fn equal_error(comparisons: &Comparisons) -> Option<(f64, f32)> {
    if comparisons.impostors() == 0 {
        return None;
    }
    // FMR grows and FNMR falls along the genuine comparisons: find where they meet.
    let genuine = comparisons.genuine();
    let at =
        genuine.partition_point(|pair| comparisons.fnmr(pair.d2).is_some_and(|fnmr| fnmr > comparisons.fmr(pair.d2)));
    let d2 = genuine.get(at.min(genuine.len().checked_sub(1)?))?.d2;
    Some((comparisons.fnmr(d2)?.midpoint(comparisons.fmr(d2)), d2))
}

/// Both kinds of comparison in `bins` equal bins over the range of all of them, for a plot.
///
/// Comparisons that are infinitely unlike stand in the last bin. Impostor counts come from the fine histogram, so an edge
/// may be off by a 16384th of the range.
#[must_use]
pub fn histograms(comparisons: &Comparisons, bins: usize) -> Histograms {
    let bins = bins.max(1);
    let filled = || comparisons.fine_bins().filter(|(_, count)| *count > 0).map(|(d2, _)| d2);
    let finite = comparisons.genuine().iter().map(|pair| pair.d2).filter(|d2| d2.is_finite());
    let range =
        finite.chain(filled()).fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), d2| (low.min(d2), high.max(d2)));
    let (from, to) = if range.0 < range.1 { range } else { (0.0, 4.0) };
    let mut found = Histograms { from, to, genuine: vec![0; bins], impostors: vec![0; bins] };
    let bin = |d2: f32| (((d2 - from) / (to - from) * bins as f32) as usize).min(bins - 1);
    for pair in comparisons.genuine() {
        found.genuine[bin(pair.d2)] += 1;
    }
    for (d2, count) in comparisons.fine_bins() {
        found.impostors[bin(d2)] += count;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Clustered, HARD, NOISE, WOLF, clustered, faces};
    use crate::{Distance, KEEP_DEFAULT, all_pairs, clopper_pearson};
    use statrs::distribution::{ContinuousCDF, Normal};
    use statrs::statistics::Distribution;

    const QUICK: Bootstrap = Bootstrap { replicates: 200, seed: 1 };

    fn distributions() -> (Normal, Normal) {
        let genuine = Normal::new(0.8, (HARD * HARD + NOISE * NOISE).sqrt()).unwrap();
        (genuine, Normal::new(2.0, (2.0 * WOLF * WOLF + NOISE * NOISE).sqrt()).unwrap())
    }

    #[test]
    fn the_interval_holds_the_truth_as_often_as_it_says() {
        let (genuine, impostor) = distributions();
        let tau = impostor.inverse_cdf(1e-2);
        let fnmr = 1.0 - genuine.cdf(tau);
        let (mut held, mut held_tau, mut held_plain, mut wider) = (0, 0, 0, 0.0);
        for seed in 0..100 {
            let comparisons = all_pairs(&clustered(120, 4, seed), &Clustered { seed }, KEEP_DEFAULT, &|_| ());
            let point = fnmr_at_fmr(&comparisons, &[1e-2], &QUICK)[0].unwrap();
            let (rate, at) = (point.fnmr, point.threshold);
            let plain = clopper_pearson(rate.errors, rate.trials);
            held += u32::from(rate.low <= fnmr && fnmr <= rate.high);
            held_tau += u32::from(f64::from(at.low) <= tau && tau <= f64::from(at.high));
            held_plain += u32::from(plain.0 <= fnmr && fnmr <= plain.1);
            wider += (rate.high - rate.low) / (plain.1 - plain.0) / 100.0;
        }
        assert!(held >= 89, "FNMR in {held} of 100");
        assert!(held_tau >= 89, "threshold in {held_tau} of 100");
        // Comparisons of one person hang together: to take them for independent would claim too much.
        assert!(held_plain < 85 && wider > 1.3, "binomial in {held_plain} of 100, {wider} times narrower");
    }

    #[test]
    fn thinned_impostors_give_the_same_interval() {
        let collection = clustered(300, 5, 3);
        let all = all_pairs(&collection, &Clustered { seed: 3 }, KEEP_DEFAULT, &|_| ());
        let few = all_pairs(&collection, &Clustered { seed: 3 }, 20_000, &|_| ());
        let fmrs = [1e-3, 1e-1];
        for (all, few) in fnmr_at_fmr(&all, &fmrs, &QUICK).into_iter().zip(fnmr_at_fmr(&few, &fmrs, &QUICK)) {
            let (all, few) = (all.unwrap(), few.unwrap());
            for (x, y) in [
                (all.threshold.low, few.threshold.low),
                (all.threshold.d2, few.threshold.d2),
                (all.threshold.high, few.threshold.high),
            ] {
                assert!((x - y).abs() < 0.01, "{all:?} {few:?}");
            }
            assert!((all.fnmr.high - few.fnmr.high).abs() < 0.01 && (all.fnmr.rate - few.fnmr.rate).abs() < 0.002);
        }
    }

    #[test]
    fn stricter_thresholds_refuse_more_and_every_interval_holds_its_rate() {
        let comparisons = all_pairs(&faces(400, 3, 16, 0.6, 2), &Distance, KEEP_DEFAULT, &|_| ());
        let points: Vec<_> = fnmr_at_fmr(&comparisons, &FMR_TARGETS, &QUICK).into_iter().flatten().collect();
        assert_eq!(points.len(), 4, "718,200 comparisons support 1e-1 .. 1e-4");
        for point in &points {
            let VerificationPoint { threshold, fnmr, .. } = point;
            assert!(threshold.low <= threshold.d2 && threshold.d2 <= threshold.high, "{point:?}");
            assert!(fnmr.low <= fnmr.rate && fnmr.rate <= fnmr.high && fnmr.high > 0.0, "{point:?}");
            assert!(point.false_matches as f64 <= point.fmr * point.impostors as f64);
            assert_eq!((fnmr.trials, fnmr.people), (1200, 400));
        }
        assert!(points.windows(2).all(|w| w[1].threshold.d2 < w[0].threshold.d2 && w[1].fnmr.rate >= w[0].fnmr.rate));
        assert_eq!(
            fnmr_at_fmr(&comparisons, &[1e-2], &QUICK)[0].unwrap(),
            points[1],
            "the same seed, the same interval"
        );
    }

    #[test]
    fn what_the_data_cannot_support_is_refused() {
        let singles = all_pairs(&faces(100, 1, 16, 0.5, 2), &Distance, KEEP_DEFAULT, &|_| ());
        let got = fnmr_at_fmr(&singles, &[1e-2, 1e-3], &QUICK);
        assert_eq!(
            got[0],
            Err(Unsupported::TooFewPeople { fmr: 1e-2, people: 0, needed: PEOPLE_MIN }),
            "no genuine one"
        );
        assert_eq!(got[1], Err(Unsupported::TooFewComparisons { fmr: 1e-3, comparisons: 4950, needed: 30_000 }));
        assert!(threshold_at_fmr(&singles, &[1e-2], &QUICK)[0].is_ok(), "a threshold needs no genuine comparison");
        assert!(det(&singles, 4).is_empty() && equal_error(&singles).is_none());
        let three = all_pairs(&faces(3, 60, 16, 0.5, 2), &Distance, KEEP_DEFAULT, &|_| ());
        let got = fnmr_at_fmr(&three, &[1e-2], &QUICK);
        assert_eq!(got[0], Err(Unsupported::TooFewPeople { fmr: 1e-2, people: 3, needed: PEOPLE_MIN }));
        let alone = all_pairs(&faces(1, 9, 16, 0.5, 2), &Distance, KEEP_DEFAULT, &|_| ());
        assert!(fnmr_at_fmr(&alone, &[0.1], &QUICK)[0].is_err() && equal_error(&alone).is_none());
    }

    #[test]
    fn the_curve_falls_and_the_error_rates_meet_where_they_must() {
        let comparisons = all_pairs(&clustered(800, 3, 1), &Clustered { seed: 1 }, KEEP_DEFAULT, &|_| ());
        let curve = det(&comparisons, 4);
        assert_eq!(curve.len(), 20, "2.9e6 comparisons reach from 1 down to 1.8e-5");
        assert!(curve.windows(2).all(|w| w[1].fmr < w[0].fmr && w[1].fnmr >= w[0].fnmr && w[1].d2 < w[0].d2));
        let (genuine, impostor) = distributions();
        let (rate, d2) = equal_error(&comparisons).unwrap();
        // Where (tau - 0.8) / s1 = (2 - tau) / s2.
        let (s1, s2) = (genuine.std_dev().unwrap(), impostor.std_dev().unwrap());
        let tau = (0.8 * s2 + 2.0 * s1) / (s1 + s2);
        assert!((rate - impostor.cdf(tau)).abs() < 0.005 && (f64::from(d2) - tau).abs() < 0.05, "{rate} at {d2}");
    }

    #[test]
    fn histograms_leave_nothing_out() {
        let comparisons = all_pairs(&faces(200, 2, 16, 0.5, 2), &Distance, 100, &|_| ());
        let found = histograms(&comparisons, 40);
        assert_eq!(found.genuine.iter().sum::<u64>(), 200);
        assert_eq!(found.impostors.iter().sum::<u64>(), comparisons.impostors());
        let mean = |counts: &[u64]| {
            counts.iter().enumerate().map(|(i, n)| i as f64 * *n as f64).sum::<f64>()
                / counts.iter().sum::<u64>() as f64
        };
        assert!(found.from < found.to && mean(&found.genuine) + 10.0 < mean(&found.impostors));
    }
}
