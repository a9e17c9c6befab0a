//! Asking: who is this (1:N), is this that person (1:1), are these the same.

use crate::args::{Compare, Identify, Verify};
use crate::clock;
use crate::desk::{Desk, count};
use crate::face::{self, QualityJson, tenths};
use crate::inputs;
use crate::known::Known;
use crate::refusal::{Exit, Refusal};
use anyhow::{Result, anyhow};
use gate_core::policy::QualityPolicy;
use gate_site::Members;
use gate_store::{Person, Store};
use gate_vision::Vision;
use serde::Serialize;
use std::collections::HashMap;
use std::path::Path;

/// `identify --json`, one line a picture.
#[derive(Serialize)]
struct Seen {
    photo: String,
    faces: Vec<SeenFace>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tau: Option<f32>,
}

#[derive(Serialize)]
struct SeenFace {
    #[serde(rename = "box")]
    rect: [f32; 4],
    person: Option<String>,
    quality: QualityJson,
    #[serde(flatten)]
    scores: Option<FaceScores>,
    /// Near enough, and so is somebody else.
    #[serde(skip)]
    ambiguous: bool,
}

/// With `--scores`.
#[derive(Serialize)]
struct FaceScores {
    /// The detector's.
    score: f32,
    d2: Option<f32>,
    runner_up_d2: Option<f32>,
}

/// `identify --json` for a picture that cannot be used.
#[derive(Serialize)]
struct Unseen {
    photo: String,
    error: String,
}

/// Searches everybody for every face of each picture.
///
/// # Errors
/// A fault. A picture that cannot be read is told, and the others go on.
pub fn identify(desk: &Desk, args: &Identify) -> Result<Exit> {
    inputs::hold(desk, &args.photos)?;
    let store = desk.store_to_read()?;
    let mut vision = desk.site.vision()?;
    let encoder = vision.encoder().card();
    let members = desk.site.members(&store, encoder, &desk.site.comparer(encoder)?)?;
    tracing::info!("{}", members.tau().explain());
    let describe = if desk.json { HashMap::new() } else { descriptions(desk, &store)? };
    let mut exit = Exit::Done;
    for path in &args.photos {
        match look(desk, &mut vision, &members, path) {
            Ok(seen) => {
                if exit == Exit::Done && seen.faces.iter().all(|face| face.person.is_none()) {
                    exit = Exit::NoMatch;
                }
                desk.answer(&seen_text(&seen, &describe), &seen)?;
            }
            Err(error) if error.is::<Refusal>() => {
                exit = Exit::BadInput;
                let error = error.to_string();
                eprintln!("enroll-tool: {}", gate_cli::line(&error));
                if desk.json {
                    desk.answer("", &Unseen { photo: path.display().to_string(), error })?;
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(exit)
}

fn look(desk: &Desk, vision: &mut Vision, members: &Members, path: &Path) -> Result<Seen> {
    let photo = face::read(path)?;
    let policy = gate_quality(desk);
    let mut faces = Vec::new();
    for portrait in vision.portraits(&photo)? {
        let nearest = members.search(vision.encode(&portrait.chip)?);
        // Written so that a NaN is never a match.
        let near = nearest.is_some_and(|n| n.d2 <= members.tau().d2);
        let margin = desk.site.config.policy.margin_d2;
        let clear = nearest.is_some_and(|n| n.runner_up_d2.is_none_or(|other| other - n.d2 >= margin));
        let person = nearest.filter(|_| near && clear).and_then(|n| members.person(n.person));
        let rect = portrait.face.rect;
        faces.push(SeenFace {
            rect: [rect.x, rect.y, rect.w, rect.h].map(tenths),
            person: person.map(|person| person.id.clone()),
            quality: QualityJson::new(&portrait.quality, &policy),
            scores: desk.scores.of(portrait.face.score).map(|score| FaceScores {
                score,
                d2: nearest.map(|n| n.d2),
                runner_up_d2: nearest.and_then(|n| n.runner_up_d2),
            }),
            ambiguous: near && !clear,
        });
    }
    Ok(Seen { photo: path.display().to_string(), faces, tau: desk.scores.of(members.tau().d2) })
}

/// What a face at the gate must be like.
fn gate_quality(desk: &Desk) -> QualityPolicy {
    desk.site.config.policy(0.0).quality
}

/// Everybody by id: name, and why the gate would refuse them all the same.
fn descriptions(desk: &Desk, store: &Store) -> Result<HashMap<String, String>> {
    let (clock, zone) = (clock::now(desk, store), desk.zone());
    let describe = |person: &Person| match zone.standing(&person.admission, clock) {
        standing if person.access.refusal(clock).is_some() => format!("{} - {standing}: the gate refuses", person.name),
        _ => person.name.clone(),
    };
    Ok(store.people()?.into_iter().map(|person| (person.id.clone(), describe(&person))).collect())
}

fn seen_text(seen: &Seen, describe: &HashMap<String, String>) -> String {
    let mut text = format!("{}: {}", gate_cli::line(&seen.photo), count(seen.faces.len(), "face", "faces"));
    for face in &seen.faces {
        let who = match &face.person {
            Some(id) => format!("{id}  {}", gate_cli::line(describe.get(id).map_or("", String::as_str))),
            None if face.ambiguous => "too close to call between two people".to_owned(),
            None => "nobody enrolled".to_owned(),
        };
        let [x, y, w, _] = face.rect;
        text.push_str(&format!("\n  {w:.0} px wide at {x:.0},{y:.0}:  {who}"));
        let scores = face.scores.as_ref().zip(seen.tau).and_then(|(scores, tau)| Some((scores, scores.d2?, tau)));
        if let Some((scores, d2, tau)) = scores {
            let next = scores.runner_up_d2.map(|d2| format!(", the next {d2:.3}")).unwrap_or_default();
            text.push_str(&format!("   (d2 {d2:.3}{next}; tau {tau:.3})"));
        }
    }
    text
}

/// `verify --json`.
#[derive(Serialize)]
struct Verified<'a> {
    person: &'a str,
    #[serde(rename = "match")]
    matched: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    d2: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tau: Option<f32>,
}

/// Compares a picture with one person's references.
///
/// # Errors
/// A refusal (nobody has the id, no face) or a fault.
pub fn verify(desk: &Desk, args: &Verify) -> Result<Exit> {
    inputs::hold(desk, [&args.photo])?;
    let store = desk.store_to_read()?;
    let person = store.person(&args.id)?;
    let mut vision = desk.site.vision()?;
    let probe = face::largest(&mut vision, &args.photo, desk.site.config.policy.bystander_ratio)?;
    let card = vision.encoder().card();
    let comparer = desk.site.comparer(card)?;
    let members = desk.site.members(&store, card, &comparer)?;
    let (d2, references) = Known::new(&members).nearest_own(&args.id, &probe).ok_or_else(|| {
        anyhow!(
            "`{}` has no usable reference made by the encoder {:?}: add one with `enroll-tool add --id {} --more`",
            args.id,
            card.name,
            args.id
        )
    })?;
    let tau = desk.site.tau(&comparer, references).d2;
    let matched = d2 <= tau;
    let verdict = if matched { "match" } else { "NO match" };
    let (photo, name) = (gate_cli::path(&args.photo), gate_cli::line(&person.name));
    let mut text = format!("{verdict}: {photo} with {} ({name}){}", person.id, desk.scores.text(d2, tau));
    let clock = clock::now(desk, &store);
    if person.access.refusal(clock).is_some() {
        text.push_str(&format!("\n{}: the gate refuses", desk.zone().standing(&person.admission, clock)));
    }
    let json = Verified { person: &args.id, matched, d2: desk.scores.of(d2), tau: desk.scores.of(tau) };
    desk.answer(&text, &json)?;
    Ok(if matched { Exit::Done } else { Exit::NoMatch })
}

/// `compare --json`.
#[derive(Serialize)]
struct Compared {
    same: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    d2: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tau: Option<f32>,
}

/// Compares two pictures.
///
/// # Errors
/// A refusal (no face) or a fault.
pub fn compare(desk: &Desk, args: &Compare) -> Result<Exit> {
    // Both are looked at before the networks are loaded: the commonest mistake is a wrong path.
    crate::desk::plain_file(&args.a)?;
    crate::desk::plain_file(&args.b)?;
    let mut vision = desk.site.vision()?;
    let ratio = desk.site.config.policy.bystander_ratio;
    let (a, b) = (face::largest(&mut vision, &args.a, ratio)?, face::largest(&mut vision, &args.b, ratio)?);
    let comparer = desk.site.comparer(vision.encoder().card())?;
    let d2 = comparer.dissimilarity(&a, &b);
    let tau = desk.site.tau(&comparer, 1).d2;
    let same = d2 <= tau;
    let verdict = if same { "the same person" } else { "two people" };
    let json = Compared { same, d2: desk.scores.of(d2), tau: desk.scores.of(tau) };
    desk.answer(&format!("{verdict}{}", desk.scores.text(d2, tau)), &json)?;
    Ok(if same { Exit::Done } else { Exit::NoMatch })
}
