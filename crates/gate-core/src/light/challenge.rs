//! One challenge: samples in, an answer out.

use super::code::{CODES, Code};
use super::fit::{self, Series, Step};
use super::policy::LightPolicy;
use super::sample::{BACKGROUND_PATCHES, FACE_PATCHES, LightSample, Patch};
use crate::geometry::Point;
use heapless::Vec;
use libm::sqrtf;

/// Most samples of a challenge; later ones are dropped. Enough for 60 frames a second.
pub const SAMPLES_MAX: usize = 64;
/// Samples count from this long before the code begins, milliseconds: they show the face with the lamp off.
const BEFORE_MS: i32 = 150;
/// Samples count until this long after the code's end.
const AFTER_MS: i32 = 150;
/// All patches of a sample, the face's first.
const PATCHES: usize = FACE_PATCHES + BACKGROUND_PATCHES;
/// Delays tried, milliseconds.
const LATENCY_STEP_MS: u16 = 10;
/// Longest delay that a policy can allow, milliseconds.
const LATENCY_LIMIT_MS: u16 = 500;
/// Most delays that are tried at once.
const DELAYS_MAX: usize = (LATENCY_LIMIT_MS / LATENCY_STEP_MS) as usize + 1;
/// How far beyond the allowed delays a late answer is looked for, milliseconds.
const LATE_MS: u16 = 250;
/// By how much an answer outside the allowed delays must fit better to be called late: two delays that differ by less than a
/// frame often fit nearly alike.
const LATE_BETTER: f32 = 0.02;

/// A presentation attack, by what gave it away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttackKind {
    /// The face does not answer, or far less than the ambient light allows: a screen.
    NoAnswer,
    /// It answers as a plane does: a print.
    FlatAnswer,
    /// Its light changes, but not by this code, or too late: a recording, a relay.
    OutOfStep,
}

/// Why nothing can be said. The gate may ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Too few frames, or times that are no times.
    TooFewFrames,
    /// The head moved too far, or was not seen whole.
    Moved,
    /// Too much of the face is saturated.
    Saturated,
    /// Too much of the face is dark.
    TooDark,
    /// The answer is neither clearly a head's nor clearly an attack's.
    Unclear,
    /// Not every frame of it showed the same person.
    AnotherFace,
}

/// What a challenge says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// In step, strong enough, and spread as over a head.
    BonaFide,
    /// A presentation attack.
    Attack(AttackKind),
    /// Nothing; not bona fide.
    Unusable(Unusable),
}

/// What was measured. Fields that were not reached are NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// Frames within the code.
    pub frames: u8,
    /// The delay at which the code fits best, milliseconds.
    pub latency_ms: f32,
    /// Partial correlation of the face's light with the code at that delay, -1..=1; mean and slow trend taken out.
    pub synchrony: f32,
    /// Part of all codes that fit at least as well, this one included: the chance that a recording would have fitted like this.
    pub guess: f32,
    /// Lamp's light on the face as a part of the ambient light, beyond what the background answers.
    pub answer: f32,
    /// What the background answers, as its own part; NaN when too little of it was seen.
    pub background: f32,
    /// 1 = spread as over the average head, 0 = as over a sheet, flat or bent.
    pub shape: f32,
    /// Standard error of `shape`.
    pub shape_error: f32,
    /// How like the average head's its pattern is, whatever its strength: -1..=1.
    pub likeness: f32,
    /// The answer of each patch relative to the mean answer, row by row; NaN where a patch did not count.
    pub pattern: [f32; FACE_PATCHES],
}

/// An answer: the verdict and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Answer {
    /// What the challenge says.
    pub verdict: Verdict,
    /// Why.
    pub evidence: Evidence,
}

/// What is kept of a sample.
#[derive(Clone, Copy, Debug)]
struct Kept {
    at_ms: f32,
    face: [f32; FACE_PATCHES],
    background: [f32; BACKGROUND_PATCHES],
    centre: Point,
    size_px: f32,
}

/// A running challenge.
#[derive(Clone, Debug)]
pub struct Challenge {
    code: Code,
    kept: Vec<Kept, SAMPLES_MAX>,
    /// Worst part of saturated pixels of each patch, face first.
    saturated: [f32; PATCHES],
    /// Darkest luma of each patch.
    darkest: [f32; PATCHES],
}

impl Challenge {
    /// Begins with this code; times of samples count from the moment at which the lamp began to play it.
    #[must_use]
    pub fn begin(code: Code) -> Self {
        Self { code, kept: Vec::new(), saturated: [0.0; PATCHES], darkest: [f32::INFINITY; PATCHES] }
    }

    /// The code that is played.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }

    /// Takes one frame's sample. Samples from long before or after the code, out of order, or beyond [`SAMPLES_MAX`] are dropped.
    pub fn take(&mut self, sample: &LightSample) {
        let end = self.code.duration_ms() as i32 + AFTER_MS;
        let in_order = self.kept.last().is_none_or(|last| sample.at_ms as f32 > last.at_ms);
        if !(-BEFORE_MS..=end).contains(&sample.at_ms) || !in_order || self.kept.is_full() {
            return;
        }
        for (i, patch) in sample.face.iter().chain(&sample.background).enumerate() {
            let sound = patch.luma.is_finite() && patch.saturated.is_finite();
            let Patch { luma, saturated } = if sound { *patch } else { Patch { luma: -1.0, saturated: 0.0 } };
            self.darkest[i] = self.darkest[i].min(luma);
            self.saturated[i] = self.saturated[i].max(saturated);
        }
        let kept = Kept {
            at_ms: sample.at_ms as f32,
            face: sample.face.map(|patch| fit::log_light(patch.luma)),
            background: sample.background.map(|patch| fit::log_light(patch.luma)),
            centre: sample.centre,
            size_px: sample.size_px,
        };
        // Full was asked above.
        let _ = self.kept.push(kept);
    }

    /// Weighs everything that was taken.
    #[must_use]
    pub fn finish(&self, policy: &LightPolicy) -> Answer {
        let mut evidence = Evidence::nothing();
        let verdict = match self.weigh(policy, &mut evidence) {
            Ok(()) => Verdict::BonaFide,
            Err(verdict) => verdict,
        };
        Answer { verdict, evidence }
    }

    /// `Ok` only when every condition of a bona fide answer has been seen to hold.
    fn weigh(&self, policy: &LightPolicy, evidence: &mut Evidence) -> Result<(), Verdict> {
        let counts = self.usable(policy, evidence)?;
        let times: Series = self.kept.iter().map(|kept| kept.at_ms).collect();
        let reference = self.reference(policy);
        let mut light: Series = self.kept.iter().map(|kept| mean(&kept.face, &counts)).collect();
        if let Some(reference) = &reference {
            light.iter_mut().zip(reference).for_each(|(light, reference)| *light -= reference);
        }
        fit::detrend(&times, &mut light);
        self.in_step(policy, evidence, &times, &light)?;
        self.answers(policy, evidence, &times, reference.as_ref(), &counts)?;
        judge_shape(policy, evidence)
    }

    /// Whether there is anything to weigh; the face's patches that count.
    fn usable(&self, policy: &LightPolicy, evidence: &mut Evidence) -> Result<[bool; FACE_PATCHES], Verdict> {
        let unusable = |why| Err(Verdict::Unusable(why));
        let within = |kept: &&Kept| kept.at_ms >= 0.0 && kept.at_ms <= self.code.duration_ms() as f32 + 50.0;
        evidence.frames = self.kept.iter().filter(within).count() as u8;
        if evidence.frames < policy.frames_min.max(6) {
            return unusable(Unusable::TooFewFrames);
        }
        let Some(first) = self.kept.first() else { return unusable(Unusable::TooFewFrames) };
        for kept in &self.kept {
            let (dx, dy) = (kept.centre.x - first.centre.x, kept.centre.y - first.centre.y);
            let way = sqrtf(dx * dx + dy * dy) / first.size_px;
            let growth = (kept.size_px / first.size_px).max(first.size_px / kept.size_px);
            // Written so that NaN is refused.
            if !(way <= policy.way_max && growth <= policy.growth_max) {
                return unusable(Unusable::Moved);
            }
        }
        let light_enough: [bool; FACE_PATCHES] = core::array::from_fn(|i| self.darkest[i] >= policy.luma_min);
        let clear: [bool; FACE_PATCHES] = core::array::from_fn(|i| self.saturated[i] <= policy.saturated_max);
        let counts: [bool; FACE_PATCHES] = core::array::from_fn(|i| light_enough[i] && clear[i]);
        let number = |which: &[bool]| which.iter().filter(|is| **is).count();
        if number(&counts) >= usize::from(policy.patches_min.max(9)) {
            return Ok(counts);
        }
        let unseen = self.darkest[..FACE_PATCHES].iter().filter(|luma| **luma < 0.0).count();
        unusable(match () {
            () if unseen > FACE_PATCHES - usize::from(policy.patches_min).min(FACE_PATCHES) => Unusable::Moved,
            () if number(&clear) < number(&light_enough) => Unusable::Saturated,
            () => Unusable::TooDark,
        })
    }

    /// The background's log light, frame by frame; `None` when no patch of it counts.
    fn reference(&self, policy: &LightPolicy) -> Option<Series> {
        let counts: [bool; BACKGROUND_PATCHES] = core::array::from_fn(|i| {
            let i = i + FACE_PATCHES;
            self.darkest[i] >= policy.luma_min && self.saturated[i] <= policy.saturated_max
        });
        counts.contains(&true).then(|| self.kept.iter().map(|kept| mean(&kept.background, &counts)).collect())
    }

    /// Finds the delay, and asks how many other codes would have fitted as well.
    fn in_step(
        &self,
        policy: &LightPolicy,
        evidence: &mut Evidence,
        times: &Series,
        light: &Series,
    ) -> Result<(), Verdict> {
        let best = |from: u16, to: u16| {
            let fit = |latency_ms| fit::Fit::at(times, light, f32::from(latency_ms)).correlation(&self.code);
            delays(from, to)
                .map(|latency_ms| (fit(latency_ms), latency_ms))
                .fold((f32::NEG_INFINITY, from), |a, b| if b.0 > a.0 { b } else { a })
        };
        let (low, high) = (policy.latency_min_ms, policy.latency_max_ms.min(LATENCY_LIMIT_MS));
        let (synchrony, latency_ms) = best(low, high);
        let (late, _) = best(high + LATENCY_STEP_MS, high + LATE_MS);
        evidence.synchrony = synchrony;
        evidence.latency_ms = f32::from(latency_ms);
        evidence.guess = guess(times, light, (low, high), synchrony);
        let strength = sqrtf(light.iter().map(|x| x * x).sum::<f32>() / light.len().max(1) as f32);
        let in_step =
            synchrony >= policy.synchrony_min && evidence.guess <= policy.guess_max && late <= synchrony + LATE_BETTER;
        if in_step {
            return Ok(());
        }
        // An answer of the least size moves the series by half of it. Below, nothing moves at all.
        if strength < 0.5 * policy.answer_min {
            return Err(Verdict::Attack(AttackKind::NoAnswer));
        }
        let unclear = evidence.guess < policy.stranger_min && late <= synchrony + LATE_BETTER;
        Err(if unclear { Verdict::Unusable(Unusable::Unclear) } else { Verdict::Attack(AttackKind::OutOfStep) })
    }

    /// How strongly the face answers, patch by patch.
    fn answers(
        &self,
        policy: &LightPolicy,
        evidence: &mut Evidence,
        times: &Series,
        reference: Option<&Series>,
        counts: &[bool; FACE_PATCHES],
    ) -> Result<(), Verdict> {
        let lit = fit::lit(&self.code, times, evidence.latency_ms);
        let place = |axis: fn(&Point) -> f32| -> Series { self.kept.iter().map(|kept| axis(&kept.centre)).collect() };
        let regression = fit::Regression::new(times, &lit, &place(|p| p.x), &place(|p| p.y));
        if let Some(reference) = reference {
            evidence.background = regression.step(reference).size;
        }
        let face: Series = self.kept.iter().map(|kept| mean(&kept.face, counts)).collect();
        let against = |i: usize| -> Series {
            let own = self.kept.iter().map(|kept| kept.face[i]);
            // Noise that all patches share (the background's) shall not count as the shape's: it is measured within the face.
            own.zip(&face).map(|(own, face)| own - face).collect()
        };
        let mut common = face.clone();
        if let Some(reference) = reference {
            common.iter_mut().zip(reference).for_each(|(light, reference)| *light -= reference);
        }
        let common = regression.step(&common);
        let steps: [Option<Step>; FACE_PATCHES] = core::array::from_fn(|i| {
            counts[i].then(|| {
                let own = regression.step(&against(i));
                Step { size: own.size + common.size, error: own.error }
            })
        });
        let no_answer = Err(Verdict::Attack(AttackKind::NoAnswer));
        let Some(spread) = fit::spread(&steps, &policy.head) else { return no_answer };
        evidence.answer = spread.answer;
        evidence.shape = spread.shape;
        evidence.shape_error = spread.shape_error;
        evidence.likeness = spread.likeness;
        for (pattern, step) in evidence.pattern.iter_mut().zip(&steps) {
            *pattern = step.map_or(f32::NAN, |step| (libm::expf(step.size.min(5.0)) - 1.0) / spread.answer);
        }
        if evidence.answer >= policy.answer_min { Ok(()) } else { no_answer }
    }
}

impl Evidence {
    fn nothing() -> Self {
        let nan = f32::NAN;
        Self {
            frames: 0,
            latency_ms: nan,
            synchrony: nan,
            guess: nan,
            answer: nan,
            background: nan,
            shape: nan,
            shape_error: nan,
            likeness: nan,
            pattern: [nan; FACE_PATCHES],
        }
    }
}

/// A head, a sheet, or nothing that could be named.
fn judge_shape(policy: &LightPolicy, evidence: &Evidence) -> Result<(), Verdict> {
    let Evidence { shape, shape_error, likeness, .. } = *evidence;
    let surely = shape - policy.sure * shape_error;
    // Comparisons with NaN are false, so NaN never gets to Ok.
    if shape >= policy.shape_min && surely >= policy.relief_min && likeness >= policy.likeness_min {
        return Ok(());
    }
    let flat = shape < policy.flat_max;
    Err(if flat { Verdict::Attack(AttackKind::FlatAnswer) } else { Verdict::Unusable(Unusable::Unclear) })
}

/// Part of all codes that fit the series at least as well as `synchrony` at some allowed delay.
///
/// A permutation test: whoever does not know the code shows something that is independent of it, so the true code's place among all
/// codes is uniformly distributed, whatever they show.
fn guess(times: &[f32], light: &[f32], delays_ms: (u16, u16), synchrony: f32) -> f32 {
    let fits: Vec<fit::Fit, DELAYS_MAX> =
        delays(delays_ms.0, delays_ms.1).map(|latency_ms| fit::Fit::at(times, light, f32::from(latency_ms))).collect();
    // A fit that is not a number counts as good.
    let is_good = |fit: f32| fit.is_nan() || fit >= synchrony;
    let as_good = Code::all().filter(|code| fits.iter().any(|fit| is_good(fit.correlation(code)))).count();
    as_good as f32 / CODES as f32
}

/// Delays to try.
fn delays(from_ms: u16, to_ms: u16) -> impl Iterator<Item = u16> {
    (from_ms..=to_ms).step_by(usize::from(LATENCY_STEP_MS))
}

/// Mean of the patches that count; they do when at least one does.
fn mean(values: &[f32], counts: &[bool]) -> f32 {
    let (sum, number) = values
        .iter()
        .zip(counts)
        .filter(|(_, counts)| **counts)
        .fold((0.0f32, 0u32), |(sum, number), (value, _)| (sum + value, number + 1));
    sum / number.max(1) as f32
}
