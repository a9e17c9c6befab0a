//! The database's shape and its versions.
//!
//! `application_id` tells our files from other SQLite files, `user_version` is the number of migrations applied.

use rusqlite::Connection;

use crate::{Result, StoreError, error::SqlAt};
use std::path::Path;

/// "FGat", in the file's header: <https://www.sqlite.org/fileformat.html#application_id>.
pub(crate) const APPLICATION_ID: i64 = 0x4647_6174;

/// Migration `n` leads from version `n` to `n + 1`. Only ever append: stores in the field have applied the others.
const MIGRATIONS: &[&str] = &[
    // 1: people, their references and pictures; the keys are in people.keys (see slots.rs).
    "CREATE TABLE meta (
        name  TEXT PRIMARY KEY,
        value BLOB NOT NULL
     ) STRICT;
     CREATE TABLE people (
        person_key INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: events name people by it
        id         TEXT NOT NULL UNIQUE,
        slot       INTEGER NOT NULL,
        slot_mark  BLOB NOT NULL,
        record     BLOB NOT NULL -- sealed JSON
     ) STRICT;
     CREATE TABLE refs (
        person_key INTEGER NOT NULL REFERENCES people ON DELETE CASCADE,
        number     INTEGER NOT NULL,
        encoder    TEXT NOT NULL, -- sha256 of the encoder's file
        created_ms INTEGER NOT NULL,
        vector     BLOB NOT NULL, -- sealed f32, little-endian
        UNIQUE (person_key, number)
     ) STRICT;
     CREATE TABLE pictures (
        person_key INTEGER NOT NULL,
        number     INTEGER NOT NULL,
        picture    BLOB NOT NULL, -- sealed JPEG; apart from refs, so that loading a gallery never walks past it
        UNIQUE (person_key, number),
        FOREIGN KEY (person_key, number) REFERENCES refs (person_key, number) ON DELETE CASCADE
     ) STRICT;
     CREATE TABLE erasures ( -- people removed whose key may not be destroyed yet
        slot      INTEGER NOT NULL,
        slot_mark BLOB NOT NULL
     ) STRICT;",
    // 2: records are sealed to their version and references, and `meta` has the register (see epoch.rs). upgrade.rs seals
    // anew what version 1 has sealed. Pending erasures are no longer kept: slots without a row are swept.
    "DROP TABLE erasures;",
];

/// The version this program works with.
pub(crate) const VERSION: i64 = MIGRATIONS.len() as i64;

/// Applies the migrations that `conn` lacks. Call it inside a write transaction.
pub(crate) fn migrate(conn: &Connection, path: &Path) -> Result<()> {
    let found = version(conn, path)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        conn.execute_batch(migration).at(path)?;
    }
    conn.pragma_update(None, "user_version", VERSION).at(path)
}

/// Refuses files that are not ours, or newer than this program; returns the version.
pub(crate) fn check(conn: &Connection, path: &Path) -> Result<i64> {
    let id: i64 = conn.pragma_query_value(None, "application_id", |row| row.get(0)).at(path)?;
    if id != APPLICATION_ID {
        let what = format!("a SQLite database with application id {id:#x}");
        return Err(StoreError::NotOurs { path: path.to_path_buf(), what });
    }
    let found = version(conn, path)?;
    if found > VERSION {
        return Err(StoreError::NewerSchema { path: path.to_path_buf(), found, known: VERSION });
    }
    Ok(found)
}

fn version(conn: &Connection, path: &Path) -> Result<i64> {
    conn.pragma_query_value(None, "user_version", |row| row.get(0)).at(path)
}
