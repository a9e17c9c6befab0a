//! The demo's scene: acts with an expected outcome each, rendered as a camera at a gate would see them.
//!
//! People are cut out of photographs with a soft edge and set before a plain wall, growing as they walk up. This shows
//! the gate at work on real faces; it says nothing about attacks with photographs, which these pictures themselves are.

use anyhow::{Context, Result};
use gate_core::reason::Reason;
use gate_vision::Vision;
use gate_vision::photo::Photo;
use image::imageops::{FilterType, blur, resize};
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use std::path::Path;

/// Frames a second of the scene.
pub const FPS: u32 = 15;
/// Size of a frame.
pub const FRAME_PX: (u32, u32) = (640, 480);
/// Width of the face on a prepared figure, pixels.
const FIGURE_FACE_PX: f32 = 180.0;
/// A figure's proportions: half the head's and the shoulders' width in face widths; hair above and chest below the
/// face's centre in face heights.
const HEAD: f32 = 0.78;
const SHOULDERS: f32 = 1.65;
const HAIR: f32 = 0.92;
const CHEST: f32 = 1.9;

/// Somebody in the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The first enrolled person, on another picture than the enrolled one.
    Obama,
    /// The same on a third picture.
    ObamaAgain,
    /// Not enrolled.
    Biden,
    /// The second enrolled person.
    Collins,
}

impl Cast {
    const ALL: [Cast; 4] = [Cast::Obama, Cast::ObamaAgain, Cast::Biden, Cast::Collins];

    /// The picture they walk up on, below the samples' folder.
    fn picture(self) -> &'static str {
        match self {
            Cast::Obama => "obama2.jpg",
            Cast::ObamaAgain => "obama3.jpg",
            Cast::Biden => "biden.jpg",
            Cast::Collins => "astronaut.png",
        }
    }
}

/// What must come of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing happens, and the gate is locked at the end.
    Locked,
    /// It opens, for this person.
    Opens(&'static str),
    /// It stays shut, for this reason.
    Refused(Reason),
}

/// One act of the scene.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// What is to be seen.
    pub title: &'static str,
    /// How long, frames.
    pub frames: u32,
    /// Who, and where the face is: part of the frame's width.
    cast: &'static [(Cast, f32)],
    /// Width of the face at the start and where they stop, pixels.
    face_px: (f32, f32),
    /// Out of focus by this much (Gaussian sigma, pixels of the frame).
    blur: f32,
    /// What must come of it.
    pub expected: Expected,
}

const fn nobody(title: &'static str, frames: u32) -> Act {
    Act { title, frames, cast: &[], face_px: (0.0, 0.0), blur: 0.0, expected: Expected::Locked }
}

impl Act {
    /// Whether anybody is to be seen.
    pub fn is_empty(&self) -> bool {
        self.cast.is_empty()
    }
}

/// The whole scene, in order.
pub const ACTS: &[Act] = &[
    nobody("nobody is there", 20),
    Act {
        title: "an enrolled person, on another picture",
        frames: 60,
        cast: &[(Cast::Obama, 0.5)],
        face_px: (44.0, 130.0),
        blur: 0.0,
        expected: Expected::Opens("obama"),
    },
    nobody("they have gone through: locked again", 45),
    Act {
        title: "a stranger",
        frames: 50,
        cast: &[(Cast::Biden, 0.5)],
        face_px: (44.0, 130.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::Unknown),
    },
    nobody("the stranger has left", 20),
    Act {
        title: "two people at once, one of them enrolled",
        frames: 40,
        cast: &[(Cast::ObamaAgain, 0.3), (Cast::Biden, 0.72)],
        face_px: (80.0, 105.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::SeveralFaces),
    },
    nobody("they have left", 20),
    Act {
        title: "an enrolled person, too far away",
        frames: 35,
        cast: &[(Cast::Collins, 0.5)],
        face_px: (30.0, 34.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::TooFar),
    },
    nobody("they have left", 20),
    Act {
        title: "an enrolled person, badly out of focus",
        frames: 35,
        cast: &[(Cast::ObamaAgain, 0.5)],
        face_px: (90.0, 110.0),
        blur: 5.0,
        expected: Expected::Refused(Reason::Blurred),
    },
    nobody("they have left", 20),
    Act {
        title: "the same again, on a third picture",
        frames: 50,
        cast: &[(Cast::ObamaAgain, 0.5)],
        face_px: (44.0, 125.0),
        blur: 0.0,
        expected: Expected::Opens("obama"),
    },
    nobody("they have gone through: locked again", 45),
];

/// The first frame of each act, and one past the last.
pub fn starts() -> Vec<u32> {
    let mut starts = vec![0];
    for act in ACTS {
        starts.push(starts[starts.len() - 1] + act.frames);
    }
    starts
}

/// A person cut out of a photograph: pixels with a soft edge, the face `FIGURE_FACE_PX` wide.
struct Figure {
    pixels: RgbaImage,
    /// The face's centre on it.
    face: (f32, f32),
}

/// Renders every frame into `folder` as `000000.jpg` and so on; `progress` hears of each.
///
/// # Errors
/// When a sample is missing or shows no face, or a frame cannot be written.
pub fn render(vision: &mut Vision, samples: &Path, folder: &Path, progress: impl Fn(u32, u32)) -> Result<()> {
    let figures: Vec<Figure> =
        Cast::ALL.iter().map(|cast| figure(vision, &samples.join(cast.picture()))).collect::<Result<_>>()?;
    let wall = wall();
    let total: u32 = ACTS.iter().map(|a| a.frames).sum();
    let mut number = 0;
    for act in ACTS {
        for step in 0..act.frames {
            let path = folder.join(format!("{number:06}.jpg"));
            let mut jpeg = Vec::new();
            let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 92);
            encoder.encode_image(&compose(act, step, &figures, &wall))?;
            std::fs::write(&path, jpeg).with_context(|| format!("{} cannot be written", path.display()))?;
            number += 1;
            progress(number, total);
        }
    }
    Ok(())
}

fn compose(act: &Act, step: u32, figures: &[Figure], wall: &RgbImage) -> RgbImage {
    let mut frame = wall.clone();
    // Two thirds of the act to walk up, then they stand; both with a little sway.
    let way = (step as f32 / (act.frames as f32 * 0.66)).min(1.0);
    let eased = way * way * (3.0 - 2.0 * way);
    let face_px = act.face_px.0 + (act.face_px.1 - act.face_px.0) * eased;
    for (cast, across) in act.cast {
        let figure = &figures[*cast as usize];
        let sway = (step as f32 * 0.35).sin() * 0.03 * face_px;
        let at = (across * FRAME_PX.0 as f32 + sway, 0.40 * FRAME_PX.1 as f32 + sway * 0.4);
        place(&mut frame, figure, face_px / FIGURE_FACE_PX, at);
    }
    if act.blur > 0.0 { blur(&frame, act.blur) } else { frame }
}

/// Blends the figure in so that the face's centre comes to `at`.
fn place(frame: &mut RgbImage, figure: &Figure, scale: f32, at: (f32, f32)) {
    let (w, h) = figure.pixels.dimensions();
    let size = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let small = resize(&figure.pixels, size(w), size(h), FilterType::Triangle);
    let (left, top) = ((at.0 - figure.face.0 * scale) as i64, (at.1 - figure.face.1 * scale) as i64);
    for (x, y, Rgba([r, g, b, a])) in small.enumerate_pixels() {
        let (fx, fy) = (left + i64::from(x), top + i64::from(y));
        if fx < 0 || fy < 0 || fx >= i64::from(frame.width()) || fy >= i64::from(frame.height()) {
            continue;
        }
        let Rgb(under) = frame.get_pixel_mut(fx as u32, fy as u32);
        for (below, over) in under.iter_mut().zip([r, g, b]) {
            let mixed = u32::from(*over) * u32::from(*a) + u32::from(*below) * (255 - u32::from(*a));
            *below = (mixed / 255) as u8;
        }
    }
}

/// Cuts the largest face's head and shoulders out of a photograph.
fn figure(vision: &mut Vision, path: &Path) -> Result<Figure> {
    let photo = Photo::read(path).context("the demo's sample pictures: `make setup` fetches them")?;
    let portraits = vision.portraits(&photo)?;
    let face = portraits.first().with_context(|| format!("no face in {}", path.display()))?.face.rect;
    let view = photo.view().context("an empty sample")?;
    let whole = RgbImage::from_raw(view.width_px(), view.height_px(), view.data().to_vec()).context("an odd sample")?;
    let centre = face.centre();
    let (half_w, up, down) = (SHOULDERS * face.w, HAIR * face.h, CHEST * face.h);
    let left = (centre.x - half_w).max(0.0) as u32;
    let top = (centre.y - up).max(0.0) as u32;
    let right = ((centre.x + half_w) as u32).min(whole.width());
    let bottom = ((centre.y + down) as u32).min(whole.height());
    let crop = image::imageops::crop_imm(&whole, left, top, right - left, bottom - top).to_image();
    let scale = FIGURE_FACE_PX / face.w;
    let size = |side: u32| ((side as f32 * scale).round() as u32).max(1);
    let scaled = resize(&crop, size(crop.width()), size(crop.height()), FilterType::Triangle);
    let at = ((centre.x - left as f32) * scale, (centre.y - top as f32) * scale);
    let pixels = RgbaImage::from_fn(scaled.width(), scaled.height(), |x, y| {
        let (dx, dy) = ((x as f32 - at.0) / (scale * face.w), (y as f32 - at.1) / (scale * face.h));
        // The photograph's own edges are softened too.
        let sides = (scaled.width() - x).min(x + 1).min(scaled.height() - y) as f32 / 14.0;
        let alpha = ((outline(dy) - dx.abs()) / 0.1).min((CHEST - dy) / 0.25).min(sides).clamp(0.0, 1.0);
        let Rgb([r, g, b]) = *scaled.get_pixel(x, y);
        Rgba([r, g, b, (alpha * 255.0) as u8])
    });
    Ok(Figure { pixels, face: at })
}

/// Half the width of head and shoulders, in face widths, `dy` face heights below the face's centre.
fn outline(dy: f32) -> f32 {
    let smooth = |t: f32| t.clamp(0.0, 1.0).powi(2) * (3.0 - 2.0 * t.clamp(0.0, 1.0));
    if dy < 0.0 {
        return HEAD * (1.0 - (dy / HAIR).powi(2)).max(0.0).sqrt();
    }
    let neck = HEAD - 0.12 * smooth(dy / 0.5);
    neck + (SHOULDERS - neck) * smooth((dy - 0.55) / 0.55)
}

/// A plain wall with a floor, as a gate's camera sees it day in, day out.
fn wall() -> RgbImage {
    RgbImage::from_fn(FRAME_PX.0, FRAME_PX.1, |x, y| {
        let floor = y > 400;
        let across = (x as f32 / FRAME_PX.0 as f32 - 0.5).abs();
        let base = if floor { 118.0 - (y - 400) as f32 * 0.25 } else { 186.0 - y as f32 * 0.08 };
        let shade = base - across * 46.0;
        let panel = !floor && x % 160 < 2;
        let v = if panel { shade - 14.0 } else { shade };
        Rgb([v as u8, (v + 3.0) as u8, (v + 8.0) as u8])
    })
}
