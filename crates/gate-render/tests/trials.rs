//! Drawn challenges, from pixels to verdict.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_core::light::{LightPolicy, Verdict};
use gate_render::{Conditions, Species, Trial};

const GOOD: Conditions = Conditions { lamp_ratio: 0.5, fps: 30.0 };
const TRIALS: u64 = 40;

/// How many of the trials are taken for bona fide.
fn accepted(species: Species) -> usize {
    let policy = LightPolicy::default();
    let verdict = |seed| Trial::draw(species, GOOD, 5_000 + seed).answer(&policy).verdict;
    (0..TRIALS).filter(|seed| verdict(*seed) == Verdict::BonaFide).count()
}

#[test]
fn heads_pass_and_flat_prints_and_screens_do_not() {
    assert!(accepted(Species::BonaFide) > TRIALS as usize / 2);
    // A twentieth is far above what light-test measures; more would be a fault, not chance.
    for attack in [Species::PrintFlat, Species::ScreenPhoto, Species::ScreenVideo, Species::ScreenRelay] {
        assert!(accepted(attack) <= TRIALS as usize / 20, "{}", attack.name());
    }
}

#[test]
fn the_same_seed_draws_the_same_frames() {
    let draw = || Trial::draw(Species::PrintBent, GOOD, 7).frames();
    let (one, other) = (draw(), draw());
    assert!(one.len() > 15 && one.len() == other.len());
    assert!(one.iter().zip(&other).all(|(a, b)| a.pixels == b.pixels && a.at_ms == b.at_ms && a.face == b.face));
    assert!(one.windows(2).all(|pair| pair[0].at_ms < pair[1].at_ms) && one.iter().all(|frame| frame.at_ms < 700));
}
