//! `bench`: what each stage costs on this machine, on real pictures, through the same code that the gate runs, and how long
//! it takes from a frame's exposure until the relay is on.
//!
//! The clip is shown again and again in its own time, which here is only counted, not waited for: a frame is exposed every so
//! many milliseconds, the gate takes the newest one as soon as it is done with the one before, and what it takes for that is
//! measured. So a slow machine misses frames here as it would before a camera.

pub mod frames;
mod report;

use crate::gate::{Gate, Timings};
use crate::stopwatch::Stopwatch;
use anyhow::{Context, Result};
use frames::{Clip, gallery};
use gate_core::decision::{Action, Actions, Lookup, Now};
use gate_hal::{OutputSpec, RelayGuard, SystemClock, open_output};
use gate_site::{Group, Members, Site};
use gate_store::Part;
use gate_vision::Vision;
use gate_vision::align::{align, new_chip};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames that are not counted: caches and clocks warm up.
const WARM_UP: usize = 10;

/// What to measure.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// Frames to look at: a folder of pictures, a GIF or a video. Without it, somebody who walks up, at 640x480.
    #[arg(long, value_name = "PATH")]
    replay: Option<PathBuf>,
    /// People in the gallery that is searched.
    #[arg(long, default_value_t = 1_000)]
    people: u32,
    /// Frames to measure, after ten that are not counted.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// Detect, align and encode in every frame that shows a face, and nothing else: for a comparison with other software.
    #[arg(long)]
    equal_work: bool,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// What was measured of one frame.
pub struct Measured {
    /// The stages.
    pub timings: Timings,
    /// All of it.
    pub whole: Duration,
    /// Faces in it.
    pub faces: usize,
}

/// One time that the gate was opened.
pub struct Opening {
    /// From the exposure of the frame that decided to the relay, milliseconds.
    pub from_exposure_ms: f64,
    /// From the exposure of the first frame in which the face was good enough to be compared, milliseconds.
    pub from_first_ms: f64,
}

/// All that was measured.
#[derive(Default)]
pub struct Results {
    /// Frame by frame.
    pub frames: Vec<Measured>,
    /// The gate's openings.
    pub openings: Vec<Opening>,
    /// Frames that were exposed while an older one was still looked at.
    pub missed: usize,
}

/// Measures and prints.
///
/// # Errors
/// When frames or networks cannot be had.
pub fn bench(site: &Site, args: &BenchArgs) -> Result<()> {
    let began = Instant::now();
    let mut vision = site.vision()?;
    let load = began.elapsed();
    let clip = match &args.replay {
        Some(path) => Clip::replayed(&mut vision, path, f64::from(site.config.camera.fps))?,
        None => Clip::walk_up(&mut vision, &site.config.vision.models)?,
    };
    let results = if args.equal_work {
        equal_work(&mut vision, &clip, args.frames as usize)?
    } else {
        visits(&mut gate(site, vision, args.people, &clip)?, &clip, args.frames as usize)?
    };
    report::print(&results, &clip, site, args, load);
    Ok(())
}

/// The gate of this site, which knows the clip's person and so many whom nobody looks like.
///
/// # Errors
/// When the comparison's card or the liveness network cannot be had.
pub fn gate(site: &Site, vision: Vision, strangers: u32, clip: &Clip) -> Result<Gate> {
    let comparer = site.comparer(vision.encoder().card())?;
    let part = Part::of(Group::new(gallery(strangers, &clip.reference), &comparer));
    let members = Members::new(vec![part], Arc::clone(&comparer), |references| site.tau(&comparer, references));
    let liveness = site.liveness(&vision)?;
    let policy = site.policy(&members, liveness.as_ref());
    Ok(Gate::new(vision, liveness, Arc::new(members), policy))
}

/// Shows the clip to the gate until so many frames are measured.
fn visits(gate: &mut Gate, clip: &Clip, count: usize) -> Result<Results> {
    let relay = open_output(&OutputSpec::Simulated { trace: None }, "relay", Arc::new(SystemClock::new()))?;
    let relay = RelayGuard::start(relay, Duration::from_secs(10));
    let mut results = Results::default();
    // When this frame was exposed, until when the one before kept the gate busy, when a face was first good enough.
    let (mut exposed_ms, mut busy_ms, mut first_ms) = (0.0f64, 0.0f64, None);
    let exposed_at = |number: usize| {
        let (round, place) = (number / clip.frames.len(), number % clip.frames.len());
        round as f64 * clip.length_ms + clip.frames[place].at_ms as f64
    };
    let mut number = 0;
    while results.frames.len() < count {
        while exposed_at(number + 1) <= busy_ms {
            number += 1;
            results.missed += 1;
        }
        exposed_ms = exposed_at(number).max(exposed_ms);
        let begin_ms = exposed_ms.max(busy_ms);
        let picture = clip.frames[number % clip.frames.len()].view().context("an empty frame")?;
        let began = Instant::now();
        let actions = gate.look(picture, Now { mono_ms: begin_ms as u64, wall_ms: 0 })?;
        let whole = began.elapsed();
        let switched = switch(&relay, &actions)?;
        busy_ms = begin_ms + began.elapsed().as_secs_f64() * 1e3;
        match gate.seen().first() {
            None => first_ms = None,
            Some(nearest) if nearest.sighting.lookup != Lookup::NotDone => first_ms = first_ms.or(Some(exposed_ms)),
            Some(_) => {}
        }
        if number >= WARM_UP {
            results.frames.push(Measured { timings: gate.timings(), whole, faces: gate.seen().len() });
            if let (true, Some(first_ms)) = (switched, first_ms) {
                let opening = Opening { from_exposure_ms: busy_ms - exposed_ms, from_first_ms: busy_ms - first_ms };
                results.openings.push(opening);
            }
        }
        number += 1;
    }
    Ok(results)
}

/// Switches as decided; says whether it was switched on.
fn switch(relay: &RelayGuard, actions: &Actions) -> Result<bool> {
    let mut switched = false;
    for action in actions {
        if let Action::Relay(on) = action {
            relay.set(*on)?;
            switched |= *on;
        }
    }
    Ok(switched)
}

/// Detects at full size, aligns and encodes the largest face, in every frame that shows one.
fn equal_work(vision: &mut Vision, clip: &Clip, count: usize) -> Result<Results> {
    let mut shown = Vec::new();
    for frame in &clip.frames {
        let picture = frame.view().context("an empty frame")?;
        if !vision.detect(picture)?.is_empty() {
            shown.push(picture);
        }
    }
    anyhow::ensure!(!shown.is_empty(), "no frame shows a face: there is nothing to align or encode");
    let mut chip = new_chip();
    let mut results = Results::default();
    for (number, picture) in shown.iter().cycle().take(WARM_UP + count).enumerate() {
        let before = vision.in_runtime();
        let mut watch = Stopwatch::start();
        let faces = vision.detect(*picture)?;
        let detect = watch.lap();
        if let Some(face) = faces.first() {
            align(*picture, face, &mut chip);
        }
        let align = watch.lap();
        vision.encode(&chip)?;
        let encode = watch.lap();
        let networks = vision.in_runtime() - before;
        let timings = Timings { detect, align, encode, networks, ..Timings::default() };
        if number >= WARM_UP {
            results.frames.push(Measured { timings, whole: detect + align + encode, faces: faces.len() });
        }
    }
    Ok(results)
}
