//! Asks one face at a time for its answer to the lamp: when to begin, what to keep, when to judge.
//!
//! ```text
//!            recognised, good            two frames seen in the dark           code and delay are over
//!   Idle ─────────────────────▶ Waiting ───────────────────────────▶ Asking ─────────────────────────▶ judged, Idle
//!     ▲                            │  the face is gone, or another one is   │
//!     └────────────────────────────┴────────────────────────────────────────┘ lamp out
//! ```

use crate::light::{Answer, Challenge, Code, LightPolicy, LightSample};
use crate::track::TrackId;
use heapless::Deque;

/// Frames kept from before the code begins: what the face looks like while the lamp is out.
const BEFORE_MAX: usize = 3;
/// So many of them must be there.
const BEFORE_MIN: usize = 2;

/// One face that is being asked.
#[derive(Clone, Debug)]
struct Asked {
    track: TrackId,
    before: Deque<(u64, LightSample), BEFORE_MAX>,
    /// The challenge and when its code began, monotonic milliseconds.
    running: Option<(Challenge, u64)>,
}

/// See the module's text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asking {
    asked: Option<Asked>,
}

/// What comes of one frame.
pub(crate) enum Step {
    /// Nothing yet.
    Nothing,
    /// Play this code from now on.
    Begin(Code),
    /// The face has answered.
    Answered(Answer),
}

impl Asking {
    /// The face that is being asked, if any.
    pub(crate) fn track(&self) -> Option<TrackId> {
        self.asked.as_ref().map(|asked| asked.track)
    }

    /// Whether the lamp is playing a code.
    pub(crate) fn is_playing(&self) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.running.is_some())
    }

    /// Starts to watch this face, in the dark at first.
    pub(crate) fn watch(&mut self, track: TrackId) {
        if self.track() != Some(track) {
            self.asked = Some(Asked { track, before: Deque::new(), running: None });
        }
    }

    /// Asks nobody any more; says whether the lamp was playing.
    pub(crate) fn stop(&mut self) -> bool {
        self.asked.take().is_some_and(|asked| asked.running.is_some())
    }

    /// Takes in what one frame shows of the face that is asked. `random` is fresh.
    pub(crate) fn take(&mut self, sample: LightSample, random: [u8; 8], now_ms: u64, policy: &LightPolicy) -> Step {
        let Some(asked) = &mut self.asked else { return Step::Nothing };
        if let Some((challenge, began_ms)) = &mut asked.running {
            challenge.take(&since(sample, now_ms, *began_ms));
            let over_ms = began_ms.saturating_add(u64::from(challenge.code().duration_ms()));
            // The last frames show the code's end when the camera's delay is over.
            if now_ms < over_ms.saturating_add(u64::from(policy.latency_min_ms)) {
                return Step::Nothing;
            }
            let answer = challenge.finish(policy);
            self.asked = None;
            return Step::Answered(answer);
        }
        if asked.before.is_full() {
            asked.before.pop_front();
        }
        // There is room: one was just removed if it was full.
        let _ = asked.before.push_back((now_ms, sample));
        if asked.before.len() < BEFORE_MIN {
            return Step::Nothing;
        }
        let code = Code::draw(random);
        let mut challenge = Challenge::begin(code);
        for (at_ms, sample) in &asked.before {
            challenge.take(&since(*sample, *at_ms, now_ms));
        }
        asked.running = Some((challenge, now_ms));
        Step::Begin(code)
    }
}

/// The sample with its time counted from the code's beginning.
fn since(sample: LightSample, at_ms: u64, began_ms: u64) -> LightSample {
    let at_ms = at_ms as i64 - began_ms as i64;
    LightSample { at_ms: at_ms.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32, ..sample }
}
