//! The report of an evaluation: one HTML page that needs nothing else. It contains faces.

mod pictures;
mod plots;

use crate::evaluate::{Evaluation, FMRS, FPIRS, answer};
use crate::words::{count, interval, percent, thousands};
use anyhow::Result;
use pictures::Hardest;
use std::fmt::Write;

/// The page.
///
/// # Errors
/// When a picture can no longer be read, or a plot cannot be drawn.
pub fn page(evaluation: &Evaluation, seed: u64) -> Result<String> {
    let hardest = Hardest::find(evaluation)?;
    let mut body = String::new();
    head(&mut body, evaluation, seed);
    headline(&mut body, evaluation);
    let _ = write!(body, "<h2>Measured on</h2>{}", table(&answer::facts(evaluation), false));
    verification(&mut body, evaluation)?;
    identification(&mut body, evaluation)?;
    hardest.write(&mut body, evaluation)?;
    let name = escaped(&evaluation.data.encoder.name);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"color-scheme\" content=\"light dark\">\n<title>Evaluation of {name}</title>\n\
         <style>{STYLE}</style></head><body>\n{body}</body></html>\n"
    ))
}

fn head(body: &mut String, evaluation: &Evaluation, seed: u64) {
    let data = &evaluation.data;
    let pictures = count(data.listing.pictures.len() as u64, "picture", "pictures");
    let people = count(data.listing.people.len() as u64, "person", "people");
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let _ = write!(
        body,
        "<h1>How well faces are told apart</h1><p class=\"soft\">{pictures} of {people}, encoder {}, compared by {}. Made {now} \
         by gate-lab evaluate, seed {seed}.</p><p class=\"warn\"><b>This page contains faces.</b> It is readable by its owner \
         only; treat a copy as you treat the pictures.</p>",
        escaped(&data.encoder.name),
        escaped(data.comparer.name())
    );
}

/// The few numbers that are asked for first.
fn headline(body: &mut String, evaluation: &Evaluation) {
    let mut tile = |value: String, name: String, note: String| {
        let _ = write!(body, "<div class=\"tile\"><b>{value}</b><span>{name}</span><small>{note}</small></div>");
    };
    let missed = evaluation.data.faces.missed.len();
    if let Some(listed) = &evaluation.listed
        && let Some(accuracy) = listed.accuracy()
    {
        let note = match &listed.folds {
            Some(folds) => format!("\u{b1} {:.2} %, {} folds", folds.standard_error * 100.0, folds.folds.len()),
            None => format!("{} listed pairs, best threshold", thousands(listed.pairs.len() as u64)),
        };
        tile(format!("{:.2} %", accuracy * 100.0), "accuracy".into(), note);
    }
    if let Some(Ok(point)) = evaluation.verification.get(1) {
        let note = interval(point.fnmr.low, point.fnmr.high);
        tile(percent(point.fnmr.rate), format!("FNMR at FMR {:e}", FMRS[1]), note);
    }
    let largest = evaluation.galleries.iter().filter(|gallery| gallery.points.is_ok()).max_by_key(|g| g.size);
    if let Some(gallery) = largest
        && let Ok(points) = &gallery.points
        && let Some(Ok(point)) = points.get(1)
    {
        let name = format!("FNIR at FPIR {:e}, N = {}", FPIRS[1], thousands(gallery.size.into()));
        tile(percent(point.fnir.rate), name, interval(point.fnir.low, point.fnir.high));
    }
    let of = format!("of {}", count(evaluation.data.listing.pictures.len() as u64, "picture", "pictures"));
    tile(missed.to_string(), "faces missed".into(), of);
}

fn verification(body: &mut String, evaluation: &Evaluation) -> Result<()> {
    let comparisons = &evaluation.comparisons;
    let _ = write!(
        body,
        "<h2>1:1, is it the same person?</h2><p>{} genuine and {} impostor comparisons, {}. Intervals hold 95&nbsp;%; they come from \
         drawing people anew, since comparisons of one person hang together.</p>",
        thousands(comparisons.genuine().len() as u64),
        thousands(comparisons.impostors()),
        if evaluation.all { "every picture with every other" } else { "the listed pairs" },
    );
    body.push_str(&table(&answer::verification(evaluation), true));
    figure(
        body,
        plots::det(evaluation)?,
        "Detection error trade-off: missed genuine comparisons (FNMR) against false matches (FMR); down and left is better. Marks are the rates of the table with their intervals.",
    );
    figure(
        body,
        plots::scores(evaluation)?,
        "How the dissimilarities lie, each kind as parts of its own total, on a logarithmic scale. Lines mark the thresholds at the stated FMR.",
    );
    Ok(())
}

fn identification(body: &mut String, evaluation: &Evaluation) -> Result<()> {
    let _ = write!(
        body,
        "<h2>1:N, who is it, if anybody?</h2><p>Open set: galleries with one picture each of N people, {} of each size. A search \
         fails (FNIR) when the person is not the nearest, or not within the threshold; it errs (FPIR) when a stranger comes within \
         it.</p>",
        count(evaluation.draws.into(), "drawn", "drawn"),
    );
    body.push_str(&table(&answer::identification(evaluation), true));
    figure(body, plots::identification(evaluation)?, "FNIR against FPIR by gallery size, with intervals.");
    Ok(())
}

fn figure(body: &mut String, svg: Option<String>, caption: &str) {
    if let Some(svg) = svg {
        let _ = write!(body, "<figure class=\"plot\">{svg}<figcaption>{caption}</figcaption></figure>");
    }
}

/// Rows as a table; a short row's last cell fills the rest.
pub(crate) fn table(rows: &[Vec<String>], heading: bool) -> String {
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = String::from("<div class=\"wide\"><table>");
    for (i, row) in rows.iter().enumerate() {
        let tag = if heading && i == 0 { "th" } else { "td" };
        out.push_str("<tr>");
        for (j, cell) in row.iter().enumerate() {
            let rest = width - j;
            let span = if j + 1 == row.len() && rest > 1 { format!(" colspan=\"{rest}\"") } else { String::new() };
            let _ = write!(out, "<{tag}{span}>{}</{tag}>", escaped(cell));
        }
        out.push_str("</tr>");
    }
    out + "</table></div>"
}

/// Text as HTML.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The look of every report.
pub(crate) const STYLE: &str = "
:root { --page:#f7f7f5; --card:#fff; --ink:#1d2329; --soft:#66707a; --grid:#e4e6e8; --genuine:#1f7a5a; --impostor:#b4472e;
  --s0:#1f5f9e; --s1:#b0772a; --s2:#7a4f9e; --warn:#fdf3e0; --line:#e0b25c; }
@media (prefers-color-scheme: dark) { :root { --page:#15181b; --card:#1d2125; --ink:#e4e7ea; --soft:#98a2ac; --grid:#31373d;
  --genuine:#5fc79f; --impostor:#ee8a6f; --s0:#74b0ea; --s1:#dfb06a; --s2:#bd98dd; --warn:#2d2718; --line:#8a6d30; } }
body { font:15px/1.55 system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif; color:var(--ink); background:var(--page);
  margin:0 auto; max-width:1080px; padding:28px 24px 64px; }
h1 { font-size:27px; margin:0; letter-spacing:-.01em; } h2 { font-size:19px; margin:44px 0 6px; } h3 { font-size:15px; margin:24px 0 8px; }
p { margin:4px 0 14px; max-width:82ch; } .soft,figcaption,small { color:var(--soft); }
.warn { background:var(--warn); border-left:3px solid var(--line); padding:8px 14px; margin:14px 0 22px; max-width:none; }
.tile { display:inline-block; vertical-align:top; background:var(--card); padding:14px 20px 12px; margin:0 12px 12px 0; border-radius:6px; min-width:150px; }
.tile b { display:block; font-size:26px; font-weight:600; letter-spacing:-.01em; } .tile span,.tile small { display:block; }
.wide { overflow-x:auto; } table { border-collapse:collapse; background:var(--card); border-radius:6px; font-variant-numeric:tabular-nums; }
td,th { padding:5px 16px; text-align:left; border-bottom:1px solid var(--grid); white-space:nowrap; } tr:last-child td { border-bottom:0; }
th { font-weight:600; color:var(--soft); } td[colspan] { white-space:normal; }
figure { margin:0; } .plot { background:var(--card); border-radius:6px; padding:12px 12px 10px; margin:18px 0; } .plot svg { width:100%; height:auto; display:block; }
figcaption { font-size:13px; padding:4px 8px 0; }
.pairs { display:grid; grid-template-columns:repeat(auto-fill,minmax(246px,1fr)); gap:12px; }
.pair { background:var(--card); border-radius:6px; padding:10px; font-size:12px; line-height:1.4; }
.pair div { display:flex; gap:6px; } .pair div span { width:50%; overflow-wrap:anywhere; color:var(--soft); }
.pair img { width:50%; min-width:0; aspect-ratio:1; border-radius:3px; display:block; } .pair b { display:block; margin-top:6px; font-size:13px; font-weight:600; }
.missed { display:flex; flex-wrap:wrap; gap:12px; } .missed figure { width:132px; font-size:12px; } .missed img { width:132px; height:132px; object-fit:cover; border-radius:3px; }
.missed figcaption { font-size:12px; padding:3px 0 0; overflow-wrap:anywhere; line-height:1.35; } ul { margin:4px 0; padding-left:20px; }
";
