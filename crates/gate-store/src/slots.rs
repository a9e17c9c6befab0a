//! `people.keys`: the wrapped data keys, one fixed slot each, apart from the database.
//!
//! A file of its own, and not a table, for two reasons. A slot is overwritten in place, so erasing leaves no copy in
//! a journal, a free page or a moved row. And copies of `people.db` hold no keys: erasing a person here makes that
//! person's rows in all of them unreadable.
//!
//! ```text
//!  offset 0       MAGIC (16) | store mark (16)                  never rewritten
//!  offset 4096    sealed head, first copy                       written in turn, see epoch.rs
//!  offset 8192    sealed head, second copy
//!  offset 12288   slots of 160 bytes, numbered from 1:
//!                 slot mark (16) | sealed holder (141) | zeros  all zeros: free
//! ```
//!
//! Each change of a person takes a new slot with a new random mark; the mark is the version that the record is sealed to
//! (see `epoch.rs`). Slots are on disk before the row that names them is committed. The slot before is erased after that.
//! A slot without a row is the trace of a change that was cut short; the next writer erases it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use gate_guard::files;

use crate::key::sync_parent;
use crate::keys::HOLDER_BYTES;
use crate::{Result, StoreError};

/// The file's name in the store directory.
pub(crate) const FILE: &str = "people.keys";
/// Bytes of the random marks that tell stores, and slots, apart.
pub(crate) const MARK_BYTES: usize = 16;
/// Bytes of a sealed head.
pub(crate) const HEAD_BYTES: usize = crate::epoch::HEAD_BYTES;

pub(crate) const MAGIC: &[u8; 16] = b"face-gate-keys-2";
/// Where the copies of the head begin: in pages of their own, so that one torn write cannot damage both.
const HEADS: [u64; 2] = [4096, 8192];
/// Where the slots begin.
const SLOTS: u64 = 12288;
/// Bytes of a slot.
pub(crate) const BLOCK: usize = 160;
/// More than four million slots: no gate has so many people, and the file is read into memory.
const MAX_BYTES: u64 = 640 << 20;
/// How long a reader waits for a writer, and a writer for readers.
const LOCK_MAX: Duration = Duration::from_secs(5);

/// Tells a store, or a slot, from every other.
pub(crate) type Mark = [u8; MARK_BYTES];

/// Where a person's data key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotRef {
    /// The slot's number, from 1.
    pub(crate) number: u32,
    /// What the slot must begin with.
    pub(crate) mark: Mark,
}

/// What a slot holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Slot<'a> {
    /// A sealed holder.
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

/// The whole file, read at once: some 1.6 MB for 10,000 people.
pub(crate) struct Slots(Vec<u8>);

/// The file's lock, until it is dropped.
pub(crate) struct Locked<'a>(&'a File);

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock(); // closing the file would release it as well
    }
}

impl SlotFile {
    /// Makes the file for a new store, with its first sealed head. An earlier one without slots (a set-up that was cut
    /// short) is replaced.
    pub(crate) fn create(dir: &Path, store_mark: &Mark, head: &[u8]) -> Result<Self> {
        let path = dir.join(FILE);
        let there = fs::symlink_metadata(&path).map(|meta| meta.len()).unwrap_or(0);
        if there > SLOTS {
            return Err(StoreError::AlreadyThere { path });
        }
        Self::write_new(path, store_mark, head)
    }

    /// Makes a complete file without slots at `path`, whatever was there.
    pub(crate) fn write_new(path: PathBuf, store_mark: &Mark, head: &[u8]) -> Result<Self> {
        let make = || -> io::Result<File> {
            let mut file = files::replace(&path)?;
            file.write_all(MAGIC)?;
            file.write_all(store_mark)?;
            for at in HEADS {
                file.write_all_at(head, at)?;
            }
            file.set_len(SLOTS)?;
            file.sync_all()?;
            Ok(file)
        };
        let file = make().map_err(|error| StoreError::io("create", &path, error))?;
        sync_parent(&path)?;
        Ok(Self { file, path })
    }

    /// Opens the file of the store that `store_mark` tells from others.
    pub(crate) fn open(dir: &Path, store_mark: &Mark, write: bool) -> Result<Self> {
        Self::open_at(dir.join(FILE), store_mark, write)
    }

    pub(crate) fn open_at(path: PathBuf, store_mark: &Mark, write: bool) -> Result<Self> {
        let opened = if write { files::open_read_write(&path) } else { files::open_read(&path) };
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::damaged(&path, "the file is missing"),
            _ => StoreError::io("open", &path, error),
        })?;
        let mut start = [0; MAGIC.len() + MARK_BYTES];
        file.read_exact_at(&mut start, 0).map_err(|_| StoreError::damaged(&path, "it is cut short"))?;
        if start[..MAGIC.len()] != *MAGIC {
            return Err(StoreError::damaged(&path, "it does not begin as a key file of this version does"));
        }
        if start[MAGIC.len()..] != *store_mark {
            return Err(StoreError::damaged(&path, "it belongs to another store than the people.db beside it"));
        }
        Ok(Self { file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file itself, for its owner and mode.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Keeps writers from the moment when both files change. Readers do not exclude each other.
    pub(crate) fn lock_to_read(&self) -> Result<Locked<'_>> {
        self.lock(File::try_lock_shared)
    }

    /// Keeps readers away while both files change.
    pub(crate) fn lock_to_write(&self) -> Result<Locked<'_>> {
        self.lock(File::try_lock)
    }

    fn lock(&self, attempt: fn(&File) -> std::result::Result<(), TryLockError>) -> Result<Locked<'_>> {
        let begin = Instant::now();
        loop {
            match attempt(&self.file) {
                Ok(()) => return Ok(Locked(&self.file)),
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_MAX => thread::sleep(Duration::from_millis(2)),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path: self.path.clone() }),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &self.path, error)),
            }
        }
    }

    /// Reads everything. Call it after the database snapshot was taken, under the same lock.
    pub(crate) fn read(&self) -> Result<Slots> {
        let length = self.file.metadata().map_err(|error| StoreError::io("examine", &self.path, error))?.len();
        if length > MAX_BYTES {
            return Err(StoreError::damaged(&self.path, "it has grown beyond all bounds"));
        }
        let mut bytes = Vec::new();
        let mut file = &self.file;
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes));
        read.map_err(|error| StoreError::io("read", &self.path, error))?;
        Ok(Slots(bytes))
    }

    /// Writes slots; [`SlotFile::sync`] makes them durable.
    pub(crate) fn write(&self, blocks: &SlotBlocks) -> Result<()> {
        for (first, bytes) in &blocks.runs {
            self.write_at(bytes, offset(*first))?;
        }
        Ok(())
    }

    /// Writes one copy of the sealed head.
    pub(crate) fn write_head(&self, copy: usize, head: &[u8]) -> Result<()> {
        self.write_at(head, HEADS[copy])
    }

    /// Destroys the keys in these slots, durably.
    pub(crate) fn erase(&self, numbers: &[u32]) -> Result<()> {
        if numbers.is_empty() {
            return Ok(());
        }
        let erase = || -> io::Result<()> {
            numbers.iter().try_for_each(|number| self.file.write_all_at(&[0; BLOCK], offset(*number)))?;
            self.file.sync_all()
        };
        erase().map_err(|error| StoreError::io("erase a key in", &self.path, error))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_all().map_err(|error| StoreError::io("write", &self.path, error))
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|error| StoreError::io("write", &self.path, error))
    }
}

/// Where a slot begins in the file.
fn offset(number: u32) -> u64 {
    SLOTS + u64::from(number.saturating_sub(1)) * BLOCK as u64
}

impl Slots {
    /// What `slot` holds.
    pub(crate) fn get(&self, slot: &SlotRef) -> Slot<'_> {
        let Some(block) = self.block(slot.number) else { return Slot::Missing };
        let (mark, holder) = block.split_at(MARK_BYTES);
        match (mark == slot.mark, is_zero(holder)) {
            (true, false) => Slot::Key(&holder[..HOLDER_BYTES]),
            (true, true) => Slot::Erased,
            (false, true) if is_zero(mark) => Slot::Erased,
            _ => Slot::Missing,
        }
    }

    /// The file as it was read.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The sealed head's copies, as far as the file reaches.
    pub(crate) fn heads(&self) -> [&[u8]; 2] {
        HEADS.map(|at| self.0.get(at as usize..).and_then(|rest| rest.get(..HEAD_BYTES)).unwrap_or_default())
    }

    /// How many slots there are; one that is cut short at the end counts.
    pub(crate) fn count(&self) -> u32 {
        let bytes = self.0.len().saturating_sub(SLOTS as usize);
        u32::try_from(bytes.div_ceil(BLOCK)).unwrap_or(u32::MAX)
    }

    /// Slots that hold something, or a torn part of it.
    pub(crate) fn taken(&self) -> impl Iterator<Item = SlotRef> {
        (1..=self.count()).filter_map(|number| {
            let rest = self.0.get(offset(number) as usize..)?;
            let block = rest.get(..BLOCK).unwrap_or(rest);
            let mark = block.first_chunk::<MARK_BYTES>().copied().unwrap_or_default();
            let torn = block.len() < BLOCK;
            (torn || !is_zero(block)).then_some(SlotRef { number, mark })
        })
    }

    /// Whether this very slot is there, whatever is in it.
    pub(crate) fn taken_at(&self, slot: &SlotRef) -> bool {
        self.block(slot.number).is_some_and(|block| !is_zero(block) && block.starts_with(&slot.mark))
    }

    /// Slots that may be written, for ever: erased ones first, then those beyond the end.
    pub(crate) fn free(&self) -> impl Iterator<Item = u32> + use<> {
        let mut is_taken = vec![false; self.count() as usize];
        self.taken().for_each(|slot| is_taken[slot.number as usize - 1] = true);
        let erased: Vec<u32> = (1..).zip(is_taken).filter(|(_, taken)| !taken).map(|(number, _)| number).collect();
        erased.into_iter().chain(self.count().saturating_add(1)..)
    }

    fn block(&self, number: u32) -> Option<&[u8]> {
        let at = if number == 0 { return None } else { usize::try_from(offset(number)).ok()? };
        self.0.get(at..)?.get(..BLOCK)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Slots to write together, with one sync.
#[derive(Default)]
pub(crate) struct SlotBlocks {
    /// Slots that follow each other, by the number of the first.
    runs: Vec<(u32, Vec<u8>)>,
}

impl SlotBlocks {
    pub(crate) fn push(&mut self, slot: &SlotRef, holder: &[u8]) {
        debug_assert_eq!(holder.len(), HOLDER_BYTES);
        let next = self.runs.last().map(|(first, bytes)| *first as usize + bytes.len() / BLOCK);
        if next != Some(slot.number as usize) {
            self.runs.push((slot.number, Vec::new()));
        }
        let Some((_, bytes)) = self.runs.last_mut() else { return };
        let end = bytes.len() + BLOCK;
        bytes.extend_from_slice(&slot.mark);
        bytes.extend_from_slice(holder);
        bytes.resize(end, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORE: Mark = [7; MARK_BYTES];

    fn put(file: &SlotFile, mark: u8) -> SlotRef {
        let number = file.read().unwrap().free().next().unwrap();
        let slot = SlotRef { number, mark: [mark; MARK_BYTES] };
        let mut blocks = SlotBlocks::default();
        blocks.push(&slot, &[mark; HOLDER_BYTES]);
        file.write(&blocks).unwrap();
        file.sync().unwrap();
        slot
    }

    #[test]
    fn slots_are_read_back_erased_alone_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = SlotFile::create(dir.path(), &STORE, &[1; HEAD_BYTES]).unwrap();
        let (one, two) = (put(&file, 1), put(&file, 2));
        assert_eq!((one.number, two.number), (1, 2));
        file.erase(&[one.number]).unwrap();
        let slots = SlotFile::open(dir.path(), &STORE, false).unwrap().read().unwrap();
        assert_eq!(slots.get(&one), Slot::Erased);
        assert_eq!(slots.get(&two), Slot::Key(&[2; HOLDER_BYTES]));
        assert_eq!(slots.get(&SlotRef { number: 3, ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { mark: [9; MARK_BYTES], ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { number: 0, ..two }), Slot::Missing);
        assert_eq!(slots.get(&SlotRef { number: u32::MAX, ..two }), Slot::Missing);
        assert_eq!(slots.taken().collect::<Vec<_>>(), [two]);
        assert_eq!(slots.heads(), [[1; HEAD_BYTES]; 2]);
        assert_eq!((put(&file, 3).number, put(&file, 4).number), (1, 3));
        assert_eq!(file.read().unwrap().get(&two), Slot::Key(&[2; HOLDER_BYTES]));
        assert!(matches!(SlotFile::create(dir.path(), &STORE, &[]), Err(StoreError::AlreadyThere { .. })));
    }

    #[test]
    fn several_slots_go_where_they_belong() {
        let dir = tempfile::tempdir().unwrap();
        let file = SlotFile::create(dir.path(), &STORE, &[1; HEAD_BYTES]).unwrap();
        let slots = [1, 2, 5, 6, 4].map(|number| SlotRef { number, mark: [number as u8; MARK_BYTES] });
        let mut blocks = SlotBlocks::default();
        slots.iter().for_each(|slot| blocks.push(slot, &[slot.number as u8; HOLDER_BYTES]));
        assert_eq!(blocks.runs.len(), 3);
        file.write(&blocks).unwrap();
        let read = file.read().unwrap();
        for slot in &slots {
            assert_eq!(read.get(slot), Slot::Key(&[slot.number as u8; HOLDER_BYTES]));
        }
        assert_eq!(read.free().take(3).collect::<Vec<_>>(), [3, 7, 8]);
    }

    #[test]
    fn a_torn_slot_at_the_end_is_no_key_and_is_erased_like_any_other() {
        let dir = tempfile::tempdir().unwrap();
        let file = SlotFile::create(dir.path(), &STORE, &[1; HEAD_BYTES]).unwrap();
        let torn = put(&file, 1);
        file.file.set_len(SLOTS + 20).unwrap();
        let slots = file.read().unwrap();
        assert_eq!(slots.get(&torn), Slot::Missing);
        assert_eq!((slots.taken().count(), slots.free().next()), (1, Some(2)));
        file.erase(&[torn.number]).unwrap();
        assert_eq!(file.read().unwrap().get(&torn), Slot::Erased);
    }

    #[test]
    fn the_file_of_another_store_is_told() {
        let dir = tempfile::tempdir().unwrap();
        SlotFile::create(dir.path(), &STORE, &[1; HEAD_BYTES]).unwrap();
        let error = SlotFile::open(dir.path(), &[8; MARK_BYTES], false).unwrap_err().to_string();
        assert!(error.contains("another store"), "{error}");
        std::fs::write(dir.path().join(FILE), "garbage").unwrap();
        assert!(matches!(SlotFile::open(dir.path(), &STORE, false), Err(StoreError::Damaged { .. })));
    }
}
