//! What was measured, as a text for people and as JSON for programs.

use super::{Evaluation, FMRS, FPIRS, Gallery, Listed};
use crate::words::{columns, count, interval, percent, power, thousands, trials};
use gate_stats::{IdentificationPoint, Unsupported, VerificationPoint};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// For people.
#[must_use]
pub fn text(evaluation: &Evaluation) -> String {
    let mut text = columns(&facts(evaluation));
    let comparisons = &evaluation.comparisons;
    let kind = if evaluation.all { "every picture with every other" } else { "the listed pairs" };
    let people = count(evaluation.data.people_found(), "person", "people");
    let impostors = thousands(comparisons.impostors());
    let genuine = thousands(comparisons.genuine().len() as u64);
    let _ = write!(text, "\n1:1, {kind}: {genuine} genuine and {impostors} impostor comparisons of {people}\n");
    text.push_str(&columns(&verification(evaluation)));
    let draws = count(evaluation.draws.into(), "gallery", "galleries");
    let _ = write!(text, "\n1:N, open set, one reference each, {draws} of each size\n");
    text.push_str(&columns(&identification(evaluation)));
    text
}

/// What it was measured on, and the listed pairs: names and values.
#[must_use]
pub fn facts(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let data = &evaluation.data;
    let people = count(data.listing.people.len() as u64, "person", "people");
    let unreadable = data.faces.missed.iter().filter(|missed| !missed.readable).count();
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![
        row("pictures", format!("{} of {people}", thousands(data.listing.pictures.len() as u64))),
        row("no face found", format!("on {}", data.faces.missed.len() - unreadable)),
    ];
    if data.unclear() > 0 {
        rows.push(row("unclear", format!("{} faces that the gate would not compare; here they are", data.unclear())));
    }
    if unreadable > 0 {
        rows.push(row("not readable", unreadable.to_string()));
    }
    if !data.listing.missing.is_empty() {
        rows.push(row("not there", format!("{} of the listed pictures", data.listing.missing.len())));
    }
    rows.push(row("encoder", format!("{}, compared by {}", data.encoder.name, data.comparer.name())));
    if let Some(listed) = &evaluation.listed {
        rows.extend(accuracy(listed));
    }
    rows
}

fn accuracy(listed: &Listed) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let skipped = match (listed.without_picture, listed.without_face) {
        (0, 0) => "none skipped".to_owned(),
        (picture, face) => {
            format!("{} skipped: {picture} without a picture, {face} without a face", picture + face)
        }
    };
    let skipped = match listed.in_errata {
        0 => skipped,
        errata => format!("{skipped}; {errata} left out as mislabelled"),
    };
    let mut rows = vec![row("listed pairs", format!("{} compared, {skipped}", thousands(listed.pairs.len() as u64)))];
    let Some(best) = &listed.best else { return rows };
    if let Some(folds) = &listed.folds {
        let k = folds.folds.len();
        let mean = format!("{:.2} % \u{b1} {:.2} % (standard error)", folds.mean * 100.0, folds.standard_error * 100.0);
        rows.push(row("accuracy", format!("{mean} over {k} folds, threshold from the others")));
    }
    let right = format!("{} of {}", thousands(best.right), thousands(best.pairs));
    let low_high = interval(best.low, best.high);
    let best_text =
        format!("{:.2} % ({right}; {low_high}) at d2 {:.3}, the best for these pairs", best.accuracy * 100.0, best.d2);
    rows.push(row(if listed.folds.is_some() { "" } else { "accuracy" }, best_text));
    let (tau, right) = listed.at_tau;
    rows.push(row("", format!("{:.2} % at tau = {tau:.3}, the card's for FMR 1e-3", right * 100.0)));
    rows
}

/// The table of FNMR at FMR.
#[must_use]
pub fn verification(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let listed = evaluation.listed.as_ref().filter(|_| evaluation.all);
    let mut head = ["FMR", "d2", "FNMR", "95 % interval", "non-matches", "false matches"].map(str::to_owned).to_vec();
    head.extend(listed.map(|_| "listed genuine missed".to_owned()));
    let mut rows = vec![head];
    for (fmr, point) in FMRS.iter().zip(&evaluation.verification) {
        rows.push(match point {
            Ok(VerificationPoint { threshold, false_matches, fnmr, .. }) => {
                let mut row = vec![
                    power(*fmr),
                    format!("{:.3}", threshold.d2),
                    percent(fnmr.rate),
                    interval(fnmr.low, fnmr.high),
                    trials(fnmr),
                    thousands(*false_matches),
                ];
                row.extend(listed.map(|listed| {
                    let (above, all) = listed.genuine_above(threshold.d2);
                    format!("{above} of {all}")
                }));
                row
            }
            Err(why) => vec![power(*fmr), reason(why)],
        });
    }
    rows
}

/// The table of FNIR at FPIR.
#[must_use]
pub fn identification(evaluation: &Evaluation) -> Vec<Vec<String>> {
    let head = ["N", "FPIR", "d2", "FNIR", "95 % interval", "not identified", "searches by strangers"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for gallery in &evaluation.galleries {
        let size = thousands(gallery.size.into());
        match &gallery.points {
            Ok(points) => rows.extend(FPIRS.iter().zip(points).map(|(fpir, point)| match point {
                Ok(point) => identification_row(&size, *fpir, point),
                Err(why) => vec![size.clone(), power(*fpir), reason(why)],
            })),
            Err(why) => rows.push(vec![size, String::new(), why.clone()]),
        }
    }
    rows
}

fn identification_row(size: &str, fpir: f64, point: &IdentificationPoint) -> Vec<String> {
    let strangers = count(point.impostor_people.into(), "person", "people");
    vec![
        size.to_owned(),
        power(fpir),
        format!("{:.3}", point.threshold.d2),
        percent(point.fnir.rate),
        interval(point.fnir.low, point.fnir.high),
        trials(&point.fnir),
        format!("{} of {strangers}", thousands(point.impostor_searches)),
    ]
}

/// Why a rate is not given, with what it would take.
fn reason(why: &Unsupported) -> String {
    match why {
        Unsupported::TooFewComparisons { comparisons, needed, .. } => format!(
            "cannot be stated: {} behind it, it takes {}",
            count(*comparisons, "impostor trial", "impostor trials"),
            thousands(*needed)
        ),
        Unsupported::TooFewPeople { people, needed, .. } => {
            format!("cannot be stated: {} behind it, it takes {needed}", count(u64::from(*people), "person", "people"))
        }
    }
}

/// For programs; the keys of the first level are kept stable.
#[must_use]
pub fn json(evaluation: &Evaluation) -> Value {
    let data = &evaluation.data;
    let comparisons = &evaluation.comparisons;
    let mut unsupported = Vec::new();
    let mut fnmr_at_fmr = Map::new();
    for (fmr, point) in FMRS.iter().zip(&evaluation.verification) {
        let value = match point {
            Ok(point) => verification_json(point, evaluation.listed.as_ref()),
            Err(why) => {
                unsupported.push(json!({"rate": format!("FNMR at FMR {}", power(*fmr)), "why": reason(why)}));
                Value::Null
            }
        };
        fnmr_at_fmr.insert(power(*fmr), value);
    }
    let mut by_gallery = Map::new();
    for gallery in &evaluation.galleries {
        by_gallery.insert(gallery.size.to_string(), gallery_json(gallery, &mut unsupported));
    }
    let largest = evaluation.galleries.iter().filter(|gallery| gallery.points.is_ok()).max_by_key(|g| g.size);
    let plain = |fpir: &f64| {
        let entry = by_gallery.get(&largest?.size.to_string())?.get(power(*fpir))?;
        entry.get("fnir").cloned()
    };
    let fnir_at_fpir: Map<String, Value> =
        FPIRS.iter().map(|fpir| (power(*fpir), plain(fpir).unwrap_or(Value::Null))).collect();
    let missed = |readable: bool| -> Vec<Value> {
        let which = data.faces.missed.iter().filter(|missed| missed.readable == readable);
        which.map(|missed| json!({"path": missed.path, "why": missed.why})).collect()
    };
    json!({
        "images": data.listing.pictures.len(),
        "people": data.listing.people.len(),
        "faces_missed": data.faces.missed.len(),
        "accuracy": evaluation.listed.as_ref().and_then(Listed::accuracy),
        "fnmr_at_fmr": fnmr_at_fmr,
        "fnir_at_fpir": fnir_at_fpir,
        "fnir_by_gallery": by_gallery,
        "largest_gallery": largest.map(|gallery| gallery.size),
        "draws": evaluation.draws,
        "unsupported": unsupported,
        "all_pairs": evaluation.all,
        "genuine_comparisons": comparisons.genuine().len(),
        "impostor_comparisons": comparisons.impostors(),
        "people_found": data.people_found(),
        "encoder": data.encoder.name,
        "comparison": data.comparer.name(),
        "listed_pairs": evaluation.listed.as_ref().map(listed_json),
        "faces_unclear": data.unclear(),
        "no_face": missed(true),
        "not_readable": missed(false),
        "not_there": data.listing.missing,
        "left_out": data.listing.left_out,
    })
}

fn verification_json(point: &VerificationPoint, listed: Option<&Listed>) -> Value {
    let VerificationPoint { threshold, fnmr, .. } = point;
    let listed = listed.map(|listed| listed.genuine_above(threshold.d2));
    json!({
        "fnmr": fnmr.rate, "low": fnmr.low, "high": fnmr.high, "errors": fnmr.errors, "trials": fnmr.trials,
        "people": fnmr.people, "d2": threshold.d2, "d2_low": threshold.low, "d2_high": threshold.high,
        "false_matches": point.false_matches, "impostors": point.impostors,
        "listed_genuine": listed.map(|(errors, trials)| json!({"errors": errors, "trials": trials})),
    })
}

fn gallery_json(gallery: &Gallery, unsupported: &mut Vec<Value>) -> Value {
    let rate = |fpir: &str| format!("FNIR at FPIR {fpir}, N = {}", gallery.size);
    let points = match &gallery.points {
        Ok(points) => points,
        Err(why) => {
            unsupported.push(json!({"rate": format!("FNIR, N = {}", gallery.size), "why": why}));
            return Value::Null;
        }
    };
    let mut found = Map::new();
    for (fpir, point) in FPIRS.iter().zip(points) {
        let key = power(*fpir);
        let value = match point {
            Ok(IdentificationPoint { threshold, fnir, impostor_searches, impostor_people, .. }) => json!({
                "fnir": fnir.rate, "low": fnir.low, "high": fnir.high, "errors": fnir.errors, "trials": fnir.trials,
                "people": fnir.people, "d2": threshold.d2, "d2_low": threshold.low, "d2_high": threshold.high,
                "stranger_searches": impostor_searches, "strangers": impostor_people,
            }),
            Err(why) => {
                unsupported.push(json!({"rate": rate(&key), "why": reason(why)}));
                Value::Null
            }
        };
        found.insert(key, value);
    }
    Value::Object(found)
}

fn listed_json(listed: &Listed) -> Value {
    json!({
        "compared": listed.pairs.len(),
        "skipped_without_picture": listed.without_picture,
        "skipped_without_face": listed.without_face,
        "left_out_as_mislabelled": listed.in_errata,
        "best": listed.best.map(|best| json!({
            "accuracy": best.accuracy, "low": best.low, "high": best.high, "right": best.right, "d2": best.d2,
        })),
        "at_tau": {"accuracy": listed.at_tau.1, "d2": listed.at_tau.0},
        "folds": listed.folds.as_ref().map(|folds| json!({
            "mean": folds.mean, "standard_error": folds.standard_error,
            "each": folds.folds.iter().map(|(accuracy, d2)| json!({"accuracy": accuracy, "d2": d2})).collect::<Vec<_>>(),
        })),
    })
}
