//! A camera: exposes row by row, follows the light with its gain, adds noise, bends the tone curve, gives 8 bits.

use crate::chance::Chance;
use crate::scene::{FRAME_HEIGHT_PX, FRAME_WIDTH_PX, Light, Scene};

/// What kind of camera.
#[derive(Clone, Debug)]
pub struct Camera {
    /// Frames a second.
    pub fps: f32,
    /// From a moment to the time that its frame carries, ms.
    pub latency_ms: f32,
    /// Standard deviation of the time between frames, as a part of it.
    pub jitter: f32,
    /// How long each row is exposed, ms.
    pub exposure_ms: f32,
    /// From the first row to the last, ms.
    pub rows_ms: f32,
    /// How fast the gain follows, ms; it starts two frames late.
    pub gain_lag_ms: f32,
    /// Mean light that it aims at, 0..1.
    pub gain_target: f32,
    /// Largest drift of the white balance during a challenge, as a part.
    pub white_drift: f32,
    /// Electrons at white: shot noise.
    pub electrons: f32,
    /// Read noise as a part of white.
    pub read_noise: f32,
    /// Exponent of the tone curve.
    pub gamma: f32,
    /// How much of an S the tone curve is besides, 0..1.
    pub contrast: f32,
    /// Light that the lens scatters over the frame, as a part of the mean.
    pub flare: f32,
}

impl Camera {
    /// Draws a camera of this frame rate.
    #[must_use]
    pub fn draw(chance: &mut Chance, fps: f32) -> Self {
        Self {
            fps,
            latency_ms: chance.between(0.0, 150.0),
            jitter: 0.08,
            exposure_ms: chance.between(5.0, 33.0),
            rows_ms: chance.between(5.0, 30.0),
            gain_lag_ms: chance.between_log(100.0, 1500.0),
            gain_target: chance.between(0.15, 0.28),
            white_drift: chance.between(0.0, 0.02),
            electrons: chance.between_log(1000.0, 15_000.0),
            read_noise: chance.between_log(0.001, 0.006),
            gamma: chance.between(2.0, 2.4),
            contrast: chance.between(0.0, 0.25),
            flare: chance.between(0.0, 0.03),
        }
    }

    /// The tone curve as a table over light 0..1.
    fn curve(&self) -> Vec<f32> {
        let bend = |v: f32| {
            let v = v.powf(1.0 / self.gamma);
            255.0 * (v * (1.0 - self.contrast) + v * v * (3.0 - 2.0 * v) * self.contrast)
        };
        (0..=4096).map(|i| bend(i as f32 / 4096.0)).collect()
    }
}

/// A camera at work on a scene.
pub(crate) struct Running<'a> {
    camera: &'a Camera,
    scene: &'a Scene,
    curve: Vec<f32>,
    gain: f32,
    /// Means of the last two frames: gain follows late.
    means: [f32; 2],
    drift: [f32; 3],
}

impl<'a> Running<'a> {
    /// A camera that has looked at the scene for long, the lamp off.
    pub fn start(camera: &'a Camera, scene: &'a Scene, chance: &mut Chance) -> Self {
        let light = |l: &Light, other: &Light| l.cover * l.rest[1] + (1.0 - l.cover) * other.rest[1];
        let sum: f32 =
            scene.front.iter().zip(&scene.back).zip(metering()).map(|((f, b), part)| part * light(f, b)).sum();
        let mean = sum / metering().sum::<f32>();
        let gain = camera.gain_target / mean.max(1e-4);
        let drift = core::array::from_fn(|c| if c == 1 { 0.0 } else { camera.white_drift * chance.between(-1.0, 1.0) });
        Self { camera, scene, curve: camera.curve(), gain, means: [camera.gain_target; 2], drift }
    }

    /// One frame, taken at `at_ms`, everything in front moved by `way` pixels. `lit` and `shown` tell which part of a span of time (ms) the
    /// lamp, and the lamp of the recording, were on.
    pub fn shoot(
        &mut self,
        at_ms: f32,
        way: [f32; 2],
        lit: impl Fn(f32, f32) -> f32,
        shown: impl Fn(f32, f32) -> f32,
        chance: &mut Chance,
    ) -> Vec<u8> {
        let camera = self.camera;
        let mut pixels = Vec::with_capacity(FRAME_WIDTH_PX * FRAME_HEIGHT_PX * 3);
        let white: [f32; 3] =
            core::array::from_fn(|c| self.gain * (1.0 + self.drift[c] * (at_ms / 700.0).clamp(-1.0, 1.0)));
        let flare = camera.flare * camera.gain_target;
        let mut sum = 0.0;
        for y in 0..FRAME_HEIGHT_PX {
            let row_ms = at_ms + camera.rows_ms * (y as f32 / FRAME_HEIGHT_PX as f32 - 0.5);
            let span = (row_ms - camera.exposure_ms * 0.5, row_ms + camera.exposure_ms * 0.5);
            let (lit, shown) = (lit(span.0, span.1), shown(span.0, span.1));
            for x in 0..FRAME_WIDTH_PX {
                let metered = metered(x, y);
                let light = self.seen(x as f32 - way[0], y as f32 - way[1], y * FRAME_WIDTH_PX + x, lit, shown);
                for c in 0..3 {
                    let clean = light[c] * white[c] + flare;
                    let noise = (clean.max(0.0) / camera.electrons).sqrt() + camera.read_noise;
                    let noisy = (clean + noise * chance.normal()).clamp(0.0, 1.0);
                    sum += if c == 1 { metered * noisy } else { 0.0 };
                    pixels.push((self.curve[(noisy * 4096.0) as usize] + 0.5) as u8);
                }
            }
        }
        self.follow(sum / metering().sum::<f32>());
        pixels
    }

    /// Light from a place that may lie between pixels of the front.
    fn seen(&self, x: f32, y: f32, back: usize, lit: f32, shown: f32) -> [f32; 3] {
        let (x, y) = (x.clamp(0.0, FRAME_WIDTH_PX as f32 - 1.001), y.clamp(0.0, FRAME_HEIGHT_PX as f32 - 1.001));
        let (left, top) = (x as usize, y as usize);
        let (u, v) = (x - left as f32, y - top as f32);
        let at = top * FRAME_WIDTH_PX + left;
        let corners = [
            (at, (1.0 - u) * (1.0 - v)),
            (at + 1, u * (1.0 - v)),
            (at + FRAME_WIDTH_PX, (1.0 - u) * v),
            (at + FRAME_WIDTH_PX + 1, u * v),
        ];
        let (mut light, mut cover) = ([0.0; 3], 0.0);
        for (at, part) in corners {
            let from = &self.scene.front[at];
            cover += part * from.cover;
            for (c, light) in light.iter_mut().enumerate() {
                *light += part * (from.rest[c] + lit * from.lamp[c] + shown * from.video[c]);
            }
        }
        let behind = &self.scene.back[back];
        for (c, light) in light.iter_mut().enumerate() {
            *light += (1.0 - cover) * (behind.rest[c] + lit * behind.lamp[c]);
        }
        light
    }

    fn follow(&mut self, mean: f32) {
        let late = self.means[0];
        self.means = [self.means[1], mean];
        let step = 1.0 - (-1000.0 / self.camera.fps / self.camera.gain_lag_ms).exp();
        self.gain *= 1.0 + step * (self.camera.gain_target / late.max(1e-3) - 1.0).clamp(-0.3, 0.3);
    }
}

/// The weight of a pixel in the camera's own measurement of light: the middle counts four times.
fn metered(x: usize, y: usize) -> f32 {
    let middle = |at: usize, of: usize| (of / 4..of - of / 4).contains(&at);
    if middle(x, FRAME_WIDTH_PX) && middle(y, FRAME_HEIGHT_PX) { 4.0 } else { 1.0 }
}

fn metering() -> impl Iterator<Item = f32> {
    (0..FRAME_WIDTH_PX * FRAME_HEIGHT_PX).map(|i| metered(i % FRAME_WIDTH_PX, i / FRAME_WIDTH_PX))
}
