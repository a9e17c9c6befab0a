//! Making and opening a store: files, pragmas, checks. What is done with it is in `people`, `gallery` and `check`.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gate_guard::files;
use gate_guard::memory::Locked;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction, TransactionBehavior};
use zeroize::Zeroizing;

use crate::error::SqlAt;
use crate::key::{SiteKey, sync_parent};
use crate::schema;
use crate::seal::{Bound, KEY_BYTES, Sealer, random};
use crate::slots::{self, Mark, Slot, SlotFile, SlotRef, Slots};
use crate::{Result, StoreError};

const FILE: &str = "people.db";
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const CANARY: &[u8] = b"the site key of this store";

/// One connection to the store. Each thread opens its own; processes share the files.
pub struct Store {
    pub(crate) conn: Connection,
    /// The database's path, for messages.
    pub(crate) path: PathBuf,
    pub(crate) slots: SlotFile,
    pub(crate) keys: Keys,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Wraps and unwraps data keys.
pub(crate) struct Keys {
    site: Locked<Sealer>,
    pub(crate) store_mark: Mark,
}

/// Why a person's data key cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// It was destroyed: the person was erased, these rows come out of an older copy.
    Erased,
    /// It is missing or does not belong to this person.
    Damaged,
}

impl Keys {
    /// Wraps `data_key` for one person.
    pub(crate) fn wrap(&self, bound: &mut Bound, person: u32, id: &str, data_key: &[u8]) -> Result<Vec<u8>> {
        self.site.get().seal(bound.data_key(&self.store_mark, person, id), data_key)
    }

    /// The sealer of one person, or why there is none.
    pub(crate) fn unwrap(
        &self,
        bound: &mut Bound,
        slots: &Slots,
        slot: &SlotRef,
        person: u32,
        id: &str,
    ) -> std::result::Result<Sealer, NoKey> {
        let wrapped = match slots.get(slot) {
            Slot::Key(wrapped) => wrapped,
            Slot::Erased => return Err(NoKey::Erased),
            Slot::Missing => return Err(NoKey::Damaged),
        };
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
        if !self.site.get().open(bound.data_key(&self.store_mark, person, id), wrapped, &mut plain) {
            return Err(NoKey::Damaged);
        }
        plain.as_slice().try_into().map(Sealer::new).map_err(|_| NoKey::Damaged)
    }
}

impl Store {
    /// Makes an empty store in `dir` (made with mode 0700 if missing), sealed with `key`, and opens it.
    ///
    /// A set-up that is cut short leaves nothing that [`Store::open`] would take for a store; run it again.
    ///
    /// # Errors
    /// [`StoreError::AlreadyThere`] when there is a store; nothing is changed then.
    pub fn init(dir: &Path, key: &SiteKey) -> Result<Store> {
        let path = dir.join(FILE);
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| StoreError::io("create", dir, error))?;
        // Two set-ups at once would write into each other's files. The lock goes with the handle.
        let locked = File::open(dir).and_then(|handle| handle.lock().map(|()| handle));
        let _lock = locked.map_err(|error| StoreError::io("lock", dir, error))?;
        // A link, even one that leads nowhere, is in the way like a file.
        if fs::symlink_metadata(&path).is_ok() {
            return Err(StoreError::AlreadyThere { path });
        }
        let mut store_mark = Mark::default();
        random(&mut store_mark)?;
        SlotFile::create(dir, &store_mark)?;
        // Complete under another name first: a set-up cut short leaves no half a store.
        let draft = dir.join("people.db.new");
        write_draft(&draft, key, &store_mark)?;
        let synced = files::open_read(&draft).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(&draft, &path)).map_err(|error| StoreError::io("create", &path, error))?;
        sync_parent(&path)?;
        Store::open(dir, key)
    }

    /// Opens the store for reading and writing, upgrades an older schema, completes an erasure that was cut short.
    ///
    /// # Errors
    /// [`StoreError::NotThere`], [`StoreError::WrongKey`], [`StoreError::Damaged`], [`StoreError::NotOurs`],
    /// [`StoreError::NewerSchema`], or what the system says.
    pub fn open(dir: &Path, key: &SiteKey) -> Result<Store> {
        let path = existing(dir)?;
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        if schema::check(&conn, &path)? < schema::VERSION {
            let tx = Transaction::new_unchecked(&conn, TransactionBehavior::Immediate).at(&path)?;
            schema::migrate(&tx, &path)?;
            tx.commit().at(&path)?;
        }
        configure_writer(&conn, &path)?;
        let keys = unlock(&conn, &path, key)?;
        let slots = SlotFile::open(dir, &keys.store_mark, true)?;
        let mut store = Store { conn, path, slots, keys };
        store.finish_erasures()?;
        Ok(store)
    }

    /// Opens the store for reading, as the daemon does. Changes by others are seen.
    ///
    /// SQLite needs its `-shm` file for that: it is made if missing, so the daemon runs as the store's owner. On a
    /// file system mounted read-only, where nobody can change the store, it is read as it stands instead.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::OlderSchema`] in place of an upgrade; [`StoreError::Damaged`] on a
    /// read-only file system when changes are still in the write-ahead log, where they cannot be read.
    pub fn open_read_only(dir: &Path, key: &SiteKey) -> Result<Store> {
        let path = existing(dir)?;
        let conn = match on_read_only_file_system(dir) {
            false => connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            true => connect_immutable(&path)?,
        };
        let found = schema::check(&conn, &path)?;
        if found < schema::VERSION {
            return Err(StoreError::OlderSchema { path, found, known: schema::VERSION });
        }
        let keys = unlock(&conn, &path, key)?;
        let slots = SlotFile::open(dir, &keys.store_mark, false)?;
        Ok(Store { conn, path, slots, keys })
    }

    /// A number that differs from the last one when anybody, this connection included, has committed a change in
    /// between, or when the files were taken away, exchanged or written over. Some microseconds: meant to be polled.
    /// It may also differ without a change.
    ///
    /// When it differs, open the store anew: this connection would go on reading the files it once opened, even when
    /// they are deleted or a backup has taken their place.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn change_mark(&self) -> Result<u64> {
        let mut query = self.conn.prepare_cached("PRAGMA data_version").at(&self.path)?;
        // data_version counts the others' commits, total_changes our own rows.
        let others: i64 = query.query_row([], |row| row.get(0)).at(&self.path)?;
        let database =
            fs::symlink_metadata(&self.path).map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        // Written before each commit: what is in it changes with the database.
        let keys = fs::symlink_metadata(self.path.with_file_name(slots::FILE)).map(|m| (m.dev(), m.ino()));
        let mut hasher = DefaultHasher::new();
        (others, self.conn.total_changes(), database.ok(), keys.ok()).hash(&mut hasher);
        Ok(hasher.finish())
    }
}

/// The database's path, if it is there.
fn existing(dir: &Path) -> Result<PathBuf> {
    let path = dir.join(FILE);
    let found = fs::symlink_metadata(&path).and_then(|meta| files::is_regular(&meta).map(|()| meta.len()));
    match found {
        Ok(0) => Err(StoreError::damaged(&path, "the file is empty")),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::NotThere { path }),
        Err(error) => Err(StoreError::io("open", &path, error)),
    }
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection> {
    let flags = mode | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(real_place(path)?, flags).at(path)?;
    configure(&conn).at(path)?;
    Ok(conn)
}

/// The file under its own name in its real folder. SQLite's `NOFOLLOW` refuses a link anywhere in the path; only one
/// in place of the file itself is a danger, and that one is left as it is, for SQLite to refuse.
fn real_place(path: &Path) -> Result<PathBuf> {
    let (folder, name) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let real = folder.canonicalize().map_err(|error| StoreError::io("open", path, error))?;
    Ok(real.join(name))
}

/// What every connection needs. Trust nothing that the file's schema might have been made to do.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "foreign_keys", true)
}

fn configure_writer(conn: &Connection, path: &Path) -> Result<()> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).at(path)?;
    if mode != "wal" {
        return Err(StoreError::damaged(path, format!("journal mode is `{mode}`, write-ahead logging is refused")));
    }
    conn.pragma_update(None, "synchronous", "FULL").at(path)?;
    conn.pragma_update_and_check(None, "secure_delete", "ON", |_| Ok(())).at(path)
}

/// Whether nobody can write in `dir`, as the system tells on the attempt. Mere lack of permission is no: others
/// could then change the store behind an immutable connection, and a suspended person would keep walking in.
fn on_read_only_file_system(dir: &Path) -> bool {
    let probe = dir.join(".people.db.probe");
    match files::create_new(&probe) {
        Ok(_) => {
            let _ = fs::remove_file(&probe); // an empty file left behind does no harm
            false
        }
        Err(error) => error.kind() == io::ErrorKind::ReadOnlyFilesystem,
    }
}

/// Opens a database that nobody can change.
fn connect_immutable(path: &Path) -> Result<Connection> {
    let log = path.with_extension("db-wal");
    if fs::symlink_metadata(&log).is_ok_and(|meta| meta.len() > 0) {
        let what = "changes are still in its write-ahead log, which needs a writable file system: mount it so once";
        return Err(StoreError::damaged(path, what));
    }
    let mut uri = String::from("file:");
    for byte in real_place(path)?.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let conn = Connection::open_with_flags(uri, flags).at(path)?;
    configure(&conn).at(path)?;
    Ok(conn)
}

/// A complete, empty store in one file at `draft`.
fn write_draft(draft: &Path, key: &SiteKey, store_mark: &Mark) -> Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut left = draft.as_os_str().to_owned();
        left.push(suffix);
        match fs::remove_file(&left) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", Path::new(&left), error));
            }
            _ => {}
        }
    }
    // SQLite would make it by the umask; its -wal and -shm inherit this mode.
    files::create_new(draft).map_err(|error| StoreError::io("create", draft, error))?;
    let mut conn = connect(draft, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    configure_writer(&conn, draft)?;
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).at(draft)?;
    tx.pragma_update(None, "application_id", schema::APPLICATION_ID).at(draft)?;
    schema::migrate(&tx, draft)?;
    let canary = key.sealer().seal(Bound::default().canary(store_mark), CANARY)?;
    let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
    tx.execute(insert, ("store", store_mark.as_slice())).at(draft)?;
    tx.execute(insert, ("canary", &canary)).at(draft)?;
    tx.commit().at(draft)?;
    // Closing the only connection moves the log's content into the file.
    conn.close().map_err(|(_, error)| StoreError::from_sql(draft, error))
}

/// Proves that `key` is the store's.
fn unlock(conn: &Connection, path: &Path, key: &SiteKey) -> Result<Keys> {
    let value = |name: &str| -> Result<Vec<u8>> {
        let query = "SELECT value FROM meta WHERE name = ?1";
        let value = conn.query_row(query, [name], |row| row.get(0)).optional().at(path)?;
        value.ok_or_else(|| StoreError::damaged(path, format!("its `{name}` entry is missing")))
    };
    let store_mark = Mark::try_from(value("store")?.as_slice());
    let store_mark = store_mark.map_err(|_| StoreError::damaged(path, "its `store` entry is malformed"))?;
    let site = Locked::new(key.sealer());
    let mut plain = Vec::new();
    if !site.get().open(Bound::default().canary(&store_mark), &value("canary")?, &mut plain) || plain != CANARY {
        return Err(StoreError::WrongKey { path: path.to_path_buf() });
    }
    Ok(Keys { site, store_mark })
}

#[cfg(test)]
mod tests {
    use gate_core::person::Access;

    use super::*;
    use crate::{NewPerson, NewReference};

    const ENCODER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

    fn add(store: &mut Store, id: &str, picture: &[u8]) -> Result<()> {
        let reference = NewReference { encoder_sha256: ENCODER, vector: &[0.6, 0.8], picture: Some(picture) };
        store.add_person(&NewPerson { id, name: "Ana", access: Access::default() }, &[reference]).map(|_| ())
    }

    #[test]
    fn a_store_nobody_can_change_is_read_without_its_log() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("a b%20?#ä");
        let key = SiteKey::generate().unwrap();
        let mut store = Store::init(&dir, &key).unwrap();
        add(&mut store, "ana", b"jpeg").unwrap();
        let error = connect_immutable(&dir.join(FILE)).unwrap_err();
        assert!(error.to_string().contains("write-ahead log"), "{error}");
        drop(store);
        let conn = connect_immutable(&dir.join(FILE)).unwrap();
        let people: u32 = conn.query_row("SELECT count(*) FROM people", [], |row| row.get(0)).unwrap();
        assert_eq!(people, 1);
        assert!(!dir.join("people.db-shm").exists());
        assert!(!on_read_only_file_system(&dir));
    }

    #[test]
    fn files_that_are_exchanged_taken_away_or_written_over_change_the_mark() {
        let (here, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let key = SiteKey::generate().unwrap();
        for dir in [here.path(), other.path()] {
            drop(Store::init(dir, &key).unwrap());
        }
        let store = Store::open_read_only(here.path(), &key).unwrap();
        let mut marks = vec![store.change_mark().unwrap()];
        assert_eq!(store.change_mark().unwrap(), marks[0]);
        for file in [FILE, slots::FILE] {
            fs::rename(other.path().join(file), here.path().join(file)).unwrap();
            marks.push(store.change_mark().unwrap());
        }
        let bytes = fs::read(here.path().join(FILE)).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // longer than the file system's clock ticks
        fs::write(here.path().join(FILE), bytes).unwrap();
        marks.push(store.change_mark().unwrap());
        fs::remove_file(here.path().join(FILE)).unwrap();
        marks.push(store.change_mark().unwrap());
        let count = marks.len();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), count, "each change has its own mark");
    }

    #[test]
    fn a_full_device_is_told_and_loses_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let key = SiteKey::generate().unwrap();
        let mut store = Store::init(dir.path(), &key).unwrap();
        store.conn.pragma_update_and_check(None, "max_page_count", 60, |_| Ok(())).unwrap();
        let mut added = 0;
        let full = loop {
            match add(&mut store, &format!("p{added}"), &[1; 9000]) {
                Ok(()) => added += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(full, StoreError::DiskFull { .. }), "{full}");
        let report = store.check().unwrap();
        assert!(report.is_sound());
        assert_eq!((report.people, report.pictures), (added, added));
        store.remove("p0").unwrap();
        add(&mut store, "new", &[1; 9000]).unwrap();
    }

    #[test]
    fn an_older_schema_is_upgraded_by_the_writer_and_told_by_the_reader() {
        let dir = tempfile::tempdir().unwrap();
        let key = SiteKey::generate().unwrap();
        // Version 0: ours, without a table. The migrations make the rest, but only the writer may.
        let conn = Connection::open(dir.path().join(FILE)).unwrap();
        conn.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
        drop(conn);
        assert!(matches!(Store::open_read_only(dir.path(), &key), Err(StoreError::OlderSchema { found: 0, .. })));
        let error = Store::open(dir.path(), &key).unwrap_err();
        assert!(error.to_string().contains("`store` entry is missing"), "{error}");
        let conn = Connection::open(dir.path().join(FILE)).unwrap();
        let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, schema::VERSION);
    }
}
