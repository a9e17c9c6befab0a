//! The stage: what a gate's fixed camera would see of people, and of photographs of people held up before it.
//!
//! ```text
//!                       wall (RgbImage) ──┐
//!  photograph + face ──▶ Figure::cut ─────┼─ place ──┐
//!  photograph + face ──▶ Held::new ───────┘  paint ──┴──▶ Camera::see ──▶ frame
//! ```
//!
//! Pure: no files, no clock; time and seed are arguments, and the same arguments give the same pixels. Colours are computed
//! in 0..=1 as displays encode them (gamma about 2.2); only [`Camera`] works on light.
//!
//! A [`Figure`] stands in for a live person: it is cut out of a photograph, so it has a head's outline and nothing around
//! it that moves along. A [`Held`] is a presentation attack in the words of ISO/IEC 30107-1: a photograph on an
//! instrument, with its edges, its light and the hand that holds it. Both are drawings. They test that the parts of a
//! gate work together; how often real attacks are found can only be measured with real attacks.

#![forbid(unsafe_code)]

mod camera;
mod figure;
mod hand;
mod held;
mod pose;
mod surface;
mod thing;

pub use camera::Camera;
pub use figure::Figure;
pub use held::Held;

/// What the photograph is shown on (the attack instrument's species in ISO/IEC 30107-1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Species {
    /// Printed on paper, a white margin around it.
    Paper,
    /// On a telephone's screen.
    Phone,
    /// On a tablet's screen, or a small monitor's.
    Tablet,
}

impl Species {
    /// All of them, in declaration order.
    pub const ALL: [Species; 3] = [Species::Paper, Species::Phone, Species::Tablet];

    /// The name of its clips' folder.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Species::Paper => "paper",
            Species::Phone => "phone",
            Species::Tablet => "tablet",
        }
    }

    /// Whether it shines by itself.
    const fn is_screen(self) -> bool {
        matches!(self, Species::Phone | Species::Tablet)
    }

    /// How many centimetres one face width on it is: hands are drawn to this scale.
    const fn cm_per_face(self) -> f32 {
        match self {
            Species::Paper => 8.0,
            Species::Phone => 3.4,
            Species::Tablet => 5.8,
        }
    }
}
