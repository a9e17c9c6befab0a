//! Tests of the replay makers, over files they make themselves.

use std::fs;
use std::process::Command;

use image::{Rgb, RgbImage};

use super::*;
use crate::Clock;
use crate::camera::{CameraSpec, open};

fn fast(fps: f64) -> CameraOptions {
    CameraOptions { replay_pace: Pace::Fast, replay_fps: fps, ..CameraOptions::default() }
}

fn plain(width_px: u32, height_px: u32, level: u8) -> RgbImage {
    RgbImage::from_pixel(width_px, height_px, Rgb([level, level / 2, 255 - level]))
}

/// Everything a replay gives: time, number, size, first pixel.
fn play(path: &Path, options: &CameraOptions, at_most: usize) -> Vec<(u64, u64, u32, u32, [u8; 3])> {
    let clock = Arc::new(ReplayClock::new(0));
    let mut replay = open_replay(path, options, clock.clone()).unwrap();
    let mut frame = Frame::empty();
    let mut seen = Vec::new();
    while seen.len() < at_most {
        match replay.next_frame(&mut frame, Duration::from_secs(5)) {
            Ok(()) => {
                assert_eq!(clock.mono_ms(), frame.at_ms);
                let pixel = [frame.rgb[0], frame.rgb[1], frame.rgb[2]];
                assert!(frame.view().is_some());
                seen.push((frame.at_ms, frame.seq, frame.width_px, frame.height_px, pixel));
            }
            Err(CameraError::End) => break,
            Err(error) => panic!("{error}"),
        }
    }
    seen
}

fn open_error(path: &Path) -> CameraError {
    open_replay(path, &fast(10.0), Arc::new(ReplayClock::new(0))).map(|_| ()).unwrap_err()
}

#[test]
fn a_folder_plays_in_natural_order_at_its_rate_whatever_the_sizes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, level) in [("10.png", 30), ("2.bmp", 20), ("1.png", 10), ("b1.png", 40), ("B2.PNG", 50)] {
        plain(8 + u32::from(level), 6, level).save(folder.path().join(name)).unwrap();
    }
    for name in ["notes.txt", ".hidden.png", "3.jpg.part"] {
        fs::write(folder.path().join(name), "no picture").unwrap();
    }
    fs::create_dir(folder.path().join("4.png")).unwrap();
    let seen = play(folder.path(), &fast(30.0), 100);
    let times: Vec<u64> = seen.iter().map(|frame| frame.0).collect();
    let levels: Vec<u8> = seen.iter().map(|frame| frame.4[0]).collect();
    assert_eq!(times, [0, 33, 67, 100, 133]);
    assert_eq!(levels, [10, 20, 30, 40, 50]);
    assert!(seen.iter().enumerate().all(|(n, f)| f.1 == n as u64 && f.2 == 8 + u32::from(f.4[0])));
    assert_eq!(seen, play(folder.path(), &fast(30.0), 100), "the same again");
}

#[test]
fn names_are_ordered_as_people_number_them() {
    let mut names = ["f100", "f20", "f3", "F3a", "f03", "a", "f3-10", "f3-9", "99999999999999999999999", "1"];
    names.sort_by(|a, b| pictures::natural(a, b));
    assert_eq!(names, ["1", "99999999999999999999999", "a", "f03", "f3", "f3-9", "f3-10", "F3a", "f20", "f100"]);
}

#[test]
fn a_loop_goes_on_in_time() {
    let folder = tempfile::tempdir().unwrap();
    for level in [1, 2, 3] {
        plain(4, 4, level).save(folder.path().join(format!("{level}.png"))).unwrap();
    }
    let options = CameraOptions { replay_loop: true, ..fast(10.0) };
    let seen: Vec<_> = play(folder.path(), &options, 7).iter().map(|f| (f.0, f.4[0])).collect();
    assert_eq!(seen, [(0, 1), (100, 2), (200, 3), (300, 1), (400, 2), (500, 3), (600, 1)]);
}

#[test]
fn a_damaged_picture_keeps_its_place_in_time_and_the_rest_plays_on() {
    let folder = tempfile::tempdir().unwrap();
    plain(4, 4, 1).save(folder.path().join("1.png")).unwrap();
    fs::write(folder.path().join("2.png"), b"\x89PNG\r\n\x1a\nbroken").unwrap();
    plain(4, 4, 3).save(folder.path().join("3.png")).unwrap();
    let mut replay = Replay::open(folder.path(), &fast(10.0), None).unwrap();
    let mut frame = Frame::empty();
    replay.next_frame(&mut frame, Duration::ZERO).unwrap();
    let error = replay.next_frame(&mut frame, Duration::ZERO).unwrap_err();
    assert!(matches!(&error, CameraError::Decode { camera, .. } if camera.contains("2.png")), "{error}");
    assert!(frame.view().is_none());
    replay.next_frame(&mut frame, Duration::ZERO).unwrap();
    assert_eq!((frame.at_ms, frame.rgb[0]), (200, 3));
    assert!(matches!(replay.next_frame(&mut frame, Duration::ZERO), Err(CameraError::End)));
}

#[test]
fn a_loop_of_nothing_but_damaged_pictures_ends() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("1.png"), "broken").unwrap();
    let options = CameraOptions { replay_loop: true, ..fast(10.0) };
    let mut replay = Replay::open(folder.path(), &options, None).unwrap();
    let mut frame = Frame::empty();
    assert!(matches!(replay.next_frame(&mut frame, Duration::ZERO), Err(CameraError::Decode { .. })));
    assert!(matches!(replay.next_frame(&mut frame, Duration::ZERO), Err(CameraError::End)));
}

#[test]
fn one_picture_is_one_frame_whatever_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("picture.bin");
    plain(9, 7, 200).save_with_format(&path, image::ImageFormat::Png).unwrap();
    assert_eq!(play(&path, &fast(10.0), 10), [(0, 0, 9, 7, [200, 100, 55])]);
}

#[test]
fn an_enormous_picture_is_refused_before_it_is_decoded() {
    // A BMP's header alone: 60,000 x 60,000 pixels, which no file of 54 bytes holds.
    let mut bmp = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(60_000_i32.to_le_bytes().repeat(2));
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0; 24]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.bmp");
    fs::write(&path, bmp).unwrap();
    let mut replay = Replay::open(&path, &fast(10.0), None).unwrap();
    let error = replay.next_frame(&mut Frame::empty(), Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("64 megapixels"), "{error}");
}

/// A square GIF in black (0) and white (1), made by hand: frames of (delay in 10 ms, left and top, side, colour).
fn gif(side: u16, frames: &[(u16, u16, u16, u8)]) -> Vec<u8> {
    let mut out = b"GIF89a".to_vec();
    out.extend([side, side].map(u16::to_le_bytes).concat());
    // A palette of four colours: black, white and two that are not used.
    out.extend([0x81, 0, 0, 0, 0, 0, 255, 255, 255, 9, 9, 9, 9, 9, 9]);
    for &(delay, left, side, colour) in frames {
        // Graphic control: this frame stays when the next one is painted.
        out.extend([0x21, 0xF9, 4, 1 << 2]);
        out.extend(delay.to_le_bytes());
        out.extend([0, 0, 0x2C]);
        out.extend([left, left, side, side].map(u16::to_le_bytes).concat());
        out.extend([0, 2]);
        // LZW in codes of three bits; "clear" (4) before each pixel keeps them from growing. 5 is the end.
        let pixels = usize::from(side) * usize::from(side);
        let codes = [4, colour].repeat(pixels).into_iter().chain([5]);
        let bits: Vec<u8> = codes.flat_map(|code| [code & 1, code >> 1 & 1, code >> 2 & 1]).collect();
        let bytes: Vec<u8> =
            bits.chunks(8).map(|byte| byte.iter().rev().fold(0, |value, bit| value << 1 | bit)).collect();
        for block in bytes.chunks(255) {
            out.push(block.len() as u8);
            out.extend(block);
        }
        out.push(0);
    }
    out.push(0x3B);
    out
}

#[test]
fn a_gif_plays_with_its_own_delays_and_whole_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    // The second frame paints one corner only, and names no delay, which stands for 100 ms.
    fs::write(&path, gif(12, &[(4, 0, 12, 1), (0, 6, 6, 0), (25, 0, 12, 1)])).unwrap();
    let seen: Vec<_> = play(&path, &fast(1.0), 100).iter().map(|f| (f.0, f.2, f.3, f.4[0])).collect();
    assert_eq!(seen, [(0, 12, 12, 255), (40, 12, 12, 255), (140, 12, 12, 255)]);

    let mut replay = Replay::open(&path, &fast(1.0), None).unwrap();
    let mut frame = Frame::empty();
    replay.next_frame(&mut frame, Duration::ZERO).unwrap();
    replay.next_frame(&mut frame, Duration::ZERO).unwrap();
    assert_eq!(frame.rgb.last(), Some(&0), "the corner is painted over");

    let options = CameraOptions { replay_loop: true, ..fast(1.0) };
    let times: Vec<_> = play(&path, &options, 7).iter().map(|f| f.0).collect();
    assert_eq!(times, [0, 40, 140, 390, 430, 530, 780]);
}

#[test]
fn a_damaged_gif_is_an_error_not_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.gif");
    fs::write(&path, b"GIF89a").unwrap();
    let error = open_error(&path);
    assert!(matches!(error, CameraError::Unsupported { .. }), "{error}");
}

#[test]
fn what_is_missing_or_empty_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().to_owned(), folder.path().join("none.gif")] {
        let error = open_error(&path);
        assert!(matches!(error, CameraError::Missing { .. }), "{error}");
    }
    assert!(open_error(folder.path()).to_string().contains("jpg"));
    let options = CameraOptions { replay_fps: 0.0, ..CameraOptions::default() };
    assert!(Replay::open(folder.path(), &options, None).is_err());
}

#[test]
fn real_pace_holds_a_frame_back_until_it_is_due_and_never_loses_it() {
    let folder = tempfile::tempdir().unwrap();
    plain(4, 4, 1).save(folder.path().join("1.png")).unwrap();
    plain(4, 4, 2).save(folder.path().join("2.png")).unwrap();
    let options = CameraOptions { replay_pace: Pace::Real, ..fast(5.0) };
    let clock: Arc<dyn Clock> = Arc::new(ReplayClock::new(0));
    let spec = CameraSpec::Replay(folder.path().to_owned());
    let mut camera = open(&spec, &options, &clock).unwrap();
    let mut frame = Frame::empty();
    let start = Instant::now();
    camera.next_frame(&mut frame, Duration::ZERO).unwrap();
    assert_eq!(frame.rgb[0], 1);
    let error = camera.next_frame(&mut frame, Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, CameraError::Timeout { .. }), "{error}");
    camera.next_frame(&mut frame, Duration::from_secs(20)).unwrap();
    assert_eq!((frame.rgb[0], frame.at_ms), (2, 200));
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(clock.mono_ms(), 0, "a plain clock is not moved");
}

/// Makes a clip with ffmpeg; `false` when it is not installed.
fn clip(path: &Path, arguments: &[&str]) -> bool {
    let made = Command::new("ffmpeg").args(["-v", "error", "-nostdin", "-y"]).args(arguments).arg(path).status();
    match made {
        Ok(status) => {
            assert!(status.success());
            true
        }
        Err(_) => {
            // Without ffmpeg the promise is a clear error.
            fs::write(path, b"not a picture, maybe a video").unwrap();
            let error = open_error(path);
            assert!(matches!(error, CameraError::Tool { .. }), "{error}");
            assert!(error.to_string().contains("apt install ffmpeg"), "{error}");
            false
        }
    }
}

#[test]
fn a_video_plays_every_frame_at_its_rate() {
    let folder = tempfile::tempdir().unwrap();
    // A name that a careless caller would take for a protocol or an option.
    let path = folder.path().join("-a:b.mkv");
    let lavfi = "color=c=white:s=64x48:r=25:d=0.4,format=yuv420p";
    if !clip(&path, &["-f", "lavfi", "-i", lavfi, "-c:v", "mjpeg"]) {
        return;
    }
    let seen = play(&path, &fast(1.0), 100);
    let times: Vec<u64> = seen.iter().map(|frame| frame.0).collect();
    assert_eq!(times, (0..10).map(|n| n * 40).collect::<Vec<_>>());
    assert!(seen.iter().all(|f| (f.2, f.3) == (64, 48) && f.4.iter().all(|level| *level > 250)));
    let options = CameraOptions { replay_loop: true, ..fast(1.0) };
    let looped = play(&path, &options, 23);
    assert_eq!((looped.len(), looped[22].0), (23, 880));
}

#[test]
fn a_video_that_is_damaged_or_has_no_pictures_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let sound = folder.path().join("sound.wav");
    if !clip(&sound, &["-f", "lavfi", "-i", "anullsrc=d=0.1"]) {
        return;
    }
    let error = open_error(&sound).to_string();
    assert!(error.contains("no video stream"), "{error}");
    let garbage = folder.path().join("garbage.mp4");
    fs::write(&garbage, [7; 5000]).unwrap();
    let error = open_error(&garbage);
    assert!(matches!(error, CameraError::Unsupported { .. }), "{error}");

    // Cut in the middle: what is whole plays, and it ends.
    let whole = folder.path().join("whole.mkv");
    assert!(clip(&whole, &["-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=2", "-c:v", "mjpeg"]));
    let bytes = fs::read(&whole).unwrap();
    let half = folder.path().join("half.mkv");
    fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let count = play(&half, &fast(1.0), 100).len();
    assert!((10..45).contains(&count), "{count} frames of half of 50");
}

#[test]
fn a_video_dropped_in_the_middle_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mkv");
    if !clip(&path, &["-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=20", "-c:v", "mjpeg"]) {
        return;
    }
    let mut replay = Replay::open(&path, &fast(1.0), None).unwrap();
    replay.next_frame(&mut Frame::empty(), Duration::ZERO).unwrap();
    drop(replay);
    let ours = format!("file:{}", path.display());
    let left = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&ours)
    });
    assert!(!left, "ffmpeg still runs");
}
