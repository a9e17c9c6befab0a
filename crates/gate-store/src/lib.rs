//! The people of the gate, kept: who they are, whether they may come in, and the reference vectors they are
//! recognised by. SQLite in WAL mode, every personal datum sealed. The daemon reads it while `enroll-tool` writes.
//!
//! ```text
//!  store directory (0700)
//!  ├── people.db      SQLite: ids, sealed records, sealed references, sealed pictures     back up as often as you like
//!  ├── people.keys    the epoch, and one wrapped data key per person, in fixed slots       keep ONLY the newest copy
//!  └── site.key       the site key, 0400 (or a systemd credential, or a configured file)  keep apart from the others
//!  STORE-anchor/anchor the highest epoch seen (see anchor.rs)                              never back up
//!
//!  site key ──wraps──> data key (one per person) ──seals──> record, references, pictures
//! ```
//!
//! **Erasing.** Removing a person deletes the rows and overwrites the data key's slot in `people.keys`. Because the
//! wrapped keys are not in `people.db`, that person's rows in every older copy of `people.db` are noise from then on,
//! as long as older copies of `people.keys` are not kept: replace its backup, do not collect it. To back up, copy
//! `people.db` first (`sqlite3 people.db ".backup FILE"`), `people.keys` second. What flash storage keeps in blocks it has
//! remapped is beyond any program: encrypt the disk as well.
//!
//! **Older bytes.** Each change raises an epoch that both files carry, and a third file, the [`Anchor`], remembers. A file,
//! a row, a column or a reference of the past is noticed, and lets nobody in; [`Restoration`] puts a backup back. How:
//! `epoch.rs`.
//!
//! **What sealing does not do.** Whoever may write the files can destroy them, and so lock the gate. They cannot read,
//! invent, edit, move or bring back a row. Times of creation and the encoder's hash of a reference are stored in the clear,
//! as are the staff-chosen ids. A kept picture that is deleted is not missed.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod admission;
mod anchor;
mod check;
mod day;
mod enrol;
mod epoch;
mod error;
mod gallery;
mod key;
mod keys;
mod people;
mod reader;
mod restore;
mod schema;
mod seal;
mod slots;
mod store;
mod upgrade;

pub use admission::{Admission, Edge};
pub use anchor::{Anchor, NotedTime, Number};
pub use check::{CheckReport, EncoderCount};
pub use day::{Day, day_begun_by, first_instant};
pub use enrol::{NewPerson, NewReference};
pub use error::StoreError;
pub use gallery::{GalleryPerson, Part, StoredGallery};
pub use key::{KeySource, SiteKey};
pub use people::{Person, ReferenceInfo};
pub use restore::{Fate, Outcome, Restoration};
pub use store::Store;

/// Result of a store operation.
pub type Result<T> = std::result::Result<T, StoreError>;

/// Longest person id, in characters of `[A-Za-z0-9._@-]`.
pub const MAX_ID_CHARS: usize = 64;
/// Longest name of a person, in characters.
pub const MAX_NAME_CHARS: usize = 200;
/// Most references one person may have.
pub const MAX_REFERENCES: usize = 16;
/// Largest enrolment picture kept, in bytes.
pub const MAX_PICTURE_BYTES: usize = 8 << 20;
/// Longest reference vector, in elements.
pub const MAX_DIM: usize = 4096;
/// How far the length of a reference vector may be from 1.
pub const MAX_NORM_ERROR: f32 = 1e-3;
