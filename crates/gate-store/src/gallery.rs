//! Loading the gallery: every reference of one encoder, opened and packed, in one ordered pass.
//!
//! Opening takes several times as long as reading, so it is shared out: this thread reads, others open. And what is
//! unchanged since the last time is not opened again: it is the same memory, shared. Where the system has no thread to
//! give, the thread that reads opens as well.
//!
//! ```text
//!                                                       ┌─ digest known ──▶ the part that is there ─┐
//! SQLite, one snapshot ──rows──▶ sealed people, by key ─┤                                           ├─▶ in order
//!                                                       └─ another ──▶ opened, each on a thread ────┘
//! ```

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};
use std::{fmt, mem, thread};

use gate_core::person::{Access, PersonKey};
use rusqlite::Row;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::day::zone_rules_mark;
use crate::epoch::Count;
use crate::error::SqlAt;
use crate::keys::{Keys, NoKey};
use crate::people::{PERSON_COLUMNS, PersonRow, Record};
use crate::seal::{Bound, ReferenceList, Sealer};
use crate::slots::{Slot, Slots};
use crate::store::Store;
use crate::{Result, StoreError};

/// People of so many keys make a part: what one thread opens at once, in some tens of milliseconds, and what is opened anew
/// when one of them changes. Fewer would make searches among very many people slower, by more and shorter reads.
const PART_KEYS: u32 = 4096;
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
    /// That row is not loaded; when it is the person's record, or the record is sealed to other references, none of the
    /// person's rows is.
    pub damaged: Vec<String>,
    /// People whose key was destroyed, and whose rows came back: not loaded.
    pub erased: usize,
    /// When the newest record that opens was written, Unix milliseconds.
    pub newest_ms: Option<i64>,
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
    /// Whether the person stood before a camera, live, and agreed with every reference.
    pub confirmed: bool,
}

/// Some of the people, as the caller keeps them.
#[derive(Debug)]
pub struct Part<T> {
    /// Which: the keys divided by [`PART_KEYS`].
    number: u32,
    /// Of all that it was made from.
    digest: [u8; 32],
    /// Its people, as they count in the register.
    count: Count,
    /// What the caller made of them.
    pub value: Arc<T>,
}

impl<T> Part<T> {
    /// One that was not loaded from a store, and so never counts as known.
    #[must_use]
    pub fn of(value: T) -> Self {
        Self { number: 0, digest: [0; 32], count: Count::default(), value: Arc::new(value) }
    }
}

impl Store {
    /// Loads every reference made by the encoder with this sha256, of `dim` elements each. One consistent moment,
    /// whatever a writer does meanwhile. The vectors are as they were stored: of length 1.
    ///
    /// # Errors
    /// What SQLite or the system says; [`crate::StoreError::RolledBack`] when rows are missing, older or of another
    /// store's past. Rows that do not open are no error: see [`StoredGallery::damaged`].
    pub fn gallery(&self, encoder_sha256: &str, dim: usize) -> Result<StoredGallery> {
        let parts = self.parts(encoder_sha256, dim, &[], |part| part)?;
        let mut gallery = StoredGallery { dim, ..StoredGallery::default() };
        parts.into_iter().filter_map(|part| Arc::into_inner(part.value)).for_each(|part| gallery.append(part));
        Ok(gallery)
    }

    /// The same in parts, by person's key, each as `make` makes it out of what was opened. A part that is among the
    /// `known` ones and has not changed is that one: it is neither opened nor made again. So `make` must be what it was when
    /// those were made.
    ///
    /// # Errors
    /// As [`Store::gallery`].
    pub fn parts<T: Send + Sync>(
        &self,
        encoder_sha256: &str,
        dim: usize,
        known: &[Part<T>],
        make: impl Fn(StoredGallery) -> T + Sync,
    ) -> Result<Vec<Part<T>>> {
        let _reading = self.deadline.begin();
        let snapshot = self.snapshot()?;
        let (tx, slots) = (&snapshot.tx, &snapshot.slots);
        let opener = Opener { keys: &self.keys, slots, encoder: encoder_sha256, dim };
        let path = self.path.as_path();
        let part = |batch: Batch| {
            let open = AssertUnwindSafe(|| {
                let (number, digest) = (batch.number, opener.digest(&batch));
                let same = known.iter().find(|part| (part.number, part.digest) == (number, digest));
                let count = same.map_or_else(|| opener.count(&batch), |part| part.count);
                let value = same.map_or_else(|| Arc::new(make(opener.open(batch))), |part| Arc::clone(&part.value));
                Part { number, digest, count, value }
            });
            // A panic must not end the thread that keeps the gate's people up to date.
            catch_unwind(open).map_err(|panic| broken(path, &*panic))
        };
        let query = format!(
            "SELECT {PERSON_COLUMNS}, r.number, r.encoder, r.vector, r.created_ms \
             FROM people p LEFT JOIN refs r USING (person_key) ORDER BY p.person_key, r.number"
        );
        let mut query = tx.prepare_cached(&query).at(&self.path)?;
        let mut rows = query.query([]).at(&self.path)?;
        let mut parts = Vec::new();
        thread::scope(|scope| {
            let openers = openers();
            let mut opening: VecDeque<Opening<'_, Part<T>>> = VecDeque::with_capacity(openers);
            let mut batch = Batch::default();
            while let Some(row) = rows.next().at(&self.path)? {
                let number = row.get::<_, u32>(0).at(&self.path)? / PART_KEYS;
                if number != batch.number && !batch.people.is_empty() {
                    // Memory holds as many batches as there are threads, not the whole database.
                    while opening.len() >= openers
                        && let Some(first) = opening.pop_front()
                    {
                        parts.push(first.finish(path)?);
                    }
                    opening.push_back(Opening::start(scope, mem::take(&mut batch), &part));
                }
                batch.number = number;
                batch.take(row, encoder_sha256).at(&self.path)?;
            }
            let last = (!batch.people.is_empty()).then(|| part(batch));
            for part in opening.into_iter().map(|part| part.finish(path)).chain(last) {
                parts.push(part?);
            }
            Ok(())
        })?;
        let mut count = Count::default();
        parts.iter().for_each(|part| count.merge(part.count));
        self.account(&snapshot, count)?;
        Ok(parts)
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
        self.newest_ms = self.newest_ms.max(later.newest_ms);
    }
}

/// Threads that open; the one that reads waits for them most of the time.
fn openers() -> usize {
    thread::available_parallelism().map_or(1, usize::from).min(MAX_OPENERS)
}

/// A batch that is being opened.
enum Opening<'scope, T> {
    Elsewhere(ScopedJoinHandle<'scope, Result<T>>),
    Done(Result<T>),
}

impl<'scope, T: Send + 'scope> Opening<'scope, T> {
    /// Opens the batch on a thread of its own, or right here when the system has none to give.
    fn start<F>(scope: &'scope Scope<'scope, '_>, batch: Batch, open: &'scope F) -> Self
    where
        F: Fn(Batch) -> Result<T> + Sync,
    {
        // A closure that was not run is dropped with all that it owns, so the batch stays out of it.
        let batch = Arc::new(Mutex::new(batch));
        let take = |batch: &Mutex<Batch>| mem::take(&mut *batch.lock().unwrap_or_else(PoisonError::into_inner));
        let theirs = Arc::clone(&batch);
        match Builder::new().name("opener".into()).spawn_scoped(scope, move || open(take(&theirs))) {
            Ok(thread) => Opening::Elsewhere(thread),
            Err(_) => Opening::Done(open(take(&batch))),
        }
    }

    fn finish(self, path: &Path) -> Result<T> {
        match self {
            Opening::Done(opened) => opened,
            Opening::Elsewhere(thread) => thread.join().unwrap_or_else(|panic| Err(broken(path, &*panic))),
        }
    }
}

/// A panic while people from `path` were opened, as an error with its words.
fn broken(path: &Path, panic: &(dyn Any + Send)) -> StoreError {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    StoreError::Broken { path: path.to_path_buf(), what: text.unwrap_or_else(|| "a panic without words".to_owned()) }
}

/// People of one part as they are stored, in order.
#[derive(Default)]
struct Batch {
    number: u32,
    people: Vec<SealedPerson>,
    /// References of another encoder, which are left where they are.
    foreign: usize,
}

struct SealedPerson {
    row: PersonRow,
    /// All references, those of other encoders too: the record is sealed to them.
    list: ReferenceList,
    references: Vec<SealedReference>,
}

struct SealedReference {
    number: u32,
    vector: Vec<u8>,
}

impl Batch {
    /// Whether the joined row is somebody else's than the last one.
    fn is_next(&self, row: &Row<'_>) -> rusqlite::Result<bool> {
        let key: u32 = row.get(0)?;
        Ok(self.people.last().is_none_or(|last| last.row.key != key))
    }

    fn take(&mut self, row: &Row<'_>, encoder: &str) -> rusqlite::Result<()> {
        if self.is_next(row)? {
            let row = PersonRow::read(row)?;
            self.people.push(SealedPerson { row, list: ReferenceList::default(), references: Vec::new() });
        }
        let Some(number) = row.get::<_, Option<u32>>(5)? else { return Ok(()) };
        let Some(person) = self.people.last_mut() else { return Ok(()) };
        let (made_by, vector) = (row.get_ref(6)?.as_str()?, row.get_ref(7)?.as_blob()?);
        person.list.push(number, made_by, row.get(8)?, vector);
        if made_by == encoder {
            person.references.push(SealedReference { number, vector: vector.to_vec() });
        } else {
            self.foreign += 1;
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
    /// Of everything that opening this looks at: the store, the encoder, the sealed rows, whose they are, their wrapped keys.
    fn digest(&self, batch: &Batch) -> [u8; 32] {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        put(&self.keys.store_mark);
        put(&zone_rules_mark().to_le_bytes());
        put(self.encoder.as_bytes());
        put(&(self.dim as u64).to_le_bytes());
        put(&(batch.foreign as u64).to_le_bytes());
        for SealedPerson { row, list, references } in &batch.people {
            put(&row.key.to_le_bytes());
            put(row.id.as_bytes());
            put(&row.slot.number.to_le_bytes());
            put(&row.slot.mark);
            put(&row.record);
            put(list.as_bytes());
            match self.slots.get(&row.slot) {
                Slot::Key(wrapped) => put(wrapped),
                Slot::Erased => put(b"erased"),
                Slot::Missing => put(b"missing"),
            }
            put(&(references.len() as u64).to_le_bytes());
            for reference in references {
                put(&reference.number.to_le_bytes());
                put(&reference.vector);
            }
        }
        hash.finalize().into()
    }

    /// Its people, as they count in the register.
    fn count(&self, batch: &Batch) -> Count {
        let mut count = Count::default();
        batch.people.iter().for_each(|SealedPerson { row, .. }| count.add(self.keys.term(row.key, &row.id, &row.slot)));
        count
    }

    /// Opens people and their references. Buffers are used again from one to the next.
    fn open(self, batch: Batch) -> StoredGallery {
        let rows: usize = batch.people.iter().map(|person| person.references.len()).sum();
        let mut gallery = StoredGallery {
            dim: self.dim,
            references: Vec::with_capacity(rows.saturating_mul(self.dim)),
            owners: Vec::with_capacity(rows),
            foreign: batch.foreign,
            ..StoredGallery::default()
        };
        let mut bound = Bound::default();
        let mut plain = Zeroizing::new(Vec::with_capacity(self.dim.saturating_mul(size_of::<f32>()).max(1024)));
        for SealedPerson { row, list, references } in batch.people {
            match self.open_person(&row, &list, &mut bound, &mut plain) {
                Ok((record, sealer)) => {
                    gallery.newest_ms = gallery.newest_ms.max(Some(record.newest_ms()));
                    let (access, confirmed) = (record.access(), record.is_confirmed());
                    let person = GalleryPerson { key: PersonKey(row.key), id: row.id, access, confirmed };
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
        list: &ReferenceList,
        bound: &mut Bound,
        plain: &mut Vec<u8>,
    ) -> std::result::Result<(Record, Sealer), NoKey> {
        let sealer = Sealer::new(&*self.keys.unwrap(bound, self.slots, &row.slot, row.key, &row.id)?);
        let bound = bound.record(row.key, &row.id, &row.slot.mark, list);
        let record = Record::open(&sealer, bound, &row.record, plain).ok_or(NoKey::Damaged)?;
        Ok((record, sealer))
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
