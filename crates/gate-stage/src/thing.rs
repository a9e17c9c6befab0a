//! The thing that is held, laid flat: a sheet or a device as one picture, with the photograph on it.
//!
//! ```text
//!   paper            phone            tablet
//!  ┌─────────┐     ╭───────╮      ╭───────────╮      body: what is cut out of the frame
//!  │┌───────┐│     │▒▒▒▒▒▒▒│      │┌─────────┐│      screen: what shines
//!  ││picture││     ││picture│      ││▒toolbar▒││      picture: the photograph, as far as there is one
//!  │└───────┘│     │▒ ▒ ▒ ▒│      ││ picture ││
//!  └─────────┘     ╰───────╯      ╰───────────╯
//! ```

use crate::Species;
use gate_core::geometry::Rect;
use image::imageops::{FilterType, crop_imm, resize};
use image::{Rgb, RgbImage};

/// Texture pixels for a face width: more than a face is ever wide in the frame.
const TEXEL: f32 = 180.0;

/// A colour or another triple of red, green and blue, 0..=1.
pub(crate) type Colour = [f32; 3];

/// A sheet or a device, flat, in face widths about the face's centre.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    /// The whole thing.
    pub body: Rect,
    /// What shines; empty on paper.
    pub screen: Rect,
    /// Radius of the body's corners.
    pub corner: f32,
    texture: RgbImage,
}

impl Thing {
    /// Puts the photograph on paper or on a screen. `face` is the face's box on it, pixels.
    pub fn new(photograph: &RgbImage, face: Rect, species: Species) -> Self {
        let (wide, tall) = (photograph.width() as f32, photograph.height() as f32);
        let centre = face.centre();
        // The whole photograph in face widths, and what of it is shown.
        let whole = Rect { x: -centre.x / face.w, y: -centre.y / face.w, w: wide / face.w, h: tall / face.w };
        let wanted = match species {
            Species::Paper => Rect { x: -1.05, y: -1.35, w: 2.1, h: 2.9 },
            Species::Phone => Rect { x: -1.0, y: -1.45, w: 2.0, h: 3.0 },
            Species::Tablet => Rect { x: -1.3, y: -1.4, w: 2.6, h: 2.85 },
        };
        let picture = common(wanted, whole);
        let (body, screen, corner) = match species {
            Species::Paper => (grown(picture, 0.16, 0.16, 0.34), Rect::default(), 0.004),
            Species::Phone => {
                let screen = Rect { x: -1.0, y: -1.75, w: 2.0, h: 4.1 };
                (grown(screen, 0.07, 0.09, 0.1), screen, 0.24)
            }
            Species::Tablet => {
                let screen = Rect { x: -1.3, y: -1.62, w: 2.6, h: 3.5 };
                (grown(screen, 0.17, 0.19, 0.19), screen, 0.15)
            }
        };
        let mut thing = Self { body, screen, corner, texture: RgbImage::new(side(body.w), side(body.h)) };
        thing.lay_out(species);
        thing.show(photograph, face, picture, species);
        thing
    }

    /// The colour at a point, between texture pixels; the edge's outside the body.
    pub fn colour(&self, x: f32, y: f32) -> Colour {
        let (w, h) = self.texture.dimensions();
        let u = ((x - self.body.x) * TEXEL - 0.5).clamp(0.0, (w - 1) as f32);
        let v = ((y - self.body.y) * TEXEL - 0.5).clamp(0.0, (h - 1) as f32);
        let (left, top) = (u as u32, v as u32);
        let (right, below) = ((left + 1).min(w - 1), (top + 1).min(h - 1));
        let (fu, fv) = (u - left as f32, v - top as f32);
        let corners = [(left, top), (right, top), (left, below), (right, below)];
        let weights = [(1.0 - fu) * (1.0 - fv), fu * (1.0 - fv), (1.0 - fu) * fv, fu * fv];
        let mut mixed = [0.0; 3];
        for ((cx, cy), weight) in corners.into_iter().zip(weights) {
            let Rgb(texel) = self.texture.get_pixel(cx, cy);
            for (sum, value) in mixed.iter_mut().zip(texel) {
                *sum += weight * f32::from(*value) / 255.0;
            }
        }
        mixed
    }

    /// Distance from the body's edge, face widths; negative inside.
    pub fn outside(&self, x: f32, y: f32) -> f32 {
        rounded(self.body, self.corner, x, y)
    }

    /// Everything but the photograph.
    fn lay_out(&mut self, species: Species) {
        self.fill(self.body, BODY[usize::from(species.is_screen())]);
        if species == Species::Paper {
            return;
        }
        let Rect { x, y, w, h } = self.screen;
        self.fill(self.screen, shining([0.06; 3]));
        if species == Species::Phone {
            // The clock and the battery above; share, edit, delete below.
            self.fill(Rect { x: x + 0.16, y: y + 0.08, w: 0.26, h: 0.06 }, shining([0.8; 3]));
            self.fill(Rect { x: x + w - 0.36, y: y + 0.08, w: 0.18, h: 0.06 }, shining([0.8; 3]));
            for i in 0..4 {
                let icon = Rect { x: x + w * (0.14 + 0.2 * i as f32), y: y + h - 0.42, w: 0.16, h: 0.16 };
                self.fill_round(icon, 0.06, shining([0.75; 3]));
            }
            self.fill_round(Rect { x: -0.3, y: y + h - 0.09, w: 0.6, h: 0.03 }, 0.015, shining([0.9; 3]));
            // The front camera.
            self.fill_round(Rect { x: -0.06, y: y + 0.05, w: 0.12, h: 0.12 }, 0.06, [0.01; 3]);
        } else {
            // A viewer: a toolbar with a title and two buttons above, small pictures below.
            self.fill(Rect { x, y, w, h: 0.22 }, shining([0.86, 0.87, 0.88]));
            self.fill(Rect { x: x + 0.12, y: y + 0.08, w: 0.9, h: 0.06 }, shining([0.35; 3]));
            for i in 1..3 {
                let button = Rect { x: x + w - 0.24 * i as f32, y: y + 0.05, w: 0.12, h: 0.12 };
                self.fill_round(button, 0.04, shining([0.2, 0.45, 0.85]));
            }
            for i in 0..6 {
                let small = Rect { x: x + 0.28 + 0.35 * i as f32, y: y + h - 0.38, w: 0.3, h: 0.3 };
                let hue = i as f32 / 6.0;
                self.fill(small, shining([0.35 + 0.4 * hue, 0.5, 0.7 - 0.4 * hue]));
            }
        }
    }

    fn show(&mut self, photograph: &RgbImage, face: Rect, picture: Rect, species: Species) {
        let centre = face.centre();
        let px = |v: f32, max: u32| (v.round().max(0.0) as u32).min(max);
        let left = px(centre.x + picture.x * face.w, photograph.width());
        let top = px(centre.y + picture.y * face.w, photograph.height());
        let right = px(centre.x + (picture.x + picture.w) * face.w, photograph.width());
        let bottom = px(centre.y + (picture.y + picture.h) * face.w, photograph.height());
        if right <= left || bottom <= top {
            return;
        }
        let crop = crop_imm(photograph, left, top, right - left, bottom - top).to_image();
        let shown = resize(&crop, side(picture.w), side(picture.h), FilterType::Triangle);
        let (dx, dy) = (((picture.x - self.body.x) * TEXEL) as i64, ((picture.y - self.body.y) * TEXEL) as i64);
        for (x, y, Rgb(pixel)) in shown.enumerate_pixels() {
            let (tx, ty) = (dx + i64::from(x), dy + i64::from(y));
            if tx < 0 || ty < 0 || tx >= i64::from(self.texture.width()) || ty >= i64::from(self.texture.height()) {
                continue;
            }
            let colour = pixel.map(|v| f32::from(v) / 255.0);
            let toned = if species.is_screen() { shining(colour) } else { printed(colour) };
            self.texture.put_pixel(tx as u32, ty as u32, Rgb(toned.map(|v| (v * 255.0).round() as u8)));
        }
    }

    fn fill(&mut self, area: Rect, colour: Colour) {
        self.fill_round(area, 0.0, colour);
    }

    fn fill_round(&mut self, area: Rect, corner: f32, colour: Colour) {
        let (body, (w, h)) = (self.body, self.texture.dimensions());
        let texel = |v: f32, max: u32| (v * TEXEL).clamp(0.0, max as f32) as u32;
        let paint = Rgb(colour.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8));
        for y in texel(area.y - body.y, h)..texel(area.y + area.h - body.y + 0.02, h) {
            for x in texel(area.x - body.x, w)..texel(area.x + area.w - body.x + 0.02, w) {
                let (u, v) = (body.x + (x as f32 + 0.5) / TEXEL, body.y + (y as f32 + 0.5) / TEXEL);
                if rounded(area, corner, u, v) <= 0.0 {
                    self.texture.put_pixel(x, y, paint);
                }
            }
        }
    }
}

/// A sheet's white in the hall's light, a bezel's black.
const BODY: [Colour; 2] = [[0.91, 0.90, 0.87], [0.035, 0.035, 0.04]];

fn side(units: f32) -> u32 {
    ((units * TEXEL).round() as u32).max(1)
}

/// What a printer makes of a colour: duller primaries, ink that is no deeper than dark grey, the sheet's white as white.
fn printed(colour: Colour) -> Colour {
    let luma = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2];
    let white = BODY[0];
    std::array::from_fn(|i| {
        let dull = luma + 0.72 * (colour[i] - luma);
        // Dots spread: middle tones print darker.
        (0.15 + 0.81 * dull.clamp(0.0, 1.0).powf(1.12)) * white[i]
    })
}

/// How a screen looks to a camera that is exposed for the hall: brighter than all around it, its highlights clipped, its
/// white bluish, its black lit up a little by the hall.
fn shining(colour: Colour) -> Colour {
    const WHITE: Colour = [0.95, 1.03, 1.16];
    std::array::from_fn(|i| (0.035 + 1.22 * WHITE[i] * colour[i].clamp(0.0, 1.0).powf(0.95)).clamp(0.0, 1.0))
}

/// Distance from a box with rounded corners; negative inside.
fn rounded(area: Rect, corner: f32, x: f32, y: f32) -> f32 {
    let centre = area.centre();
    let (dx, dy) = ((x - centre.x).abs() - area.w / 2.0 + corner, (y - centre.y).abs() - area.h / 2.0 + corner);
    dx.max(0.0).hypot(dy.max(0.0)) + dx.max(dy).min(0.0) - corner
}

fn grown(area: Rect, sides: f32, above: f32, below: f32) -> Rect {
    Rect { x: area.x - sides, y: area.y - above, w: area.w + 2.0 * sides, h: area.h + above + below }
}

fn common(a: Rect, b: Rect) -> Rect {
    let (x, y) = (a.x.max(b.x), a.y.max(b.y));
    let (right, bottom) = ((a.x + a.w).min(b.x + b.w), (a.y + a.h).min(b.y + b.h));
    Rect { x, y, w: (right - x).max(0.0), h: (bottom - y).max(0.0) }
}
