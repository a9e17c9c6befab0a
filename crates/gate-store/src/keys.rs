//! What the site key opens: the holder in a slot, the head, the register; and the keyed sum over the register's people.

use gate_guard::memory::Locked;
use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::epoch::{Head, Register, Sum};
use crate::error::SqlAt;
use crate::seal::{Bound, KEY_BYTES, SEAL_BYTES, Sealer};
use crate::slots::{Mark, Slot, SlotRef, Slots};
use crate::{MAX_ID_CHARS, Result, SiteKey, StoreError};
use std::path::Path;

/// Data key, person's key, length of the id, id, zeros.
const HOLDER_PLAIN_BYTES: usize = KEY_BYTES + 4 + 1 + MAX_ID_CHARS;
/// Bytes of a sealed holder.
pub(crate) const HOLDER_BYTES: usize = HOLDER_PLAIN_BYTES + SEAL_BYTES;
const CANARY: &[u8] = b"the site key of this store";

/// A data key. Wiped when dropped.
pub(crate) type DataKey = Zeroizing<[u8; KEY_BYTES]>;

/// Wraps and unwraps what the site key guards in one store.
pub(crate) struct Keys {
    site: Locked<Sealer>,
    pub(crate) store_mark: Mark,
    /// Of the sum: whoever cannot compute its terms cannot find other people with the same sum.
    register: Zeroizing<[u8; 32]>,
}

/// Why a person's data key is unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// It was destroyed: the person was erased or changed, and these rows come out of an older copy.
    Erased,
    /// It is missing or does not belong to this person.
    Damaged,
}

/// Whose key a slot holds.
pub(crate) struct Holder {
    pub(crate) person: u32,
    pub(crate) id: String,
    pub(crate) data_key: DataKey,
}

impl Keys {
    pub(crate) fn new(key: &SiteKey, store_mark: Mark) -> Self {
        Self { site: Locked::new(key.sealer()), store_mark, register: key.derive(b"face-gate register 1", &store_mark) }
    }

    /// The keys of the store whose `meta` this is, if `key` is its site key.
    pub(crate) fn unlock(conn: &Connection, path: &Path, key: &SiteKey) -> Result<Self> {
        let mark = meta(conn, path, "store")?;
        let mark = Mark::try_from(mark.as_slice());
        let mark = mark.map_err(|_| StoreError::damaged(path, "its `store` entry is malformed"))?;
        let keys = Self::new(key, mark);
        let mut plain = Vec::new();
        if !keys.site.get().open(Bound::default().canary(&mark), &meta(conn, path, "canary")?, &mut plain)
            || plain != CANARY
        {
            return Err(StoreError::WrongKey { path: path.to_path_buf() });
        }
        Ok(keys)
    }

    /// What proves to [`Keys::unlock`] that the key is right.
    pub(crate) fn canary(&self) -> Result<Vec<u8>> {
        self.site.get().seal(Bound::default().canary(&self.store_mark), CANARY)
    }

    /// Wraps `data_key` for one person, into one slot.
    pub(crate) fn wrap(
        &self,
        bound: &mut Bound,
        slot: &SlotRef,
        person: u32,
        id: &str,
        data_key: &DataKey,
    ) -> Result<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(HOLDER_PLAIN_BYTES));
        plain.extend_from_slice(data_key.as_slice());
        plain.extend_from_slice(&person.to_le_bytes());
        plain.push(u8::try_from(id.len()).unwrap_or(u8::MAX));
        plain.extend_from_slice(id.as_bytes());
        if plain.len() > HOLDER_PLAIN_BYTES {
            return Err(StoreError::BadId { id: id.to_owned() });
        }
        plain.resize(HOLDER_PLAIN_BYTES, 0);
        self.site.get().seal(bound.holder(&self.store_mark, slot.number, &slot.mark), &plain)
    }

    /// The data key of one person, or why there is none.
    pub(crate) fn unwrap(
        &self,
        bound: &mut Bound,
        slots: &Slots,
        slot: &SlotRef,
        person: u32,
        id: &str,
    ) -> std::result::Result<DataKey, NoKey> {
        let mut plain = Zeroizing::new(Vec::with_capacity(HOLDER_PLAIN_BYTES));
        self.open(bound, slots, slot, &mut plain)?;
        let (data_key, found, found_id) = parse(&plain).ok_or(NoKey::Damaged)?;
        if (found, found_id) != (person, id.as_bytes()) {
            return Err(NoKey::Damaged);
        }
        Ok(Zeroizing::new(*data_key))
    }

    /// Whose key a slot holds; `None` when it does not open.
    pub(crate) fn holder(&self, bound: &mut Bound, slots: &Slots, slot: &SlotRef) -> Option<Holder> {
        let mut plain = Zeroizing::new(Vec::with_capacity(HOLDER_PLAIN_BYTES));
        self.open(bound, slots, slot, &mut plain).ok()?;
        let (data_key, person, id) = parse(&plain)?;
        let id = std::str::from_utf8(id).ok()?.to_owned();
        Some(Holder { person, id, data_key: Zeroizing::new(*data_key) })
    }

    fn open(
        &self,
        bound: &mut Bound,
        slots: &Slots,
        slot: &SlotRef,
        plain: &mut Vec<u8>,
    ) -> std::result::Result<(), NoKey> {
        let sealed = match slots.get(slot) {
            Slot::Key(sealed) => sealed,
            Slot::Erased => return Err(NoKey::Erased),
            Slot::Missing => return Err(NoKey::Damaged),
        };
        let opens = self.site.get().open(bound.holder(&self.store_mark, slot.number, &slot.mark), sealed, plain);
        opens.then_some(()).ok_or(NoKey::Damaged)
    }

    /// A data key as the first version of `people.keys` held it.
    pub(crate) fn unwrap_1(&self, bound: &mut Bound, person: u32, id: &str, wrapped: &[u8]) -> Option<DataKey> {
        let mut plain = Zeroizing::new(Vec::with_capacity(KEY_BYTES));
        let opens = self.site.get().open(bound.data_key_1(&self.store_mark, person, id), wrapped, &mut plain);
        let data_key = plain.as_slice().try_into().ok().filter(|_| opens)?;
        Some(Zeroizing::new(data_key))
    }

    pub(crate) fn seal_head(&self, head: &Head) -> Result<Vec<u8>> {
        self.site.get().seal(Bound::default().head(&self.store_mark), &head.to_bytes())
    }

    /// The head that counts and the copy to write next; `None` when neither copy opens.
    pub(crate) fn head(&self, slots: &Slots) -> Option<(Head, usize)> {
        let [first, second] = slots.heads().map(|sealed| {
            let mut plain = Vec::new();
            let opens = self.site.get().open(Bound::default().head(&self.store_mark), sealed, &mut plain);
            Head::from_bytes(&plain).filter(|_| opens)
        });
        match (first, second) {
            (Some(first), Some(second)) if second.order() > first.order() => Some((second, 0)),
            (Some(first), _) => Some((first, 1)),
            (None, second) => second.map(|second| (second, 0)),
        }
    }

    pub(crate) fn seal_register(&self, register: &Register) -> Result<Vec<u8>> {
        self.site.get().seal(Bound::default().register(&self.store_mark), &register.to_bytes())
    }

    /// The sealed register of the database.
    pub(crate) fn register(&self, conn: &Connection, path: &Path) -> Result<Register> {
        let mut plain = Vec::new();
        let opens = self.site.get().open(
            Bound::default().register(&self.store_mark),
            &meta(conn, path, "register")?,
            &mut plain,
        );
        let register = Register::from_bytes(&plain).filter(|_| opens);
        register.ok_or_else(|| StoreError::damaged(path, "its `register` entry was altered"))
    }

    /// One person's term in the register's sum.
    pub(crate) fn term(&self, person: u32, id: &str, slot: &SlotRef) -> Sum {
        let mut hash = Sha256::new();
        hash.update(self.register.as_slice());
        hash.update(person.to_le_bytes());
        hash.update(slot.number.to_le_bytes());
        hash.update(slot.mark);
        hash.update(id.as_bytes());
        Sum::from_bytes(hash.finalize().into())
    }
}

/// Data key, person and id of a holder.
fn parse(plain: &[u8]) -> Option<(&[u8; KEY_BYTES], u32, &[u8])> {
    let (data_key, rest) = plain.split_first_chunk::<KEY_BYTES>()?;
    let (person, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first()?;
    Some((data_key, u32::from_le_bytes(*person), rest.get(..usize::from(*length))?))
}

fn meta(conn: &Connection, path: &Path, name: &str) -> Result<Vec<u8>> {
    let query = "SELECT value FROM meta WHERE name = ?1";
    let value = conn.query_row(query, [name], |row| row.get(0)).optional().at(path)?;
    value.ok_or_else(|| StoreError::damaged(path, format!("its `{name}` entry is missing")))
}
