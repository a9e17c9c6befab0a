//! Each stage of a frame, on a real portrait. `make setup`, then `cargo bench -p gate-vision`

use divan::{Bencher, black_box};
use gate_core::geometry::Face;
use gate_core::picture::Rgb;
use gate_vision::align::{align, new_chip};
use gate_vision::photo::Photo;
use gate_vision::{SessionOptions, Vision, VisionOptions, cut_out};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};

const FRAME_PX: (u32, u32) = (640, 480);
/// From one frame to the next, milliseconds.
const STEP_MS: u64 = 66;

fn main() {
    divan::main();
}

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

fn options() -> VisionOptions {
    VisionOptions {
        runtime: None,
        models: models(),
        detector: "yunet".into(),
        encoder: "sface".into(),
        session: SessionOptions::default(),
        detect_max_px: 1280,
    }
}

/// One for the process: ONNX Runtime allows no second environment.
fn vision() -> MutexGuard<'static, Vision> {
    static VISION: OnceLock<Mutex<Vision>> = OnceLock::new();
    let load = || Mutex::new(Vision::load(&options()).expect("run `make setup` first"));
    VISION.get_or_init(load).lock().expect("no panic in another bench")
}

/// A frame as a camera gives it: the astronaut before a grey wall.
fn frame() -> Vec<u8> {
    let photo = Photo::read(&models().join("cache/samples/astronaut.png")).expect("run `make setup` first");
    let photo = photo.view().expect("a picture");
    let (width, height) = (FRAME_PX.0 as usize * 3, FRAME_PX.1 as usize);
    let row_bytes = photo.width_px() as usize * 3;
    let mut frame = vec![127; width * height];
    for (line, row) in frame.chunks_exact_mut(width).zip(photo.data().chunks_exact(row_bytes)) {
        line[..row_bytes].copy_from_slice(row);
    }
    frame
}

fn view(frame: &[u8]) -> Rgb<'_> {
    Rgb::new(frame, FRAME_PX.0, FRAME_PX.1).expect("as many bytes as a frame has")
}

fn face(vision: &mut Vision, frame: &[u8]) -> Face {
    vision.detect(view(frame)).expect("a detector")[0]
}

#[divan::bench(args = [(320, 240), (640, 480), (1280, 720)])]
fn detect(bencher: Bencher, (width, height): (u32, u32)) {
    let mut vision = vision();
    let data = vec![127u8; (width * height * 3) as usize];
    let frame = Rgb::new(&data, width, height).expect("a frame");
    bencher.bench_local(|| vision.detect(black_box(frame)));
}

/// What a frame in which nobody is compared gets.
#[divan::bench]
fn glance(bencher: Bencher) {
    let (mut vision, frame) = (vision(), frame());
    bencher.bench_local(|| vision.glance(black_box(view(&frame)), 48.0));
}

#[divan::bench]
fn look_closer(bencher: Bencher) {
    let (mut vision, frame) = (vision(), frame());
    let face = face(&mut vision, &frame);
    bencher.bench_local(|| vision.look_closer(black_box(view(&frame)), &face));
}

#[divan::bench]
fn align_and_measure(bencher: Bencher) {
    let frame = frame();
    let (face, mut chip) = (face(&mut vision(), &frame), new_chip());
    bencher.bench_local(|| cut_out(black_box(view(&frame)), &face, &mut chip));
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let (mut vision, frame) = (vision(), frame());
    let (face, mut chip) = (face(&mut vision, &frame), new_chip());
    assert!(align(view(&frame), &face, &mut chip));
    bencher.bench_local(|| vision.encode(black_box(&chip)).map(<[f32]>::len));
}

/// Network and all cues, once enough frames are there for them.
#[divan::bench]
fn liveness(bencher: Bencher) {
    let (mut vision, frame) = (vision(), frame());
    let face = face(&mut vision, &frame);
    let mut liveness = vision.liveness(&options(), "minifasnet_v2").expect("run `make setup` first");
    let mut at_ms = 0;
    bencher.bench_local(|| {
        at_ms += STEP_MS;
        liveness.remember(view(&frame), at_ms);
        liveness.look(black_box(view(&frame)), &face.rect)
    });
}
