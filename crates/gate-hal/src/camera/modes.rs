//! Which of a camera's modes to run: listed by the driver, chosen by one rule for both live makers.

use std::collections::BTreeSet;

use v4l::framesize::FrameSizeEnum;
use v4l::prelude::Device;
use v4l::video::Capture as _;
use v4l::{FourCC, frameinterval::FrameIntervalEnum};

use super::decode::Wire;
use super::{CameraError, CameraOptions, PixelFormat};

/// One mode of a camera.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mode {
    pub(crate) wire: Wire,
    pub(crate) width_px: u32,
    pub(crate) height_px: u32,
    /// Frames a second nearest to what was asked for; 0 when the driver does not say.
    pub(crate) fps: f64,
}

impl std::fmt::Display for Mode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}x{} at {:.4} frames/s", self.wire, self.width_px, self.height_px, self.fps)
    }
}

/// A camera's modes, with the size nearest to the asked one where the driver takes any size in a range.
pub(crate) fn modes(device: &Device, options: &CameraOptions) -> std::io::Result<Vec<Mode>> {
    let mut modes = Vec::new();
    let formats: BTreeSet<Wire> =
        device.enum_formats()?.iter().filter_map(|format| Wire::from_fourcc(&format.fourcc.repr)).collect();
    for wire in formats {
        let fourcc = FourCC::new(wire.fourcc());
        // A driver without this ioctl takes the asked size and answers with what it made of it.
        let mut sizes: Vec<(u32, u32)> = match device.enum_framesizes(fourcc) {
            Ok(sizes) => sizes.into_iter().map(|size| nearest_size(&size.size, options)).collect(),
            Err(_) => vec![(options.width_px, options.height_px)],
        };
        sizes.sort_unstable();
        sizes.dedup();
        for (width_px, height_px) in sizes {
            let fps = nearest_fps(device, fourcc, width_px, height_px, options.fps);
            modes.push(Mode { wire, width_px, height_px, fps });
        }
    }
    Ok(modes)
}

fn nearest_size(size: &FrameSizeEnum, options: &CameraOptions) -> (u32, u32) {
    let within = |asked: u32, low: u32, high: u32, step: u32| {
        let asked = asked.clamp(low, high.max(low));
        asked - (asked - low) % step.max(1)
    };
    match size {
        FrameSizeEnum::Discrete(size) => (size.width, size.height),
        FrameSizeEnum::Stepwise(range) => (
            within(options.width_px, range.min_width, range.max_width, range.step_width),
            within(options.height_px, range.min_height, range.max_height, range.step_height),
        ),
    }
}

/// The rate nearest to `asked`, faster ones first; 0 when the driver lists none.
fn nearest_fps(device: &Device, fourcc: FourCC, width_px: u32, height_px: u32, asked: u32) -> f64 {
    let asked = f64::from(asked);
    let rate = |numerator: u32, denominator: u32| f64::from(denominator) / f64::from(numerator.max(1));
    let intervals = device.enum_frameintervals(fourcc, width_px, height_px).unwrap_or_default();
    let rates = intervals.into_iter().map(|interval| match interval.interval {
        FrameIntervalEnum::Discrete(one) => rate(one.numerator, one.denominator),
        FrameIntervalEnum::Stepwise(range) => {
            let (fast, slow) = (range.min, range.max);
            let slowest = rate(slow.numerator, slow.denominator);
            asked.clamp(slowest, rate(fast.numerator, fast.denominator).max(slowest))
        }
    });
    rates.min_by(|a, b| rate_miss(*a, asked).total_cmp(&rate_miss(*b, asked))).unwrap_or(0.0)
}

/// How badly a rate misses the asked one: too slow counts more than too fast.
fn rate_miss(fps: f64, asked: f64) -> f64 {
    if fps + 0.5 < asked { 1_000.0 + asked - fps } else { (fps - asked).abs() }
}

/// The mode to run: nearest in size; then fast enough; then the best format; then the rate nearest from above.
pub(crate) fn choose(modes: &[Mode], options: &CameraOptions, usable: &[Wire]) -> Option<Mode> {
    let wanted = |wire: Wire| match options.format {
        PixelFormat::Auto => true,
        PixelFormat::Yuyv => wire == Wire::Yuyv,
        PixelFormat::Mjpg => wire == Wire::Mjpg,
        PixelFormat::Nv12 => wire == Wire::Nv12,
        PixelFormat::Rgb => matches!(wire, Wire::Rgb | Wire::Bgr),
        PixelFormat::Grey => wire == Wire::Grey,
    };
    let size_miss = |mode: &Mode| {
        let side = |got: u32, asked: u32| u64::from(got.abs_diff(asked)).pow(2);
        side(mode.width_px, options.width_px) + side(mode.height_px, options.height_px)
    };
    // A rate the driver does not tell (0) is taken as fast enough: there is nothing to compare it by.
    let too_slow = |mode: &Mode| mode.fps > 0.0 && mode.fps + 0.5 < f64::from(options.fps);
    let miss = |mode: &Mode| rate_miss(mode.fps, f64::from(options.fps));
    modes.iter().filter(|mode| wanted(mode.wire) && usable.contains(&mode.wire)).copied().min_by(|a, b| {
        (size_miss(a), too_slow(a))
            .cmp(&(size_miss(b), too_slow(b)))
            // Among modes that are all too slow the fastest wins; among fast ones the best format.
            .then_with(|| if too_slow(a) { miss(a).total_cmp(&miss(b)) } else { a.wire.cmp(&b.wire) })
            .then_with(|| miss(a).total_cmp(&miss(b)))
            .then_with(|| a.wire.cmp(&b.wire))
    })
}

/// The error of a camera none of whose modes serves.
pub(crate) fn nothing_fits(camera: &str, modes: &[Mode], options: &CameraOptions, advice: &str) -> CameraError {
    let mut formats: Vec<String> = modes.iter().map(|mode| format!("{:?}", mode.wire).to_lowercase()).collect();
    formats.dedup();
    let has = if formats.is_empty() { "none that can be used".to_owned() } else { formats.join(", ") };
    CameraError::Unsupported {
        camera: camera.to_owned(),
        why: format!("the format `{}` was asked for, the camera has {has}", options.format),
        advice: advice.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(wire: Wire, width_px: u32, height_px: u32, fps: f64) -> Mode {
        Mode { wire, width_px, height_px, fps }
    }

    fn options(width_px: u32, height_px: u32, fps: u32, format: PixelFormat) -> CameraOptions {
        CameraOptions { width_px, height_px, fps, format, ..CameraOptions::default() }
    }

    /// A common webcam: raw formats are slow when large, and the fastest mode is a silly size.
    fn webcam() -> Vec<Mode> {
        vec![
            mode(Wire::Mjpg, 320, 180, 60.0),
            mode(Wire::Mjpg, 640, 480, 30.0),
            mode(Wire::Mjpg, 1280, 720, 30.0),
            mode(Wire::Yuyv, 640, 480, 30.0),
            mode(Wire::Yuyv, 1280, 720, 10.0),
        ]
    }

    #[test]
    fn auto_takes_the_size_then_the_rate_then_the_format() {
        let chosen = |w, h, fps| choose(&webcam(), &options(w, h, fps, PixelFormat::Auto), &Wire::ALL).unwrap();
        assert_eq!(chosen(640, 480, 30), mode(Wire::Yuyv, 640, 480, 30.0));
        assert_eq!(chosen(1280, 720, 30), mode(Wire::Mjpg, 1280, 720, 30.0));
        assert_eq!(chosen(1280, 720, 10), mode(Wire::Yuyv, 1280, 720, 10.0));
        assert_eq!(chosen(700, 500, 60), mode(Wire::Yuyv, 640, 480, 30.0));
        assert_eq!(chosen(1920, 1080, 25), mode(Wire::Mjpg, 1280, 720, 30.0));
    }

    #[test]
    fn a_named_format_is_held_to() {
        let asked = options(640, 480, 30, PixelFormat::Mjpg);
        assert_eq!(choose(&webcam(), &asked, &Wire::ALL), Some(mode(Wire::Mjpg, 640, 480, 30.0)));
        let asked = options(640, 480, 30, PixelFormat::Grey);
        assert_eq!(choose(&webcam(), &asked, &Wire::ALL), None);
        let error = nothing_fits("x", &webcam(), &asked, "take another").to_string();
        assert!(error.contains("grey") && error.contains("mjpg, yuyv"), "{error}");
    }

    #[test]
    fn what_the_maker_cannot_read_is_not_taken() {
        let modes = [mode(Wire::Grey, 640, 480, 30.0)];
        assert_eq!(choose(&modes, &options(640, 480, 30, PixelFormat::Auto), &[Wire::Yuyv]), None);
    }

    #[test]
    fn of_modes_that_are_all_too_slow_the_fastest_wins() {
        let modes = [mode(Wire::Yuyv, 640, 480, 5.0), mode(Wire::Mjpg, 640, 480, 15.0)];
        let chosen = choose(&modes, &options(640, 480, 30, PixelFormat::Auto), &Wire::ALL);
        assert_eq!(chosen.map(|mode| mode.wire), Some(Wire::Mjpg));
    }

    #[test]
    fn a_range_of_sizes_gives_the_nearest_step() {
        let range = v4l::framesize::Stepwise {
            min_width: 32,
            max_width: 1000,
            step_width: 16,
            min_height: 32,
            max_height: 100,
            step_height: 0,
        };
        let size = nearest_size(&FrameSizeEnum::Stepwise(range), &options(650, 480, 30, PixelFormat::Auto));
        assert_eq!(size, (640, 100));
    }
}
