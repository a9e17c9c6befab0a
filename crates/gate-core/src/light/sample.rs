//! What one frame contributes: mean luma of 25 patches of the face and of 6 patches around it.
//!
//! ```text
//!      ┌────┬────┐        background: fixed in the picture from the first frame on,
//!      └────┴────┘        so that a head that sways does not drag it over the wall
//!  ┌─┐ ┌─────────┐ ┌─┐
//!  │ │ │ 5 x 5   │ │ │    face: on the aligned chip, from above the brows to the chin,
//!  ├─┤ │ patches │ ├─┤    so that it goes with the head
//!  └─┘ └─────────┘ └─┘
//! ```

use crate::geometry::{CHIP_LANDMARKS, CHIP_PX, Face, Point, Rect, Similarity};
use crate::picture::Rgb;
use libm::sqrtf;

/// Patches along each side of the face.
pub const GRID: usize = 5;
/// Patches of the face, row by row.
pub const FACE_PATCHES: usize = GRID * GRID;
/// Patches of the background: left upper, left lower, right upper, right lower, top left, top right.
pub const BACKGROUND_PATCHES: usize = 6;

/// Where the face's patches lie on the aligned chip, pixels: skin on every head, hair and background on few.
const ON_CHIP: Rect = Rect { x: 24.0, y: 32.0, w: 64.0, h: 66.0 };
/// Points read along each side of a patch. A patch of the smallest face that counts is 8 pixels wide.
const POINTS: usize = 12;
/// A pixel with a channel from here on is saturated: whatever light is added does not show.
const SATURATED: u8 = 250;

/// One patch of one frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patch {
    /// Mean luma (BT.601), as the camera encodes it, 0..=255; NaN when no part of it lies within the frame.
    pub luma: f32,
    /// Part of its pixels that is saturated, 0..=1.
    pub saturated: f32,
}

impl Patch {
    /// A patch that was not seen.
    pub const UNSEEN: Self = Self { luma: f32::NAN, saturated: 0.0 };
}

/// What one frame contributes to a challenge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LightSample {
    /// When it was captured, milliseconds after the code began, as far as the daemon knows; negative = before.
    pub at_ms: i32,
    /// The face, row by row from the picture's top left.
    pub face: [Patch; FACE_PATCHES],
    /// Around the face; see [`BACKGROUND_PATCHES`].
    pub background: [Patch; BACKGROUND_PATCHES],
    /// The face's middle (of its landmarks), pixels.
    pub centre: Point,
    /// The face's size: scale of the alignment times 112, pixels.
    pub size_px: f32,
}

/// Reads [`LightSample`]s out of frames; made from the face as it was when the challenge began.
#[derive(Clone, Debug)]
pub struct Sampler {
    background: [Rect; BACKGROUND_PATCHES],
    /// Chip to frame, without the shift: scale and turn, smoothed.
    turn: Option<(f32, f32)>,
}

impl Sampler {
    /// Fixes the background's patches around this face. They are 0.35 of its box wide and stand 0.2 off, so that neither ears nor
    /// a small sway reach them.
    #[must_use]
    pub fn around(face: &Face) -> Self {
        let Rect { x, y, w, h } = face.rect;
        let (gap, thick) = (0.2 * w, 0.35 * w);
        let (left, right, top) = (x - gap - thick, x + w + gap, y - gap - thick);
        let side = |x: f32, part: f32| Rect { x, y: y + part * 0.35 * h, w: thick, h: 0.35 * h };
        let above = |part: f32| Rect { x: x + part * 0.5 * w, y: top, w: 0.5 * w, h: thick };
        Self {
            background: [side(left, 0.0), side(left, 1.0), side(right, 0.0), side(right, 1.0), above(0.0), above(1.0)],
            turn: None,
        }
    }

    /// Reads one frame; `None` when the landmarks coincide or are not finite.
    #[must_use]
    pub fn sample(&mut self, picture: &Rgb, face: &Face, at_ms: i32) -> Option<LightSample> {
        let back = self.placed(face)?;
        let (w, h) = (ON_CHIP.w / GRID as f32, ON_CHIP.h / GRID as f32);
        let on_face = core::array::from_fn(|i| {
            let corner = Point { x: ON_CHIP.x + (i % GRID) as f32 * w, y: ON_CHIP.y + (i / GRID) as f32 * h };
            read(picture, |u, v| back.apply(Point { x: corner.x + u * w, y: corner.y + v * h }))
        });
        let around = core::array::from_fn(|i| {
            let rect = self.background[i];
            read(picture, |u, v| Point { x: rect.x + u * rect.w, y: rect.y + v * rect.h })
        });
        Some(LightSample {
            at_ms,
            face: on_face,
            background: around,
            centre: middle(&face.landmarks),
            size_px: sqrtf(back.a * back.a + back.b * back.b) * CHIP_PX as f32,
        })
    }

    /// Chip to frame. The place is the frame's own; scale and turn are smoothed, because a detector's landmarks tremble, and patches
    /// that tremble over brows and lips are noise. Trembling of the place alone is seen in the samples and regressed out.
    fn placed(&mut self, face: &Face) -> Option<Similarity> {
        const SMOOTHING: f32 = 0.15;
        let now = Similarity::fit(&face.landmarks, &CHIP_LANDMARKS)?.inverse();
        let (a, b) = self.turn.unwrap_or((now.a, now.b));
        let (a, b) = (a + SMOOTHING * (now.a - a), b + SMOOTHING * (now.b - b));
        self.turn = Some((a, b));
        let (here, there) = (middle(&CHIP_LANDMARKS), middle(&face.landmarks));
        Some(Similarity { a, b, tx: there.x - (a * here.x - b * here.y), ty: there.y - (b * here.x + a * here.y) })
    }
}

fn middle(landmarks: &[Point; 5]) -> Point {
    let sum = landmarks.iter().fold(Point::default(), |s, p| Point { x: s.x + p.x, y: s.y + p.y });
    Point { x: sum.x / 5.0, y: sum.y / 5.0 }
}

/// Means over a patch; `place` takes 0..1 along each side to the frame's pixels. What lies outside of the frame is left out, and
/// a patch that is mostly outside was not seen.
fn read(picture: &Rgb, place: impl Fn(f32, f32) -> Point) -> Patch {
    let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
    let (mut luma, mut saturated, mut seen) = (0u32, 0u32, 0u32);
    for step in 0..POINTS * POINTS {
        let at = |step: usize| (step as f32 + 0.5) / POINTS as f32;
        let p = place(at(step % POINTS), at(step / POINTS));
        if !(p.x >= 0.0 && p.y >= 0.0 && p.x < width as f32 && p.y < height as f32) {
            continue;
        }
        let i = (p.y as usize * width + p.x as usize) * 3;
        let Some(&[r, g, b]) = picture.data().get(i..i + 3) else { continue };
        luma += 77 * u32::from(r) + 150 * u32::from(g) + 29 * u32::from(b);
        saturated += u32::from(r.max(g).max(b) >= SATURATED);
        seen += 1;
    }
    if (seen as usize) < POINTS * POINTS / 2 {
        return Patch::UNSEEN;
    }
    Patch { luma: luma as f32 / 256.0 / seen as f32, saturated: saturated as f32 / seen as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn face_at(x: f32, y: f32) -> Face {
        let landmarks = CHIP_LANDMARKS.map(|p| Point { x: p.x + x, y: p.y + y });
        Face { rect: Rect { x: x + 16.0, y: y + 15.0, w: 80.0, h: 100.0 }, landmarks, score: 1.0 }
    }

    #[test]
    fn patches_go_with_the_face_and_the_background_stays() {
        // Brighter to the right; one saturated column.
        let (width, height) = (320u32, 240u32);
        let pixels: Vec<u8> = (0..width * height).flat_map(|i| [(i % width / 2) as u8; 3]).collect();
        let picture = Rgb::new(&pixels, width, height).unwrap();
        let mut sampler = Sampler::around(&face_at(100.0, 70.0));
        let first = sampler.sample(&picture, &face_at(100.0, 70.0), 0).unwrap();
        let moved = sampler.sample(&picture, &face_at(120.0, 70.0), 66).unwrap();
        assert_eq!(first.background, moved.background);
        for (a, b) in first.face.iter().zip(&moved.face) {
            assert!((b.luma - a.luma - 10.0).abs() < 0.6, "{a:?} {b:?}");
        }
        assert!((first.face[2].luma - (100.0 + 56.0) / 2.0).abs() < 0.6);
        assert!(first.background[0].luma < first.face[0].luma && first.background[2].luma > first.face[4].luma);
        assert!((first.size_px - 112.0).abs() < 0.1 && (moved.centre.x - first.centre.x - 20.0).abs() < 0.01);
    }

    #[test]
    fn what_is_outside_is_unseen_and_white_is_saturated() {
        let white = vec![255; 112 * 112 * 3];
        let picture = Rgb::new(&white, 112, 112).unwrap();
        let face = face_at(0.0, 0.0);
        let sample = Sampler::around(&face).sample(&picture, &face, 5).unwrap();
        assert!(sample.face.iter().all(|p| p.saturated == 1.0 && (p.luma - 255.0).abs() < 0.1));
        assert!(sample.background.iter().all(|p| p.luma.is_nan()));
        let nowhere = Face { landmarks: [Point { x: f32::NAN, y: 0.0 }; 5], ..face };
        assert!(Sampler::around(&nowhere).sample(&picture, &nowhere, 0).is_none());
        assert_eq!(
            Sampler::around(&face).sample(&picture, &face_at(1e9, 0.0), 0).unwrap().face[0].luma.to_bits()
                & 0x7fc0_0000,
            0x7fc0_0000
        );
    }
}
