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
use std::path::Path;

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
    let pages = folder.join("man");
    fs::create_dir_all(&pages)?;
    // First of all: the completions make clap add its `help` command, which needs no page for each of the others.
    clap_mangen::generate_to(command.clone(), &pages)?;
    let name = command.get_name().to_owned();
    for page in fs::read_dir(&pages)? {
        let page = page?;
        // The folder may hold another program's pages, too.
        if page.file_name().to_string_lossy().starts_with(&name) {
            fs::write(page.path(), keep_columns(&fs::read_to_string(page.path())?))?;
        }
    }
    for (shell, place) in [(Shell::Bash, "bash"), (Shell::Zsh, "zsh"), (Shell::Fish, "fish")] {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        let file = clap_complete::generate_to(shell, &mut command, &name, &place)?;
        if shell == Shell::Bash {
            // Bash looks for a file of the command's bare name.
            fs::rename(file, place.join(&name))?;
        }
    }
    Ok(())
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
    let pages = folder.join("man");
    fs::create_dir_all(&pages)?;
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
    fs::write(pages.join("gate.toml.5"), page.render())
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
