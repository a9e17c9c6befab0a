//! The gate as the daemon drives it, and all that an attacker can put before its camera.
//!
//! Faces are points: an embedding, a liveness score and an answer to the lamp each. The gate's own tracker and decider see
//! them frame by frame, compared only when the decider wants them compared.

use gate_core::comparison::Comparison;
use gate_core::decision::{Action, Actions, Decider, Event, FaceSighting, Identification, Lookup, Now, Sighting};
use gate_core::gate::State;
use gate_core::geometry::{Point, Pose, Rect};
use gate_core::light::{Code, LightPolicy, LightSample, Patch};
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::{PadMode, PadPolicy, Policy};
use gate_core::quality::Quality;
use gate_core::similarity::{dissimilarity, normalise};
use gate_core::track::{TrackId, Tracker};
use std::collections::VecDeque;

/// The only person who is enrolled.
pub const ANA: PersonKey = PersonKey(1);
/// Time between the lamp and the frame that shows it, milliseconds.
const LAMP_DELAY_MS: f32 = 60.0;
/// Length of the embeddings.
const DIM: usize = 4;

/// What stands before the camera in one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Show {
    /// Nobody.
    Nobody,
    /// The enrolled person, live.
    Ana,
    /// Her photo, which the liveness network knows for one.
    Photo,
    /// Her photo, on which the network stays unsure.
    UnsurePhoto,
    /// The attacker, live and not enrolled.
    Stranger,
    /// An attacker who resembles her, just beyond the threshold.
    LookAlike,
    /// A photo of somebody who is not enrolled.
    StrangersPhoto,
    /// The attacker's own face, out of focus: live, never compared.
    Blurred,
    /// The attacker's own face, turned away: live, never compared.
    Turned,
    /// The attacker beside her photo.
    Beside,
}

impl Show {
    /// Everything there is to show.
    pub const ALL: [Show; 10] = [
        Show::Nobody,
        Show::Ana,
        Show::Photo,
        Show::UnsurePhoto,
        Show::Stranger,
        Show::LookAlike,
        Show::StrangersPhoto,
        Show::Blurred,
        Show::Turned,
        Show::Beside,
    ];

    /// What an attacker has who is alone: everything but her.
    pub fn alone() -> Vec<Show> {
        Self::ALL.into_iter().filter(|show| *show != Show::Ana).collect()
    }

    /// Whether this breaks the view of Ana's face: nobody, or a face that is not hers and can be compared. Not a look-alike,
    /// whose face the encoder takes for hers, though it does not match: such a frame takes one of hers back and carries none.
    pub fn interrupts(self) -> bool {
        use Show::{Beside, Nobody, Stranger, StrangersPhoto};
        matches!(self, Nobody | Stranger | StrangersPhoto | Beside)
    }

    fn faces(self) -> &'static [Being] {
        match self {
            Show::Nobody => &[],
            Show::Ana => &[Being::Ana],
            Show::Photo => &[Being::Photo],
            Show::UnsurePhoto => &[Being::UnsurePhoto],
            Show::Stranger => &[Being::Stranger],
            Show::LookAlike => &[Being::LookAlike],
            Show::StrangersPhoto => &[Being::StrangersPhoto],
            Show::Blurred => &[Being::Blurred],
            Show::Turned => &[Being::Turned],
            Show::Beside => &[Being::Stranger, Being::Photo],
        }
    }
}

/// One face.
#[derive(Clone, Copy, PartialEq)]
enum Being {
    Ana,
    Photo,
    UnsurePhoto,
    Stranger,
    LookAlike,
    StrangersPhoto,
    Blurred,
    Turned,
}

impl Being {
    /// Log-odds of "bona fide".
    fn score(self) -> f32 {
        match self {
            Being::Photo | Being::StrangersPhoto => -8.0,
            Being::UnsurePhoto => -2.5,
            _ => 6.0,
        }
    }

    fn is_flat(self) -> bool {
        matches!(self, Being::Photo | Being::UnsurePhoto | Being::StrangersPhoto)
    }

    fn quality(self) -> Quality {
        let yaw_deg = if self == Being::Turned { 70.0 } else { 5.0 };
        Quality {
            face_px: 120.0,
            visible_part: 1.0,
            pose: Pose { yaw_deg, ..Pose::default() },
            sharpness: if self == Being::Blurred { 0.5 } else { 20.0 },
            luma: 120.0,
        }
    }
}

/// How the gate is set up in one search.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Frames a second.
    pub fps: u64,
    /// Which evidence of life is asked for.
    pub mode: PadMode,
    /// The threshold in force.
    pub tau: f32,
}

impl Setup {
    /// Each frame rate with each mode and the thresholds of one person and of a thousand (`models/sface.toml`).
    pub fn all() -> Vec<Setup> {
        let mut all = Vec::new();
        for fps in [15, 7, 30] {
            for mode in [PadMode::Passive, PadMode::Active, PadMode::Both] {
                for tau in [1.268, 0.960] {
                    all.push(Setup { fps, mode, tau });
                }
            }
        }
        all
    }
}

/// A grant that nobody earned.
#[derive(Clone, Debug, PartialEq)]
pub struct Breach(pub &'static str);

/// One frame, as it really was.
#[derive(Clone, Copy)]
struct Truth {
    at_ms: u64,
    show: Show,
}

/// The gate and the place before it.
#[derive(Clone)]
pub struct World {
    setup: Setup,
    tracker: Tracker,
    decider: Decider,
    frames: u64,
    lamp: Option<(Code, u64)>,
    /// What was shown within the evidence's window and while the lamp played, oldest first.
    shown: VecDeque<Truth>,
    /// When the code of the last challenge began.
    asked_ms: Option<u64>,
    /// People let in so far.
    pub grants: u32,
    /// Whether an alarm or a lock-out has been raised.
    pub noticed: bool,
}

impl World {
    /// A gate at which nothing has happened yet.
    pub fn new(setup: Setup) -> Self {
        let liveness = PadPolicy { mode: setup.mode, ..PadPolicy::default() };
        let policy = Policy { tau: setup.tau, liveness, ..Policy::default() };

        Self {
            setup,
            tracker: Tracker::new(policy.track_lost_ms),
            decider: Decider::new(policy),
            frames: 0,
            lamp: None,
            shown: VecDeque::new(),
            asked_ms: None,
            grants: 0,
            noticed: false,
        }
    }

    fn now(&self) -> Now {
        Now { mono_ms: 10_000 + self.frames * 1_000 / self.setup.fps, wall_ms: 0 }
    }

    /// Shows the camera one frame.
    pub fn frame(&mut self, show: Show) -> Result<(), Breach> {
        self.frames += 1;
        let now = self.now();
        while let Some(due) = self.decider.deadline_ms().filter(|due| *due < now.mono_ms) {
            let actions = self.decider.tick(Now { mono_ms: due, ..now });
            self.act(&actions, now)?;
        }

        self.shown.push_back(Truth { at_ms: now.mono_ms, show });
        while self.shown.front().is_some_and(|truth| now.mono_ms - truth.at_ms > 4_000) {
            self.shown.pop_front();
        }

        let sighting = self.sighting(show, now);
        let actions = self.decider.step(&sighting, now);
        self.act(&actions, now)
    }

    /// Does with a frame what the daemon does with one: a glance, and a whole look at a face that is worth one.
    fn sighting(&mut self, show: Show, now: Now) -> Sighting {
        let beings = show.faces();
        let rects: Vec<Rect> = (0..beings.len())
            .map(|place| Rect { x: 260.0 + 160.0 * place as f32, y: 150.0, w: 120.0, h: 150.0 })
            .collect();
        let mut sighting = Sighting { glance: !self.decider.expects(now), ..Sighting::default() };
        sighting.random = (now.mono_ms ^ 0x5DEE_CE66).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
        self.find(&mut sighting, beings, &rects, now);
        if sighting.glance && self.wants_nearest(&sighting, now) {
            sighting.glance = false;
            self.find(&mut sighting, beings, &rects, now);
        }

        if !sighting.glance && self.wants_nearest(&sighting, now) {
            let probe = probe(beings[0], self.setup.tau);
            let nearest = sighting.faces[0].track;
            let same_face_d2 = self.decider.policy().same_face_d2;
            sighting.faces[0].track = self.tracker.confirm(nearest, &probe, &Comparison::Distance, same_face_d2);
            sighting.faces[0].lookup = self.look_up(&probe);
            sighting.faces[0].pad = Some(PadLook::of_score(beings[0].score()));
        }

        for (place, being) in beings.iter().enumerate() {
            if self.decider.asked() == Some(sighting.faces[place].track) {
                sighting.faces[place].light = Some(self.light(*being, now));
            }
        }
        sighting
    }

    fn find(&mut self, sighting: &mut Sighting, beings: &[Being], rects: &[Rect], now: Now) {
        let tracks = self.tracker.update(rects, now.mono_ms);
        let bare = |(being, track): (&Being, TrackId)| FaceSighting {
            track,
            quality: being.quality(),
            lookup: Lookup::NotDone,
            pad: None,
            light: None,
        };
        sighting.faces = beings.iter().zip(tracks).map(bare).collect();
    }

    fn wants_nearest(&self, sighting: &Sighting, now: Now) -> bool {
        sighting.faces.first().is_some_and(|nearest| self.decider.wants(nearest, sighting, now))
    }

    fn look_up(&self, probe: &[f32; DIM]) -> Lookup {
        let d2 = dissimilarity(probe, &reference());
        Lookup::Found(Identification { person: ANA, access: Access::default(), d2, runner_up_d2: Some(1.9) })
    }

    /// What the camera sees of the face: the lamp's light of a moment ago, on a head or on a sheet.
    fn light(&self, being: Being, now: Now) -> LightSample {
        let lit = self.lamp.map_or(0.0, |(code, began_ms)| {
            let seen = now.mono_ms.saturating_sub(began_ms) as f32 - LAMP_DELAY_MS;
            code.lit_part(seen - 8.0, seen + 8.0)
        });
        let head = LightPolicy::default().head;
        let luma = |light: f32| Patch { luma: 255.0 * (0.2 * light).powf(1.0 / 2.2), saturated: 0.0 };
        let relief = if being.is_flat() { 0.0 } else { 1.0 };
        let on = |i: usize| (0.5 + 0.02 * i as f32) * (1.0 + lit * 0.3 * (1.0 + relief * head[i]));

        LightSample {
            at_ms: 0,
            face: std::array::from_fn(|i| luma(on(i))),
            background: std::array::from_fn(|i| luma((0.4 + 0.1 * i as f32) * (1.0 + 0.02 * lit))),
            centre: Point { x: 320.0, y: 240.0 },
            size_px: 150.0,
        }
    }

    fn act(&mut self, actions: &Actions, now: Now) -> Result<(), Breach> {
        for action in actions {
            match action {
                Action::Light(code) => {
                    self.lamp = code.map(|code| (code, now.mono_ms));
                    self.asked_ms = code.map(|_| now.mono_ms).or(self.asked_ms);
                }
                Action::Relay(true) => self.decider.relay_is_on(now),
                Action::Log(Event::Granted { person, .. }) => {
                    self.grants += 1;
                    self.earned(*person, now)?;
                }
                Action::Log(Event::Lockout { present, .. } | Event::Alarm { present, .. }) => self.noticed |= present,
                _ => {}
            }
        }
        Ok(())
    }

    /// The promise: a grant is for a person who was live before the camera during the frames that it rests on.
    fn earned(&self, person: PersonKey, now: Now) -> Result<(), Breach> {
        if person != ANA {
            return Err(Breach("granted somebody who is not enrolled"));
        }
        let policy = self.decider.policy();
        let wanted = usize::from(policy.agreeing_frames);

        // Frames that are judged one by one: she was live in each, without an interruption, and is now.
        if self.setup.mode.is_passive() {
            if self.shown.back().is_none_or(|truth| truth.show != Show::Ana) {
                return Err(Breach("granted while the person was not there"));
            }
            let unbroken = self.shown.iter().rev().take_while(|truth| !truth.show.interrupts());
            let window_ms = u64::from(policy.window_ms);
            let live = unbroken.filter(|truth| truth.show == Show::Ana && now.mono_ms - truth.at_ms <= window_ms);
            if live.count() < wanted {
                return Err(Breach("granted on frames in which the person was not live"));
            }
        }

        // A challenge is judged as a whole: from its code on nobody's face but hers was seen, and she was live.
        if self.setup.mode.is_active() {
            let Some(asked_ms) = self.asked_ms else { return Err(Breach("granted without a challenge")) };
            let since: Vec<Show> =
                self.shown.iter().filter(|truth| truth.at_ms > asked_ms).map(|truth| truth.show).collect();
            if since.iter().any(|show| !matches!(show, Show::Ana | Show::Photo | Show::UnsurePhoto)) {
                return Err(Breach("granted on a challenge that somebody else has answered"));
            }
            if since.iter().filter(|show| **show == Show::Ana).count() < wanted {
                return Err(Breach("granted on a challenge that a photo has answered"));
            }
        }
        Ok(())
    }

    /// The gate's state as it can be told from outside, without its history: what the guided search wants to see new.
    pub fn signature(&self) -> u64 {
        let state = match self.decider.state() {
            State::Boot => 0,
            State::Locked => 1,
            State::Unlocked { .. } => 2,
            State::Faulted => 3,
        };
        let gate = state
            | u64::from(self.decider.asked().is_some()) << 2
            | u64::from(self.lamp.is_some()) << 3
            | u64::from(self.noticed) << 4
            | u64::from(self.grants.min(3)) << 5;

        let last_two = self.shown.iter().rev().take(2);
        last_two.fold(gate, |hash, truth| (hash ^ truth.show as u64).wrapping_mul(0x0100_0000_01B3))
    }
}

/// Ana's reference.
fn reference() -> [f32; DIM] {
    unit([1.0, 0.0, 0.0, 0.0])
}

/// The embedding of a face. A look-alike stays just beyond the threshold that is in force.
fn probe(being: Being, tau: f32) -> [f32; DIM] {
    match being {
        Being::Ana => unit([0.75, 0.66, 0.0, 0.0]),
        Being::Photo | Being::UnsurePhoto => unit([0.75, 0.60, 0.28, 0.0]),
        Being::LookAlike => {
            let cosine = 1.0 - 0.5 * (tau + 0.03);
            let rest = (1.0 - cosine * cosine).sqrt();
            unit([cosine, rest * 0.6, 0.0, rest * 0.8])
        }
        Being::StrangersPhoto => unit([0.1, 0.0, -1.0, 0.2]),
        Being::Stranger | Being::Blurred | Being::Turned => unit([0.2, 0.0, 0.1, 0.97]),
    }
}

fn unit(mut vector: [f32; DIM]) -> [f32; DIM] {
    assert!(normalise(&mut vector));
    vector
}
