//! Which camera, and how it shall run: what a config file or a command line says about it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::CameraIdentity;

/// Which camera to open: `nokhwa:0`, `nokhwa:/dev/video0`, `v4l:/dev/video0` or `replay:PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameraSpec {
    /// A V4L2 camera through `nokhwa`: an index or a `/dev/videoN` path.
    Nokhwa(PathBuf),
    /// A V4L2 camera through `v4l`: a device path, any name (for instance below `/dev/v4l/by-id`).
    V4l(PathBuf),
    /// A folder of pictures, a picture, a GIF or a video file.
    Replay(PathBuf),
}

/// A text that names no camera, level of pace or pixel format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}: write {forms}")]
pub struct SpecError {
    text: String,
    what: &'static str,
    forms: &'static str,
}

impl FromStr for CameraSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let error = || SpecError {
            text: text.to_owned(),
            what: "camera",
            forms: "nokhwa:0, nokhwa:/dev/video0, v4l:/dev/video0 or replay:PATH \
                    (a folder of pictures, a picture, a GIF or a video file)",
        };
        let (maker, rest) = text.split_once(':').ok_or_else(error)?;
        if rest.is_empty() {
            return Err(error());
        }
        match maker {
            // A bare number is the device's index in both live makers.
            "nokhwa" => device_path(rest).map(CameraSpec::Nokhwa).ok_or_else(error),
            "v4l" => device_path(rest).map(CameraSpec::V4l).ok_or_else(error),
            "replay" => Ok(CameraSpec::Replay(PathBuf::from(rest))),
            _ => Err(error()),
        }
    }
}

/// The device node meant by an index or an absolute path.
fn device_path(rest: &str) -> Option<PathBuf> {
    if rest.bytes().all(|b| b.is_ascii_digit()) {
        let index: u32 = rest.parse().ok()?;
        return Some(PathBuf::from(format!("/dev/video{index}")));
    }
    // A NUL cannot stand in a path; the driver crate would panic on it.
    (rest.starts_with('/') && !rest.contains('\0')).then(|| PathBuf::from(rest))
}

impl fmt::Display for CameraSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CameraSpec::Nokhwa(path) => write!(f, "nokhwa:{}", path.display()),
            CameraSpec::V4l(path) => write!(f, "v4l:{}", path.display()),
            CameraSpec::Replay(path) => write!(f, "replay:{}", path.display()),
        }
    }
}

/// The camera's pixel format on the wire. Frames are RGB whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// The best the camera has at the asked size and rate: YUYV, NV12, MJPG, RGB, GREY, in this order.
    #[default]
    Auto,
    /// YUV 4:2:2 packed, 2 bytes a pixel.
    Yuyv,
    /// Motion JPEG.
    Mjpg,
    /// YUV 4:2:0, a plane of Y and a plane of UV pairs.
    Nv12,
    /// RGB or BGR, 3 bytes a pixel.
    Rgb,
    /// 8-bit luminance: infrared cameras. Only `v4l:` can give it.
    Grey,
}

impl FromStr for PixelFormat {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text.to_ascii_lowercase().as_str() {
            "auto" => Ok(PixelFormat::Auto),
            "yuyv" => Ok(PixelFormat::Yuyv),
            "mjpg" | "mjpeg" => Ok(PixelFormat::Mjpg),
            "nv12" => Ok(PixelFormat::Nv12),
            "rgb" => Ok(PixelFormat::Rgb),
            "grey" | "gray" => Ok(PixelFormat::Grey),
            _ => Err(SpecError {
                text: text.to_owned(),
                what: "pixel format",
                forms: "auto, yuyv, mjpg, nv12, rgb or grey",
            }),
        }
    }
}

impl fmt::Display for PixelFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PixelFormat::Auto => "auto",
            PixelFormat::Yuyv => "yuyv",
            PixelFormat::Mjpg => "mjpg",
            PixelFormat::Nv12 => "nv12",
            PixelFormat::Rgb => "rgb",
            PixelFormat::Grey => "grey",
        })
    }
}

/// How fast a replay gives its frames. Their times are the same either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Each frame when it is due, counted from the first call.
    #[default]
    Real,
    /// As fast as they can be read.
    Fast,
}

impl FromStr for Pace {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        match text {
            "real" => Ok(Pace::Real),
            "fast" => Ok(Pace::Fast),
            _ => Err(SpecError { text: text.to_owned(), what: "pace", forms: "real or fast" }),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Pace::Real => "real",
            Pace::Fast => "fast",
        })
    }
}

/// How the camera shall run. The nearest mode the camera has is taken.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraOptions {
    /// Asked width in pixels.
    pub width_px: u32,
    /// Asked height in pixels.
    pub height_px: u32,
    /// Asked frames a second.
    pub fps: u32,
    /// Asked pixel format.
    pub format: PixelFormat,
    /// A replay's pace.
    pub replay_pace: Pace,
    /// Whether a replay begins again at its end, for ever; its time goes on.
    pub replay_loop: bool,
    /// Frames a second of a replayed folder or single picture; GIFs and videos have their own.
    pub replay_fps: f64,
    /// A live camera without a frame for this long is lost, and is opened anew.
    pub stall: Duration,
    /// The only live camera that may be opened; `None` = any.
    pub identity: Option<CameraIdentity>,
}

impl Default for CameraOptions {
    /// 640x480 at 30 frames a second, any format; a replay in real time, once, pictures at 10 a second.
    fn default() -> Self {
        Self {
            width_px: 640,
            height_px: 480,
            fps: 30,
            format: PixelFormat::Auto,
            replay_pace: Pace::Real,
            replay_loop: false,
            replay_fps: 10.0,
            stall: Duration::from_secs(2),
            identity: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses_and_prints_back() {
        for (text, shown) in [
            ("nokhwa:0", "nokhwa:/dev/video0"),
            ("nokhwa:/dev/video2", "nokhwa:/dev/video2"),
            ("v4l:/dev/v4l/by-id/usb-x:1", "v4l:/dev/v4l/by-id/usb-x:1"),
            ("v4l:1", "v4l:/dev/video1"),
            ("replay:a b/c:d.gif", "replay:a b/c:d.gif"),
        ] {
            let spec: CameraSpec = text.parse().unwrap();
            assert_eq!(spec.to_string(), shown);
            assert_eq!(shown.parse::<CameraSpec>().unwrap(), spec);
        }
    }

    #[test]
    fn what_is_no_camera_is_refused_with_the_forms() {
        for text in ["", "nokhwa", "nokhwa:", "usb:0", "v4l:video0", "nokhwa:-1", "nokhwa:99999999999", "v4l:/a\0b"] {
            let error = text.parse::<CameraSpec>().unwrap_err().to_string();
            for form in ["nokhwa:0", "v4l:/dev/video0", "replay:PATH"] {
                assert!(error.contains(form), "{error}");
            }
        }
    }

    #[test]
    fn formats_and_paces_parse_and_print_back() {
        for text in ["auto", "yuyv", "mjpg", "nv12", "rgb", "grey"] {
            assert_eq!(text.parse::<PixelFormat>().unwrap().to_string(), text);
        }
        assert!("h264".parse::<PixelFormat>().unwrap_err().to_string().contains("mjpg"));
        for text in ["real", "fast"] {
            assert_eq!(text.parse::<Pace>().unwrap().to_string(), text);
        }
        assert!("slow".parse::<Pace>().is_err());
    }
}
