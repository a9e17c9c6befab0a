//! An attacker who is not enrolled swaps pictures of somebody who is with the own, live face: over the real programs.
//!
//! Recognition alone says yes to the picture and liveness alone says yes to the attacker. Nobody may come in by having
//! both, in whatever order. The pictures are rendered (crate gate-stage); attempts are not bounded here, so that no
//! lock-out hides a swap that would have opened the gate.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_stage::Species;
use gate_tests::programs::sample;
use gate_tests::{Look, Portrait, Scene, Site};
use toml::toml;

/// Width of every face, pixels.
const FACE_PX: f32 = 110.0;

fn photo(species: Species) -> Look {
    Look::new(Portrait::Obama2, FACE_PX).on(species)
}

fn own() -> Look {
    Look::new(Portrait::Biden, FACE_PX)
}

fn unbounded() -> Site {
    Site::enrolled().with(toml! {
        [liveness]
        attacks_max = 0
    })
}

/// Plays attacks, each with a pause behind it, then the enrolled person, who must be the only one let in.
fn opens_for_nobody_but_the_live_person(what: &str, attacks: impl IntoIterator<Item = Scene>) {
    let mut tried = 0;
    let scene = attacks.into_iter().fold(Scene::new().nobody(500), |scene, attack| {
        tried += 1;
        scene.then(attack).nobody(600)
    });
    let began_ms = scene.ms();
    let there = Look::new(Portrait::Obama3, FACE_PX);
    let played = unbounded().play(&scene.walk_up(800, 60.0, there).stay(1_500, &[there]).nobody(1_500));
    played.ended_locked();

    let granted = played.log.all(|event| event.kind() == "granted");
    let early = granted.iter().filter(|event| event.0["mono_ms"].as_u64().unwrap() < began_ms).count();
    println!("attack: {what:45} tried {tried:3}  opened {early}");
    assert_eq!(early, 0, "{what}: {:#?}", played.log);
    assert_eq!(granted.len(), 1, "{what}: the live person comes in: {:#?}", played.log);
}

#[test]
fn a_photo_the_own_face_and_the_photo_again() {
    for (species, gaps) in [(Species::Phone, &[0, 6][..]), (Species::Paper, &[0][..])] {
        let swap = |own_frames: u64, gap: u64| {
            let photo = photo(species);
            let first = Scene::new().frames(1, &[photo]).frames(gap, &[]).frames(own_frames, &[own()]);
            first.frames(gap, &[]).frames(18, &[photo])
        };
        let swaps = [4, 8, 13].into_iter().flat_map(|own| gaps.iter().map(move |gap| swap(own, *gap)));
        opens_for_nobody_but_the_live_person(&format!("photo, own face, photo ({})", species.name()), swaps);
    }
}

#[test]
fn a_fan_of_photos() {
    let phone = photo(Species::Phone);
    let other = Look::new(Portrait::Biden, FACE_PX).on(Species::Phone);
    let third = Look::new(Portrait::Collins, FACE_PX).on(Species::Phone);
    let fan = |each: u64| {
        (0..4).fold(Scene::new(), |scene, _| {
            scene.frames(each, &[phone]).frames(each, &[other]).frames(each, &[third]).frames(each, &[own()])
        })
    };
    opens_for_nobody_but_the_live_person("a fan of photos and the own face", [1, 2, 4].map(fan));
}

#[test]
fn two_hands() {
    // The photo beside the own face, first one and then the other taken away.
    let beside = |species| {
        let (left, right) = (own().at(200.0, 220.0), photo(species).at(430.0, 220.0));
        let both = Scene::new().frames(10, &[left]).frames(6, &[left, right]).frames(10, &[right]);
        both.frames(6, &[left, right]).frames(4, &[left]).frames(15, &[right])
    };
    opens_for_nobody_but_the_live_person("own face in one hand's reach of the photo", Species::ALL.map(beside));
}

#[test]
fn a_phone_slid_across_the_own_face() {
    let slid = |ms: u64| {
        let phone = photo(Species::Phone);
        Scene::new().stay(900, &[own()]).slide_over(ms, phone, own()).stay(1_600, &[phone])
    };
    opens_for_nobody_but_the_live_person("a phone slid across the own face", [200, 400, 800].map(slid));
}

#[test]
fn paper_with_a_hole_for_the_eyes() {
    let mask = photo(Species::Paper).worn_by(Portrait::Biden);
    let held = Scene::new().stay(2_500, &[mask]);
    let after_own = Scene::new().stay(600, &[own()]).stay(2_000, &[mask]);
    let after_photo = Scene::new().stay(300, &[photo(Species::Paper)]).stay(2_000, &[mask]);
    opens_for_nobody_but_the_live_person("paper with a hole for the eyes", [held, after_own, after_photo]);
}

#[test]
fn one_photo_locks_nobody_else_out() {
    let site = Site::enrolled();
    site.enrol("biden", &sample("biden.jpg"));
    let attack = || Scene::new().stay(1_200, &[photo(Species::Phone)]).nobody(700);
    let scene = (0..5).fold(Scene::new().nobody(300), |scene, _| scene.then(attack()));
    let scene = scene.walk_up(800, 60.0, own()).stay(1_500, &[own()]).nobody(1_500);
    let obama = Look::new(Portrait::Obama3, FACE_PX);
    let played = site.play(&scene.walk_up(800, 60.0, obama).stay(1_500, &[obama]).nobody(500));
    assert_eq!(played.log.granted(), ["biden"], "{:#?}", played.log);
    let lockouts = played.log.all(|event| event.kind() == "lockout");
    assert!(lockouts.iter().all(|event| event.text("person") == "obama") && !lockouts.is_empty());
    assert!(played.log.refused().contains(&"LockedOut"), "whose face was tried waits: {:#?}", played.log);
    assert!(!played.log.all(|event| event.kind() == "alarm").is_empty(), "{:#?}", played.log);
}
