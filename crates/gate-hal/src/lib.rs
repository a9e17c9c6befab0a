//! The gate's hardware behind small traits: camera, relay, lamps and clock, each with real and simulated makers.
//!
//! ```text
//!   open(spec) ──> Camera ──(Capture: own thread, newest frame wins)──> Frame
//!   open_output(spec) ──> Output ──(RelayGuard: own thread, own clock, pulse maximum)──> the door
//! ```
//!
//! A camera or a line that is missing, wedged or unplugged never blocks and never panics the caller: it is an error or
//! a state with advice, and the relay ends de-energised.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))] // a test that cannot go on stops

pub mod camera;
mod clock;
mod devices;
mod frame;
mod guarded;
mod heartbeat;
mod kernel_clock;
mod light;
mod output;
mod relay;
#[cfg(test)]
mod wedged;

pub use camera::{
    Camera, CameraError, CameraIdentity, CameraOptions, CameraSpec, CameraState, Capture, Described, IdentityError,
    Limits, Newest, Opener, Pace, PixelFormat, Replay, SpecError, UsbDevice, describe_camera, open, open_replay,
};
pub use clock::{Clock, ReplayClock, SystemClock};
pub use devices::{CameraInfo, ChipInfo, board, list_cameras, list_gpio_chips};
pub use frame::Frame;
pub use heartbeat::{Condition, Heart, Heartbeat, heartbeat};
pub use kernel_clock::{KernelClock, is_synchronised};
pub use light::LightPlayer;
pub use output::{Output, OutputError, OutputSpec, open_output};
pub use relay::RelayGuard;
