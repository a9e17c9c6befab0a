//! What one track has shown so far: agreeing identifications, and what stands in its way.

use crate::person::{Access, PersonKey};
use crate::reason::Reason;
use crate::track::TrackId;
use heapless::Deque;

/// Most identifications kept for a track; the policy's `agreeing_frames` is cut to this.
pub(crate) const HITS_MAX: usize = 32;

/// What one frame says about one face.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Good enough, and near enough to exactly one enrolled person.
    Match(PersonKey, Access),
    /// Not now, for this reason.
    Hindered(Reason),
    /// Nothing can be said: the face was not encoded in this frame.
    Silent,
}

/// The evidence of one track. It ends with the track: nobody inherits it.
#[derive(Clone, Debug)]
pub(crate) struct Evidence {
    pub(crate) track: TrackId,
    pub(crate) seen_ms: u64,
    pub(crate) granted_ms: Option<u64>,
    person: Option<PersonKey>,
    hits_ms: Deque<u64, HITS_MAX>,
    hindrance: Option<(Reason, u64)>,
    reported: u32,
}

impl Evidence {
    pub(crate) fn new(track: TrackId, now_ms: u64) -> Self {
        Self {
            track,
            seen_ms: now_ms,
            granted_ms: None,
            person: None,
            hits_ms: Deque::new(),
            hindrance: None,
            reported: 0,
        }
    }

    /// Takes in one frame's verdict.
    pub(crate) fn take(&mut self, verdict: Verdict, now_ms: u64, window_ms: u32) {
        self.seen_ms = now_ms;
        let window_ms = u64::from(window_ms);
        while self.hits_ms.front().is_some_and(|t| now_ms.saturating_sub(*t) > window_ms) {
            self.hits_ms.pop_front();
        }
        match verdict {
            Verdict::Match(person, _) => {
                if self.person != Some(person) {
                    self.hits_ms.clear();
                    self.person = Some(person);
                }
                if self.hits_ms.is_full() {
                    self.hits_ms.pop_front();
                }
                // There is room: one was just removed if it was full.
                let _ = self.hits_ms.push_back(now_ms);
                self.hindrance = None;
            }
            Verdict::Hindered(reason) => {
                match reason {
                    // A clear look that says "not this person" takes back one that said the opposite.
                    Reason::Unknown | Reason::Ambiguous => {
                        self.hits_ms.pop_front();
                    }
                    // Two people may have changed places: whoever is left starts afresh.
                    Reason::SeveralFaces => self.hits_ms.clear(),
                    _ => {}
                }
                if self.hindrance.is_none_or(|(standing, _)| standing != reason) {
                    self.hindrance = Some((reason, now_ms));
                }
            }
            Verdict::Silent => {}
        }
    }

    /// Whether enough frames agree on the person.
    pub(crate) fn complete(&self, agreeing_frames: u8) -> bool {
        self.hits_ms.len() >= usize::from(agreeing_frames).clamp(1, HITS_MAX)
    }

    /// A grant uses the evidence up: the next one needs its own.
    pub(crate) fn spend(&mut self, now_ms: u64) {
        self.granted_ms = Some(now_ms);
        self.forget();
    }

    /// Starts the evidence afresh. What was reported on this track stays reported.
    pub(crate) fn forget(&mut self) {
        self.hits_ms.clear();
        self.hindrance = None;
    }

    /// The reason that has stood in the way for at least `after_ms`, if any.
    pub(crate) fn standing(&self, now_ms: u64, after_ms: u32) -> Option<Reason> {
        self.hindrance
            .filter(|(_, since_ms)| now_ms.saturating_sub(*since_ms) >= u64::from(after_ms))
            .map(|(reason, _)| reason)
    }

    /// Notes that `reason` is reported; `false` when it was before on this track.
    pub(crate) fn report(&mut self, reason: Reason) -> bool {
        let news = self.reported & reason.bit() == 0;
        self.reported |= reason.bit();
        news
    }
}
