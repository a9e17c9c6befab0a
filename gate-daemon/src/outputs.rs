//! The relay and the lamps.

use anyhow::{Context, Result};
use gate_hal::{Clock, Output, OutputError, RelayGuard, open_output};
use gate_site::Site;
use std::sync::Arc;
use std::time::Duration;

/// Relay and lamps, locked and dark when they are opened and when they are dropped.
pub struct Outputs {
    relay: RelayGuard,
    green: Option<Box<dyn Output>>,
    red: Option<Box<dyn Output>>,
    lamp_failed: bool,
}

impl Outputs {
    /// Opens the lines; the relay first, which locks the gate whatever was before.
    ///
    /// # Errors
    /// When a line cannot be had.
    pub fn open(site: &Site, clock: &Arc<dyn Clock>) -> Result<Self> {
        let relay = open_output(&site.relay_spec()?, "relay", Arc::clone(clock)).context("opening the relay")?;
        tracing::info!(relay = relay.describe(), "locked");
        let pulse_max = Duration::from_millis(u64::from(site.config.relay.pulse_max_ms));
        let mut outputs =
            Self { relay: RelayGuard::start(relay, pulse_max), green: None, red: None, lamp_failed: false };
        for (name, spec) in site.lamp_specs()? {
            let lamp =
                open_output(&spec, name, Arc::clone(clock)).with_context(|| format!("opening the {name} lamp"))?;
            *(if name == "green" { &mut outputs.green } else { &mut outputs.red }) = Some(lamp);
        }
        Ok(outputs)
    }

    /// Switches the relay; it does not stay on beyond its maximum whatever happens here.
    ///
    /// # Errors
    /// When the line could not be driven in time.
    pub fn relay(&self, on: bool) -> Result<(), OutputError> {
        self.relay.set(on)
    }

    /// What the relay's own guard had to do, if anything: a pulse that it cut off, a line that it cannot drive.
    pub fn relay_trouble(&self) -> Option<String> {
        self.relay.fault()
    }

    /// Shows the lamps. A lamp that cannot be driven is told once and changes nothing else.
    pub fn lamps(&mut self, green: bool, red: bool) {
        for (lamp, on) in [(&mut self.green, green), (&mut self.red, red)] {
            let Some(lamp) = lamp else { continue };
            match lamp.set(on) {
                Ok(()) => {}
                Err(e) if !self.lamp_failed => {
                    self.lamp_failed = true;
                    tracing::error!("{e}");
                }
                Err(_) => {}
            }
        }
    }
}
