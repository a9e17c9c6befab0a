//! Presentation attack detection over a track: a sequential test on log-likelihood ratios.
//!
//! ```text
//!  one frame: PadLook ── score ────────┐   mean over the window, with a clip effect   ┐
//!                     ── outline ──────┼─▶ mean over the window, bounded              ├─▶ sum = LLR
//!                     ── surroundings ─┘   ratio over the window, bounded             ┘     │
//!       the lower of the LLRs of all looks and of those that may speak for the person
//!       LLR >= accept: BonaFide · LLR <= reject: Attack · at the deadline: BonaFide if LLR >= decide, else Attack
//! ```
//!
//! The test is Wald's (Sequential Tests of Statistical Hypotheses, 1945), truncated at a deadline. What it must not do is
//! to count the frames of one clip as independent: a network that is wrong about a print is wrong in every frame of it. So a
//! score is modelled as class mean + clip effect + frame noise. The mean over n frames then has the variance
//! between² + within²/n, of which the first part never goes away: more of the same never makes the test surer than the
//! clip effect allows. Frames closer together than the correlation time do not count as new ones either.

use heapless::Deque;
use libm::{erfcf, logf, sqrtf};

/// Most looks kept for a track: two seconds at 30 frames a second.
const LOOKS_MAX: usize = 64;
/// Fewest looks that a verdict rests on.
const LOOKS_MIN: usize = 3;
/// By when a verdict falls, counted from the first look, milliseconds.
pub const DEADLINE_MS: u64 = 800;
/// Looks older than this have no say, milliseconds. Longer than the deadline, and short enough that a picture that is slid
/// before a live face cannot live off that face for long.
const WINDOW_MS: u64 = 1_200;
/// The score alone says no more than this, either way: what lies beyond was never measured.
const SCORE_LLR_MAX: f32 = 6.0;
/// The outline and the surroundings say no more than this, either way: each is one observation of one kind.
const CUE_LLR_MAX: f32 = 2.0;
/// The outline's strength that speaks for neither side (see [`PadLook::outline`]), and one unit's weight.
const OUTLINE_MIDDLE: f32 = 4.8;
const OUTLINE_WEIGHT: f32 = 0.35;
/// No outline is weak evidence: a picture may be larger than the frame.
const NO_OUTLINE_LLR_MAX: f32 = 0.5;
/// ln(still / carried) of [`Surroundings`] that speaks for neither side.
const SURROUNDINGS_MIDDLE: f32 = -1.0;
/// Share of the surroundings, times independent looks, at which they have half their say.
const SURROUNDINGS_HALF: f32 = 0.5;
/// Movement is seen anew after so long, milliseconds.
const SURROUNDINGS_NEW_MS: f32 = 200.0;

/// How a face's surroundings have moved since a moment ago, in the pixels where the answer shows.
///
/// Before a fixed camera a live head moves and the wall behind it does not; paper or a screen held up takes along what
/// surrounds the face on it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Surroundings {
    /// Part of the surroundings where the two hypotheses differ, 0..=1. 0 = nothing moved, or nothing is to be seen.
    pub share: f32,
    /// Mean difference of luma there if they stand still, 0..=255.
    pub still: f32,
    /// Mean difference of luma there if they are carried along by the face's motion, 0..=255.
    pub carried: f32,
}

/// What one frame says about whether a face is bona fide.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadLook {
    /// The network's log-odds of "bona fide", or the site's classifier's.
    pub score: f32,
    /// Strength of straight edges left, right, above and below the face (a bezel, a sheet), grey levels a pixel.
    pub outline: f32,
    /// How the surroundings moved; `None` = there was no earlier frame to compare with.
    pub surroundings: Option<Surroundings>,
}

impl PadLook {
    /// A look of which only the score says anything.
    #[must_use]
    pub const fn of_score(score: f32) -> Self {
        Self { score, outline: OUTLINE_MIDDLE, surroundings: None }
    }
}

/// How a score is distributed: normal, about a mean for each class, with an effect of the clip and noise of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreModel {
    /// Mean score of bona fide presentations.
    pub bona_fide: f32,
    /// Mean score of attacks; below `bona_fide`.
    pub attack: f32,
    /// Standard deviation of clips' means about their class's.
    pub between: f32,
    /// Standard deviation of frames about their clip's mean.
    pub within: f32,
    /// Two frames count as two when they are this far apart, milliseconds.
    pub correlation_ms: f32,
}

impl ScoreModel {
    /// Whether the numbers make a model: finite, in order, with spread.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        [self.bona_fide, self.attack, self.between, self.within, self.correlation_ms].iter().all(|v| v.is_finite())
            && self.bona_fide > self.attack
            && self.between > 0.0
            && self.within >= 0.0
            && self.correlation_ms > 0.0
    }

    /// Log-likelihood ratio (bona fide over attack) of a mean score over looks that span `span_ms`.
    #[must_use]
    pub fn llr(&self, mean: f32, span_ms: f32, looks: usize) -> f32 {
        let independent = (1.0 + span_ms / self.correlation_ms).min(looks as f32).max(1.0);
        let variance = self.between * self.between + self.within * self.within / independent;
        let middle = 0.5 * (self.bona_fide + self.attack);
        (self.bona_fide - self.attack) * (mean - middle) / variance
    }

    /// The distance of the classes in standard deviations of a long clip (d').
    #[must_use]
    pub fn separation(&self) -> f32 {
        (self.bona_fide - self.attack) / self.between
    }
}

/// Where the test ends, as log-likelihood ratios.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PadThresholds {
    /// Bona fide from here on, at any time.
    pub accept: f32,
    /// Attack from here down, at any time.
    pub reject: f32,
    /// At the deadline: bona fide from here on, else attack.
    pub decide: f32,
}

impl PadThresholds {
    /// The thresholds at which the model predicts that `bpcer` (0..1, cut to 0.001..=0.5) of bona fide clips are refused.
    ///
    /// The LLR of a long clip is normal, with mean +-d'²/2 and variance d'². `decide` is its quantile; the early bounds are
    /// Wald's, for that BPCER and the APCER that comes with it.
    #[must_use]
    pub fn derive(model: &ScoreModel, bpcer: f32) -> Self {
        let bpcer = if bpcer.is_finite() { bpcer.clamp(0.001, 0.5) } else { 0.02 };
        let d = model.separation();
        let decide = 0.5 * d * d + d * normal_quantile(bpcer);
        let apcer = (1.0 - normal_cdf((decide + 0.5 * d * d) / d)).clamp(1e-4, 0.5);
        let accept = logf((1.0 - bpcer) / apcer).max(decide);
        let reject = logf(bpcer / (1.0 - apcer)).min(decide);
        Self { accept, reject, decide }
    }
}

/// What the test has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadVerdict {
    /// A live face, as far as this evidence goes.
    BonaFide,
    /// A presentation attack. It stays one for as long as the track lasts.
    Attack,
}

/// One look, as it is kept.
#[derive(Clone, Copy, Debug)]
struct Taken {
    at_ms: u64,
    look: PadLook,
    /// Whether the frame showed the person who is to be let in: only such a look counts for life.
    may_count_for: bool,
}

/// The test over one track.
///
/// Every look counts against life. For life counts only a look at a frame that matched the person in question.
#[derive(Clone, Debug, Default)]
pub struct PadTest {
    looks: Deque<Taken, LOOKS_MAX>,
    /// When the first look came that may count for life.
    began_ms: Option<u64>,
    verdict: Option<PadVerdict>,
}

impl PadTest {
    /// Takes in a look at a frame that matched the person and says where the test stands: `None` = not decided yet.
    ///
    /// A look that is not a number says nothing and is left out. A verdict of bona fide holds only while the looks of the
    /// window bear it; an attack stays one.
    pub fn take(
        &mut self,
        look: PadLook,
        now_ms: u64,
        model: &ScoreModel,
        thresholds: &PadThresholds,
    ) -> Option<PadVerdict> {
        self.weigh(Taken { at_ms: now_ms, look, may_count_for: true }, model, thresholds)
    }

    /// The same for a look at a frame that did not match the person: it can only count against life.
    pub fn take_against(
        &mut self,
        look: PadLook,
        now_ms: u64,
        model: &ScoreModel,
        thresholds: &PadThresholds,
    ) -> Option<PadVerdict> {
        self.weigh(Taken { at_ms: now_ms, look, may_count_for: false }, model, thresholds)
    }

    fn weigh(&mut self, taken: Taken, model: &ScoreModel, thresholds: &PadThresholds) -> Option<PadVerdict> {
        if !taken.look.score.is_finite() {
            return self.verdict;
        }
        let now_ms = taken.at_ms;
        while self.looks.front().is_some_and(|kept| now_ms.saturating_sub(kept.at_ms) > WINDOW_MS) {
            self.looks.pop_front();
        }
        if self.looks.is_empty() {
            // After a gap nothing is left of what was seen before it.
            self.forget();
        }
        if self.looks.is_full() {
            self.looks.pop_front();
        }
        // There is room: one was just removed if it was full.
        let _ = self.looks.push_back(taken);
        if taken.may_count_for && self.began_ms.is_none() {
            self.began_ms = Some(now_ms);
        }
        if self.verdict == Some(PadVerdict::Attack) || self.looks.len() < LOOKS_MIN {
            return self.verdict;
        }

        let llr = self.llr(model);
        let speaking = self.looks.iter().filter(|kept| kept.may_count_for).count();
        let due = self.began_ms.is_some_and(|began| now_ms.saturating_sub(began) >= DEADLINE_MS);
        self.verdict = if llr <= thresholds.reject {
            Some(PadVerdict::Attack)
        } else if speaking < LOOKS_MIN {
            None
        } else if llr >= thresholds.accept || (due && llr >= thresholds.decide) {
            Some(PadVerdict::BonaFide)
        } else if due && self.verdict.is_none() {
            Some(PadVerdict::Attack)
        } else if llr < thresholds.decide {
            // It was bona fide, and the looks no longer bear it: a new test begins.
            if self.verdict.is_some() {
                self.began_ms = Some(now_ms);
            }
            None
        } else {
            self.verdict
        };
        self.verdict
    }

    /// Where the test stands.
    #[must_use]
    pub fn verdict(&self) -> Option<PadVerdict> {
        self.verdict
    }

    /// Whether one look by itself does not speak against life: a grant rests only on frames that bear this.
    #[must_use]
    pub fn bears_life(look: &PadLook, model: &ScoreModel, thresholds: &PadThresholds) -> bool {
        // Written so that NaN does not bear it.
        model.llr(look.score, 0.0, 1) >= thresholds.decide.min(0.0)
    }

    /// Log-likelihood ratio (bona fide over attack) of the looks in the window: of all of them, or of those that may count for
    /// life where that is lower. 0 without looks. Never leaves the machine.
    #[must_use]
    pub fn llr(&self, model: &ScoreModel) -> f32 {
        let all: f32 = self.parts(model).iter().sum();
        let speaking: f32 = self.parts_of(model, |kept| kept.may_count_for).iter().sum();
        all.min(speaking)
    }

    /// The parts of the LLR of all looks: score, outline, surroundings.
    #[must_use]
    pub fn parts(&self, model: &ScoreModel) -> [f32; 3] {
        self.parts_of(model, |_| true)
    }

    fn parts_of(&self, model: &ScoreModel, counts: impl Fn(&Taken) -> bool) -> [f32; 3] {
        let counted = || self.looks.iter().filter(|kept| counts(kept));
        let (Some(first), Some(last)) = (counted().next(), counted().last()) else { return [0.0; 3] };
        let looks = counted().count();
        let span_ms = last.at_ms.saturating_sub(first.at_ms) as f32;
        let mean = |of: fn(&PadLook) -> f32| counted().map(|kept| of(&kept.look)).sum::<f32>() / looks as f32;

        let score = model.llr(mean(|l| l.score), span_ms, looks);
        let outline = OUTLINE_WEIGHT * (OUTLINE_MIDDLE - mean(|l| l.outline));
        let surroundings = surroundings_llr(counted().filter_map(|kept| kept.look.surroundings), span_ms);
        [
            bounded(score, SCORE_LLR_MAX, SCORE_LLR_MAX),
            bounded(outline, CUE_LLR_MAX, NO_OUTLINE_LLR_MAX),
            bounded(surroundings, CUE_LLR_MAX, CUE_LLR_MAX),
        ]
    }

    /// Starts afresh: another face may stand there now. An attack stays one.
    pub fn forget(&mut self) {
        self.looks.clear();
        self.began_ms = None;
        self.verdict = self.verdict.filter(|v| *v == PadVerdict::Attack);
    }
}

/// How the surroundings moved over the whole window.
fn surroundings_llr(seen: impl Iterator<Item = Surroundings>, span_ms: f32) -> f32 {
    let (mut shares, mut still, mut carried, mut n) = (0.0f32, 0.0f32, 0.0f32, 0.0f32);
    for seen in seen {
        shares += seen.share;
        still += seen.share * seen.still;
        carried += seen.share * seen.carried;
        n += 1.0;
    }
    if n == 0.0 || shares <= 0.0 {
        return 0.0;
    }
    let independent = (1.0 + span_ms / SURROUNDINGS_NEW_MS).min(n);
    let amount = shares / n * independent;
    let say = amount / (amount + SURROUNDINGS_HALF);
    // A hundredth of a grey level keeps an exact fit from being infinitely sure.
    let ratio = logf((still + 0.01 * shares) / (carried + 0.01 * shares));
    say * (SURROUNDINGS_MIDDLE - ratio)
}

/// Cut to -down..=up; what is not a number says nothing.
fn bounded(llr: f32, down: f32, up: f32) -> f32 {
    if llr.is_nan() { 0.0 } else { llr.clamp(-down, up) }
}

fn normal_cdf(x: f32) -> f32 {
    0.5 * erfcf(-x / sqrtf(2.0))
}

/// The quantile of the normal distribution, by halving: five digits, and called once.
fn normal_quantile(p: f32) -> f32 {
    let (mut low, mut high) = (-8.0f32, 8.0f32);
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if normal_cdf(middle) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MODEL: ScoreModel =
        ScoreModel { bona_fide: 5.0, attack: -7.0, between: 3.0, within: 1.8, correlation_ms: 250.0 };

    fn look(score: f32) -> PadLook {
        PadLook::of_score(score)
    }

    /// The verdict and when it fell, for a clip of constant looks.
    fn run(look: PadLook, fps: u64) -> Option<(PadVerdict, u64)> {
        let (mut test, thresholds) = (PadTest::default(), PadThresholds::derive(&MODEL, 0.02));
        (0..200).find_map(|n| {
            let at = n * 1_000 / fps;
            test.take(look, at, &MODEL, &thresholds).map(|verdict| (verdict, at))
        })
    }

    #[test]
    fn it_stops_early_when_sure_and_at_the_deadline_when_not() {
        let (verdict, at_ms) = run(look(6.0), 15).unwrap();
        assert!(verdict == PadVerdict::BonaFide && at_ms < DEADLINE_MS / 2, "{verdict:?} after {at_ms} ms");
        let (verdict, at_ms) = run(look(-8.0), 15).unwrap();
        assert!(verdict == PadVerdict::Attack && at_ms < DEADLINE_MS / 2, "{verdict:?} after {at_ms} ms");
        for (score, wanted) in [(0.2, PadVerdict::BonaFide), (-2.0, PadVerdict::Attack)] {
            let (verdict, at_ms) = run(look(score), 15).unwrap();
            assert_eq!(verdict, wanted, "score {score}");
            assert!((DEADLINE_MS..1_000).contains(&at_ms), "{score}: after {at_ms} ms");
        }
    }

    #[test]
    fn more_frames_of_the_same_cue_do_not_make_it_sure() {
        // Frames as fast as one likes: the clip effect bounds what they say together.
        let long = MODEL.llr(1.0, 1e6, 100_000);
        let short = MODEL.llr(1.0, 1_000.0, 15);
        assert!(long < 1.1 * short, "{long} against {short}");
        assert!(MODEL.llr(1.0, 50.0, 30) < 1.05 * MODEL.llr(1.0, 50.0, 2), "frames of one moment are one look");
    }

    #[test]
    fn an_attack_stays_one_and_a_bona_fide_face_must_remain_so() {
        let (mut test, thresholds) = (PadTest::default(), PadThresholds::derive(&MODEL, 0.02));
        for n in 0..10 {
            test.take(look(6.0), n * 66, &MODEL, &thresholds);
        }
        assert_eq!(test.verdict(), Some(PadVerdict::BonaFide));
        // A phone is slid before the face.
        let fell = (10..40).find(|n| test.take(look(-8.0), n * 66, &MODEL, &thresholds) != Some(PadVerdict::BonaFide));
        assert!(fell.is_some_and(|n| n < 20), "taken back at frame {fell:?}");
        for n in 40..60 {
            test.take(look(-8.0), n * 66, &MODEL, &thresholds);
        }
        test.forget();
        for n in 100..200 {
            assert_eq!(test.take(look(9.0), n * 66, &MODEL, &thresholds), Some(PadVerdict::Attack));
        }
    }

    #[test]
    fn surroundings_that_are_carried_along_speak_against_and_still_ones_for() {
        let with =
            |still, carried, share| PadLook { surroundings: Some(Surroundings { share, still, carried }), ..look(0.0) };
        let llr = |look: PadLook| {
            let (mut test, thresholds) = (PadTest::default(), PadThresholds::derive(&MODEL, 0.02));
            for n in 0..12 {
                test.take(look, n * 66, &MODEL, &thresholds);
            }
            test.parts(&MODEL)[2]
        };
        assert!(llr(with(1.0, 20.0, 0.3)) > 0.5);
        assert!(llr(with(20.0, 6.0, 0.3)) < -0.5);
        assert_eq!(llr(with(0.0, 0.0, 0.0)), 0.0, "nothing moved: nothing is said");
        assert!(llr(with(20.0, 1.0, 0.001)).abs() < 0.1, "a few pixels say little");
    }

    #[test]
    fn a_smaller_bpcer_target_refuses_fewer_and_the_predicted_rate_is_kept() {
        let strict = PadThresholds::derive(&MODEL, 0.10);
        let lax = PadThresholds::derive(&MODEL, 0.01);
        assert!(lax.decide < strict.decide && lax.reject < strict.reject, "{lax:?} {strict:?}");
        for bpcer in [0.01f32, 0.05, 0.1] {
            let d = MODEL.separation();
            let refused = normal_cdf((PadThresholds::derive(&MODEL, bpcer).decide - 0.5 * d * d) / d);
            assert!((refused / bpcer - 1.0).abs() < 0.02, "{refused} for {bpcer}");
        }
    }

    proptest! {
        #[test]
        fn no_input_panics_and_junk_is_never_bona_fide(
            scores in proptest::collection::vec(prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY)], 1..80),
            times in proptest::collection::vec(0u64..10_000, 80),
            other in any::<f32>(),
        ) {
            let (mut test, thresholds) = (PadTest::default(), PadThresholds::derive(&MODEL, other));
            for (score, at) in scores.iter().zip(&times) {
                let surroundings = Some(Surroundings { share: other, still: *score, carried: other });
                let verdict = test.take(PadLook { score: *score, outline: other, surroundings }, *at, &MODEL, &thresholds);
                prop_assert_ne!(verdict, Some(PadVerdict::BonaFide));
            }
        }

        #[test]
        fn every_clip_is_decided_by_the_deadline(scores in proptest::collection::vec(-20.0f32..20.0, 40), fps in 5u64..60) {
            let (mut test, thresholds) = (PadTest::default(), PadThresholds::derive(&MODEL, 0.02));
            let mut decided = false;
            for (n, score) in scores.iter().enumerate() {
                let at = n as u64 * 1_000 / fps;
                let verdict = test.take(look(*score), at, &MODEL, &thresholds);
                decided |= verdict.is_some();
                prop_assert!(decided || at < DEADLINE_MS + 1_000 / fps || n < LOOKS_MIN);
            }
        }
    }
}
