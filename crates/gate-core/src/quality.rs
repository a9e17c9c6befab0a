//! Is this face good enough to compare? Size, pose, sharpness and exposure, measured before anything costly.

use crate::geometry::{CHIP_PX, Face, Pose, pose};
use crate::policy::QualityPolicy;
use crate::reason::Reason;
use libm::sqrtf;

/// Least part of the aligned chip that must lie within the frame.
const VISIBLE_PART_MIN: f32 = 0.85;

/// What was measured on one face.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Width of the face's box, pixels of the frame.
    pub face_px: f32,
    /// Part of the aligned chip that lies within the frame, 0..=1.
    pub visible_part: f32,
    /// The head's estimated pose.
    pub pose: Pose,
    /// Fine detail relative to the face's own contrast, on the aligned chip: 0 = one flat colour, below 3
    /// = badly blurred, 5 to 15 = a camera in focus.
    pub sharpness: f32,
    /// Mean luma of the face on the aligned chip, 0..=255.
    pub luma: f32,
}

impl Quality {
    /// Measures `face`, whose aligned chip is `chip`: `CHIP_PX * CHIP_PX * 3` bytes, RGB.
    ///
    /// `None` when the landmarks coincide or the chip has another size.
    #[must_use]
    pub fn measure(face: &Face, frame_width_px: u32, frame_height_px: u32, chip: &[u8]) -> Option<Self> {
        let pose = pose(&face.landmarks)?;
        let (luma, sharpness) = exposure_and_sharpness(chip)?;
        Some(Self {
            face_px: face.rect.w,
            visible_part: face.visible_part(frame_width_px, frame_height_px),
            pose,
            sharpness,
            luma,
        })
    }

    /// The first thing that is wrong with this face under `policy`, or `None` when it is good enough.
    #[must_use]
    pub fn refusal(&self, policy: &QualityPolicy) -> Option<Reason> {
        let sound =
            [self.face_px, self.visible_part, self.pose.yaw_deg, self.pose.pitch_deg, self.sharpness, self.luma]
                .iter()
                .all(|v| v.is_finite());
        let checks = [
            (!sound, Reason::Blurred),
            (self.face_px < policy.min_face_px, Reason::TooFar),
            (self.visible_part < VISIBLE_PART_MIN, Reason::OutOfFrame),
            (self.pose.yaw_deg.abs() > policy.max_yaw_deg, Reason::TurnedAway),
            (self.pose.pitch_deg.abs() > policy.max_pitch_deg, Reason::TurnedAway),
            (self.luma < policy.min_luma, Reason::TooDark),
            (self.luma > policy.max_luma, Reason::TooBright),
            (self.sharpness < policy.min_sharpness, Reason::Blurred),
        ];
        checks.iter().find(|(bad, _)| *bad).map(|(_, reason)| *reason)
    }
}

/// The part of the chip that is face on every head: from the brows to the chin, without hair and background.
const INNER: core::ops::Range<usize> = 24..CHIP_PX - 12;

/// Mean luma, and the strength of the Laplacian relative to the contrast (in percent).
fn exposure_and_sharpness(chip: &[u8]) -> Option<(f32, f32)> {
    if chip.len() != CHIP_PX * CHIP_PX * 3 {
        return None;
    }
    // BT.601 luma in 1/256.
    let luma = |x: usize, y: usize| -> i32 {
        let i = (y * CHIP_PX + x) * 3;
        (77 * i32::from(chip[i]) + 150 * i32::from(chip[i + 1]) + 29 * i32::from(chip[i + 2])) >> 8
    };
    let (mut sum, mut squares, mut detail, mut count) = (0i64, 0i64, 0i64, 0i64);
    for y in INNER {
        for x in INNER {
            let here = luma(x, y);
            let laplacian = 4 * here - luma(x - 1, y) - luma(x + 1, y) - luma(x, y - 1) - luma(x, y + 1);
            sum += i64::from(here);
            squares += i64::from(here * here);
            detail += i64::from(laplacian * laplacian);
            count += 1;
        }
    }
    let n = count as f32;
    let mean = sum as f32 / n;
    let contrast = sqrtf((squares as f32 / n - mean * mean).max(0.0));
    // A face of one flat colour has no detail: the floor keeps sensor noise from passing for it.
    Some((mean, 100.0 * sqrtf(detail as f32 / n) / contrast.max(8.0) * 0.25))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{CHIP_LANDMARKS, Rect};
    use std::vec;
    use std::vec::Vec;

    fn good() -> Quality {
        Quality { face_px: 120.0, visible_part: 1.0, pose: Pose::default(), sharpness: 20.0, luma: 120.0 }
    }

    #[test]
    fn each_fault_has_its_reason() {
        let policy = QualityPolicy::default();
        let turned = |yaw_deg, pitch_deg| Quality { pose: Pose { yaw_deg, pitch_deg, roll_deg: 0.0 }, ..good() };
        assert_eq!(good().refusal(&policy), None);
        for (quality, reason) in [
            (Quality { face_px: 20.0, ..good() }, Reason::TooFar),
            (Quality { visible_part: 0.5, ..good() }, Reason::OutOfFrame),
            (turned(60.0, 0.0), Reason::TurnedAway),
            (turned(-60.0, 0.0), Reason::TurnedAway),
            (turned(0.0, 50.0), Reason::TurnedAway),
            (Quality { luma: 10.0, ..good() }, Reason::TooDark),
            (Quality { luma: 250.0, ..good() }, Reason::TooBright),
            (Quality { sharpness: 0.5, ..good() }, Reason::Blurred),
            (Quality { sharpness: f32::NAN, ..good() }, Reason::Blurred),
        ] {
            assert_eq!(quality.refusal(&policy), Some(reason), "{quality:?}");
        }
    }

    #[test]
    fn blurring_a_chip_lowers_its_sharpness() {
        // Fine checks on a broad slope: blur takes the checks away and leaves the slope's contrast.
        let checks: Vec<u8> = (0..CHIP_PX * CHIP_PX)
            .map(|i| (i % CHIP_PX, i / CHIP_PX))
            .flat_map(|(x, y)| [(y + 40 + if (x / 2 + y / 2).is_multiple_of(2) { 40 } else { 0 }) as u8; 3])
            .collect();
        let mut smooth = checks.clone();
        for _ in 0..4 {
            let source = smooth.clone();
            for y in 1..CHIP_PX - 1 {
                for x in 1..CHIP_PX - 1 {
                    for c in 0..3 {
                        let at = |x: usize, y: usize| u32::from(source[(y * CHIP_PX + x) * 3 + c]);
                        let sum: u32 = (0..9).map(|k| at(x + k % 3 - 1, y + k / 3 - 1)).sum();
                        smooth[(y * CHIP_PX + x) * 3 + c] = (sum / 9) as u8;
                    }
                }
            }
        }
        let (_, sharp) = exposure_and_sharpness(&checks).unwrap();
        let (_, blurred) = exposure_and_sharpness(&smooth).unwrap();
        assert!(sharp > 3.0 * blurred, "{sharp} against {blurred}");
    }

    #[test]
    fn exposure_is_the_mean_luma_and_odd_chips_are_refused() {
        let face = Face { rect: Rect { x: 0.0, y: 0.0, w: 112.0, h: 112.0 }, landmarks: CHIP_LANDMARKS, score: 1.0 };
        let quality = Quality::measure(&face, 112, 112, &vec![90; CHIP_PX * CHIP_PX * 3]).unwrap();
        assert!((quality.luma - 90.0).abs() <= 1.0 && quality.sharpness < 0.1, "{quality:?}");
        assert!(Quality::measure(&face, 112, 112, &[0; 3]).is_none());
    }
}
