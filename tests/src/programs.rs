//! The programs under test and the files that set-up fetches.

use cargo_metadata::Message;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// The folder of model cards, weights and runtime.
///
/// # Panics
/// When set-up has not been run: an end to end test without them would prove nothing.
#[must_use]
pub fn models() -> PathBuf {
    let models = root().join("models");
    assert!(models.join("cache/runtime/libonnxruntime.so").is_file(), "{} is not filled: {SETUP}", models.display());
    models
}

/// A models' folder of a test's own, to be damaged: the cards and what lies beside them copied, set-up's files linked. The
/// graphs that were optimised for this machine are not there, so the weights are needed.
///
/// # Panics
/// When it cannot be made.
pub fn models_of_its_own(to: &Path) {
    let cache = to.join("cache");
    fs::create_dir_all(&cache).unwrap();
    for entry in fs::read_dir(models()).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    for entry in fs::read_dir(models().join("cache")).unwrap().flatten().filter(|entry| entry.file_name() != "graphs") {
        symlink(entry.path(), cache.join(entry.file_name())).unwrap();
    }
}

/// A sample picture.
///
/// # Panics
/// When set-up has not been run.
#[must_use]
pub fn sample(name: &str) -> PathBuf {
    let path = models().join("cache/samples").join(name);
    assert!(path.is_file(), "{} is missing: {SETUP}", path.display());
    path
}

const SETUP: &str = "run make setup";

/// Clips of moving people, where a workplace has them beside the repository; they are not part of the project.
#[must_use]
pub fn walkups() -> Option<PathBuf> {
    Some(root().parent()?.join("shared/data/walkups")).filter(|folder| folder.is_dir())
}

/// Whether ffmpeg and ffprobe are installed.
#[must_use]
pub fn has_ffmpeg() -> bool {
    ["ffmpeg", "ffprobe"].iter().all(|tool| {
        Command::new(tool)
            .arg("-version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|s| s.success())
    })
}

/// The daemon.
#[must_use]
pub fn gate_daemon() -> &'static Path {
    &programs().0
}

/// The staff's tool.
#[must_use]
pub fn enroll_tool() -> &'static Path {
    &programs().1
}

/// Names a folder of programs to test as they are, for instance those of an installed package.
const READY_MADE: &str = "GATE_PROGRAMS";

/// Both programs, built once for each test program; nothing is done when they are fresh.
fn programs() -> &'static (PathBuf, PathBuf) {
    static PROGRAMS: OnceLock<(PathBuf, PathBuf)> = OnceLock::new();
    PROGRAMS.get_or_init(|| match std::env::var_os(READY_MADE).map(PathBuf::from) {
        Some(folder) => (folder.join("gate-daemon"), folder.join("enroll-tool")),
        None => build(),
    })
}

fn build() -> (PathBuf, PathBuf) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["build", "--release", "--message-format=json-render-diagnostics"]);
    command.args(["-p", "gate-daemon", "-p", "enroll-tool"]);
    // What cargo tells this test of its own package must not make build scripts run anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "LD_LIBRARY_PATH" {
            command.env_remove(&name);
        }
    }
    let output = command.stderr(Stdio::inherit()).output().expect("cargo starts");
    assert!(output.status.success(), "the programs under test do not build");
    let mut found = [None, None];
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Message::CompilerArtifact(artifact) = message.unwrap() else { continue };
        let Some(executable) = artifact.executable else { continue };
        match artifact.target.name.as_str() {
            "gate-daemon" => found[0] = Some(executable.into_std_path_buf()),
            "enroll-tool" => found[1] = Some(executable.into_std_path_buf()),
            _ => {}
        }
    }
    let [Some(daemon), Some(tool)] = found else { panic!("cargo has built no programs") };
    (daemon, tool)
}
