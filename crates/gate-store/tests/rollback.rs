//! Older bytes put back into the store: noticed, named, and never a way in.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use gate_core::clock::WallClock;
use gate_core::person::Access;
use gate_store::{Fate, Restoration, SiteKey, Store, StoreError};

const SUSPENDED: Access = Access { suspended: true, valid_from_ms: None, valid_until_ms: None };
const EXPIRED: Access = Access { suspended: false, valid_from_ms: None, valid_until_ms: Some(1_000) };

/// Both files as they are on the disk.
struct Copy {
    db: Vec<u8>,
    keys: Vec<u8>,
}

/// Takes a copy of a store that nobody has open.
fn copy(dir: &Path) -> Copy {
    assert!(!dir.join("people.db-wal").exists(), "somebody has it open");
    Copy { db: fs::read(dir.join("people.db")).unwrap(), keys: fs::read(dir.join("people.keys")).unwrap() }
}

fn put_db(dir: &Path, copy: &Copy) {
    for log in ["people.db-wal", "people.db-shm"] {
        let _ = fs::remove_file(dir.join(log));
    }
    fs::write(dir.join("people.db"), &copy.db).unwrap();
}

fn put_keys(dir: &Path, copy: &Copy) {
    fs::write(dir.join("people.keys"), &copy.keys).unwrap();
}

/// What the gate makes of the store: who can be recognised and who of them is admitted; or the fault that locks it.
fn admitted(dir: &Path, key: &SiteKey) -> Result<Vec<String>, StoreError> {
    let gallery = Store::open_read_only(dir, key)?.gallery(ENCODER, DIM)?;
    let now = WallClock::unchecked(1_800_000_000_000);
    let open = gallery.people.into_iter().filter(|person| person.access.refusal(now).is_none());
    Ok(open.map(|person| person.id).collect())
}

/// The fault, and whom it names.
fn fault(dir: &Path, key: &SiteKey) -> (String, Vec<String>) {
    // Staff's tool refuses as the gate does.
    let by_writer = Store::open(dir, key).and_then(|store| store.people()).unwrap_err();
    match admitted(dir, key).unwrap_err() {
        error @ StoreError::RolledBack { .. } => {
            assert_eq!(by_writer.to_string(), error.to_string());
            let text = error.to_string();
            let StoreError::RolledBack { people, .. } = error else { unreachable!() };
            (text, people)
        }
        other => panic!("{other}"),
    }
}

/// Six people; then a suspension, an expiry, an erasure, a further reference, a renaming and a seventh person.
fn store_with_a_past() -> (Folder, SiteKey, Copy, Copy) {
    let (dir, key, mut store) = new_store();
    for (seed, id) in (1..).zip(["ana", "ben", "eva", "ida", "jon", "kim"]) {
        add(&mut store, id, seed).unwrap();
    }
    drop(store);
    let yesterday = copy(dir.path());
    let mut store = Store::open(dir.path(), &key).unwrap();
    store.set_access("ana", SUSPENDED).unwrap();
    store.set_access("ben", EXPIRED).unwrap();
    store.remove("eva").unwrap();
    store.add_reference("ida", &reference(&vector(44))).unwrap();
    store.rename("jon", "Jonathan").unwrap();
    add(&mut store, "lea", 7).unwrap();
    drop(store);
    let today = copy(dir.path());
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["ida", "jon", "kim", "lea"]);
    (dir, key, yesterday, today)
}

#[test]
fn yesterdays_database_locks_and_names_everybody_it_is_wrong_about() {
    let (dir, key, yesterday, today) = store_with_a_past();
    put_db(dir.path(), &yesterday);
    let (text, people) = fault(dir.path(), &key);
    assert_eq!(people, ["ana", "ben", "eva", "ida", "jon", "lea"]);
    assert!(text.contains("people.db is older by 6 changes than") && text.contains("enroll-tool restore"), "{text}");
    put_db(dir.path(), &today);
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["ida", "jon", "kim", "lea"]);
}

#[test]
fn yesterdays_keys_lock_too() {
    let (dir, key, yesterday, _) = store_with_a_past();
    put_keys(dir.path(), &yesterday);
    let (text, people) = fault(dir.path(), &key);
    assert!(text.contains("people.keys is older by 6 changes than"), "{text}");
    assert!(["ana", "ben", "eva", "lea"].iter().all(|id| people.iter().any(|named| named == id)), "{people:?}");
}

#[test]
fn both_files_of_yesterday_are_behind_the_anchor() {
    let (dir, key, yesterday, _) = store_with_a_past();
    put_db(dir.path(), &yesterday);
    put_keys(dir.path(), &yesterday);
    let (text, _) = fault(dir.path(), &key);
    assert!(text.contains("older by 6 changes than this machine has seen it"), "{text}");
    // Each attempt to change something is refused as well.
    assert!(matches!(Store::open(dir.path(), &key), Err(StoreError::RolledBack { .. })));

    // An anchor that is taken away, damaged, or another store's is no way around it.
    let good = fs::read(dir.anchor()).unwrap();
    let (other, _, _) = new_store();
    for bytes in [None, Some(b"junk".to_vec()), Some(fs::read(other.anchor()).unwrap())] {
        match bytes {
            Some(bytes) => fs::write(dir.anchor(), bytes).unwrap(),
            None => fs::remove_file(dir.anchor()).unwrap(),
        }
        assert!(matches!(admitted(dir.path(), &key), Err(StoreError::Anchor { .. })));
        assert!(matches!(Store::open(dir.path(), &key), Err(StoreError::Anchor { .. })));
    }
    fs::write(dir.anchor(), good).unwrap();
    fault(dir.path(), &key);
}

/// Copies one person's row, with references, from one database into another; `columns` of `people` only.
fn put_row(dir: &Path, from: &Copy, id: &str, columns: &str) {
    let old = tempfile::tempdir().unwrap();
    let path = old.path().join("old.db");
    fs::write(&path, &from.db).unwrap();
    tamper(
        dir,
        &format!(
            "ATTACH '{}' AS old;
             UPDATE people SET ({columns}) = (SELECT {columns} FROM old.people o WHERE o.id = '{id}') WHERE id = '{id}'",
            path.display()
        ),
    );
}

#[test]
fn an_old_record_column_lets_nobody_in_and_is_named() {
    let (dir, key, yesterday, _) = store_with_a_past();
    put_row(dir.path(), &yesterday, "ana", "record");
    put_row(dir.path(), &yesterday, "ben", "record");
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["ida", "jon", "kim", "lea"]);
    let store = Store::open(dir.path(), &key).unwrap();
    assert_eq!(store.check().unwrap().damaged, ["ana", "ben"]);
    assert_eq!(store.gallery(ENCODER, DIM).unwrap().damaged, ["ana", "ben"]);
}

#[test]
fn a_whole_old_row_locks_and_is_named() {
    let (dir, key, yesterday, today) = store_with_a_past();
    put_row(dir.path(), &yesterday, "ana", "record, slot, slot_mark");
    let (text, people) = fault(dir.path(), &key);
    assert_eq!(people, ["ana"]);
    assert!(text.contains("not as it was left"), "{text}");

    // With her old slot as well, which only whoever has a copy of both files can bring back.
    let old = |number| yesterday.keys[slot(number)].to_vec();
    let mut keys = today.keys.clone();
    let place = (1..=7).find(|n| keys[slot(*n)] != old(*n)[..] && (1..7).any(|m| old(m) == old(*n))).unwrap();
    for number in 1..=6 {
        keys[slot(number)].copy_from_slice(&old(number));
    }
    assert_ne!(keys, today.keys, "{place}");
    fs::write(dir.path().join("people.keys"), keys).unwrap();
    fault(dir.path(), &key);
}

#[test]
fn a_row_that_is_deleted_locks_and_is_named() {
    let (dir, key, _, today) = store_with_a_past();
    tamper(dir.path(), "DELETE FROM refs WHERE person_key = 6; DELETE FROM people WHERE id = 'kim'");
    let (_, people) = fault(dir.path(), &key);
    assert_eq!(people, ["kim"]);
    let report = Store::open(dir.path(), &key).unwrap().check().unwrap();
    assert!(!report.is_sound() && report.rolled_back.unwrap().contains("kim"));
    // With the slot, too: nobody can say who it was, and it is noticed all the same.
    let before: Vec<u8> = fs::read(dir.path().join("people.keys")).unwrap();
    for number in 1..=7 {
        let mut keys = before.clone();
        keys[slot(number)].fill(0);
        fs::write(dir.path().join("people.keys"), keys).unwrap();
        fault(dir.path(), &key);
    }
    // A writer that comes by does not make it good.
    put_keys(dir.path(), &today);
    Store::open(dir.path(), &key).unwrap().set_access("jon", SUSPENDED).unwrap();
    assert_eq!(fault(dir.path(), &key).1, ["kim"]);
}

#[test]
fn rows_renamed_exchanged_or_added_lock() {
    let swap = "UPDATE people SET id = 'x' WHERE id = 'ida'; UPDATE people SET id = 'ida' WHERE id = 'kim'; \
                UPDATE people SET id = 'kim' WHERE id = 'x'";
    let slot = "UPDATE people SET (slot, slot_mark) = (SELECT slot, slot_mark FROM people WHERE id = 'ida') \
                WHERE id = 'kim'";
    let added = "INSERT INTO people SELECT 99, 'bob', slot, slot_mark, record FROM people WHERE id = 'kim'";
    for (sql, named) in [
        ("UPDATE people SET id = 'bob' WHERE id = 'kim'", &["bob", "kim"][..]),
        (swap, &["ida", "kim"]),
        (slot, &["kim"]),
        (added, &["bob"]),
        ("UPDATE people SET id = 'b' || char(27) || '[2Jx' WHERE id = 'kim'", &["b?[2Jx", "kim"]),
        ("DELETE FROM people", &["ana", "ben", "ida", "jon", "kim", "lea"]),
    ] {
        let (dir, key, _, _) = store_with_a_past();
        tamper(dir.path(), sql);
        assert_eq!(fault(dir.path(), &key).1, named, "{sql}");
    }
}

#[test]
fn a_reference_taken_away_or_put_back_is_named() {
    let (dir, key, _, _) = store_with_a_past();
    tamper(dir.path(), "DELETE FROM refs WHERE person_key = 4 AND number = 2");
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["jon", "kim", "lea"]);
    assert_eq!(Store::open(dir.path(), &key).unwrap().check().unwrap().damaged, ["ida"]);
}

/// Heads of a moment in which a change was under way do not turn a rollback into an interruption.
#[test]
fn the_head_of_an_interrupted_change_brings_nothing_back() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    drop(store);
    let before = copy(dir.path());
    Store::open(dir.path(), &key).unwrap().set_access("ana", SUSPENDED).unwrap();
    let after = copy(dir.path());

    // The two heads are written in turn: intent, committed, clean. Old heads of either copy, or none.
    let heads = [4096..4096 + 61, 8192..8192 + 61];
    for chosen in 0..16 {
        let mut keys = after.keys.clone();
        for (copy, range) in heads.iter().enumerate() {
            match chosen >> (2 * copy) & 3 {
                0 => keys[range.clone()].copy_from_slice(&before.keys[range.clone()]),
                1 => keys[range.clone()].fill(0),
                2 => keys[range.clone()].copy_from_slice(&after.keys[heads[1 - copy].clone()]),
                _ => {}
            }
        }
        for db in [&before, &after] {
            put_db(dir.path(), db);
            fs::write(dir.path().join("people.keys"), &keys).unwrap();
            assert!(
                admitted(dir.path(), &key).is_ok_and(|open| open.is_empty()) || admitted(dir.path(), &key).is_err()
            );
        }
    }
}

#[test]
fn a_change_cut_short_at_any_write_is_no_rollback() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    add(&mut store, "ben", 2).unwrap();
    drop(store);
    let (before, anchor_before) = (copy(dir.path()), fs::read(dir.anchor()).unwrap());
    Store::open(dir.path(), &key).unwrap().set_access("ana", SUSPENDED).unwrap();
    let after = copy(dir.path());
    // What the change has written: her new slot, an intent (overwritten by the clean head), a committed head; ben stays.
    let new_slot = (1..=3)
        .find(|n| {
            before.keys.get(slot(*n)).is_none_or(|old| old != &after.keys[slot(*n)])
                && after.keys.get(slot(*n)).is_some_and(|new| new.iter().any(|byte| *byte != 0))
        })
        .unwrap();
    let with_slot = || {
        let mut keys = before.keys.clone();
        keys.resize(after.keys.len().max(keys.len()), 0);
        keys[slot(new_slot)].copy_from_slice(&after.keys[slot(new_slot)]);
        keys
    };
    let mut states = vec![("slot written", before.db.clone(), with_slot())];
    let mut torn = with_slot();
    torn.truncate(slot(new_slot).start + 31);
    states.push(("slot torn", before.db.clone(), torn));
    let committed = {
        let mut keys = with_slot();
        for at in [4096, 8192] {
            keys[at..at + 61].copy_from_slice(&after.keys[at..at + 61]);
        }
        keys
    };
    states.push(("committed, old slot not erased", after.db.clone(), committed));
    for (what, db, keys) in states {
        for log in ["people.db-wal", "people.db-shm"] {
            let _ = fs::remove_file(dir.path().join(log));
        }
        fs::write(dir.path().join("people.db"), &db).unwrap();
        fs::write(dir.path().join("people.keys"), &keys).unwrap();
        // The anchor is raised last: it did not know of the change.
        fs::write(dir.anchor(), &anchor_before).unwrap();
        let is_after = db == after.db;
        let reader = Store::open_read_only(dir.path(), &key).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(reader.people().unwrap().len(), 2, "{what}");
        drop(reader);
        let mut store = Store::open(dir.path(), &key).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(store.person("ana").unwrap().access.suspended, is_after, "{what}");
        store.set_access("ben", SUSPENDED).unwrap();
        assert!(store.check().unwrap().is_sound(), "{what}");
    }
}

// ------------------------------------------------------------------------------------------------ restoring

fn outcome(restoration: &Restoration, id: &str) -> (Fate, Option<Access>) {
    let found = restoration.outcomes().iter().find(|outcome| outcome.id == id).unwrap();
    (found.fate, found.after)
}

/// A backup as the README advises it: a folder with both files, or `people.db` alone.
fn backup(copy: &Copy, with_keys: bool) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("people.db"), &copy.db).unwrap();
    if with_keys {
        fs::write(folder.path().join("people.keys"), &copy.keys).unwrap();
    }
    let path = folder.path().to_path_buf();
    (folder, path)
}

#[test]
fn a_backup_put_back_over_a_sound_store_keeps_every_restriction() {
    let (dir, key, yesterday, _) = store_with_a_past();
    for with_keys in [false, true] {
        let (_folder, path) = backup(&yesterday, with_keys);
        let from = if with_keys { path } else { path.join("people.db") };
        let restoration = Restoration::weigh(dir.path(), &key, Some(&from)).unwrap();
        assert!(restoration.present_is_known() && restoration.reason().is_none());
        if !with_keys {
            assert_eq!(outcome(&restoration, "ana"), (Fate::Stricter, Some(SUSPENDED)));
            assert_eq!(outcome(&restoration, "ben"), (Fate::Stricter, Some(EXPIRED)));
            assert_eq!(outcome(&restoration, "eva"), (Fate::Erased, None));
            assert_eq!(outcome(&restoration, "kim"), (Fate::Same, Some(Access::default())));
            assert_eq!(outcome(&restoration, "lea"), (Fate::Lost, None));
        }
        restoration.apply().unwrap();
        assert_eq!(admitted(dir.path(), &key).unwrap(), ["ida", "jon", "kim"]);
        let store = Store::open(dir.path(), &key).unwrap();
        assert_eq!(store.person("ana").unwrap().access, SUSPENDED);
        assert_eq!(store.person("jon").unwrap().name, person("jon").name, "the copy's name");
        assert_eq!(store.person("ida").unwrap().references.len(), 1);
        assert!(store.check().unwrap().is_sound());
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_string_lossy().contains("restore"));
        assert!(names.is_empty(), "{names:?}");
    }
    // What was the present before is the past now.
    let store = Store::open(dir.path(), &key).unwrap();
    drop(store);
    put_db(dir.path(), &yesterday);
    fault(dir.path(), &key);
}

#[test]
fn where_the_present_is_lost_changes_that_nobody_knows_come_back_suspended() {
    let (dir, key, yesterday, _) = store_with_a_past();
    let (_folder, from) = backup(&yesterday, false);
    fs::write(dir.path().join("people.db"), [0xa5; 50_000]).unwrap();
    let restoration = Restoration::weigh(dir.path(), &key, Some(&from)).unwrap();
    assert!(!restoration.present_is_known() && restoration.reason().is_some());
    for id in ["ana", "ben", "ida", "jon"] {
        assert_eq!(outcome(&restoration, id), (Fate::Suspended, Some(SUSPENDED)), "{id}");
    }
    assert_eq!(outcome(&restoration, "kim").0, Fate::Same);
    restoration.apply().unwrap();
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["kim"]);
    let mut store = Store::open(dir.path(), &key).unwrap();
    assert!(store.check().unwrap().is_sound());
    assert!(matches!(store.person("eva"), Err(StoreError::UnknownPerson { .. })));
    store.set_access("jon", Access::default()).unwrap();
    drop(store);
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["jon", "kim"]);
}

#[test]
fn files_that_were_put_back_by_hand_are_accepted_as_strictly() {
    let (dir, key, yesterday, _) = store_with_a_past();
    put_db(dir.path(), &yesterday);
    let restoration = Restoration::weigh(dir.path(), &key, None).unwrap();
    assert!(restoration.reason().unwrap().contains("older by 6 changes"));
    restoration.apply().unwrap();
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["kim"]);

    // Both files: no change since can be known; the owner takes them as they are.
    let (dir, key, yesterday, today) = store_with_a_past();
    put_db(dir.path(), &yesterday);
    put_keys(dir.path(), &yesterday);
    let restoration = Restoration::weigh(dir.path(), &key, None).unwrap();
    assert!(restoration.outcomes().iter().all(|outcome| outcome.fate == Fate::Same));
    restoration.apply().unwrap();
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["ana", "ben", "eva", "ida", "jon", "kim"]);
    // From then on the other past is no present, either, though it knows of more changes.
    put_db(dir.path(), &today);
    put_keys(dir.path(), &today);
    fault(dir.path(), &key);
}

#[test]
fn a_backup_of_both_files_makes_a_lost_store_anew() {
    let (_dir, key, yesterday, _) = store_with_a_past();
    let (_folder, from) = backup(&yesterday, true);
    let machine = Folder::new();
    let restoration = Restoration::weigh(machine.path(), &key, Some(&from)).unwrap();
    restoration.apply().unwrap();
    assert_eq!(admitted(machine.path(), &key).unwrap().len(), 6);
    assert!(machine.anchor().exists());
}

#[test]
fn a_restoration_of_something_else_or_of_a_store_that_changes_is_refused() {
    let (dir, key, yesterday, today) = store_with_a_past();
    let (other, other_key, _) = new_store();
    let foreign = Restoration::weigh(dir.path(), &key, Some(other.path())).err().unwrap();
    assert!(matches!(foreign, StoreError::WrongKey { .. }), "{foreign}");
    let foreign = Restoration::weigh(other.path(), &other_key, Some(dir.path())).err().unwrap();
    assert!(matches!(foreign, StoreError::WrongKey { .. }), "{foreign}");
    let nothing = tempfile::tempdir().unwrap();
    assert!(Restoration::weigh(dir.path(), &key, Some(nothing.path())).is_err());

    let (_folder, from) = backup(&yesterday, false);
    let restoration = Restoration::weigh(dir.path(), &key, Some(&from)).unwrap();
    Store::open(dir.path(), &key).unwrap().set_access("kim", SUSPENDED).unwrap();
    assert!(matches!(restoration.apply(), Err(StoreError::ChangedMeanwhile { .. })));
    assert_eq!(admitted(dir.path(), &key).unwrap(), ["ida", "jon", "lea"]);
    drop(today);
}
