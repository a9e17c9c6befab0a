//! The line that this daemon drives, noted where the stop path finds it without any configuration.
//!
//! ```text
//!  run ──before the relay is opened──▶ $RUNTIME_DIRECTORY/relay.json ──▶ relay lock, after every kind of end
//! ```
//!
//! A configuration may be broken, or name another line, by the time the daemon dies in a pulse. The door is on the line that
//! was driven, so that one is locked, too. systemd makes the folder before the start and takes it away after ExecStopPost.

use anyhow::{Context, Result};
use gate_guard::files;
use gate_hal::OutputSpec;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

const FILE: &str = "relay.json";
/// More than any note has.
const NOTE_MAX_BYTES: u64 = 16 << 10;

/// Where the unit's RuntimeDirectory is, for those whom systemd does not tell.
const FOLDER: &str = "/run/face-gate";

/// The note: who drives which line.
#[derive(Serialize, Deserialize)]
struct Note {
    pid: u32,
    #[serde(flatten)]
    line: Line,
}

/// An [`OutputSpec`] as it stands in the note.
#[derive(Serialize, Deserialize)]
#[serde(tag = "driver", rename_all = "snake_case")]
enum Line {
    Simulated { trace: Option<PathBuf> },
    Gpiocdev { chip: PathBuf, line: u32, active_low: bool },
    Rppal { line: u8, active_low: bool },
}

/// The service's runtime folder; `None` where no service manager gave one.
pub fn folder() -> Option<PathBuf> {
    // systemd separates several folders by colons; the unit asks for one.
    let folders = std::env::var("RUNTIME_DIRECTORY").ok()?;
    folders.split(':').next().filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// Notes the relay's line in the runtime folder, if there is one. To be called before the relay can be switched on.
///
/// # Errors
/// When it cannot be written: the gate must not start then, since a crash could leave the door open.
pub fn note(relay: &OutputSpec) -> Result<()> {
    folder().map_or(Ok(()), |folder| write(&folder, relay))
}

/// The line that was noted in `folder`, if any.
///
/// # Errors
/// When there is a note and it cannot be read.
pub fn noted(folder: &Path) -> Result<Option<OutputSpec>> {
    Ok(read(folder)?.map(|note| note.line.into()))
}

/// The gate that runs on this machine as a service, if this user can see one: its process and the line that it drives.
pub fn running() -> Option<(u32, OutputSpec)> {
    let note = read(&folder().unwrap_or_else(|| FOLDER.into())).ok()??;
    // A note may outlive its writer, and a number may belong to another process by now.
    let name = fs::read_to_string(format!("/proc/{}/comm", note.pid)).ok()?;
    (name.trim_end() == "gate-daemon").then(|| (note.pid, note.line.into()))
}

fn read(folder: &Path) -> Result<Option<Note>> {
    let path = folder.join(FILE);
    let text = match files::read_small(&path, NOTE_MAX_BYTES) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("the note {} cannot be read", path.display()))?,
    };
    serde_json::from_slice(&text).map(Some).with_context(|| format!("the note {} makes no sense", path.display()))
}

impl From<Line> for OutputSpec {
    fn from(line: Line) -> Self {
        match line {
            Line::Simulated { trace } => OutputSpec::Simulated { trace },
            Line::Gpiocdev { chip, line, active_low } => OutputSpec::Gpiocdev { chip, line, active_low },
            Line::Rppal { line, active_low } => OutputSpec::Rppal { line, active_low },
        }
    }
}

fn write(folder: &Path, relay: &OutputSpec) -> Result<()> {
    let line = match relay.clone() {
        OutputSpec::Simulated { trace } => Line::Simulated { trace: trace.map(absolute) },
        OutputSpec::Gpiocdev { chip, line, active_low } => Line::Gpiocdev { chip: absolute(chip), line, active_low },
        OutputSpec::Rppal { line, active_low } => Line::Rppal { line, active_low },
    };
    let note = Note { pid: std::process::id(), line };
    let path = folder.join(FILE);
    let advice = || {
        format!(
            "the relay's line cannot be noted in {}: the stop path would not find it; make room there",
            path.display()
        )
    };
    // Renamed into place: the stop path finds a whole note, this one or the one before.
    let begun = folder.join("relay.json.new");
    let text = serde_json::to_vec(&note)?;
    files::replace(&begun).and_then(|mut file| file.write_all(&text)).with_context(advice)?;
    fs::rename(&begun, &path).with_context(advice)
}

/// The stop path may run in another working folder.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_it_was_noted_and_a_damaged_note_is_told() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(noted(folder.path()).unwrap(), None);
        for spec in [
            OutputSpec::Simulated { trace: None },
            OutputSpec::Simulated { trace: Some("/tmp/relay.jsonl".into()) },
            OutputSpec::Gpiocdev { chip: "/dev/gpiochip0".into(), line: 17, active_low: true },
            OutputSpec::Rppal { line: 17, active_low: false },
        ] {
            write(folder.path(), &spec).unwrap();
            assert_eq!(noted(folder.path()).unwrap(), Some(spec));
        }
        fs::write(folder.path().join(FILE), "{\"driver\":\"gpio").unwrap();
        assert!(noted(folder.path()).unwrap_err().to_string().contains(FILE));
        assert!(write(&folder.path().join("none"), &OutputSpec::Simulated { trace: None }).is_err());
    }
}
