//! `devices --pin`: says which camera is behind `[camera] source`, and writes that into the configuration if asked.
//!
//! Printing is the default: the file is root's, and whoever pins a camera should look at what is pinned. Written is only
//! the one key; comments and order stay, and a result that is no good configuration is not written.

use anyhow::{Context, Result, bail};
use gate_config::Config;
use gate_hal::{CameraSpec, Described, UsbDevice, describe_camera};
use gate_site::Site;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, value};

/// Prints the identity of the configured camera, and writes it into the configuration if asked.
///
/// # Errors
/// When no camera is there, or the file cannot be changed.
pub fn pin(site: &Site, write: bool) -> Result<()> {
    let (node, camera) = configured(site)?;
    let identity = camera.identity.to_string();
    if !write {
        print!("{}", section(&identity));
        eprintln!("to write this into the configuration: gate-daemon devices --pin --write");
        return Ok(());
    }
    let Some(file) = &site.file else {
        bail!("there is no configuration to write to: make {} or name one by --config", gate_site::CONFIG_PATH);
    };
    set_identity(file, &identity)?;
    println!("{}: pinned to {identity}", node.display());
    println!("{} is written; a running gate takes it up by: systemctl reload gate-daemon", file.display());
    Ok(())
}

/// Prints USBGuard's rules for the configured camera.
///
/// # Errors
/// When no camera is there, or it is no USB camera.
pub fn usbguard(site: &Site) -> Result<()> {
    let (node, camera) = configured(site)?;
    let Some(usb) = camera.usb else { bail!("{} is no USB camera: USBGuard has no say in it", node.display()) };
    print!("{}", rules(&usb));
    Ok(())
}

fn configured(site: &Site) -> Result<(PathBuf, Described)> {
    let node = match site.camera_spec()? {
        CameraSpec::Nokhwa(node) | CameraSpec::V4l(node) => node,
        CameraSpec::Replay(_) => bail!(
            "[camera] source is a replay, and a replay is no camera that could be pinned: `gate-daemon devices` lists cameras"
        ),
    };
    let camera = describe_camera(&node).with_context(|| {
        format!("{}: no camera to pin; `gate-daemon devices` lists those there are", node.display())
    })?;
    Ok((node, camera))
}

/// Sets `[camera] identity` in a configuration file. The file is replaced whole or not at all, and stays its owner's.
fn set_identity(path: &Path, identity: &str) -> Result<()> {
    // A link stays a link; what it leads to is changed.
    let path = &fs::canonicalize(path).with_context(|| format!("{}", path.display()))?;
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| name.clone())?;
    let text = with_identity(&text, identity).with_context(|| name.clone())?;
    Config::parse(&text, &name).with_context(|| format!("{name} would no longer be a good configuration"))?;

    let metadata = fs::metadata(path).with_context(|| name.clone())?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let part = folder.join(format!(".gate.toml.{}", std::process::id()));
    let written = (|| {
        // New, so that nothing is followed to another place.
        let mut file = File::options().write(true).create_new(true).open(&part)?;
        if let Err(e) = fchown(&file, Some(metadata.uid()), Some(metadata.gid()))
            && (file.metadata()?.uid(), file.metadata()?.gid()) != (metadata.uid(), metadata.gid())
        {
            return Err(e);
        }
        file.set_permissions(metadata.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        // It may not have been made at all.
        let _ = fs::remove_file(&part);
    }
    written.with_context(|| format!("{name} cannot be written: it is root's, use sudo; or add the line by hand"))
}

/// The section as it is printed.
fn section(identity: &str) -> String {
    format!("[camera]\nidentity = {}\n", value(identity).to_string().trim())
}

/// The text of a configuration with this key, everything else as it was.
fn with_identity(text: &str, identity: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse()?;
    let Some(camera) = document.get_mut("camera") else {
        let gap = match text {
            "" => "",
            text if text.ends_with("\n\n") => "",
            text if text.ends_with('\n') => "\n",
            _ => "\n\n",
        };
        return Ok(format!("{text}{gap}{}", section(identity)));
    };
    let camera = camera.as_table_like_mut().context("\"camera\" is no section")?;
    match camera.get_mut("identity").and_then(Item::as_value_mut) {
        Some(old) => {
            // A comment behind the old value stays.
            let decor = old.decor().clone();
            *old = identity.into();
            *old.decor_mut() = decor;
        }
        None => drop(camera.insert("identity", value(identity))),
    }
    Ok(document.to_string())
}

/// USBGuard's rules that let this camera in at its port, and no keyboard.
fn rules(usb: &UsbDevice) -> String {
    let is_input = |kind: &&String| kind.starts_with("03:");
    let mut kinds: Vec<&str> = usb.interfaces.iter().filter(|kind| !is_input(kind)).map(String::as_str).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let warning = if usb.interfaces.iter().any(|kind| is_input(&kind)) {
        "#\n# This camera says that it is an input device, too, and is rejected below: take another camera.\n"
    } else {
        ""
    };
    format!(
        "{HEAD}{warning}\n{INPUT}\n{HUBS}\nallow id {} serial {} via-port {} with-interface match-all {{ {} }}\n",
        usb.id,
        quoted(&usb.serial),
        quoted(&usb.port),
        kinds.join(" "),
    )
}

const HEAD: &str = "\
# USBGuard's rules for a face gate: /etc/usbguard/rules.conf. The camera at its port and hubs; no keyboard, nothing else.
# Made by: gate-daemon devices --usbguard. Have another way in (a network, a serial line) before USBGuard is started: a
# keyboard is rejected. Where the network card is a USB device, as on a Raspberry Pi 3, add its line from
# `usbguard generate-policy`. In usbguard-daemon.conf: ImplicitPolicyTarget=block and PresentDevicePolicy=apply-policy.
";
const INPUT: &str = "reject with-interface one-of { 03:*:* }";
const HUBS: &str = "allow with-interface match-all { 09:00:* }";

/// A text as USBGuard's rules quote it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => quoted.extend(['\\', char::from(byte)]),
            b' '..=b'~' => quoted.push(char::from(byte)),
            _ => quoted += &format!("\\x{byte:02x}"),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const IDENTITY: &str = "usb:046d:0825:A1\"B\\2@0000:00:14.0/1.4";

    #[test]
    fn only_the_one_key_changes() {
        let before = "# ours\n[relay]\nline = 5 # five\n\n[camera] # door\n# front\nsource = \"v4l:0\"   # the left one\n\n[log]\n";
        let after = with_identity(before, IDENTITY).unwrap();
        let line = "identity = 'usb:046d:0825:A1\"B\\2@0000:00:14.0/1.4'\n";
        assert!(after.contains(line), "{after}");
        assert_eq!(after.replace(line, ""), before, "nothing else has changed");
        let config = Config::parse(&after, "gate.toml").unwrap();
        assert_eq!(config.camera.identity.as_deref(), Some(IDENTITY));

        let again = with_identity(&after.replace("1.4'\n", "1.4' # mine\n"), "device:a@b").unwrap();
        assert!(again.contains("identity = \"device:a@b\" # mine\n"), "{again}");
        assert_eq!(again.matches("identity").count(), 1);
    }

    #[test]
    fn a_file_without_the_section_gets_it_and_one_that_is_no_configuration_is_left_alone() {
        for before in ["", "# nothing\n", "# nothing", "[relay]\nline = 5\n", "[relay]\nline = 5\n\n"] {
            let after = with_identity(before, IDENTITY).unwrap();
            assert!(after.starts_with(before), "{after}");
            assert_eq!(Config::parse(&after, "gate.toml").unwrap().camera.identity.as_deref(), Some(IDENTITY));
        }
        assert!(with_identity("[camera", IDENTITY).is_err());
        assert!(with_identity("camera = 5\n", IDENTITY).is_err());
    }

    #[test]
    fn the_file_keeps_its_mode_and_its_links_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("real.toml"), folder.path().join("gate.toml"));
        fs::write(&file, "[camera]\nfps = 20\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        set_identity(&link, IDENTITY).unwrap();
        assert_eq!(Config::load(&link).unwrap().camera.identity.as_deref(), Some(IDENTITY));
        assert_eq!(Config::load(&file).unwrap().camera.fps, 20);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_configuration_with_a_fault_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gate.toml");
        fs::write(&file, "[camera]\nfps = 9000\n").unwrap();
        let why = format!("{:#}", set_identity(&file, IDENTITY).unwrap_err());
        assert!(why.contains("fps"), "{why}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "[camera]\nfps = 9000\n");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    fn camera() -> UsbDevice {
        UsbDevice {
            id: "046d:0825".into(),
            serial: "A1B2C3".into(),
            port: "1-1.4".into(),
            interfaces: ["0e:01:00", "0e:02:00", "01:01:00", "01:02:00", "01:02:00"].map(str::to_owned).to_vec(),
        }
    }

    #[test]
    fn the_rules_let_in_the_camera_at_its_port_and_reject_keyboards_first() {
        let text = rules(&camera());
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(
            lines,
            [
                INPUT,
                HUBS,
                "allow id 046d:0825 serial \"A1B2C3\" via-port \"1-1.4\" with-interface match-all { 01:01:00 01:02:00 \
                 0e:01:00 0e:02:00 }"
            ]
        );
    }

    #[test]
    fn what_a_camera_says_of_itself_adds_no_rule() {
        let serial = "x\"\nallow id *:*\n\u{1b}\\".to_owned();
        let text = rules(&UsbDevice { serial, ..camera() });
        assert_eq!(text.lines().count(), rules(&camera()).lines().count(), "{text}");
        assert!(text.contains(r#"serial "x\"\x0aallow id *:*\x0a\x1b\\""#), "{text}");
    }

    #[test]
    fn a_camera_that_is_a_keyboard_too_is_warned_of_and_not_let_in_as_one() {
        let mut keyboard = camera();
        keyboard.interfaces.push("03:01:01".into());
        let text = rules(&keyboard);
        assert!(text.contains("take another camera"), "{text}");
        assert!(!text.contains("03:01:01"), "{text}");
    }

    #[test]
    fn the_packages_example_is_what_is_made_for_its_camera() {
        let example = include_str!("../../packaging/usbguard-rules.conf");
        assert_eq!(example, rules(&camera()), "make packaging/usbguard-rules.conf anew");
    }
}
