//! Active light: is what stands before the camera lit by our lamp the way a head is?
//!
//! A photograph or a screen shows a face to the encoder, and a good one is recognised. So the gate asks the world a question that a
//! picture cannot answer: it switches a lamp on and off by a code drawn at that moment, and looks for the code in the frames.
//!
//! ```text
//!  Code::draw ──▶ lamp                        Challenge::finish
//!      │                                       │
//!      ▼          frames ──▶ Sampler ──▶ take  ├─ in step with the code?   else OutOfStep   (a recording)
//!  Challenge ◀─────────────────────────────────├─ does the face answer?    else NoAnswer    (a screen)
//!                                              └─ as a head does?          else FlatAnswer  (a print)
//! ```
//! **Why the ratio.** A patch of albedo ρ under ambient light A and the lamp's light P gives the camera, at gain g, g·ρ·(A + c·P), c = 1
//! while the lamp is on. Its logarithm moves by ln(1 + P/A) with the code: ρ has gone, and with it everything that is printed on a
//! paper, shading included. Since g is the same all over the frame, the background's own logarithm takes automatic exposure
//! out. What is left is P/A patch by patch. On a sheet, flat or bent, that is smooth: a slope and a bend, which are taken out. On a head its
//! relief is left: nose, eye sockets and cheekbones turn towards the lamp, or away, or hide from the ambient light.
//!
//! **What it cannot tell.** A mask in the shape of a head answers like one. Where the ambient light comes from the lamp's own place, P/A
//! is flat on a head, too. Glossy
//! paper mirrors the lamp, and now and then in a nose's place. A relayed picture that is brighter than the ambient light and comes back within the camera's own delay is
//! in step. And all thresholds are simulation's until somebody measures at the site.
//!
//! Related work: Face Flashing (Tang et al., NDSS 2018) reads the light of a screen reflected by a face.

mod challenge;
mod code;
mod fit;
mod policy;
mod sample;

pub use challenge::{Answer, AttackKind, Challenge, Evidence, SAMPLES_MAX, Unusable, Verdict};
pub use code::{CODES, Code, SLOT_MS, SLOTS};
pub use policy::LightPolicy;
pub use sample::{BACKGROUND_PATCHES, FACE_PATCHES, GRID, LightSample, Patch, Sampler};
