//! Colour texture: histograms of uniform local binary patterns over six colour channels.
//!
//! Within one site and camera they tell print and screen from skin very well, across cameras they do not (Boulkenafet,
//! Komulainen, Hadid: Face anti-spoofing based on color texture analysis, 2015). So they are read only where the site has
//! calibrated itself. 8 neighbours, radius 1; a pattern with at most two changes around the circle has a bin of its own
//! (58), all others share one (Ojala, Pietikäinen, Mäenpää, 2002). Square roots of the shares: Hellinger's distance then is
//! the plain one.

use super::crop::resized;
use gate_core::geometry::Rect;
use gate_core::picture::Rgb;

const BINS: usize = 59;
const CHANNELS: usize = 6;
/// Where the texture is read: (factor of the face's box, side in pixels).
const VIEWS: [(f32, usize); 2] = [(1.0, 64), (2.7, 128)];
/// Values that [`Textures::read`] gives.
pub(super) const TEXTURE_DIM: usize = VIEWS.len() * CHANNELS * BINS;

/// The bin of each pattern, and room for the channels.
pub(super) struct Textures {
    bin: [u8; 256],
    channels: [Vec<u8>; CHANNELS],
}

impl Textures {
    pub fn new() -> Self {
        let mut next = 0;
        let bin = std::array::from_fn(|pattern| {
            let pattern = pattern as u8;
            let changes = (pattern ^ pattern.rotate_left(1)).count_ones();
            if changes > 2 {
                return (BINS - 1) as u8;
            }
            next += 1;
            next - 1
        });
        Self { bin, channels: std::array::from_fn(|_| Vec::new()) }
    }

    /// Appends `TEXTURE_DIM` values to `features`.
    pub fn read(&mut self, picture: Rgb<'_>, face: &Rect, features: &mut Vec<f32>) {
        for (factor, side) in VIEWS {
            self.channels.iter_mut().for_each(|channel| channel.resize(side * side, 0));
            let channels = &mut self.channels;
            resized(picture, face, factor, side, |at, rgb| {
                channels.iter_mut().zip(colours(rgb)).for_each(|(channel, value)| channel[at] = value);
            });
            for channel in &self.channels {
                self.histogram(&channel[..side * side], side, features);
            }
        }
    }

    fn histogram(&self, channel: &[u8], side: usize, features: &mut Vec<f32>) {
        let mut counts = [0u32; BINS];
        for y in 1..side - 1 {
            for x in 1..side - 1 {
                let at = y * side + x;
                let around =
                    [at - side - 1, at - side, at - side + 1, at + 1, at + side + 1, at + side, at + side - 1, at - 1];
                let centre = channel[at];
                let pattern = around.iter().fold(0u8, |p, n| p << 1 | u8::from(channel[*n] >= centre));
                counts[usize::from(self.bin[usize::from(pattern)])] += 1;
            }
        }
        let all = ((side - 2) * (side - 2)) as f32;
        features.extend(counts.map(|n| (n as f32 / all).sqrt()));
    }
}

/// Y, Cb, Cr (ITU-R BT.601, full range), hue (255 = 360 degrees), saturation, value.
fn colours([r, g, b]: [f32; 3]) -> [u8; CHANNELS] {
    let y = 0.299 * r + 0.587 * g + 0.114 * b;
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let range = max - min;
    let sector = if range <= 0.0 {
        0.0
    } else if max == r {
        ((g - b) / range).rem_euclid(6.0)
    } else if max == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    let saturation = if max > 0.0 { 255.0 * range / max } else { 0.0 };
    [y, 128.0 + 0.564 * (b - y), 128.0 + 0.713 * (r - y), sector / 6.0 * 255.0, saturation, max]
        .map(|v| v.round() as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_histogram_is_of_unit_length_and_texture_shows() {
        let noise = |seed: u32| move |i: usize| ((i as u32).wrapping_mul(2_654_435_761).wrapping_add(seed) >> 24) as u8;
        let smooth: Vec<u8> = (0..100 * 100 * 3).map(|i| (i / 300) as u8).collect();
        let rough: Vec<u8> = (0..100 * 100 * 3).map(noise(7)).collect();
        let mut textures = Textures::new();
        let mut read = |data: &[u8]| {
            let mut features = Vec::new();
            let face = Rect { x: 30.0, y: 30.0, w: 40.0, h: 40.0 };
            textures.read(Rgb::new(data, 100, 100).unwrap(), &face, &mut features);
            features
        };
        let (smooth, rough) = (read(&smooth), read(&rough));
        assert_eq!(smooth.len(), TEXTURE_DIM);
        for histogram in rough.chunks(BINS) {
            let norm: f32 = histogram.iter().map(|v| v * v).sum();
            assert!((norm - 1.0).abs() < 1e-4, "{norm}");
        }
        let odd = |features: &[f32]| features[BINS - 1];
        assert!(odd(&rough) > 0.4 && odd(&smooth) < 0.1, "{} {}", odd(&rough), odd(&smooth));
    }
}
