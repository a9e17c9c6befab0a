//! A frame by frame record for diagnosis and for the demo's report: boxes, landmarks, quality, dissimilarities.
//!
//! It holds scores, which nobody at the gate may learn, so it is written only when the owner asks for it by
//! `run --trace FILE`, into a new file that only its owner can read.

use crate::gate::Seen;
use anyhow::{Context, Result};
use gate_core::decision::{Lookup, Now};
use gate_core::gate::State;
use gate_core::policy::QualityPolicy;
use gate_guard::files;
use gate_site::Members;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How often a disk that refuses is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// One frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameTrace {
    /// The frame's number from the camera.
    pub seq: u64,
    /// Monotonic milliseconds.
    pub mono_ms: u64,
    /// Whether the relay is on after it.
    pub unlocked: bool,
    /// The threshold in force.
    pub tau: f32,
    /// The faces, largest first.
    pub faces: Vec<FaceTrace>,
}

/// One face of a frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FaceTrace {
    /// Left, top, width, height, pixels.
    #[serde(rename = "box")]
    pub rect: [f32; 4],
    /// Five points, pixels.
    pub landmarks: [[f32; 2]; 5],
    /// Track number.
    pub track: u32,
    /// Estimated turn to the side, degrees.
    pub yaw_deg: f32,
    /// Estimated nod, degrees.
    pub pitch_deg: f32,
    /// See [`gate_core::quality::Quality`].
    pub sharpness: f32,
    /// Mean luma.
    pub luma: f32,
    /// What is wrong with this face, if anything.
    pub poor: Option<String>,
    /// The nearest person, if the face was encoded.
    pub nearest: Option<String>,
    /// Dissimilarity to them.
    pub d2: Option<f32>,
    /// Dissimilarity to the next person.
    pub runner_up_d2: Option<f32>,
    /// Liveness: it is taken for a presentation attack.
    pub attack: bool,
    /// Liveness: the network's or the site's score, larger = more likely live.
    pub live_score: Option<f32>,
    /// Liveness: strength of straight edges around the face.
    pub outline: Option<f32>,
    /// Liveness: share of the surroundings where motion shows, their difference if still, and if carried along.
    pub surroundings: Option<[f32; 3]>,
}

/// Where the record goes. Whatever the disk does, the gate works on: what cannot be written is left out and counted.
pub struct Trace {
    file: File,
    place: String,
    line: Vec<u8>,
    /// Bytes of whole lines in a regular file; `None` for a device or a pipe.
    whole_bytes: Option<u64>,
    /// When it is tried again, after a failure.
    retry: Option<Instant>,
    /// Frames that are not in it.
    missing: u64,
}

impl Trace {
    /// Begins a new file, in place of an earlier one. A device or a pipe is written to as it is.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let (file, is_regular) = files::replace_or_special(path)
            .with_context(|| format!("the trace {} cannot be written", path.display()))?;
        tracing::warn!(file = %path.display(), "the trace holds scores: keep it on this machine, delete it afterwards");
        let place = path.display().to_string();
        Ok(Self { file, place, line: Vec::new(), whole_bytes: is_regular.then_some(0), retry: None, missing: 0 })
    }

    /// Appends one frame, if the disk takes it.
    pub fn write(
        &mut self,
        seq: u64,
        now: Now,
        state: State,
        seen: &[Seen],
        members: &Members,
        policy: &QualityPolicy,
    ) {
        let frame = FrameTrace {
            seq,
            mono_ms: now.mono_ms,
            unlocked: matches!(state, State::Unlocked { .. }),
            tau: members.tau().d2,
            faces: seen.iter().map(|s| face_trace(s, members, policy)).collect(),
        };
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        match serde_json::to_writer(&mut line, &frame) {
            Ok(()) => {
                line.push(b'\n');
                self.append(&line, Instant::now());
            }
            // Every field has a form in JSON.
            Err(e) => tracing::error!("a frame has no place in the trace: {e}"),
        }
        self.line = line;
    }

    /// Appends a line. After a failure none is tried for a while, so that a full disk costs the gate nothing.
    fn append(&mut self, line: &[u8], now: Instant) {
        if self.retry.is_some_and(|retry| now < retry) {
            self.missing += 1;
            return;
        }
        let written = match self.whole_bytes {
            // Over whatever a failed attempt has left there.
            Some(at) => self.file.write_all_at(line, at),
            None => self.file.write_all(line),
        };
        match written {
            Ok(()) => {
                self.whole_bytes = self.whole_bytes.map(|bytes| bytes + line.len() as u64);
                if self.retry.take().is_some() {
                    let missing = std::mem::take(&mut self.missing);
                    tracing::warn!(file = self.place, missing, "the trace goes on; these frames are not in it");
                }
            }
            Err(e) => {
                if self.retry.is_none() {
                    tracing::error!(
                        file = self.place,
                        "the trace cannot be written ({e}); the gate works on without it"
                    );
                }
                self.retry = Some(now + RETRY);
                self.missing += 1;
                if let Some(bytes) = self.whole_bytes {
                    // No torn line at the end. A disk that refuses this, too, has been reported.
                    let _ = self.file.set_len(bytes);
                }
            }
        }
    }
}

fn face_trace(seen: &Seen, members: &Members, policy: &QualityPolicy) -> FaceTrace {
    let (r, quality) = (seen.face.rect, seen.sighting.quality);
    let found = match seen.sighting.lookup {
        Lookup::Found(found) => Some(found),
        Lookup::NotDone | Lookup::Unclear | Lookup::EmptyGallery => None,
    };
    FaceTrace {
        rect: [r.x, r.y, r.w, r.h],
        landmarks: seen.face.landmarks.map(|p| [p.x, p.y]),
        track: seen.sighting.track.0,
        yaw_deg: quality.pose.yaw_deg,
        pitch_deg: quality.pose.pitch_deg,
        sharpness: quality.sharpness,
        luma: quality.luma,
        poor: quality.refusal(policy).map(|r| r.name().into()),
        nearest: found.and_then(|f| members.person(f.person)).map(|p| p.id.clone()),
        d2: found.map(|f| f.d2),
        runner_up_d2: found.and_then(|f| f.runner_up_d2),
        attack: seen.attack,
        live_score: seen.sighting.pad.map(|p| p.score),
        outline: seen.sighting.pad.map(|p| p.outline),
        surroundings: seen.sighting.pad.and_then(|p| p.surroundings).map(|s| [s.share, s.still, s.carried]),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::io::Read;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
    use std::process::Command;

    #[test]
    fn a_trace_is_private_whatever_was_there_before_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        let mut reader = File::open(&path).unwrap();
        let mut trace = Trace::create(&path).unwrap();
        trace.append(b"{}\n", Instant::now());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"{}\n");
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "old", "who had the old file open sees nothing of the new one");

        let link = dir.path().join("link");
        symlink(&path, &link).unwrap();
        let refused = Trace::create(&link).err().unwrap();
        assert!(format!("{refused:#}").contains("symbolic link"), "{refused:#}");
    }

    #[test]
    fn what_a_full_pipe_does_not_take_is_left_out_and_later_lines_are_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let mut reader = File::options().read(true).write(true).open(&path).unwrap();
        let mut trace = Trace::create(&path).unwrap();
        let (line, start) = ([b'x'; 4096], Instant::now());
        // A pipe holds 64 kB. Would it wait, the test would stand still here.
        (0..64).for_each(|_| trace.append(&line, start));
        let missing = trace.missing;
        assert!(trace.retry.is_some() && missing > 0 && missing < 64, "{missing}");

        let mut taken = vec![0; (64 - missing as usize) * line.len()];
        reader.read_exact(&mut taken).unwrap();
        trace.append(&line, start + RETRY / 2);
        assert_eq!(trace.missing, missing + 1, "not tried before its time");
        trace.append(&line, start + RETRY * 2);
        assert_eq!((trace.missing, trace.retry), (0, None), "it goes on");
    }

    #[test]
    fn a_full_disk_is_no_error() {
        let mut trace = Trace::create(Path::new("/dev/full")).unwrap();
        (0..3).for_each(|_| trace.append(b"{}\n", Instant::now()));
        assert_eq!(trace.missing, 3);
    }

    #[test]
    fn a_line_is_written_over_what_a_failed_attempt_has_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace.jsonl");
        let mut trace = Trace::create(&path).unwrap();
        trace.append(b"first\n", Instant::now());
        // As a disk that took half a line.
        File::options().append(true).open(&path).unwrap().write_all(b"tor").unwrap();
        trace.append(b"second\n", Instant::now());
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\nsecond\n");
    }
}
