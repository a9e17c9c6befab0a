//! Challenges made up by hand: what must be accepted, what never may be.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use gate_core::geometry::Point;
use gate_core::light::{
    AttackKind, BACKGROUND_PATCHES, Challenge, Code, FACE_PATCHES, LightPolicy, LightSample, Patch, Unusable, Verdict,
};
use proptest::prelude::*;

const LATE_MS: f32 = 60.0;

/// What the made-up face does.
#[derive(Clone, Copy)]
struct Face {
    /// The lamp's light as a part of the ambient light.
    answer: f32,
    /// How much of the average head's relief is in it.
    relief: f32,
    /// The code by which it is lit, and how late the camera gives its frames, ms.
    lit_by: Code,
    late_ms: f32,
}

fn encoded(light: f32) -> Patch {
    Patch { luma: 255.0 * (0.2 * light).powf(1.0 / 2.2), saturated: 0.0 }
}

/// 15 or so frames a second; the camera's gain falls while the lamp is on, as automatic exposure does.
fn samples(face: Face, period_ms: f32) -> Vec<LightSample> {
    let head = LightPolicy::default().head;
    let mut samples = Vec::new();
    let (mut at, mut gain) = (-100.0f32, 1.0f32);
    while at < 700.0 {
        let seen = at - face.late_ms;
        let lit = face.lit_by.lit_part(seen - 8.0, seen + 8.0);
        gain += 0.2 * (1.0 - 0.15 * lit - gain);
        let on = |i: usize| gain * (0.5 + 0.02 * i as f32) * (1.0 + lit * face.answer * (1.0 + face.relief * head[i]));
        samples.push(LightSample {
            at_ms: at as i32,
            face: std::array::from_fn(|i| encoded(on(i))),
            background: std::array::from_fn(|i| encoded(gain * (0.4 + 0.1 * i as f32) * (1.0 + 0.02 * lit))),
            centre: Point { x: 320.0, y: 240.0 },
            size_px: 150.0,
        });
        at += period_ms;
    }
    samples
}

fn ask(code: Code, samples: &[LightSample]) -> Verdict {
    let mut challenge = Challenge::begin(code);
    samples.iter().for_each(|sample| challenge.take(sample));
    challenge.finish(&LightPolicy::default()).verdict
}

fn codes() -> impl Iterator<Item = Code> {
    (0..40u64).map(|i| Code::draw((i * 41).to_le_bytes()))
}

#[test]
fn a_head_in_step_is_bona_fide_whatever_the_exposure_does() {
    for code in codes() {
        let head = Face { answer: 0.3, relief: 1.0, lit_by: code, late_ms: LATE_MS };
        assert_eq!(ask(code, &samples(head, 40.0)), Verdict::BonaFide, "{code:?}");
    }
}

#[test]
fn the_delay_is_found_and_the_ratio_measured() {
    let code = Code::draw([7; 8]);
    let head = Face { answer: 0.3, relief: 1.0, lit_by: code, late_ms: LATE_MS };
    let mut challenge = Challenge::begin(code);
    samples(head, 33.3).iter().for_each(|sample| challenge.take(sample));
    let evidence = challenge.finish(&LightPolicy::default()).evidence;
    assert!((evidence.latency_ms - LATE_MS).abs() <= 15.0, "{evidence:?}");
    assert!((evidence.answer - 0.28).abs() < 0.03 && (evidence.shape - 1.0).abs() < 0.2, "{evidence:?}");
    assert!(evidence.likeness > 0.9 && evidence.guess < 0.01, "{evidence:?}");
}

#[test]
fn a_screen_a_print_and_a_recording_are_told_apart() {
    for (code, other) in codes().zip(codes().skip(1)) {
        let head = Face { answer: 0.3, relief: 1.0, lit_by: code, late_ms: LATE_MS };
        let verdict = |face: Face| ask(code, &samples(face, 40.0));
        assert_ne!(verdict(Face { answer: 0.0, ..head }), Verdict::BonaFide);
        assert_eq!(verdict(Face { relief: 0.0, ..head }), Verdict::Attack(AttackKind::FlatAnswer), "{code:?}");
        assert_ne!(verdict(Face { lit_by: other, ..head }), Verdict::BonaFide);
        assert_ne!(verdict(Face { late_ms: 300.0, ..head }), Verdict::BonaFide, "a relay");
    }
}

#[test]
fn what_cannot_be_judged_says_why() {
    let code = Code::draw([3; 8]);
    let good = samples(Face { answer: 0.3, relief: 1.0, lit_by: code, late_ms: LATE_MS }, 40.0);
    let with = |change: fn(usize, &mut LightSample)| {
        let mut samples = good.clone();
        samples.iter_mut().enumerate().for_each(|(i, sample)| change(i, sample));
        ask(code, &samples)
    };
    let unusable = Verdict::Unusable;
    assert_eq!(ask(code, &[]), unusable(Unusable::TooFewFrames));
    assert_eq!(ask(code, &good[..6]), unusable(Unusable::TooFewFrames));
    assert_eq!(with(|i, s| s.centre.x += 4.0 * i as f32), unusable(Unusable::Moved));
    assert_eq!(with(|i, s| s.size_px *= 1.0 + 0.02 * i as f32), unusable(Unusable::Moved));
    assert_eq!(with(|_, s| s.face = [Patch::UNSEEN; FACE_PATCHES]), unusable(Unusable::Moved));
    assert_eq!(with(|_, s| s.face.iter_mut().for_each(|p| p.saturated = 0.5)), unusable(Unusable::Saturated));
    assert_eq!(with(|_, s| s.face.iter_mut().for_each(|p| p.luma *= 0.05)), unusable(Unusable::TooDark));
    assert_eq!(with(|_, s| s.centre.y = f32::NAN), unusable(Unusable::Moved));
}

#[test]
fn without_any_background_a_bright_answer_still_counts_and_junk_policies_open_nothing() {
    let code = Code::draw([3; 8]);
    let mut good = samples(Face { answer: 1.0, relief: 1.0, lit_by: code, late_ms: LATE_MS }, 33.0);
    good.iter_mut().for_each(|sample| sample.background = [Patch::UNSEEN; BACKGROUND_PATCHES]);
    let mut challenge = Challenge::begin(code);
    good.iter().for_each(|sample| challenge.take(sample));
    let evidence = challenge.finish(&LightPolicy::default()).evidence;
    assert!(evidence.background.is_nan() && evidence.synchrony > 0.8, "{evidence:?}");
    let nan = f32::NAN;
    let junk = LightPolicy { shape_min: nan, synchrony_min: nan, guess_max: nan, ..LightPolicy::default() };
    assert_ne!(challenge.finish(&junk).verdict, Verdict::BonaFide);
    let junk =
        LightPolicy { latency_min_ms: 9000, latency_max_ms: 0, head: [nan; FACE_PATCHES], ..LightPolicy::default() };
    assert_ne!(challenge.finish(&junk).verdict, Verdict::BonaFide);
}

/// Any float, the odd ones often.
fn any_float() -> impl Strategy<Value = f32> {
    prop_oneof![any::<f32>(), Just(f32::NAN), Just(f32::INFINITY), 0.0f32..255.0]
}

fn any_patch() -> impl Strategy<Value = Patch> {
    (any_float(), any_float()).prop_map(|(luma, saturated)| Patch { luma, saturated })
}

fn any_sample() -> impl Strategy<Value = LightSample> {
    let face = prop::collection::vec(any_patch(), FACE_PATCHES);
    let background = prop::collection::vec(any_patch(), BACKGROUND_PATCHES);
    (-300i32..1000, face, background, any_float(), any_float()).prop_map(|(at_ms, face, background, x, size_px)| {
        LightSample {
            at_ms,
            face: face.try_into().unwrap(),
            background: background.try_into().unwrap(),
            centre: Point { x, y: 0.0 },
            size_px,
        }
    })
}

proptest! {
    #[test]
    fn junk_never_panics_and_is_never_bona_fide(
        random in any::<[u8; 8]>(),
        junk in prop::collection::vec(any_sample(), 0..90),
        sorted in any::<bool>(),
    ) {
        let mut junk = junk;
        if sorted {
            junk.sort_by_key(|sample| sample.at_ms);
        }
        prop_assert_ne!(ask(Code::draw(random), &junk), Verdict::BonaFide);
    }

    #[test]
    fn one_poisoned_value_never_helps(at in 0usize..16, patch in 0usize..FACE_PATCHES, poison in any_float()) {
        // A sheet in step: no single value makes it a head.
        let code = Code::draw([9; 8]);
        let mut samples = samples(Face { answer: 0.3, relief: 0.0, lit_by: code, late_ms: LATE_MS }, 40.0);
        samples[at].face[patch].luma = poison;
        prop_assert_ne!(ask(code, &samples), Verdict::BonaFide);
    }

    #[test]
    fn noise_is_never_bona_fide(seed in any::<u64>()) {
        let mut state = seed | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            40.0 + 160.0 * (state >> 40) as f32 / (1u64 << 24) as f32
        };
        let code = Code::draw(seed.to_le_bytes());
        let face = Face { answer: 0.0, relief: 0.0, lit_by: code, late_ms: 0.0 };
        let mut samples = samples(face, 40.0);
        for sample in &mut samples {
            sample.face.iter_mut().for_each(|patch| patch.luma = next());
        }
        prop_assert_ne!(ask(code, &samples), Verdict::BonaFide);
    }
}
