//! Which camera it is: what the kernel knows about the device behind an open node, and whether that is the pinned one.
//!
//! ```text
//!   open(path) ──▶ Held: an open file ──its device number──▶ /sys/dev/char/MAJOR:MINOR ──▶ CameraIdentity
//!                    │ held for as long as the camera is open
//!                    └──▶ the kernel gives its number to no other device: nothing can be put in between
//! ```
//! A path is looked up once. Whatever else opens the camera by that path must have opened the same device number.

use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::CameraError;

/// Where the kernel describes devices.
const SYSFS: &str = "/sys";
/// Most that is read of one attribute, bytes: a serial number has at most 126 characters.
const ATTRIBUTE_MAX: usize = 512;

/// Which camera, as far as the kernel can tell one from another.
///
/// Its text is `usb:VENDOR:PRODUCT:SERIAL@PORT` or `device:NAME@PATH`. A camera names itself, so what it says is kept
/// in printable ASCII: all other bytes, `%` and `@` stand as `%XX`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CameraIdentity {
    /// A USB camera.
    Usb {
        /// `idVendor`.
        vendor: u16,
        /// `idProduct`.
        product: u16,
        /// The serial number that it gives; empty when it has none.
        serial: String,
        /// Where it is plugged in: the controller and the ports on the way, for instance `0000:00:14.0/1.4`.
        port: String,
    },
    /// A camera on the board itself, or one without hardware.
    Device {
        /// What its driver calls it.
        name: String,
        /// Its place below `/sys/devices`.
        path: String,
    },
}

impl CameraIdentity {
    /// Whether it is a USB camera, which anybody can unplug and replace who reaches its cable.
    #[must_use]
    pub fn is_usb(&self) -> bool {
        matches!(self, CameraIdentity::Usb { .. })
    }
}

impl fmt::Display for CameraIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CameraIdentity::Usb { vendor, product, serial, port } => {
                write!(f, "usb:{vendor:04x}:{product:04x}:{serial}@{port}")
            }
            CameraIdentity::Device { name, path } => write!(f, "device:{name}@{path}"),
        }
    }
}

/// A text that names no camera.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no camera's identity: take what `gate-daemon devices --pin` prints")]
pub struct IdentityError(String);

impl FromStr for CameraIdentity {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        let error = || IdentityError(text.to_owned());
        let (kind, rest) = text.split_once(':').ok_or_else(error)?;
        let (what, place) = rest.split_once('@').ok_or_else(error)?;
        if place.is_empty() || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(error());
        }
        match kind {
            "usb" => {
                let mut parts = what.splitn(3, ':');
                let mut hex = || {
                    let part = parts.next().filter(|part| part.len() == 4)?;
                    u16::from_str_radix(part, 16).ok().filter(|_| !part.starts_with('+'))
                };
                let (vendor, product) = hex().zip(hex()).ok_or_else(error)?;
                let serial = parts.next().ok_or_else(error)?.to_owned();
                Ok(CameraIdentity::Usb { vendor, product, serial, port: place.to_owned() })
            }
            "device" => Ok(CameraIdentity::Device { name: what.to_owned(), path: place.to_owned() }),
            _ => Err(error()),
        }
    }
}

/// A USB camera as USBGuard names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsbDevice {
    /// `VENDOR:PRODUCT`, in hexadecimal.
    pub id: String,
    /// Its serial number, as the kernel gives it.
    pub serial: String,
    /// The kernel's name of the port, for instance `1-1.4`.
    pub port: String,
    /// Class, subclass and protocol of its interfaces, for instance `0e:01:00`.
    pub interfaces: Vec<String>,
}

/// What the kernel says about one video node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Which camera it is.
    pub identity: CameraIdentity,
    /// More about a USB camera.
    pub usb: Option<UsbDevice>,
    /// The node's folder in sysfs. It goes when the camera goes.
    folder: PathBuf,
}

/// Reads what the kernel says about the camera at this node.
///
/// # Errors
/// When there is no such device, or sysfs does not describe it.
pub fn describe_camera(node: &Path) -> io::Result<Described> {
    describe(Path::new(SYSFS), File::open(node)?.metadata()?.rdev())
}

/// What `sysfs` says about a device number.
fn describe(sysfs: &Path, rdev: u64) -> io::Result<Described> {
    let link = sysfs.join(format!("dev/char/{}:{}", libc::major(rdev), libc::minor(rdev)));
    let folder = fs::canonicalize(link)?;
    let devices = fs::canonicalize(sysfs.join("devices"))?;
    // A camera without hardware has no device behind its node.
    let device = fs::canonicalize(folder.join("device")).unwrap_or_else(|_| folder.clone());
    let place = |path: &Path| path.strip_prefix(&devices).map(Path::to_owned).map_err(|_| unknown("its place"));
    let is_usb = |path: &&Path| path.join("idVendor").exists() && path.join("idProduct").exists();
    let Some(usb) = device.ancestors().take_while(|path| *path != devices).find(is_usb) else {
        let name = encode(&optional(attribute(&folder, "name"))?);
        let identity = CameraIdentity::Device { name, path: encode(place(&device)?.as_os_str().as_encoded_bytes()) };
        return Ok(Described { identity, usb: None, folder });
    };

    let hex = |name| {
        let bytes = attribute(usb, name)?;
        let number = str::from_utf8(&bytes).ok().and_then(|text| u16::from_str_radix(text, 16).ok());
        number.ok_or_else(|| unknown(name))
    };
    let (vendor, product) = (hex("idVendor")?, hex("idProduct")?);
    let serial = optional(attribute(usb, "serial"))?;

    // The controller by its own name: the number of a bus depends on the order in which the drivers were loaded.
    let is_root_hub = |path: &&Path| {
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("usb"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    };
    let controller = usb.ancestors().find(is_root_hub).and_then(Path::parent).and_then(Path::file_name);
    let controller = controller.ok_or_else(|| unknown("its USB controller"))?;
    let mut port = encode(controller.as_encoded_bytes());
    port += "/";
    port += &encode(&attribute(usb, "devpath")?);

    let details = UsbDevice {
        id: format!("{vendor:04x}:{product:04x}"),
        serial: String::from_utf8_lossy(&serial).into_owned(),
        port: usb.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        interfaces: interfaces(usb)?,
    };
    let identity = CameraIdentity::Usb { vendor, product, serial: encode(&serial), port };
    Ok(Described { identity, usb: Some(details), folder })
}

fn unknown(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} cannot be read in /sys"))
}

/// An attribute without the line's end.
fn attribute(folder: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = fs::read(folder.join(name))?;
    bytes.truncate(ATTRIBUTE_MAX);
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Ok(bytes)
}

/// One that not every device has; empty then.
fn optional(attribute: io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    match attribute {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        attribute => attribute,
    }
}

/// Class, subclass and protocol of a USB device's interfaces, in the order of their numbers.
fn interfaces(usb: &Path) -> io::Result<Vec<String>> {
    let mut folders: Vec<PathBuf> = fs::read_dir(usb)?.flatten().map(|entry| entry.path()).collect();
    folders.retain(|folder| folder.join("bInterfaceClass").exists());
    folders.sort();
    let kind = |folder: &PathBuf| {
        let part = |name| Ok(String::from_utf8_lossy(&attribute(folder, name)?).trim().to_owned());
        let parts: io::Result<Vec<String>> =
            ["bInterfaceClass", "bInterfaceSubClass", "bInterfaceProtocol"].into_iter().map(part).collect();
        Ok(parts?.join(":"))
    };
    folders.iter().map(kind).collect()
}

/// Printable ASCII as it is; everything else, `%` and `@` as `%XX`.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' | b'@' => text += &format!("%{byte:02X}"),
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("%{byte:02X}"),
        }
    }
    text
}

/// A video node, opened and held: as long as it is, the kernel gives its number to no other device.
pub(crate) struct Held {
    name: String,
    /// Held open only.
    _node: File,
    rdev: u64,
    /// `None` where sysfs says nothing.
    described: Option<Described>,
}

impl Held {
    /// Opens the node and reads which camera is behind it.
    ///
    /// # Errors
    /// [`CameraError::Changed`] when it is not the `pinned` one, or cannot be told; and when there is none.
    pub(crate) fn open(path: &Path, pinned: Option<&CameraIdentity>) -> Result<Self, CameraError> {
        Self::open_in(Path::new(SYSFS), path, pinned)
    }

    fn open_in(sysfs: &Path, path: &Path, pinned: Option<&CameraIdentity>) -> Result<Self, CameraError> {
        let name = path.display().to_string();
        let failed = |error: io::Error| CameraError::from_device(&name, &error);
        let node = File::open(path).map_err(failed)?;
        let metadata = node.metadata().map_err(failed)?;
        if !metadata.file_type().is_char_device() {
            return Err(CameraError::Unsupported {
                camera: name,
                why: "it is no device".to_owned(),
                advice: "`gate-daemon devices` lists cameras".to_owned(),
            });
        }
        let described = describe(sysfs, metadata.rdev());
        let held = |described| Self { name: name.clone(), _node: node, rdev: metadata.rdev(), described };
        let Some(pinned) = pinned else { return Ok(held(described.ok())) };
        match described {
            Ok(described) if described.identity == *pinned => Ok(held(Some(described))),
            Ok(described) => Err(CameraError::Changed {
                camera: name,
                found: described.identity.to_string(),
                pinned: pinned.to_string(),
            }),
            Err(error) => Err(CameraError::Lost { camera: name, why: format!("it cannot be identified: {error}") }),
        }
    }

    /// Which camera it is; `None` where the kernel does not tell.
    pub(crate) fn identity(&self) -> Option<&CameraIdentity> {
        self.described.as_ref().map(|described| &described.identity)
    }

    /// Insists that another opening of the camera has got this device.
    ///
    /// # Errors
    /// When it has got another one, or nobody can tell.
    pub(crate) fn insist_on(&self, other: io::Result<fs::Metadata>) -> Result<(), CameraError> {
        if other.is_ok_and(|other| other.rdev() == self.rdev) {
            return Ok(());
        }
        let why = "another device took its place while it was being opened".to_owned();
        Err(CameraError::Lost { camera: self.name.clone(), why })
    }

    /// Whether the camera was taken out: the kernel no longer knows it.
    pub(crate) fn is_gone(&self) -> bool {
        self.described.as_ref().is_some_and(|described| !described.folder.exists())
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
