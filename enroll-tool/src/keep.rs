//! The store itself: making it, and examining it.

use crate::clock::ClockJson;
use crate::desk::{Desk, columns, count};
use crate::refusal::Exit;
use anyhow::{Context, Result};
use gate_guard::owner;
use gate_site::SiteError;
use gate_store::{Anchor, CheckReport, KeySource, SiteKey, Store, StoreError};
use serde::Serialize;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The store's database; where it is, there is a store.
const DATABASE: &str = "people.db";

/// `init --json`.
#[derive(Serialize)]
struct Made {
    store: PathBuf,
    key: PathBuf,
    key_made: bool,
}

/// Makes the site key, unless there is one, and an empty store. Root becomes the owner of a store folder that was made
/// for the gate's own user, so that nothing in it is ever root's, and no link in it leads root astray.
///
/// # Errors
/// When there is a store already, or the disk refuses.
pub fn init(desk: &Desk) -> Result<Exit> {
    let dir = desk.site.store_dir();
    let database = dir.join(DATABASE);
    if fs::symlink_metadata(&database).is_ok() {
        return Err(StoreError::AlreadyThere { path: database }.into());
    }
    let source = desk.site.key_source();
    // A key that lies elsewhere is root's, who alone may write there.
    let early = if desk.site.key_is_in_store() { None } else { Some(make_or_load(&source)?) };
    Anchor::prepare(dir)?;
    owner::become_owner_of(dir).map_err(SiteError::from)?;
    let (key, key_made) = early.map_or_else(|| make_or_load(&source), Ok)?;
    Store::init(dir, &key)?;

    let (store, key) = (dir.to_path_buf(), source.path().to_path_buf());
    let made = if key_made { "made" } else { "was there, used" };
    let text = format!(
        "store  {}   made, empty\nkey    {}   {made}\n\nBack the key up now, apart from the store: without it no \
         reference can be read, ever; with both,\nanybody can read everything.",
        store.display(),
        key.display()
    );
    desk.answer(&text, &Made { store, key, key_made })?;
    Ok(Exit::Done)
}

/// The site key, and whether it was made now.
fn make_or_load(source: &KeySource) -> Result<(SiteKey, bool)> {
    // A link that leads nowhere is something, too: loading tells what is wrong with it.
    let is_there = fs::symlink_metadata(source.path()).is_ok();
    Ok((if is_there { SiteKey::load(source)? } else { make_key(source)? }, !is_there))
}

fn make_key(source: &KeySource) -> Result<SiteKey> {
    let path = source.path();
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("cannot make the folder {} for the key", folder.display()))?;
    }
    let key = SiteKey::generate()?;
    key.create_file(path)?;
    Ok(key)
}

/// `check --json`.
#[derive(Serialize)]
struct Checked<'a> {
    sound: bool,
    people: usize,
    /// People whose pictures no live camera has confirmed.
    unconfirmed: usize,
    references: usize,
    pictures: usize,
    /// Made by another encoder than the configured one: never compared. Null when that one's card cannot be read.
    foreign_references: Option<usize>,
    damaged: &'a [String],
    erased: &'a [String],
    /// Why the rows are not those of the present, and whom that concerns.
    rolled_back: Option<&'a str>,
    structure: &'a [String],
    clock: &'a ClockJson,
}

/// Examines the store.
///
/// # Errors
/// When it cannot be opened. Damage is told, with exit code 3.
pub fn check(desk: &Desk) -> Result<Exit> {
    let store = desk.store_to_read()?;
    let report = store.check()?;
    let clock = ClockJson::read(&desk.site.known_times(Some(&store)));
    let foreign = desk.encoder_card().ok().map(|card| {
        let own = card.encoder_sha256();
        let others = report.encoders.iter().filter(|encoder| encoder.encoder_sha256 != own);
        others.map(|encoder| encoder.references).sum()
    });
    let json = Checked {
        sound: report.is_sound(),
        people: report.people,
        unconfirmed: report.unconfirmed,
        references: report.references,
        pictures: report.pictures,
        foreign_references: foreign,
        damaged: &report.damaged,
        erased: &report.erased,
        rolled_back: report.rolled_back.as_deref(),
        structure: &report.structure,
        clock: &clock,
    };
    desk.answer(&check_text(desk.site.store_dir(), &report, foreign, &clock), &json)?;
    Ok(if report.is_sound() && !clock.behind { Exit::Done } else { Exit::Fault })
}

fn check_text(dir: &Path, report: &CheckReport, foreign: Option<usize>, clock: &ClockJson) -> String {
    let mut rows = vec![
        vec!["store".to_owned(), dir.display().to_string()],
        vec!["people".to_owned(), report.people.to_string()],
        vec!["references".to_owned(), report.references.to_string()],
        vec!["pictures".to_owned(), report.pictures.to_string()],
        vec!["clock".to_owned(), clock.text()],
    ];
    if report.unconfirmed > 0 {
        let who = count(report.unconfirmed, "person", "people");
        let advice = "see `enroll-tool list`; `enroll-tool add --id ID --more --camera` confirms";
        rows.push(vec!["not confirmed".to_owned(), format!("the pictures of {who}: {advice}")]);
    }
    if let Some(foreign) = foreign.filter(|foreign| *foreign > 0) {
        let what = count(foreign, "reference", "references");
        rows.push(vec!["not compared".to_owned(), format!("{what} of another encoder: enrol these people again")]);
    }
    for id in &report.damaged {
        rows.push(vec!["DAMAGED".to_owned(), format!("{id}: remove and enrol again, or `enroll-tool restore BACKUP`")]);
    }
    for id in &report.erased {
        rows.push(vec!["erased".to_owned(), format!("{id}: an old row came back, its key is destroyed; remove it")]);
    }
    if let Some(why) = &report.rolled_back {
        rows.push(vec!["OLDER".to_owned(), why.clone()]);
    }
    for fault in &report.structure {
        rows.push(vec!["DAMAGED".to_owned(), format!("{fault}: `enroll-tool restore BACKUP`")]);
    }
    let verdict = if report.is_sound() { "everything opens" } else { "NOT sound" };
    rows.push(vec!["verdict".to_owned(), verdict.to_owned()]);
    columns(&rows)
}
