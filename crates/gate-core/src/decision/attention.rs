//! Whom a frame should be compared for. Comparing costs most of a frame's time and changes nothing for a face that is settled.
//!
//! ```text
//!  glance (cheap) ── a near face that is due? ──no──▶ step: it is still there, nothing else is said
//!                             │ yes
//!                             └──▶ whole look, encoding, liveness ──▶ step ──▶ settled? due again after a while : at once
//! ```

use super::{Decider, FaceSighting, Now, Sighting, nearest_px};
use crate::evidence::{Evidence, Verdict};
use crate::gate::State;
use crate::reason::Reason;
use crate::track::TrackId;

/// A face that is settled (it was told its refusal, or let in just now) is compared again only after so long, milliseconds.
pub const SETTLED_LOOK_MS: u64 = 300;

impl Decider {
    /// Whether comparing this face of `sighting`, which was not done yet, could change what is decided: nothing else stands
    /// in its way, and it is not one that is settled and was compared just now.
    #[must_use]
    pub fn wants(&self, face: &FaceSighting, sighting: &Sighting, now: Now) -> bool {
        let nearest_px = nearest_px(sighting);
        let is_due = self.evidence.iter().find(|e| e.track == face.track).is_none_or(|e| e.due_ms <= now.mono_ms);
        let is_asked = self.asking.track() == Some(face.track);
        (is_due || is_asked) && self.verdict(face, sighting, nearest_px) == Some(Verdict::Silent)
    }

    /// Whether somebody is known to stand there whom the next frame should compare: a glance would be wasted on it.
    #[must_use]
    pub fn expects(&self, now: Now) -> bool {
        let is_due = |e: &Evidence| e.due_ms <= now.mono_ms && e.hindrance() != Some(Reason::TooFar);
        self.asking.track().is_some() || self.evidence.iter().any(is_due)
    }

    /// Notes when this face, which has just been weighed, is worth comparing again.
    pub(super) fn schedule(&mut self, track: TrackId, verdict: Verdict, now: Now) {
        // While it is open for somebody the next one's evidence is gathered: they need not wait once it has locked.
        let can_open = self.gate.state() != State::Faulted;
        let clock = self.wall_clock(now);
        let Some(evidence) = self.evidence.iter_mut().find(|e| e.track == track) else { return };
        let was_told = |reason: Reason| evidence.was_reported(reason);
        let is_settled = match verdict {
            Verdict::Silent => return,
            // It was not encoded, so it may be at any time. (Unknown here: there is nobody to compare with.)
            Verdict::Hindered(reason) if !matches!(reason, Reason::Unclear | Reason::Unknown) => false,
            _ if !can_open || was_told(Reason::PresentationAttack) || was_told(Reason::Unproven) => true,
            Verdict::Match(person, access, _) => {
                self.granted.iter().any(|(granted, _)| *granted == person)
                    || was_told(Reason::LockedOut) && self.attempts.is_locked_out(person)
                    || access.refusal(clock).is_some_and(was_told)
            }
            // While one of the last looks has matched, the next one may again.
            Verdict::NoMatch(reason, _) | Verdict::Hindered(reason) => was_told(reason) && !evidence.has_matched(),
        };
        evidence.due_ms = if is_settled { now.mono_ms.saturating_add(SETTLED_LOOK_MS) } else { 0 };
    }
}
