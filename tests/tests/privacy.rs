//! What the log may hold: that somebody was refused and why, and the id of who was let in. No score, no picture, no name.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_stage::Species;
use gate_tests::programs::sample;
use gate_tests::{Look, Portrait, Scene, Site};
use serde_json::Value;
use std::fs;
use toml::toml;

/// Somebody's name, as staff have entered it; it stands in no file of the project.
const NAME: &str = "Zebulon Q Harrowgate";

/// Every number with a fraction in a text, but for those of versions, times and paths.
fn fractions(line: &str) -> Vec<f64> {
    let words = line.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'));
    words.filter(|word| word.matches('.').count() == 1).filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn a_log_at_its_most_talkative_holds_no_score_no_picture_and_no_name() {
    let site = Site::empty().with(toml! {
        [log]
        level = "trace"
    });
    site.tool(&["add", "--id", "p-0017", "--name", NAME, sample("obama.jpg").to_str().unwrap()]).done();
    let (ours, stranger) = (Look::new(Portrait::Obama3, 130.0), Look::new(Portrait::Biden, 130.0));
    let scene = Scene::new().stay(1_000, &[ours]).nobody(700).stay(1_200, &[stranger]).nobody(700);
    scene.stay(1_200, &[ours.on(Species::Paper)]).write(&site.path("frames"));
    let trace = site.path("trace.jsonl");
    let played = site.replay(&["--trace", trace.to_str().unwrap()]);
    played.ended_locked();
    assert_eq!(played.log.granted(), ["p-0017"], "{:#?}", played.log);
    assert!(played.log.refused().contains(&"Unknown"), "{:#?}", played.log);
    let log = &played.answer.stderr;
    assert!(
        log.contains("granted") && log.contains("refused") && log.contains("Unknown"),
        "it tells what happened: {log}"
    );

    for part in NAME.split(' ').filter(|part| part.len() > 1) {
        assert!(!log.contains(part), "a name is in the log: {log}");
    }
    // A picture or a template in text would be a long run of one of its alphabets.
    let is_code = |c: char| c.is_ascii_alphanumeric() || "+/=_-".contains(c);
    for line in log.lines() {
        let longest = line.split(|c| !is_code(c)).filter(|word| !word.contains('/')).map(str::len).max().unwrap_or(0);
        assert!(longest < 64, "what is this? {line}");
    }
    // Every score that was measured, as the trace has it: none of them is in the log, in any rounding.
    let frames = fs::read_to_string(&trace).unwrap();
    let mut scores = Vec::new();
    for face in frames.lines().flat_map(|line| {
        let frame: Value = serde_json::from_str(line).unwrap();
        frame["faces"].as_array().unwrap().clone()
    }) {
        let keys = ["d2", "runner_up_d2", "live_score", "outline"];
        scores.extend(keys.iter().filter_map(|key| face[*key].as_f64()));
    }
    assert!(scores.len() > 20, "{frames}");
    // What is told at the start, before anybody came, can be no score: thresholds and rates stand there.
    let ready = log.lines().position(|line| line.contains("ready")).unwrap();
    for line in log.lines().skip(ready + 1) {
        for found in fractions(line.split_once("Z ").map_or(line, |(_, said)| said)) {
            let near = scores.iter().find(|score| (**score - found).abs() < 0.006);
            assert!(near.is_none(), "{found} is a score, or looks like {near:?}: {line}");
        }
    }
}
