//! Enrolling from pictures and from the camera, and everything that must be refused.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, keys, lying_with_exif, mapped, pixels, sample, shrunk, side_by_side};
use image::{RgbImage, imageops};
use std::path::Path;

#[test]
fn one_picture_is_enough_to_be_known_on_another_and_a_stranger_stays_unknown() {
    let desk = Desk::new();
    let added = desk.add("obama", &[&sample("obama.jpg")]).code(0).json();
    assert_eq!(keys(&added), ["added", "person", "picture_confirmed", "quality", "references"]);
    assert_eq!((added["person"].as_str(), added["references"].as_u64()), (Some("obama"), Some(1)));
    let who = |photo: &str| desk.run(["identify".into(), "--json".into(), sample(photo)]);
    assert_eq!(who("obama2.jpg").code(0).json()["faces"][0]["person"], "obama");
    assert_eq!(who("obama3.jpg").code(0).json()["faces"][0]["person"], "obama");
    assert!(who("biden.jpg").code(1).json()["faces"][0]["person"].is_null());
    assert!(who("astronaut.png").code(1).json()["faces"][0]["person"].is_null());
}

#[test]
fn a_bad_face_is_refused_with_its_reason_and_advice_and_nothing_is_stored() {
    let desk = Desk::new();
    let obama = pixels("obama.jpg");
    let grey = RgbImage::from_fn(400, 300, |x, y| image::Rgb([(x / 2) as u8, (y / 2) as u8, 90]));
    // The face begins at 371 and is 240 wide: about a third of it is beyond the left edge.
    let cut = imageops::crop_imm(&obama, 445, 0, obama.width() - 445, obama.height()).to_image();
    for (name, picture, reason, advice) in [
        ("nobody.jpg", grey, "NoFace", "no face found"),
        ("two.jpg", side_by_side(&obama, &pixels("biden.jpg")), "SeveralFaces", "one person at a time"),
        ("far.jpg", shrunk(&obama, 0.25), "TooFar", "wide, 80 are needed"),
        ("cut.jpg", cut, "OutOfFrame", "step into the middle"),
        ("turned.jpg", pixels("obama2.jpg"), "TurnedAway", "at most 22 and 25"),
        ("dark.jpg", mapped(obama.clone(), |v| v * 0.2), "TooDark", "more light"),
        ("bright.jpg", mapped(obama.clone(), |v| 255.0 - (255.0 - v) * 0.2), "TooBright", "too bright"),
        ("blurred.jpg", imageops::fast_blur(&obama, 6.0), "Blurred", "hold still"),
    ] {
        let message = desk.add("ana", &[&desk.save(name, &picture)]).refused(Some(reason));
        assert!(message.contains(name) && message.contains(advice), "{message}");
    }
    assert_eq!(desk.people(), []);
}

#[test]
fn what_is_no_usable_picture_is_refused_by_name() {
    let desk = Desk::new();
    let jpeg = std::fs::read(sample("obama.jpg")).unwrap();
    let mut png = std::io::Cursor::new(Vec::new());
    shrunk(&pixels("obama.jpg"), 0.5).write_to(&mut png, image::ImageFormat::Png).unwrap();
    let mut png = png.into_inner();
    let cut = desk.write("cut.png", &png[..png.len() / 2]);
    png[16..24].copy_from_slice(&[0, 0, 0xEA, 0x60, 0, 0, 0xEA, 0x60]); // 60,000 x 60,000
    let crc = crc32(&png[12..29]).to_be_bytes();
    png[29..33].copy_from_slice(&crc);
    for (path, part) in [
        (cut, "damaged"),
        (desk.write("head.jpg", &jpeg[..300]), "damaged"),
        (desk.write("bomb.png", &png), "too large"),
        (desk.write("letter.jpg", b"Dear Sir or Madam"), "not a JPEG"),
        (desk.write("empty.jpg", b""), "not a JPEG"),
        (desk.path("nowhere.jpg"), "No such file"),
        (desk.path("store"), "is a folder: name a picture in it, or use `enroll-tool import`"),
        ("/dev/zero".into(), "is not a file"),
    ] {
        let message = desk.add("ana", &[&path]).refused(None);
        assert!(message.contains(part) && message.contains(path.to_str().unwrap()), "{message}");
    }
    assert_eq!(desk.people(), []);
}

#[test]
fn a_picture_on_its_side_and_a_bystander_far_behind_are_no_hindrance() {
    let desk = Desk::new();
    let obama = pixels("obama.jpg");
    let lying = desk.write("phone.jpg", &lying_with_exif(&obama));
    desk.add("obama", &[&lying]).code(0);
    desk.run(["verify".as_ref(), "--id".as_ref(), "obama".as_ref(), sample("obama3.jpg").as_os_str()]).code(0);
    let behind = side_by_side(&pixels("biden.jpg"), &shrunk(&obama, 0.4));
    desk.add("biden", &[&desk.save("behind.jpg", &behind)]).code(0);
}

#[test]
fn nobody_is_enrolled_twice_unless_it_is_allowed() {
    let desk = Desk::new();
    desk.add("obama", &[&sample("obama.jpg")]).code(0);
    let same_id = desk.add("obama", &[&sample("biden.jpg")]).refused(None);
    assert!(same_id.contains("enrolled already") && same_id.contains("--more"), "{same_id}");
    let same_face = desk.add("barry", &[&sample("obama3.jpg")]).refused(None);
    assert!(
        same_face.contains("already enrolled as `obama`") && same_face.contains("--allow-duplicate"),
        "{same_face}"
    );
    assert_eq!(desk.people(), [("obama".to_owned(), 1)]);
    let photo = sample("obama3.jpg");
    let photo = photo.to_str().unwrap();
    let twin = desk.run(["add", "--id", "twin", "--name", "Twin", "--allow-duplicate", photo]).code(0);
    assert!(twin.err.contains("looks like `obama`"), "{}", twin.err);
    // Now neither can be told from the other: the search names nobody rather than guess.
    let close = desk.write("gate.toml", config_with_margin(&desk).as_bytes());
    let seen = desk
        .run_with(&["--config".as_ref(), close.as_os_str()], ["identify", "--json", "--scores", photo])
        .code(1)
        .json();
    assert!(seen["faces"][0]["person"].is_null() && seen["faces"][0]["d2"].as_f64() < Some(0.1), "{seen}");
}

fn config_with_margin(desk: &Desk) -> String {
    let config = std::fs::read_to_string(desk.path("gate.toml")).unwrap();
    format!("{config}[policy]\nmargin_d2 = 1.0\n")
}

#[test]
fn several_references_must_show_one_person() {
    let desk = Desk::new();
    let (first, third, other) = (sample("obama.jpg"), sample("obama3.jpg"), sample("biden.jpg"));
    let mixed = desk.add("obama", &[&first, &other]).refused(None);
    assert!(mixed.contains("not the same person as"), "{mixed}");
    let more = |photo: &Path| {
        desk.run(["add", "--json", "--id", "obama", "--more", photo.to_str().unwrap()].map(String::from))
    };
    assert!(more(&third).refused(None).contains("nobody is enrolled as `obama`"));
    assert_eq!(desk.people(), []);
    desk.add("obama", &[&first]).code(0);
    assert_eq!(more(&third).code(0).json()["references"], 2);
    assert!(more(&other).refused(None).contains("does not show `obama`"));
    assert_eq!(desk.people(), [("obama".to_owned(), 2)]);
    let both = Desk::new();
    both.add("obama", &[&first, &third]).code(0);
    assert_eq!(both.people(), [("obama".to_owned(), 2)]);
}

#[test]
fn ids_names_and_dates_are_checked_before_anything_else() {
    let desk = Desk::new();
    let photo = sample("obama.jpg");
    let photo = photo.to_str().unwrap();
    let add = |id: &str, name: &str, more: &[&str]| {
        desk.run([&["add", "--json", "--id", id, "--name", name, photo], more].concat())
    };
    assert!(add("a b", "Ana", &[]).refused(None).contains("not a usable id"));
    assert!(add("ana", " ", &[]).refused(None).contains("name of `ana` is not usable"));
    let order = ["--valid-from", "2026-05-02", "--valid-until", "2026-05-01"];
    assert!(add("ana", "Ana", &order).refused(None).contains("before it begins"));
    let whim = desk.run(["add", "--json", "--id", "ana", "--name", "A", photo, "--valid-until", "soon"]).code(2);
    assert!(whim.err.contains("write a day as 2026-12-31"), "{}", whim.err);
    let dates = ["--valid-from", "2026-01-31", "--valid-until", "2026-07-31"];
    add("ana", "Ana", &dates).code(0);
    let shown = desk.run(["show", "ana", "--json"]).code(0).json();
    // Madrid: an hour ahead in winter, two in summer; until means the end of that day.
    assert_eq!(
        (&shown["valid_from"], &shown["valid_until"]),
        (&"2026-01-30T23:00:00Z".into(), &"2026-07-31T22:00:00Z".into())
    );
}

#[test]
fn the_picture_is_kept_when_asked_for_and_serves_to_encode_again() {
    let desk = Desk::new();
    let photo = sample("obama.jpg");
    let photo = photo.to_str().unwrap();
    desk.run(["add", "--id", "obama", "--name", "Barack", "--keep-picture", photo]).code(0);
    let shown = desk.run(["show", "obama", "--json"]).code(0).json();
    assert_eq!(shown["references"][0]["picture"], true);
    let key = gate_store::SiteKey::load(&gate_store::KeySource::File(desk.path("store/site.key"))).unwrap();
    let store = gate_store::Store::open(&desk.path("store"), &key).unwrap();
    let kept = desk.write("kept.jpg", &store.picture("obama", 1).unwrap().expect("kept"));
    assert!(image::image_dimensions(&kept).unwrap().0 < image::image_dimensions(photo).unwrap().0);
    let kept = kept.to_str().unwrap();
    let again = desk.run(["compare", "--json", "--scores", photo, kept]).code(0).json();
    assert!(again["d2"].as_f64().unwrap() < 0.1, "{again}");
}

#[test]
fn the_camera_guides_and_takes_the_best_frame() {
    let desk = Desk::new();
    let scene = desk.path("scene");
    std::fs::create_dir(&scene).unwrap();
    let frame = |number: usize, picture: &RgbImage| {
        picture.save(scene.join(format!("{number:03}.jpg"))).unwrap();
    };
    let obama = shrunk(&pixels("obama.jpg"), 0.5);
    let far = shrunk(&obama, 0.5);
    let two = side_by_side(&obama, &shrunk(&pixels("biden.jpg"), 0.5));
    let soft = imageops::fast_blur(&obama, 1.0);
    // Ten frames a second: four of each fault, then good ones, of which only one is sharp.
    (0..4).for_each(|i| frame(i, &far));
    (4..8).for_each(|i| frame(i, &two));
    (8..20).for_each(|i| frame(i, if i == 11 { &obama } else { &soft }));
    let camera = format!("--camera=replay:{}", scene.display());
    let taken = desk.run(["add", "--json", "--id", "obama", "--name", "Barack", &camera]).code(0);
    let lines: Vec<&str> = taken.err.lines().collect();
    let recording = " WARN the camera is a recording: this confirms nobody's picture";
    assert_eq!(lines, ["come closer", "one person only, please", "good, hold still", "thank you", recording]);
    let sharp = desk.run(["identify", "--json", scene.join("011.jpg").to_str().unwrap()]).code(0).json();
    assert_eq!(taken.json()["quality"][0]["sharpness"], sharp["faces"][0]["quality"]["sharpness"]);
    let never = format!("--camera=replay:{}", scene.join("000.jpg").display());
    desk.run(["add", "--json", "--id", "x", "--name", "X", &never]).refused(Some("TooFar"));
    desk.run(["add", "--json", "--id", "x", "--name", "X", "--camera=webcam"]).refused(None);
    desk.run(["add", "--id", "x", "--name", "X", "--camera=replay:/nowhere"]).code(3);
    assert_eq!(desk.people(), [("obama".to_owned(), 1)]);
}

/// CRC-32 (IEEE), for the forged PNG header.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |mut crc, byte| {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
        crc
    })
}
