//! Straight edges around a face: a phone's bezel, a monitor, a sheet of paper.
//!
//! An upright (or slightly tilted) line counts by how evenly its gradient goes one way along the whole height of the face;
//! hair, shoulders and furniture seldom do so on both sides at once, and seldom above and below.

use super::patch::{AREA, FACE_PX, SIDE_PX};

/// Half the length of a line, grid pixels.
const REACH: usize = FACE_PX * 4 / 5;
/// Where lines are looked for beside the face, and above and below it: grid pixels from its centre.
const BESIDE: (usize, usize) = (FACE_PX * 5 / 8, FACE_PX * 19 / 10);
const ABOVE: (usize, usize) = (FACE_PX * 3 / 4, FACE_PX * 19 / 10);
/// A pixel's gradient counts up to here, grey levels a pixel: one strong spot is no line.
const GRADIENT_MAX: f32 = 12.0;
/// Tangents of the tilts tried, from -20 to 20 degrees.
const TILTS: [f32; 11] = [-0.364, -0.287, -0.213, -0.141, -0.07, 0.0, 0.07, 0.141, 0.213, 0.287, 0.364];

/// Working memory: the gradient along x, and along y with the axes exchanged, where a level line is an upright one.
pub(super) struct Gradients {
    along_x: Vec<i8>,
    along_y: Vec<i8>,
}

impl Gradients {
    pub fn new() -> Self {
        Self { along_x: vec![0; AREA], along_y: vec![0; AREA] }
    }
}

/// The lesser of the strongest lines left and right, and of those above and below, averaged: 0..=12 grey levels a pixel.
pub(super) fn strength(grid: &[f32], gradients: &mut Gradients) -> f32 {
    let Gradients { along_x, along_y } = gradients;
    along_x.fill(0);
    along_y.fill(0);
    for y in 1..SIDE_PX - 1 {
        for x in 1..SIDE_PX - 1 {
            let at = y * SIDE_PX + x;
            let (left, right, above, below) = (grid[at - 1], grid[at + 1], grid[at - SIDE_PX], grid[at + SIDE_PX]);
            // The frame's own edge is no line.
            if left.min(right).min(above).min(below) >= 0.0 {
                along_x[at] = quantised(0.5 * (right - left));
                along_y[x * SIDE_PX + y] = quantised(0.5 * (below - above));
            }
        }
    }
    0.5 * (on_both_sides(along_x, BESIDE) + on_both_sides(along_y, ABOVE))
}

/// Eighths of a grey level a pixel, cut to [`GRADIENT_MAX`].
fn quantised(gradient: f32) -> i8 {
    // To the nearest: a call of `round` would cost more than all the rest.
    (8.0 * gradient.clamp(-GRADIENT_MAX, GRADIENT_MAX) + 0.5f32.copysign(gradient)) as i8
}

/// The lesser of the strongest upright lines on either side of the centre.
fn on_both_sides(gradient: &[i8], range: (usize, usize)) -> f32 {
    let strongest = |from: usize, to: usize| {
        let lines = TILTS.iter().flat_map(|tilt| (from..to).map(move |across| line(gradient, across, *tilt)));
        lines.fold(0.0f32, f32::max)
    };
    let half = SIDE_PX / 2;
    strongest(half - range.1, half - range.0).min(strongest(half + range.0, half + range.1))
}

/// Strength of the line of this tilt that crosses the face's level `across` pixels from the left.
fn line(gradient: &[i8], across: usize, tilt: f32) -> f32 {
    let half = SIDE_PX as i32 / 2;
    // 16 bits of fraction: a step of a pixel each time needs no rounding of its own.
    let step = (tilt * 65_536.0) as i32;
    let mut place = ((across as i32) << 16) + 32_768 - step * REACH as i32;
    let (mut size, mut sense) = (0i32, 0i32);
    for along in half as usize - REACH..half as usize + REACH {
        let x = (place >> 16).clamp(0, SIDE_PX as i32 - 1) as usize;
        let g = i32::from(gradient[along * SIDE_PX + x]);
        size += g.abs();
        sense += g.signum();
        place += step;
    }
    let n = (2 * REACH) as f32;
    size as f32 / 8.0 / n * (sense as f32 / n).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strength(grid: &[f32]) -> f32 {
        super::strength(grid, &mut Gradients::new())
    }

    fn scene(value: impl Fn(i32, i32) -> f32) -> Vec<f32> {
        let half = SIDE_PX as i32 / 2;
        (0..AREA).map(|i| value((i % SIDE_PX) as i32 - half, (i / SIDE_PX) as i32 - half)).collect()
    }

    #[test]
    fn a_sheet_around_a_face_is_seen_and_a_wall_or_a_door_post_is_not() {
        let sheet = scene(|x, y| if x.abs() < 60 && y.abs() < 70 { 180.0 } else { 90.0 });
        let tilted = scene(|x, y| {
            let (u, v) = (x as f32 + 0.2 * y as f32, y as f32 - 0.2 * x as f32);
            if u.abs() < 60.0 && v.abs() < 70.0 { 180.0 } else { 90.0 }
        });
        let wall = scene(|x, _| 120.0 + 0.1 * x as f32);
        let post = scene(|x, _| if x > 50 { 180.0 } else { 90.0 });
        let head = scene(|x, y| if (x * x) as f32 / 2500.0 + (y * y) as f32 / 4900.0 < 1.0 { 60.0 } else { 160.0 });
        assert!(strength(&sheet) > 8.0 && strength(&tilted) > 5.0, "{} {}", strength(&sheet), strength(&tilted));
        for (name, other) in [("wall", wall), ("post", post), ("head", head)] {
            assert!(strength(&other) < 3.0, "{name}: {}", strength(&other));
        }
    }
}
