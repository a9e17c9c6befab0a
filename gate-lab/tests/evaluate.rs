//! `gate-lab evaluate` over the real binary: what it measures, what it says it cannot, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, mode};
use image::RgbImage;
use serde_json::Value;

const RATES: [&str; 5] = ["1e-2", "1e-3", "1e-4", "1e-5", "1e-6"];
const VIEW_1: &str =
    "2\nBarack_Obama\t1\t2\nJoe_Biden-2\t1\t2\nBarack_Obama\t1\tJoe_Biden-2\t1\nJoe_Biden-2\t2\tEileen_Collins\t1\n";

fn keys(json: &Value) -> Vec<&str> {
    json.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn few_people_support_no_rate_and_it_says_so() {
    let bench = Bench::new();
    bench.three_people();
    let json = bench.run(["evaluate", "--people", "lfw", "--json"]).code(0).json();
    assert_eq!((&json["images"], &json["people"], &json["faces_missed"]), (&7.into(), &3.into(), &0.into()));
    assert!(json["accuracy"].is_null(), "no pairs, no accuracy");
    assert_eq!(keys(&json["fnmr_at_fmr"]).len(), 5);
    assert!(RATES.iter().all(|rate| json["fnmr_at_fmr"][rate].is_null()), "{json}");
    assert!(["1e-1", "1e-2", "1e-3"].iter().all(|rate| json["fnir_at_fpir"].get(rate).is_some_and(Value::is_null)));
    let why = json["unsupported"].as_array().unwrap();
    assert_eq!(why.len(), 5 + 2, "five rates, two galleries");
    assert!(why[0]["why"].as_str().unwrap().contains("3,000"), "{}", why[0]);
    let text = bench.run(["evaluate", "--people", "lfw"]).code(0).out;
    assert!(text.contains("cannot be stated") && text.contains("it takes 3,000"), "{text}");
    assert!(!text.contains("0.00 %"), "no zero stands for what is not known: {text}");
}

#[test]
fn what_enough_comparisons_support_is_stated_with_all_that_stands_behind_it() {
    let bench = Bench::new();
    bench.many(17);
    let args = ["evaluate", "--people", "many", "--gallery", "6,16,500", "--draws", "2", "--report", "out/report.html"];
    let first = bench.run(args.iter().chain(&["--json"])).code(0);
    let json = first.json();
    let point = &json["fnmr_at_fmr"]["1e-2"];
    let number = |key: &str| point[key].as_f64().unwrap_or_else(|| panic!("{key} in {point}"));
    assert!(number("low") <= number("fnmr") && number("fnmr") <= number("high") && number("high") > 0.0);
    assert!(number("d2") > 0.0 && number("d2") < 4.0);
    assert_eq!((point["trials"].as_u64(), point["people"].as_u64()), (Some(17 * 10), Some(17)));
    assert!(json["fnmr_at_fmr"]["1e-6"].is_null());
    assert_eq!(keys(&json["fnir_by_gallery"]), ["16", "500", "6"]);
    assert!(json["fnir_by_gallery"]["500"].is_null(), "more than there are people");
    assert_eq!(json["largest_gallery"], 16);

    let report = std::fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert_eq!(mode(&bench.path("out/report.html")), 0o600);
    assert!(report.contains("This page contains faces") && report.matches("<svg").count() >= 2);
    assert!(report.matches("data:image/jpeg;base64,").count() >= 8, "faces of the hardest errors");
    assert!(!report.contains("src=\"http"), "it needs nothing else");
    for plot in report.split("<svg").skip(1).filter_map(|rest| rest.split("</svg>").next()) {
        assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
    }

    let text = bench.run(args).code(0).out;
    let row = text.lines().find(|line| line.starts_with("1e-2")).unwrap();
    assert!(row.contains("of 170 of 17 people"), "{row}");
}

#[test]
fn the_cache_gives_the_same_answer_and_is_private() {
    let bench = Bench::new();
    bench.three_people();
    let args = ["evaluate", "--people", "lfw", "--pairs", "pairs.txt", "--images", "lfw", "--json", "--out", "kept"];
    bench.write("pairs.txt", VIEW_1);
    let first = bench.run(args).code(0);
    let cache = bench.path("kept/faces-sface.cache");
    assert_eq!(mode(&cache), 0o600);
    let kept = std::fs::read(&cache).unwrap();
    assert_eq!(bench.run(args).code(0).out, first.out);
    assert_eq!(std::fs::read(&cache).unwrap(), kept, "nothing was looked at anew");

    let mut damaged = kept.clone();
    damaged[1000] ^= 1;
    std::fs::write(&cache, &damaged).unwrap();
    let again = bench.run(args).code(0);
    assert!(again.err.contains("damaged"), "{}", again.err);
    assert_eq!(again.out, first.out);
    assert_eq!(std::fs::read(&cache).unwrap(), kept);

    // Another picture under the same name is looked at; nothing else is.
    bench.save("lfw/Joe_Biden-2/Joe_Biden-2_0002.jpg", &common::face("astronaut.png"));
    let changed = bench.run(args).code(0).json();
    assert!(changed["accuracy"].as_f64().unwrap() < first.json()["accuracy"].as_f64().unwrap(), "{changed}");
    let bare = bench.run(args.iter().chain(&["--no-cache"])).code(0).json();
    assert_eq!(bare, changed);
}

#[test]
fn pairs_files_of_both_views_give_accuracy() {
    let bench = Bench::new();
    bench.three_people();
    bench.write("view1.txt", VIEW_1);
    let one = bench.run(["evaluate", "--pairs", "view1.txt", "--images", "lfw", "--json"]).code(0).json();
    assert_eq!((&one["accuracy"], &one["images"], &one["people"]), (&1.0.into(), &5.into(), &3.into()));
    assert_eq!(one["impostor_comparisons"], 2);
    assert!(one["listed_pairs"]["folds"].is_null());

    bench.write(
        "view2.txt",
        "2 1\nBarack_Obama 1 2\nBarack_Obama 1 Joe_Biden-2 1\nJoe_Biden-2 1 2\nJoe_Biden-2 2 Eileen_Collins 1\n",
    );
    let two =
        bench.run(["evaluate", "--pairs", "view2.txt", "--images", "lfw", "--all-pairs", "--json"]).code(0).json();
    assert_eq!((&two["accuracy"], &two["listed_pairs"]["folds"]["standard_error"]), (&1.0.into(), &0.0.into()));
    assert_eq!(two["impostor_comparisons"], 10 - 2, "all pairs of the five pictures");
}

#[test]
fn what_is_missing_is_counted_and_skipped() {
    let bench = Bench::new();
    bench.three_people();
    bench.save("lfw/Blank/Blank_0001.jpg", &RgbImage::from_pixel(200, 200, image::Rgb([90, 120, 140])));
    bench.write("lfw/Blank/Blank_0002.jpg", []);
    bench.write("lfw/Blank/Blank_0003.jpg", b"not a picture");
    bench.write("lfw/README.txt", b"hello");
    std::fs::create_dir(bench.path("lfw/Nobody")).unwrap();
    bench.write(
        "pairs.txt",
        "2\nBarack_Obama 1 2\nBarack_Obama 1 9\nBlank 1 Joe_Biden-2 1\nBarack_Obama 3 Eileen_Collins 2\n",
    );
    let args = ["evaluate", "--pairs", "pairs.txt", "--images", "lfw", "--people", "lfw", "--json"];
    let answer = bench.run(args).code(0);
    let json = answer.json();
    assert_eq!((&json["images"], &json["people"], &json["faces_missed"]), (&10.into(), &4.into(), &3.into()));
    assert_eq!(json["not_there"], serde_json::json!(["Barack_Obama_0009"]));
    assert_eq!((json["no_face"].as_array().unwrap().len(), json["not_readable"].as_array().unwrap().len()), (1, 2));
    assert_eq!(json["left_out"].as_array().unwrap().len(), 2, "an empty folder, a file beside the folders");
    let listed = &json["listed_pairs"];
    assert_eq!((&listed["compared"], &json["accuracy"]), (&2.into(), &1.0.into()));
    assert_eq!((&listed["skipped_without_picture"], &listed["skipped_without_face"]), (&1.into(), &1.into()));
    assert!(answer.err.contains("Barack_Obama_0009") && answer.err.contains("Blank_0002.jpg"), "{}", answer.err);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let bench = Bench::new();
    bench.three_people();
    bench.write("junk.txt", "name,imagenum1\nBarack_Obama,1\n");
    let pairs = |file: &str| bench.run(["evaluate", "--pairs", file, "--images", "lfw"]);
    pairs("junk.txt").refused("line 1: expected a header");
    pairs("none.txt").refused("none.txt");
    bench.write("short.txt", "2\nBarack_Obama 1 2\n");
    pairs("short.txt").refused("promises 4 pairs");
    bench.write("binary.txt", [0xff, 0xfe, 0x00]);
    pairs("binary.txt").refused("not a text file");
    bench.write("others.txt", "1\nZoe 1 2\nZoe 1 Ann 1\n");
    pairs("others.txt").refused("no picture is there");

    let people = |folder: &str| bench.run(["evaluate", "--people", folder]);
    people("nowhere").refused("nowhere");
    std::fs::create_dir(bench.path("empty")).unwrap();
    people("empty").refused("no picture is there");
    std::fs::create_dir_all(bench.path("hollow/somebody")).unwrap();
    people("hollow").refused("no picture is there");
    bench.save("alone/obama/1.jpg", &common::face("obama.jpg"));
    people("alone").refused("only one person");
    bench.write("alone/other/1.jpg", []);
    people("alone").refused("faces of two people");
    bench.run(["evaluate"]).refused("--people DIR");
    bench.run(["evaluate", "--pairs", "junk.txt"]).refused("--images");
    bench.run(["evaluate", "--people", "lfw", "--encoder", "none"]).refused("none");
    let json = bench.run(["evaluate", "--people", "empty", "--json"]).code(2).json();
    assert!(json["error"].as_str().unwrap().contains("no picture"));
}
