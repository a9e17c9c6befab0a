//! Man pages and shell completions, for the package.
//!
//! ```text
//!  NAME manual DIR ──▶ clap's own description of NAME ──▶ DIR/man/NAME.1, NAME-COMMAND.1 ...
//!                                                    └──▶ DIR/bash/NAME, DIR/zsh/_NAME, DIR/fish/NAME.fish
//!  gate-daemon's, too: config/gate.toml ──────────────▶ DIR/man/gate.toml.5
//! ```
//! Each program describes itself, so a page cannot tell of an option that is not there. The command is hidden: it serves
//! whoever makes the package, which is why no build script has to compile the command line a second time.
#![forbid(unsafe_code)]

use clap::Command;
use clap_complete::Shell;
use clap_mangen::roff::{Roff, bold, roman};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Every key with its default and one line of why: what gate.toml(5) shows.
const EVERY_KEY: &str = include_str!("../../../config/gate.toml");

/// Characters of a word that may not fit on a line of a page.
const LONG_WORD: usize = 60;

/// The arguments of a program's hidden command `manual`.
#[derive(Clone, Debug, clap::Args)]
pub struct ManualArgs {
    /// Folder to write to; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub folder: std::path::PathBuf,
}

/// Writes the man pages of `command` and of each of its commands that is not hidden, and its completions.
///
/// # Errors
/// When the disk refuses.
pub fn write(mut command: Command, folder: &Path) -> io::Result<()> {
    let draft = Draft::begin(folder)?;
    let pages = draft.folder("man")?;
    // First of all: the completions make clap add its `help` command, which needs no page for each of the others.
    clap_mangen::generate_to(command.clone(), &pages)?;
    for page in fs::read_dir(&pages)? {
        let page = page?.path();
        fs::write(&page, keep_columns(&fs::read_to_string(&page)?))?;
    }

    let name = command.get_name().to_owned();
    for (shell, place) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let place = draft.folder(place)?;
        let file = clap_complete::generate_to(shell, &mut command, &name, &place)?;
        if shell == Shell::Bash {
            // Bash looks for a file of the command's bare name.
            fs::rename(file, place.join(&name))?;
        }
    }
    draft.publish(folder)
}

/// A folder of this run's own, where everything is written first. Renaming a finished file into its place replaces a
/// link there; writing would have followed it.
struct Draft(PathBuf);

impl Draft {
    fn begin(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let draft = folder.join(format!(".draft-{}", std::process::id()));
        fs::create_dir(&draft)?;
        Ok(Self(draft))
    }

    fn folder(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.0.join(name);
        fs::create_dir(&folder)?;
        Ok(folder)
    }

    fn publish(self, to: &Path) -> io::Result<()> {
        for folder in fs::read_dir(&self.0)? {
            let folder = folder?;
            let place = to.join(folder.file_name());
            match fs::symlink_metadata(&place) {
                Ok(meta) if meta.is_dir() => {}
                Ok(_) => {
                    let what = format!("{} is not a folder: remove it", place.display());
                    return Err(io::Error::new(io::ErrorKind::NotADirectory, what));
                }
                Err(_) => fs::create_dir(&place)?,
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                fs::rename(file.path(), place.join(file.file_name()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // What is left of it harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Our help has examples in columns; a page is filled and adjusted unless it is told not to.
fn keep_columns(page: &str) -> String {
    let mut kept = String::with_capacity(page.len() + 256);
    for line in page.lines() {
        let is_text = !line.starts_with('.');
        if is_text && line.trim_start().contains("  ") {
            kept += ".br\n";
        }
        // An example in JSON is one long word: let it break after a comma.
        let is_long = is_text && line.split(' ').any(|word| word.len() > LONG_WORD);
        kept += &if is_long { line.replace(',', ",\\:") } else { line.to_owned() };
        kept.push('\n');
        if line.starts_with(".TH") {
            kept += ".na\n.nh\n";
        }
    }
    kept
}

/// Writes gate.toml(5).
///
/// # Errors
/// When the disk refuses.
pub fn write_config_page(folder: &Path) -> io::Result<()> {
    let draft = Draft::begin(folder)?;
    let mut page = Roff::new();
    page.control("TH", ["gate.toml", "5"]);
    page.control("SH", ["NAME"]);
    page.text([roman("gate.toml - configuration of the face gate")]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        bold("gate-daemon"),
        roman(", "),
        bold("enroll-tool"),
        roman(" and "),
        bold("gate-lab"),
        roman(" read /etc/face-gate/gate.toml, or the file named with --config. Each key is shown here with its default; "),
        roman("a file needs only those that differ."),
    ]);
    page.control("SH", ["KEYS"]);
    // As it stands, line by line.
    page.control("nf", []);
    page.text([roman(EVERY_KEY.trim_end())]);
    page.control("fi", []);
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("gate-daemon"),
        roman("(1), "),
        bold("enroll-tool"),
        roman("(1), "),
        bold("gate-lab"),
        roman("(1)"),
    ]);
    fs::write(draft.folder("man")?.join("gate.toml.5"), page.render())?;
    draft.publish(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test that cannot go on stops
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_and_each_shell_its_completions_but_for_what_is_hidden() {
        let folder = tempfile::tempdir().unwrap();
        let command = Command::new("gate")
            .about("Opens")
            .subcommand(
                Command::new("run")
                    .about("Run it")
                    .after_help(format!("Example:\ngate run   now\n{{{}}}", "\"a\":1,".repeat(12))),
            )
            .subcommand(Command::new("manual").hide(true));
        write(command, folder.path()).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(read("man/gate.1").contains("gate\\-run"));
        assert!(read("man/gate-run.1").contains("Run it"));
        assert!(read("man/gate-run.1").contains(".br\ngate run   now"));
        assert!(read("man/gate-run.1").contains(",\\:"));
        assert!(!folder.path().join("man/gate-manual.1").exists() && !folder.path().join("man/gate-help.1").exists());
        for completions in ["bash/gate", "zsh/_gate", "fish/gate.fish"] {
            assert!(read(completions).contains("run"), "{completions}");
        }
    }

    #[test]
    fn pages_are_written_through_no_link_and_leave_other_pages_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("man")).unwrap();
        fs::write(at("victim"), "precious").unwrap();
        fs::write(at("man/other.1"), "other").unwrap();
        for name in ["gate.1", "gate.toml.5"] {
            std::os::unix::fs::symlink(at("victim"), at("man").join(name)).unwrap();
        }
        write(Command::new("gate"), folder.path()).unwrap();
        write_config_page(folder.path()).unwrap();
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        assert_eq!(fs::read_to_string(at("man/other.1")).unwrap(), "other");
        for name in ["gate.1", "gate.toml.5"] {
            assert!(fs::symlink_metadata(at("man").join(name)).unwrap().is_file(), "{name}");
        }
        // A folder that is a link leads elsewhere altogether.
        fs::rename(at("man"), at("elsewhere")).unwrap();
        std::os::unix::fs::symlink(at("elsewhere"), at("man")).unwrap();
        let error = write(Command::new("gate"), folder.path()).unwrap_err().to_string();
        assert!(error.contains("is not a folder"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6, "no draft is left");
    }

    #[test]
    fn the_configurations_page_has_every_line() {
        let folder = tempfile::tempdir().unwrap();
        write_config_page(folder.path()).unwrap();
        let page = fs::read_to_string(folder.path().join("man/gate.toml.5")).unwrap();
        for key in ["fpir_target", "pulse_max_ms", "[events]"] {
            assert!(page.contains(key), "{key}");
        }
        assert!(page.lines().count() > EVERY_KEY.lines().count());
    }
}
