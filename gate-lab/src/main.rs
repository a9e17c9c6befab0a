//! The engineer's and officer's tool of the face gate: measure, calibrate, learn.
//!
//! ```text
//!  args ──▶ pictures (folders, pairs file) ──▶ faces (networks, cache) ──▶ measure (gate-stats) ──▶ answer, report, card
//! ```
//! Answers go to standard output (JSON with `--json`), everything else to standard error.
#![forbid(unsafe_code)]

// First: its `println!` and the like replace the standard library's.
#[macro_use]
extern crate gate_cli;

mod args;
mod cache;
mod calibrate;
mod card;
mod errata;
mod evaluate;
mod faces;
mod files;
mod import;
mod light;
mod measure;
mod pad;
mod pairs;
mod pictures;
mod progress;
mod refusal;
mod report;
mod study;
mod train;
mod words;

use anyhow::Result;
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use gate_site::Site;
use refusal::{Exit, classify, refuse};
use serde::Serialize;
use std::process::ExitCode;

/// An error with `--json`.
#[derive(Serialize)]
struct ErrorJson<'a> {
    error: &'a str,
}

fn main() -> ExitCode {
    // Before anything else: keys and templates will be in this memory.
    if let Err(error) = gate_guard::memory::keep_private() {
        eprintln!("gate-lab: core dumps cannot be switched off: {error}");
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
            let text = format!("{error:#}");
            // A fault of the configuration shows lines of it; all others are one line.
            let is_config = matches!(error.downcast_ref(), Some(gate_site::SiteError::Config(_)));
            let shown = if is_config { text.clone() } else { gate_cli::line(&text).to_string() };
            eprintln!("gate-lab: {shown}");
            if cli.json {
                print_error(&text);
            }
            classify(&error)
        }
    };
    ExitCode::from(exit as u8)
}

fn run(cli: &Cli) -> Result<Exit> {
    let mut site = Site::load(cli.config.as_deref(), None)?;
    if let Some(models) = &cli.models {
        site.config.vision.models.clone_from(models);
    }
    if cli.json && !cli.command.has_json() {
        return Err(refuse(
            "--json goes with evaluate, card, calibrate, pad, calibrate-liveness and light-test; what is learned, studied or \
             imported is told in text",
        ));
    }
    match &cli.command {
        Command::Evaluate(args) => evaluate::evaluate(site, args, cli.json)?,
        Command::Card(args) => card::card(site, args, cli.json)?,
        Command::Pad(args) => pad::run(site, args, cli.json)?,
        Command::CalibrateLiveness(args) => pad::calibrate_liveness(site, args, cli.json)?,
        Command::Calibrate(args) => return calibrate::run(&site, args, cli.json),
        Command::LightTest(args) => light::run(&site, args, cli.json)?,
        Command::Study(args) => study::run(&site, args)?,
        Command::TrainHead(args) => args.run(&site)?,
        Command::TrainAdapter(args) => args.run(&site)?,
        Command::TrainEncoder(args) => args.run(&site)?,
        Command::ImportTflite(args) => args.run()?,
        Command::Manual(manual) => gate_manual::write(Cli::command(), &manual.folder)?,
    }
    Ok(Exit::Done)
}

/// Answers: `text` for people, or one line of JSON.
///
/// # Errors
/// When standard output is gone.
pub(crate) fn answer(json: bool, text: &str, value: &impl Serialize) -> Result<()> {
    let line = if json { serde_json::to_string(value)? } else { text.trim_end().to_owned() };
    Ok(gate_cli::write(format_args!("{line}\n"))?)
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
        print_error(first.strip_prefix("error: ").unwrap_or(&first));
    }
    ExitCode::from(Exit::BadInput as u8)
}

fn print_error(error: &str) {
    if let Ok(line) = serde_json::to_string(&ErrorJson { error }) {
        // The message stands on standard error in any case.
        let _ = gate_cli::write(format_args!("{line}\n"));
    }
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
