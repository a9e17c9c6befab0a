//! Watches the store: whoever is enrolled, suspended or erased while the gate runs counts within a second.

use anyhow::{Context, Result};
use gate_site::{Members, Site};
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
}

/// A thread that loads the gallery whenever the store changes.
pub struct PeopleWatch {
    news: Receiver<News>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PeopleWatch {
    /// Loads everybody once and goes on watching.
    ///
    /// # Errors
    /// When the store cannot be opened or read at the start.
    pub fn start(site: Site, encoder: Card, comparer: Arc<Comparer>) -> Result<(Arc<Members>, Self)> {
        let store = site.open_store_read_only()?;
        // The mark is read before the people: a change in between is loaded twice rather than missed.
        let mark = store.change_mark()?;
        let members = Arc::new(site.members(&store, &encoder, &comparer)?);
        let (news_out, news) = channel();
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new()
            .name("people".into())
            .spawn(move || {
                let people = People { site, encoder, comparer };
                watch(&people, store, mark, &news_out, &stopped);
            })
            .context("starting a thread")?;
        Ok((members, Self { news, stop: Some(stop), thread: Some(thread) }))
    }

    /// What is new, without waiting.
    pub fn news(&self) -> Option<News> {
        // Of several changes only the last one counts.
        self.news.try_iter().last()
    }
}

impl Drop for PeopleWatch {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whose people are loaded, and for which comparison.
struct People {
    site: Site,
    encoder: Card,
    comparer: Arc<Comparer>,
}

fn watch(people: &People, store: Store, mark: u64, news: &Sender<News>, stop: &Receiver<()>) {
    let mut open = Some((store, mark));
    while matches!(stop.recv_timeout(POLL), Err(RecvTimeoutError::Timeout)) {
        let failed = open.is_none();
        match look(people, &mut open) {
            Ok(None) => {}
            Ok(Some(members)) => {
                if news.send(News::Loaded(Arc::new(members))).is_err() {
                    return;
                }
            }
            Err(e) => {
                // Opened anew at the next look; told once.
                open = None;
                if !failed && news.send(News::Failed(format!("{e:#}"))).is_err() {
                    return;
                }
            }
        }
    }
}

/// The people, if they have changed since the last look.
fn look(people: &People, open: &mut Option<(Store, u64)>) -> Result<Option<Members>> {
    if let Some((store, mark)) = open
        && store.change_mark()? == *mark
    {
        return Ok(None);
    }
    // Opened anew: the files may be others than before, a backup for instance.
    *open = None;
    let store = people.site.open_store_read_only()?;
    let mark = store.change_mark()?;
    let members = people.site.members(&store, &people.encoder, &people.comparer)?;
    *open = Some((store, mark));
    Ok(Some(members))
}
