//! Rates out of outcomes, and the table.

use crate::words::{columns, interval, percent, thousands};
use gate_core::light::Verdict;
use gate_stats::clopper_pearson;
use serde::Serialize;

/// The label of those who should be let in.
pub const BONA_FIDE: &str = "bona fide";

/// One challenge, judged.
pub struct Outcome {
    /// Attack species, or [`BONA_FIDE`].
    pub species: String,
    /// The lamp's light as a part of the ambient light, where known.
    pub lamp: Option<f32>,
    /// Frames a second, where known.
    pub fps: Option<f32>,
    /// What the gate says.
    pub verdict: Verdict,
    /// From the code's begin to the last frame.
    pub duration_ms: i32,
}

/// The rates of one group of challenges.
#[derive(Debug, Serialize)]
pub struct Row {
    /// Attack species, or bona fide.
    pub species: String,
    /// Only those with this lamp; all when null.
    pub lamp: Option<f32>,
    /// Only those at this frame rate; all when null.
    pub fps: Option<f32>,
    /// Challenges.
    pub trials: usize,
    /// Of them taken for bona fide at this one try.
    pub accepted: usize,
    /// Of them unusable.
    pub unusable: usize,
    /// Of them wrong: APCER's or BPCER's numerator.
    pub errors: usize,
    /// errors / trials.
    pub rate: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Median duration, ms.
    pub duration_ms: i32,
}

/// All rows: each species as a whole, by lamp, by frame rate.
pub fn rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut species: Vec<&str> = Vec::new();
    for outcome in outcomes {
        if !species.contains(&outcome.species.as_str()) {
            species.push(&outcome.species);
        }
    }
    let values = |of: fn(&Outcome) -> Option<f32>| {
        let mut values: Vec<f32> = outcomes.iter().filter_map(of).collect();
        values.sort_unstable_by(f32::total_cmp);
        values.dedup();
        // One value says nothing that the whole does not.
        if values.len() > 1 { values } else { Vec::new() }
    };
    let (lamps, rates) = (values(|o| o.lamp), values(|o| o.fps));
    let mut rows: Vec<Row> = species.iter().filter_map(|s| row(outcomes, s, None, None)).collect();
    for lamp in lamps {
        rows.extend(species.iter().filter_map(|s| row(outcomes, s, Some(lamp), None)));
    }
    for fps in rates {
        rows.extend(species.iter().filter_map(|s| row(outcomes, s, None, Some(fps))));
    }
    rows
}

fn row(outcomes: &[Outcome], species: &str, lamp: Option<f32>, fps: Option<f32>) -> Option<Row> {
    let asked = |outcome: &&Outcome| {
        outcome.species == species && (lamp.is_none() || outcome.lamp == lamp) && (fps.is_none() || outcome.fps == fps)
    };
    let group: Vec<&Outcome> = outcomes.iter().filter(asked).collect();
    let wrong = |outcome: &&&Outcome| match outcome.verdict {
        Verdict::BonaFide => species != BONA_FIDE,
        Verdict::Attack(_) => species == BONA_FIDE,
        Verdict::Unusable(_) => false,
    };
    let errors = group.iter().filter(wrong).count();
    let accepted = group.iter().filter(|outcome| outcome.verdict == Verdict::BonaFide).count();
    let unusable = group.iter().filter(|outcome| matches!(outcome.verdict, Verdict::Unusable(_))).count();
    let mut durations: Vec<i32> = group.iter().map(|outcome| outcome.duration_ms).collect();
    durations.sort_unstable();
    let duration_ms = *durations.get(durations.len() / 2)?;
    let trials = group.len();
    let (low, high) = clopper_pearson(errors as u64, trials as u64);
    let rate = errors as f64 / trials as f64;
    Some(Row {
        species: species.to_owned(),
        lamp,
        fps,
        trials,
        accepted,
        unusable,
        errors,
        rate,
        low,
        high,
        duration_ms,
    })
}

/// The table for people.
pub fn text(rows: &[Row]) -> String {
    let head = ["species", "lamp", "fps", "trials", "error", "rate", "95 %", "accepted", "unusable", "median"]
        .map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    let mut group = None;
    for row in rows {
        if group.replace((row.lamp, row.fps)).is_some_and(|before| before != (row.lamp, row.fps)) {
            lines.push(Vec::new());
        }
        let all = |value: Option<String>| value.unwrap_or_else(|| "all".into());
        lines.push(vec![
            row.species.clone(),
            all(row.lamp.map(|lamp| format!("{:.0} %", lamp * 100.0))),
            all(row.fps.map(|fps| fps.to_string())),
            thousands(row.trials as u64),
            if row.species == BONA_FIDE { "BPCER" } else { "APCER" }.into(),
            percent(row.rate),
            interval(row.low, row.high),
            percent(row.accepted as f64 / row.trials as f64),
            percent(row.unusable as f64 / row.trials as f64),
            format!("{} ms", row.duration_ms),
        ]);
    }
    columns(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_core::light::{AttackKind, Unusable};

    #[test]
    fn errors_of_heads_and_of_attacks_are_opposite_and_unusable_is_neither() {
        let attack = Verdict::Attack(AttackKind::FlatAnswer);
        let unusable = Verdict::Unusable(Unusable::TooDark);
        let one = |species: &str, lamp, verdict| Outcome {
            species: species.into(),
            lamp: Some(lamp),
            fps: None,
            verdict,
            duration_ms: 690,
        };
        let outcomes = [
            one(BONA_FIDE, 0.3, Verdict::BonaFide),
            one(BONA_FIDE, 0.3, attack),
            one(BONA_FIDE, 1.0, unusable),
            one("print", 0.3, Verdict::BonaFide),
            one("print", 0.3, attack),
            one("print", 1.0, attack),
        ];
        let rows = rows(&outcomes);
        let got: Vec<(usize, usize, usize)> = rows.iter().map(|row| (row.trials, row.errors, row.unusable)).collect();
        assert_eq!(got, [(3, 1, 1), (3, 1, 0), (2, 1, 0), (2, 1, 0), (1, 0, 1), (1, 0, 0)]);
        let text = text(&rows);
        assert!(text.contains("BPCER") && text.contains("APCER") && text.contains("30 %"), "{text}");
    }
}
