//! Heads and adapters on made-up people: half of the elements are a person's own, the other half change from picture to
//! picture and are the stronger ones.
#![allow(clippy::unwrap_used)]

use gate_core::similarity::{dissimilarity, normalise};
use gate_learn::{
    AdapterOptions, BatchShape, Faces, Feature, HeadOptions, LearnError, Mining, TrainedAdapter, Verification,
    train_adapter, train_head,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const DIM: usize = 32;

/// 32-d unit vectors of `people` with four pictures each.
fn crowd(people: u32, seed: u64) -> (Vec<f32>, Vec<u32>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let (mut vectors, mut person) = (Vec::new(), Vec::new());
    for who in 0..people {
        let own: Vec<f32> = (0..DIM / 2).map(|_| rng.random_range(-1.0..1.0)).collect();
        for _ in 0..4 {
            let mut row: Vec<f32> = own.iter().map(|x| x + rng.random_range(-0.3..0.3)).collect();
            row.extend((DIM / 2..DIM).map(|_| rng.random_range(-1.5f32..1.5)));
            assert!(normalise(&mut row));
            vectors.extend(row);
            person.push(who);
        }
    }
    (vectors, person)
}

/// Strangers' pairs compared by `compare`.
fn strangers(compare: impl Fn(&[f32], &[f32]) -> f32) -> Verification {
    let (vectors, person) = crowd(60, 99);
    let faces = Faces::new(DIM, &vectors, &person).unwrap();
    let all: Vec<u32> = (0..faces.len() as u32).collect();
    Verification::all_pairs(&all, &person, |i, j| compare(faces.row(i), faces.row(j)))
}

fn options(feature: Feature) -> HeadOptions {
    HeadOptions { strengths: vec![1e-1, 1e-2], ..HeadOptions::new(feature) }
}

fn adapter(mining: Mining) -> TrainedAdapter {
    let (vectors, person) = crowd(80, 5);
    let options = AdapterOptions {
        mining,
        batch: BatchShape { people: 20, pictures: 4, others: 0 },
        epochs: 6,
        learning_rate: 1e-2,
        ..AdapterOptions::default()
    };
    train_adapter(&Faces::new(DIM, &vectors, &person).unwrap(), &options, &mut |_| {}).unwrap()
}

#[test]
fn a_head_learns_which_elements_count() {
    let (vectors, person) = crowd(80, 5);
    let faces = Faces::new(DIM, &vectors, &person).unwrap();
    let plain = strangers(dissimilarity);
    for feature in [Feature::Logistic, Feature::ChiSquare] {
        let mut steps = Vec::new();
        let head = train_head(&faces, &options(feature), &mut |p| steps.push((p.done, p.total))).unwrap();
        let of_head = strangers(|a, b| head.comparison().compare(a, b));
        assert!(of_head.eer() < 0.5 * plain.eer(), "{feature:?}: {} and plain {}", of_head.eer(), plain.eer());
        assert_eq!((steps.len(), steps[steps.len() - 1]), (17, (17, 17)));
        let again = train_head(&faces, &options(feature), &mut |_| {}).unwrap();
        assert_eq!(head, again, "the same seed gives the same head, bit for bit");
    }
}

#[test]
fn a_head_is_on_the_scale_of_d2() {
    let (vectors, person) = crowd(80, 5);
    let faces = Faces::new(DIM, &vectors, &person).unwrap();
    let head = train_head(&faces, &options(Feature::Logistic), &mut |_| {}).unwrap();
    let all: Vec<u32> = (0..faces.len() as u32).collect();
    let plain = Verification::all_pairs(&all, &person, |i, j| dissimilarity(faces.row(i), faces.row(j)));
    let of_head = Verification::all_pairs(&all, &person, |i, j| head.comparison().compare(faces.row(i), faces.row(j)));
    for fmr in [1e-2, 1e-4] {
        let (a, b) = (plain.at_fmr(fmr).unwrap().threshold, of_head.at_fmr(fmr).unwrap().threshold);
        assert!((a - b).abs() < 1e-3, "at {fmr}: d² {a}, head {b}");
    }
}

#[test]
fn mined_triplets_teach_more_than_random_ones() {
    let [random, semi_hard, hard] = [Mining::Random, Mining::SemiHard, Mining::Hard].map(adapter);
    let error = |a: &TrainedAdapter| strangers(|x, y| dissimilarity(&a.apply(x), &a.apply(y))).soft_fnmr();
    let [random, semi_hard, hard] = [&random, &semi_hard, &hard].map(error);
    let plain = strangers(dissimilarity).soft_fnmr();
    println!("plain {plain:.4}, random {random:.4}, semi-hard {semi_hard:.4}, hard {hard:.4}");
    assert!(random < plain && semi_hard < random && hard < random);
}

#[test]
fn the_same_seed_gives_the_same_adapter() {
    assert_eq!(adapter(Mining::SemiHard).weights, adapter(Mining::SemiHard).weights);
}

#[test]
fn an_adapter_that_gains_nothing_is_the_identity() {
    // Labels that mean nothing: each picture is given to a person at random.
    let (vectors, _) = crowd(40, 5);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let person: Vec<u32> = (0..160).map(|_| rng.random_range(0..40)).collect();
    let faces = Faces::new(DIM, &vectors, &person).unwrap();
    let options = AdapterOptions { epochs: 0, ..AdapterOptions::default() };
    let adapter = train_adapter(&faces, &options, &mut |_| {}).unwrap();
    assert!(adapter.is_identity());
    let mapped = adapter.apply(&vectors);
    assert!(mapped.iter().zip(&vectors).all(|(a, b)| (a - b).abs() < 1e-6));
    // With epochs: what comes back is the best of the curve, and epoch 0 is the identity.
    let options = AdapterOptions { epochs: 8, learning_rate: 1e-2, ..options };
    let adapter = train_adapter(&faces, &options, &mut |_| {}).unwrap();
    let least = adapter.curve.iter().map(|e| e.held_out_loss).fold(f64::INFINITY, f64::min);
    assert_eq!(adapter.curve[adapter.best_epoch].held_out_loss, least);
    assert!(least <= adapter.curve[0].held_out_loss);
}

#[test]
fn too_little_is_said_so() {
    let (vectors, _) = crowd(10, 5);
    let one = vec![0; 40];
    let faces = Faces::new(DIM, &vectors, &one).unwrap();
    let head = train_head(&faces, &HeadOptions::new(Feature::Logistic), &mut |_| {}).unwrap_err();
    assert!(matches!(head, LearnError::TooLittle(_)), "{head}");
    let adapter = train_adapter(&faces, &AdapterOptions::default(), &mut |_| {}).unwrap_err();
    assert!(matches!(adapter, LearnError::TooLittle(_)), "{adapter}");
}
