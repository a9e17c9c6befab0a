//! What every program prints, made safe for a terminal.
//!
//! ```text
//!  print!, println! ────▶ lines() ──▶ standard output
//!  eprint!, eprintln! ──▶ lines() ──▶ standard error
//!  the log ──▶ Log ─────▶ lines() ──▶ standard error
//! ```
//! A program takes these macros with `#[macro_use] extern crate gate_cli;`. They replace the standard library's, so a line that
//! is added later is safe, too. Text from outside that must stay on its line goes through [`line()`] first.
#![forbid(unsafe_code)]

pub use gate_core::terminal::{is_command, line, lines};

use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// As the standard library's, without commands to the terminal.
#[macro_export]
macro_rules! print {
    ($($arg:tt)*) => { $crate::out(::std::format_args!($($arg)*)) };
}

/// As the standard library's, without commands to the terminal.
#[macro_export]
macro_rules! println {
    () => { $crate::out(::std::format_args!("\n")) };
    ($($arg:tt)*) => { $crate::out(::std::format_args!("{}\n", ::std::format_args!($($arg)*))) };
}

/// As the standard library's, without commands to the terminal.
#[macro_export]
macro_rules! eprint {
    ($($arg:tt)*) => { $crate::err(::std::format_args!($($arg)*)) };
}

/// As the standard library's, without commands to the terminal.
#[macro_export]
macro_rules! eprintln {
    () => { $crate::err(::std::format_args!("\n")) };
    ($($arg:tt)*) => { $crate::err(::std::format_args!("{}\n", ::std::format_args!($($arg)*))) };
}

/// Writes to standard output.
///
/// # Errors
/// When it is gone.
pub fn write(text: Arguments<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(lines(&text.to_string()).to_string().as_bytes())?;
    out.flush()
}

/// [`print!`].
///
/// # Panics
/// When standard output is gone: whoever reads a part of an answer must not take it for the whole.
pub fn out(text: Arguments<'_>) {
    if let Err(error) = write(text) {
        panic!("cannot write to standard output: {error}");
    }
}

/// [`eprint!`].
pub fn err(text: Arguments<'_>) {
    // There is nobody left to tell.
    let _ = Log.write_all(text.to_string().as_bytes());
}

/// A path as text of one line.
#[must_use]
pub fn path(path: &Path) -> String {
    line(&path.display().to_string()).to_string()
}

/// Standard error for a log without colours: each write is whole lines.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let safe = lines(&String::from_utf8_lossy(bytes)).to_string();
        io::stderr().lock().write_all(safe.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How far a piece of work is, as a line that grows; nothing where standard output is no terminal.
pub fn bar(what: &str, done: u32, total: u32) {
    const WIDTH: usize = 30;
    if !io::stdout().is_terminal() {
        return;
    }
    let filled = (WIDTH * done as usize / total.max(1) as usize).min(WIDTH);
    let (full, empty) = ("#".repeat(filled), ".".repeat(WIDTH - filled));
    let end = if done == total { "\n" } else { "" };
    let mut out = io::stdout().lock();
    // A terminal that is gone is no reason to stop.
    let _ = std::write!(out, "\r[{full}{empty}] {done}/{total} {}{end}", line(what));
    let _ = out.flush();
}
