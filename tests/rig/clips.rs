//! What the camera sees: scenes as raw YUYV frames of 640x480, rendered on the host, played in the guest.

use gate_stage::Species;
use gate_tests::{Look, Portrait, Scene};
use image::RgbImage;
use std::fs;
use std::path::Path;

/// The camera's frame, pixels.
pub const WIDTH_PX: u32 = 640;
/// The camera's frame, pixels.
pub const HEIGHT_PX: u32 = 480;
/// One frame.
pub const FRAME_BYTES: usize = (WIDTH_PX * HEIGHT_PX * 2) as usize;
/// Frames a second that the camera gives.
pub const FPS: u32 = 15;

/// Somebody comes, stays, and goes.
fn visit(portrait: Portrait) -> Scene {
    let there = Look::new(portrait, 130.0);
    Scene::new().walk_up(1_000, 60.0, there).stay(1_500, &[there]).leave(300, there)
}

/// Somebody stands there; played again and again.
fn stands(portrait: Portrait) -> Scene {
    // A whole number of sways, so that the end meets the beginning.
    Scene::new().stay(6_280, &[Look::new(portrait, 130.0)])
}

/// The photograph is brought near, held there, and taken away.
fn held_up(species: Species) -> Scene {
    let there = Look::new(Portrait::Obama2, 110.0).on(species);
    Scene::new().nobody(300).walk_up(1_000, 70.0, there).stay(2_000, &[there])
}

/// Renders all clips into `folder`; those that are there stay.
pub fn render(folder: &Path) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let clips: [(&str, Scene); 7] = [
        ("nobody", Scene::new().nobody(100)),
        ("ana", visit(Portrait::Obama3)),
        ("ana-stands", stands(Portrait::Obama3)),
        ("ben", visit(Portrait::Biden)),
        ("ben-stands", stands(Portrait::Biden)),
        ("phone", held_up(Species::Phone)),
        ("paper", held_up(Species::Paper)),
    ];
    for (name, scene) in clips {
        let path = folder.join(format!("{name}.yuyv"));
        if path.exists() {
            continue;
        }
        let bytes: Vec<u8> = scene.pictures().flat_map(|picture| yuyv(&picture)).collect();
        let part = folder.join("part");
        fs::write(&part, bytes)?;
        fs::rename(part, path)?;
    }
    Ok(())
}

/// RGB to YUYV, BT.601 with the range that cameras use (16 to 235).
fn yuyv(picture: &RgbImage) -> Vec<u8> {
    let ycc = |p: &[u8]| {
        let [r, g, b] = [0, 1, 2].map(|i| f32::from(p[i]));
        let y = 16.0 + 0.257 * r + 0.504 * g + 0.098 * b;
        let u = 128.0 - 0.148 * r - 0.291 * g + 0.439 * b;
        let v = 128.0 + 0.439 * r - 0.368 * g - 0.071 * b;
        [y, u, v]
    };
    let pair = |pair: &[u8]| {
        let (a, b) = (ycc(&pair[..3]), ycc(&pair[3..]));
        [a[0], (a[1] + b[1]) / 2.0, b[0], (a[2] + b[2]) / 2.0].map(|v| v.round() as u8)
    };
    picture.as_raw().chunks_exact(6).flat_map(pair).collect()
}

/// A clip as the guest plays it: whole frames.
pub fn read(folder: &Path, name: &str) -> Vec<Vec<u8>> {
    let path = folder.join(format!("{name}.yuyv"));
    let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert!(!bytes.is_empty() && bytes.len().is_multiple_of(FRAME_BYTES), "{} holds no whole frames", path.display());
    bytes.chunks_exact(FRAME_BYTES).map(<[u8]>::to_vec).collect()
}
