//! Watches the store: whoever is enrolled, suspended or erased while the gate runs counts within a second. Rereads the
//! configuration when it is asked to, off the gate's loop, since a new risk means another threshold for the same people.
//!
//! ```text
//!  people thread: every 200 ms a look at the store ──▶ confirmed at (a time), new gallery, "cannot be read"
//!  loop: PeopleWatch::news, PeopleWatch::trouble ◀──┘
//!                     │ the thread has ended, or is stuck: another one, after a back-off that grows
//! ```
//!
//! Silence is no news only while looks are confirmed. A thread that has ended, a read that failed and a gallery that
//! nobody has confirmed for `[store] gallery_age_max_ms` are troubles, each of which locks the gate. Only a gallery that
//! was loaded afterwards ends them.

use crate::{logging, reload};
use anyhow::{Context, Result};
use gate_hal::{Condition, Heart, Heartbeat, heartbeat};
use gate_site::{Members, Site, SiteError};
use gate_store::Store;
use gate_vision::Comparer;
use gate_vision::card::Card;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::{Duration, Instant};

/// How often the store is asked whether anything has changed. Asking takes microseconds.
const POLL: Duration = Duration::from_millis(200);
/// What reading a store of 100,000 people takes, many times over. A read that goes on for longer is given up.
const READ_MAX: Duration = Duration::from_secs(20);
/// How long the end waits for the thread. Well under the unit's TimeoutStopSec, together with the event log's.
const STOP_MAX: Duration = Duration::from_millis(500);

/// The times by which threads are given up and started.
#[derive(Clone, Copy, Debug)]
struct Limits {
    /// A gallery that was last confirmed longer ago locks the gate.
    age: Duration,
    /// A thread that is at one step of a look for so long is given up. Longer than the store lets any read take.
    stuck: Duration,
    /// The first wait before another thread is started; it doubles up to `backoff_max`.
    backoff: Duration,
    backoff_max: Duration,
    /// How many threads may be stuck at a time before no other one is started.
    abandoned: usize,
}

impl Limits {
    fn of(site: &Site) -> Self {
        Self {
            age: Duration::from_millis(site.config.store.gallery_age_max_ms.into()),
            stuck: READ_MAX + Duration::from_secs(5),
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(5),
            abandoned: 3,
        }
    }
}

/// What the watcher has to tell.
pub enum News {
    /// People have changed.
    Loaded(Arc<Members>),
    /// People cannot be read any more: what is known may be out of date.
    Failed(String),
    /// Another configuration, and the same people under it.
    Reconfigured(Box<Reconfigured>),
    /// The new configuration cannot be used, and why: the old one stays.
    Kept(String),
}

/// A configuration that was taken up.
pub struct Reconfigured {
    /// The site under it; what waits for a restart is as it was.
    pub site: Site,
    /// Everybody, with the threshold that the new risk calls for.
    pub members: Arc<Members>,
    /// What has changed and waits for a restart.
    pub waits: Vec<&'static str>,
}

/// Reads the configuration anew, with what the command line says.
pub type Load = Arc<dyn Fn() -> Result<Site, SiteError> + Send + Sync>;

/// A wish to the thread.
enum Wish {
    /// Reread the configuration.
    Reread,
    /// Load the gallery, whether or not the store seems to have changed.
    Reload,
}

/// A thread that loads the gallery whenever the store changes, and what is known of it.
pub struct PeopleWatch {
    /// What the next thread begins with.
    people: People,
    limits: Limits,
    worker: Option<Worker>,
    /// Threads that were given up; each ends by itself when what it is stuck in comes back.
    abandoned: Vec<Heartbeat>,
    /// When another thread may be started, and how long the next one waits.
    start_at: Instant,
    backoff: Duration,
    /// When the gallery in force was last confirmed.
    confirmed: Instant,
    /// Why the gallery may be out of date, until another one is loaded.
    stale: Option<String>,
    /// The configuration is being reread.
    rereading: bool,
}

/// The thread at work.
struct Worker {
    news: Receiver<News>,
    /// Dropped = the end.
    wishes: Sender<Wish>,
    alive: Heartbeat,
    confirmed: Arc<Confirmed>,
    began: Instant,
    /// The gallery was asked for anew since the last one came.
    asked: bool,
}

/// The time of the last look that found the gallery as it was told.
struct Confirmed {
    began: Instant,
    /// Milliseconds from `began`.
    at_ms: AtomicU64,
}

impl Confirmed {
    fn new(at: Instant) -> Self {
        Self { began: at, at_ms: AtomicU64::new(0) }
    }

    fn set(&self, at: Instant) {
        let ms = at.saturating_duration_since(self.began).as_millis();
        self.at_ms.fetch_max(u64::try_from(ms).unwrap_or(u64::MAX), Relaxed);
    }

    fn get(&self) -> Instant {
        self.began + Duration::from_millis(self.at_ms.load(Relaxed))
    }
}

impl PeopleWatch {
    /// Loads everybody once and goes on watching.
    ///
    /// # Errors
    /// When the store cannot be opened or read at the start, or the system has no thread to give.
    pub fn start(site: Site, encoder: Card, comparer: &Arc<Comparer>, load: Load) -> Result<(Arc<Members>, Self)> {
        let limits = Limits::of(&site);
        Self::start_within(limits, site, encoder, comparer, load)
    }

    fn start_within(
        limits: Limits,
        site: Site,
        encoder: Card,
        comparer: &Arc<Comparer>,
        load: Load,
    ) -> Result<(Arc<Members>, Self)> {
        let store = open_store(&site)?;
        // The mark is read before the people: a change in between is loaded twice rather than missed.
        let (mark, confirmed) = (store.change_mark()?, Instant::now());
        let members = Arc::new(site.members(&store, &encoder, comparer)?);
        let people = People { site, encoder, members: Arc::clone(&members), load };
        let mut watch = Self {
            people,
            limits,
            worker: None,
            abandoned: Vec::new(),
            start_at: confirmed,
            backoff: limits.backoff,
            confirmed,
            stale: None,
            rereading: false,
        };
        watch.spawn(Some((store, mark))).context("starting a thread")?;
        Ok((members, watch))
    }

    /// What is new, without waiting. Sees to the thread as well: call it often.
    pub fn news(&mut self) -> Option<News> {
        let received = self.worker.as_ref().map(|worker| worker.news.try_recv());
        let news = match received {
            Some(Ok(news)) => news,
            Some(Err(TryRecvError::Disconnected)) => return self.give_up("has ended, a fault of this program"),
            Some(Err(TryRecvError::Empty)) => return self.look_after(),
            None => {
                self.start_again();
                return None;
            }
        };

        match &news {
            News::Loaded(members) => self.take_in(Arc::clone(members)),
            News::Reconfigured(new) => {
                self.people.site = new.site.clone();
                self.take_in(Arc::clone(&new.members));
            }
            News::Failed(why) => self.stale = Some(format!("people cannot be read: {why}")),
            News::Kept(_) => {}
        }
        if matches!(news, News::Reconfigured(_) | News::Kept(_)) {
            self.rereading = false;
        }
        Some(news)
    }

    /// How long ago the gallery in force was last found to be what the store says.
    pub fn age(&self) -> Duration {
        let worker = self.worker.as_ref().map(|worker| worker.confirmed.get());
        worker.map_or(self.confirmed, |at| at.max(self.confirmed)).elapsed()
    }

    /// Why the gallery in force may be out of date, if so: the gate must stay locked.
    pub fn trouble(&self) -> Option<String> {
        self.stale.clone().or_else(|| self.too_old())
    }

    /// Rereads the configuration; what comes of it is news.
    pub fn reread(&mut self) {
        // A thread that is gone is noticed with the next look for news, and so is this wish.
        self.rereading = true;
        if let Some(worker) = &self.worker {
            let _ = worker.wishes.send(Wish::Reread);
        }
    }

    fn too_old(&self) -> Option<String> {
        let (age, limit) = (self.age(), self.limits.age);
        (age > limit).then(|| {
            format!(
                "people were last found unchanged {} ms ago, [store] gallery_age_max_ms = {}: somebody may have been \
                 suspended since. Look at the store's disk",
                age.as_millis(),
                limit.as_millis()
            )
        })
    }

    /// A gallery has come: it ends what was wrong before.
    fn take_in(&mut self, members: Arc<Members>) {
        self.people.members = members;
        self.stale = None;
        if let Some(worker) = &mut self.worker {
            worker.asked = false;
        }
    }

    /// Nothing has come from the thread: is that as it should be?
    fn look_after(&mut self) -> Option<News> {
        if let Some(why) = self.too_old()
            && let Some(worker) = &mut self.worker
            && !mem::replace(&mut worker.asked, true)
        {
            // What was too old once is trusted again only after it was loaded anew.
            let _ = worker.wishes.send(Wish::Reload);
            self.stale.get_or_insert(why);
        }
        match self.worker.as_ref().map(|worker| worker.alive.condition()) {
            Some(stuck @ Condition::Late(_)) => self.give_up(&stuck.to_string()),
            _ => None,
        }
    }

    /// Leaves the thread behind; another one follows after a while. Tells of a configuration that will not come.
    fn give_up(&mut self, why: &str) -> Option<News> {
        let worker = self.worker.take()?;
        self.confirmed = self.confirmed.max(worker.confirmed.get());
        self.abandoned.push(worker.alive);
        self.abandoned.retain(|thread| thread.condition() != Condition::Ended);
        let next = if self.abandoned.len() < self.limits.abandoned {
            "another one is started"
        } else {
            "as many as may be are stuck, so no other one is started until one comes back: look at the store's disk and \
             restart the gate"
        };
        self.stale = Some(format!("the thread that reads people {why}; {next}"));
        if worker.began.elapsed() > self.limits.backoff_max * 2 {
            self.backoff = self.limits.backoff;
        }
        self.start_at = Instant::now() + self.backoff;
        self.backoff = (self.backoff * 2).min(self.limits.backoff_max);
        mem::take(&mut self.rereading).then(|| News::Kept(format!("the thread that reads it {why}")))
    }

    /// Starts another thread, when it is time and not too many are stuck. It loads the gallery first of all.
    fn start_again(&mut self) {
        self.abandoned.retain(|thread| thread.condition() != Condition::Ended);
        if Instant::now() < self.start_at || self.abandoned.len() >= self.limits.abandoned {
            return;
        }
        if let Err(e) = self.spawn(None) {
            self.start_at = Instant::now() + self.backoff;
            self.backoff = (self.backoff * 2).min(self.limits.backoff_max);
            tracing::error!("the thread that reads people cannot start ({e}); it is tried again");
        } else if self.rereading {
            self.reread();
        }
    }

    fn spawn(&mut self, open: Option<(Store, u64)>) -> std::io::Result<()> {
        let (told, news) = channel();
        let (wishes, wanted) = channel();
        let (heart, alive) = heartbeat("people", self.limits.stuck);
        let confirmed = Arc::new(Confirmed::new(self.confirmed));
        let ends = Ends { told, wanted, heart, confirmed: Arc::clone(&confirmed) };
        let people = self.people.clone();
        std::thread::Builder::new().name("people".into()).spawn(move || watch(people, open, &ends))?;
        self.worker = Some(Worker { news, wishes, alive, confirmed, began: Instant::now(), asked: false });
        Ok(())
    }
}

impl Drop for PeopleWatch {
    /// Ends the thread. One that is stuck is left behind: it must not keep the process alive.
    fn drop(&mut self) {
        let Some(Worker { wishes, news, .. }) = self.worker.take() else { return };
        drop(wishes);
        let until = Instant::now() + STOP_MAX;
        // The wait ends with the thread, whose end of the channel goes with it.
        while news.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {}
    }
}

/// Opens the store for the gate: no read of it goes on for ever.
fn open_store(site: &Site) -> Result<Store> {
    let mut store = site.open_store_read_only()?;
    store.limit_reads(READ_MAX)?;
    Ok(store)
}

/// Whose people are loaded, and for which comparison.
#[derive(Clone)]
struct People {
    site: Site,
    encoder: Card,
    /// As they were loaded last, for the comparison in force.
    members: Arc<Members>,
    load: Load,
}

/// The thread's ends of what joins it with [`PeopleWatch`].
struct Ends {
    told: Sender<News>,
    wanted: Receiver<Wish>,
    heart: Heart,
    confirmed: Arc<Confirmed>,
}

fn watch(mut people: People, mut open: Option<(Store, u64)>, ends: &Ends) {
    // Each failure is reported once.
    let mut failing = false;
    let mut pause = if open.is_some() { POLL } else { Duration::ZERO };
    loop {
        ends.heart.rest();
        let wish = ends.wanted.recv_timeout(pause);
        ends.heart.beat();
        pause = POLL;
        let looked = match wish {
            Ok(Wish::Reread) => people.reconfigure(&ends.heart),
            Ok(Wish::Reload) => {
                open = None;
                people.look(&mut open, &ends.heart)
            }
            Err(RecvTimeoutError::Timeout) => people.look(&mut open, &ends.heart),
            Err(RecvTimeoutError::Disconnected) => return,
        };

        let news = match looked {
            Ok(Look { news, confirmed }) => {
                failing = false;
                let is_told = news.is_none_or(|news| ends.told.send(news).is_ok());
                // After the news: the gallery that is confirmed is the one that was told.
                ends.confirmed.set(confirmed);
                if is_told {
                    continue;
                }
                return;
            }
            Err(e) if matches!(wish, Ok(Wish::Reread)) => News::Kept(format!("{e:#}")),
            Err(e) => {
                // Opened anew at the next look.
                open = None;
                if mem::replace(&mut failing, true) {
                    continue;
                }
                News::Failed(format!("{e:#}"))
            }
        };
        if ends.told.send(news).is_err() {
            return;
        }
    }
}

/// What a look at the store has found.
struct Look {
    news: Option<News>,
    /// Up to when the people are known to be those of the store.
    confirmed: Instant,
}

impl People {
    /// The people, if they have changed since the last look.
    fn look(&mut self, open: &mut Option<(Store, u64)>, heart: &Heart) -> Result<Look> {
        let begin = Instant::now();
        if let Some((store, mark)) = open
            && store.change_mark()? == *mark
        {
            return Ok(Look { news: None, confirmed: begin });
        }

        // Opened anew: the files may be others than before, a backup for instance.
        *open = None;
        let store = open_store(&self.site)?;
        let (begin, mark) = (Instant::now(), store.change_mark()?);
        heart.beat();
        let members = self.site.members_after(&self.members, &store, &self.encoder, self.members.comparer())?;
        self.members = Arc::new(members);
        heart.beat();

        // A store that has not changed while it was loaded is known up to now.
        let loaded = Instant::now();
        let confirmed = if store.change_mark()? == mark { loaded } else { begin };
        *open = Some((store, mark));
        Ok(Look { news: Some(News::Loaded(Arc::clone(&self.members))), confirmed })
    }

    /// Takes up what the configuration says by now; on any error nothing has changed.
    fn reconfigure(&mut self, heart: &Heart) -> Result<Look> {
        let new = (self.load)()?;
        logging::filter(&new.config.log.level)?;
        let (config, waits) = reload::take_up(&self.site.config, new.config)?;
        let site = Site { config, file: new.file };
        let comparer = site.comparer(&self.encoder)?;
        let store = open_store(&site)?;
        let confirmed = Instant::now();
        heart.beat();
        let members = Arc::new(site.members_after(&self.members, &store, &self.encoder, &comparer)?);
        (self.site, self.members) = (site.clone(), Arc::clone(&members));
        let news = News::Reconfigured(Box::new(Reconfigured { site, members, waits }));
        Ok(Look { news: Some(news), confirmed })
    }
}

#[cfg(test)]
#[path = "people_tests.rs"]
mod tests;
