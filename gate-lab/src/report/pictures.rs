//! The hardest errors side by side, and the pictures without a face, as small pictures inside the page.

use super::escaped;
use crate::evaluate::Evaluation;
use crate::faces::{self, FacePicture, Missed};
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gate_core::geometry::CHIP_PX;
use gate_stats::Pair;
use gate_vision::photo::Photo;
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;
use std::collections::HashMap;
use std::fmt::Write;

/// Pairs shown of each kind.
const SHOWN: usize = 24;
/// How often one picture may be among them.
const TIMES_MAX: u32 = 2;
/// Thumbnails of pictures without a face.
const THUMBNAILS: usize = 60;
const THUMBNAIL_PX: u32 = 132;

/// The comparisons that went most wrong, and what was not found.
pub struct Hardest {
    impostors: Vec<Pair>,
    genuine: Vec<Pair>,
    /// Aligned faces by row, as URLs.
    chips: HashMap<u32, String>,
    /// Thumbnails of missed pictures, as URLs.
    thumbnails: Vec<String>,
}

impl Hardest {
    /// Finds them and reads their pictures.
    ///
    /// # Errors
    /// When a picture can no longer be read.
    pub fn find(evaluation: &Evaluation) -> Result<Self> {
        let comparisons = &evaluation.comparisons;
        let impostors = varied(comparisons.nearest_impostors().iter());
        let genuine = varied(comparisons.genuine().iter().rev());
        let mut rows: Vec<u32> = impostors.iter().chain(&genuine).flat_map(|pair| [pair.a, pair.b]).collect();
        rows.sort_unstable();
        rows.dedup();
        let pictures = &evaluation.data.faces.pictures;
        let chip = |row: &u32| anyhow::Ok((*row, chip_url(&pictures[*row as usize])?));
        let chips = rows.par_iter().map(chip).collect::<Result<_>>()?;
        let readable = evaluation.data.faces.missed.iter().filter(|missed| missed.readable).take(THUMBNAILS);
        let thumbnails = readable.map(thumbnail_url).collect::<Result<_>>()?;
        Ok(Self { impostors, genuine, chips, thumbnails })
    }

    /// Adds their part of the page.
    ///
    /// # Errors
    /// When a picture that is to be shown was not read.
    pub fn write(&self, body: &mut String, evaluation: &Evaluation) -> Result<()> {
        body.push_str(
            "<h2>The hardest errors</h2><p>Aligned faces, as the encoder sees them. A wrong label, a wrong face of a crowd, or \
             landmarks on the wrong places show here first. One picture is shown twice at most.</p>",
        );
        self.pairs(body, evaluation, "Two people, and near", &self.impostors)?;
        self.pairs(body, evaluation, "One person, and far", &self.genuine)?;
        let data = &evaluation.data;
        let (no_face, unreadable): (Vec<&Missed>, Vec<&Missed>) = data.faces.missed.iter().partition(|m| m.readable);
        if !no_face.is_empty() {
            let _ = write!(
                body,
                "<h2>No face found</h2><p>On {} of the pictures.</p><div class=\"missed\">",
                no_face.len()
            );
            for (missed, url) in no_face.iter().zip(&self.thumbnails) {
                let name = escaped(&short(&missed.path));
                let _ =
                    write!(body, "<figure><img src=\"{url}\" alt=\"{name}\"><figcaption>{name}</figcaption></figure>");
            }
            body.push_str("</div>");
            let rest: Vec<String> = no_face.iter().skip(THUMBNAILS).map(|missed| short(&missed.path)).collect();
            list(body, "", &rest);
        }
        let unreadable: Vec<String> = unreadable.iter().map(|m| format!("{}: {}", short(&m.path), m.why)).collect();
        list(body, "Not readable", &unreadable);
        list(body, "Listed, but not there", &data.listing.missing);
        Ok(())
    }

    fn pairs(&self, body: &mut String, evaluation: &Evaluation, title: &str, pairs: &[Pair]) -> Result<()> {
        if pairs.is_empty() {
            return Ok(());
        }
        let pictures = &evaluation.data.faces.pictures;
        let _ = write!(body, "<h3>{title}</h3><div class=\"pairs\">");
        for pair in pairs {
            let (mut images, mut names) = (String::new(), String::new());
            for row in [pair.a, pair.b] {
                let url = self.chips.get(&row).context("a picture of the report was not read")?;
                let name = escaped(&short(&pictures[row as usize].path));
                let _ = write!(images, "<img src=\"{url}\" alt=\"{name}\">");
                let about = about(&pictures[row as usize]);
                let _ = write!(names, "<span>{}<br>{about}</span>", name.replace('_', "_<wbr>"));
            }
            let _ = write!(
                body,
                "<div class=\"pair\"><div>{images}</div><b>d2 = {:.3}</b><div>{names}</div></div>",
                pair.d2
            );
        }
        body.push_str("</div>");
        Ok(())
    }
}

/// The first few, without one picture in all of them.
fn varied<'a>(pairs: impl Iterator<Item = &'a Pair>) -> Vec<Pair> {
    let mut times: HashMap<u32, u32> = HashMap::new();
    let mut seldom = |pair: &&Pair| {
        let fresh = [pair.a, pair.b].iter().all(|row| times.get(row).is_none_or(|n| *n < TIMES_MAX));
        if fresh {
            for row in [pair.a, pair.b] {
                *times.entry(row).or_default() += 1;
            }
        }
        fresh
    };
    pairs.filter(|pair| seldom(pair)).take(SHOWN).copied().collect()
}

fn list(body: &mut String, title: &str, rows: &[String]) {
    if rows.is_empty() {
        return;
    }
    if !title.is_empty() {
        let _ = write!(body, "<h2>{title}</h2>");
    }
    let rows: String = rows.iter().map(|row| format!("<li>{}</li>", escaped(row))).collect();
    let _ = write!(body, "<ul>{rows}</ul>");
}

/// What may explain an error: the face's size, how far it is turned, how sharp it is.
fn about(picture: &FacePicture) -> String {
    let q = &picture.quality;
    format!(
        "{:.0} px, yaw {:.0}\u{b0}, pitch {:.0}\u{b0}, sharp {:.0}",
        q.face_px, q.pose.yaw_deg, q.pose.pitch_deg, q.sharpness
    )
}

/// The file without the folders above the person's.
fn short(path: &std::path::Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

fn chip_url(picture: &FacePicture) -> Result<String> {
    let chip = faces::chip(picture)?;
    let side = CHIP_PX as u32;
    jpeg_url(&RgbImage::from_raw(side, side, chip.to_vec()).context("a chip of an odd size")?)
}

fn thumbnail_url(missed: &Missed) -> Result<String> {
    let photo = Photo::read(&missed.path)?;
    let view = photo.view().with_context(|| format!("{} is empty", missed.path.display()))?;
    let (width, height) = (view.width_px(), view.height_px());
    let picture = RgbImage::from_raw(width, height, view.data().to_vec()).context("a picture of an odd size")?;
    // The shorter side fills the square.
    let side =
        |side: u32| (u64::from(side) * u64::from(THUMBNAIL_PX) / u64::from(width.min(height).max(1))).max(1) as u32;
    jpeg_url(&resize(
        &picture,
        side(width).min(4 * THUMBNAIL_PX),
        side(height).min(4 * THUMBNAIL_PX),
        FilterType::Triangle,
    ))
}

/// The picture as a JPEG inside a URL.
fn jpeg_url(picture: &RgbImage) -> Result<String> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(picture)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}
