//! Loading the gallery: every reference of one encoder, opened and packed, in one ordered pass.
//!
//! Opening takes several times as long as reading, so it is shared out: this thread reads, others open.
//!
//! ```text
//! SQLite, one snapshot ──rows──▶ batches of sealed people ──▶ opened, each on a thread ──▶ in order, one gallery
//! ```

use std::collections::VecDeque;
use std::thread::ScopedJoinHandle;
use std::{fmt, mem, panic, thread};

use gate_core::person::{Access, PersonKey};
use rusqlite::Row;
use zeroize::Zeroizing;

use crate::Result;
use crate::error::SqlAt;
use crate::people::{PERSON_COLUMNS, PersonRow, Record};
use crate::seal::{Bound, Sealer};
use crate::slots::Slots;
use crate::store::{Keys, NoKey, Store};

/// People opened at once by one thread: some milliseconds' work, and a megabyte.
const BATCH_PEOPLE: usize = 1024;
/// A gate has other things to do as well.
const MAX_OPENERS: usize = 4;

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
        let opener = Opener { keys: &self.keys, slots: &slots, encoder: encoder_sha256, dim };
        let mut gallery = opener.gallery(rows as usize);
        let query = format!(
            "SELECT {PERSON_COLUMNS}, r.number, r.encoder, r.vector \
             FROM people p LEFT JOIN refs r USING (person_key) ORDER BY p.person_key, r.number"
        );
        let mut query = tx.prepare_cached(&query).at(&self.path)?;
        let mut rows = query.query([]).at(&self.path)?;
        thread::scope(|scope| {
            let openers = openers();
            let mut opening = VecDeque::with_capacity(openers);
            let mut batch = Batch::default();
            while let Some(row) = rows.next().at(&self.path)? {
                if batch.is_full() && batch.ends_before(row).at(&self.path)? {
                    // Memory holds as many batches as there are threads, not the whole database.
                    while opening.len() >= openers
                        && let Some(first) = opening.pop_front()
                    {
                        gallery.append(join(first));
                    }
                    let full = mem::take(&mut batch);
                    opening.push_back(scope.spawn(move || opener.open(full)));
                }
                batch.take(row, encoder_sha256).at(&self.path)?;
            }
            let last = opener.open(batch);
            opening.into_iter().for_each(|opening| gallery.append(join(opening)));
            gallery.append(last);
            Ok(gallery)
        })
    }
}

impl StoredGallery {
    /// Adds people who come after all that are there.
    fn append(&mut self, mut later: Self) {
        self.references.append(&mut later.references);
        self.owners.append(&mut later.owners);
        self.people.append(&mut later.people);
        self.damaged.append(&mut later.damaged);
        self.foreign += later.foreign;
        self.erased += later.erased;
    }
}

/// Threads that open; the one that reads waits for them most of the time.
fn openers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_OPENERS)
}

fn join(opening: ScopedJoinHandle<'_, StoredGallery>) -> StoredGallery {
    opening.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
}

/// People as they are stored, in order.
#[derive(Default)]
struct Batch {
    people: Vec<SealedPerson>,
    /// References of another encoder, which are left where they are.
    foreign: usize,
}

struct SealedPerson {
    row: PersonRow,
    references: Vec<SealedReference>,
}

struct SealedReference {
    number: u32,
    vector: Vec<u8>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.people.len() >= BATCH_PEOPLE
    }

    /// Whether the joined row is somebody else's than the last one.
    fn ends_before(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let key: u32 = row.get(0)?;
        Ok(self.people.last().is_none_or(|last| last.row.key != key))
    }

    fn take(&mut self, row: &Row<'_>, encoder: &str) -> rusqlite::Result<()> {
        if self.ends_before(row)? {
            self.people.push(SealedPerson { row: PersonRow::read(row)?, references: Vec::new() });
        }
        let Some(number) = row.get::<_, Option<u32>>(5)? else { return Ok(()) };
        if row.get_ref(6)?.as_str()? != encoder {
            self.foreign += 1;
            return Ok(());
        }
        let vector = row.get_ref(7)?.as_blob()?.to_vec();
        if let Some(person) = self.people.last_mut() {
            person.references.push(SealedReference { number, vector });
        }
        Ok(())
    }
}

/// What opening takes.
#[derive(Clone, Copy)]
struct Opener<'a> {
    keys: &'a Keys,
    slots: &'a Slots,
    encoder: &'a str,
    dim: usize,
}

impl Opener<'_> {
    fn gallery(&self, rows: usize) -> StoredGallery {
        let mut gallery = StoredGallery { dim: self.dim, ..StoredGallery::default() };
        gallery.references.reserve(rows.saturating_mul(self.dim));
        gallery.owners.reserve(rows);
        gallery
    }

    /// Opens people and their references. Buffers are used again from one to the next.
    fn open(self, batch: Batch) -> StoredGallery {
        let mut gallery = self.gallery(batch.people.iter().map(|person| person.references.len()).sum());
        gallery.foreign = batch.foreign;
        let mut bound = Bound::default();
        let mut plain = Zeroizing::new(Vec::with_capacity(self.dim.saturating_mul(size_of::<f32>()).max(1024)));
        for SealedPerson { row, references } in batch.people {
            match self.open_person(&row, &mut bound, &mut plain) {
                Ok((access, sealer)) => {
                    let person = GalleryPerson { key: PersonKey(row.key), id: row.id, access };
                    self.open_references(person, &sealer, &references, &mut gallery, (&mut bound, &mut plain));
                }
                Err(NoKey::Erased) => gallery.erased += 1,
                Err(NoKey::Damaged) => gallery.damaged.push(row.id),
            }
        }
        gallery
    }

    fn open_person(
        &self,
        row: &PersonRow,
        bound: &mut Bound,
        plain: &mut Vec<u8>,
    ) -> std::result::Result<(Access, Sealer), NoKey> {
        let sealer = self.keys.unwrap(bound, self.slots, &row.slot, row.key, &row.id)?;
        let record = Record::open(&sealer, bound.record(row.key, &row.id), &row.record, plain).ok_or(NoKey::Damaged)?;
        Ok((record.access(), sealer))
    }

    fn open_references(
        &self,
        person: GalleryPerson,
        sealer: &Sealer,
        references: &[SealedReference],
        gallery: &mut StoredGallery,
        (bound, plain): (&mut Bound, &mut Vec<u8>),
    ) {
        let (mut opened, mut damaged) = (false, false);
        for SealedReference { number, vector } in references {
            let bound = bound.reference(person.key.0, &person.id, self.encoder, *number);
            if !sealer.open(bound, vector, plain) || plain.len() != self.dim * size_of::<f32>() {
                damaged = true;
                continue;
            }
            let (values, _) = plain.as_chunks::<4>();
            gallery.references.extend(values.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            gallery.owners.push(person.key);
            opened = true;
        }
        if damaged {
            gallery.damaged.push(person.id.clone());
        }
        if opened {
            gallery.people.push(person);
        }
    }
}
