//! From version 1 of the store to version 2: every record is sealed anew to its version, the keys move to a new file.
//!
//! ```text
//!  people.keys.new complete ─▶ anchor made ─▶ commit (schema 2) ─▶ old people.keys overwritten ─▶ rename ─▶ anchor raised
//! ```
//! Cut short before the commit, the old store is whole and the new file is made again. Cut short after it, the next
//! opening by a writer completes the rest.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, fchown};
use std::path::Path;

use rusqlite::{Connection, Transaction};
use zeroize::Zeroizing;

use crate::anchor::{Anchor, Number};
use crate::epoch::{Count, Head, Phase, Register, folder, for_people, lock_folder};
use crate::error::SqlAt;
use crate::key::sync_parent;
use crate::keys::Keys;
use crate::people::{PersonRow, reference_list, write_transaction};
use crate::schema;
use crate::seal::{Bound, SEAL_BYTES, Sealer, random};
use crate::slots::{self, MARK_BYTES, Mark, SlotBlocks, SlotFile, SlotRef};
use crate::{Result, SiteKey, StoreError};

const MAGIC_1: &[u8; 16] = b"face-gate-keys-1";
const BLOCK_1: usize = 128;
const WRAPPED_1: usize = 32 + SEAL_BYTES;
/// The new file's name until it takes the old one's place.
const DRAFT: &str = "people.keys.new";
const FIRST_EPOCH: u64 = 1;

/// Brings the store in the folder of `path` to the present schema, all of it or nothing.
pub(crate) fn upgrade(conn: &Connection, path: &Path, key: &SiteKey, anchor: &Anchor) -> Result<()> {
    let _writer = lock_folder(path)?;
    let tx = write_transaction(conn, path)?;
    if schema::check(&tx, path)? >= schema::VERSION {
        return Ok(()); // another program was first
    }
    schema::migrate(&tx, path)?;
    let keys = Keys::unlock(&tx, path, key)?;
    // A store that this machine has once upgraded does not come back in the old form by itself.
    if anchor.epoch_of(&keys.store_mark)?.is_some_and(|seen| seen >= FIRST_EPOCH) {
        let what = "older, from before the store was upgraded".to_owned();
        return Err(StoreError::RolledBack { path: path.to_path_buf(), what, people: Vec::new() });
    }

    let dir = folder(path);
    let old = read_1(&dir.join(slots::FILE), &keys.store_mark)?;
    let mut upgraded = Upgraded { keys: &keys, blocks: SlotBlocks::default(), count: Count::default(), placed: 0 };
    let mut rows = Vec::new();
    for_people(&tx, path, |row| rows.push(row))?;
    let next_person: u32 = {
        let query = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'people'), 0) + 1";
        tx.query_row(query, [], |row| row.get(0)).at(path)?
    };
    rows.iter().try_for_each(|row| upgraded.person(&tx, path, &old, row))?;
    let register = Register { epoch: FIRST_EPOCH, count: upgraded.count };
    let insert = "INSERT OR REPLACE INTO meta (name, value) VALUES ('register', ?1)";
    tx.execute(insert, [keys.seal_register(&register)?]).at(path)?;

    let head = Head { epoch: FIRST_EPOCH, base: 0, phase: Phase::Clean, next_person };
    let file = SlotFile::write_new(dir.join(DRAFT), &keys.store_mark, &keys.seal_head(&head)?)?;
    file.write(&upgraded.blocks)?;
    file.sync()?;
    like(&file, &dir.join(slots::FILE))?;
    anchor.accept(&keys.store_mark, 0, dir)?;
    tx.commit().at(path)?;
    complete(path, &keys)?;
    anchor.raise(Number::Epoch, FIRST_EPOCH).map(|_| ())
}

/// Completes an upgrade that was cut short after its commit.
pub(crate) fn complete(path: &Path, keys: &Keys) -> Result<()> {
    let (draft, file) = (folder(path).join(DRAFT), folder(path).join(slots::FILE));
    if !draft.exists() {
        return Ok(());
    }
    if SlotFile::open_at(file.clone(), &keys.store_mark, false).is_ok() {
        // Left by an upgrade that was cut short before another one was complete.
        return fs::remove_file(&draft).map_err(|error| StoreError::io("remove", &draft, error));
    }
    SlotFile::open_at(draft.clone(), &keys.store_mark, false)?;
    // What a rename leaves behind would outlive the erasure of a person.
    match OpenOptions::new().write(true).open(&file) {
        Ok(old) => {
            let zeros = vec![0; old.metadata().map_or(0, |meta| meta.len()) as usize];
            let overwritten = old.write_all_at(&zeros, 0).and_then(|()| old.sync_all());
            overwritten.map_err(|error| StoreError::io("overwrite", &file, error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(StoreError::io("open", &file, error)),
    }
    fs::rename(&draft, &file).map_err(|error| StoreError::io("replace", &file, error))?;
    sync_parent(&file)
}

/// Whether an upgrade was committed and waits for its completion.
pub(crate) fn is_incomplete(path: &Path, keys: &Keys) -> bool {
    let (draft, file) = (folder(path).join(DRAFT), folder(path).join(slots::FILE));
    draft.exists() && SlotFile::open_at(file, &keys.store_mark, false).is_err()
}

struct Upgraded<'a> {
    keys: &'a Keys,
    blocks: SlotBlocks,
    count: Count,
    placed: u32,
}

impl Upgraded<'_> {
    /// Seals a person's record anew. Somebody whose rows do not open stays, and is told as damaged as before.
    fn person(&mut self, tx: &Transaction<'_>, path: &Path, old: &[u8], row: &PersonRow) -> Result<()> {
        let mut bound = Bound::default();
        let wrapped = wrapped_1(old, &row.slot);
        let data_key = wrapped.and_then(|wrapped| self.keys.unwrap_1(&mut bound, row.key, &row.id, wrapped));
        let mut slot = SlotRef { number: 0, mark: Mark::default() };
        let mut record = row.record.clone();
        if let Some(data_key) = data_key {
            self.placed += 1;
            slot.number = self.placed;
            random(&mut slot.mark)?;
            self.blocks.push(&slot, &self.keys.wrap(&mut bound, &slot, row.key, &row.id, &data_key)?);
            let sealer = Sealer::new(&data_key);
            let mut plain = Zeroizing::new(Vec::new());
            if sealer.open(bound.record_1(row.key, &row.id), &row.record, &mut plain) {
                let list = reference_list(tx, path, row.key)?;
                record = sealer.seal(bound.record(row.key, &row.id, &slot.mark, &list), &plain)?;
            }
        }
        self.count.add(self.keys.term(row.key, &row.id, &slot));
        let update = "UPDATE people SET slot = ?2, slot_mark = ?3, record = ?4 WHERE person_key = ?1";
        tx.prepare_cached(update).at(path)?.execute((row.key, slot.number, slot.mark, &record)).at(path)?;
        Ok(())
    }
}

/// The key file of version 1.
fn read_1(path: &Path, store_mark: &Mark) -> Result<Vec<u8>> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => StoreError::damaged(path, "the file is missing"),
        _ => StoreError::io("read", path, error),
    })?;
    if !bytes.starts_with(MAGIC_1) {
        return Err(StoreError::damaged(path, "it does not begin as the key file of this people.db does"));
    }
    if bytes.get(MAGIC_1.len()..MAGIC_1.len() + MARK_BYTES) != Some(store_mark) {
        return Err(StoreError::damaged(path, "it belongs to another store than the people.db beside it"));
    }
    Ok(bytes)
}

/// The wrapped key in a slot of version 1: mark (16) | wrapped key (72) | zeros, 128 bytes, numbered from 1.
fn wrapped_1<'a>(bytes: &'a [u8], slot: &SlotRef) -> Option<&'a [u8]> {
    let at = usize::try_from(slot.number).ok().filter(|number| *number > 0)?.checked_mul(BLOCK_1)?;
    let block = bytes.get(at..)?.get(..BLOCK_1)?;
    let (mark, rest) = block.split_at(MARK_BYTES);
    (mark == slot.mark).then(|| &rest[..WRAPPED_1])
}

/// Gives the new file the owner of the old one: root upgrades what the gate's user reads.
fn like(file: &SlotFile, old: &Path) -> Result<()> {
    let meta = fs::metadata(old).map_err(|error| StoreError::io("examine", old, error))?;
    if file.file().metadata().is_ok_and(|own| (own.uid(), own.gid()) != (meta.uid(), meta.gid())) {
        let given = fchown(file.file(), Some(meta.uid()), Some(meta.gid()));
        given.map_err(|error| StoreError::io("change the owner of", file.path(), error))?;
    }
    Ok(())
}
