//! The relay's line, seen from its other end: gpio-sim shows what a wire would carry.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The relay's line on the chip.
pub const LINE: u32 = 17;
/// How often the line is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// One change of the line.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    /// When it was still as before: a guest that others keep from working looks late.
    pub after: Instant,
    /// When it was seen.
    pub at: Instant,
    /// What the line carries since.
    pub on: bool,
}

/// The wire from the chip to the lock.
pub struct Wire {
    /// The chip's node.
    pub chip: PathBuf,
    edges: Arc<Mutex<Vec<Edge>>>,
}

impl Wire {
    /// Makes a chip of 32 lines and watches the relay's one from now on.
    pub fn connect() -> Self {
        let sim = Path::new("/sys/kernel/config/gpio-sim/gate");
        fs::create_dir_all(sim.join("bank0")).unwrap();
        fs::write(sim.join("bank0/num_lines"), "32").unwrap();
        fs::write(sim.join("live"), "1").unwrap();
        let name = |file: &str| fs::read_to_string(sim.join(file)).unwrap().trim().to_owned();
        let (device, chip) = (name("dev_name"), name("bank0/chip_name"));
        let value = PathBuf::from(format!("/sys/devices/platform/{device}/{chip}/sim_gpio{LINE}/value"));
        let edges = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&edges);
        let file = fs::File::open(&value).unwrap_or_else(|e| panic!("{}: {e}", value.display()));
        std::thread::spawn(move || {
            // Whatever else the guest does: an edge that is seen late is a pulse that is measured wrongly.
            let first = libc::sched_param { sched_priority: 1 };
            #[allow(unsafe_code)]
            // SAFETY: `first` outlives the call, which reads it.
            unsafe {
                libc::sched_setscheduler(0, libc::SCHED_FIFO, &first)
            };
            let (mut was, mut after) = (false, Instant::now());
            loop {
                let (mut byte, looked) = ([0], Instant::now());
                let on = file.read_at(&mut byte, 0).is_ok_and(|n| n == 1) && byte[0] == b'1';
                if on != was {
                    was = on;
                    seen.lock().unwrap().push(Edge { after, at: Instant::now(), on });
                }
                after = looked;
                sleep(LOOK);
            }
        });
        Self { chip: Path::new("/dev").join(chip), edges }
    }

    /// All changes so far.
    pub fn edges(&self) -> Vec<Edge> {
        self.edges.lock().unwrap().clone()
    }

    /// How many changes there were by now; what comes later is new.
    pub fn mark(&self) -> usize {
        self.edges.lock().unwrap().len()
    }

    /// Whether the line is on.
    pub fn is_on(&self) -> bool {
        self.edges.lock().unwrap().last().is_some_and(|edge| edge.on)
    }

    /// How often the line has gone on since `mark`.
    pub fn openings(&self, mark: usize) -> usize {
        self.edges().iter().skip(mark).filter(|edge| edge.on).count()
    }

    /// Waits for a change after `mark`; `None` when it does not come in time.
    pub fn wait(&self, mark: usize, on: bool, patience: Duration) -> Option<Instant> {
        let start = Instant::now();
        loop {
            if let Some(edge) = self.edges().iter().skip(mark).find(|edge| edge.on == on) {
                return Some(edge.at);
            }
            if start.elapsed() > patience {
                return None;
            }
            sleep(LOOK);
        }
    }

    /// How long the first pulse after `mark` can have been, at the least and at the most; it has ended.
    pub fn pulse(&self, mark: usize) -> (Duration, Duration) {
        let edges = self.edges();
        let mut pulse = edges.iter().skip(mark).skip_while(|edge| !edge.on);
        let (on, off) = pulse.next().zip(pulse.next()).expect("a pulse that has ended");
        (off.after.saturating_duration_since(on.at), off.at - on.after)
    }

    /// How long the line was on each time; a pulse that is still on counts until now.
    pub fn pulses(&self) -> Vec<Duration> {
        let edges = self.edges();
        let ons = edges.iter().enumerate().filter(|(_, edge)| edge.on);
        ons.map(|(i, on)| edges.get(i + 1).map_or_else(Instant::now, |off| off.at) - on.at).collect()
    }
}
