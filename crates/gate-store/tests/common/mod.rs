//! A store in a temporary directory, and people to put into it.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part

use std::path::{Path, PathBuf};

use gate_core::person::PersonKey;
use gate_store::{Admission, NewPerson, NewReference, SiteKey, Store, StoreError};
use rusqlite::Connection;
use tempfile::TempDir;

pub(crate) const DIM: usize = 128;
pub(crate) const ENCODER: &str = "0ba9fbfa01b5270c96627c4ef784da859931e02f04419c829e83484087c34e79";
pub(crate) const OTHER_ENCODER: &str = "9fd80dbb00000000000000000000000000000000000000000000000000000000";

/// Unit vectors, another for each `seed`.
pub(crate) fn vector(seed: u32) -> Vec<f32> {
    let mut vector: Vec<f32> = (0..DIM as u32).map(|k| ((seed * 131 + k) as f32 * 0.7).sin()).collect();
    let norm = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|value| *value /= norm);
    vector
}

pub(crate) fn reference(vector: &[f32]) -> NewReference<'_> {
    NewReference { encoder_sha256: ENCODER, vector, picture: None }
}

pub(crate) fn person(id: &str) -> NewPerson<'_> {
    NewPerson { id, name: "Ana María Núñez", admission: Admission::ALWAYS }
}

pub(crate) fn add(store: &mut Store, id: &str, seed: u32) -> Result<PersonKey, StoreError> {
    store.add_person(&person(id), &[reference(&vector(seed))])
}

/// A store's folder in a temporary one, which its anchor is in, too.
pub(crate) struct Folder {
    outer: TempDir,
    store: PathBuf,
}

impl Folder {
    pub(crate) fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        let store = outer.path().join("store");
        std::fs::create_dir(&store).unwrap();
        Self { outer, store }
    }

    /// The store's folder.
    pub(crate) fn path(&self) -> &Path {
        &self.store
    }

    /// The anchor's file.
    pub(crate) fn anchor(&self) -> PathBuf {
        self.outer.path().join("store-anchor/anchor")
    }
}

pub(crate) fn new_store() -> (Folder, SiteKey, Store) {
    let dir = Folder::new();
    let key = SiteKey::generate().unwrap();
    let store = Store::init(dir.path(), &key).unwrap();
    (dir, key, store)
}

/// Where a slot lies in `people.keys`.
pub(crate) fn slot(number: usize) -> std::ops::Range<usize> {
    let begin = 12_288 + (number - 1) * 160;
    begin..begin + 160
}

/// Whoever may write the file, but has no key.
pub(crate) fn tamper(dir: &Path, sql: &str) {
    let conn = Connection::open(dir.join("people.db")).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    conn.execute_batch(sql).unwrap();
}

/// Whether `needle` occurs in the file; a missing file holds nothing.
pub(crate) fn file_holds(path: &Path, needle: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(needle.len()).any(|window| window == needle)
}
