//! How far a long piece of work is: a bar on a terminal, a line every tenth elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

/// Fewer are done before anybody would read a line.
const LINES_MIN: u64 = 100;

/// Progress on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: &'static str,
    total: u64,
    lines: bool,
    done: AtomicU64,
}

impl Progress {
    /// Of `total` pieces of `what`.
    #[must_use]
    pub fn new(what: &'static str, total: usize) -> Self {
        let total = total as u64;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what);
            match ProgressStyle::with_template("{bar:30} {human_pos}/{human_len} {msg}  {eta} left") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        Self { bar, what, total, lines: total >= LINES_MIN, done: AtomicU64::new(0) }
    }

    /// The same, without lines where no terminal is: for work of seconds.
    #[must_use]
    pub fn bar_only(what: &'static str, total: usize) -> Self {
        Self { lines: false, ..Self::new(what, total) }
    }

    /// One more is done.
    pub fn step(&self) {
        self.steps(1);
    }

    /// So many more are done.
    pub fn steps(&self, more: u64) {
        let before = self.done.fetch_add(more, Ordering::Relaxed);
        let done = before + more;
        match &self.bar {
            Some(bar) => bar.inc(more),
            None if self.lines && done * 10 / self.total > before * 10 / self.total => {
                eprintln!("gate-lab: {done} of {} {}", self.total, self.what);
            }
            None => {}
        }
    }

    /// All are done.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
