//! The relay, the lamps, the lamp that asks faces, and the alarm.

use anyhow::{Context, Result};
use gate_core::light::Code;
use gate_hal::{Clock, LightPlayer, Output, OutputError, OutputSpec, RelayGuard, open_output};
use gate_site::Site;
use std::sync::Arc;
use std::time::Duration;

/// Relay, lamps and alarm, locked, dark and quiet when they are opened and when they are dropped.
pub struct Outputs {
    /// `None` only between two attempts to open a line that was lost.
    relay: Option<RelayGuard>,
    relay_spec: OutputSpec,
    pulse_max: Duration,
    clock: Arc<dyn Clock>,
    green: Option<Box<dyn Output>>,
    red: Option<Box<dyn Output>>,
    lamp_failed: bool,
    light: Option<LightPlayer>,
    alarm: Option<Box<dyn Output>>,
}

impl Outputs {
    /// Opens the lines; the relay first, which locks the gate whatever was before.
    ///
    /// # Errors
    /// When a line cannot be had.
    pub fn open(site: &Site, clock: &Arc<dyn Clock>) -> Result<Self> {
        let mut outputs = Self {
            relay: None,
            relay_spec: site.relay_spec()?,
            pulse_max: Duration::from_millis(u64::from(site.config.relay.pulse_max_ms)),
            clock: Arc::clone(clock),
            green: None,
            red: None,
            lamp_failed: false,
            light: None,
            alarm: None,
        };
        outputs.open_relay().context("opening the relay")?;
        for (name, spec) in site.lamp_specs()? {
            let lamp =
                open_output(&spec, name, Arc::clone(clock)).with_context(|| format!("opening the {name} lamp"))?;
            *(if name == "green" { &mut outputs.green } else { &mut outputs.red }) = Some(lamp);
        }
        if let Some(spec) = site.light_spec()? {
            let lamp = open_output(&spec, "light", Arc::clone(clock)).context("opening the light of [light]")?;
            outputs.light = Some(LightPlayer::start(lamp).context("starting the light's thread")?);
        }
        if let Some(spec) = site.alarm_spec()? {
            let alarm = open_output(&spec, "alarm", Arc::clone(clock)).context("opening the line of [alarm]")?;
            outputs.alarm = Some(alarm);
        }
        Ok(outputs)
    }

    /// Plays a code on the lamp that asks faces, from now on, or puts it out.
    pub fn play(&self, code: Option<Code>) {
        if let Some(light) = &self.light {
            light.play(code);
        }
    }

    /// What keeps that lamp from being driven, if anything.
    pub fn light_trouble(&self) -> Option<String> {
        self.light.as_ref().and_then(LightPlayer::trouble)
    }

    /// Switches the relay; it does not stay on beyond its maximum whatever happens here.
    ///
    /// # Errors
    /// When the line could not be driven in time.
    pub fn relay(&self, on: bool) -> Result<(), OutputError> {
        let lost = || OutputError::Refused { why: "its line is lost and could not be opened again yet".into() };
        self.relay.as_ref().ok_or_else(lost)?.set(on)
    }

    /// Opens the line anew, which locks it: a chip that was taken away never answers on the old handle again.
    ///
    /// # Errors
    /// When the line cannot be had (yet).
    pub fn open_relay(&mut self) -> Result<(), OutputError> {
        // The old handle first: a line has one holder.
        self.relay = None;
        let relay = open_output(&self.relay_spec, "relay", Arc::clone(&self.clock))?;
        tracing::info!(relay = relay.describe(), "locked");
        self.relay = Some(RelayGuard::start(relay, self.pulse_max));
        Ok(())
    }

    /// What the relay's own guard had to do, if anything: a pulse that it cut off, a line that it cannot drive.
    pub fn relay_trouble(&self) -> Option<String> {
        self.relay.as_ref().and_then(RelayGuard::fault)
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

    /// Switches the alarm's output. One that cannot be driven is logged each time; the gate works on.
    pub fn alarm(&mut self, on: bool) {
        let Some(alarm) = &mut self.alarm else { return };
        if let Err(e) = alarm.set(on) {
            tracing::error!("the alarm's output: {e}");
        }
    }
}
