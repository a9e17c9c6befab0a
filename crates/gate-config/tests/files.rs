//! The files in `config/`: they load, they are complete, and they say what the code says.

#![allow(clippy::unwrap_used)] // a test that cannot go on stops

use std::path::{Path, PathBuf};

use gate_config::Config;
use serde_json::{Map, Value};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap()
}

/// Each (section, key, its schema).
fn every_key() -> Vec<(String, String, Value)> {
    let schema: Value = serde_json::from_str(&gate_config::schema()).unwrap();
    let properties = |value: &Value| -> Map<String, Value> { value["properties"].as_object().unwrap().clone() };
    let keys: Vec<_> = properties(&schema)
        .into_iter()
        .flat_map(|(section, schema)| {
            properties(&schema).into_iter().map(move |(key, schema)| (section.clone(), key, schema))
        })
        .collect();
    assert!(keys.len() > 40, "the walk found only {} keys", keys.len());
    keys
}

/// gate.toml with its commented keys set.
fn uncommented() -> String {
    let key_line = |line: &str| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).map(str::to_owned);
    let lines = text("gate.toml");
    let (head, body) = lines.split_once("[camera]").unwrap();
    assert!(head.lines().all(|line| line.starts_with('#') || line.is_empty()));
    let body: Vec<_> = body.lines().map(|line| key_line(line).unwrap_or_else(|| line.to_owned())).collect();
    format!("[camera]{}", body.join("\n"))
}

#[test]
fn gate_toml_has_every_key_with_its_default() {
    let written: toml::Table = text("gate.toml").parse().unwrap();
    let all: toml::Table = uncommented().parse().unwrap();
    for (section, key, schema) in every_key() {
        assert!(all[&section].get(&key).is_some(), "[{section}] {key} does not stand in gate.toml");
        let found = written[&section].get(&key).map(|value| serde_json::to_value(value).unwrap());
        let (found, default) = (found.unwrap_or(Value::Null), &schema["default"]);
        let equal = found == *default || (found.is_number() && found.as_f64() == default.as_f64());
        assert!(equal, "[{section}] {key} is {found} in gate.toml and {default} in the code");
    }
    assert_eq!(Config::parse(&text("gate.toml"), "gate.toml").unwrap(), Config::parse("", "gate.toml").unwrap());
}

#[test]
fn gate_toml_explains_what_is_commented_with_values_that_work() {
    let config = Config::parse(&uncommented(), "gate.toml").unwrap();
    assert_eq!(config.policy.tau, Some(1.0));
    assert_eq!(config.lamps.green_line, Some(27));
    assert!(config.vision.runtime.is_some() && config.store.key_file.is_some() && config.events.file.is_some());
}

#[test]
fn every_profile_loads() {
    let mut profiles = 0;
    for entry in std::fs::read_dir(file("")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            Config::load(&path).unwrap_or_else(|error| panic!("{error}"));
            profiles += 1;
        }
    }
    assert!(profiles >= 4);
}

#[test]
fn schema_file_is_the_types_schema() {
    let written: Value = serde_json::from_str(&text("gate.schema.json")).unwrap();
    let made: Value = serde_json::from_str(&gate_config::schema()).unwrap();
    assert!(
        written == made,
        "config/gate.schema.json is not what the types say; make it anew:\n\
         cargo run -p gate-config --example schema > config/gate.schema.json"
    );
}

#[test]
fn every_key_is_explained_and_every_number_bounded() {
    for (section, key, schema) in every_key() {
        assert!(schema["description"].is_string(), "[{section}] {key} has no line of why");
        if matches!(schema["type"].as_str(), Some("integer" | "number")) {
            let low = schema.get("minimum").or(schema.get("exclusiveMinimum"));
            assert!(low.is_some() && schema.get("maximum").is_some(), "[{section}] {key} has no range");
        }
    }
}

#[test]
fn defaults_are_the_cores_defaults() {
    let policy = gate_core::policy::Policy::default();
    assert_eq!(Config::default().policy(policy.tau), policy);
}

#[test]
fn relative_paths_are_taken_from_the_files_folder() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("etc");
    std::fs::create_dir_all(folder.path().join("models")).unwrap();
    std::fs::create_dir_all(&etc).unwrap();
    let path = etc.join("gate.toml");
    std::fs::write(
        &path,
        "[camera]\nsource = \"replay:scene\"\n[store]\ndir = \"people\"\nkey_file = \"/k\"\n[events]\nfile = \"-\"\n",
    )
    .unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.folder, etc);
    assert_eq!(config.camera.source, format!("replay:{}/scene", etc.display()));
    assert_eq!(config.store.dir, etc.join("people"));
    assert_eq!(config.store.key_file.as_deref(), Some(Path::new("/k")));
    assert_eq!(config.events.file.as_deref(), Some(Path::new("-")));
    assert_eq!(config.vision.models, folder.path().join("models"), "above the file, when not beside it");
    std::fs::create_dir_all(etc.join("models")).unwrap();
    assert_eq!(Config::load(&path).unwrap().vision.models, etc.join("models"));
}
