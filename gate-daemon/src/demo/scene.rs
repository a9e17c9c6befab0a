//! The demo's scene: acts with an expected outcome each, rendered as a camera at a gate would see them.
//!
//! People are cut out of photographs with a soft edge and set before a plain wall, growing as they walk up: they stand in
//! for live ones. Photographs held up on paper or on a phone are drawn with their edges, their light and the hands
//! (`gate-stage`). One camera sees both. This shows the gate at work on real faces; how often real attacks are found it
//! does not say.

use anyhow::{Context, Result};
use gate_core::geometry::{Point, Rect};
use gate_core::reason::Reason;
use gate_stage::{Camera, Figure, Held, Species};
use gate_vision::Vision;
use gate_vision::photo::Photo;
use image::{Rgb, RgbImage};
use std::path::Path;

/// Frames a second of the scene.
pub const FPS: u32 = 15;
/// Size of a frame.
pub const FRAME_PX: (u32, u32) = (640, 480);
/// The gate's camera: a good one, in good light.
const CAMERA: Camera = Camera { blur_px: 0.5, gain: 1.0, white_balance: [1.0; 3], gamma: 2.2, noise: 1.0, seed: 1 };

/// Somebody in the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// The first enrolled person, on another picture than the enrolled one.
    Obama,
    /// The same on a third picture.
    ObamaAgain,
    /// Not enrolled.
    Biden,
    /// The second enrolled person.
    Collins,
}

impl Cast {
    const ALL: [Cast; 4] = [Cast::Obama, Cast::ObamaAgain, Cast::Biden, Cast::Collins];

    /// The picture they walk up on, below the samples' folder.
    fn picture(self) -> &'static str {
        match self {
            Cast::Obama => "obama2.jpg",
            Cast::ObamaAgain => "obama3.jpg",
            Cast::Biden => "biden.jpg",
            Cast::Collins => "astronaut.png",
        }
    }
}

/// What must come of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing happens, and the gate is locked at the end.
    Locked,
    /// It opens, for this person.
    Opens(&'static str),
    /// It stays shut, for this reason.
    Refused(Reason),
}

/// One act of the scene.
#[derive(Clone, Copy, Debug)]
pub struct Act {
    /// What is to be seen.
    pub title: &'static str,
    /// How long, frames.
    pub frames: u32,
    /// Who, and where the face is: part of the frame's width.
    cast: &'static [(Cast, f32)],
    /// Not they themselves but their photograph, held up on this.
    held: Option<Species>,
    /// Frames, from one to another, in which somebody shows their own face in the photograph's place.
    swap: Option<(Cast, u32, u32)>,
    /// Width of the face at the start and where they stop, pixels.
    face_px: (f32, f32),
    /// Out of focus by this much (Gaussian sigma, pixels of the frame).
    blur: f32,
    /// What must come of it.
    pub expected: Expected,
}

const fn nobody(title: &'static str, frames: u32) -> Act {
    Act { title, frames, cast: &[], held: None, swap: None, face_px: (0.0, 0.0), blur: 0.0, expected: Expected::Locked }
}

impl Act {
    /// Whether anybody is to be seen.
    pub fn is_empty(&self) -> bool {
        self.cast.is_empty()
    }
}

/// The whole scene, in order.
pub const ACTS: &[Act] = &[
    nobody("nobody is there", 20),
    Act {
        title: "an enrolled person, on another picture",
        frames: 60,
        cast: &[(Cast::Obama, 0.5)],
        held: None,
        swap: None,
        face_px: (44.0, 130.0),
        blur: 0.0,
        expected: Expected::Opens("obama"),
    },
    nobody("they have gone through: locked again", 45),
    Act {
        title: "a stranger",
        frames: 50,
        cast: &[(Cast::Biden, 0.5)],
        held: None,
        swap: None,
        face_px: (44.0, 130.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::Unknown),
    },
    nobody("the stranger has left", 20),
    Act {
        title: "two people at once, one of them enrolled",
        frames: 40,
        cast: &[(Cast::ObamaAgain, 0.3), (Cast::Biden, 0.72)],
        held: None,
        swap: None,
        face_px: (80.0, 105.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::SeveralFaces),
    },
    nobody("they have left", 20),
    Act {
        title: "an enrolled person, too far away",
        frames: 35,
        cast: &[(Cast::Collins, 0.5)],
        held: None,
        swap: None,
        face_px: (30.0, 34.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::TooFar),
    },
    nobody("they have left", 20),
    Act {
        title: "an enrolled person, badly out of focus",
        frames: 35,
        cast: &[(Cast::ObamaAgain, 0.5)],
        held: None,
        swap: None,
        face_px: (90.0, 110.0),
        blur: 5.0,
        expected: Expected::Refused(Reason::Blurred),
    },
    nobody("they have left", 20),
    Act {
        title: "the same again, on a third picture",
        frames: 50,
        cast: &[(Cast::ObamaAgain, 0.5)],
        held: None,
        swap: None,
        face_px: (44.0, 125.0),
        blur: 0.0,
        expected: Expected::Opens("obama"),
    },
    nobody("they have gone through: locked again", 45),
    Act {
        title: "an enrolled face, on paper (rendered)",
        frames: 50,
        cast: &[(Cast::ObamaAgain, 0.5)],
        held: Some(Species::Paper),
        swap: None,
        face_px: (60.0, 110.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::PresentationAttack),
    },
    nobody("the paper is gone", 20),
    Act {
        title: "an enrolled face, on a phone (rendered)",
        frames: 50,
        cast: &[(Cast::ObamaAgain, 0.5)],
        held: Some(Species::Phone),
        swap: None,
        face_px: (60.0, 105.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::PresentationAttack),
    },
    nobody("the phone is gone", 20),
    Act {
        title: "the live person",
        frames: 60,
        cast: &[(Cast::Obama, 0.5)],
        held: None,
        swap: None,
        face_px: (44.0, 130.0),
        blur: 0.0,
        expected: Expected::Opens("obama"),
    },
    nobody("they have gone through: locked again", 45),
    Act {
        title: "a stranger: the phone, the own face, the phone again",
        frames: 55,
        cast: &[(Cast::ObamaAgain, 0.5)],
        held: Some(Species::Phone),
        swap: Some((Cast::Biden, 1, 9)),
        face_px: (105.0, 105.0),
        blur: 0.0,
        expected: Expected::Refused(Reason::PresentationAttack),
    },
    nobody("the stranger has given up", 20),
    Act {
        title: "somebody else who is enrolled comes in all the same",
        frames: 50,
        cast: &[(Cast::Collins, 0.5)],
        held: None,
        swap: None,
        face_px: (44.0, 120.0),
        blur: 0.0,
        expected: Expected::Opens("collins"),
    },
    nobody("they have gone through: locked again", 45),
];

/// The first frame of each act, and one past the last.
pub fn starts() -> Vec<u32> {
    let mut starts = vec![0];
    for act in ACTS {
        starts.push(starts[starts.len() - 1] + act.frames);
    }
    starts
}

/// A photograph of somebody, where the face is on it, and the person cut out of it.
struct Portrait {
    photograph: RgbImage,
    face: Rect,
    figure: Figure,
}

/// Renders every frame into `folder` as `000000.jpg` and so on; `progress` hears of each.
///
/// # Errors
/// When a sample is missing or shows no face, or a frame cannot be written.
pub fn render(vision: &mut Vision, samples: &Path, folder: &Path, progress: impl Fn(u32, u32)) -> Result<()> {
    let portraits: Vec<Portrait> =
        Cast::ALL.iter().map(|cast| portrait(vision, &samples.join(cast.picture()))).collect::<Result<_>>()?;
    let wall = wall();
    let total: u32 = ACTS.iter().map(|a| a.frames).sum();
    let mut number = 0;
    for act in ACTS {
        let camera = Camera { blur_px: act.blur.max(CAMERA.blur_px), ..CAMERA };
        let held = held(act, &portraits)?;
        for step in 0..act.frames {
            let path = folder.join(format!("{number:06}.jpg"));
            let frame = camera.see(&compose(act, step, &portraits, held.as_ref(), &wall), number);
            let mut jpeg = Vec::new();
            let mut encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 92);
            encoder.encode_image(&frame)?;
            std::fs::write(&path, jpeg).with_context(|| format!("{} cannot be written", path.display()))?;
            number += 1;
            progress(number, total);
        }
    }
    Ok(())
}

/// The first visit: nobody, then an enrolled person who walks up and is let in, then nobody again.
///
/// # Errors
/// When a sample is missing or shows no face.
pub fn walk_up(vision: &mut Vision, samples: &Path) -> Result<Vec<RgbImage>> {
    let cast = portrait(vision, &samples.join(Cast::Obama.picture()))?;
    let (portraits, wall) = ([cast], wall());
    let steps = ACTS[..3].iter().flat_map(|act| (0..act.frames).map(move |step| (act, step)));
    let frame = |(number, (act, step))| CAMERA.see(&compose(act, step, &portraits, None, &wall), number);
    Ok((0..).zip(steps).map(frame).collect())
}

/// What is held up in the act, if anything.
fn held(act: &Act, portraits: &[Portrait]) -> Result<Option<Held>> {
    let (Some(species), Some((cast, _))) = (act.held, act.cast.first()) else {
        return Ok(None);
    };
    let portrait = &portraits[*cast as usize];
    let held = Held::new(&portrait.photograph, portrait.face, species, 1).context("a face beside its photograph")?;
    Ok(Some(held))
}

fn compose(act: &Act, step: u32, portraits: &[Portrait], held: Option<&Held>, wall: &RgbImage) -> RgbImage {
    let mut frame = wall.clone();
    // Two thirds of the act to walk up, then they stand; both with a little sway.
    let way = (step as f32 / (act.frames as f32 * 0.66)).min(1.0);
    let eased = way * way * (3.0 - 2.0 * way);
    let face_px = act.face_px.0 + (act.face_px.1 - act.face_px.0) * eased;
    let swapped = act.swap.filter(|(_, from, to)| (*from..*to).contains(&step)).map(|(cast, ..)| cast);
    for (cast, across) in act.cast {
        let sway = (step as f32 * 0.35).sin() * 0.03 * face_px;
        let at = Point { x: across * FRAME_PX.0 as f32 + sway, y: 0.40 * FRAME_PX.1 as f32 + sway * 0.4 };
        match (held, swapped) {
            (Some(held), None) => held.paint(&mut frame, at, face_px, step as f32 / FPS as f32),
            (_, swapped) => portraits[swapped.unwrap_or(*cast) as usize].figure.place(&mut frame, at, face_px),
        }
    }
    frame
}

/// Reads a photograph and cuts the largest face's head and shoulders out of it.
fn portrait(vision: &mut Vision, path: &Path) -> Result<Portrait> {
    let photo = Photo::read(path).context("the demo's sample pictures: `make setup` fetches them")?;
    let portraits = vision.portraits(&photo)?;
    let face = portraits.first().with_context(|| format!("no face in {}", path.display()))?.face.rect;
    let view = photo.view().context("an empty sample")?;
    let photograph =
        RgbImage::from_raw(view.width_px(), view.height_px(), view.data().to_vec()).context("an odd sample")?;
    let figure = Figure::cut(&photograph, face).with_context(|| format!("an odd face in {}", path.display()))?;
    Ok(Portrait { photograph, face, figure })
}

/// A plain wall with a floor, as a gate's camera sees it day in, day out.
fn wall() -> RgbImage {
    RgbImage::from_fn(FRAME_PX.0, FRAME_PX.1, |x, y| {
        let floor = y > 400;
        let across = (x as f32 / FRAME_PX.0 as f32 - 0.5).abs();
        let base = if floor { 118.0 - (y - 400) as f32 * 0.25 } else { 186.0 - y as f32 * 0.08 };
        let shade = base - across * 46.0;
        let panel = !floor && x % 160 < 2;
        let v = if panel { shade - 14.0 } else { shade };
        Rgb([v as u8, (v + 3.0) as u8, (v + 8.0) as u8])
    })
}
