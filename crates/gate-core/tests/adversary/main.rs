//! An adversary that tries to get in by all that can be shown to a camera: photographs, the own face, somebody beside it,
//! blur, gaps, in every order.
//!
//! `make test` runs a short search. `make attack` runs the whole one: every sequence of up to four segments (three where
//! the lamp is asked), and a million longer ones.

mod search;
mod world;

use gate_core::policy::PadMode;
use search::{Tried, exhaust, wander};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;
use world::{Setup, Show};

/// Set to run the whole search.
const WHOLE: &str = "GATE_ATTACK_WHOLE";
/// Ways in after which a search ends: enough to see what they have in common.
const ENOUGH: usize = 3;

/// How much is tried with one setup.
struct Effort {
    /// Segments of the sequences that are all tried, and their lengths, frames.
    segments: usize,
    lengths: &'static [u32],
    /// Longer sequences that are tried by chance.
    by_chance: u64,
}

impl Effort {
    /// A challenge costs a thousand times what a frame does.
    fn of(mode: PadMode, is_whole: bool) -> Self {
        match (is_whole, mode.is_active()) {
            (true, false) => Self { segments: 4, lengths: &[1, 4, 13], by_chance: 166_000 },
            (true, true) => Self { segments: 3, lengths: &[4, 13], by_chance: 1_000 },
            (false, false) => Self { segments: 3, lengths: &[1, 4, 13], by_chance: 3_000 },
            (false, true) => Self { segments: 2, lengths: &[4, 13], by_chance: 100 },
        }
    }
}

fn attack(setup: Setup, is_whole: bool) -> Tried {
    let Effort { segments, lengths, by_chance } = Effort::of(setup.mode, is_whole);
    let mut tried = exhaust(setup, &Show::ALL, segments, lengths, ENOUGH);
    tried.add(wander(setup, &Show::ALL, by_chance / 2, 1));
    tried.add(wander(setup, &Show::alone(), by_chance / 2, 2));
    tried
}

#[test]
fn nobody_gets_in_who_was_not_there() {
    let is_whole = std::env::var_os(WHOLE).is_some();
    let (setups, found) = (Mutex::new(Setup::all()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(setup) = setups.lock().unwrap().pop() {
                    let began = Instant::now();
                    let tried = attack(setup, is_whole);
                    found.lock().unwrap().push((setup, tried, began.elapsed()));
                }
            });
        }
    });

    println!("liveness  frames/s    tau  sequences      frames  let in rightly  ways in  seconds");
    let mut all = Tried::default();
    for (Setup { fps, mode, tau }, tried, took) in found.into_inner().unwrap() {
        let Tried { sequences, frames, grants, .. } = tried;
        let (mode, ways, took) = (format!("{mode:?}"), tried.ways_in.len(), took.as_secs_f32());
        println!("{mode:8}  {fps:8}  {tau:5.3}  {sequences:9}  {frames:10}  {grants:14}  {ways:7}  {took:7.1}");
        all.add(tried);
    }
    println!("{:25}  {:9}  {:10}  {:14}  {:7}", "all", all.sequences, all.frames, all.grants, all.ways_in.len());

    all.ways_in.iter().for_each(|way| println!("    {way}"));
    assert!(all.ways_in.is_empty(), "{} ways in", all.ways_in.len());
    assert!(all.grants > 100, "a search in which the enrolled person is not let in proves nothing");
}
