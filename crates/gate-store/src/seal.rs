//! Sealing: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) with random nonces, and the associated data that ties a
//! sealed value to its place. Layout of a sealed value: nonce (24 bytes), ciphertext, tag (16 bytes).

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::{Result, StoreError};

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;
/// What sealing adds to a value, in bytes.
pub(crate) const SEAL_BYTES: usize = NONCE_BYTES + TAG_BYTES;

/// Version of everything below; part of all associated data.
const FORMAT: &[u8] = b"face-gate seal 1";

/// Fills `bytes` from the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    getrandom::fill(bytes).map_err(StoreError::Random)
}

/// Seals and opens with one key. The cipher wipes its key when dropped, and prints nothing of it.
pub(crate) struct Sealer {
    cipher: XChaCha20Poly1305,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()) }
    }

    /// A sealer with a key nobody had before, and that key.
    pub(crate) fn generate() -> Result<(Self, Zeroizing<[u8; KEY_BYTES]>)> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        random(key.as_mut_slice())?;
        Ok((Self::new(&key), key))
    }

    /// `plain`, sealed and tied to `bound`.
    pub(crate) fn seal(&self, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(plain.len() + SEAL_BYTES);
        sealed.resize(NONCE_BYTES, 0);
        random(&mut sealed)?;
        sealed.extend_from_slice(plain);
        let (nonce, body) = sealed.split_at_mut(NONCE_BYTES);
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().map_err(|_| too_long())?;
        let tag =
            self.cipher.encrypt_inout_detached(&XNonce::from(nonce), bound, body.into()).map_err(|_| too_long())?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens `sealed` into `plain` (its former content is replaced). `false`: not sealed with this key and `bound`,
    /// or altered since; `plain` is empty then.
    #[must_use]
    pub(crate) fn open(&self, bound: &[u8], sealed: &[u8], plain: &mut Vec<u8>) -> bool {
        plain.clear();
        let Some((nonce, rest)) = sealed.split_first_chunk::<NONCE_BYTES>() else { return false };
        let Some((body, tag)) = rest.split_last_chunk::<TAG_BYTES>() else { return false };
        plain.extend_from_slice(body);
        let opened = self.cipher.decrypt_inout_detached(
            &XNonce::from(*nonce),
            bound,
            plain.as_mut_slice().into(),
            &Tag::from(*tag),
        );
        if opened.is_err() {
            plain.clear();
        }
        opened.is_ok()
    }
}

/// XChaCha20 refuses only values of more than 256 GiB, which the store's limits rule out.
fn too_long() -> StoreError {
    StoreError::Random(getrandom::Error::UNEXPECTED)
}

/// A person's references as the record is sealed to them: none can be taken away, exchanged or put back without notice.
#[derive(Default)]
pub(crate) struct ReferenceList(Vec<u8>);

impl ReferenceList {
    /// Adds a reference. In order of their numbers.
    pub(crate) fn push(&mut self, number: u32, encoder: &str, created_ms: i64, sealed_vector: &[u8]) {
        self.0.extend_from_slice(&number.to_le_bytes());
        self.0.extend_from_slice(&created_ms.to_le_bytes());
        self.0.extend_from_slice(&(encoder.len() as u64).to_le_bytes());
        self.0.extend_from_slice(encoder.as_bytes());
        // Nobody without the data key can make another vector with this tag.
        let tag = sealed_vector.last_chunk::<TAG_BYTES>().copied().unwrap_or_default();
        self.0.extend_from_slice(&tag);
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Builds associated data in one buffer. Each field is preceded by its length, so no two places share theirs.
#[derive(Default)]
pub(crate) struct Bound {
    bytes: Vec<u8>,
}

impl Bound {
    /// The sealed proof that the site key is the right one for the store.
    pub(crate) fn canary(&mut self, store_mark: &[u8]) -> &[u8] {
        self.start(b"canary").field(store_mark)
    }

    /// The numbers of an anchor.
    pub(crate) fn anchor(&mut self) -> &[u8] {
        self.start(b"anchor");
        &self.bytes
    }

    /// The head of `people.keys`.
    pub(crate) fn head(&mut self, store_mark: &[u8]) -> &[u8] {
        self.start(b"head").field(store_mark)
    }

    /// The register of people in `people.db`.
    pub(crate) fn register(&mut self, store_mark: &[u8]) -> &[u8] {
        self.start(b"register").field(store_mark)
    }

    /// What a slot of `people.keys` holds.
    pub(crate) fn holder(&mut self, store_mark: &[u8], slot: u32, slot_mark: &[u8]) -> &[u8] {
        self.start(b"holder").field(store_mark);
        self.field(&slot.to_le_bytes());
        self.field(slot_mark)
    }

    /// A person's data key as version 1 of `people.keys` held it.
    pub(crate) fn data_key_1(&mut self, store_mark: &[u8], person: u32, id: &str) -> &[u8] {
        self.start(b"data key").field(store_mark);
        self.person(person, id)
    }

    /// A person's record in one version, with the references of that version.
    pub(crate) fn record(&mut self, person: u32, id: &str, version: &[u8], references: &ReferenceList) -> &[u8] {
        self.start(b"record 2").person(person, id);
        self.field(version);
        self.field(&references.0)
    }

    /// A person's record as version 1 of the schema sealed it.
    pub(crate) fn record_1(&mut self, person: u32, id: &str) -> &[u8] {
        self.start(b"record").person(person, id)
    }

    /// A reference vector.
    pub(crate) fn reference(&mut self, person: u32, id: &str, encoder: &str, number: u32) -> &[u8] {
        self.start(b"reference").person(person, id);
        self.field(encoder.as_bytes());
        self.field(&number.to_le_bytes())
    }

    /// The enrolment picture behind a reference.
    pub(crate) fn picture(&mut self, person: u32, id: &str, number: u32) -> &[u8] {
        self.start(b"picture").person(person, id);
        self.field(&number.to_le_bytes())
    }

    fn start(&mut self, kind: &[u8]) -> &mut Self {
        self.bytes.clear();
        self.field(FORMAT);
        self.field(kind);
        self
    }

    fn person(&mut self, person: u32, id: &str) -> &[u8] {
        self.field(&person.to_le_bytes());
        self.field(id.as_bytes())
    }

    fn field(&mut self, field: &[u8]) -> &[u8] {
        self.bytes.extend_from_slice(&(field.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(field);
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_same_key_place_and_bytes() {
        let (sealer, _) = Sealer::generate().unwrap();
        let (other, _) = Sealer::generate().unwrap();
        let mut bound = Bound::default();
        let mut plain = Vec::new();
        let sealed = sealer.seal(bound.reference(1, "ana", "e", 1), b"vector").unwrap();
        assert_eq!(sealed.len(), b"vector".len() + SEAL_BYTES);
        assert!(sealer.open(bound.reference(1, "ana", "e", 1), &sealed, &mut plain));
        assert_eq!(plain, b"vector");
        for elsewhere in [
            bound.reference(2, "ana", "e", 1).to_vec(),
            bound.reference(1, "ann", "e", 1).to_vec(),
            bound.reference(1, "ana", "f", 1).to_vec(),
            bound.reference(1, "ana", "e", 2).to_vec(),
            bound.reference(1, "an", "ae", 1).to_vec(),
            bound.picture(1, "ana", 1).to_vec(),
        ] {
            assert!(!sealer.open(&elsewhere, &sealed, &mut plain));
            assert!(plain.is_empty());
        }
        assert!(!other.open(bound.reference(1, "ana", "e", 1), &sealed, &mut plain));
        for index in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[index] ^= 1;
            assert!(!sealer.open(bound.reference(1, "ana", "e", 1), &altered, &mut plain), "byte {index}");
            assert!(!sealer.open(bound.reference(1, "ana", "e", 1), &sealed[..index], &mut plain), "length {index}");
        }
    }
}
