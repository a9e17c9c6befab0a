//! What one track has shown so far: agreeing identifications, and what stands in its way.

use crate::liveness::{PadTest, PadVerdict};
use crate::person::{Access, PersonKey};
use crate::reason::Reason;
use crate::track::TrackId;
use heapless::Deque;

/// Most agreeing identifications kept for a track; the policy's `agreeing_frames` is cut to this.
pub(crate) const HITS_MAX: usize = 32;
/// Most clear looks kept for a track: two seconds at 30 frames a second.
const LOOKS_MAX: usize = 64;

/// What one frame says about one face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Good enough, and near enough to exactly one enrolled person, by this d².
    Match(PersonKey, Access, f32),
    /// Good enough, and near enough to nobody (`Unknown`) or to two people (`Ambiguous`); d² to the nearest.
    NoMatch(Reason, f32),
    /// Not now, for this reason: the face was not compared, or does not count.
    Hindered(Reason),
    /// Nothing can be said: the face was not encoded in this frame.
    Silent,
}

/// A frame that matched the track's person.
#[derive(Clone, Copy, Debug)]
struct Hit {
    at_ms: u64,
    /// Whether the same frame, by itself, does not speak against life.
    bears_life: bool,
}

/// One clear look at a face.
#[derive(Clone, Copy, Debug)]
struct Look {
    at_ms: u64,
    /// Whom it matched, if anybody.
    person: Option<PersonKey>,
    /// Dissimilarity d² to the nearest person.
    d2: f32,
}

/// The evidence of one track. It ends with the track, and at every interruption: nobody inherits it.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) track: TrackId,
    pub(crate) seen_ms: u64,
    person: Option<PersonKey>,
    hits: Deque<Hit, HITS_MAX>,
    /// Every clear look within the window.
    looks: Deque<Look, LOOKS_MAX>,
    hindrance: Option<(Reason, u64)>,
    reported: u32,
    /// From when on comparing the face again could change something, monotonic milliseconds.
    pub(crate) due_ms: u64,
    /// Whether the face is live, as the frames show it.
    pub(crate) pad: PadTest,
    /// What the answer to the lamp has shown.
    pub(crate) light: Option<LightAnswer>,
    /// How often the lamp was asked in vain.
    pub(crate) light_tries: u8,
    /// Whether this presentation has counted as an exposure.
    pub(crate) is_exposed: bool,
}

/// An answer to the lamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LightAnswer {
    pub(crate) verdict: PadVerdict,
    /// Whom every frame of it matched; `None` = nobody.
    pub(crate) person: Option<PersonKey>,
    /// When the face began to be watched for it, monotonic milliseconds.
    pub(crate) began_ms: u64,
    /// When it was complete.
    pub(crate) at_ms: u64,
}

impl Evidence {
    pub(crate) fn new(track: TrackId, now_ms: u64) -> Self {
        Self {
            track,
            seen_ms: now_ms,
            person: None,
            hits: Deque::new(),
            looks: Deque::new(),
            hindrance: None,
            reported: 0,
            due_ms: 0,
            pad: PadTest::default(),
            light: None,
            light_tries: 0,
            is_exposed: false,
        }
    }

    /// Takes in one frame's verdict; `bears_life`: the same frame was looked at for life and does not speak against it.
    pub(crate) fn take(&mut self, verdict: Verdict, bears_life: bool, now_ms: u64, window_ms: u32) {
        self.seen_ms = now_ms;
        let window_ms = u64::from(window_ms);
        while self.hits.front().is_some_and(|hit| now_ms.saturating_sub(hit.at_ms) > window_ms) {
            self.hits.pop_front();
        }
        while self.looks.front().is_some_and(|look| now_ms.saturating_sub(look.at_ms) > window_ms) {
            self.looks.pop_front();
        }

        if !matches!(verdict, Verdict::Match(..)) {
            // A frame that could have shown anybody: her answer to the lamp says nothing of who comes after it.
            let stays = |answer: &LightAnswer| answer.verdict == PadVerdict::Attack || answer.person.is_none();
            self.light = self.light.filter(stays);
        }
        match verdict {
            Verdict::Match(person, _, d2) => {
                if self.person != Some(person) {
                    self.hits.clear();
                    // Somebody else's face, perhaps on a phone before the first one: what was live then says nothing now.
                    self.forget_life();
                    self.person = Some(person);
                }
                self.look(Look { at_ms: now_ms, person: Some(person), d2 });
                if self.hits.is_full() {
                    self.hits.pop_front();
                }
                // There is room: one was just removed if it was full.
                let _ = self.hits.push_back(Hit { at_ms: now_ms, bears_life });
                self.hindrance = None;
            }
            Verdict::NoMatch(reason, d2) => {
                // A clear look that says "not this person" takes back one that said the opposite.
                self.hits.pop_front();
                self.look(Look { at_ms: now_ms, person: None, d2 });
                self.hinder(reason, now_ms);
            }
            Verdict::Hindered(reason) => {
                // Two people may have changed places: whoever is left starts afresh.
                if reason == Reason::SeveralFaces {
                    self.hits.clear();
                    self.looks.clear();
                    self.forget_life();
                }
                self.hinder(reason, now_ms);
            }
            Verdict::Silent => {}
        }
    }

    fn look(&mut self, look: Look) {
        if self.looks.is_full() {
            self.looks.pop_front();
        }
        // There is room: one was just removed if it was full.
        let _ = self.looks.push_back(look);
    }

    fn hinder(&mut self, reason: Reason, now_ms: u64) {
        if self.hindrance.is_none_or(|(standing, _)| standing != reason) {
            self.hindrance = Some((reason, now_ms));
        }
    }

    /// Whether enough frames agree on the person, and all clear looks within the window do so on average.
    ///
    /// The average is what keeps a stranger out who comes near an enrolled person for some moments of a long look:
    /// frames of one visit are alike, so a few of them that agree are far from independent.
    pub(crate) fn is_recognised(&self, agreeing_frames: u8, tau: f32) -> bool {
        let concerns = |look: &&Look| look.person.is_none() || look.person == self.person;
        let (sum, count) =
            self.looks.iter().filter(concerns).fold((0.0, 0.0), |(sum, n), look| (sum + look.d2, n + 1.0));
        // Written so that a NaN is never enough.
        let near_on_average = sum <= tau * count;
        near_on_average && self.hits.len() >= wanted(agreeing_frames)
    }

    /// Whether enough frames bear both, identity and life, the latest among them. Hits from before `since_ms` do not count.
    pub(crate) fn bears_grant(&self, agreeing_frames: u8, since_ms: u64) -> bool {
        let bearing = self.hits.iter().filter(|hit| hit.bears_life && hit.at_ms >= since_ms).count();
        let is_latest = self.hits.back().is_some_and(|hit| hit.bears_life && hit.at_ms == self.seen_ms);
        is_latest && bearing >= wanted(agreeing_frames)
    }

    /// Whether the face was compared in so many frames of the window, whatever came of it.
    pub(crate) fn is_compared(&self, agreeing_frames: u8) -> bool {
        self.looks.len() >= wanted(agreeing_frames)
    }

    /// Whose face it is taken for, while one of the last looks has matched.
    pub(crate) fn claim(&self) -> Option<PersonKey> {
        self.person.filter(|_| self.has_matched())
    }

    /// Starts the evidence afresh. What was reported on this track stays reported.
    pub(crate) fn forget(&mut self) {
        self.hits.clear();
        self.looks.clear();
        self.forget_life();
        self.hindrance = None;
        self.due_ms = 0;
        self.is_exposed = false;
    }

    /// What was live may no longer be; what was an attack stays one.
    fn forget_life(&mut self) {
        self.pad.forget();
        self.light = self.light.filter(|answer| answer.verdict == PadVerdict::Attack);
    }

    /// The reason that has stood in the way for at least `after_ms`, if any.
    pub(crate) fn standing(&self, now_ms: u64, after_ms: u32) -> Option<Reason> {
        self.hindrance
            .filter(|(_, since_ms)| now_ms.saturating_sub(*since_ms) >= u64::from(after_ms))
            .map(|(reason, _)| reason)
    }

    /// What stands in the way now, if anything.
    pub(crate) fn hindrance(&self) -> Option<Reason> {
        self.hindrance.map(|(reason, _)| reason)
    }

    /// Whether one of the last looks has matched somebody.
    pub(crate) fn has_matched(&self) -> bool {
        !self.hits.is_empty()
    }

    /// Whether `reason` was reported on this track.
    pub(crate) fn was_reported(&self, reason: Reason) -> bool {
        self.reported & reason.bit() != 0
    }

    /// Notes that `reason` is reported; `false` when it was before on this track.
    pub(crate) fn report(&mut self, reason: Reason) -> bool {
        let news = !self.was_reported(reason);
        self.reported |= reason.bit();
        news
    }
}

/// The policy's number of agreeing frames, within what is kept.
fn wanted(agreeing_frames: u8) -> usize {
    usize::from(agreeing_frames).clamp(1, HITS_MAX)
}
