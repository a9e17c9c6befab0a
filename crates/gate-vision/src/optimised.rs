//! Graphs that ONNX Runtime has optimised for this machine beforehand, so that a start has nothing left to do but read them.
//!
//! ```text
//!  weights ──onnx::prepare──▶ graph ──ONNX Runtime's optimiser──▶ models/cache/graphs/NAME-KEY.ort
//!                                                                  (a last line of 32 bytes: the sha256 of what is before)
//! ```
//! The key says what the file was made from and for: the weights, the card's [prepare], this build of ONNX Runtime, this kind
//! of processor, whose blocked layout is in the file. On another machine it is not found, and the weights are prepared at the
//! start as ever. Weights are used where they were read to: a start needs half the time, and half the memory.

use crate::card::{Card, sha256_hex};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Raised when what is written changes, here or in [`crate::onnx`].
const FORM: u32 = 1;
/// Bytes of the hash at the end.
const HASH_BYTES: usize = 32;

/// Where the optimised graph of this card is, or would be, for ONNX Runtime of this build on this processor.
pub(crate) fn path(card: &Card, build: &str) -> PathBuf {
    let made_from = format!("{FORM} {} {:?} {build} {}", card.sha256, card.prepare, processor());
    let key = sha256_hex(made_from.as_bytes());
    folder(card).join(format!("{}-{}.ort", card.name, &key[..16]))
}

fn folder(card: &Card) -> PathBuf {
    card.cache().join("graphs")
}

/// Reads an optimised graph; `None` where there is none.
///
/// # Errors
/// A sentence saying why the file is not to be used.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let mut bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.to_string()),
    };
    let Some(end) = bytes.len().checked_sub(HASH_BYTES) else { return Err("it is cut short".into()) };
    if Sha256::digest(&bytes[..end])[..] != bytes[end..] {
        return Err("it is damaged: its hash is another".into());
    }
    bytes.truncate(end);
    Ok(Some(bytes))
}

/// Puts an optimised graph in its place, in one step, and takes away what this card had there before.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn write(path: &Path, mut graph: Vec<u8>, card: &Card) -> std::io::Result<()> {
    let hash = Sha256::digest(&graph);
    graph.extend_from_slice(&hash);
    let part = part(path);
    std::fs::write(&part, &graph)?;
    std::fs::File::open(&part)?.sync_all()?;
    std::fs::rename(&part, path)?;
    let prefix = format!("{}-", card.name);
    for old in std::fs::read_dir(folder(card))?.flatten() {
        let is_of_card = old.file_name().to_str().is_some_and(|name| name.starts_with(&prefix));
        if is_of_card && old.path() != path {
            // One that stays takes room and is never read.
            let _ = std::fs::remove_file(old.path());
        }
    }
    Ok(())
}

/// Where a graph is while it is being made.
pub(crate) fn part(path: &Path) -> PathBuf {
    path.with_extension(format!("part-{}", std::process::id()))
}

/// What ONNX Runtime chooses its kernels and layouts by.
fn processor() -> String {
    let mut has = vec![std::env::consts::ARCH];
    macro_rules! note {
        ($detected:ident: $($feature:tt)+) => { $(if std::arch::$detected!($feature) { has.push($feature); })+ };
    }
    #[cfg(target_arch = "x86_64")]
    note!(is_x86_feature_detected: "sse4.1" "avx" "avx2" "fma" "avxvnni" "avx512f" "avx512bw" "avx512vnni" "avx512bf16");
    #[cfg(target_arch = "aarch64")]
    note!(is_aarch64_feature_detected: "fp16" "dotprod" "i8mm" "bf16" "sve" "sve2");
    has.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
        for file in ["yunet.toml", "sface.toml"] {
            std::fs::copy(models.join(file), dir.path().join(file)).unwrap();
        }
        let card = Card::load(dir.path(), "yunet", crate::card::Job::Detect).unwrap();
        let folder = folder(&card);
        std::fs::create_dir_all(&folder).unwrap();
        let (old, other) = (folder.join("yunet-0.ort"), folder.join("sface-0.ort"));
        std::fs::write(&old, "old").unwrap();
        std::fs::write(&other, "another card's").unwrap();

        let path = path(&card, "build 1");
        assert_eq!(read(&path), Ok(None));
        write(&path, b"a graph".to_vec(), &card).unwrap();
        assert_eq!(read(&path), Ok(Some(b"a graph".to_vec())));
        assert!(!old.exists() && other.exists());
        assert_ne!(path, super::path(&card, "build 2"));

        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[2] ^= 1;
        for bytes in [&whole[..whole.len() - 1], &whole[..5], &flipped] {
            std::fs::write(&path, bytes).unwrap();
            assert!(read(&path).is_err());
        }
    }
}
