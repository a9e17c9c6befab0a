//! The 1:N search and the decision. `cargo bench -p gate-core`

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use gate_core::codes::{self, Line};
use gate_core::comparison::{Comparison, Head};
use gate_core::decision::{Decider, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gallery::{self, Gallery};
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::Policy;
use gate_core::quality::Quality;
use gate_core::similarity::normalise;
use gate_core::track::TrackId;

const DIM: usize = 128;
/// References and elements.
const GALLERIES: [(usize, usize); 5] = [(1_000, 128), (10_000, 128), (100_000, 128), (1_000_000, 128), (100_000, 512)];

fn main() {
    divan::main();
}

/// Unit vectors in arbitrary directions, the same at every run.
fn vectors(seed: u64, dim: usize, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut rows: Vec<f32> = (0..count * dim)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect();
    for row in rows.chunks_mut(dim) {
        assert!(normalise(row));
    }
    rows
}

fn owners(people: usize) -> Vec<PersonKey> {
    (0..people as u32).map(PersonKey).collect()
}

fn packed(dim: usize, references: &[f32]) -> Vec<Line> {
    let mut packed = vec![Line::default(); codes::lines(dim, references.len() / dim)];
    codes::pack(dim, references, &mut packed);
    packed
}

/// What the gate does: somebody whom nobody knows, so that codes alone must tell.
#[divan::bench(args = GALLERIES)]
fn search(bencher: Bencher, (people, dim): (usize, usize)) {
    let (references, owners) = (vectors(1, dim, people), owners(people));
    let (codes, probe) = (packed(dim, &references), vectors(2, dim, 1));
    bencher.counter(ItemsCount::new(people)).bench_local(|| {
        let gallery = Gallery::new(dim, &references, &owners)?.with_codes(&codes);
        gallery.search(black_box(&probe), black_box(&Comparison::Distance))
    });
}

/// The same in parts, as the gate holds its people, so that a change loads one of them.
#[divan::bench(args = GALLERIES)]
fn search_in_parts(bencher: Bencher, (people, dim): (usize, usize)) {
    const PART: usize = 4096;
    let (references, owners, probe) = (vectors(1, dim, people), owners(people), vectors(2, dim, 1));
    let packed: Vec<Vec<Line>> = references.chunks(PART * dim).map(|part| packed(dim, part)).collect();
    let parts: Vec<Gallery<'_>> = references
        .chunks(PART * dim)
        .zip(owners.chunks(PART))
        .zip(&packed)
        .filter_map(|((references, owners), codes)| Some(Gallery::new(dim, references, owners)?.with_codes(codes)))
        .collect();
    bencher
        .counter(ItemsCount::new(people))
        .bench_local(|| gallery::search(parts.iter().copied(), black_box(&probe), black_box(&Comparison::Distance)));
}

/// The baseline: every reference compared in full.
#[divan::bench(args = GALLERIES)]
fn search_without_codes(bencher: Bencher, (people, dim): (usize, usize)) {
    let (references, owners, probe) = (vectors(1, dim, people), owners(people), vectors(2, dim, 1));
    bencher.counter(ItemsCount::new(people)).bench_local(|| {
        Gallery::new(dim, &references, &owners)?.search(black_box(&probe), black_box(&Comparison::Distance))
    });
}

/// The floor: as many bytes read as the upper halves of the codes have, and nothing done with them.
#[divan::bench(args = GALLERIES)]
fn read_the_memory_of_a_search(bencher: Bencher, (people, dim): (usize, usize)) {
    let bytes = people * (dim / 2 + 4);
    let memory: Vec<u64> = (0..bytes as u64 / 8).collect();
    bencher
        .counter(BytesCount::new(bytes))
        .bench_local(|| black_box(&memory).iter().fold(0u64, |sum, word| sum.wrapping_add(*word)));
}

/// What a changed gallery costs before it can be searched.
#[divan::bench(args = [(100_000, 128), (100_000, 512)], sample_count = 20)]
fn make_codes(bencher: Bencher, (people, dim): (usize, usize)) {
    let references = vectors(1, dim, people);
    bencher.counter(ItemsCount::new(people)).bench_local(|| packed(dim, black_box(&references)));
}

#[divan::bench(args = [1_000, 10_000, 100_000])]
fn search_with_a_head(bencher: Bencher, people: usize) {
    let (references, owners, probe) = (vectors(1, DIM, people), owners(people), vectors(2, DIM, 1));
    let head = Comparison::ChiSquare(Head { weights: &[0.5; DIM], bias: 0.1 });
    bencher
        .counter(ItemsCount::new(people))
        .bench_local(|| Gallery::new(DIM, &references, &owners)?.search(black_box(&probe), &head));
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
