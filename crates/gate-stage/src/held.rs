//! A photograph held up before the camera.

use crate::Species;
use crate::hand::Hands;
use crate::pose::{Pose, Tilt, Tremor};
use crate::surface::{self, Looks};
use crate::thing::Thing;
use gate_core::geometry::{Point, Rect};
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How far a hand strays: position in face widths, tilt in radians.
const SWAY: (f32, f32) = (0.055, 0.05);
const SWAY_TILT: [f32; 3] = [0.045, 0.04, 0.025];

/// A photograph on an instrument, in somebody's hands.
#[derive(Clone, Debug)]
pub struct Held {
    species: Species,
    thing: Thing,
    hands: Hands,
    looks: Looks,
    tilt: Tilt,
    tremor: Tremor,
    grain: u64,
}

impl Held {
    /// Puts a photograph on paper or on a screen. `face` is the face's box on it, pixels; about three face widths of its own
    /// background are shown, as far as the photograph goes. Tilt, tremor, hands and light follow from the seed. `None` when
    /// the box is empty or its centre does not lie on the photograph.
    #[must_use]
    pub fn new(photograph: &RgbImage, face: Rect, species: Species, seed: u64) -> Option<Self> {
        let (centre, (w, h)) = (face.centre(), photograph.dimensions());
        let on_it = (0.0..w as f32).contains(&centre.x) && (0.0..h as f32).contains(&centre.y);
        if !on_it || face.w < 1.0 || face.h < 1.0 {
            return None;
        }
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let thing = Thing::new(photograph, face, species);
        let hands = Hands::new(&thing, species, &mut rng);
        let tremor = Tremor::new(&mut rng);
        let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
        let tilt = Tilt { yaw: between(-0.14, 0.14), pitch: between(-0.12, 0.06), roll: between(-0.06, 0.06) };
        let looks = Looks {
            bend: if species.is_screen() { 0.0 } else { between(-0.16, 0.16) },
            // Beside the face rather than across it.
            glare_at: (between(0.5, 0.85) * if between(-1.0, 1.0) < 0.0 { -1.0 } else { 1.0 }, 0.0),
            glare_angle: between(0.25, 0.6),
            glare: between(0.18, 0.4),
            moire: between(0.03, 0.06),
            detune: between(0.03, 0.07),
        };
        Some(Self { species, thing, hands, looks, tilt, tremor, grain: seed })
    }

    /// Paints the thing with its shadow and the hands into the frame, `time_s` seconds into the clip. The shown face's
    /// centre is held at `at`, `face_px` wide, pixels, but for the tremor (some hundredths of the face's width) and the
    /// tilt. What lies outside the frame is left out.
    pub fn paint(&self, frame: &mut RgbImage, at: Point, face_px: f32, time_s: f32) {
        if !(at.x.is_finite() && at.y.is_finite() && face_px.is_finite() && face_px >= 1.0) {
            return;
        }
        let [x, y, yaw, pitch, roll] = self.tremor.at(time_s);
        let tilt = Tilt {
            yaw: self.tilt.yaw + SWAY_TILT[0] * yaw,
            pitch: self.tilt.pitch + SWAY_TILT[1] * pitch,
            roll: self.tilt.roll + SWAY_TILT[2] * roll,
        };
        let now = Point { x: at.x + SWAY.0 * face_px * x, y: at.y + SWAY.1 * face_px * y };
        let pose = Pose::new(now, face_px, tilt);
        surface::shadow(frame, &self.thing, &pose);
        self.hands.paint_behind(frame, &pose);
        surface::paint(frame, &self.thing, &pose, &self.looks, self.species, at, &|x, y| self.grain(x, y, &pose));
        self.hands.paint_before(frame, &pose);
    }

    /// The print's uneven ink: fixed on the sheet, -1..=1.
    fn grain(&self, x: u32, y: u32, pose: &Pose) -> f32 {
        let (u, v) = pose.unproject(Point { x: x as f32 + 0.5, y: y as f32 + 0.5 }, 0.0);
        // About one cell for each pixel of a face that fills a quarter of the frame.
        let cell = |v: f32| (v * 110.0).floor() as i64 as u64;
        let mut mixed =
            self.grain ^ cell(u).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ cell(v).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
        mixed = (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}
