//! Records clips for a calibration with the gate's camera, saying what to do.

use crate::refusal::refuse;
use anyhow::{Context, Result};
use gate_hal::{Clock, Frame, SystemClock, open};
use gate_site::Site;
use std::fs::{self, DirBuilder};
use std::io::{BufRead, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a frame may take.
const FRAME_WAIT: Duration = Duration::from_secs(5);
/// The live clips of a person: what they are to do.
const LIVE: [&str; 3] = [
    "stand before the camera and look into it",
    "walk up to the camera",
    "look into the camera and turn the head a little",
];
/// The clips of each attack on a person.
const ATTACK: [&str; 2] = ["hold it still before the camera", "move it about a little, tilt it, come nearer"];

/// What to record.
pub struct Capturing<'a> {
    /// How many people.
    pub people: u32,
    /// Which attacks.
    pub species: &'a [String],
    /// How long each clip is.
    pub seconds: u32,
    /// Where to.
    pub folder: &'a Path,
}

/// Leads through the recording; answers come from standard input.
///
/// # Errors
/// When the camera gives no frames, a clip cannot be written, or nobody answers.
pub fn record(site: &Site, capturing: &Capturing<'_>) -> Result<()> {
    if let Some(bad) = capturing.species.iter().find(|s| s.is_empty() || s.contains('/') || s.starts_with('.')) {
        return Err(refuse(format!("--species {bad:?}: a name such as print or phone is needed")));
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let mut camera = open(&site.camera_spec()?, &site.camera_options()?, &clock)
        .context("the gate must not be running: a camera has one user")?;
    let clips = LIVE.len() + capturing.species.len() * ATTACK.len();
    eprintln!(
        "{} people, {clips} clips of {} s each, into {}. They show faces: delete them when the calibration is made.",
        capturing.people,
        capturing.seconds,
        capturing.folder.display()
    );
    for person in 1..=capturing.people {
        let name = format!("person-{person:02}");
        let attacks = capturing.species.iter().flat_map(|species| {
            ATTACK.iter().map(move |what| (species.as_str(), format!("a {species} of person {person}: {what}")))
        });
        let live = LIVE.iter().map(|what| (super::clips::BONA_FIDE, format!("person {person}: {what}")));
        for (number, (species, what)) in live.chain(attacks).enumerate() {
            let folder = capturing.folder.join(species).join(&name).join(format!("{:02}", number + 1));
            if folder.exists() {
                eprintln!("{}: is there already, kept", folder.display());
                continue;
            }
            wait_for_enter(&format!("{what}. Press Enter to record"))?;
            let frames = clip(camera.as_mut(), &folder, Duration::from_secs(capturing.seconds.into()))?;
            eprintln!("  {frames} frames");
        }
    }
    Ok(())
}

fn wait_for_enter(what: &str) -> Result<()> {
    eprint!("{what} ... ");
    std::io::stderr().flush()?;
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err(refuse("nobody answers on standard input: run this in a terminal"));
    }
    Ok(())
}

/// Records one clip as numbered pictures; a clip that broke off leaves nothing.
fn clip(camera: &mut dyn gate_hal::Camera, folder: &Path, length: Duration) -> Result<u32> {
    let unfinished = folder.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&unfinished)
        .with_context(|| format!("{} cannot be made", unfinished.display()))?;
    let (mut frame, began, mut number) = (Frame::empty(), Instant::now(), 0);
    while began.elapsed() < length {
        camera.next_frame(&mut frame, FRAME_WAIT)?;
        let picture = image::RgbImage::from_raw(frame.width_px, frame.height_px, std::mem::take(&mut frame.rgb))
            .context("the camera gave an odd frame")?;
        let mut jpeg = Vec::new();
        // Compression would wash out the texture that is to be learned.
        image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 98).encode_image(&picture)?;
        let path = unfinished.join(format!("{number:06}.jpg"));
        fs::write(&path, jpeg).with_context(|| format!("{} cannot be written", path.display()))?;
        number += 1;
    }
    fs::rename(&unfinished, folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    Ok(number)
}
