//! A store that the program of schema 1 has made: upgraded whole or not at all.
//!
//! `tests/schema-1` was written by that program: five made-up people of eight numbers each, one of whom was erased, and
//! the key of that store alone.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::*;
use gate_core::person::{Access, PersonKey};
use gate_store::{Fate, KeySource, NewReference, Restoration, SiteKey, Store, StoreError};

const ENCODER_1: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const DIM_1: usize = 8;

fn fixture(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema-1").join(name)
}

/// The old store in a folder of its own, and its key.
fn old_store() -> (Folder, SiteKey) {
    let dir = Folder::new();
    put_old(&dir);
    let key = SiteKey::load(&KeySource::Credential(fixture("site.key"))).unwrap();
    (dir, key)
}

fn put_old(dir: &Folder) {
    for log in ["people.db-wal", "people.db-shm"] {
        let _ = fs::remove_file(dir.path().join(log));
    }
    for file in ["people.db", "people.keys"] {
        fs::copy(fixture(file), dir.path().join(file)).unwrap();
    }
}

/// As the old program's fixture made them.
fn old_vector(seed: u32) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIM_1 as u32).map(|k| ((seed * 131 + k) as f32 * 0.7).sin()).collect();
    let norm = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|v| *v /= norm);
    vector
}

/// Everybody is there, as they were.
fn is_whole(dir: &Folder, key: &SiteKey) {
    let store = Store::open_read_only(dir.path(), key).unwrap();
    let people = store.people().unwrap();
    let ids: Vec<_> = people.iter().map(|person| person.id.as_str()).collect();
    assert_eq!(ids, ["ana", "ben", "eva", "jon"]);
    assert_eq!(people[0].name, "Made up ana");
    assert_eq!(people[1].access, Access { suspended: true, ..Access::default() });
    assert_eq!(people[2].access, Access { valid_until_ms: Some(1_000), ..Access::default() });
    assert_eq!(store.picture("ana", 2).unwrap().unwrap().as_slice(), b"not really a picture");
    let gallery = store.gallery(ENCODER_1, DIM_1).unwrap();
    let expected = [1, 101, 2, 3, 103, 5, 105].map(old_vector).concat();
    assert_eq!((gallery.references, gallery.damaged.len(), gallery.erased), (expected, 0, 0));
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_store_of_version_1_is_upgraded_with_everybody_in_it() {
    let (dir, key) = old_store();
    let error = Store::open_read_only(dir.path(), &key).unwrap_err();
    assert!(
        matches!(error, StoreError::OlderSchema { found: 1, known: 2, .. })
            && error.to_string().contains("enroll-tool")
    );
    let old_keys = fs::read(fixture("people.keys")).unwrap();
    let mut store = Store::open(dir.path(), &key).unwrap();
    is_whole(&dir, &key);
    assert!(dir.anchor().exists() && !dir.path().join("people.keys.new").exists());
    // Nothing is left that the old wrapped keys could be read from.
    let new_keys = fs::read(dir.path().join("people.keys")).unwrap();
    for wrapped in old_keys[128..].chunks(128).filter(|block| block[..16] != [0; 16]) {
        assert!(!new_keys.windows(16).any(|window| window == &wrapped[16..32]));
    }
    // And it is a store like any other: changed, erased, enrolled into, with keys that nobody had before.
    store.set_access("ben", Access::default()).unwrap();
    store.remove("jon").unwrap();
    let vector = old_vector(9);
    let new = NewReference { encoder_sha256: ENCODER_1, vector: &vector, picture: None };
    assert_eq!(store.add_person(&person("kim"), &[new]).unwrap(), PersonKey(6));
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn an_upgrade_cut_short_loses_nobody() {
    // Before the commit: an unfinished key file, and an anchor that has seen no epoch yet.
    let (dir, key) = old_store();
    fs::write(dir.path().join("people.keys.new"), b"half").unwrap();
    drop(Store::open(dir.path(), &key).unwrap());
    is_whole(&dir, &key);

    // After it, before the new key file took the old one's place: overwritten already, or not.
    let new_keys = fs::read(dir.path().join("people.keys")).unwrap();
    let old_keys = fs::read(fixture("people.keys")).unwrap();
    for left in [Some(old_keys.clone()), Some(vec![0; old_keys.len()]), None] {
        fs::write(dir.path().join("people.keys.new"), &new_keys).unwrap();
        match left {
            Some(bytes) => fs::write(dir.path().join("people.keys"), bytes).unwrap(),
            None => fs::remove_file(dir.path().join("people.keys")).unwrap(),
        }
        let told = Store::open_read_only(dir.path(), &key).unwrap_err();
        assert!(matches!(told, StoreError::OlderSchema { .. }), "{told}");
        drop(Store::open(dir.path(), &key).unwrap());
        is_whole(&dir, &key);
        assert!(!dir.path().join("people.keys.new").exists());
    }
}

#[test]
fn a_store_of_version_1_does_not_come_back_once_it_was_upgraded() {
    let (dir, key) = old_store();
    let mut store = Store::open(dir.path(), &key).unwrap();
    store.set_access("ana", Access { suspended: true, ..Access::default() }).unwrap();
    drop(store);
    let upgraded =
        [dir.path().join("people.db"), dir.path().join("people.keys")].map(|file| (fs::read(&file).unwrap(), file));
    put_old(&dir);
    assert!(matches!(Store::open_read_only(dir.path(), &key), Err(StoreError::OlderSchema { .. })));
    assert!(matches!(Store::open(dir.path(), &key), Err(StoreError::RolledBack { .. })));

    // Restored as a backup it is: suspended people stay so, and who was erased stays erased.
    upgraded.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap());
    let backup = fixture("people.db");
    let restoration = Restoration::weigh(dir.path(), &key, Some(&backup)).unwrap();
    assert!(
        restoration.outcomes().iter().all(|outcome| outcome.fate == Fate::Stricter),
        "{:?}",
        restoration.outcomes()
    );
    restoration.apply().unwrap();
    let store = Store::open(dir.path(), &key).unwrap();
    assert!(store.person("ana").unwrap().access.suspended && store.person("ben").unwrap().access.suspended);
    assert_eq!(store.gallery(ENCODER_1, DIM_1).unwrap().references.len(), 7 * DIM_1);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn people_whose_rows_were_damaged_before_are_told_after_the_upgrade_as_well() {
    let (dir, key) = old_store();
    tamper(
        dir.path(),
        "UPDATE people SET record = zeroblob(90) WHERE id = 'eva'; UPDATE people SET slot = 77 WHERE id = 'jon'",
    );
    let store = Store::open(dir.path(), &key).unwrap();
    assert_eq!(store.gallery(ENCODER_1, DIM_1).unwrap().damaged, ["eva", "jon"]);
    assert_eq!(store.check().unwrap().damaged, ["eva", "jon"]);
    assert_eq!(store.people().unwrap().len(), 2);
}
