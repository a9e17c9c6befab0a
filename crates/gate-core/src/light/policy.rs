//! What an answer must be like, and why.

use super::sample::FACE_PATCHES;

/// Limits of one challenge.
///
/// All values come from the simulation (`gate-lab light-test --simulate`) until somebody measures in the flesh
/// (`gate-lab light-test --trials`); each says what it was chosen by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LightPolicy {
    /// Shortest delay between a moment and the time that its frame carries, milliseconds.
    pub latency_min_ms: u16,
    /// Longest such delay. A relayed answer that comes within this window cannot be told from one in step: measure the camera
    /// once (each answer states the delay it found) and narrow the window.
    pub latency_max_ms: u16,
    /// Fewest frames within the code. Fewer see so few slots that too many other codes fit as well.
    pub frames_min: u8,
    /// Largest way of the face's middle, part of the face's size, over the whole challenge.
    pub way_max: f32,
    /// Largest change of the face's size, as a factor.
    pub growth_max: f32,
    /// A patch with a larger part of saturated pixels does not count.
    pub saturated_max: f32,
    /// A patch darker than this, 0..255, does not count: sensor noise and the lens's flare are as strong as its light.
    pub luma_min: f32,
    /// Fewest patches of the face that must count, of 25.
    pub patches_min: u8,
    /// Least partial correlation of the face's light with the code. A slow recording or a flicker stays below.
    pub synchrony_min: f32,
    /// Largest part of all codes that may fit as well as the one that was played. A recording that cannot know the code passes this
    /// with exactly this probability, whatever it shows: the code is drawn at random among all.
    pub guess_max: f32,
    /// Least answer: the lamp's light on the face, as a part of the ambient light. A screen shines by itself and stays far below.
    pub answer_min: f32,
    /// Least shape: 1 = spread as over the average head, 0 = spread as over a plane.
    pub shape_min: f32,
    /// At this many standard errors the shape must still be above `flat_max`.
    pub sure: f32,
    /// A shape below this is flat. Between the two nothing is said.
    pub flat_max: f32,
    /// Largest part of the answer that is neither plane nor head, root mean square relative to the mean answer: a glare, a fold.
    pub odd_max: f32,
    /// How the answer is spread over the average head, less its mean and its plane: per patch, relative to the mean answer.
    pub head: [f32; FACE_PATCHES],
}

impl Default for LightPolicy {
    fn default() -> Self {
        Self {
            latency_min_ms: 0,
            latency_max_ms: 150,
            frames_min: 8,
            way_max: 0.2,
            growth_max: 1.15,
            saturated_max: 0.1,
            luma_min: 10.0,
            patches_min: 18,
            synchrony_min: 0.9,
            guess_max: 0.02,
            answer_min: 0.03,
            shape_min: 0.5,
            sure: 2.0,
            flat_max: 0.2,
            odd_max: 0.3,
            head: HEAD,
        }
    }
}

/// The mean over simulated heads, row by row from the picture's top left; see `gate-lab light-test --simulate --head`.
const HEAD: [f32; FACE_PATCHES] = [
    -0.11, 0.01, -0.08, 0.01, -0.11, //
    0.13, 0.27, -0.01, 0.27, 0.13, //
    -0.20, -0.14, -0.22, -0.14, -0.20, //
    -0.09, 0.15, 0.48, 0.15, -0.09, //
    -0.25, 0.05, 0.23, 0.05, -0.25,
];
