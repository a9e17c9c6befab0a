//! The dependency table of the architecture, held over what cargo really builds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use gate_tests::programs::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PROGRAMS: [&str; 3] = ["gate-daemon", "enroll-tool", "gate-lab"];

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// What a crate is built from, tests and benches aside.
fn used_by(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let package = metadata.packages.iter().find(|package| package.name.as_str() == name);
    let package = package.unwrap_or_else(|| panic!("no crate {name}"));
    let kinds = [DependencyKind::Normal, DependencyKind::Build];
    package.dependencies.iter().filter(|used| kinds.contains(&used.kind)).map(|used| used.name.clone()).collect()
}

/// The crates of the workspace that a crate is built from, directly or not.
fn reached_by(metadata: &Metadata, name: &str) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut next = vec![name.to_owned()];
    while let Some(name) = next.pop() {
        for used in used_by(metadata, &name) {
            if metadata.packages.iter().any(|p| p.name.as_str() == used) && reached.insert(used.clone()) {
                next.push(used);
            }
        }
    }
    reached
}

fn only<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

#[test]
fn the_core_and_the_configuration_use_only_what_they_may() {
    let metadata = metadata();
    assert_eq!(used_by(&metadata, "gate-core"), only(["heapless", "libm", "pulp", "serde"]));
    let config = ["gate-core", "gate-guard", "schemars", "serde", "serde_json", "strsim", "thiserror", "toml"];
    assert_eq!(used_by(&metadata, "gate-config"), only(config));
}

#[test]
fn networks_store_and_hardware_know_nothing_of_each_other() {
    let metadata = metadata();
    let apart = only(["gate-config", "gate-vision", "gate-store", "gate-hal", "gate-site"]);
    for name in ["gate-vision", "gate-store", "gate-hal"] {
        let reached = reached_by(&metadata, name);
        assert_eq!(reached.intersection(&apart).count(), 0, "{name} reaches {reached:?}");
    }
}

#[test]
fn what_measures_what_learns_and_what_renders_is_pure() {
    let metadata = metadata();
    let house = |name: &str| -> BTreeSet<String> { reached_by(&metadata, name) };
    assert_eq!(house("gate-stats"), only(["gate-core"]));
    assert_eq!(used_by(&metadata, "gate-stage"), only(["gate-core", "image", "rand", "rand_chacha"]));
    assert_eq!(house("gate-learn"), only(["gate-core", "gate-onnx"]));
    assert_eq!(house("gate-render"), only(["gate-core"]));
    for program in ["enroll-tool", "gate-lab"] {
        assert!(!house(program).contains("gate-stage"), "{program} renders");
    }
    // What only engineers need never gets into the gate.
    for program in ["gate-daemon", "enroll-tool"] {
        let reached = house(program);
        let found: Vec<_> =
            ["gate-stats", "gate-learn", "gate-render"].iter().filter(|c| reached.contains(**c)).collect();
        assert!(found.is_empty(), "{program} reaches {found:?}");
    }
}

#[test]
fn one_crate_puts_the_parts_together_and_no_program_uses_another() {
    let metadata = metadata();
    let parts = only(["gate-vision", "gate-store", "gate-hal"]);
    for package in &metadata.packages {
        let name = package.name.as_str();
        let used = used_by(&metadata, name);
        for program in PROGRAMS {
            assert!(!used.contains(program), "{name} uses {program}");
        }
        let joins = used.intersection(&parts).count() > 1;
        let may = name == "gate-site" || PROGRAMS.contains(&name);
        assert!(!joins || may, "{name} joins {used:?}");
    }
    assert!(parts.is_subset(&used_by(&metadata, "gate-site")));
    for program in PROGRAMS {
        assert!(used_by(&metadata, program).contains("gate-site"), "{program} puts the parts together by itself");
    }
}

#[test]
fn what_programs_print_passes_the_owner_of_safe_text() {
    for program in PROGRAMS {
        let source = root().join(program).join("src");
        let main = fs::read_to_string(source.join("main.rs")).unwrap();
        let macros = main.find("\n#[macro_use]\nextern crate gate_cli;\n").expect(program);
        assert!(
            macros < main.find("\nmod ").unwrap(),
            "{program}: a module before the macros has the standard library's"
        );
        // Events are JSON in bytes, made safe where they are made.
        let is_other = |path: &PathBuf| !path.ends_with("event_writer.rs");
        for path in rust_files(&source).into_iter().filter(is_other) {
            let text = fs::read_to_string(&path).unwrap();
            for word in [
                "std::print",
                "std::eprint",
                "stdout().lock",
                "stdout().write",
                "(std::io::stdout()",
                "stderr().lock",
                "stderr().write",
                "with_writer(std::io",
            ] {
                assert!(!text.contains(word), "{word} in {}", path.display());
            }
        }
    }
}

#[test]
fn every_version_stands_once_in_the_workspace() {
    for package in metadata().packages {
        let manifest = fs::read_to_string(&package.manifest_path).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for (name, how) in manifest.get(section).and_then(toml::Value::as_table).into_iter().flatten() {
                let shared = how.get("workspace").and_then(toml::Value::as_bool);
                assert_eq!(shared, Some(true), "{}: [{section}] {name}", package.name);
            }
        }
    }
}

#[test]
fn the_core_is_free_of_the_standard_library() {
    let source = root().join("crates/gate-core/src");
    let lib = fs::read_to_string(source.join("lib.rs")).unwrap();
    assert!(lib.contains("\n#![no_std]\n") && lib.contains("\n#![forbid(unsafe_code)]\n"));
    let mut files = 0;
    for path in rust_files(&source) {
        let text = fs::read_to_string(&path).unwrap();
        // In this project a file's tests are its last part.
        let shipped = text.split("\n#[cfg(test)]\n").next().unwrap();
        for word in ["std::", "alloc::", "extern crate std"] {
            assert!(!shipped.contains(word), "{word} in {}", path.display());
        }
        files += 1;
    }
    assert!(files > 5, "{} holds the core", source.display());
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(rust_files(&path)),
            path if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            _ => {}
        }
    }
    found
}

/// Where unsafe code stands, each place with its reason beside it. A new one is a decision, so it is written down here.
const UNSAFE: [&str; 5] = [
    "crates/gate-hal/src/kernel_clock.rs",
    "gate-daemon/src/allocations.rs",
    "tests/rig/cuts.rs",
    "tests/rig/guest/line.rs",
    "tests/rig/guest/sandbox.rs",
];

#[test]
fn no_crate_has_unsafe_code_but_where_it_is_written_down() {
    let workspace: toml::Table = fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let lint = &workspace["workspace"]["lints"]["rust"]["unsafe_code"];
    assert_eq!(lint.as_str(), Some("deny"), "in tests, benches and examples, too");

    let (mut roots, mut allowed) = (0, BTreeSet::new());
    for package in metadata().packages {
        let manifest: toml::Table = fs::read_to_string(&package.manifest_path).unwrap().parse().unwrap();
        assert_eq!(manifest["lints"]["workspace"].as_bool(), Some(true), "{}", package.name);
        let folder = package.manifest_path.parent().unwrap();
        for path in rust_files(folder.as_std_path()) {
            let lines = fs::read_to_string(&path).unwrap();
            if lines.lines().any(|line| line.trim_start().starts_with("#[allow(unsafe_code)]")) {
                allowed.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
            }
        }
        for target in package.targets.iter().filter(|target| target.is_lib() || target.is_bin()) {
            let text = fs::read_to_string(&target.src_path).unwrap();
            let forbids = text.lines().any(|line| line.starts_with("#![") && line.contains("forbid(unsafe_code)"));
            let source = target.src_path.parent().unwrap().strip_prefix(root()).unwrap();
            let is_excused = UNSAFE.iter().any(|place| Path::new(place).starts_with(source));
            assert!(forbids || is_excused, "{} lacks #![forbid(unsafe_code)]", target.src_path);
            roots += 1;
        }
    }
    assert!(roots > 15, "{roots} libraries and programs");
    assert_eq!(allowed.iter().map(String::as_str).collect::<Vec<_>>(), UNSAFE);
}
