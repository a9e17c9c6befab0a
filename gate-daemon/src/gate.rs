//! The way of the data, straight down: frame → faces → tracks → chips → encoding → identification → decision.
//!
//! ```text
//!  frame ──moves?──detect──▶ faces ──track──▶ tracks ──align──▶ chips ──measure──▶ quality
//!                                                          │ nearest, good enough
//!                                                          ├──look closer──encode──▶ probe ──search──▶ lookup
//!                                                          └──liveness──▶ pad look                       │
//!                                 sighting (one value, bounded) ◀───────────┴────────────────────────────┘
//!                                     └──▶ Decider.step(sighting, now) ──▶ actions
//! ```

use anyhow::{Context, Result};
use gate_core::decision::{Actions, Decider, FaceSighting, Lookup, Now, Sighting};
use gate_core::geometry::{Face, Rect};
use gate_core::light::{LightSample, Sampler};
use gate_core::liveness::PadLook;
use gate_core::motion::Stillness;
use gate_core::picture::Rgb;
use gate_core::policy::Policy;
use gate_core::track::{FACES_MAX, TrackId, Tracker};
use gate_site::{Members, Site};
use gate_vision::{Liveness, Portrait, Vision, portrait};
use std::sync::Arc;
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// How long each stage of one frame took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Finding faces.
    pub detect: Duration,
    /// Cutting out and measuring.
    pub align: Duration,
    /// The encoder's network; zero when nobody was encoded.
    pub encode: Duration,
    /// The search through the gallery.
    pub search: Duration,
    /// Whether the face is live: the network and the cues beside it.
    pub liveness: Duration,
    /// Tracks, evidence, decision.
    pub decide: Duration,
}

/// One face as it was seen, for diagnosis and pictures. Holds scores: it stays on this machine.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// The detected face.
    pub face: Face,
    /// What the decider is told of it.
    pub sighting: FaceSighting,
    /// Whether it is taken for a picture.
    pub attack: bool,
}

/// Everything between a frame and a decision.
pub struct Gate {
    vision: Vision,
    liveness: Option<Liveness>,
    stillness: Stillness,
    tracker: Tracker,
    members: Arc<Members>,
    decider: Decider,
    /// Reads the lamp's light off the face that is asked.
    sampler: Option<(TrackId, Sampler)>,
    seen: Vec<Seen>,
    timings: Timings,
}

impl Gate {
    /// A gate that knows `members`; `policy` without its tau, which comes with them. Without `liveness` frames are not asked
    /// whether a face is live; where the policy wants to know, nobody is let in then.
    pub fn new(vision: Vision, liveness: Option<Liveness>, members: Arc<Members>, policy: Policy) -> Self {
        let policy = Policy { tau: members.tau().d2, ..policy };
        Self {
            vision,
            liveness,
            stillness: Stillness::default(),
            tracker: Tracker::new(policy.track_lost_ms),
            members,
            decider: Decider::new(policy),
            sampler: None,
            seen: Vec::with_capacity(FACES_MAX),
            timings: Timings::default(),
        }
    }

    /// Looks at one frame and decides.
    ///
    /// # Errors
    /// When a network cannot be run. Nothing was decided then.
    pub fn look(&mut self, picture: Rgb<'_>, now: Now) -> Result<Actions> {
        let mut watch = Stopwatch::start();
        // Where nobody was and nothing has moved, nobody is.
        let is_still = self.stillness.is_still(picture, now.mono_ms);
        let faces = if is_still { Vec::new() } else { self.vision.detect(picture).context("looking for faces")? };
        if !is_still {
            self.stillness.looked(!faces.is_empty(), now.mono_ms);
        }
        self.timings = Timings { detect: watch.lap(), ..Timings::default() };

        let portraits: Vec<Portrait> =
            faces.iter().take(FACES_MAX).filter_map(|face| portrait(picture, face)).collect();
        self.timings.align = watch.lap();

        let boxes: Vec<Rect> = portraits.iter().map(|p| p.face.rect).collect();
        let tracks = self.tracker.update(&boxes, now.mono_ms);
        if let Some(liveness) = self.liveness.as_mut().filter(|_| !portraits.is_empty()) {
            liveness.remember(picture, now.mono_ms);
        }
        let mut sighting = Sighting { random: self.random()?, ..Sighting::default() };
        self.seen.clear();
        for (place, (portrait, track)) in portraits.iter().zip(tracks).enumerate() {
            self.timings.decide += watch.lap();
            // Faces come largest first: only the nearest can be granted, so only that one is worth an encoding.
            let good = portrait.quality.refusal(&self.decider.policy().quality).is_none();
            let (lookup, pad) = if place == 0 && good {
                (self.identify(picture, portrait, &mut watch)?, self.look_for_life(picture, portrait, &mut watch)?)
            } else {
                (Lookup::NotDone, None)
            };
            let light = self.read_light(picture, &portrait.face, track);
            let face = FaceSighting { track, quality: portrait.quality, lookup, pad, light };
            self.seen.push(Seen { face: portrait.face, sighting: face, attack: false });
            // There is room: both hold FACES_MAX.
            let _ = sighting.faces.push(face);
        }
        let actions = self.decider.step(&sighting, now);
        for seen in &mut self.seen {
            seen.attack = self.decider.is_attack(seen.sighting.track);
        }
        self.timings.decide += watch.lap();
        Ok(actions)
    }

    /// Who is this? Asked only of a face that is good enough to be granted on.
    fn identify(&mut self, picture: Rgb<'_>, portrait: &Portrait, watch: &mut Stopwatch) -> Result<Lookup> {
        let closer = self.vision.look_closer(picture, &portrait.face).context("looking at a face")?;
        self.timings.detect += watch.lap();
        let Some(closer) = closer else { return Ok(Lookup::Unclear) };
        let probe = self.vision.encode_clear(&closer.chip).context("encoding a face")?;
        self.timings.encode = watch.lap();
        let Some(probe) = probe else { return Ok(Lookup::Unclear) };
        let lookup = self.members.look_up(probe);
        self.timings.search = watch.lap();
        Ok(lookup)
    }

    /// Is it live? Asked of the same face.
    fn look_for_life(
        &mut self,
        picture: Rgb<'_>,
        portrait: &Portrait,
        watch: &mut Stopwatch,
    ) -> Result<Option<PadLook>> {
        let Some(liveness) = &mut self.liveness else { return Ok(None) };
        let look = liveness.look(picture, &portrait.face.rect).context("telling a live face from a picture")?;
        self.timings.liveness = watch.lap();
        Ok(Some(look))
    }

    /// How does it answer the lamp? Read off the face that is asked.
    fn read_light(&mut self, picture: Rgb<'_>, face: &Face, track: TrackId) -> Option<LightSample> {
        if self.decider.asked() != Some(track) {
            self.sampler = self.sampler.take().filter(|(asked, _)| *asked != track);
            return None;
        }
        if self.sampler.as_ref().is_none_or(|(asked, _)| *asked != track) {
            self.sampler = Some((track, Sampler::around(face)));
        }
        // The decider counts the time from the code's beginning.
        self.sampler.as_mut()?.1.sample(&picture, face, 0)
    }

    /// What nobody can know before: the lamp's next code is drawn from it.
    fn random(&self) -> Result<[u8; 8]> {
        let mut random = [0; 8];
        if self.decider.policy().liveness.mode.is_active() {
            getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("the system gives no random numbers: {e}"))?;
        }
        Ok(random)
    }

    /// Puts another gallery in force, between two frames.
    pub fn replace(&mut self, members: Arc<Members>) {
        self.decider.gallery_changed(members.tau().d2);
        self.members = members;
    }

    /// Puts another configuration in force, between two frames: its policy, and its people with their threshold.
    pub fn reconfigure(&mut self, site: &Site, members: Arc<Members>, now: Now) -> Actions {
        let policy = site.policy(members.tau().d2, self.liveness.as_ref());
        self.tracker.set_lost_ms(policy.track_lost_ms);
        self.sampler = None;
        self.members = members;
        self.decider.set_policy(policy, now)
    }

    /// Everybody who can be recognised now.
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The decider, for ticks, faults and state.
    pub fn decider(&mut self) -> &mut Decider {
        &mut self.decider
    }

    /// What the last frame has shown.
    pub fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// What the last frame has cost.
    pub fn timings(&self) -> Timings {
        self.timings
    }
}
