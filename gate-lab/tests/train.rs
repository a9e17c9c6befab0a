//! `gate-lab train-*` over the real binary: what is learned becomes a card that the same program then compares by.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, models};
use gate_vision::Comparer;
use gate_vision::card::{Card, Job};
use std::fs;
use std::os::unix::fs::symlink;

/// A bench with many people and a models folder of its own.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.many(24);
    fs::create_dir(bench.path("models")).unwrap();
    for card in ["sface.toml", "yunet.toml"] {
        fs::copy(models().join(card), bench.path("models").join(card)).unwrap();
    }
    symlink(models().join("cache"), bench.path("models/cache")).unwrap();
    bench
}

#[test]
fn a_learned_head_and_adapter_are_cards_that_the_program_compares_by() {
    let bench = bench();
    let own = bench.path("models");
    let encoder = Card::load(&own, "sface", Job::Encode).unwrap();
    for (command, name) in [("train-head", "logistic"), ("train-adapter", "adapter")] {
        let mut args = vec![command, "--people", "many", "--data-set", "a test", "--test-one-in", "2"];
        if command == "train-adapter" {
            args.extend(["--epochs", "1"]);
        }
        let answer = bench.run_with(&own, args).code(0);
        assert!(answer.out.contains("measured on") && answer.out.contains("written:"), "{}", answer.out);
        let comparer = Comparer::load(&own, &encoder, name).unwrap();
        assert!(comparer.measured_on().contains("a test") && comparer.measured_on().contains("not learned from"));
        let by_it = ["evaluate", "--people", "many", "--gallery", "6", "--json", "--comparison", name];
        let json = bench.run_with(&own, by_it).code(0).json();
        assert!(json["fnmr_at_fmr"]["1e-2"]["d2"].is_number(), "{json}");
    }
}

#[test]
fn too_few_people_teach_nothing_and_json_is_not_promised() {
    let bench = Bench::new();
    bench.three_people();
    for command in ["train-head", "train-adapter", "train-encoder"] {
        let answer = bench.run([command, "--people", "lfw"]).code(2);
        assert!(!answer.out.contains("written:") && answer.err.contains("people"), "{}", answer.err);
        bench.run([command, "--people", "lfw", "--json"]).code(2);
    }
}
