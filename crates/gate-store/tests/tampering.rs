//! Files that are not what they should be: wrong key, damage, other programs' files, rows altered by somebody.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::*;
use gate_core::person::{Access, PersonKey};
use gate_store::{NewReference, Restoration, SiteKey, Store, StoreError};

#[test]
fn a_missing_store_and_one_already_there_are_told() {
    let (dir, key, store) = new_store();
    let empty = tempfile::tempdir().unwrap();
    let error = Store::open(empty.path(), &key).unwrap_err();
    assert!(matches!(error, StoreError::NotThere { .. }));
    assert!(error.to_string().contains("enroll-tool init"));
    assert!(matches!(Store::open_read_only(empty.path(), &key), Err(StoreError::NotThere { .. })));
    drop(store);
    let before = fs::read(dir.path().join("people.db")).unwrap();
    assert!(matches!(Store::init(dir.path(), &key), Err(StoreError::AlreadyThere { .. })));
    assert_eq!(fs::read(dir.path().join("people.db")).unwrap(), before);
    // The database is lost, the keys are not: a new store must not overwrite them.
    add(&mut Store::open(dir.path(), &key).unwrap(), "ana", 1).unwrap();
    fs::remove_file(dir.path().join("people.db")).unwrap();
    assert!(matches!(Store::init(dir.path(), &key), Err(StoreError::AlreadyThere { .. })));
}

#[test]
fn an_init_cut_short_can_be_run_again() {
    let dir = tempfile::tempdir().unwrap();
    let key = SiteKey::generate().unwrap();
    fs::write(dir.path().join("people.keys"), [1; 50]).unwrap();
    fs::write(dir.path().join("people.db.new"), "half").unwrap();
    assert!(matches!(Store::open(dir.path(), &key), Err(StoreError::NotThere { .. })));
    let mut store = Store::init(dir.path(), &key).unwrap();
    add(&mut store, "ana", 1).unwrap();
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn the_wrong_key_is_told_at_once_and_changes_nothing() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    drop(store);
    let wrong = SiteKey::generate().unwrap();
    assert!(matches!(Store::open(dir.path(), &wrong), Err(StoreError::WrongKey { .. })));
    assert!(matches!(Store::open_read_only(dir.path(), &wrong), Err(StoreError::WrongKey { .. })));
    assert!(Store::open(dir.path(), &key).unwrap().check().unwrap().is_sound());
}

#[test]
fn damaged_and_foreign_files_are_told_apart() {
    let (dir, key, mut store) = new_store();
    for seed in 0..40 {
        add(&mut store, &format!("p{seed}"), seed).unwrap();
    }
    drop(store);
    let path = dir.path().join("people.db");
    let good = fs::read(&path).unwrap();
    let outcome = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let _ = fs::remove_file(dir.path().join("people.db-wal"));
        let _ = fs::remove_file(dir.path().join("people.db-shm"));
        let written = Store::open(dir.path(), &key).and_then(|store| store.gallery(ENCODER, DIM)).err();
        let read = Store::open_read_only(dir.path(), &key).and_then(|store| store.gallery(ENCODER, DIM)).err();
        (written, read)
    };
    assert!(matches!(outcome(&good), (None, None)));
    for length in [0, 4096, good.len() / 2, good.len() - 4096] {
        let told = outcome(&good[..length]);
        assert!(
            matches!(told, (Some(StoreError::Damaged { .. }), Some(StoreError::Damaged { .. }))),
            "{length}: {told:?}"
        );
    }
    let told = outcome(&b"not a database at all. ".repeat(300));
    assert!(matches!(told, (Some(StoreError::NotOurs { .. }), Some(StoreError::NotOurs { .. }))), "{told:?}");

    let newer = tempfile::tempdir().unwrap();
    for (sql, name) in [("PRAGMA application_id = 5", "foreign"), ("PRAGMA user_version = 99", "newer")] {
        let copy = newer.path().join(name);
        fs::create_dir(&copy).unwrap();
        fs::write(copy.join("people.db"), &good).unwrap();
        fs::copy(dir.path().join("people.keys"), copy.join("people.keys")).unwrap();
        tamper(&copy, sql);
        let before = fs::read(copy.join("people.db")).unwrap();
        for opened in [Store::open(&copy, &key), Store::open_read_only(&copy, &key)] {
            match opened.unwrap_err() {
                StoreError::NotOurs { .. } => assert_eq!(name, "foreign"),
                StoreError::NewerSchema { found: 99, .. } => assert_eq!(name, "newer"),
                other => panic!("{other}"),
            }
        }
        assert_eq!(fs::read(copy.join("people.db")).unwrap(), before);
    }
}

#[test]
fn missing_foreign_or_older_keys_are_told() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let older = fs::read(dir.path().join("people.keys")).unwrap();
    add(&mut store, "ben", 2).unwrap();
    drop(store);
    let path = dir.path().join("people.keys");
    fs::write(&path, &older).unwrap();
    for opened in [Store::open(dir.path(), &key), Store::open_read_only(dir.path(), &key)] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, StoreError::RolledBack { people, .. } if people == &["ben"]), "{error}");
        assert!(error.to_string().contains("people.keys is older by 1 change than"), "{error}");
    }
    // His key is lost. Accepting the store leaves him out, and his number and slot serve others.
    Restoration::weigh(dir.path(), &key, None).unwrap().apply().unwrap();
    let mut store = Store::open(dir.path(), &key).unwrap();
    assert_eq!(add(&mut store, "eva", 3).unwrap(), PersonKey(3));
    assert_eq!(store.gallery(ENCODER, DIM).unwrap().references, [vector(1), vector(3)].concat());
    assert!(store.check().unwrap().is_sound());
    drop(store);
    let (other, _, _) = new_store();
    fs::copy(other.path().join("people.keys"), &path).unwrap();
    assert!(Store::open(dir.path(), &key).unwrap_err().to_string().contains("another store"));
    fs::remove_file(&path).unwrap();
    assert!(Store::open(dir.path(), &key).unwrap_err().to_string().contains("missing"));
}

/// Runs `sql` on a store of ana, ben (a picture each) and a third with another encoder; returns who is damaged.
fn damaged_by(sql: &str) -> Vec<String> {
    let (dir, key, mut store) = new_store();
    for (seed, id) in [(1, "ana"), (2, "ben")] {
        let vector = vector(seed);
        store.add_person(&person(id), &[NewReference { picture: Some(b"jpeg"), ..reference(&vector) }]).unwrap();
    }
    let third = vector(3);
    store.add_person(&person("eva"), &[NewReference { encoder_sha256: OTHER_ENCODER, ..reference(&third) }]).unwrap();
    drop(store);
    tamper(dir.path(), sql);
    let store = Store::open_read_only(dir.path(), &key).unwrap();
    let gallery = store.gallery(ENCODER, DIM).unwrap();
    // What was loaded is what was enrolled, under the person it was enrolled for.
    for (row, owner) in gallery.references.chunks_exact(DIM).zip(&gallery.owners) {
        assert_eq!(row, vector(owner.0), "{sql}");
        let person = gallery.people.iter().find(|person| person.key == *owner).unwrap();
        assert_eq!((person.id.as_str(), person.access), (["ana", "ben"][owner.0 as usize - 1], Access::default()));
    }
    let report = store.check().unwrap();
    assert!(!report.is_sound(), "{sql}");
    assert!(gallery.damaged.iter().all(|id| report.damaged.contains(id)), "{sql}");
    report.damaged
}

#[test]
fn rows_that_were_moved_or_altered_are_reported_and_not_loaded() {
    assert_eq!(
        damaged_by("UPDATE refs SET person_key = 2, number = 5 WHERE person_key = 1"),
        ["ana", "ben"].map(String::from)
    );
    assert_eq!(
        damaged_by(
            "UPDATE refs SET number = 3 WHERE person_key = 2; UPDATE pictures SET number = 3 WHERE person_key = 2"
        ),
        ["ben"]
    );
    assert_eq!(damaged_by(&format!("UPDATE refs SET encoder = '{ENCODER}'")), ["eva"]);
    assert_eq!(
        damaged_by("UPDATE refs SET vector = (SELECT vector FROM refs WHERE person_key = 1) WHERE person_key = 2"),
        ["ben"]
    );
    assert_eq!(
        damaged_by("UPDATE people SET record = (SELECT record FROM people WHERE id = 'ana') WHERE id = 'ben'"),
        ["ben"]
    );
    assert_eq!(damaged_by("UPDATE refs SET vector = zeroblob(length(vector)) WHERE person_key = 1"), ["ana"]);
    assert_eq!(damaged_by("UPDATE refs SET vector = x'' WHERE person_key = 1"), ["ana"]);
    assert_eq!(
        damaged_by("UPDATE pictures SET picture = (SELECT picture FROM pictures WHERE person_key = 1)"),
        ["ben"]
    );
}

/// More people than one thread opens at once: each is where they belong, and so is the damage.
#[test]
fn thousands_are_loaded_in_order_without_those_that_are_damaged() {
    const PEOPLE: u32 = 3_500;
    let (dir, _key, mut store) = new_store();
    let ids: Vec<_> = (1..=PEOPLE).map(|n| format!("p{n}")).collect();
    let vectors: Vec<_> = (1..=PEOPLE).map(|n| [vector(n), vector(n + PEOPLE)]).collect();
    let references: Vec<_> = vectors.iter().map(|both| both.each_ref().map(|v| reference(v))).collect();
    // Every third has two.
    let people = ids.iter().zip(&references).enumerate().map(|(i, (id, both))| (person(id), &both[..1 + i % 3 / 2]));
    store.add_people(people).unwrap();
    // The last one before a batch ends, the first one after; a reference each, then a record.
    let altered = "UPDATE refs SET vector = CAST(zeroblob(536) || substr(vector, 537) AS BLOB)
                   WHERE person_key IN (1023, 1024, 1025) AND number = 1;
                   UPDATE people SET record = zeroblob(99) WHERE person_key IN (2048, 2049, 3500);
                   UPDATE refs SET encoder = 'another' WHERE person_key = 2050"; // his record is sealed to the encoder's hash
    tamper(dir.path(), altered);

    let gallery = store.gallery(ENCODER, DIM).unwrap();
    assert_eq!(gallery.damaged, ["p1023", "p1024", "p1025", "p2048", "p2049", "p2050", "p3500"]);
    assert_eq!((gallery.foreign, gallery.erased), (1, 0));
    let (mut owners, mut rows) = (Vec::new(), Vec::new());
    for n in (1..=PEOPLE).filter(|n| ![2048, 2049, 2050, 3500].contains(n)) {
        let from = usize::from((1023..=1025).contains(&n));
        for vector in &vectors[n as usize - 1][from..if n % 3 == 0 { 2 } else { 1 }] {
            owners.push(PersonKey(n));
            rows.extend_from_slice(vector);
        }
    }
    assert_eq!(gallery.owners, owners);
    assert_eq!(gallery.references, rows);
    owners.dedup();
    assert_eq!(gallery.people.iter().map(|person| person.key).collect::<Vec<_>>(), owners);
}

#[test]
fn a_suspension_cannot_be_edited_away() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    store.set_access("ana", Access { suspended: true, ..Access::default() }).unwrap();
    drop(store);
    let conn = rusqlite::Connection::open(dir.path().join("people.db")).unwrap();
    let sealed: Vec<u8> = conn.query_row("SELECT record FROM people", [], |row| row.get(0)).unwrap();
    for index in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[index] ^= 1;
        conn.execute("UPDATE people SET record = ?1", [&altered]).unwrap();
        let mut store = Store::open(dir.path(), &key).unwrap();
        let gallery = store.gallery(ENCODER, DIM).unwrap();
        assert!(gallery.owners.is_empty() && gallery.people.is_empty());
        assert_eq!(gallery.damaged, ["ana"]);
        assert!(matches!(store.person("ana"), Err(StoreError::Damaged { .. })));
        assert!(matches!(store.set_access("ana", Access::default()), Err(StoreError::Damaged { .. })));
    }
    let mut store = Store::open(dir.path(), &key).unwrap();
    store.remove("ana").unwrap();
    add(&mut store, "ana", 1).unwrap();
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_vector_of_another_length_is_not_loaded() {
    let (_dir, _key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    store.add_reference("ana", &reference(&[1.0])).unwrap();
    let gallery = store.gallery(ENCODER, DIM).unwrap();
    assert_eq!((gallery.references, gallery.damaged), (vector(1), vec!["ana".to_owned()]));
}

#[test]
fn the_reader_cannot_write_and_nothing_secret_is_printed() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let mut reader = Store::open_read_only(dir.path(), &key).unwrap();
    assert!(matches!(reader.set_access("ana", Access::default()), Err(StoreError::ReadOnly { .. })));
    let printed = format!("{store:?} {key:?} {:?} {:?}", store.gallery(ENCODER, DIM).unwrap(), reference(&vector(1)));
    assert!(!printed.contains(&format!("{:?}", vector(1)[5])), "{printed}");
    assert!(printed.len() < 600, "{printed}");
}
