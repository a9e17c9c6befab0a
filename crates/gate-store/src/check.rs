//! Examining a store from end to end: the files, and whether everything in them opens.

use zeroize::Zeroizing;

use crate::Result;
use crate::StoreError;
use crate::epoch::Count;
use crate::error::SqlAt;
use crate::keys::NoKey;
use crate::people::{PERSON_COLUMNS, PersonRow, Record, reference_list};
use crate::seal::{Bound, Sealer};
use crate::store::Store;

/// What [`Store::check`] found. (That the site key is right was proved when the store was opened.)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// People whose record opens.
    pub people: usize,
    /// People whose record opens and says that no live camera has confirmed their pictures.
    pub unconfirmed: usize,
    /// References that open.
    pub references: usize,
    /// Pictures that open.
    pub pictures: usize,
    /// References by encoder; those of another encoder than the configured one are foreign, and never compared.
    pub encoders: Vec<EncoderCount>,
    /// Ids of people with anything that does not open: altered, moved, or without its key.
    pub damaged: Vec<String>,
    /// Ids of people who were erased or changed, and whose rows came back from an older copy of the database.
    pub erased: Vec<String>,
    /// Why the rows are not those of the store's present state, and whom that concerns; `None` when they are.
    pub rolled_back: Option<String>,
    /// What SQLite finds wrong with the file's structure; empty when it is sound.
    pub structure: Vec<String>,
}

/// How many references one encoder made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncoderCount {
    /// sha256 of the encoder's file.
    pub encoder_sha256: String,
    /// How many references it made, whether they open or not.
    pub references: usize,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damaged.is_empty() && self.erased.is_empty() && self.rolled_back.is_none() && self.structure.is_empty()
    }
}

impl Store {
    /// Examines the database's structure and opens every record, reference and picture. Reads everything: seconds
    /// to minutes when many pictures are kept.
    ///
    /// # Errors
    /// What SQLite or the system says; [`StoreError::RolledBack`] when a whole file is older than the other one or the
    /// anchor. What else is found wrong is no error: it stands in the report.
    pub fn check(&self) -> Result<CheckReport> {
        let snapshot = self.snapshot()?;
        let tx = &snapshot.tx;
        let mut report = CheckReport { structure: self.structure()?, ..CheckReport::default() };
        let (mut bound, mut count) = (Bound::default(), Count::default());
        self.count_encoders(&mut report)?;
        let mut query =
            tx.prepare(&format!("SELECT {PERSON_COLUMNS} FROM people p ORDER BY p.person_key")).at(&self.path)?;
        for row in query.query_map([], PersonRow::read).at(&self.path)? {
            let row = row.at(&self.path)?;
            count.add(self.keys.term(row.key, &row.id, &row.slot));
            match self.keys.unwrap(&mut bound, &snapshot.slots, &row.slot, row.key, &row.id) {
                Ok(data_key) if self.check_person(&Sealer::new(&data_key), &row, &mut report)? => {}
                Ok(_) | Err(NoKey::Damaged) => report.damaged.push(row.id),
                Err(NoKey::Erased) => report.erased.push(row.id),
            }
        }
        report.rolled_back = match self.account(&snapshot, count) {
            Ok(()) => None,
            Err(error @ StoreError::RolledBack { .. }) => Some(error.to_string()),
            Err(error) => return Err(error),
        };
        Ok(report)
    }

    fn structure(&self) -> Result<Vec<String>> {
        let mut query = self.conn.prepare("PRAGMA quick_check").at(&self.path)?;
        let lines = query.query_map([], |row| row.get(0)).and_then(Iterator::collect);
        let mut lines: Vec<String> = lines.at(&self.path)?;
        lines.retain(|line| line != "ok");
        let mut query = self.conn.prepare("PRAGMA foreign_key_check").at(&self.path)?;
        let mut rows = query.query([]).at(&self.path)?;
        while let Some(row) = rows.next().at(&self.path)? {
            let table: String = row.get(0).at(&self.path)?;
            lines.push(format!("a row of `{table}` belongs to nobody"));
        }
        Ok(lines)
    }

    fn count_encoders(&self, report: &mut CheckReport) -> Result<()> {
        let query = "SELECT encoder, count(*) FROM refs GROUP BY encoder ORDER BY encoder";
        let mut query = self.conn.prepare(query).at(&self.path)?;
        let rows = query.query_map([], |row| {
            Ok(EncoderCount { encoder_sha256: row.get(0)?, references: row.get::<_, u32>(1)? as usize })
        });
        report.encoders = rows.and_then(Iterator::collect).at(&self.path)?;
        Ok(())
    }

    /// Counts what opens of one person; `false` when something does not.
    fn check_person(&self, sealer: &Sealer, row: &PersonRow, report: &mut CheckReport) -> Result<bool> {
        let mut bound = Bound::default();
        let mut plain = Zeroizing::new(Vec::new());
        let list = reference_list(&self.conn, &self.path, row.key)?;
        let bound = bound.record(row.key, &row.id, &row.slot.mark, &list);
        let record = Record::open(sealer, bound, &row.record, &mut plain);
        let references = self.check_references(sealer, row, &mut plain).at(&self.path)?;
        let pictures = self.check_pictures(sealer, row, &mut plain).at(&self.path)?;
        report.people += usize::from(record.is_some());
        report.unconfirmed += usize::from(record.as_ref().is_some_and(|record| !record.is_confirmed()));
        report.references += references.0;
        report.pictures += pictures.0;
        Ok(record.is_some() && references.1 && pictures.1)
    }

    /// How many open, and whether all do.
    fn check_references(
        &self,
        sealer: &Sealer,
        row: &PersonRow,
        plain: &mut Vec<u8>,
    ) -> rusqlite::Result<(usize, bool)> {
        let mut bound = Bound::default();
        let mut query = self.conn.prepare_cached("SELECT number, encoder, vector FROM refs WHERE person_key = ?1")?;
        let mut rows = query.query([row.key])?;
        let mut counted = (0, true);
        while let Some(found) = rows.next()? {
            let bound = bound.reference(row.key, &row.id, found.get_ref(1)?.as_str()?, found.get(0)?);
            let opens = sealer.open(bound, found.get_ref(2)?.as_blob()?, plain);
            counted = (counted.0 + usize::from(opens), counted.1 && opens);
        }
        Ok(counted)
    }

    /// How many open, and whether all do.
    fn check_pictures(&self, sealer: &Sealer, row: &PersonRow, plain: &mut Vec<u8>) -> rusqlite::Result<(usize, bool)> {
        let mut bound = Bound::default();
        let mut query = self.conn.prepare_cached("SELECT number, picture FROM pictures WHERE person_key = ?1")?;
        let mut rows = query.query([row.key])?;
        let mut counted = (0, true);
        while let Some(found) = rows.next()? {
            let bound = bound.picture(row.key, &row.id, found.get(0)?);
            let opens = sealer.open(bound, found.get_ref(1)?.as_blob()?, plain);
            counted = (counted.0 + usize::from(opens), counted.1 && opens);
        }
        Ok(counted)
    }
}
