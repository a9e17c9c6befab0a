//! The sections of `gate.toml`. A field's doc comment is its line of why in the schema; its range stands beside it.

use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[camera]`: where frames come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Camera {
    /// Which camera: nokhwa:INDEX, v4l:/dev/videoN, or replay:PATH of a folder, a GIF or a video file.
    #[schemars(length(min = 1))]
    pub source: String,
    /// Width asked of the camera, pixels.
    #[schemars(range(min = 64, max = 4096))]
    pub width_px: u32,
    /// Height asked of the camera, pixels.
    #[schemars(range(min = 64, max = 4096))]
    pub height_px: u32,
    /// Frames per second asked of the camera.
    #[schemars(range(min = 1, max = 120))]
    pub fps: u32,
    /// Pixel format asked of the camera; auto takes the first it has of yuyv, nv12, mjpg, rgb, grey.
    pub format: CameraFormat,
    /// No frame for this long is a camera fault: the gate locks and the camera is opened anew, milliseconds.
    #[schemars(range(min = 200, max = 60_000))]
    pub stall_ms: u32,
    /// The only camera that may be opened, as gate-daemon devices --pin prints it; without it any that is plugged in is taken.
    #[schemars(length(min = 1))]
    pub identity: Option<String>,
    /// A replay plays in true time (real) or as fast as it can (fast); the same frames decide the same either way.
    pub replay_pace: ReplayPace,
    /// A replay begins again at its end instead of stopping the daemon.
    pub replay_loop: bool,
    /// Frames per second of a folder of pictures; a GIF or a video brings its own timing.
    #[schemars(range(min = 0.1, max = 240.0))]
    pub replay_fps: f64,
}

impl Default for Camera {
    fn default() -> Self {
        Self {
            source: "nokhwa:0".to_owned(),
            width_px: 640,
            height_px: 480,
            fps: 15,
            format: CameraFormat::Auto,
            stall_ms: 2_000,
            identity: None,
            replay_pace: ReplayPace::Real,
            replay_loop: false,
            replay_fps: 10.0,
        }
    }
}

/// A camera's pixel format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum CameraFormat {
    /// The first the camera has of the others, in this order.
    #[default]
    Auto,
    /// YUV 4:2:2, packed.
    Yuyv,
    /// YUV 4:2:0, two planes.
    Nv12,
    /// One JPEG per frame.
    Mjpg,
    /// 8 bits each of red, green and blue.
    Rgb,
    /// One 8-bit plane: infrared cameras.
    Grey,
}

/// How fast a replay plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ReplayPace {
    /// In true time.
    #[default]
    Real,
    /// As fast as the machine can.
    Fast,
}

/// `[relay]`: the output that opens the gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Relay {
    /// Who drives the line: rppal (Raspberry Pi), gpiocdev (any Linux board), or simulated (no hardware).
    pub driver: Driver,
    /// The GPIO chip, for gpiocdev.
    #[schemars(length(min = 1))]
    pub chip: PathBuf,
    /// The line on that chip; on a Pi the BCM number: 17 is pin 11 of the header.
    #[schemars(range(min = 0, max = 1023))]
    pub line: u32,
    /// The level that switches the relay on; many relay boards are active low.
    pub active: ActiveLevel,
    /// How long a grant holds the relay on, milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub pulse_ms: u32,
    /// Longest time the relay may ever be on, enforced twice; milliseconds.
    #[schemars(range(min = 100, max = 60_000))]
    pub pulse_max_ms: u32,
    /// File for the simulated relay's trace, one JSON line per change.
    #[schemars(length(min = 1))]
    pub trace: Option<PathBuf>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            driver: Driver::Simulated,
            chip: PathBuf::from("/dev/gpiochip0"),
            line: 17,
            active: ActiveLevel::High,
            pulse_ms: 3_000,
            pulse_max_ms: 10_000,
            trace: None,
        }
    }
}

/// Who drives the relay and the lamps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Driver {
    /// No hardware: writes a trace.
    #[default]
    Simulated,
    /// The kernel's GPIO character device.
    Gpiocdev,
    /// A Raspberry Pi's registers.
    Rppal,
}

/// The level at which an output is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum ActiveLevel {
    /// On is high.
    #[default]
    High,
    /// On is low.
    Low,
}

/// `[lamps]`: the lamps beside the gate, on the relay's driver and chip.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Lamps {
    /// The line of the green lamp: come in.
    #[schemars(range(min = 0, max = 1023))]
    pub green_line: Option<u32>,
    /// The line of the red lamp: not you, not now.
    #[schemars(range(min = 0, max = 1023))]
    pub red_line: Option<u32>,
    /// The level that lights a lamp.
    pub active: ActiveLevel,
}

/// `[light]`: a lamp that asks faces for an answer, on the relay's driver and chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Light {
    /// The line of the lamp beside the camera; without it there is none.
    #[schemars(range(min = 0, max = 1023))]
    pub line: Option<u32>,
    /// The level that lights it.
    pub active: ActiveLevel,
    /// Shortest delay from a moment to the frame that shows it, milliseconds; the narrower the range, the surer the answer.
    #[schemars(range(min = 0, max = 150))]
    pub latency_min_ms: u16,
    /// Longest such delay, milliseconds: a picture relayed within it cannot be told from an answer.
    #[schemars(range(min = 0, max = 150))]
    pub latency_max_ms: u16,
}

impl Default for Light {
    fn default() -> Self {
        Self { line: None, active: ActiveLevel::High, latency_min_ms: 0, latency_max_ms: 150 }
    }
}

/// `[alarm]`: an output for attacks and tampering, on the relay's driver and chip.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Alarm {
    /// The line of a siren, a lamp or an alarm panel's input; without it alarms are events only.
    #[schemars(range(min = 0, max = 1023))]
    pub line: Option<u32>,
    /// The level that switches it on.
    pub active: ActiveLevel,
    /// How long an alarm stands after its last cause, milliseconds.
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub hold_ms: u32,
}

impl Default for Alarm {
    fn default() -> Self {
        Self { line: None, active: ActiveLevel::High, hold_ms: 60_000 }
    }
}

/// `[vision]`: the networks and where they run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Vision {
    /// Path of libonnxruntime.so; without it, the one that set-up fetched.
    #[schemars(length(min = 1))]
    pub runtime: Option<PathBuf>,
    /// Folder of the model cards; a relative one is looked for beside this file, in the folder above it, and installed.
    #[schemars(length(min = 1))]
    pub models: PathBuf,
    /// Card of the network that finds faces.
    #[schemars(length(min = 1))]
    pub detector: String,
    /// Card of the network that turns a face into a reference; a change of it means enrolling anew.
    #[schemars(length(min = 1))]
    pub encoder: String,
    /// Where the networks run.
    pub provider: Provider,
    /// A provider that cannot be had is a fault, instead of falling back to the processor in silence.
    pub strict: bool,
    /// Processor threads of one network.
    #[schemars(range(min = 1, max = 64))]
    pub threads: u16,
    /// Longest side of the picture the detector sees, pixels; less is faster, and blind to small faces.
    #[schemars(range(min = 64, max = 4096))]
    pub detect_max_px: u32,
}

impl Default for Vision {
    fn default() -> Self {
        Self {
            runtime: None,
            models: PathBuf::from("models"),
            detector: "yunet".to_owned(),
            encoder: "sface".to_owned(),
            provider: Provider::Cpu,
            strict: true,
            threads: 1,
            detect_max_px: 640,
        }
    }
}

/// Where the networks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Provider {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// An NVIDIA GPU, with networks compiled for it (Jetson).
    Tensorrt,
}

/// `[policy]`: what it takes to be let in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct PolicySection {
    /// How often a stranger may be taken for somebody, per search of the whole gallery; the threshold follows from it.
    #[schemars(extend("exclusiveMinimum" = 0.0), range(max = 0.5))]
    pub fpir_target: f64,
    /// What happens when that risk cannot be kept with so many people: the gate warns, or refuses to arm.
    pub fpir_unmet: FpirUnmet,
    /// The threshold by hand: largest dissimilarity d² of one person's faces. Wins over fpir_target.
    #[schemars(range(min = 0.0, max = 4.0))]
    pub tau: Option<f32>,
    /// How two faces are compared: distance, or a learned comparison's name (logistic, chi_square ...), whose card is
    /// models/ENCODER-NAME.toml.
    #[schemars(length(min = 1))]
    pub comparison: String,
    /// This site's calibration, made by gate-lab calibrate; without it the cards' own measurements count.
    #[schemars(length(min = 1))]
    pub calibration: Option<PathBuf>,
    /// Least distance in d² to the second-best person; less is too close to call.
    #[schemars(range(min = 0.0, max = 4.0))]
    pub margin_d2: f32,
    /// Frames of one track that must name the same person.
    #[schemars(range(min = 1, max = 32))]
    pub agreeing_frames: u8,
    /// They must lie within this long, milliseconds.
    #[schemars(range(min = 50, max = 60_000))]
    pub window_ms: u32,
    /// A reason must hold this long before it is reported and shown, milliseconds.
    #[schemars(range(min = 0, max = 60_000))]
    pub refuse_after_ms: u32,
    /// Somebody who was let in is let in again only after this long, milliseconds.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub regrant_after_ms: u32,
    /// A face not seen for this long is gone, and its evidence with it, milliseconds.
    #[schemars(range(min = 50, max = 10_000))]
    pub track_lost_ms: u32,
    /// Two people at the gate: refuse until one stands alone, or look at the nearest only.
    pub several_faces: SeveralFaces,
    /// Another face counts as a second person from this part of the nearest face's width on.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub bystander_ratio: f32,
}

impl Default for PolicySection {
    fn default() -> Self {
        Self {
            fpir_target: 1e-3,
            fpir_unmet: FpirUnmet::Warn,
            tau: None,
            comparison: "distance".to_owned(),
            calibration: None,
            margin_d2: 0.05,
            agreeing_frames: 3,
            window_ms: 1_500,
            refuse_after_ms: 700,
            regrant_after_ms: 5_000,
            track_lost_ms: 500,
            several_faces: SeveralFaces::Refuse,
            bystander_ratio: 0.5,
        }
    }
}

/// What happens when the stated risk cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum FpirUnmet {
    /// The log says so, loudly, and the gate works.
    #[default]
    Warn,
    /// The gate stays locked until the risk can be kept.
    Refuse,
}

/// What happens when two people stand at the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum SeveralFaces {
    /// Nobody is let in until one stands alone.
    #[default]
    Refuse,
    /// Only the nearest can be let in.
    Nearest,
}

impl From<SeveralFaces> for gate_core::policy::SeveralFaces {
    fn from(several: SeveralFaces) -> Self {
        match several {
            SeveralFaces::Refuse => Self::Refuse,
            SeveralFaces::Nearest => Self::Nearest,
        }
    }
}

/// `[liveness]`: what shows that a face is live and not a picture of one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Liveness {
    /// What is asked: nothing, what frames show by themselves, the answer to the lamp of [light], or both.
    pub mode: LivenessMode,
    /// Card of the network that tells live faces from pictures.
    #[schemars(length(min = 1))]
    pub network: String,
    /// Part of the live people that may be refused; smaller lets more pictures pass.
    #[schemars(range(min = 0.001, max = 0.5))]
    pub bpcer_target: f32,
    /// This site's own classifier, made by gate-lab calibrate-liveness.
    #[schemars(length(min = 1))]
    pub calibration: Option<PathBuf>,
    /// So many attempts with one person's face lock that person out; 0 bounds no attempts.
    #[schemars(range(min = 0, max = 16))]
    pub attacks_max: u8,
    /// One attempt is forgiven after so long, milliseconds.
    #[schemars(range(min = 1_000, max = 3_600_000))]
    pub attacks_window_ms: u32,
    /// How long the first lock-out lasts, milliseconds; each further one twice as long, up to 8 times.
    #[schemars(range(min = 0, max = 3_600_000))]
    pub lockout_ms: u32,
}

impl Default for Liveness {
    fn default() -> Self {
        Self {
            mode: LivenessMode::Passive,
            network: "minifasnet_v2".to_owned(),
            bpcer_target: 0.02,
            calibration: None,
            attacks_max: 3,
            attacks_window_ms: 600_000,
            lockout_ms: 30_000,
        }
    }
}

/// Which evidence of a live face is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum LivenessMode {
    /// None: a good photograph opens the gate.
    Off,
    /// What the frames show by themselves.
    #[default]
    Passive,
    /// The answer to the lamp of [light].
    Active,
    /// Both of them.
    Both,
}

impl From<LivenessMode> for gate_core::policy::PadMode {
    fn from(mode: LivenessMode) -> Self {
        match mode {
            LivenessMode::Off => Self::Off,
            LivenessMode::Passive => Self::Passive,
            LivenessMode::Active => Self::Active,
            LivenessMode::Both => Self::Both,
        }
    }
}

/// `[quality]`: what a face at the gate must be like before its identity counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Quality {
    /// Smallest width of a face, pixels of the frame; less is too far.
    #[schemars(range(min = 16, max = 4096))]
    pub min_face_px: f32,
    /// Largest turn to either side, degrees.
    #[schemars(range(min = 1, max = 90))]
    pub max_yaw_deg: f32,
    /// Largest nod up or down, degrees.
    #[schemars(range(min = 1, max = 90))]
    pub max_pitch_deg: f32,
    /// Least sharpness; 0 lets everything through.
    #[schemars(range(min = 0, max = 1000))]
    pub min_sharpness: f32,
    /// Least mean brightness of the face, 0 to 255; less is too dark.
    #[schemars(range(min = 0, max = 255))]
    pub min_luma: f32,
    /// Largest mean brightness of the face, 0 to 255; more is too bright.
    #[schemars(range(min = 0, max = 255))]
    pub max_luma: f32,
}

impl Default for Quality {
    fn default() -> Self {
        Self {
            min_face_px: 48.0,
            max_yaw_deg: 40.0,
            max_pitch_deg: 35.0,
            min_sharpness: 3.0,
            min_luma: 40.0,
            max_luma: 225.0,
        }
    }
}

/// `[enrol]`: what an enrolment picture must be like; stricter, for one picture serves for years.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Enrol {
    /// Smallest width of the face, pixels of the picture.
    #[schemars(range(min = 16, max = 4096))]
    pub min_face_px: f32,
    /// Largest turn to either side, degrees.
    #[schemars(range(min = 1, max = 90))]
    pub max_yaw_deg: f32,
    /// Largest nod up or down, degrees.
    #[schemars(range(min = 1, max = 90))]
    pub max_pitch_deg: f32,
    /// Least sharpness.
    #[schemars(range(min = 0, max = 1000))]
    pub min_sharpness: f32,
    /// Least mean brightness of the face, 0 to 255.
    #[schemars(range(min = 0, max = 255))]
    pub min_luma: f32,
    /// Largest mean brightness of the face, 0 to 255.
    #[schemars(range(min = 0, max = 255))]
    pub max_luma: f32,
    /// Keep the picture, sealed, so that another encoder can be put in without asking everybody back.
    pub keep_picture: bool,
    /// IANA name of the time zone in which days of validity are meant, as Asia/Seoul; without it the system's.
    #[schemars(length(min = 1))]
    pub time_zone: Option<String>,
}

impl Default for Enrol {
    fn default() -> Self {
        Self {
            min_face_px: 80.0,
            max_yaw_deg: 25.0,
            max_pitch_deg: 25.0,
            min_sharpness: 4.0,
            min_luma: 50.0,
            max_luma: 215.0,
            keep_picture: false,
            time_zone: None,
        }
    }
}

/// `[store]`: where people are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Store {
    /// Folder of the store, on a disk of this machine.
    #[schemars(length(min = 1))]
    pub dir: PathBuf,
    /// File of the site key, mode 0400; without it, systemd's credential or the key beside the store.
    #[schemars(length(min = 1))]
    pub key_file: Option<PathBuf>,
    /// People who were not found unchanged for this long may be out of date: the gate locks, milliseconds.
    #[schemars(range(min = 1_000, max = 60_000))]
    pub gallery_age_max_ms: u32,
}

impl Default for Store {
    fn default() -> Self {
        Self { dir: PathBuf::from("/var/lib/face-gate"), key_file: None, gallery_age_max_ms: 5_000 }
    }
}

/// `[events]`: where events are written.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Events {
    /// File for events as JSON lines, or "-" for standard output; without it they only go to the log.
    #[schemars(length(min = 1))]
    pub file: Option<PathBuf>,
}

/// `[metrics]`: counters for Prometheus. No score, no name and no id is in them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Metrics {
    /// Where they are served: unix:PATH of a socket, or a loopback address and port; without it they are not.
    #[schemars(length(min = 1))]
    pub listen: Option<String>,
}

/// Where metrics are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// A socket in the file system.
    Unix(PathBuf),
    /// A port of this machine, for nobody outside it.
    Loopback(SocketAddr),
}

impl Metrics {
    /// Where they are served; `None` where they are not.
    #[must_use]
    pub fn address(&self) -> Option<Listen> {
        let listen = self.listen.as_deref()?;
        if let Some(path) = listen.strip_prefix("unix:") {
            return Some(Listen::Unix(path.into())).filter(|_| !path.is_empty());
        }
        let address: SocketAddr = listen.parse().ok()?;
        (address.ip().is_loopback() && address.port() != 0).then_some(Listen::Loopback(address))
    }
}

/// `[log]`: what is logged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(inline)]
pub struct Log {
    /// error, warn, info, debug or trace; also per part, as in "info,gate_hal=debug".
    #[schemars(length(min = 1))]
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}
