//! `relay pulse` for the installer, `relay lock` for the unit's stop path.

use anyhow::Result;
use gate_hal::{Clock, RelayGuard, SystemClock, open_output};
use gate_site::Site;
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
    Lock,
}

/// Drives the relay by hand.
///
/// # Errors
/// When the line cannot be had, for instance because the daemon holds it.
pub fn relay(site: &Site, action: &RelayAction) -> Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let spec = site.relay_spec()?;
    // Opening a line drives it to locked first.
    let output = open_output(&spec, "relay", clock)?;
    let what = output.describe();
    let RelayAction::Pulse { ms } = action else {
        println!("{what}: locked");
        return Ok(());
    };
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
