//! Bounds on reading a database that anybody may have written.
//!
//! Sealing protects what a row says. It does not protect the program from a file that is made to be read for ever: a
//! view without end in place of a table, a value of gigabytes, a disk that answers once a minute. Every connection gets
//! [`harden`], every opening [`CheckedShape`], and every reader a [`Deadline`]: for opening, and for each read of the gate.
//!
//! ```text
//!  open ── harden ── CheckedShape ──▶ Store ──▶ a read: Deadline::begin ── statements ── dropped
//!                                                       └── progress handler: past the deadline? interrupted
//! ```

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, Transaction};

use crate::error::SqlAt;
use crate::store::{BUSY_TIMEOUT, Store};
use crate::{MAX_PICTURE_BYTES, Result, StoreError, schema};

/// No value and no row that this program writes is longer, in bytes: the longest is a sealed picture.
const LENGTH_MAX: i32 = 2 * MAX_PICTURE_BYTES as i32;
/// Instructions of SQLite's virtual machine between two looks at the clock: well under a millisecond.
const CLOCK_EVERY: i32 = 4_000;
/// Opening reads a header, the schema and three rows.
pub(crate) const OPEN_MAX: Duration = Duration::from_secs(10);
/// "No read is under way."
const NEVER: u64 = u64::MAX;

/// Sets what every connection needs: nothing that the file's schema was made to do is done.
pub(crate) fn harden(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, LENGTH_MAX)?;
    conn.pragma_update(None, "cell_size_check", true)
}

/// The schema that was found to be ours, as SQLite counts its changes. A connection reads by the schema that it has parsed
/// until that number changes, so one check serves for as long.
#[derive(Debug, Default)]
pub(crate) struct CheckedShape(Cell<Option<i64>>);

impl CheckedShape {
    /// Refuses a database whose tables are not those that the migrations make: each a real table with the same columns,
    /// and no view, trigger or virtual table anywhere. A table that a migration adds is expected from then on. Call it in
    /// a transaction, which it makes a snapshot.
    ///
    /// # Errors
    /// [`StoreError::Shape`], with the first object that is not as it should be.
    pub(crate) fn check(&self, conn: &Transaction<'_>, path: &Path) -> Result<()> {
        let mut query = conn.prepare_cached("PRAGMA schema_version").at(path)?;
        let version = query.query_row([], |row| row.get(0)).at(path)?;
        if self.0.get() != Some(version) {
            check_shape(conn, path)?;
            self.0.set(Some(version));
        }
        Ok(())
    }
}

fn check_shape(conn: &Connection, path: &Path) -> Result<()> {
    let refuse = |what: String| Err(StoreError::Shape { path: path.to_path_buf(), what });

    // Views, triggers and virtual tables have no page of their own.
    let query = "SELECT type, name FROM sqlite_schema \
                 WHERE type NOT IN ('table', 'index') OR coalesce(rootpage, 0) <= 0 LIMIT 1";
    let mut objects = conn.prepare(query).at(path)?;
    let mut found = objects.query([]).at(path)?;
    if let Some(row) = found.next().at(path)? {
        let (kind, name): (String, String) = (row.get(0).at(path)?, row.get(1).at(path)?);
        return refuse(format!("it has a {kind} `{name}` that is not one of its tables"));
    }

    // What the file says of an object's type can be a lie; what SQLite has made of it is not.
    let expected = Connection::open_in_memory().at(path)?;
    schema::migrate(&expected, path)?;
    let (expected, found) = (columns(&expected).at(path)?, columns(conn).at(path)?);
    for column in &expected {
        if !found.contains(column) {
            return refuse(format!("its table `{}` has no column `{}` as it should be", column.table, column.name));
        }
    }
    let is_ours = |table: &str| expected.iter().any(|column| column.table == table);
    match found.iter().find(|column| is_ours(&column.table) && !expected.contains(column)) {
        Some(other) => refuse(format!("its table `{}` has a column `{}` of another kind", other.table, other.name)),
        None => Ok(()),
    }
}

/// A column of a table, with all that decides how it is read.
#[derive(PartialEq, Eq)]
struct Column {
    table: String,
    name: String,
    kind: String,
    /// Whether SQLite holds the table's values to their types.
    is_strict: bool,
    is_not_null: bool,
    /// Its place in the primary key, from 1; 0 = not in it.
    in_key: i64,
    /// 0 = stored in the row. Anything else is computed or hidden.
    hidden: i64,
}

/// The columns of every real table.
fn columns(conn: &Connection) -> rusqlite::Result<Vec<Column>> {
    let query = "SELECT t.name, c.name, c.type, t.strict, c.\"notnull\", c.pk, c.hidden \
                 FROM pragma_table_list AS t JOIN pragma_table_xinfo(t.name, 'main') AS c \
                 WHERE t.schema = 'main' AND t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut query = conn.prepare(query)?;
    let columns = query.query_map([], |row| {
        Ok(Column {
            table: row.get(0)?,
            name: row.get(1)?,
            kind: row.get(2)?,
            is_strict: row.get(3)?,
            is_not_null: row.get(4)?,
            in_key: row.get(5)?,
            hidden: row.get(6)?,
        })
    })?;
    columns.collect()
}

/// How long one read of a connection may take; without a limit it never interrupts.
#[derive(Debug)]
pub(crate) struct Deadline {
    longest: Option<Duration>,
    began: Instant,
    /// Milliseconds from `began`, or [`NEVER`]. Shared with the progress handler.
    until_ms: Arc<AtomicU64>,
}

impl Deadline {
    /// For a connection whose user can end the program.
    pub(crate) fn none() -> Self {
        Self { longest: None, began: Instant::now(), until_ms: Arc::new(AtomicU64::new(NEVER)) }
    }

    /// From now on no read on `conn` goes on for longer than this.
    pub(crate) fn set(conn: &mut Connection, longest: Duration) -> rusqlite::Result<Self> {
        let deadline = Self { longest: Some(longest), ..Self::none() };
        let (began, until_ms) = (deadline.began, Arc::clone(&deadline.until_ms));
        conn.progress_handler(CLOCK_EVERY, Some(move || began.elapsed().as_millis() as u64 >= until_ms.load(Relaxed)))?;
        Ok(deadline)
    }

    /// Begins a read; dropping the guard ends it.
    pub(crate) fn begin(&self) -> Reading<'_> {
        if let Some(longest) = self.longest {
            let until = self.began.elapsed().saturating_add(longest).as_millis();
            self.until_ms.store(u64::try_from(until).unwrap_or(NEVER), Relaxed);
        }
        Reading(self)
    }
}

impl Store {
    /// Gives up [`Store::change_mark`] and loading the gallery after `longest` each, for a program that nobody sits in
    /// front of. A disk that does not answer at all cannot be given up: watch the thread as well.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn limit_reads(&mut self, longest: Duration) -> Result<()> {
        self.deadline = Deadline::set(&mut self.conn, longest).at(&self.path)?;
        self.conn.busy_timeout(longest.min(BUSY_TIMEOUT)).at(&self.path)
    }
}

/// A read under way.
#[must_use = "the deadline holds while this lives"]
pub(crate) struct Reading<'a>(&'a Deadline);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.until_ms.store(NEVER, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_without_end_is_interrupted_and_the_next_read_works() {
        let mut conn = Connection::open_in_memory().unwrap();
        let deadline = Deadline::set(&mut conn, Duration::from_millis(50)).unwrap();
        let endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n";
        let start = Instant::now();
        let reading = deadline.begin();
        let error = conn.query_row(endless, [], |_| Ok(())).at(Path::new("people.db")).unwrap_err();
        assert!(matches!(error, StoreError::TooSlow { .. }), "{error}");
        assert!(start.elapsed() >= Duration::from_millis(50));
        drop(reading);

        let _reading = deadline.begin();
        conn.query_row("SELECT 1", [], |_| Ok(())).unwrap();
    }

    #[test]
    fn a_value_longer_than_any_of_ours_is_refused() {
        let conn = Connection::open_in_memory().unwrap();
        harden(&conn).unwrap();
        let long = conn.query_row("SELECT zeroblob(100000000)", [], |_| Ok(())).at(Path::new("people.db"));
        assert!(matches!(long, Err(StoreError::Damaged { .. })), "{long:?}");
    }
}
