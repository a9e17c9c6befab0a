//! Enrolling many people at once: in batches, so that an interruption loses little and the next run goes on.

use crate::args::Import;
use crate::desk::{Desk, columns, count};
use crate::enrol::{Enroller, Reference};
use crate::import_list::{self, Planned, Refused};
use crate::import_report::Report;
use crate::inputs;
use crate::refusal::{Exit, Refusal, is_bad_input, refuse};
use anyhow::Result;
use gate_store::{MAX_REFERENCES, NewPerson, NewReference, Store, StoreError};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::path::Path;

/// People stored in one transaction.
const BATCH: usize = 20;

/// `import --json`.
#[derive(Default, Serialize)]
struct Outcome {
    enrolled: usize,
    references: usize,
    /// People who were enrolled already.
    skipped: usize,
    refused: Vec<Refused>,
}

/// Enrols everybody whom a folder or a CSV file names.
///
/// # Errors
/// A refusal when the source is neither; a fault. What was stored until then stays.
pub fn import(desk: &Desk, args: &Import) -> Result<Exit> {
    let list = import_list::read(&args.source, &desk.zone())?;
    let mut report = args.report.as_deref().map(Report::create).transpose()?;
    inputs::hold(desk, list.people.iter().flat_map(|planned| &planned.photos))?;
    let mut store = desk.store()?;
    let mut outcome = Outcome::default();
    for refused in list.refused {
        tell(&mut outcome, &mut report, refused)?;
    }
    let mut people = Vec::new();
    for planned in list.people {
        match store.person(&planned.id) {
            // A damaged one comes to the store's refusal in its turn.
            Err(StoreError::UnknownPerson { .. } | StoreError::Damaged { .. }) => people.push(planned),
            Err(error) => return Err(error.into()),
            Ok(_) => outcome.skipped += 1,
        }
    }
    if !people.is_empty() {
        let enroller = Enroller::new(desk, &store, args.keep_picture, args.allow_duplicate)?;
        let photos: usize = people.iter().map(|planned| planned.photos.len()).sum();
        let planned_references = enroller.known() + photos;
        let encoder_sha256 = enroller.encoder_sha256();
        let bar = progress(desk.json, photos);
        let mut run = Run {
            store: &mut store,
            enroller,
            encoder_sha256,
            planned_references,
            bar,
            pending: Vec::new(),
            outcome,
            report,
        };
        let all = people.into_iter().try_for_each(|planned| run.take(planned));
        // Whatever happened, what is good is stored.
        let stored = run.commit();
        run.bar.finish_and_clear();
        outcome = run.outcome;
        all.and(stored)?;
    }
    desk.answer(&text(&outcome), &outcome)?;
    Ok(if outcome.refused.is_empty() { Exit::Done } else { Exit::NoMatch })
}

struct Run<'a> {
    store: &'a mut Store,
    enroller: Enroller,
    encoder_sha256: String,
    /// How many there will be when all are taken: the threshold does not depend on the order.
    planned_references: usize,
    bar: ProgressBar,
    /// Checked, not stored yet.
    pending: Vec<(Planned, Vec<Reference>)>,
    outcome: Outcome,
    report: Option<Report>,
}

impl Run<'_> {
    /// Takes one person; refusals are noted, only a fault is an error.
    fn take(&mut self, planned: Planned) -> Result<()> {
        self.bar.set_message(gate_cli::line(&planned.id).to_string());
        if let Err(error) = new_person(&planned).check() {
            self.bar.inc(planned.photos.len() as u64);
            return self.refuse(&planned, planned.photos.first().map(|p| p.as_path()), refuse(error.to_string()));
        }
        let mut references = Vec::new();
        for photo in &planned.photos {
            match self.reference(&planned.id, photo, &references) {
                Ok(reference) => references.push(reference),
                Err(error) => self.refuse(&planned, Some(photo), error)?,
            }
            self.bar.inc(1);
        }
        if references.is_empty() {
            return Ok(());
        }
        self.enroller.remember(&planned.id, &references);
        self.pending.push((planned, references));
        if self.pending.len() >= BATCH { self.commit() } else { Ok(()) }
    }

    fn reference(&mut self, id: &str, photo: &Path, others: &[Reference]) -> Result<Reference> {
        if others.len() >= MAX_REFERENCES {
            let message = format!("{}: {MAX_REFERENCES} references are enough, and the most", photo.display());
            return Err(refuse(message));
        }
        let reference = self.enroller.file(photo)?;
        self.enroller.same_person(&reference, others)?;
        self.enroller.nobody_else(id, &reference, self.planned_references)?;
        Ok(reference)
    }

    /// Notes a refusal; passes a fault on.
    fn refuse(&mut self, planned: &Planned, photo: Option<&Path>, error: anyhow::Error) -> Result<()> {
        let refusal = error.downcast::<Refusal>()?;
        let file = photo.map(|photo| photo.display().to_string()).unwrap_or_default();
        tell(&mut self.outcome, &mut self.report, Refused::new(file, Some(&planned.id), &refusal))
    }

    /// Stores what is pending: all at once, or, when the store refuses somebody, one by one.
    fn commit(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            return Ok(());
        }
        let to_store: Vec<Vec<NewReference<'_>>> = pending
            .iter()
            .map(|(_, references)| references.iter().map(|r| r.to_store(&self.encoder_sha256)).collect())
            .collect();
        let people = pending.iter().map(|(planned, _)| new_person(planned)).zip(to_store.iter().map(Vec::as_slice));
        match self.store.add_people(people) {
            Ok(_) => {
                self.outcome.enrolled += pending.len();
                self.outcome.references += to_store.iter().map(Vec::len).sum::<usize>();
                return Ok(());
            }
            Err(error) if is_bad_input(&error) => {}
            Err(error) => return Err(error.into()),
        }
        for ((planned, _), references) in pending.iter().zip(&to_store) {
            match self.store.add_person(&new_person(planned), references) {
                Ok(_) => {
                    self.outcome.enrolled += 1;
                    self.outcome.references += references.len();
                }
                Err(error) if is_bad_input(&error) => {
                    let file = planned.photos.first().map(|photo| photo.display().to_string()).unwrap_or_default();
                    let refusal = Refusal { message: error.to_string(), reason: None };
                    let refused = Refused::new(file, Some(&planned.id), &refusal);
                    tell(&mut self.outcome, &mut self.report, refused)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn new_person(planned: &Planned) -> NewPerson<'_> {
    NewPerson { id: &planned.id, name: &planned.name, admission: &planned.admission }
}

fn tell(outcome: &mut Outcome, report: &mut Option<Report>, refused: Refused) -> Result<()> {
    if let Some(report) = report {
        report.write(&refused)?;
    }
    outcome.refused.push(refused);
    Ok(())
}

/// On standard error; hidden with `--json`, and where no terminal is.
fn progress(json: bool, photos: usize) -> ProgressBar {
    let bar = if json { ProgressBar::hidden() } else { ProgressBar::new(photos as u64) };
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} pictures  {msg}  {eta} left");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}

fn text(outcome: &Outcome) -> String {
    let people = count(outcome.enrolled, "person", "people");
    let references = count(outcome.references, "reference", "references");
    let mut rows = vec![vec!["enrolled".to_owned(), format!("{people}, {references}")]];
    if outcome.skipped > 0 {
        let skipped = count(outcome.skipped, "person", "people");
        rows.push(vec!["skipped".to_owned(), format!("{skipped}, enrolled already")]);
    }
    let mut text = columns(&rows);
    if !outcome.refused.is_empty() {
        text.push_str(&format!("refused   {}\n", outcome.refused.len()));
        let refused = outcome.refused.iter().map(|r| vec![format!("  {}", r.file), r.advice.clone()]);
        text.push_str(&columns(&refused.collect::<Vec<_>>()));
    }
    text
}
