//! `bench`: what each stage costs on this machine, on real pictures, through the same code that the gate runs.

use crate::gate::{Gate, Timings};
use anyhow::{Context, Result, bail};
use gate_core::decision::Now;
use gate_core::person::{Access, PersonKey};
use gate_core::similarity::normalise;
use gate_hal::{Camera, CameraError, CameraOptions, Frame, Pace, ReplayClock, open_replay};
use gate_site::{Members, Site};
use gate_store::{GalleryPerson, StoredGallery};
use image::imageops::{FilterType, resize};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Frames that are not counted: caches and clocks warm up.
const WARM_UP: usize = 10;
/// Size of the frames made from a sample picture.
const FRAME_PX: (u32, u32) = (640, 480);
/// Most frames kept of a replay.
const FRAMES_MAX: usize = 300;

/// What to measure.
#[derive(clap::Args)]
pub struct BenchArgs {
    /// Frames to look at: a folder of pictures, a GIF or a video. Without it, a sample portrait as 640x480 frames.
    #[arg(long, value_name = "PATH")]
    replay: Option<PathBuf>,
    /// People in the gallery that is searched.
    #[arg(long, default_value_t = 1_000)]
    people: u32,
    /// Frames to measure, after ten that are not counted.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    frames: u32,
    /// One JSON document instead of a table.
    #[arg(long)]
    json: bool,
}

/// Measures and prints.
///
/// # Errors
/// When frames or networks cannot be had.
pub fn bench(site: &Site, args: &BenchArgs) -> Result<()> {
    let began = Instant::now();
    let vision = site.vision()?;
    let load = began.elapsed();
    let card = vision.encoder().card().clone();
    let frames = match &args.replay {
        Some(path) => replayed(path)?,
        None => vec![portrait_frame(&site.config.vision.models)?],
    };
    let dim = vision.encoder().dim();
    let comparer = site.comparer(&card)?;
    let tau = site.tau(&comparer, args.people as usize);
    let members = Arc::new(Members::new(strangers(args.people, dim), comparer, tau));
    let liveness = site.liveness(&vision)?;
    let policy = site.policy(tau.d2, liveness.as_ref());
    let mut gate = Gate::new(vision, liveness, members, policy);
    let measured = measure(&mut gate, &frames, args.frames as usize)?;
    let size = format!("{}x{}", frames[0].width_px, frames[0].height_px);
    report(&measured, &size, site, args, load);
    Ok(())
}

fn measure(gate: &mut Gate, frames: &[Frame], count: usize) -> Result<Vec<(Timings, Duration)>> {
    let mut measured = Vec::with_capacity(count);
    for i in 0..WARM_UP + count {
        let frame = &frames[i % frames.len()];
        let picture = frame.view().context("an empty frame")?;
        let began = Instant::now();
        gate.look(picture, Now { mono_ms: 66 * i as u64, wall_ms: 0 })?;
        if i >= WARM_UP {
            measured.push((gate.timings(), began.elapsed()));
        }
    }
    Ok(measured)
}

fn report(measured: &[(Timings, Duration)], size: &str, site: &Site, args: &BenchArgs, load: Duration) {
    type Stage = fn(&(Timings, Duration)) -> Duration;
    let stages: [(&str, Stage); 7] = [
        ("detect", |m| m.0.detect),
        ("align", |m| m.0.align),
        ("encode", |m| m.0.encode),
        ("search", |m| m.0.search),
        ("liveness", |m| m.0.liveness),
        ("decide", |m| m.0.decide),
        ("frame", |m| m.1),
    ];
    let ms = |d: Duration| d.as_secs_f64() * 1e3;
    let of = |stage: Stage| {
        let mut all: Vec<f64> = measured.iter().map(|m| ms(stage(m))).collect();
        all.sort_by(f64::total_cmp);
        let at = |q: f64| all[((all.len() - 1) as f64 * q).round() as usize];
        (at(0.5), at(0.99), at(1.0))
    };
    let encoded = measured.iter().filter(|m| !m.0.encode.is_zero()).count();
    let fps = 1e3 / of(|m| m.1).0;
    let (rss, peak) = (memory_mb("VmRSS:"), memory_mb("VmHWM:"));
    let options = site.vision_options().session;
    if args.json {
        let table: serde_json::Map<String, Value> = stages
            .iter()
            .map(|(name, stage)| {
                let (p50, p99, max) = of(*stage);
                ((*name).into(), json!({"p50_ms": p50, "p99_ms": p99, "max_ms": max}))
            })
            .collect();
        println!(
            "{:#}",
            json!({"frame_size": size, "frames": measured.len(), "frames_encoded": encoded, "people": args.people,
                   "provider": options.provider.name(), "threads": options.threads, "stages": table,
                   "frames_per_second": fps, "load_ms": ms(load), "memory_mb": rss, "memory_peak_mb": peak})
        );
        return;
    }
    println!(
        "{} frames of {size} ({encoded} with an encoding), {} people, {}, {} thread(s)",
        measured.len(),
        args.people,
        options.provider.name(),
        options.threads
    );
    println!("{:<10}{:>10}{:>10}{:>10}   milliseconds", "stage", "p50", "p99", "max");
    for (name, stage) in stages {
        let (p50, p99, max) = of(stage);
        println!("{name:<10}{p50:>10.3}{p99:>10.3}{max:>10.3}");
    }
    println!(
        "{fps:.1} frames a second; networks loaded in {:.0} ms; memory {rss:.0} MB, at most {peak:.0} MB",
        ms(load)
    );
}

/// A line of /proc/self/status in megabytes; 0 where there is none.
fn memory_mb(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kb = line.and_then(|rest| rest.split_whitespace().next()).and_then(|n| n.parse::<f64>().ok());
    kb.unwrap_or(0.0) / 1024.0
}

/// All frames of a replay, decoded beforehand.
fn replayed(path: &Path) -> Result<Vec<Frame>> {
    let options = CameraOptions { replay_pace: Pace::Fast, ..CameraOptions::default() };
    let mut replay = open_replay(path, &options, Arc::new(ReplayClock::new(0)))?;
    let mut frames = Vec::new();
    while frames.len() < FRAMES_MAX {
        let mut frame = Frame::empty();
        match replay.next_frame(&mut frame, Duration::from_secs(10)) {
            Ok(()) => frames.push(frame),
            Err(CameraError::End) => break,
            Err(e) => return Err(e.into()),
        }
    }
    if frames.is_empty() {
        bail!("{}: no frames", path.display());
    }
    Ok(frames)
}

/// A sample portrait, as a camera would see the person from a metre away.
fn portrait_frame(models: &Path) -> Result<Frame> {
    let path = models.join("cache/samples/obama.jpg");
    let photo = gate_vision::photo::Photo::read(&path).context("the sample picture (`make setup` fetches it)")?;
    let view = photo.view().context("an empty sample")?;
    let (width, height) = FRAME_PX;
    // The widest part of the upper picture that has the frame's shape.
    let crop_height = view.width_px() * height / width;
    let source = image::RgbImage::from_raw(view.width_px(), view.height_px(), view.data().to_vec());
    let source = source.context("an odd sample")?;
    let crop = image::imageops::crop_imm(&source, 0, 0, view.width_px(), crop_height.min(view.height_px())).to_image();
    let small = resize(&crop, width, height, FilterType::Triangle);
    Ok(Frame { rgb: small.into_raw(), width_px: width, height_px: height, seq: 0, at_ms: 0 })
}

/// A gallery of made-up people whom nobody looks like: unit vectors in arbitrary directions, the same at every run.
fn strangers(people: u32, dim: usize) -> StoredGallery {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    };
    let mut references: Vec<f32> = (0..people as usize * dim).map(|_| next()).collect();
    for row in references.chunks_mut(dim) {
        // A random row has a direction.
        let _ = normalise(row);
    }
    let keys = (1..=people).map(PersonKey);
    let people = keys.clone().map(|key| GalleryPerson { key, id: format!("p{}", key.0), access: Access::default() });
    StoredGallery { dim, references, owners: keys.collect(), people: people.collect(), ..StoredGallery::default() }
}
