//! 1:N open-set identification with one reference a person: FNIR at stated FPIR.
//!
//! ```text
//! Collection ──draw──▶ references, probes ──search──▶ Search (nearest, runner-up) ──fnir_at_fpir──▶ IdentificationPoint
//! ```
//! The layers stand apart: whoever averages several pictures into a probe builds the collection of probes himself and calls
//! [`search`]; whoever normalises scores by a cohort gives [`search`] an [`Adjust`]; whoever subtracts the margin to the
//! runner-up changes `score` in the searches before [`fnir_at_fpir`].

use crate::bootstrap::{Scored, above, thresholds};
use crate::comparisons::number;
use crate::rate::{COMPARISONS_MIN, Estimate, PEOPLE_MIN, Rate, Unsupported};
use crate::verification::{people_in, supported};
use crate::{Bootstrap, Collection, Measure, StatsError};
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use std::collections::HashSet;

/// Probes searched at a time.
const BLOCK: usize = 64;

/// A gallery and the probes to search in it, by rows of the collection that they were drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draw {
    /// One picture of each person in the gallery.
    pub references: Vec<u32>,
    /// All other pictures of those people.
    pub mated: Vec<u32>,
    /// All pictures of everybody else.
    pub impostors: Vec<u32>,
    /// People in the gallery who have no other picture, and so no mated search. They are taken only when those with two
    /// pictures are too few to fill it.
    pub fillers: u32,
}

/// A search of one probe in a gallery.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    /// The probe: its row in the collection of probes ([`identify`]: in the whole collection).
    pub probe: u32,
    /// Whose probe it is.
    pub person: u32,
    /// That person is in the gallery.
    pub mated: bool,
    /// That person is the nearest.
    pub correct: bool,
    /// What the threshold is put to: `nearest_d2`, unless the caller transforms it. Smaller is more alike.
    pub score: f32,
    /// Dissimilarity to the nearest person.
    pub nearest_d2: f32,
    /// Dissimilarity to the nearest other person; infinite when there is none.
    pub runner_up_d2: f32,
}

/// Turns the dissimilarity of a probe (its row) and a reference (its row) into another one; see [`search`].
pub type Adjust<'a> = dyn Fn(usize, usize, f32) -> f32 + Sync + 'a;

/// A point of operation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IdentificationPoint {
    /// The false positive identification rate asked for; the threshold's is at most this.
    pub fpir: f64,
    /// The threshold, with its interval.
    pub threshold: Estimate,
    /// Searches of strangers, over all draws.
    pub impostor_searches: u64,
    /// Those that found somebody.
    pub false_positives: u64,
    /// Strangers.
    pub impostor_people: u32,
    /// Mated searches, over all draws, in which the person was not the nearest or not at or below the threshold. Its
    /// interval is that of drawing people anew, with the threshold's uncertainty in it.
    pub fnir: Rate,
}

/// Draws a gallery of `gallery` people. The same seed and number of draw give the same one.
///
/// # Errors
/// When nobody would be left to be a stranger.
pub fn draw(collection: &Collection, gallery: usize, seed: u64, number: u32) -> Result<Draw, StatsError> {
    let mut pictures: Vec<Vec<u32>> = vec![vec![]; collection.people()];
    for (i, person) in collection.persons().iter().enumerate() {
        pictures[*person as usize].push(i as u32);
    }
    pictures.retain(|pictures| !pictures.is_empty());
    if gallery == 0 || pictures.len() <= gallery {
        return Err(StatsError::GalleryTooLarge { gallery, people: pictures.len() });
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::from(number));
    pictures.shuffle(&mut rng);
    // Stable: still in random order within both kinds.
    pictures.sort_by_key(|pictures| pictures.len() < 2);
    let mut drawn = Draw { references: vec![], mated: vec![], impostors: vec![], fillers: 0 };
    for (i, mut pictures) in pictures.into_iter().enumerate() {
        if i >= gallery {
            drawn.impostors.extend(pictures);
            continue;
        }
        drawn.fillers += u32::from(pictures.len() == 1);
        drawn.references.push(pictures.swap_remove(rng.random_range(0..pictures.len())));
        drawn.mated.extend(pictures);
    }
    Ok(drawn)
}

/// Searches every probe among all references; a person may have several, the nearest counts. People's numbers must mean
/// the same in both collections, and their vectors must be of one length.
///
/// `adjust` is applied to every comparison before the nearest is looked for: the place for cohort normalisation.
///
/// # Errors
/// When the vectors differ in length.
pub fn search(
    references: &Collection,
    probes: &Collection,
    measure: &dyn Measure,
    adjust: Option<&Adjust>,
) -> Result<Vec<Search>, StatsError> {
    let dim = references.dim();
    if probes.dim() != dim {
        return Err(StatsError::Shape { dim, values: probes.len() * probes.dim(), people: probes.len() });
    }
    let enrolled: HashSet<u32> = references.persons().iter().copied().collect();
    let block = |from: usize| {
        let to = (from + BLOCK).min(probes.len());
        let mut out = vec![0.0; (to - from) * references.len()];
        measure.block(dim, probes.rows(from, to), references.rows(0, references.len()), &mut out);
        let one = |probe: usize| {
            let row = &mut out[(probe - from) * references.len()..][..references.len()];
            for (reference, d2) in row.iter_mut().enumerate() {
                *d2 = number(adjust.map_or(*d2, |adjust| adjust(probe, reference, *d2)));
            }
            let person = probes.person(probe);
            nearest(row, references.persons(), probe as u32, person, enrolled.contains(&person))
        };
        (from..to).map(one).collect::<Vec<_>>()
    };
    Ok((0..probes.len()).into_par_iter().step_by(BLOCK).flat_map_iter(block).collect())
}

fn nearest(row: &[f32], persons: &[u32], probe: u32, person: u32, mated: bool) -> Search {
    let (mut first, mut second) = ((f32::INFINITY, None), f32::INFINITY);
    for (d2, other) in row.iter().zip(persons) {
        if first.1 == Some(*other) {
            first.0 = first.0.min(*d2);
        } else if *d2 < first.0 {
            second = first.0;
            first = (*d2, Some(*other));
        } else {
            second = second.min(*d2);
        }
    }
    let correct = first.1 == Some(person);
    Search { probe, person, mated, correct, score: first.0, nearest_d2: first.0, runner_up_d2: second }
}

/// Draws `draws` galleries and searches every other picture in them; the searches of each draw.
///
/// # Errors
/// When nobody would be left to be a stranger.
pub fn identify(
    collection: &Collection,
    measure: &dyn Measure,
    gallery: usize,
    draws: u32,
    seed: u64,
) -> Result<Vec<Vec<Search>>, StatsError> {
    let one = |i| {
        let Draw { references, mut mated, impostors, .. } = draw(collection, gallery, seed, i)?;
        mated.extend(impostors);
        let mut searches = search(&collection.select(&references), &collection.select(&mated), measure, None)?;
        for search in &mut searches {
            search.probe = mated[search.probe as usize];
        }
        Ok(searches)
    };
    (0..draws).map(one).collect()
}

/// FNIR at each FPIR, over the searches of all draws together: one threshold serves all of them.
///
/// A search made again in another draw tells little that is new. So a point is supported only when at least
/// [`COMPARISONS_MIN`] *different* probes of at least [`PEOPLE_MIN`] strangers are behind its false positives, however many
/// draws were made; and the interval draws people anew, each with all his searches.
#[must_use]
pub fn fnir_at_fpir(
    searches: &[Search],
    fpirs: &[f64],
    bootstrap: &Bootstrap,
) -> Vec<Result<IdentificationPoint, Unsupported>> {
    let trials = Trials::new(searches);
    let mut rates: Vec<f64> = fpirs.to_vec();
    rates.sort_unstable_by(f64::total_cmp);
    let replicates = bootstrap.run(&trials.present, trials.nobody, |times, _| {
        let total: f64 = trials.impostors.iter().map(|trial| f64::from(trial.weight(times))).sum();
        let allowed: Vec<f64> = rates.iter().map(|fpir| fpir * total).collect();
        let taus = thresholds(&trials.impostors, times, &allowed);
        let fnirs = above(&trials.mated, times, &taus);
        (taus, fnirs)
    });
    let point = |fpir: &f64| {
        let at = rates.partition_point(|rate| rate < fpir);
        let strangers = people_in(&trials.impostors, trials.nobody);
        let mates = people_in(&trials.mated, trials.nobody);
        supported(*fpir, trials.impostor_probes, strangers.min(mates))?;
        let all = vec![1; trials.nobody + 1];
        let d2 = thresholds(&trials.impostors, &all, &[fpir * trials.impostors.len() as f64 * (1.0 + 1e-12)])[0];
        trials.behind(*fpir, d2)?;
        let threshold = Estimate::bootstrapped(d2, replicates.iter().map(|(taus, _)| taus[at]));
        let missed = trials.mated.len() - trials.mated.partition_point(|trial| trial.d2 <= d2);
        let fnirs = replicates.iter().map(|(_, fnirs)| fnirs[at]).collect();
        Ok(IdentificationPoint {
            fpir: *fpir,
            threshold,
            impostor_searches: trials.impostors.len() as u64,
            false_positives: trials.impostors.partition_point(|trial| trial.d2 <= d2) as u64,
            impostor_people: strangers,
            fnir: Rate::bootstrapped(missed as u64, trials.mated.len() as u64, mates, fnirs),
        })
    };
    fpirs.iter().map(point).collect()
}

/// Searches by kind, sorted by score.
pub(crate) struct Trials {
    /// A mated search that found another person counts as infinitely far.
    pub mated: Vec<Scored>,
    pub impostors: Vec<Scored>,
    /// Score and (probe, person) of each search of a stranger, sorted by score.
    strangers: Vec<(f32, u32, u32)>,
    impostor_probes: u64,
    pub present: Vec<u32>,
    pub nobody: usize,
}

impl Trials {
    pub fn new(searches: &[Search]) -> Self {
        let nobody = searches.iter().map(|s| s.person as usize + 1).max().unwrap_or(0);
        let scored = |search: &Search| {
            let found = !search.mated || search.correct;
            let d2 = if found { number(search.score) } else { f32::INFINITY };
            Scored { d2, people: [search.person, nobody as u32] }
        };
        let of = |mated: bool| {
            let mut kind: Vec<Scored> = searches.iter().filter(|s| s.mated == mated).map(scored).collect();
            kind.sort_unstable_by(|a, b| a.d2.total_cmp(&b.d2));
            kind
        };
        let mut strangers: Vec<(f32, u32, u32)> =
            searches.iter().filter(|s| !s.mated).map(|s| (number(s.score), s.probe, s.person)).collect();
        strangers.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let impostor_probes = strangers.iter().map(|s| s.1).collect::<HashSet<_>>().len() as u64;
        let people: HashSet<u32> = searches.iter().map(|s| s.person).collect();
        let mut present: Vec<u32> = people.into_iter().collect();
        present.sort_unstable();
        Self { mated: of(true), impostors: of(false), strangers, impostor_probes, present, nobody }
    }

    /// Whether enough different probes and people are behind the false positives at this threshold.
    fn behind(&self, fpir: f64, d2: f32) -> Result<(), Unsupported> {
        let false_positives = &self.strangers[..self.strangers.partition_point(|s| s.0 <= d2)];
        let probes = false_positives.iter().map(|s| s.1).collect::<HashSet<_>>().len() as u64;
        let people = false_positives.iter().map(|s| s.2).collect::<HashSet<_>>().len() as u32;
        if probes < COMPARISONS_MIN {
            let more = COMPARISONS_MIN as f64 / probes.max(1) as f64;
            let needed = (self.impostor_probes as f64 * more).ceil() as u64;
            return Err(Unsupported::TooFewComparisons { fmr: fpir, comparisons: self.impostor_probes, needed });
        }
        if people < PEOPLE_MIN {
            return Err(Unsupported::TooFewPeople { fmr: fpir, people, needed: PEOPLE_MIN });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::{Independent, faces, numbered};
    use crate::{Distance, KEEP_DEFAULT, all_pairs};
    use gate_core::threshold::{fmr_for, fpir};
    use proptest::prelude::*;

    const QUICK: Bootstrap = Bootstrap { replicates: 200, seed: 1 };

    #[test]
    fn fpir_is_one_minus_the_chance_that_all_comparisons_fail() {
        // Scores are uniform in 0..1, so the false match rate at a threshold is the threshold.
        let scores = Independent { quantile: |p| p, seed: 1 };
        let all = numbered((0..6000).chain(0..50).collect());
        for n in [20u32, 100, 500] {
            let references = all.select(&(0..n).collect::<Vec<_>>());
            let probes = all.select(&(n..6050).collect::<Vec<_>>());
            let searches = search(&references, &probes, &scores, None).unwrap();
            for fmr in [1e-4, 1e-3] {
                let strangers: Vec<_> = searches.iter().filter(|s| !s.mated).collect();
                let positives = strangers.iter().filter(|s| f64::from(s.nearest_d2) <= fmr).count() as u64;
                let rate = Rate::independent(positives, strangers.len() as u64, strangers.len() as u32);
                let told = fpir(fmr, n as usize);
                assert!(rate.low <= told && told <= rate.high, "N = {n}: {told} is not in {rate:?}");
            }
            // And backwards: the threshold measured by searches is the one that the policy computes.
            let at = fnir_at_fpir(&searches, &[1e-1], &QUICK)[0].unwrap().threshold;
            let told = fmr_for(1e-1, n as usize) as f32;
            assert!(at.low <= told && told <= at.high, "N = {n}: {told} is not in {at:?}");
        }
    }

    #[test]
    fn a_larger_gallery_is_harder() {
        let faces = faces(900, 3, 24, 0.55, 4);
        let point = |gallery| {
            let searches = identify(&faces, &Distance, gallery, 4, 7).unwrap().concat();
            fnir_at_fpir(&searches, &[3e-2], &QUICK)[0].unwrap()
        };
        let (small, large) = (point(20), point(500));
        assert!(small.threshold.d2 > large.threshold.d2 && small.fnir.rate < large.fnir.rate, "{small:?} {large:?}");
        for point in [small, large] {
            assert!(point.fnir.low <= point.fnir.rate && point.fnir.rate <= point.fnir.high, "{point:?}");
            assert!(point.false_positives as f64 <= point.fpir * point.impostor_searches as f64);
        }
        // The same people by comparisons: the policy's reading of the impostor table must not promise more than searches show.
        let fmr = all_pairs(&faces, &Distance, KEEP_DEFAULT, &|_| ()).fmr(large.threshold.d2);
        let told = fpir(fmr, 500);
        assert!((2e-2..6e-2).contains(&told), "{told} told, 3e-2 measured");
    }

    #[test]
    fn the_same_strangers_again_are_no_more_evidence() {
        let faces = faces(300, 2, 24, 0.5, 4);
        let one = identify(&faces, &Distance, 100, 1, 7).unwrap().concat();
        let again = one.repeat(50);
        let got = fnir_at_fpir(&again, &[1e-1, 1e-2], &QUICK);
        assert_eq!(got[0].unwrap().impostor_searches, 400 * 50);
        assert_eq!(got[1], Err(Unsupported::TooFewComparisons { fmr: 1e-2, comparisons: 400, needed: 3000 }));
        assert!(fnir_at_fpir(&[], &[1e-1], &QUICK)[0].is_err());
    }

    #[test]
    fn people_with_one_picture_fill_a_gallery_and_are_counted() {
        // 0..10 have three pictures, 10..30 one.
        let collection = numbered((0..10).flat_map(|p| [p; 3]).chain(10..30).collect());
        let small = draw(&collection, 6, 1, 0).unwrap();
        assert_eq!((small.references.len(), small.mated.len(), small.impostors.len(), small.fillers), (6, 12, 32, 0));
        let large = draw(&collection, 15, 1, 0).unwrap();
        assert_eq!((large.references.len(), large.mated.len(), large.impostors.len(), large.fillers), (15, 20, 15, 5));
        assert_eq!(draw(&collection, 6, 1, 0).unwrap(), small);
        assert_ne!(draw(&collection, 6, 1, 1).unwrap(), small);
        assert!(matches!(draw(&collection, 30, 1, 0), Err(StatsError::GalleryTooLarge { gallery: 30, people: 30 })));
        assert!(draw(&collection, 0, 1, 0).is_err());
    }

    #[test]
    fn scores_can_be_adjusted_before_the_nearest_is_found() {
        let gallery = Collection::new(2, vec![1.0, 0.0, 0.0, 1.0], vec![0, 1]).unwrap();
        let probe = Collection::new(2, vec![0.8, 0.6], vec![1]).unwrap();
        let plain = search(&gallery, &probe, &Distance, None).unwrap()[0];
        assert!(plain.mated && !plain.correct && (plain.nearest_d2 - 0.4).abs() < 1e-6);
        // Reference 0 looks like everybody.
        let adjust = |_: usize, reference: usize, d2: f32| if reference == 0 { d2 + 1.0 } else { d2 };
        let adjusted = search(&gallery, &probe, &Distance, Some(&adjust)).unwrap()[0];
        assert!(adjusted.correct && (adjusted.runner_up_d2 - 1.4).abs() < 1e-6);
        let odd = Collection::new(1, vec![1.0], vec![1]).unwrap();
        assert!(search(&gallery, &odd, &Distance, None).is_err());
    }

    proptest! {
        #[test]
        fn a_search_equals_brute_force(seed in 0u64..1000, people in 1u32..20) {
            let references = faces(people, 2, 6, 0.5, seed);
            let probes = faces(people + 3, 1, 6, 0.5, seed + 1);
            for found in search(&references, &probes, &Distance, None).unwrap() {
                let probe = probes.row(found.probe as usize);
                let mut all: Vec<(f32, u32)> =
                    (0..references.len()).map(|i| (Distance.compare(references.row(i), probe), references.person(i))).collect();
                all.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
                let other = all.iter().find(|x| x.1 != all[0].1).map_or(f32::INFINITY, |x| x.0);
                prop_assert!((found.nearest_d2 - all[0].0).abs() < 1e-5);
                prop_assert!(found.runner_up_d2 == other || (found.runner_up_d2 - other).abs() < 1e-5);
                prop_assert_eq!(found.mated, found.person < people);
                prop_assert_eq!(found.correct, found.person == all[0].1);
            }
        }
    }
}
