//! Enrolling: what may be stored, and storing all of it or nothing.

use std::fmt;
use std::path::Path;

use gate_core::person::PersonKey;
use gate_core::terminal::is_command;
use rusqlite::Transaction;
use zeroize::Zeroizing;

use crate::admission::Admission;
use crate::error::SqlAt;
use crate::people::Record;
use crate::seal::{Bound, ReferenceList, Sealer};
use crate::store::Store;
use crate::{MAX_DIM, MAX_ID_CHARS, MAX_NAME_CHARS, MAX_NORM_ERROR, MAX_PICTURE_BYTES, MAX_REFERENCES};
use crate::{Result, StoreError};

/// Somebody to enrol.
#[derive(Clone, Copy, Debug)]
pub struct NewPerson<'a> {
    /// Chosen by staff: 1 to [`MAX_ID_CHARS`] of `[A-Za-z0-9._@-]`, unique, stored in the clear.
    pub id: &'a str,
    /// For people to read: 1 to [`MAX_NAME_CHARS`] characters, stored sealed.
    pub name: &'a str,
    /// Whether and when the person may come in.
    pub admission: &'a Admission,
}

impl NewPerson<'_> {
    /// Whether id and name are well formed, before the work of making references.
    ///
    /// # Errors
    /// [`StoreError::BadId`], [`StoreError::BadName`].
    pub fn check(&self) -> Result<()> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte);
        if self.id.is_empty() || self.id.len() > MAX_ID_CHARS || !self.id.bytes().all(allowed) {
            return Err(StoreError::BadId { id: self.id.to_owned() });
        }
        check_name(self.id, self.name)
    }
}

/// A reference to store.
#[derive(Clone, Copy)]
pub struct NewReference<'a> {
    /// sha256 of the encoder's file, 64 lower-case hexadecimal digits: only its own probes are ever compared.
    pub encoder_sha256: &'a str,
    /// The encoder's output: 1 to [`MAX_DIM`] elements, length 1 (within [`MAX_NORM_ERROR`]).
    pub vector: &'a [f32],
    /// The picture it was made from (JPEG, at most [`MAX_PICTURE_BYTES`]), to encode it again for another encoder.
    pub picture: Option<&'a [u8]>,
}

impl fmt::Debug for NewReference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let picture_bytes = self.picture.map(<[u8]>::len);
        f.debug_struct("NewReference").field("dim", &self.vector.len()).field("picture_bytes", &picture_bytes).finish()
    }
}

impl Store {
    /// Enrols one person with one reference or more. All of it is stored, or nothing.
    ///
    /// # Errors
    /// [`StoreError::DuplicateId`], or what is wrong with the person or a reference.
    pub fn add_person(&mut self, new: &NewPerson<'_>, references: &[NewReference<'_>]) -> Result<PersonKey> {
        let keys = self.add_people([(*new, references)])?;
        keys.first().copied().ok_or_else(|| StoreError::NoReference { id: new.id.to_owned() })
    }

    /// Enrols many people in one transaction: all of them, or nobody. Far quicker than one by one.
    ///
    /// # Errors
    /// As [`Store::add_person`], for the first person at fault.
    pub fn add_people<'a, P>(&mut self, people: P) -> Result<Vec<PersonKey>>
    where
        P: IntoIterator<Item = (NewPerson<'a>, &'a [NewReference<'a>])>,
    {
        let now_ms = now_ms();
        self.change(|change| {
            let query = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'people'), 0) + 1";
            let next: i64 = change.tx.query_row(query, [], |row| row.get(0)).at(change.path)?;
            let mut added = Vec::new();
            let mut bound = Bound::default();
            for (key, (new, references)) in (next.max(change.next_person.into())..).zip(people) {
                check_person(&new, references)?;
                let taken =
                    change.tx.prepare_cached("SELECT 1 FROM people WHERE id = ?1").at(change.path)?.exists([new.id]);
                if taken.at(change.path)? {
                    return Err(StoreError::DuplicateId { id: new.id.to_owned() });
                }

                let key = u32::try_from(key).ok().filter(|key| *key < u32::MAX);
                let key = key.ok_or_else(|| StoreError::damaged(change.path, "no person keys are left"))?;
                change.next_person = key + 1;
                let (sealer, data_key) = Sealer::generate()?;
                let slot = change.place(&mut bound, key, new.id, &data_key)?;
                // The record is sealed to the references, so they come first; the database takes the row first.
                let mut list = ReferenceList::default();
                let sealed: Vec<_> = (1..)
                    .zip(references)
                    .map(|(number, reference)| {
                        SealedReference::new(&sealer, &mut bound, (key, new.id, number), reference)
                    })
                    .collect::<Result<_>>()?;
                sealed.iter().for_each(|reference| reference.list(&mut list, now_ms));
                let record = Record::new(new.name, new.admission, now_ms);
                let record = record.seal(&sealer, bound.record(key, new.id, &slot.mark, &list))?;
                let insert = "INSERT INTO people (person_key, id, slot, slot_mark, record) VALUES (?1, ?2, ?3, ?4, ?5)";
                let mut insert = change.tx.prepare_cached(insert).at(change.path)?;
                insert.execute((key, new.id, slot.number, slot.mark, &record)).at(change.path)?;
                sealed.iter().try_for_each(|reference| reference.insert(&change.tx, change.path, now_ms))?;
                added.push(PersonKey(key));
            }
            Ok(added)
        })
    }

    /// Stores one more reference of `id`; returns its number.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`], [`StoreError::TooManyReferences`], or what is wrong with the reference.
    pub fn add_reference(&mut self, id: &str, reference: &NewReference<'_>) -> Result<u32> {
        check_reference(id, reference)?;
        let now_ms = now_ms();
        self.change(|change| {
            let row = change.find(id)?;
            let (data_key, mut record) = change.open(&row)?;
            let query = "SELECT count(*), coalesce(max(number), 0) FROM refs WHERE person_key = ?1";
            let (count, last): (u32, u32) =
                change.tx.query_row(query, [row.key], |row| Ok((row.get(0)?, row.get(1)?))).at(change.path)?;
            if count as usize >= MAX_REFERENCES {
                return Err(StoreError::TooManyReferences { id: id.to_owned() });
            }

            let number = last.saturating_add(1);
            let (sealer, mut bound) = (Sealer::new(&data_key), Bound::default());
            let sealed = SealedReference::new(&sealer, &mut bound, (row.key, id, number), reference)?;
            sealed.insert(&change.tx, change.path, now_ms)?;
            record.touch(now_ms);
            change.replace(&row, &data_key, &record)?;
            Ok(number)
        })
    }
}

/// A reference as it is stored.
struct SealedReference<'a> {
    key: u32,
    number: u32,
    encoder: &'a str,
    vector: Vec<u8>,
    picture: Option<Vec<u8>>,
}

impl<'a> SealedReference<'a> {
    /// `place`: the person's key and id, and the reference's number.
    fn new(
        sealer: &Sealer,
        bound: &mut Bound,
        (key, id, number): (u32, &str, u32),
        reference: &NewReference<'a>,
    ) -> Result<Self> {
        let encoder = reference.encoder_sha256;
        let mut plain = Zeroizing::new(Vec::with_capacity(size_of_val(reference.vector)));
        reference.vector.iter().for_each(|value| plain.extend_from_slice(&value.to_le_bytes()));
        let vector = sealer.seal(bound.reference(key, id, encoder, number), &plain)?;
        let picture = reference.picture.map(|picture| sealer.seal(bound.picture(key, id, number), picture));
        Ok(Self { key, number, encoder, vector, picture: picture.transpose()? })
    }

    fn list(&self, list: &mut ReferenceList, now_ms: i64) {
        list.push(self.number, self.encoder, now_ms, &self.vector);
    }

    fn insert(&self, tx: &Transaction<'_>, path: &Path, now_ms: i64) -> Result<()> {
        let insert = "INSERT INTO refs (person_key, number, encoder, created_ms, vector) VALUES (?1, ?2, ?3, ?4, ?5)";
        let mut insert = tx.prepare_cached(insert).at(path)?;
        insert.execute((self.key, self.number, self.encoder, now_ms, &self.vector)).at(path)?;
        if let Some(picture) = &self.picture {
            let insert = "INSERT INTO pictures (person_key, number, picture) VALUES (?1, ?2, ?3)";
            tx.prepare_cached(insert).at(path)?.execute((self.key, self.number, picture)).at(path)?;
        }
        Ok(())
    }
}

fn check_person(new: &NewPerson<'_>, references: &[NewReference<'_>]) -> Result<()> {
    let id = || new.id.to_owned();
    new.check()?;
    if references.is_empty() {
        return Err(StoreError::NoReference { id: id() });
    }
    if references.len() > MAX_REFERENCES {
        return Err(StoreError::TooManyReferences { id: id() });
    }
    references.iter().try_for_each(|reference| check_reference(new.id, reference))
}

pub(crate) fn check_name(id: &str, name: &str) -> Result<()> {
    let long = name.chars().count() > MAX_NAME_CHARS;
    if name.trim().is_empty() || long || name.chars().any(is_command) {
        return Err(StoreError::BadName { id: id.to_owned() });
    }
    Ok(())
}

fn check_reference(id: &str, reference: &NewReference<'_>) -> Result<()> {
    let encoder = reference.encoder_sha256;
    if encoder.len() != 64 || !encoder.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(StoreError::BadEncoder { encoder: encoder.to_owned() });
    }
    let refuse = |what: String| Err(StoreError::BadVector { id: id.to_owned(), what });
    let vector = reference.vector;
    if vector.is_empty() || vector.len() > MAX_DIM {
        return refuse(format!("it has {} elements, 1 to {MAX_DIM} are possible", vector.len()));
    }
    if let Some(index) = vector.iter().position(|value| !value.is_finite()) {
        return refuse(format!("element {index} is not a finite number"));
    }
    let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if (norm - 1.0).abs() > f64::from(MAX_NORM_ERROR) {
        return refuse(format!("its length is {norm:.4}, it must be 1 (within {MAX_NORM_ERROR})"));
    }
    match reference.picture.map(<[u8]>::len) {
        Some(bytes) if bytes > MAX_PICTURE_BYTES => Err(StoreError::PictureTooLarge { id: id.to_owned(), bytes }),
        _ => Ok(()),
    }
}

/// Now, Unix milliseconds.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}
