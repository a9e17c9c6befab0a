//! `gate-lab card` over the real binary: a card's impostor table, printed and written.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, models};
use gate_vision::card::{Card, Job};
use std::fs;
use std::os::unix::fs::symlink;

#[test]
fn a_table_is_measured_and_replaces_the_old_one_only() {
    let bench = Bench::new();
    bench.many(8);
    let own = bench.path("models");
    fs::create_dir(&own).unwrap();
    symlink(models().join("cache"), own.join("cache")).unwrap();
    for card in ["sface.toml", "yunet.toml"] {
        fs::copy(models().join(card), own.join(card)).unwrap();
    }
    let before = fs::read_to_string(own.join("sface.toml")).unwrap();
    let args = ["card", "sface", "--people", "many", "--name", "a \"test\""];
    let printed = bench.run_with(&own, args).code(0).out;
    assert_eq!(fs::read_to_string(own.join("sface.toml")).unwrap(), before, "printing writes nothing");
    assert!(printed.starts_with("[encoding]\ndim = 128\n"), "{printed}");

    bench.run_with(&own, args.iter().chain(&["--write"])).code(0);
    let after = fs::read_to_string(own.join("sface.toml")).unwrap();
    let head = before.split("[encoding]").next().unwrap();
    assert!(after.starts_with(head), "the rest stays, comments too");
    assert!(after.contains(&printed), "{after}");
    let card = Card::load(&own, "sface", Job::Encode).unwrap();
    let encoding = card.encoding.as_ref().unwrap();
    assert_eq!(encoding.measured_on, "a \"test\", 40 pictures of 8 people, all impostor pairs");
    assert_eq!(encoding.comparisons, 40 * 39 / 2 - 8 * 10);
    assert!(card.impostor_table().is_some());
    assert!(encoding.impostors.iter().all(|point| !point.extrapolated || point.d2 <= point.middle.unwrap()));
}

#[test]
fn too_little_to_measure_with_is_refused() {
    let bench = Bench::new();
    bench.three_people();
    bench.run(["card", "sface", "--people", "lfw"]).refused("cannot be stated");
    bench.run(["card", "nobody", "--people", "lfw"]).refused("nobody");
    bench.run(["card", "yunet", "--people", "lfw"]).refused("job");
}
