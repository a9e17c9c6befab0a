//! Every picture with every other. `cargo bench -p gate-stats`

use divan::Bencher;
use divan::counter::ItemsCount;
use gate_core::comparison::{Comparison, Head};
use gate_core::similarity::normalise;
use gate_stats::{Bootstrap, Collection, Distance, FMR_TARGETS, KEEP_DEFAULT, Measure, all_pairs, fnmr_at_fmr};

const DIM: usize = 128;

fn main() {
    divan::main();
}

/// Unit vectors in arbitrary directions, two a person, the same at every run.
fn faces(pictures: usize) -> Option<Collection> {
    let mut state = 1u64;
    let mut rows: Vec<f32> = (0..pictures * DIM)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect();
    for row in rows.chunks_mut(DIM) {
        assert!(normalise(row));
    }
    Collection::new(DIM, rows, (0..pictures as u32).map(|i| i / 2).collect()).ok()
}

struct WithHead<'a>(Comparison<'a>);

impl Measure for WithHead<'_> {
    fn compare(&self, a: &[f32], b: &[f32]) -> f32 {
        self.0.compare(a, b)
    }
}

fn pairs(pictures: usize) -> ItemsCount {
    ItemsCount::new(pictures * (pictures - 1) / 2)
}

#[divan::bench(args = [2_000, 13_050], sample_count = 3)]
fn distance(bencher: Bencher, pictures: usize) {
    let faces = faces(pictures);
    let run = || faces.as_ref().map(|faces| all_pairs(faces, &Distance, KEEP_DEFAULT, &|_| ()));
    bencher.counter(pairs(pictures)).bench_local(run);
}

#[divan::bench(args = [2_000], sample_count = 3)]
fn chi_square_head(bencher: Bencher, pictures: usize) {
    let faces = faces(pictures);
    let head = WithHead(Comparison::ChiSquare(Head { weights: &[0.5; DIM], bias: 0.1 }));
    let run = || faces.as_ref().map(|faces| all_pairs(faces, &head, KEEP_DEFAULT, &|_| ()));
    bencher.counter(pairs(pictures)).bench_local(run);
}

#[divan::bench(args = [2_000, 13_050], sample_count = 1)]
fn intervals(bencher: Bencher, pictures: usize) {
    let comparisons = faces(pictures).map(|faces| all_pairs(&faces, &Distance, KEEP_DEFAULT, &|_| ()));
    let run = || comparisons.as_ref().map(|all| fnmr_at_fmr(all, &FMR_TARGETS, &Bootstrap::default()));
    bencher.counter(pairs(pictures)).bench_local(run);
}
