//! Hands that hold the thing: tapered rounded limbs with soft shading, scaled in centimetres.
//!
//! ```text
//!   one hand (phone)                two hands (paper, tablet)
//!    ┌───────┐                       ┌─────────────┐
//!    │       │◖ fingers come         │             │
//!    │       │◖ round the edge    ◖╺╸│             │╺╸◗ thumbs before it, fingers
//!  ╲ │       │◖                     ╲│             │╱   behind it
//!  thumb ────┘                       ╲─────────────╱
//!     ╲ forearm, out of the frame     ╲           ╱
//! ```

use crate::Species;
use crate::pose::Pose;
use crate::thing::Thing;
use gate_core::geometry::Point;
use image::{Rgb, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Skin in the hall's light, from dark to fair, 0..=1.
const SKINS: [[f32; 3]; 4] = [[0.42, 0.29, 0.22], [0.62, 0.45, 0.35], [0.78, 0.60, 0.49], [0.88, 0.71, 0.61]];
/// Sleeves.
const CLOTHS: [[f32; 3]; 4] = [[0.20, 0.23, 0.32], [0.24, 0.24, 0.25], [0.45, 0.40, 0.35], [0.30, 0.38, 0.36]];
/// Where the light on hands comes from: left, above, before.
const LIGHT: [f32; 3] = [-0.40, -0.55, 0.73];

/// A part of a hand or an arm: a rounded limb from one point to another, in the thing's plane.
#[derive(Clone, Copy, Debug)]
struct Limb {
    from: (f32, f32),
    to: (f32, f32),
    /// Radius at either end, face widths.
    radius: (f32, f32),
    colour: [f32; 3],
    /// It ends in a fingertip that is seen from the nail's side.
    nail: bool,
    /// It goes on beyond `to` until it leaves the frame below.
    leaves: bool,
}

impl Limb {
    /// A limb that ends at `to`, without a nail.
    fn new(from: (f32, f32), to: (f32, f32), radius: (f32, f32), colour: [f32; 3]) -> Self {
        Self { from, to, radius, colour, nail: false, leaves: false }
    }
}

/// What holds a thing: limbs behind it and before it.
#[derive(Clone, Debug)]
pub(crate) struct Hands {
    behind: Vec<Limb>,
    before: Vec<Limb>,
}

impl Hands {
    /// Hands for this thing; skin, sleeves and grip are drawn from the generator.
    pub fn new(thing: &Thing, species: Species, rng: &mut ChaCha8Rng) -> Self {
        let skin = SKINS[(rng.random::<f32>() * 3.99) as usize];
        let cloth = CLOTHS[(rng.random::<f32>() * 3.99) as usize];
        let mut hands = Self { behind: Vec::new(), before: Vec::new() };
        if species == Species::Phone {
            let right = rng.random::<f32>() < 0.5;
            hands.around(thing, if right { 1.0 } else { -1.0 }, skin, cloth, rng);
        } else {
            for edge in [-1.0, 1.0] {
                hands.pinch(thing, species, edge, skin, cloth, rng);
            }
        }
        hands
    }

    /// Palm behind the phone: four fingertips come round one edge, the thumb lies along the other.
    fn around(&mut self, thing: &Thing, edge: f32, skin: [f32; 3], cloth: [f32; 3], rng: &mut ChaCha8Rng) {
        let cm = 1.0 / Species::Phone.cm_per_face();
        let half = thing.body.w / 2.0;
        let low = thing.body.y + thing.body.h * (0.76 + 0.04 * rng.random::<f32>());
        let at = |out: f32, down: f32| (edge * (half + out * cm), low + down * cm);
        let limb = |from, to, r0: f32, r1: f32| Limb::new(from, to, (r0 * cm, r1 * cm), skin);
        // Palm and ball of the thumb on the other side, then the arm.
        let other = |out: f32, down: f32| (-edge * (half + out * cm), low + down * cm);
        self.behind.push(limb(other(-2.2, 0.5), other(-1.2, 5.0), 2.6, 3.0));
        let arm = Limb { leaves: true, ..limb(other(-1.8, 4.5), other(-1.0, 13.0), 2.7, 3.3) };
        self.behind.push(arm);
        let sleeve = limb(other(-1.3, 9.5), other(-0.6, 16.0), 3.9, 4.4);
        self.behind.push(Limb { colour: cloth, leaves: true, ..sleeve });
        for finger in 0..4 {
            let down = (finger as f32 - 1.5) * 1.72 + 0.15 * rng.random::<f32>();
            let reach = 0.75 + 0.3 * rng.random::<f32>() - if finger == 3 { 0.3 } else { 0.0 };
            let thick = if finger == 3 { 0.68 } else { 0.8 };
            let tip = limb(at(0.3, down + 0.45), at(-reach, down - 0.1), thick, thick * 0.88);
            self.before.push(Limb { nail: true, ..tip });
        }
        self.before.push(limb(other(0.9, 3.6), other(0.4, 0.4), 1.2, 0.92));
        let tip = limb(other(0.4, 0.4), other(-0.35, -2.2), 0.92, 0.8);
        self.before.push(Limb { nail: true, ..tip });
    }

    /// A sheet or tablet between thumb (before it) and fingers (behind it).
    fn pinch(
        &mut self,
        thing: &Thing,
        species: Species,
        edge: f32,
        skin: [f32; 3],
        cloth: [f32; 3],
        rng: &mut ChaCha8Rng,
    ) {
        let cm = 1.0 / species.cm_per_face();
        let half = thing.body.w / 2.0;
        let low = thing.body.y + thing.body.h * (0.74 + 0.08 * rng.random::<f32>());
        let at = |out: f32, down: f32| (edge * (half + out * cm), low + down * cm);
        let limb = |from, to, r0: f32, r1: f32| Limb::new(from, to, (r0 * cm, r1 * cm), skin);
        for finger in 0..4 {
            let down = finger as f32 * 1.7 - 1.0 + 0.3 * rng.random::<f32>();
            self.behind.push(limb(at(0.9, down + 0.5), at(-2.0, down - 0.6), 0.95, 0.8));
        }
        self.behind.push(limb(at(1.2, 2.0), at(1.6, 6.0), 2.2, 2.6));
        self.behind.push(Limb { leaves: true, ..limb(at(1.5, 5.0), at(2.6, 14.0), 2.5, 3.1) });
        let sleeve = limb(at(2.1, 9.5), at(3.0, 17.0), 3.7, 4.3);
        self.behind.push(Limb { colour: cloth, leaves: true, ..sleeve });
        let lean = 0.4 * rng.random::<f32>();
        self.before.push(limb(at(1.4, 4.0), at(0.5, 1.4), 1.35, 1.0));
        let tip = limb(at(0.5, 1.4), at(-1.9, -0.4 - lean), 1.0, 0.86);
        self.before.push(Limb { nail: true, ..tip });
    }

    /// Paints what is behind the thing.
    pub fn paint_behind(&self, frame: &mut RgbImage, pose: &Pose) {
        paint_all(&self.behind, frame, pose);
    }

    /// Paints what is before it, with a touch of shadow.
    pub fn paint_before(&self, frame: &mut RgbImage, pose: &Pose) {
        for limb in &self.before {
            Seen::new(limb, pose, frame).paint_shadow(frame);
        }
        paint_all(&self.before, frame, pose);
    }
}

/// Paints limbs as one body: where they overlap the nearest to the camera is seen, so joints show no seam.
fn paint_all(limbs: &[Limb], frame: &mut RgbImage, pose: &Pose) {
    let mut nearest = vec![0.0f32; frame.width() as usize * frame.height() as usize];
    for limb in limbs {
        Seen::new(limb, pose, frame).paint(frame, &mut nearest);
    }
}

/// A limb in the frame's pixels.
struct Seen {
    from: Point,
    to: Point,
    radius: (f32, f32),
    colour: [f32; 3],
    nail: bool,
}

/// A pixel on a limb.
struct Spot {
    /// Part of the way from `from` to `to`.
    along: f32,
    /// Distance from the middle line and the limb's radius there, pixels.
    off: f32,
    radius: f32,
    /// The way it is off the middle line, over the radius.
    normal: (f32, f32),
}

impl Seen {
    fn new(limb: &Limb, pose: &Pose, frame: &RgbImage) -> Self {
        let (from, mut to) = (pose.project(limb.from.0, limb.from.1, 0.0), pose.project(limb.to.0, limb.to.1, 0.0));
        let radius = (limb.radius.0 * pose.face_px(), limb.radius.1 * pose.face_px());
        let end = frame.height() as f32 + radius.1 + 2.0;
        if limb.leaves && to.y < end && to.y > from.y + 1.0 {
            let on = (end - from.y) / (to.y - from.y);
            to = Point { x: from.x + (to.x - from.x) * on, y: end };
        }
        Self { from, to, radius, colour: limb.colour, nail: limb.nail }
    }

    fn spot(&self, at: Point) -> Spot {
        let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
        let length = (dx * dx + dy * dy).max(1e-6);
        let along = (((at.x - self.from.x) * dx + (at.y - self.from.y) * dy) / length).clamp(0.0, 1.0);
        let (nx, ny) = (at.x - self.from.x - dx * along, at.y - self.from.y - dy * along);
        let radius = (self.radius.0 + (self.radius.1 - self.radius.0) * along).max(0.5);
        Spot { along, off: nx.hypot(ny), radius, normal: (nx / radius, ny / radius) }
    }

    /// Every pixel of the frame that is within `more` pixels of the limb.
    fn each(&self, frame: &mut RgbImage, more: f32, mut paint: impl FnMut(&mut [u8; 3], Point)) {
        let reach = self.radius.0.max(self.radius.1) + more + 1.0;
        let within = |v: f32, max: u32| v.clamp(0.0, max as f32) as u32;
        let (width, height) = frame.dimensions();
        for y in within(self.from.y.min(self.to.y) - reach, height)..within(self.from.y.max(self.to.y) + reach, height)
        {
            for x in
                within(self.from.x.min(self.to.x) - reach, width)..within(self.from.x.max(self.to.x) + reach, width)
            {
                let Rgb(pixel) = frame.get_pixel_mut(x, y);
                paint(pixel, Point { x: x as f32 + 0.5, y: y as f32 + 0.5 });
            }
        }
    }

    /// `nearest` holds how far what is painted already stands out at each pixel of the frame.
    fn paint(&self, frame: &mut RgbImage, nearest: &mut [f32]) {
        let width = frame.width() as usize;
        self.each(frame, 1.0, |pixel, at| {
            let spot = self.spot(at);
            let cover = (spot.radius - spot.off + 0.5).clamp(0.0, 1.0);
            let height = (spot.radius * spot.radius - spot.off * spot.off).max(0.0).sqrt();
            let before = &mut nearest[at.y as usize * width + at.x as usize];
            if cover <= 0.0 || height < *before {
                return;
            }
            *before = height;
            let lit = self.shaded(&spot, at);
            for (below, over) in pixel.iter_mut().zip(lit) {
                *below = (f32::from(*below) * (1.0 - cover) + over.clamp(0.0, 1.0) * 255.0 * cover).round() as u8;
            }
        });
    }

    fn shaded(&self, spot: &Spot, at: Point) -> [f32; 3] {
        let (nx, ny) = spot.normal;
        let nz = (1.0 - nx * nx - ny * ny).max(0.0).sqrt();
        let mut light = 0.42 + 0.6 * (nx * LIGHT[0] + ny * LIGHT[1] + nz * LIGHT[2]).max(0.0);
        let mut colour = self.colour;
        if self.nail {
            // A crease at the last joint, and a nail that shines a little.
            light *= 1.0 - 0.14 * (-((spot.along - 0.28) / 0.05).powi(2)).exp();
            let (dx, dy) = (self.to.x - self.from.x, self.to.y - self.from.y);
            let length = dx.hypot(dy).max(1.0);
            let (ax, ay) = (at.x - self.to.x, at.y - self.to.y);
            let (ahead, aside) = ((ax * dx + ay * dy) / length, (ay * dx - ax * dy) / length);
            let r = self.radius.1;
            let nail = ((ahead - 0.12 * r) / (0.72 * r)).powi(2) + (aside / (0.55 * r)).powi(2);
            let part = ((1.0 - nail) * 4.0).clamp(0.0, 1.0);
            let pink = [colour[0] * 1.06 + 0.05, colour[1] * 1.03 + 0.05, colour[2] * 1.06 + 0.06];
            colour = std::array::from_fn(|i| colour[i] + part * (pink[i] - colour[i]));
        }
        // Where skin turns away from the light it gets redder, not only darker.
        [colour[0] * light.powf(0.85), colour[1] * light, colour[2] * light.powf(1.1)]
    }

    /// The dark seam where a finger lies on something.
    fn paint_shadow(&self, frame: &mut RgbImage) {
        let soft = 0.45 * self.radius.1;
        self.each(frame, soft * 2.0, |pixel, at| {
            let spot = self.spot(Point { x: at.x - 0.3 * soft, y: at.y - 0.6 * soft });
            let depth = 0.45 * crate::surface::smooth(1.0 - (spot.off - spot.radius) / soft);
            *pixel = pixel.map(|v| (f32::from(v) * (1.0 - depth)).round() as u8);
        });
    }
}
