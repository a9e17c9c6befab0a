//! Measures the default chain on LFW pictures, from the raw 250x250 files to the decision.
//!
//!     cargo run --release -p gate-vision --example lfw -- MODELS IMAGES PAIRS [ENCODER]
//!
//! IMAGES holds a folder for each person, PAIRS is an LFW pairs file (View 1). Prints the faces missed, the accuracy
//! over the pairs (at the best threshold, and at the threshold that the rest of the pictures support), and the
//! impostor distribution over ALL pairs of pictures of different people, as a card wants it.

use gate_core::similarity::dissimilarity;
use gate_vision::photo::Photo;
use gate_vision::{SessionOptions, Vision, VisionOptions};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

type Encoded = HashMap<(String, u32), Vec<f32>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [models, images, pairs, ..] = args.as_slice() else {
        return Err("usage: lfw MODELS IMAGES PAIRS [ENCODER]".into());
    };
    let encoder = args.get(3).map_or("sface".into(), |e| e.display().to_string());
    let options = VisionOptions {
        runtime: None,
        models: models.clone(),
        detector: "yunet".into(),
        encoder,
        session: SessionOptions::default(),
        detect_max_px: 640,
    };
    let mut vision = Vision::load(&options)?;
    let encoded = encode_all(&mut vision, images)?;
    let impostors = impostor_distribution(&encoded);
    let table = vision.encoder().card().impostor_table().ok_or("no impostor table")?;
    let threshold = table.threshold(1e-3, 1);
    accuracy(&encoded, &std::fs::read_to_string(pairs)?, threshold.tau)?;
    println!("{impostors}");
    Ok(())
}

/// Encodes the most central face of every picture.
fn encode_all(vision: &mut Vision, images: &Path) -> Result<Encoded, Box<dyn std::error::Error>> {
    let (mut encoded, mut missed, mut quality) = (Encoded::new(), Vec::new(), Vec::new());
    let mut people: Vec<PathBuf> = std::fs::read_dir(images)?.flatten().map(|e| e.path()).collect();
    people.sort();
    for person in &people {
        let mut files: Vec<PathBuf> = std::fs::read_dir(person)?.flatten().map(|e| e.path()).collect();
        files.sort();
        for file in files {
            let photo = Photo::read(&file)?;
            let centre = photo.view().map_or((0.0, 0.0), |v| (v.width_px() as f32 / 2.0, v.height_px() as f32 / 2.0));
            let off = |p: &gate_vision::Portrait| {
                let c = p.face.rect.centre();
                (c.x - centre.0).hypot(c.y - centre.1)
            };
            let best = vision.portraits(&photo)?.into_iter().min_by(|a, b| off(a).total_cmp(&off(b)));
            let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default().to_string();
            let Some((name, number)) = stem.rsplit_once('_') else { continue };
            match best {
                Some(portrait) => {
                    quality.push(portrait.quality);
                    encoded.insert((name.into(), number.parse()?), vision.encode(&portrait.chip)?.to_vec());
                }
                None => missed.push(stem),
            }
        }
    }
    println!(
        "pictures {}, people {}, no face found in {}: {missed:?}",
        encoded.len() + missed.len(),
        people.len(),
        missed.len()
    );
    let spread = |what: &str, mut values: Vec<f32>| {
        values.sort_by(f32::total_cmp);
        let at = |q: f32| values[((values.len() - 1) as f32 * q) as usize];
        println!(
            "{what:>10}: 1 % {:.1}, 5 % {:.1}, median {:.1}, 95 % {:.1}, 99 % {:.1}",
            at(0.01),
            at(0.05),
            at(0.5),
            at(0.95),
            at(0.99)
        );
    };
    spread("sharpness", quality.iter().map(|q| q.sharpness).collect());
    spread("luma", quality.iter().map(|q| q.luma).collect());
    spread("yaw", quality.iter().map(|q| q.pose.yaw_deg).collect());
    spread("pitch", quality.iter().map(|q| q.pose.pitch_deg).collect());
    spread("face_px", quality.iter().map(|q| q.face_px).collect());
    Ok(encoded)
}

/// LFW View 1: `name i j` for one person, `name i other j` for two.
fn accuracy(encoded: &Encoded, pairs: &str, tau: f32) -> Result<(), Box<dyn std::error::Error>> {
    let (mut scores, mut skipped) = (Vec::new(), 0);
    for line in pairs.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (a, b, same) = match fields.as_slice() {
            [name, i, j] => ((name, i), (name, j), true),
            [name, i, other, j] => ((name, i), (other, j), false),
            _ => continue,
        };
        let get = |(name, number): (&&str, &&str)| -> Option<&Vec<f32>> {
            encoded.get(&(name.to_string(), number.parse().ok()?))
        };
        match (get(a), get(b)) {
            (Some(a), Some(b)) => scores.push((dissimilarity(a, b), same)),
            _ => skipped += 1,
        }
    }
    let right = |tau: f32| scores.iter().filter(|(d2, same)| (*d2 <= tau) == *same).count();
    let best = scores.iter().map(|(d2, _)| (right(*d2), *d2)).max_by_key(|(n, _)| *n).ok_or("no pairs")?;
    let n = scores.len() as f32;
    println!(
        "pairs {} (skipped {skipped}): best accuracy {:.2} % at d2 {:.3}",
        scores.len(),
        100.0 * best.0 as f32 / n,
        best.1
    );
    let rate = |want: bool, accept: bool| {
        let of: Vec<_> = scores.iter().filter(|(_, same)| *same == want).collect();
        let hits = of.iter().filter(|(d2, _)| (*d2 <= tau) == accept).count();
        format!("{hits} of {}", of.len())
    };
    println!(
        "at the card's tau for FMR 1e-3 ({tau:.3}): accuracy {:.2} %, false non-matches {}, false matches {}",
        100.0 * right(tau) as f32 / n,
        rate(true, false),
        rate(false, true)
    );
    Ok(())
}

/// Every pair of pictures of different people: how often they come as near as d².
fn impostor_distribution(encoded: &Encoded) -> String {
    let mut all: Vec<(&str, &[f32])> = encoded.iter().map(|((name, _), v)| (name.as_str(), v.as_slice())).collect();
    all.sort_by(|a, b| a.0.cmp(b.0));
    let (mut impostors, mut genuine) = (Vec::new(), Vec::new());
    for (i, (name, a)) in all.iter().enumerate() {
        for (other, b) in &all[i + 1..] {
            if name == other { &mut genuine } else { &mut impostors }.push(dissimilarity(a, b));
        }
    }
    impostors.sort_by(f32::total_cmp);
    let mut out = format!("genuine pairs {}, impostor pairs {}\n", genuine.len(), impostors.len());
    for exponent in 2..=12 {
        let fmr = 10f64.powf(-f64::from(exponent) / 2.0);
        let rank = (impostors.len() as f64 * fmr) as usize;
        // Fewer than 30 comparisons behind a point would not support it.
        if rank < 30 {
            break;
        }
        let d2 = impostors[rank - 1];
        let found = genuine.iter().filter(|g| **g <= d2).count() as f64 / genuine.len() as f64;
        out += &format!("    {{ fmr = {fmr:.3e}, d2 = {d2:.4} }}, # TAR {found:.4}, {rank} comparisons\n");
    }
    out
}
