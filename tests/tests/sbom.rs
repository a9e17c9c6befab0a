//! The bill of materials against what is locked and pinned.
#![allow(clippy::unwrap_used)]

use gate_tests::programs::{models, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

fn sbom() -> String {
    let output = Command::new("python3").arg(root().join("scripts/sbom.py")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_bill_of_materials_names_what_is_locked_and_pinned() {
    let text = sbom();
    assert_eq!(text, sbom(), "the same commit, the same bytes");
    let bom: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&bom["bomFormat"], &bom["specVersion"]), (&"CycloneDX".into(), &"1.5".into()));
    let components = bom["components"].as_array().unwrap();
    let named = |kind: &str| -> BTreeMap<(&str, &str), &Value> {
        let of_kind = components.iter().filter(|c| c["type"] == kind);
        of_kind.map(|c| ((c["name"].as_str().unwrap(), c["version"].as_str().unwrap()), c)).collect()
    };
    let hash = |component: &Value| component["hashes"][0]["content"].as_str().map(str::to_owned);

    let (libraries, networks) = (named("library"), named("machine-learning-model"));
    let lock: toml::Table = fs::read_to_string(root().join("Cargo.lock")).unwrap().parse().unwrap();
    let (mut pinned, mut own) = (0, BTreeSet::new());
    for package in lock["package"].as_array().unwrap() {
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        let Some(component) = libraries.get(&(name, version)) else { continue };
        assert_eq!(hash(component), package.get("checksum").map(|sum| sum.as_str().unwrap().to_owned()), "{name}");
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        if hash(component).is_some() {
            pinned += 1
        } else {
            own.extend([name])
        };
    }
    assert!(pinned > 150, "{pinned} crates");
    assert!(["gate-daemon", "enroll-tool", "gate-lab", "gate-core"].iter().all(|name| own.contains(name)), "{own:?}");
    // What only tests are made of is not delivered.
    for name in ["gate-tests", "proptest", "divan"] {
        assert!(!libraries.keys().any(|(found, _)| *found == name), "{name}");
    }
    let linked: Vec<_> = libraries.values().filter(|c| c["scope"] == "required").collect();
    assert!(linked.iter().any(|c| c["name"] == "rusqlite") && linked.iter().any(|c| c["name"] == "onnxruntime"));

    let cards = fs::read_dir(models()).unwrap().flatten().map(|entry| entry.path());
    let cards = cards.filter(|path| path.extension().is_some_and(|ending| ending == "toml"));
    let cards: Vec<toml::Table> = cards.map(|path| fs::read_to_string(path).unwrap().parse().unwrap()).collect();
    let cards: Vec<_> = cards.iter().filter(|card| card.contains_key("sha256")).collect();
    assert_eq!(cards.len(), networks.len());
    for card in cards {
        let name = card["name"].as_str().unwrap();
        let (_, network) = networks.iter().find(|((found, _), _)| *found == name).unwrap();
        assert_eq!(hash(network).as_deref(), card["sha256"].as_str(), "{name}");
    }

    // Every reference leads somewhere.
    let gate = bom["metadata"]["component"]["bom-ref"].as_str().unwrap();
    let known: BTreeSet<_> = components.iter().map(|c| c["bom-ref"].as_str().unwrap()).chain([gate]).collect();
    for dependency in bom["dependencies"].as_array().unwrap() {
        let needs = dependency["dependsOn"].as_array().unwrap().iter().map(|on| on.as_str().unwrap());
        for reference in needs.chain(dependency["ref"].as_str()) {
            assert!(known.contains(reference), "{reference}");
        }
    }
}
