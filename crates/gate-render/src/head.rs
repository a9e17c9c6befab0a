//! A head as a height field, and its skin.
//!
//! Millimetres from the nose tip's place in the picture: x to the right, y down, z towards the camera. The average head is 152 wide,
//! 216 from crown to chin and 95 deep before the ears; brows, eye sockets, nose, cheekbones, lips and chin are smooth bumps on
//! it. Eyes are 63 apart, as in gate-core's average head.

use crate::chance::Chance;

const HALF_WIDTH_MM: f32 = 76.0;
const HALF_HEIGHT_MM: f32 = 108.0;
const DEPTH_MM: f32 = 95.0;
const MIDDLE_Y_MM: f32 = -25.0;
/// Flatter before and rounder at the sides than an ellipse, as faces are.
const ROUNDNESS: f32 = 2.3;

/// Bumps: x, y, height, half width, half height, all mm. Where x is not 0 there is one on each side.
const BUMPS: [[f32; 5]; 9] = [
    [0.0, -44.0, 4.0, 38.0, 8.0],    // brow
    [31.5, -33.0, -8.0, 14.0, 11.0], // eye sockets
    [0.0, -24.0, 7.0, 7.0, 16.0],    // bridge of the nose
    [0.0, -2.0, 19.0, 10.0, 13.0],   // its tip
    [14.0, 4.0, 4.0, 7.0, 7.0],      // its wings
    [43.0, -4.0, 5.0, 17.0, 15.0],   // cheekbones
    [0.0, 29.0, 5.0, 20.0, 9.0],     // lips
    [0.0, 62.0, 8.0, 17.0, 12.0],    // chin
    [0.0, 44.0, -3.0, 20.0, 5.0],    // the hollow above it
];

/// Somebody: shape and skin.
#[derive(Clone, Debug)]
pub struct Person {
    width: f32,
    height: f32,
    depth: f32,
    /// Height of each bump, as a part of the average one.
    bumps: [f32; 9],
    /// The right side's bumps against the left side's.
    asymmetry: f32,
    /// Albedo of the skin, 0..1.
    skin: f32,
    hair: f32,
    beard: f32,
    hairline_mm: f32,
    /// Blotches: frequency in x and y, phase, strength.
    blotches: [[f32; 4]; 6],
}

impl Person {
    /// Draws somebody.
    #[must_use]
    pub fn draw(chance: &mut Chance) -> Self {
        let around = |chance: &mut Chance, spread: f32| (1.0 + spread * chance.normal()).clamp(0.5, 1.5);
        Self {
            width: around(chance, 0.05),
            height: around(chance, 0.05),
            depth: around(chance, 0.1),
            bumps: core::array::from_fn(|_| around(chance, 0.2)),
            asymmetry: 0.12 * chance.normal(),
            skin: chance.between_log(0.1, 0.6),
            hair: chance.between_log(0.02, 0.4),
            beard: if chance.happens(0.2) { chance.between(0.2, 0.7) } else { 0.0 },
            hairline_mm: chance.between(-105.0, -70.0),
            blotches: core::array::from_fn(|_| {
                [
                    chance.between(-0.12, 0.12),
                    chance.between(-0.12, 0.12),
                    chance.between(0.0, 6.3),
                    chance.between(0.0, 0.03),
                ]
            }),
        }
    }

    /// How far within the head's outline: 0 in the middle, 1 on the outline, more outside.
    pub(crate) fn outline(&self, x: f32, y: f32) -> f32 {
        let (u, v) = (x.abs() / (HALF_WIDTH_MM * self.width), (y - MIDDLE_Y_MM).abs() / (HALF_HEIGHT_MM * self.height));
        u.powf(ROUNDNESS) + v.powf(ROUNDNESS)
    }

    /// Height of the surface above the plane of the ears, mm.
    pub(crate) fn height(&self, x: f32, y: f32) -> f32 {
        let skull = (1.0 - self.outline(x, y)).max(0.0).powf(1.0 / ROUNDNESS) * DEPTH_MM * self.depth;
        let mut z = skull;
        for ([bx, by, height, wide, tall], own) in BUMPS.iter().zip(self.bumps) {
            let bump = |cx: f32| {
                let (u, v) = ((x - cx) / wide, (y - by) / tall);
                let away = u * u + v * v;
                if away > 12.0 { 0.0 } else { height * own * (-0.5 * away).exp() }
            };
            z += if *bx == 0.0 { bump(0.0) } else { bump(-bx) + (1.0 + self.asymmetry) * bump(*bx) };
        }
        z
    }

    /// The surface's normal, towards the camera.
    pub(crate) fn normal(&self, x: f32, y: f32) -> [f32; 3] {
        const STEP: f32 = 1.5;
        let slope_x = (self.height(x + STEP, y) - self.height(x - STEP, y)) / (2.0 * STEP);
        let slope_y = (self.height(x, y + STEP) - self.height(x, y - STEP)) / (2.0 * STEP);
        unit([-slope_x, -slope_y, 1.0])
    }

    /// How open the surface is to light from all around, 0..1: eye sockets and the nose's sides are less so.
    pub(crate) fn openness(&self, x: f32, y: f32) -> f32 {
        let near = |cx: f32, cy: f32, wide: f32| (-((x - cx).powi(2) + (y - cy).powi(2)) / (2.0 * wide * wide)).exp();
        let closed = 0.3 * (near(-31.5, -33.0, 13.0) + near(31.5, -33.0, 13.0))
            + 0.2 * (near(-17.0, 2.0, 7.0) + near(17.0, 2.0, 7.0))
            + 0.2 * near(0.0, 15.0, 8.0);
        (1.0 - closed).max(0.3)
    }

    /// Albedo, red, green, blue.
    pub(crate) fn albedo(&self, x: f32, y: f32) -> [f32; 3] {
        let near = |cx: f32, cy: f32, wide: f32, tall: f32| {
            (-0.5 * (((x.abs() - cx) / wide).powi(2) + ((y - cy) / tall).powi(2))).exp()
        };
        let grey = |part: f32| [part; 3];
        if y < self.hairline_mm + 0.004 * x * x || (x.abs() > 66.0 * self.width && y < 0.0) {
            return grey(self.hair);
        }
        let blotches: f32 = self.blotches.iter().map(|[u, v, phase, part]| part * (u * x + v * y + phase).sin()).sum();
        let mut skin = self.skin * (1.0 + blotches);
        skin *= 1.0 - 0.7 * near(31.5, -50.0, 13.0, 3.0); // brows
        skin *= 1.0 - 0.35 * near(31.5, -34.0, 10.0, 4.0); // eyes, lashes
        if y > 12.0 && self.outline(x, y) > 0.25 || y > 40.0 {
            skin *= 1.0 - self.beard;
        }
        let red = 1.0 + 0.25 * near(0.0, 30.0, 18.0, 6.0);
        [skin * 1.25 * red, skin * 0.95, skin * 0.78]
    }
}

pub(crate) fn unit(v: [f32; 3]) -> [f32; 3] {
    let norm = dot(v, v).sqrt().max(1e-9);
    v.map(|x| x / norm)
}

pub(crate) fn dot(a: [f32; 3], b: [f32; 3]) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
