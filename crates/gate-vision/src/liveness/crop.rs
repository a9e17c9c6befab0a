//! The square around a face that liveness networks and textures are computed on.

use gate_core::geometry::Rect;
use gate_core::picture::Rgb;

/// The part of the frame that is `factor` times the face's box, moved and shrunk so that it stays inside the frame, as
/// MiniFASNet's authors cut it (minivision-ai, Silent-Face-Anti-Spoofing): left, top, right, bottom, the last two included.
fn part(picture: Rgb<'_>, face: &Rect, factor: f32) -> (usize, usize, usize, usize) {
    let (width, height) = (picture.width_px() as f32, picture.height_px() as f32);
    let (w, h) = (face.w.max(1.0), face.h.max(1.0));
    let factor = factor.min((width - 1.0) / w).min((height - 1.0) / h);
    let centre = face.centre();
    // A part as wide as the frame fits in one way only; rounding must not push it out.
    let place = |centre: f32, side: f32, limit: f32| {
        let from = (centre - 0.5 * side).clamp(0.0, (limit - 1.0 - side).max(0.0));
        (from as usize, ((from + side) as usize).min(limit as usize - 1))
    };
    let (left, right) = place(centre.x, factor * w, width);
    let (top, bottom) = place(centre.y, factor * h, height);
    (left, top, right, bottom)
}

/// Resizes that part to `side_px` squared, each pixel from the four nearest, and hands out each pixel with its index.
pub(super) fn resized(
    picture: Rgb<'_>,
    face: &Rect,
    factor: f32,
    side_px: usize,
    mut put: impl FnMut(usize, [f32; 3]),
) {
    let (left, top, right, bottom) = part(picture, face, factor);
    let (w, h) = (right - left + 1, bottom - top + 1);
    let (data, stride) = (picture.data(), picture.width_px() as usize * 3);
    let axis = |i: usize, from: usize, side: usize| {
        let at = ((i as f32 + 0.5) * side as f32 / side_px as f32 - 0.5).clamp(0.0, (side - 1) as f32);
        let low = at as usize;
        (from + low, from + (low + 1).min(side - 1), at - low as f32)
    };
    for y in 0..side_px {
        let (y0, y1, fy) = axis(y, top, h);
        for x in 0..side_px {
            let (x0, x1, fx) = axis(x, left, w);
            let value = |x: usize, y: usize, c: usize| f32::from(data[y * stride + x * 3 + c]);
            let mix = |c: usize| {
                let upper = value(x0, y0, c) * (1.0 - fx) + value(x1, y0, c) * fx;
                let lower = value(x0, y1, c) * (1.0 - fx) + value(x1, y1, c) * fx;
                upper * (1.0 - fy) + lower * fy
            };
            put(y * side_px + x, [mix(0), mix(1), mix(2)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_stays_inside_the_frame_wherever_the_face_is() {
        let data = vec![9u8; 64 * 48 * 3];
        let picture = Rgb::new(&data, 64, 48).unwrap();
        for (x, y, w, h) in
            [(0.0, 0.0, 10.0, 12.0), (60.0, 40.0, 10.0, 12.0), (-5.0, -5.0, 80.0, 90.0), (20.0, 20.0, 0.0, 0.0)]
        {
            let mut count = 0;
            resized(picture, &Rect { x, y, w, h }, 2.7, 16, |_, pixel| {
                assert_eq!(pixel, [9.0; 3]);
                count += 1;
            });
            assert_eq!(count, 256);
        }
        let (left, top, right, bottom) = part(picture, &Rect { x: 27.0, y: 18.0, w: 10.0, h: 12.0 }, 2.7);
        assert_eq!((left, top, right, bottom), (18, 7, 45, 40));
    }
}
