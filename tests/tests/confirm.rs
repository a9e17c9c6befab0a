//! A picture proves little: a blend of two men is enrolled as either. A live face that must agree with it finds out.
#![allow(clippy::unwrap_used)]

use gate_stage::Species;
use gate_tests::programs::sample;
use gate_tests::{Answer, Look, Portrait, Scene, Site};
use image::imageops::{self, FilterType};
use image::{Rgb, RgbImage};
use serde_json::Value;
use std::path::PathBuf;
use toml::toml;

/// Somebody stands before the enrolment camera.
fn stands(look: Look) -> Scene {
    Scene::new().walk_up(500, 80.0, look).stay(2_500, &[look])
}

fn live(portrait: Portrait) -> Scene {
    stands(Look::new(portrait, 140.0))
}

/// `add --json`, with what the camera shows meanwhile.
fn add(site: &Site, scene: &Scene, args: &[&str]) -> Answer {
    scene.write(&site.path("frames"));
    let answer = site.tool(&[&["add", "--json"], args].concat());
    std::fs::remove_dir_all(site.path("frames")).unwrap();
    answer
}

#[track_caller]
fn confirmed(answer: &Answer) -> bool {
    answer.done();
    answer.json()["picture_confirmed"].as_bool().unwrap()
}

/// The two men's faces laid over each other, pixel by pixel, as anybody can: place and weight that match both were found in ten
/// tries.
fn blend(site: &Site) -> PathBuf {
    let [obama, biden] = [("obama.jpg", 0.0), ("biden.jpg", 0.08)].map(|(file, aside)| {
        let seen = site.tool(&["identify", "--json", sample(file).to_str().unwrap()]).json();
        let [x, y, w, h] = [0, 1, 2, 3].map(|i: usize| seen["faces"][0]["box"][i].as_f64().unwrap());
        let picture = image::open(sample(file)).unwrap().into_rgb8();
        let (left, top) = ((x + (aside - 0.35) * w) as u32, (y - 0.2 * h) as u32);
        let cut = imageops::crop_imm(&picture, left, top, (1.7 * w) as u32, (1.4 * h) as u32).to_image();
        imageops::resize(&cut, 400, 450, FilterType::Triangle)
    });
    let both = RgbImage::from_fn(400, 450, |x, y| {
        let (a, b) = (obama.get_pixel(x, y), biden.get_pixel(x, y));
        Rgb([0, 1, 2].map(|c| (0.4 * f32::from(a[c]) + 0.6 * f32::from(b[c])) as u8))
    });
    let path = site.path("blend.png");
    both.save(&path).unwrap();
    path
}

#[test]
fn a_live_face_that_agrees_confirms_the_picture_and_everybody_is_shown_who_is_not_confirmed() {
    let site = Site::empty();
    let (obama, biden) = (sample("obama.jpg"), sample("biden.jpg"));
    let picture = obama.to_str().unwrap();
    let both = ["--id", "obama", "--name", "Barack", "--camera", picture];
    let answer = add(&site, &live(Portrait::Obama3), &both);
    assert!(confirmed(&answer));
    assert_eq!(answer.json()["references"], 2);
    // By a picture alone: not confirmed, and said so wherever the person is shown.
    let alone = site.tool(&["add", "--id", "biden", "--name", "Joe", biden.to_str().unwrap()]);
    alone.done();
    assert!(alone.stdout.contains("picture not confirmed"), "{alone:?}");

    let shown = |id: &str| site.tool(&["show", id, "--json"]).json()["picture_confirmed"].clone();
    assert_eq!((shown("obama"), shown("biden")), (Value::Bool(true), Value::Bool(false)));
    let list = site.tool(&["list"]).stdout;
    let line = |id: &str| list.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(line("biden").contains("not confirmed") && !line("obama").contains("not confirmed"), "{list}");
    assert!(line("obama").contains("confirmed"), "{list}");
    assert_eq!(site.tool(&["check", "--json"]).json()["unconfirmed"], 1);
    assert!(site.tool(&["check"]).stdout.contains("the pictures of 1 person"));

    let visit = |portrait| Scene::new().stay(1_500, &[Look::new(portrait, 130.0)]).nobody(1_500);
    let played = site.play(&visit(Portrait::Obama2).then(visit(Portrait::Biden)));
    assert_eq!(played.log.granted(), ["obama", "biden"], "{:#?}", played.log);
    let grants = played.log.all(|event| event.kind() == "granted");
    assert!(grants[0].0.get("picture_confirmed").is_none(), "{:?}", grants[0]);
    assert_eq!(grants[1].0["picture_confirmed"], false, "{:?}", grants[1]);
}

#[test]
fn a_blend_of_two_men_matches_both_and_no_live_face_confirms_it() {
    let site = Site::empty();
    let blend = blend(&site);
    let picture = blend.to_str().unwrap();
    for (portrait, name) in [(Portrait::Obama3, "obama"), (Portrait::Biden, "biden")] {
        let answer = add(&site, &live(portrait), &["--id", name, "--name", name, "--camera", picture]);
        answer.refused(2, &["blend.png"]);
        assert_eq!(site.tool(&["list", "--json"]).json(), serde_json::json!([]));
    }

    // Without a live face it is taken, and both men are let in as one: which is what "not confirmed" means.
    let alone = site.tool(&["add", "--json", "--id", "both", "--name", "Both", picture]);
    assert!(!confirmed(&alone));
    for file in ["obama.jpg", "biden.jpg"] {
        let seen = site.tool(&["identify", "--json", sample(file).to_str().unwrap()]).json();
        assert_eq!(seen["faces"][0]["person"], "both", "{file}: {seen}");
    }
    // Nor does the live face of either confirm it later.
    let later = add(&site, &live(Portrait::Obama3), &["--id", "both", "--more", "--camera"]);
    assert!(!later.is_done() || !confirmed(&later), "{later:?}");
}

#[test]
fn a_picture_that_looks_like_two_who_are_enrolled_is_refused() {
    let site = Site::empty();
    let blend = blend(&site);
    site.enrol("obama", &sample("obama.jpg"));
    site.enrol("biden", &sample("biden.jpg"));
    let answer = site.tool(&["add", "--id", "x", "--name", "X", blend.to_str().unwrap()]);
    answer.refused(2, &["`obama`", "`biden`", "a blend of two people does"]);
}

#[test]
fn further_pictures_keep_a_confirmation_only_where_they_agree() {
    let site = Site::empty();
    let blend = blend(&site);
    assert!(confirmed(&add(&site, &live(Portrait::Obama3), &["--id", "obama", "--name", "Barack", "--camera"])));
    let more = |picture: &str| site.tool(&["add", "--json", "--id", "obama", "--more", picture]);
    assert!(confirmed(&more(sample("obama.jpg").to_str().unwrap())));
    let blended = more(blend.to_str().unwrap());
    assert!(!blended.is_done() || !confirmed(&blended), "{blended:?}");

    // Somebody enrolled by a picture is confirmed later.
    let site = Site::enrolled();
    assert!(confirmed(&add(&site, &live(Portrait::Obama3), &["--id", "obama", "--more", "--camera"])));
    assert_eq!(site.tool(&["show", "obama", "--json"]).json()["picture_confirmed"], true);
}

#[test]
fn a_photograph_held_up_to_the_enrolment_camera_confirms_nothing() {
    let site = Site::empty();
    let held = stands(Look::new(Portrait::Obama2, 140.0).on(Species::Phone));
    let answer = add(&site, &held, &["--id", "obama", "--name", "Barack", "--camera"]);
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (Some(2), Some("PresentationAttack")), "{answer:?}");
    // A live face, then somebody else's photograph.
    let swapped = Scene::new()
        .stay(300, &[Look::new(Portrait::Biden, 140.0)])
        .stay(2_000, &[Look::new(Portrait::Obama2, 140.0).on(Species::Phone)]);
    let answer = add(&site, &swapped, &["--id", "obama", "--name", "Barack", "--camera"]);
    assert!(!answer.is_done(), "{answer:?}");
    assert_eq!(site.tool(&["list", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn neither_a_recording_nor_a_site_without_liveness_confirms() {
    let site = Site::empty().with(toml! {
        [camera]
        source = "v4l:/dev/video9"
    });
    live(Portrait::Obama3).write(&site.path("frames"));
    let camera = format!("--camera=replay:{}", site.path("frames").display());
    let answer = site.tool(&["add", "--json", "--id", "obama", "--name", "Barack", &camera]);
    assert!(!confirmed(&answer));
    assert!(answer.stderr.contains("the camera is a recording"), "{answer:?}");

    let site = Site::empty().with(toml! {
        [liveness]
        mode = "off"
    });
    let answer = add(&site, &live(Portrait::Obama3), &["--id", "obama", "--name", "Barack", "--camera"]);
    assert!(!confirmed(&answer));
    assert!(answer.stderr.contains("[liveness] mode is off"), "{answer:?}");
}
