//! Faults of a configuration file, told the way a compiler tells them: place, what, the line, a caret.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Most faults told at once.
const FAULTS_MAX: usize = 20;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such file.
    #[error(
        "{}: no such file. Make one: copy config/gate.toml there and change what differs (an empty file means \
         every default), or name another with --config",
        path.display()
    )]
    Missing {
        /// The file looked for.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}. It must be UTF-8 text that this user may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is far too long to be a configuration.
    #[error("{}: longer than {max_bytes} bytes: this is no gate.toml", path.display())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit, bytes.
        max_bytes: u64,
    },
    /// The file says something it cannot mean.
    #[error("{}", Joined(.0))]
    Faults(Vec<Fault>),
}

/// One fault: where, what, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named.
    pub name: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// How many characters are at fault, at least 1.
    pub width: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
    /// The line at fault.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, line, column, width, message, text } = self;
        let gutter = line.to_string().len().max(4);
        writeln!(f, "{name}:{line}:{column}: {message}")?;
        writeln!(f, "{line:>gutter$} | {text}")?;
        write!(f, "{:gutter$} | {:skip$}{:^<width$}", "", "", "", skip = column - 1)
    }
}

struct Joined<'a>(&'a [Fault]);

impl fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// A fault before it is placed: the bytes at fault, and what is wrong.
pub(crate) struct Note {
    pub(crate) span: Range<usize>,
    pub(crate) message: String,
}

/// A file's name and text: places faults in it.
pub(crate) struct Source<'a> {
    pub(crate) name: &'a str,
    pub(crate) text: &'a str,
}

impl Source<'_> {
    /// The notes as an error, in the order of the file.
    pub(crate) fn faults(&self, mut notes: Vec<Note>) -> ConfigError {
        notes.sort_by_key(|note| note.span.start);
        notes.truncate(FAULTS_MAX);
        ConfigError::Faults(notes.into_iter().map(|note| self.place(note)).collect())
    }

    /// What the TOML parser found.
    pub(crate) fn syntax(&self, error: &toml::de::Error) -> ConfigError {
        let message = format!("not valid TOML: {}", error.message().replace('\n', "; "));
        self.faults(vec![Note { span: error.span().unwrap_or(0..0), message }])
    }

    fn place(&self, Note { span, message }: Note) -> Fault {
        let start = self.text.floor_char_boundary(span.start);
        let begin = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let end = self.text[start..].find('\n').map_or(self.text.len(), |length| start + length);
        let stop = self.text.floor_char_boundary(span.end.min(end)).max(start);
        Fault {
            name: self.name.to_owned(),
            line: self.text[..begin].matches('\n').count() + 1,
            column: self.text[begin..start].chars().count() + 1,
            width: self.text[start..stop].chars().count().max(1),
            message,
            // A tab would put the caret elsewhere than the fault.
            text: self.text[begin..end].trim_end().replace('\t', " "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_points_at_its_characters() {
        let source = Source { name: "gate.toml", text: "[relay]\n\tname = \"Zoë\" # ?\n" };
        let fault = source.place(Note { span: 16..22, message: "what".to_owned() });
        assert_eq!(fault.to_string(), "gate.toml:2:9: what\n   2 |  name = \"Zoë\" # ?\n     |         ^^^^^");
        // Beyond the end, as a parser may report an end it did not expect.
        assert_eq!(source.place(Note { span: 99..99, message: String::new() }).line, 3);
    }
}
