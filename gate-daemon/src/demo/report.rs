//! The demo's report: one HTML page that needs nothing else, and a contact sheet as PNG.

use super::draw::{Tile, annotated, contact_sheet};
use super::scene::{Expected, starts};
use super::{ENROLLED, Happened, Outcome, frame_ms, in_words};
use crate::trace::FrameTrace;
use anyhow::{Context, Result};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use image::imageops::FilterType;
use serde::Deserialize;
use std::fmt::Write;
use std::path::Path;

/// Width of the timeline's picture.
const TIMELINE_PX: f64 = 1120.0;

/// A change of the simulated relay.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct RelayChange {
    mono_ms: u64,
    on: bool,
}

/// Reads the simulated relay's own record.
///
/// # Errors
/// When it is missing or not one.
pub fn relay_trace(path: &Path) -> Result<Vec<RelayChange>> {
    let text = std::fs::read_to_string(path).context("the relay left no trace")?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Writes `report.html` and `contact-sheet.png` into `out`.
///
/// # Errors
/// When a frame cannot be read or a file cannot be written.
pub fn write(
    out: &Path,
    scene: &Path,
    samples: &Path,
    outcomes: &[Outcome],
    happened: &[Happened],
    trace: &[FrameTrace],
    relay: &[RelayChange],
) -> Result<()> {
    let right = outcomes.iter().filter(|o| o.right).count();
    let verdict = format!("{right} of {} outcomes as expected", outcomes.len());
    let (mut cards, mut tiles) = (String::new(), Vec::new());
    for outcome in outcomes {
        let mut pictures = String::new();
        for (number, decisive) in shown(outcome) {
            let picture = image::open(scene.join(format!("{number:06}.jpg")))?.into_rgb8();
            // The replay's frames are traced in order, one each.
            let frame = trace.get(number as usize).context("the daemon did not look at every frame")?;
            let drawn = annotated(picture, frame);
            write!(pictures, "<img src=\"{}\" alt=\"frame {number}\">", data_url(&drawn, 480)?)?;
            if decisive {
                let (title, outcome_words) = (outcome.act.title.to_string(), outcome.summary.clone());
                tiles.push(Tile { picture: drawn, title, outcome: outcome_words, right: outcome.right });
            }
        }
        card(&mut cards, outcome, &pictures)?;
    }
    contact_sheet(&format!("face gate: {verdict}"), &tiles).save(out.join("contact-sheet.png"))?;
    let tau = trace.first().map_or(0.0, |f| f.tau);
    let page = page(
        &verdict,
        right == outcomes.len(),
        tau,
        trace.len(),
        &people(samples)?,
        &timeline(outcomes, happened, relay)?,
        &cards,
        &log(happened)?,
    );
    Ok(std::fs::write(out.join("report.html"), page)?)
}

/// The frames of an act that tell its story, and which of them shows the decision: on the way, at the first decision,
/// and at the end. An empty gate tells its story without pictures.
fn shown(outcome: &Outcome) -> Vec<(u32, bool)> {
    let (first, end) = outcome.frames;
    if outcome.act.is_empty() {
        return Vec::new();
    }
    let decided = outcome.events.iter().find(|e| matches!(e.event.as_str(), "granted" | "refused"));
    let at = decided.and_then(|e| (first..end).find(|f| frame_ms(*f) >= e.mono_ms)).unwrap_or((first + end) / 2);
    vec![((first + at) / 2, false), (at, true), (end - 2, false)]
}

fn card(cards: &mut String, outcome: &Outcome, pictures: &str) -> Result<()> {
    let expected = match outcome.act.expected {
        Expected::Locked => "stays locked".to_string(),
        Expected::Opens(id) => format!("opens for {id}"),
        Expected::Refused(reason) => format!("stays shut: {}", reason.name()),
    };
    let (class, mark) = if outcome.right { ("right", "as expected") } else { ("wrong", "NOT AS EXPECTED") };
    let from = frame_ms(outcome.frames.0) as f32 / 1e3;
    writeln!(
        cards,
        "<section class=\"{class}\"><h3><span>{from:.1} s</span>{}</h3><p>{} <em>expected: {expected}</em> <b>{mark}</b></p><div class=\"strip\">{pictures}</div></section>",
        outcome.act.title, outcome.summary
    )?;
    Ok(())
}

/// The enrolment pictures.
fn people(samples: &Path) -> Result<String> {
    let mut out = String::new();
    for (id, name, file) in ENROLLED {
        let photo = gate_vision::photo::Photo::read(&samples.join(file))?;
        let view = photo.view().context("an empty sample")?;
        let picture =
            RgbImage::from_raw(view.width_px(), view.height_px(), view.data().to_vec()).context("an odd sample")?;
        write!(
            out,
            "<figure><img src=\"{}\" alt=\"{name}\"><figcaption>{name}<br><code>{id}</code></figcaption></figure>",
            data_url(&picture, 150)?
        )?;
    }
    Ok(out)
}

/// Acts, events and the relay over time, as an SVG picture.
fn timeline(outcomes: &[Outcome], happened: &[Happened], relay: &[RelayChange]) -> Result<String> {
    let end_ms = frame_ms(starts().last().copied().unwrap_or(1)).max(1);
    let x = |ms: u64| ms as f64 / end_ms as f64 * TIMELINE_PX;
    let mut svg = format!("<svg viewBox=\"0 0 {TIMELINE_PX} 170\" role=\"img\" aria-label=\"timeline\">");
    for (i, outcome) in outcomes.iter().enumerate() {
        let (from, to) = (x(frame_ms(outcome.frames.0)), x(frame_ms(outcome.frames.1)));
        let fill = match outcome.act.expected {
            Expected::Locked => "#eef0f3",
            Expected::Opens(_) => "#d8f0e2",
            Expected::Refused(_) => "#fae0de",
        };
        write!(
            svg,
            "<rect x=\"{from:.1}\" y=\"20\" width=\"{:.1}\" height=\"120\" fill=\"{fill}\"><title>{}</title></rect>",
            to - from,
            outcome.act.title
        )?;
        write!(svg, "<text x=\"{:.1}\" y=\"14\" class=\"n\">{}</text>", (from + to) / 2.0, i + 1)?;
    }
    let mut path = String::from("M0,130");
    for change in relay.iter().filter(|c| c.mono_ms <= end_ms) {
        write!(path, " H{:.1} V{}", x(change.mono_ms), if change.on { 80 } else { 130 })?;
    }
    write!(svg, "<path d=\"{path} H{TIMELINE_PX}\" class=\"relay\"/><text x=\"4\" y=\"124\" class=\"l\">relay</text>")?;
    for (i, event) in happened.iter().enumerate() {
        // Two people refused at once are one mark.
        if happened[..i].iter().any(|e| e.mono_ms == event.mono_ms && e.event == event.event) {
            continue;
        }
        let (class, row) = match event.event.as_str() {
            "granted" => ("granted", 40),
            "refused" => ("refused", 58),
            _ => continue,
        };
        let words = in_words(event).unwrap_or_default();
        let at = x(event.mono_ms);
        // Words near the right edge are written to the left of their mark.
        let (anchor, tx) = if at > TIMELINE_PX - 150.0 { ("end", at - 8.0) } else { ("start", at + 8.0) };
        write!(
            svg,
            "<circle cx=\"{at:.1}\" cy=\"{row}\" r=\"5\" class=\"{class}\"/><text x=\"{tx:.1}\" y=\"{}\" text-anchor=\"{anchor}\" class=\"l\">{words}</text>",
            row + 4
        )?;
    }
    for second in (0..=end_ms / 1000).step_by(2) {
        write!(svg, "<text x=\"{:.1}\" y=\"160\" class=\"n\">{second} s</text>", x(second * 1000))?;
    }
    Ok(svg + "</svg>")
}

fn log(happened: &[Happened]) -> Result<String> {
    let mut rows = String::new();
    for event in happened {
        let words = in_words(event).unwrap_or_else(|| event.event.clone());
        let track = event.track.map_or(String::new(), |t| t.to_string());
        writeln!(rows, "<tr><td>{:.2} s</td><td>{words}</td><td>{track}</td></tr>", event.mono_ms as f32 / 1e3)?;
    }
    Ok(rows)
}

/// The picture as a JPEG inside a URL, at most `width` wide.
fn data_url(picture: &RgbImage, width: u32) -> Result<String> {
    let width = width.min(picture.width());
    let height = (picture.height() * width / picture.width()).max(1);
    let small = image::imageops::resize(picture, width, height, FilterType::Triangle);
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 82).encode_image(&small)?;
    Ok(format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg)))
}

#[allow(clippy::too_many_arguments)] // one page, each part once
fn page(
    verdict: &str,
    right: bool,
    tau: f32,
    frames: usize,
    people: &str,
    timeline: &str,
    cards: &str,
    log: &str,
) -> String {
    let class = if right { "right" } else { "wrong" };
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Face gate: {verdict}</title>
<style>
:root {{ --green:#1ea45c; --red:#d63a32; --ink:#1b222c; --soft:#5b6673; }}
body {{ font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:#f6f7f9; margin:0 auto; max-width:1160px; padding:24px; }}
h1 {{ font-size:26px; margin:0 0 4px; }} h2 {{ font-size:18px; margin:32px 0 8px; }}
h1 b.right {{ color:var(--green); }} h1 b.wrong {{ color:var(--red); }}
p {{ margin:4px 0 10px; max-width:80ch; }} em {{ color:var(--soft); font-style:normal; margin:0 8px; }}
section {{ background:#fff; border-left:6px solid var(--green); padding:12px 16px; margin:14px 0; box-shadow:0 1px 3px #0001; }}
section.wrong {{ border-color:var(--red); }} section.wrong b {{ color:var(--red); }} section b {{ color:var(--green); }}
h3 {{ margin:0; font-size:16px; }} h3 span {{ color:var(--soft); font-weight:400; display:inline-block; min-width:64px; }}
.strip {{ display:grid; grid-template-columns:repeat(3,1fr); gap:8px; }} .strip img {{ width:100%; display:block; }}
figure {{ display:inline-block; margin:0 16px 0 0; text-align:center; }} figure img {{ height:170px; }}
svg {{ width:100%; background:#fff; box-shadow:0 1px 3px #0001; }} .n {{ font-size:11px; text-anchor:middle; fill:var(--soft); }} .l {{ font-size:12px; fill:var(--ink); }}
.relay {{ fill:none; stroke:var(--ink); stroke-width:2.5; }} .granted {{ fill:var(--green); }} .refused {{ fill:var(--red); }}
table {{ border-collapse:collapse; background:#fff; }} td,th {{ padding:3px 14px; border-bottom:1px solid #e6e8ec; text-align:left; }}
</style></head><body>
<h1>Face gate: <b class="{class}">{verdict}</b></h1>
<p>{frames} frames were played to the real daemon with a simulated relay. Green boxes match an enrolled person: dissimilarity d2 at or
below the threshold tau = {tau:.3}, which follows from the stated risk and the number of people enrolled. Amber: not good enough to compare. Red: refused.</p>
<h2>Enrolled, from one picture each</h2>{people}
<h2>Timeline</h2>{timeline}
<h2>Act by act</h2>{cards}
<h2>Event log</h2><table><tr><th>time</th><th>event</th><th>track</th></tr>{log}</table>
<p><br>The scene is rendered: live people are cut out of photographs and stand in for themselves, and the photographs held up on paper
and on a phone are drawn. It shows that all parts work together. How often real attacks are found it does not show.</p>
</body></html>
"#
    )
}
