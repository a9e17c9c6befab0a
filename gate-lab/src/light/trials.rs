//! Challenges recorded at a gate: the form of a line, and reading a folder of them.

use super::judge;
use super::table::Outcome;
use crate::refusal::refuse;
use anyhow::{Context, Result};
use gate_core::geometry::Point;
use gate_core::light::{BACKGROUND_PATCHES, Code, FACE_PATCHES, LightPolicy, LightSample, Patch};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// One challenge: one line of a .jsonl file.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Recorded {
    /// `bona fide`, or the name of an attack species.
    label: String,
    /// The code's bits, slot 0 the lowest.
    code: u16,
    /// The lamp's light on the face as a part of the ambient light, where it was measured.
    lamp: Option<f32>,
    /// Frames a second, where known.
    fps: Option<f32>,
    /// What each frame contributed.
    samples: Vec<RecordedSample>,
}

/// One frame.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RecordedSample {
    /// ms after the code began.
    at_ms: i32,
    /// Mean luma and saturated part; null where not seen.
    face: Vec<Option<(f32, f32)>>,
    background: Vec<Option<(f32, f32)>>,
    /// Pixels.
    centre: (f32, f32),
    /// Pixels.
    size_px: f32,
}

impl Recorded {
    /// A challenge as it is recorded.
    pub fn new(label: &str, code: Code, lamp: Option<f32>, fps: Option<f32>, samples: &[LightSample]) -> Self {
        let patch = |patch: &Patch| patch.luma.is_finite().then_some((patch.luma, patch.saturated));
        let sample = |sample: &LightSample| RecordedSample {
            at_ms: sample.at_ms,
            face: sample.face.iter().map(patch).collect(),
            background: sample.background.iter().map(patch).collect(),
            centre: (sample.centre.x, sample.centre.y),
            size_px: sample.size_px,
        };
        Self { label: label.into(), code: code.bits(), lamp, fps, samples: samples.iter().map(sample).collect() }
    }
}

impl RecordedSample {
    fn sample(&self) -> Option<LightSample> {
        let patch =
            |patch: &Option<(f32, f32)>| patch.map_or(Patch::UNSEEN, |(luma, saturated)| Patch { luma, saturated });
        let face: Vec<Patch> = self.face.iter().map(patch).collect();
        let background: Vec<Patch> = self.background.iter().map(patch).collect();
        Some(LightSample {
            at_ms: self.at_ms,
            face: <[Patch; FACE_PATCHES]>::try_from(face).ok()?,
            background: <[Patch; BACKGROUND_PATCHES]>::try_from(background).ok()?,
            centre: Point { x: self.centre.0, y: self.centre.1 },
            size_px: self.size_px,
        })
    }
}

/// Judges every challenge in a folder's .jsonl files.
///
/// # Errors
/// A refusal when the folder has none, or a line is not a challenge: it names file and line.
pub fn judge_folder(folder: &Path, policy: &LightPolicy) -> Result<Vec<Outcome>> {
    let listing = std::fs::read_dir(folder).map_err(|error| refuse(format!("{}: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = listing.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    files.sort();
    let mut outcomes = Vec::new();
    for path in &files {
        let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        for (number, line) in BufReader::new(file).lines().enumerate() {
            let line = line.with_context(|| format!("{} cannot be read", path.display()))?;
            if line.trim().is_empty() {
                continue;
            }
            let place = format!("{}, line {}", path.display(), number + 1);
            outcomes.push(judge_line(&line, policy).map_err(|why| refuse(format!("{place}: {why}")))?);
        }
    }
    if outcomes.is_empty() {
        let folder = folder.display();
        return Err(refuse(format!(
            "{folder} has no challenges in .jsonl files; `gate-lab light-test --help` shows a line"
        )));
    }
    Ok(outcomes)
}

fn judge_line(line: &str, policy: &LightPolicy) -> Result<Outcome, String> {
    let recorded: Recorded = serde_json::from_str(line).map_err(|error| format!("not a challenge: {error}"))?;
    let code = Code::from_bits(recorded.code).ok_or_else(|| format!("{} is none of the codes", recorded.code))?;
    let samples: Option<Vec<LightSample>> = recorded.samples.iter().map(RecordedSample::sample).collect();
    let samples = samples
        .ok_or_else(|| format!("a sample has {FACE_PATCHES} patches of the face and {BACKGROUND_PATCHES} around it"))?;
    let (answer, duration_ms) = judge(code, &samples, policy);
    let Recorded { label, lamp, fps, .. } = recorded;
    Ok(Outcome { species: label, lamp, fps, verdict: answer.verdict, duration_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::light::table::BONA_FIDE;
    use gate_render::{Conditions, Species, Trial};

    #[test]
    fn a_recorded_challenge_is_judged_as_it_was_live() {
        let folder = tempfile::tempdir().unwrap();
        let policy = LightPolicy::default();
        let mut lines = String::new();
        let mut live = Vec::new();
        for seed in 0..4 {
            let trial = Trial::draw(Species::BonaFide, Conditions { lamp_ratio: 0.5, fps: 30.0 }, seed);
            let samples = trial.samples();
            live.push(judge(trial.code, &samples, &policy).0.verdict);
            let recorded = Recorded::new(BONA_FIDE, trial.code, Some(0.5), None, &samples);
            lines += &(serde_json::to_string(&recorded).unwrap() + "\n\n");
        }
        std::fs::write(folder.path().join("a.jsonl"), &lines).unwrap();
        std::fs::write(folder.path().join("notes.txt"), "not read").unwrap();
        let outcomes = judge_folder(folder.path(), &policy).unwrap();
        assert_eq!(outcomes.iter().map(|o| o.verdict).collect::<Vec<_>>(), live);
        assert!(outcomes.iter().all(|o| o.species == BONA_FIDE && o.lamp == Some(0.5) && o.fps.is_none()));

        std::fs::write(folder.path().join("b.jsonl"), lines.replacen("at_ms", "at", 1)).unwrap();
        let error = judge_folder(folder.path(), &policy).err().unwrap().to_string();
        assert!(error.contains("b.jsonl, line 1: not a challenge"), "{error}");
    }

    #[test]
    fn what_is_no_challenge_is_refused_with_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let judge = |line: &str| {
            std::fs::write(folder.path().join("a.jsonl"), line).unwrap();
            judge_folder(folder.path(), &LightPolicy::default()).err().unwrap().to_string()
        };
        assert!(judge("").contains("has no challenges"));
        assert!(judge(r#"{"label":"x","code":0,"samples":[]}"#).contains("line 1: 0 is none of the codes"));
        let code = Code::draw([0; 8]).bits();
        let short = r#"{"at_ms":0,"face":[],"background":[],"centre":[0,0],"size_px":1}"#;
        let error = judge(&format!(r#"{{"label":"x","code":{code},"samples":[{short}]}}"#));
        assert!(error.contains("25 patches"), "{error}");
    }
}
