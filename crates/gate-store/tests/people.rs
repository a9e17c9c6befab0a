//! Enrolling, finding, changing, erasing; and what the daemon sees of it.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use common::*;
use gate_core::person::{Access, PersonKey};
use gate_store::{
    MAX_NAME_CHARS, MAX_PICTURE_BYTES, MAX_REFERENCES, NewPerson, NewReference, Part, Restoration, Store, StoreError,
    StoredGallery,
};

#[test]
fn what_is_stored_is_read_back() {
    let (dir, key, mut store) = new_store();
    let access = Access { suspended: true, valid_from_ms: Some(-5), valid_until_ms: Some(i64::MAX) };
    let (one, two) = (vector(1), vector(2));
    let pictured = NewReference { picture: Some(b"\xff\xd8jpeg"), ..reference(&two) };
    let new = NewPerson { id: "ana.b_c@d-1", name: "Ana María 愛", admission: &access.into() };
    let ana = store.add_person(&new, &[reference(&one), pictured]).unwrap();
    let ben = add(&mut store, "ben", 3).unwrap();
    let foreign = NewReference { encoder_sha256: OTHER_ENCODER, ..reference(&one) };
    assert_eq!(store.add_reference("ben", &foreign).unwrap(), 2);
    drop(store);

    let store = Store::open_read_only(dir.path(), &key).unwrap();
    let person = store.person("ana.b_c@d-1").unwrap();
    assert_eq!((person.key, person.name.as_str(), person.access), (ana, "Ana María 愛", access));
    let numbers: Vec<_> = person.references.iter().map(|info| (info.number, info.has_picture)).collect();
    assert_eq!(numbers, [(1, false), (2, true)]);
    assert!(person.created_ms > 1_600_000_000_000 && person.references[0].created_ms == person.created_ms);
    assert_eq!(store.people().unwrap()[0], person);
    assert_eq!(*store.picture("ana.b_c@d-1", 2).unwrap().unwrap(), b"\xff\xd8jpeg");
    assert_eq!(store.picture("ana.b_c@d-1", 1).unwrap(), None);
    assert!(matches!(store.picture("ben", 9), Err(StoreError::UnknownReference { number: 9, .. })));

    let gallery = store.gallery(ENCODER, DIM).unwrap();
    assert_eq!(gallery.references, [one, two, vector(3)].concat());
    assert_eq!(gallery.owners, [ana, ana, ben]);
    assert_eq!(gallery.people.len(), 2);
    assert_eq!((gallery.people[0].key, gallery.people[0].access), (ana, access));
    assert_eq!((gallery.foreign, gallery.damaged.len(), gallery.erased), (1, 0, 0));
    let report = store.check().unwrap();
    assert!(report.is_sound());
    assert_eq!((report.people, report.references, report.pictures, report.encoders.len()), (2, 4, 1, 2));
}

#[test]
fn changes_are_kept() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let access = Access { suspended: true, valid_from_ms: None, valid_until_ms: Some(7) };
    store.set_access("ana", access).unwrap();
    store.rename("ana", "Anna").unwrap();
    drop(store);
    let person = Store::open(dir.path(), &key).unwrap().person("ana").unwrap();
    assert_eq!((person.access, person.name.as_str()), (access, "Anna"));
}

#[test]
fn a_reader_sees_each_change_by_the_mark_and_in_the_gallery() {
    let (dir, key, mut writer) = new_store();
    let reader = Store::open_read_only(dir.path(), &key).unwrap();
    let mut marks = vec![(reader.change_mark().unwrap(), writer.change_mark().unwrap())];
    assert_eq!(reader.change_mark().unwrap(), marks[0].0);
    let rows = |reader: &Store| reader.gallery(ENCODER, DIM).unwrap().owners.len();
    let mut changed = |writer: &Store| {
        let mark = (reader.change_mark().unwrap(), writer.change_mark().unwrap());
        assert!(marks.iter().all(|earlier| earlier.0 != mark.0 && earlier.1 != mark.1));
        marks.push(mark);
        rows(&reader)
    };
    add(&mut writer, "ana", 1).unwrap();
    assert_eq!(changed(&writer), 1);
    writer.add_reference("ana", &reference(&vector(2))).unwrap();
    assert_eq!(changed(&writer), 2);
    writer.set_access("ana", Access { suspended: true, ..Access::default() }).unwrap();
    assert_eq!(changed(&writer), 2);
    writer.rename("ana", "Anna").unwrap();
    assert_eq!(changed(&writer), 2);
    writer.remove("ana").unwrap();
    assert_eq!(changed(&writer), 0);
    assert!(reader.gallery(ENCODER, DIM).unwrap().people.is_empty());
}

#[test]
fn what_cannot_be_stored_is_refused_and_leaves_nothing() {
    let (_dir, _key, mut store) = new_store();
    let good = vector(1);
    add(&mut store, "ana", 1).unwrap();
    for id in ["", "a b", "ä", "a/b", "a\n", &"x".repeat(65)] {
        assert!(matches!(add(&mut store, id, 2), Err(StoreError::BadId { .. })), "{id:?}");
    }
    for name in ["", "  ", "a\tb", &"ä".repeat(MAX_NAME_CHARS + 1)] {
        let refused = store.add_person(&NewPerson { name, ..person("ben") }, &[reference(&good)]);
        assert!(matches!(refused, Err(StoreError::BadName { .. })), "{name:?}");
        assert!(matches!(store.rename("ana", name), Err(StoreError::BadName { .. })));
    }
    let mut long = good.clone();
    long.iter_mut().for_each(|value| *value *= 1.01);
    let mut nan = good.clone();
    nan[7] = f32::NAN;
    for bad in [vec![], long, nan, vec![0.0; DIM], vec![f32::INFINITY; 2]] {
        // The second reference is at fault: the first must not be left behind.
        let refused = store.add_person(&person("ben"), &[reference(&good), reference(&bad)]);
        assert!(matches!(refused, Err(StoreError::BadVector { .. })));
        assert!(matches!(store.add_reference("ana", &reference(&bad)), Err(StoreError::BadVector { .. })));
    }
    let upper = ENCODER.to_uppercase();
    for encoder_sha256 in ["", "sface", upper.as_str()] {
        let refused = store.add_reference("ana", &NewReference { encoder_sha256, ..reference(&good) });
        assert!(matches!(refused, Err(StoreError::BadEncoder { .. })));
    }
    let huge = vec![0; MAX_PICTURE_BYTES + 1];
    let refused = store.add_person(&person("ben"), &[NewReference { picture: Some(&huge), ..reference(&good) }]);
    assert!(matches!(refused, Err(StoreError::PictureTooLarge { .. })));
    assert!(matches!(store.add_person(&person("ben"), &[]), Err(StoreError::NoReference { .. })));
    assert!(matches!(add(&mut store, "ana", 2), Err(StoreError::DuplicateId { .. })));
    let many = vec![reference(&good); MAX_REFERENCES + 1];
    assert!(matches!(store.add_person(&person("ben"), &many), Err(StoreError::TooManyReferences { .. })));
    for number in 2..=MAX_REFERENCES as u32 {
        assert_eq!(store.add_reference("ana", &reference(&good)).unwrap(), number);
    }
    assert!(matches!(store.add_reference("ana", &reference(&good)), Err(StoreError::TooManyReferences { .. })));
    assert!(matches!(store.add_reference("ben", &reference(&good)), Err(StoreError::UnknownPerson { .. })));
    assert!(matches!(store.set_access("ben", Access::default()), Err(StoreError::UnknownPerson { .. })));
    assert!(matches!(store.remove("ben"), Err(StoreError::UnknownPerson { .. })));
    assert!(matches!(store.person("ben"), Err(StoreError::UnknownPerson { .. })));
    let report = store.check().unwrap();
    assert!(report.is_sound());
    assert_eq!((report.people, report.references), (1, MAX_REFERENCES));
}

#[test]
fn many_are_enrolled_together_or_not_at_all() {
    let (_dir, _key, mut store) = new_store();
    let vectors = [vector(1), vector(2)];
    let references = vectors.each_ref().map(|vector| [reference(vector)]);
    let people = ["ana", "ben", "ana"].map(person);
    let refused = store.add_people(people.into_iter().zip(references.iter().cycle().map(<[_; 1]>::as_slice)));
    assert!(matches!(refused, Err(StoreError::DuplicateId { .. })));
    assert!(store.people().unwrap().is_empty());
    let added = store.add_people(people.into_iter().zip(references.iter().map(<[_; 1]>::as_slice))).unwrap();
    assert_eq!(added.len(), 2);
    assert_eq!(store.gallery(ENCODER, DIM).unwrap().owners, added);
}

#[test]
fn a_person_key_is_never_used_again() {
    let (dir, key, mut store) = new_store();
    assert_eq!(add(&mut store, "ana", 1).unwrap(), PersonKey(1));
    assert_eq!(add(&mut store, "ben", 2).unwrap(), PersonKey(2));
    store.remove("ben").unwrap();
    drop(store);
    let mut store = Store::open(dir.path(), &key).unwrap();
    assert_eq!(add(&mut store, "ben", 2).unwrap(), PersonKey(3));
}

#[test]
fn nothing_of_an_erased_person_is_left_in_the_files() {
    let (dir, key, mut store) = new_store();
    let reader = Store::open_read_only(dir.path(), &key).unwrap(); // the daemon, polling meanwhile
    let file = |name: &str| dir.path().join(name);
    let picture = vec![0x5a; 20_000];
    for (index, id) in ["ana", "benedetta", "eva"].iter().enumerate() {
        let vector = vector(index as u32);
        store.add_person(&person(id), &[NewReference { picture: Some(&picture), ..reference(&vector) }]).unwrap();
    }
    reader.gallery(ENCODER, DIM).unwrap();
    let plain: Vec<u8> = vector(1).iter().flat_map(|value| value.to_le_bytes()).collect();
    let sealed: Vec<Vec<u8>> = {
        let conn = rusqlite::Connection::open(file("people.db")).unwrap();
        let query = "SELECT record, vector, picture FROM people JOIN refs USING (person_key) \
                     JOIN pictures USING (person_key, number) WHERE id = 'benedetta'";
        conn.query_row(query, [], |row| (0..3).map(|column| row.get(column)).collect()).unwrap()
    };
    let keys = fs::read(file("people.keys")).unwrap();
    let wrapped = &keys[slot(2)][..157];
    let all = ["people.db", "people.db-wal", "people.keys"];
    // Sealed: never in the clear. And the search would find what is there.
    for needle in [&plain[..16], "Núñez".as_bytes(), &picture[..16]] {
        assert!(all.iter().all(|name| !file_holds(&file(name), needle)));
    }
    let anywhere = |needle: &[u8]| all.iter().any(|name| file_holds(&file(name), needle));
    for needle in sealed.iter().map(|sealed| &sealed[..32]).chain([wrapped, b"benedetta"]) {
        assert!(anywhere(needle));
    }
    let backup = tempfile::tempdir().unwrap();
    fs::copy(file("people.keys"), backup.path().join("people.keys")).unwrap();

    store.remove("benedetta").unwrap();

    for needle in sealed.iter().flat_map(|sealed| [&sealed[..32], &sealed[sealed.len() - 32..]]) {
        assert!(!anywhere(needle));
    }
    assert!(!anywhere(&wrapped[..16]) && !anywhere(&wrapped[16..40]) && !anywhere(b"benedetta"));
    assert_eq!(fs::metadata(file("people.db-wal")).unwrap().len(), 0);
    assert_eq!(reader.gallery(ENCODER, DIM).unwrap().owners, [PersonKey(1), PersonKey(3)]);
}

#[test]
fn a_reload_opens_only_the_parts_that_have_changed() {
    let (dir, key, mut store) = new_store();
    let (ids, one) = ((1..=4_100).map(|number| format!("p{number}")).collect::<Vec<_>>(), vector(1));
    let references = [reference(&one)];
    store.add_people(ids.iter().map(|id| (person(id), references.as_slice()))).unwrap();
    let reader = Store::open_read_only(dir.path(), &key).unwrap();
    let load = |known: &[Part<StoredGallery>]| reader.parts(ENCODER, DIM, known, |part| part).unwrap();
    let same = |a: &[Part<StoredGallery>], b: &[Part<StoredGallery>]| -> Vec<bool> {
        a.iter().zip(b).map(|(a, b)| Arc::ptr_eq(&a.value, &b.value)).collect()
    };

    let first = load(&[]);
    let again = load(&first);
    assert_eq!(same(&first, &again), [true, true], "nothing has changed");

    let suspended = Access { suspended: true, ..Access::default() };
    store.set_access("p4099", suspended).unwrap();
    let second = load(&again);
    assert_eq!(same(&again, &second), [true, false]);
    assert!(second[1].value.people.iter().any(|person| person.id == "p4099" && person.access == suspended));

    store.remove("p7").unwrap();
    let third = load(&second);
    assert_eq!(same(&second, &third), [false, true]);
    assert!(!third[0].value.owners.contains(&PersonKey(7)));
    assert_eq!(third.iter().map(|part| part.value.owners.len()).sum::<usize>(), 4_099);

    tamper(dir.path(), "UPDATE refs SET vector = zeroblob(length(vector)) WHERE person_key = 9");
    let fourth = load(&third);
    assert_eq!(fourth[0].value.damaged, ["p9"]);
    assert!(!fourth[0].value.owners.contains(&PersonKey(9)));

    let foreign = reader.parts(OTHER_ENCODER, DIM, &fourth, |part| part).unwrap();
    assert_eq!(same(&fourth, &foreign), [false, false]);
    assert!(foreign.iter().all(|part| part.value.owners.is_empty()));
}

#[test]
fn an_old_copy_of_the_database_does_not_bring_an_erased_person_back() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    add(&mut store, "ben", 2).unwrap();
    drop(store); // the log is in the file now
    let old = fs::read(dir.path().join("people.db")).unwrap();
    let mut store = Store::open(dir.path(), &key).unwrap();
    let known = store.parts(ENCODER, DIM, &[], |part| part).unwrap();
    store.remove("ben").unwrap();
    add(&mut store, "eva", 3).unwrap();
    drop(store);

    fs::write(dir.path().join("people.db"), old).unwrap();
    for opened in [Store::open(dir.path(), &key), Store::open_read_only(dir.path(), &key)] {
        let error = opened.unwrap_err();
        assert!(matches!(&error, StoreError::RolledBack { people, .. } if people == &["ben", "eva"]), "{error}");
        assert!(error.to_string().contains("older by 2 changes"), "{error}");
    }
    // Not even when the owner takes that copy.
    Restoration::weigh(dir.path(), &key, None).unwrap().apply().unwrap();
    let mut store = Store::open(dir.path(), &key).unwrap();
    let parts = store.parts(ENCODER, DIM, &known, |part| part).unwrap();
    assert_eq!((parts[0].value.references.clone(), parts[0].value.erased), (vector(1), 0));
    assert!(matches!(store.person("ben"), Err(StoreError::UnknownPerson { .. })));
    assert_eq!(store.people().unwrap().len(), 1);
    // Nor does anybody get a key that was eva's.
    assert_eq!(add(&mut store, "ida", 4).unwrap(), PersonKey(4));
    assert!(store.check().unwrap().is_sound());
    assert_eq!(store.gallery(ENCODER, DIM).unwrap().references, [vector(1), vector(4)].concat());
}

#[test]
fn an_erasure_cut_short_is_completed_at_the_next_opening() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    let path = dir.path().join("people.keys");
    let before = fs::read(&path).unwrap();
    store.remove("ana").unwrap();
    drop(store);
    // As if the power had gone between the commit and the destruction of the key: of the two heads the last one, which says
    // that nothing is left to do, was not written yet.
    let after = fs::read(&path).unwrap();
    let others = [dir.path().join("people.db"), dir.anchor()].map(|file| (fs::read(&file).unwrap(), file));
    let swept = [4096, 8192].map(|head| {
        others.iter().for_each(|(bytes, file)| fs::write(file, bytes).unwrap());
        let mut keys = after.clone();
        keys[slot(1)].copy_from_slice(&before[slot(1)]);
        keys[head..head + 61].fill(0);
        fs::write(&path, keys).unwrap();
        drop(Store::open(dir.path(), &key).unwrap());
        fs::read(&path).unwrap()[slot(1)].iter().all(|byte| *byte == 0)
    });
    assert_eq!(swept.iter().filter(|swept| **swept).count(), 1);
}

#[test]
fn only_the_owner_may_read_the_files() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("a/store");
    let key = gate_store::SiteKey::generate().unwrap();
    let mut store = Store::init(&dir, &key).unwrap();
    add(&mut store, "ana", 1).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        names.push(path.file_name().unwrap().to_str().unwrap().to_owned());
    }
    names.sort();
    assert_eq!(names, ["people.db", "people.db-shm", "people.db-wal", "people.keys"]);
}
