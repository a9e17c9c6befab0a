//! Does what is around a face move with it?
//!
//! ```text
//!  frame a moment ago ──┬─ as it was ────────────────▶ still   ┐ which of the two looks more like
//!                       └─ moved as the face moved ──▶ carried ┘ the frame now, around the face?
//! ```
//! The face's motion is found by Lucas and Kanade's method (1981) with shift, turn and scale. It answers only where the two
//! differ: on a blank wall, or when nothing moves, there is nothing to be seen.

use super::patch::{AREA, Grid, Luma, Motion, SIDE_PX, place};
use gate_core::liveness::Surroundings;
use std::ops::Range;

/// Steps of the search for the face's motion.
const STEPS_MAX: usize = 8;
/// The hypotheses differ where they are at least so many grey levels apart: more than noise.
const DIFFERENCE_MIN: f32 = 6.0;
/// The face has moved when something at the rim of its surroundings would be carried so far, grid pixels: less is within what
/// the search for its motion errs by.
const CARRIED_MIN: f32 = 0.75;
/// Fewest pixels of surroundings inside the frame, part of all.
const SEEN_MIN: f32 = 0.02;

/// The grid's pixels of the face and of its surroundings, and buffers.
pub(super) struct Watch {
    face: Vec<usize>,
    around: Vec<usize>,
    /// The rows in which there are some of those around it.
    rows: Range<usize>,
    /// Of each pixel of the face: what its value changes by with a, b, dx and dy; and how far it is from what it should be.
    slopes: Vec<[f32; 4]>,
    errors: Vec<f32>,
    before: Vec<f32>,
    carried: Vec<f32>,
    work: Vec<f32>,
}

impl Watch {
    pub fn new() -> Self {
        let pixels = |keep: fn(f32, f32) -> bool| {
            let is_in = |at: &usize| {
                let (u, v) = place(at % SIDE_PX, at / SIDE_PX);
                // One pixel of rim has no gradient.
                (1..SIDE_PX - 1).contains(&(at % SIDE_PX)) && keep(u, v)
            };
            (SIDE_PX..AREA - SIDE_PX).filter(is_in).collect::<Vec<_>>()
        };
        // Beside and above the head, with room for hair; not the shoulders, which move with it.
        let around = |u: f32, v: f32| {
            let head = (u / 0.95).powi(2) + ((v + 0.05) / 1.15).powi(2) < 1.0;
            !head && u.abs() < 1.7 && (-1.8..0.45).contains(&v)
        };
        let (face, around) = (pixels(|u, v| u.abs() < 0.4 && v.abs() < 0.5), pixels(around));
        // They come row by row.
        let row = |at: Option<&usize>| at.map_or(0, |at| at / SIDE_PX);
        Self {
            slopes: Vec::with_capacity(face.len()),
            errors: Vec::with_capacity(face.len()),
            rows: row(around.first())..row(around.last()) + 1,
            face,
            around,
            before: vec![0.0; AREA],
            carried: vec![0.0; AREA],
            work: vec![0.0; AREA],
        }
    }

    /// Compares the surroundings now (`grid`, filled from `now`'s frame) with those of `earlier`; `None` when too little of
    /// them is inside the frame, or the face's motion cannot be found.
    pub fn compare(&mut self, grid: Grid, now: &[f32], earlier: &Luma) -> Option<Surroundings> {
        grid.fill(earlier, &Motion::default(), &self.rows, &mut self.work, &mut self.before);
        let motion = self.face_motion(grid, now, earlier)?;
        if motion.reach() < CARRIED_MIN {
            return Some(Surroundings::default());
        }
        grid.fill(earlier, &motion, &self.rows, &mut self.work, &mut self.carried);
        let (mut seen, mut differ, mut still, mut carried) = (0u32, 0u32, 0.0f32, 0.0f32);
        for at in &self.around {
            let (n, b, c) = (now[*at], self.before[*at], self.carried[*at]);
            if n < 0.0 || b < 0.0 || c < 0.0 {
                continue;
            }
            seen += 1;
            if (b - c).abs() > DIFFERENCE_MIN {
                differ += 1;
                still += (n - b).abs();
                carried += (n - c).abs();
            }
        }
        if (seen as f32) < SEEN_MIN * self.around.len() as f32 {
            return None;
        }
        let mean = |sum: f32| if differ > 0 { sum / differ as f32 } else { 0.0 };
        let share = differ as f32 / self.around.len() as f32;
        Some(Surroundings { share, still: mean(still), carried: mean(carried) })
    }

    /// The motion that takes the face now back to where it was in `earlier`.
    fn face_motion(&mut self, grid: Grid, now: &[f32], earlier: &Luma) -> Option<Motion> {
        let half = SIDE_PX as f32 / 2.0;
        let slope = |at: usize| {
            let (x, y) = ((at % SIDE_PX) as f32 - half, (at / SIDE_PX) as f32 - half);
            let gx = 0.5 * (now[at + 1] - now[at - 1]);
            let gy = 0.5 * (now[at + SIDE_PX] - now[at - SIDE_PX]);
            [gx * x + gy * y, gy * x - gx * y, gx, gy]
        };
        self.slopes.clear();
        self.slopes.extend(self.face.iter().map(|at| slope(*at)));
        let mut normal = [[0.0f32; 4]; 4];
        for s in &self.slopes {
            for (row, a) in normal.iter_mut().zip(s) {
                row.iter_mut().zip(s).for_each(|(cell, b)| *cell += a * b);
            }
        }
        let mut motion = Motion::default();
        for _ in 0..STEPS_MAX {
            let error = |at: usize| grid.sample(earlier, &motion, at % SIDE_PX, at / SIDE_PX) - now[at];
            self.errors.clear();
            self.errors.extend(self.face.iter().map(|at| error(*at)));
            let mean = self.errors.iter().sum::<f32>() / self.errors.len() as f32;
            let mut right = [0.0f32; 4];
            for (error, slope) in self.errors.iter().zip(&self.slopes) {
                // The light may have changed: the mean is no motion.
                let e = error - mean;
                right.iter_mut().zip(slope).for_each(|(cell, s)| *cell -= s * e);
            }
            let by = solve(normal, right)?;
            motion = Motion { a: motion.a + by[0], b: motion.b + by[1], dx: motion.dx + by[2], dy: motion.dy + by[3] };
            if by[2].abs().max(by[3].abs()) < 0.02 {
                break;
            }
        }
        let sane = motion.a.abs() < 0.5 && motion.b.abs() < 0.5 && motion.dx.abs().max(motion.dy.abs()) < half;
        sane.then_some(motion)
    }
}

/// Solves a symmetric system of four by elimination; `None` when it has no answer (a face without structure).
fn solve(mut m: [[f32; 4]; 4], mut r: [f32; 4]) -> Option<[f32; 4]> {
    for (k, row) in m.iter_mut().enumerate() {
        row[k] += 1e-3;
    }
    for k in 0..4 {
        let pivot = m[k][k];
        if !pivot.is_finite() || pivot.abs() < 1e-9 {
            return None;
        }
        for i in k + 1..4 {
            let (factor, above) = (m[i][k] / pivot, m[k]);
            m[i].iter_mut().zip(above).skip(k).for_each(|(cell, a)| *cell -= factor * a);
            r[i] -= factor * r[k];
        }
    }
    for k in (0..4).rev() {
        let known: f32 = (k + 1..4).map(|j| m[k][j] * r[j]).sum();
        r[k] = (r[k] - known) / m[k][k];
    }
    r.iter().all(|v| v.is_finite()).then_some(r)
}
