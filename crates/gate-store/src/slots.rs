//! `people.keys`: the wrapped data keys, one fixed slot each, apart from the database.
//!
//! A file of its own, and not a table, for two reasons. A slot is overwritten in place, so erasing leaves no copy in
//! a journal, a free page or a moved row. And copies of `people.db` hold no keys: erasing a person here makes that
//! person's rows in all of them unreadable.
//!
//! ```text
//!  block 0      MAGIC (16) | store mark (16) | zeros                 each block: 128 bytes
//!  block n >= 1 slot mark (16) | wrapped data key (72) | zeros       all zeros: erased, or never used
//! ```
//!
//! Slots are only appended, under the database's write lock, and are on disk before the row that names them is
//! committed. A slot without a row (power lost in between) is never used; it is the price of needing no journal.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use gate_guard::files;

use crate::key::sync_parent;
use crate::seal::{KEY_BYTES, SEAL_BYTES};
use crate::{Result, StoreError};

/// The file's name in the store directory.
pub(crate) const FILE: &str = "people.keys";
/// Bytes of the random marks that tell stores, and slots, apart.
pub(crate) const MARK_BYTES: usize = 16;
/// Bytes of a wrapped data key.
pub(crate) const WRAPPED_BYTES: usize = KEY_BYTES + SEAL_BYTES;

const MAGIC: &[u8; 16] = b"face-gate-keys-1";
const BLOCK: usize = 128;

/// Tells a store, or a slot, from every other.
pub(crate) type Mark = [u8; MARK_BYTES];

/// Where a person's data key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotRef {
    /// The block's number, from 1.
    pub(crate) number: u32,
    /// What the block must begin with: after an old `people.keys` was restored, another person's key may be there.
    pub(crate) mark: Mark,
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot<'a> {
    /// A wrapped data key.
    Key(&'a [u8]),
    /// The key was destroyed.
    Erased,
    /// No such slot, or one of somebody else: the file is older than the database, or damaged.
    Missing,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct SlotFile {
    file: File,
    path: PathBuf,
}

/// The whole file, read at once: some 1.3 MB for 10,000 people.
pub(crate) struct Slots(Vec<u8>);

impl SlotFile {
    /// Makes the file for a new store. An earlier one without slots (a set-up that was cut short) is replaced.
    pub(crate) fn create(dir: &Path, store_mark: &Mark) -> Result<Self> {
        let path = dir.join(FILE);
        let there = fs::symlink_metadata(&path).map(|meta| meta.len()).unwrap_or(0);
        if there > BLOCK as u64 {
            return Err(StoreError::AlreadyThere { path });
        }
        let mut block = [0; BLOCK];
        block[..MAGIC.len()].copy_from_slice(MAGIC);
        block[MAGIC.len()..][..MARK_BYTES].copy_from_slice(store_mark);
        let make = || -> io::Result<File> {
            let mut file = files::replace(&path)?;
            file.write_all(&block)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|error| StoreError::io("create", &path, error))?;
        sync_parent(&path)?;
        Ok(Self { file, path })
    }

    /// Opens the file of the store that `store_mark` tells from others.
    pub(crate) fn open(dir: &Path, store_mark: &Mark, write: bool) -> Result<Self> {
        let path = dir.join(FILE);
        let opened = if write { files::open_read_write(&path) } else { files::open_read(&path) };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::damaged(&path, "the file is missing"),
            _ => StoreError::io("open", &path, error),
        })?;
        let mut head = [0; MAGIC.len() + MARK_BYTES];
        file.read_exact_at(&mut head, 0).map_err(|_| StoreError::damaged(&path, "it is cut short"))?;
        if head[..MAGIC.len()] != *MAGIC {
            return Err(StoreError::damaged(&path, "it does not begin as a key file does"));
        }
        if head[MAGIC.len()..] != *store_mark {
            return Err(StoreError::damaged(&path, "it belongs to another store than the people.db beside it"));
        }
        Ok(Self { file, path })
    }

    /// Reads all slots. Call it after the database snapshot was taken: its people's slots are there by then.
    pub(crate) fn read(&self) -> Result<Slots> {
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(|error| StoreError::io("read", &self.path, error))?;
        Ok(Slots(bytes))
    }

    /// The number the next appended slot gets. Holds as long as the caller keeps the database's write lock.
    pub(crate) fn next_number(&self) -> Result<u32> {
        let meta = self.file.metadata().map_err(|error| StoreError::io("examine", &self.path, error))?;
        // A torn block at the end (power lost while appending) is skipped for good.
        let number = meta.len().div_ceil(BLOCK as u64).max(1);
        u32::try_from(number).map_err(|_| StoreError::damaged(&self.path, "it has grown beyond all bounds"))
    }

    /// Writes `blocks` from slot `first` on, durably.
    pub(crate) fn append(&self, first: u32, blocks: &SlotBlocks) -> Result<()> {
        let written = self.file.write_all_at(&blocks.0, offset(first)).and_then(|()| self.file.sync_all());
        written.map_err(|error| StoreError::io("write", &self.path, error))
    }

    /// Destroys the key in `slot`, durably. A slot of somebody else, or none, is left alone.
    pub(crate) fn erase(&self, slot: &SlotRef) -> Result<()> {
        let at = offset(slot.number);
        let mut mark = Mark::default();
        match self.file.read_exact_at(&mut mark, at) {
            Ok(()) if mark == slot.mark => {}
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(StoreError::io("read", &self.path, error)),
        }
        // The key before the mark: cut off in between, the slot still counts as this person's and is erased again.
        let erase = || -> io::Result<()> {
            self.file.write_all_at(&[0; BLOCK - MARK_BYTES], at + MARK_BYTES as u64)?;
            self.file.sync_all()?;
            self.file.write_all_at(&[0; MARK_BYTES], at)?;
            self.file.sync_all()
        };
        erase().map_err(|error| StoreError::io("erase a key in", &self.path, error))
    }
}

/// Where a block begins in the file.
fn offset(number: u32) -> u64 {
    u64::from(number) * BLOCK as u64
}

impl Slots {
    /// What `slot` holds.
    pub(crate) fn get(&self, slot: &SlotRef) -> Slot<'_> {
        let block = usize::try_from(slot.number).ok().and_then(|number| self.0.get(number.checked_mul(BLOCK)?..));
        let Some(block) = block.and_then(|rest| rest.get(..BLOCK)) else { return Slot::Missing };
        let (mark, key) = block.split_at(MARK_BYTES);
        let erased = key.iter().all(|byte| *byte == 0);
        match (slot.number > 0, mark == slot.mark, erased) {
            (true, true, false) => Slot::Key(&key[..WRAPPED_BYTES]),
            (true, true, true) => Slot::Erased,
            (true, false, true) if *mark == Mark::default() => Slot::Erased,
            _ => Slot::Missing,
        }
    }
}

/// Slots to append together, with one sync.
#[derive(Default)]
pub(crate) struct SlotBlocks(Vec<u8>);

impl SlotBlocks {
    /// How many slots.
    pub(crate) fn len(&self) -> u32 {
        (self.0.len() / BLOCK) as u32
    }

    pub(crate) fn push(&mut self, mark: &Mark, wrapped: &[u8]) {
        debug_assert_eq!(wrapped.len(), WRAPPED_BYTES);
        let end = self.0.len() + BLOCK;
        self.0.extend_from_slice(mark);
        self.0.extend_from_slice(wrapped);
        self.0.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: Mark = [7; MARK_BYTES];

    fn append(file: &SlotFile, mark: u8) -> SlotRef {
        let slot = SlotRef { number: file.next_number().unwrap(), mark: [mark; MARK_BYTES] };
        let mut blocks = SlotBlocks::default();
        blocks.push(&slot.mark, &[mark; WRAPPED_BYTES]);
        file.append(slot.number, &blocks).unwrap();
        slot
    }

    #[test]
    fn appended_slots_are_read_back_and_erased_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = SlotFile::create(dir.path(), &STORE).unwrap();
        let (one, two) = (append(&file, 1), append(&file, 2));
        assert_eq!((one.number, two.number), (1, 2));
        file.erase(&SlotRef { mark: [9; MARK_BYTES], ..two }).unwrap();
        file.erase(&one).unwrap();
        file.erase(&one).unwrap();
        let slots = SlotFile::open(dir.path(), &STORE, false).unwrap().read().unwrap();
        assert_eq!(slots.get(&one), Slot::Erased);
        assert_eq!(slots.get(&two), Slot::Key(&[2; WRAPPED_BYTES]));
        assert_eq!(slots.get(&SlotRef { number: 3, ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { mark: [9; MARK_BYTES], ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { number: 0, ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { number: u32::MAX, ..two }), Slot::Missing);
        assert!(matches!(SlotFile::create(dir.path(), &STORE), Err(StoreError::AlreadyThere { .. })));
    }

    #[test]
    fn a_torn_slot_at_the_end_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let file = SlotFile::create(dir.path(), &STORE).unwrap();
        let torn = append(&file, 1);
        file.file.set_len(BLOCK as u64 + 20).unwrap();
        assert_eq!(file.read().unwrap().get(&torn), Slot::Missing);
        let next = append(&file, 2);
        assert_eq!(next.number, 2);
        assert_eq!(file.read().unwrap().get(&next), Slot::Key(&[2; WRAPPED_BYTES]));
    }

    #[test]
    fn the_file_of_another_store_is_told() {
        let dir = tempfile::tempdir().unwrap();
        SlotFile::create(dir.path(), &STORE).unwrap();
        let error = SlotFile::open(dir.path(), &[8; MARK_BYTES], false).unwrap_err().to_string();
        assert!(error.contains("another store"), "{error}");
        std::fs::write(dir.path().join(FILE), "garbage").unwrap();
        assert!(matches!(SlotFile::open(dir.path(), &STORE, false), Err(StoreError::Damaged { .. })));
    }
}
