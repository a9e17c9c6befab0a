//! Putting a backup of the store back: what it would undo, a question, and the restoration.

use crate::args::Restore;
use crate::desk::{Desk, columns, count};
use crate::refusal::{Exit, refuse};
use crate::when::{self, Zone};
use anyhow::Result;
use gate_core::clock::WallClock;
use gate_core::person::Access;
use gate_store::{Fate, Outcome, Restoration, SiteKey};
use serde::Serialize;
use std::io::{BufRead, IsTerminal};
use std::path::Path;

/// `restore --json`.
#[derive(Serialize)]
struct RestoredJson<'a> {
    restored: bool,
    /// Why the store was not taken as it was; null when it was sound, or missing.
    reason: Option<&'a str>,
    /// Whether the changes since the backup are known one by one.
    present_known: bool,
    /// People who are as the backup has them.
    unchanged: usize,
    /// Everybody else.
    people: Vec<OutcomeJson<'a>>,
}

#[derive(Serialize)]
struct OutcomeJson<'a> {
    id: &'a str,
    name: Option<&'a str>,
    /// `stricter`, `suspended`, `erased`, `lost` or `unreadable`.
    outcome: &'static str,
    before: Option<AccessJson>,
    backup: Option<AccessJson>,
    after: Option<AccessJson>,
}

#[derive(Serialize)]
struct AccessJson {
    suspended: bool,
    valid_from: Option<String>,
    valid_until: Option<String>,
}

impl AccessJson {
    fn new(access: Access) -> Self {
        Self {
            suspended: access.suspended,
            valid_from: access.valid_from_ms.map(when::rfc3339),
            valid_until: access.valid_until_ms.map(when::rfc3339),
        }
    }
}

impl<'a> OutcomeJson<'a> {
    fn new(outcome: &'a Outcome) -> Self {
        Self {
            id: &outcome.id,
            name: outcome.name.as_deref(),
            outcome: match outcome.fate {
                Fate::Same => "same",
                Fate::Stricter => "stricter",
                Fate::Suspended => "suspended",
                Fate::Erased => "erased",
                Fate::Lost => "lost",
                Fate::Unreadable => "unreadable",
            },
            before: outcome.present.map(AccessJson::new),
            backup: outcome.copy.map(AccessJson::new),
            after: outcome.after.map(AccessJson::new),
        }
    }
}

/// Puts a backup back, or accepts what is there.
///
/// # Errors
/// When it was not confirmed, the backup is not of this store, or the store fails.
pub fn restore(desk: &Desk, args: &Restore) -> Result<Exit> {
    let key = SiteKey::load(&desk.site.key_source())?;
    if let Some(backup) = args.backup.as_deref().filter(|backup| !backup.exists()) {
        return Err(refuse(format!("{}: there is no such file or folder", backup.display())));
    }
    let restoration = Restoration::weigh(desk.site.store_dir(), &key, args.backup.as_deref())?;
    let outcomes = restoration.outcomes().to_vec();
    let reason = restoration.reason().map(str::to_owned);
    let (changed, same): (Vec<_>, Vec<_>) = outcomes.iter().partition(|outcome| outcome.fate != Fate::Same);
    let json = |restored| RestoredJson {
        restored,
        reason: reason.as_deref(),
        present_known: restoration.present_is_known(),
        unchanged: same.len(),
        people: changed.iter().map(|outcome| OutcomeJson::new(outcome)).collect(),
    };
    if args.accept && reason.is_none() {
        desk.answer("the store is of the present: there is nothing to accept", &json(false))?;
        return Ok(Exit::Done);
    }

    let from = args.backup.as_deref().unwrap_or(desk.site.store_dir());
    eprint!("{}", told(desk, from, &restoration, &changed, &same));
    if !args.yes {
        confirm()?;
    }
    let done = json(true);
    let text = format!(
        "restored: {} as in the backup, {}",
        count(same.len(), "person", "people"),
        count(changed.len(), "other", "others")
    );
    restoration.apply()?;
    desk.answer(&text, &done)?;
    Ok(Exit::Done)
}

/// What the restoration would do, for people.
fn told(desk: &Desk, from: &Path, restoration: &Restoration, changed: &[&Outcome], same: &[&Outcome]) -> String {
    let mut text = format!("backup   {}\n", from.display());
    if let Some(reason) = restoration.reason() {
        text.push_str(&format!("because  {reason}\n"));
    }
    let (zone, clock) = (desk.zone(), desk.site.known_times(None).check(when::now_ms()));
    let row =
        |outcome: &Outcome, what: String| vec![outcome.id.clone(), outcome.name.clone().unwrap_or_default(), what];
    let mut rows: Vec<_> = changed.iter().map(|outcome| row(outcome, undone(outcome, &zone, clock))).collect();
    let all_unknown = changed.is_empty() && !restoration.present_is_known();
    if all_unknown {
        // Both files may be old: staff must look at everybody.
        let standing = |outcome: &Outcome| Some(zone.standing(&outcome.after?.into(), clock));
        rows.extend(same.iter().filter_map(|outcome| Some(row(outcome, standing(outcome)?))));
    }
    text.push_str(&columns(&rows));
    if all_unknown {
        text.push_str(
            "Everybody is taken as these files have them. Who was suspended, shortened or erased after they were made \
             cannot be told:\nlook at each person above, and suspend again who must stay outside.\n",
        );
    } else {
        text.push_str(&format!("{} as in the backup\n", count(same.len(), "person", "people")));
    }
    text
}

/// One person's outcome, for people.
fn undone(outcome: &Outcome, zone: &Zone, clock: WallClock) -> String {
    let standing =
        |access: Option<Access>| access.map_or_else(String::new, |access| zone.standing(&access.into(), clock));
    match outcome.fate {
        Fate::Same => standing(outcome.after),
        Fate::Stricter if outcome.present == outcome.copy => {
            "changed since: name and references go back to those of the backup".to_owned()
        }
        Fate::Stricter => format!(
            "now {}; in the backup {}; afterwards {}",
            standing(outcome.present),
            standing(outcome.copy),
            standing(outcome.after)
        ),
        Fate::Suspended => format!(
            "changed since, nobody can tell how; in the backup {}: comes back SUSPENDED, `enroll-tool resume {}`",
            standing(outcome.copy),
            outcome.id
        ),
        Fate::Erased => "erased since: does not come back".to_owned(),
        Fate::Lost => "enrolled since: is LOST, enrol again".to_owned(),
        Fate::Unreadable => "does not open: is LOST, enrol again".to_owned(),
    }
}

fn confirm() -> Result<()> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(refuse("nothing was restored: there is nobody to ask; say --yes"));
    }
    eprint!("Restore this? Type yes: ");
    let mut line = String::new();
    stdin.lock().read_line(&mut line)?;
    if line.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(refuse("nothing was restored"))
}
