//! The machine's clock, by which admissions end: what it shows, what it is checked against, and taking it at its word.

use crate::args::Clock;
use crate::desk::{Desk, columns};
use crate::refusal::{Exit, refuse};
use crate::when::{self, rfc3339};
use anyhow::Result;
use gate_core::clock::WallClock;
use gate_site::KnownTimes;
use serde::Serialize;

/// `clock --json`, and the clock in `check --json`.
#[derive(Clone, Debug, Serialize)]
pub struct ClockJson {
    now: String,
    /// The newest moment that has passed for sure.
    known: Option<String>,
    known_by: Option<&'static str>,
    /// The clock shows an earlier time than that: nobody whose admission ends is let in.
    pub behind: bool,
    behind_s: i64,
    /// A time source disciplines the clock; null = the kernel may not be asked.
    synchronised: Option<bool>,
}

impl ClockJson {
    /// Reads the clock and checks it.
    #[must_use]
    pub fn read(known: &KnownTimes) -> Self {
        let clock = known.check(when::now_ms());
        let newest = known.newest();
        Self {
            now: rfc3339(clock.wall_ms),
            known: newest.map(|(ms, _)| rfc3339(ms)),
            known_by: newest.map(|(_, how)| how),
            behind: clock.is_behind(),
            behind_s: clock.behind_ms() / 1_000,
            synchronised: gate_hal::is_synchronised(),
        }
    }

    /// In a line.
    #[must_use]
    pub fn text(&self) -> String {
        let known = match (&self.known, self.known_by) {
            (Some(known), Some(by)) if self.behind => format!(
                ", {} s BEHIND {known}, when {by}: nobody whose admission ends is let in; set it (`timedatectl`), or \
                 `enroll-tool clock --accept` if it is right",
                self.behind_s
            ),
            _ => String::new(),
        };
        let source = match self.synchronised {
            Some(true) => ", synchronised",
            Some(false) => ", NOT synchronised: no time source disciplines it",
            None => "",
        };
        format!("{}{known}{source}", self.now)
    }
}

/// Shows the clock, or accepts it.
///
/// # Errors
/// When the store or the anchor fails, or the clock cannot be right.
pub fn clock(desk: &Desk, args: &Clock) -> Result<Exit> {
    if args.accept {
        return accept(desk, args.yes);
    }
    let known = desk.site.known_times(desk.store_to_read().ok().as_ref());
    let found = ClockJson::read(&known);
    let of = |ms: Option<i64>| ms.map_or_else(|| "not known".to_owned(), rfc3339);
    let rows = [
        ("clock", found.text()),
        ("program made", of(known.made_ms)),
        ("store changed", of(known.store_ms)),
        ("gate noted", of(known.noted_ms)),
    ];
    let rows: Vec<_> = rows.into_iter().map(|(what, text)| vec![what.to_owned(), text]).collect();
    desk.answer(&columns(&rows), &found)?;
    Ok(if found.behind { Exit::NoMatch } else { Exit::Done })
}

/// `clock --accept --json`.
#[derive(Serialize)]
struct Accepted {
    accepted: String,
    records: usize,
}

/// Takes the clock at its word: what was noted under a clock that was ahead no longer counts.
fn accept(desk: &Desk, is_confirmed: bool) -> Result<Exit> {
    let now_ms = when::now_ms();
    let program = KnownTimes::of_program();
    let clock = program.check(now_ms);
    if clock.is_behind() {
        return Err(refuse(format!(
            "the clock shows {}, and this program was made at {}: it cannot be right, set it (`timedatectl`)",
            rfc3339(now_ms),
            rfc3339(clock.floor_ms)
        )));
    }
    if !is_confirmed {
        let now = desk.zone().local(now_ms);
        crate::people::confirm(
            &format!("It is {now} by this machine's clock. Is that right, by another clock? [y/N] "),
            "the clock was not accepted",
        )?;
    }

    // The store first: the gate loads it anew, and then hears that the clock is right.
    let mut store = desk.store()?;
    let records = store.accept_time(now_ms)?;
    desk.site.anchor()?.accept_time(now_ms)?;
    let text = format!("{} counts from now on; the running gate notices within seconds", rfc3339(now_ms));
    desk.answer(&text, &Accepted { accepted: rfc3339(now_ms), records })?;
    Ok(Exit::Done)
}

/// The wall clock now, checked against what this site knows.
#[must_use]
pub fn now(desk: &Desk, store: &gate_store::Store) -> WallClock {
    desk.site.known_times(Some(store)).check(when::now_ms())
}
