//! What a wrong file is told: the line, a caret, and what to write instead.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use gate_config::{Config, ConfigError, Fault};

fn faults(text: &str) -> Vec<Fault> {
    match Config::parse(text, "gate.toml") {
        Err(ConfigError::Faults(faults)) => faults,
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

/// The one fault of a text, as it is printed.
fn told(text: &str) -> String {
    let faults = faults(text);
    assert_eq!(faults.len(), 1, "{text}: {faults:#?}");
    faults[0].to_string()
}

#[test]
fn an_unknown_key_is_placed_and_the_nearest_is_suggested() {
    assert_eq!(
        told("# mine\n[relay]\nline = 4\npuls_ms = 3000\n"),
        "gate.toml:4:1: unknown key \"puls_ms\" in [relay]; did you mean \"pulse_ms\"?\n   \
         4 | puls_ms = 3000\n     | ^^^^^^^"
    );
    assert!(told("[log]\ncolour = 1\n").contains("unknown key \"colour\" in [log]; there are: level"));
    assert!(told("[relais]\n").contains("unknown section [relais]; did you mean \"relay\"?"));
    assert!(told("pulse_ms = 3000\n").contains("it belongs under [relay]"));
    assert!(told("relay = 3\n").contains("\"relay\" is a section: write [relay]"));
}

#[test]
fn a_wrong_type_is_placed_at_the_value() {
    assert_eq!(
        told("[camera]\nwidth_px = \"wide\" # px\n"),
        "gate.toml:2:12: \"width_px\" in [camera] must be a whole number from 64 to 4096, and is text\n   \
         2 | width_px = \"wide\" # px\n     |            ^^^^^^"
    );
    assert!(
        told("[camera]\nfps = 7.5\n").contains("must be a whole number from 1 to 120, and is a number with a point")
    );
    assert!(told("[vision]\nstrict = 1\n").contains("must be true or false, and is a whole number"));
    assert!(told("[store]\ndir = [1]\n").contains("must be a text in quotes, and is a list"));
    assert!(told("[policy]\ntau = true\n").contains("must be a number from 0 to 4.0, and is true or false"));
    assert!(told("[relay]\nactive = 1\n").contains("must be one of \"high\", \"low\", and is a whole number"));
    assert!(told("[relay]\nactive = \"hihg\"\n").contains("one of \"high\", \"low\"; did you mean \"high\"?"));
    assert!(told("[store]\ndir = \"\"\n").contains("must not be empty"));
}

#[test]
fn every_number_is_held_to_its_range() {
    let schema: serde_json::Value = serde_json::from_str(&gate_config::schema()).unwrap();
    let mut tried = 0;
    for (section, keys) in schema["properties"].as_object().unwrap() {
        for (key, rule) in keys["properties"].as_object().unwrap() {
            let low = rule
                .get("minimum")
                .map(|low| low.as_f64().unwrap() - 1.0)
                .or(rule.get("exclusiveMinimum").and_then(serde_json::Value::as_f64));
            let Some((low, high)) = low.zip(rule["maximum"].as_f64()) else { continue };
            let whole = rule["type"] == "integer";
            for value in [low, high + 1.0, 1e18] {
                let number = if whole { format!("{value:.0}") } else { format!("{value:?}") };
                let told = told(&format!("[{section}]\n{key} = {number}\n"));
                assert!(told.contains(&format!("\"{key}\" in [{section}] is out of range")), "{told}");
                assert!(told.starts_with(&format!("gate.toml:2:{}:", key.len() + 4)), "{told}");
            }
            tried += 1;
        }
    }
    assert!(tried >= 30, "only {tried} ranges");
    assert!(told("[policy]\nfpir_target = 0.0\n").contains("it must be above 0 and up to 0.5"));
    for odd in ["nan", "inf", "-inf"] {
        assert!(told(&format!("[policy]\ntau = {odd}\n")).contains("out of range"));
    }
    assert!(told("[relay]\npulse_ms = 99999999999999999999\n").contains("pulse_ms"));
}

#[test]
fn the_ends_of_a_range_are_inside_it() {
    for text in [
        "[policy]\ntau = 0\n",
        "[policy]\ntau = 4.0\n",
        "[policy]\nfpir_target = 0.5\n",
        "[policy]\nagreeing_frames = 1\n",
        "[relay]\npulse_ms = 0x64\n",
        "[relay]\npulse_ms = 60_000\npulse_max_ms = 60_000\n",
        "[camera]\nfps = 120\nwidth_px = 64\nheight_px = 4096\n",
    ] {
        assert_eq!(faults(text), [], "{text}");
    }
    let config = Config::parse("[policy]\ntau = 0.9\nfpir_target = 0.01\n", "gate.toml").unwrap();
    assert_eq!(config.policy.tau, Some(0.9), "both may be set; tau wins");
}

#[test]
fn keys_that_contradict_each_other_are_refused() {
    assert!(
        told("[relay]\npulse_ms = 20000\n").starts_with("gate.toml:2:12: \"pulse_ms\" in [relay] (20000) must not be")
    );
    assert!(told("[relay]\npulse_max_ms = 500\n").starts_with("gate.toml:2:16: \"pulse_ms\" in [relay] (3000)"));
    assert!(told("[relay]\ndriver = \"rppal\"\nline = 28\n").contains("a BCM number from 0 to 27"));
    assert!(told("[relay]\ndriver = \"rppal\"\n[lamps]\nred_line = 30\n").contains("\"red_line\" in [lamps] is 30"));
    assert_eq!(faults("[relay]\ndriver = \"gpiocdev\"\nline = 144\n"), []);
    assert!(told("[lamps]\ngreen_line = 17\n").contains("line 17, which \"line\" in [relay] has already"));
    assert!(told("[lamps]\ngreen_line = 5\nred_line = 5\n").contains("which \"green_line\" in [lamps] has already"));
    let asked = "[light]\nline = 22\n[liveness]\nmode = \"both\"\n[policy]\nagreeing_frames = ";
    assert!(told(&format!("{asked}9\n")).contains("one challenge of the lamp must hold them all"));
    assert_eq!(faults(&format!("{asked}8\n")), []);
    assert!(
        told("[alarm]\nline = 17\n").contains("\"line\" in [alarm] is line 17, which \"line\" in [relay] has already")
    );
    assert!(told("[light]\nline = 5\n[alarm]\nline = 5\n").contains("which \"line\" in [light] has already"));
    assert!(told("[relay]\ndriver = \"rppal\"\n[alarm]\nline = 30\n").contains("\"line\" in [alarm] is 30"));
    assert!(told("[relay]\ndriver = \"rppal\"\ntrace = \"t\"\n").contains("goes with driver \"simulated\" only"));
    assert!(told("[quality]\nmin_luma = 230\n").contains("must be less than \"max_luma\" (225)"));
    assert!(told("[enrol]\nmax_luma = 10\n").contains("\"min_luma\" in [enrol] (50)"));
    assert!(told("[policy]\nagreeing_frames = 32\n").contains("can never hold 32 frames at 15 frames per second"));
    assert!(told("[camera]\nfps = 2\n[policy]\ntrack_lost_ms = 400\n").contains("must be above the time between"));
    for source in ["webcam", "nokhwa:", "nokhwa:front", "v4l:video0", "replay:", "usb:0"] {
        assert!(told(&format!("[camera]\nsource = \"{source}\"\n")).contains("must be \"nokhwa:INDEX\""), "{source}");
    }
    for source in ["nokhwa:3", "nokhwa:/dev/video2", "v4l:0", "v4l:/dev/v4l/by-id/usb-cam", "replay:a b"] {
        assert_eq!(faults(&format!("[camera]\nsource = \"{source}\"\n")), [], "{source}");
    }
}

#[test]
fn a_camera_is_pinned_by_what_the_program_prints() {
    for identity in ["", "front", "usb:046d:0825:A1", "usb:046d:0825:A1@", "pci:1@2"] {
        let told = told(&format!("[camera]\nidentity = \"{identity}\"\n"));
        assert!(told.contains("\"identity\" in [camera] must"), "{identity}: {told}");
    }
    for identity in ["usb:046d:0825:A1@0000:00:14.0/1.4", "device:Front camera@virtual/video4linux/video10"] {
        assert_eq!(faults(&format!("[camera]\nidentity = \"{identity}\"\n")), [], "{identity}");
    }
}

#[test]
fn metrics_are_served_to_this_machine_only() {
    for listen in ["0.0.0.0:9464", "192.168.1.5:9464", "[::]:9464", "127.0.0.1", "127.0.0.1:0", "unix:", "localhost:1"]
    {
        let told = told(&format!("[metrics]\nlisten = \"{listen}\"\n"));
        assert!(told.starts_with("gate.toml:2:10: \"listen\" in [metrics] must be"), "{listen}: {told}");
    }
    for listen in ["127.0.0.1:9464", "[::1]:9464", "unix:/run/face-gate/metrics.sock", "unix:metrics.sock"] {
        assert_eq!(faults(&format!("[metrics]\nlisten = \"{listen}\"\n")), [], "{listen}");
    }
}

#[test]
fn what_is_no_toml_is_placed_too() {
    assert!(told("[relay]\nline = \n").starts_with("gate.toml:2:"));
    assert!(told("[relay]\nline = 4\nline = 5\n").starts_with("gate.toml:3:"), "a key twice");
    assert!(told("[relay\n").starts_with("gate.toml:1:"));
}

#[test]
fn all_faults_are_told_at_once_in_the_files_order() {
    let faults = faults("[relay]\npuls_ms = 1\nactive = \"on\"\n[camera]\nfps = 0\n");
    assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [2, 3, 5]);
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gate.toml");
    let error = Config::load(&path).unwrap_err();
    assert!(matches!(error, ConfigError::Missing { .. }));
    assert!(error.to_string().contains("copy config/gate.toml there"));
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::Unreadable { .. })));
    std::fs::write(&path, vec![b'#'; 2 << 20]).unwrap();
    assert!(matches!(Config::load(&path), Err(ConfigError::TooLong { .. })));
    std::fs::write(&path, "").unwrap();
    assert!(Config::load(&path).is_ok(), "an empty file means every default");
}
