//! Draws what stands before the gate while its lamp plays a code: heads, prints, screens. For tests and studies only.
//!
//! ```text
//!  Person ──▶ head.rs    height field and albedo, millimetres
//!     │
//!  Setting ──▶ scene.rs  per pixel: light at rest, light of the lamp, light of a recording
//!     │
//!  Camera ──▶ camera.rs  exposure, rows, gain that follows, noise, tone curve, 8 bits ──▶ Rgb frames with times
//!     │
//!  Trial::draw(species, conditions, seed) ──▶ trial.rs ──▶ frames, LightSamples, Answer
//! ```
//! The same seed gives the same frames. Nothing in here opens a file, reads a clock or prints.
//!
//! **Not modelled**: cast shadows, glasses, blinking and talking, light that goes from face to wall and back, noise reduction over
//! time, compression, a lamp that needs time to light up, masks in the shape of a head. So rates from here are those of a simulation.
#![forbid(unsafe_code)]

mod camera;
mod chance;
mod head;
mod scene;
mod trial;

pub use camera::Camera;
pub use chance::Chance;
pub use head::Person;
pub use scene::{FRAME_HEIGHT_PX, FRAME_WIDTH_PX, Setting, Species};
pub use trial::{Conditions, Frame, Trial};
