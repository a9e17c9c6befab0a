//! Looks for a way in: every short sequence first, then long ones by chance, led by what has shown something new.

use crate::world::{Breach, Setup, Show, World};
use std::collections::HashSet;
use std::fmt;

/// So many frames in a row of one thing.
pub type Segment = (Show, u32);

/// A way in.
#[derive(Clone, Debug)]
pub struct WayIn {
    /// How the gate was set up.
    pub setup: Setup,
    /// What was shown, in order.
    pub shown: Vec<Segment>,
    /// What it breaks.
    pub breach: Breach,
}

impl fmt::Display for WayIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?}):", self.breach.0, self.setup)?;
        self.shown.iter().try_for_each(|(show, frames)| write!(f, " {show:?} x{frames}"))
    }
}

/// What a search has tried.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// Sequences, each from a gate at rest.
    pub sequences: u64,
    /// Frames in all of them.
    pub frames: u64,
    /// Grants to the enrolled person who was there: a search in which nobody gets in proves nothing.
    pub grants: u64,
    /// The ways in.
    pub ways_in: Vec<WayIn>,
}

impl Tried {
    /// Adds what another search has tried.
    pub fn add(&mut self, other: Tried) {
        self.sequences += other.sequences;
        self.frames += other.frames;
        self.grants += other.grants;
        self.ways_in.extend(other.ways_in);
    }
}

/// Tries every sequence of up to `segments` segments of these lengths. Beginnings that sequences share are played once.
/// Ends at the first `enough` ways in.
pub fn exhaust(setup: Setup, shows: &[Show], segments: usize, lengths: &[u32], enough: usize) -> Tried {
    let mut search = Exhaustive { setup, shows, segments, lengths, enough, path: Vec::new(), tried: Tried::default() };
    search.descend(&World::new(setup));
    search.tried
}

struct Exhaustive<'a> {
    setup: Setup,
    shows: &'a [Show],
    segments: usize,
    lengths: &'a [u32],
    enough: usize,
    path: Vec<Segment>,
    tried: Tried,
}

impl Exhaustive<'_> {
    fn descend(&mut self, world: &World) {
        for show in self.shows {
            // The same again is a longer segment.
            if self.path.last().is_some_and(|(last, _)| last == show) {
                continue;
            }
            let mut here = world.clone();
            let mut shown = 0;
            for length in self.lengths {
                self.path.push((*show, *length));
                self.tried.sequences += 1;
                let breach = (shown..*length).find_map(|_| {
                    self.tried.frames += 1;
                    here.frame(*show).err()
                });
                shown = *length;

                if let Some(breach) = breach {
                    self.tried.ways_in.push(WayIn { setup: self.setup, shown: self.path.clone(), breach });
                    self.path.pop();
                    break;
                }
                if self.path.len() < self.segments {
                    self.descend(&here);
                } else {
                    self.tried.grants += u64::from(here.grants);
                }
                self.path.pop();
                if self.tried.ways_in.len() >= self.enough {
                    return;
                }
            }
        }
    }
}

/// xorshift64*: the same numbers on every machine.
pub struct Dice(u64);

impl Dice {
    /// `seed` is not zero.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 11) % n as u64) as usize
    }
}

/// Longest sequence that is tried by chance, segments.
const SEGMENTS_MAX: usize = 24;
/// Longest segment, frames.
const LENGTH_MAX: usize = 40;

/// Tries `sequences` longer sequences: new ones by chance, and changes of those that brought the gate into a state not seen
/// before. Ends at the first way in.
pub fn wander(setup: Setup, shows: &[Show], sequences: u64, seed: u64) -> Tried {
    let mut dice = Dice::new(seed);
    let mut tried = Tried::default();
    let mut seen = HashSet::new();
    let mut corpus: Vec<Vec<Segment>> = Vec::new();

    for _ in 0..sequences {
        let sequence = match corpus.len() {
            0 => fresh(shows, &mut dice),
            _ if dice.below(4) == 0 => fresh(shows, &mut dice),
            n => {
                let parent = corpus[dice.below(n)].clone();
                changed(parent, shows, &mut dice)
            }
        };
        tried.sequences += 1;

        let mut world = World::new(setup);
        let mut is_new = false;
        'played: for (show, length) in &sequence {
            for _ in 0..*length {
                tried.frames += 1;
                if let Err(breach) = world.frame(*show) {
                    tried.ways_in.push(WayIn { setup, shown: sequence.clone(), breach });
                    break 'played;
                }
            }
            is_new |= seen.insert(world.signature());
        }
        tried.grants += u64::from(world.grants);

        if is_new {
            corpus.push(sequence);
        }
        if !tried.ways_in.is_empty() {
            break;
        }
    }
    tried
}

fn fresh(shows: &[Show], dice: &mut Dice) -> Vec<Segment> {
    (0..3 + dice.below(10)).map(|_| segment(shows, dice)).collect()
}

fn segment(shows: &[Show], dice: &mut Dice) -> Segment {
    let show = shows[dice.below(shows.len())];
    // Mostly short: that is where evidence is gathered and lost.
    let longest = if dice.below(4) == 0 { LENGTH_MAX } else { 8 };
    (show, 1 + dice.below(longest) as u32)
}

fn changed(mut sequence: Vec<Segment>, shows: &[Show], dice: &mut Dice) -> Vec<Segment> {
    for _ in 0..1 + dice.below(3) {
        let place = dice.below(sequence.len());
        match dice.below(5) {
            0 => sequence[place] = segment(shows, dice),
            1 => sequence[place].1 = 1 + dice.below(LENGTH_MAX) as u32,
            2 if sequence.len() > 1 => drop(sequence.remove(place)),
            3 if sequence.len() < SEGMENTS_MAX => sequence.insert(place, segment(shows, dice)),
            _ => {
                let other = dice.below(sequence.len());
                sequence.swap(place, other);
            }
        }
    }
    sequence
}
