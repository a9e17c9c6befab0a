//! The log: under systemd into the journal, with its fields; else to standard error.

use anyhow::{Context, Result};
use std::sync::OnceLock;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

/// What is logged can be changed while the gate runs.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts to log at this level, or at that of `RUST_LOG`.
///
/// # Errors
/// When the level makes no sense.
pub fn start(level: &str) -> Result<()> {
    let (filter, handle) = reload::Layer::new(filter(level)?);
    // The first one counts: a process logs to one place.
    let _ = FILTER.set(handle);
    let under_systemd = std::env::var_os("JOURNAL_STREAM").is_some();
    match under_systemd.then(tracing_journald::layer) {
        Some(Ok(journal)) => tracing_subscriber::registry().with(filter).with(journal).init(),
        _ => {
            let lines =
                tracing_subscriber::fmt::layer().with_writer(|| gate_cli::Log).with_ansi(false).with_target(false);
            tracing_subscriber::registry().with(filter).with(lines).init();
        }
    }
    Ok(())
}

/// Logs at another level from now on.
///
/// # Errors
/// When the level makes no sense.
pub fn set_level(level: &str) -> Result<()> {
    let filter = filter(level)?;
    FILTER.get().map_or(Ok(()), |handle| handle.reload(filter)).context("the log's level")
}

/// What is logged at this level.
///
/// # Errors
/// When it makes no sense.
pub fn filter(level: &str) -> Result<EnvFilter> {
    // ONNX Runtime tells of every graph optimisation; only its warnings matter to an owner.
    let wanted = std::env::var("RUST_LOG").unwrap_or_else(|_| format!("{level},ort=error"));
    EnvFilter::try_new(wanted).with_context(|| format!("[log] level = {level:?} is none"))
}
