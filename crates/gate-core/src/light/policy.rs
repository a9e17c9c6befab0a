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
    /// An answer out of step is called an attack when at least this part of all codes fits as well; below, it is unclear.
    pub stranger_min: f32,
    /// Least answer: the lamp's light on the face, as a part of the ambient light. A screen shines by itself and stays far below.
    pub answer_min: f32,
    /// Least shape: 1 = spread as over the average head, 0 = as over a sheet, flat or bent.
    pub shape_min: f32,
    /// So many standard errors below the measured shape...
    pub sure: f32,
    /// ...there must still be so much relief: noise alone shall not look like a nose.
    pub relief_min: f32,
    /// Least likeness of the pattern to the average head's: a glare has relief, too, but in another place.
    pub likeness_min: f32,
    /// A shape below this is called flat. Between this and `shape_min` nothing is said, and the gate may ask again.
    pub flat_max: f32,
    /// How the answer is spread over the average head, less what a bent sheet can answer (mean, slope, bend): per patch, relative to the mean answer.
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
            // Heads in step: 0.94 or more in 9 of 10 at 15 frames a second and a lamp of 30 %.
            synchrony_min: 0.85,
            // Heads: 0.003 in the middle, 0.017 or less in 9 of 10 at 15 frames a second, whose ten frames cannot tell all codes apart.
            guess_max: 0.02,
            // Heads: 0.075 or less in 98 of 100. Recordings: 0.1 or more in 9 of 10.
            stranger_min: 0.1,
            // Below, eight bits and sensor noise are as strong as the lamp.
            answer_min: 0.03,
            // Heads: 0.49 or more in 9 of 10. Flat prints: 0.37 or less in 95 of 100; bent ones 0.38.
            shape_min: 0.4,
            sure: 2.0,
            relief_min: 0.1,
            // Heads: 0.6 or more in 9 of 10. Prints: 0.1 in the middle, 0.54 or less in 9 of 10, but 0.76 where glossy.
            likeness_min: 0.6,
            // Heads: 0.26 or more in 99 of 100.
            flat_max: 0.25,
            head: HEAD,
        }
    }
}

/// The mean over 728 simulated heads (lamp 30 %, 15 frames a second), both sides made alike; row by row from the picture's top left.
///
/// Eye sockets answer more than the brow, since less of the ambient light reaches them; the nose's bridge and flanks less than its tip.
const HEAD: [f32; FACE_PATCHES] = [
    0.003, -0.029, -0.170, -0.029, 0.003, //
    0.225, 0.216, -0.115, 0.216, 0.225, //
    -0.116, -0.206, -0.332, -0.206, -0.116, //
    -0.007, 0.091, 0.364, 0.091, -0.007, //
    -0.126, 0.008, 0.133, 0.008, -0.126,
];
