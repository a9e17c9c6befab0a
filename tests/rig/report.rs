//! What came out, as lines and as a page.

use anyhow::Result;
use std::fmt::Write as _;
use std::path::Path;

/// One test's outcome.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its name.
    pub name: String,
    /// Whether it held.
    pub ok: bool,
    /// How long it took, seconds.
    pub seconds: f32,
    /// What it measured, or why it failed.
    pub facts: String,
}

impl Outcome {
    /// From the guest's line: `ok 1.23 name — facts`, without its `RIG `.
    pub fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        let (seconds, rest) = rest.split_once(' ')?;
        let (name, facts) = rest.split_once(" — ")?;
        let ok = match word {
            "ok" => true,
            "FAIL" => false,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), ok, seconds: seconds.parse().ok()?, facts: facts.to_owned() })
    }

    /// A line for the terminal.
    pub fn told(&self) -> String {
        let word = if self.ok { "ok  " } else { "FAIL" };
        format!("{word} {:6.2} s  {}  {}", self.seconds, self.name.replace('_', " "), self.facts)
    }
}

/// Writes the page: a bar for each test, as long as it took.
pub fn write(path: &Path, outcomes: &[Outcome], summary: &str) -> Result<()> {
    let longest = outcomes.iter().map(|o| o.seconds).fold(1.0, f32::max);
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut rows = String::new();
    for outcome in outcomes {
        let class = if outcome.ok { "ok" } else { "fail" };
        writeln!(
            rows,
            "<tr class={class}><td>{}<td class=n>{:.1} s<td><div style=\"width:{:.0}%\"></div>{}",
            escape(&outcome.name.replace('_', " ")),
            outcome.seconds,
            outcome.seconds / longest * 100.0,
            escape(&outcome.facts)
        )?;
    }
    std::fs::write(
        path,
        format!(
            "<!doctype html><meta charset=utf-8><title>Face gate: the rig</title><style>\
             body{{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#223}}\
             table{{border-collapse:collapse;width:100%}}td{{padding:.35em .6em;border-top:1px solid #dde;vertical-align:top}}\
             td:first-child{{width:24em}}.n{{text-align:right;white-space:nowrap}}\
             div{{height:.35em;background:#2a7;margin:.3em 0}}.fail div{{background:#c33}}.fail{{background:#fee}}\
             </style><h1>The gate on a real kernel</h1><p>{}<table>{rows}</table>\n",
            escape(summary)
        ),
    )?;
    Ok(())
}
