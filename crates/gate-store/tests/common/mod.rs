//! A store in a temporary directory, and people to put into it.
#![allow(dead_code, clippy::unwrap_used)] // each test file uses its part

use std::path::Path;

use gate_core::person::{Access, PersonKey};
use gate_store::{NewPerson, NewReference, SiteKey, Store, StoreError};
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
    NewPerson { id, name: "Ana María Núñez", access: Access::default() }
}

pub(crate) fn add(store: &mut Store, id: &str, seed: u32) -> Result<PersonKey, StoreError> {
    store.add_person(&person(id), &[reference(&vector(seed))])
}

pub(crate) fn new_store() -> (TempDir, SiteKey, Store) {
    let dir = tempfile::tempdir().unwrap();
    let key = SiteKey::generate().unwrap();
    let store = Store::init(dir.path(), &key).unwrap();
    (dir, key, store)
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
