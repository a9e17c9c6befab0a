//! Looking after people: list, show, set, suspend, resume, remove.

use crate::args::{Remove, Set};
use crate::clock;
use crate::desk::{Desk, columns, count};
use crate::enrol::admission;
use crate::refusal::{Exit, refuse};
use crate::when;
use anyhow::Result;
use gate_core::clock::WallClock;
use gate_core::reason::Reason;
use gate_store::{Admission, Day, Edge, Person, Store, StoreError};
use serde::Serialize;
use std::io::{BufRead, IsTerminal};

/// A person in JSON.
#[derive(Serialize)]
struct PersonJson {
    id: String,
    name: String,
    suspended: bool,
    valid_from: Option<String>,
    valid_until: Option<String>,
    /// The days, where days were written, and their time zones.
    valid_from_day: Option<String>,
    valid_from_zone: Option<String>,
    valid_until_day: Option<String>,
    valid_until_zone: Option<String>,
    /// Why the gate would refuse the person now.
    refusal: Option<Reason>,
    enrolled: String,
    /// Whether a live camera has confirmed that the pictures show this person alone.
    picture_confirmed: bool,
    references: Vec<ReferenceJson>,
}

#[derive(Serialize)]
struct ReferenceJson {
    number: u32,
    encoder_sha256: String,
    made: String,
    picture: bool,
}

impl PersonJson {
    fn new(person: &Person, clock: WallClock) -> Self {
        let access = person.access;
        let day = |edge: &Option<Edge>| edge.as_ref().and_then(|edge| edge.day.clone());
        let (from, until) = (day(&person.admission.from), day(&person.admission.until));
        let zone = |day: &Option<Day>| day.as_ref().map(|day| day.zone().to_owned());
        let references = person.references.iter().map(|reference| ReferenceJson {
            number: reference.number,
            encoder_sha256: reference.encoder_sha256.clone(),
            made: when::rfc3339(reference.created_ms),
            picture: reference.has_picture,
        });
        Self {
            id: person.id.clone(),
            name: person.name.clone(),
            suspended: access.suspended,
            valid_from: access.valid_from_ms.map(when::rfc3339),
            valid_until: access.valid_until_ms.map(when::rfc3339),
            valid_from_zone: zone(&from),
            valid_from_day: from.map(|day| day.to_string()),
            valid_until_zone: zone(&until),
            valid_until_day: until.map(|day| day.to_string()),
            refusal: access.refusal(clock),
            enrolled: when::rfc3339(person.created_ms),
            picture_confirmed: person.confirmed,
            references: references.collect(),
        }
    }
}

/// Everybody.
///
/// # Errors
/// When the store cannot be read.
pub fn list(desk: &Desk) -> Result<Exit> {
    let store = desk.store_to_read()?;
    let people = store.people()?;
    warn_of_unreadable(&store)?;
    let (clock, zone) = (clock::now(desk, &store), desk.zone());
    let mut rows = vec![["ID", "NAME", "REFERENCES", "PICTURE", "ADMISSION"].map(str::to_owned).to_vec()];
    rows.extend(people.iter().map(|person| {
        let references = person.references.len().to_string();
        let picture = confirmation(person).to_owned();
        let standing = zone.standing(&person.admission, clock);
        vec![person.id.clone(), person.name.clone(), references, picture, standing]
    }));
    let text = if people.is_empty() {
        "nobody is enrolled: `enroll-tool add --id ID --name NAME PHOTO`".to_owned()
    } else {
        format!("{}{}", columns(&rows), count(people.len(), "person", "people"))
    };
    desk.answer(&text, &people.iter().map(|person| PersonJson::new(person, clock)).collect::<Vec<_>>())?;
    Ok(Exit::Done)
}

/// Whether a live camera has confirmed a person's pictures, in a word or two.
fn confirmation(person: &Person) -> &'static str {
    if person.confirmed { "confirmed" } else { "not confirmed" }
}

/// People whose record does not open are not in the list; that must not go unnoticed.
fn warn_of_unreadable(store: &Store) -> Result<()> {
    // No encoder has this name: no reference is opened, only records.
    let gallery = store.gallery("", 0)?;
    if !gallery.damaged.is_empty() || gallery.erased > 0 {
        let damaged = gallery.damaged.join(", ");
        tracing::warn!(
            damaged,
            erased = gallery.erased,
            "not listed: records that do not open; see `enroll-tool check`"
        );
    }
    Ok(())
}

/// One person.
///
/// # Errors
/// When nobody has the id, or the store cannot be read.
pub fn show(desk: &Desk, id: &str) -> Result<Exit> {
    let store = desk.store_to_read()?;
    let person = store.person(id)?;
    let (clock, zone) = (clock::now(desk, &store), desk.zone());
    let card = desk.encoder_card().ok();
    let mut rows = vec![
        vec!["id".to_owned(), person.id.clone()],
        vec!["name".to_owned(), person.name.clone()],
        vec!["admission".to_owned(), zone.standing(&person.admission, clock)],
        vec!["enrolled".to_owned(), zone.local(person.created_ms)],
        vec!["picture".to_owned(), confirmation(&person).to_owned()],
    ];
    for reference in &person.references {
        let encoder = match &card {
            Some(card) if card.encoder_sha256() == reference.encoder_sha256 => card.name.clone(),
            _ => format!("another encoder ({:.12}): not compared", reference.encoder_sha256),
        };
        let picture = if reference.has_picture { ", picture kept" } else { "" };
        let made = zone.local(reference.created_ms);
        rows.push(vec![format!("reference {}", reference.number), format!("{made}, {encoder}{picture}")]);
    }
    desk.answer(&columns(&rows), &PersonJson::new(&person, clock))?;
    Ok(Exit::Done)
}

/// Changes name or admission.
///
/// # Errors
/// When nobody has the id, the change makes no sense, or the store fails.
pub fn set(desk: &Desk, args: &Set) -> Result<Exit> {
    if args.name.is_none() && args.valid_from.is_none() && args.valid_until.is_none() {
        return Err(refuse("nothing to change: give --name, --valid-from or --valid-until"));
    }
    let mut store = desk.store()?;
    let before = store.person(&args.id)?;
    let after = admission(&desk.zone(), &before.admission, args.valid_from, args.valid_until)?;
    if let Some(name) = &args.name {
        store.rename(&args.id, name)?;
    }
    if after != before.admission {
        store.set_access(&args.id, after)?;
    }
    tell(desk, &store, &args.id)
}

/// Takes the admission away, or gives it back.
///
/// # Errors
/// When nobody has the id, or the store fails.
pub fn suspend(desk: &Desk, id: &str, suspended: bool) -> Result<Exit> {
    let mut store = desk.store()?;
    let admission = store.person(id)?.admission;
    store.set_access(id, Admission { suspended, ..admission })?;
    tell(desk, &store, id)
}

/// How the person stands after a change.
fn tell(desk: &Desk, store: &Store, id: &str) -> Result<Exit> {
    let person = store.person(id)?;
    let clock = clock::now(desk, store);
    let standing = desk.zone().standing(&person.admission, clock);
    let name = gate_cli::line(&person.name);
    desk.answer(&format!("{} ({name}): {standing}", person.id), &PersonJson::new(&person, clock))?;
    Ok(Exit::Done)
}

/// `remove --json`.
#[derive(Serialize)]
struct Removed<'a> {
    removed: &'a str,
    warning: Option<String>,
}

/// Erases a person.
///
/// # Errors
/// When nobody has the id, it was not confirmed, or the store fails.
pub fn remove(desk: &Desk, args: &Remove) -> Result<Exit> {
    let mut store = desk.store()?;
    // Somebody whose record is damaged can be erased, too; only the name is not known then.
    let who = match store.person(&args.id) {
        Ok(person) => format!("{} ({})", person.id, gate_cli::line(&person.name)),
        Err(StoreError::Damaged { .. }) => gate_cli::line(&args.id).to_string(),
        Err(error) => return Err(error.into()),
    };
    if !args.yes {
        confirm(
            &format!("Erase {who} for good, with all references and pictures? [y/N] "),
            &format!("{who} was not erased"),
        )?;
    }
    let warning = match store.remove(&args.id) {
        Ok(()) => None,
        Err(error @ StoreError::LogNotEmptied { .. }) => {
            tracing::warn!("{error}");
            Some(error.to_string())
        }
        Err(error) => return Err(error.into()),
    };
    desk.answer(&format!("erased {who}"), &Removed { removed: &args.id, warning })?;
    Ok(Exit::Done)
}

/// Asks whoever sits at the terminal.
///
/// # Errors
/// The refusal, which begins with `otherwise`, unless the answer is yes.
pub fn confirm(question: &str, otherwise: &str) -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(refuse(format!("{otherwise}: there is nobody to ask; say --yes")));
    }
    eprint!("{question}");
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if ["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(refuse(otherwise))
}
