//! Plays clips of real moving people to the gate, and prints who was let in when and who was not, as Markdown.
//!
//! ```text
//! cargo run -p gate-tests --example walkups -- FOLDER > docs/WALKUPS.md
//! ```
//! `FOLDER` holds the sample videos of the Intel IoT Developer Kit (CC BY 4.0); without it, `../shared/data/walkups`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_tests::clips::{SHOTS, Shot, at_risk, enrol, is_in, is_small, play, site, small_faces};
use gate_tests::programs::walkups;
use gate_tests::{Log, Site};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn main() {
    let named = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = named.or_else(walkups).expect("name the folder of the clips");
    let folder = folder.canonicalize().expect("the folder of the clips");
    println!("{HEAD}");
    for fpir_target in FPIR_TARGETS {
        println!("\n## `fpir_target = {fpir_target:e}`");
        alone(&folder, fpir_target);
        together(&folder, fpir_target);
        strangers(&folder, fpir_target);
    }
}

/// The default, and a stricter one.
const FPIR_TARGETS: [f64; 2] = [1e-3, 1e-4];

const HEAD: &str = "\
# Walk-ups

Clips of real moving people (sample videos of the Intel IoT Developer Kit, CC BY 4.0; not part of this project), played
to the gate as they are. Everybody is enrolled from a single frame. Made by

    cargo run -p gate-tests --example walkups -- FOLDER > docs/WALKUPS.md

once with the default `fpir_target` and once with a stricter one. What differs from the defaults, since these clips were
not made for a gate: `min_face_px = 40`, `several_faces = \"nearest\"`, for enrolment also `min_sharpness = 3`; in the
two clips marked *small*, whose faces are about 20 pixels wide, `min_face_px = 16` and `min_sharpness = 1`.
Times are milliseconds from the beginning of the clip. Of several people only the nearest can be let in.

**WRONG** marks a false positive identification: somebody let in for another. `fpir_target` is the share of single
searches, by strangers as they come, that may end so. A walk-up is dozens of searches by one stranger, whose frames are
alike; and a stranger of the same sex, age and hair, in the same light as the enrolled person, is nearer than most.";

/// Every clip with one person of its own.
fn alone(folder: &Path, fpir_target: f64) {
    println!("\n### Each clip with one of its own people enrolled\n");
    println!("| clip | enrolled | from frame | granted at | refused at |\n|---|---|---|---|---|");
    for clip in clips(folder) {
        for shot in SHOTS.iter().filter(|shot| shot.clip == clip) {
            let site = fitting(&clip, fpir_target);
            enrol(&site, folder, shot);
            let log = play(&site, &folder.join(&clip)).log;
            let (granted, refused) = (granted(&log), refused(&log));
            println!("| {clip}{} | {} | {} | {granted} | {refused} |", small(&clip), shot.person, shot.frame);
        }
    }
}

/// Every clip with everybody enrolled.
fn together(folder: &Path, fpir_target: f64) {
    println!("\n### Each clip with everybody enrolled at once\n");
    let everybody = Shot::of_everybody();
    let from: Vec<_> =
        everybody.iter().map(|shot| format!("{} (frame {} of {})", shot.person, shot.frame, shot.clip)).collect();
    println!(
        "Enrolled: {}. A clip that is not in this list is played to references from other clips.\n",
        from.join(", ")
    );
    println!("| clip | who is in it | granted at | refused at | |\n|---|---|---|---|---|");
    let site = at_risk(site(), fpir_target);
    everybody.iter().for_each(|shot| enrol(&site, folder, shot));
    for clip in clips(folder) {
        let inside: Vec<_> = everybody.iter().map(|shot| shot.person).filter(|person| is_in(person, &clip)).collect();
        let log = play(&site, &folder.join(&clip)).log;
        let wrong = log.granted().iter().any(|id| !inside.contains(id));
        let who = if inside.is_empty() { "nobody enrolled".to_owned() } else { inside.join(", ") };
        println!("| {clip} | {who} | {} | {} | {} |", granted(&log), refused(&log), verdict(!wrong));
    }
}

/// Every clip with everybody enrolled but those who are in it.
fn strangers(folder: &Path, fpir_target: f64) {
    println!("\n### Each clip with everybody enrolled who is not in it\n");
    println!("Nobody may be let in here.\n");
    println!("| clip | enrolled | granted at | refused at | |\n|---|---|---|---|---|");
    for clip in clips(folder) {
        let site = fitting(&clip, fpir_target);
        let others: Vec<_> = Shot::of_everybody().into_iter().filter(|shot| !is_in(shot.person, &clip)).collect();
        others.iter().for_each(|shot| enrol(&site, folder, shot));
        let log = play(&site, &folder.join(&clip)).log;
        let (granted_at, refused_at, right) = (granted(&log), refused(&log), verdict(log.granted().is_empty()));
        println!("| {clip}{} | {} others | {granted_at} | {refused_at} | {right} |", small(&clip), others.len());
    }
}

fn verdict(right: bool) -> &'static str {
    if right { "right" } else { "**WRONG**" }
}

fn fitting(clip: &str, fpir_target: f64) -> Site {
    let site = at_risk(site(), fpir_target);
    if is_small(clip) { small_faces(site) } else { site }
}

fn small(clip: &str) -> &'static str {
    if is_small(clip) { " (*small*)" } else { "" }
}

fn granted(log: &Log) -> String {
    times(log, "granted", "person")
}

fn refused(log: &Log) -> String {
    times(log, "refused", "reason")
}

/// `obama 400, 5400; Unknown 900`.
fn times(log: &Log, kind: &str, what: &str) -> String {
    let mut all: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in log.all(|event| event.kind() == kind) {
        all.entry(event.text(what)).or_default().push(event.mono_ms().to_string());
    }
    if all.is_empty() {
        return "-".to_owned();
    }
    all.into_iter().map(|(what, at)| format!("{what} {}", at.join(", "))).collect::<Vec<_>>().join("; ")
}

/// The clips of a folder, by name.
fn clips(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| [".gif", ".mkv", ".mp4"].iter().any(|ending| name.ends_with(ending)));
    names.sort();
    names
}
