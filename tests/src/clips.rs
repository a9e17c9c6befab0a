//! Clips of real moving people: who is in them, and a site to play them to.

use crate::programs::has_ffmpeg;
use crate::site::{Played, Site};
use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, RgbImage};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, Stdio};
use toml::{Table, toml};

/// A single frame to enrol somebody from.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// The id to enrol them as.
    pub person: &'static str,
    /// The clip the frame is from.
    pub clip: &'static str,
    /// The frame's number, from 0.
    pub frame: usize,
    /// The part of the frame, where it shows several people: left, top, width, height.
    part: Option<[u32; 4]>,
}

const PAUSE: &str = "face-demographics-walking-and-pause.gif";
const WALKING: &str = "face-demographics-walking.gif";
const COUPLE: &str = "head-pose-face-detection-female-and-male.gif";
const FEMALE: &str = "head-pose-face-detection-female.gif";
const MALE: &str = "head-pose-face-detection-male.gif";

/// One frame of each person in each clip, as a viewer tells them apart. In the clips that are not here nobody shows
/// their face.
pub const SHOTS: [Shot; 17] = [
    Shot::new("hoodie", "again.mkv", 2),
    Shot::new("hoodie", "help.mkv", 2),
    Shot::new("hoodie", "no.mkv", 2),
    Shot::new("hoodie", "yes.mkv", 2),
    Shot::new("yellow", "book.mkv", 2),
    Shot::new("yellow", "walk.mkv", 2),
    Shot::new("stripes", "eat.mkv", 2),
    Shot::new("grey", "thanks.mkv", 2),
    Shot::new("woman", FEMALE, 9),
    Shot::new("woman", COUPLE, 10).within([0, 0, 200, 270]),
    Shot::new("woman", PAUSE, 20).within([10, 50, 130, 160]),
    Shot::new("navy", MALE, 5),
    Shot::new("navy", COUPLE, 3).within([240, 0, 240, 270]),
    Shot::new("bearded", PAUSE, 20).within([150, 20, 140, 200]),
    Shot::new("glasses", PAUSE, 20).within([300, 50, 130, 180]),
    Shot::new("walker", WALKING, 33).within([250, 60, 110, 110]),
    Shot::new("pupil", "classroom.gif", 20).within([30, 115, 90, 90]),
];

impl Shot {
    const fn new(person: &'static str, clip: &'static str, frame: usize) -> Self {
        Self { person, clip, frame, part: None }
    }

    const fn within(self, part: [u32; 4]) -> Self {
        Self { part: Some(part), ..self }
    }

    /// The picture to enrol from.
    #[must_use]
    pub fn picture(&self, folder: &Path) -> RgbImage {
        let frame = frame(&folder.join(self.clip), self.frame);
        let Some([x, y, width, height]) = self.part else { return frame };
        image::imageops::crop_imm(&frame, x, y, width, height).to_image()
    }

    /// The first frame of everybody whose face a gate could enrol from.
    #[must_use]
    pub fn of_everybody() -> Vec<Self> {
        let is_first = |place: usize| SHOTS[..place].iter().all(|before| before.person != SHOTS[place].person);
        let firsts = (0..SHOTS.len()).filter(|place| is_first(*place)).map(|place| SHOTS[place]);
        firsts.filter(|shot| !is_small(shot.clip)).collect()
    }
}

/// Whether a viewer sees this person in this clip.
#[must_use]
pub fn is_in(person: &str, clip: &str) -> bool {
    SHOTS.iter().any(|shot| shot.person == person && shot.clip == clip)
}

/// Whether the people of a clip are so far away that their faces are some 20 pixels wide.
#[must_use]
pub fn is_small(clip: &str) -> bool {
    ["classroom.gif", WALKING].contains(&clip)
}

/// A site that fits the clips: their faces are smaller than a gate's, and several people are in the picture.
#[must_use]
pub fn site() -> Site {
    Site::empty().with(toml! {
        [policy]
        several_faces = "nearest"
        [quality]
        min_face_px = 40.0
        [enrol]
        min_face_px = 40.0
        min_sharpness = 3.0
    })
}

/// States another risk than the default one.
#[must_use]
pub fn at_risk(site: Site, fpir_target: f64) -> Site {
    let policy = Table::from_iter([("fpir_target".to_owned(), fpir_target.into())]);
    site.with(Table::from_iter([("policy".to_owned(), policy.into())]))
}

/// Lets a site take the smallest faces it can be told to take. No gate should: this is to see what happens then.
#[must_use]
pub fn small_faces(site: Site) -> Site {
    site.with(toml! {
        [quality]
        min_face_px = 16.0
        min_sharpness = 1.0
        [enrol]
        min_face_px = 16.0
        min_sharpness = 1.0
        min_luma = 40.0
    })
}

/// Enrols somebody from their single frame.
pub fn enrol(site: &Site, folder: &Path, shot: &Shot) {
    let photo = site.path(&format!("{}.png", shot.person));
    shot.picture(folder).save(&photo).unwrap();
    site.enrol(shot.person, &photo);
}

/// Plays a clip to a site, from its first frame to its last.
#[must_use]
pub fn play(site: &Site, clip: &Path) -> Played {
    for left in ["events.jsonl", "relay.jsonl"] {
        // It is not there before the first clip.
        let _ = std::fs::remove_file(site.path(left));
    }
    let played = site.replay(&["--camera", &format!("replay:{}", clip.display())]);
    played.ended_locked();
    played
}

/// Whether a clip needs ffmpeg.
#[must_use]
pub fn needs_ffmpeg(clip: &str) -> bool {
    !clip.ends_with(".gif")
}

/// One frame of a clip.
fn frame(clip: &Path, number: usize) -> RgbImage {
    if needs_ffmpeg(&clip.display().to_string()) {
        assert!(has_ffmpeg(), "{} needs ffmpeg", clip.display());
        let pick = format!("select=eq(n\\,{number})");
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-i"]).arg(clip).args(["-vf", &pick, "-frames:v", "1"]);
        ffmpeg.args(["-f", "image2pipe", "-c:v", "png", "-"]).stdin(Stdio::null());
        let output = ffmpeg.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return image::load_from_memory(&output.stdout).unwrap().into_rgb8();
    }
    let decoder = GifDecoder::new(BufReader::new(File::open(clip).unwrap())).unwrap();
    let frame = decoder.into_frames().nth(number).expect("so many frames").unwrap();
    image::DynamicImage::ImageRgba8(frame.into_buffer()).into_rgb8()
}
