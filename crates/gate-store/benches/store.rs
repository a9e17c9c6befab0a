//! The store's speed: loading a gallery of many people, and enrolling one more.
//!
//! `cargo bench -p gate-store`

use gate_store::{Admission, NewPerson, NewReference, SiteKey, Store};

mod crowd;

const DIM: usize = 128;
const ENCODER: &str = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79";

fn main() {
    divan::main();
}

/// What the daemon does at its start: open and load.
#[divan::bench(args = [10_000, 100_000], sample_count = 20)]
#[allow(clippy::unwrap_used)] // a bench that cannot set itself up has nothing to measure
fn open_and_load(bencher: divan::Bencher<'_, '_>, people: usize) {
    let dir = tempfile::tempdir().unwrap();
    let (_store, key) = crowd::store_of(people, &dir.path().join("store"), ENCODER, DIM).unwrap();
    bencher.bench_local(|| {
        let gallery = Store::open_read_only(&dir.path().join("store"), &key).unwrap().gallery(ENCODER, DIM).unwrap();
        assert_eq!(gallery.owners.len(), people);
        gallery
    });
}

/// Durable: three syncs of the device per person, keys, database and anchor.
#[divan::bench(sample_count = 50, sample_size = 1)]
#[allow(clippy::unwrap_used)]
fn add_one_to_10_000(bencher: divan::Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let mut index = 10_000;
    let (mut store, _key) = crowd::store_of(index, &dir.path().join("store"), ENCODER, DIM).unwrap();
    bencher.bench_local(|| {
        index += 1;
        let new = NewPerson { id: &format!("new-{index}"), name: "Ben", admission: Admission::ALWAYS };
        let vector = &crowd::direction(DIM).unwrap();
        store.add_person(&new, &[NewReference { encoder_sha256: ENCODER, vector, picture: None }]).unwrap()
    });
}

/// What the daemon does several times a second.
#[divan::bench]
#[allow(clippy::unwrap_used)]
fn poll_change_mark(bencher: divan::Bencher<'_, '_>) {
    let dir = tempfile::tempdir().unwrap();
    let key = SiteKey::generate().unwrap();
    let _writer = Store::init(&dir.path().join("store"), &key).unwrap();
    let reader = Store::open_read_only(&dir.path().join("store"), &key).unwrap();
    bencher.bench_local(|| reader.change_mark().unwrap());
}
