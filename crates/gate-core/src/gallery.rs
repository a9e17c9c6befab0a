//! The 1:N search: who, of everybody enrolled, is nearest to a probe?

use crate::comparison::Comparison;
use crate::person::PersonKey;
use crate::similarity::dissimilarity;

/// All references, packed: row `i` is `references[i * dim..][..dim]`, a unit vector that belongs to `owners[i]`.
#[derive(Clone, Copy, Debug)]
pub struct Gallery<'a> {
    dim: usize,
    references: &'a [f32],
    owners: &'a [PersonKey],
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
        (dim > 0 && references.len() == owners.len().checked_mul(dim)?).then_some(Self { dim, references, owners })
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

    /// Finds the nearest person and the nearest other one, by exhaustive search.
    ///
    /// `None` for an empty gallery or a probe of another length. Of equally near people the first row wins. A row that
    /// compares to NaN is nearest to nobody.
    #[must_use]
    pub fn search(&self, probe: &[f32], comparison: &Comparison<'_>) -> Option<Nearest> {
        if probe.len() != self.dim {
            return None;
        }
        match comparison {
            // Told apart here, so that the plain distance's loop has no branch in it.
            Comparison::Distance => self.nearest(|row| dissimilarity(row, probe)),
            head => self.nearest(|row| head.compare(row, probe)),
        }
    }

    fn nearest(&self, compare: impl Fn(&[f32]) -> f32) -> Option<Nearest> {
        let mut best: Option<Nearest> = None;
        for (row, owner) in self.references.chunks_exact(self.dim).zip(self.owners) {
            let d2 = compare(row);
            match &mut best {
                None if d2.is_nan() => {}
                None => best = Some(Nearest { person: *owner, d2, runner_up_d2: None }),
                Some(best) if best.person == *owner => best.d2 = best.d2.min(d2),
                // A new best: the old one, another person, is the runner-up.
                Some(best) if d2 < best.d2 => {
                    *best = Nearest { person: *owner, d2, runner_up_d2: Some(best.d2) };
                }
                Some(best) if best.runner_up_d2.is_none_or(|other| d2 < other) && !d2.is_nan() => {
                    best.runner_up_d2 = Some(d2);
                }
                Some(_) => {}
            }
        }
        best
    }
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
