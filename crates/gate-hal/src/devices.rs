//! What hardware this machine has: cameras with their formats, GPIO chips, the board's name.

use std::fs;
use std::path::PathBuf;

use v4l::capability::Flags;
use v4l::framesize::FrameSizeEnum;
use v4l::prelude::Device;
use v4l::video::Capture as _;

use crate::guarded::guarded;

/// A camera that can be opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CameraInfo {
    /// Its node, for instance `/dev/video0`.
    pub path: PathBuf,
    /// The name it gives itself.
    pub name: String,
    /// The kernel driver's name.
    pub driver: String,
    /// Formats with their sizes, for instance `YUYV 640x480 1280x720`. Empty when it may not be opened.
    pub formats: Vec<String>,
}

/// A GPIO chip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChipInfo {
    /// Its node, for instance `/dev/gpiochip0`.
    pub path: PathBuf,
    /// What the kernel calls it, for instance `pinctrl-rp1`; empty when it may not be opened.
    pub label: String,
    /// How many lines it has.
    pub lines: u32,
}

/// The video nodes that are cameras, by number. Nodes of decoders, of metadata and of outputs are left out; a node
/// that may not be opened is listed without formats, since it may be a camera.
#[must_use]
pub fn list_cameras() -> Vec<CameraInfo> {
    video_nodes()
        .into_iter()
        .filter_map(|(number, path)| {
            // `v4l` panics on a driver whose name is not UTF-8.
            let described = guarded(|| describe(&path)).unwrap_or_else(|_| Some((String::new(), Vec::new())));
            let (driver, formats) = described?;
            let name = fs::read_to_string(format!("/sys/class/video4linux/video{number}/name")).unwrap_or_default();
            Some(CameraInfo { path, name: name.trim().to_owned(), driver, formats })
        })
        .collect()
}

/// `/dev/video0`, `/dev/video1` ... in order of number.
fn video_nodes() -> Vec<(u32, PathBuf)> {
    let names = fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<(u32, PathBuf)> = names
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort_unstable();
    nodes
}

/// A node's driver and formats; `None` when it is no camera.
fn describe(path: &PathBuf) -> Option<(String, Vec<String>)> {
    let unknown = (String::new(), Vec::new());
    let Ok(device) = Device::with_path(path) else { return Some(unknown) };
    let Ok(caps) = device.query_caps() else { return Some(unknown) };
    let is_camera = caps.capabilities.contains(Flags::VIDEO_CAPTURE) && !caps.capabilities.contains(Flags::VIDEO_M2M);
    is_camera.then(|| (caps.driver, formats(&device)))
}

fn formats(device: &Device) -> Vec<String> {
    let formats = device.enum_formats().unwrap_or_default();
    let line = |format: &v4l::format::Description| {
        let sizes = device.enum_framesizes(format.fourcc).unwrap_or_default();
        let sizes = sizes.iter().map(|size| match &size.size {
            FrameSizeEnum::Discrete(size) => format!(" {}x{}", size.width, size.height),
            FrameSizeEnum::Stepwise(range) => {
                let (low, high) = ((range.min_width, range.min_height), (range.max_width, range.max_height));
                format!(" {}x{}..{}x{}", low.0, low.1, high.0, high.1)
            }
        });
        format!("{}{}", format.fourcc, sizes.collect::<String>())
    };
    formats.iter().map(line).collect()
}

/// The GPIO chips, by name.
#[must_use]
pub fn list_gpio_chips() -> Vec<ChipInfo> {
    let paths = gpiocdev::chip::chips().unwrap_or_default();
    let info = |path: PathBuf| {
        let info = gpiocdev::Chip::from_path(&path).and_then(|chip| chip.info());
        let (label, lines) = info.map_or((String::new(), 0), |info| (info.label, info.num_lines));
        ChipInfo { path, label, lines }
    };
    paths.into_iter().map(info).collect()
}

/// The board's name, for instance `Raspberry Pi 5 Model B Rev 1.0`; `unknown board` where there is no device tree.
#[must_use]
pub fn board() -> String {
    let model = fs::read("/proc/device-tree/model").unwrap_or_default();
    let model = String::from_utf8_lossy(&model).trim_matches(['\0', ' ', '\n']).to_owned();
    if model.is_empty() { "unknown board".to_owned() } else { model }
}

/// What to say to somebody who asked for a camera that is not there.
pub(crate) fn camera_advice() -> String {
    // Node names only: this is called over and over while a camera is away, and opening others would disturb them.
    let nodes: Vec<String> = video_nodes().iter().map(|(_, path)| path.display().to_string()).collect();
    if nodes.is_empty() {
        "this machine has no video device: plug a camera in, or replay pictures with replay:PATH".to_owned()
    } else {
        format!("this machine has {}: take one of them, or plug the camera in", nodes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_exists() {
        assert!(list_cameras().iter().all(|camera| camera.path.exists()));
        assert!(list_gpio_chips().iter().all(|chip| chip.path.exists()));
        assert!(!board().is_empty());
    }

    #[test]
    fn the_advice_names_what_exists_or_says_that_nothing_does() {
        let advice = camera_advice();
        assert_eq!(advice.contains("no video device"), video_nodes().is_empty(), "{advice}");
    }
}
