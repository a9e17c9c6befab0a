//! `calibrate`: the error rates of this site, from its own people and recorded visits.
//!
//! ```text
//! store ──references───┬─ every pair of different people ──▶ impostor table of the site ──▶ calibration file, tau
//! visits ──vectors─────┤
//!   (a folder a        ├─ visits against their own references ──▶ FNMR, who is likely to be refused
//!    person)           └─ visits against everybody else's ──▶ FMR, FPIR; look-alikes among those enrolled
//! ```
//! Visits are pictures as the gate's camera takes them. A folder named like an enrolled person's id holds that person's; any
//! other folder is of somebody who is not enrolled, which tells most about strangers.

use crate::files::write_private;
use crate::pictures::entries;
use crate::progress::Progress;
use crate::refusal::{Exit, refuse};
use anyhow::{Context, Result};
use clap::Args;
use gate_core::person::PersonKey;
use gate_site::calibration::{Calibration, FORMAT, Measured, Stated};
use gate_site::{Members, Site, Tau};
use gate_stats::{Bootstrap, Collection, Comparisons, KEEP_DEFAULT, PEOPLE_MIN, all_pairs, rate_by_person, site_table};
use gate_vision::card::{Card, Point, impostor_table};
use gate_vision::comparer::Impostors;
use gate_vision::photo::Photo;
use gate_vision::{Comparer, Vision, VisionError};
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Look-alike pairs that are told.
const LOOK_ALIKES_MAX: usize = 10;

/// `calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateArgs {
    /// A folder for each person, named by the id under which they are enrolled, with pictures from the gate's camera;
    /// other folders are people who are not enrolled
    #[arg(long, value_name = "DIR")]
    visits: PathBuf,
    /// The calibration file to write; the gate loads it where [policy] calibration names it
    #[arg(long, value_name = "FILE", default_value = "calibration.toml")]
    out: PathBuf,
}

/// A picture of a visit.
struct Visit {
    /// Folder's name: an id, or a stranger's.
    who: String,
    /// Through the comparer's adapter.
    vector: Vec<f32>,
}

/// Pictures that were looked at, and those that say nothing.
#[derive(Default)]
struct Visits {
    taken: Vec<Visit>,
    unreadable: Vec<PathBuf>,
    no_face: Vec<PathBuf>,
    /// Faces that the gate would not compare: too small, turned away, blurred ...
    not_clear: usize,
}

/// What was found, for `--json` and for the text.
#[derive(Debug, Serialize)]
struct Findings {
    people: usize,
    references: usize,
    visits: usize,
    strangers: usize,
    pictures_without_face: usize,
    pictures_unreadable: usize,
    pictures_not_clear: usize,
    tau: f32,
    target_met: bool,
    fpir_target: f64,
    /// Upper bound at tau and this number of references.
    fpir_upper: f64,
    moved: f32,
    fmr: Stated,
    fnmr: Stated,
    fpir: Stated,
    look_alikes: Vec<LookAlikes>,
    likely_refused: Vec<Refused>,
    without_visits: Vec<String>,
}

/// Two enrolled people who are near to each other.
#[derive(Debug, Serialize)]
struct LookAlikes {
    people: [String; 2],
    d2: f32,
    /// Each would be taken for the other, were only one of them enrolled.
    within_tau: bool,
}

/// Somebody whose visits do not always match.
#[derive(Debug, Serialize)]
struct Refused {
    person: String,
    missed: usize,
    visits: usize,
}

/// Measures the site and writes its calibration.
///
/// # Errors
/// A refusal when there is too little to measure with; a fault of store, networks or disk.
pub fn run(site: &Site, args: &CalibrateArgs, json: bool) -> Result<Exit> {
    let store = site.open_store_read_only()?;
    let mut vision = site.vision()?;
    let encoder = vision.encoder().card().clone();
    // The encoder's own table, not that of an earlier calibration.
    let comparer = Comparer::load(&site.config.vision.models, &encoder, &site.config.policy.comparison)?;
    let members = site.members(&store, &encoder, &comparer.clone().into())?;
    let visits = look(site, &mut vision, &comparer, &args.visits)?;
    let measured = Measurement::new(site, &comparer, &members, &visits)?;
    let calibration = measured.calibration(&encoder, &args.visits);
    let comment = "# Made by gate-lab calibrate. Name it in gate.toml: [policy] calibration = \"FILE\"\n";
    let text = format!("{comment}{}", toml::to_string(&calibration).context("writing a calibration")?);
    write_private(&args.out, text.as_bytes()).with_context(|| format!("{} cannot be written", args.out.display()))?;
    if json {
        println!("{}", serde_json::to_string(&measured.findings)?);
    } else {
        print!("{}", measured.findings.text(&args.out));
    }
    Ok(Exit::Done)
}

/// Encodes the nearest face of every picture of every visit.
fn look(site: &Site, vision: &mut Vision, comparer: &Comparer, folder: &Path) -> Result<Visits> {
    let pictures = pictures(folder)?;
    let quality = site.config.policy(0.0).quality;
    let progress = Progress::new("pictures of visits", pictures.len());
    let mut visits = Visits::default();
    for (who, path) in pictures {
        progress.step();
        let photo = match Photo::read(&path) {
            Ok(photo) => photo,
            Err(VisionError::Picture { .. } | VisionError::Io { .. }) => {
                visits.unreadable.push(path);
                continue;
            }
            Err(fault) => return Err(fault.into()),
        };
        let portraits = vision.portraits(&photo)?;
        match portraits.first() {
            None => visits.no_face.push(path),
            Some(nearest) if nearest.quality.refusal(&quality).is_some() => visits.not_clear += 1,
            Some(nearest) => match vision.encode_clear(&nearest.chip)? {
                None => visits.not_clear += 1,
                Some(vector) => {
                    let vector = comparer.adapt(vector).into_owned();
                    visits.taken.push(Visit { who, vector });
                }
            },
        }
    }
    progress.finish();
    Ok(visits)
}

/// Every file below a folder of folders: (folder's name, file), in order.
fn pictures(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for person in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let who = person.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        found.extend(entries(&person)?.into_iter().filter(|path| path.is_file()).map(|path| (who.clone(), path)));
    }
    if found.is_empty() {
        return Err(refuse(format!(
            "{}: no pictures; a folder for each person is expected, named by the person's id, with pictures in it",
            folder.display()
        )));
    }
    Ok(found)
}

struct Measurement {
    findings: Findings,
    points: Vec<Point>,
    comparisons: u64,
    comparison: String,
}

impl Measurement {
    fn new(site: &Site, comparer: &Comparer, members: &Members, visits: &Visits) -> Result<Self> {
        let (all, people) = collect(comparer, members, visits)?;
        let pairs = all_pairs(&all, &comparer.comparison(), KEEP_DEFAULT, &|_| ());
        let encoder: Vec<(f64, f32)> = comparer.impostors().points().iter().map(|p| (p.fmr, p.d2)).collect();
        let table = site_table(&encoder, &pairs, &Bootstrap::default()).map_err(|why| {
            refuse(format!(
                "too little to calibrate with, from {} people and {} pictures: {why}. Nothing was written; the encoder's \
                 own measurements stay in force",
                people.len(),
                all.len()
            ))
        })?;
        let points: Vec<Point> = table
            .points
            .iter()
            .map(|p| Point { fmr: p.fmr, d2: p.d2, extrapolated: p.extrapolated, middle: None })
            .collect();
        let impostors = impostor_table(&points).context("the site's table does not grow")?;
        let policy = &site.config.policy;
        let tau = Tau::derive(&impostors, policy.tau, policy.fpir_target, members.tau().references);
        let rates = Rates::new(comparer, members, visits, &people, tau.d2);
        let fpir_upper = impostors.fmr_at(tau.d2).map_or(1.0, |fmr| gate_core::threshold::fpir(fmr, tau.references));
        let strangers: Vec<&str> =
            visits.taken.iter().map(|v| v.who.as_str()).filter(|who| !is_enrolled(members, who)).collect();
        let findings = Findings {
            people: members.people_count(),
            references: tau.references,
            visits: visits.taken.len(),
            strangers: strangers.iter().collect::<std::collections::HashSet<_>>().len(),
            pictures_without_face: visits.no_face.len(),
            pictures_unreadable: visits.unreadable.len(),
            pictures_not_clear: visits.not_clear,
            tau: tau.d2,
            target_met: tau.target_met(),
            fpir_target: policy.fpir_target,
            fpir_upper,
            moved: table.moved,
            fmr: rates.fmr,
            fnmr: rates.fnmr,
            fpir: rates.fpir,
            look_alikes: look_alikes(&pairs, members, tau.d2),
            likely_refused: rates.refused,
            without_visits: rates.without_visits,
        };
        Ok(Self { findings, points, comparisons: pairs.impostors(), comparison: comparer.name().into() })
    }

    fn calibration(&self, encoder: &Card, visits: &Path) -> Calibration {
        let found = &self.findings;
        let whose = visits.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Calibration {
            format: FORMAT,
            made_at: jiff::Timestamp::now().round(jiff::Unit::Second).unwrap_or_default().to_string(),
            encoder: encoder.name.clone(),
            encoder_sha256: encoder.encoder_sha256(),
            comparison: self.comparison.clone(),
            measured: Measured {
                people: found.people as u32,
                references: found.references as u32,
                visits: found.visits as u32,
                fpir_target: found.fpir_target,
                tau: found.tau,
                fmr: found.fmr,
                fnmr: found.fnmr,
                fpir: found.fpir,
            },
            impostors: Impostors {
                measured_on: format!(
                    "this site ({whose}): {} people enrolled, {} pictures of visits, {} strangers",
                    found.people, found.visits, found.strangers
                ),
                comparisons: self.comparisons,
                points: self.points.clone(),
            },
        }
    }
}

fn is_enrolled(members: &Members, who: &str) -> bool {
    members.people().any(|person| person.id == who)
}

/// References first, in the members' order, then visits; and the number that each person got.
fn collect(comparer: &Comparer, members: &Members, visits: &Visits) -> Result<(Collection, HashMap<String, u32>)> {
    let mut people: HashMap<String, u32> = HashMap::new();
    let mut owners: Vec<u32> = Vec::new();
    let mut number = |who: &str| -> u32 {
        let next = people.len() as u32;
        *people.entry(who.to_owned()).or_insert(next)
    };
    for (key, _) in members.references() {
        let id = members.person(key).map_or("", |person| person.id.as_str());
        owners.push(number(id));
    }
    owners.extend(visits.taken.iter().map(|visit| number(&visit.who)));
    let mut vectors: Vec<f32> = members.references().flat_map(|(_, vector)| vector).copied().collect();
    vectors.extend(visits.taken.iter().flat_map(|visit| visit.vector.iter().copied()));
    Ok((Collection::new(comparer.dim(), vectors, owners)?, people))
}

/// The closest pairs of different people who are enrolled.
fn look_alikes(pairs: &Comparisons, members: &Members, tau: f32) -> Vec<LookAlikes> {
    let owners: Vec<PersonKey> = members.references().map(|(key, _)| key).collect();
    let id = |row: u32| -> Option<String> {
        owners.get(row as usize).and_then(|key| members.person(*key)).map(|person| person.id.clone())
    };
    let mut found: Vec<LookAlikes> = Vec::new();
    for pair in pairs.nearest_impostors() {
        let (Some(a), Some(b)) = (id(pair.a), id(pair.b)) else { continue };
        let people = if a <= b { [a, b] } else { [b, a] };
        // Sorted: the first comparison of a pair of people is their closest.
        if found.iter().all(|known| known.people != people) {
            found.push(LookAlikes { people, d2: pair.d2, within_tau: pair.d2 <= tau });
        }
        if found.len() == LOOK_ALIKES_MAX {
            break;
        }
    }
    found
}

struct Rates {
    fmr: Stated,
    fnmr: Stated,
    fpir: Stated,
    refused: Vec<Refused>,
    without_visits: Vec<String>,
}

impl Rates {
    fn new(comparer: &Comparer, members: &Members, visits: &Visits, people: &HashMap<String, u32>, tau: f32) -> Self {
        let (mut fmr, mut fnmr, mut fpir) = (Vec::new(), Vec::new(), Vec::new());
        let mut by_person: HashMap<&str, (usize, usize)> = HashMap::new();
        let ids: HashMap<&str, PersonKey> = members.people().map(|p| (p.id.as_str(), p.key)).collect();
        let comparison = comparer.comparison();
        for visit in &visits.taken {
            let person = people.get(&visit.who).copied().unwrap_or_default();
            let own = ids.get(visit.who.as_str()).copied();
            let (mut found, mut matched) = (false, false);
            for (owner, row) in members.references() {
                let near = comparison.compare(row, &visit.vector) <= tau;
                if Some(owner) == own {
                    matched |= near;
                } else {
                    fmr.push((person, near));
                    found |= near;
                }
            }
            fpir.push((person, found));
            if let Some((id, _)) = ids.get_key_value(visit.who.as_str()) {
                fnmr.push((person, !matched));
                let count = by_person.entry(id).or_default();
                *count = (count.0 + usize::from(!matched), count.1 + 1);
            }
        }
        let mut refused: Vec<Refused> = by_person
            .iter()
            .filter(|(_, (missed, _))| *missed > 0)
            .map(|(id, (missed, visits))| Refused { person: (*id).to_owned(), missed: *missed, visits: *visits })
            .collect();
        refused.sort_by(|a, b| (b.missed * a.visits).cmp(&(a.missed * b.visits)).then(a.person.cmp(&b.person)));
        let absent = members.people().filter(|p| !by_person.contains_key(p.id.as_str()));
        let without_visits = absent.map(|p| p.id.clone()).collect();
        Self { fmr: stated(&fmr), fnmr: stated(&fnmr), fpir: stated(&fpir), refused, without_visits }
    }
}

/// (person, whether it was an error) -> a rate with its interval by person.
fn stated(trials: &[(u32, bool)]) -> Stated {
    let errors = trials.iter().filter(|(_, error)| *error).count() as u64;
    match rate_by_person(trials, &Bootstrap::default()) {
        Some(rate) => Stated { errors, trials: rate.trials, rate: Some(rate.rate), low: rate.low, high: rate.high },
        None => Stated { errors, trials: trials.len() as u64, rate: None, low: 0.0, high: 1.0 },
    }
}

impl Findings {
    fn text(&self, out: &Path) -> String {
        let rate = |name: &str, what: &str, stated: &Stated| match stated.rate {
            Some(rate) => format!(
                "  {name:<5} {:>8.3} %   {} of {} {what}; 95 % interval by person {:.3} to {:.3} %\n",
                100.0 * rate,
                stated.errors,
                stated.trials,
                100.0 * stated.low,
                100.0 * stated.high
            ),
            None => format!(
                "  {name:<5} cannot be stated: {} of {} {what}, of fewer than {PEOPLE_MIN} people\n",
                stated.errors, stated.trials
            ),
        };
        let mut text = format!(
            "{} people with {} references; {} pictures of visits, {} people in them not enrolled\n",
            self.people, self.references, self.visits, self.strangers
        );
        let left_out = [
            (self.pictures_without_face, "without a face"),
            (self.pictures_unreadable, "unreadable"),
            (self.pictures_not_clear, "not clear enough for the gate"),
        ];
        for (count, why) in left_out.into_iter().filter(|(count, _)| *count > 0) {
            text += &format!("  left out: {count} pictures {why}\n");
        }
        text += &format!("tau = {:.3} for FPIR {:.1e}", self.tau, self.fpir_target);
        text += &match self.target_met {
            true => format!("; upper bound {:.1e}\n", self.fpir_upper),
            false => format!(
                "; NOT met: the upper bound is {:.1e}. The gate warns, or refuses with [policy] fpir_unmet\n",
                self.fpir_upper
            ),
        };
        if self.moved < 0.0 {
            text += &format!(
                "  strangers come nearer here than the encoder's card says: thresholds moved by {:.3}\n",
                self.moved
            );
        }
        text += &rate("FMR", "comparisons with other people's references", &self.fmr);
        text += &rate("FNMR", "visits of enrolled people", &self.fnmr);
        text += &rate("FPIR", "searches, each without the visitor's own references", &self.fpir);
        text += "look-alikes among those enrolled, closest first:\n";
        for LookAlikes { people: [a, b], d2, within_tau } in &self.look_alikes {
            let note = if *within_tau { "   one would be taken for the other" } else { "" };
            text += &format!("  {a} and {b}   d2 {d2:.3}{note}\n");
        }
        if !self.likely_refused.is_empty() {
            text += "likely to be refused; enrol another picture of each, taken at the gate:\n";
        }
        for Refused { person, missed, visits } in &self.likely_refused {
            text += &format!("  {person}: {missed} of {visits} visits do not match\n");
        }
        if !self.without_visits.is_empty() {
            text += &format!("not judged, no visits: {}\n", self.without_visits.join(", "));
        }
        text + &format!("written: {}\n", out.display())
    }
}
