//! The event log's own thread: the gate's loop hands lines over and never waits for a disk.
//!
//! ```text
//!  loop ──line──▶ bounded queue ──▶ thread: batch ──write──▶ file ──fdatasync──▶ on the disk
//!           │ full: dropped, counted                │ fails: kept, tried again every second
//! ```
//!
//! A batch that fails half way goes on at the very byte where it stopped, so a line is whole in the file or not there yet.
//! A power cut can still tear the last one: whoever opens the file next ends that line first.

use anyhow::{Context, Result};
use gate_guard::files;
use gate_hal::{Condition, Heart, Heartbeat, heartbeat};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Events that may wait for the disk; far more than a gate makes in an hour of coming and going.
const QUEUE_MAX: usize = 1024;
/// Events written by one call, and kept for another try when it fails.
const BATCH_MAX: usize = 64;
/// How often a disk that refuses is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// A write that is not back by then hangs: slow cards take seconds to settle.
const WRITE_MAX: Duration = Duration::from_secs(5);
/// How long the end waits for a disk that hangs. Well under the unit's TimeoutStopSec.
const FINISH_MAX: Duration = Duration::from_secs(3);

/// Where lines go.
pub trait Sink: Send {
    /// Writes some of `bytes`, says how many.
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize>;
    /// Sees to it that a power cut cannot take back what was written.
    fn settle(&mut self) -> std::io::Result<()>;
}

/// A regular file, or a device or pipe that cannot be settled.
struct ToFile {
    file: File,
    is_regular: bool,
}

impl Sink for ToFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn settle(&mut self) -> std::io::Result<()> {
        if self.is_regular { self.file.sync_data() } else { Ok(()) }
    }
}

struct ToStdout;

impl Sink for ToStdout {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        std::io::stdout().write(bytes)
    }

    fn settle(&mut self) -> std::io::Result<()> {
        std::io::stdout().flush()
    }
}

/// Opens `file` to append to, or standard output for `-`.
///
/// # Errors
/// When it cannot be opened.
pub fn open_sink(file: &Path) -> Result<Box<dyn Sink>> {
    if file.as_os_str() == "-" {
        return Ok(Box::new(ToStdout));
    }
    let advice = || format!("the event log {} cannot be opened; see [events] file", file.display());
    // Who came when is personal data: the owner reads it, and a group to which an administrator has given the file.
    let files::Log { file: mut opened, is_regular, was_lax } = files::open_log(file).with_context(advice)?;
    if let Some(mode) = was_lax {
        tracing::warn!(file = %file.display(), "others could use the event log (mode {mode:04o}); that was taken away");
    }
    if is_regular && ends_in_a_torn_line(&mut opened).with_context(advice)? {
        tracing::warn!(file = %file.display(), "the last event in the log is torn, by a power cut perhaps; the next ones are whole");
        // A disk that is full now is told with the first event.
        let _ = opened.write_all(b"\n");
    }
    Ok(Box::new(ToFile { file: opened, is_regular }))
}

fn ends_in_a_torn_line(file: &mut File) -> std::io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

/// How the log is doing, for whoever asks from outside its thread.
#[derive(Debug, Default)]
pub struct LogHealth {
    failing: AtomicBool,
    /// Dropped since writing last worked.
    missing: AtomicU64,
    dropped: AtomicU64,
    /// The thread that writes; `None` where nothing is written.
    thread: Option<Heartbeat>,
}

impl LogHealth {
    /// Whether the last event could not be written, or is not written yet for too long.
    pub fn is_failing(&self) -> bool {
        let told = self.failing.load(Ordering::Relaxed) || self.missing.load(Ordering::Relaxed) > 0;
        told || self.thread.as_ref().is_some_and(|thread| thread.condition() != Condition::Well)
    }

    /// The thread that writes.
    pub fn thread(&self) -> Option<Heartbeat> {
        self.thread.clone()
    }

    /// Events dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Counts dropped events; says whether these are the first since writing last worked.
    fn drop_events(&self, count: u64) -> bool {
        self.dropped.fetch_add(count, Ordering::Relaxed);
        self.missing.fetch_add(count, Ordering::Relaxed) == 0
    }
}

/// What became of an attempt to write.
#[derive(Debug, PartialEq, Eq)]
enum News {
    /// As before.
    None,
    /// It works no longer, for this reason.
    Failing(String),
    /// It works again.
    Again,
}

/// Lines on their way to a sink.
struct Writer {
    sink: Box<dyn Sink>,
    /// What is not written yet.
    pending: Vec<u8>,
    lines: usize,
    health: Arc<LogHealth>,
}

impl Writer {
    fn push(&mut self, line: &[u8]) {
        self.pending.extend_from_slice(line);
        self.lines += 1;
    }

    /// Nothing waits any more: how many events were dropped since this last was so, if any.
    fn caught_up(&self) -> Option<u64> {
        if self.health.failing.load(Ordering::Relaxed) {
            return None;
        }
        Some(self.health.missing.swap(0, Ordering::Relaxed)).filter(|missing| *missing > 0)
    }

    /// Writes what is pending.
    fn write(&mut self) -> News {
        let mut written = 0;
        let mut outcome = Ok(());
        while written < self.pending.len() {
            match self.sink.write(&self.pending[written..]) {
                Ok(0) => outcome = Err(std::io::ErrorKind::WriteZero.into()),
                Ok(bytes) => written += bytes,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => outcome = Err(e),
            }
            if outcome.is_err() {
                break;
            }
        }
        self.pending.drain(..written);
        // What the disk could not settle is written all the same: not written twice, but told.
        let outcome = outcome.and_then(|()| self.sink.settle());
        if self.pending.is_empty() {
            self.lines = 0;
        }
        match outcome {
            Err(e) if self.health.failing.swap(true, Ordering::Relaxed) => {
                tracing::debug!("events cannot be written: {e}");
                News::None
            }
            Err(e) => News::Failing(e.to_string()),
            Ok(()) if self.health.failing.swap(false, Ordering::Relaxed) => News::Again,
            Ok(()) => News::None,
        }
    }
}

fn work(mut writer: Writer, queue: &Receiver<Vec<u8>>, ending: &AtomicBool, place: &str, heart: &Heart) {
    loop {
        while writer.lines < BATCH_MAX
            && let Ok(line) = queue.try_recv()
        {
            writer.push(&line);
        }
        if writer.pending.is_empty() {
            if let Some(missing) = writer.caught_up() {
                tracing::error!(file = place, missing, "the event log has a gap: these events were dropped");
            }
            heart.rest();
            let Ok(line) = queue.recv() else { return };
            writer.push(&line);
        }
        heart.beat();
        match writer.write() {
            News::None => {}
            News::Failing(why) => {
                tracing::error!(file = place, "events cannot be written ({why}); make room or correct [events] file");
            }
            News::Again => tracing::info!(file = place, "events are written again"),
        }
        if !writer.pending.is_empty() {
            if ending.load(Ordering::Acquire) {
                // The line at the front may be torn; it counts as missing, too.
                let left = writer.pending.iter().filter(|byte| **byte == b'\n').count() + queue.try_iter().count();
                writer.health.drop_events(left as u64);
                return;
            }
            heart.rest();
            std::thread::park_timeout(RETRY);
        }
    }
}

/// The thread, and the queue to it.
pub struct EventThread {
    queue: Option<SyncSender<Vec<u8>>>,
    health: Arc<LogHealth>,
    ending: Arc<AtomicBool>,
    over: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    place: String,
}

impl EventThread {
    /// Starts it over a sink; `place` names that in the log.
    ///
    /// # Errors
    /// When the system has no thread to give.
    pub fn start(sink: Box<dyn Sink>, place: String) -> Result<Self> {
        let (queue, lines) = sync_channel::<Vec<u8>>(QUEUE_MAX);
        let (end, over) = channel::<()>();
        let (heart, alive) = heartbeat("events", WRITE_MAX);
        let health = Arc::new(LogHealth { thread: Some(alive), ..LogHealth::default() });
        let ending = Arc::new(AtomicBool::new(false));
        let writer = Writer { sink, pending: Vec::new(), lines: 0, health: Arc::clone(&health) };
        let (told, to) = (Arc::clone(&ending), place.clone());
        let thread = std::thread::Builder::new()
            .name("events".into())
            .spawn(move || {
                work(writer, &lines, &told, &to, &heart);
                heart.retire();
                drop(end);
            })
            .context("starting a thread")?;
        Ok(Self { queue: Some(queue), health, ending, over, thread: Some(thread), place })
    }

    /// Hands a whole line over, its newline included. Never waits: when the queue is full the line is dropped and counted.
    pub fn write(&self, line: Vec<u8>) {
        let Some(queue) = &self.queue else { return };
        let why = match queue.try_send(line) {
            Ok(()) => return,
            Err(TrySendError::Full(_)) => "the disk does not keep up",
            Err(TrySendError::Disconnected(_)) => "the thread that writes them has ended, a fault of this program",
        };
        if self.health.drop_events(1) {
            tracing::error!(file = self.place, "{why}: events are dropped from now on");
        }
    }

    /// How it is doing.
    pub fn health(&self) -> Arc<LogHealth> {
        Arc::clone(&self.health)
    }

    /// Writes what is queued and ends the thread; a disk that hangs is waited for no longer than 3 s.
    pub fn finish(&mut self) {
        self.ending.store(true, Ordering::Release);
        self.queue = None;
        let Some(thread) = self.thread.take() else { return };
        // It may be waiting for its next try.
        thread.thread().unpark();
        if matches!(self.over.recv_timeout(FINISH_MAX), Err(RecvTimeoutError::Timeout)) {
            self.health.failing.store(true, Ordering::Relaxed);
            tracing::error!(file = self.place, "the disk hangs: the last events are not written");
            return;
        }
        // It has ended or is about to; a panic in it lost what was queued.
        if thread.join().is_err() {
            self.health.failing.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for EventThread {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    /// A disk with room for so many bytes.
    #[derive(Clone, Default)]
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Disk {
        fn with_room(bytes: usize) -> Self {
            Self(Arc::new(Mutex::new((Vec::new(), bytes))))
        }

        fn make_room(&self) {
            self.0.lock().unwrap().1 = usize::MAX;
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().0.clone()).unwrap()
        }
    }

    impl Sink for Disk {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let mut disk = self.0.lock().unwrap();
            let fits = bytes.len().min(disk.1 - disk.0.len().min(disk.1));
            if fits == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            disk.0.extend_from_slice(&bytes[..fits]);
            Ok(fits)
        }

        fn settle(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// A disk that takes nothing until it is told to.
    struct Stuck(Receiver<()>, Disk);

    impl Sink for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Gone = free for good.
            let _ = self.0.recv();
            self.1.write(bytes)
        }

        fn settle(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn stuck() -> (Sender<()>, Disk, EventThread) {
        let (free, until) = channel();
        let disk = Disk::with_room(usize::MAX);
        let log = EventThread::start(Box::new(Stuck(until, disk.clone())), "test".into()).unwrap();
        (free, disk, log)
    }

    fn line(number: usize) -> Vec<u8> {
        format!("{number}\n").into_bytes()
    }

    #[test]
    fn events_are_written_in_order_and_all_of_them_at_the_end() {
        let disk = Disk::with_room(usize::MAX);
        let mut log = EventThread::start(Box::new(disk.clone()), "test".into()).unwrap();
        (0..500).for_each(|n| log.write(line(n)));
        log.finish();
        let all: Vec<usize> = disk.text().lines().map(|l| l.parse().unwrap()).collect();
        assert_eq!(all, (0..500).collect::<Vec<_>>());
        assert!(!log.health().is_failing());
    }

    #[test]
    fn a_disk_that_stands_still_keeps_nobody_waiting_and_what_is_dropped_is_counted() {
        let (free, disk, mut log) = stuck();
        let sent = QUEUE_MAX + 3 * BATCH_MAX;
        // Would it wait, the test would stand still here.
        (0..sent).for_each(|n| log.write(line(n)));
        let dropped = log.health().dropped();
        assert!(log.health().is_failing() && dropped > 0, "{dropped}");
        drop(free);
        log.finish();
        let text = disk.text();
        let all: Vec<usize> = text.lines().map(|l| l.parse().unwrap()).collect();
        assert_eq!(all.len() as u64 + dropped, sent as u64, "each event is there or counted");
        assert!(all.is_sorted(), "in order");
        assert!(!log.health().is_failing(), "it keeps up again");
        assert_eq!(log.health().dropped(), dropped);
    }

    #[test]
    fn a_full_disk_is_told_once_and_told_again_when_it_is_over_and_tears_no_line() {
        let disk = Disk::with_room(10);
        let health = Arc::new(LogHealth::default());
        let mut writer =
            Writer { sink: Box::new(disk.clone()), pending: Vec::new(), lines: 0, health: Arc::clone(&health) };
        writer.push(b"first\n");
        assert_eq!(writer.write(), News::None);
        writer.push(b"second\n");
        assert!(matches!(writer.write(), News::Failing(_)));
        assert!(health.is_failing());
        writer.push(b"third\n");
        assert_eq!(writer.write(), News::None, "told once");
        assert!(health.drop_events(1) && !health.drop_events(1), "dropping is told once, too");
        disk.make_room();
        assert_eq!(writer.write(), News::Again, "told again");
        assert_eq!((writer.caught_up(), writer.caught_up()), (Some(2), None), "how many are missing, once");
        assert!(!health.is_failing());
        assert_eq!(disk.text(), "first\nsecond\nthird\n");
        assert_eq!(writer.write(), News::None);
    }

    /// A pipe that nobody reads, full: a write to it waits.
    fn full_pipe(folder: &Path) -> (std::path::PathBuf, File) {
        let path = folder.join("events");
        let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        // Both ends, so that opening waits for nobody.
        let mut ours = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(&path).unwrap();
        while ours.write(&[b'x'; 4096]).is_ok() {}
        (path, ours)
    }

    /// From `fcntl.h`, the same on every machine the gate runs on.
    const O_NONBLOCK: i32 = 0o4000;

    #[test]
    fn a_write_that_hangs_is_a_failing_log_and_so_is_a_thread_that_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mut pipe) = full_pipe(folder.path());
        let mut log = EventThread::start(open_sink(&path).unwrap(), "test".into()).unwrap();
        let health = log.health();
        assert!(!health.is_failing());
        log.write(line(1));
        let start = std::time::Instant::now();
        while !health.is_failing() {
            assert!(start.elapsed() < WRITE_MAX * 4, "it is never told");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(health.thread().unwrap().trouble().unwrap().contains("`events` has been stuck"));
        let mut drained = [0; 4096];
        while pipe.read(&mut drained).is_ok() {}
        log.finish();
        assert!(!health.is_failing(), "the line was written, and the end was asked for");

        /// A sink whose code is at fault.
        struct Faulty;
        impl Sink for Faulty {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                panic!("as the test wants it");
            }

            fn settle(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let mut log = EventThread::start(Box::new(Faulty), "test".into()).unwrap();
        log.write(line(1));
        while !log.health().is_failing() {
            assert!(start.elapsed() < WRITE_MAX * 8, "it is never told");
            std::thread::sleep(Duration::from_millis(5));
        }
        log.finish();
        assert!(log.health().is_failing());
    }

    #[test]
    fn a_disk_that_stays_full_ends_the_thread_and_is_told() {
        let disk = Disk::with_room(0);
        let mut log = EventThread::start(Box::new(disk), "test".into()).unwrap();
        (0..3).for_each(|n| log.write(line(n)));
        log.finish();
        assert!(log.health().is_failing());
        assert_eq!(log.health().dropped(), 3);
    }

    #[test]
    fn the_event_log_is_its_owners_alone_and_a_link_is_refused() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.jsonl");
        let mode = |file: &Path| std::fs::metadata(file).unwrap().mode() & 0o777;
        drop(open_sink(&file).unwrap());
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o664)).unwrap();
        drop(open_sink(&file).unwrap());
        assert_eq!(mode(&file), 0o640, "a group that may read was given the right by somebody");
        let link = folder.path().join("link");
        symlink(&file, &link).unwrap();
        let refused = open_sink(&link).err().unwrap();
        assert!(format!("{refused:#}").contains("symbolic link"), "{refused:#}");
    }

    #[test]
    fn a_line_torn_by_a_power_cut_is_ended_before_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("events.jsonl");
        for (before, after) in [("", "next\n"), ("whole\n", "whole\nnext\n"), ("whole\nto", "whole\nto\nnext\n")] {
            std::fs::write(&file, before).unwrap();
            let mut log = EventThread::start(open_sink(&file).unwrap(), "test".into()).unwrap();
            log.write(b"next\n".to_vec());
            log.finish();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), after);
        }
    }
}
