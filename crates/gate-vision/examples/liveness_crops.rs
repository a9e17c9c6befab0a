//! Writes the pictures of `tests/golden/minifasnet_v2.toml` as bytes, for the network's original to answer:
//! `cargo run -p gate-vision --example liveness_crops -- FOLDER`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../tests/golden/mod.rs"]
mod golden;

fn main() {
    let folder = std::env::args().nth(1).expect("a folder to write to");
    for (number, crop) in golden::Golden::read().crop.iter().enumerate() {
        let path = std::path::Path::new(&folder).join(format!("{number}.bgr"));
        std::fs::write(&path, crop.bgr()).unwrap();
        println!("{} {} {:?}", path.display(), crop.picture, crop.square);
    }
}
