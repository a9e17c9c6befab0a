//! Cuts a face out so that its landmarks lie where the encoder expects them.

use gate_core::geometry::{CHIP_LANDMARKS, CHIP_PX, Face, Similarity};
use gate_core::picture::Rgb;

/// Bytes of an aligned chip: 112 x 112, RGB.
pub const CHIP_BYTES: usize = CHIP_PX * CHIP_PX * 3;

/// An aligned face: `CHIP_BYTES` bytes, RGB, rows top to bottom.
pub type Chip = Box<[u8; CHIP_BYTES]>;

/// An empty chip to align into.
#[must_use]
pub fn new_chip() -> Chip {
    Box::new([0; CHIP_BYTES])
}

/// Warps `face` onto the chip by a similarity transform of its five landmarks, bilinear, black beyond the picture.
///
/// Returns `false`, and leaves the chip black, when the landmarks coincide.
pub fn align(picture: Rgb<'_>, face: &Face, chip: &mut [u8; CHIP_BYTES]) -> bool {
    let Some(to_chip) = Similarity::fit(&face.landmarks, &CHIP_LANDMARKS) else {
        chip.fill(0);
        return false;
    };
    let back = to_chip.inverse();
    let (width, height) = (picture.width_px() as usize, picture.height_px() as usize);
    let data = picture.data();
    for (row, line) in chip.as_chunks_mut::<{ CHIP_PX * 3 }>().0.iter_mut().enumerate() {
        // Where the row begins in the picture; each chip pixel steps by (a, b).
        let (mut x, mut y) = (back.tx - back.b * row as f32, back.ty + back.a * row as f32);
        for pixel in line.as_chunks_mut::<3>().0 {
            *pixel = bilinear(data, width, height, x, y);
            x += back.a;
            y += back.b;
        }
    }
    true
}

/// The picture at (x, y) in pixels, pixel centres at whole numbers.
#[inline]
fn bilinear(data: &[u8], width: usize, height: usize, x: f32, y: f32) -> [u8; 3] {
    if !(x > -1.0 && y > -1.0 && x < width as f32 && y < height as f32) {
        return [0; 3];
    }
    // Rounded down: both are above -1. A call of `floor` would cost as much as all the rest.
    let (left, top) = ((x + 1.0) as i32 - 1, (y + 1.0) as i32 - 1);
    // 11 bits of fraction are more than 8-bit pixels can show.
    let fraction = |at: f32, whole: i32| (((at - whole as f32) * 2048.0) as i32).clamp(0, 2048) as u32;
    let (fx, fy) = (fraction(x, left), fraction(y, top));
    let (left, top) = (left as isize, top as isize);
    let weights = [(2048 - fx) * (2048 - fy), fx * (2048 - fy), (2048 - fx) * fy, fx * fy];
    let inside = left >= 0 && top >= 0 && left + 1 < width as isize && top + 1 < height as isize;
    if inside {
        let upper = (top as usize * width + left as usize) * 3;
        let (upper, lower) = (&data[upper..upper + 6], &data[upper + width * 3..upper + width * 3 + 6]);
        let mix = |c: usize| {
            let sum = weights[0] * u32::from(upper[c])
                + weights[1] * u32::from(upper[c + 3])
                + weights[2] * u32::from(lower[c])
                + weights[3] * u32::from(lower[c + 3]);
            ((sum + (1 << 21)) >> 22) as u8
        };
        // Not `from_fn`: it is not inlined here, and this is the innermost loop.
        return [mix(0), mix(1), mix(2)];
    }
    let at = |dx: isize, dy: isize, c: usize| -> u32 {
        let (x, y) = (left + dx, top + dy);
        let seen = x >= 0 && y >= 0 && x < width as isize && y < height as isize;
        if seen { u32::from(data[(y as usize * width + x as usize) * 3 + c]) } else { 0 }
    };
    std::array::from_fn(|c| {
        let sum =
            weights[0] * at(0, 0, c) + weights[1] * at(1, 0, c) + weights[2] * at(0, 1, c) + weights[3] * at(1, 1, c);
        ((sum + (1 << 21)) >> 22) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::geometry::Point;

    /// A picture whose red is its x and whose green is its y, 250 x 250.
    fn ramp() -> Vec<u8> {
        (0..250u32).flat_map(|y| (0..250u32).flat_map(move |x| [x as u8, y as u8, 7])).collect()
    }

    #[test]
    fn the_landmarks_land_on_the_template() {
        let data = ramp();
        let picture = Rgb::new(&data, 250, 250).unwrap();
        // The template shifted by (60, 40) and 1.2 times as large.
        let landmarks = CHIP_LANDMARKS.map(|p| Point { x: p.x * 1.2 + 60.0, y: p.y * 1.2 + 40.0 });
        let mut chip = new_chip();
        assert!(align(picture, &Face { landmarks, ..Face::default() }, &mut chip));
        for (x, y) in [(20usize, 30usize), (56, 71), (100, 90)] {
            let at = (y * CHIP_PX + x) * 3;
            let want = [x as f32 * 1.2 + 60.0, y as f32 * 1.2 + 40.0];
            for c in 0..2 {
                assert!((f32::from(chip[at + c]) - want[c]).abs() <= 1.0, "at ({x}, {y}): {:?}", &chip[at..at + 3]);
            }
            assert_eq!(chip[at + 2], 7);
        }
    }

    #[test]
    fn beyond_the_picture_is_black_and_odd_landmarks_are_refused() {
        let data = vec![255u8; 20 * 20 * 3];
        let picture = Rgb::new(&data, 20, 20).unwrap();
        let mut chip = new_chip();
        assert!(align(picture, &Face { landmarks: CHIP_LANDMARKS, ..Face::default() }, &mut chip));
        assert_eq!(chip[0], 255);
        assert_eq!(chip[CHIP_BYTES - 1], 0);
        assert!(!align(picture, &Face::default(), &mut chip));
        assert!(chip.iter().all(|b| *b == 0));
        let wild = [Point { x: f32::NAN, y: 0.0 }; 5];
        assert!(!align(picture, &Face { landmarks: wild, ..Face::default() }, &mut chip));
    }
}
