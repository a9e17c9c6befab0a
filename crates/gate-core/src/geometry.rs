//! Faces as geometry: boxes, landmarks, the alignment transform, the head's pose.
//!
//! Coordinates are pixels of the frame, x to the right, y down. The five landmarks stand in the detector's order:
//! the eye on the picture's left, the eye on its right, nose tip, mouth corner left, mouth corner right.

use libm::{asinf, atan2f, cosf, sinf, sqrtf};

/// A point in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f32,
    /// Down.
    pub y: f32,
}

/// An axis-parallel box in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub w: f32,
    /// Height.
    pub h: f32,
}

impl Rect {
    /// The middle.
    #[must_use]
    pub fn centre(&self) -> Point {
        Point { x: self.x + self.w * 0.5, y: self.y + self.h * 0.5 }
    }

    /// Area in pixels², 0 for an empty box.
    #[must_use]
    pub fn area(&self) -> f32 {
        self.w.max(0.0) * self.h.max(0.0)
    }

    /// The common part of two boxes, pixels².
    #[must_use]
    pub fn overlap(&self, other: &Rect) -> f32 {
        let w = (self.x + self.w).min(other.x + other.w) - self.x.max(other.x);
        let h = (self.y + self.h).min(other.y + other.h) - self.y.max(other.y);
        w.max(0.0) * h.max(0.0)
    }

    /// Intersection over union, 0..=1.
    #[must_use]
    pub fn iou(&self, other: &Rect) -> f32 {
        let overlap = self.overlap(other);
        let union = self.area() + other.area() - overlap;
        if union > 0.0 { overlap / union } else { 0.0 }
    }
}

/// One detected face.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Face {
    /// The face's box.
    pub rect: Rect,
    /// Eye, eye, nose tip, mouth corner, mouth corner.
    pub landmarks: [Point; 5],
    /// The detector's score, 0..=1.
    pub score: f32,
}

/// Most faces that are told of one picture.
pub const DETECTED_MAX: usize = 32;

/// The faces of one picture, largest first.
pub type Faces = heapless::Vec<Face, DETECTED_MAX>;

impl Face {
    /// Part of the aligned chip that lies within a frame of this size, 0..=1: how much of the face was really seen.
    ///
    /// The box would not tell: a detector lets it hug the frame's edge. 0 when the landmarks coincide.
    #[must_use]
    pub fn visible_part(&self, frame_width_px: u32, frame_height_px: u32) -> f32 {
        const STEPS: usize = 16;
        let Some(to_chip) = Similarity::fit(&self.landmarks, &CHIP_LANDMARKS) else { return 0.0 };
        let back = to_chip.inverse();
        let at = |step: usize| (step as f32 + 0.5) * CHIP_PX as f32 / STEPS as f32;
        let inside = |step: usize| {
            let p = back.apply(Point { x: at(step % STEPS), y: at(step / STEPS) });
            p.x >= 0.0 && p.y >= 0.0 && p.x < frame_width_px as f32 && p.y < frame_height_px as f32
        };
        (0..STEPS * STEPS).filter(|step| inside(*step)).count() as f32 / (STEPS * STEPS) as f32
    }
}

/// Side of the aligned chip, pixels.
pub const CHIP_PX: usize = 112;

/// Where the five landmarks lie on the aligned chip (ArcFace, Deng et al. 2019).
pub const CHIP_LANDMARKS: [Point; 5] = [
    Point { x: 38.2946, y: 51.6963 },
    Point { x: 73.5318, y: 51.5014 },
    Point { x: 56.0252, y: 71.7366 },
    Point { x: 41.5493, y: 92.3655 },
    Point { x: 70.7299, y: 92.2041 },
];

/// A rotation with uniform scale and a shift: `x' = a x - b y + tx`, `y' = b x + a y + ty`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Similarity {
    /// Scale times cosine.
    pub a: f32,
    /// Scale times sine.
    pub b: f32,
    /// Shift to the right.
    pub tx: f32,
    /// Shift down.
    pub ty: f32,
}

impl Similarity {
    /// The least-squares similarity that takes `from` onto `to` (Umeyama 1991, without reflection);
    /// `None` when the points of `from` coincide or are not finite.
    #[must_use]
    pub fn fit(from: &[Point; 5], to: &[Point; 5]) -> Option<Self> {
        let (cf, ct) = (mean(from), mean(to));
        let (mut dot, mut cross, mut norm) = (0.0f32, 0.0f32, 0.0f32);
        for (f, t) in from.iter().zip(to) {
            let (fx, fy, tx, ty) = (f.x - cf.x, f.y - cf.y, t.x - ct.x, t.y - ct.y);
            dot += fx * tx + fy * ty;
            cross += fx * ty - fy * tx;
            norm += fx * fx + fy * fy;
        }
        if !norm.is_finite() || norm < 1e-6 {
            return None;
        }
        let (a, b) = (dot / norm, cross / norm);
        let fitted = Self { a, b, tx: ct.x - (a * cf.x - b * cf.y), ty: ct.y - (b * cf.x + a * cf.y) };
        (fitted.a * fitted.a + fitted.b * fitted.b > 1e-12).then_some(fitted)
    }

    /// The transform of one point.
    #[must_use]
    pub fn apply(&self, p: Point) -> Point {
        Point { x: self.a * p.x - self.b * p.y + self.tx, y: self.b * p.x + self.a * p.y + self.ty }
    }

    /// The way back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        let norm = self.a * self.a + self.b * self.b;
        let (a, b) = (self.a / norm, -self.b / norm);
        Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) }
    }
}

fn mean(points: &[Point; 5]) -> Point {
    let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.x, y + p.y));
    Point { x: x / 5.0, y: y / 5.0 }
}

/// How a head is turned, estimated; degrees. All zero = straight into the camera.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// To the side; positive = the nose points to the picture's right.
    pub yaw_deg: f32,
    /// Positive = the nose points down.
    pub pitch_deg: f32,
    /// Tilt of the eye line; positive = clockwise in the picture.
    pub roll_deg: f32,
}

/// The five landmarks of an average head, millimetres from the nose tip: x right, y down, z away from the camera.
const HEAD_MM: [[f32; 3]; 5] =
    [[-31.5, -34.0, 27.0], [31.5, -34.0, 27.0], [0.0, 0.0, 0.0], [-27.0, 30.0, 25.0], [27.0, 30.0, 25.0]];

/// Estimates the head's pose by scaled orthography of an average head (POS, DeMenthon and Davis 1995).
///
/// Good to about ten degrees, since heads differ; enough to tell a face that looks this way from one that does not.
/// Returns `None` when the landmarks coincide or are not finite.
#[must_use]
pub fn pose(landmarks: &[Point; 5]) -> Option<Pose> {
    let (dx, dy) = (landmarks[1].x - landmarks[0].x, landmarks[1].y - landmarks[0].y);
    let roll = atan2f(dy, dx);
    let (sin, cos) = (sinf(roll), cosf(roll));
    let centre = mean(landmarks);
    let head_centre =
        HEAD_MM.iter().fold([0.0f32; 3], |c, p| [c[0] + p[0] / 5.0, c[1] + p[1] / 5.0, c[2] + p[2] / 5.0]);

    // Normal equations of u = P·i and v = P·j; x separates from y and z because the head is symmetric.
    let (mut xx, mut yy, mut yz, mut zz) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    let (mut pu, mut pv) = ([0.0f32; 3], [0.0f32; 3]);
    for (p, head) in landmarks.iter().zip(&HEAD_MM) {
        let (x, y) = (p.x - centre.x, p.y - centre.y);
        let (u, v) = (cos * x + sin * y, -sin * x + cos * y);
        let h = [head[0] - head_centre[0], head[1] - head_centre[1], head[2] - head_centre[2]];
        xx += h[0] * h[0];
        yy += h[1] * h[1];
        yz += h[1] * h[2];
        zz += h[2] * h[2];
        for k in 0..3 {
            pu[k] += h[k] * u;
            pv[k] += h[k] * v;
        }
    }
    let det = yy * zz - yz * yz;
    let solve = |r: [f32; 3]| [r[0] / xx, (r[1] * zz - r[2] * yz) / det, (r[2] * yy - r[1] * yz) / det];
    let (i, j) = (solve(pu), solve(pv));
    let (ni, nj) = (norm3(i), norm3(j));
    if !(ni.is_finite() && nj.is_finite()) || ni < 1e-6 || nj < 1e-6 {
        return None;
    }
    // R_y(yaw) has sin(yaw) at i.z for a head turned so that the nose goes left; the sign makes "right" positive.
    let yaw = -asinf((i[2] / ni).clamp(-1.0, 1.0));
    let pitch = -asinf((j[2] / nj).clamp(-1.0, 1.0));
    Some(Pose { yaw_deg: yaw.to_degrees(), pitch_deg: pitch.to_degrees(), roll_deg: roll.to_degrees() })
}

fn norm3(v: [f32; 3]) -> f32 {
    sqrtf(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The average head turned and seen from afar: `yaw` to the picture's right, then `pitch` down, then `roll`.
    fn project(yaw_deg: f32, pitch_deg: f32, roll_deg: f32, scale: f32) -> [Point; 5] {
        let (y, p, r) = (yaw_deg.to_radians(), pitch_deg.to_radians(), roll_deg.to_radians());
        HEAD_MM.map(|[hx, hy, hz]| {
            // The nose sits at z = 0, in front of everything else: turning it right moves far points left.
            let (x1, z1) = (hx * cosf(y) - hz * sinf(y), hx * sinf(y) + hz * cosf(y));
            let (y2, _) = (hy * cosf(p) - z1 * sinf(p), hy * sinf(p) + z1 * cosf(p));
            Point { x: 320.0 + scale * (x1 * cosf(r) - y2 * sinf(r)), y: 240.0 + scale * (x1 * sinf(r) + y2 * cosf(r)) }
        })
    }

    #[test]
    fn a_turned_head_is_seen_as_turned() {
        let right = pose(&project(30.0, 0.0, 0.0, 2.0)).unwrap();
        assert!((right.yaw_deg - 30.0).abs() < 0.5, "{right:?}");
        let down = pose(&project(0.0, 20.0, 0.0, 2.0)).unwrap();
        assert!((down.pitch_deg - 20.0).abs() < 0.5, "{down:?}");
        assert!(pose(&[Point::default(); 5]).is_none());
    }

    proptest! {
        #[test]
        fn pose_is_recovered_at_any_size_and_tilt(yaw in -45.0f32..45.0, roll in -40.0f32..40.0, scale in 0.3f32..8.0) {
            let got = pose(&project(yaw, 0.0, roll, scale)).unwrap();
            prop_assert!((got.yaw_deg - yaw).abs() < 1.0, "yaw {yaw} roll {roll}: {got:?}");
            prop_assert!((got.roll_deg - roll).abs() < 1.0, "{got:?}");
        }

        #[test]
        fn fit_recovers_any_similarity(a in -3.0f32..3.0, b in 0.1f32..3.0, tx in -500.0f32..500.0, ty in -500.0f32..500.0) {
            let truth = Similarity { a, b, tx, ty };
            let moved = CHIP_LANDMARKS.map(|p| truth.apply(p));
            let back = Similarity::fit(&moved, &CHIP_LANDMARKS).unwrap();
            for (p, q) in moved.iter().zip(&CHIP_LANDMARKS) {
                let r = back.apply(*p);
                prop_assert!((r.x - q.x).abs() < 0.05 && (r.y - q.y).abs() < 0.05);
                let there = back.inverse().apply(*q);
                prop_assert!((there.x - p.x).abs() < 0.2 && (there.y - p.y).abs() < 0.2);
            }
        }

        #[test]
        fn iou_is_symmetric_and_bounded(x in 0.0f32..50.0, y in 0.0f32..50.0, w in 0.0f32..50.0, h in 0.0f32..50.0) {
            let (one, two) = (Rect { x, y, w, h }, Rect { x: 20.0, y: 20.0, w: 30.0, h: 30.0 });
            let iou = one.iou(&two);
            prop_assert!((0.0..=1.0001).contains(&iou));
            prop_assert!((iou - two.iou(&one)).abs() < 1e-6);
        }
    }

    #[test]
    fn a_face_cut_off_by_the_edge_is_seen_in_part_only() {
        let shifted =
            |by: f32| Face { landmarks: CHIP_LANDMARKS.map(|p| Point { x: p.x + by, y: p.y }), ..Face::default() };
        assert_eq!(shifted(0.0).visible_part(112, 112), 1.0);
        assert!((shifted(-28.0).visible_part(112, 112) - 0.75).abs() < 0.01);
        assert!((shifted(56.0).visible_part(112, 112) - 0.5).abs() < 0.01);
        assert_eq!(Face::default().visible_part(112, 112), 0.0);
    }

    #[test]
    fn fit_refuses_landmarks_that_coincide() {
        assert!(Similarity::fit(&[Point { x: 5.0, y: 5.0 }; 5], &CHIP_LANDMARKS).is_none());
        assert!(Similarity::fit(&[Point { x: f32::NAN, y: 5.0 }; 5], &CHIP_LANDMARKS).is_none());
    }
}
