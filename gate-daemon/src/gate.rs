//! The way of the data, straight down: frame → faces → tracks → chips → encoding → identification → decision.
//!
//! ```text
//!  frame ──moves?──glance──▶ faces ──align──▶ chips ──measure──▶ quality ──track──▶ tracks ─┐
//!                     ▲         one that the decider wants compared: once more, by detect   │
//!                     └─────────────────────────────────────────────────────────────────────┤ nearest, wanted
//!                                          ┌── probe ◀──encode──look closer─────────────────┤
//!                                       search                         pad look ◀──liveness─┘
//!                                          └──▶ lookup ──▶ sighting (one value, bounded) ◀──┘
//!                                                             └──▶ Decider.step(sighting, now) ──▶ actions
//! ```
//! What costs most is done only for a face of which the decider says that comparing it could change something; every other
//! frame is glanced at. The steady state allocates nothing (but for what ONNX Runtime and its binding do).

use anyhow::{Context, Result};
use gate_core::decision::{Actions, Decider, FaceSighting, Lookup, Now, Sighting};
use gate_core::geometry::{Face, Faces, Rect};
use gate_core::light::{LightSample, Sampler};
use gate_core::liveness::PadLook;
use gate_core::motion::Stillness;
use gate_core::picture::Rgb;
use gate_core::policy::Policy;
use gate_core::track::{FACES_MAX, TrackId, Tracker};
use gate_site::{Members, Site};
use gate_vision::align::{Chip, align, new_chip};
use gate_vision::{Liveness, Vision, cut_out};
use std::sync::Arc;
use std::time::Duration;

use crate::stopwatch::Stopwatch;

/// How long each stage of one frame took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timings {
    /// Finding faces: a glance, the whole look where it is worth it, the closer look.
    pub detect: Duration,
    /// Cutting out and measuring; tracks.
    pub align: Duration,
    /// The encoder's network; zero when nobody was encoded.
    pub encode: Duration,
    /// The search through the gallery.
    pub search: Duration,
    /// Whether the face is live: the network and the cues beside it.
    pub liveness: Duration,
    /// Evidence, decision.
    pub decide: Duration,
    /// What of all of it ONNX Runtime took, for the networks.
    pub networks: Duration,
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
    chip: Chip,
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
            chip: new_chip(),
            timings: Timings::default(),
        }
    }

    /// Looks at one frame and decides.
    ///
    /// # Errors
    /// When a network cannot be run. Nothing was decided then.
    pub fn look(&mut self, picture: Rgb<'_>, now: Now) -> Result<Actions> {
        let mut watch = Stopwatch::start();
        let before = self.vision.in_runtime();
        self.timings = Timings::default();
        let mut sighting =
            Sighting { random: self.random()?, glance: !self.decider.expects(now), ..Sighting::default() };
        // Where nobody was and nothing has moved, nobody is.
        if self.stillness.is_still(picture, now.mono_ms) {
            self.seen.clear();
        } else {
            self.find(picture, &mut sighting, now, &mut watch)?;
            if sighting.glance && self.wants_nearest(&sighting, now) {
                sighting.glance = false;
                if !self.vision.is_glance_whole(picture, self.decider.policy().quality.min_face_px) {
                    self.find(picture, &mut sighting, now, &mut watch)?;
                }
            }
            self.stillness.looked(!self.seen.is_empty(), now.mono_ms);
        }
        // Only the nearest can be granted, so only that one is worth an encoding.
        if !sighting.glance && self.wants_nearest(&sighting, now) {
            let face = self.seen[0].face;
            let track = self.seen[0].sighting.track;
            let (lookup, track) = self.identify(picture, &face, track, &mut watch)?;
            self.seen[0].sighting.lookup = lookup;
            self.seen[0].sighting.track = track;
            self.seen[0].sighting.pad = self.look_for_life(picture, &face.rect, now, &mut watch)?;
        }
        for place in 0..self.seen.len() {
            let Seen { face, sighting: seen, .. } = self.seen[place];
            self.seen[place].sighting.light = self.read_light(picture, &face, seen.track);
        }

        sighting.faces = self.seen.iter().map(|seen| seen.sighting).collect();
        let actions = self.decider.step(&sighting, now);
        for seen in &mut self.seen {
            seen.attack = self.decider.is_attack(seen.sighting.track);
        }
        self.timings.decide = watch.lap();
        self.timings.networks = self.vision.in_runtime() - before;
        Ok(actions)
    }

    /// Finds the faces, nearest first, measures them and follows them from the last frame; fills `seen` and the sighting.
    fn find(&mut self, picture: Rgb<'_>, sighting: &mut Sighting, now: Now, watch: &mut Stopwatch) -> Result<()> {
        let faces: Faces = if sighting.glance {
            self.vision.glance(picture, self.decider.policy().quality.min_face_px)
        } else {
            self.vision.detect(picture)
        }
        .context("looking for faces")?;
        self.timings.detect += watch.lap();
        self.seen.clear();
        for face in faces.iter().take(FACES_MAX) {
            let Some(quality) = cut_out(picture, face, &mut self.chip) else { continue };
            let track = TrackId(0);
            let sighting = FaceSighting { track, quality, lookup: Lookup::NotDone, pad: None, light: None };
            self.seen.push(Seen { face: *face, sighting, attack: false });
        }
        let mut boxes = [Rect::default(); FACES_MAX];
        boxes.iter_mut().zip(&self.seen).for_each(|(to, seen)| *to = seen.face.rect);
        let tracks = self.tracker.update(&boxes[..self.seen.len()], now.mono_ms);
        for (seen, track) in self.seen.iter_mut().zip(tracks) {
            seen.sighting.track = track;
        }
        sighting.faces = self.seen.iter().map(|seen| seen.sighting).collect();
        self.timings.align += watch.lap();
        Ok(())
    }

    fn wants_nearest(&self, sighting: &Sighting, now: Now) -> bool {
        self.seen.first().is_some_and(|nearest| self.decider.wants(&nearest.sighting, sighting, now))
    }

    /// Who is this, and is it still the face that `track` is of?
    fn identify(
        &mut self,
        picture: Rgb<'_>,
        face: &Face,
        track: TrackId,
        watch: &mut Stopwatch,
    ) -> Result<(Lookup, TrackId)> {
        let closer = self.vision.look_closer(picture, face).context("looking at a face")?;
        self.timings.detect += watch.lap();
        let is_cut = align(picture, &closer, &mut self.chip);
        self.timings.align += watch.lap();
        if !is_cut {
            return Ok((Lookup::Unclear, track));
        }

        let probe = self.vision.encode_clear(&self.chip).context("encoding a face")?;
        self.timings.encode = watch.lap();
        let Some(probe) = probe else { return Ok((Lookup::Unclear, track)) };

        let lookup = self.members.look_up(probe);
        let comparer = self.members.comparer();
        let same_face_d2 = self.decider.policy().same_face_d2;
        let track = self.tracker.confirm(track, &comparer.adapt(probe), &comparer.comparison(), same_face_d2);
        self.timings.search = watch.lap();
        Ok((lookup, track))
    }

    /// Is it live?
    fn look_for_life(
        &mut self,
        picture: Rgb<'_>,
        face: &Rect,
        now: Now,
        watch: &mut Stopwatch,
    ) -> Result<Option<PadLook>> {
        let Some(liveness) = &mut self.liveness else { return Ok(None) };
        liveness.remember(picture, now.mono_ms);
        let look = liveness.look(picture, face).context("telling a live face from a picture")?;
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
        let policy = site.policy(&members, self.liveness.as_ref());
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
