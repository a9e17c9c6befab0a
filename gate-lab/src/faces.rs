//! From picture files to vectors: the gate's own networks over every picture, once.
//!
//! ```text
//! Listing ──▶ cache ──known──────────────────────────────▶ FaceSet
//!               └────new──▶ Vision (one a thread): detect, most central face, align, encode ──▶ cache
//! ```
//! A picture with several faces counts as showing the most central one, as LFW's labels do. A picture that cannot be read, or
//! shows no face, is missed: it is told with its reason, and takes part in nothing.

use crate::args::Data;
use crate::cache::{Cache, Seen, Stamp};
use crate::pictures::{Listing, Picture};
use crate::progress::Progress;
use anyhow::{Result, anyhow};
use gate_core::geometry::Face;
use gate_core::quality::Quality;
use gate_site::Site;
use gate_vision::align::{CHIP_BYTES, Chip, align, new_chip};
use gate_vision::card::{Card, Job};
use gate_vision::photo::Photo;
use gate_vision::{Portrait, Vision, VisionError};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// What is to be loaded, and how.
#[derive(Debug)]
pub struct FacesOptions<'a> {
    /// Which networks.
    pub site: &'a Site,
    /// Which pictures.
    pub listing: &'a Listing,
    /// Also return the aligned faces. They are not cached: every picture is read anew, no network is run for it.
    pub chips: bool,
    /// Where vectors are kept between runs; `None` keeps nothing.
    pub cache: Option<PathBuf>,
}

/// The faces of a data set.
#[derive(Debug, Default)]
pub struct FaceSet {
    /// Names.
    pub people: Vec<String>,
    /// The pictures on which a face was found, in the listing's order.
    pub pictures: Vec<FacePicture>,
    /// Length of a vector.
    pub dim: usize,
    /// Unit vectors, row i that of `pictures[i]`.
    pub vectors: Vec<f32>,
    /// Aligned faces, `CHIP_BYTES` each, RGB; empty unless asked for.
    pub chips: Vec<u8>,
    /// The others.
    pub missed: Vec<Missed>,
    /// For each picture of the listing, its place in `pictures`.
    pub place: Vec<Option<u32>>,
}

/// A picture with a face.
#[derive(Clone, Debug)]
pub struct FacePicture {
    /// The file.
    pub path: PathBuf,
    /// Whose: an index into [`FaceSet::people`].
    pub person: u32,
    /// Where the face is, in pixels of the picture.
    pub face: Face,
    /// How good it is.
    pub quality: Quality,
    /// How long the encoder's output was; below the card's `length_min` the gate does not compare it.
    pub length: f32,
}

/// A picture without one.
#[derive(Clone, Debug)]
pub struct Missed {
    /// The file.
    pub path: PathBuf,
    /// Whether it is a picture at all: no face was found on it, then.
    pub readable: bool,
    /// For a person to read.
    pub why: String,
}

impl FacesOptions<'_> {
    /// The usual way: the pictures that the command line names, cached where it says.
    #[must_use]
    pub fn new<'a>(site: &'a Site, listing: &'a Listing, data: &Data, chips: bool) -> FacesOptions<'a> {
        let name = format!("faces-{}.cache", site.config.vision.encoder);
        FacesOptions { site, listing, chips, cache: (!data.no_cache).then(|| data.out.join(name)) }
    }
}

/// Encodes the most central face of every picture.
///
/// # Errors
/// When the networks cannot be loaded or run, or the cache cannot be written.
pub fn load(options: &FacesOptions<'_>) -> Result<FaceSet> {
    let vision = &options.site.config.vision;
    let encoder = Card::load(&vision.models, &vision.encoder, Job::Encode)?;
    let detector = Card::load(&vision.models, &vision.detector, Job::Detect)?;
    let mut cache = Cache::open(options.cache.as_deref(), &detector, &encoder, vision.detect_max_px);
    let pictures = &options.listing.pictures;
    let stamps: Vec<Stamp> = pictures.iter().map(|picture| Stamp::of(&picture.path)).collect();
    let mut seen: Vec<Option<Seen>> = stamps.iter().map(|stamp| cache.take(stamp)).collect();
    let open: Vec<usize> = (0..pictures.len()).filter(|i| seen[*i].is_none()).collect();
    if !open.is_empty() {
        for (index, saw) in open.iter().zip(look_at_all(options, &open)?) {
            seen[*index] = Some(saw);
        }
        cache.put(stamps.iter().zip(&seen))?;
    }
    let mut set = gather(options.listing, encoder.encoding.as_ref().map_or(0, |e| e.dim), seen);
    if options.chips {
        set.chips = chips(&set.pictures)?;
    }
    Ok(set)
}

/// The aligned faces, one after the other.
fn chips(pictures: &[FacePicture]) -> Result<Vec<u8>> {
    let mut chips = vec![0; pictures.len() * CHIP_BYTES];
    chips.as_chunks_mut::<CHIP_BYTES>().0.par_iter_mut().zip(pictures).try_for_each(|(into, picture)| {
        let chip = chip(picture)?;
        into.copy_from_slice(chip.as_slice());
        Ok::<(), VisionError>(())
    })?;
    Ok(chips)
}

/// The aligned face of a picture; black where its landmarks make no face.
///
/// # Errors
/// When the picture can no longer be read.
pub fn chip(picture: &FacePicture) -> Result<Chip, VisionError> {
    let photo = Photo::read(&picture.path)?;
    let mut chip = new_chip();
    if let Some(view) = photo.view() {
        align(view, &picture.face, &mut chip);
    }
    Ok(chip)
}

fn gather(listing: &Listing, dim: usize, seen: Vec<Option<Seen>>) -> FaceSet {
    let mut set = FaceSet { people: listing.people.clone(), dim, ..FaceSet::default() };
    for (Picture { path, person }, seen) in listing.pictures.iter().zip(seen) {
        match seen {
            Some(Seen::Face { face, quality, length, vector }) => {
                set.place.push(Some(set.pictures.len() as u32));
                set.pictures.push(FacePicture { path: path.clone(), person: *person, face, quality, length });
                set.vectors.extend(vector);
            }
            Some(Seen::Missed { readable, why }) => {
                set.place.push(None);
                set.missed.push(Missed { path: path.clone(), readable, why });
            }
            None => set.place.push(None),
        }
    }
    set
}

/// Looks at these pictures of the listing, in parallel; the answers are in their order.
fn look_at_all(options: &FacesOptions<'_>, open: &[usize]) -> Result<Vec<Seen>> {
    let panicked = || anyhow!("a thread that looks at pictures has panicked");
    let mut visions = visions(options.site)?;
    let progress = Progress::new("pictures", open.len());
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = |vision: &mut Vision| -> Result<Vec<(usize, Seen)>> {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= open.len() || failed.load(Ordering::Relaxed) {
                return Ok(done);
            }
            let path = &options.listing.pictures[open[at]].path;
            let saw = look(vision, path).inspect_err(|_| failed.store(true, Ordering::Relaxed))?;
            done.push((at, saw));
            progress.step();
        }
    };
    let mut done: Vec<(usize, Seen)> = Vec::with_capacity(open.len());
    std::thread::scope(|scope| {
        let workers: Vec<_> = visions.iter_mut().map(|vision| scope.spawn(|| work(vision))).collect();
        workers.into_iter().try_for_each(|worker| {
            done.extend(worker.join().map_err(|_| panicked())??);
            anyhow::Ok(())
        })
    })?;
    progress.finish();
    done.sort_unstable_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, seen)| seen).collect())
}

/// The networks of the first site that asked, one set for each core. They are kept: a process can load the runtime once.
///
/// # Errors
/// When they cannot be loaded.
pub fn visions(site: &Site) -> Result<MutexGuard<'static, Vec<Vision>>> {
    static VISIONS: Mutex<Vec<Vision>> = Mutex::new(Vec::new());
    let mut visions = VISIONS.lock().map_err(|_| anyhow!("a thread that used the networks has panicked"))?;
    if visions.is_empty() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = site.vision_options();
        options.session.threads = 1;
        *visions = Vision::load_several(&options, cores)?;
    }
    Ok(visions)
}

/// One picture: its most central face.
fn look(vision: &mut Vision, path: &Path) -> Result<Seen, VisionError> {
    let missed = |readable, why: String| Ok(Seen::Missed { readable, why });
    let photo = match Photo::read(path) {
        Ok(photo) => photo,
        Err(VisionError::Picture { why, .. }) => return missed(false, why),
        Err(VisionError::Io { source, .. }) => return missed(false, source.to_string()),
        Err(other) => return Err(other),
    };
    match central(vision, &photo)? {
        Some(Portrait { face, quality, chip }) => {
            let (vector, length) = vision.encode_measured(&chip)?;
            Ok(Seen::Face { face, quality, length, vector: vector.to_vec() })
        }
        None => missed(true, "no face was found on it".into()),
    }
}

/// The face whose centre is nearest to that of the picture.
fn central(vision: &mut Vision, photo: &Photo) -> Result<Option<Portrait>, VisionError> {
    let centre = photo.view().map_or((0.0, 0.0), |v| (v.width_px() as f32 / 2.0, v.height_px() as f32 / 2.0));
    let off = |portrait: &Portrait| {
        let c = portrait.face.rect.centre();
        (c.x - centre.0).hypot(c.y - centre.1)
    };
    Ok(vision.portraits(photo)?.into_iter().min_by(|a, b| off(a).total_cmp(&off(b))))
}
