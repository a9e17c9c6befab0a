//! Frames as cameras, players and dark rooms give them.

use super::*;

const FPS: f64 = 15.0;

/// A sequence of pseudo-random numbers (splitmix64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A scene of this brightness, seen by a sensor whose noise is one level here and there.
fn shot(noise: &mut Noise, brightness: u8) -> Frame {
    let mut frame = Frame::empty();
    for pixel in frame.reshape(160, 120).chunks_exact_mut(3) {
        pixel.fill(brightness + (noise.next().is_multiple_of(64)) as u8);
    }
    frame
}

/// A scene of one brightness without any noise.
fn flat(brightness: u8) -> Frame {
    let mut frame = Frame::empty();
    frame.reshape(160, 120).fill(brightness);
    frame
}

/// A camera's stamps: frames in time, one after the other.
struct Stamped {
    inspector: Inspector,
    number: u64,
}

impl Stamped {
    fn new() -> Self {
        Self { inspector: Inspector::default(), number: 0 }
    }

    /// The picture, as the next frame of a camera at its rate.
    fn look(&mut self, frame: &Frame) -> Result<(), Finding> {
        self.number += 1;
        let at_us = self.number * 1_000_000 / FPS as u64;
        let frame = Frame { seq: self.number, taken_us: Some(at_us), ..frame.clone() };
        self.inspector.look(&frame, FPS, at_us / 1_000)
    }
}

fn odd(outcome: Result<(), Finding>) -> Option<Odd> {
    outcome.err().map(|finding| finding.odd)
}

#[test]
fn a_still_scene_before_a_sensor_is_never_odd() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(1));
    for _ in 0..2_000 {
        assert_eq!(camera.look(&shot(&mut noise, 120)), Ok(()));
    }
}

#[test]
fn a_recording_that_begins_again_is_withheld_from_its_first_frame_on_and_told() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(2));
    let recording: Vec<Frame> = (0..200).map(|_| shot(&mut noise, 120)).collect();
    for frame in &recording {
        assert_eq!(camera.look(frame), Ok(()));
    }
    let again: Vec<Finding> = recording.iter().filter_map(|frame| camera.look(frame).err()).collect();
    assert_eq!(again.len(), recording.len(), "not one frame of it counts");
    assert!(again.iter().all(|finding| finding.odd == Odd::Repeated));
    assert!(!again[ODD_MAX as usize - 2].alarm && again[ODD_MAX as usize - 1..].iter().all(|finding| finding.alarm));
    // Neither a pause nor opening it anew makes the recording a new one.
    camera.inspector.opened();
    assert_eq!(odd(camera.look(&recording[100])), Some(Odd::Repeated));
    // The sensor's own pictures count again when there were enough of them.
    for missing in (0..CALM).rev() {
        assert_eq!(camera.look(&shot(&mut noise, 120)).is_ok(), missing == 0, "{missing}");
    }
    assert_eq!(camera.look(&shot(&mut noise, 120)), Ok(()));
}

#[test]
fn own_pictures_between_those_of_a_recording_do_not_make_up_for_them() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(10));
    let recording: Vec<Frame> = (0..100).map(|_| shot(&mut noise, 120)).collect();
    recording.iter().for_each(|frame| camera.look(frame).unwrap());
    // Two of three are the recording's.
    let mut given = 0;
    for pair in recording.chunks(2) {
        assert!(pair.iter().all(|frame| camera.look(frame).is_err()));
        given += u32::from(camera.look(&shot(&mut noise, 120)).is_ok());
    }
    assert!(given <= ODD_MAX, "{given} frames were believed");
}

#[test]
fn a_recording_backwards_or_shuffled_is_noticed_too() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(3));
    let recording: Vec<Frame> = (0..50).map(|_| shot(&mut noise, 120)).collect();
    recording.iter().for_each(|frame| camera.look(frame).unwrap());
    for frame in recording.iter().rev().skip(1).step_by(3) {
        assert_eq!(odd(camera.look(frame)), Some(Odd::Repeated));
    }
}

#[test]
fn a_still_is_withheld_and_told_after_two_seconds() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(4));
    let still = shot(&mut noise, 120);
    assert_eq!(camera.look(&still), Ok(()));
    for number in 1..100 {
        let finding = camera.look(&still).unwrap_err();
        assert_eq!((finding.odd, finding.alarm), (Odd::Frozen, number >= FROZEN_MAX), "{number}");
    }
}

#[test]
fn pictures_given_several_times_in_low_light_are_no_alarm() {
    let (mut camera, mut noise) = (Stamped::new(), Noise(5));
    for _ in 0..500 {
        let frame = shot(&mut noise, 60);
        assert_eq!(camera.look(&frame), Ok(()));
        for _ in 0..3 {
            assert_eq!(camera.look(&frame), Err(Finding { odd: Odd::Frozen, alarm: false }));
        }
    }
}

#[test]
fn darkness_and_glare_repeat_without_being_odd() {
    let mut camera = Stamped::new();
    for brightness in [0, 10, 255, 240] {
        for _ in 0..100 {
            assert_eq!(camera.look(&flat(brightness)), Ok(()), "{brightness}");
        }
    }
    assert_eq!(camera.look(&flat(120)), Ok(()));
    assert_eq!(odd(camera.look(&flat(120))), Some(Odd::Frozen), "what is lit has noise");
}

#[test]
fn a_face_on_black_is_enough_to_tell() {
    // The smallest face that counts, on a screen that is dark around it.
    let mut frame = Frame::empty();
    frame.reshape(640, 480).fill(0);
    for y in 100..148 {
        frame.rgb[(y * 640 + 200) * 3..(y * 640 + 248) * 3].fill(120);
    }
    let mut camera = Stamped::new();
    assert_eq!(camera.look(&frame), Ok(()));
    assert_eq!(odd(camera.look(&frame)), Some(Odd::Frozen));
}

#[test]
fn numbers_and_times_that_go_back_or_stand_still_are_odd() {
    let (mut inspector, mut noise) = (Inspector::default(), Noise(6));
    let mut look = |seq: u64, taken_us: Option<u64>, at_ms: u64| {
        let frame = Frame { seq, taken_us, ..shot(&mut noise, 120) };
        odd(inspector.look(&frame, FPS, at_ms))
    };
    assert_eq!(look(7, Some(1_000_000), 0), None);
    assert_eq!(look(9, Some(1_066_000), 66), None, "a frame was lost");
    assert_eq!(look(8, Some(1_132_000), 132), Some(Odd::Number { before: 9, number: 8 }));
    assert_eq!(look(8, Some(1_198_000), 198), Some(Odd::Number { before: 8, number: 8 }));
    assert_eq!(look(9, Some(1_100_000), 264), Some(Odd::Time { before_us: 1_198_000, taken_us: 1_100_000 }));
    assert_eq!(look(10, Some(1_100_000), 330), Some(Odd::Time { before_us: 1_100_000, taken_us: 1_100_000 }));
    assert_eq!(look(11, None, 396), None, "a driver without a clock");
    assert_eq!(look(u64::from(u32::MAX), None, 462), Some(Odd::Number { before: 11, number: u64::from(u32::MAX) }));
    assert_eq!(look(0, None, 528), None, "the kernel counts in 32 bits");
}

#[test]
fn a_driver_that_does_not_count_is_not_odd_and_a_new_opening_begins_anew() {
    let (mut inspector, mut noise) = (Inspector::default(), Noise(7));
    for at_ms in [0, 66, 132] {
        let frame = Frame { seq: 0, ..shot(&mut noise, 120) };
        assert_eq!(inspector.look(&frame, FPS, at_ms), Ok(()));
    }
    let frame = Frame { seq: 500, taken_us: Some(9_000), ..shot(&mut noise, 120) };
    assert_eq!(inspector.look(&frame, FPS, 198), Ok(()));
    inspector.opened();
    let frame = Frame { seq: 1, taken_us: Some(5_000), ..shot(&mut noise, 120) };
    assert_eq!(inspector.look(&frame, FPS, 264), Ok(()));
}

#[test]
fn a_flood_of_frames_is_held_to_the_agreed_rate_and_told() {
    let (mut inspector, mut noise) = (Inspector::default(), Noise(8));
    let (mut good, mut alarms) = (0, 0);
    for number in 0..1_000u64 {
        let frame = Frame { seq: number + 1, ..shot(&mut noise, 120) };
        match inspector.look(&frame, FPS, number * 4) {
            Ok(()) => good += 1,
            Err(finding) => alarms += u32::from(finding.alarm),
        }
    }
    assert!(good <= (4.0 * FPS * RATE_FACTOR + BURST) as u32 + 1, "{good} frames in four seconds");
    assert!(alarms > 100, "{alarms}");
}

#[test]
fn twice_the_agreed_rate_and_a_burst_after_a_pause_are_borne() {
    let (mut inspector, mut noise) = (Inspector::default(), Noise(9));
    let mut number = 0;
    let mut look = |at_ms: u64| {
        number += 1;
        inspector.look(&Frame { seq: number, ..shot(&mut noise, 120) }, FPS, at_ms)
    };
    for frame in 0..300u64 {
        assert_eq!(look(frame * 33), Ok(()));
    }
    for _ in 0..4 {
        assert_eq!(look(30_000), Ok(()), "all of the driver's buffers at once");
    }
}

#[test]
fn memory_is_bounded() {
    let mut camera = Stamped::new();
    let mut frame = flat(120);
    for number in 0..REMEMBERED as u32 + 100 {
        frame.rgb[..4].copy_from_slice(&number.to_le_bytes());
        assert_eq!(camera.look(&frame), Ok(()));
    }
    let inspector = &camera.inspector;
    assert_eq!((inspector.seen.len(), inspector.order.len()), (REMEMBERED, REMEMBERED));
}
