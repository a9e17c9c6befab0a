//! The pure heart of the face gate: geometry, similarity, search, threshold, quality, tracks, evidence, decision.
//!
//! Nothing in here allocates, blocks, reads a clock, opens a file or panics on input. Time and faces come in as
//! values, actions go out as values; so a decision can be replayed, fuzzed, and walked exhaustively.
//!
//! ```text
//! faces ──▶ track::Tracker ──▶ quality::Quality ──▶ gallery::Gallery::search ──▶ decision::Sighting
//!                                                                                      │
//!   policy + threshold::ImpostorTable (tau) ──────────────▶ decision::Decider.step(sighting, now)
//!                                                                                      │
//!                                              gate::Gate (state machine) ──▶ Actions: relay, lamps, log
//! ```
#![no_std]
#![forbid(unsafe_code)]
#[cfg(test)]
extern crate std;

pub mod alarm;
mod asking;
mod attempts;
pub mod clock;
pub mod codes;
pub mod comparison;
pub mod decision;
mod evidence;
pub mod gallery;
pub mod gate;
pub mod geometry;
pub mod light;
pub mod liveness;
pub mod motion;
pub mod person;
pub mod picture;
pub mod policy;
pub mod quality;
pub mod reason;
pub mod similarity;
pub mod terminal;
pub mod threshold;
pub mod track;
