//! `gate-lab calibrate` over the real binary and a real store: what it measures, writes, and refuses to invent.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Bench, mode, models};
use gate_site::{Calibration, Site};
use gate_store::{Admission, NewPerson, NewReference, SiteKey, Store};
use gate_vision::Vision;
use gate_vision::photo::Photo;
use std::fs;
use std::sync::{Mutex, OnceLock};

/// A site whose `people` are enrolled from the first picture of each folder of `many/`; the other pictures are visits.
fn site(people: u32, policy: &str) -> (Bench, Site) {
    let bench = Bench::new();
    bench.many(people);
    let config = format!(
        "[vision]\nmodels = {:?}\n[store]\ndir = \"store\"\n\
         [quality]\nmin_face_px = 16\nmin_sharpness = 0\n[policy]\n{policy}",
        models()
    );
    let site = Site::load(Some(&bench.write("gate.toml", config)), None).unwrap();
    let key = SiteKey::generate().unwrap();
    let mut store = Store::init(site.store_dir(), &key).unwrap();
    key.create_file(site.key_source().path()).unwrap();
    // A process loads the runtime once.
    static VISION: OnceLock<Mutex<Vision>> = OnceLock::new();
    let mut vision = VISION.get_or_init(|| Mutex::new(site.vision().unwrap())).lock().unwrap();
    let encoder = vision.encoder().card().encoder_sha256();
    for person in 0..people {
        let id = format!("p{person:02}");
        let picture = bench.path(&format!("many/{id}/0.jpg"));
        let portrait = vision.portraits(&Photo::read(&picture).unwrap()).unwrap().remove(0);
        let vector = vision.encode(&portrait.chip).unwrap();
        let reference = NewReference { encoder_sha256: &encoder, vector, picture: None };
        store.add_person(&NewPerson { id: &id, name: &id, admission: Admission::ALWAYS }, &[reference]).unwrap();
        fs::remove_file(picture).unwrap();
    }
    (bench, site)
}

const CALIBRATE: [&str; 6] = ["--config", "gate.toml", "calibrate", "--visits", "many", "--json"];

#[test]
fn a_site_is_measured_and_its_thresholds_follow() {
    let (bench, site) = site(17, "");
    bench.write("many/visitor/junk.jpg", "no picture");
    bench.save("many/visitor/wall.jpg", &image::RgbImage::from_pixel(200, 200, image::Rgb([90, 90, 90])));
    let found = bench.run(CALIBRATE).code(0).json();
    assert_eq!((found["people"].as_u64(), found["references"].as_u64()), (Some(17), Some(17)));
    assert_eq!((found["pictures_unreadable"].as_u64(), found["pictures_without_face"].as_u64()), (Some(1), Some(1)));
    let visits = found["visits"].as_u64().unwrap();
    assert_eq!(found["fnmr"]["trials"], visits, "everybody who came is enrolled");
    assert_eq!(found["fmr"]["trials"], visits * 16, "each visit against everybody else");
    assert_eq!(found["fpir"]["trials"], visits);
    for rate in ["fmr", "fnmr", "fpir"] {
        let number = |key: &str| found[rate][key].as_f64().unwrap();
        assert!(number("low") <= number("rate") && number("rate") <= number("high") && number("high") > 0.0);
    }
    // Four faces in seventeen colours: nearly everybody has a look-alike, and the thresholds must see that.
    assert!(found["moved"].as_f64().unwrap() < -0.1, "{found}");
    let closest = &found["look_alikes"][0];
    assert_ne!(closest["people"][0], closest["people"][1]);
    assert!(found["look_alikes"].as_array().unwrap().len() == 10 && closest["d2"].as_f64().unwrap() < 0.8, "{closest}");

    let path = bench.path("calibration.toml");
    assert_eq!(mode(&path), 0o600);
    let vision = site.vision_options();
    let encoder = gate_vision::card::Card::load(&vision.models, "sface", gate_vision::card::Job::Encode).unwrap();
    let (calibration, table) = Calibration::load(&path, &encoder, "distance").unwrap();
    assert!((f64::from(calibration.measured.tau) - found["tau"].as_f64().unwrap()).abs() < 1e-5);
    let by_card = encoder.impostor_table().unwrap();
    for references in [1, 17, 1_000] {
        let (site, card) = (table.threshold(1e-3, references), by_card.threshold(1e-3, references));
        assert!(site.tau < card.tau, "{references}: {site:?} is no stricter than {card:?}");
    }
    assert!(table.threshold(1e-3, 17).tau >= table.threshold(1e-3, 1_000).tau, "more people, a stricter threshold");
}

#[test]
fn who_is_likely_to_be_refused_is_named_and_who_did_not_come_is_not_judged() {
    // At this threshold nobody matches.
    let (bench, _) = site(17, "tau = 0.0001\n");
    fs::remove_dir_all(bench.path("many/p03")).unwrap();
    let found = bench.run(CALIBRATE).code(0).json();
    assert_eq!(found["without_visits"], serde_json::json!(["p03"]));
    let refused = found["likely_refused"].as_array().unwrap();
    assert_eq!(refused.len(), 16, "{found}");
    assert!(refused.iter().all(|one| one["missed"] == one["visits"] && one["person"] != "p03"));
    assert!((found["fnmr"]["rate"].as_f64().unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn too_few_people_calibrate_nothing_and_leave_what_was_there() {
    let (bench, _) = site(3, "");
    let before = "an earlier calibration";
    bench.write("calibration.toml", before);
    let answer = bench.run(CALIBRATE).code(2);
    assert!(answer.err.contains("too little to calibrate with") && answer.err.contains("3 people"), "{}", answer.err);
    assert_eq!(fs::read_to_string(bench.path("calibration.toml")).unwrap(), before);
}

#[test]
fn visits_that_are_not_there_are_refused() {
    let (bench, _) = site(1, "");
    let visits = |folder: &str| bench.run(["--config", "gate.toml", "calibrate", "--visits", folder]).code(2).err;
    assert!(visits("nowhere").contains("nowhere"));
    fs::create_dir_all(bench.path("empty/p00")).unwrap();
    assert!(visits("empty").contains("a folder for each person is expected"));
}
