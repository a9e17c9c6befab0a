//! What a person at the gate would care about, told as short scenes.

use gate_core::decision::{
    Action, Decider, Event, FaceSighting, Identification, Lookup, Now, SETTLED_LOOK_MS, Sighting,
};
use gate_core::gate::{Fault, State};
use gate_core::liveness::PadLook;
use gate_core::person::{Access, PersonKey};
use gate_core::policy::{PadMode, PadPolicy, Policy, SeveralFaces};
use gate_core::quality::Quality;
use gate_core::reason::Reason;
use gate_core::track::TrackId;

const ANA: PersonKey = PersonKey(1);
const BO: PersonKey = PersonKey(2);
const FRAME_MS: u64 = 66;
/// What a live face and what a good photograph look like to the liveness network.
const LIVE: PadLook = PadLook { score: 6.0, outline: 4.8, surroundings: None };
const PHOTO: PadLook = PadLook { score: -8.0, ..LIVE };

fn face(track: u32, person: PersonKey, d2: f32) -> FaceSighting {
    let quality = Quality { face_px: 120.0, visible_part: 1.0, sharpness: 20.0, luma: 120.0, ..Quality::default() };
    let found = Identification { person, access: Access::default(), d2, runner_up_d2: Some(1.9) };
    FaceSighting { track: TrackId(track), quality, lookup: Lookup::Found(found), pad: Some(LIVE), light: None }
}

/// The same face on a photograph.
fn photo(track: u32, person: PersonKey) -> FaceSighting {
    FaceSighting { pad: Some(PHOTO), ..face(track, person, 0.5) }
}

struct Scene {
    decider: Decider,
    mono_ms: u64,
    events: Vec<Event>,
}

impl Scene {
    fn new(policy: Policy) -> Self {
        Self { decider: Decider::new(policy), mono_ms: 0, events: Vec::new() }
    }

    fn now(&self) -> Now {
        Now { mono_ms: self.mono_ms, wall_ms: 1_000_000 + self.mono_ms as i64 }
    }

    /// Shows the same faces in `frames` frames.
    fn show(&mut self, frames: usize, faces: &[FaceSighting]) -> &mut Self {
        for _ in 0..frames {
            self.mono_ms += FRAME_MS;
            let sighting = Sighting { faces: faces.iter().copied().collect(), ..Sighting::default() };
            let actions = self.decider.step(&sighting, self.now());
            self.events.extend(actions.iter().filter_map(|a| match a {
                Action::Log(event) => Some(*event),
                _ => None,
            }));
        }
        self
    }

    /// Shows one face as the daemon does, compared only when the decider wants it to be; says in how many frames it did.
    fn show_sparingly(&mut self, frames: usize, face: FaceSighting) -> usize {
        let mut compared = 0;
        for _ in 0..frames {
            let now = Now { mono_ms: self.mono_ms + FRAME_MS, ..self.now() };
            let bare = FaceSighting { lookup: Lookup::NotDone, pad: None, ..face };
            let glance = Sighting { faces: [bare].into_iter().collect(), glance: true, ..Sighting::default() };
            if self.decider.wants(&bare, &glance, now) {
                compared += 1;
                self.show(1, &[face]);
            } else {
                self.mono_ms += FRAME_MS;
                let actions = self.decider.step(&glance, self.now());
                assert!(!actions.iter().any(|a| matches!(a, Action::Relay(true))), "a glance has opened the gate");
            }
        }
        compared
    }

    fn grants(&self) -> Vec<PersonKey> {
        let granted = |e: &Event| if let Event::Granted { person, .. } = e { Some(*person) } else { None };
        self.events.iter().filter_map(granted).collect()
    }

    fn refusals(&self) -> Vec<Reason> {
        let refused = |e: &Event| if let Event::Refused { reason, .. } = e { Some(*reason) } else { None };
        self.events.iter().filter_map(refused).collect()
    }
}

#[test]
fn an_enrolled_person_is_let_in_once_and_the_gate_locks_after_the_pulse() {
    let mut scene = Scene::new(Policy { pulse_ms: 1_000, ..Policy::default() });
    scene.show(2, &[face(1, ANA, 0.5)]);
    assert!(scene.grants().is_empty(), "two frames are not yet enough");
    scene.show(1, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA]);
    assert!(matches!(scene.decider.state(), State::Unlocked { .. }));
    scene.show(20, &[]);
    assert_eq!(scene.decider.state(), State::Locked);
    assert!(scene.refusals().is_empty());
}

#[test]
fn somebody_who_stays_is_let_in_again_only_after_a_rest() {
    let mut scene = Scene::new(Policy { pulse_ms: 500, regrant_after_ms: 5_000, ..Policy::default() });
    scene.show(60, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants().len(), 1, "within the rest");
    scene.show(60, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants().len(), 2, "after the rest");
}

#[test]
fn a_lost_track_is_no_way_around_the_rest() {
    let mut scene = Scene::new(Policy { pulse_ms: 500, regrant_after_ms: 5_000, ..Policy::default() });
    scene.show(5, &[face(1, ANA, 0.5)]).show(20, &[]).show(10, &[face(2, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA], "the same person on another track, within the rest");
    scene.show(5, &[face(3, BO, 0.5)]);
    assert_eq!(scene.grants(), [ANA, BO], "somebody else need not wait");
}

#[test]
fn a_stranger_stays_outside_and_is_told_once() {
    let mut scene = Scene::new(Policy::default());
    scene.show(60, &[face(1, ANA, 1.6)]);
    assert!(scene.grants().is_empty());
    assert_eq!(scene.refusals(), [Reason::Unknown]);
}

#[test]
fn a_grant_never_serves_the_next_person() {
    let mut scene = Scene::new(Policy::default());
    scene.show(2, &[face(1, ANA, 0.5)]).show(40, &[face(2, BO, 1.6)]);
    assert!(scene.grants().is_empty(), "another track inherits nothing");
    scene.show(2, &[face(3, ANA, 0.5)]).show(1, &[face(3, BO, 0.5)]).show(1, &[face(3, ANA, 0.5)]);
    assert!(scene.grants().is_empty(), "another identity on the same track starts afresh");
}

#[test]
fn looking_like_ana_in_some_frames_only_is_not_enough() {
    let mut scene = Scene::new(Policy::default());
    for _ in 0..30 {
        scene.show(1, &[face(1, ANA, 0.9)]).show(1, &[face(1, ANA, 1.3)]);
    }
    assert!(scene.grants().is_empty());
}

#[test]
fn a_stranger_who_comes_near_for_some_moments_stays_outside() {
    let policy = Policy { tau: 1.2, ..Policy::default() };
    let mut scene = Scene::new(policy);
    scene.show(12, &[face(1, ANA, 1.27)]).show(6, &[face(1, ANA, 1.16)]).show(12, &[face(1, ANA, 1.3)]);
    assert!(scene.grants().is_empty(), "on average they are a stranger");
    // Ana herself, seen badly at first, is let in as soon as she is seen well.
    let mut scene = Scene::new(policy);
    scene.show(4, &[face(1, ANA, 1.3)]).show(3, &[face(1, ANA, 0.6)]);
    assert_eq!(scene.grants(), [ANA]);
}

#[test]
fn two_people_are_refused_or_the_nearest_is_taken() {
    let far = FaceSighting { quality: Quality { face_px: 90.0, ..face(2, BO, 0.4).quality }, ..face(2, BO, 0.4) };
    let mut refuse = Scene::new(Policy::default());
    refuse.show(30, &[face(1, ANA, 0.5), far]);
    assert!(refuse.grants().is_empty());
    assert_eq!(refuse.refusals(), [Reason::SeveralFaces, Reason::SeveralFaces], "one for each of the two");

    let mut nearest = Scene::new(Policy { several_faces: SeveralFaces::Nearest, ..Policy::default() });
    nearest.show(30, &[face(1, ANA, 0.5), far]);
    assert_eq!(nearest.grants(), [ANA]);
}

#[test]
fn a_queue_in_the_background_disturbs_nobody() {
    let small = FaceSighting { quality: Quality { face_px: 50.0, ..face(2, BO, 0.4).quality }, ..face(2, BO, 0.4) };
    let mut scene = Scene::new(Policy::default());
    scene.show(10, &[face(1, ANA, 0.5), small]);
    assert_eq!(scene.grants(), [ANA]);
    assert!(scene.refusals().is_empty());
}

#[test]
fn two_enrolled_people_too_close_to_call_open_nothing() {
    let mut twin = face(1, ANA, 0.5);
    twin.lookup =
        Lookup::Found(Identification { person: ANA, access: Access::default(), d2: 0.5, runner_up_d2: Some(0.52) });
    let mut scene = Scene::new(Policy::default());
    scene.show(30, &[twin]);
    assert!(scene.grants().is_empty());
    assert_eq!(scene.refusals(), [Reason::Ambiguous]);
}

#[test]
fn the_wrong_time_or_a_suspension_is_refused_by_name() {
    let with = |access| {
        let mut known = face(1, ANA, 0.5);
        known.lookup = Lookup::Found(Identification { person: ANA, access, d2: 0.5, runner_up_d2: None });
        let mut scene = Scene::new(Policy::default());
        scene.show(30, &[known]);
        assert!(scene.grants().is_empty());
        scene.events.iter().filter(|e| matches!(e, Event::Refused { .. })).copied().collect::<Vec<_>>()
    };
    let refused = |reason| vec![Event::Refused { reason, track: TrackId(1), person: Some(ANA) }];
    assert_eq!(with(Access { suspended: true, ..Access::default() }), refused(Reason::Suspended));
    assert_eq!(with(Access { valid_until_ms: Some(5), ..Access::default() }), refused(Reason::Expired));
    assert_eq!(with(Access { valid_from_ms: Some(i64::MAX), ..Access::default() }), refused(Reason::NotYetValid));
}

#[test]
fn a_clock_set_back_refuses_whoever_has_an_end_date_and_nobody_else() {
    const YEAR_MS: i64 = 365 * 86_400_000;
    let shown = |access, known_ms| {
        let mut known = face(1, ANA, 0.5);
        known.lookup = Lookup::Found(Identification { person: ANA, access, d2: 0.5, runner_up_d2: None });
        let mut scene = Scene::new(Policy::default());
        scene.decider.raise_clock_floor(known_ms, scene.now());
        scene.show(20, &[known]);
        scene
    };
    let ends = Access { valid_until_ms: Some(YEAR_MS / 2), ..Access::default() };
    assert_eq!(shown(ends, 1_000_000).grants(), [ANA], "the clock is as right as anybody knows");

    // Half a year after her admission's end the clock shows the first day of 1970.
    let scene = shown(ends, YEAR_MS);
    let refused = Event::Refused { reason: Reason::ClockUnsure, track: TrackId(1), person: Some(ANA) };
    let told: Vec<_> = scene.events.iter().filter(|event| matches!(event, Event::Refused { .. })).collect();
    assert_eq!((scene.grants(), told), (vec![], vec![&refused]), "told once, by name");
    assert!(scene.decider.wall_clock(scene.now()).is_behind());
    assert_eq!(scene.decider.state(), State::Locked, "it is no fault that locks everybody");

    assert_eq!(shown(Access::default(), YEAR_MS).grants(), [ANA], "her admission knows no time");
}

#[test]
fn the_clocks_floor_outlives_another_policy_another_gallery_and_a_fault() {
    let mut scene = Scene::new(Policy::default());
    scene.decider.raise_clock_floor(i64::MAX / 2, scene.now());
    scene.decider.raise_clock_floor(5, scene.now());
    scene.decider.set_policy(Policy::default(), scene.now());
    scene.decider.gallery_changed(1.0);
    scene.decider.fault(Fault::Store, scene.now());
    scene.decider.clear(Fault::Store, scene.now());
    assert_eq!(scene.decider.wall_clock(scene.now()).floor_ms, i64::MAX / 2);
}

#[test]
fn a_fault_locks_at_once_and_its_end_lets_the_gate_work_again() {
    let mut scene = Scene::new(Policy::default());
    scene.show(3, &[face(1, ANA, 0.5)]);
    let actions = scene.decider.fault(Fault::Relay, scene.now());
    assert!(actions.contains(&Action::Relay(false)));
    scene.show(30, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants().len(), 1, "nothing opens while the fault stands");
    let _ = scene.decider.clear(Fault::Relay, scene.now());
    scene.show(100, &[face(2, ANA, 0.5)]);
    assert!(scene.grants().len() > 1);
}

#[test]
fn a_camera_that_goes_silent_locks_within_the_stall_time() {
    let policy = Policy { pulse_ms: 9_000, stall_ms: 2_000, ..Policy::default() };
    let mut scene = Scene::new(policy);
    scene.show(3, &[face(1, ANA, 0.5)]);
    let deadline = scene.decider.deadline_ms().expect("a stall is due");
    assert_eq!(deadline, scene.mono_ms + 2_001, "before the pulse's own end");
    scene.mono_ms = deadline;
    let actions = scene.decider.tick(scene.now());
    assert!(actions.contains(&Action::Relay(false)));
    assert_eq!(scene.decider.state(), State::Faulted);
    scene.show(1, &[]);
    assert_eq!(scene.decider.state(), State::Locked, "frames flow again");
}

#[test]
fn another_gallery_drops_evidence_gathered_under_the_old_one() {
    let mut scene = Scene::new(Policy::default());
    scene.show(2, &[face(1, ANA, 0.5)]);
    scene.decider.gallery_changed(0.8);
    scene.show(2, &[face(1, ANA, 0.5)]);
    assert!(scene.grants().is_empty());
}

#[test]
fn another_policy_counts_from_then_on_and_evidence_gathered_under_the_old_one_does_not() {
    let mut scene = Scene::new(Policy::default());
    scene.show(2, &[face(1, ANA, 0.5)]);
    assert!(scene.decider.set_policy(Policy { agreeing_frames: 4, ..Policy::default() }, scene.now()).is_empty());
    scene.show(3, &[face(1, ANA, 0.5)]);
    assert!(scene.grants().is_empty(), "four are needed now, and the two from before do not count");
    scene.show(1, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA]);
    let stricter = Policy { tau: 0.4, pulse_ms: 100, ..Policy::default() };
    let _ = scene.decider.set_policy(stricter, scene.now());
    scene.show(100, &[]).show(30, &[face(2, ANA, 0.5)]);
    assert_eq!((scene.grants(), scene.refusals()), (vec![ANA], vec![Reason::Unknown]), "by the new threshold");
}

#[test]
fn another_policy_leaves_an_open_pulse_a_lockout_and_faults_as_they_are() {
    let mut scene = Scene::new(Policy { pulse_ms: 1_000, ..Policy::default() });
    scene.show(3, &[face(1, ANA, 0.5)]);
    let State::Unlocked { until_ms } = scene.decider.state() else { panic!("{:?}", scene.events) };
    let longer = Policy { pulse_ms: 9_000, pulse_max_ms: 5_000, regrant_after_ms: 0, ..Policy::default() };
    assert!(scene.decider.set_policy(longer, scene.now()).is_empty(), "nothing is switched by it");
    assert_eq!(scene.decider.state(), State::Unlocked { until_ms }, "it ends as it would have");
    scene.show(20, &[]);
    assert_eq!(scene.decider.state(), State::Locked);
    scene.show(3, &[face(2, ANA, 0.5)]);
    let until_ms = scene.mono_ms + 5_000;
    assert_eq!(scene.decider.state(), State::Unlocked { until_ms }, "the next one is the new one, cut to its maximum");

    let _ = scene.decider.fault(Fault::Store, scene.now());
    assert!(scene.decider.set_policy(Policy::default(), scene.now()).is_empty());
    assert!(scene.decider.has(Fault::Store) && scene.decider.state() == State::Faulted, "no fault is forgotten");

    let lockout = PadPolicy { attacks_max: 1, lockout_ms: 10_000, ..PadPolicy::default() };
    let mut scene = Scene::new(Policy { liveness: lockout, ..Policy::default() });
    scene.show(20, &[photo(1, ANA)]);
    assert!(scene.events.contains(&Event::Lockout { person: ANA, present: true }), "{:?}", scene.events);
    let _ = scene.decider.set_policy(Policy::default(), scene.now());
    scene.show(30, &[face(2, ANA, 0.5)]);
    assert!(scene.grants().is_empty(), "a lock-out is not cut short by it");
}

#[test]
fn a_photograph_of_an_enrolled_person_opens_nothing_and_is_told_once() {
    let mut scene = Scene::new(Policy::default());
    scene.show(100, &[photo(1, ANA)]);
    assert!(scene.grants().is_empty());
    let attack = Event::Refused { reason: Reason::PresentationAttack, track: TrackId(1), person: Some(ANA) };
    assert_eq!(scene.events, [attack]);
    // The live person then comes in, at once.
    scene.show(10, &[]).show(3, &[face(2, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA]);
}

#[test]
fn a_face_that_nobody_looked_at_for_liveness_never_opens() {
    for mode in [PadMode::Passive, PadMode::Active, PadMode::Both] {
        let mut scene =
            Scene::new(Policy { liveness: PadPolicy { mode, ..PadPolicy::default() }, ..Policy::default() });
        scene.show(100, &[FaceSighting { pad: None, ..face(1, ANA, 0.5) }]);
        assert!(scene.grants().is_empty(), "{mode:?}");
    }
    let mut off =
        Scene::new(Policy { liveness: PadPolicy { mode: PadMode::Off, ..PadPolicy::default() }, ..Policy::default() });
    off.show(3, &[FaceSighting { pad: None, ..face(1, ANA, 0.5) }]);
    assert_eq!(off.grants(), [ANA]);
}

#[test]
fn a_phone_slid_before_a_live_face_does_not_live_off_it() {
    // Whoever stands there is live and not enrolled; then their phone, in the same place, shows somebody who is.
    let mut scene = Scene::new(Policy::default());
    scene.show(30, &[face(1, BO, 1.6)]).show(100, &[photo(1, ANA)]);
    assert!(scene.grants().is_empty(), "{:?}", scene.events);
    assert!(scene.refusals().contains(&Reason::PresentationAttack));
}

#[test]
fn repeated_attacks_lock_out_the_identity_that_is_attacked_and_nobody_else() {
    let policy = Policy {
        liveness: PadPolicy { attacks_max: 3, lockout_ms: 5_000, ..PadPolicy::default() },
        pulse_ms: 1_000,
        ..Policy::default()
    };
    let mut scene = Scene::new(policy);
    for track in 1..=3 {
        scene.show(15, &[photo(track, ANA)]).show(10, &[]);
    }
    let lockout = |present| Event::Lockout { person: ANA, present };
    assert_eq!(scene.events.last(), Some(&lockout(true)));
    scene.show(20, &[face(4, BO, 0.5)]);
    assert_eq!(scene.grants(), [BO], "one photo keeps nobody else out");
    scene.show(20, &[face(5, ANA, 0.5)]);
    assert_eq!((scene.grants(), scene.refusals().last()), (vec![BO], Some(&Reason::LockedOut)));

    let until = scene.decider.deadline_ms();
    assert!(until.is_some(), "the end is due at a known time");
    scene.show(5_000 / FRAME_MS as usize, &[]);
    assert!(scene.events.contains(&lockout(false)));
    scene.show(3, &[face(6, ANA, 0.5)]);
    assert_eq!(scene.grants(), [BO, ANA], "and then it is over");
}

#[test]
fn a_photo_that_is_withdrawn_before_the_verdict_counts_as_an_attempt() {
    let mut scene = Scene::new(Policy::default());
    for track in 1..=3 {
        scene.show(2, &[photo(track, ANA)]).show(10, &[]);
    }
    assert!(scene.events.contains(&Event::Lockout { person: ANA, present: true }), "{:?}", scene.events);

    // Whoever walks past, live, has not tried anything.
    let mut scene = Scene::new(Policy::default());
    for track in 1..=30 {
        scene.show(2, &[face(track, ANA, 0.5)]).show(10, &[]);
    }
    assert!(scene.events.is_empty(), "{:?}", scene.events);
    scene.show(3, &[face(40, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA]);
}

#[test]
fn an_hour_of_photos_keeps_nobody_else_waiting_for_long() {
    let mut scene = Scene::new(Policy { pulse_ms: 500, regrant_after_ms: 1_000, ..Policy::default() });
    let mut track = 0;
    while scene.mono_ms < 3_600_000 {
        track += 2;
        scene.show(12, &[photo(track, ANA)]).show(12, &[]);
        // Every now and then somebody else comes, and stays until the gate opens.
        if track % 20 == 0 {
            let (came_ms, before) = (scene.mono_ms, scene.grants().len());
            while scene.grants().len() == before {
                scene.show(1, &[face(track + 1, BO, 0.5)]);
                assert!(scene.mono_ms - came_ms <= 6_000, "kept waiting at {} ms", scene.mono_ms);
            }
            scene.show(30, &[]);
        }
    }
    assert!(scene.grants().iter().all(|person| *person == BO));
    assert!(scene.grants().len() > 50);
}

#[test]
fn a_face_that_is_swapped_for_a_moment_lends_its_life_to_nobody() {
    for own in 1..=13 {
        for gap in 0..=6 {
            let mut scene = Scene::new(Policy { tau: 1.268, ..Policy::default() });
            scene.show(12, &[]).show(1, &[photo(1, ANA)]).show(gap, &[]);
            // In the same place, so on the same track, as far as the tracker can see without the probes.
            scene.show(own, &[face(1, BO, 1.6)]).show(gap, &[]).show(60, &[photo(1, ANA)]);
            assert!(scene.grants().is_empty(), "{own} frames of the own face, gaps of {gap}");
        }
    }
}

#[test]
fn a_gap_is_an_interruption() {
    let mut scene = Scene::new(Policy::default());
    scene.show(2, &[face(1, ANA, 0.5)]).show(1, &[]).show(2, &[face(1, ANA, 0.5)]);
    assert!(scene.grants().is_empty(), "two frames before it and two after it are not three");
    scene.show(1, &[face(1, ANA, 0.5)]);
    assert_eq!(scene.grants(), [ANA]);
}

#[test]
fn a_frame_that_speaks_against_life_carries_no_grant() {
    // The enrolled person stands there and goes; her photo takes her place at once, without a gap.
    for live in 3..30 {
        let mut scene = Scene::new(Policy { pulse_ms: 500, regrant_after_ms: 1_500, ..Policy::default() });
        scene.show(live, &[face(1, ANA, 0.5)]);
        let before = scene.grants().len();
        scene.show(100, &[photo(1, ANA)]);
        assert_eq!(scene.grants().len(), before, "after {live} frames of her");
    }
}

#[test]
fn a_picture_of_somebody_who_is_not_enrolled_locks_nobody_out() {
    // A poster in view of the camera must not close the gate for good.
    let mut scene = Scene::new(Policy::default());
    for track in 1..=20 {
        scene.show(15, &[FaceSighting { pad: Some(PHOTO), ..face(track, ANA, 1.8) }]).show(10, &[]);
    }
    assert!(scene.refusals().iter().all(|r| *r == Reason::Unknown));
    assert!(!scene.events.iter().any(|event| matches!(event, Event::Lockout { .. })));
    // So many strangers in a row make the next one wait for a moment, and no longer.
    let came_ms = scene.mono_ms;
    while scene.grants().is_empty() {
        scene.show(1, &[face(50, ANA, 0.5)]);
        assert!(scene.mono_ms - came_ms <= 5_500);
    }
}

#[test]
fn a_face_is_compared_in_every_frame_until_it_is_settled_and_seldom_from_then_on() {
    let mut scene = Scene::new(Policy { pulse_ms: 1_000, regrant_after_ms: 3_000, ..Policy::default() });
    assert_eq!(scene.show_sparingly(3, face(1, ANA, 0.5)), 3);
    assert_eq!(scene.grants(), [ANA]);
    let seldom = |frames: usize| frames * FRAME_MS as usize / SETTLED_LOOK_MS as usize + 1;
    assert!(scene.show_sparingly(30, face(1, ANA, 0.5)) <= seldom(30), "whoever was let in");
    let mut scene = Scene::new(Policy::default());
    assert_eq!(scene.show_sparingly(11, face(1, ANA, 1.6)), 11, "not told yet");
    scene.show_sparingly(2, face(1, ANA, 1.6));
    assert_eq!(scene.refusals(), [Reason::Unknown]);
    assert!(scene.show_sparingly(60, face(1, ANA, 1.6)) <= seldom(60), "a stranger who was told so");
    for lookup in [Lookup::EmptyGallery, Lookup::Unclear] {
        let mut scene = Scene::new(Policy::default());
        scene.show_sparingly(13, FaceSighting { lookup, ..face(1, ANA, 0.5) });
        assert_eq!(scene.refusals().len(), 1);
        assert!(scene.show_sparingly(60, FaceSighting { lookup, ..face(1, ANA, 0.5) }) <= seldom(60), "{lookup:?}");
    }
}

#[test]
fn seldom_comparing_keeps_nobody_out() {
    // Told that she is unknown, seen badly; then she looks up.
    let mut scene = Scene::new(Policy::default());
    scene.show_sparingly(40, face(1, ANA, 1.6));
    let told_ms = scene.mono_ms;
    scene.show_sparingly(20, face(1, ANA, 0.5));
    assert_eq!(scene.grants(), [ANA]);
    assert!(scene.mono_ms - told_ms <= SETTLED_LOOK_MS + 20 * FRAME_MS);
    // Whoever stays is let in again after the rest, by comparisons that were few.
    let mut scene = Scene::new(Policy { pulse_ms: 500, regrant_after_ms: 5_000, ..Policy::default() });
    scene.show_sparingly(120, face(1, ANA, 0.5));
    assert_eq!(scene.grants(), [ANA, ANA]);
    // The next in the queue is let in as soon as the gate has locked.
    let mut scene = Scene::new(Policy { pulse_ms: 1_000, ..Policy::default() });
    scene.show_sparingly(3, face(1, ANA, 0.5));
    let open_ms = scene.mono_ms;
    scene.show_sparingly(17, face(2, BO, 0.5));
    assert_eq!(scene.grants(), [ANA, BO]);
    assert!(scene.mono_ms <= open_ms + 1_000 + 2 * FRAME_MS);
    // Somebody else on the same track is found out.
    let mut scene = Scene::new(Policy { pulse_ms: 500, ..Policy::default() });
    scene.show_sparingly(15, face(1, ANA, 0.5));
    scene.show_sparingly(20, face(1, BO, 0.5));
    assert_eq!(scene.grants(), [ANA, BO]);
}

#[test]
fn a_picture_that_is_seldom_compared_is_still_found_out() {
    let mut scene = Scene::new(Policy { pulse_ms: 500, ..Policy::default() });
    scene.show_sparingly(5, face(1, ANA, 0.5));
    // After the grant the phone comes up before the same face.
    scene.show_sparingly(100, photo(1, BO));
    assert_eq!(scene.grants(), [ANA]);
    assert_eq!(scene.refusals(), [Reason::PresentationAttack]);
}

#[test]
fn nobody_who_stands_too_far_away_or_beside_another_is_compared() {
    let scene = Scene::new(Policy::default());
    let bare = |px: f32, track: u32| {
        let face = face(track, ANA, 0.5);
        FaceSighting { lookup: Lookup::NotDone, quality: Quality { face_px: px, ..face.quality }, ..face }
    };
    let wants = |faces: &[FaceSighting], glance: bool| {
        let sighting = Sighting { faces: faces.iter().copied().collect(), glance, ..Sighting::default() };
        scene.decider.wants(&faces[0], &sighting, scene.now())
    };
    assert!(wants(&[bare(120.0, 1)], true) && wants(&[bare(120.0, 1)], false));
    assert!(!wants(&[bare(30.0, 1)], true) && !wants(&[bare(30.0, 1)], false), "too far");
    assert!(wants(&[bare(46.0, 1)], true), "a glance may be mistaken by a little");
    assert!(!wants(&[bare(120.0, 1), bare(100.0, 2)], false), "two people");
}
