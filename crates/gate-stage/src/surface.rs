//! Paints the thing into the frame: seen at a tilt, bent if it is paper, shining if it is a screen, with its shadow.

use crate::Species;
use crate::pose::Pose;
use crate::thing::{Colour, Thing};
use gate_core::geometry::{Point, Rect};
use image::{Rgb, RgbImage};
use std::f32::consts::TAU;

/// Samples across a pixel, each way: edges come out smooth.
const FINE: usize = 2;
/// Where the shadow on the wall falls, and how soft it is, face widths.
const SHADOW_AT: (f32, f32) = (0.16, 0.2);
const SHADOW_SOFT: f32 = 0.3;
const SHADOW_DEPTH: f32 = 0.22;

/// How a thing takes and gives light; drawn once for each.
#[derive(Clone, Debug)]
pub(crate) struct Looks {
    /// Curvature of a sheet about an upright axis, 1 / face widths.
    pub bend: f32,
    /// A lamp's reflection on glass: where it lies from where the thing is held (face widths), its angle (radians), its
    /// strength.
    pub glare_at: (f32, f32),
    /// The streak's angle to the upright, radians.
    pub glare_angle: f32,
    /// The streak's brightness, 0..=1.
    pub glare: f32,
    /// How strongly screen and camera rasters beat, part of the brightness.
    pub moire: f32,
    /// By how much the screen's raster differs from the nearest multiple of the camera's.
    pub detune: f32,
}

/// Darkens what is behind the thing.
pub(crate) fn shadow(frame: &mut RgbImage, thing: &Thing, pose: &Pose) {
    let reach = SHADOW_SOFT + SHADOW_AT.0.max(SHADOW_AT.1);
    for (x, y) in pixels(frame, bounds(thing, pose, 0.0, reach)) {
        let (u, v) = pose.unproject(middle(x, y), 0.0);
        let outside = thing.outside(u - SHADOW_AT.0, v - SHADOW_AT.1);
        let depth = smooth((SHADOW_SOFT - outside) / (2.0 * SHADOW_SOFT)) * SHADOW_DEPTH;
        if depth > 0.0 {
            let Rgb(pixel) = frame.get_pixel_mut(x, y);
            *pixel = pixel.map(|v| (f32::from(v) * (1.0 - depth)).round() as u8);
        }
    }
}

/// Paints the thing itself. `held_at` is where it is held, without the tremor: reflections stay there.
pub(crate) fn paint(
    frame: &mut RgbImage,
    thing: &Thing,
    pose: &Pose,
    looks: &Looks,
    species: Species,
    held_at: Point,
    grain: &dyn Fn(u32, u32) -> f32,
) {
    for (x, y) in pixels(frame, bounds(thing, pose, looks.bend, 0.1)) {
        let (mut sum, mut inside) = ([0.0f32; 3], 0.0f32);
        for i in 0..FINE * FINE {
            let part = |n: usize| (n as f32 + 0.5) / FINE as f32;
            let at = Point { x: x as f32 + part(i % FINE), y: y as f32 + part(i / FINE) };
            let (u, v) = on_surface(pose, looks.bend, at);
            if thing.outside(u, v) <= 0.0 {
                inside += 1.0;
                sum.iter_mut().zip(thing.colour(u, v)).for_each(|(s, c)| *s += c);
            }
        }
        if inside == 0.0 {
            continue;
        }
        let at = middle(x, y);
        let (u, v) = on_surface(pose, looks.bend, at);
        let flat = sum.map(|s| s / inside);
        let lit = if species.is_screen() {
            screen(flat, thing, pose, looks, (u, v), at, held_at)
        } else {
            paper(flat, thing, pose, looks, (u, v), grain(x, y))
        };
        let cover = inside / (FINE * FINE) as f32;
        let Rgb(pixel) = frame.get_pixel_mut(x, y);
        for (below, over) in pixel.iter_mut().zip(lit) {
            *below = (f32::from(*below) * (1.0 - cover) + over.clamp(0.0, 1.0) * 255.0 * cover).round() as u8;
        }
    }
}

/// Print: the bend's shading, matte sheen, and dots that the camera only just sees.
fn paper(flat: Colour, thing: &Thing, pose: &Pose, looks: &Looks, (u, v): (f32, f32), grain: f32) -> Colour {
    // Light comes from above and from the left; a sheet's slope turns it there or away.
    let slope = looks.bend * u;
    let shade = 1.0 - 0.55 * slope - 0.03 * (v - thing.body.centre().y);
    let sheen = 0.035 * (1.0 - ((u + 0.5) / 1.1).powi(2)).max(0.0);
    let dots = raster(pose, 0.06, (u + v) * 0.7, 0.0) + raster(pose, 0.06, (u - v) * 0.7, 0.0);
    // Ink is where the sheet is not white.
    let ink = 1.0 - flat[1];
    std::array::from_fn(|i| flat[i] * shade * (1.0 + ink * (0.02 * dots + 0.03 * grain)) + sheen)
}

/// A screen: its raster against the camera's, less light towards the edges, a lamp's reflection on the glass.
fn screen(
    flat: Colour,
    thing: &Thing,
    pose: &Pose,
    looks: &Looks,
    (u, v): (f32, f32),
    at: Point,
    held_at: Point,
) -> Colour {
    let s = thing.screen;
    let on = u >= s.x && v >= s.y && u <= s.x + s.w && v <= s.y + s.h;
    let mut lit = flat;
    if on {
        let centre = s.centre();
        let away = ((u - centre.x) / s.w).powi(2) + ((v - centre.y) / s.h).powi(2);
        for (i, value) in lit.iter_mut().enumerate() {
            // Red, green and blue stand side by side: their bands are a third of a period apart.
            let across = raster(pose, looks.detune, u, i as f32 / 3.0);
            let rows = raster(pose, -0.7 * looks.detune, v, 0.0);
            *value *= (1.0 - 0.3 * away) * (1.0 + looks.moire * (across + 0.5 * rows));
        }
    }
    let face_px = pose.face_px();
    let (dx, dy) = ((at.x - held_at.x) / face_px - looks.glare_at.0, (at.y - held_at.y) / face_px - looks.glare_at.1);
    let off = dx * looks.glare_angle.cos() + dy * looks.glare_angle.sin();
    let streak = looks.glare * ((-(off / 0.09).powi(2)).exp() + 0.3 * (-(off / 0.4).powi(2)).exp());
    // Glass shows a little of the hall everywhere, more of it where it is dark.
    lit.map(|value| value + (1.0 - 0.5 * value.min(1.0)) * (streak + 0.012))
}

/// A fine raster at a multiple of the camera's pixel pitch, seen once in each pixel: what is left of it is the beat.
fn raster(pose: &Pose, detune: f32, along: f32, phase: f32) -> f32 {
    ((3.0 + detune) * pose.face_px() * along * TAU + phase * TAU).cos()
}

/// The point of the bent surface that is seen at `at`.
fn on_surface(pose: &Pose, bend: f32, at: Point) -> (f32, f32) {
    let (mut u, mut v) = pose.unproject(at, 0.0);
    // The bend is slight, so looking where the plane was and correcting for the depth found there converges at once.
    for _ in 0..if bend == 0.0 { 0 } else { 3 } {
        (u, v) = pose.unproject(at, depth(bend, u));
    }
    (u, v)
}

/// A bent sheet's middle comes nearer, or its sides do.
fn depth(bend: f32, u: f32) -> f32 {
    0.5 * bend * u * u
}

/// The frame's box around the thing, `more` face widths wider on each side.
fn bounds(thing: &Thing, pose: &Pose, bend: f32, more: f32) -> (Point, Point) {
    let Rect { x, y, w, h } = thing.body;
    let (mut low, mut high) = (Point { x: f32::MAX, y: f32::MAX }, Point { x: f32::MIN, y: f32::MIN });
    for u in [x - more, x + w + more] {
        for v in [y - more, y + h + more] {
            for z in [0.0, depth(bend, u)] {
                let p = pose.project(u, v, z);
                low = Point { x: low.x.min(p.x), y: low.y.min(p.y) };
                high = Point { x: high.x.max(p.x), y: high.y.max(p.y) };
            }
        }
    }
    (low, high)
}

/// The frame's pixels within a box.
fn pixels(frame: &RgbImage, (low, high): (Point, Point)) -> impl Iterator<Item = (u32, u32)> + use<> {
    let within = |v: f32, max: u32| v.clamp(0.0, max as f32) as u32;
    let (left, right) = (within(low.x, frame.width()), within(high.x.ceil() + 1.0, frame.width()));
    let (top, bottom) = (within(low.y, frame.height()), within(high.y.ceil() + 1.0, frame.height()));
    (top..bottom).flat_map(move |y| (left..right).map(move |x| (x, y)))
}

fn middle(x: u32, y: u32) -> Point {
    Point { x: x as f32 + 0.5, y: y as f32 + 0.5 }
}

pub(crate) fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}
