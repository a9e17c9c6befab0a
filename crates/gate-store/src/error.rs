//! What can go wrong in the store. Each message says what happened, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::{MAX_ID_CHARS, MAX_NAME_CHARS, MAX_PICTURE_BYTES, MAX_REFERENCES};

/// Why a store operation failed. Nothing was changed, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store in the directory.
    #[error("no store at {path}: make one with `enroll-tool init`, or correct the store's directory")]
    NotThere {
        /// The missing file.
        path: PathBuf,
    },
    /// `init` found a store, or a part of one.
    #[error("{path} is there already: nothing was changed; to start afresh, move it away first")]
    AlreadyThere {
        /// The file in the way.
        path: PathBuf,
    },
    /// The site key is not the one the store was made with.
    #[error("the site key does not open {path}: use the key this store was made with (or its backup)")]
    WrongKey {
        /// The database.
        path: PathBuf,
    },
    /// The site key's file cannot be used.
    #[error("site key {path}: {what}")]
    KeyFile {
        /// The key's file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// A file or a row is damaged, or was tampered with.
    #[error("{path} is damaged: {what}; restore it from a backup, or remove and enrol the people concerned again")]
    Damaged {
        /// The damaged file.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// The anchor cannot vouch for the store: it is missing, damaged, or another store's.
    #[error(
        "the anchor {path} {what}; see who is enrolled and accept it with `enroll-tool restore --accept`, or put the \
         store back that belongs here"
    )]
    Anchor {
        /// The anchor's file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Older bytes were put back into the store, or rows were taken out of it.
    #[error(
        "{path} is {what}{}. Nobody is let in by it: `enroll-tool restore --accept` shows whom that concerns and asks \
         what to do, or put the newest files back",
        concerned(people)
    )]
    RolledBack {
        /// The file that is not of the present.
        path: PathBuf,
        /// In which way: completes "the file is ...".
        what: String,
        /// Ids of the people concerned, as far as they can be told from the files.
        people: Vec<String>,
    },
    /// Somebody has changed the store since it was weighed what a restoration would do.
    #[error("{path} was changed meanwhile: nothing was restored; run it again to see what it would undo now")]
    ChangedMeanwhile {
        /// The database.
        path: PathBuf,
    },
    /// The change IS made, but the anchor does not know it yet.
    #[error(
        "the change was made, but the anchor {path} could not be raised: {source}; until it is, an older copy of the \
         whole store could pass for the present"
    )]
    AnchorBehind {
        /// The anchor's file.
        path: PathBuf,
        /// Why.
        source: Box<StoreError>,
    },
    /// A newer program made or upgraded the store.
    #[error("{path} has schema version {found}, this program knows versions up to {known}: update the program")]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// The version found in the file.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// The store has an older schema and was opened for reading only.
    #[error("{path} has schema version {found}, version {known} is needed: run `enroll-tool list` once to upgrade it")]
    OlderSchema {
        /// The database.
        path: PathBuf,
        /// The version found in the file.
        found: i64,
        /// The version this program needs.
        known: i64,
    },
    /// A SQLite database, but not a store of this gate; or no database at all.
    #[error("{path} is not a face-gate store ({what}): correct the store's directory, or restore a backup")]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What it seems to be.
        what: String,
    },
    /// The database's tables are not those of a store.
    #[error("{path} is not made as a face-gate store is ({what}): restore it from a backup")]
    Shape {
        /// The database.
        path: PathBuf,
        /// The first object that is not as it should be.
        what: String,
    },
    /// A read took longer than its limit and was given up.
    #[error(
        "{path} was not read within the time a read may take: the disk is failing, or the file is made to be read for \
         ever; look at the disk (`dmesg`), or restore the file from a backup"
    )]
    TooSlow {
        /// The database.
        path: PathBuf,
    },
    /// The program's own code failed while it opened people. Nobody is loaded.
    #[error("people from {path} could not be opened, a fault of this program ({what}): please report it")]
    Broken {
        /// The database.
        path: PathBuf,
        /// The panic's words.
        what: String,
    },
    /// Nobody has this id.
    #[error("nobody is enrolled as `{id}`: `enroll-tool list` shows who is")]
    UnknownPerson {
        /// The id asked for.
        id: String,
    },
    /// The id is taken.
    #[error("`{id}` is enrolled already: choose another id, or add a reference to this person")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// The id is not well formed.
    #[error("`{id}` is not a usable id: 1 to {MAX_ID_CHARS} of the characters A-Z a-z 0-9 . _ @ -")]
    BadId {
        /// The id.
        id: String,
    },
    /// The name is empty, too long, or holds characters that a terminal obeys.
    #[error(
        "the name of `{id}` is not usable: 1 to {MAX_NAME_CHARS} characters, none of them a control character or a mark \
         that changes the direction of text"
    )]
    BadName {
        /// The person's id.
        id: String,
    },
    /// The encoder's hash is not well formed.
    #[error("`{encoder}` is not an encoder's sha256: 64 lower-case hexadecimal digits are needed")]
    BadEncoder {
        /// What was given.
        encoder: String,
    },
    /// The reference vector cannot be one.
    #[error("the reference of `{id}` was refused: {what}; this is a fault of the encoder or of its model card")]
    BadVector {
        /// The person's id.
        id: String,
        /// What is wrong with the vector.
        what: String,
    },
    /// A person needs a reference to be recognised.
    #[error("`{id}` was not enrolled: at least one reference is needed")]
    NoReference {
        /// The person's id.
        id: String,
    },
    /// The person has as many references as allowed.
    #[error("`{id}` would have more than {MAX_REFERENCES} references, the most a person may have")]
    TooManyReferences {
        /// The person's id.
        id: String,
    },
    /// There is no such reference.
    #[error("`{id}` has no reference number {number}: `enroll-tool show` lists them")]
    UnknownReference {
        /// The person's id.
        id: String,
        /// The number asked for.
        number: u32,
    },
    /// The enrolment picture is too large to keep.
    #[error("the picture of `{id}` has {bytes} bytes, at most {MAX_PICTURE_BYTES} are kept: make it smaller")]
    PictureTooLarge {
        /// The person's id.
        id: String,
        /// The picture's size.
        bytes: usize,
    },
    /// Another process held the store for longer than the time-out.
    #[error("{path} is in use by another program: try again in a moment; see who it is with `fuser {path}`")]
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// The person IS removed and the data key IS destroyed, but old bytes are still in the write-ahead log.
    #[error(
        "removed, but another program kept {path} open, so sealed old rows (their key is destroyed) are still in its \
         write-ahead log: they go with the next removal, or when both programs have been stopped"
    )]
    LogNotEmptied {
        /// The database.
        path: PathBuf,
    },
    /// No room on the device.
    #[error("no space left for {path}: nothing was stored; make room and try again")]
    DiskFull {
        /// The database.
        path: PathBuf,
    },
    /// The store, its directory or this connection is read-only, or belongs to another user.
    #[error("{path} cannot be opened or written: run as the store's owner, on a file system mounted read-write")]
    ReadOnly {
        /// The database.
        path: PathBuf,
    },
    /// The operating system refused a file operation.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried ("read", "create" ...).
        what: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The operating system gave no random bytes.
    #[error("the system gave no random bytes for a key: {0}")]
    Random(getrandom::Error),
    /// Any other failure of SQLite.
    #[error("SQLite failed on {path}: {source}")]
    Sql {
        /// The database.
        path: PathBuf,
        /// SQLite's reason.
        source: rusqlite::Error,
    },
}

/// Names at most some of the people.
fn concerned(people: &[String]) -> String {
    const NAMED: usize = 20;
    match people {
        [] => String::new(),
        few if few.len() <= NAMED => format!("; it concerns {}", few.join(", ")),
        many => format!("; it concerns {} and {} others", many[..NAMED].join(", "), many.len() - NAMED),
    }
}

impl StoreError {
    /// Maps SQLite's reason onto the store's own words. `path`: the database.
    pub(crate) fn from_sql(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_path_buf();
        match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => StoreError::NotOurs { path, what: "not a SQLite database".into() },
            Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { path, what: source.to_string() },
            Some(ErrorCode::OperationInterrupted) => StoreError::TooSlow { path },
            Some(ErrorCode::TooBig) => {
                StoreError::Damaged { path, what: "a value in it is longer than any that is stored".into() }
            }
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { path },
            Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
                StoreError::ReadOnly { path }
            }
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
            _ => StoreError::Sql { path, source },
        }
    }

    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::DiskFull { path },
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
            _ => StoreError::Io { path, what, source },
        }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        StoreError::Damaged { path: path.to_path_buf(), what: what.into() }
    }
}

/// Names the database at fault.
pub(crate) trait SqlAt<T> {
    fn at(self, path: &Path) -> Result<T, StoreError>;
}

impl<T> SqlAt<T> for Result<T, rusqlite::Error> {
    fn at(self, path: &Path) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::from_sql(path, source))
    }
}
