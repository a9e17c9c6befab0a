//! Watches the wall clock, which decides whose admission is over, and keeps the newest time that is known for sure.
//!
//! ```text
//!  build, store, anchor ──▶ Decider: floor ◀── a live wall clock that is synchronised or has settled
//!                              │                              │
//!                              ├──▶ behind? ──▶ events `clock` and `fault`, status, metrics
//!                              └──▶ Keeper, a thread of its own ──▶ anchor, on the disk
//! ```
//!
//! A clock that is behind locks nobody out whose admission has no end, so it is no [`Fault`](gate_core::gate::Fault) of the
//! gate: those keep it locked for everybody. A replay has a clock of its own, which its frames move. It is checked against
//! the floor like any other, and never raises it.

use crate::events::rfc3339;
use anyhow::{Context, Result};
use gate_core::clock::{ClockWatch, WallClock};
use gate_core::decision::{Decider, Now};
use gate_hal::KernelClock;
use gate_site::{KnownTimes, Site};
use gate_store::{Anchor, NotedTime};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// The name of the condition among the faults in events, metrics and the status line.
pub const FAULT: &str = "clock";
/// How often the floor is written down: flash memory wears, and a power cut costs no more than this.
const KEEP_EVERY_MS: u64 = 300_000;
/// The same when somebody was let in or refused meanwhile.
const KEEP_EVENT_EVERY_MS: u64 = 60_000;
/// How often the anchor is looked at: staff may have accepted the clock.
const POLL: Duration = Duration::from_secs(2);
/// How long the end waits for the disk. Well under the unit's TimeoutStopSec.
const FINISH_MAX: Duration = Duration::from_secs(1);

/// What has happened to the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClockNews {
    /// It was set by so many milliseconds.
    Stepped(i64),
    /// It shows a time that has passed for sure.
    Behind(WallClock),
    /// It is no longer behind.
    Right,
    /// Staff have declared it right.
    Accepted,
}

impl ClockNews {
    /// The event's `state` and `detail`.
    pub fn record(&self) -> (&'static str, String) {
        match self {
            ClockNews::Stepped(by_ms) => ("stepped", format!("by {:+.1} s", *by_ms as f64 / 1e3)),
            ClockNews::Behind(clock) => {
                ("behind", format!("{} s behind {}", clock.behind_ms() / 1_000, rfc3339(clock.floor_ms)))
            }
            ClockNews::Right => ("right", String::new()),
            ClockNews::Accepted => ("accepted", "by staff".to_owned()),
        }
    }

    /// Says it in the log, with what to do.
    pub fn log(&self) {
        let (_, detail) = self.record();
        match self {
            ClockNews::Stepped(_) => tracing::warn!("the wall clock was set {detail}"),
            ClockNews::Behind(_) => tracing::error!(
                "the wall clock is {detail}, a time that has passed for sure: nobody whose admission ends is let in. Set the \
                 clock (`timedatectl`). If it is right and was wrong before: `enroll-tool clock --accept`"
            ),
            ClockNews::Right => tracing::info!("the wall clock is no longer behind"),
            ClockNews::Accepted => tracing::warn!("staff have accepted the wall clock as it is"),
        }
    }
}

/// The watch over the wall clock.
pub struct ClockGuard {
    /// `None` in a replay.
    watch: Option<ClockWatch>,
    keeper: Option<Keeper>,
    is_behind: bool,
    is_synchronised: Option<bool>,
    /// When the floor was last handed to the keeper, monotonic milliseconds.
    kept_ms: Option<u64>,
    had_event: bool,
}

impl ClockGuard {
    /// Tells `decider` what program and anchor know, and watches a live clock from now on. What the store knows comes with
    /// the people.
    pub fn start(site: &Site, decider: &mut Decider, now: Now, is_live: bool) -> Self {
        let known = KnownTimes::of_program();
        let noted = match site.anchor().and_then(|anchor| Ok((anchor.noted_time()?, anchor))) {
            Ok((noted, anchor)) => Some((noted, anchor)),
            Err(e) => {
                tracing::warn!("the newest time known for sure cannot be read: the clock is checked against less: {e}");
                None
            }
        };
        let noted_ms = noted.as_ref().map(|(noted, _)| noted.newest_ms).filter(|ms| *ms > 0);
        if let Some((floor_ms, _)) = (KnownTimes { noted_ms, ..known }).newest() {
            decider.raise_clock_floor(floor_ms, now);
        }

        let keep = |(noted, anchor): (NotedTime, Anchor)| match Keeper::start(anchor, noted) {
            Ok(keeper) => Some(keeper),
            Err(e) => {
                tracing::error!("the newest time known for sure cannot be kept: {e:#}");
                None
            }
        };
        let keeper = noted.filter(|_| is_live).and_then(keep);
        let is_synchronised = if is_live { gate_hal::is_synchronised() } else { None };
        if is_synchronised == Some(false) {
            tracing::warn!(
                "no time source disciplines the wall clock, by which admissions end: see `timedatectl timesync-status`"
            );
        }
        let watch = is_live.then(ClockWatch::default);
        Self { watch, keeper, is_behind: false, is_synchronised, kept_ms: None, had_event: false }
    }

    /// Reads the clocks; raises the decider's floor where they are sure enough; says what has happened.
    pub fn turn(&mut self, decider: &mut Decider, now: Now) -> Vec<ClockNews> {
        let mut news = Vec::new();
        if let Some(watch) = &mut self.watch
            && let Some(clock) = KernelClock::read()
        {
            let reading = watch.read(clock.wall_ms, clock.boot_ms, clock.is_synchronised == Some(true));
            self.is_synchronised = clock.is_synchronised;
            news.extend(reading.stepped_ms.map(ClockNews::Stepped));
            if let Some(known_ms) = reading.known_ms {
                decider.raise_clock_floor(known_ms, now);
            }
        }
        if let Some(accepted_ms) = self.keeper.as_ref().and_then(Keeper::accepted) {
            decider.accept_clock(accepted_ms, now);
            news.push(ClockNews::Accepted);
        }

        let clock = decider.wall_clock(now);
        if clock.is_behind() != self.is_behind {
            self.is_behind = clock.is_behind();
            news.push(if self.is_behind { ClockNews::Behind(clock) } else { ClockNews::Right });
        }
        self.keep(clock, now);
        news
    }

    /// Hands the floor to the keeper, when it is time.
    fn keep(&mut self, clock: WallClock, now: Now) {
        let Some(keeper) = &self.keeper else { return };
        let every_ms = if self.had_event { KEEP_EVENT_EVERY_MS } else { KEEP_EVERY_MS };
        let is_due = self.kept_ms.is_none_or(|kept_ms| now.mono_ms.saturating_sub(kept_ms) >= every_ms);
        if is_due && clock.floor_ms > 0 && keeper.keep(clock.floor_ms) {
            self.kept_ms = Some(now.mono_ms);
            self.had_event = false;
        }
    }

    /// Somebody was let in or refused: the floor is worth writing down sooner.
    pub fn event(&mut self) {
        self.had_event = true;
    }

    /// Whether the clock shows a time that has passed for sure.
    pub fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether a time source disciplines the clock; `None` in a replay, or when the kernel may not be asked.
    pub fn is_synchronised(&self) -> Option<bool> {
        self.is_synchronised
    }

    /// What the status line says of it; nothing when it is in order.
    pub fn status(&self) -> &'static str {
        match (self.is_behind, self.is_synchronised) {
            (true, _) => "; fault clock: it is BEHIND, nobody whose admission ends is let in",
            (false, Some(false)) => "; the clock is not synchronised",
            (false, _) => "",
        }
    }

    /// Writes the floor down a last time.
    pub fn finish(&mut self, decider: &Decider, now: Now) {
        let floor_ms = decider.wall_clock(now).floor_ms;
        if let Some(keeper) = self.keeper.take() {
            keeper.finish(floor_ms);
        }
    }
}

/// The thread that writes the floor into the anchor: no disk holds the gate up.
struct Keeper {
    floors: SyncSender<i64>,
    accepted: Receiver<i64>,
    over: Receiver<()>,
}

impl Keeper {
    fn start(anchor: Anchor, noted: NotedTime) -> Result<Self> {
        let (floors, wishes) = sync_channel(1);
        let (accept, accepted) = channel();
        let (end, over) = channel();
        let keep = move || {
            keep_floor(&anchor, noted, &wishes, &accept);
            drop(end);
        };
        std::thread::Builder::new().name("clock".into()).spawn(keep).context("starting a thread")?;
        Ok(Self { floors, accepted, over })
    }

    /// Hands the floor over, unless the one before is still on its way; says whether it did.
    fn keep(&self, floor_ms: i64) -> bool {
        self.floors.try_send(floor_ms).is_ok()
    }

    /// The time that staff have accepted, once.
    fn accepted(&self) -> Option<i64> {
        self.accepted.try_iter().last()
    }

    fn finish(self, floor_ms: i64) {
        if floor_ms > 0 {
            self.keep(floor_ms);
        }
        drop(self.floors);
        // A disk that hangs is left behind: the anchor then has the floor of minutes ago.
        let _ = self.over.recv_timeout(FINISH_MAX);
    }
}

fn keep_floor(anchor: &Anchor, mut noted: NotedTime, wishes: &Receiver<i64>, accept: &Sender<i64>) {
    let mut is_failing = false;
    loop {
        let found = match wishes.recv_timeout(POLL) {
            Ok(floor_ms) => anchor.note_time(noted.era, floor_ms),
            Err(RecvTimeoutError::Timeout) => anchor.noted_time(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        match found {
            Ok(found) => {
                if found.era > noted.era && accept.send(found.newest_ms).is_err() {
                    return;
                }
                // An older copy of the file has an older era: it declares nothing.
                noted.era = noted.era.max(found.era);
                if std::mem::take(&mut is_failing) {
                    tracing::info!("the newest time known for sure is kept again");
                }
            }
            Err(e) if !is_failing => {
                is_failing = true;
                tracing::error!("the newest time known for sure cannot be kept: {e}");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_news_of_the_clock_has_its_state_and_detail() {
        let late = WallClock { wall_ms: 0, floor_ms: 1_767_225_600_000 };
        for (news, state, detail) in [
            (ClockNews::Stepped(-86_400_000), "stepped", "by -86400.0 s"),
            (ClockNews::Stepped(2_050), "stepped", "by +2.0 s"),
            (ClockNews::Behind(late), "behind", "1767225600 s behind 2026-01-01T00:00:00.000Z"),
            (ClockNews::Right, "right", ""),
            (ClockNews::Accepted, "accepted", "by staff"),
        ] {
            assert_eq!(news.record(), (state, detail.to_owned()));
        }
    }
}
