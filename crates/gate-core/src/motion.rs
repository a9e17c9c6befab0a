//! Whether anything has moved since nobody was there: a view into which nobody walks needs no detector.
//!
//! A frame becomes a coarse grid of brightness; as long as each of its cells is as it was when the detector last found nobody,
//! there is nobody. All the same the detector looks at such a view now and then, and at every frame for a while after it
//! has seen a face. So stillness can delay somebody by [`LOOK_EVERY_MS`] at most, and it can let nobody in.

use crate::picture::Rgb;

/// A still view is looked at all the same when it was not for so long, milliseconds.
pub const LOOK_EVERY_MS: u64 = 400;
/// For so long after the last face every frame is looked at, milliseconds.
pub const AFTER_FACE_MS: u64 = 2_000;
/// Cells in a row of the grid, and in a column.
const GRID: (usize, usize) = (32, 24);
const CELLS: usize = GRID.0 * GRID.1;
/// A cell moves when its mean differs by more than this, of 255. Noise of a camera in the dark, sigma 15, moves the mean of
/// a cell of a 640x480 frame, 100 pixels, by 1.5.
const MOVES_ABOVE: u8 = 6;
/// Every second pixel of every second row says enough.
const STEP: usize = 2;

/// The mean green (nearly luma, and there without arithmetic) of each cell.
type Grid = [u8; CELLS];

/// Tells still views from others.
#[derive(Clone, Debug)]
pub struct Stillness {
    /// The frame that was asked about last.
    now: Grid,
    /// The view in which the detector found nobody, and when that was.
    empty: Option<(Grid, u64)>,
    /// When a face was last seen.
    face_ms: Option<u64>,
}

impl Default for Stillness {
    fn default() -> Self {
        Self { now: [0; CELLS], empty: None, face_ms: None }
    }
}

impl Stillness {
    /// Whether this frame may be taken for empty without looking at it.
    pub fn is_still(&mut self, picture: Rgb<'_>, now_ms: u64) -> bool {
        if self.had_face(now_ms) {
            return false;
        }
        measure(picture, &mut self.now);
        let Some((empty, looked_ms)) = &self.empty else { return false };
        // A clock that runs backwards is no reason to wait.
        let is_recent = now_ms.checked_sub(*looked_ms).is_some_and(|since| since < LOOK_EVERY_MS);
        is_recent && empty.iter().zip(&self.now).all(|(a, b)| a.abs_diff(*b) <= MOVES_ABOVE)
    }

    /// What the detector found in the frame that was asked about last, and when that was asked.
    pub fn looked(&mut self, found_faces: bool, now_ms: u64) {
        if found_faces {
            self.face_ms = Some(now_ms);
        }
        self.empty = (!self.had_face(now_ms)).then_some((self.now, now_ms));
    }

    /// Whether the last face is so near in time that every frame is looked at, and none needs measuring.
    fn had_face(&self, now_ms: u64) -> bool {
        self.face_ms.is_some_and(|face_ms| now_ms.saturating_sub(face_ms) < AFTER_FACE_MS)
    }
}

/// Fills `grid`. A frame with fewer pixels than the grid has cells leaves cells at 0.
fn measure(picture: Rgb<'_>, grid: &mut Grid) {
    let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
    let edge = |at: usize, side: usize, cells: usize| at * side / cells;
    for (row, line) in grid.chunks_exact_mut(GRID.0).enumerate() {
        let (top, bottom) = (edge(row, height, GRID.1), edge(row + 1, height, GRID.1));
        let mut sums = [(0u32, 0u32); GRID.0];
        for y in (top..bottom).step_by(STEP) {
            let pixels = picture.data()[3 * y * width..3 * (y + 1) * width].as_chunks::<3>().0;
            for (column, (sum, count)) in sums.iter_mut().enumerate() {
                let cell = &pixels[edge(column, width, GRID.0)..edge(column + 1, width, GRID.0)];
                *sum += cell.iter().step_by(STEP).map(|[_, green, _]| u32::from(*green)).sum::<u32>();
                *count += cell.len().div_ceil(STEP) as u32;
            }
        }
        for (cell, (sum, count)) in line.iter_mut().zip(sums) {
            *cell = (sum / count.max(1)) as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const SIZE: (usize, usize) = (640, 480);

    /// A wall with a camera's noise over it, and at `at` a patch of `side` pixels that is `by` brighter.
    fn view(seed: u32, sigma: i32, at: (usize, usize), side: usize, by: i32) -> Vec<u8> {
        let mut state = seed;
        let mut pixel = |x: usize, y: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let noise = (state >> 16) as i32 % (2 * sigma + 1) - sigma;
            let inside = (at.0..at.0 + side).contains(&x) && (at.1..at.1 + side).contains(&y);
            (60 + (x / 8) as i32 + noise + if inside { by } else { 0 }).clamp(0, 255) as u8
        };
        (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (x, y))).flat_map(|(x, y)| [pixel(x, y); 3]).collect()
    }

    fn is_still(stillness: &mut Stillness, data: &[u8], now_ms: u64) -> bool {
        stillness.is_still(Rgb::new(data, SIZE.0 as u32, SIZE.1 as u32).unwrap(), now_ms)
    }

    fn empty_since_0() -> Stillness {
        let mut stillness = Stillness::default();
        assert!(!is_still(&mut stillness, &view(1, 15, (0, 0), 0, 0), 0), "what was never looked at");
        stillness.looked(false, 0);
        stillness
    }

    #[test]
    fn noise_is_still_and_the_smallest_face_that_counts_moves_wherever_it_comes() {
        let mut stillness = empty_since_0();
        for seed in 2..10 {
            assert!(is_still(&mut stillness, &view(seed, 15, (0, 0), 0, 0), 66));
        }
        for at in [(0, 0), (13, 7), (300, 200), (592, 432)] {
            for by in [-30, 30] {
                assert!(!is_still(&mut stillness, &view(3, 15, at, 48, by), 66), "{by} at {at:?}");
            }
        }
    }

    #[test]
    fn a_still_view_is_looked_at_all_the_same_now_and_then() {
        let mut stillness = empty_since_0();
        assert!(is_still(&mut stillness, &view(2, 15, (0, 0), 0, 0), LOOK_EVERY_MS - 1));
        assert!(!is_still(&mut stillness, &view(3, 15, (0, 0), 0, 0), LOOK_EVERY_MS));
    }

    #[test]
    fn after_a_face_every_frame_is_looked_at_for_a_while() {
        let mut stillness = empty_since_0();
        let wall = view(2, 15, (0, 0), 0, 0);
        stillness.looked(true, 100);
        assert!(!is_still(&mut stillness, &wall, 166));
        stillness.looked(false, 166);
        assert!(!is_still(&mut stillness, &wall, 200));
        let later = 100 + AFTER_FACE_MS;
        stillness.looked(false, later);
        assert!(is_still(&mut stillness, &wall, later + 66));
        // The clock has been set back: looked at.
        assert!(!is_still(&mut stillness, &wall, later - 1));
    }

    #[test]
    fn another_size_and_a_tiny_one_are_no_trouble() {
        let mut stillness = empty_since_0();
        let tiny = [9u8; 3 * 5 * 3];
        assert!(!stillness.is_still(Rgb::new(&tiny, 5, 3).unwrap(), 66));
        stillness.looked(false, 66);
        assert!(stillness.is_still(Rgb::new(&tiny, 5, 3).unwrap(), 100));
    }
}
