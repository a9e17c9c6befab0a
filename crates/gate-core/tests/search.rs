//! A search by codes answers as one that compares every reference, to the last bit, whatever the gallery holds.
#![allow(clippy::unwrap_used)]

use gate_core::codes::{Line, lines, pack};
use gate_core::comparison::Comparison;
use gate_core::gallery::{Gallery, Nearest, search, search_counted};
use gate_core::person::PersonKey;
use gate_core::similarity::{dissimilarity, normalise};
use proptest::prelude::*;

/// Numbers that look random, the same for a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn direction(&mut self, dim: usize) -> Vec<f32> {
        loop {
            let mut v: Vec<f32> = (0..dim).map(|_| self.roll(1 << 20) as f32 / (1 << 19) as f32 - 1.0).collect();
            if normalise(&mut v) {
                return v;
            }
        }
    }

    /// A unit vector near `v`: so near that only rounding tells them apart, or about as near as two pictures of a face.
    fn near(&mut self, v: &[f32]) -> Vec<f32> {
        let far = [1e-7, 1e-4, 0.03, 0.5][self.roll(4) as usize];
        let mut near: Vec<f32> = v.iter().zip(self.direction(v.len())).map(|(x, y)| x + far * y).collect();
        if normalise(&mut near) { near } else { v.to_vec() }
    }

    /// A row: mostly a face among faces, sometimes what should never be there.
    fn row(&mut self, probe: &[f32], before: &[f32]) -> Vec<f32> {
        let dim = probe.len();
        let earlier = |index: u64| before.chunks_exact(dim).nth(index as usize).unwrap_or(probe).to_vec();
        let rows = (before.len() / dim).max(1) as u64;
        match self.roll(24) {
            0..8 => self.direction(dim),
            8..12 => self.near(probe),
            12..15 => earlier(self.roll(rows)),
            15..17 => {
                let twin = earlier(self.roll(rows));
                self.near(&twin)
            }
            17 => probe.to_vec(),
            18 => probe.iter().map(|x| -x).collect(),
            19 => vec![0.0; dim],
            20 => self.direction(dim).iter().map(|x| x * [0.3, 1e-30, 1.02, 3.0, 1e25][self.0 as usize % 5]).collect(),
            21 => (0..dim).map(|k| if k == dim / 2 { -1.0 } else { 0.0 }).collect(),
            22 => (0..dim).map(|k| if k == 0 { f32::NAN } else { 0.1 }).collect(),
            _ => (0..dim).map(|k| if k == dim - 1 { f32::NEG_INFINITY } else { 0.1 }).collect(),
        }
    }
}

/// The definition: of all rows that compare to a number, the first nearest one, and the nearest of anybody else.
fn by_definition(references: &[f32], owners: &[PersonKey], probe: &[f32]) -> Option<Nearest> {
    let all = || {
        let d2 = references.chunks_exact(probe.len()).map(|row| dissimilarity(row, probe));
        owners.iter().zip(d2).filter(|(_, d2)| !d2.is_nan())
    };
    let (person, d2) = all().min_by(|a, b| a.1.total_cmp(&b.1))?;
    let runner_up_d2 = all().filter(|(owner, _)| *owner != person).map(|(_, d2)| d2).min_by(f32::total_cmp);
    Some(Nearest { person: *person, d2, runner_up_d2 })
}

fn bits(found: Option<Nearest>) -> Option<(PersonKey, u32, Option<u32>)> {
    found.map(|found| (found.person, found.d2.to_bits(), found.runner_up_d2.map(f32::to_bits)))
}

fn packed(dim: usize, references: &[f32]) -> Vec<Line> {
    let mut codes = vec![Line::default(); lines(dim, references.len() / dim)];
    pack(dim, references, &mut codes);
    codes
}

/// How many references were compared in full.
fn assert_equal(dim: usize, references: &[f32], owners: &[PersonKey], probe: &[f32]) -> usize {
    let codes = packed(dim, references);
    let plain = Gallery::new(dim, references, owners).unwrap();
    let (found, compared) = search_counted([plain.with_codes(&codes)], probe, &Comparison::Distance);
    let want = plain.search(probe, &Comparison::Distance);
    assert_eq!(bits(found), bits(want));
    // In pieces, every other one of them without codes.
    let pieces: Vec<_> = references.chunks(71 * dim).zip(owners.chunks(71)).collect();
    let codes: Vec<Vec<Line>> = pieces.iter().map(|(rows, _)| packed(dim, rows)).collect();
    let galleries = pieces.iter().zip(&codes).enumerate().map(|(i, ((rows, owners), codes))| {
        Gallery::new(dim, rows, owners).unwrap().with_codes(if i % 2 == 0 { codes } else { &[] })
    });
    assert_eq!(bits(search(galleries, probe, &Comparison::Distance)), bits(want));
    assert_eq!(bits(want), bits(by_definition(references, owners, probe)));
    compared
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn the_answer_is_that_of_comparing_everybody(
        seed in any::<u64>(),
        dim in 1usize..200,
        rows in 0usize..300,
        people in 1u64..300,
        ordered in any::<bool>(),
        length in prop_oneof![8 => Just(1.0f32), 1 => Just(0.7), 1 => Just(0.0), 1 => Just(1e-20), 1 => Just(40.0), 1 => Just(f32::NAN)],
    ) {
        let mut dice = Dice(seed);
        let mut probe = dice.direction(dim);
        let mut references = Vec::with_capacity(rows * dim);
        for _ in 0..rows {
            let row = dice.row(&probe, &references);
            references.extend(row);
        }
        probe.iter_mut().for_each(|x| *x *= length);
        let mut owners: Vec<PersonKey> = (0..rows).map(|_| PersonKey(dice.roll(people) as u32)).collect();
        if ordered {
            owners.sort_unstable();
        }
        assert_equal(dim, &references, &owners, &probe);
    }
}

#[test]
fn of_many_people_next_to_none_are_compared_in_full() {
    let (dim, rows) = (128, 20_000);
    let mut dice = Dice(7);
    let references: Vec<f32> = (0..rows).flat_map(|_| dice.direction(dim)).collect();
    let owners: Vec<PersonKey> = (0..rows).map(PersonKey).collect();
    for index in 0..10 {
        // Somebody who is in it, and a stranger.
        let known = dice.near(&references[index * 1_000 * dim..][..dim]);
        for probe in [known, dice.direction(dim)] {
            let compared = assert_equal(dim, &references, &owners, &probe);
            assert!(compared < 100, "{compared} of {rows}");
        }
    }
}

#[test]
fn people_who_are_all_alike_are_told_apart_as_before() {
    let dim = 128;
    let mut dice = Dice(3);
    let face = dice.direction(dim);
    // The same 2,000 times over, then as far as rounding goes.
    for far in [0.0, 1e-7, 1e-6, 1e-3] {
        let mut references = Vec::new();
        for _ in 0..2_000 {
            let mut row: Vec<f32> = face.iter().zip(dice.direction(dim)).map(|(x, y)| x + far * y).collect();
            assert!(normalise(&mut row));
            references.extend(row);
        }
        let owners: Vec<PersonKey> = (0..2_000).map(|row| PersonKey(row / 2)).collect();
        assert_equal(dim, &references, &owners, &face);
        assert_equal(dim, &references, &owners, &dice.direction(dim));
    }
}

#[test]
fn codes_that_are_not_as_many_as_the_rows_are_not_used() {
    let rows = [1.0, 0.0, 0.0, 1.0];
    let owners = [PersonKey(1), PersonKey(2)];
    let codes = [Line::default()];
    let gallery = Gallery::new(2, &rows, &owners).unwrap().with_codes(&codes);
    let want = Nearest { person: PersonKey(2), d2: 0.0, runner_up_d2: Some(2.0) };
    assert_eq!(search_counted([gallery], &[0.0, 1.0], &Comparison::Distance), (Some(want), 2));
}
