//! `relay pulse` for the installer, `relay lock` for the unit's stop path.

use crate::noted;
use anyhow::{Result, anyhow};
use gate_hal::{Clock, OutputSpec, RelayGuard, SystemClock, open_output};
use gate_site::{Site, SiteError};
use std::sync::Arc;
use std::time::Duration;

/// What to do with the relay.
#[derive(clap::Subcommand)]
pub enum RelayAction {
    /// Unlock for one pulse, then lock. Take the wire to the lock off first, then listen for two clicks.
    Pulse {
        /// Length, milliseconds; the configured pulse without it, never more than the configured maximum.
        #[arg(long)]
        ms: Option<u32>,
    },
    /// Drive the relay to locked. The unit calls this whenever the daemon has ended, however it ended.
    ///
    /// Under systemd it also locks the line that the daemon has driven, whatever the configuration says by now.
    Lock,
}

/// Drives the relay by hand.
///
/// # Errors
/// When the line cannot be had, for instance because the daemon holds it.
pub fn relay(site: Result<Site, SiteError>, action: &RelayAction) -> Result<()> {
    match action {
        RelayAction::Pulse { ms } => pulse(&site?, *ms),
        RelayAction::Lock => lock(site),
    }
}

fn pulse(site: &Site, ms: Option<u32>) -> Result<()> {
    // Opening a line drives it to locked first.
    let output = open_output(&site.relay_spec()?, "relay", Arc::new(SystemClock::new()))?;
    let what = output.describe();
    let config = &site.config.relay;
    let ms = ms.unwrap_or(config.pulse_ms).min(config.pulse_max_ms);
    let guard = RelayGuard::start(output, Duration::from_millis(u64::from(config.pulse_max_ms)));
    guard.set(true)?;
    println!("{what}: unlocked for {ms} ms");
    std::thread::sleep(Duration::from_millis(u64::from(ms)));
    guard.set(false)?;
    println!("{what}: locked");
    Ok(())
}

/// Locks the line that the daemon has driven, and the configured one. What cannot be locked does not keep the other open.
fn lock(site: Result<Site, SiteError>) -> Result<()> {
    let mut lines: Vec<OutputSpec> = Vec::new();
    let mut failed: Vec<anyhow::Error> = Vec::new();
    match noted::folder().map(|folder| noted::noted(&folder)) {
        Some(Ok(Some(noted))) => lines.push(noted),
        Some(Err(e)) => failed.push(e),
        Some(Ok(None)) | None => {}
    }
    match site.and_then(|site| site.relay_spec()) {
        Ok(configured) if lines.contains(&configured) => {}
        Ok(configured) => lines.push(configured),
        // The driven line is known: there is nothing else that could be open.
        Err(e) if !lines.is_empty() => eprintln!("gate-daemon: {e}\ngate-daemon: locking the line that was driven"),
        Err(e) if failed.is_empty() => return Err(e.into()),
        Err(e) => failed.push(e.into()),
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    for line in &lines {
        // Opening a line drives it to locked; so does letting go of it.
        match open_output(line, "relay", Arc::clone(&clock)) {
            Ok(output) => println!("{}: locked", output.describe()),
            Err(e) => failed.push(e.into()),
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    let why: Vec<String> = failed.iter().map(|e| format!("{e:#}")).collect();
    Err(anyhow!("not everything is locked, look at the door: {}", why.join("; ")))
}
