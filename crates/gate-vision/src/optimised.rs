//! Graphs that ONNX Runtime has optimised for this machine beforehand, so that a start has nothing left to do but read them.
//!
//! ```text
//!  weights ──onnx::prepare──▶ graph ──ONNX Runtime's optimiser──▶ models/cache/graphs/NAME-KEY.ort
//!                                                                  (and 32 bytes: the sha256 of what is before them)
//! ```
//! The key says what the file was made from and for: the weights, the card's [prepare], this build of ONNX Runtime, this kind
//! of processor, whose blocked layout is in the file. On another machine it is not found, and the weights are prepared at the
//! start as ever. The file is mapped into memory and its weights are used where they are, so that a start needs a third of
//! the time, and the gate and the staff's tool share one copy.

use crate::card::{Card, sha256_hex};
use ort::session::Session;
use ort::value::TensorRef;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

/// Raised when what is written changes, here or in [`crate::onnx`].
const FORM: u32 = 1;
/// Bytes of the hash at the end.
const HASH_BYTES: u64 = 32;

/// Least agreement of an optimised graph with the published one: their difference, relative to the largest output.
pub(crate) const DIFFERENCE_MAX: f32 = 1e-3;

/// Where the optimised graph of this card is, or would be, for ONNX Runtime of this build on this processor.
pub(crate) fn path(card: &Card, build: &str) -> PathBuf {
    let made_from = format!("{FORM} {} {:?} {build} {}", card.encoder_sha256(), card.prepare, processor());
    let key = sha256_hex(made_from.as_bytes());
    folder(card).join(format!("{}-{}.ort", card.name, &key[..16]))
}

fn folder(card: &Card) -> PathBuf {
    card.cache().join("graphs")
}

/// Whether there is an optimised graph.
///
/// # Errors
/// A sentence saying why the file that is there is not to be used.
pub(crate) fn is_there(path: &Path) -> Result<bool, String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e.to_string()),
    };
    let mut check = || -> std::io::Result<bool> {
        let end = file.metadata()?.len().checked_sub(HASH_BYTES).ok_or(ErrorKind::UnexpectedEof)?;
        let found = hash(&mut Read::by_ref(&mut file).take(end))?;
        let mut wanted = Vec::new();
        file.read_to_end(&mut wanted)?;
        Ok(found == wanted)
    };
    match check() {
        Ok(true) => Ok(true),
        Ok(false) => Err("it is damaged: its hash is another".into()),
        Err(e) => Err(e.to_string()),
    }
}

/// The sha256 of what is left to read. In pieces: the graph itself is mapped, not read.
fn hash(from: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let (mut hash, mut piece) = (Sha256::new(), [0; 1 << 16]);
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(hash.finalize().to_vec()),
            n => hash.update(&piece[..n]),
        }
    }
}

/// Seals the graph that was written to [`part`], puts it in its place, in one step, and takes away what this card had there
/// before. Returns its size in bytes.
///
/// # Errors
/// When the folder cannot be written.
pub(crate) fn keep(path: &Path, card: &Card) -> std::io::Result<u64> {
    let part = part(path);
    let mut file = File::options().read(true).append(true).open(&part)?;
    let bytes = file.metadata()?.len();
    let hash = hash(&mut file)?;
    file.write_all(&hash)?;
    file.sync_all()?;
    std::fs::rename(&part, path)?;
    let prefix = format!("{}-", card.name);
    for old in std::fs::read_dir(folder(card))?.flatten() {
        // What is left of the name is the key, and no longer name of another card.
        let is_key = |rest: &str| rest.split('.').next().is_some_and(|key| !key.contains('-'));
        let is_of_card = old.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)).is_some_and(is_key);
        if is_of_card && old.path() != path {
            // One that stays takes room and is never read.
            let _ = std::fs::remove_file(old.path());
        }
    }
    Ok(bytes)
}

/// Where a graph is while it is being made.
pub(crate) fn part(path: &Path) -> PathBuf {
    path.with_extension(format!("part-{}", std::process::id()))
}

/// The largest difference between two graphs' outputs, over some inputs of the form that the first one takes, relative to
/// the largest output; infinite where one of them is no number.
pub(crate) fn difference(one: &mut Session, other: &mut Session, card: &Card) -> ort::Result<f32> {
    let input = &one.inputs()[0];
    let (name, shape) = (input.name().to_owned(), input.dtype().tensor_shape().cloned().unwrap_or_default());
    let shape: Vec<usize> = shape.iter().map(|side| usize::try_from(*side).unwrap_or(1)).collect();
    let mut worst = 0.0f32;
    for seed in 1..=3u32 {
        let data = noise(seed, shape.iter().product(), card);
        let input = || TensorRef::from_array_view((shape.clone(), data.as_slice()));
        let (outputs, others) =
            (one.run(ort::inputs![name.as_str() => input()?])?, other.run(ort::inputs![name.as_str() => input()?])?);
        for (a, b) in outputs.values().zip(others.values()) {
            let (a, b) = (a.try_extract_tensor::<f32>()?.1, b.try_extract_tensor::<f32>()?.1);
            if a.len() != b.len() || !a.iter().chain(b).all(|value| value.is_finite()) {
                return Ok(f32::INFINITY);
            }
            let range = a.iter().fold(f32::MIN_POSITIVE, |most, value| most.max(value.abs()));
            let off = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            worst = worst.max(off / range);
        }
    }
    Ok(worst)
}

/// Pixels without sense, as the card feeds them: coarse patches with noise over them.
fn noise(seed: u32, count: usize, card: &Card) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32
    };
    let mut patch = 0.0;
    (0..count)
        .map(|i| {
            if i % 16 == 0 {
                patch = next();
            }
            (0.75 * patch + 0.25 * next() - card.input.mean) * card.input.scale
        })
        .collect()
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
        let longer = folder.join("yunet-large-0.ort");
        std::fs::write(&old, "old").unwrap();
        std::fs::write(&longer, "another card's").unwrap();
        std::fs::write(&other, "another card's").unwrap();

        let path = path(&card, "build 1");
        assert_eq!(is_there(&path), Ok(false));
        std::fs::write(part(&path), "a graph").unwrap();
        assert_eq!(keep(&path, &card).unwrap(), 7);
        assert_eq!(is_there(&path), Ok(true));
        assert!(!old.exists() && other.exists() && longer.exists());
        assert_ne!(path, super::path(&card, "build 2"));

        let whole = std::fs::read(&path).unwrap();
        let mut flipped = whole.clone();
        flipped[2] ^= 1;
        for bytes in [&whole[..whole.len() - 1], &whole[..5], &flipped] {
            std::fs::write(&path, bytes).unwrap();
            assert!(is_there(&path).is_err());
        }
    }
}
