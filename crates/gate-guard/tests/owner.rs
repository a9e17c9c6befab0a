//! Root gives its rights up, in a process of its own, since there is no way back.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gate_guard::{owner, trusted};
use nix::unistd::{Gid, Uid, geteuid, setgid, setuid};

const FOLDER: &str = "GATE_GUARD_TEST_FOLDER";
/// Nobody's account.
const EVE: u32 = 65_534;

/// This test once more, in a process that works on `folder`.
fn elsewhere(folder: &Path) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "root_becomes_the_owner_of_a_folder_for_good", "--nocapture"]).env(FOLDER, folder);
    command.output().unwrap()
}

/// The ids of every thread, as the kernel has them: real, effective, saved, file system.
fn ids(line: &str) -> Vec<Vec<u32>> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .map(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let ids = status.lines().find_map(|found| found.strip_prefix(line)).unwrap();
            ids.split_whitespace().map(|id| id.parse().unwrap()).collect()
        })
        .collect()
}

fn inside(folder: &Path) {
    let secret = folder.join("../secret");
    fs::read(&secret).unwrap();
    let owner = owner::become_owner_of(folder).unwrap().expect("the folder is another's");
    assert_eq!(owner.uid, EVE);
    assert!(owner.name.contains("65534"), "{}", owner.name);

    for line in ["Uid:", "Gid:"] {
        for ids in ids(line) {
            assert!(ids.iter().all(|id| *id == EVE), "{line} {ids:?}");
        }
    }
    assert!(ids("Groups:").iter().flatten().all(|id| *id != 0), "{:?}", ids("Groups:"));
    let status = fs::read_to_string("/proc/self/status").unwrap();
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line} {status}");
    }
    assert!(setuid(Uid::from_raw(0)).is_err() && setgid(Gid::from_raw(0)).is_err());
    assert!(fs::read(&secret).is_err(), "what is root's alone cannot be read any more");
    fs::write(folder.join("mine"), "").unwrap();

    // A second time there is nothing to become, and what root was asked to do stays under root's rule.
    assert_eq!(owner::become_owner_of(folder).unwrap(), None);
    assert!(trusted::acts_for_root());
    assert!(trusted::check(&folder.join("mine")).is_err());
    assert!(!nix::sys::prctl::get_dumpable().unwrap());
}

#[test]
fn root_becomes_the_owner_of_a_folder_for_good() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return inside(&PathBuf::from(folder));
    }
    let dir = tempfile::tempdir().unwrap();
    if !geteuid().is_root() {
        // An ordinary user stays who they are.
        assert_eq!(owner::become_owner_of(dir.path()).unwrap(), None);
        assert!(!owner::belongs_to_another(dir.path()));
        return;
    }
    // Root's own folder, and none at all: nothing to become.
    assert_eq!(owner::become_owner_of(dir.path()).unwrap(), None);
    assert_eq!(owner::become_owner_of(&dir.path().join("none")).unwrap(), None);

    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711)).unwrap();
    fs::write(dir.path().join("secret"), "root's").unwrap();
    fs::set_permissions(dir.path().join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let folder = dir.path().join("store");
    fs::create_dir(&folder).unwrap();
    chown(&folder, Some(EVE), Some(EVE)).unwrap();
    assert!(owner::belongs_to_another(&folder));

    let done = elsewhere(&folder);
    assert!(
        done.status.success(),
        "{}{}",
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    );
    assert_eq!(fs::metadata(folder.join("mine")).unwrap().uid(), EVE);
}
