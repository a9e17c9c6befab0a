//! From a picture to the one face in it that counts.

use crate::inputs;
use crate::refusal::{refuse, refuse_face};
use anyhow::Result;
use gate_core::geometry::Rect;
use gate_core::picture::Rgb;
use gate_core::policy::QualityPolicy;
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_vision::photo::{self, Photo};
use gate_vision::{Portrait, Vision};
use image::ExtendedColorType;
use serde::Serialize;
use std::path::Path;

/// Longest side of a kept picture, pixels: several times what any encoder sees, and far below the store's limit.
const KEPT_SIDE_MAX_PX: u32 = 1024;
const KEPT_JPEG_QUALITY: u8 = 92;
/// Margin around the face in a kept picture, in widths of the face: the detector must find the face again.
const KEPT_MARGIN: f32 = 0.6;

/// Reads a picture that somebody hands in.
///
/// # Errors
/// A refusal: whatever is wrong with it, it is bad input.
pub fn read(path: &Path) -> Result<Photo> {
    let file = inputs::open(path)?;
    Photo::from_file(&file, path).map_err(|error| refuse(error.to_string()))
}

/// The face to enrol, or why there is none. `portraits`: largest first.
///
/// # Errors
/// The first thing that is wrong.
pub fn choose<'a>(portraits: &'a [Portrait], policy: &QualityPolicy, bystander: f32) -> Result<&'a Portrait, Reason> {
    let largest = portraits.first().ok_or(Reason::NoFace)?;
    if second_person(portraits, bystander) {
        return Err(Reason::SeveralFaces);
    }
    largest.quality.refusal(policy).map_or(Ok(largest), Err)
}

/// Whether a face beside the largest is near enough to count.
#[must_use]
pub fn second_person(portraits: &[Portrait], bystander: f32) -> bool {
    let Some((largest, others)) = portraits.split_first() else { return false };
    others.iter().any(|other| other.face.rect.w >= bystander * largest.face.rect.w)
}

/// The largest face of a picture, encoded.
///
/// # Errors
/// A refusal when there is no face; a fault when a network cannot be run.
pub fn largest(vision: &mut Vision, path: &Path, bystander: f32) -> Result<Vec<f32>> {
    let photo = read(path)?;
    let portraits = vision.portraits(&photo)?;
    let Some(portrait) = portraits.first() else { return Err(no_face(path)) };
    if second_person(&portraits, bystander) {
        tracing::warn!("{}: several faces; the largest is taken", path.display());
    }
    Ok(vision.encode(&portrait.chip)?.to_vec())
}

fn no_face(path: &Path) -> anyhow::Error {
    refuse_face(Reason::NoFace, format!("{}: {}", path.display(), Reason::NoFace.advice()))
}

/// What to do about a refused face, with what was measured.
#[must_use]
pub fn advice(reason: Reason, quality: Option<&Quality>, policy: &QualityPolicy) -> String {
    let measured = quality.and_then(|q| {
        Some(match reason {
            Reason::TooFar => format!("{:.0} pixels wide, {:.0} are needed", q.face_px, policy.min_face_px),
            Reason::OutOfFrame => format!("{:.0} % of it is in the picture", q.visible_part * 100.0),
            Reason::TurnedAway => format!(
                "{:.0} degrees to the side and {:.0} up or down, at most {:.0} and {:.0}",
                q.pose.yaw_deg.abs(),
                q.pose.pitch_deg.abs(),
                policy.max_yaw_deg,
                policy.max_pitch_deg
            ),
            Reason::TooDark => format!("brightness {:.0}, at least {:.0}", q.luma, policy.min_luma),
            Reason::TooBright => format!("brightness {:.0}, at most {:.0}", q.luma, policy.max_luma),
            Reason::Blurred => format!("sharpness {:.1}, at least {:.1}", q.sharpness, policy.min_sharpness),
            _ => return None,
        })
    });
    measured.map_or_else(|| reason.advice().to_owned(), |measured| format!("{} ({measured})", reason.advice()))
}

/// The picture around a face as JPEG, to encode it again when the encoder changes.
///
/// # Errors
/// When it cannot be encoded.
pub fn kept_picture(picture: Rgb<'_>, face: &Rect) -> Result<Vec<u8>> {
    let margin = KEPT_MARGIN * face.w.max(face.h);
    let part = Rect { x: face.x - margin, y: face.y - margin, w: face.w + 2.0 * margin, h: face.h + 2.0 * margin };
    let cut = photo::cut(picture, &part, KEPT_SIDE_MAX_PX)?;
    let mut jpeg = Vec::new();
    let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, KEPT_JPEG_QUALITY);
    encoder.encode(cut.as_raw(), cut.width(), cut.height(), ExtendedColorType::Rgb8)?;
    Ok(jpeg)
}

/// A face's quality in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct QualityJson {
    face_px: f32,
    visible_part: f32,
    yaw_deg: f32,
    pitch_deg: f32,
    roll_deg: f32,
    sharpness: f32,
    luma: f32,
    /// What is wrong with it under the policy that it is measured against.
    refusal: Option<Reason>,
}

impl QualityJson {
    /// What was measured, and the verdict under `policy`.
    #[must_use]
    pub fn new(quality: &Quality, policy: &QualityPolicy) -> Self {
        Self {
            face_px: tenths(quality.face_px),
            visible_part: (quality.visible_part.min(1.0) * 1000.0).round() / 1000.0,
            yaw_deg: tenths(quality.pose.yaw_deg),
            pitch_deg: tenths(quality.pose.pitch_deg),
            roll_deg: tenths(quality.pose.roll_deg),
            sharpness: tenths(quality.sharpness),
            luma: tenths(quality.luma),
            refusal: quality.refusal(policy),
        }
    }
}

/// Rounded to a tenth: more digits would only look exact.
#[must_use]
pub fn tenths(value: f32) -> f32 {
    (value * 10.0).round() / 10.0
}
