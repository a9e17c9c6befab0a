//! The liveness network in this project answers as the published original does, and its weights are found beside its card.
//! Needs what `make setup` fetches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod golden;

use gate_vision::card::{Card, Job, sha256_hex};
use gate_vision::{Runtime, SessionOptions, VisionError};
use golden::{Golden, models};
use ort::value::TensorRef;

const NAME: &str = "minifasnet_v2";

#[test]
fn the_imported_network_answers_as_the_original() {
    let runtime = Runtime::load(None, &models()).expect("run `make setup` first");
    let card = Card::load(&models(), NAME, Job::Liveness).unwrap();
    assert!(card.prepare.split_prelu, "the test is about the prepared graph");
    let mut session = runtime.session(&card, SessionOptions::default()).unwrap();
    for crop in Golden::read().crop {
        let bgr = crop.bgr();
        let what = format!("{} at {:?}", crop.picture, crop.square);
        assert_eq!(
            sha256_hex(&bgr),
            crop.sha256,
            "{what}: other pixels than those that the original has answered to. The picture's decoder has changed; make \
             the golden values anew"
        );
        let planes: Vec<f32> = (0..3).flat_map(|c| bgr.iter().skip(c).step_by(3).map(|v| f32::from(*v))).collect();
        let image = TensorRef::from_array_view(([1usize, 3, 80, 80], planes.as_slice())).unwrap();
        let outputs = session.run(ort::inputs!["image" => image]).unwrap();
        let (_, logits) = outputs["logits"].try_extract_tensor::<f32>().unwrap();
        assert_eq!(logits.len(), 3);
        let off = logits.iter().zip(crop.logits).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(off < 1e-3, "{what}: {logits:?}, the original answers {:?}", crop.logits);
        let (shape, embedding) = outputs["embedding"].try_extract_tensor::<f32>().unwrap();
        assert_eq!(shape[..], [1, 128]);
        assert!(embedding.iter().any(|v| *v != 0.0));
    }
}

#[test]
fn weights_are_looked_for_beside_the_card_and_then_in_cache() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(models().join("minifasnet_v2.toml"), dir.path().join("minifasnet_v2.toml")).unwrap();
    let card = Card::load(dir.path(), NAME, Job::Liveness).unwrap();
    let (beside, cache) = (dir.path().join(&card.file), dir.path().join("cache"));
    assert!(matches!(card.weights(), Err(VisionError::WeightsMissing { path, .. }) if path.starts_with(&cache)));
    let weights = std::fs::read(models().join(&card.file)).unwrap();
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(cache.join(&card.file), &weights).unwrap();
    assert_eq!(card.weights().unwrap(), weights);
    // What lies beside the card comes first, and must be the right file all the same.
    std::fs::write(&beside, b"another").unwrap();
    assert!(matches!(card.weights(), Err(VisionError::WrongHash { path, .. }) if path == beside));
    std::fs::write(&beside, &weights).unwrap();
    std::fs::remove_dir_all(&cache).unwrap();
    assert_eq!(card.weights().unwrap(), weights);
}

#[test]
fn a_liveness_card_says_what_the_network_sees() {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(models().join("minifasnet_v2.toml")).unwrap();
    let (head, _) = text.split_once("[liveness]").unwrap();
    let changed =
        [head.to_owned(), text.replace("crop = 2.7", "crop = nan"), text.replace("side_px = 80", "side_px = 0")];
    for text in changed {
        std::fs::write(dir.path().join("minifasnet_v2.toml"), text).unwrap();
        let refused = Card::load(dir.path(), NAME, Job::Liveness).unwrap_err().to_string();
        assert!(refused.contains("needs [liveness]"), "{refused}");
    }
    let other = Card::load(&models(), NAME, Job::Encode).unwrap_err().to_string();
    assert!(other.contains("not Encode"), "{other}");
}
