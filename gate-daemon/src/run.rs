//! The daemon: `run` is a loop of `turn`, and a turn handles one frame or one moment without a frame.
//!
//! ```text
//!  capture thread ──newest frame──▶ turn ──▶ Gate.look ──▶ actions ──▶ relay thread (own clock, hard maximum)
//!  people thread ───new gallery───▶   │                      ├────────▶ lamps
//!                                     └──▶ systemd            └────────▶ event log
//! ```

use crate::camera_watch::CameraWatch;
use crate::clock::{self, ClockGuard, ClockNews};
use crate::events::{EventLog, Record};
use crate::gate::Gate;
use crate::helpers::Helpers;
use crate::logging;
use crate::metrics::Metrics;
use crate::noted;
use crate::outputs::Outputs;
use crate::people::{Load, News, PeopleWatch, Reconfigured};
use crate::scrape::Scrape;
use crate::service::Service;
use crate::source::{Next, Source};
use crate::status::Status;
use crate::trace::Trace;
use anyhow::{Context, Result, anyhow, bail};
use gate_config::{FpirUnmet, LivenessMode};
use gate_core::alarm::Alarm;
use gate_core::decision::{Action, Actions, Event, Now};
use gate_core::gate::{Fault, State};
use gate_hal::{CameraIdentity, CameraState, Frame, OutputError};
use gate_site::Site;
use gate_vision::card::{Card, Job};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// The longest wait for a frame: so soon a stop, a new gallery or the end of a pulse is noticed.
const TURN_MAX: Duration = Duration::from_millis(50);
/// How often a relay that failed is tried again.
const RELAY_RETRY: Duration = Duration::from_secs(1);
/// How long a network that failed is left alone.
const MODEL_PAUSE: Duration = Duration::from_millis(200);

/// What the command line adds to the configuration.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where to write the frame by frame record.
    pub trace: Option<PathBuf>,
}

/// Runs the gate until it is told to stop or a replay is over. `load` reads the configuration anew when a reload is asked for.
///
/// # Errors
/// When something needed cannot be had at the start. The relay is locked then.
pub fn run(site: &Site, options: &RunOptions, load: Load) -> Result<()> {
    // Until the loop runs, nobody asks whether to stop: a signal ends the process at once, and the relay was never on.
    let starting = Arc::new(AtomicBool::new(true));
    let (stop, reload) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, Arc::clone(&reload)).context("signals")?;
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 0, Arc::clone(&starting)).context("signals")?;
        // A second signal ends the process at once: the stop path of the unit locks the gate then.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop)).context("signals")?;
        signal_hook::flag::register(signal, Arc::clone(&stop)).context("signals")?;
    }
    let mut daemon = Daemon::start(site, options, load)?;
    starting.store(false, Ordering::Relaxed);
    while !stop.load(Ordering::Relaxed) && daemon.turn()? {
        if reload.swap(false, Ordering::Relaxed) {
            daemon.reload();
        }
    }
    daemon.finish()
}

struct Daemon {
    gate: Gate,
    source: Source,
    camera_watch: CameraWatch,
    /// The only camera that is trusted; `None` = any.
    pinned: Option<CameraIdentity>,
    outputs: Outputs,
    events: EventLog,
    people: PeopleWatch,
    clock: ClockGuard,
    service: Service,
    status: Status,
    metrics: Arc<Metrics>,
    /// Gone, the socket is, too.
    _scrape: Option<Scrape>,
    helpers: Helpers,
    trace: Option<Trace>,
    frame: Frame,
    provider: &'static str,
    /// The gate stays locked when the stated risk cannot be kept.
    refuse_unmet: bool,
    relay_tried: Instant,
}

impl Daemon {
    fn start(site: &Site, options: &RunOptions, load: Load) -> Result<Self> {
        let began = Instant::now();
        let source = Source::start(site.camera_spec()?, &site.camera_options()?)?;
        let pinned = site.camera_identity()?;
        // The stop path must know the line before it can ever be on.
        noted::note(&site.relay_spec()?)?;
        // The relay first of all: whatever is wrong elsewhere, the gate is locked from here on.
        let outputs = Outputs::open(site, &source.clock())?;
        let events = EventLog::open(site.config.events.file.as_deref())?;
        let trace = options.trace.as_deref().map(Trace::create).transpose()?;
        let encoder = Card::load(&site.config.vision.models, &site.config.vision.encoder, Job::Encode)?;
        let comparer = site.comparer(&encoder)?;
        tracing::info!(comparison = comparer.name(), impostors = comparer.measured_on(), "comparison loaded");
        // People and networks at the same time: with many people each takes as long as the other.
        let (networks, people) = thread::scope(|scope| {
            let start = || PeopleWatch::start(site.clone(), encoder.clone(), &comparer, Arc::clone(&load));
            let elsewhere = thread::Builder::new().name("people-start".into()).spawn_scoped(scope, start);
            let networks = site.vision().and_then(|vision| Ok((site.liveness(&vision)?, vision)));
            // Where the system has no thread to give, one comes after the other.
            (networks, elsewhere.map_or_else(|_| Ok(start()), ScopedJoinHandle::join))
        });
        let (liveness, vision) = networks?;
        let (members, people) = people.map_err(|_| anyhow!("the thread that loads people has panicked"))??;
        let provider = site.vision_options().session.provider.name();
        tracing::info!(runtime = %vision.runtime_path().display(), provider, "networks loaded");
        if site.config.liveness.mode == LivenessMode::Off {
            tracing::warn!("[liveness] mode = \"off\": a photograph of an enrolled person opens the gate");
        }
        let policy = site.policy(&members, liveness.as_ref());
        let mut gate = Gate::new(vision, liveness, members, policy);
        let clock = ClockGuard::start(site, gate.decider(), source.now(), !source.is_replay());
        let metrics = Arc::new(Metrics::new(provider, Arc::clone(events.health())));
        let scrape = serve_metrics(site, &metrics);
        let helpers = Helpers::new(events.health().thread().into_iter().chain(scrape.as_ref().map(Scrape::thread)));
        let mut daemon = Self {
            gate,
            source,
            camera_watch: CameraWatch::default(),
            pinned,
            outputs,
            events,
            people,
            clock,
            service: Service::new(),
            status: Status::default(),
            metrics,
            _scrape: scrape,
            helpers,
            trace,
            frame: Frame::empty(),
            provider,
            refuse_unmet: site.config.policy.fpir_unmet == FpirUnmet::Refuse,
            relay_tried: began,
        };
        daemon.tell_gallery();
        daemon.weigh_risk();
        daemon.watch_clock();
        if let Some(detail) = daemon.source.describe() {
            daemon.events.write(&Record::Camera { state: "opened", detail: &detail }, daemon.source.now());
        }
        daemon.service.ready();
        tracing::info!(after_ms = began.elapsed().as_millis() as u64, camera = %site.config.camera.source, "ready");
        Ok(daemon)
    }

    /// One frame, or one moment without a frame. `false` when a replay is over.
    fn turn(&mut self) -> Result<bool> {
        self.take_news();
        self.watch_people();
        self.retry_relay();
        self.watch_light();
        self.watch_clock();
        let wait = self.wait();
        let next = self.source.next(&mut self.frame, wait);
        let now = self.source.now();
        let idle = matches!(next, Next::Nothing);
        match next {
            Next::Frame => self.look(now)?,
            Next::Nothing => {
                let actions = self.gate.decider().tick(now);
                self.act(&actions, now);
            }
            Next::State(state) => self.camera(&state, now),
            Next::Bad(e) => {
                self.metrics.unreadable_frame();
                tracing::warn!("a frame could not be read: {e}");
            }
            Next::Broken(e) => return Err(e).context("the replay cannot go on"),
            Next::End => {
                self.events.write(&Record::Camera { state: "ended", detail: "the replay is over" }, now);
                return Ok(false);
            }
        }
        // Without frames the loop is still alive as long as the gate is known to be locked.
        let lives = !idle || !matches!(self.gate.decider().state(), State::Unlocked { .. });
        if lives && self.service.alive() {
            self.metrics.watchdog_fed();
        }
        self.tell_status();
        Ok(true)
    }

    /// How long a frame may be waited for.
    fn wait(&mut self) -> Duration {
        if self.source.is_replay() {
            return TURN_MAX;
        }
        let now_ms = self.source.now().mono_ms;
        let due = self.gate.decider().deadline_ms().map(|at| Duration::from_millis(at.saturating_sub(now_ms)));
        due.map_or(TURN_MAX, |due| due.min(TURN_MAX))
    }

    fn look(&mut self, now: Now) -> Result<()> {
        // In a replay time jumps from frame to frame: what was due in between happens first, at its own time.
        while let Some(due) =
            self.gate.decider().deadline_ms().filter(|due| self.source.is_replay() && *due < now.mono_ms)
        {
            let before = Now { mono_ms: due, wall_ms: now.wall_ms - (now.mono_ms - due) as i64 };
            let actions = self.gate.decider().tick(before);
            self.act(&actions, before);
        }
        let Some(picture) = self.frame.view() else { return Ok(()) };
        let actions = match self.gate.look(picture, now) {
            Ok(actions) => actions,
            Err(e) => {
                tracing::error!("{e:#}");
                let actions = self.gate.decider().fault(Fault::Model, now);
                self.act(&actions, now);
                thread::sleep(MODEL_PAUSE);
                return Ok(());
            }
        };
        self.act(&actions, now);
        self.service.frame();
        self.metrics.frame(self.gate.seen().len(), &self.gate.timings());
        let state = self.gate.decider().state();
        let policy = self.gate.decider().policy().quality;
        if let Some(trace) = &mut self.trace {
            trace.write(self.frame.seq, now, state, self.gate.seen(), self.gate.members(), &policy);
        }
        Ok(())
    }

    /// Does what was decided, in order.
    fn act(&mut self, actions: &Actions, now: Now) {
        let mut relay_failed = false;
        for action in actions {
            match *action {
                Action::Relay(on) => {
                    // Before the line is driven: that is where the relay's own guard counts from.
                    let switched = self.source.now();
                    if let Err(e) = self.outputs.relay(on) {
                        tracing::error!("{e}");
                        relay_failed = true;
                        self.relay_tried = Instant::now();
                        let more = self.gate.decider().fault(Fault::Relay, now);
                        // A fault switches off at most once more, so this ends.
                        self.act(&more, now);
                    } else if on {
                        self.gate.decider().relay_is_on(switched);
                    }
                }
                // What was to follow from the switching did not happen; the fault has shown and told its own.
                Action::Lamps { .. } | Action::Log(Event::Relay { .. }) if relay_failed => {}
                Action::Light(code) => self.outputs.play(code),
                Action::Lamps { green, red } => self.outputs.lamps(green, red),
                Action::Alarm(on) => self.outputs.alarm(on),
                Action::Log(event) => {
                    self.status.decided(&event);
                    self.metrics.decided(&event);
                    self.clock.event();
                    self.events.decided(event, self.gate.members(), now);
                }
            }
        }
    }

    fn camera(&mut self, state: &CameraState, now: Now) {
        let change = self.camera_watch.take(state);
        if let Some(name) = change.name {
            self.metrics.camera(name == "opened");
            match name {
                "opened" => tracing::info!(camera = change.detail, "camera opened"),
                _ => tracing::error!("camera {name}: {}", change.detail),
            }
            self.events.write(&Record::Camera { state: name, detail: change.detail }, now);
        }
        for fault in change.faults {
            let actions = self.gate.decider().fault(*fault, now);
            self.act(&actions, now);
        }
        if change.tampered {
            let actions = self.gate.decider().tampered(now);
            self.act(&actions, now);
        }
        if change.pardoned {
            let actions = self.gate.decider().clear(Fault::CameraChanged, now);
            self.act(&actions, now);
        }
        if self.camera_watch.is_unpinned(state, self.pinned.as_ref()) {
            tracing::warn!("any camera that is plugged in here is trusted; run gate-daemon devices --pin");
        }
    }

    /// A reload: another camera may be pinned now, and a changed one is looked at anew.
    fn look_at_camera_anew(&mut self, site: &Site) {
        let pinned = match site.camera_identity() {
            Ok(pinned) => pinned,
            Err(e) => return tracing::error!("the camera stays pinned as it was: {e}"),
        };
        let is_changed = self.gate.decider().has(Fault::CameraChanged);
        if is_changed {
            self.camera_watch.look_anew();
        }
        if is_changed || pinned != self.pinned {
            self.source.reopen(pinned.clone());
        }
        self.pinned = pinned;
    }

    fn take_news(&mut self) {
        let now = self.source.now();
        match self.people.news() {
            None => {}
            Some(News::Loaded(members)) => {
                self.gate.replace(members);
                self.tell_gallery();
                self.weigh_risk();
            }
            // Becomes a fault in `watch_people`; a second reason is only told.
            Some(News::Failed(why)) if self.gate.decider().has(Fault::Store) => {
                tracing::error!("people cannot be read: {why}");
            }
            Some(News::Failed(_)) => {}
            Some(News::Reconfigured(new)) => self.take_config(*new, now),
            Some(News::Kept(why)) => {
                tracing::error!("the new configuration cannot be used, the old one stays in force: {why}");
                self.events.write(&Record::Config { state: "kept", detail: &why }, now);
                self.status.config(Some(&why));
                self.metrics.config(true);
                self.service.ready();
            }
        }
    }

    /// People who may be out of date keep the gate locked: somebody may have been suspended since.
    fn watch_people(&mut self) {
        let age = self.people.age();
        let (trouble, had) = (self.people.trouble(), self.gate.decider().has(Fault::Store));
        self.metrics.people_age(age);
        self.status.people(trouble.is_some().then_some(age));
        let now = self.source.now();
        let actions = match (trouble, had) {
            (Some(why), false) => {
                tracing::error!("{why}");
                self.gate.decider().fault(Fault::Store, now)
            }
            (None, true) => self.gate.decider().clear(Fault::Store, now),
            _ => return,
        };
        self.act(&actions, now);
    }

    /// Rereads the configuration, on another thread: no frame waits for it.
    fn reload(&mut self) {
        tracing::info!("rereading the configuration");
        self.service.reloading();
        self.people.reread();
    }

    /// Another configuration is in force from this frame on, as far as that can be while running.
    fn take_config(&mut self, new: Reconfigured, now: Now) {
        let Reconfigured { site, members, waits } = new;
        if let Err(e) = logging::set_level(&site.config.log.level) {
            tracing::error!("{e:#}");
        }
        for what in &waits {
            tracing::warn!("{what} has changed: restart needed, until then it is as it was");
        }
        let detail = if waits.is_empty() { String::new() } else { format!("restart needed for {}", waits.join(", ")) };
        tracing::info!("the new configuration is in force");
        self.events.write(&Record::Config { state: "loaded", detail: &detail }, now);
        self.status.config(None);
        self.metrics.config(false);
        self.refuse_unmet = site.config.policy.fpir_unmet == FpirUnmet::Refuse;
        let actions = self.gate.reconfigure(&site, members, now);
        self.act(&actions, now);
        self.tell_gallery();
        self.weigh_risk();
        self.look_at_camera_anew(&site);
        self.service.ready();
    }

    /// A relay that could not be driven, or that its own guard had to switch off, is a fault until it obeys again.
    fn retry_relay(&mut self) {
        if self.outputs.relay_trouble().is_some() {
            // A pulse as long as its maximum may have been ended there first: that is no fault.
            let now = self.source.now();
            let actions = self.gate.decider().tick(now);
            self.act(&actions, now);
        }
        if let Some(why) = self.outputs.relay_trouble()
            && !self.gate.decider().has(Fault::Relay)
        {
            tracing::error!("{why}");
            self.relay_tried = Instant::now();
            let now = self.source.now();
            let actions = self.gate.decider().fault(Fault::Relay, now);
            self.act(&actions, now);
        }
        if !self.gate.decider().has(Fault::Relay) || self.relay_tried.elapsed() < RELAY_RETRY {
            return;
        }
        self.relay_tried = Instant::now();
        let is_driven = match self.outputs.relay(false) {
            Ok(()) => true,
            // A driver that hangs holds the line, so opening it anew could hang as well. It locks when it is back.
            Err(OutputError::Wedged { .. }) => false,
            // A line that was opened anew counts once it was driven: its thread may not have started.
            Err(_) => self.outputs.open_relay().is_ok() && self.outputs.relay(false).is_ok(),
        };
        if is_driven {
            let now = self.source.now();
            let actions = self.gate.decider().clear(Fault::Relay, now);
            self.act(&actions, now);
        }
    }

    /// A lamp that cannot be driven asks nobody: locked until it obeys again.
    fn watch_light(&mut self) {
        let (trouble, had) = (self.outputs.light_trouble(), self.gate.decider().has(Fault::Light));
        let now = self.source.now();
        let actions = match (trouble, had) {
            (Some(why), false) => {
                tracing::error!("the light of [light] cannot be driven: {why}");
                self.gate.decider().fault(Fault::Light, now)
            }
            (None, true) => self.gate.decider().clear(Fault::Light, now),
            _ => return,
        };
        self.act(&actions, now);
    }

    /// A wall clock that is behind lets nobody in whose admission ends: that is told as a fault, and locks nobody else out.
    fn watch_clock(&mut self) {
        let now = self.source.now();
        for news in self.clock.turn(self.gate.decider(), now) {
            news.log();
            let (state, detail) = news.record();
            self.events.write(&Record::Clock { state, detail: &detail }, now);
            self.metrics.clock_stepped(matches!(news, ClockNews::Stepped(_)));
            if matches!(news, ClockNews::Behind(_) | ClockNews::Right) {
                let present = self.clock.is_behind();
                self.events.write(&Record::Fault { fault: clock::FAULT, present }, now);
            }
        }
        self.metrics.clock(self.clock.is_behind(), self.clock.is_synchronised());
    }

    /// Where the policy says so, a risk that cannot be kept keeps the gate locked.
    fn weigh_risk(&mut self) {
        let (now, unmet) = (self.source.now(), !self.gate.members().tau().target_met());
        let had = self.gate.decider().has(Fault::Risk);
        if unmet && self.refuse_unmet {
            if !had {
                tracing::error!("[policy] fpir_unmet = \"refuse\": the gate stays locked until the risk can be kept");
            }
            let actions = self.gate.decider().fault(Fault::Risk, now);
            self.act(&actions, now);
        } else if had {
            let actions = self.gate.decider().clear(Fault::Risk, now);
            self.act(&actions, now);
        }
    }

    fn tell_gallery(&mut self) {
        let now = self.source.now();
        if let Some(newest_ms) = self.gate.members().newest_ms() {
            self.gate.decider().raise_clock_floor(newest_ms, now);
        }
        let members = self.gate.members();
        let people = members.people_count();
        self.metrics.people(people);
        if members.tau().target_met() {
            tracing::info!(people, "{}", members.tau().explain());
        } else {
            tracing::warn!(people, "{}", members.tau().explain());
        }
        self.events.write(&Record::Gallery { people }, now);
    }

    fn tell_status(&mut self) {
        self.status.helpers(self.helpers.look());
        let people = self.gate.members().people_count();
        let decider = self.gate.decider();
        let (state, provider, status, clock) = (decider.state(), self.provider, &self.status, self.clock.status());
        self.service.status(|fps| {
            let alarms: Vec<_> = Alarm::ALL.iter().filter(|a| decider.has_alarm(**a)).map(|a| a.name()).collect();
            let alarms = if alarms.is_empty() { String::new() } else { format!("ALARM: {}; ", alarms.join(", ")) };
            let state = match state {
                State::Boot => "waiting for the first frame".to_owned(),
                State::Locked => "locked".to_owned(),
                State::Unlocked { .. } => "unlocked".to_owned(),
                State::Faulted => {
                    let faults: Vec<_> = Fault::ALL.iter().filter(|f| decider.has(**f)).map(|f| f.name()).collect();
                    format!("locked by a fault: {}", faults.join(", "))
                }
            };
            format!(
                "{alarms}{state}; {people} enrolled; {fps:.1} frames a second; {provider}; {}{clock}",
                status.tail()
            )
        });
    }

    /// Locks and says so.
    ///
    /// # Errors
    /// When the relay could not be driven (somebody must look at the door), or events are missing from the log.
    fn finish(mut self) -> Result<()> {
        self.service.stopping();
        let now = self.source.now();
        let actions = self.gate.decider().stop(now);
        self.act(&actions, now);
        // The gate is locked by now: whatever the disk does, it waits for nothing.
        self.clock.finish(self.gate.decider(), now);
        let complete = self.events.finish();
        if self.gate.decider().has(Fault::Relay) {
            bail!("stopped, but the relay could not be driven to locked: look at the door");
        }
        if !complete {
            bail!("stopped, locked, but the last events could not be written: the log is not complete");
        }
        tracing::info!("stopped, locked");
        Ok(())
    }
}

/// Serves the metrics where that is configured. A gate that cannot be watched opens all the same, and says so.
fn serve_metrics(site: &Site, metrics: &Arc<Metrics>) -> Option<Scrape> {
    let listen = site.config.metrics.address()?;
    match Scrape::start(&listen, Arc::clone(metrics)) {
        Ok(scrape) => {
            tracing::info!(listen = site.config.metrics.listen, "metrics are served");
            Some(scrape)
        }
        Err(e) => {
            tracing::error!("the metrics are not served: {e:#}");
            None
        }
    }
}
