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
    let half = SIDE_PX / 2;
    let side = |from: usize, to: usize| pulp::Arch::new().dispatch(Lines { gradient, from, to });
    side(half - range.1, half - range.0).min(side(half + range.0, half + range.1))
}

/// The strength of the strongest of all lines that cross the face's level between these columns, for what this processor has
/// beyond the least of its kind.
struct Lines<'a> {
    gradient: &'a [i8],
    from: usize,
    to: usize,
}

impl pulp::WithSimd for Lines<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> f32 {
        let mut most = 0.0f32;
        for tilt in TILTS {
            most = most.max(strongest(self.gradient, self.from, self.to, tilt));
        }
        most
    }
}

/// Strength of the strongest line of this tilt that crosses the face's level between these columns. All of them are followed
/// at once: in each row they lie side by side. The rim, where they leave the grid, has no gradient.
#[inline(always)]
fn strongest(gradient: &[i8], from: usize, to: usize, tilt: f32) -> f32 {
    let (mut sizes, mut senses) = ([0i16; SIDE_PX], [0i16; SIDE_PX]);
    // 16 bits of fraction: a step of a pixel each time needs no rounding of its own.
    let step = (tilt * 65_536.0) as isize;
    let mut place = 32_768 - step * REACH as isize;
    let half = SIDE_PX / 2;
    for row in gradient.chunks_exact(SIDE_PX).skip(half - REACH).take(2 * REACH) {
        let column = |across: usize| (across as isize + (place >> 16)).clamp(0, SIDE_PX as isize) as usize;
        let (left, right) = (column(from), column(to));
        let first = (left as isize - (place >> 16)) as usize;
        let lines = sizes[first..].iter_mut().zip(&mut senses[first..]);
        for (g, (size, sense)) in row[left..right].iter().zip(lines) {
            *size += i16::from(*g).abs();
            *sense += i16::from(*g > 0) - i16::from(*g < 0);
        }
        place += step;
    }
    let n = (2 * REACH) as f32;
    let strength = |(size, sense): (&i16, &i16)| f32::from(*size) / 8.0 / n * (f32::from(*sense) / n).powi(2);
    sizes[from..to].iter().zip(&senses[from..to]).map(strength).fold(0.0, f32::max)
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

    /// The same, one line after the other, pixel by pixel.
    fn line(gradient: &[i8], across: usize, tilt: f32) -> f32 {
        let (mut size, mut sense) = (0i32, 0i32);
        for along in 0..2 * REACH {
            let step = (tilt * 65_536.0) as i32;
            let right = ((along as i32 - REACH as i32) * step + 32_768) >> 16;
            let x = (across as i32 + right).clamp(0, SIDE_PX as i32 - 1) as usize;
            let g = i32::from(gradient[(SIDE_PX / 2 - REACH + along) * SIDE_PX + x]);
            size += g.abs();
            sense += g.signum();
        }
        let n = (2 * REACH) as f32;
        size as f32 / 8.0 / n * (sense as f32 / n).powi(2)
    }

    #[test]
    fn lines_that_are_followed_together_are_those_followed_alone() {
        let mut state = 1u32;
        let mut gradient: Vec<i8> = (0..AREA)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let x = at % SIDE_PX;
                // Strong upright lines among noise, and a rim without any.
                let line = if x % 37 < 3 { 96 } else { 0 };
                if (1..SIDE_PX - 1).contains(&x) {
                    ((state >> 24) as i8 / 4).saturating_add(line).clamp(-96, 96)
                } else {
                    0
                }
            })
            .collect();
        gradient[SIDE_PX * SIDE_PX / 2 + 40..][..9].fill(-96);
        for (from, to) in [(5, 66), (126, 187)] {
            let mut most = 0.0f32;
            for tilt in TILTS {
                let alone = (from..to).map(|across| line(&gradient, across, tilt)).fold(0.0f32, f32::max);
                assert_eq!(strongest(&gradient, from, to, tilt), alone, "{from}..{to}, tilt {tilt}");
                assert!(alone > 0.0);
                most = most.max(alone);
            }
            assert_eq!(pulp::Arch::new().dispatch(Lines { gradient: &gradient, from, to }), most);
        }
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
