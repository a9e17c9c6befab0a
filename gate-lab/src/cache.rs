//! Vectors kept between runs, in one file: a biometric, so only its owner may read it.
//!
//! ```text
//! magic  key of the networks and the pipeline  dim  count  entries...  sha256 of all before
//! entry: path, size, time of change; face, quality and vector, or why there is none
//! ```
//! An entry serves as long as the file has the same size and time of change; all of them as long as detector, encoder and
//! what lies between are the same. Files that are gone are forgotten. A damaged cache is told and made anew.

use crate::files::write_private;
use anyhow::{Context, Result};
use gate_core::geometry::{Face, Point, Pose, Rect};
use gate_core::quality::Quality;
use gate_vision::PIPELINE;
use gate_vision::card::Card;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

const MAGIC: &[u8] = b"gate-lab faces 2\n";
const HASH: usize = 32;
/// No message is longer, no vector either.
const LENGTH_MAX: usize = 1 << 16;

/// What was seen on a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// The face that counts.
    Face {
        /// Where it is.
        face: Face,
        /// How good it is.
        quality: Quality,
        /// Length of the encoder's output.
        length: f32,
        /// Unit vector.
        vector: Vec<f32>,
    },
    /// None.
    Missed {
        /// Whether the file is a picture at all.
        readable: bool,
        /// For a person to read.
        why: String,
    },
}

/// A file, as it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stamp {
    path: PathBuf,
    size: u64,
    changed_ns: u64,
}

impl Stamp {
    /// That of a file now; one that cannot be read has none that is ever found again.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let meta = fs::metadata(&path).ok();
        let changed = meta.as_ref().and_then(|m| m.modified().ok()?.duration_since(UNIX_EPOCH).ok());
        let changed_ns = changed.map_or(0, |t| t.as_nanos() as u64);
        Self { path, size: meta.map_or(u64::MAX, |m| m.len()), changed_ns }
    }
}

/// The cache of one encoder.
#[derive(Debug)]
pub struct Cache {
    file: Option<PathBuf>,
    key: [u8; HASH],
    dim: usize,
    known: HashMap<Stamp, Seen>,
}

impl Cache {
    /// Reads the cache in `file`, if there is one that serves these networks.
    #[must_use]
    pub fn open(file: Option<&Path>, detector: &Card, encoder: &Card, detect_max_px: u32) -> Self {
        let dim = encoder.encoding.as_ref().map_or(0, |e| e.dim);
        let what = format!(
            "{PIPELINE} {detect_max_px} {} {:?} {} {:?}",
            detector.sha256,
            (detector.input, detector.prepare, &detector.detection),
            encoder.encoder_sha256(),
            (encoder.input, encoder.prepare, dim),
        );
        let key = Sha256::digest(what.as_bytes()).into();
        let mut cache = Self { file: file.map(Path::to_path_buf), key, dim, known: HashMap::new() };
        let Some(file) = file else { return cache };
        match fs::read(file) {
            Ok(bytes) => match cache.decode(&bytes) {
                Some(known) => cache.known = known,
                None => eprintln!("gate-lab: the cache {} is damaged; it is made anew", file.display()),
            },
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => eprintln!("gate-lab: the cache {} cannot be read ({error}); it is made anew", file.display()),
        }
        cache
    }

    /// What was seen on this file.
    #[must_use]
    pub fn take(&mut self, stamp: &Stamp) -> Option<Seen> {
        self.known.get(stamp).cloned()
    }

    /// Adds what was seen, and writes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put<'a>(&mut self, seen: impl Iterator<Item = (&'a Stamp, &'a Option<Seen>)>) -> Result<()> {
        let Some(file) = self.file.clone() else { return Ok(()) };
        self.known.retain(|stamp, _| Stamp::of(&stamp.path) == *stamp);
        self.known.extend(seen.filter_map(|(stamp, seen)| Some((stamp.clone(), seen.clone()?))));
        let bytes = self.encode();
        write_private(&file, &bytes).with_context(|| format!("cannot write the cache {}", file.display()))
    }

    fn encode(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.known.iter().collect();
        entries.sort_unstable_by(|a, b| a.0.path.cmp(&b.0.path));
        let mut out = [MAGIC, &self.key].concat();
        let put_u32 = |out: &mut Vec<u8>, n: usize| out.extend((n as u32).to_le_bytes());
        put_u32(&mut out, self.dim);
        put_u32(&mut out, entries.len());
        for (stamp, seen) in entries {
            let path = stamp.path.as_os_str().as_encoded_bytes();
            put_u32(&mut out, path.len());
            out.extend(path);
            out.extend(stamp.size.to_le_bytes());
            out.extend(stamp.changed_ns.to_le_bytes());
            match seen {
                Seen::Face { face, quality, length, vector } => {
                    out.push(0);
                    out.extend(
                        numbers(face, quality)
                            .chain([*length])
                            .chain(vector.iter().copied())
                            .flat_map(f32::to_le_bytes),
                    );
                }
                Seen::Missed { readable, why } => {
                    out.push(if *readable { 1 } else { 2 });
                    put_u32(&mut out, why.len());
                    out.extend(why.as_bytes());
                }
            }
        }
        let hash = Sha256::digest(&out);
        out.extend(hash);
        out
    }

    /// The entries; empty when they are of other networks, `None` when the file is damaged.
    fn decode(&self, bytes: &[u8]) -> Option<HashMap<Stamp, Seen>> {
        let (body, hash) = bytes.split_at_checked(bytes.len().checked_sub(HASH)?)?;
        if Sha256::digest(body).as_slice() != hash {
            return None;
        }
        let mut reader = Reader(body.strip_prefix(MAGIC)?);
        if reader.bytes(HASH)? != self.key || reader.length()? != self.dim {
            return Some(HashMap::new());
        }
        let count = u32::from_le_bytes(reader.array()?);
        (0..count).map(|_| reader.entry(self.dim)).collect()
    }
}

/// Reads from the front; `None` at the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        let n = u32::from_le_bytes(self.array()?) as usize;
        (n <= LENGTH_MAX).then_some(n)
    }

    fn text(&mut self) -> Option<String> {
        let n = self.length()?;
        String::from_utf8(self.bytes(n)?.to_vec()).ok()
    }

    fn number(&mut self) -> Option<f32> {
        Some(f32::from_le_bytes(self.array()?))
    }

    fn entry(&mut self, dim: usize) -> Option<(Stamp, Seen)> {
        let length = self.length()?;
        let path = PathBuf::from(OsStr::from_bytes(self.bytes(length)?));
        let (size, changed_ns) = (u64::from_le_bytes(self.array()?), u64::from_le_bytes(self.array()?));
        let seen = match self.bytes(1)? {
            [0] => {
                let (face, quality, length) = (self.face()?, self.quality()?, self.number()?);
                Seen::Face { face, quality, length, vector: (0..dim).map(|_| self.number()).collect::<Option<_>>()? }
            }
            [kind] => Seen::Missed { readable: *kind == 1, why: self.text()? },
            _ => return None,
        };
        Some((Stamp { path, size, changed_ns }, seen))
    }

    fn face(&mut self) -> Option<Face> {
        let mut next = || self.number();
        let rect = Rect { x: next()?, y: next()?, w: next()?, h: next()? };
        let score = next()?;
        let mut landmarks = [Point::default(); 5];
        for point in &mut landmarks {
            *point = Point { x: next()?, y: next()? };
        }
        Some(Face { rect, landmarks, score })
    }

    fn quality(&mut self) -> Option<Quality> {
        let mut next = || self.number();
        let (face_px, visible_part) = (next()?, next()?);
        let pose = Pose { yaw_deg: next()?, pitch_deg: next()?, roll_deg: next()? };
        Some(Quality { face_px, visible_part, pose, sharpness: next()?, luma: next()? })
    }
}

/// In the order in which [`Reader::face`] and [`Reader::quality`] take them.
fn numbers(face: &Face, q: &Quality) -> impl Iterator<Item = f32> {
    let Rect { x, y, w, h } = face.rect;
    let landmarks = face.landmarks.into_iter().flat_map(|point| [point.x, point.y]);
    let quality = [q.face_px, q.visible_part, q.pose.yaw_deg, q.pose.pitch_deg, q.pose.roll_deg, q.sharpness, q.luma];
    [x, y, w, h, face.score].into_iter().chain(landmarks).chain(quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> Cache {
        let stamp = |name: &str| Stamp { path: name.into(), size: 5, changed_ns: 7 };
        let quality = Quality { face_px: 90.0, sharpness: 3.3, luma: 0.1, ..Quality::default() };
        let mut face = Face { rect: Rect { x: 1.0, y: -2.0, w: 3.0, h: 4.0 }, score: 0.5, ..Face::default() };
        face.landmarks[4] = Point { x: 8.0, y: 9.0 };
        let known = [
            (stamp("a.jpg"), Seen::Face { face, quality, length: 7.5, vector: vec![0.6, 0.8] }),
            (stamp("b.jpg"), Seen::Missed { readable: true, why: "no face".into() }),
        ];
        Cache { file: None, key: [3; HASH], dim: 2, known: known.into() }
    }

    #[test]
    fn what_is_kept_comes_back() {
        assert_eq!(cache().decode(&cache().encode()), Some(cache().known));
    }

    #[test]
    fn of_other_networks_nothing_is_taken() {
        let other = Cache { key: [4; HASH], ..cache() };
        assert_eq!(other.decode(&cache().encode()), Some(HashMap::new()));
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let good = cache().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(cache().decode(&bad), None, "byte {at}");
            assert_eq!(cache().decode(&good[..at]), None, "cut at {at}");
        }
    }
}
