//! Watches the store: whoever is enrolled, suspended or erased while the gate runs counts within a second. Rereads the
//! configuration when it is asked to, off the gate's loop, since a new risk means another threshold for the same people.

use crate::{logging, reload};
use anyhow::{Context, Result};
use gate_site::{Members, Site, SiteError};
use gate_store::Store;
use gate_vision::Comparer;
use gate_vision::card::Card;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the store is asked whether anything has changed. Asking takes microseconds.
const POLL: Duration = Duration::from_millis(200);

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
pub type Load = Box<dyn Fn() -> Result<Site, SiteError> + Send>;

/// A thread that loads the gallery whenever the store changes.
pub struct PeopleWatch {
    news: Receiver<News>,
    /// A wish to reread the configuration; gone = the end.
    reread: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PeopleWatch {
    /// Loads everybody once and goes on watching.
    ///
    /// # Errors
    /// When the store cannot be opened or read at the start.
    pub fn start(site: Site, encoder: Card, comparer: Arc<Comparer>, load: Load) -> Result<(Arc<Members>, Self)> {
        let store = site.open_store_read_only()?;
        // The mark is read before the people: a change in between is loaded twice rather than missed.
        let mark = store.change_mark()?;
        let members = Arc::new(site.members(&store, &encoder, &comparer)?);
        let known = Arc::clone(&members);
        let (news_out, news) = channel();
        let (reread, wishes) = channel();
        let thread = std::thread::Builder::new()
            .name("people".into())
            .spawn(move || {
                let people = People { site, encoder, members: known, load };
                watch(people, store, mark, &news_out, &wishes);
            })
            .context("starting a thread")?;
        Ok((members, Self { news, reread: Some(reread), thread: Some(thread) }))
    }

    /// What is new, without waiting.
    pub fn news(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Rereads the configuration; what comes of it is news.
    pub fn reread(&self) {
        // A thread that is gone has told of it before.
        let _ = self.reread.as_ref().map(|reread| reread.send(()));
    }
}

impl Drop for PeopleWatch {
    fn drop(&mut self) {
        self.reread.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whose people are loaded, and for which comparison.
struct People {
    site: Site,
    encoder: Card,
    /// As they were loaded last, for the comparison in force.
    members: Arc<Members>,
    load: Load,
}

fn watch(mut people: People, store: Store, mark: u64, news: &Sender<News>, wishes: &Receiver<()>) {
    let mut open = Some((store, mark));
    loop {
        let told = match wishes.recv_timeout(POLL) {
            Ok(()) => Some(people.reconfigure().unwrap_or_else(|e| News::Kept(format!("{e:#}")))),
            Err(RecvTimeoutError::Timeout) => people.changed(&mut open),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if told.is_some_and(|told| news.send(told).is_err()) {
            return;
        }
    }
}

impl People {
    /// What the store has to tell, if it has changed.
    fn changed(&mut self, open: &mut Option<(Store, u64)>) -> Option<News> {
        let failed = open.is_none();
        match self.look(open) {
            Ok(members) => members.map(News::Loaded),
            Err(e) => {
                // Opened anew at the next look; told once.
                *open = None;
                (!failed).then(|| News::Failed(format!("{e:#}")))
            }
        }
    }

    /// The people, if they have changed since the last look.
    fn look(&mut self, open: &mut Option<(Store, u64)>) -> Result<Option<Arc<Members>>> {
        if let Some((store, mark)) = open
            && store.change_mark()? == *mark
        {
            return Ok(None);
        }
        // Opened anew: the files may be others than before, a backup for instance.
        *open = None;
        let store = self.site.open_store_read_only()?;
        let mark = store.change_mark()?;
        let members = self.site.members_after(&self.members, &store, &self.encoder, self.members.comparer())?;
        self.members = Arc::new(members);
        *open = Some((store, mark));
        Ok(Some(Arc::clone(&self.members)))
    }

    /// Takes up what the configuration says by now; on any error nothing has changed.
    fn reconfigure(&mut self) -> Result<News> {
        let new = (self.load)()?;
        logging::filter(&new.config.log.level)?;
        let (config, waits) = reload::take_up(&self.site.config, new.config)?;
        let site = Site { config, file: new.file };
        let comparer = site.comparer(&self.encoder)?;
        let store = site.open_store_read_only()?;
        let members = Arc::new(site.members_after(&self.members, &store, &self.encoder, &comparer)?);
        (self.site, self.members) = (site.clone(), Arc::clone(&members));
        Ok(News::Reconfigured(Box::new(Reconfigured { site, members, waits })))
    }
}
