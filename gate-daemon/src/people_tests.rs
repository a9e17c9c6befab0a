//! Tests of the people's thread over a real store: it is killed, and wedged in a pipe that nobody writes to.
#![allow(clippy::unwrap_used)]

use super::*;
use gate_config::Config;
use gate_store::{Admission, KeySource, NewPerson, NewReference, SiteKey};
use gate_vision::card::Job;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// A store with one person, watched.
struct Rig {
    dir: TempDir,
    watch: PeopleWatch,
    /// The next reading of the configuration panics.
    deadly: Arc<AtomicBool>,
}

fn quick() -> Limits {
    Limits {
        age: Duration::from_secs(1),
        stuck: Duration::from_secs(2),
        backoff: Duration::from_millis(10),
        backoff_max: Duration::from_millis(50),
        abandoned: 3,
    }
}

impl Rig {
    fn start(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("models");
        let mut config = Config::parse("", "gate.toml").unwrap();
        (config.store.dir, config.vision.models) = (dir.path().join("store"), models);
        let site = Site { config, file: None };
        let encoder = Card::load(&site.config.vision.models, &site.config.vision.encoder, Job::Encode).unwrap();

        let key = SiteKey::generate().unwrap();
        let mut store = Store::init(site.store_dir(), &key).unwrap();
        let KeySource::File(key_file) = site.key_source() else { panic!("a key file") };
        key.create_file(&key_file).unwrap();
        let mut vector = vec![0.0; 128];
        vector[0] = 1.0;
        let reference = NewReference { encoder_sha256: &encoder.encoder_sha256(), vector: &vector, picture: None };
        store.add_person(&NewPerson { id: "ana", name: "Ana", admission: Admission::ALWAYS }, &[reference]).unwrap();
        drop(store);

        let deadly = Arc::new(AtomicBool::new(false));
        let (is_deadly, again) = (Arc::clone(&deadly), site.clone());
        let load: Load = Arc::new(move || {
            assert!(!is_deadly.swap(false, Relaxed), "as the test wants it");
            Ok(again.clone())
        });
        let comparer = site.comparer(&encoder).unwrap();
        let (members, watch) = PeopleWatch::start_within(limits, site, encoder, &comparer, load).unwrap();
        assert_eq!((members.people_count(), watch.trouble()), (1, None));
        Self { dir, watch, deadly }
    }

    /// Watches until `is_it`, and returns the news that came on the way.
    #[track_caller]
    fn until(&mut self, what: &str, is_it: impl Fn(&PeopleWatch) -> bool) -> Vec<News> {
        let (start, mut all) = (Instant::now(), Vec::new());
        loop {
            all.extend(self.watch.news());
            if is_it(&self.watch) {
                return all;
            }
            assert!(start.elapsed() < PATIENCE, "{what} never came: {:?}", self.watch.trouble());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a pipe in the place of the keys: whoever opens it waits until somebody writes.
    fn wedge(&self) {
        assert!(Command::new("mkfifo").arg(self.path("pipe")).status().unwrap().success());
        fs::rename(self.path("store/people.keys"), self.path("keys")).unwrap();
        fs::rename(self.path("pipe"), self.path("store/people.keys")).unwrap();
    }

    /// Puts the keys back. Who waits in the pipe goes on waiting.
    fn repair(&self) {
        fs::rename(self.path("store/people.keys"), self.path("pipe")).unwrap();
        fs::rename(self.path("keys"), self.path("store/people.keys")).unwrap();
    }

    /// Lets those who wait in the pipe come back, with nothing.
    fn free(&self) {
        drop(fs::File::options().read(true).write(true).open(self.path("pipe")).unwrap());
    }
}

fn says(part: &'static str) -> impl Fn(&PeopleWatch) -> bool {
    move |watch| watch.trouble().is_some_and(|why| why.contains(part))
}

fn loaded(news: &[News]) -> usize {
    news.iter().filter(|news| matches!(news, News::Loaded(_))).count()
}

#[test]
fn a_thread_that_has_ended_is_trouble_at_once_and_the_next_one_loads_everybody() {
    let mut rig = Rig::start(quick());
    rig.deadly.store(true, Relaxed);
    rig.watch.reread();
    let news = rig.until("the trouble", says("has ended"));
    assert_eq!(loaded(&news), 0);
    assert!(matches!(&news[..], [News::Kept(why)] if why.contains("has ended")), "the reload is answered");

    let news = rig.until("the end of the trouble", |watch| watch.trouble().is_none());
    assert_eq!(loaded(&news), 1, "trusted again because people were loaded anew");
    rig.watch.reread();
    let news = rig.until("the configuration", |watch| !watch.rereading);
    assert!(matches!(&news[..], [News::Reconfigured(_)]));
}

#[test]
fn people_who_are_not_confirmed_are_trouble_and_a_stuck_thread_is_replaced() {
    let mut rig = Rig::start(quick());
    rig.wedge();
    let news = rig.until("the trouble", says("gallery_age_max_ms = 1000"));
    assert_eq!(loaded(&news), 0);
    assert!(rig.watch.age() > quick().age);
    rig.until("the replacement", says("has been stuck"));
    rig.repair();
    // Not freed: what was stuck stays so, and others do its work.
    let news = rig.until("the end of the trouble", |watch| watch.trouble().is_none());
    assert!(loaded(&news) == 1 && rig.watch.age() < quick().age);
    assert!(!rig.watch.abandoned.is_empty());
    rig.free();
}

#[test]
fn no_more_threads_than_so_many_are_stuck_at_a_time() {
    let mut rig = Rig::start(Limits { abandoned: 1, ..quick() });
    rig.wedge();
    rig.until("the bound", says("until one comes back"));
    rig.repair();
    let start = Instant::now();
    while start.elapsed() < quick().backoff_max * 10 {
        assert!(rig.watch.news().is_none() && rig.watch.worker.is_none());
        std::thread::sleep(Duration::from_millis(10));
    }
    rig.free();
    rig.until("the end of the trouble", |watch| watch.trouble().is_none());
}

#[test]
fn a_look_that_was_only_late_is_trusted_after_another_loading() {
    // The thread itself is never given up here.
    let mut rig = Rig::start(Limits { stuck: Duration::from_secs(600), ..quick() });
    rig.wedge();
    rig.until("the trouble", says("gallery_age_max_ms"));
    rig.repair();
    rig.free();
    let news = rig.until("the end of the trouble", |watch| watch.trouble().is_none());
    assert!(loaded(&news) >= 1);
}

#[test]
fn a_stuck_thread_keeps_no_process_alive() {
    let mut rig = Rig::start(Limits { stuck: Duration::from_secs(600), ..quick() });
    rig.wedge();
    rig.until("the trouble", says("gallery_age_max_ms"));
    let Rig { dir, watch, .. } = rig;
    let start = Instant::now();
    drop(watch);
    assert!(start.elapsed() < STOP_MAX * 10, "{:?}", start.elapsed());
    drop(fs::File::options().read(true).write(true).open(dir.path().join("store/people.keys")).unwrap());
}
