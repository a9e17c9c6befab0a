//! One output line: a relay or a lamp. `on` means energised; which level that is, is handled here.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gpiocdev::line::Value;

use crate::Clock;

/// A line that can be energised: the relay, or a lamp.
pub trait Output: Send {
    /// What it is, for logs and `check`: maker, chip or file, line, active level.
    fn describe(&self) -> String;

    /// Energises the line, or not.
    ///
    /// # Errors
    /// [`OutputError::Drive`]: the line's state is unknown then.
    fn set(&mut self, on: bool) -> Result<(), OutputError>;
}

/// Which line, and through which maker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputSpec {
    /// No hardware: changes are appended to a file of JSON lines, if one is named.
    Simulated {
        /// `{"mono_ms":N,"output":"relay","on":true}` a line, flushed at once.
        trace: Option<PathBuf>,
    },
    /// The kernel's GPIO character device: any Linux, any board.
    Gpiocdev {
        /// The chip, for instance `/dev/gpiochip0`.
        chip: PathBuf,
        /// The line's offset on the chip.
        line: u32,
        /// Whether the line is low when energised.
        active_low: bool,
    },
    /// The registers of a Raspberry Pi, through `rppal`.
    Rppal {
        /// The BCM number of the pin, not its place on the header.
        line: u8,
        /// Whether the line is low when energised.
        active_low: bool,
    },
}

/// Why a line cannot be driven. Each message says what, where and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The line cannot be had.
    #[error("the {name} output cannot be opened at {at} ({why}): {advice}")]
    Open {
        /// `relay`, `green`, `red`, `light` or `alarm`.
        name: &'static str,
        /// Chip and line, or file.
        at: String,
        /// The system's words.
        why: String,
        /// What to do.
        advice: &'static str,
    },
    /// The line could not be driven; its state is unknown until it can be.
    #[error("{at} cannot be switched {} ({why}): check the board; the gate keeps trying to lock", on_off(*on))]
    Drive {
        /// Chip and line, or file.
        at: String,
        /// The state that was asked for.
        on: bool,
        /// The system's words.
        why: String,
    },
    /// The driver did not come back in time. What was asked for is withdrawn.
    #[error(
        "the relay's driver has hung for {waited_ms} ms: the door is to be locked as soon as it is back; \
             restart the machine if it stays away"
    )]
    Wedged {
        /// How long the caller waited.
        waited_ms: u64,
    },
    /// Switching on is refused until the line is safely off.
    #[error("the relay may not be switched on: {why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
}

/// Opens a line. It is driven off first, whatever state it was found in; it is driven off again when dropped.
///
/// # Errors
/// [`OutputError::Open`], with advice.
pub fn open_output(
    spec: &OutputSpec,
    name: &'static str,
    clock: Arc<dyn Clock>,
) -> Result<Box<dyn Output>, OutputError> {
    Ok(match spec {
        OutputSpec::Simulated { trace } => Box::new(Simulated::open(trace.as_deref(), name, clock)?),
        OutputSpec::Gpiocdev { chip, line, active_low } => Box::new(Gpiocdev::open(chip, *line, *active_low, name)?),
        OutputSpec::Rppal { line, active_low } => Box::new(Rppal::open(*line, *active_low, name)?),
    })
}

/// A state in words.
fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

/// The level that stands for energised, in words.
fn level(active_low: bool) -> &'static str {
    if active_low { "active low" } else { "active high" }
}

/// A line without hardware.
struct Simulated {
    name: &'static str,
    clock: Arc<dyn Clock>,
    trace: Option<(PathBuf, File)>,
    /// Only changes are written: a trace reads like an oscilloscope's. `None` before the first.
    on: Option<bool>,
}

impl Simulated {
    fn open(trace: Option<&Path>, name: &'static str, clock: Arc<dyn Clock>) -> Result<Self, OutputError> {
        let open = |path: &Path| {
            let file = File::options().append(true).create(true).open(path);
            file.map(|file| (path.to_owned(), file)).map_err(|error| OutputError::Open {
                name,
                at: path.display().to_string(),
                why: error.to_string(),
                advice: "name a file in a folder that exists and may be written to",
            })
        };
        let mut output = Self { name, clock, trace: trace.map(open).transpose()?, on: None };
        output.set(false)?;
        Ok(output)
    }
}

impl Output for Simulated {
    fn describe(&self) -> String {
        match &self.trace {
            Some((path, _)) => format!("simulated, trace in {}", path.display()),
            None => "simulated".to_owned(),
        }
    }

    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        if self.on == Some(on) {
            return Ok(());
        }
        if let Some((path, file)) = &mut self.trace {
            let at = self.clock.mono_ms();
            // One write call: lines of several outputs in one file must not mix.
            let line = format!("{{\"mono_ms\":{at},\"output\":\"{}\",\"on\":{on}}}\n", self.name);
            file.write_all(line.as_bytes()).and_then(|()| file.flush()).map_err(|error| OutputError::Drive {
                at: path.display().to_string(),
                on,
                why: error.to_string(),
            })?;
        }
        self.on = Some(on);
        Ok(())
    }
}

/// A line of the kernel's GPIO character device.
struct Gpiocdev {
    at: String,
    request: gpiocdev::Request,
    line: u32,
}

impl Gpiocdev {
    fn open(chip: &Path, line: u32, active_low: bool, name: &'static str) -> Result<Self, OutputError> {
        let at = format!("gpiocdev {} line {line}, {}", chip.display(), level(active_low));
        let mut builder = gpiocdev::Request::builder();
        builder.on_chip(chip).with_consumer("face-gate").with_line(line);
        if active_low {
            builder.as_active_low();
        }
        // The request itself drives the line inactive: there is no moment at another level.
        let request = builder.as_output(Value::Inactive).request().map_err(|error| {
            let why = error.to_string();
            OutputError::Open { name, at: at.clone(), advice: gpio_advice(chip, &why), why }
        })?;
        Ok(Self { at, request, line })
    }
}

/// What to do about a line that cannot be requested.
fn gpio_advice(chip: &Path, why: &str) -> &'static str {
    let why = why.to_lowercase();
    if !chip.exists() {
        "there is no such chip: `gate-daemon devices` lists those there are"
    } else if why.contains("permission") || why.contains("not permitted") || why.contains("eacces") {
        "add the gate's user to the group `gpio` (sudo usermod -aG gpio USER) and log in again"
    } else if why.contains("busy") {
        "if the daemon is running, stop it first (`systemctl stop gate-daemon`); if not, another program or a driver holds \
         the line: `gpioinfo` names it; free it or take another line"
    } else {
        "check chip and line with `gate-daemon devices` and the board's pin-out"
    }
}

impl Output for Gpiocdev {
    fn describe(&self) -> String {
        self.at.clone()
    }

    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        let value = if on { Value::Active } else { Value::Inactive };
        self.request.set_value(self.line, value).map_err(|error| OutputError::Drive {
            at: self.at.clone(),
            on,
            why: error.to_string(),
        })
    }
}

impl Drop for Gpiocdev {
    /// Some kernels leave a released line at its last level.
    fn drop(&mut self) {
        if let Err(error) = self.set(false) {
            tracing::error!(%error, "a line could not be switched off when it was closed");
        }
    }
}

/// A pin of a Raspberry Pi.
struct Rppal {
    at: String,
    pin: rppal::gpio::OutputPin,
    active_low: bool,
}

impl Rppal {
    fn open(line: u8, active_low: bool, name: &'static str) -> Result<Self, OutputError> {
        let at = format!("rppal GPIO {line} (BCM), {}", level(active_low));
        let failed = |error: rppal::gpio::Error| OutputError::Open {
            name,
            at: at.clone(),
            why: error.to_string(),
            advice: rppal_advice(&error),
        };
        let pin = rppal::gpio::Gpio::new().and_then(|gpio| gpio.get(line)).map_err(failed)?;
        let mut pin = if active_low { pin.into_output_high() } else { pin.into_output_low() };
        // Left as it is driven. An input again, it would follow its pull: down on most pins, which is "on" for a relay
        // that is active low.
        pin.set_reset_on_drop(false);
        Ok(Self { at, pin, active_low })
    }
}

/// What to do about a pin that cannot be had.
fn rppal_advice(error: &rppal::gpio::Error) -> &'static str {
    use rppal::gpio::Error;
    match error {
        Error::PinUsed(_) => "relay and lamps need a pin each: give this one another",
        Error::PinNotAvailable(_) => "take a BCM number of the 40-pin header, 2 to 27",
        Error::PermissionDenied(_) => {
            "add the gate's user to the group `gpio` (sudo usermod -aG gpio USER) and log in again"
        }
        _ => "rppal drives a Raspberry Pi only: use the maker `gpiocdev` on other boards and on unknown kernels",
    }
}

impl Output for Rppal {
    fn describe(&self) -> String {
        self.at.clone()
    }

    /// A register write: it cannot fail.
    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        if on == self.active_low {
            self.pin.set_low()
        } else {
            self.pin.set_high()
        }
        Ok(())
    }
}

impl Drop for Rppal {
    /// The registers keep what they were told: the line stays driven off when the process has gone.
    fn drop(&mut self) {
        let _ = self.set(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ReplayClock;

    #[test]
    fn the_simulated_output_writes_each_change_once_with_the_clocks_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.jsonl");
        let clock = Arc::new(ReplayClock::new(0));
        let spec = OutputSpec::Simulated { trace: Some(path.clone()) };
        let mut output = open_output(&spec, "relay", clock.clone()).unwrap();
        for (at, on) in [(10, true), (20, true), (3_010, false), (3_020, false)] {
            clock.set(at);
            output.set(on).unwrap();
        }
        let lines = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let seen: Vec<_> = lines.iter().map(|line| (line["mono_ms"].as_u64(), line["on"].as_bool())).collect();
        assert_eq!(seen, [(Some(0), Some(false)), (Some(10), Some(true)), (Some(3_010), Some(false))]);
        assert!(lines.iter().all(|line| line["output"] == "relay"));
        assert!(output.describe().contains("relay.jsonl"));
    }

    #[test]
    fn what_cannot_be_opened_says_what_where_and_what_to_do() {
        let open = |spec: OutputSpec| {
            let clock = Arc::new(ReplayClock::new(0));
            open_output(&spec, "green", clock).map(|output| output.describe()).unwrap_err().to_string()
        };
        let error = open(OutputSpec::Simulated { trace: Some("/no/such/folder/trace".into()) });
        assert!(error.contains("green") && error.contains("/no/such/folder/trace"), "{error}");
        let error = open(OutputSpec::Gpiocdev { chip: "/dev/gpiochip99".into(), line: 3, active_low: true });
        assert!(error.contains("/dev/gpiochip99 line 3") && error.contains("gate-daemon devices"), "{error}");
        if !crate::board().contains("Raspberry") {
            let error = open(OutputSpec::Rppal { line: 17, active_low: false });
            assert!(error.contains("GPIO 17") && error.contains("gpiocdev"), "{error}");
        }
    }
}
