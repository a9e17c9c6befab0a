//! `gate-lab card`: the impostor table of an encoder's card, measured.

use crate::args;
use crate::evaluate::compare_all;
use crate::files;
use crate::measure::Loaded;
use crate::refusal::refuse;
use crate::words::{grouped, thousands};
use anyhow::{Context, Result};
use gate_site::Site;
use gate_stats::{Bootstrap, TablePoint, impostor_table};
use gate_vision::card::Encoding;
use gate_vision::comparer::DISTANCE;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;

/// Part of the impostor comparisons that a tail is fitted to.
pub const TAIL: f64 = 0.002;
/// The rarest rate that is extrapolated to.
pub const FMR_MIN: f64 = 1e-8;

/// `card --json`.
#[derive(Serialize)]
struct Answer {
    model: String,
    measured_on: String,
    comparisons: u64,
    impostors: Vec<PointJson>,
    written: bool,
}

#[derive(Serialize)]
struct PointJson {
    fmr: f64,
    d2: f32,
    low: f32,
    high: f32,
    comparisons: u64,
    extrapolated: bool,
    /// The best estimate.
    middle: f32,
}

/// Measures, and prints or writes.
///
/// # Errors
/// A refusal when nothing can be measured or the card has no place for it; a fault.
pub fn card(mut site: Site, args: &args::Card, json: bool) -> Result<()> {
    let models = site.config.vision.models.clone();
    site.config.vision.encoder.clone_from(&args.model);
    let mut data = Loaded::new(site, &args::Data { encoder: None, ..args.data.clone() }, Some(DISTANCE))?;
    let mut encoding = data.encoder.encoding.clone().context("the card has no [encoding]")?;
    if args.centre {
        let faces = &data.faces;
        let people = faces.pictures.iter().map(|picture| picture.person);
        encoding.mean = mean_face(faces.dim, people.zip(faces.vectors.chunks_exact(faces.dim)));
        data.compare_with(data.comparer.clone().with_mean(encoding.mean.clone()))?;
    }
    data.tell_what_is_missing();
    let comparisons = compare_all(&data, &data.comparer.comparison());
    let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
    let points = impostor_table(&comparisons, TAIL, FMR_MIN, &bootstrap).map_err(|why| refuse(why.to_string()))?;
    let corrected = match data.listing.errata.len() {
        0 => String::new(),
        errata => format!("; {errata} label errors corrected"),
    };
    let measured_on = format!(
        "{}, {} pictures of {} people, all impostor pairs{corrected}",
        args.name.clone().unwrap_or_else(|| folder_name(&args.data)),
        thousands(data.collection.len() as u64),
        thousands(data.people_found())
    );
    let section = section(&encoding, &measured_on, comparisons.impostors(), &points);
    if args.write {
        let path = models.join(format!("{}.toml", args.model));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let new = replaced(&text, &section).ok_or_else(|| {
            refuse(format!("{}: [encoding] was not found in a form that can be replaced", path.display()))
        })?;
        files::replace(&path, new.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        eprintln!(
            "gate-lab: [encoding] of {} is new; people keep their references, the thresholds change",
            path.display()
        );
    }
    let impostors = points.iter().map(PointJson::from).collect();
    let comparisons = comparisons.impostors();
    let answer = Answer { model: args.model.clone(), measured_on, comparisons, impostors, written: args.write };
    crate::answer(json, &section, &answer)
}

impl From<&TablePoint> for PointJson {
    fn from(p: &TablePoint) -> Self {
        let TablePoint { fmr, low, high, comparisons, extrapolated, .. } = *p;
        Self { fmr, d2: p.strict(), low, high, comparisons, extrapolated, middle: p.d2 }
    }
}

/// What a data set is called when nobody says.
fn folder_name(data: &args::Data) -> String {
    let folder = data.people.as_ref().or(data.pairs.as_ref());
    let folder = folder.map(|folder| fs::canonicalize(folder).unwrap_or_else(|_| folder.clone()));
    folder.and_then(|path| Some(path.file_stem()?.to_string_lossy().into_owned())).unwrap_or_default()
}

/// The mean of people's mean vectors: somebody with many pictures counts as much as anybody.
pub fn mean_face<'a>(dim: usize, vectors: impl Iterator<Item = (u32, &'a [f32])>) -> Vec<f32> {
    let mut people: BTreeMap<u32, (Vec<f32>, f32)> = BTreeMap::new();
    for (person, vector) in vectors {
        let (sum, count) = people.entry(person).or_insert_with(|| (vec![0.0; dim], 0.0));
        sum.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x);
        *count += 1.0;
    }
    let mut mean = vec![0.0f32; dim];
    for (sum, count) in people.values() {
        mean.iter_mut().zip(sum).for_each(|(mean, x)| *mean += x / count / people.len() as f32);
    }
    mean
}

/// The card's part about the encoding.
fn section(encoding: &Encoding, measured_on: &str, comparisons: u64, points: &[TablePoint]) -> String {
    let Encoding { dim, length_min, mean, .. } = encoding;
    let mut text = format!("[encoding]\ndim = {dim}\n");
    if *length_min > 0.0 {
        text += "# A shorter output means that too little of a face can be made out to tell people apart.\n";
        text += &format!("length_min = {length_min:?}\n");
    }
    if !mean.is_empty() {
        text += "# The mean face, taken out of every vector before vectors are compared.\nmean = [\n";
        for row in mean.chunks(12) {
            text += &format!("    {},\n", row.iter().map(|x| format!("{x:.4}")).collect::<Vec<_>>().join(", "));
        }
        text += "]\n";
    }
    text += &format!(
        "# Made by `gate-lab card`. Measured where at least 30 comparisons stand behind a point; beyond, a generalised Pareto\n\
         # tail: d2 is the strict end of its 95 % interval, middle its best estimate.\n\
         measured_on = {}\ncomparisons = {}\nimpostors = [\n",
        toml::Value::from(measured_on),
        grouped(comparisons, '_')
    );
    for point in points {
        let TablePoint { fmr, d2, .. } = point;
        let _ = match point.extrapolated {
            false => writeln!(text, "    {{ fmr = {fmr:e}, d2 = {d2:.4} }},"),
            true => {
                let strict = point.strict();
                writeln!(text, "    {{ fmr = {fmr:e}, d2 = {strict:.4}, extrapolated = true, middle = {d2:.4} }},")
            }
        };
    }
    text + "]\n"
}

/// The card with its `[encoding]` replaced; `None` where there is not exactly one, or the result would say anything else
/// differently.
fn replaced(card: &str, section: &str) -> Option<String> {
    let lines: Vec<&str> = card.split_inclusive('\n').collect();
    let is_header = |line: &str| {
        let name = line.split('#').next().unwrap_or_default().trim();
        name.strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .is_some_and(|name| !name.contains(['[', '{', '"']))
    };
    let named = |line: &str| line.split('#').next().unwrap_or_default().trim() == "[encoding]";
    let from = lines.iter().position(|line| named(line))?;
    let to = lines[from + 1..].iter().position(|line| is_header(line)).map_or(lines.len(), |after| from + 1 + after);
    // Blank lines and comments before the next header are that header's.
    let own = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    let to =
        if to == lines.len() { to } else { from + 1 + lines[from + 1..to].iter().rposition(own).map_or(0, |i| i + 1) };
    let new = [&lines[..from].concat(), section, &lines[to..].concat()].concat();
    let rest = |text: &str| -> Option<toml::Table> {
        let mut table: toml::Table = text.parse().ok()?;
        table.remove("encoding")?;
        Some(table)
    };
    let wanted: toml::Table = section.parse().ok()?;
    let found: toml::Table = new.parse().ok()?;
    (rest(card)? == rest(&new)? && found.get("encoding") == wanted.get("encoding")).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "# A card.\nname = \"x\" # with [encoding] in a comment\n\n[encoding] # old\ndim = 2\n# old comment\n\
                        measured_on = \"nothing\"\ncomparisons = 1\nimpostors = [\n    { fmr = 0.1, d2 = 1.0 }, # [odd]\n]\n\n\
                        # About the input.\n[input]\nscale = 1.0\n";

    fn points() -> Vec<TablePoint> {
        let point = TablePoint { fmr: 1e-1, d2: 1.5, low: 1.4, high: 1.6, comparisons: 30, extrapolated: false };
        vec![point, TablePoint { fmr: 3e-7, d2: 0.94, low: 0.91, high: 1.0, comparisons: 0, extrapolated: true }]
    }

    #[test]
    fn only_the_section_is_replaced() {
        let encoding = Encoding {
            dim: 2,
            mean: vec![0.25, -0.5],
            length_min: 10.0,
            measured_on: String::new(),
            comparisons: 0,
            impostors: vec![],
        };
        let section = section(&encoding, "faces \"here\"", 1_234_567, &points());
        let new = replaced(CARD, &section).unwrap();
        assert!(new.starts_with("# A card.\nname = \"x\" # with [encoding] in a comment\n\n[encoding]\ndim = 2\n"));
        assert!(new.ends_with("]\n\n# About the input.\n[input]\nscale = 1.0\n"), "{new}");
        assert!(!new.contains("old comment") && new.contains("comparisons = 1_234_567"));
        assert!(new.contains("{ fmr = 3e-7, d2 = 0.9100, extrapolated = true, middle = 0.9400 }"));
        assert!(new.contains("{ fmr = 1e-1, d2 = 1.5000 },"));
        let card: toml::Table = new.parse().unwrap();
        assert_eq!(card["encoding"]["length_min"].as_float(), Some(10.0), "what stood there stays");
        assert_eq!(card["encoding"]["mean"].as_array().unwrap().len(), 2);
        assert_eq!(replaced(&new, &section).as_deref(), Some(new.as_str()), "again it changes nothing");
    }

    #[test]
    fn a_card_without_the_section_is_left_alone() {
        assert_eq!(replaced("name = \"x\"\n", "[encoding]\ndim = 2\n"), None);
    }
}
