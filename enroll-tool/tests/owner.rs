//! Root at the desk of a gate whose store belongs to the gate's own user, who may be an attacker by now.
#![allow(clippy::unwrap_used)]

mod common;

use common::Desk;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

/// The gate's user in these tests.
const EVE: u32 = 65_534;

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A desk as an installed gate has it: the store's folder belongs to the gate's user, the key is root's, elsewhere.
/// `None` where the tester is not root and cannot be.
fn installed() -> Option<Desk> {
    let desk = Desk::without_store();
    if fs::metadata(desk.folder.path()).unwrap().uid() != 0 {
        return None;
    }
    mode(desk.folder.path(), 0o711);
    fs::create_dir(desk.path("store")).unwrap();
    mode(&desk.path("store"), 0o700);
    chown(desk.path("store"), Some(EVE), Some(EVE)).unwrap();
    let config = fs::read_to_string(desk.path("gate.toml")).unwrap();
    let config = config.replace("dir = \"store\"", "dir = \"store\"\nkey_file = \"credstore/site.key\"");
    fs::write(desk.path("gate.toml"), config).unwrap();
    Some(desk)
}

/// Everything in the store's folder is a file of its owner.
fn all_is_the_owners(desk: &Desk) {
    let entries: Vec<_> = fs::read_dir(desk.path("store")).unwrap().flatten().collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let meta = entry.metadata().unwrap();
        assert_eq!((meta.uid(), meta.gid()), (EVE, EVE), "{:?}", entry.path());
        assert_eq!(meta.mode() & 0o077, 0, "{:?}", entry.path());
    }
}

#[test]
fn root_enrols_as_the_stores_owner_with_a_key_and_a_picture_that_are_roots_alone() {
    let Some(desk) = installed() else { return };
    desk.run(["init"]).code(0);
    let key = fs::metadata(desk.path("credstore/site.key")).unwrap();
    assert_eq!((key.uid(), key.mode() & 0o777), (0, 0o400));
    all_is_the_owners(&desk);

    // A picture that the gate's user could not read.
    fs::create_dir(desk.path("home")).unwrap();
    mode(&desk.path("home"), 0o700);
    let photo = desk.path("home/ana.jpg");
    fs::copy(common::sample("obama.jpg"), &photo).unwrap();
    mode(&photo, 0o600);
    desk.add("ana", &[&photo]).code(0);
    all_is_the_owners(&desk);
    assert_eq!(desk.people(), [("ana".to_owned(), 1)]);
    desk.run(["identify", photo.to_str().unwrap()]).code(0);
    desk.run(["verify", "--id", "ana", photo.to_str().unwrap()]).code(0);

    // A folder of pictures, and a report where only root writes.
    fs::copy(&photo, desk.path("home/ben.jpg")).unwrap();
    fs::remove_file(&photo).unwrap();
    let report = desk.path("report.csv");
    let import =
        ["import", desk.path("home").to_str().unwrap(), "--report", report.to_str().unwrap()].map(str::to_owned);
    desk.run(import).code(1);
    assert!(fs::read_to_string(&report).unwrap().contains("ben"), "refused as a double, not as unreadable");
    all_is_the_owners(&desk);
}

#[test]
fn links_in_the_stores_folder_lead_root_nowhere() {
    let Some(desk) = installed() else { return };
    let victim = desk.write("victim", b"precious");
    for name in ["people.keys", "people.db"] {
        symlink(&victim, desk.path("store").join(name)).unwrap();
        let told = desk.run(["init"]);
        assert_ne!(told.code, 0, "{name}");
        assert!(told.err.contains(name), "{}", told.err);
        assert_eq!(fs::read(&victim).unwrap(), b"precious", "{name}");
        fs::remove_file(desk.path("store").join(name)).unwrap();
    }
    desk.run(["init"]).code(0);
    for name in ["people.keys", "people.db"] {
        let (path, away) = (desk.path("store").join(name), desk.path("away"));
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        let told = desk.run(["list"]).code(3);
        assert!(told.err.contains("symbolic link"), "{}", told.err);
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    assert_eq!(desk.people(), []);
}

#[test]
fn a_key_in_the_stores_folder_is_the_owners() {
    let Some(desk) = installed() else { return };
    let config = fs::read_to_string(desk.path("gate.toml")).unwrap();
    fs::write(desk.path("gate.toml"), config.replace("key_file = \"credstore/site.key\"", "")).unwrap();
    desk.run(["init"]).code(0);
    assert!(desk.path("store/site.key").exists());
    all_is_the_owners(&desk);
    assert_eq!(desk.people(), []);
}

#[test]
fn a_report_is_written_through_no_link() {
    let desk = Desk::new();
    let victim = desk.write("victim", b"precious");
    symlink(&victim, desk.path("report.csv")).unwrap();
    fs::create_dir(desk.path("pictures")).unwrap();
    let (pictures, report) = (desk.path("pictures"), desk.path("report.csv"));
    fs::write(pictures.join("ana.jpg"), "no picture").unwrap();
    let args = ["import", pictures.to_str().unwrap(), "--report", report.to_str().unwrap()].map(str::to_owned);
    let told = desk.run(args.clone()).code(2);
    assert!(told.err.contains("symbolic link"), "{}", told.err);
    assert_eq!(fs::read(&victim).unwrap(), b"precious");

    fs::remove_file(&report).unwrap();
    desk.run(args).code(1);
    assert_eq!(fs::metadata(&report).unwrap().mode() & 0o777, 0o600);
}
