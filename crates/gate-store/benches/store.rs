//! The store's speed: loading a gallery of many people, and enrolling one more.
//!
//! `cargo bench -p gate-store`

use gate_core::person::Access;
use gate_store::{NewPerson, NewReference, SiteKey, Store};

const DIM: usize = 128;
const ENCODER: &str = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79";

fn main() {
    divan::main();
}

/// Unit vectors, each another.
fn vector(index: usize) -> [f32; DIM] {
    let mut vector = std::array::from_fn(|k| ((index * DIM + k) as f32 * 0.7).sin());
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= norm);
    vector
}

fn reference(vector: &[f32]) -> NewReference<'_> {
    NewReference { encoder_sha256: ENCODER, vector, picture: None }
}

#[allow(clippy::unwrap_used)] // a bench that cannot set itself up has nothing to measure
fn filled(dir: &std::path::Path, people: usize) -> (Store, SiteKey) {
    let key = SiteKey::generate().unwrap();
    let mut store = Store::init(dir, &key).unwrap();
    let vectors: Vec<_> = (0..people).map(vector).collect();
    let ids: Vec<_> = (0..people).map(|index| format!("person-{index:05}")).collect();
    let references: Vec<_> = vectors.iter().map(|vector| [reference(vector)]).collect();
    let new = ids.iter().zip(&references).map(|(id, references)| {
        (NewPerson { id, name: "Ana María Núñez", access: Access::default() }, references.as_slice())
    });
    store.add_people(new).unwrap();
    (store, key)
}

/// What the daemon does at its start: open and load.
#[divan::bench(args = [10_000, 100_000], sample_count = 20)]
#[allow(clippy::unwrap_used)]
fn open_and_load(bencher: divan::Bencher<'_, '_>, people: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (_store, key) = filled(dir.path(), people);
    bencher.bench_local(|| {
        let gallery = Store::open_read_only(dir.path(), &key).unwrap().gallery(ENCODER, DIM).unwrap();
        assert_eq!(gallery.owners.len(), people);
        gallery
    });
}

/// Durable: two syncs of the device per person.
#[divan::bench(sample_count = 50, sample_size = 1)]
#[allow(clippy::unwrap_used)]
fn add_one_to_10_000(bencher: divan::Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let mut index = 10_000;
    let (mut store, _key) = filled(dir.path(), index);
    bencher.bench_local(|| {
        index += 1;
        let new = NewPerson { id: &format!("new-{index}"), name: "Ben", access: Access::default() };
        store.add_person(&new, &[reference(&vector(index))]).unwrap()
    });
}

/// What the daemon does several times a second.
#[divan::bench]
#[allow(clippy::unwrap_used)]
fn poll_change_mark(bencher: divan::Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let key = SiteKey::generate().unwrap();
    let _writer = Store::init(dir.path(), &key).unwrap();
    let reader = Store::open_read_only(dir.path(), &key).unwrap();
    bencher.bench_local(|| reader.change_mark().unwrap());
}
