//! The real networks on real pictures: the prepared graphs equal the published ones, faces are told apart, and what is
//! missing or damaged is told by name. Needs what `make setup` fetches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_core::picture::Rgb;
use gate_vision::card::{Card, Job};
use gate_vision::comparer::{Comparer, DISTANCE};
use gate_vision::photo::Photo;
use gate_vision::{Detector, Encoder, Provider, Runtime, SessionOptions, VisionError, portrait};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models")
}

/// One for the process: ONNX Runtime allows no second environment.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(None, &models()).expect("run `make setup` first"))
}

fn sample(name: &str) -> Photo {
    Photo::read(&models().join("cache/samples").join(name)).expect("run `make setup` first")
}

/// The cards in a folder of their own, with the same weights, changed by `edit`.
fn other_cards(edit: impl Fn(String) -> String) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("cache")).unwrap();
    for name in ["yunet", "sface"] {
        let text = std::fs::read_to_string(models().join(format!("{name}.toml"))).unwrap();
        std::fs::write(dir.path().join(format!("{name}.toml")), edit(text)).unwrap();
        let file = Card::load(&models(), name, if name == "yunet" { Job::Detect } else { Job::Encode }).unwrap().file;
        let weights = models().canonicalize().unwrap().join("cache").join(&file);
        std::os::unix::fs::symlink(weights, dir.path().join("cache").join(&file)).unwrap();
    }
    dir
}

/// The cards as published: no line below [prepare].
fn unprepared() -> tempfile::TempDir {
    let keys = ["any_size", "weights_are_constant", "split_prelu"];
    other_cards(|text| {
        let kept = |line: &&str| !keys.iter().any(|key| line.starts_with(key));
        text.lines().filter(kept).map(|line| format!("{line}\n")).collect()
    })
}

#[test]
fn the_prepared_encoder_equals_the_published_one() {
    let published = unprepared();
    let mut slow = Encoder::load(runtime(), published.path(), "sface", SessionOptions::default()).unwrap();
    let mut fast = Encoder::load(runtime(), &models(), "sface", SessionOptions::default()).unwrap();
    let mut detector = Detector::load(runtime(), &models(), "yunet", SessionOptions::default()).unwrap();
    for name in ["obama.jpg", "biden.jpg", "astronaut.png"] {
        let photo = sample(name);
        let picture = photo.view().unwrap();
        let face = detector.detect(picture, 640).unwrap()[0];
        let chip = portrait(picture, &face).unwrap().chip;
        let (a, b) = (slow.encode(&chip).unwrap().to_vec(), fast.encode(&chip).unwrap());
        let off = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "{name}: the encodings differ by {off}");
    }
}

#[test]
fn an_optimised_graph_is_used_equals_the_published_one_and_is_passed_over_when_damaged() {
    let cards = other_cards(|text| text);
    let load = || Encoder::load(runtime(), cards.path(), "sface", SessionOptions::default());
    let card = load().unwrap().card().clone();
    let made = runtime().optimise(&card).unwrap().expect("it is made");
    assert!(runtime().optimise(&card).unwrap().is_none(), "once is enough");
    assert!(made.difference < 1e-5, "{made:?}");

    let chip = {
        let photo = sample("obama.jpg");
        let picture = photo.view().unwrap();
        let mut detector = Detector::load(runtime(), &models(), "yunet", SessionOptions::default()).unwrap();
        let face = detector.detect(picture, 640).unwrap()[0];
        portrait(picture, &face).unwrap().chip
    };
    let published = unprepared();
    let mut slow = Encoder::load(runtime(), published.path(), "sface", SessionOptions::default()).unwrap();
    // Nothing but the optimised graph is needed any more.
    std::fs::remove_file(card.weights_path()).unwrap();
    let mut fast = load().unwrap();
    for _ in 0..2 {
        let (a, b) = (slow.encode(&chip).unwrap(), fast.encode(&chip).unwrap());
        let off = a.iter().zip(b).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off < 1e-5, "the encodings differ by {off}");
    }

    let mut bytes = std::fs::read(&made.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&made.path, bytes).unwrap();
    let error = load().err();
    assert!(matches!(error, Some(VisionError::WeightsMissing { .. })), "the weights are asked for again: {error:?}");
}

#[test]
fn the_prepared_detector_equals_the_published_one_where_that_can_run() {
    let published = unprepared();
    // The published graph takes 640x640 and nothing else, so its first run at another size must fail by name.
    let refused = Detector::load(runtime(), published.path(), "yunet", SessionOptions::default());
    assert!(matches!(refused.err(), Some(VisionError::Run { name, .. }) if name == "yunet"));

    // The same face is found at the same place whatever size the network sees.
    let mut detector = Detector::load(runtime(), &models(), "yunet", SessionOptions::default()).unwrap();
    let photo = sample("astronaut.png");
    let picture = photo.view().unwrap();
    let sizes = [320, 480, 512].map(|max_px| detector.detect(picture, max_px).unwrap());
    for faces in &sizes {
        assert_eq!(faces.len(), 1);
        assert!(faces[0].rect.iou(&sizes[2][0].rect) > 0.8, "{:?} against {:?}", faces[0].rect, sizes[2][0].rect);
    }
}

/// The encodings of some samples.
fn encodings<const N: usize>(encoder: &mut Encoder, names: [&str; N]) -> [Vec<f32>; N] {
    let mut detector = Detector::load(runtime(), &models(), "yunet", SessionOptions::default()).unwrap();
    names.map(|name| {
        let photo = sample(name);
        let picture = photo.view().unwrap();
        let face = detector.detect(picture, 640).unwrap()[0];
        encoder.encode(&portrait(picture, &face).unwrap().chip).unwrap().to_vec()
    })
}

#[test]
fn pictures_of_one_person_are_near_and_of_two_people_far() {
    for name in ["sface", "sface-int8"] {
        let mut encoder = Encoder::load(runtime(), &models(), name, SessionOptions::default()).unwrap();
        let samples = ["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg", "astronaut.png"];
        let [reference, same, third, other, she] = encodings(&mut encoder, samples);
        let comparer = Comparer::load(&models(), encoder.card(), DISTANCE).unwrap();
        let tau = comparer.impostors().threshold(1e-3, 1).tau;
        for (what, probe, is_same) in
            [("2", same, true), ("3", third, true), ("biden", other, false), ("astronaut", she, false)]
        {
            let d2 = comparer.dissimilarity(&reference, &probe);
            assert_eq!(d2 <= tau, is_same, "{name}, {what}: d2 {d2} at tau {tau}");
        }
    }
}

#[test]
fn in_8_bits_vectors_turn_a_little_are_another_encoders_and_come_from_the_cpu_only() {
    let load = |name, options| Encoder::load(runtime(), &models(), name, options);
    let (mut float, mut int8) =
        (load("sface", SessionOptions::default()).unwrap(), load("sface-int8", SessionOptions::default()).unwrap());
    let samples = ["obama.jpg", "biden.jpg", "astronaut.png"];
    for (a, b) in encodings(&mut float, samples).iter().zip(encodings(&mut int8, samples)) {
        let cosine: f32 = a.iter().zip(&b).map(|(x, y)| x * y).sum();
        assert!(cosine > 0.98, "{cosine}");
    }
    assert_eq!(float.card().sha256, int8.card().sha256, "one file");
    assert_ne!(float.card().encoder_sha256(), int8.card().encoder_sha256(), "two encoders");
    let gpu = SessionOptions { provider: Provider::Cuda, ..SessionOptions::default() };
    let refused = load("sface-int8", gpu).err().expect("no 8-bit operators there").to_string();
    assert!(refused.contains("CPU only") && refused.contains("cuda"), "{refused}");
}

#[test]
fn an_empty_picture_holds_no_face_and_odd_sizes_are_fine() {
    let mut detector = Detector::load(runtime(), &models(), "yunet", SessionOptions::default()).unwrap();
    for (width, height) in [(1, 1), (33, 31), (641, 479), (2000, 20)] {
        let data = vec![90u8; (width * height * 3) as usize];
        assert!(detector.detect(Rgb::new(&data, width, height).unwrap(), 640).unwrap().is_empty());
    }
}

#[test]
fn a_provider_that_is_not_there_is_an_error_when_strict_and_the_cpu_otherwise() {
    let gpu = SessionOptions { provider: Provider::Cuda, ..SessionOptions::default() };
    // The fetched library knows no GPU.
    let strict = Encoder::load(runtime(), &models(), "sface", gpu).err().expect("no CUDA in the fetched library");
    assert!(matches!(&strict, VisionError::Provider { provider: "cuda", .. }), "{strict}");
    assert!(strict.to_string().contains("provider = \"cpu\""), "{strict}");
    assert!(Encoder::load(runtime(), &models(), "sface", SessionOptions { strict: false, ..gpu }).is_ok());
}

#[test]
fn damaged_and_missing_weights_and_wrong_cards_are_told_by_name() {
    let damaged = other_cards(|text| text.replace("sha256 = \"0b", "sha256 = \"1b"));
    let wrong = Encoder::load(runtime(), damaged.path(), "sface", SessionOptions::default()).err().unwrap();
    assert!(matches!(&wrong, VisionError::WrongHash { .. }), "{wrong}");
    std::fs::remove_file(damaged.path().join("cache/face_recognition_sface_2021dec.onnx")).unwrap();
    let gone = Encoder::load(runtime(), damaged.path(), "sface", SessionOptions::default()).err().unwrap();
    assert!(gone.to_string().contains("make setup"), "{gone}");

    let none = Card::load(&models(), "arcface", Job::Encode).unwrap_err().to_string();
    assert!(none.contains("cards there: minifasnet_v2, sface, sface-int8, yunet"), "{none}");
    let other_job = Card::load(&models(), "yunet", Job::Encode).unwrap_err().to_string();
    assert!(other_job.contains("not Encode"), "{other_job}");
    let typo = other_cards(|text| text.replace("channels", "chanels"));
    let unknown = Card::load(typo.path(), "sface", Job::Encode).unwrap_err().to_string();
    assert!(unknown.contains("chanels"), "{unknown}");
}
