//! Tests of the capture thread with scripted cameras.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// What a scripted camera does at one call.
enum Step {
    /// Gives a frame whose number is this.
    Frame(u64),
    /// Gives a lit picture that this number makes, under its own number.
    Picture {
        shows: u8,
        seq: u64,
    },
    Fail(CameraError),
    /// Hangs until the sender is dropped, then gives a frame with this number.
    Hang(Receiver<()>, u64),
    Panic,
}

struct Scripted {
    steps: Arc<Mutex<Receiver<Step>>>,
    agreed_fps: Option<f64>,
    identity: Option<CameraIdentity>,
}

impl Camera for Scripted {
    fn describe(&self) -> String {
        "scripted".to_owned()
    }

    fn identity(&self) -> Option<&CameraIdentity> {
        self.identity.as_ref()
    }

    fn agreed_fps(&self) -> Option<f64> {
        self.agreed_fps
    }

    fn next_frame(&mut self, frame: &mut Frame, timeout: Duration) -> Result<(), CameraError> {
        // A hanging camera must not keep the script locked.
        let step = self.steps.lock().unwrap().recv_timeout(timeout);
        match step {
            Ok(Step::Frame(seq)) => fill(frame, seq),
            Ok(Step::Picture { shows, seq }) => {
                frame.reshape(80, 60).fill(100);
                frame.rgb[0] = shows;
                frame.seq = seq;
            }
            Ok(Step::Fail(error)) => return Err(error),
            Ok(Step::Hang(until, seq)) => {
                let _ = until.recv();
                fill(frame, seq);
            }
            Ok(Step::Panic) => panic!("the driver broke"),
            Err(_) => return Err(CameraError::Timeout { camera: "scripted".to_owned(), waited: timeout }),
        }
        Ok(())
    }
}

fn fill(frame: &mut Frame, seq: u64) {
    frame.reshape(4, 2).fill(seq as u8);
    frame.seq = seq;
}

fn lost(why: &str) -> CameraError {
    CameraError::Lost { camera: "scripted".to_owned(), why: why.to_owned() }
}

/// A capture whose cameras all play on from one script; `opens` counts how often one was opened.
struct Rig {
    capture: Capture,
    script: Sender<Step>,
    opens: Arc<AtomicU32>,
    frame: Frame,
}

fn quick() -> Limits {
    Limits {
        silent: Duration::from_millis(300),
        stuck: Duration::from_millis(900),
        stuck_opening: Duration::from_millis(900),
        backoff: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        warm_up: 0,
        abandoned: 2,
    }
}

impl Rig {
    fn start(limits: Limits) -> Self {
        Self::start_with(limits, None)
    }

    /// One whose frames are inspected.
    fn inspected(limits: Limits) -> Self {
        // So fast that no test's pace is odd.
        Self::start_with(limits, Some(1e6))
    }

    fn start_with(limits: Limits, agreed_fps: Option<f64>) -> Self {
        let (script, steps) = channel();
        let (steps, opens) = (Arc::new(Mutex::new(steps)), Arc::new(AtomicU32::new(0)));
        let count = Arc::clone(&opens);
        let opener: Opener = Arc::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(Box::new(Scripted { steps: Arc::clone(&steps), agreed_fps, identity: None }) as _)
        });
        Self { capture: Capture::with_opener(opener, limits), script, opens, frame: Frame::empty() }
    }

    fn send(&self, step: Step) {
        self.script.send(step).unwrap();
    }

    /// One picture of a camera that takes a moment for each.
    fn shoot(&self, shows: u8, seq: u64) {
        thread::sleep(Duration::from_millis(3));
        self.send(Step::Picture { shows, seq });
    }

    fn next(&mut self) -> Newest {
        self.capture.newest(&mut self.frame, Duration::from_secs(20))
    }

    #[track_caller]
    fn expect_opened(&mut self) {
        assert_eq!(self.next(), Newest::State(CameraState::Opened { describe: "scripted".to_owned(), identity: None }));
    }

    #[track_caller]
    fn expect_lost(&mut self, part: &str) {
        match self.next() {
            Newest::State(CameraState::Lost { why, unplugged: false }) => assert!(why.contains(part), "{why}"),
            other => panic!("{other:?} instead of a loss"),
        }
    }

    #[track_caller]
    fn expect_unplugged(&mut self) {
        let next = self.next();
        assert!(matches!(next, Newest::State(CameraState::Lost { unplugged: true, .. })), "{next:?}");
    }

    #[track_caller]
    fn expect_suspect(&mut self, part: &str) {
        match self.next() {
            Newest::State(CameraState::Suspect { why }) => assert!(why.contains(part), "{why}"),
            other => panic!("{other:?} instead of a doubt"),
        }
    }

    /// Waits until the worker has taken everything in, and returns the frame's number, if one is given.
    fn given(&mut self) -> Option<u64> {
        match self.capture.newest(&mut self.frame, Duration::from_millis(100)) {
            Newest::Frame => Some(self.frame.seq),
            Newest::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn expect_frame(&mut self, seq: u64) {
        assert_eq!(self.next(), Newest::Frame);
        assert_eq!((self.frame.seq, self.frame.rgb.len()), (seq, 24));
    }

    /// Waits until the worker has taken `seq` in, without fetching it.
    fn await_slot(&self, seq: u64) {
        let start = Instant::now();
        while self.capture.shared.lock().frame.seq != seq {
            assert!(start.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn a_slow_gate_gets_the_newest_frame_and_each_only_once() {
    let mut rig = Rig::start(Limits::default());
    (1..=50).for_each(|seq| rig.send(Step::Frame(seq)));
    rig.await_slot(50);
    rig.expect_opened();
    rig.expect_frame(50);
    assert_eq!(rig.capture.newest(&mut rig.frame, Duration::ZERO), Newest::Nothing);
    rig.send(Step::Frame(51));
    rig.expect_frame(51);
}

#[test]
fn a_lost_camera_is_opened_again_and_each_change_is_told_once() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    // Lost over and over for one reason: one report, many attempts.
    (0..5).for_each(|_| rig.send(Step::Fail(lost("unplugged"))));
    rig.expect_lost("unplugged");
    rig.send(Step::Frame(2));
    rig.expect_opened();
    rig.expect_frame(2);
    assert_eq!(rig.opens.load(Ordering::SeqCst), 6);
}

#[test]
fn a_frame_from_before_the_loss_is_not_shown_after_it() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.send(Step::Fail(lost("unplugged")));
    let start = Instant::now();
    while rig.capture.shared.lock().states.len() < 2 {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(2));
    }
    rig.expect_opened();
    rig.expect_lost("unplugged");
    assert_eq!(rig.capture.newest(&mut rig.frame, Duration::ZERO), Newest::Nothing);
}

#[test]
fn bad_frames_and_timeouts_are_gone_past() {
    let mut rig = Rig::start(Limits::default());
    rig.send(Step::Fail(CameraError::Decode { camera: "scripted".to_owned(), why: "garbage".to_owned() }));
    rig.send(Step::Frame(6));
    rig.send(Step::Frame(7));
    rig.expect_opened();
    rig.expect_frame(7);
    assert_eq!(rig.opens.load(Ordering::SeqCst), 1);
}

#[test]
fn the_first_frame_of_each_opening_may_be_an_old_one_and_is_not_shown() {
    let mut rig = Rig::start(Limits { warm_up: 1, ..quick() });
    rig.send(Step::Frame(1));
    rig.send(Step::Fail(lost("wedged")));
    // What a wedged driver does: one old frame for each opening, then nothing.
    rig.send(Step::Frame(1));
    rig.send(Step::Fail(lost("wedged")));
    rig.expect_lost("wedged");
    rig.send(Step::Frame(1));
    rig.send(Step::Frame(2));
    rig.expect_opened();
    rig.expect_frame(2);
}

#[test]
fn a_silent_camera_is_reported_and_reported_back_when_frames_flow() {
    let mut rig = Rig::start(Limits { stuck: Duration::from_secs(60), ..quick() });
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    rig.expect_lost("no frame for 300 ms");
    rig.send(Step::Frame(2));
    rig.expect_opened();
    rig.expect_frame(2);
    assert_eq!(rig.opens.load(Ordering::SeqCst), 1, "it was not opened anew");
}

#[test]
fn a_camera_that_gives_only_bad_frames_is_reported_with_the_reason_and_opened_anew() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    let (script, start) = (rig.script.clone(), Instant::now());
    thread::spawn(move || {
        let bad = || Step::Fail(CameraError::Decode { camera: "c".to_owned(), why: "cut off".to_owned() });
        while start.elapsed() < Duration::from_secs(2) && script.send(bad()).is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    rig.expect_lost("cut off");
    while rig.opens.load(Ordering::SeqCst) < 2 {
        assert!(start.elapsed() < Duration::from_secs(20));
        let _ = rig.capture.newest(&mut rig.frame, Duration::from_millis(10));
    }
}

#[test]
fn a_stuck_camera_is_reported_and_abandoned_and_its_late_frame_is_thrown_away() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    let (hold, until) = channel();
    rig.send(Step::Hang(until, 99));
    rig.expect_lost("no frame for 300 ms");
    rig.expect_lost("hung for 900 ms");
    rig.send(Step::Frame(2));
    rig.expect_opened();
    rig.expect_frame(2);
    assert_eq!(rig.capture.shared.lock().abandoned, 1);
    drop(hold);
    let start = Instant::now();
    while rig.capture.shared.lock().abandoned > 0 {
        assert!(start.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(2));
    }
    rig.send(Step::Frame(3));
    // No state of the old thread, no frame 99.
    loop {
        match rig.next() {
            Newest::Frame => break,
            Newest::State(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(rig.frame.seq, 3);
}

#[test]
fn no_more_than_so_many_threads_are_abandoned_and_the_last_may_come_back() {
    let mut rig = Rig::start(quick());
    let mut holds: Vec<_> = (0..3)
        .map(|seq| {
            let (hold, until) = channel::<()>();
            rig.send(Step::Hang(until, seq));
            hold
        })
        .collect();
    let start = Instant::now();
    while rig.opens.load(Ordering::SeqCst) < 3 {
        assert!(start.elapsed() < Duration::from_secs(20));
        let _ = rig.capture.newest(&mut rig.frame, Duration::from_millis(20));
    }
    let waiting = Instant::now();
    while waiting.elapsed() < Duration::from_millis(1500) {
        let _ = rig.capture.newest(&mut rig.frame, Duration::from_millis(20));
    }
    assert_eq!(rig.opens.load(Ordering::SeqCst), 3, "two abandoned, the third left alone");
    // Only the last one: with room for another to be abandoned, it would be.
    drop(holds.pop());
    rig.expect_opened();
    rig.expect_frame(2);
}

#[test]
fn a_camera_that_is_missing_is_told_once_and_tried_for_ever() {
    let opens = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&opens);
    let opener: Opener = Arc::new(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Err(CameraError::Missing { camera: "/dev/video7".to_owned(), advice: "plug it in".to_owned() })
    });
    let capture = Capture::with_opener(opener, quick());
    let mut frame = Frame::empty();
    let first = capture.newest(&mut frame, Duration::from_secs(20));
    assert!(
        matches!(&first, Newest::State(CameraState::Lost { why, unplugged: false }) if why.contains("plug it in")),
        "{first:?}"
    );
    let start = Instant::now();
    while opens.load(Ordering::SeqCst) < 5 {
        assert_eq!(capture.newest(&mut frame, Duration::from_millis(10)), Newest::Nothing);
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_driver_that_panics_is_a_loss() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Panic);
    rig.expect_lost("the driver broke");
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
}

#[test]
fn the_end_comes_after_the_last_frame() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.send(Step::Fail(CameraError::End));
    rig.expect_opened();
    rig.expect_frame(1);
    assert_eq!(rig.next(), Newest::End);
    assert_eq!(rig.next(), Newest::End);
}

#[test]
fn stopping_closes_the_camera_and_does_not_wait_for_a_stuck_one() {
    let rig = Rig::start(quick());
    let shared = Arc::clone(&rig.capture.shared);
    rig.capture.stop();
    assert!(!shared.lock().working);

    let rig = Rig::start(quick());
    let (_hold, until) = channel();
    rig.send(Step::Hang(until, 1));
    let start = Instant::now();
    rig.capture.stop();
    assert!(start.elapsed() < Duration::from_secs(15));
}

#[test]
fn a_camera_that_does_not_exist_says_what_exists() {
    let clock: Arc<dyn Clock> = Arc::new(crate::SystemClock::new());
    for spec in ["nokhwa:97", "v4l:/dev/video97", "v4l:/dev/no/such/camera"] {
        let spec: CameraSpec = spec.parse().unwrap();
        let error = open(&spec, &CameraOptions::default(), &clock).map(|_| ()).unwrap_err();
        assert!(matches!(error, CameraError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("plug"), "{error}");
    }
}

/// A camera's device is gone: what `v4l` and `nokhwa` report.
fn unplugged() -> CameraError {
    CameraError::Unplugged { camera: "scripted".to_owned() }
}

#[test]
fn an_unplugged_camera_is_told_apart_from_a_silent_one_and_once() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    (0..3).for_each(|_| rig.send(Step::Fail(unplugged())));
    rig.expect_unplugged();
    rig.send(Step::Frame(2));
    rig.expect_opened();
    rig.expect_frame(2);
    rig.expect_lost("no frame for 300 ms");
}

#[test]
fn a_camera_that_fell_silent_and_is_missing_then_was_unplugged() {
    let (script, steps) = channel();
    let steps = Arc::new(Mutex::new(steps));
    let plugged = Arc::new(AtomicU32::new(1));
    let (is_plugged, camera) = (Arc::clone(&plugged), Arc::clone(&steps));
    let opener: Opener = Arc::new(move || match is_plugged.load(Ordering::SeqCst) {
        1 => Ok(Box::new(Scripted { steps: Arc::clone(&camera), agreed_fps: None, identity: None }) as _),
        _ => Err(CameraError::Missing { camera: "c".to_owned(), advice: "plug it in".to_owned() }),
    });
    let capture = Capture::with_opener(opener, quick());
    let mut rig = Rig { capture, script, opens: Arc::default(), frame: Frame::empty() };
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    plugged.store(0, Ordering::SeqCst);
    rig.send(Step::Fail(lost("an error of its own")));
    rig.expect_lost("an error of its own");
    rig.expect_unplugged();
}

#[test]
fn another_camera_is_told_and_never_opened_and_the_right_one_is_taken_when_it_is_back() {
    let (script, steps) = channel();
    let steps = Arc::new(Mutex::new(steps));
    let right = Arc::new(AtomicU32::new(0));
    let (is_right, identity) = (Arc::clone(&right), "usb:046d:0825:A@x/1".parse::<CameraIdentity>().unwrap());
    let pinned = identity.clone();
    let opener: Opener = Arc::new(move || match is_right.load(Ordering::SeqCst) {
        1 => {
            let identity = Some(identity.clone());
            Ok(Box::new(Scripted { steps: Arc::clone(&steps), agreed_fps: None, identity }) as _)
        }
        _ => Err(CameraError::Changed {
            camera: "c".to_owned(),
            found: "usb:1d6b:0104:B@x/1".to_owned(),
            pinned: identity.to_string(),
        }),
    });
    let capture = Capture::with_opener(opener, quick());
    let mut rig = Rig { capture, script, opens: Arc::default(), frame: Frame::empty() };
    let first = rig.next();
    let Newest::State(CameraState::Changed { why }) = &first else { panic!("{first:?}") };
    assert!(why.contains("usb:1d6b:0104:B@x/1") && why.contains("usb:046d:0825:A@x/1"), "{why}");
    assert_eq!(rig.given(), None, "told once");
    right.store(1, Ordering::SeqCst);
    rig.send(Step::Frame(1));
    let state = CameraState::Opened { describe: "scripted".to_owned(), identity: Some(pinned) };
    assert_eq!(rig.next(), Newest::State(state));
    rig.expect_frame(1);
}

#[test]
fn a_picture_that_comes_again_is_given_to_nobody_and_many_of_them_are_told() {
    let mut rig = Rig::inspected(Limits { stuck: Duration::from_secs(60), ..quick() });
    let mut seq = 0;
    let mut picture = |rig: &Rig, shows: u8| {
        seq += 1;
        rig.shoot(shows, seq);
        seq
    };
    let all: Vec<u64> = (1..=20).map(|shows| picture(&rig, shows)).collect();
    rig.expect_opened();
    let start = Instant::now();
    while rig.given() != Some(all[19]) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    // The recording begins anew.
    for shows in 1..=20 {
        picture(&rig, shows);
    }
    rig.expect_suspect("plays a recording");
    assert_eq!(rig.given(), None);
    // Its own pictures count again after a while.
    let last = (21..=60).map(|shows| picture(&rig, shows)).last();
    rig.expect_opened();
    let start = Instant::now();
    while rig.given() != last {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    assert_eq!(rig.opens.load(Ordering::SeqCst), 1);
}

#[test]
fn opening_a_player_anew_does_not_make_its_recording_new() {
    let mut rig = Rig::inspected(quick());
    (1..=20).for_each(|shows| rig.shoot(shows, u64::from(shows)));
    rig.expect_opened();
    let start = Instant::now();
    while rig.given() != Some(20) {
        assert!(start.elapsed() < Duration::from_secs(20));
    }
    rig.send(Step::Fail(lost("pulled out")));
    rig.expect_lost("pulled out");
    (1..=20).for_each(|shows| rig.shoot(shows, u64::from(shows)));
    rig.expect_suspect("plays a recording");
    assert_eq!(rig.given(), None);
    assert_eq!(rig.opens.load(Ordering::SeqCst), 2);
}

#[test]
fn a_camera_that_is_opened_anew_on_request_is_told_anew_and_is_no_loss() {
    let mut rig = Rig::start(quick());
    rig.send(Step::Frame(1));
    rig.expect_opened();
    rig.expect_frame(1);
    rig.capture.reopen(None);
    // The frame that comes while it is still the old opening is thrown away.
    rig.send(Step::Frame(2));
    rig.send(Step::Frame(3));
    rig.expect_opened();
    rig.expect_frame(3);
    assert_eq!(rig.opens.load(Ordering::SeqCst), 2);
}
