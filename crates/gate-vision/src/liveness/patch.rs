//! The face and what is around it, in luma, on a grid that is the same for every face: the cues' common ground.

use gate_core::geometry::Rect;
use gate_core::picture::Rgb;
use std::ops::Range;

/// Width of the face on the grid, pixels.
pub(super) const FACE_PX: usize = 48;
/// Side of the grid, pixels: four faces wide.
pub(super) const SIDE_PX: usize = 4 * FACE_PX;
/// Values of a grid.
pub(super) const AREA: usize = SIDE_PX * SIDE_PX;
/// Frames are halved until they are at most so wide: a grid of a large face needs no more.
const WIDTH_MAX_PX: usize = 800;

/// A frame's luma, 0..=255, rows top to bottom.
#[derive(Clone, Default)]
pub(super) struct Luma {
    data: Vec<u8>,
    width: usize,
    height: usize,
    /// Pixels of the frame for one of these.
    scale: usize,
}

impl Luma {
    /// Takes over a frame, in the memory of an earlier one.
    pub fn take(&mut self, picture: Rgb<'_>) {
        let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
        self.scale = 1;
        while width / self.scale > WIDTH_MAX_PX {
            self.scale *= 2;
        }
        (self.width, self.height) = (width / self.scale, height / self.scale);
        self.data.clear();
        let luma = |p: &[u8]| (u32::from(p[0]) * 77 + u32::from(p[1]) * 150 + u32::from(p[2]) * 29 + 128) >> 8;
        let pixels = picture.data();
        if self.scale == 1 {
            self.data.extend(pixels.as_chunks::<3>().0.iter().map(|p| luma(p) as u8));
            return;
        }
        let scale = self.scale;
        for y in 0..self.height {
            for x in 0..self.width {
                let sum: u32 = (0..scale * scale)
                    .map(|k| {
                        let at = ((y * scale + k / scale) * width + x * scale + k % scale) * 3;
                        luma(&pixels[at..at + 3])
                    })
                    .sum();
                self.data.push((sum / (scale * scale) as u32) as u8);
            }
        }
    }

    /// The value at (x, y) in pixels of the frame, between pixels by their distance; negative beyond the frame.
    #[inline]
    fn at(&self, x: f32, y: f32) -> f32 {
        match (Self::between(x, self.scale, self.width), Self::between(y, self.scale, self.height)) {
            (Some(across), Some(down)) => self.mix(across, down),
            _ => -1.0,
        }
    }

    /// The place before `at` on a side of so many values, and how far it is to the next; `None` beyond the frame.
    #[inline]
    fn between(at: f32, scale: usize, side: usize) -> Option<(usize, f32)> {
        let at = at / scale as f32;
        (at >= 0.0 && at < side as f32 - 1.0).then_some((at as usize, at - (at as usize) as f32))
    }

    #[inline]
    fn mix(&self, (left, fx): (usize, f32), (top, fy): (usize, f32)) -> f32 {
        let upper = top * self.width + left;
        let row = |at: usize| f32::from(self.data[at]) * (1.0 - fx) + f32::from(self.data[at + 1]) * fx;
        row(upper) * (1.0 - fy) + row(upper + self.width) * fy
    }
}

/// Where the grid of a face lies in a frame.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    centre: (f32, f32),
    /// Pixels of the frame for one of the grid.
    step: f32,
}

/// A motion about the grid's middle: (x, y) goes to (1 + a) x - b y + dx, b x + (1 + a) y + dy; grid pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Motion {
    pub a: f32,
    pub b: f32,
    pub dx: f32,
    pub dy: f32,
}

impl Motion {
    /// How far it carries what lies three quarters of the way to the grid's rim, grid pixels.
    pub fn reach(&self) -> f32 {
        self.dx.hypot(self.dy) + self.a.hypot(self.b) * 0.375 * SIDE_PX as f32
    }
}

impl Grid {
    pub fn of(face: &Rect) -> Self {
        let centre = face.centre();
        Self { centre: (centre.x, centre.y), step: face.w.max(1.0) / FACE_PX as f32 }
    }

    /// The value that lies at grid pixel (x, y) once `motion` is applied; negative beyond the frame.
    #[inline]
    pub fn sample(&self, luma: &Luma, motion: &Motion, x: usize, y: usize) -> f32 {
        let half = SIDE_PX as f32 / 2.0;
        let (x, y) = (x as f32 - half, y as f32 - half);
        let moved = ((1.0 + motion.a) * x - motion.b * y + motion.dx, motion.b * x + (1.0 + motion.a) * y + motion.dy);
        luma.at(self.centre.0 + self.step * moved.0, self.centre.1 + self.step * moved.1)
    }

    /// These rows of the grid, softened by a small binomial filter so that neither noise nor the raster shows.
    pub fn fill(&self, luma: &Luma, motion: &Motion, rows: &Range<usize>, work: &mut [f32], into: &mut [f32]) {
        // The filter needs a row more on either side.
        let raw = rows.start.saturating_sub(1)..(rows.end + 1).min(SIDE_PX);
        if *motion == Motion::default() {
            self.fill_unmoved(luma, &raw, into);
        } else {
            for y in raw.clone() {
                for x in 0..SIDE_PX {
                    into[y * SIDE_PX + x] = self.sample(luma, motion, x, y);
                }
            }
        }
        let raw = raw.start * SIDE_PX..raw.end * SIDE_PX;
        work[raw.clone()].copy_from_slice(&into[raw]);
        pulp::Arch::new().dispatch(Soften { grid: work, rows: rows.clone(), into });
    }

    /// Without a motion the columns' places are the same in every row.
    fn fill_unmoved(&self, luma: &Luma, rows: &Range<usize>, into: &mut [f32]) {
        let place = |centre: f32, at: usize, side: usize| {
            Luma::between(centre + self.step * (at as f32 - SIDE_PX as f32 / 2.0), luma.scale, side)
        };
        let columns: [Option<(usize, f32)>; SIDE_PX] = std::array::from_fn(|x| place(self.centre.0, x, luma.width));
        for y in rows.clone() {
            let row = &mut into[y * SIDE_PX..(y + 1) * SIDE_PX];
            match place(self.centre.1, y, luma.height) {
                Some(down) => {
                    for (value, across) in row.iter_mut().zip(&columns) {
                        *value = across.map_or(-1.0, |across| luma.mix(across, down));
                    }
                }
                None => row.fill(-1.0),
            }
        }
    }
}

/// A 3x3 binomial filter over these rows, from `grid` into the same grid at `into`, for what this processor has beyond the least
/// of its kind. The grid's rim stays as it is, and so does what lies beyond the frame or at its edge, where a mixture would draw a
/// line that is not there.
struct Soften<'a> {
    grid: &'a [f32],
    rows: Range<usize>,
    into: &'a mut [f32],
}

impl pulp::WithSimd for Soften<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self { grid, rows, into } = self;
        let (mut sums, mut lows) = ([0.0f32; SIDE_PX], [0.0f32; SIDE_PX]);
        for y in rows.start.max(1)..rows.end.min(SIDE_PX - 1) {
            let (above, rest) = grid[(y - 1) * SIDE_PX..(y + 2) * SIDE_PX].split_at(SIDE_PX);
            let (here, below) = rest.split_at(SIDE_PX);
            for x in 0..SIDE_PX {
                sums[x] = above[x] + 2.0 * here[x] + below[x];
                lows[x] = above[x].min(here[x]).min(below[x]);
            }
            let into = &mut into[y * SIDE_PX..(y + 1) * SIDE_PX];
            for x in 1..SIDE_PX - 1 {
                let mixed = (sums[x - 1] + 2.0 * sums[x] + sums[x + 1]) / 16.0;
                let is_inside = lows[x - 1].min(lows[x]).min(lows[x + 1]) >= 0.0;
                into[x] = if is_inside { mixed } else { into[x] };
            }
        }
    }
}

/// A grid pixel's place in face widths from the face's centre: (right, down).
pub(super) fn place(x: usize, y: usize) -> (f32, f32) {
    let half = SIDE_PX as f32 / 2.0;
    ((x as f32 - half) / FACE_PX as f32, (y as f32 - half) / FACE_PX as f32)
}
