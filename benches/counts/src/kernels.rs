//! The kernels, each with its made-up input. Short ones are repeated, so that a call weighs nothing.

use crate::Kernel;
use gate_core::codes::{self, Line};
use gate_core::comparison::{Comparison, Head};
use gate_core::decision::{Decider, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gallery::Gallery;
use gate_core::geometry::{CHIP_LANDMARKS, CHIP_PX, Face, Point, Rect, Similarity};
use gate_core::light::Sampler;
use gate_core::liveness::PadLook;
use gate_core::motion::Stillness;
use gate_core::person::{Access, PersonKey};
use gate_core::picture::Rgb;
use gate_core::policy::Policy;
use gate_core::quality::Quality;
use gate_core::similarity::normalise;
use gate_core::track::{TrackId, Tracker};
use gate_vision::align::{align, new_chip};
use std::hint::black_box;

const DIM: usize = 128;
const FRAME_PX: (u32, u32) = (640, 480);
/// Between two frames, milliseconds.
const STEP_MS: u64 = 66;

/// A kernel's name, and how it is prepared.
type Named = (&'static str, fn() -> Kernel);

/// Every kernel.
pub const ALL: [Named; 12] = [
    ("search_all_1000", || search(1_000, false, &Comparison::Distance)),
    ("search_codes_10000", || search(10_000, true, &Comparison::Distance)),
    ("search_head_1000", || search(1_000, false, &Comparison::ChiSquare(Head { weights: &[0.5; DIM], bias: 0.1 }))),
    ("pack_codes_1000", pack),
    ("normalise_1000", normalise_many),
    ("decide_100_frames", decide),
    ("track_4_faces_100_frames", track),
    ("quality", quality),
    ("stillness_640x480", stillness),
    ("light_sample", light_sample),
    ("fit_similarity_1000", fit),
    ("align_chip", align_chip),
];

/// Numbers in -1..1, the same at every run.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(count).collect()
}

/// Unit vectors in arbitrary directions.
fn vectors(count: usize) -> Vec<f32> {
    let mut rows = numbers(count * DIM);
    rows.chunks_mut(DIM).for_each(|row| assert!(normalise(row)));
    rows
}

/// A frame with something in every pixel.
fn frame() -> Vec<u8> {
    let values = numbers(FRAME_PX.0 as usize * FRAME_PX.1 as usize * 3);
    values.iter().map(|x| (127.0 + 60.0 * x) as u8).collect()
}

fn view(data: &[u8]) -> Rgb<'_> {
    Rgb::new(data, FRAME_PX.0, FRAME_PX.1).expect("as many bytes as a frame has")
}

/// A face 130 pixels wide, a little turned in the plane.
fn face() -> Face {
    let rect = Rect { x: 250.0, y: 130.0, w: 130.0, h: 170.0 };
    let landmarks =
        CHIP_LANDMARKS.map(|p| Point { x: 245.0 + 1.2 * p.x - 0.1 * p.y, y: 140.0 + 0.1 * p.x + 1.2 * p.y });
    Face { rect, landmarks, score: 0.9 }
}

/// The probe is somebody in the gallery, seen again.
fn search(people: usize, with_codes: bool, comparison: &'static Comparison<'static>) -> Kernel {
    let references = vectors(people);
    let owners: Vec<PersonKey> = (0..people as u32).map(PersonKey).collect();
    let mut packed = vec![Line::default(); if with_codes { codes::lines(DIM, people) } else { 0 }];
    codes::pack(DIM, &references, &mut packed);
    let seen = &references[people / 2 * DIM..][..DIM];
    let mut probe: Vec<f32> = seen.iter().zip(numbers(DIM)).map(|(x, noise)| x + 0.1 * noise).collect();
    assert!(normalise(&mut probe));
    Box::new(move || {
        let gallery = Gallery::new(DIM, &references, &owners).map(|gallery| gallery.with_codes(&packed));
        black_box(gallery.map(|gallery| gallery.search(black_box(&probe), comparison)));
    })
}

fn pack() -> Kernel {
    let references = vectors(1_000);
    let mut packed = vec![Line::default(); codes::lines(DIM, 1_000)];
    Box::new(move || codes::pack(DIM, black_box(&references), black_box(&mut packed)))
}

fn normalise_many() -> Kernel {
    let mut rows = numbers(1_000 * DIM);
    Box::new(move || rows.chunks_mut(DIM).for_each(|row| assert!(normalise(black_box(row)))))
}

/// Somebody who is enrolled comes, is let in, and stays.
fn decide() -> Kernel {
    let quality = Quality { face_px: 120.0, visible_part: 1.0, sharpness: 9.0, luma: 120.0, ..Quality::default() };
    let found = Identification { person: PersonKey(1), access: Access::default(), d2: 0.5, runner_up_d2: Some(1.8) };
    let look = PadLook { score: 5.0, outline: 1.0, surroundings: None };
    let face = FaceSighting { track: TrackId(1), quality, lookup: Lookup::Found(found), pad: Some(look), light: None };
    let mut sighting = Sighting::default();
    assert!(sighting.faces.push(face).is_ok());
    Box::new(move || {
        let mut decider = Decider::new(Policy::default());
        for step in 0..100 {
            black_box(decider.step(black_box(&sighting), Now { mono_ms: step * STEP_MS, wall_ms: 0 }));
        }
    })
}

fn track() -> Kernel {
    Box::new(|| {
        let mut tracker = Tracker::new(500);
        for step in 0..100u64 {
            let sway = (step % 7) as f32;
            let faces: [Rect; 4] =
                std::array::from_fn(|i| Rect { x: 30.0 + 150.0 * i as f32 + sway, y: 100.0 + sway, w: 90.0, h: 120.0 });
            black_box(tracker.update(black_box(&faces), step * STEP_MS));
        }
    })
}

fn quality() -> Kernel {
    let chip = frame()[..CHIP_PX * CHIP_PX * 3].to_vec();
    Box::new(move || {
        black_box(Quality::measure(black_box(&face()), FRAME_PX.0, FRAME_PX.1, black_box(&chip)));
    })
}

/// A view in which nothing has moved.
fn stillness() -> Kernel {
    let data = frame();
    let mut stillness = Stillness::default();
    stillness.is_still(view(&data), 0);
    stillness.looked(false, 0);
    Box::new(move || assert!(stillness.is_still(black_box(view(&data)), STEP_MS)))
}

fn light_sample() -> Kernel {
    let data = frame();
    let mut sampler = Sampler::around(&face());
    Box::new(move || {
        black_box(sampler.sample(&black_box(view(&data)), &face(), 0));
    })
}

fn fit() -> Kernel {
    Box::new(|| {
        for _ in 0..1_000 {
            black_box(Similarity::fit(black_box(&face().landmarks), &CHIP_LANDMARKS));
        }
    })
}

fn align_chip() -> Kernel {
    let data = frame();
    let mut chip = new_chip();
    Box::new(move || assert!(align(black_box(view(&data)), &face(), &mut chip)))
}
