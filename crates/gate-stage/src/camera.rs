//! The camera that sees a scene: optics, white balance, exposure, noise. The same for live people and for attacks, so that
//! the two differ by what is before the camera and not by the camera.

use image::imageops::blur;
use image::{Rgb, RgbImage};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How scenes are encoded: sRGB's curve, nearly.
const SCENE_GAMMA: f32 = 2.2;
/// The light of middle grey (level 128 of 255).
const MIDDLE: f32 = 0.2195;

/// Steps of the table from light to levels.
const STEPS: usize = 8192;

/// A camera's properties.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// The optics' blur: sigma of a Gaussian, pixels. 0 = none.
    pub blur_px: f32,
    /// Exposure: light is multiplied by it.
    pub gain: f32,
    /// Light of red, green and blue is multiplied by it.
    pub white_balance: [f32; 3],
    /// Levels are light to the power of 1 / gamma; 2.2 gives the scene's own tones.
    pub gamma: f32,
    /// Shot noise: standard deviation at middle grey, levels of 255. 0 = none.
    pub noise: f32,
    /// Seed of the noise.
    pub seed: u64,
}

impl Default for Camera {
    /// A webcam in a lit hall.
    fn default() -> Self {
        Self { blur_px: 0.6, gain: 1.0, white_balance: [1.0; 3], gamma: SCENE_GAMMA, noise: 2.0, seed: 0 }
    }
}

impl Camera {
    /// The frame that the camera makes of a scene. `number` is the frame's: each has its own noise.
    #[must_use]
    pub fn see(&self, scene: &RgbImage, number: u32) -> RgbImage {
        let mut frame = if self.blur_px > 0.0 { blur(scene, self.blur_px) } else { scene.clone() };
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ (u64::from(number) << 32));
        // Light's square root is what shot noise grows with.
        let noise = self.noise.max(0.0) / 255.0 / MIDDLE.sqrt();
        let light: [[f32; 256]; 3] = self
            .white_balance
            .map(|balance| std::array::from_fn(|level| (level as f32 / 255.0).powf(SCENE_GAMMA) * balance * self.gain));
        // A table over the light's root, since levels are nearly even there.
        let power = 2.0 / self.gamma.max(0.1);
        let levels: [u8; STEPS + 1] =
            std::array::from_fn(|i| ((i as f32 / STEPS as f32).powf(power) * 255.0).round() as u8);
        for Rgb(pixel) in frame.pixels_mut() {
            for (value, light) in pixel.iter_mut().zip(&light) {
                let clean = light[usize::from(*value)];
                let seen = if noise > 0.0 { clean + noise * clean.sqrt() * normal(&mut rng) } else { clean };
                *value = levels[(seen.clamp(0.0, 1.0).sqrt() * STEPS as f32).round() as usize];
            }
        }
        frame
    }
}

/// Nearly normal: the sum of a number's four bytes, mean 0 and variance 1.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let sum: u32 = rng.next_u32().to_le_bytes().iter().map(|b| u32::from(*b)).sum();
    (sum as f32 - 510.0) / 147.8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_perfect_camera_changes_nothing() {
        let scene = RgbImage::from_fn(64, 4, |x, y| Rgb([(x * 4) as u8, (255 - x) as u8, (y * 60) as u8]));
        let perfect = Camera { blur_px: 0.0, noise: 0.0, ..Camera::default() };
        assert_eq!(perfect.see(&scene, 3), scene);
    }

    #[test]
    fn noise_is_as_strong_as_asked_and_new_in_each_frame() {
        let scene = RgbImage::from_pixel(100, 100, Rgb([128; 3]));
        let camera = Camera { blur_px: 0.0, noise: 4.0, ..Camera::default() };
        let (one, two) = (camera.see(&scene, 1), camera.see(&scene, 2));
        assert_ne!(one, two);
        assert_eq!(one, camera.see(&scene, 1));
        let squares: f32 = one.iter().map(|v| (f32::from(*v) - 128.0).powi(2)).sum();
        let sd = (squares / one.len() as f32).sqrt();
        assert!((3.0..5.0).contains(&sd), "asked for 4 levels, got {sd}");
    }
}
