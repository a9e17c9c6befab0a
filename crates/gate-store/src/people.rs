//! People and their references: look up, change, erase. Each change is one transaction.

use std::collections::BTreeMap;
use std::path::Path;

use gate_core::person::{Access, PersonKey};
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::admission::{Admission, Edge};
use crate::day::Day;
use crate::enrol::{check_name, now_ms};
use crate::epoch::{Change, Count, Snapshot};
use crate::error::SqlAt;
use crate::keys::{DataKey, NoKey};
use crate::seal::{Bound, ReferenceList, Sealer};
use crate::slots::{Mark, SlotRef};
use crate::store::Store;
use crate::{Result, StoreError};

/// Somebody enrolled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The person's number, never used again for another.
    pub key: PersonKey,
    /// The id staff chose.
    pub id: String,
    /// The name, for people to read.
    pub name: String,
    /// Whether and when the person may come in, as staff wrote it.
    pub admission: Admission,
    /// What counts of it now.
    pub access: Access,
    /// When the person was enrolled, Unix milliseconds.
    pub created_ms: i64,
    /// When the record was written last, Unix milliseconds.
    pub newest_ms: i64,
    /// The references, by number.
    pub references: Vec<ReferenceInfo>,
    /// Whether the person stood before a camera, live, and agreed with every reference.
    pub confirmed: bool,
}

/// What is known of a reference without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceInfo {
    /// Its number among the person's, from 1.
    pub number: u32,
    /// sha256 of the encoder that made it.
    pub encoder_sha256: String,
    /// When it was stored, Unix milliseconds.
    pub created_ms: i64,
    /// Whether the picture was kept.
    pub has_picture: bool,
}

/// A person's record as it is sealed. Fields may be added with a default, never renamed.
#[derive(Serialize, Deserialize)]
pub(crate) struct Record {
    name: String,
    suspended: bool,
    valid_from_ms: Option<i64>,
    valid_until_ms: Option<i64>,
    created_ms: i64,
    /// Since days are kept as days; the instants above are theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_from_day: Option<Day>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    valid_until_day: Option<Day>,
    /// When the record was changed last, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    changed_ms: Option<i64>,
    /// Not known of people who were enrolled before it was asked: then they are not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    confirmed: bool,
}

impl Record {
    pub(crate) fn new(name: &str, admission: &Admission, created_ms: i64) -> Self {
        let mut record = Self {
            name: name.to_owned(),
            suspended: false,
            valid_from_ms: None,
            valid_until_ms: None,
            created_ms,
            valid_from_day: None,
            valid_until_day: None,
            changed_ms: None,
            confirmed: false,
        };
        record.set_admission(admission);
        record
    }

    pub(crate) fn admission(&self) -> Admission {
        let edge = |ms: Option<i64>, day: &Option<Day>| ms.map(|written_ms| Edge { written_ms, day: day.clone() });
        Admission {
            suspended: self.suspended,
            from: edge(self.valid_from_ms, &self.valid_from_day),
            until: edge(self.valid_until_ms, &self.valid_until_day),
        }
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.confirmed
    }

    pub(crate) fn access(&self) -> Access {
        self.admission().access()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn set_admission(&mut self, admission: &Admission) {
        let parts = |edge: &Option<Edge>| edge.clone().map(|edge| (edge.written_ms, edge.day)).unzip();
        self.suspended = admission.suspended;
        let (from_ms, from_day) = parts(&admission.from);
        (self.valid_from_ms, self.valid_from_day) = (from_ms, from_day.flatten());
        let (until_ms, until_day) = parts(&admission.until);
        (self.valid_until_ms, self.valid_until_day) = (until_ms, until_day.flatten());
    }

    /// Sets what counts. Where that changes an edge, an instant takes the day's place; the other edge keeps its day.
    pub(crate) fn set_access(&mut self, access: Access) {
        let (old, now) = (self.admission(), self.access());
        let new = Admission::from(access);
        let keep = |is_same: bool, old: Option<Edge>, new: Option<Edge>| if is_same { old } else { new };
        self.set_admission(&Admission {
            suspended: new.suspended,
            from: keep(now.valid_from_ms == access.valid_from_ms, old.from, new.from),
            until: keep(now.valid_until_ms == access.valid_until_ms, old.until, new.until),
        });
    }

    /// When the record was written last, Unix milliseconds: that time has passed for sure.
    pub(crate) fn newest_ms(&self) -> i64 {
        self.changed_ms.map_or(self.created_ms, |changed_ms| changed_ms.max(self.created_ms))
    }

    /// The record is written anew. Whatever the clock shows, that is not before it was written last.
    pub(crate) fn touch(&mut self, now_ms: i64) {
        self.changed_ms = Some(self.newest_ms().max(now_ms));
    }

    pub(crate) fn seal(&self, sealer: &Sealer, bound: &[u8]) -> Result<Vec<u8>> {
        // Plain fields serialise; should that ever fail, an empty record is refused when it is opened.
        let json = Zeroizing::new(serde_json::to_vec(self).unwrap_or_default());
        sealer.seal(bound, &json)
    }

    /// `None`: not sealed for this place with this key, or altered.
    pub(crate) fn open(sealer: &Sealer, bound: &[u8], sealed: &[u8], plain: &mut Vec<u8>) -> Option<Self> {
        sealer.open(bound, sealed, plain).then_some(())?;
        serde_json::from_slice(plain).ok()
    }
}

/// A row of `people`, still sealed.
pub(crate) struct PersonRow {
    pub(crate) key: u32,
    pub(crate) id: String,
    pub(crate) slot: SlotRef,
    pub(crate) record: Vec<u8>,
}

/// The columns [`PersonRow::read`] expects first.
pub(crate) const PERSON_COLUMNS: &str = "p.person_key, p.id, p.slot, p.slot_mark, p.record";

impl PersonRow {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let slot = SlotRef { number: row.get(2)?, mark: row.get::<_, Mark>(3)? };
        Ok(Self { key: row.get(0)?, id: row.get(1)?, slot, record: row.get(4)? })
    }
}

impl Store {
    /// Everybody enrolled, by id. People whose record cannot be opened are left out: [`Store::check`] names them.
    ///
    /// # Errors
    /// What SQLite or the system says; [`StoreError::RolledBack`] when rows are missing or older.
    pub fn people(&self) -> Result<Vec<Person>> {
        let snapshot = self.snapshot()?;
        let tx = &snapshot.tx;
        let mut references: BTreeMap<u32, References> = BTreeMap::new();
        for_references(tx, None, |key, info, vector| references.entry(key).or_default().push(info, vector))
            .at(&self.path)?;

        let mut query = tx.prepare(&format!("SELECT {PERSON_COLUMNS} FROM people p ORDER BY p.id")).at(&self.path)?;
        let (mut people, mut count) = (Vec::new(), Count::default());
        for row in query.query_map([], PersonRow::read).at(&self.path)? {
            let row = row.at(&self.path)?;
            count.add(self.keys.term(row.key, &row.id, &row.slot));
            let references = references.remove(&row.key).unwrap_or_default();
            people.extend(self.open_person(&snapshot, row, references).ok());
        }
        self.account(&snapshot, count)?;
        Ok(people)
    }

    /// The person with this id.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`]; [`StoreError::Damaged`] when the record cannot be opened.
    pub fn person(&self, id: &str) -> Result<Person> {
        let snapshot = self.snapshot()?;
        let row = find(&snapshot.tx, &self.path, id)?;
        let mut references = References::default();
        for_references(&snapshot.tx, Some(row.key), |_, info, vector| references.push(info, vector)).at(&self.path)?;
        self.open_person(&snapshot, row, references).map_err(|no_key| unreadable(&self.path, id, no_key))
    }

    /// Changes whether and when `id` may come in.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`]; [`StoreError::Damaged`] when the record cannot be opened.
    pub fn set_access(&mut self, id: &str, admission: impl Into<Admission>) -> Result<()> {
        let admission = admission.into();
        self.change_record(id, |record| record.set_admission(&admission))
    }

    /// Changes the name of `id`.
    ///
    /// # Errors
    /// [`StoreError::BadName`], [`StoreError::UnknownPerson`]; [`StoreError::Damaged`] when the record cannot be opened.
    pub fn rename(&mut self, id: &str, name: &str) -> Result<()> {
        check_name(id, name)?;
        self.change_record(id, |record| name.clone_into(&mut record.name))
    }

    /// Notes whether the person stood before a camera, live, and agreed with every reference. Nobody does at first.
    ///
    /// # Errors
    /// As [`Store::set_access`].
    pub fn set_confirmed(&mut self, id: &str, confirmed: bool) -> Result<()> {
        self.change_record(id, |record| record.confirmed = confirmed)
    }

    /// The wall clock is right, as staff declare: records that were written at a later time, under a clock that was ahead,
    /// count as written now. Returns how many there were.
    ///
    /// # Errors
    /// What SQLite or the system says. What does not open stays as it is.
    pub fn accept_time(&mut self, now_ms: i64) -> Result<usize> {
        let later = self.people()?.into_iter().filter(|person| person.newest_ms > now_ms);
        let later: Vec<String> = later.map(|person| person.id).collect();
        for id in &later {
            self.change_record_at(now_ms, id, |record| {
                record.created_ms = record.created_ms.min(now_ms);
                record.changed_ms = None;
            })?;
        }
        Ok(later.len())
    }

    /// Erases a person: rows, data key, and their remains in the database's files. Cannot be undone, not even from
    /// an old copy of `people.db` (see the crate's documentation for what that asks of backups).
    ///
    /// Works for people whose rows are damaged, too. Cut short after the commit, the next [`Store::open`] completes it.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`]. [`StoreError::LogNotEmptied`]: the person is erased, but another program
    /// kept a long read going.
    pub fn remove(&mut self, id: &str) -> Result<()> {
        self.change(|change| {
            let row = change.find(id)?;
            let tx = &change.tx;
            tx.execute("DELETE FROM pictures WHERE person_key = ?1", [row.key]).at(change.path)?;
            tx.execute("DELETE FROM refs WHERE person_key = ?1", [row.key]).at(change.path)?;
            tx.execute("DELETE FROM people WHERE person_key = ?1", [row.key]).at(change.path)?;
            // From the commit on the gate refuses the person, whatever happens to this process; then the key goes.
            change.retire(&row);
            Ok(())
        })?;
        let query = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: bool = self.conn.query_row(query, [], |row| row.get(0)).at(&self.path)?;
        if busy { Err(StoreError::LogNotEmptied { path: self.path.clone() }) } else { Ok(()) }
    }

    /// The enrolment picture behind reference `number` of `id` (JPEG bytes), if it was kept.
    ///
    /// # Errors
    /// [`StoreError::UnknownPerson`], [`StoreError::UnknownReference`]; [`StoreError::Damaged`] when it cannot be opened.
    pub fn picture(&self, id: &str, number: u32) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let snapshot = self.snapshot()?;
        let tx = &snapshot.tx;
        let row = find(tx, &self.path, id)?;
        let query = "SELECT picture FROM refs LEFT JOIN pictures USING (person_key, number) \
                     WHERE person_key = ?1 AND number = ?2";
        let found = tx.query_row(query, (row.key, number), |row| row.get(0)).optional().at(&self.path)?;
        let sealed: Option<Vec<u8>> =
            found.ok_or_else(|| StoreError::UnknownReference { id: id.to_owned(), number })?;
        let Some(sealed) = sealed else { return Ok(None) };
        let mut bound = Bound::default();
        let data_key = self.keys.unwrap(&mut bound, &snapshot.slots, &row.slot, row.key, id);
        let sealer = Sealer::new(&*data_key.map_err(|no_key| unreadable(&self.path, id, no_key))?);
        let mut picture = Zeroizing::new(Vec::with_capacity(sealed.len()));
        if !sealer.open(bound.picture(row.key, id, number), &sealed, &mut picture) {
            return Err(unreadable(&self.path, id, NoKey::Damaged));
        }
        Ok(Some(picture))
    }

    fn change_record(&mut self, id: &str, alter: impl FnOnce(&mut Record)) -> Result<()> {
        self.change_record_at(now_ms(), id, alter)
    }

    fn change_record_at(&mut self, now_ms: i64, id: &str, alter: impl FnOnce(&mut Record)) -> Result<()> {
        self.change(|change| {
            let row = change.find(id)?;
            let (data_key, mut record) = change.open(&row)?;
            alter(&mut record);
            record.touch(now_ms);
            change.replace(&row, &data_key, &record)
        })
    }

    fn open_person(
        &self,
        snapshot: &Snapshot<'_>,
        row: PersonRow,
        references: References,
    ) -> std::result::Result<Person, NoKey> {
        let mut bound = Bound::default();
        let data_key = self.keys.unwrap(&mut bound, &snapshot.slots, &row.slot, row.key, &row.id)?;
        let bound = bound.record(row.key, &row.id, &row.slot.mark, &references.list);
        let mut plain = Zeroizing::new(Vec::new());
        let record = Record::open(&Sealer::new(&data_key), bound, &row.record, &mut plain).ok_or(NoKey::Damaged)?;
        Ok(Person {
            key: PersonKey(row.key),
            id: row.id,
            access: record.access(),
            admission: record.admission(),
            newest_ms: record.newest_ms(),
            name: record.name,
            created_ms: record.created_ms,
            confirmed: record.confirmed,
            references: references.infos,
        })
    }
}

impl Change<'_> {
    /// Somebody's data key and record.
    pub(crate) fn open(&self, row: &PersonRow) -> Result<(DataKey, Record)> {
        let mut bound = Bound::default();
        let data_key = self.keys.unwrap(&mut bound, &self.slots, &row.slot, row.key, &row.id);
        let data_key = data_key.map_err(|no_key| unreadable(self.path, &row.id, no_key))?;
        let list = reference_list(&self.tx, self.path, row.key)?;
        let bound = bound.record(row.key, &row.id, &row.slot.mark, &list);
        let mut plain = Zeroizing::new(Vec::new());
        let record = Record::open(&Sealer::new(&data_key), bound, &row.record, &mut plain);
        Ok((data_key, record.ok_or_else(|| unreadable(self.path, &row.id, NoKey::Damaged))?))
    }

    /// Puts a new version in the place of a row, with the references that the person has by now.
    pub(crate) fn replace(&mut self, row: &PersonRow, data_key: &DataKey, record: &Record) -> Result<()> {
        self.retire(row);
        self.write(row, data_key, record)
    }

    /// Writes a new version of a row.
    pub(crate) fn write(&mut self, row: &PersonRow, data_key: &DataKey, record: &Record) -> Result<()> {
        let mut bound = Bound::default();
        let slot = self.place(&mut bound, row.key, &row.id, data_key)?;
        let list = reference_list(&self.tx, self.path, row.key)?;
        let sealed = record.seal(&Sealer::new(data_key), bound.record(row.key, &row.id, &slot.mark, &list))?;
        let update = "UPDATE people SET slot = ?2, slot_mark = ?3, record = ?4 WHERE person_key = ?1";
        self.tx
            .prepare_cached(update)
            .at(self.path)?
            .execute((row.key, slot.number, slot.mark, &sealed))
            .at(self.path)?;
        Ok(())
    }
}

/// What is known of a person's references, and what the record is sealed to.
#[derive(Default)]
struct References {
    infos: Vec<ReferenceInfo>,
    list: ReferenceList,
}

impl References {
    fn push(&mut self, info: ReferenceInfo, vector: &[u8]) {
        self.list.push(info.number, &info.encoder_sha256, info.created_ms, vector);
        self.infos.push(info);
    }
}

/// The references that a person's record is sealed to.
pub(crate) fn reference_list(tx: &Connection, path: &Path, person: u32) -> Result<ReferenceList> {
    let mut list = ReferenceList::default();
    let query = "SELECT number, encoder, created_ms, vector FROM refs WHERE person_key = ?1 ORDER BY number";
    let mut query = tx.prepare_cached(query).at(path)?;
    let rows = query.query_map([person], |row| {
        list.push(row.get(0)?, row.get_ref(1)?.as_str()?, row.get(2)?, row.get_ref(3)?.as_blob()?);
        Ok(())
    });
    rows.and_then(Iterator::collect::<rusqlite::Result<()>>).at(path)?;
    drop(query);
    Ok(list)
}

/// A transaction that holds the write lock from the start: read, decide, write, with nobody in between.
pub(crate) fn write_transaction<'a>(conn: &'a Connection, path: &Path) -> Result<Transaction<'a>> {
    Transaction::new_unchecked(conn, TransactionBehavior::Immediate).at(path)
}

pub(crate) fn find(conn: &Connection, path: &Path, id: &str) -> Result<PersonRow> {
    let query = format!("SELECT {PERSON_COLUMNS} FROM people p WHERE p.id = ?1");
    let row = conn.query_row(&query, [id], PersonRow::read).optional().at(path)?;
    row.ok_or_else(|| StoreError::UnknownPerson { id: id.to_owned() })
}

pub(crate) fn unreadable(path: &Path, id: &str, no_key: NoKey) -> StoreError {
    let what = match no_key {
        NoKey::Erased => format!("`{id}` was erased or changed, and these rows come from an older copy"),
        NoKey::Damaged => format!("the rows of `{id}` do not open: they were altered, or some come from an older copy"),
    };
    StoreError::damaged(path, what)
}

/// Calls `each` with every reference (of one person, or of all), by person and number.
fn for_references(
    conn: &Connection,
    key: Option<u32>,
    mut each: impl FnMut(u32, ReferenceInfo, &[u8]),
) -> rusqlite::Result<()> {
    // Two conditions and not one with OR, which would read everybody's references.
    let whose = if key.is_some() { "r.person_key = ?1" } else { "?1 IS NULL" };
    let mut query = conn.prepare(&format!(
        "SELECT r.person_key, r.number, r.encoder, r.created_ms, p.number IS NOT NULL, r.vector \
         FROM refs r LEFT JOIN pictures p USING (person_key, number) \
         WHERE {whose} ORDER BY r.person_key, r.number"
    ))?;
    let mut rows = query.query([key])?;
    while let Some(row) = rows.next()? {
        let info = ReferenceInfo {
            number: row.get(1)?,
            encoder_sha256: row.get(2)?,
            created_ms: row.get(3)?,
            has_picture: row.get(4)?,
        };
        each(row.get(0)?, info, row.get_ref(5)?.as_blob()?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record as it was written before days were kept as days.
    const OLD: &str = r#"{"name":"Ana","suspended":false,"valid_from_ms":null,"valid_until_ms":1798729200000,"created_ms":1700000000000}"#;

    #[test]
    fn a_record_from_before_days_were_kept_is_read_and_one_without_days_is_written_the_same() {
        let old: Record = serde_json::from_str(OLD).unwrap();
        let access = Access { valid_until_ms: Some(1_798_729_200_000), ..Access::default() };
        assert_eq!((old.admission(), old.newest_ms()), (access.into(), 1_700_000_000_000));
        let new = Record::new("Ana", &access.into(), 1_700_000_000_000);
        assert_eq!(serde_json::to_string(&new).unwrap(), OLD);
    }

    #[test]
    fn a_day_is_written_beside_its_instant_which_older_programs_read() {
        let until = Edge::end_of(Day::new("2026-12-31".parse().unwrap(), "Asia/Seoul"));
        let admission = Admission { until, ..Admission::default() };
        let json = serde_json::to_value(Record::new("Ana", &admission, 5)).unwrap();
        assert_eq!(json["valid_until_ms"], 1_798_729_200_000_i64);
        assert_eq!(json["valid_until_day"], serde_json::json!({"day": "2026-12-31", "zone": "Asia/Seoul"}));
        let read: Record = serde_json::from_value(json).unwrap();
        assert_eq!(read.admission(), admission);
    }
}
