//! The 1:N search: who, of everybody enrolled, is nearest to a probe?
//!
//! Every reference is compared, or, by its code, shown to change nothing: the answer is the same ([`crate::codes`]).

use crate::codes::{Codes, LANES, Line, Probe, dot_needed};
use crate::comparison::Comparison;
use crate::person::PersonKey;
use crate::similarity::dissimilarity;

/// All references, packed: row `i` is `references[i * dim..][..dim]`, a unit vector that belongs to `owners[i]`.
#[derive(Clone, Copy, Debug)]
pub struct Gallery<'a> {
    dim: usize,
    references: &'a [f32],
    owners: &'a [PersonKey],
    codes: Option<Codes<'a>>,
}

/// The outcome of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// The nearest person.
    pub person: PersonKey,
    /// Dissimilarity d² to that person's nearest reference.
    pub d2: f32,
    /// Dissimilarity d² to the nearest reference of anybody else; `None` when nobody else is enrolled.
    pub runner_up_d2: Option<f32>,
}

impl<'a> Gallery<'a> {
    /// Wraps packed references; `None` when the lengths do not fit together.
    #[must_use]
    pub fn new(dim: usize, references: &'a [f32], owners: &'a [PersonKey]) -> Option<Self> {
        (dim > 0 && references.len() == owners.len().checked_mul(dim)?).then_some(Self {
            dim,
            references,
            owners,
            codes: None,
        })
    }

    /// The same with the codes that [`crate::codes::pack`] made of these references, which make a search by distance
    /// faster. Codes of another length are not used.
    #[must_use]
    pub fn with_codes(self, codes: &'a [Line]) -> Self {
        Self { codes: Codes::new(self.dim, self.len(), codes), ..self }
    }

    /// How many references a search compares against.
    #[must_use]
    pub fn len(&self) -> usize {
        self.owners.len()
    }

    /// Whether nobody is enrolled.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Finds the nearest person and the nearest other one; see [`search`].
    #[must_use]
    pub fn search(&self, probe: &[f32], comparison: &Comparison<'_>) -> Option<Nearest> {
        search([*self], probe, comparison)
    }

    fn compare_all(&self, compare: impl Fn(&[f32]) -> f32, best: &mut Option<Nearest>) -> usize {
        for (row, owner) in self.references.chunks_exact(self.dim).zip(self.owners) {
            take(best, *owner, compare(row));
        }
        self.len()
    }

    /// The same rows in the same order, less those that [`take`] would do nothing with.
    fn compare_by_codes(&self, codes: Codes<'_>, probe: &Probe<'_>, best: &mut Option<Nearest>) -> usize {
        let (mut from, mut compared) = (0, 0);
        while let Some((block, bounds)) = codes.first_above(from, probe, needed(best.as_ref(), None)) {
            let first = block * LANES;
            let rows = self.references[first * self.dim..].chunks_exact(self.dim).zip(&self.owners[first..]);
            for ((row, owner), bound) in rows.zip(bounds) {
                if bound > needed(best.as_ref(), Some(*owner)) {
                    take(best, *owner, probe.dissimilarity(row));
                    compared += 1;
                }
            }
            from = block + 1;
        }
        compared
    }
}

/// Finds the nearest person and the nearest other one in all of these galleries, as if they were one.
///
/// `None` where they are empty or the probe is of another length. Of equally near people the first row wins. A row that
/// compares to NaN is nearest to nobody.
#[must_use]
pub fn search<'a>(
    galleries: impl IntoIterator<Item = Gallery<'a>>,
    probe: &[f32],
    comparison: &Comparison<'_>,
) -> Option<Nearest> {
    search_counted(galleries, probe, comparison).0
}

/// The same, and how many references were compared in full.
#[must_use]
pub fn search_counted<'a>(
    galleries: impl IntoIterator<Item = Gallery<'a>>,
    probe: &[f32],
    comparison: &Comparison<'_>,
) -> (Option<Nearest>, usize) {
    let coded = Probe::new(probe).filter(|_| matches!(comparison, Comparison::Distance));
    let (mut best, mut compared) = (None, 0);
    for gallery in galleries.into_iter().filter(|gallery| gallery.dim == probe.len()) {
        compared += match (comparison, gallery.codes.zip(coded.as_ref())) {
            (_, Some((codes, coded))) => gallery.compare_by_codes(codes, coded, &mut best),
            // Told apart here, so that the plain distance's loop has no branch in it.
            (Comparison::Distance, None) => gallery.compare_all(|row| dissimilarity(row, probe), &mut best),
            (head, None) => gallery.compare_all(|row| head.compare(row, probe), &mut best),
        };
    }
    (best, compared)
}

/// Takes one more row into the outcome: the row of `owner`, at `d2`.
#[inline]
fn take(best: &mut Option<Nearest>, owner: PersonKey, d2: f32) {
    match best {
        None if d2.is_nan() => {}
        None => *best = Some(Nearest { person: owner, d2, runner_up_d2: None }),
        Some(best) if best.person == owner => best.d2 = best.d2.min(d2),
        // A new best: the old one, another person, is the runner-up.
        Some(best) if d2 < best.d2 => {
            *best = Nearest { person: owner, d2, runner_up_d2: Some(best.d2) };
        }
        Some(best) if best.runner_up_d2.is_none_or(|other| d2 < other) && !d2.is_nan() => {
            best.runner_up_d2 = Some(d2);
        }
        Some(_) => {}
    }
}

/// A row whose dot product with the probe is not above this changes nothing in [`take`]: a row of `owner`, or of anybody.
#[inline]
fn needed(best: Option<&Nearest>, owner: Option<PersonKey>) -> f32 {
    let d2 = best.and_then(|best| if owner == Some(best.person) { Some(best.d2) } else { best.runner_up_d2 });
    // Without a runner-up, any row may be the one.
    d2.map_or(f32::NEG_INFINITY, dot_needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::similarity::normalise;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// The definition, written the slow way.
    fn brute_force(dim: usize, references: &[f32], owners: &[PersonKey], probe: &[f32]) -> Option<(f32, Option<f32>)> {
        let all: Vec<(PersonKey, f32)> =
            references.chunks(dim).zip(owners).map(|(row, owner)| (*owner, dissimilarity(row, probe))).collect();
        let best = all.iter().min_by(|a, b| a.1.total_cmp(&b.1))?;
        let other = all.iter().filter(|(owner, _)| *owner != best.0).map(|(_, d2)| *d2).min_by(f32::total_cmp);
        Some((best.1, other))
    }

    proptest! {
        #[test]
        fn search_equals_brute_force(seed in proptest::collection::vec(-1.0f32..1.0, 13 * 9), owners in proptest::collection::vec(0u32..4, 12)) {
            let mut rows = seed;
            for row in rows.chunks_mut(9) {
                prop_assume!(normalise(row));
            }
            let (references, probe) = rows.split_at(12 * 9);
            let owners: Vec<PersonKey> = owners.into_iter().map(PersonKey).collect();
            let found = Gallery::new(9, references, &owners).unwrap().search(probe, &Comparison::Distance).unwrap();
            let (d2, runner_up) = brute_force(9, references, &owners, probe).unwrap();
            prop_assert!((found.d2 - d2).abs() < 1e-5);
            prop_assert_eq!(found.runner_up_d2.is_some(), runner_up.is_some());
            if let (Some(got), Some(want)) = (found.runner_up_d2, runner_up) {
                prop_assert!((got - want).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn several_references_of_one_person_are_no_runner_up() {
        let owners = [PersonKey(1), PersonKey(1)];
        let found = Gallery::new(2, &[1.0, 0.0, 0.0, 1.0], &owners)
            .unwrap()
            .search(&[1.0, 0.0], &Comparison::Distance)
            .unwrap();
        assert_eq!(found, Nearest { person: PersonKey(1), d2: 0.0, runner_up_d2: None });
    }

    #[test]
    fn a_row_or_probe_that_is_not_a_number_is_nobody() {
        let owners = [PersonKey(1), PersonKey(2), PersonKey(3)];
        let gallery = Gallery::new(2, &[f32::NAN, 0.0, 0.0, 1.0, f32::NAN, 0.0], &owners).unwrap();
        let found = gallery.search(&[0.0, 1.0], &Comparison::Distance).unwrap();
        assert_eq!(found, Nearest { person: PersonKey(2), d2: 0.0, runner_up_d2: None });
        assert!(gallery.search(&[f32::NAN, 0.0], &Comparison::Distance).is_none());
    }

    #[test]
    fn what_does_not_fit_finds_nobody() {
        assert!(Gallery::new(2, &[1.0], &[PersonKey(1)]).is_none());
        assert!(Gallery::new(2, &[], &[]).unwrap().search(&[1.0, 0.0], &Comparison::Distance).is_none());
        assert!(Gallery::new(1, &[1.0], &[PersonKey(1)]).unwrap().search(&[1.0, 0.0], &Comparison::Distance).is_none());
    }
}
