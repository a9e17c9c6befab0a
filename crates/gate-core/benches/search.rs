//! The 1:N search and the decision. `cargo bench -p gate-core`

use divan::{Bencher, black_box};
use gate_core::comparison::{Comparison, Head};
use gate_core::decision::{Decider, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gallery::Gallery;
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::Policy;
use gate_core::quality::Quality;
use gate_core::similarity::normalise;
use gate_core::track::TrackId;

const DIM: usize = 128;

fn main() {
    divan::main();
}

/// Unit vectors in arbitrary directions, the same at every run.
fn vectors(count: usize) -> Vec<f32> {
    let mut state = 1u64;
    let mut rows: Vec<f32> = (0..count * DIM)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect();
    for row in rows.chunks_mut(DIM) {
        assert!(normalise(row));
    }
    rows
}

#[divan::bench(args = [1_000, 10_000, 100_000])]
fn search(bencher: Bencher, people: usize) {
    let references = vectors(people);
    let owners: Vec<PersonKey> = (0..people as u32).map(PersonKey).collect();
    let probe = vectors(1);
    bencher.counter(divan::counter::ItemsCount::new(people)).bench_local(|| {
        Gallery::new(DIM, &references, &owners)
            .map(|gallery| gallery.search(black_box(&probe), black_box(&Comparison::Distance)))
    });
}

#[divan::bench(args = [1_000, 10_000, 100_000])]
fn search_with_a_head(bencher: Bencher, people: usize) {
    let references = vectors(people);
    let owners: Vec<PersonKey> = (0..people as u32).map(PersonKey).collect();
    let probe = vectors(1);
    let head = Comparison::ChiSquare(Head { weights: &[0.5; DIM], bias: 0.1 });
    bencher.counter(divan::counter::ItemsCount::new(people)).bench_local(|| {
        Gallery::new(DIM, &references, &owners).map(|gallery| gallery.search(black_box(&probe), &head))
    });
}

#[divan::bench]
fn decide_one_frame(bencher: Bencher) {
    let quality = Quality { face_px: 120.0, visible_part: 1.0, sharpness: 9.0, luma: 120.0, ..Quality::default() };
    let found = Identification { person: PersonKey(1), access: Access::default(), d2: 0.5, runner_up_d2: Some(1.8) };
    let mut sighting = Sighting::default();
    let look = PadLook { score: 5.0, outline: 1.0, surroundings: None };
    let face = FaceSighting { track: TrackId(1), quality, lookup: Lookup::Found(found), pad: Some(look), light: None };
    assert!(sighting.faces.push(face).is_ok());
    let mut decider = Decider::new(Policy::default());
    let mut now = Now { mono_ms: 0, wall_ms: 0 };
    bencher.bench_local(|| {
        now.mono_ms += 66;
        decider.step(black_box(&sighting), now)
    });
}
