//! Pictures for a liveness network that anybody can make anew, and what its original answers to them.

use gate_vision::photo::Photo;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `minifasnet_v2.toml` beside this file.
#[derive(Deserialize)]
#[allow(dead_code)] // the example needs no answers
pub struct Golden {
    /// The pictures.
    pub crop: Vec<Crop>,
}

/// A square of a sample picture, and the original's answer to it.
#[derive(Deserialize)]
#[allow(dead_code)]
pub struct Crop {
    /// The sample.
    pub picture: String,
    /// Left, top and side of the square, pixels.
    pub square: [usize; 3],
    /// Hash of the 80x80 pixels, blue first.
    pub sha256: String,
    /// What the TFLite file answers.
    pub logits: [f32; 3],
}

impl Golden {
    pub fn read() -> Self {
        toml::from_str(include_str!("minifasnet_v2.toml")).unwrap()
    }
}

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

impl Crop {
    /// The square at 80x80, nearest neighbour (rounded down), rows of pixels, blue first.
    pub fn bgr(&self) -> Vec<u8> {
        let photo = Photo::read(&models().join("cache/samples").join(&self.picture)).expect("run `make setup` first");
        let view = photo.view().unwrap();
        let [left, top, side] = self.square;
        let at = |n: usize| n * side / 80;
        let pixel = |n: usize| ((top + at(n / 80)) * view.width_px() as usize + left + at(n % 80)) * 3;
        (0..80 * 80).flat_map(|n| [2, 1, 0].map(|channel| view.data()[pixel(n) + channel])).collect()
    }
}
