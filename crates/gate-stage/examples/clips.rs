//! Synthetic labelled clips of one site, from a folder with a folder of pictures for each person.
//!
//! ```text
//! cargo run -p gate-stage --example clips -- PICTURES OUT [PEOPLE] [CLIPS]
//!
//!   PICTURES/PERSON/*.jpg  ──▶  OUT/SPECIES/PERSON/clip-K/000000.jpg ... 000017.jpg
//!                               SPECIES: bona_fide, paper, phone, tablet
//! ```
//!
//! The pictures are those of Labeled Faces in the Wild, deep-funneled: 250x250, the face in the middle, so no detector is
//! needed. PEOPLE (20 unless told) are spread evenly over the folder; CLIPS (1) are made for each of them and each species.
//! All clips have the same wall, light and camera, and the same arguments give the same files.
//!
//! These clips are SYNTHETIC. They exercise the machinery that learns from a site's clips: reading, splitting by person,
//! training, writing a calibration. They say NOTHING about real attacks: never quote an error rate measured on them, and
//! never calibrate a gate with them. "bona_fide" is a cut-out photograph that moves before a drawn wall.

use gate_core::geometry::{Point, Rect};
use gate_stage::{Camera, Figure, Held, Species};
use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::error::Error;
use std::f32::consts::TAU;
use std::fs;
use std::path::{Path, PathBuf};

const FPS: f32 = 15.0;
const FRAMES: u32 = 18;
/// The face's box on a deep-funneled picture.
const FACE: Rect = Rect { x: 78.0, y: 64.0, w: 94.0, h: 124.0 };
/// How wide faces are in the frame.
const FACE_PX: (f32, f32) = (90.0, 130.0);

/// What is before the camera in a clip.
enum Presented {
    Live(Figure),
    Picture(Box<Held>),
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [source, out, ..] = args.as_slice() else {
        return Err("usage: clips PICTURES OUT [PEOPLE] [CLIPS]".into());
    };
    let number = |i: usize, default: u32| args.get(i).map_or(Ok(default), |a| a.parse::<u32>());
    let (people, clips) = (number(2, 20)?, number(3, 1)?);
    let chosen = choose(Path::new(source), people as usize)?;
    let room = room();
    let camera = Camera { blur_px: 0.7, gain: 0.95, white_balance: [1.03, 1.0, 0.96], noise: 2.5, ..Camera::default() };
    for (i, pictures) in chosen.iter().enumerate() {
        let name = pictures[0].parent().and_then(Path::file_name).ok_or("a person has no name")?.to_string_lossy();
        for k in 0..clips {
            let picture = filled(image::open(&pictures[k as usize % pictures.len()])?.into_rgb8());
            for species in [None, Some(Species::Paper), Some(Species::Phone), Some(Species::Tablet)] {
                let seed = u64::from(k) << 40 | (i as u64) << 8 | species.map_or(0, |s| s as u64 + 1);
                let presented = match species {
                    None => Figure::cut(&picture, FACE).map(Presented::Live),
                    Some(species) => {
                        Held::new(&picture, FACE, species, seed).map(|held| Presented::Picture(Box::new(held)))
                    }
                };
                let presented = presented.ok_or("a picture is not 250x250")?;
                let label = species.map_or("bona_fide", Species::name);
                let folder = Path::new(out).join(label).join(&*name).join(format!("clip-{k}"));
                film(&presented, seed, &room, &Camera { seed, ..camera }, &folder)?;
            }
        }
        println!("{} of {}: {name}", i + 1, chosen.len());
    }
    Ok(())
}

/// The pictures of `people` persons, spread evenly over the folder.
fn choose(source: &Path, people: usize) -> Result<Vec<Vec<PathBuf>>, Box<dyn Error>> {
    let sorted = |folder: &Path| -> Result<Vec<PathBuf>, Box<dyn Error>> {
        let entries = fs::read_dir(folder).map_err(|e| format!("{} cannot be read: {e}", folder.display()))?;
        let mut found: Vec<PathBuf> = entries.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
        found.sort();
        Ok(found)
    };
    let mut all = Vec::new();
    for folder in sorted(source)?.into_iter().filter(|p| p.is_dir()) {
        let mut pictures = sorted(&folder)?;
        pictures.retain(|p| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("jpg")));
        if !pictures.is_empty() {
            all.push(pictures);
        }
    }
    if all.len() < people {
        return Err(format!("{} holds {} people, {people} are asked for", source.display(), all.len()).into());
    }
    Ok((0..people).map(|i| all[i * all.len() / people].clone()).collect())
}

/// Deep-funneled pictures were turned, which left black corners: there each column goes on as its own mirror image.
fn filled(mut picture: RgbImage) -> RgbImage {
    let (width, height) = picture.dimensions();
    let is_black = |Rgb(pixel): &Rgb<u8>| pixel.iter().all(|v| *v < 10);
    for x in 0..width {
        let lit: Vec<u32> = (0..height).filter(|y| !is_black(picture.get_pixel(x, *y))).collect();
        // The outermost pixels are half black themselves.
        let (Some(first), Some(last)) = (lit.get(2).copied(), lit.iter().nth_back(2).copied()) else { continue };
        for y in (0..first).chain(last + 1..height) {
            let mirrored = if y < first { 2 * first - y } else { (2 * last).saturating_sub(y) };
            let pixel = *picture.get_pixel(x, mirrored.min(height - 1));
            picture.put_pixel(x, y, pixel);
        }
    }
    picture
}

/// One clip: coming nearer for two thirds of it, then standing; swaying all the time.
fn film(
    presented: &Presented,
    seed: u64,
    room: &RgbImage,
    camera: &Camera,
    folder: &Path,
) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(folder).map_err(|e| format!("{} cannot be made: {e}", folder.display()))?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x0063_6c69_7073);
    let mut between = |low: f32, high: f32| low + (high - low) * rng.random::<f32>();
    let end_px = between(FACE_PX.0 + 10.0, FACE_PX.1);
    let start_px = (end_px * between(0.78, 0.95)).max(FACE_PX.0);
    let stand = Point { x: between(260.0, 400.0), y: between(175.0, 225.0) };
    let (drift, sway_hz, phase) = (between(-40.0, 40.0), between(0.4, 0.9), between(0.0, TAU));
    for number in 0..FRAMES {
        let time_s = number as f32 / FPS;
        let way = (number as f32 / (FRAMES as f32 * 0.66)).min(1.0);
        let eased = way * way * (3.0 - 2.0 * way);
        let face_px = start_px + (end_px - start_px) * eased;
        let mut at = Point { x: stand.x + drift * (1.0 - eased), y: stand.y };
        let mut frame = room.clone();
        match presented {
            Presented::Live(figure) => {
                let sway = (TAU * sway_hz * time_s + phase).sin() * 0.05 * face_px;
                at = Point { x: at.x + sway, y: at.y + 0.3 * sway };
                figure.place(&mut frame, at, face_px);
            }
            Presented::Picture(held) => held.paint(&mut frame, at, face_px, time_s),
        }
        let path = folder.join(format!("{number:06}.jpg"));
        let mut jpeg = Vec::new();
        JpegEncoder::new_with_quality(&mut jpeg, 92).encode_image(&camera.see(&frame, number))?;
        fs::write(&path, jpeg).map_err(|e| format!("{} cannot be written: {e}", path.display()))?;
    }
    Ok(())
}

/// The site: a wall with a door on the right, a poster on the left, a switch panel between, a lamp above.
fn room() -> RgbImage {
    let mut grain = ChaCha8Rng::seed_from_u64(7);
    RgbImage::from_fn(640, 480, |x, y| {
        let inside = |left: u32, top: u32, w: u32, h: u32| (left..left + w).contains(&x) && (top..top + h).contains(&y);
        let mut colour: [f32; 3] = [176.0, 172.0, 162.0];
        if y > 410 {
            colour = if y < 424 { [120.0, 112.0, 100.0] } else { [96.0, 90.0, 84.0] };
        }
        if inside(500, 60, 140, 360) {
            colour = if inside(514, 74, 126, 346) { [126.0, 92.0, 64.0] } else { [206.0, 204.0, 198.0] };
            if inside(524, 250, 26, 10) {
                colour = [190.0, 190.0, 186.0];
            }
        }
        if inside(60, 70, 130, 180) {
            colour = if inside(68, 78, 114, 90) { [72.0, 118.0, 150.0] } else { [222.0, 218.0, 204.0] };
            if y > 184 && y < 238 && y % 13 < 5 && inside(72, 180, 98, 60) {
                colour = [96.0, 94.0, 92.0];
            }
        }
        if inside(440, 210, 34, 52) {
            colour = if inside(447, 220, 20, 32) { [188.0, 190.0, 192.0] } else { [228.0, 228.0, 226.0] };
        }
        // A lamp above the middle, and rough plaster.
        let away = ((x as f32 - 330.0) / 420.0).powi(2) + ((y as f32 + 40.0) / 560.0).powi(2);
        let light = 1.12 - 0.34 * away + 0.03 * (grain.random::<f32>() - 0.5);
        Rgb(colour.map(|v| (v * light).clamp(0.0, 255.0) as u8))
    })
}
