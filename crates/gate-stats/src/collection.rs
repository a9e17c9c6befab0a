//! Vectors, whose they are, and how two of them are compared.

use crate::StatsError;
use gate_core::comparison::Comparison;
use gate_core::similarity::dissimilarity;

/// Vectors of pictures and whose they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    dim: usize,
    vectors: Vec<f32>,
    person: Vec<u32>,
    people: usize,
}

impl Collection {
    /// Row i is `vectors[i * dim..][..dim]` and belongs to `person[i]`, a number from 0.
    ///
    /// Numbers may be left out (somebody whose face was found in no picture): they count for nothing.
    ///
    /// # Errors
    /// When the lengths do not fit together, or a vector is not finite.
    pub fn new(dim: usize, vectors: Vec<f32>, person: Vec<u32>) -> Result<Self, StatsError> {
        if dim == 0 || Some(vectors.len()) != person.len().checked_mul(dim) || u32::try_from(person.len()).is_err() {
            return Err(StatsError::Shape { dim, values: vectors.len(), people: person.len() });
        }
        if let Some(at) = vectors.iter().position(|x| !x.is_finite()) {
            return Err(StatsError::NotFinite { row: at / dim });
        }
        let people = person.iter().max().map_or(0, |most| *most as usize + 1);
        Ok(Self { dim, vectors, person, people })
    }

    /// How many vectors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.person.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.person.is_empty()
    }

    /// One more than the largest person's number.
    #[must_use]
    pub fn people(&self) -> usize {
        self.people
    }

    /// Length of a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// One vector.
    #[must_use]
    pub fn row(&self, i: usize) -> &[f32] {
        &self.vectors[i * self.dim..][..self.dim]
    }

    /// Vectors `from..to`, one after the other.
    #[must_use]
    pub fn rows(&self, from: usize, to: usize) -> &[f32] {
        &self.vectors[from * self.dim..to * self.dim]
    }

    /// Whose vector i is.
    #[must_use]
    pub fn person(&self, i: usize) -> u32 {
        self.person[i]
    }

    /// The owners of all vectors.
    #[must_use]
    pub fn persons(&self) -> &[u32] {
        &self.person
    }

    /// How many vectors each person has, by number.
    #[must_use]
    pub fn counts(&self) -> Vec<u32> {
        let mut counts = vec![0; self.people];
        for person in &self.person {
            counts[*person as usize] += 1;
        }
        counts
    }

    /// The collection of these rows, in this order. People keep their numbers.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let vectors = rows.iter().flat_map(|i| self.row(*i as usize).iter().copied()).collect();
        let person = rows.iter().map(|i| self.person(*i as usize)).collect();
        Self { dim: self.dim, vectors, person, people: self.people }
    }
}

/// How two vectors are compared; smaller is more alike. It must have no direction: `compare(a, b) == compare(b, a)`.
pub trait Measure: Sync {
    /// How unlike two vectors are. NaN is taken for infinitely unlike.
    fn compare(&self, a: &[f32], b: &[f32]) -> f32;

    /// Fills `out[i * b_rows + j]` with the comparison of row i of `a` and row j of `b`, both packed rows of length `dim`.
    fn block(&self, dim: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
        each_with_each(dim, a, b, out, |a, b| self.compare(a, b));
    }
}

/// Every row of `a` with every row of `b`, one by one.
fn each_with_each(dim: usize, a: &[f32], b: &[f32], out: &mut [f32], compare: impl Fn(&[f32], &[f32]) -> f32) {
    let mut out = out.iter_mut();
    for a in a.chunks_exact(dim) {
        for (b, out) in b.chunks_exact(dim).zip(&mut out) {
            *out = compare(a, b);
        }
    }
}

/// The gate's own ways to compare; the plain distance by the faster block.
impl Measure for Comparison<'_> {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        Comparison::compare(self, a, b)
    }

    fn block(&self, dim: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
        match self {
            Comparison::Distance => Distance.block(dim, a, b, out),
            head => each_with_each(dim, a, b, out, |a, b| Comparison::compare(head, a, b)),
        }
    }
}

/// d² of unit vectors, 0..=4.
#[derive(Clone, Copy, Debug, Default)]
pub struct Distance;

/// Rows of `a` and of `b` in one tile: 4 x 8 sums fill eight of SSE2's (and of NEON's) registers.
const TILE_A: usize = 4;
const TILE_B: usize = 8;

impl Measure for Distance {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        dissimilarity(a, b)
    }

    /// The product of two matrices, tile by tile. Eight rows of `b` lie interleaved, so that one load fetches the same
    /// element of four of them; each sum runs over the elements in order, so tiles at the edge give the same values.
    fn block(&self, dim: usize, a: &[f32], b: &[f32], out: &mut [f32]) {
        let b_rows = b.len() / dim;
        let mut panel = vec![[0.0f32; TILE_B]; dim];
        let zeros = vec![0.0f32; dim];
        for (first_b, tile_b) in b.chunks(TILE_B * dim).enumerate().map(|(i, tile)| (i * TILE_B, tile)) {
            for (j, row) in tile_b.chunks_exact(dim).enumerate() {
                for (column, x) in panel.iter_mut().zip(row) {
                    column[j] = *x;
                }
            }
            let columns = tile_b.len() / dim;
            for (first_a, tile_a) in a.chunks(TILE_A * dim).enumerate().map(|(i, tile)| (i * TILE_A, tile)) {
                let mut rows = [zeros.as_slice(); TILE_A];
                for (row, given) in rows.iter_mut().zip(tile_a.chunks_exact(dim)) {
                    *row = given;
                }
                let sums = tile(&panel, rows);
                for (i, sums) in sums.iter().enumerate().take(tile_a.len() / dim) {
                    for (out, dot) in out[(first_a + i) * b_rows + first_b..][..columns].iter_mut().zip(sums) {
                        let d2 = 2.0 - 2.0 * dot;
                        *out = if d2 < 0.0 { 0.0 } else { d2 };
                    }
                }
            }
        }
    }
}

/// Dot products of four rows with the eight of a panel.
#[inline(always)]
fn tile(panel: &[[f32; TILE_B]], rows: [&[f32]; TILE_A]) -> [[f32; TILE_B]; TILE_A] {
    let mut sums = [[0.0f32; TILE_B]; TILE_A];
    let [r0, r1, r2, r3] = rows;
    for ((((b, x0), x1), x2), x3) in panel.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
        for j in 0..TILE_B {
            sums[0][j] += x0 * b[j];
            sums[1][j] += x1 * b[j];
            sums[2][j] += x2 * b[j];
            sums[3][j] += x3 * b[j];
        }
    }
    sums
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_block_is_its_comparisons(values in proptest::collection::vec(-1.0f32..1.0, 7 * 30), split in 1usize..29) {
            let (a, b) = values.split_at(split * 7);
            let mut out = vec![f32::NAN; split * (30 - split)];
            Distance.block(7, a, b, &mut out);
            for (i, a) in a.chunks(7).enumerate() {
                for (j, b) in b.chunks(7).enumerate() {
                    prop_assert!((out[i * (30 - split) + j] - Distance.compare(a, b)).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn what_is_no_collection_is_refused() {
        assert!(matches!(Collection::new(2, vec![0.0; 3], vec![0]), Err(StatsError::Shape { .. })));
        assert!(matches!(Collection::new(0, vec![], vec![]), Err(StatsError::Shape { .. })));
        let bad = Collection::new(2, vec![0.0, 1.0, f32::NAN, 0.0], vec![0, 1]);
        assert_eq!(bad, Err(StatsError::NotFinite { row: 1 }));
        let empty = Collection::new(2, vec![], vec![]).unwrap();
        assert!(empty.is_empty() && empty.people() == 0);
    }
}
