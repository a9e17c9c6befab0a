//! The report of `pad`: one HTML page that needs nothing else. It shows faces.

use super::rates::{Class, Rates};
use super::{Judged, decision};
use crate::report::{STYLE, escaped, table};
use crate::words::{count, interval, percent};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gate_core::liveness::PadThresholds;
use std::fmt::Write;

/// The evidence shown, log-likelihood ratios.
const LLR_SHOWN: f32 = 10.0;
const WIDTH: f32 = 1000.0;
const ROW: f32 = 44.0;
const LEFT: f32 = 140.0;

/// The page.
pub fn page(judged: &[Judged], rates: &Rates, thresholds: &PadThresholds, fps: f64) -> String {
    let mut body = String::new();
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC");
    let _ = write!(
        body,
        "<h1>Is it a live face?</h1><p class=\"soft\">{} at {fps} frames a second, decided as the gate decides. Made {now} by gate-lab \
         pad.</p><p class=\"warn\"><b>This page contains faces and scores.</b> It is readable by its owner only; treat a copy as you \
         treat the clips. The rates hold for these clips: other people, cameras, lights and attacks give others.</p>",
        count(judged.len() as u64, "clip", "clips")
    );
    let _ = write!(body, "<h2>Errors</h2>{}", table(&rows(rates), true));
    if !rates.apcer_at_bpcer.is_empty() {
        let _ = write!(body, "<h2>APCER at fixed BPCER</h2>{}", table(&fixed(rates), true));
    }
    let _ = write!(
        body,
        "<h2>Evidence</h2><figure class=\"plot\">{}<figcaption>Each mark is a clip: its log-likelihood ratio at the deadline, cut to \
         &plusmn;{LLR_SHOWN}. Right of the line at {:.1} it is taken for live. The dashed lines are the early bounds.</figcaption></figure>",
        strip(judged, rates, thresholds),
        thresholds.decide
    );
    pictures(&mut body, judged, "Decided wrongly", Judged::is_wrong);
    pictures(&mut body, judged, "Without a verdict", |j| j.decided.verdict.is_none());
    pictures(&mut body, judged, "Decided rightly", |j| !j.is_wrong() && j.decided.verdict.is_some());
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Presentation attack detection</title>\n<style>{STYLE}{MORE}</style>\
         </head><body>\n{body}</body></html>\n"
    )
}

const MORE: &str = "
.clips { display:flex; flex-wrap:wrap; gap:12px; } .clips figure { width:200px; font-size:12px; background:var(--card); border-radius:6px; padding:8px; }
.clips img { width:100%; border-radius:3px; display:block; } .clips figcaption { padding:4px 0 0; overflow-wrap:anywhere; line-height:1.35; }
";

fn rows(rates: &Rates) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["", "rate", "95 % interval", "errors of clips", "without verdict", "median time"].map(String::from).to_vec(),
    ];
    let mut add = |what: &str, class: &Class| {
        let rate = &class.rate;
        rows.push(vec![
            format!("{what} {}", class.name),
            class.stated().map_or("-".into(), percent),
            interval(rate.low, rate.high),
            format!("{} of {}", rate.errors, rate.trials),
            class.without_verdict.to_string(),
            class.median_ms.map_or("-".into(), |ms| format!("{ms} ms")),
        ]);
    };
    rates.species.iter().for_each(|species| add("APCER", species));
    add("BPCER", &rates.bona_fide);
    rows
}

fn fixed(rates: &Rates) -> Vec<Vec<String>> {
    let mut rows = vec![["at BPCER", "species", "APCER"].map(String::from).to_vec()];
    for (bpcer, by) in &rates.apcer_at_bpcer {
        rows.extend(by.iter().map(|(name, apcer)| vec![percent(*bpcer), name.clone(), percent(*apcer)]));
    }
    rows
}

/// A row for each species, a mark for each clip.
fn strip(judged: &[Judged], rates: &Rates, thresholds: &PadThresholds) -> String {
    let mut names: Vec<&str> = rates.species.iter().map(|s| s.name.as_str()).collect();
    names.push(&rates.bona_fide.name);
    let height = ROW * names.len() as f32 + 30.0;
    let x = |llr: f32| LEFT + (llr.clamp(-LLR_SHOWN, LLR_SHOWN) / LLR_SHOWN + 1.0) * 0.5 * (WIDTH - LEFT - 20.0);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"evidence by species\">");
    for (at, dash) in [(thresholds.decide, ""), (thresholds.accept, "4 4"), (thresholds.reject, "4 4")] {
        let at = x(at);
        let _ = write!(
            svg,
            "<line x1=\"{at}\" x2=\"{at}\" y1=\"4\" y2=\"{}\" stroke=\"var(--soft)\" stroke-dasharray=\"{dash}\"/>",
            height - 24.0
        );
    }
    for (row, name) in names.iter().enumerate() {
        let y = ROW * (row as f32 + 0.5) + 6.0;
        let _ = write!(
            svg,
            "<text x=\"8\" y=\"{}\" font-size=\"14\" fill=\"var(--ink)\">{}</text>",
            y + 5.0,
            escaped(name)
        );
        for (n, j) in judged.iter().filter(|j| j.clip.species == *name).enumerate() {
            let Some(llr) = j.decided.llr else { continue };
            let colour = if j.clip.is_bona_fide() { "var(--genuine)" } else { "var(--impostor)" };
            let _ = write!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\" fill-opacity=\"0.55\"><title>{}: {llr:.1}</title></circle>",
                x(llr),
                y + (n % 5) as f32 * 5.0 - 10.0,
                escaped(&j.clip.path.display().to_string())
            );
        }
    }
    for llr in [-10.0, -5.0, 0.0, 5.0, 10.0] {
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"middle\" fill=\"var(--soft)\">{llr}</text>",
            x(llr),
            height - 6.0
        );
    }
    svg + "</svg>"
}

fn pictures(body: &mut String, judged: &[Judged], title: &str, keep: impl Fn(&Judged) -> bool) {
    /// More nobody looks through.
    const SHOWN: usize = 60;
    let kept: Vec<&Judged> = judged.iter().filter(|j| keep(j)).collect();
    if kept.is_empty() {
        return;
    }
    let _ = write!(body, "<h2>{title}: {}</h2><div class=\"clips\">", count(kept.len() as u64, "clip", "clips"));
    for j in kept.iter().take(SHOWN) {
        let shown = j.watched.shown.as_ref().and_then(|picture| {
            let mut jpeg = Vec::new();
            image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 85).encode_image(picture).ok()?;
            Some(format!("<img alt=\"\" src=\"data:image/jpeg;base64,{}\">", STANDARD.encode(jpeg)))
        });
        let name = j.clip.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let after = j.decided.at_ms.map_or(String::new(), |ms| format!(" after {ms} ms"));
        let _ = write!(
            body,
            "<figure>{}<figcaption>{}<br>{}: {}{after}</figcaption></figure>",
            shown.unwrap_or_default(),
            escaped(&name),
            escaped(&j.clip.species),
            decision(&j.decided)
        );
    }
    body.push_str("</div>");
}
