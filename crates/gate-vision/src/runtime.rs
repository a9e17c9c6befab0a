//! ONNX Runtime: finding the library, and sessions on the execution provider that the owner asked for.

use crate::card::Card;
use crate::error::VisionError;
use crate::onnx;
use ort::ep::{CUDA, ExecutionProviderDispatch, TensorRT};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use std::path::{Path, PathBuf};

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
        is_whole(&path).map_err(unusable)?;
        let environment =
            ort::init_from(&path).map_err(|e| unusable(e.to_string()))?.build().map_err(|e| unusable(e.to_string()))?;
        Ok(Self { environment, path })
    }

    /// The library in use.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Prepares the card's graph and makes a session of it.
    ///
    /// # Errors
    /// When the weights are missing or damaged, do not fit the card, or the provider is not to be had.
    pub fn session(&self, card: &Card, options: SessionOptions) -> Result<Session, VisionError> {
        if card.research_only {
            tracing::warn!(model = card.name, licence = card.licence, "these weights may be used for research only");
        }
        let graph = onnx::prepare(&card.weights()?, card.prepare)
            .map_err(|why| VisionError::BadModel { name: card.name.clone(), why })?;
        self.commit(card, &graph, options)
    }

    fn commit(&self, card: &Card, graph: &[u8], options: SessionOptions) -> Result<Session, VisionError> {
        let bad = |why: String| VisionError::BadModel { name: card.name.clone(), why };
        let cache = engine_cache(card);
        let mut providers = options.provider.dispatch(&cache);
        if options.strict {
            providers = providers.into_iter().map(ExecutionProviderDispatch::error_on_failure).collect();
        }
        // Threads that spin while they wait would burn an idle board's core.
        let builder = Session::builder(&self.environment)
            .map_err(|e| bad(e.to_string()))?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|e| bad(e.to_string()))?
            .with_intra_threads(options.threads.max(1))
            .map_err(|e| bad(e.to_string()))?
            .with_intra_op_spinning(false)
            .map_err(|e| bad(e.to_string()))?;
        let mut builder = builder
            .with_execution_providers(providers)
            .map_err(|e| VisionError::Provider { provider: options.provider.name(), why: e.to_string() })?;
        builder.commit_from_memory(graph).map_err(|e| bad(e.to_string()))
    }
}

/// Where compiled networks are kept: under systemd in the service's cache folder, else in that of the models.
fn engine_cache(card: &Card) -> PathBuf {
    match std::env::var_os("CACHE_DIRECTORY") {
        Some(dir) => PathBuf::from(dir).join("engines"),
        None => card.cache().join("engines"),
    }
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
