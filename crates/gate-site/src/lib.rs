//! One site, opened: its configuration turned into what the programs work with.
//!
//! The crates below know nothing of each other. Here their parts are put together once, the same way for the gate and
//! for the staff's tool: which camera, which relay, which networks, whose references, which threshold.
#![forbid(unsafe_code)]

pub mod calibration;
pub mod liveness;
mod members;
mod time;

pub use calibration::Calibration;
pub use liveness::LivenessCalibration;
pub use members::{Group, Members, Tau, TauSource};
pub use time::KnownTimes;

use gate_config::{ActiveLevel, CameraFormat, Config, ConfigError, Driver, Provider, ReplayPace};
use gate_core::policy::{PadMode, PadPolicy, Policy};
use gate_hal::{CameraIdentity, CameraOptions, CameraSpec, IdentityError, OutputSpec, Pace, PixelFormat, SpecError};
use gate_store::{Anchor, KeySource, Part, SiteKey, Store, StoreError};
use gate_vision::card::Card;
use gate_vision::{Comparer, Liveness, SessionOptions, Vision, VisionError, VisionOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Where an installed gate has its configuration.
pub const CONFIG_PATH: &str = "/etc/face-gate/gate.toml";

/// The false match rate of one comparison at which two frames of a track still count as one face. Another person's face is
/// noticed in 999 of 1,000 pairs; a track that ends by mistake costs an honest person some frames and nothing else.
const SAME_FACE_FMR: f64 = 1e-3;

/// What can go wrong while a site is opened. The inner errors say what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Networks and their runtime.
    #[error(transparent)]
    Vision(#[from] VisionError),
    /// People and references.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file that root does not take its configuration from.
    #[error(transparent)]
    Untrusted(#[from] gate_guard::Untrusted),
    /// Root's rights could not be given up.
    #[error(transparent)]
    Owner(#[from] gate_guard::OwnerError),
    /// The camera's name.
    #[error("[camera] source: {0}")]
    Camera(#[from] SpecError),
    /// The pinned camera.
    #[error("[camera] identity: {0}")]
    Identity(#[from] IdentityError),
    /// A number that does not fit the hardware.
    #[error("[relay] line = {line}: rppal takes BCM numbers 0 to 27")]
    Line {
        /// The number.
        line: u32,
    },
    /// The site's liveness calibration.
    #[error("[liveness] calibration: {}: {why}. Make it anew with gate-lab calibrate-liveness, or take the key out", path.display())]
    LivenessCalibration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The site's calibration.
    #[error("[policy] calibration: {}: {why}. Make it anew with gate-lab calibrate, or take the key out", path.display())]
    Calibration {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// A site's configuration and what follows from it.
#[derive(Clone, Debug)]
pub struct Site {
    /// The configuration.
    pub config: Config,
    /// The file it came from; `None` = built-in defaults.
    pub file: Option<PathBuf>,
}

impl Site {
    /// Reads `file`, or else [`CONFIG_PATH`] if that exists, or else takes the defaults.
    /// `store` overrides `[store] dir`.
    ///
    /// # Errors
    /// When a file is named and missing, or cannot be used; for root, when others could have written it.
    pub fn load(file: Option<&Path>, store: Option<&Path>) -> Result<Self, SiteError> {
        let installed = Path::new(CONFIG_PATH);
        let file = file.or_else(|| installed.exists().then_some(installed));
        if let Some(file) = file {
            gate_guard::trusted::check(file)?;
        }
        let mut config = file.map_or_else(|| Config::parse("", ""), Config::load)?;
        if let Some(store) = store {
            config.store.dir = store.to_path_buf();
        }
        Ok(Self { config, file: file.map(Path::to_path_buf) })
    }

    /// Loads the networks.
    ///
    /// # Errors
    /// See [`Vision::load`].
    pub fn vision(&self) -> Result<Vision, SiteError> {
        Ok(Vision::load(&self.vision_options())?)
    }

    /// Loads what tells live faces from pictures, with the site's calibration where it has one; `None` where frames are not
    /// asked.
    ///
    /// # Errors
    /// When the card, its weights or the calibration are missing, damaged or made for something else.
    pub fn liveness(&self, vision: &Vision) -> Result<Option<Liveness>, SiteError> {
        let Some(network) = self.liveness_network() else { return Ok(None) };
        let mut liveness = vision.liveness(&self.vision_options(), network)?;
        if let Some(path) = &self.config.liveness.calibration {
            let classifier = LivenessCalibration::load(path, liveness.card(), &self.config.camera)?;
            liveness.calibrate(classifier)?;
        }
        Ok(Some(liveness))
    }

    /// The same for enrolling before a camera, where no lamp is: the network is asked in every mode but `off`. The site's
    /// calibration is for its own camera only.
    ///
    /// # Errors
    /// As [`Self::liveness`].
    pub fn enrol_liveness(&self, vision: &Vision, is_own_camera: bool) -> Result<Option<Liveness>, SiteError> {
        let section = &self.config.liveness;
        let mode = PadMode::from(section.mode);
        if !mode.is_passive() && !mode.is_active() {
            return Ok(None);
        }
        let mut liveness = vision.liveness(&self.vision_options(), &section.network)?;
        if let Some(path) = section.calibration.as_ref().filter(|_| is_own_camera) {
            let classifier = LivenessCalibration::load(path, liveness.card(), &self.config.camera)?;
            liveness.calibrate(classifier)?;
        }
        Ok(Some(liveness))
    }

    /// The card of the network that tells live faces from pictures; `None` where frames are not asked.
    #[must_use]
    pub fn liveness_network(&self) -> Option<&str> {
        let section = &self.config.liveness;
        PadMode::from(section.mode).is_passive().then_some(section.network.as_str())
    }

    /// The core's policy for these people, with the score model of the liveness network that was loaded.
    #[must_use]
    pub fn policy(&self, members: &Members, liveness: Option<&Liveness>) -> Policy {
        let policy = self.config.policy(members.tau().d2);
        let model = liveness.map_or(policy.liveness.model, Liveness::model);
        let same_face_d2 = members.comparer().impostors().threshold(SAME_FACE_FMR, 1).tau;
        Policy { same_face_d2, liveness: PadPolicy { model, ..policy.liveness }, ..policy }
    }

    /// Which networks, and how to run them.
    #[must_use]
    pub fn vision_options(&self) -> VisionOptions {
        let vision = &self.config.vision;
        let provider = match vision.provider {
            Provider::Cpu => gate_vision::Provider::Cpu,
            Provider::Cuda => gate_vision::Provider::Cuda,
            Provider::Tensorrt => gate_vision::Provider::TensorRt,
        };
        VisionOptions {
            runtime: vision.runtime.clone(),
            models: vision.models.clone(),
            detector: vision.detector.clone(),
            encoder: vision.encoder.clone(),
            session: SessionOptions { provider, strict: vision.strict, threads: usize::from(vision.threads) },
            detect_max_px: vision.detect_max_px,
        }
    }

    /// Where the store is.
    #[must_use]
    pub fn store_dir(&self) -> &Path {
        &self.config.store.dir
    }

    /// Where the site key is looked for.
    #[must_use]
    pub fn key_source(&self) -> KeySource {
        KeySource::find(self.config.store.key_file.as_deref(), self.store_dir())
    }

    /// Whether the site key lies in the store's folder, as a file of the store's owner.
    #[must_use]
    pub fn key_is_in_store(&self) -> bool {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let source = self.key_source();
        source.path().parent().is_some_and(|folder| real(folder) == real(self.store_dir()))
    }

    /// The site key, for staff's work. Root becomes the store's owner here, for good. A key that lies elsewhere may be
    /// root's alone, as in `/etc/credstore`, and is read before that.
    ///
    /// # Errors
    /// See [`SiteKey::load`] and [`gate_guard::owner::become_owner_of`].
    fn key_as_owner(&self) -> Result<SiteKey, SiteError> {
        let source = self.key_source();
        let key = if self.key_is_in_store() { None } else { Some(SiteKey::load(&source)?) };
        Anchor::prepare(self.store_dir())?;
        gate_guard::owner::become_owner_of(self.store_dir())?;
        Ok(key.map_or_else(|| SiteKey::load(&source), Ok)?)
    }

    /// Opens the store for staff's work. Root becomes the store's owner first, for good.
    ///
    /// # Errors
    /// See [`SiteKey::load`], [`gate_guard::owner::become_owner_of`] and [`Store::open`].
    pub fn open_store(&self) -> Result<Store, SiteError> {
        Ok(Store::open(self.store_dir(), &self.key_as_owner()?)?)
    }

    /// The same for looking, which those may do, too, who cannot write there.
    ///
    /// # Errors
    /// See [`Self::open_store`].
    pub fn open_store_to_look(&self) -> Result<Store, SiteError> {
        let key = self.key_as_owner()?;
        match Store::open(self.store_dir(), &key) {
            Err(StoreError::ReadOnly { .. }) => Ok(Store::open_read_only(self.store_dir(), &key)?),
            opened => Ok(opened?),
        }
    }

    /// Opens the store for the gate, which changes nothing in it.
    ///
    /// # Errors
    /// See [`SiteKey::load`] and [`Store::open_read_only`].
    pub fn open_store_read_only(&self) -> Result<Store, SiteError> {
        Ok(Store::open_read_only(self.store_dir(), &SiteKey::load(&self.key_source())?)?)
    }

    /// The sealed numbers of this machine that only grow.
    ///
    /// # Errors
    /// See [`SiteKey::load`] and [`Anchor::place`].
    pub fn anchor(&self) -> Result<Anchor, SiteError> {
        Ok(Anchor::new(&Anchor::place(self.store_dir())?, &SiteKey::load(&self.key_source())?))
    }

    /// How faces are compared here: the configured comparison, with the site's own impostor distribution where it has one.
    ///
    /// # Errors
    /// When a card or the calibration is missing, damaged or made for something else.
    pub fn comparer(&self, encoder: &Card) -> Result<Arc<Comparer>, SiteError> {
        let policy = &self.config.policy;
        let comparer = Comparer::load(&self.config.vision.models, encoder, &policy.comparison)?;
        let Some(path) = &policy.calibration else { return Ok(Arc::new(comparer)) };
        let (calibration, table) = Calibration::load(path, encoder, &policy.comparison)?;
        Ok(Arc::new(comparer.with_impostors(table, calibration.impostors.measured_on)))
    }

    /// Loads everybody whom this encoder can recognise, and derives the threshold. What cannot be loaded is told.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members(&self, store: &Store, encoder: &Card, comparer: &Arc<Comparer>) -> Result<Members, SiteError> {
        self.members_with(&[], store, encoder, comparer)
    }

    /// The same after a change: only those are loaded whom it may concern, the others are shared with `before`, which was
    /// loaded for the same encoder.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn members_after(
        &self,
        before: &Members,
        store: &Store,
        encoder: &Card,
        comparer: &Arc<Comparer>,
    ) -> Result<Members, SiteError> {
        let known = if before.comparer().compares_like(comparer) { before.parts() } else { &[] };
        self.members_with(known, store, encoder, comparer)
    }

    fn members_with(
        &self,
        known: &[Part<Group>],
        store: &Store,
        encoder: &Card,
        comparer: &Arc<Comparer>,
    ) -> Result<Members, SiteError> {
        let dim = encoder.encoding.as_ref().map_or(0, |e| e.dim);
        let group = |stored| Group::new(stored, comparer);
        let parts = store.parts(&encoder.encoder_sha256(), dim, known, group)?;
        let members = Members::new(parts, Arc::clone(comparer), |references| self.tau(comparer, references));
        tell_what_is_missing(&members, &encoder.name);
        Ok(members)
    }

    /// The threshold for a gallery of this many references.
    #[must_use]
    pub fn tau(&self, comparer: &Comparer, references: usize) -> Tau {
        let policy = &self.config.policy;
        Tau::derive(comparer.impostors(), policy.tau, policy.fpir_target, references)
    }

    /// The configured camera.
    ///
    /// # Errors
    /// When its name is of no known form.
    pub fn camera_spec(&self) -> Result<CameraSpec, SiteError> {
        Ok(self.config.camera.source.parse()?)
    }

    /// The only camera that may be opened, if one is pinned.
    ///
    /// # Errors
    /// When the text names no camera.
    pub fn camera_identity(&self) -> Result<Option<CameraIdentity>, SiteError> {
        Ok(self.config.camera.identity.as_deref().map(str::parse).transpose()?)
    }

    /// How the camera shall run.
    ///
    /// # Errors
    /// When the pinned camera's text names none.
    pub fn camera_options(&self) -> Result<CameraOptions, SiteError> {
        let camera = &self.config.camera;
        Ok(CameraOptions {
            width_px: camera.width_px,
            height_px: camera.height_px,
            fps: camera.fps,
            format: match camera.format {
                CameraFormat::Auto => PixelFormat::Auto,
                CameraFormat::Yuyv => PixelFormat::Yuyv,
                CameraFormat::Mjpg => PixelFormat::Mjpg,
                CameraFormat::Nv12 => PixelFormat::Nv12,
                CameraFormat::Rgb => PixelFormat::Rgb,
                CameraFormat::Grey => PixelFormat::Grey,
            },
            replay_pace: match camera.replay_pace {
                ReplayPace::Real => Pace::Real,
                ReplayPace::Fast => Pace::Fast,
            },
            replay_loop: camera.replay_loop,
            replay_fps: camera.replay_fps,
            stall: Duration::from_millis(u64::from(camera.stall_ms)),
            identity: self.camera_identity()?,
        })
    }

    /// The relay's line.
    ///
    /// # Errors
    /// When the number does not fit the driver.
    pub fn relay_spec(&self) -> Result<OutputSpec, SiteError> {
        let relay = &self.config.relay;
        self.output_spec(relay.line, relay.active)
    }

    /// The lamps' lines that are configured: ("green" or "red", line).
    ///
    /// # Errors
    /// When a number does not fit the driver.
    pub fn lamp_specs(&self) -> Result<Vec<(&'static str, OutputSpec)>, SiteError> {
        let lamps = &self.config.lamps;
        [("green", lamps.green_line), ("red", lamps.red_line)]
            .into_iter()
            .filter_map(|(name, line)| line.map(|line| (name, line)))
            .map(|(name, line)| Ok((name, self.output_spec(line, lamps.active)?)))
            .collect()
    }

    /// The line of the lamp that asks faces, where that is wanted.
    ///
    /// # Errors
    /// When the number does not fit the driver.
    pub fn light_spec(&self) -> Result<Option<OutputSpec>, SiteError> {
        let light = &self.config.light;
        let is_asked = PadMode::from(self.config.liveness.mode).is_active();
        light.line.filter(|_| is_asked).map(|line| self.output_spec(line, light.active)).transpose()
    }

    /// The alarm's line, if there is one.
    ///
    /// # Errors
    /// When the number does not fit the driver.
    pub fn alarm_spec(&self) -> Result<Option<OutputSpec>, SiteError> {
        let alarm = &self.config.alarm;
        alarm.line.map(|line| self.output_spec(line, alarm.active)).transpose()
    }

    fn output_spec(&self, line: u32, active: ActiveLevel) -> Result<OutputSpec, SiteError> {
        let relay = &self.config.relay;
        let active_low = active == ActiveLevel::Low;
        Ok(match relay.driver {
            Driver::Simulated => OutputSpec::Simulated { trace: relay.trace.clone() },
            Driver::Gpiocdev => OutputSpec::Gpiocdev { chip: relay.chip.clone(), line, active_low },
            Driver::Rppal => {
                OutputSpec::Rppal { line: u8::try_from(line).map_err(|_| SiteError::Line { line })?, active_low }
            }
        })
    }
}

/// References that are there and cannot be used are never passed over in silence.
fn tell_what_is_missing(members: &Members, encoder: &str) {
    let (foreign, damaged, erased) = (members.foreign(), members.damaged(), members.erased());
    if foreign > 0 {
        tracing::warn!(
            references = foreign,
            encoder,
            "references made by another encoder are not compared; enrol these people again with this one"
        );
    }
    if !damaged.is_empty() {
        tracing::error!(people = ?damaged, "references that fail authentication are left out; enrol these people again");
    }
    if erased > 0 {
        tracing::error!(people = erased, "rows of people whose key was destroyed are left out; see enroll-tool check");
    }
}
