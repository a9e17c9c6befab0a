//! What every command needs: the site, its store, and a way to answer.

use crate::args::Cli;
use crate::refusal::refuse;
use crate::scores::Scores;
use crate::when::Zone;
use anyhow::Result;
use gate_site::Site;
use gate_store::Store;
use gate_vision::card::{Card, Job};
use serde::Serialize;
use std::path::Path;

/// The staff's desk.
pub struct Desk {
    /// Configuration and what follows from it.
    pub site: Site,
    /// Answer in JSON.
    pub json: bool,
    /// Whether answers have scores.
    pub scores: Scores,
}

impl Desk {
    /// Reads the configuration.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(cli: &Cli) -> Result<Self> {
        let site = Site::load(cli.config.as_deref(), cli.store.as_deref())?;
        Ok(Self { site, json: cli.json, scores: Scores::shown(cli.scores) })
    }

    /// The store, for changes. From here on this process is the store's owner: pictures are opened before, see
    /// [`crate::inputs::hold`].
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn store(&self) -> Result<Store> {
        Ok(self.site.open_store()?)
    }

    /// The store, for looking: for those, too, who may not change it.
    ///
    /// # Errors
    /// When there is none, or it cannot be opened.
    pub fn store_to_read(&self) -> Result<Store> {
        Ok(self.site.open_store_to_look()?)
    }

    /// The time zone in which days are meant.
    #[must_use]
    pub fn zone(&self) -> Zone {
        Zone::of_site(&self.site)
    }

    /// The configured encoder's card.
    ///
    /// # Errors
    /// When it is missing or makes no sense.
    pub fn encoder_card(&self) -> Result<Card> {
        let vision = &self.site.config.vision;
        Ok(Card::load(&vision.models, &vision.encoder, Job::Encode)?)
    }

    /// Answers: `text` for people, or one line of JSON.
    ///
    /// # Errors
    /// When standard output is gone.
    pub fn answer(&self, text: &str, json: &impl Serialize) -> Result<()> {
        let line = if self.json { serde_json::to_string(json)? } else { text.trim_end().to_owned() };
        Ok(gate_cli::write(format_args!("{line}\n"))?)
    }
}

/// Refuses what is not a plain file: reading a device would never end.
///
/// # Errors
/// With what to do instead.
pub fn plain_file(path: &Path) -> Result<()> {
    let meta = std::fs::metadata(path).map_err(|error| refuse(format!("{}: {error}", path.display())))?;
    plain(path, &meta)
}

/// The same of what was examined before.
///
/// # Errors
/// With what to do instead.
pub fn plain(path: &Path, meta: &std::fs::Metadata) -> Result<()> {
    if meta.is_dir() {
        let advice = "is a folder: name a picture in it, or use `enroll-tool import`";
        return Err(refuse(format!("{} {advice}", path.display())));
    }
    if !meta.is_file() {
        return Err(refuse(format!("{} is not a file: name a picture", path.display())));
    }
    Ok(())
}

/// `1 person`, `2 people`.
#[must_use]
pub fn count(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// Rows as aligned columns, two blanks apart. A cell stays one line, whatever is in it.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let shown = |row: &Vec<String>| row.iter().map(|cell| gate_cli::line(cell).to_string()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = width(column).unwrap_or(0).saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.push_str(&" ".repeat(gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
