//! The refusals of an import as a CSV file, which staff open in a spreadsheet.

use crate::import_list::Refused;
use crate::refusal::refuse;
use anyhow::{Context, Result};
use gate_guard::files;
use std::fs::File;
use std::path::Path;

/// What a spreadsheet takes for a formula's beginning, in the widths that it knows (OWASP, "CSV Injection").
const FORMULA: [char; 10] = ['=', '+', '-', '@', '＝', '＋', '－', '＠', '\t', '\r'];

/// A report, complete at every moment.
pub struct Report {
    writer: csv::Writer<File>,
    path: String,
}

impl Report {
    /// Begins a new report in the place of an older one.
    ///
    /// The report is a new file that takes the path's name, so it is never written through a link.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let path_text = path.display().to_string();
        let file = files::replace(path).map_err(|error| refuse(format!("--report {path_text}: {error}")))?;
        let mut report = Self { writer: csv::Writer::from_writer(file), path: path_text };
        report.row(&["file", "id", "reason", "advice"])?;
        Ok(report)
    }

    /// Adds one refusal.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, refused: &Refused) -> Result<()> {
        let reason = refused.reason.map_or("", |reason| reason.name());
        let id = refused.id.as_deref().unwrap_or_default();
        self.row(&[&cell(&refused.file), &cell(id), reason, &cell(&refused.advice)])
    }

    fn row(&mut self, cells: &[&str]) -> Result<()> {
        let written = self.writer.write_record(cells).and_then(|()| Ok(self.writer.flush()?));
        written.with_context(|| format!("cannot write the report {}", self.path))
    }
}

/// Text that is neither a formula nor a command to a terminal.
fn cell(text: &str) -> String {
    let quote = if text.starts_with(FORMULA) { "'" } else { "" };
    format!("{quote}{}", gate_cli::line(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_a_command() {
        for (text, want) in [
            ("=HYPERLINK(\"x\")", "'=HYPERLINK(\"x\")"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\\t=1"),
            ("\r=1", "'\\r=1"),
            ("＝1", "'＝1"),
            ("a=1", "a=1"),
            ("a\x1b[31m\u{202e}", "a\\u001b[31m\\u202e"),
            ("", ""),
        ] {
            assert_eq!(cell(text), want);
        }
    }
}
