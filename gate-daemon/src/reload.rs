//! `systemctl reload`: what of a new configuration is taken up while the gate runs, and what waits for a restart.
//!
//! ```text
//!  SIGHUP ──▶ loop ──wish──▶ people thread: file ──check──▶ take up ──▶ comparison, people ──▶ loop, between two frames
//!                                              └── anything wrong: the old one is kept, and told why
//! ```
//!
//! What the decider holds is taken up: [policy], [quality], the thresholds and times of [liveness], [relay] pulse_ms,
//! [alarm] hold_ms; and [camera] identity, for which the camera is opened anew; and [log]. What else is opened at the
//! start stays as it is: camera, lines, networks, store, event log, metrics.

use anyhow::{Result, bail};
use gate_config::{Alarm, Camera, Config, Liveness, Relay};

/// The new configuration as far as it can be taken up, and what of it waits for a restart.
///
/// # Errors
/// When what can be taken up contradicts what waits.
pub fn take_up(running: &Config, new: Config) -> Result<(Config, Vec<&'static str>)> {
    // The length of a pulse is the decider's; all else about the line was fixed when it was opened.
    let relay = Relay { pulse_ms: new.relay.pulse_ms.min(running.relay.pulse_max_ms), ..running.relay.clone() };
    // Which camera is trusted; how it runs was agreed when it was opened.
    let camera = Camera { identity: new.camera.identity.clone(), ..running.camera.clone() };
    let alarm = Alarm { hold_ms: new.alarm.hold_ms, ..running.alarm.clone() };
    // Networks are loaded at the start, and the lamp is opened then where it is asked.
    let liveness = Liveness {
        mode: running.liveness.mode,
        network: running.liveness.network.clone(),
        calibration: running.liveness.calibration.clone(),
        ..new.liveness.clone()
    };
    let waits = [
        ("[camera]", camera != new.camera),
        ("[relay]", running.relay != Relay { pulse_ms: running.relay.pulse_ms, ..new.relay.clone() }),
        ("[lamps]", running.lamps != new.lamps),
        ("[light]", running.light != new.light),
        ("[alarm] line, active", alarm != new.alarm),
        ("[vision]", running.vision != new.vision),
        ("[liveness] mode, network, calibration", liveness != new.liveness),
        ("[store]", running.store != new.store),
        ("[events]", running.events != new.events),
        ("[metrics]", running.metrics != new.metrics),
    ];
    let taken = Config {
        camera,
        relay,
        lamps: running.lamps.clone(),
        light: running.light.clone(),
        alarm,
        vision: running.vision.clone(),
        liveness,
        store: running.store.clone(),
        events: running.events.clone(),
        metrics: running.metrics.clone(),
        ..new
    };
    let waits: Vec<_> = waits.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect();
    if let Some(why) = taken.contradiction() {
        bail!("it needs a restart, for {}: until then {why}", waits.join(", "));
    }
    Ok((taken, waits))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use gate_config::LivenessMode;

    fn config(text: &str) -> Config {
        Config::parse(text, "gate.toml").unwrap()
    }

    #[test]
    fn what_the_decider_holds_is_taken_up_at_once() {
        let new = config(
            "[policy]\nfpir_target = 1e-4\nagreeing_frames = 5\n[quality]\nmin_face_px = 60\n[relay]\npulse_ms = 500\n\
             [liveness]\nattacks_max = 1\n[alarm]\nhold_ms = 5000\n[camera]\nidentity = \"device:a@b\"\n[log]\nlevel = \"debug\"\n[enrol]\nkeep_picture = true\n",
        );
        let (taken, waits) = take_up(&config(""), new.clone()).unwrap();
        assert_eq!((taken, waits), (new, vec![]));
    }

    #[test]
    fn what_is_opened_at_the_start_stays_and_is_named() {
        let running = config("");
        let new = config(
            "[camera]\nfps = 30\n[relay]\nline = 5\npulse_ms = 20000\npulse_max_ms = 30000\n[lamps]\ngreen_line = 6\n\
             [light]\nline = 7\n[alarm]\nline = 8\nhold_ms = 1000\n[vision]\nthreads = 2\n[liveness]\nmode = \"off\"\nlockout_ms = 5\n\
             [store]\ndir = \"/s\"\n[events]\nfile = \"-\"\n[metrics]\nlisten = \"unix:/m\"\n",
        );
        let (taken, waits) = take_up(&running, new).unwrap();
        assert_eq!(waits.len(), 10, "{waits:?}");
        assert_eq!(taken.relay, Relay { pulse_ms: 10_000, ..running.relay.clone() }, "no pulse beyond the old maximum");
        assert_eq!(taken.liveness.mode, LivenessMode::Passive, "a reload switches liveness off for nobody");
        let expected = Config {
            relay: taken.relay.clone(),
            liveness: Liveness { lockout_ms: 5, ..running.liveness.clone() },
            alarm: Alarm { hold_ms: 1_000, ..running.alarm.clone() },
            ..running
        };
        assert_eq!(taken, expected);
    }

    #[test]
    fn what_contradicts_that_which_waits_is_not_taken_up() {
        // 50 ms hold three frames at 60 a second, and the camera gives 15 until the restart.
        let new = config("[camera]\nfps = 60\n[policy]\nwindow_ms = 50\n");
        let why = take_up(&config(""), new).unwrap_err().to_string();
        assert!(why.contains("restart, for [camera]") && why.contains("\"window_ms\" in [policy]"), "{why}");
    }
}
