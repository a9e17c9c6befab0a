//! What the end to end tests share: the real programs, a site in a temporary folder, scenes in front of its camera.
//!
//! ```text
//!  photos ──scene──▶ frames/ ──▶ gate-daemon run ──▶ events.jsonl, relay.jsonl ──▶ what a test looks at
//!                                     ▲ store/
//!                    enroll-tool ─────┘
//! ```
//! Thresholds are those of the model cards and of the shipped defaults; a site's configuration names only places and
//! times.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

pub mod clips;
pub mod daemon;
pub mod events;
pub mod programs;
pub mod scene;
pub mod site;

pub use daemon::Daemon;
pub use events::{Event, Log, RelayChange};
pub use scene::{Look, Portrait, Scene};
pub use site::{Answer, Played, Site};
