//! A folder of pictures, in the order in which a person would number them, or one picture.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::{PIXELS_MAX, Source, bad_frame, check_size, due_ms};
use crate::Frame;
use crate::camera::CameraError;

/// File names taken from a folder; all else in it is passed over.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "webp", "gif"];

/// Pictures at a steady rate.
pub(super) struct Pictures {
    name: String,
    files: Vec<PathBuf>,
    fps: f64,
    next: usize,
    /// Pictures given or passed over since the beginning, over all passes: a damaged one keeps its place in time.
    number: u64,
}

impl Pictures {
    /// All pictures of a folder.
    pub(super) fn folder(folder: &Path, fps: f64) -> Result<Self, CameraError> {
        let missing = |advice: String| CameraError::Missing { camera: folder.display().to_string(), advice };
        let entries = std::fs::read_dir(folder).map_err(|error| missing(error.to_string()))?;
        let mut files: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_picture(path) && path.is_file()).collect();
        files.sort_by(|a, b| natural(&file_name(a), &file_name(b)));
        if files.is_empty() {
            return Err(missing(format!("the folder has no pictures ({})", ENDINGS.join(", "))));
        }
        Ok(Self { name: format!("{} ({} pictures)", folder.display(), files.len()), files, fps, next: 0, number: 0 })
    }

    /// One picture.
    pub(super) fn single(path: &Path, fps: f64) -> Self {
        Self { name: path.display().to_string(), files: vec![path.to_owned()], fps, next: 0, number: 0 }
    }
}

impl Source for Pictures {
    fn describe(&self) -> String {
        format!("{} at {} pictures/s", self.name, self.fps)
    }

    fn next(&mut self, frame: &mut Frame) -> Result<bool, CameraError> {
        let Some(path) = self.files.get(self.next) else { return Ok(false) };
        self.next += 1;
        self.number += 1;
        read_picture(path, frame).map_err(|why| bad_frame(path, why))?;
        Ok(true)
    }

    fn due_ms(&self) -> u64 {
        due_ms(self.number.saturating_sub(1), self.fps)
    }

    fn rewind(&mut self) -> Result<(), CameraError> {
        self.next = 0;
        Ok(())
    }
}

/// Reads one picture, upright as its EXIF orientation says.
fn read_picture(path: &Path, frame: &mut Frame) -> Result<(), String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let file = File::open(path).map_err(|error| text(&error))?;
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(|error| text(&error))?;
    // The size is checked before any pixel is decoded; the limit on memory holds whatever the header claims.
    let mut limits = Limits::default();
    limits.max_alloc = Some(PIXELS_MAX * 8);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| text(&error))?;
    let (width_px, height_px) = decoder.dimensions();
    check_size(width_px, height_px)?;
    let orientation = decoder.orientation().map_err(|error| text(&error))?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|error| text(&error))?;
    picture.apply_orientation(orientation);
    let rgb = picture.into_rgb8();
    frame.width_px = rgb.width();
    frame.height_px = rgb.height();
    frame.rgb = rgb.into_raw();
    Ok(())
}

/// The picture format a file has by its content; `None` for anything else.
pub(super) fn sniff(path: &Path) -> Result<Option<ImageFormat>, CameraError> {
    let failed = |error: std::io::Error| CameraError::Missing {
        camera: path.display().to_string(),
        advice: format!("it cannot be read ({error}): check the name and the file's rights"),
    };
    let mut file = File::open(path).map_err(failed)?;
    let mut head = [0; 64];
    let length = file.read(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let format = image::guess_format(&head[..length]).ok();
    // Formats that are not compiled in (TIFF, AVIF, ...) may still be played by ffmpeg.
    Ok(format.filter(|format| {
        use ImageFormat::{Bmp, Gif, Jpeg, Png, WebP};
        matches!(format, Jpeg | Png | Gif | Bmp | WebP)
    }))
}

fn is_picture(path: &Path) -> bool {
    // A name that begins with a dot is a thumbnail's or another program's.
    let hidden = file_name(path).starts_with('.');
    let ending = path.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
    !hidden && ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Compares names as a person numbers them: `2.png` before `10.png`.
pub(super) fn natural(a: &str, b: &str) -> Ordering {
    let (mut a_rest, mut b_rest) = (a, b);
    loop {
        let (a_run, a_next) = run(a_rest);
        let (b_run, b_next) = run(b_rest);
        let order = match (number(a_run), number(b_run)) {
            // Without leading zeros the longer number is the greater one, whatever its size.
            (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            _ => a_run.to_lowercase().cmp(&b_run.to_lowercase()),
        };
        if order.is_ne() || a_run.is_empty() {
            // Names that differ only in case or leading zeros still have one order.
            return order.then_with(|| a.cmp(b));
        }
        (a_rest, b_rest) = (a_next, b_next);
    }
}

/// The run of digits, or of anything else, that `text` begins with; and the rest.
fn run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    text.split_at(end)
}

fn number(run: &str) -> Option<&str> {
    run.starts_with(|c: char| c.is_ascii_digit()).then(|| run.trim_start_matches('0'))
}
