//! People who stand in for live ones: head and shoulders cut out of a photograph with a soft edge.

use gate_core::geometry::{Point, Rect};
use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage, Rgba, RgbaImage};

/// Width of the face on a prepared figure, pixels.
const FIGURE_FACE_PX: f32 = 180.0;
/// A figure's proportions: half the head's and the shoulders' width in face widths; hair above and chest below the
/// face's centre in face heights.
const HEAD: f32 = 0.78;
const SHOULDERS: f32 = 1.65;
const HAIR: f32 = 0.92;
const CHEST: f32 = 1.9;

/// A person cut out of a photograph.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The face `FIGURE_FACE_PX` wide.
    pixels: RgbaImage,
    /// The face's centre on it.
    face: Point,
}

impl Figure {
    /// Cuts head and shoulders out of a photograph; `face` is the face's box on it, pixels. `None` when the box is empty
    /// or does not lie on the photograph.
    #[must_use]
    pub fn cut(photograph: &RgbImage, face: Rect) -> Option<Self> {
        let centre = face.centre();
        let (half_w, up, down) = (SHOULDERS * face.w, HAIR * face.h, CHEST * face.h);
        let left = (centre.x - half_w).max(0.0) as u32;
        let top = (centre.y - up).max(0.0) as u32;
        let right = ((centre.x + half_w) as u32).min(photograph.width());
        let bottom = ((centre.y + down) as u32).min(photograph.height());
        if face.w < 1.0 || face.h < 1.0 || right <= left || bottom <= top {
            return None;
        }
        let crop = crop_imm(photograph, left, top, right - left, bottom - top).to_image();
        let scale = FIGURE_FACE_PX / face.w;
        let size = |side: u32| ((side as f32 * scale).round() as u32).max(1);
        let scaled = resize(&crop, size(crop.width()), size(crop.height()), FilterType::Triangle);
        let scaled = clothed(scaled, ((centre.y + down - top as f32) * scale) as u32);
        let at = Point { x: (centre.x - left as f32) * scale, y: (centre.y - top as f32) * scale };
        let pixels = RgbaImage::from_fn(scaled.width(), scaled.height(), |x, y| {
            let (dx, dy) = ((x as f32 - at.x) / (scale * face.w), (y as f32 - at.y) / (scale * face.h));
            // The photograph's own edges are softened too.
            let sides = (scaled.width() - x).min(x + 1).min(scaled.height() - y) as f32 / 14.0;
            let alpha = ((outline(dy) - dx.abs()) / 0.1).min((CHEST - dy) / 0.25).min(sides).clamp(0.0, 1.0);
            let Rgb([r, g, b]) = *scaled.get_pixel(x, y);
            Rgba([r, g, b, (alpha * 255.0) as u8])
        });
        Some(Self { pixels, face: at })
    }

    /// Sets the figure into the frame: the face's centre at `at`, `face_px` wide. What lies outside the frame is left out.
    pub fn place(&self, frame: &mut RgbImage, at: Point, face_px: f32) {
        let scale = face_px / FIGURE_FACE_PX;
        let (w, h) = self.pixels.dimensions();
        let size = |side: u32| ((side as f32 * scale).round() as u32).max(1);
        let (left, top) = ((at.x - self.face.x * scale) as i64, (at.y - self.face.y * scale) as i64);
        let beside = |from: i64, size: u32, side: u32| from >= i64::from(side) || from + i64::from(size) <= 0;
        if beside(left, size(w), frame.width()) || beside(top, size(h), frame.height()) {
            return;
        }
        let small = resize(&self.pixels, size(w), size(h), FilterType::Triangle);
        for (x, y, Rgba([r, g, b, a])) in small.enumerate_pixels() {
            let (fx, fy) = (left + i64::from(x), top + i64::from(y));
            if fx < 0 || fy < 0 || fx >= i64::from(frame.width()) || fy >= i64::from(frame.height()) {
                continue;
            }
            let Rgb(under) = frame.get_pixel_mut(fx as u32, fy as u32);
            for (below, over) in under.iter_mut().zip([r, g, b]) {
                let mixed = u32::from(*over) * u32::from(*a) + u32::from(*below) * (255 - u32::from(*a));
                *below = (mixed / 255) as u8;
            }
        }
    }
}

/// The person down to `height`: where the photograph ends above that, plain cloth of its lowest rows' colour goes on.
fn clothed(person: RgbImage, height: u32) -> RgbImage {
    /// How much of the photograph the cloth is blended into, pixels.
    const BLEND: u32 = 16;
    let (w, h) = person.dimensions();
    if h + 2 >= height || h <= BLEND {
        return person;
    }
    // A shoulder in the lowest rows: between the shoulders is a shirt, beside them the photograph's background.
    let mut sum = [0u32; 3];
    let lowest = crop_imm(&person, w / 5, h - BLEND, (w / 6).max(1), BLEND).to_image();
    for Rgb(pixel) in lowest.pixels() {
        sum.iter_mut().zip(pixel).for_each(|(s, v)| *s += u32::from(*v));
    }
    let cloth = sum.map(|s| s as f32 / (lowest.width() * lowest.height()) as f32);
    RgbImage::from_fn(w, height, |x, y| {
        let Rgb(above) = *person.get_pixel(x, y.min(h - 1));
        let part = ((y + BLEND).saturating_sub(h) as f32 / BLEND as f32).min(1.0);
        // A chest is round: darker towards its sides.
        let side = (x as f32 / w as f32 - 0.5).abs();
        let shade = 1.0 - 0.5 * side * side;
        let mixed = |i: usize| f32::from(above[i]) * (1.0 - part) + cloth[i] * shade * part;
        Rgb(std::array::from_fn(|i| mixed(i) as u8))
    })
}

/// Half the width of head and shoulders, in face widths, `dy` face heights below the face's centre.
fn outline(dy: f32) -> f32 {
    let smooth = |t: f32| t.clamp(0.0, 1.0).powi(2) * (3.0 - 2.0 * t.clamp(0.0, 1.0));
    if dy < 0.0 {
        return HEAD * (1.0 - (dy / HAIR).powi(2)).max(0.0).sqrt();
    }
    let neck = HEAD - 0.12 * smooth(dy / 0.5);
    neck + (SHOULDERS - neck) * smooth((dy - 0.55) / 0.55)
}
