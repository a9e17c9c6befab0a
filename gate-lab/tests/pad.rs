//! `pad` and `calibrate-liveness` over the real program, the real networks, and clips rendered for the purpose.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Bench;
use gate_core::geometry::{Point, Rect};
use gate_stage::{Figure, Held, Species};
use image::{Rgb, RgbImage};
use std::path::Path;

/// Frames of a clip, at 15 a second: enough for any verdict.
const FRAMES: u32 = 16;
/// People of the samples, and the face's box on the picture.
const PEOPLE: [(&str, &str, [f32; 4]); 4] = [
    ("obama", "obama2.jpg", [202.0, 230.0, 275.0, 404.0]),
    ("biden", "biden.jpg", [427.0, 177.0, 286.0, 397.0]),
    ("collins", "astronaut.png", [178.0, 63.0, 90.0, 113.0]),
    ("barack", "obama3.jpg", [643.0, 272.0, 266.0, 345.0]),
];

/// Renders a clip of somebody, live (`None`) or held up, and writes it as numbered pictures.
fn render(folder: &Path, person: usize, species: Option<Species>, face_px: f32) {
    let (_, file, [x, y, w, h]) = PEOPLE[person];
    let photograph = image::open(common::models().join("cache/samples").join(file)).unwrap().into_rgb8();
    let face = Rect { x, y, w, h };
    let figure = Figure::cut(&photograph, face).unwrap();
    let held = species.map(|species| Held::new(&photograph, face, species, person as u64).unwrap());
    std::fs::create_dir_all(folder).unwrap();
    for n in 0..FRAMES {
        let mut frame = RgbImage::from_fn(640, 480, |_, y| Rgb([170 - (y / 10) as u8; 3]));
        let at = Point { x: 310.0 + 3.0 * (n as f32 * 0.6).sin(), y: 215.0 };
        match &held {
            Some(held) => held.paint(&mut frame, at, face_px, n as f32 / 15.0),
            None => figure.place(&mut frame, at, face_px),
        }
        frame.save(folder.join(format!("{n:04}.jpg"))).unwrap();
    }
}

/// Live people, and the same on a phone; a clip each of so many of them.
fn clips(bench: &Bench, people: usize) {
    for (n, (name, ..)) in PEOPLE.iter().enumerate().take(people) {
        render(&bench.path(&format!("clips/bona_fide/{name}/01")), n, None, 120.0);
        render(&bench.path(&format!("clips/phone/{name}/01")), n, Some(Species::Phone), 105.0);
    }
}

#[test]
fn clips_are_decided_and_told_in_the_agreed_form() {
    let bench = Bench::new();
    clips(&bench, 2);
    // Nobody is in this one: it must not count as an error, nor as right.
    let empty = RgbImage::from_pixel(640, 480, Rgb([120; 3]));
    bench.save("clips/phone/nobody/01/0000.jpg", &empty);
    let answer = bench.run(["--json", "pad", "--clips", "clips", "--report", "pad.html"]).code(0);
    let json = answer.json();
    assert_eq!(json["bpcer"], 0.0, "{json}");
    assert_eq!(json["species"]["phone"]["apcer"], 0.0, "{json}");
    assert_eq!(json["species"]["phone"]["clips"], 3);
    assert_eq!(json["species"]["phone"]["without_verdict"], 1);
    let decided: Vec<(String, String)> = json["clips"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["species"].as_str().unwrap().to_owned(), c["decision"].as_str().unwrap().to_owned()))
        .collect();
    let of = |species: &str, decision: &str| decided.iter().filter(|(s, d)| s == species && d == decision).count();
    assert_eq!((of("bona_fide", "bona_fide"), of("phone", "attack"), of("phone", "none")), (2, 2, 1), "{decided:?}");
    for clip in json["clips"].as_array().unwrap().iter().filter(|c| c["decision"] != "none") {
        assert!(clip["at_ms"].as_u64().unwrap() < 1_000, "{clip}");
    }
    let report = std::fs::read_to_string(bench.path("pad.html")).unwrap();
    assert!(report.contains("APCER phone") && report.contains("data:image/jpeg"), "the report shows what was decided");
}

#[test]
fn one_picture_is_a_clip_that_stands_still() {
    let bench = Bench::new();
    render(&bench.path("frames"), 0, Some(Species::Tablet), 110.0);
    bench.write("clips/tablet/x.jpg", std::fs::read(bench.path("frames/0000.jpg")).unwrap());
    let json = bench.run(["--json", "pad", "--clips", "clips"]).code(0).json();
    assert_eq!(json["clips"][0]["decision"], "attack", "{json}");
    assert!(json["bpcer"].is_null(), "no live clip, no rate");
}

#[test]
fn what_cannot_be_measured_is_refused_by_name() {
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("empty")).unwrap();
    bench.run(["pad", "--clips", "empty"]).refused("bona_fide");
    bench.write("clips/bona_fide/ana/broken.mp4", "this is no film");
    bench.run(["pad", "--clips", "clips"]).refused("broken.mp4");
}

#[test]
fn a_site_learns_its_own_classifier_and_the_gate_takes_it_for_this_camera_only() {
    let bench = Bench::new();
    clips(&bench, 4);
    let answer = bench.run(["calibrate-liveness", "--clips", "clips", "--out", "liveness.toml"]).code(0);
    assert!(answer.out.contains("warning: only 4 live people"), "{}", answer.out);
    assert!(answer.out.contains("the network alone"), "{}", answer.out);
    // What was learned decides the clips, the configuration's camera being a replay of the same one.
    bench.write("gate.toml", "[liveness]\ncalibration = \"liveness.toml\"\n[camera]\nsource = \"replay:clips\"\n");
    let json = bench.run(["--json", "--config", "gate.toml", "pad", "--clips", "clips"]).code(0).json();
    assert_eq!((&json["bpcer"], &json["species"]["phone"]["apcer"]), (&0.0.into(), &0.0.into()), "{json}");
    // Another camera, another resolution, other weights: refused, and nothing is decided.
    bench.write("other.toml", "[liveness]\ncalibration = \"liveness.toml\"\n[camera]\nsource = \"nokhwa:3\"\n");
    let other = bench.run(["--config", "other.toml", "pad", "--clips", "clips"]);
    assert!(other.code != 0 && other.err.contains("made for the camera"), "{}", other.err);
    bench.write(
        "wide.toml",
        "[liveness]\ncalibration = \"liveness.toml\"\n[camera]\nwidth_px = 1280\nheight_px = 720\n",
    );
    let wide = bench.run(["--config", "wide.toml", "pad", "--clips", "clips"]);
    assert!(wide.code != 0 && wide.err.contains("640x480"), "{}", wide.err);
    let text = std::fs::read_to_string(bench.path("liveness.toml")).unwrap();
    let changed = text.replacen("network_sha256 = \"", "network_sha256 = \"0", 1);
    bench.write("liveness.toml", changed);
    let weights = bench.run(["--config", "gate.toml", "pad", "--clips", "clips"]);
    assert!(weights.code != 0 && weights.err.contains("other weights"), "{}", weights.err);
}

#[test]
fn clips_of_two_cameras_or_of_one_person_calibrate_nothing() {
    let bench = Bench::new();
    clips(&bench, 1);
    let same = bench.run(["calibrate-liveness", "--clips", "clips"]);
    same.refused("at least two people");
    clips(&bench, 2);
    let small = bench.path("clips/bona_fide/biden/02");
    render(&small, 1, None, 120.0);
    for n in 0..FRAMES {
        let path = small.join(format!("{n:04}.jpg"));
        let picture = image::open(&path).unwrap().into_rgb8();
        image::imageops::crop_imm(&picture, 0, 0, 600, 480).to_image().save(&path).unwrap();
    }
    bench.run(["calibrate-liveness", "--clips", "clips"]).refused("not of one camera");
    assert!(!bench.path("liveness.toml").exists(), "nothing half-made is left");
}
