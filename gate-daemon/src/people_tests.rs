//! Tests of the people's thread over a real store: it is killed, and wedged in an open that the kernel holds back.
#![allow(clippy::unwrap_used)]

use super::*;
use gate_config::Config;
use gate_store::{Admission, KeySource, NewPerson, NewReference, SiteKey};
use gate_vision::card::Job;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;

/// Takes a lease on the file that is named and keeps it. Whoever opens the file makes the kernel send a signal.
const LEASE: &str = "import fcntl, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
file = open(sys.argv[1], 'r+')
fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print('leased', flush=True)
time.sleep(60)";

const PATIENCE: Duration = Duration::from_secs(20);

/// A store with one person, watched.
struct Rig {
    dir: TempDir,
    watch: PeopleWatch,
    /// The next reading of the configuration panics.
    deadly: Arc<AtomicBool>,
    /// Holds the lease.
    holder: Option<Child>,
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
        Self { dir, watch, deadly, holder: None }
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

    /// Puts a database in the place of the store's on which another process has a lease: the kernel lets whoever opens it
    /// wait until the lease is given up, or for 45 s.
    fn wedge(&mut self) {
        let (leased, database) = (self.path("leased"), self.path("store/people.db"));
        fs::copy(&database, &leased).unwrap();
        let holder = Command::new("python3").arg("-c").arg(LEASE).arg(&leased).stdout(Stdio::piped()).spawn();
        let holder = self.holder.insert(holder.unwrap());
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "leased\n");

        fs::rename(&database, self.path("database")).unwrap();
        fs::rename(&leased, &database).unwrap();
    }

    /// Puts the store's database back. Who waits for the other goes on waiting.
    fn repair(&self) {
        fs::rename(self.path("store/people.db"), self.path("leased")).unwrap();
        fs::rename(self.path("database"), self.path("store/people.db")).unwrap();
    }

    /// Lets those come back who wait.
    fn free(&mut self) {
        if let Some(mut holder) = self.holder.take() {
            holder.kill().unwrap();
            holder.wait().unwrap();
        }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.free();
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
    let holder = rig.holder.take();
    let start = Instant::now();
    drop(rig);
    assert!(start.elapsed() < STOP_MAX * 10, "{:?}", start.elapsed());
    let mut holder = holder.unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
}
