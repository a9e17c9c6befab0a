//! Asks one face at a time for its answer to the lamp: when to begin, what to keep, when to judge.
//!
//! ```text
//!           compared, good             two frames seen in the dark            code and delay are over
//!   Idle ─────────────────────▶ Waiting ───────────────────────────▶ Asking ─────────────────────────▶ judged, Idle
//!     ▲                            │  the face is gone, not compared, not good enough: abandoned       │
//!     └────────────────────────────┴────────────────────────────────────────────────────────────────────┘ lamp out
//! ```
//!
//! A challenge belongs to one face. Each frame that is sampled for it is also compared, and all of them must show whom the
//! first one showed: else the answer is unusable. That is found out at the end only, so the lamp tells nobody who is enrolled.

use crate::light::{Answer, Challenge, Code, LightPolicy, LightSample, Unusable, Verdict};
use crate::person::PersonKey;
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
    /// When the first of the frames came that it rests on, and whom that one matched.
    first: Option<(u64, Option<PersonKey>)>,
    /// Whether all frames since have shown the same.
    is_one_face: bool,
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
    Answered {
        /// How.
        verdict: Verdict,
        /// When the face began to be watched for it, monotonic milliseconds.
        began_ms: u64,
    },
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
            let asked = Asked { track, before: Deque::new(), first: None, is_one_face: true, running: None };
            self.asked = Some(asked);
        }
    }

    /// Asks nobody any more; says whether the lamp was playing.
    pub(crate) fn stop(&mut self) -> bool {
        self.asked.take().is_some_and(|asked| asked.running.is_some())
    }

    /// Takes in what one frame shows of the face that is asked, and whom the same frame matched. `random` is fresh.
    pub(crate) fn take(
        &mut self,
        sample: LightSample,
        person: Option<PersonKey>,
        random: [u8; 8],
        now_ms: u64,
        policy: &LightPolicy,
    ) -> Step {
        let Some(asked) = &mut self.asked else { return Step::Nothing };
        let (began_ms, first) = *asked.first.get_or_insert((now_ms, person));
        asked.is_one_face &= first == person;

        if let Some((challenge, played_ms)) = &mut asked.running {
            challenge.take(&since(sample, now_ms, *played_ms));
            let over_ms = played_ms.saturating_add(u64::from(challenge.code().duration_ms()));
            // The last frames show the code's end when the camera's delay is over.
            if now_ms < over_ms.saturating_add(u64::from(policy.latency_min_ms)) {
                return Step::Nothing;
            }
            let Answer { verdict, .. } = challenge.finish(policy);
            let is_mixed = verdict == Verdict::BonaFide && !asked.is_one_face;
            let verdict = if is_mixed { Verdict::Unusable(Unusable::AnotherFace) } else { verdict };
            self.asked = None;
            return Step::Answered { verdict, began_ms };
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
