//! Labelled vectors, and people drawn apart.

use crate::error::LearnError;
use candle_core::{Device, Tensor};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

/// Unit vectors of pictures, and whose they are: row i is `vectors[i * dim..][..dim]`, of `person[i]`.
#[derive(Clone, Copy, Debug)]
pub struct Faces<'a> {
    dim: usize,
    vectors: &'a [f32],
    person: &'a [u32],
}

impl<'a> Faces<'a> {
    /// # Errors
    /// When the lengths do not fit together or a number is not finite.
    pub fn new(dim: usize, vectors: &'a [f32], person: &'a [u32]) -> Result<Self, LearnError> {
        if dim == 0 || dim.checked_mul(person.len()) != Some(vectors.len()) {
            return Err(LearnError::Shape(format!(
                "{} numbers are not {} vectors of {dim}",
                vectors.len(),
                person.len()
            )));
        }
        match vectors.iter().position(|x| !x.is_finite()) {
            Some(at) => Err(LearnError::Shape(format!("vector {} holds what is no finite number", at / dim))),
            None => Ok(Self { dim, vectors, person }),
        }
    }

    /// Length of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many pictures there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.person.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.person.is_empty()
    }

    /// The vector of picture `i`.
    ///
    /// # Panics
    /// When there is no such picture.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.vectors[i * self.dim..][..self.dim]
    }

    /// Whose each picture is.
    #[must_use]
    pub fn person(&self) -> &'a [u32] {
        self.person
    }

    /// These pictures as a tensor of as many rows.
    pub(crate) fn tensor(&self, pictures: &[u32]) -> Result<Tensor, LearnError> {
        let rows: Vec<f32> = pictures.iter().flat_map(|i| self.row(*i as usize)).copied().collect();
        Ok(Tensor::from_vec(rows, (pictures.len(), self.dim), &Device::Cpu)?)
    }
}

/// The pictures of each person, in the order of the people's numbers.
pub(crate) fn by_person(person: &[u32], pictures: &[u32]) -> Vec<Vec<u32>> {
    let mut groups: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for i in pictures {
        groups.entry(person[*i as usize]).or_default().push(*i);
    }
    groups.into_values().collect()
}

/// Deals all pictures to `folds` sets, person by person. People with several pictures, who alone give genuine pairs, are
/// dealt first, so that each set has its share of them.
pub(crate) fn deal(person: &[u32], folds: usize, rng: &mut ChaCha8Rng) -> Vec<Vec<u32>> {
    let all: Vec<u32> = (0..person.len() as u32).collect();
    let mut people = by_person(person, &all);
    people.shuffle(rng);
    people.sort_by_key(|pictures| pictures.len() < 2);
    let mut sets = vec![Vec::new(); folds.max(1)];
    for (n, pictures) in people.into_iter().enumerate() {
        sets[n % folds.max(1)].extend(pictures);
    }
    for set in &mut sets {
        set.sort_unstable();
    }
    sets
}

/// Training pictures and held-out pictures, of different people: one person in `one_in` is held out.
///
/// # Errors
/// When either side would have fewer than two people with more than one picture.
pub fn hold_out(person: &[u32], one_in: usize, seed: u64) -> Result<(Vec<u32>, Vec<u32>), LearnError> {
    split(person, one_in, &mut ChaCha8Rng::seed_from_u64(seed))
}

/// [`hold_out`] in the middle of other draws.
pub(crate) fn split(person: &[u32], one_in: usize, rng: &mut ChaCha8Rng) -> Result<(Vec<u32>, Vec<u32>), LearnError> {
    if one_in < 2 {
        return Err(LearnError::Option(format!("one person in {one_in} held out leaves nobody to learn from")));
    }
    let mut sets = deal(person, one_in, rng);
    let held = sets.pop().unwrap_or_default();
    let mut train = sets.concat();
    train.sort_unstable();
    for (what, pictures) in [("train on", &train), ("hold out", &held)] {
        let people = by_person(person, pictures);
        let several = people.iter().filter(|p| p.len() > 1).count();
        if several < 2 {
            return Err(LearnError::TooLittle(format!(
                "{} people to {what}, of whom {several} have more than one picture; two at least must have",
                people.len()
            )));
        }
    }
    Ok((train, held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_on_both_sides() {
        let person: Vec<u32> = (0..100).map(|i| if i < 60 { i / 3 } else { i }).collect();
        let (train, held) = split(&person, 5, &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert_eq!(train.len() + held.len(), 100);
        assert!(train.iter().all(|i| held.iter().all(|j| person[*i as usize] != person[*j as usize])));
        let several = by_person(&person, &held).iter().filter(|p| p.len() > 1).count();
        assert_eq!(several, 4, "a fifth of the twenty people with several pictures");
    }

    #[test]
    fn what_cannot_be_learned_from_is_refused() {
        assert!(Faces::new(2, &[1.0, 0.0, 0.0], &[0, 1]).is_err());
        assert!(Faces::new(1, &[1.0, f32::NAN], &[0, 1]).is_err());
        let alone: Vec<u32> = (0..50).collect();
        let error = split(&alone, 5, &mut ChaCha8Rng::seed_from_u64(1)).unwrap_err().to_string();
        assert!(error.contains("more than one picture"), "{error}");
    }
}
