//! Each stage of a frame on a real portrait. `make setup`, then `cargo bench -p gate-vision`

use divan::{Bencher, black_box};
use gate_core::picture::Rgb;
use gate_vision::align::{align, new_chip};
use gate_vision::photo::Photo;
use gate_vision::{SessionOptions, Vision, VisionOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

fn main() {
    divan::main();
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// One for the process: ONNX Runtime allows no second environment.
fn vision() -> &'static Mutex<Vision> {
    static VISION: OnceLock<Mutex<Vision>> = OnceLock::new();
    VISION.get_or_init(|| {
        let options = VisionOptions {
            runtime: None,
            models: models(),
            detector: "yunet".into(),
            encoder: "sface".into(),
            session: SessionOptions::default(),
            detect_max_px: 640,
        };
        Mutex::new(Vision::load(&options).expect("run `make setup` first"))
    })
}

fn photo() -> Photo {
    Photo::read(&models().join("cache/samples/astronaut.png")).expect("run `make setup` first")
}

#[divan::bench(args = [(320, 256), (480, 352), (640, 480)])]
fn detect(bencher: Bencher, (width, height): (u32, u32)) {
    let mut vision = vision().lock().expect("no panic in another bench");
    let data = vec![127u8; (width * height * 3) as usize];
    let frame = Rgb::new(&data, width, height).expect("a frame");
    bencher.bench_local(|| vision.detect(black_box(frame)));
}

#[divan::bench]
fn align_one_face(bencher: Bencher) {
    let photo = photo();
    let face = vision().lock().expect("no panic").portraits(&photo).expect("a face")[0].face;
    let picture = photo.view().expect("a picture");
    let mut chip = new_chip();
    bencher.bench_local(|| align(black_box(picture), &face, &mut chip));
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let mut vision = vision().lock().expect("no panic in another bench");
    let chip = vision.portraits(&photo()).expect("a face").remove(0).chip;
    bencher.bench_local(|| vision.encode(black_box(&chip)).map(<[f32]>::len));
}
