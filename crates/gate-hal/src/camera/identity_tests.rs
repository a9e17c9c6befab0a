//! Identities read from a made sysfs: the folders, links and files of real machines.

use super::*;
use std::os::unix::fs::symlink;

/// A sysfs in a temporary folder.
struct Sysfs(tempfile::TempDir);

/// Where a camera stands on a PC: bus 1, a hub at port 1, the camera at the hub's port 4.
const USB: &str = "pci0000:00/0000:00:14.0/usb1/1-1/1-1.4";

impl Sysfs {
    fn new() -> Self {
        let sysfs = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(sysfs.path().join("dev/char")).unwrap();
        fs::create_dir_all(sysfs.path().join("devices")).unwrap();
        sysfs
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
        let file = self.path().join("devices").join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }

    /// Adds a video node below `parent`, a device's folder, and returns its folder.
    fn node(&self, parent: &str, number: u32, minor: u32) -> PathBuf {
        self.write(&format!("{parent}/video4linux/video{number}/name"), "Front camera\n");
        let folder = self.path().join("devices").join(parent).join(format!("video4linux/video{number}"));
        symlink(&folder, self.path().join(format!("dev/char/81:{minor}"))).unwrap();
        folder
    }

    /// Adds a USB camera with its node and its microphone.
    fn usb(&self, place: &str, serial: Option<&[u8]>, number: u32, minor: u32) {
        for (name, value) in [("idVendor", "046d\n"), ("idProduct", "0825\n"), ("devpath", "1.4\n"), ("busnum", "1\n")]
        {
            self.write(&format!("{place}/{name}"), value);
        }
        if let Some(serial) = serial {
            self.write(&format!("{place}/serial"), [serial, b"\n"].concat());
        }
        let usb = place.rsplit('/').next().unwrap();
        for (interface, subclass) in [(0, 1), (1, 2)] {
            let folder = format!("{place}/{usb}:1.{interface}");
            self.write(&format!("{folder}/bInterfaceClass"), "0e\n");
            self.write(&format!("{folder}/bInterfaceSubClass"), format!("0{subclass}\n"));
            self.write(&format!("{folder}/bInterfaceProtocol"), "00\n");
        }
        let interface = format!("{place}/{usb}:1.0");
        let folder = self.node(&interface, number, minor);
        symlink(self.path().join("devices").join(interface), folder.join("device")).unwrap();
    }

    fn describe(&self, minor: u32) -> io::Result<Described> {
        describe(self.path(), libc::makedev(81, minor))
    }
}

#[test]
fn a_usb_camera_is_told_by_vendor_product_serial_and_port() {
    let sysfs = Sysfs::new();
    sysfs.usb(USB, Some(b"A1B2"), 0, 0);
    let found = sysfs.describe(0).unwrap();
    assert_eq!(found.identity.to_string(), "usb:046d:0825:A1B2@0000:00:14.0/1.4");
    assert!(found.identity.is_usb());
    let usb = found.usb.unwrap();
    assert_eq!((usb.id.as_str(), usb.serial.as_str(), usb.port.as_str()), ("046d:0825", "A1B2", "1-1.4"));
    assert_eq!(usb.interfaces, ["0e:01:00", "0e:02:00"]);
}

#[test]
fn the_number_of_its_node_and_of_its_bus_do_not_matter_but_its_port_does() {
    let (before, after, moved) = (Sysfs::new(), Sysfs::new(), Sysfs::new());
    before.usb(USB, Some(b"A1B2"), 0, 0);
    after.usb("pci0000:00/0000:00:14.0/usb2/2-1/2-1.4", Some(b"A1B2"), 7, 3);
    moved.usb(USB, Some(b"A1B2"), 0, 0);
    moved.write(&format!("{USB}/devpath"), "1.3\n");
    let identity = |sysfs: &Sysfs, minor| sysfs.describe(minor).unwrap().identity;
    assert_eq!(identity(&before, 0), identity(&after, 3));
    assert_ne!(identity(&before, 0), identity(&moved, 0));
}

#[test]
fn a_camera_without_a_serial_number_has_an_empty_one() {
    let sysfs = Sysfs::new();
    sysfs.usb(USB, None, 0, 0);
    assert_eq!(sysfs.describe(0).unwrap().identity.to_string(), "usb:046d:0825:@0000:00:14.0/1.4");
}

#[test]
fn what_a_camera_says_of_itself_reaches_no_terminal_and_forges_no_port() {
    let sysfs = Sysfs::new();
    let serial = "A@0000:00:14.0/1.4 \u{1b}]0;x\u{7}\u{202e}%41\"'";
    sysfs.usb(USB, Some(serial.as_bytes()), 0, 0);
    let identity = sysfs.describe(0).unwrap().identity;
    let text = identity.to_string();
    assert!(text.bytes().all(|b| matches!(b, b' '..=b'~')), "{text}");
    assert_eq!(text.matches('@').count(), 1, "{text}");
    assert_eq!(text.parse::<CameraIdentity>().unwrap(), identity);
    // As long as a device likes.
    let sysfs = Sysfs::new();
    sysfs.usb(USB, Some(&[b'x'; 100_000]), 0, 0);
    assert!(sysfs.describe(0).unwrap().identity.to_string().len() < 600);
}

#[test]
fn a_camera_on_the_board_is_told_by_its_place_and_one_without_hardware_by_its_node() {
    let sysfs = Sysfs::new();
    let folder = sysfs.node("platform/axi/1f00110000.csi", 0, 0);
    symlink(sysfs.path().join("devices/platform/axi/1f00110000.csi"), folder.join("device")).unwrap();
    sysfs.node("virtual", 10, 1);
    let identity = |minor| sysfs.describe(minor).unwrap().identity;
    assert_eq!(identity(0).to_string(), "device:Front camera@platform/axi/1f00110000.csi");
    assert_eq!(identity(1).to_string(), "device:Front camera@virtual/video4linux/video10");
    assert!(!identity(0).is_usb());
    assert!(sysfs.describe(2).is_err(), "a number that nobody has");
}

#[test]
fn every_identity_parses_and_prints_back_and_nothing_else_does() {
    for text in [
        "usb:046d:0825:A1:B2@0000:00:14.0/1.4",
        "usb:046d:0825:@xhci-hcd.0/1",
        "device:Front camera@virtual/video4linux/video10",
        "device:@x",
    ] {
        assert_eq!(text.parse::<CameraIdentity>().unwrap().to_string(), text);
    }
    for text in [
        "",
        "usb",
        "usb:",
        "usb:046d:0825:A1",
        "usb:046d:0825@1",
        "usb:46d:0825:A@1",
        "usb:+46d:0825:A@1",
        "usb:046d:082g:A@1",
        "usb:046d:0825:A@",
        "usb:046d:0825:A\u{7}@1",
        "usb:046d:0825:\u{e9}@1",
        "device:x",
        "pci:x@y",
    ] {
        let error = text.parse::<CameraIdentity>().unwrap_err().to_string();
        assert!(error.contains("gate-daemon devices --pin"), "{error}");
    }
}

/// A node of this machine that everybody may open, and its number.
const NODE: &str = "/dev/null";
const NODE_NUMBER: (u32, u32) = (1, 3);

/// A sysfs that takes [`NODE`] for a camera of this name.
fn with_node(name: &str) -> Sysfs {
    let sysfs = Sysfs::new();
    sysfs.write("virtual/video4linux/video10/name", format!("{name}\n"));
    let (major, minor) = NODE_NUMBER;
    let folder = sysfs.path().join("devices/virtual/video4linux/video10");
    symlink(folder, sysfs.path().join(format!("dev/char/{major}:{minor}"))).unwrap();
    sysfs
}

#[test]
fn only_the_pinned_camera_is_opened() {
    let sysfs = with_node("door");
    let open = |pinned: &str| Held::open_in(sysfs.path(), Path::new(NODE), Some(&pinned.parse().unwrap()));
    let held = open("device:door@virtual/video4linux/video10").unwrap();
    assert_eq!(held.identity().unwrap().to_string(), "device:door@virtual/video4linux/video10");
    let Err(error) = open("device:other@virtual/video4linux/video10") else { panic!("another camera was opened") };
    assert!(matches!(error, CameraError::Changed { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("device:other@") && error.contains("device:door@"), "{error}");
}

#[test]
fn a_camera_that_cannot_be_identified_is_not_the_pinned_one() {
    let (sysfs, node) = (Sysfs::new(), Path::new(NODE));
    let pinned = "device:door@virtual/video4linux/video10".parse().unwrap();
    let Err(error) = Held::open_in(sysfs.path(), node, Some(&pinned)) else { panic!("it was opened") };
    assert!(error.to_string().contains("cannot be identified"), "{error}");
    let held = Held::open_in(sysfs.path(), node, None).unwrap();
    assert!(held.identity().is_none() && !held.is_gone());
}

#[test]
fn a_folder_or_a_file_is_no_camera() {
    let sysfs = Sysfs::new();
    for path in [sysfs.path().to_owned(), PathBuf::from("/proc/self/status")] {
        assert!(Held::open_in(sysfs.path(), &path, None).is_err(), "{}", path.display());
    }
}

#[test]
fn another_device_that_slips_in_between_two_openings_is_noticed() {
    let sysfs = with_node("door");
    let held = Held::open_in(sysfs.path(), Path::new(NODE), None).unwrap();
    assert!(held.insist_on(fs::metadata(NODE)).is_ok());
    assert!(held.insist_on(fs::metadata("/dev/zero")).is_err());
    assert!(held.insist_on(fs::metadata("/dev/no-such-device")).is_err());
}

#[test]
fn a_camera_whose_device_is_gone_was_unplugged() {
    let sysfs = with_node("door");
    let held = Held::open_in(sysfs.path(), Path::new(NODE), None).unwrap();
    assert!(!held.is_gone());
    fs::remove_dir_all(sysfs.path().join("devices/virtual/video4linux/video10")).unwrap();
    assert!(held.is_gone());
}
