//! Learns a site's liveness classifier and tries it on people it was not learned from.

use super::clips::Clip;
use super::watch::{Look, Watched};
use crate::progress::Progress;
use crate::refusal::refuse;
use anyhow::Result;
use gate_core::liveness::ScoreModel;
use gate_learn::LinearClassifier;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Sets that people are dealt into; each is left out once.
const FOLDS: usize = 5;
/// The strengths of regularisation to choose from.
const STRENGTHS: [f64; 6] = [0.003, 0.03, 0.3, 3.0, 30.0, 300.0];
/// Looks of a clip that are learned from: the first ones, since by them the gate decides.
const LOOKS: usize = 12;

/// A clip in which a face was looked at.
pub struct Presentation<'a> {
    /// Who and what.
    pub clip: &'a Clip,
    /// What was seen.
    pub watched: &'a Watched,
}

/// What was learned.
pub struct Learned {
    /// From everybody.
    pub classifier: LinearClassifier,
    /// Of each presentation, each look's score by a classifier that never saw that person.
    pub scores: Vec<Vec<f32>>,
    /// How those scores lie.
    pub model: ScoreModel,
    /// The regularisation in use.
    pub strength: f64,
}

/// Learns from everybody, and for the scores with each set of people left out.
///
/// # Errors
/// With too few people or clips of either kind, or when live people and attacks cannot be told apart.
pub fn learn(presentations: &[Presentation<'_>], correlation_ms: f32, seed: u64) -> Result<Learned> {
    let means: Vec<Vec<f32>> = presentations.iter().map(mean_features).collect();
    let folds = deal(presentations, seed)?;
    let everybody: Vec<usize> = (0..presentations.len()).collect();
    let progress = Progress::bar_only("sets of people left out", folds.len() + 1);
    let mut scores: Vec<Vec<f32>> = vec![Vec::new(); presentations.len()];
    for held in &folds {
        let train: Vec<usize> = everybody.iter().filter(|n| !held.contains(n)).copied().collect();
        let strength = choose(presentations, &means, &train, seed)?;
        let classifier = fit(presentations, &means, &train, strength)?;
        for n in held {
            let looks = &presentations[*n].watched.looks;
            scores[*n] = looks.iter().map(|look| classifier.score(&look.features)).collect();
        }
        progress.step();
    }
    let strength = choose(presentations, &means, &everybody, seed)?;
    let classifier = fit(presentations, &means, &everybody, strength)?;
    progress.finish();
    let model = model(presentations, &scores, correlation_ms)?;
    Ok(Learned { classifier, scores, model, strength })
}

/// The mean over the looks by which a gate decides.
fn mean_features(presentation: &Presentation<'_>) -> Vec<f32> {
    let looks: Vec<&Look> = presentation.watched.longest_track().into_iter().take(LOOKS).collect();
    let dim = looks.first().map_or(0, |look| look.features.len());
    let mut mean = vec![0.0; dim];
    for look in &looks {
        mean.iter_mut().zip(&look.features).for_each(|(m, f)| *m += f / looks.len() as f32);
    }
    mean
}

/// People dealt into sets, all clips of a person in the same one.
fn deal(presentations: &[Presentation<'_>], seed: u64) -> Result<Vec<Vec<usize>>> {
    let people: BTreeSet<&str> = presentations.iter().map(|p| p.clip.person.as_str()).collect();
    let mut people: Vec<&str> = people.into_iter().collect();
    if people.len() < 2 {
        return Err(refuse(
            "clips of at least two people are needed, in a folder for each: what was learned is tried on people left out",
        ));
    }
    people.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let folds = FOLDS.min(people.len());
    let of = |fold: usize| {
        let members: Vec<&str> = people.iter().skip(fold).step_by(folds).copied().collect();
        (0..presentations.len()).filter(|n| members.contains(&presentations[*n].clip.person.as_str())).collect()
    };
    Ok((0..folds).map(of).collect())
}

fn fit(
    presentations: &[Presentation<'_>],
    means: &[Vec<f32>],
    train: &[usize],
    strength: f64,
) -> Result<LinearClassifier> {
    let rows: Vec<&[f32]> = train.iter().map(|n| means[*n].as_slice()).collect();
    let live: Vec<bool> = train.iter().map(|n| presentations[*n].clip.is_bona_fide()).collect();
    LinearClassifier::fit(&rows, &live, strength)
        .map_err(|error| refuse(format!("{error}; it takes clips of several people, live and attacks")))
}

/// The strength that does best on people left out within `train`.
fn choose(presentations: &[Presentation<'_>], means: &[Vec<f32>], train: &[usize], seed: u64) -> Result<f64> {
    let inner: Vec<Presentation<'_>> = train
        .iter()
        .map(|n| Presentation { clip: presentations[*n].clip, watched: presentations[*n].watched })
        .collect();
    let Ok(folds) = deal(&inner, seed) else { return Ok(STRENGTHS[STRENGTHS.len() / 2]) };
    let mut best = (f64::INFINITY, STRENGTHS[STRENGTHS.len() / 2]);
    for strength in STRENGTHS {
        let mut loss = 0.0;
        for held in &folds {
            let rest: Vec<usize> = (0..train.len()).filter(|k| !held.contains(k)).map(|k| train[k]).collect();
            // A set without which one kind is missing says nothing.
            let Ok(classifier) = fit(presentations, means, &rest, strength) else { continue };
            for k in held {
                let n = train[*k];
                let score = f64::from(classifier.score(&means[n]));
                let signed = if presentations[n].clip.is_bona_fide() { score } else { -score };
                loss += (-signed.abs()).exp().ln_1p() + (-signed).max(0.0);
            }
        }
        if loss < best.0 {
            best = (loss, strength);
        }
    }
    Ok(best.1)
}

/// How the scores of people left out lie: class means, spread of clips about them, spread of looks about their clip.
fn model(presentations: &[Presentation<'_>], scores: &[Vec<f32>], correlation_ms: f32) -> Result<ScoreModel> {
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let of = |live: bool| -> Vec<&Vec<f32>> {
        scores.iter().zip(presentations).filter(|(_, p)| p.clip.is_bona_fide() == live).map(|(s, _)| s).collect()
    };
    let clip_means = |live: bool| -> Vec<f32> { of(live).iter().map(|s| mean(s)).collect() };
    let (live, attacks) = (clip_means(true), clip_means(false));
    if live.len() < 2 || attacks.len() < 2 {
        return Err(refuse("it takes at least two clips with a usable face of live people, and two of attacks"));
    }
    let squares = |values: &[f32]| values.iter().map(|v| (v - mean(values)).powi(2)).sum::<f32>();
    let between = ((squares(&live) + squares(&attacks)) / (live.len() + attacks.len() - 2) as f32).sqrt();
    let looks: usize = scores.iter().map(Vec::len).sum();
    let within = (scores.iter().map(|s| squares(s)).sum::<f32>() / (looks - scores.len()).max(1) as f32).sqrt();
    let model = ScoreModel {
        bona_fide: mean(&live),
        attack: mean(&attacks),
        // Scores of a few clips may lie closer together than the next ones will.
        between: between.max(0.25 * (mean(&live) - mean(&attacks)).abs()),
        within,
        correlation_ms,
    };
    if !model.is_sound() {
        return Err(refuse(
            "live people and attacks cannot be told apart in these clips: are they in the right folders, and is the light the \
             gate's?",
        ));
    }
    Ok(model)
}
