//! Loading the gallery: every reference of one encoder, opened and packed, in one ordered pass.

use std::fmt;

use gate_core::person::{Access, PersonKey};
use rusqlite::Row;
use zeroize::Zeroizing;

use crate::Result;
use crate::error::SqlAt;
use crate::people::{PERSON_COLUMNS, PersonRow, Record};
use crate::seal::{Bound, Sealer};
use crate::slots::Slots;
use crate::store::{Keys, NoKey, Store};

/// The references of one encoder, and whose they are. What did not open is not in it.
#[derive(Clone, Default, PartialEq)]
pub struct StoredGallery {
    /// Elements of a vector.
    pub dim: usize,
    /// The vectors, one after the other: row `i` is `references[i * dim..][..dim]`.
    pub references: Vec<f32>,
    /// Whose each row is, ascending; as long as there are rows.
    pub owners: Vec<PersonKey>,
    /// Everybody with at least one row, by key.
    pub people: Vec<GalleryPerson>,
    /// References made by other encoders: not loaded, to be encoded again.
    pub foreign: usize,
    /// Ids of people with a row that did not open or is of another length: altered, moved, or without its key.
    /// That row is not loaded; when it is the person's record, none of the person's rows is.
    pub damaged: Vec<String>,
    /// People erased, whose rows came back with an older copy of the database: not loaded. Remove them again.
    pub erased: usize,
}

impl fmt::Debug for StoredGallery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredGallery")
            .field("dim", &self.dim)
            .field("rows", &self.owners.len())
            .field("people", &self.people.len())
            .field("foreign", &self.foreign)
            .field("damaged", &self.damaged)
            .field("erased", &self.erased)
            .finish_non_exhaustive()
    }
}

/// Somebody whom the gallery's rows may belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GalleryPerson {
    /// The person's number.
    pub key: PersonKey,
    /// The id staff chose.
    pub id: String,
    /// Whether and when the person may come in.
    pub access: Access,
}

impl Store {
    /// Loads every reference made by the encoder with this sha256, of `dim` elements each. One consistent moment,
    /// whatever a writer does meanwhile. The vectors are as they were stored: of length 1.
    ///
    /// # Errors
    /// What SQLite or the system says. Rows that do not open are no error: see [`StoredGallery::damaged`].
    pub fn gallery(&self, encoder_sha256: &str, dim: usize) -> Result<StoredGallery> {
        let tx = self.conn.unchecked_transaction().at(&self.path)?;
        // Reading begins the snapshot; the slots are read after it, so they hold the keys of all its people.
        let rows: u32 = tx.query_row("SELECT count(*) FROM refs", [], |row| row.get(0)).at(&self.path)?;
        let slots = self.slots.read()?;
        let mut loader = Loader::new(&self.keys, &slots, encoder_sha256, dim, rows as usize);
        let query = format!(
            "SELECT {PERSON_COLUMNS}, r.number, r.encoder, r.vector \
             FROM people p LEFT JOIN refs r USING (person_key) ORDER BY p.person_key, r.number"
        );
        let mut query = tx.prepare_cached(&query).at(&self.path)?;
        let mut rows = query.query([]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            loader.take(row).at(&self.path)?;
        }
        Ok(loader.gallery)
    }
}

/// Takes the joined rows one by one. Buffers are used again from row to row.
struct Loader<'a> {
    keys: &'a Keys,
    slots: &'a Slots,
    encoder: &'a str,
    gallery: StoredGallery,
    /// The person whose rows are being taken.
    key: Option<u32>,
    current: Option<(GalleryPerson, Sealer)>,
    bound: Bound,
    plain: Zeroizing<Vec<u8>>,
}

impl<'a> Loader<'a> {
    fn new(keys: &'a Keys, slots: &'a Slots, encoder: &'a str, dim: usize, rows: usize) -> Self {
        let mut gallery = StoredGallery { dim, ..StoredGallery::default() };
        gallery.references.reserve(rows.saturating_mul(dim));
        gallery.owners.reserve(rows);
        let plain = Zeroizing::new(Vec::with_capacity(dim.saturating_mul(size_of::<f32>()).max(1024)));
        Self { keys, slots, encoder, gallery, key: None, current: None, bound: Bound::default(), plain }
    }

    fn take(&mut self, row: &Row<'_>) -> rusqlite::Result<()> {
        let key: u32 = row.get(0)?;
        if self.key != Some(key) {
            self.key = Some(key);
            let person = PersonRow::read(row)?;
            self.current = match self.open_person(&person) {
                Ok(opened) => Some(opened),
                Err(NoKey::Erased) => {
                    self.gallery.erased += 1;
                    None
                }
                Err(NoKey::Damaged) => {
                    self.gallery.damaged.push(person.id);
                    None
                }
            };
        }
        let Some(number) = row.get::<_, Option<u32>>(5)? else { return Ok(()) };
        if row.get_ref(6)?.as_str()? != self.encoder {
            self.gallery.foreign += 1;
            return Ok(());
        }
        self.take_reference(number, row.get_ref(7)?.as_blob()?);
        Ok(())
    }

    fn open_person(&mut self, row: &PersonRow) -> std::result::Result<(GalleryPerson, Sealer), NoKey> {
        let sealer = self.keys.unwrap(&mut self.bound, self.slots, &row.slot, row.key, &row.id)?;
        let bound = self.bound.record(row.key, &row.id);
        let record = Record::open(&sealer, bound, &row.record, &mut self.plain).ok_or(NoKey::Damaged)?;
        let person = GalleryPerson { key: PersonKey(row.key), id: row.id.clone(), access: record.access() };
        Ok((person, sealer))
    }

    fn take_reference(&mut self, number: u32, sealed: &[u8]) {
        let Some((person, sealer)) = &self.current else { return };
        let gallery = &mut self.gallery;
        let bound = self.bound.reference(person.key.0, &person.id, self.encoder, number);
        let opened = sealer.open(bound, sealed, &mut self.plain);
        if !opened || self.plain.len() != gallery.dim * size_of::<f32>() {
            if gallery.damaged.last() != Some(&person.id) {
                gallery.damaged.push(person.id.clone());
            }
            return;
        }
        let (values, _) = self.plain.as_chunks::<4>();
        gallery.references.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        gallery.owners.push(person.key);
        if gallery.people.last().is_none_or(|last| last.key != person.key) {
            gallery.people.push(person.clone());
        }
    }
}
