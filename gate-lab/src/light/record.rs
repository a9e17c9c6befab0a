//! Asks whoever stands at the gate, with its own camera and lamp, and keeps the answers: the ground for measured rates.
//!
//! What is kept are brightnesses of patches, no pictures.

use super::trials::Recorded;
use crate::progress::Progress;
use crate::refusal::refuse;
use anyhow::{Context, Result, anyhow};
use gate_config::LivenessMode;
use gate_core::geometry::Face;
use gate_core::light::{Code, LightSample, Sampler};
use gate_core::policy::QualityPolicy;
use gate_hal::{CameraState, Capture, Clock, Frame, LightPlayer, Newest, SystemClock, open_output};
use gate_site::Site;
use gate_vision::{Vision, portrait};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long nobody may stand there before it is given up.
const NOBODY: Duration = Duration::from_secs(60);
/// Frames that are kept from before the code.
const BEFORE: usize = 3;
/// For how long frames are kept after the code's end, for the camera's delay.
const AFTER_MS: u64 = 150;
/// The eyes' rest between two challenges.
const REST: Duration = Duration::from_millis(800);

/// What sees.
struct Eyes {
    vision: Vision,
    capture: Capture,
    quality: QualityPolicy,
    frame: Frame,
}

/// Records so many challenges into a file of its own in `folder`.
///
/// # Errors
/// When there is no lamp or camera, nobody stands there, or the file cannot be written.
pub fn record(site: &Site, folder: &Path, label: &str, count: u32) -> Result<()> {
    let mut site = site.clone();
    site.config.liveness.mode = LivenessMode::Active;
    let Some(spec) = site.light_spec()? else {
        return Err(refuse(
            "there is no lamp to ask with: set line in [light] of the configuration that --config names",
        ));
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let lamp =
        open_output(&spec, "light", Arc::clone(&clock)).context("the gate must be stopped: a line has one user")?;
    let player = LightPlayer::start(lamp)?;
    let capture = Capture::start(site.camera_spec()?, site.camera_options()?, Arc::clone(&clock));
    let mut eyes =
        Eyes { vision: site.vision()?, capture, quality: site.config.policy(0.0).quality, frame: Frame::empty() };
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let name = format!("{}-{}.jsonl", label.replace(['/', ' '], "-"), jiff::Timestamp::now().as_millisecond());
    let path = folder.join(name);
    let mut file = OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    eprintln!("gate-lab: {count} challenges of \"{label}\" into {}; look into the camera", path.display());
    let progress = Progress::new("challenges", count as usize);
    for _ in 0..count {
        let (code, samples) = ask(&mut eyes, &player, clock.as_ref())?;
        if let Some(why) = player.trouble() {
            return Err(anyhow!("the lamp cannot be driven: {why}"));
        }
        let fps = site.config.camera.fps as f32;
        let line = serde_json::to_string(&Recorded::new(label, code, None, Some(fps), &samples))?;
        writeln!(file, "{line}").with_context(|| format!("{} cannot be written", path.display()))?;
        progress.step();
        std::thread::sleep(REST);
    }
    progress.finish();
    eprintln!("gate-lab: now `gate-lab light-test --trials {}`", folder.display());
    Ok(())
}

/// One challenge: frames in the dark, then the code.
fn ask(eyes: &mut Eyes, player: &LightPlayer, clock: &dyn Clock) -> Result<(Code, Vec<LightSample>)> {
    let began = Instant::now();
    let mut before: Vec<(u64, Face)> = Vec::new();
    let mut sampler: Option<Sampler> = None;
    let mut seen: Vec<(u64, LightSample)> = Vec::new();
    while before.len() < BEFORE {
        if began.elapsed() > NOBODY {
            return Err(refuse("nobody stands there: no face good enough by [quality] for a minute"));
        }
        match eyes.face()? {
            Some((at_ms, face)) => {
                let sampler = sampler.get_or_insert_with(|| Sampler::around(&face));
                seen.extend(eyes.sample(sampler, &face).map(|sample| (at_ms, sample)));
                before.push((at_ms, face));
            }
            None => (before, sampler, seen) = (Vec::new(), None, Vec::new()),
        }
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|e| anyhow!("the system gives no random numbers: {e}"))?;
    let code = Code::draw(random);
    let start_ms = clock.mono_ms();
    player.play(Some(code));
    while clock.mono_ms() < start_ms + u64::from(code.duration_ms()) + AFTER_MS {
        if let (Some((at_ms, face)), Some(sampler)) = (eyes.face()?, &mut sampler) {
            seen.extend(eyes.sample(sampler, &face).map(|sample| (at_ms, sample)));
        }
    }
    let since = |at_ms: u64| (at_ms as i64 - start_ms as i64) as i32;
    Ok((code, seen.into_iter().map(|(at_ms, sample)| LightSample { at_ms: since(at_ms), ..sample }).collect()))
}

impl Eyes {
    /// The nearest face of the next frame, if it is good enough, and when the frame came.
    fn face(&mut self) -> Result<Option<(u64, Face)>> {
        match self.capture.newest(&mut self.frame, Duration::from_millis(500)) {
            Newest::Frame => {}
            Newest::State(CameraState::Lost { why, .. }) => return Err(anyhow!("the camera is lost: {why}")),
            Newest::State(CameraState::Changed { why } | CameraState::Suspect { why }) => return Err(anyhow!("{why}")),
            Newest::End => return Err(refuse("the camera has no more frames: a replay cannot answer a lamp")),
            Newest::State(CameraState::Opened { .. }) | Newest::Nothing => return Ok(None),
        }
        let Some(picture) = self.frame.view() else { return Ok(None) };
        let faces = self.vision.detect(picture)?;
        let nearest = faces.first().and_then(|face| portrait(picture, face));
        let good = nearest.filter(|p| p.quality.refusal(&self.quality).is_none());
        Ok(good.map(|p| (self.frame.at_ms, p.face)))
    }

    fn sample(&self, sampler: &mut Sampler, face: &Face) -> Option<LightSample> {
        sampler.sample(&self.frame.view()?, face, 0)
    }
}
