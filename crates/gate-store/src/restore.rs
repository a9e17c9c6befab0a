//! Putting an older copy of the store back, by the owner's decision: what that would undo, and a result that lets nobody in
//! whom the present refuses.
//!
//! ```text
//!  copy of people.db ─┐
//!  people.keys        ├─▶ weigh: one Outcome for each person ─▶ shown, confirmed ─▶ apply: one change, a new epoch
//!  present people.db ─┘    (the last only where it is sound)
//! ```
//!
//! | the person | comes out as |
//! |---|---|
//! | has the version of the copy | the copy has it |
//! | was changed since, and the present is readable | the stricter of both: suspended if either says so, the later start, the earlier end |
//! | was changed since, and nobody knows how | suspended, until staff resume them |
//! | was erased since | not at all: the key is gone |
//! | was enrolled since | not at all: the copy has no row |
//!
//! Which version is the newest is told by `people.keys`, so its newest copy decides. Where both files are old, no change
//! since can be known; the owner is told so and takes the copy as it is.

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use gate_core::person::Access;
use rusqlite::Transaction;
use zeroize::Zeroizing;

use crate::epoch::{Change, for_people, lock_folder};
use crate::error::SqlAt;
use crate::key::sync_parent;
use crate::keys::{DataKey, Keys};
use crate::people::{PersonRow, Record, reference_list, write_transaction};
use crate::seal::{Bound, Sealer};
use crate::slots::{self, SlotFile, Slots};
use crate::store::{self, Store};
use crate::{Result, SiteKey, StoreError, schema};

/// The copies' names until they take their places.
const STAGED_DB: &str = "people.db.restore";
const STAGED_KEYS: &str = "people.keys.restore";

/// What becomes of a person when a copy is put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Unchanged since the copy was made.
    Same,
    /// Changed since; the stricter admission of copy and present.
    Stricter,
    /// Changed since, and the change is lost: suspended.
    Suspended,
    /// Erased since: does not come back.
    Erased,
    /// Enrolled since: the copy does not have this person.
    Lost,
    /// The copy's rows do not open: left out.
    Unreadable,
}

/// One person's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The id staff chose.
    pub id: String,
    /// The name in the copy, where it opens.
    pub name: Option<String>,
    /// What becomes of the person.
    pub fate: Fate,
    /// The admission now, where the present store is sound.
    pub present: Option<Access>,
    /// The admission that the copy has.
    pub copy: Option<Access>,
    /// The admission afterwards; `None` for whoever is not in the store then.
    pub after: Option<Access>,
}

/// What putting a copy back would do. Nothing is changed before [`Restoration::apply`], except for working files in the
/// store's folder.
pub struct Restoration {
    dir: PathBuf,
    key: SiteKey,
    /// The copy lies beside the store, and is not in its place yet.
    staged: bool,
    copy_is_old_schema: bool,
    reason: Option<String>,
    present: Option<Present>,
    /// `people.keys` when this was weighed.
    seen_keys: Vec<u8>,
    outcomes: Vec<Outcome>,
}

/// The admissions of a sound store.
type Present = HashMap<(u32, String), Access>;

/// An outcome, and what it takes to bring it about.
struct Weighed {
    outcome: Outcome,
    /// The row in the copy, and what is to stand in it; `None`: the row is to go.
    row: Option<PersonRow>,
    kept: Option<(DataKey, Record)>,
}

impl Restoration {
    /// Weighs what putting `from` in the place of the store in `dir` would do: a folder with `people.db`, and with
    /// `people.keys` where the store has lost its own; or a `people.db`. `None`: what lies in `dir` already.
    ///
    /// # Errors
    /// When the copy cannot be read, or belongs to another store or key.
    pub fn weigh(dir: &Path, key: &SiteKey, from: Option<&Path>) -> Result<Self> {
        let (present, reason) = match Store::open(dir, key) {
            Ok(store) => match admissions(&store) {
                Ok(present) => (Some(present), None),
                Err(error) => (None, Some(error.to_string())),
            },
            Err(error @ StoreError::WrongKey { .. }) => return Err(error),
            Err(StoreError::NotThere { .. }) if from.is_some() => (None, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let mut restoration = Self {
            dir: dir.to_path_buf(),
            key: key.clone(),
            staged: from.is_some(),
            copy_is_old_schema: false,
            reason,
            // What lies there already is the copy, unless it is sound.
            present,
            seen_keys: Vec::new(),
            outcomes: Vec::new(),
        };
        let weighed = restoration.examine(from);
        if weighed.is_err() {
            restoration.discard();
        }
        restoration.outcomes = weighed?;
        Ok(restoration)
    }

    /// Why the store is not taken as it is; `None` when it is sound, or missing.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Whether the present store is sound, so that each change since the copy is known.
    #[must_use]
    pub fn present_is_known(&self) -> bool {
        self.present.is_some()
    }

    /// Everybody in the copy, in `people.keys` or in both, by id.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Puts the copy in its place. Cut short, the store stays locked until this is run again.
    ///
    /// # Errors
    /// [`StoreError::ChangedMeanwhile`] when the store is not as it was weighed; what SQLite or the system says.
    pub fn apply(mut self) -> Result<()> {
        let done = self.put_back();
        self.discard();
        done
    }

    fn put_back(&mut self) -> Result<()> {
        if self.staged {
            self.take_places()?;
        }
        let mut store = Store::open_unproved(&self.dir, &self.key)?;
        let (present, old_schema, shown) = (self.present.as_ref(), self.copy_is_old_schema, &self.outcomes);
        store.overrule(|change| {
            let weighed = weigh(change.keys, &change.slots, &change.tx, change.path, old_schema, present)?;
            if !weighed.iter().map(|weighed| &weighed.outcome).eq(shown) {
                return Err(StoreError::ChangedMeanwhile { path: change.path.to_path_buf() });
            }
            weighed.iter().try_for_each(|weighed| put(change, weighed))
        })?;
        // No old row is left in the log or in a free page.
        store.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").at(&store.path)
    }

    /// Weighs everybody, and leaves a copy from elsewhere beside the store.
    fn examine(&mut self, from: Option<&Path>) -> Result<Vec<Outcome>> {
        let Some(from) = from else {
            let store = Store::open_unproved(&self.dir, &self.key)?;
            let tx = write_transaction(&store.conn, &store.path)?;
            let slots = store.slots.read()?;
            self.seen_keys = slots.bytes().to_vec();
            return Ok(outcomes(weigh(&store.keys, &slots, &tx, &store.path, false, self.present.as_ref())?));
        };

        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.dir);
        made.map_err(|error| StoreError::io("create", &self.dir, error))?;
        let (db, keys) = if from.is_dir() {
            (from.join(store::FILE), from.join(slots::FILE))
        } else {
            (from.to_path_buf(), from.with_file_name(slots::FILE))
        };
        let path = self.dir.join(STAGED_DB);
        self.discard();
        stage(&db, &path, &self.dir)?;
        let log = beside(&db, "-wal");
        if log.exists() {
            stage(&log, &beside(&path, "-wal"), &self.dir)?;
        }
        let conn = store::connect_to_write(&path)?;
        let found = schema::check(&conn, &path)?;
        store::configure_writer(&conn, &path)?;
        let site = Keys::unlock(&conn, &path, &self.key)?;
        let slots = match SlotFile::open(&self.dir, &site.store_mark, true) {
            Ok(file) => file.read()?,
            Err(error) if self.dir.join(slots::FILE).exists() => return Err(error),
            Err(_) => {
                stage(&keys, &self.dir.join(STAGED_KEYS), &self.dir)?;
                SlotFile::open_at(self.dir.join(STAGED_KEYS), &site.store_mark, true)?.read()?
            }
        };
        self.seen_keys = slots.bytes().to_vec();
        self.copy_is_old_schema = found < schema::VERSION;
        if self.copy_is_old_schema {
            let tx = write_transaction(&conn, &path)?;
            schema::migrate(&tx, &path)?;
            tx.commit().at(&path)?;
        }
        let tx = write_transaction(&conn, &path)?;
        let weighed = weigh(&site, &slots, &tx, &path, self.copy_is_old_schema, self.present.as_ref())?;
        drop(tx);
        // Closing the only connection moves the log's content into the file.
        conn.close().map_err(|(_, error)| StoreError::from_sql(&path, error))?;
        Ok(outcomes(weighed))
    }

    /// Moves the staged files into the store's places.
    fn take_places(&self) -> Result<()> {
        let (path, keys) = (self.dir.join(store::FILE), self.dir.join(slots::FILE));
        if self.present.is_some() {
            // What the log holds belongs to the file that goes: nothing of it may be left for the one that comes.
            let store = Store::open(&self.dir, &self.key)?;
            store.conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").at(&store.path)?;
        }
        let _writer = lock_folder(&path)?;
        let staged_keys = self.dir.join(STAGED_KEYS);
        let source = if staged_keys.exists() { &staged_keys } else { &keys };
        if fs::read(source).map_err(|error| StoreError::io("read", source, error))? != self.seen_keys {
            return Err(StoreError::ChangedMeanwhile { path });
        }
        if staged_keys.exists() {
            fs::rename(&staged_keys, &keys).map_err(|error| StoreError::io("replace", &keys, error))?;
        }
        for suffix in ["-wal", "-shm"] {
            remove(&beside(&path, suffix))?;
        }
        fs::rename(self.dir.join(STAGED_DB), &path).map_err(|error| StoreError::io("replace", &path, error))?;
        sync_parent(&path)
    }

    /// Removes the working files.
    fn discard(&self) {
        let staged = self.dir.join(STAGED_DB);
        for file in [beside(&staged, "-wal"), beside(&staged, "-shm"), staged, self.dir.join(STAGED_KEYS)] {
            let _ = fs::remove_file(file); // made again, or removed, next time
        }
    }
}

impl Drop for Restoration {
    fn drop(&mut self) {
        self.discard();
    }
}

fn outcomes(weighed: Vec<Weighed>) -> Vec<Outcome> {
    weighed.into_iter().map(|weighed| weighed.outcome).collect()
}

fn admissions(store: &Store) -> Result<Present> {
    let people = store.people()?;
    Ok(people.into_iter().map(|person| ((person.key.0, person.id), person.access)).collect())
}

/// One outcome for each person in the copy or in the slots, by id.
fn weigh(
    keys: &Keys,
    slots: &Slots,
    copy: &Transaction<'_>,
    path: &Path,
    old_schema: bool,
    present: Option<&Present>,
) -> Result<Vec<Weighed>> {
    let mut bound = Bound::default();
    let mut newest = HashMap::new();
    for slot in slots.taken() {
        if let Some(holder) = keys.holder(&mut bound, slots, &slot) {
            newest.insert((holder.person, holder.id), holder.data_key);
        }
    }

    let mut rows = Vec::new();
    for_people(copy, path, |row| rows.push(row))?;
    let (mut weighed, mut found) = (Vec::new(), HashSet::new());
    for row in rows {
        let place = (row.key, row.id.clone());
        let now = present.and_then(|present| present.get(&place)).copied();
        let own = keys.unwrap(&mut bound, slots, &row.slot, row.key, &row.id).ok();
        let is_newest = own.is_some();
        let data_key = own.or_else(|| newest.get(&place).cloned());
        found.insert(place);
        let record = match &data_key {
            Some(data_key) => open(copy, path, &row, data_key, old_schema)?,
            None => None,
        };
        let mut outcome = Outcome {
            id: row.id.clone(),
            name: record.as_ref().map(|record| record.name().to_owned()),
            fate: Fate::Same,
            present: now,
            copy: record.as_ref().map(Record::access),
            after: None,
        };
        let Some((data_key, mut record)) = data_key.map(|data_key| Some((data_key, record?))).unwrap_or_default()
        else {
            outcome.fate =
                if newest.contains_key(&(row.key, row.id.clone())) { Fate::Unreadable } else { Fate::Erased };
            weighed.push(Weighed { outcome, row: Some(row), kept: None });
            continue;
        };
        if !is_newest {
            outcome.fate = if now.is_some() { Fate::Stricter } else { Fate::Suspended };
            let unknown = Access { suspended: true, ..record.access() };
            record.set_access(stricter(record.access(), now.unwrap_or(unknown)));
        }
        outcome.after = Some(record.access());
        weighed.push(Weighed { outcome, row: Some(row), kept: Some((data_key, record)) });
    }
    for place in newest.into_keys().filter(|place| !found.contains(place)) {
        let present = present.and_then(|present| present.get(&place)).copied();
        let outcome = Outcome { id: place.1, name: None, fate: Fate::Lost, present, copy: None, after: None };
        weighed.push(Weighed { outcome, row: None, kept: None });
    }
    weighed.sort_by(|a, b| a.outcome.id.cmp(&b.outcome.id));
    Ok(weighed)
}

/// The record of a row in the version that the row itself names.
fn open(
    copy: &Transaction<'_>,
    path: &Path,
    row: &PersonRow,
    data_key: &DataKey,
    old_schema: bool,
) -> Result<Option<Record>> {
    let mut bound = Bound::default();
    let list = reference_list(copy, path, row.key)?;
    let bound = match old_schema {
        true => bound.record_1(row.key, &row.id),
        false => bound.record(row.key, &row.id, &row.slot.mark, &list),
    };
    Ok(Record::open(&Sealer::new(data_key), bound, &row.record, &mut Zeroizing::new(Vec::new())))
}

/// Brings an outcome about.
fn put(change: &mut Change<'_>, weighed: &Weighed) -> Result<()> {
    let Some(row) = &weighed.row else { return Ok(()) };
    change.next_person = change.next_person.max(row.key.saturating_add(1));
    if let Some((data_key, record)) = &weighed.kept {
        return change.write(row, data_key, record);
    }
    for table in ["pictures", "refs", "people"] {
        let delete = format!("DELETE FROM {table} WHERE person_key = ?1");
        change.tx.execute(&delete, [row.key]).at(change.path)?;
    }
    Ok(())
}

/// Admits only when and whom both admit.
fn stricter(one: Access, other: Access) -> Access {
    let Access { suspended, valid_from_ms, valid_until_ms } = other;
    let earlier = |a: Option<i64>, b: Option<i64>| a.into_iter().chain(b).min();
    Access {
        suspended: one.suspended || suspended,
        valid_from_ms: one.valid_from_ms.max(valid_from_ms),
        valid_until_ms: earlier(one.valid_until_ms, valid_until_ms),
    }
}

/// Copies a file into the store's folder, for its owner alone.
fn stage(from: &Path, to: &Path, like: &Path) -> Result<()> {
    let copy = || -> io::Result<()> {
        let mut source = fs::File::open(from)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut file)?;
        let owner = fs::metadata(like)?;
        if file.metadata()?.uid() != owner.uid() {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.sync_all()
    };
    copy().map_err(|error| StoreError::io("copy", from, error))
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::io("remove", file, error)),
        _ => Ok(()),
    }
}

/// `people.db` and `-wal`: `people.db-wal`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::clock::WallClock;

    #[test]
    fn the_stricter_of_two_admits_only_whom_both_admit() {
        let limits = [None, Some(-5), Some(0), Some(10)];
        let all: Vec<Access> = [false, true]
            .into_iter()
            .flat_map(|suspended| limits.map(|from| (suspended, from)))
            .flat_map(|(suspended, valid_from_ms)| {
                limits.map(|valid_until_ms| Access { suspended, valid_from_ms, valid_until_ms })
            })
            .collect();
        for (one, other) in all.iter().flat_map(|one| all.iter().map(move |other| (*one, *other))) {
            for at in [-6, -5, -1, 0, 9, 10, 11] {
                let at = WallClock::unchecked(at);
                let both = one.refusal(at).is_none() && other.refusal(at).is_none();
                assert_eq!(stricter(one, other).refusal(at).is_none(), both, "{one:?} {other:?} {at:?}");
            }
        }
    }
}
