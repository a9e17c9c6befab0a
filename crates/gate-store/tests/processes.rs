//! Several threads and processes on one store, and a process killed while it writes.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::*;
use gate_store::{KeySource, NewReference, SiteKey, Store, StoreError};

const CHILD_DIR: &str = "GATE_STORE_TEST_CHILD_DIR";

#[test]
fn readers_see_whole_people_while_writers_write() {
    const EACH: u32 = 25;
    let (dir, key, store) = new_store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let reader = Store::open_read_only(dir.path(), &key).unwrap();
            let (mut rows, mut loads) = (0, 0);
            while !done.load(Ordering::Relaxed) || loads == 0 {
                let gallery = reader.gallery(ENCODER, DIM).unwrap();
                assert!(gallery.damaged.is_empty(), "{gallery:?}");
                assert_eq!(gallery.owners.len(), 2 * gallery.people.len());
                assert!(gallery.owners.len() >= rows);
                (rows, loads) = (gallery.owners.len(), loads + 1);
            }
        });
        let writers = [0, 1].map(|writer| {
            let (dir, key) = (dir.path(), &key);
            scope.spawn(move || {
                let mut store = Store::open(dir, key).unwrap();
                for index in 0..EACH {
                    let (one, two) = (vector(index), vector(index + 1000));
                    let id = format!("{writer}-{index}");
                    store.add_person(&person(&id), &[reference(&one), reference(&two)]).unwrap();
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(store.people().unwrap().len(), 2 * EACH as usize);
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn removals_never_look_like_damage_to_a_reader() {
    let (dir, key, mut store) = new_store();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let reader = Store::open_read_only(dir.path(), &key).unwrap();
            while !done.load(Ordering::Relaxed) {
                let gallery = reader.gallery(ENCODER, DIM).unwrap();
                assert!(gallery.damaged.is_empty(), "{gallery:?}");
            }
        });
        for index in 0..40 {
            add(&mut store, "ana", index).unwrap();
            store.remove("ana").unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_writer_waits_for_another_and_then_gives_up() {
    let (dir, _key, mut store) = new_store();
    let other = rusqlite::Connection::open(dir.path().join("people.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    assert!(matches!(add(&mut store, "ana", 1), Err(StoreError::Busy { .. })));
    assert!(begun.elapsed() >= Duration::from_secs(4));
    other.execute_batch("COMMIT").unwrap();
    add(&mut store, "ana", 1).unwrap();
}

#[test]
fn a_removal_beside_a_long_read_is_done_and_tells_what_is_left() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let other = rusqlite::Connection::open(dir.path().join("people.db")).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM people").unwrap();
    assert!(matches!(store.remove("ana"), Err(StoreError::LogNotEmptied { .. })));
    let keys = std::fs::read(dir.path().join("people.keys")).unwrap();
    assert!(keys[slot(1).start..].iter().all(|byte| *byte == 0));
    assert!(Store::open_read_only(dir.path(), &key).unwrap().people().unwrap().is_empty());
    other.execute_batch("COMMIT").unwrap();
    add(&mut store, "ben", 2).unwrap();
    store.remove("ben").unwrap();
    assert_eq!(std::fs::metadata(dir.path().join("people.db-wal")).unwrap().len(), 0);
}

/// What the process does that the next test starts and kills.
fn enrol_for_ever(dir: &Path) {
    let key = SiteKey::load(&KeySource::find(Some(&dir.join("site.key")), dir)).unwrap();
    let mut store = Store::open(dir, &key).unwrap();
    let first = store.people().unwrap().len() as u32;
    let mut out = std::io::stdout();
    for index in first.. {
        let (one, two) = (vector(index), vector(index + 5000));
        let pictured = NewReference { picture: Some(&[7; 3000]), ..reference(&two) };
        let id = format!("person-{index}");
        store.add_person(&person(&id), &[reference(&one), pictured]).unwrap();
        writeln!(out, "\nenrolled {id}").unwrap();
        out.flush().unwrap();
        if index % 5 == 4 {
            store.remove(&id).unwrap();
            writeln!(out, "\nremoved {id}").unwrap();
            out.flush().unwrap();
            // Takes its place, so that the count of people stays the index.
            store.add_person(&person(&id), &[reference(&one), reference(&two)]).unwrap();
        }
    }
}

#[test]
fn killed_at_any_time_nothing_acknowledged_is_lost() {
    // The process to be killed is this same test, told so by its environment.
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        return enrol_for_ever(Path::new(&dir));
    }
    let (dir, key, store) = new_store();
    key.create_file(&dir.path().join("site.key")).unwrap();
    drop(store);
    let mut enrolled = Vec::new();
    // Later and later; on a slow machine, until a child got as far as enrolling somebody.
    let mut round = 0;
    while round < 8 || enrolled.is_empty() && round < 40 {
        round += 1;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_at_any_time_nothing_acknowledged_is_lost", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let collected = std::thread::spawn(move || {
            let ids = lines.map_while(Result::ok).filter_map(|line| Some(line.strip_prefix("enrolled ")?.to_owned()));
            ids.collect::<Vec<_>>()
        });
        std::thread::sleep(Duration::from_millis(60 + 37 * round));
        child.kill().unwrap(); // SIGKILL
        child.wait().unwrap();
        enrolled.extend(collected.join().unwrap());

        let mut store = Store::open(dir.path(), &key).unwrap();
        let report = store.check().unwrap();
        assert!(report.is_sound(), "{report:?}");
        assert_eq!(report.references, 2 * report.people);
        for (index, id) in enrolled.iter().enumerate() {
            match store.person(id) {
                Ok(person) => assert_eq!(person.references.len(), 2),
                // Killed between its removal and its return.
                Err(StoreError::UnknownPerson { .. }) if index % 5 == 4 && index + 1 == enrolled.len() => {
                    let (one, two) = (vector(1), vector(2));
                    store.add_person(&person(id), &[reference(&one), reference(&two)]).unwrap();
                }
                Err(error) => panic!("{id}: {error}"),
            }
        }
        // One may have been stored whose acknowledgement did not get out.
        let people = store.people().unwrap();
        assert!(people.len() <= enrolled.len() + 1);
        enrolled = (0..people.len()).map(|index| format!("person-{index}")).collect();
    }
    assert!(!enrolled.is_empty(), "no child got as far as enrolling anybody");
}
