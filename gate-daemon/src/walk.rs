//! What to do next, from what `check` has found: the installer is walked from a bare machine to a running gate.

use std::path::{Path, PathBuf};

/// What `check` has found, as far as the next step depends on it.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// The configuration's file; `None` = built-in defaults.
    pub file: Option<PathBuf>,
    /// What fails: config, runtime, models, liveness, store, clock, camera, relay.
    pub failed: Vec<&'static str>,
    /// The relay is simulated: nothing is opened.
    pub simulated: bool,
    /// The camera is a replay.
    pub replay: bool,
    /// It is a USB camera, and whatever is plugged in there is trusted.
    pub unpinned: bool,
    /// A green or a red lamp is configured.
    pub lamps: bool,
    /// Liveness is off.
    pub open_to_pictures: bool,
    /// There is a store.
    pub store: bool,
    /// People enrolled, where the store could be read.
    pub people: Option<usize>,
    /// The gate runs on this machine.
    pub running: bool,
}

/// The next steps, in their order.
pub fn next(found: &Found) -> Vec<String> {
    let file = found.file.as_deref().unwrap_or(Path::new(gate_site::CONFIG_PATH)).display();
    let failed = |what: &str| found.failed.contains(&what);
    if failed("config") {
        return vec!["correct the configuration as told above, then: gate-daemon check".into()];
    }
    let mut steps = Vec::new();
    let mut step = |needed: bool, what: String| steps.extend(needed.then_some(what));
    step(
        found.file.is_none(),
        format!("make {file}: config/gate.toml has every key with its default; only what differs is needed"),
    );
    step(failed("runtime") || failed("models") || failed("liveness"), "get what is missing: gate-daemon setup".into());
    step(
        failed("clock"),
        "set the clock: timedatectl set-ntp true, or timedatectl set-time; then again: gate-daemon check".into(),
    );
    step(
        failed("camera") || found.replay,
        format!("find the camera: gate-daemon devices; then set [camera] source in {file}"),
    );
    step(
        found.unpinned && !failed("camera"),
        "any camera that is plugged in here is trusted: gate-daemon devices --pin --write".into(),
    );
    step(
        found.simulated || failed("relay"),
        format!(
            "set [relay] driver, chip and line in {file} (gate-daemon devices lists the chips){}",
            if found.simulated { ": a simulated relay opens nothing" } else { "" }
        ),
    );
    let try_relay = !found.simulated && !failed("relay") && !found.running;
    step(try_relay, "take the wire to the lock off and listen for two clicks: gate-daemon relay pulse".into());
    step(
        !found.lamps && !found.simulated,
        format!("lamps tell people what happens: [lamps] green_line and red_line in {file}"),
    );
    step(found.open_to_pictures, format!("a photograph opens this gate: set [liveness] mode = \"passive\" in {file}"));
    step(!found.store, "make the key and the store: enroll-tool init".into());
    step(found.store && failed("store"), "see what is wrong with the store: enroll-tool check".into());
    let nobody = !found.store || found.people == Some(0);
    step(nobody, "enrol somebody from one picture: enroll-tool add --id ID --name NAME PICTURE".into());
    step(
        !found.running && found.failed.is_empty(),
        "start it, now and at every boot: systemctl enable --now gate-daemon".into(),
    );
    step(!found.running && !found.failed.is_empty(), "then again: gate-daemon check".into());
    step(found.running, "the gate runs: systemctl status gate-daemon; after a change of its configuration: systemctl reload gate-daemon".into());
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps hold these words, in this order, and are as many.
    fn steps(found: &Found, words: &[&str]) {
        let steps = next(found);
        assert_eq!(steps.len(), words.len(), "{steps:#?}");
        for (step, word) in steps.iter().zip(words) {
            assert!(step.contains(word), "{word} is not in {step}");
        }
    }

    #[test]
    fn a_bare_machine_is_walked_to_a_running_gate() {
        let bare = Found { failed: vec!["camera", "store"], simulated: true, ..Found::default() };
        let words = [
            "/etc/face-gate/gate.toml",
            "gate-daemon devices",
            "[relay] driver",
            "enroll-tool init",
            "enroll-tool add",
            "check",
        ];
        steps(&bare, &words);
        let file = Some(PathBuf::from("/my/gate.toml"));
        let wired = Found { file, store: true, people: Some(0), ..Found::default() };
        steps(&wired, &["relay pulse", "[lamps]", "enroll-tool add", "enable --now"]);
        let done = Found { people: Some(3), lamps: true, ..wired };
        steps(&Found { unpinned: true, ..done.clone() }, &["devices --pin", "relay pulse", "enable --now"]);
        steps(&done, &["relay pulse", "enable --now"]);
        steps(&Found { running: true, ..done }, &["systemctl status"]);
    }

    #[test]
    fn a_broken_configuration_comes_first() {
        steps(&Found { failed: vec!["config"], ..Found::default() }, &["correct the configuration"]);
    }
}
