//! The anchor: numbers that only grow, kept outside the store folder and sealed with the site key.
//!
//! The store's two files can be put back together, and nothing inside them shows it. The anchor shows it: it holds the
//! highest epoch of the store that was ever seen. It is not part of a backup. Other facts that must never go back, such
//! as the newest time known for sure, are kept here too.
//!
//! ```text
//!  STORE-anchor/anchor       0600, beside the store folder, never backed up
//!  offset 0      MAGIC (16) | sealed state      two copies; the one with the higher generation counts,
//!  offset 4096   MAGIC (16) | sealed state      and the other is the next to be written
//! ```
//!
//! A write that is cut short damages only the copy that did not count. Writers exclude each other by a lock on the file;
//! readers need none.
//!
//! **Limits.** Whoever can write the anchor as well as the store can put back older copies of all three files. Only
//! hardware that counts (a TPM) would show that.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::key::{SiteKey, sync_parent};
use crate::seal::{Bound, SEAL_BYTES, Sealer};
use crate::slots::{MARK_BYTES, Mark};
use crate::{Result, StoreError};

const MAGIC: &[u8; 16] = b"face-gate-seen-1";
/// Where the two copies begin: in pages of their own, so that one torn write cannot damage both.
const COPIES: [u64; 2] = [0, 4096];
/// Room for numbers. Those that this program does not know are kept as they are.
const NUMBERS: usize = 8;
/// Generation, store mark, numbers.
const STATE_BYTES: usize = 8 + MARK_BYTES + 8 * NUMBERS;
/// How long a writer waits for another one.
const LOCK_MAX: Duration = Duration::from_secs(2);

/// What an [`Anchor`] keeps. Append only: the value is the place in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// The highest epoch of the store that was seen. [`crate::Store`] maintains it.
    Epoch = 0,
    /// The newest time that is known for sure, Unix milliseconds.
    NewestMs = 1,
    /// How often staff have declared the wall clock right. In each of these eras [`Number::NewestMs`] only grows.
    ClockEra = 2,
}

/// The newest time that is known for sure, as it was noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NotedTime {
    /// How often staff have declared the wall clock right.
    pub era: u64,
    /// The newest time since then, Unix milliseconds; 0 = none yet.
    pub newest_ms: i64,
}

/// A sealed file of numbers that only grow.
pub struct Anchor {
    file: PathBuf,
    sealer: Sealer,
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("file", &self.file).finish_non_exhaustive()
    }
}

/// The content of one copy.
#[derive(Clone, Copy)]
struct State {
    generation: u64,
    /// The store that the epoch belongs to.
    store: Mark,
    numbers: [u64; NUMBERS],
}

impl Anchor {
    /// The anchor in `file`, sealed with `key`. Touches no file.
    #[must_use]
    pub fn new(file: &Path, key: &SiteKey) -> Self {
        Self { file: file.to_path_buf(), sealer: key.sealer() }
    }

    /// The usual place for the store in `dir`: the folder `DIR-anchor` beside it.
    ///
    /// # Errors
    /// When `dir` has no name of its own (`..`) and cannot be resolved.
    pub fn place(dir: &Path) -> Result<PathBuf> {
        // A link to the store's folder is the administrator's affair: the anchor is beside the folder itself.
        let resolved = match (dir.canonicalize(), dir.file_name()) {
            (Ok(resolved), _) => resolved,
            (Err(_), Some(_)) => dir.to_path_buf(),
            (Err(error), None) => return Err(StoreError::io("resolve", dir, error)),
        };
        let mut name = resolved.file_name().unwrap_or_default().to_owned();
        name.push("-anchor");
        Ok(resolved.with_file_name(name).join("anchor"))
    }

    /// Makes the folder of the anchor for the store in `dir`, with the store's owner, unless it is there: for root, who may
    /// write beside the store's folder, before it becomes that owner.
    ///
    /// # Errors
    /// What the system says.
    pub fn prepare(dir: &Path) -> Result<()> {
        match fs::symlink_metadata(dir) {
            Ok(_) => Self::make_folder(dir, &Self::place(dir)?),
            // Whoever makes the store makes both.
            Err(_) => Ok(()),
        }
    }

    /// Makes the folder of the anchor `file`, with the owner of `like`.
    fn make_folder(like: &Path, file: &Path) -> Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        if folder.exists() {
            return Ok(());
        }
        let owner = fs::metadata(like).map_err(|error| StoreError::io("examine", like, error))?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|error| StoreError::io("create", folder, error))?;
        if fs::symlink_metadata(folder).is_ok_and(|meta| meta.uid() != owner.uid()) {
            let given = lchown(folder, Some(owner.uid()), Some(owner.gid()));
            given.map_err(|error| StoreError::io("change the owner of", folder, error))?;
        }
        Ok(())
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// A number; 0 until it is first raised.
    ///
    /// # Errors
    /// [`StoreError::Anchor`] when the file is missing or does not open with this key.
    pub fn get(&self, number: Number) -> Result<u64> {
        Ok(self.read()?.numbers[number as usize])
    }

    /// Raises a number to `to`, durably, unless it is there already. Returns the number afterwards.
    ///
    /// # Errors
    /// As [`Anchor::get`]; what the system says when the file cannot be written.
    pub fn raise(&self, number: Number, to: u64) -> Result<u64> {
        let reached = self.get(number)?;
        if reached >= to {
            return Ok(reached);
        }
        let file = self.lock()?;
        let (mut state, next) = self.newest(&file)?;
        let value = &mut state.numbers[number as usize];
        *value = to.max(*value);
        let reached = *value;
        self.write(&file, state, next)?;
        Ok(reached)
    }

    /// The newest time that is known for sure.
    ///
    /// # Errors
    /// As [`Anchor::get`].
    pub fn noted_time(&self) -> Result<NotedTime> {
        Ok(self.read()?.noted_time())
    }

    /// Raises the newest time to `to_ms`, durably, while `era` lasts: what was known before staff declared the clock right
    /// no longer counts. Returns what is noted afterwards.
    ///
    /// # Errors
    /// As [`Anchor::raise`].
    pub fn note_time(&self, era: u64, to_ms: i64) -> Result<NotedTime> {
        let file = self.lock()?;
        let (mut state, next) = self.newest(&file)?;
        let noted = state.noted_time();
        if noted.era == era && to_ms > noted.newest_ms {
            state.numbers[Number::NewestMs as usize] = u64::try_from(to_ms).unwrap_or(0);
            self.write(&file, state, next)?;
        }
        Ok(state.noted_time())
    }

    /// Begins another era with `now_ms` for the newest time, even if that is earlier: staff have declared the wall clock
    /// right.
    ///
    /// # Errors
    /// As [`Anchor::raise`].
    pub fn accept_time(&self, now_ms: i64) -> Result<NotedTime> {
        let file = self.lock()?;
        let (mut state, next) = self.newest(&file)?;
        let era = &mut state.numbers[Number::ClockEra as usize];
        *era = era.saturating_add(1);
        state.numbers[Number::NewestMs as usize] = u64::try_from(now_ms).unwrap_or(0);
        self.write(&file, state, next)?;
        Ok(state.noted_time())
    }

    /// The highest epoch seen of the store with this mark; `None` when the file does not exist.
    pub(crate) fn epoch_of(&self, store: &Mark) -> Result<Option<u64>> {
        if !self.exists()? {
            return Ok(None);
        }
        let state = self.read()?;
        if state.store != *store {
            return Err(self.fault("belongs to another store: the store was exchanged"));
        }
        Ok(Some(state.numbers[Number::Epoch as usize]))
    }

    /// Makes `store` and `epoch` the ones to compare with, whatever was seen before; the other numbers stay. A missing or
    /// damaged file is made anew, with the owner of the folder `like`. Only for a new store and for the owner's decision.
    pub(crate) fn accept(&self, store: &Mark, epoch: u64, like: &Path) -> Result<()> {
        let file = if self.exists()? { Some(self.lock()?) } else { None };
        let known = file.as_ref().and_then(|file| Some((file, self.newest(file).ok()?)));
        let Some((file, (mut state, next))) = known else {
            let mut numbers = [0; NUMBERS];
            numbers[Number::Epoch as usize] = epoch;
            return self.create(State { generation: 0, store: *store, numbers }, like);
        };

        state.store = *store;
        state.numbers[Number::Epoch as usize] = epoch;
        self.write(file, state, next)
    }

    fn exists(&self) -> Result<bool> {
        match fs::symlink_metadata(&self.file) {
            Ok(meta) if meta.is_file() => Ok(true),
            Ok(_) => Err(self.fault("is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(StoreError::io("examine", &self.file, error)),
        }
    }

    fn create(&self, state: State, like: &Path) -> Result<()> {
        let owner = fs::metadata(like).map_err(|error| StoreError::io("examine", like, error))?;
        Self::make_folder(like, &self.file)?;

        // Complete under another name first. `create_new` and `rename` follow no link that somebody has put there.
        let draft = self.file.with_extension("new");
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::io("remove", &draft, error));
            }
            _ => {}
        }
        let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&draft);
        let file = made.map_err(|error| StoreError::io("create", &draft, error))?;
        if file.metadata().is_ok_and(|meta| meta.uid() != owner.uid()) {
            let given = fchown(&file, Some(owner.uid()), Some(owner.gid()));
            given.map_err(|error| StoreError::io("change the owner of", &draft, error))?;
        }
        self.write(&file, state, 0)?;
        fs::rename(&draft, &self.file).map_err(|error| StoreError::io("create", &self.file, error))?;
        sync_parent(&self.file)
    }

    fn read(&self) -> Result<State> {
        if !self.exists()? {
            return Err(self.fault("is missing"));
        }
        let file = File::open(&self.file).map_err(|error| StoreError::io("open", &self.file, error))?;
        Ok(self.newest(&file)?.0)
    }

    /// Opens the file for writing, alone.
    fn lock(&self) -> Result<File> {
        let opened = OpenOptions::new().read(true).write(true).open(&self.file);
        let file = opened.map_err(|error| StoreError::io("open", &self.file, error))?;
        let begin = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begin.elapsed() < LOCK_MAX => thread::sleep(Duration::from_millis(5)),
                Err(TryLockError::WouldBlock) => return Err(StoreError::Busy { path: self.file.clone() }),
                Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &self.file, error)),
            }
        }
    }

    /// The state that counts, and the copy to write next.
    fn newest(&self, file: &File) -> Result<(State, usize)> {
        let copies = [self.copy(file, 0)?, self.copy(file, 1)?];
        let newest = match copies {
            [Some(first), Some(second)] if second.generation > first.generation => (second, 0),
            [Some(first), _] => (first, 1),
            [None, Some(second)] => (second, 0),
            [None, None] => return Err(self.fault("was altered, or is sealed with another site key")),
        };
        Ok(newest)
    }

    /// A copy, if it opens.
    fn copy(&self, file: &File, number: usize) -> Result<Option<State>> {
        let mut bytes = [0; MAGIC.len() + STATE_BYTES + SEAL_BYTES];
        match file.read_exact_at(&mut bytes, COPIES[number]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read.map_err(|error| StoreError::io("read", &self.file, error))?,
        }
        let (magic, sealed) = bytes.split_at(MAGIC.len());
        let mut plain = Vec::with_capacity(STATE_BYTES);
        let opens = magic == MAGIC && self.sealer.open(Bound::default().anchor(), sealed, &mut plain);
        Ok(opens.then(|| State::from_bytes(&plain)).flatten())
    }

    fn write(&self, file: &File, state: State, copy: usize) -> Result<()> {
        let state = State { generation: state.generation.saturating_add(1), ..state };
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.sealer.seal(Bound::default().anchor(), &state.to_bytes())?);
        let written = file.write_all_at(&bytes, COPIES[copy]).and_then(|()| file.sync_data());
        written.map_err(|error| StoreError::io("write", &self.file, error))
    }

    pub(crate) fn fault(&self, what: &str) -> StoreError {
        StoreError::Anchor { path: self.file.clone(), what: what.to_owned() }
    }
}

impl State {
    fn noted_time(&self) -> NotedTime {
        let newest_ms = i64::try_from(self.numbers[Number::NewestMs as usize]).unwrap_or(i64::MAX);
        NotedTime { era: self.numbers[Number::ClockEra as usize], newest_ms }
    }

    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.generation.to_le_bytes().to_vec();
        bytes.extend(self.store);
        self.numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (generation, rest) = bytes.split_first_chunk::<8>()?;
        let (store, rest) = rest.split_first_chunk::<MARK_BYTES>()?;
        let (numbers, rest) = rest.as_chunks::<8>();
        let numbers: [[u8; 8]; NUMBERS] = numbers.try_into().ok()?;
        rest.is_empty().then(|| Self {
            generation: u64::from_le_bytes(*generation),
            store: *store,
            numbers: numbers.map(u64::from_le_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    const STORE: Mark = [7; MARK_BYTES];

    fn anchor() -> (tempfile::TempDir, SiteKey, Anchor) {
        let dir = tempfile::tempdir().unwrap();
        let key = SiteKey::generate().unwrap();
        let anchor = Anchor::new(&dir.path().join("store-anchor/anchor"), &key);
        (dir, key, anchor)
    }

    #[test]
    fn numbers_only_grow_and_each_by_itself() {
        let (dir, key, anchor) = anchor();
        assert_eq!(anchor.epoch_of(&STORE).unwrap(), None);
        assert!(anchor.get(Number::NewestMs).unwrap_err().to_string().contains("is missing"));
        anchor.accept(&STORE, 5, dir.path()).unwrap();
        assert_eq!(anchor.raise(Number::NewestMs, 1_000).unwrap(), 1_000);
        assert_eq!(anchor.raise(Number::NewestMs, 900).unwrap(), 1_000);
        for epoch in 6..20 {
            assert_eq!(anchor.raise(Number::Epoch, epoch).unwrap(), epoch);
            let again = Anchor::new(anchor.path(), &key);
            assert_eq!((again.get(Number::Epoch).unwrap(), again.get(Number::NewestMs).unwrap()), (epoch, 1_000));
        }
        // The owner's decision may lower the epoch, and changes no other number.
        anchor.accept(&[8; MARK_BYTES], 2, dir.path()).unwrap();
        assert_eq!(anchor.epoch_of(&[8; MARK_BYTES]).unwrap(), Some(2));
        assert_eq!(anchor.get(Number::NewestMs).unwrap(), 1_000);
        assert!(anchor.epoch_of(&STORE).unwrap_err().to_string().contains("another store"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(anchor.path()), mode(anchor.path().parent().unwrap())), (0o600, 0o700));
    }

    #[test]
    fn the_newest_time_falls_by_staffs_word_only_and_what_was_known_before_no_longer_counts() {
        let (dir, key, anchor) = anchor();
        assert!(anchor.note_time(0, 5).is_err(), "it makes no file");
        anchor.accept(&STORE, 1, dir.path()).unwrap();
        assert_eq!(anchor.noted_time().unwrap(), NotedTime::default());
        assert_eq!(anchor.note_time(0, 5_000).unwrap(), NotedTime { era: 0, newest_ms: 5_000 });
        assert_eq!(anchor.note_time(0, 4_000).unwrap().newest_ms, 5_000);
        assert_eq!(anchor.note_time(0, i64::MIN).unwrap().newest_ms, 5_000);

        let accepted = NotedTime { era: 1, newest_ms: 3_000 };
        assert_eq!(anchor.accept_time(3_000).unwrap(), accepted);
        // A gate that has not heard of it yet notes what it believed before.
        assert_eq!(anchor.note_time(0, 9_000).unwrap(), accepted);
        assert_eq!(Anchor::new(anchor.path(), &key).noted_time().unwrap(), accepted);
        assert_eq!(anchor.note_time(1, 3_500).unwrap(), NotedTime { era: 1, newest_ms: 3_500 });
        assert_eq!(anchor.get(Number::Epoch).unwrap(), 1, "nothing else has changed");
    }

    #[test]
    fn one_damaged_copy_loses_at_most_the_last_step_and_two_are_told() {
        let (dir, key, anchor) = anchor();
        anchor.accept(&STORE, 1, dir.path()).unwrap();
        for epoch in 2..=7 {
            anchor.raise(Number::Epoch, epoch).unwrap();
        }
        let good = fs::read(anchor.path()).unwrap();
        for copy in COPIES {
            for index in [0, 16, 40, 100, 140] {
                let mut torn = good.clone();
                torn[copy as usize + index] ^= 1;
                fs::write(anchor.path(), torn).unwrap();
                assert!([6, 7].contains(&anchor.get(Number::Epoch).unwrap()), "{copy} {index}");
                assert_eq!(anchor.raise(Number::Epoch, 8).unwrap(), 8);
                assert_eq!(anchor.get(Number::Epoch).unwrap(), 8);
            }
        }
        fs::write(anchor.path(), b"junk").unwrap();
        assert!(matches!(anchor.raise(Number::Epoch, 9), Err(StoreError::Anchor { .. })));
        fs::write(anchor.path(), &good).unwrap();
        let stranger = Anchor::new(anchor.path(), &SiteKey::generate().unwrap());
        assert!(stranger.get(Number::Epoch).unwrap_err().to_string().contains("another site key"));
        // Accepting replaces a file that nobody can read.
        fs::write(anchor.path(), b"junk").unwrap();
        anchor.accept(&STORE, 9, dir.path()).unwrap();
        assert_eq!(Anchor::new(anchor.path(), &key).get(Number::Epoch).unwrap(), 9);
    }

    #[test]
    fn a_link_in_its_place_is_refused_and_its_target_left_alone() {
        let (dir, _key, anchor) = anchor();
        let target = dir.path().join("target");
        fs::write(&target, "precious").unwrap();
        fs::create_dir(anchor.path().parent().unwrap()).unwrap();
        symlink(&target, anchor.path()).unwrap();
        assert!(matches!(anchor.raise(Number::Epoch, 1), Err(StoreError::Anchor { .. })));
        assert!(anchor.accept(&STORE, 1, dir.path()).is_err());
        fs::remove_file(anchor.path()).unwrap();
        symlink(&target, anchor.path().with_extension("new")).unwrap();
        anchor.accept(&STORE, 1, dir.path()).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"precious");
        assert_eq!(anchor.get(Number::Epoch).unwrap(), 1);
    }

    #[test]
    fn writers_at_once_lose_no_step() {
        let (dir, key, anchor) = anchor();
        anchor.accept(&STORE, 0, dir.path()).unwrap();
        thread::scope(|scope| {
            for writer in 0..4_u64 {
                let anchor = Anchor::new(anchor.path(), &key);
                scope.spawn(move || {
                    for step in 1..=25 {
                        let (number, to) = (if writer % 2 == 0 { Number::Epoch } else { Number::NewestMs }, step * 4);
                        assert!(anchor.raise(number, to + writer).unwrap() >= to + writer);
                    }
                });
            }
        });
        assert_eq!((anchor.get(Number::Epoch).unwrap(), anchor.get(Number::NewestMs).unwrap()), (102, 103));
    }

    #[test]
    fn the_usual_place_is_beside_the_store() {
        assert_eq!(
            Anchor::place(Path::new("/var/lib/face-gate")).unwrap(),
            Path::new("/var/lib/face-gate-anchor/anchor")
        );
        assert_eq!(Anchor::place(Path::new("people")).unwrap(), Path::new("people-anchor/anchor"));
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("s")).unwrap();
        assert_eq!(Anchor::place(&dir.path().join("s/..")).unwrap(), {
            let real = dir.path().canonicalize().unwrap();
            let name = format!("{}-anchor", real.file_name().unwrap().to_str().unwrap());
            real.with_file_name(name).join("anchor")
        });
    }
}
