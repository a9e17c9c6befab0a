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

/// The lesser of the strongest lines left and right, and of those above and below, averaged: 0..=12 grey levels a pixel.
pub(super) fn strength(grid: &[f32]) -> f32 {
    let mut along_x = vec![0.0f32; AREA];
    let mut along_y = vec![0.0f32; AREA];
    for y in 1..SIDE_PX - 1 {
        for x in 1..SIDE_PX - 1 {
            let at = y * SIDE_PX + x;
            let around = [grid[at - 1], grid[at + 1], grid[at - SIDE_PX], grid[at + SIDE_PX]];
            // The frame's own edge is no line.
            if around.iter().all(|v| *v >= 0.0) {
                along_x[at] = 0.5 * (around[1] - around[0]);
                along_y[at] = 0.5 * (around[3] - around[2]);
            }
        }
    }
    let upright = |offset: isize| best_line(offset, |along, across| along_x[along * SIDE_PX + across]);
    let level = |offset: isize| best_line(offset, |along, across| along_y[across * SIDE_PX + along]);
    let strongest = |line: &dyn Fn(isize) -> f32, range: (usize, usize), side: isize| {
        (range.0..range.1).map(|offset| line(side * offset as isize)).fold(0.0f32, f32::max)
    };
    let sides = strongest(&upright, BESIDE, -1).min(strongest(&upright, BESIDE, 1));
    let ends = strongest(&level, ABOVE, -1).min(strongest(&level, ABOVE, 1));
    0.5 * (sides + ends)
}

/// The strongest line of any tilt through the point `offset` pixels beside the centre.
fn best_line(offset: isize, gradient: impl Fn(usize, usize) -> f32) -> f32 {
    let half = (SIDE_PX / 2) as isize;
    let n = (2 * REACH) as f32;
    let of_tilt = |tilt: f32| {
        let (mut size, mut sense) = (0.0f32, 0.0f32);
        for along in SIDE_PX / 2 - REACH..SIDE_PX / 2 + REACH {
            let across = half + offset + (tilt * (along as f32 - half as f32)).round() as isize;
            let g = gradient(along, across.clamp(0, SIDE_PX as isize - 1) as usize);
            size += g.abs().min(GRADIENT_MAX);
            sense += if g == 0.0 { 0.0 } else { g.signum() };
        }
        size / n * (sense / n) * (sense / n)
    };
    TILTS.iter().map(|tilt| of_tilt(*tilt)).fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

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
