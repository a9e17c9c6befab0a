//! The epoch: how older bytes in either file are noticed.
//!
//! Each change of the store raises the epoch by one. Both files carry it, sealed with the site key:
//!
//! ```text
//!  people.keys   head       epoch, the epoch before, phase, next person's key
//!  people.db     register   epoch, number of people, sum over (person, id, slot, mark) of all of them
//!  anchor                   highest epoch seen, outside the store folder (anchor.rs)
//! ```
//!
//! | put back | what shows it |
//! |---|---|
//! | an old `people.db` | its register's epoch is behind the head; rows name slots that are erased |
//! | an old `people.keys` | its head is behind the register |
//! | both | the register is behind the anchor |
//! | an old `record` column, or old references | the record is sealed to the slot's mark and to its references |
//! | a whole old row | its slot is erased, and the sum differs |
//! | a row less | the sum differs, and its slot belongs to nobody |
//!
//! **Versions.** Each change of a person takes a new slot, with a new mark, and erases the one before. So the mark is the
//! version, and an older version has lost its key.
//!
//! **Order of a change**, under the database's write lock and this module's locks:
//!
//! ```text
//!  new slots ─▶ head: intent(E → E+1) ─sync─▶ commit, register E+1 ─▶ head: committed ─▶ old slots erased ─sync─▶ head: clean ─▶ anchor
//! ```
//!
//! Cut short before the commit, the database is one step behind an intent: that is no rollback, since nothing was erased,
//! and readers accept it. Cut short after it, everything has its key, and old slots may be left. The next writer erases
//! what belongs to nobody, once the sum has proved that no row is missing. Epochs are never used twice.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rusqlite::Transaction;

use crate::anchor::Number;
use crate::error::SqlAt;
use crate::keys::{DataKey, Keys};
use crate::people::{PERSON_COLUMNS, PersonRow, find, write_transaction};
use crate::seal::{Bound, SEAL_BYTES, random};
use crate::slots::{Mark, SlotBlocks, SlotRef, Slots};
use crate::store::Store;
use crate::{MAX_ID_CHARS, Result, StoreError};

const HEAD_PLAIN_BYTES: usize = 8 + 8 + 1 + 4;
/// Bytes of a sealed head.
pub(crate) const HEAD_BYTES: usize = HEAD_PLAIN_BYTES + SEAL_BYTES;
/// How long a writer waits for another one to finish.
const WRITER_MAX: Duration = Duration::from_secs(5);
/// What an owner's decision adds to the epoch: whatever was made after the accepted copy is older from then on.
const RESTORED: u64 = 1 << 32;
const NOT_AS_LEFT: &str = "not as it was left: rows were deleted, added or exchanged";

/// How far the change that led to an epoch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Its slots are there; the database may have it or not.
    Intent,
    /// The database has it; slots that belong to nobody may be left.
    Committed,
    /// Nothing is left to do.
    Clean,
}

/// The sealed state of `people.keys`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: u64,
    /// The database's epoch before the change.
    pub(crate) base: u64,
    pub(crate) phase: Phase,
    /// The next person gets at least this key: keys are not used again, not even after an old database came back.
    pub(crate) next_person: u32,
}

impl Head {
    /// Later heads are greater.
    pub(crate) fn order(&self) -> (u64, Phase) {
        (self.epoch, self.phase)
    }

    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.epoch.to_le_bytes().to_vec();
        bytes.extend(self.base.to_le_bytes());
        bytes.push(self.phase as u8);
        bytes.extend(self.next_person.to_le_bytes());
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<8>()?;
        let (base, rest) = rest.split_first_chunk::<8>()?;
        let (phase, rest) = rest.split_first()?;
        let phase = *[Phase::Intent, Phase::Committed, Phase::Clean].get(usize::from(*phase))?;
        let next_person = u32::from_le_bytes(rest.try_into().ok()?);
        Some(Self { epoch: u64::from_le_bytes(*epoch), base: u64::from_le_bytes(*base), phase, next_person })
    }
}

/// The sealed state of `people.db`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Register {
    pub(crate) epoch: u64,
    pub(crate) count: Count,
}

/// Who is in the register: how many, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    people: u32,
    sum: Sum,
}

impl Count {
    /// Counts somebody in.
    pub(crate) fn add(&mut self, term: Sum) {
        self.people = self.people.wrapping_add(1);
        self.sum.add(term);
    }

    /// Counts somebody out.
    pub(crate) fn subtract(&mut self, term: Sum) {
        self.people = self.people.wrapping_sub(1);
        self.sum.subtract(term);
    }

    /// Counts others in.
    pub(crate) fn merge(&mut self, others: Count) {
        self.people = self.people.wrapping_add(others.people);
        self.sum.add(others.sum);
    }
}

impl Register {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.epoch.to_le_bytes().to_vec();
        bytes.extend(self.count.people.to_le_bytes());
        bytes.extend(self.count.sum.0.iter().flat_map(|limb| limb.to_le_bytes()));
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (epoch, rest) = bytes.split_first_chunk::<8>()?;
        let (people, rest) = rest.split_first_chunk::<4>()?;
        let sum = Sum::from_bytes(rest.try_into().ok()?);
        let count = Count { people: u32::from_le_bytes(*people), sum };
        Some(Self { epoch: u64::from_le_bytes(*epoch), count })
    }
}

/// A sum of keyed hashes modulo 2^256 (MSet-Add-Hash, Clarke et al. 2003): it changes with each person by itself, and
/// without the key nobody finds other people with the same sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum([u64; 4]);

impl Sum {
    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Self {
        let (limbs, _) = bytes.as_chunks::<8>();
        let mut sum = Self::default();
        sum.0.iter_mut().zip(limbs).for_each(|(limb, bytes)| *limb = u64::from_le_bytes(*bytes));
        sum
    }

    pub(crate) fn add(&mut self, other: Sum) {
        let mut carry = false;
        for (limb, term) in self.0.iter_mut().zip(other.0) {
            let (partly, first) = limb.overflowing_add(term);
            let (whole, second) = partly.overflowing_add(u64::from(carry));
            (*limb, carry) = (whole, first || second);
        }
    }

    pub(crate) fn subtract(&mut self, other: Sum) {
        let mut borrow = false;
        for (limb, term) in self.0.iter_mut().zip(other.0) {
            let (partly, first) = limb.overflowing_sub(term);
            let (whole, second) = partly.overflowing_sub(u64::from(borrow));
            (*limb, borrow) = (whole, first || second);
        }
    }
}

/// One consistent moment of both files.
pub(crate) struct Snapshot<'a> {
    pub(crate) tx: Transaction<'a>,
    pub(crate) slots: Slots,
    pub(crate) register: Register,
}

impl Store {
    /// One consistent moment of both files, proved to be no older than what this machine has seen.
    pub(crate) fn snapshot(&self) -> Result<Snapshot<'_>> {
        let _locked = self.slots.lock_to_read()?;
        let tx = self.conn.unchecked_transaction().at(&self.path)?;
        // Reading begins the database's snapshot. The file may be another than the one that was opened.
        self.shape.check(&tx, &self.path)?;
        let register = self.keys.register(&tx, &self.path)?;
        let slots = self.slots.read()?;
        self.judge(&tx, &slots, &register)?;
        // Whoever may not write there leaves it to staff's tool, which has raised it before it acknowledged.
        let _ = self.anchor.raise(Number::Epoch, register.epoch);
        Ok(Snapshot { tx, slots, register })
    }

    /// Refuses a register that is not of the present. Returns the head and the copy to write next.
    pub(crate) fn judge(&self, tx: &Transaction<'_>, slots: &Slots, register: &Register) -> Result<(Head, usize)> {
        let Some((head, next)) = self.keys.head(slots) else {
            return Err(StoreError::damaged(self.slots.path(), "neither copy of its sealed head opens"));
        };
        let (db, keys) = (&self.path, self.slots.path());
        let interrupted = head.phase == Phase::Intent && register.epoch == head.base;
        if register.epoch < head.epoch && !interrupted {
            let what = format!("{} than {}", behind(register.epoch, head.epoch), keys.display());
            return Err(self.rolled_back(db, what, tx, slots));
        }
        if register.epoch > head.epoch {
            let what = format!("{} than {}", behind(head.epoch, register.epoch), db.display());
            return Err(self.rolled_back(keys, what, tx, slots));
        }
        let seen = self.anchor.epoch_of(&self.keys.store_mark)?.ok_or_else(|| self.anchor.fault("is missing"))?;
        if register.epoch < seen {
            let what = format!("{} than this machine has seen it", behind(register.epoch, seen));
            return Err(self.rolled_back(db, what, tx, slots));
        }
        Ok((head, next))
    }

    /// Refuses rows whose sum is not the register's: some are missing, older, or were never there.
    pub(crate) fn account(&self, snapshot: &Snapshot<'_>, found: Count) -> Result<()> {
        if found == snapshot.register.count {
            return Ok(());
        }
        Err(self.rolled_back(&self.path, NOT_AS_LEFT.to_owned(), &snapshot.tx, &snapshot.slots))
    }

    fn rolled_back(&self, path: &Path, what: String, tx: &Transaction<'_>, slots: &Slots) -> StoreError {
        // The fault stands, whether or not the people can be named.
        let people = concerned(&self.keys, tx, &self.path, slots).unwrap_or_default();
        StoreError::RolledBack { path: path.to_path_buf(), what, people }
    }

    /// Makes a change of the store, all of it or nothing, and raises the epoch.
    pub(crate) fn change<T>(&mut self, act: impl FnOnce(&mut Change<'_>) -> Result<T>) -> Result<T> {
        let _writer = lock_folder(&self.path)?;
        // The lock from the start: read, decide, write, with nobody in between.
        let tx = write_transaction(&self.conn, &self.path)?;
        let slots = self.slots.read()?;
        let register = self.keys.register(&tx, &self.path)?;
        let (head, next) = self.judge(&tx, &slots, &register)?;
        let mut change = Change {
            tx,
            path: &self.path,
            keys: &self.keys,
            free: Box::new(slots.free()),
            slots,
            register,
            next_person: head.next_person,
            blocks: SlotBlocks::default(),
            retired: Vec::new(),
        };
        if head.phase != Phase::Clean {
            change.sweep()?;
        }
        let done = act(&mut change)?;
        let epoch = head.epoch.saturating_add(1);
        self.finish(change, epoch, next)?;
        Ok(done)
    }

    /// Makes what `act` leaves the present, whatever both files were before. The owner's decision: see `restore.rs`.
    pub(crate) fn overrule<T>(&mut self, act: impl FnOnce(&mut Change<'_>) -> Result<T>) -> Result<T> {
        let _writer = lock_folder(&self.path)?;
        let tx = write_transaction(&self.conn, &self.path)?;
        let slots = self.slots.read()?;
        let register = self.keys.register(&tx, &self.path).unwrap_or_default();
        let (head, next) = self.keys.head(&slots).map_or((None, 0), |(head, next)| (Some(head), next));
        let seen = self.anchor.epoch_of(&self.keys.store_mark).ok().flatten();
        let newest = register.epoch.max(head.map_or(0, |head| head.epoch)).max(seen.unwrap_or(0));
        let mut change = Change {
            tx,
            path: &self.path,
            keys: &self.keys,
            free: Box::new(slots.free()),
            retired: slots.taken().collect(),
            slots,
            // Cut short before the commit, the store stays locked: no database has this epoch.
            register: Register { epoch: u64::MAX, ..Register::default() },
            next_person: head.map_or(1, |head| head.next_person),
            blocks: SlotBlocks::default(),
        };
        let done = act(&mut change)?;
        self.finish(change, (newest / RESTORED + 1) * RESTORED, next)?;
        Ok(done)
    }

    /// Writes both files, in the order that survives a cut at any point.
    fn finish(&self, change: Change<'_>, epoch: u64, next: usize) -> Result<()> {
        let Change { tx, mut register, next_person, blocks, retired, .. } = change;
        let mut head = Head { epoch, base: register.epoch, phase: Phase::Intent, next_person };
        register.epoch = epoch;
        let retired: Vec<u32> = retired.iter().map(|slot| slot.number).collect();

        let locked = self.slots.lock_to_write()?;
        self.slots.write(&blocks)?;
        self.slots.write_head(next, &self.keys.seal_head(&head)?)?;
        self.slots.sync()?;
        let sealed = self.keys.seal_register(&register)?;
        tx.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('register', ?1)", [&sealed]).at(&self.path)?;
        tx.commit().at(&self.path)?;

        head.phase = Phase::Committed;
        self.slots.write_head(1 - next, &self.keys.seal_head(&head)?)?;
        self.slots.erase(&retired)?;
        head.phase = Phase::Clean;
        self.slots.write_head(next, &self.keys.seal_head(&head)?)?;
        let raised = self.raise_anchor(epoch);
        drop(locked);
        raised
    }

    fn raise_anchor(&self, epoch: u64) -> Result<()> {
        let anchor = &self.anchor;
        let raised = match anchor.epoch_of(&self.keys.store_mark) {
            Ok(Some(_)) => anchor.raise(Number::Epoch, epoch).map(|_| ()),
            _ => anchor.accept(&self.keys.store_mark, epoch, folder(&self.path)),
        };
        raised.map_err(|source| StoreError::AnchorBehind { path: anchor.path().to_path_buf(), source: source.into() })
    }
}

/// A change of the store in the making.
pub(crate) struct Change<'a> {
    pub(crate) tx: Transaction<'a>,
    pub(crate) path: &'a Path,
    pub(crate) keys: &'a Keys,
    pub(crate) slots: Slots,
    pub(crate) next_person: u32,
    free: Box<dyn Iterator<Item = u32>>,
    register: Register,
    blocks: SlotBlocks,
    /// Slots whose keys are destroyed after the commit.
    retired: Vec<SlotRef>,
}

impl Change<'_> {
    /// Somebody's row.
    pub(crate) fn find(&self, id: &str) -> Result<PersonRow> {
        find(&self.tx, self.path, id)
    }

    /// Gives a person, or a new version of one, a slot.
    pub(crate) fn place(&mut self, bound: &mut Bound, person: u32, id: &str, data_key: &DataKey) -> Result<SlotRef> {
        let number = self.free.next().ok_or_else(|| StoreError::damaged(self.path, "no slots are left"))?;
        let mut slot = SlotRef { number, mark: Mark::default() };
        random(&mut slot.mark)?;
        self.blocks.push(&slot, &self.keys.wrap(bound, &slot, person, id, data_key)?);
        self.register.count.add(self.keys.term(person, id, &slot));
        Ok(slot)
    }

    /// Takes a person, or the version before, out of the register. The key is destroyed after the commit.
    pub(crate) fn retire(&mut self, row: &PersonRow) {
        self.register.count.subtract(self.keys.term(row.key, &row.id, &row.slot));
        // Not the slot of somebody else, which an altered row may name.
        let own = self.slots.taken_at(&row.slot);
        self.retired.extend(own.then_some(row.slot));
    }

    /// Destroys what a change that was cut short has left: slots that belong to nobody.
    fn sweep(&mut self) -> Result<()> {
        let (mut placed, mut found) = (HashSet::new(), Count::default());
        for_people(&self.tx, self.path, |row| {
            placed.insert(row.slot.number);
            found.add(self.keys.term(row.key, &row.id, &row.slot));
        })?;
        if found != self.register.count {
            // Slots that belong to nobody are what is left of rows that somebody has deleted.
            let people = concerned(self.keys, &self.tx, self.path, &self.slots)?;
            return Err(StoreError::RolledBack { path: self.path.to_path_buf(), what: NOT_AS_LEFT.to_owned(), people });
        }
        self.retired.extend(self.slots.taken().filter(|slot| !placed.contains(&slot.number)));
        Ok(())
    }
}

/// Ids of people for whom the two files differ: a row without its slot, or a slot without its row.
pub(crate) fn concerned(keys: &Keys, tx: &Transaction<'_>, path: &Path, slots: &Slots) -> Result<Vec<String>> {
    let mut bound = Bound::default();
    let (mut people, mut placed) = (BTreeSet::new(), HashSet::new());
    for_people(tx, path, |row| match keys.unwrap(&mut bound, slots, &row.slot, row.key, &row.id) {
        Ok(_) => drop(placed.insert(row.slot.number)),
        Err(_) => drop(people.insert(printable(&row.id))),
    })?;
    for slot in slots.taken().filter(|slot| !placed.contains(&slot.number)) {
        people.extend(keys.holder(&mut bound, slots, &slot).map(|holder| holder.id));
    }
    Ok(people.into_iter().collect())
}

/// An id that may be anything, since the row does not open, for a message.
fn printable(id: &str) -> String {
    let shown = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    id.chars().take(MAX_ID_CHARS).map(shown).collect()
}

/// Calls `each` with everybody's row.
pub(crate) fn for_people(tx: &Transaction<'_>, path: &Path, mut each: impl FnMut(PersonRow)) -> Result<()> {
    let query = format!("SELECT {PERSON_COLUMNS} FROM people p ORDER BY p.person_key");
    let mut query = tx.prepare(&query).at(path)?;
    for row in query.query_map([], PersonRow::read).at(path)? {
        each(row.at(path)?);
    }
    Ok(())
}

/// Keeps other writers away from the store until it is dropped.
pub(crate) fn lock_folder(database: &Path) -> Result<File> {
    let dir = folder(database);
    let handle = File::open(dir).map_err(|error| StoreError::io("open", dir, error))?;
    let begin = Instant::now();
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(handle),
            Err(fs::TryLockError::WouldBlock) if begin.elapsed() < WRITER_MAX => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(fs::TryLockError::WouldBlock) => return Err(StoreError::Busy { path: PathBuf::from(database) }),
            Err(fs::TryLockError::Error(error)) => return Err(StoreError::io("lock", dir, error)),
        }
    }
}

/// The store folder.
pub(crate) fn folder(database: &Path) -> &Path {
    database.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// How far `old` is behind `new`.
fn behind(old: u64, new: u64) -> String {
    match (new / RESTORED).saturating_sub(old / RESTORED) {
        0 if new - old == 1 => "older by 1 change".into(),
        0 => format!("older by {} changes", new - old),
        _ => "older, from before the store was last restored,".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Sealer;
    use crate::{Admission, NewPerson, NewReference, SiteKey};

    #[test]
    fn a_sum_does_not_depend_on_the_order_and_is_undone_by_subtracting() {
        let terms: Vec<Sum> = (0..50_u8).map(|n| Sum::from_bytes([n.wrapping_mul(77) | 0x80; 32])).collect();
        let (mut forward, mut backward) = (Sum::default(), Sum::default());
        terms.iter().for_each(|term| forward.add(*term));
        terms.iter().rev().for_each(|term| backward.add(*term));
        assert_eq!(forward, backward);
        terms.iter().skip(1).for_each(|term| forward.subtract(*term));
        assert_eq!(forward, terms[0]);
        let mut all = Sum([u64::MAX; 4]);
        all.add(Sum([1, 0, 0, 0]));
        assert_eq!(all, Sum::default());
        all.subtract(Sum([1, 0, 0, 0]));
        assert_eq!(all, Sum([u64::MAX; 4]));
    }

    #[test]
    fn heads_and_registers_are_read_back() {
        let head = Head { epoch: u64::MAX - 3, base: 7, phase: Phase::Committed, next_person: 9 };
        assert_eq!(Head::from_bytes(&head.to_bytes()), Some(head));
        assert_eq!(Head::from_bytes(&head.to_bytes()[1..]), None);
        let register = Register { epoch: 3, count: Count { people: 2, sum: Sum([1, 2, 3, u64::MAX]) } };
        assert_eq!(Register::from_bytes(&register.to_bytes()), Some(register));
        assert_eq!(Register::from_bytes(&[]), None);
    }

    /// A store of one person, at epoch 2.
    fn store() -> (tempfile::TempDir, SiteKey, Store) {
        let outer = tempfile::tempdir().unwrap();
        let key = SiteKey::generate().unwrap();
        let mut store = Store::init(&outer.path().join("store"), &key).unwrap();
        add(&mut store, "ana").unwrap();
        (outer, key, store)
    }

    fn add(store: &mut Store, id: &str) -> Result<()> {
        let encoder = "aa".repeat(32);
        let reference = NewReference { encoder_sha256: &encoder, vector: &[0.6, 0.8], picture: None };
        store.add_person(&NewPerson { id, name: "Ana", admission: Admission::ALWAYS }, &[reference]).map(|_| ())
    }

    /// Leaves a head as a change leaves it that is cut short.
    fn leave(store: &Store, epoch: u64, base: u64, phase: Phase) {
        let (head, next) = store.keys.head(&store.slots.read().unwrap()).unwrap();
        let head = store.keys.seal_head(&Head { epoch, base, phase, ..head }).unwrap();
        store.slots.write_head(next, &head).unwrap();
    }

    #[test]
    fn an_intent_is_no_rollback_and_the_next_writer_sweeps_what_it_left() {
        let (outer, key, store) = store();
        let dir = outer.path().join("store");
        let orphan = SlotRef { number: 2, mark: [9; 16] };
        let mut blocks = SlotBlocks::default();
        let (_, data_key) = Sealer::generate().unwrap();
        let holder = store.keys.wrap(&mut Bound::default(), &orphan, 2, "ben", &data_key).unwrap();
        blocks.push(&orphan, &holder);
        store.slots.write(&blocks).unwrap();
        leave(&store, 3, 2, Phase::Intent);
        assert_eq!(store.people().unwrap().len(), 1);
        assert!(Store::open_read_only(&dir, &key).unwrap().check().unwrap().is_sound());

        let mut store = Store::open(&dir, &key).unwrap();
        let (head, _) = store.keys.head(&store.slots.read().unwrap()).unwrap();
        assert_eq!((head.epoch, head.phase), (4, Phase::Clean), "an epoch is not used twice");
        assert!(!store.slots.read().unwrap().taken_at(&orphan));
        add(&mut store, "ben").unwrap();
        assert!(store.check().unwrap().is_sound());
    }

    #[test]
    fn an_intent_from_another_epoch_and_any_later_phase_is_a_rollback() {
        for (epoch, base, phase) in [
            (4, 3, Phase::Intent),
            (4, 1, Phase::Intent),
            (3, 2, Phase::Committed),
            (3, 2, Phase::Clean),
            (9, u64::MAX, Phase::Intent),
        ] {
            let (outer, key, store) = store();
            leave(&store, epoch, base, phase);
            let dir = outer.path().join("store");
            for opened in [Store::open(&dir, &key), Store::open_read_only(&dir, &key)] {
                assert!(matches!(opened, Err(StoreError::RolledBack { .. })), "{epoch} {base} {phase:?}");
            }
        }
    }

    #[test]
    fn a_sweep_never_destroys_the_key_of_a_row_that_somebody_has_deleted() {
        let (outer, key, store) = store();
        store.conn.execute("DELETE FROM refs", []).unwrap();
        store.conn.execute("DELETE FROM people", []).unwrap();
        leave(&store, 3, 2, Phase::Intent);
        let error = Store::open(&outer.path().join("store"), &key).unwrap_err();
        assert!(matches!(&error, StoreError::RolledBack { people, .. } if people == &["ana"]), "{error}");
        assert_eq!(store.slots.read().unwrap().taken().count(), 1);
    }

    #[test]
    fn a_restoration_cut_short_leaves_the_store_locked() {
        let (outer, key, mut store) = store();
        let error =
            store.overrule(|change| -> Result<()> { Err(StoreError::Busy { path: change.path.to_path_buf() }) });
        assert!(matches!(error, Err(StoreError::Busy { .. })));
        assert_eq!(store.people().unwrap().len(), 1, "nothing has changed");
        leave(&store, RESTORED, u64::MAX, Phase::Intent);
        assert!(matches!(Store::open(&outer.path().join("store"), &key), Err(StoreError::RolledBack { .. })));
    }

    #[test]
    fn a_reader_that_waits_too_long_for_a_writer_says_so() {
        let (outer, key, store) = store();
        let dir = outer.path().join("store");
        let reader = Store::open_read_only(&dir, &key).unwrap();
        let locked = store.slots.lock_to_write().unwrap();
        assert!(matches!(reader.people(), Err(StoreError::Busy { .. })));
        drop(locked);
        assert_eq!(reader.people().unwrap().len(), 1);
    }

    #[test]
    fn how_far_behind_is_said_in_changes() {
        assert_eq!(behind(3, 4), "older by 1 change");
        assert_eq!(behind(3, 14), "older by 11 changes");
        assert!(behind(90, RESTORED + 2).contains("before the store was last restored"));
    }
}
