//! Making and opening a store: files, pragmas, checks. What is done with it is in `people`, `gallery` and `check`.

use std::fmt;
use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use gate_guard::files;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};

use crate::anchor::Anchor;
use crate::day::zone_rules_mark;
use crate::epoch::{Count, Head, Phase, Register};
use crate::error::SqlAt;
use crate::key::{SiteKey, sync_parent};
use crate::keys::Keys;
use crate::reader::{self, CheckedShape, Deadline};
use crate::seal::random;
use crate::slots::{self, Mark, SlotFile};
use crate::{Result, StoreError, schema, upgrade};

pub(crate) const FILE: &str = "people.db";
/// How long another program's lock is waited for.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const FIRST_EPOCH: u64 = 1;

/// One connection to the store. Each thread opens its own; processes share the files.
pub struct Store {
    pub(crate) conn: Connection,
    /// The database's path, for messages.
    pub(crate) path: PathBuf,
    pub(crate) slots: SlotFile,
    pub(crate) keys: Keys,
    pub(crate) anchor: Anchor,
    pub(crate) deadline: Deadline,
    pub(crate) shape: CheckedShape,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes an empty store in `dir` (made with mode 0700 if missing), sealed with `key`, and opens it.
    ///
    /// The anchor is made beside it, and one that is there takes the new store for its own.
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
        let lock = locked.map_err(|error| StoreError::io("lock", dir, error))?;
        // A link, even one that leads nowhere, is in the way like a file.
        if fs::symlink_metadata(&path).is_ok() {
            return Err(StoreError::AlreadyThere { path });
        }
        let mut store_mark = Mark::default();
        random(&mut store_mark)?;
        let keys = Keys::new(key, store_mark);
        let head = Head { epoch: FIRST_EPOCH, base: 0, phase: Phase::Clean, next_person: 1 };
        SlotFile::create(dir, &store_mark, &keys.seal_head(&head)?)?;
        // Complete under another name first: a set-up cut short leaves no half a store.
        let draft = dir.join("people.db.new");
        write_draft(&draft, &keys)?;
        Anchor::new(&Anchor::place(dir)?, key).accept(&store_mark, FIRST_EPOCH, dir)?;
        let synced = files::open_read(&draft).and_then(|file| file.sync_all());
        synced.and_then(|()| fs::rename(&draft, &path)).map_err(|error| StoreError::io("create", &path, error))?;
        sync_parent(&path)?;
        drop(lock); // writers take it, too
        Store::open(dir, key)
    }

    /// Opens the store for reading and writing, upgrades an older schema, completes a change that was cut short.
    ///
    /// # Errors
    /// [`StoreError::NotThere`], [`StoreError::WrongKey`], [`StoreError::Damaged`], [`StoreError::NotOurs`],
    /// [`StoreError::Shape`], [`StoreError::NewerSchema`], or what the system says. [`StoreError::RolledBack`],
    /// [`StoreError::Anchor`]: older files were put back.
    pub fn open(dir: &Path, key: &SiteKey) -> Result<Store> {
        let mut store = Store::open_unproved(dir, key)?;
        let snapshot = store.snapshot()?;
        let head = store.keys.head(&snapshot.slots);
        drop(snapshot);
        if head.is_some_and(|(head, _)| head.phase != Phase::Clean) {
            store.change(|_| Ok(()))?;
        }
        Ok(store)
    }

    /// Opens the store for writing without the proof that it is of the present: to bring that about.
    pub(crate) fn open_unproved(dir: &Path, key: &SiteKey) -> Result<Store> {
        let path = existing(dir)?;
        let conn = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let found = schema::check(&conn, &path)?;
        configure_writer(&conn, &path)?;
        let anchor = Anchor::new(&Anchor::place(dir)?, key);
        if found < schema::VERSION {
            upgrade::upgrade(&conn, &path, key, &anchor)?;
        }
        let shape = CheckedShape::default();
        shape.check(&conn.unchecked_transaction().at(&path)?, &path)?;
        let keys = Keys::unlock(&conn, &path, key)?;
        upgrade::complete(&path, &keys)?;
        let slots = SlotFile::open(dir, &keys.store_mark, true)?;
        Ok(Store { conn, path, slots, keys, anchor, deadline: Deadline::none(), shape })
    }

    /// Opens the store for reading. Changes by others are seen.
    ///
    /// SQLite needs its `-shm` file for that: it is made if missing, so the daemon runs as the store's owner. On a
    /// file system mounted read-only, where nobody can change the store, it is read as it stands instead.
    ///
    /// # Errors
    /// As [`Store::open`]; [`StoreError::TooSlow`]; [`StoreError::OlderSchema`] in place of an upgrade;
    /// [`StoreError::Damaged`] on a read-only file system when changes are still in the write-ahead log, where they cannot
    /// be read.
    pub fn open_read_only(dir: &Path, key: &SiteKey) -> Result<Store> {
        let path = existing(dir)?;
        let mut conn = match on_read_only_file_system(dir) {
            false => connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?,
            true => connect_immutable(&path)?,
        };
        let opening = Deadline::set(&mut conn, reader::OPEN_MAX).at(&path)?;
        let reading = opening.begin();
        let found = schema::check(&conn, &path)?;
        if found < schema::VERSION {
            return Err(StoreError::OlderSchema { path, found, known: schema::VERSION });
        }
        let shape = CheckedShape::default();
        shape.check(&conn.unchecked_transaction().at(&path)?, &path)?;
        let keys = Keys::unlock(&conn, &path, key)?;
        if upgrade::is_incomplete(&path, &keys) {
            return Err(StoreError::OlderSchema { path, found: found - 1, known: schema::VERSION });
        }
        let slots = SlotFile::open(dir, &keys.store_mark, false)?;
        let anchor = Anchor::new(&Anchor::place(dir)?, key);
        let store = Store { conn, path, slots, keys, anchor, deadline: Deadline::none(), shape };
        store.snapshot()?;
        drop(reading);
        Ok(store)
    }

    /// A number that differs from the last one when anybody, this connection included, has committed a change in
    /// between, or when the files were taken away, exchanged or written over, or this machine's time zone rules were. Some
    /// microseconds: meant to be polled. It may also differ without a change.
    ///
    /// When it differs, open the store anew: this connection would go on reading the files it once opened, even when
    /// they are deleted or a backup has taken their place.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn change_mark(&self) -> Result<u64> {
        let _reading = self.deadline.begin();
        let mut query = self.conn.prepare_cached("PRAGMA data_version").at(&self.path)?;
        // data_version counts the others' commits, total_changes our own rows.
        let others: i64 = query.query_row([], |row| row.get(0)).at(&self.path)?;
        let database =
            fs::symlink_metadata(&self.path).map(|m| (m.dev(), m.ino(), m.size(), m.ctime(), m.ctime_nsec()));
        // Written before each commit: what is in it changes with the database.
        let keys = fs::symlink_metadata(self.path.with_file_name(slots::FILE)).map(|m| (m.dev(), m.ino()));
        let mut hasher = DefaultHasher::new();
        (others, self.conn.total_changes(), database.ok(), keys.ok(), zone_rules_mark()).hash(&mut hasher);
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

/// Opens a database for writing.
pub(crate) fn connect_to_write(path: &Path) -> Result<Connection> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
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

/// What every connection needs.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    reader::harden(conn)?;
    conn.pragma_update(None, "foreign_keys", true)
}

pub(crate) fn configure_writer(conn: &Connection, path: &Path) -> Result<()> {
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

/// A complete, empty database at `draft`.
fn write_draft(draft: &Path, keys: &Keys) -> Result<()> {
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
    let register = Register { epoch: FIRST_EPOCH, count: Count::default() };
    let insert = "INSERT INTO meta (name, value) VALUES (?1, ?2)";
    tx.execute(insert, ("store", keys.store_mark.as_slice())).at(draft)?;
    tx.execute(insert, ("canary", &keys.canary()?)).at(draft)?;
    tx.execute(insert, ("register", &keys.seal_register(&register)?)).at(draft)?;
    tx.commit().at(draft)?;
    // Closing the only connection moves the log's content into the file.
    conn.close().map_err(|(_, error)| StoreError::from_sql(draft, error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Admission, NewPerson, NewReference};

    const ENCODER: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

    /// A folder for a store, in a temporary one that its anchor is in, too.
    fn folder() -> (tempfile::TempDir, PathBuf) {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("store");
        fs::create_dir(&dir).unwrap();
        (outer, dir)
    }

    fn add(store: &mut Store, id: &str, picture: &[u8]) -> Result<()> {
        let reference = NewReference { encoder_sha256: ENCODER, vector: &[0.6, 0.8], picture: Some(picture) };
        store.add_person(&NewPerson { id, name: "Ana", admission: Admission::ALWAYS }, &[reference]).map(|_| ())
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
        let ((_outer, here), (_other_outer, other)) = (folder(), folder());
        let key = SiteKey::generate().unwrap();
        for dir in [&here, &other] {
            drop(Store::init(dir, &key).unwrap());
        }
        let store = Store::open_read_only(&here, &key).unwrap();
        let mut marks = vec![store.change_mark().unwrap()];
        assert_eq!(store.change_mark().unwrap(), marks[0]);
        for file in [FILE, slots::FILE] {
            fs::rename(other.join(file), here.join(file)).unwrap();
            marks.push(store.change_mark().unwrap());
        }
        let bytes = fs::read(here.join(FILE)).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // longer than the file system's clock ticks
        fs::write(here.join(FILE), bytes).unwrap();
        marks.push(store.change_mark().unwrap());
        fs::remove_file(here.join(FILE)).unwrap();
        marks.push(store.change_mark().unwrap());
        let count = marks.len();
        marks.sort_unstable();
        marks.dedup();
        assert_eq!(marks.len(), count, "each change has its own mark");
    }

    #[test]
    fn a_full_device_is_told_and_loses_nothing() {
        let (_outer, dir) = folder();
        let key = SiteKey::generate().unwrap();
        let mut store = Store::init(&dir, &key).unwrap();
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
        let (_outer, dir) = folder();
        let key = SiteKey::generate().unwrap();
        // Version 0: ours, without a table. The migrations make the rest, but only the writer may.
        let conn = Connection::open(dir.join(FILE)).unwrap();
        conn.pragma_update(None, "application_id", schema::APPLICATION_ID).unwrap();
        drop(conn);
        assert!(matches!(Store::open_read_only(&dir, &key), Err(StoreError::OlderSchema { found: 0, .. })));
        let error = Store::open(&dir, &key).unwrap_err();
        assert!(error.to_string().contains("`store` entry is missing"), "{error}");
        // An upgrade that cannot be completed changes nothing.
        let conn = Connection::open(dir.join(FILE)).unwrap();
        let version: i64 = conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!(version, 0);
    }
}
