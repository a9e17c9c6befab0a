//! The arithmetic: light out of luma, regression on the code, the answer's shape over the face.

use super::challenge::SAMPLES_MAX;
use super::code::{Code, SLOT_MS, SLOTS};
use super::sample::{FACE_PATCHES, GRID};
use heapless::Vec;
use libm::{expf, logf, sqrtf};

/// Cameras encode light to the power 1 / 2.2 or nearly so (IEC 61966-2-1). Where one does not, all ratios bend alike.
const GAMMA: f32 = 2.2;
/// How much of the time around a frame's own its light may come from, milliseconds: exposure, and rows read one after the other.
const EXPOSURE_MS: f32 = 25.0;
/// A series, one value per frame.
pub type Series = Vec<f32, SAMPLES_MAX>;

/// Logarithm of the light behind an encoded luma; the 1 keeps black finite.
pub fn log_light(luma: f32) -> f32 {
    GAMMA * logf((luma.max(0.0) + 1.0) / 256.0)
}

/// How much of each frame's time the lamp was on, if frames are `latency_ms` late.
pub fn lit(code: &Code, times_ms: &[f32], latency_ms: f32) -> Series {
    let part = |at: &f32| code.lit_part(at - latency_ms - EXPOSURE_MS * 0.5, at - latency_ms + EXPOSURE_MS * 0.5);
    times_ms.iter().map(part).collect()
}

/// Takes mean and straight line over time out of a series.
pub fn detrend(times_ms: &[f32], series: &mut [f32]) {
    let count = times_ms.len().max(1) as f32;
    let (middle, mean) = (times_ms.iter().sum::<f32>() / count, series.iter().sum::<f32>() / count);
    let spread: f32 = times_ms.iter().map(|at| (at - middle) * (at - middle)).sum();
    let along: f32 = times_ms.iter().zip(series.iter()).map(|(at, value)| (at - middle) * value).sum();
    let slope = if spread > 0.0 { along / spread } else { 0.0 };
    for (at, value) in times_ms.iter().zip(series) {
        *value -= mean + slope * (at - middle);
    }
}

/// How well any code fits a series at one delay, prepared slot by slot so that asking all codes is cheap.
///
/// A code's light is the sum of its slots' light; so its product with the series is a sum over slots, and its power one over pairs.
pub struct Fit {
    product: [f32; SLOTS as usize],
    pairs: [[f32; SLOTS as usize]; SLOTS as usize],
    power: f32,
}

impl Fit {
    /// `light` has been detrended.
    pub fn at(times_ms: &[f32], light: &[f32], latency_ms: f32) -> Self {
        let slots: [Series; SLOTS as usize] = core::array::from_fn(|slot| {
            let begin = (slot as u32 * SLOT_MS) as f32;
            let part = |at: &f32| {
                let (from, to) = (at - latency_ms - EXPOSURE_MS * 0.5, at - latency_ms + EXPOSURE_MS * 0.5);
                (to.min(begin + SLOT_MS as f32) - from.max(begin)).max(0.0) / EXPOSURE_MS
            };
            let mut lit: Series = times_ms.iter().map(part).collect();
            detrend(times_ms, &mut lit);
            lit
        });
        Self {
            product: core::array::from_fn(|i| dot(&slots[i], light)),
            pairs: core::array::from_fn(|i| core::array::from_fn(|j| dot(&slots[i], &slots[j]))),
            power: dot(light, light),
        }
    }

    /// Partial correlation of the series with this code's light, mean and straight line taken out of both; 0 when one is flat.
    pub fn correlation(&self, code: &Code) -> f32 {
        let (mut product, mut power) = (0.0f32, 0.0f32);
        for i in (0..SLOTS as usize).filter(|i| code.slot(*i as u32)) {
            product += self.product[i];
            power += self.pairs[i][i];
            power += 2.0 * (0..i).filter(|j| code.slot(*j as u32)).map(|j| self.pairs[i][j]).sum::<f32>();
        }
        let norm = sqrtf(power.max(0.0) * self.power);
        if norm > 1e-9 { product / norm } else { 0.0 }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// How far a series moves with the code: the jump from lamp off to lamp on, and its standard error.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    pub size: f32,
    pub error: f32,
}

/// Regression of series on the code, beside what is of no interest: mean, straight line over time, the face's way in the picture.
pub struct Regression {
    weights: Series,
    /// What is of no interest, orthogonal under the weights.
    aside: Vec<Series, 4>,
    /// The code's light, all that taken out.
    lit: Series,
}

impl Regression {
    /// Prepares for frames at these times, lit like this, while the face's place was `x`, `y`.
    pub fn new(times_ms: &[f32], lit: &[f32], x: &[f32], y: &[f32]) -> Self {
        let one: Series = times_ms.iter().map(|_| 1.0).collect();
        let mut new = Self { weights: weights(lit), aside: Vec::new(), lit: lit.iter().copied().collect() };
        for series in [&one[..], times_ms, x, y] {
            let mut series: Series = series.iter().copied().collect();
            let before = new.dot(&series, &series);
            new.clear(&mut series);
            let after = new.dot(&series, &series);
            // What the others explain already would only divide by almost nothing.
            if after > 1e-4 * before {
                // There is room for four.
                let _ = new.aside.push(series);
            }
        }
        let mut lit = new.lit.clone();
        new.clear(&mut lit);
        new.lit = lit;
        new
    }

    /// The step of a series with the code.
    pub fn step(&self, series: &[f32]) -> Step {
        let mut rest: Series = series.iter().copied().collect();
        self.clear(&mut rest);
        let power = self.dot(&self.lit, &self.lit);
        let free = self.weights.iter().sum::<f32>() - self.aside.len() as f32 - 1.0;
        if power.is_nan() || power < 1e-3 || free < 0.5 {
            return Step { size: 0.0, error: f32::INFINITY };
        }
        let size = self.dot(&self.lit, &rest) / power;
        rest.iter_mut().zip(&self.lit).for_each(|(rest, lit)| *rest -= size * lit);
        Step { size, error: sqrtf(self.dot(&rest, &rest) / free / power) }
    }

    /// Takes out what is of no interest.
    fn clear(&self, series: &mut [f32]) {
        for other in &self.aside {
            let part = self.dot(other, series) / self.dot(other, other);
            series.iter_mut().zip(other).for_each(|(value, other)| *value -= part * other);
        }
    }

    fn dot(&self, a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).zip(&self.weights).map(|((a, b), weight)| weight * a * b).sum()
    }
}

/// Weights of frames for the answer's size: those that caught the lamp changing tell little, since the part of the exposure that
/// was lit is known only roughly and differs from row to row.
fn weights(lit: &[f32]) -> Series {
    lit.iter().map(|part| if (0.02..=0.98).contains(part) { 0.15 } else { 1.0 }).collect()
}

/// How an answer is spread over the face.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spread {
    /// Mean answer: the lamp's light as a part of the ambient light.
    pub answer: f32,
    /// 1 = as over the average head, 0 = as over a sheet, flat or bent.
    pub shape: f32,
    /// Standard error of `shape`.
    pub shape_error: f32,
    /// How like the average head's its pattern is, whatever its strength: -1..=1.
    pub likeness: f32,
}

/// Measures the spread of steps (logarithms) over the patches, `None` where a patch does not count. `head` is the average head's.
pub fn spread(steps: &[Option<Step>; FACE_PATCHES], head: &[f32; FACE_PATCHES]) -> Option<Spread> {
    let ratio = |step: &Step| expf(step.size.min(5.0)) - 1.0;
    let seen = || steps.iter().enumerate().filter_map(|(i, step)| step.as_ref().map(|step| (i, step)));
    let count = seen().count() as f32;
    let answer = seen().map(|(_, step)| ratio(step)).sum::<f32>() / count;
    if count < 9.0 || !(answer.is_finite() && answer > 1e-4) {
        return None;
    }
    // Noise of a patch, relative; the floor keeps a lucky patch from ruling the fit.
    let noise = |step: &Step| (step.error * expf(step.size.min(5.0)) / answer).max(0.02);
    let mut weights = [0.0f32; FACE_PATCHES];
    let mut relative = [0.0f32; FACE_PATCHES];
    for (i, step) in seen() {
        let noise = noise(step);
        weights[i] = 1.0 / (noise * noise + 0.04);
        relative[i] = ratio(step) / answer;
    }
    let mut template = *head;
    for sheet in sheets(&weights) {
        take_out(&sheet, &weights, &mut relative);
        take_out(&sheet, &weights, &mut template);
    }
    let dot = |a: &[f32; FACE_PATCHES], b: &[f32; FACE_PATCHES]| -> f32 {
        (0..FACE_PATCHES).map(|i| weights[i] * a[i] * b[i]).sum()
    };
    let power = dot(&template, &template);
    if power.is_nan() || power < 1e-6 {
        return None;
    }
    let shape = dot(&relative, &template) / power;
    let variance: f32 =
        seen().map(|(i, step)| weights[i] * weights[i] * template[i] * template[i] * noise(step) * noise(step)).sum();
    let likeness = dot(&relative, &template) / sqrtf(power * dot(&relative, &relative)).max(1e-9);
    Some(Spread { answer, shape, shape_error: sqrtf(variance) / power, likeness })
}

/// What a sheet of paper can answer, orthogonal under the weights: even, a slope, a bend about any axis. All that is left of a head
/// then is its relief: nose, eye sockets, cheekbones, chin.
fn sheets(weights: &[f32; FACE_PATCHES]) -> [[f32; FACE_PATCHES]; 6] {
    let middle = (GRID as f32 - 1.0) * 0.5;
    let over = |f: fn(f32, f32) -> f32| -> [f32; FACE_PATCHES] {
        core::array::from_fn(|i| f((i % GRID) as f32 - middle, (i / GRID) as f32 - middle))
    };
    let mut sheets =
        [over(|_, _| 1.0), over(|x, _| x), over(|_, y| y), over(|x, _| x * x), over(|_, y| y * y), over(|x, y| x * y)];
    for i in 1..sheets.len() {
        let (before, rest) = sheets.split_at_mut(i);
        for other in before.iter() {
            take_out(other, weights, &mut rest[0]);
        }
    }
    sheets
}

fn take_out(what: &[f32; FACE_PATCHES], weights: &[f32; FACE_PATCHES], from: &mut [f32; FACE_PATCHES]) {
    let sum = |f: &dyn Fn(usize) -> f32| -> f32 { (0..FACE_PATCHES).map(|i| weights[i] * f(i)).sum() };
    let power = sum(&|i| what[i] * what[i]);
    if power > 1e-9 {
        let part = sum(&|i| what[i] * from[i]) / power;
        for (value, what) in from.iter_mut().zip(what) {
            *value -= part * what;
        }
    }
}
