//! The siamese encoder: it learns, by seed, and ONNX Runtime computes what it computes. Needs what `make setup` fetches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_learn::{BatchShape, Chips, EncoderOptions, Mining, Network, TrainedEncoder, train_encoder};
use gate_vision::align::CHIP_BYTES;
use gate_vision::card::sha256_hex;
use gate_vision::{Encoder, Runtime, SessionOptions};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::path::Path;

/// Chips of noise in blocks of 14 pixels: `people` with three pictures each, theirs but for some noise and another light.
fn chips(people: u32, seed: u64) -> (Vec<u8>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut bytes, mut person) = (Vec::new(), Vec::new());
    for who in 0..people {
        let own: Vec<f32> = (0..8 * 8 * 3).map(|_| rng.random_range(60.0..190.0)).collect();
        for _ in 0..3 {
            let light = rng.random_range(-50.0f32..50.0);
            bytes.extend((0..CHIP_BYTES).map(|i| {
                let (y, x, c) = (i / 336, i / 3 % 112, i % 3);
                (own[(y / 14 * 8 + x / 14) * 3 + c] + light + rng.random_range(-10.0..10.0)) as u8
            }));
            person.push(who);
        }
    }
    (bytes, person)
}

fn trained(epochs: usize) -> TrainedEncoder {
    let (bytes, person) = chips(12, 4);
    let options = EncoderOptions {
        dim: 16,
        mining: Mining::SemiHard,
        batch: BatchShape { people: 8, pictures: 3, others: 0 },
        epochs,
        one_in: 3,
        ..EncoderOptions::default()
    };
    train_encoder(&Chips::new(&bytes, &person).unwrap(), &options, &mut |_| {}).unwrap()
}

#[test]
fn onnx_runtime_computes_what_the_network_computes() {
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let runtime = Runtime::load(None, &models).expect("run `make setup` first");
    let network = trained(1).network;
    let dir = tempfile::tempdir().unwrap();
    let onnx = network.onnx();
    std::fs::create_dir(dir.path().join("cache")).unwrap();
    std::fs::write(dir.path().join("cache/tiny.onnx"), &onnx).unwrap();
    let card = format!(
        "name = \"tiny\"\njob = \"encode\"\nabout = \"a test\"\norigin = \"here\"\nlicence = \"MIT\"\nfile = \
         \"tiny.onnx\"\nsha256 = \"{}\"\n[input]\nchannels = \"rgb\"\nmean = 127.5\nscale = {}\n[encoding]\ndim = 16\n\
         measured_on = \"nothing\"\ncomparisons = 100\nimpostors = [{{ fmr = 1e-2, d2 = 1.0 }}]\n",
        sha256_hex(&onnx),
        1.0 / 127.5
    );
    std::fs::write(dir.path().join("tiny.toml"), card).unwrap();
    let mut encoder = Encoder::load(&runtime, dir.path(), "tiny", SessionOptions::default()).unwrap();
    let (bytes, _) = chips(2, 8);
    let ours = network.embed(&bytes).unwrap();
    for (chip, ours) in bytes.as_chunks::<CHIP_BYTES>().0.iter().zip(ours.chunks_exact(16)) {
        let theirs = encoder.encode(chip).unwrap();
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-4), "{ours:?}\n{theirs:?}");
    }
}

#[test]
fn the_loss_falls_and_the_same_seed_gives_the_same_network() {
    let trained_once = trained(4);
    let losses: Vec<f64> = trained_once.curve.iter().map(|e| e.train_loss).collect();
    assert!(losses[4] < losses[1], "{losses:?}");
    assert_eq!(trained_once.people, (8, 4));
    assert_eq!(trained_once.network, trained(4).network);
}

#[test]
fn the_untrained_network_is_that_of_its_seed() {
    assert_eq!(Network::untrained(8, 3).unwrap(), Network::untrained(8, 3).unwrap());
    assert_ne!(Network::untrained(8, 3).unwrap(), Network::untrained(8, 4).unwrap());
    assert!(Chips::new(&[0; 100], &[0]).is_err());
}
