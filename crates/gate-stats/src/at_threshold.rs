//! Error rates at a threshold that is given: what a gate in operation has.
//!
//! Here no error at all is an answer too: the rate is 0 of so many, with an upper bound that is not 0. To a claim "FPIR is
//! at most the target" the upper bound is what counts.

use crate::bootstrap::{Scored, above};
use crate::identification::Trials;
use crate::rate::{PEOPLE_MIN, Rate};
use crate::verification::people_in;
use crate::{Bootstrap, Comparisons, Search};

/// Rates of comparison at a threshold. `None` where fewer than [`PEOPLE_MIN`] people have such comparisons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ComparisonRates {
    /// Impostor comparisons at or below the threshold.
    pub fmr: Option<Rate>,
    /// Genuine comparisons above it.
    pub fnmr: Option<Rate>,
}

/// Rates of search at a threshold. `None` where fewer than [`PEOPLE_MIN`] people were searched so.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchRates {
    /// Searches of strangers that found somebody.
    pub fpir: Option<Rate>,
    /// Mated searches that did not find their person.
    pub fnir: Option<Rate>,
}

/// FMR and FNMR at a threshold, with intervals by drawing people anew.
#[must_use]
pub fn rates_at(comparisons: &Comparisons, tau: f32, bootstrap: &Bootstrap) -> ComparisonRates {
    let nobody = comparisons.pictures().len();
    let genuine = comparisons.scored(comparisons.genuine());
    let near = comparisons.scored(comparisons.nearest_impostors());
    let within = near.partition_point(|trial| trial.d2 <= tau);
    // Beyond the nearest that were kept the sample stands for all.
    let exact = within < near.len() || comparisons.complete();
    let sample = if exact { vec![] } else { comparisons.scored(comparisons.sample()) };
    let people = people_in(&near, nobody).max(people_in(&sample, nobody));
    let replicates = bootstrap.run(&comparisons.present(), nobody, |times, _| {
        let weight = |trials: &[Scored]| trials.iter().map(|trial| f64::from(trial.weight(times))).sum::<f64>();
        let fmr = if exact {
            weight(&near[..within]) / comparisons.impostor_weight(&near, times)
        } else {
            1.0 - above(&sample, times, &[tau])[0]
        };
        (fmr, above(&genuine, times, &[tau])[0])
    });
    let (fmrs, fnmrs) = replicates.into_iter().unzip();
    let matches = (comparisons.fmr(tau) * comparisons.impostors() as f64).round() as u64;
    let misses = (genuine.len() - genuine.partition_point(|trial| trial.d2 <= tau)) as u64;
    ComparisonRates {
        fmr: rate(matches, comparisons.impostors(), people, fmrs),
        fnmr: rate(misses, genuine.len() as u64, people_in(&genuine, nobody), fnmrs),
    }
}

/// FPIR and FNIR at a threshold, with intervals by drawing people anew; `score` of each search is what counts.
///
/// Searches of several draws may be given together. Intervals know that they are of the same people.
#[must_use]
pub fn search_rates_at(searches: &[Search], tau: f32, bootstrap: &Bootstrap) -> SearchRates {
    let trials = Trials::new(searches);
    let replicates = bootstrap.run(&trials.present, trials.nobody, |times, _| {
        (1.0 - above(&trials.impostors, times, &[tau])[0], above(&trials.mated, times, &[tau])[0])
    });
    let (fpirs, fnirs) = replicates.into_iter().unzip();
    let within = |trials: &[Scored]| trials.partition_point(|trial| trial.d2 <= tau) as u64;
    let of = |kind: &[Scored], errors, values| rate(errors, kind.len() as u64, people_in(kind, trials.nobody), values);
    SearchRates {
        fpir: of(&trials.impostors, within(&trials.impostors), fpirs),
        fnir: of(&trials.mated, trials.mated.len() as u64 - within(&trials.mated), fnirs),
    }
}

/// The rate of errors among trials of people (person's number, whether it was an error), with an interval by drawing
/// people anew. `None` where there are fewer than [`PEOPLE_MIN`] of them.
#[must_use]
pub fn rate_by_person(trials: &[(u32, bool)], bootstrap: &Bootstrap) -> Option<Rate> {
    let nobody = trials.iter().map(|(person, _)| *person as usize + 1).max()?;
    let mut counts = vec![(0u64, 0u64); nobody];
    for (person, error) in trials {
        let count = &mut counts[*person as usize];
        *count = (count.0 + u64::from(*error), count.1 + 1);
    }
    let present: Vec<u32> = (0..nobody as u32).filter(|person| counts[*person as usize].1 > 0).collect();
    let replicates = bootstrap.run(&present, nobody, |times, _| {
        let drawn =
            counts.iter().zip(times).map(|((errors, trials), n)| (errors * u64::from(*n), trials * u64::from(*n)));
        let (errors, trials) = drawn.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        errors as f64 / trials as f64
    });
    let errors = counts.iter().map(|(errors, _)| errors).sum();
    rate(errors, trials.len() as u64, present.len() as u32, replicates)
}

fn rate(errors: u64, trials: u64, people: u32, replicates: Vec<f64>) -> Option<Rate> {
    (people >= PEOPLE_MIN).then(|| Rate::bootstrapped(errors, trials, people, replicates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Clustered, Independent, clustered, faces, numbered};
    use crate::{Distance, KEEP_DEFAULT, all_pairs, clopper_pearson, fnmr_at_fmr, search};
    use gate_core::threshold::fpir;

    const QUICK: Bootstrap = Bootstrap { replicates: 200, seed: 1 };

    #[test]
    fn a_threshold_has_the_rates_that_it_was_chosen_for() {
        let collection = clustered(200, 4, 5);
        let all = all_pairs(&collection, &Clustered { seed: 5 }, KEEP_DEFAULT, &|_| ());
        let few = all_pairs(&collection, &Clustered { seed: 5 }, 5_000, &|_| ());
        for target in [1e-3, 1e-1] {
            let point = fnmr_at_fmr(&all, &[target], &QUICK)[0].unwrap();
            let rates = rates_at(&all, point.threshold.d2, &QUICK);
            let (fmr, fnmr) = (rates.fmr.unwrap(), rates.fnmr.unwrap());
            assert_eq!((fmr.errors, fmr.trials), (point.false_matches, point.impostors));
            assert_eq!((fnmr.errors, fnmr.trials, fnmr.people), (point.fnmr.errors, point.fnmr.trials, 200));
            assert!(fmr.low < target && target < fmr.high, "{fmr:?}");
            let plain = clopper_pearson(fmr.errors, fmr.trials);
            assert!(fmr.high - fmr.low > 1.3 * (plain.1 - plain.0), "look-alikes hang together: {fmr:?} {plain:?}");
            let thinned = rates_at(&few, point.threshold.d2, &QUICK).fmr.unwrap();
            assert!((thinned.rate / fmr.rate - 1.0).abs() < 0.01 && (thinned.high / fmr.high - 1.0).abs() < 0.05);
        }
    }

    #[test]
    fn one_person_who_always_fails_widens_the_interval_beyond_the_binomial() {
        let trials: Vec<(u32, bool)> = (0..20).flat_map(|person| (0..50).map(move |_| (person, person == 3))).collect();
        let rate = rate_by_person(&trials, &QUICK).unwrap();
        assert_eq!((rate.errors, rate.trials, rate.people), (50, 1000, 20));
        let plain = clopper_pearson(50, 1000);
        assert!(rate.low < plain.0 && rate.high > 1.5 * plain.1, "{rate:?} {plain:?}");
        assert!(rate_by_person(&trials[..200], &QUICK).is_none(), "four people are too few");
        assert!(rate_by_person(&[], &QUICK).is_none());
    }

    #[test]
    fn no_false_match_is_a_bound_and_not_a_zero() {
        let comparisons = all_pairs(&faces(40, 2, 24, 0.3, 1), &Distance, KEEP_DEFAULT, &|_| ());
        let rates = rates_at(&comparisons, 1e-6, &QUICK);
        let (fmr, fnmr) = (rates.fmr.unwrap(), rates.fnmr.unwrap());
        assert!(fmr.errors == 0 && fmr.high > 3.0 / 40.0, "{fmr:?}");
        assert!(fnmr.rate == 1.0 && fnmr.high == 1.0 && fnmr.low < 1.0, "{fnmr:?}");
        let alone = all_pairs(&faces(1, 3, 24, 0.3, 1), &Distance, KEEP_DEFAULT, &|_| ());
        assert_eq!(rates_at(&alone, 1.0, &QUICK), ComparisonRates { fmr: None, fnmr: None });
    }

    #[test]
    fn the_interval_of_fpir_holds_what_independent_comparisons_give() {
        let all = numbered((0..3000).collect());
        let scores = Independent { quantile: |p| p, seed: 3 };
        let references = all.select(&(0..200).collect::<Vec<_>>());
        let probes = all.select(&(200..3000).collect::<Vec<_>>());
        let searches = search(&references, &probes, &scores, None).unwrap();
        for fmr in [1e-4f32, 1e-3] {
            let rates = search_rates_at(&searches, fmr, &QUICK);
            let (got, told) = (rates.fpir.unwrap(), fpir(f64::from(fmr), 200));
            assert!(got.low <= told && told <= got.high && got.high < 2.0 * told, "{told} is not in {got:?}");
            assert_eq!((got.trials, rates.fnir), (2800, None), "nobody was there to be found");
        }
    }
}
