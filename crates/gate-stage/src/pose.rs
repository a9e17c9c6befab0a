//! Where the held thing is: a tilted plane before a pinhole camera, and the hand's tremor.
//!
//! The plane's units are widths of the face shown on it, with the face's centre as its origin, x to the right, y down,
//! z away from the camera.

use gate_core::geometry::Point;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::f32::consts::TAU;

/// How far the camera is, in face widths. Smaller = stronger perspective.
const DISTANCE: f32 = 9.0;

/// Turns about the three axes, radians.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tilt {
    /// About the vertical axis.
    pub yaw: f32,
    /// About the horizontal axis.
    pub pitch: f32,
    /// In the picture's plane.
    pub roll: f32,
}

/// The plane's place in the frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pose {
    at: Point,
    face_px: f32,
    turn: [[f32; 3]; 3],
}

impl Pose {
    /// The face's centre comes to `at`, `face_px` wide but for the tilt.
    pub fn new(at: Point, face_px: f32, tilt: Tilt) -> Self {
        let ((sy, cy), (sp, cp), (sr, cr)) = (tilt.yaw.sin_cos(), tilt.pitch.sin_cos(), tilt.roll.sin_cos());
        let turn = [
            [cr * cy - sr * sp * sy, -sr * cp, cr * sy + sr * sp * cy],
            [sr * cy + cr * sp * sy, cr * cp, sr * sy - cr * sp * cy],
            [-cp * sy, sp, cp * cy],
        ];
        Self { at, face_px, turn }
    }

    /// The width of the face, pixels of the frame.
    pub fn face_px(&self) -> f32 {
        self.face_px
    }

    /// Where a point of the thing, `z` before or behind its plane, is seen.
    pub fn project(&self, x: f32, y: f32, z: f32) -> Point {
        let along = |row: [f32; 3]| row[0] * x + row[1] * y + row[2] * z;
        let scale = self.face_px / (1.0 + along(self.turn[2]) / DISTANCE).max(0.2);
        Point { x: self.at.x + scale * along(self.turn[0]), y: self.at.y + scale * along(self.turn[1]) }
    }

    /// The point (x, y) of the plane `z` that is seen at `seen`: the inverse of `project`.
    pub fn unproject(&self, seen: Point, z: f32) -> (f32, f32) {
        let q = [(seen.x - self.at.x) / self.face_px, (seen.y - self.at.y) / self.face_px];
        let away = self.turn[2].map(|v| v / DISTANCE);
        // Two linear equations for x and y, one from each coordinate of the frame.
        let m: [[f32; 3]; 2] = std::array::from_fn(|i| {
            let t = self.turn[i];
            [t[0] - q[i] * away[0], t[1] - q[i] * away[1], q[i] * (1.0 + away[2] * z) - t[2] * z]
        });
        let det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
        // The tilt is small, so the plane is never seen from its edge; a guard all the same.
        let det = if det.abs() < 1e-4 { 1e-4 } else { det };
        ((m[0][2] * m[1][1] - m[0][1] * m[1][2]) / det, (m[0][0] * m[1][2] - m[0][2] * m[1][0]) / det)
    }
}

/// Slow waves for what a hand cannot keep still, each of them within -1..=1.
#[derive(Clone, Debug)]
pub(crate) struct Tremor {
    /// For each of x, y, yaw, pitch, roll: frequency (Hz), phase and part of three waves.
    waves: [[(f32, f32, f32); 3]; 5],
}

impl Tremor {
    /// Drawn from the generator.
    pub fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut wave = |slow: f32, fast: f32, part: f32| {
            (slow + (fast - slow) * rng.random::<f32>(), TAU * rng.random::<f32>(), part)
        };
        let waves = std::array::from_fn(|_| [wave(0.25, 0.6, 0.6), wave(0.9, 1.6, 0.3), wave(3.0, 5.0, 0.1)]);
        Self { waves }
    }

    /// x, y, yaw, pitch and roll at a time.
    pub fn at(&self, time_s: f32) -> [f32; 5] {
        self.waves.map(|three| three.iter().map(|(hz, phase, part)| part * (TAU * hz * time_s + phase).sin()).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unproject_is_the_inverse_of_project() {
        let tilt = Tilt { yaw: 0.15, pitch: -0.1, roll: 0.07 };
        let pose = Pose::new(Point { x: 320.0, y: 200.0 }, 110.0, tilt);
        for (x, y, z) in [(0.0, 0.0, 0.0), (1.2, -1.5, 0.0), (-0.9, 2.0, 0.2), (0.4, 0.6, -0.3)] {
            let (ux, uy) = pose.unproject(pose.project(x, y, z), z);
            assert!((ux - x).abs() < 1e-3 && (uy - y).abs() < 1e-3, "({x}, {y}, {z}) came back as ({ux}, {uy})");
        }
    }
}
