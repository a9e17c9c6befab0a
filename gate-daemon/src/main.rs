//! The face gate's daemon: from the camera to the relay.
// The tests count allocations, which takes an allocator of their own.
#![cfg_attr(not(test), forbid(unsafe_code))]

// First: its `println!` and the like replace the standard library's.
#[macro_use]
extern crate gate_cli;

#[cfg(test)]
mod allocations;
mod bench;
mod camera_watch;
mod check;
mod clock;
mod demo;
mod devices;
mod event_writer;
mod events;
mod gate;
mod helpers;
mod logging;
mod metrics;
mod noted;
mod outputs;
mod people;
mod pin;
mod relay;
mod reload;
mod run;
mod scrape;
mod service;
mod setup;
mod source;
mod status;
mod stopwatch;
mod trace;
mod walk;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};
use gate_config::{Driver, ReplayPace};
use gate_hal::CameraSpec;
use gate_site::{Site, SiteError};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Opens a gate for enrolled people, seen by a camera. Faces are compared on this machine and never leave it.
///
/// First time on a machine:  gate-daemon check
/// Installer's test:         gate-daemon relay pulse      (wire off!)
/// See it work:              gate-daemon demo
/// Enrol people with:        enroll-tool
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// Configuration; without it /etc/face-gate/gate.toml, and without that the defaults.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of people and references, instead of the configured one.
    #[arg(long, global = true, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the gate. systemd starts this; stop it with ctrl-c or SIGTERM.
    ///
    /// gate-daemon run --config gate.toml --camera replay:walkup.gif --events -
    Run(RunArgs),
    /// The doctor: config, runtime, models, people, camera, relay; a line each, and what to do about what fails.
    Check {
        /// One JSON document instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// List this machine's cameras with their formats, and its GPIO chips; pin the camera.
    Devices(devices::DevicesArgs),
    /// Drive the relay by hand: for the installer, and for the unit's stop path.
    Relay {
        #[command(subcommand)]
        action: relay::RelayAction,
    },
    /// Measure each stage on this machine: p50, p99, frames per second, memory.
    Bench(bench::BenchArgs),
    /// See the gate work: enrols sample people, plays a scene, checks every outcome, writes a report.
    Demo(demo::DemoArgs),
    /// Fetch what is missing (runtime, models), check every hash, and prove the prepared networks.
    Setup {
        /// Take the files from this folder; no network is used.
        #[arg(long, value_name = "DIR")]
        from: Option<PathBuf>,
    },
    /// Write man pages and shell completions, for the package.
    #[command(hide = true)]
    Manual(gate_manual::ManualArgs),
}

#[derive(clap::Args)]
struct RunArgs {
    /// nokhwa:N, v4l:/dev/videoN, or replay:PATH (folder of pictures, GIF, video); overrides [camera] source.
    #[arg(long, value_name = "SPEC")]
    camera: Option<String>,
    /// Append events as JSON lines to FILE, or `-` for standard output; overrides [events] file.
    #[arg(long, value_name = "FILE")]
    events: Option<PathBuf>,
    /// Pace of a replay: `real` or `fast`. The decisions are the same.
    #[arg(long, value_name = "PACE", value_parser = pace)]
    pace: Option<ReplayPace>,
    /// Record every frame's faces and dissimilarities for diagnosis. The file holds scores: guard it.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
}

fn pace(word: &str) -> Result<ReplayPace, String> {
    match word {
        "real" => Ok(ReplayPace::Real),
        "fast" => Ok(ReplayPace::Fast),
        _ => Err("it is `real` or `fast`".into()),
    }
}

/// The command failed to do what was asked, and said so already.
const NOT_DONE: u8 = 1;
/// The command line or the configuration makes no sense; clap ends with the same code.
const BAD_INPUT: u8 = 2;
/// The system does not allow it: files, runtime, hardware.
const SYSTEM_FAULT: u8 = 3;

fn main() -> ExitCode {
    // Before anything else: keys and templates will be in this memory.
    if let Err(error) = gate_guard::memory::keep_private() {
        eprintln!("gate-daemon: core dumps cannot be switched off: {error}");
    }
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) if error.use_stderr() => {
            eprint!("{error}");
            return ExitCode::from(BAD_INPUT);
        }
        Err(error) => error.exit(),
    };
    match act(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(NOT_DONE),
        Err(e) => {
            eprintln!("gate-daemon: {e:#}");
            let bad_config =
                matches!(e.downcast_ref(), Some(SiteError::Config(_) | SiteError::Camera(_) | SiteError::Identity(_)));
            ExitCode::from(if bad_config { BAD_INPUT } else { SYSTEM_FAULT })
        }
    }
}

fn act(args: Args) -> Result<bool> {
    // What only lists ends when whoever read it has seen enough. What holds a line or writes files never ends that way.
    if matches!(args.command, Command::Check { .. } | Command::Bench(_))
        || matches!(&args.command, Command::Devices(devices) if !devices.writes())
    {
        signal_hook::flag::register_conditional_default(signal_hook::consts::SIGPIPE, Arc::new(AtomicBool::new(true)))?;
    }
    let load = || Site::load(args.config.as_deref(), args.store.as_deref());
    match args.command {
        Command::Run(run_args) => {
            let trace = run_args.trace.clone();
            let (config, store) = (args.config.clone(), args.store.clone());
            // What the command line says holds for a configuration that is reread, too.
            let load = move || run_args.site(Site::load(config.as_deref(), store.as_deref())?);
            let site = load()?;
            logging::start(&site.config.log.level)?;
            match &site.file {
                Some(file) => tracing::info!(config = %file.display(), "starting"),
                None => tracing::warn!("starting with the defaults: no --config, and no {}", gate_site::CONFIG_PATH),
            }
            if is_replay(&site)? {
                tracing::warn!("the camera is a replay, so the relay is simulated: a configured one stays untouched");
            }
            run::run(&site, &run::RunOptions { trace }, Arc::new(load)).map(|()| true)
        }
        Command::Check { json } => check::check(args.config.as_deref(), args.store.as_deref(), json),
        Command::Devices(devices) => devices::devices(&devices, load).map(|()| true),
        Command::Relay { action } => relay::relay(load(), &action).map(|()| true),
        Command::Bench(bench_args) => bench::bench(&load()?, &bench_args).map(|()| true),
        Command::Demo(demo_args) => demo::demo(&load()?, &demo_args),
        Command::Setup { from } => setup::setup(&load()?, from.as_deref()).map(|()| true),
        Command::Manual(manual) => {
            gate_manual::write(Args::command(), &manual.folder)?;
            gate_manual::write_config_page(&manual.folder)?;
            Ok(true)
        }
    }
}

impl RunArgs {
    /// The site with what the command line overrides.
    fn site(&self, mut site: Site) -> Result<Site, SiteError> {
        let RunArgs { camera, events, pace, trace: _ } = self;
        site.config.camera.source = camera.clone().unwrap_or(site.config.camera.source);
        site.config.camera.replay_pace = pace.unwrap_or(site.config.camera.replay_pace);
        site.config.events.file = events.clone().or(site.config.events.file);
        // Recorded faces open nothing: a replay drives a simulated relay, whatever is configured.
        if is_replay(&site)? {
            site.config.relay.driver = Driver::Simulated;
        }
        Ok(site)
    }
}

fn is_replay(site: &Site) -> Result<bool, SiteError> {
    Ok(matches!(site.camera_spec()?, CameraSpec::Replay(_)))
}
