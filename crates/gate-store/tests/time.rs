//! What the store knows of time: when it was changed, and days of validity.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use gate_core::person::Access;
use gate_store::{Admission, Day, Edge, NewPerson, Store};

fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

fn newest_ms(store: &Store) -> Option<i64> {
    store.gallery(ENCODER, DIM).unwrap().newest_ms
}

#[test]
fn the_newest_change_is_sealed_with_the_records_and_never_older_than_the_one_before() {
    let (dir, key, mut store) = new_store();
    assert_eq!(newest_ms(&store), None, "an empty store knows nothing");
    let before = now_ms();
    add(&mut store, "ana", 1).unwrap();
    add(&mut store, "ben", 2).unwrap();
    let enrolled = newest_ms(&store).unwrap();
    assert!((before..=now_ms()).contains(&enrolled));

    std::thread::sleep(std::time::Duration::from_millis(5));
    store.set_access("ana", Access { suspended: true, ..Access::default() }).unwrap();
    let changed = newest_ms(&store).unwrap();
    assert!(changed > enrolled && changed <= now_ms());
    assert_eq!(newest_ms(&Store::open_read_only(dir.path(), &key).unwrap()), Some(changed));
    // A person without a reference of this encoder counts, too.
    assert_eq!(store.gallery(OTHER_ENCODER, DIM).unwrap().newest_ms, Some(changed));
}

#[test]
fn records_written_under_a_clock_that_was_ahead_are_dated_back_by_staffs_word_only() {
    let (_dir, _key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    add(&mut store, "ben", 2).unwrap();
    store.set_access("ben", Access { suspended: true, ..Access::default() }).unwrap();
    let right = store.person("ana").unwrap().created_ms - 3_600_000;
    assert_eq!(store.accept_time(right).unwrap(), 2);
    assert_eq!(newest_ms(&store), Some(right));
    assert_eq!(store.person("ana").unwrap().created_ms, right);
    assert!(store.person("ben").unwrap().access.suspended, "nothing else has changed");
    assert_eq!(store.accept_time(right).unwrap(), 0, "once is enough");
    assert!(store.check().unwrap().is_sound());
}

#[test]
fn a_day_is_kept_with_its_zone_and_survives_what_does_not_concern_it() {
    let (dir, key, mut store) = new_store();
    let until = Edge::end_of(Day::new("2026-09-05".parse().unwrap(), "America/Santiago")).unwrap();
    let admission = Admission { until: Some(until.clone()), ..Admission::default() };
    let new = NewPerson { admission: &admission, ..person("ana") };
    store.add_person(&new, &[reference(&vector(1))]).unwrap();
    store.rename("ana", "Anna").unwrap();
    let suspended = Admission { suspended: true, ..admission };
    store.set_access("ana", suspended.clone()).unwrap();
    drop(store);

    let store = Store::open_read_only(dir.path(), &key).unwrap();
    let person = store.person("ana").unwrap();
    assert_eq!((person.admission, person.access), (suspended.clone(), suspended.access()));
    assert_eq!(person.access.valid_until_ms, Some(1_788_667_200_000), "2026-09-06T04:00:00Z");
    assert_eq!(store.gallery(ENCODER, DIM).unwrap().people[0].access, suspended.access());
}
