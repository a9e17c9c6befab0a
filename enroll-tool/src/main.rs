//! The staff's tool of the face gate: enrol people from one picture each, and look after them.
//!
//! ```text
//!  args ──> Desk (site, store, answer) ──> a command ──> exit code
//!             add, import   pictures ──> one good face each ──> checked against everybody ──> stored, last of all
//!             identify, verify, compare   pictures ──> encoded ──> compared
//!             list, show, set, suspend, resume, remove, init, check, restore, clock   the store
//! ```
//! Answers go to standard output (JSON with `--json`), everything else to standard error.
#![forbid(unsafe_code)]

// First: its `println!` and the like replace the standard library's.
#[macro_use]
extern crate gate_cli;

mod args;
mod camera;
mod clock;
mod compare;
mod confirm;
mod desk;
mod enrol;
mod face;
mod import;
mod import_list;
mod import_report;
mod inputs;
mod keep;
mod known;
mod life;
mod people;
mod refusal;
mod restore;
mod scores;
mod when;

use anyhow::Result;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use desk::Desk;
use gate_core::reason::Reason;
use refusal::{Exit, classify};
use serde::Serialize;
use std::process::ExitCode;

/// An error with `--json`.
#[derive(Serialize)]
struct ErrorJson<'a> {
    error: &'a str,
    reason: Option<Reason>,
}

fn main() -> ExitCode {
    // Before anything else: keys and templates will be in this memory.
    if let Err(error) = gate_guard::memory::keep_private() {
        eprintln!("enroll-tool: core dumps cannot be switched off: {error}");
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return bad_use(&error),
    };
    start_logging(cli.verbose);
    let exit = match run(&cli) {
        Ok(exit) => exit,
        // Whoever read our answers has seen enough.
        Err(error) if is_broken_pipe(&error) => Exit::Done,
        Err(error) => {
            let (exit, reason) = classify(&error);
            let text = error.to_string();
            let shown = if is_config(&error) { text.clone() } else { gate_cli::line(&text).to_string() };
            eprintln!("enroll-tool: {shown}");
            if cli.json {
                print_error(&text, reason);
            }
            exit
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli) -> Result<Exit> {
    let desk = Desk::open(cli)?;
    match &cli.command {
        Command::Init => keep::init(&desk),
        Command::Add(args) => enrol::add(&desk, args),
        Command::Import(args) => import::import(&desk, args),
        Command::List => people::list(&desk),
        Command::Show(args) => people::show(&desk, &args.id),
        Command::Set(args) => people::set(&desk, args),
        Command::Suspend(args) => people::suspend(&desk, &args.id, true),
        Command::Resume(args) => people::suspend(&desk, &args.id, false),
        Command::Remove(args) => people::remove(&desk, args),
        Command::Verify(args) => compare::verify(&desk, args),
        Command::Identify(args) => compare::identify(&desk, args),
        Command::Compare(args) => compare::compare(&desk, args),
        Command::Check => keep::check(&desk),
        Command::Restore(args) => restore::restore(&desk, args),
        Command::Clock(args) => clock::clock(&desk, args),
        Command::Manual(manual) => {
            gate_manual::write(Cli::command(), &manual.folder)?;
            Ok(Exit::Done)
        }
    }
}

/// Help and version are no errors; a command line that makes no sense is bad use.
fn bad_use(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        // Where it goes may be closed; there is nobody left to tell.
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    eprint!("{error}");
    if std::env::args_os().any(|arg| arg == "--json") {
        let text = error.to_string();
        let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
        let first = first.join(" ");
        print_error(first.strip_prefix("error: ").unwrap_or(&first), None);
    }
    ExitCode::from(Exit::BadInput as u8)
}

fn print_error(error: &str, reason: Option<Reason>) {
    if let Ok(line) = serde_json::to_string(&ErrorJson { error, reason }) {
        // The message stands on standard error in any case.
        let _ = gate_cli::write(format_args!("{line}\n"));
    }
}

/// Whether the message shows lines of a configuration: all others are one line.
fn is_config(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(gate_site::SiteError::Config(_)))
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn start_logging(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info,ort=warn",
        _ => "debug,ort=info",
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::new(level))
        .with_writer(|| gate_cli::Log)
        .with_ansi(false)
        .with_target(false)
        .without_time()
        .init();
}
