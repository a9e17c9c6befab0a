//! ONNX Runtime: finding the library, and sessions on the execution provider that the owner asked for.

use crate::card::Card;
use crate::error::VisionError;
use crate::network::bad_model;
use crate::{onnx, optimised};
use ort::ep::{CUDA, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Where the networks run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Provider {
    /// Everywhere.
    #[default]
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
    /// NVIDIA GPUs and Jetsons, compiled for the device at the first start.
    TensorRt,
}

impl Provider {
    /// The name in configuration and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
            Provider::TensorRt => "tensorrt",
        }
    }

    /// What is registered with ONNX Runtime. The CPU needs nothing: it is always there, last.
    fn dispatch(self, cache: &Path) -> Vec<ExecutionProviderDispatch> {
        match self {
            Provider::Cpu => Vec::new(),
            Provider::Cuda => vec![CUDA::default().build()],
            Provider::TensorRt => vec![
                TensorRT::default().with_engine_cache(true).with_engine_cache_path(cache.display()).build(),
                CUDA::default().build(),
            ],
        }
    }
}

/// An optimised graph is used where its file is mapped to, for the gate and the staff's tool to share one copy.
const MAPPED: [(&str, &str); 2] =
    [("session.use_memory_mapped_ort_model", "1"), ("session.use_ort_model_bytes_for_initializers", "1")];
/// Weights are not packed anew: that would copy what lies there already, for no gain at one face at a time. Those of 8 bits
/// are: unpacked ones take twice the time.
const UNPACKED: (&str, &str) = ("session.disable_prepacking", "1");

/// A graph that was optimised for this machine.
#[derive(Clone, Debug)]
pub struct Optimised {
    /// Where it is kept.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The largest difference between its outputs and the published graph's, relative to the largest output.
    pub difference: f32,
}

/// How sessions are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionOptions {
    /// Where to run.
    pub provider: Provider,
    /// Refuse to start when the provider is not to be had, instead of running on the CPU in silence.
    pub strict: bool,
    /// Threads within one network, at least 1.
    pub threads: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { provider: Provider::Cpu, strict: true, threads: 1 }
    }
}

/// Whether all that the library's headers promise is in the file. The system's loader does not ask: it maps what is
/// missing, and the process dies of SIGBUS at the first touch, without a word of why.
fn is_whole(path: &Path) -> Result<(), String> {
    let read = || -> Result<Option<u64>, elf::ParseError> {
        let file = std::fs::File::open(path)?;
        let bytes = file.metadata()?.len();
        let library = elf::ElfStream::<elf::endian::NativeEndian, _>::open_stream(file)?;
        let end = library.segments().iter().map(|part| part.p_offset.saturating_add(part.p_filesz)).max();
        Ok(end.filter(|end| *end > bytes))
    };
    match read() {
        Ok(None) => Ok(()),
        Ok(Some(end)) => Err(format!("it is cut short: {end} bytes are promised by its headers")),
        Err(e) => Err(format!("it is no library of this machine: {e}")),
    }
}

/// The loaded library. One for each process.
#[derive(Debug)]
pub struct Runtime {
    environment: ort::environment::Environment,
    path: PathBuf,
    spent_ns: Arc<AtomicU64>,
}

impl Runtime {
    /// Loads the library from `configured`, or else from the first of the usual places that has one:
    /// `$ORT_DYLIB_PATH`, `<models>/cache/runtime/`, `/usr/lib/face-gate/`.
    ///
    /// # Errors
    /// When there is none, or it cannot be used, or one was loaded before.
    pub fn load(configured: Option<&Path>, models: &Path) -> Result<Self, VisionError> {
        let path = find_library(configured, models)?;
        let unusable = |why: String| VisionError::RuntimeUnusable { path: path.clone(), why };
        trusted_library(&path)?;
        is_whole(&path).map_err(unusable)?;
        let environment =
            ort::init_from(&path).map_err(|e| unusable(e.to_string()))?.build().map_err(|e| unusable(e.to_string()))?;
        Ok(Self { environment, path, spent_ns: Arc::default() })
    }

    /// The library in use.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long it has worked on runs of networks so far, nanoseconds: each network adds to it.
    pub(crate) fn spent_ns(&self) -> &Arc<AtomicU64> {
        &self.spent_ns
    }

    /// Makes a session of the card's network: of the graph that was optimised for this machine where there is one, else of
    /// the weights, prepared here and now.
    ///
    /// # Errors
    /// When the weights are missing or damaged, do not fit the card, or the provider is not to be had.
    pub fn session(&self, card: &Card, options: SessionOptions) -> Result<Session, VisionError> {
        if card.research_only {
            tracing::warn!(model = card.name, licence = card.licence, "these weights may be used for research only");
        }
        if card.prepare.int8 && options.provider != Provider::Cpu {
            return Err(VisionError::CpuOnly { name: card.name.clone(), provider: options.provider.name() });
        }
        if options.provider == Provider::Cpu
            && let Some(session) = self.optimised_session(card, options)
        {
            return Ok(session);
        }
        let mut builder = self.builder(card, options, GraphOptimizationLevel::All, &[])?;
        builder.commit_from_memory(&prepared(card, &card.weights()?)?).map_err(|e| bad_model(card, e.to_string()))
    }

    /// Optimises the card's graph for this machine's CPU, holds it against the published one, and keeps it for every later
    /// session; see [`optimised`]. `None` when that was done before and is whole.
    ///
    /// # Errors
    /// As [`Self::session`]; when the two differ; when the models' folder cannot be written.
    pub fn optimise(&self, card: &Card) -> Result<Option<Optimised>, VisionError> {
        let path = optimised::path(card, ort::info());
        if matches!(optimised::is_there(&path), Ok(true)) {
            return Ok(None);
        }
        let part = optimised::part(&path);
        let unwritable = |source| VisionError::Unwritable { path: path.clone(), source };
        std::fs::create_dir_all(path.parent().unwrap_or(&path)).map_err(unwritable)?;
        let made = self.optimise_into(card, &part).and_then(|difference| {
            let bytes = optimised::keep(&path, card).map_err(unwritable)?;
            Ok(Optimised { path: path.clone(), bytes, difference })
        });
        if made.is_err() {
            // Nothing half made stays behind.
            let _ = std::fs::remove_file(&part);
        }
        made.map(Some)
    }

    /// Has ONNX Runtime write the optimised graph, and returns by how much its outputs differ from the published graph's.
    fn optimise_into(&self, card: &Card, file: &Path) -> Result<f32, VisionError> {
        let bad = |e: ort::Error| bad_model(card, e.to_string());
        let (options, weights) = (SessionOptions::default(), card.weights()?);
        let prepared = prepared(card, &weights)?;
        let mut optimised = self
            .builder(card, options, GraphOptimizationLevel::All, &[("session.save_model_format", "ORT")])?
            .with_optimized_model_path(file)
            .map_err(|e| bad_model(card, e.to_string()))?
            .commit_from_memory(&prepared)
            .map_err(bad)?;
        // In 8 bits it is another network, which pixels without sense drive elsewhere: it is held against itself.
        let plain = if card.prepare.int8 { &prepared } else { &weights };
        let mut plain = self
            .builder(card, options, GraphOptimizationLevel::Disable, &[])?
            .commit_from_memory(plain)
            .map_err(bad)?;
        let difference = optimised::difference(&mut plain, &mut optimised, card).map_err(bad)?;
        if difference > optimised::DIFFERENCE_MAX {
            let why = format!("optimised for this machine, its outputs are off by {difference:e} of their range");
            return Err(bad_model(card, why));
        }
        Ok(difference)
    }

    /// A session of the optimised graph; `None` where there is none that can be used.
    fn optimised_session(&self, card: &Card, options: SessionOptions) -> Option<Session> {
        let path = optimised::path(card, ort::info());
        let told = |why: String| {
            tracing::warn!(
                "{}: {why}; the published weights are prepared instead. Make it anew: gate-daemon setup",
                path.display()
            );
        };
        // Its hash stands in the file itself, so it proves only that the file is whole.
        if let Err(untrusted) = gate_guard::trusted::check(&path) {
            told(untrusted.to_string());
            return None;
        }
        match optimised::is_there(&path) {
            Ok(true) => {}
            Ok(false) => {
                tracing::info!(
                    model = card.name,
                    "not optimised for this machine: the start takes longer (gate-daemon setup does it)"
                );
                return None;
            }
            Err(why) => {
                told(why);
                return None;
            }
        }
        let mut keys = MAPPED.to_vec();
        if !card.prepare.int8 {
            keys.push(UNPACKED);
        }
        let session = self
            .builder(card, options, GraphOptimizationLevel::Disable, &keys)
            .and_then(|mut builder| builder.commit_from_file(&path).map_err(|e| bad_model(card, e.to_string())));
        session.map_err(|e| told(e.to_string())).ok()
    }

    fn builder(
        &self,
        card: &Card,
        options: SessionOptions,
        level: GraphOptimizationLevel,
        keys: &[(&str, &str)],
    ) -> Result<SessionBuilder, VisionError> {
        let bad = |why: String| bad_model(card, why);
        let cache = engine_cache(card);
        if options.provider == Provider::TensorRt {
            // Compiled engines are code.
            gate_guard::trusted::check(&cache)?;
        }
        let mut providers = options.provider.dispatch(&cache);
        if options.strict {
            providers = providers.into_iter().map(ExecutionProviderDispatch::error_on_failure).collect();
        }
        // Threads that spin while they wait would burn an idle board's core.
        let mut builder = Session::builder(&self.environment)
            .map_err(|e| bad(e.to_string()))?
            .with_optimization_level(level)
            .map_err(|e| bad(e.to_string()))?
            .with_intra_threads(options.threads.max(1))
            .map_err(|e| bad(e.to_string()))?
            .with_intra_op_spinning(false)
            .map_err(|e| bad(e.to_string()))?;
        for (key, value) in keys {
            builder = builder.with_config_entry(key, value).map_err(|e| bad(e.to_string()))?;
        }
        builder
            .with_execution_providers(providers)
            .map_err(|e| VisionError::Provider { provider: options.provider.name(), why: e.to_string() })
    }
}

/// The card's weights as a graph in the form that runs fastest.
fn prepared(card: &Card, weights: &[u8]) -> Result<Vec<u8>, VisionError> {
    onnx::prepare(weights, card.prepare, card.input).map_err(|why| bad_model(card, why))
}

/// Where compiled networks are kept: under systemd in the service's cache folder, else in that of the models.
fn engine_cache(card: &Card) -> PathBuf {
    match std::env::var_os("CACHE_DIRECTORY") {
        Some(dir) => PathBuf::from(dir).join("engines"),
        None => card.cache().join("engines"),
    }
}

/// Refuses, for root, a library that others could have written; also among those beside it, which it loads by name: its
/// execution providers.
fn trusted_library(path: &Path) -> Result<(), VisionError> {
    gate_guard::trusted::check(path)?;
    let beside = path.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    for entry in beside.into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("libonnxruntime") {
            gate_guard::trusted::check(&entry.path())?;
        }
    }
    Ok(())
}

/// The library's path, without loading it.
fn find_library(configured: Option<&Path>, models: &Path) -> Result<PathBuf, VisionError> {
    const NAME: &str = "libonnxruntime.so";
    let candidates: Vec<PathBuf> = match configured {
        // What the owner names is meant: nothing else is tried in its place.
        Some(path) => vec![path.to_path_buf()],
        None => std::env::var_os("ORT_DYLIB_PATH")
            .map(PathBuf::from)
            .into_iter()
            .chain([models.join("cache/runtime").join(NAME), Path::new("/usr/lib/face-gate").join(NAME)])
            .collect(),
    };
    candidates
        .iter()
        .find(|path| path.is_file())
        .map(|path| std::path::absolute(path).unwrap_or(path.clone()))
        .ok_or_else(|| VisionError::RuntimeMissing {
            looked_at: candidates.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "),
        })
}
