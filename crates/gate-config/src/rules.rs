//! What no single value shows: keys that contradict each other.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use crate::error::Note;
use crate::{Config, Driver, LivenessMode};

/// Highest BCM line on the header of a Raspberry Pi.
const RPPAL_LINE_MAX: u32 = 27;

/// Fewest frames of a challenge that can be answered (`LightPolicy::frames_min`).
const CHALLENGE_FRAMES: u8 = 8;

/// Every contradiction in a configuration whose values are each possible.
pub(crate) fn check(config: &Config, table: &Spanned<DeTable<'_>>) -> Vec<Note> {
    let mut notes = Notes { table: table.get_ref(), notes: Vec::new() };
    notes.camera(config);
    notes.lines(config);
    notes.times(config);
    notes.metrics(config);
    for (section, min, max) in [
        ("quality", config.quality.min_luma, config.quality.max_luma),
        ("enrol", config.enrol.min_luma, config.enrol.max_luma),
    ] {
        if min >= max {
            let message = format!("\"min_luma\" in [{section}] ({min}) must be less than \"max_luma\" ({max})");
            notes.add(section, &["min_luma", "max_luma"], message);
        }
    }
    notes.notes
}

struct Notes<'a> {
    table: &'a DeTable<'a>,
    notes: Vec<Note>,
}

impl Notes<'_> {
    /// Notes a fault at the first of `keys` that the file has; the others are defaults.
    fn add(&mut self, section: &str, keys: &[&str], message: String) {
        let span = keys.iter().find_map(|key| self.span(section, key)).unwrap_or(0..0);
        self.notes.push(Note { span, message });
    }

    fn span(&self, section: &str, key: &str) -> Option<Range<usize>> {
        Some(self.table.get(section)?.get_ref().as_table()?.get(key)?.span())
    }

    fn camera(&mut self, config: &Config) {
        let known = match config.camera.source.split_once(':') {
            Some(("nokhwa" | "v4l", device)) => device.starts_with('/') || device.parse::<u32>().is_ok(),
            Some(("replay", path)) => !path.is_empty(),
            _ => false,
        };
        if !known {
            let message = "\"source\" in [camera] must be \"nokhwa:INDEX\", \"v4l:/dev/videoN\" or \"replay:PATH\"";
            self.add("camera", &["source"], message.to_owned());
        }
        let is_identity = |text: &str| match text.split_once(':') {
            Some(("usb" | "device", rest)) => rest.split_once('@').is_some_and(|(_, place)| !place.is_empty()),
            _ => false,
        };
        if config.camera.identity.as_deref().is_some_and(|text| !is_identity(text)) {
            let message = "\"identity\" in [camera] must be what `gate-daemon devices --pin` prints";
            self.add("camera", &["identity"], message.to_owned());
        }
    }

    fn metrics(&mut self, config: &Config) {
        if config.metrics.listen.is_some() && config.metrics.address().is_none() {
            let message = "\"listen\" in [metrics] must be \"unix:PATH\", or a loopback address with its port, as in \
                           \"127.0.0.1:9464\": the gate is watched from its own machine only";
            self.add("metrics", &["listen"], message.to_owned());
        }
    }

    fn lines(&mut self, config: &Config) {
        let relay = &config.relay;
        let mut taken = vec![("relay", "line", relay.line)];
        let (lamps, light) = (&config.lamps, &config.light);
        for (section, key, line) in [
            ("lamps", "green_line", lamps.green_line),
            ("lamps", "red_line", lamps.red_line),
            ("light", "line", light.line),
            ("alarm", "line", config.alarm.line),
        ] {
            let Some(line) = line else { continue };
            if let Some((has, other, _)) = taken.iter().find(|(_, _, other)| *other == line) {
                let message =
                    format!("\"{key}\" in [{section}] is line {line}, which \"{other}\" in [{has}] has already");
                self.add(section, &[key], message);
            }
            taken.push((section, key, line));
        }
        if matches!(config.liveness.mode, LivenessMode::Active | LivenessMode::Both) && light.line.is_none() {
            let message = "\"mode\" in [liveness] asks the lamp, and there is none: set \"line\" in [light], or take \
                           mode = \"passive\"";
            self.add("liveness", &["mode"], message.to_owned());
        }
        let is_asked = matches!(config.liveness.mode, LivenessMode::Active | LivenessMode::Both);
        if is_asked && config.policy.agreeing_frames > CHALLENGE_FRAMES {
            let message = format!(
                "\"agreeing_frames\" in [policy] is {}: one challenge of the lamp must hold them all, and it has \
                 {CHALLENGE_FRAMES} at least",
                config.policy.agreeing_frames
            );
            self.add("policy", &["agreeing_frames"], message);
        }
        for (section, key, line) in taken {
            if relay.driver == Driver::Rppal && line > RPPAL_LINE_MAX {
                let message = format!(
                    "\"{key}\" in [{section}] is {line}: with driver \"rppal\" it is a BCM number from 0 to {RPPAL_LINE_MAX}"
                );
                self.add(section, &[key], message);
            }
        }
        if light.latency_min_ms > light.latency_max_ms {
            let message = format!(
                "\"latency_min_ms\" in [light] ({}) must not be above \"latency_max_ms\" ({})",
                light.latency_min_ms, light.latency_max_ms
            );
            self.add("light", &["latency_min_ms", "latency_max_ms"], message);
        }
        if relay.trace.is_some() && relay.driver != Driver::Simulated {
            let message = "\"trace\" in [relay] goes with driver \"simulated\" only".to_owned();
            self.add("relay", &["trace"], message);
        }
    }

    fn times(&mut self, config: &Config) {
        let (relay, policy, camera) = (&config.relay, &config.policy, &config.camera);
        if relay.pulse_ms > relay.pulse_max_ms {
            let message = format!(
                "\"pulse_ms\" in [relay] ({}) must not be above \"pulse_max_ms\" ({})",
                relay.pulse_ms, relay.pulse_max_ms
            );
            self.add("relay", &["pulse_ms", "pulse_max_ms"], message);
        }
        if camera.source.starts_with("replay:") {
            return; // a replay brings its own timing
        }
        let frame_ms = 1000 / camera.fps;
        let needed_ms = frame_ms * u32::from(policy.agreeing_frames - 1);
        if needed_ms > policy.window_ms {
            let message = format!(
                "\"window_ms\" in [policy] ({}) can never hold {} frames at {} frames per second: nobody would be let in; \
                 at least {needed_ms} is needed",
                policy.window_ms, policy.agreeing_frames, camera.fps
            );
            self.add("policy", &["window_ms", "agreeing_frames"], message);
        }
        if frame_ms >= policy.track_lost_ms {
            let message = format!(
                "\"track_lost_ms\" in [policy] ({}) must be above the time between two frames ({frame_ms} ms at {} frames \
                 per second)",
                policy.track_lost_ms, camera.fps
            );
            self.add("policy", &["track_lost_ms"], message);
        }
    }
}
