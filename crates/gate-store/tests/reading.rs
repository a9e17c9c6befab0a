//! A database that somebody has made to be read for ever, or to do something while it is read.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::*;
use gate_store::{Store, StoreError};
use rusqlite::Connection;

/// `people` without end, in place of the table.
const ENDLESS: &str = "ALTER TABLE people RENAME TO away;
    CREATE VIEW people AS
      WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)
      SELECT x AS person_key, 'p' || x AS id, 1 AS slot, x'00' AS slot_mark, x'00' AS record FROM n;";

#[test]
fn a_database_of_another_shape_is_refused_with_what_is_wrong() {
    let cases = [
        (ENDLESS, "view `people`"),
        ("CREATE TRIGGER t AFTER INSERT ON refs BEGIN DELETE FROM people; END", "trigger `t`"),
        ("CREATE VIEW extra AS SELECT 1", "view `extra`"),
        ("DROP TABLE pictures", "`pictures` has no column"),
        ("ALTER TABLE people ADD COLUMN made BLOB AS (zeroblob(1000000000))", "`people` has a column `made`"),
        ("DROP TABLE meta; CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)", "`meta` has no column"),
        // What a hex editor does: the entry says table, the statement makes a view.
        (
            "DROP TABLE pictures; PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema VALUES
               ('table', 'pictures', 'pictures', 2,
                'CREATE VIEW pictures AS SELECT 1 AS person_key, 2 AS number, 3 AS picture');
             PRAGMA writable_schema = OFF",
            "pictures",
        ),
    ];
    for (sql, told) in cases {
        let (dir, key, mut store) = new_store();
        add(&mut store, "ana", 1).unwrap();
        drop(store);
        let conn = Connection::open(dir.path().join("people.db")).unwrap();
        conn.execute_batch(sql).unwrap();
        drop(conn);
        for opened in [Store::open_read_only(dir.path(), &key), Store::open(dir.path(), &key)] {
            let error = opened.unwrap_err();
            let refused = matches!(error, StoreError::Shape { .. } | StoreError::Damaged { .. });
            assert!(refused && error.to_string().contains(told), "{sql}: {error}");
        }
    }
}

#[test]
fn what_changes_shape_under_an_open_reader_is_refused_at_the_next_read() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let mut reader = Store::open_read_only(dir.path(), &key).unwrap();
    reader.limit_reads(Duration::from_millis(200)).unwrap();
    assert_eq!(reader.gallery(ENCODER, DIM).unwrap().people.len(), 1);
    drop(store);
    tamper(dir.path(), ENDLESS);
    let start = Instant::now();
    let error = reader.gallery(ENCODER, DIM).unwrap_err();
    assert!(matches!(error, StoreError::Shape { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn reading_more_than_fits_into_the_limit_is_given_up_and_works_with_more_time() {
    let (dir, key, mut store) = new_store();
    let people: Vec<String> = (0..3_000).map(|number| format!("p{number}")).collect();
    let vector = vector(1);
    let references = [reference(&vector); 4];
    store.add_people(people.iter().map(|id| (person(id), &references[..]))).unwrap();

    let mut reader = Store::open_read_only(dir.path(), &key).unwrap();
    reader.limit_reads(Duration::ZERO).unwrap();
    let error = reader.gallery(ENCODER, DIM).unwrap_err();
    assert!(matches!(error, StoreError::TooSlow { .. }) && error.to_string().contains("people.db"), "{error}");
    reader.limit_reads(Duration::from_secs(60)).unwrap();
    assert_eq!(reader.gallery(ENCODER, DIM).unwrap().people.len(), 3_000);
}

#[test]
fn an_opener_that_panics_is_an_error_and_not_the_end_of_the_thread() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    // The next key is in another part, which is opened on a thread of its own.
    tamper(dir.path(), "UPDATE sqlite_sequence SET seq = 9000 WHERE name = 'people'");
    add(&mut store, "ben", 2).unwrap();
    let reader = Store::open_read_only(dir.path(), &key).unwrap();
    for fails in [1, 2] {
        let calls = AtomicU32::new(0);
        let loaded = reader.parts(ENCODER, DIM, &[], |part| {
            assert!(calls.fetch_add(1, Ordering::Relaxed) + 1 != fails, "as the test wants it");
            part.people.len()
        });
        let error = loaded.unwrap_err();
        assert!(matches!(error, StoreError::Broken { .. }) && error.to_string().contains("as the test"), "{error}");
    }
    assert_eq!(reader.parts(ENCODER, DIM, &[], |part| part.people.len()).unwrap().len(), 2);
}
