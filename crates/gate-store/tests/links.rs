//! A store folder in which somebody has put links, pipes and second names in place of the store's files.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use common::*;
use gate_store::{KeySource, SiteKey, Store, StoreError};

/// A file of somebody else's, and whether it is as it was.
fn victim(dir: &tempfile::TempDir) -> std::path::PathBuf {
    let path = dir.path().join("victim");
    fs::write(&path, "precious").unwrap();
    path
}

#[test]
fn making_a_store_writes_through_no_link() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = victim(&elsewhere);
    let key = SiteKey::generate().unwrap();
    for name in ["people.keys", "people.db", "people.db.new"] {
        for target in [&victim, &elsewhere.path().join("nothing")] {
            let dir = tempfile::tempdir().unwrap();
            symlink(target, dir.path().join(name)).unwrap();
            let made = Store::init(dir.path(), &key);
            // A draft that was left behind is removed by its name, so a link there goes, too, and does no harm.
            assert_eq!(made.is_ok(), name == "people.db.new", "{name}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{name}");
            assert!(!elsewhere.path().join("nothing").exists(), "{name}");
        }
    }
    // A second name of somebody's file in place of a set-up that was cut short.
    let dir = tempfile::tempdir().unwrap();
    fs::hard_link(&victim, dir.path().join("people.keys"))
        .or_else(|_| fs::copy(&victim, dir.path().join("people.keys")).map(|_| ())) // on another file system
        .unwrap();
    drop(Store::init(dir.path(), &key).unwrap());
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
}

#[test]
fn opening_a_store_follows_no_link_and_waits_for_no_pipe() {
    let (dir, key, mut store) = new_store();
    add(&mut store, "ana", 1).unwrap();
    drop(store);
    for name in ["people.keys", "people.db"] {
        let (path, away) = (dir.path().join(name), dir.path().join("away"));
        fs::rename(&path, &away).unwrap();
        symlink(&away, &path).unwrap();
        for opened in [Store::open(dir.path(), &key), Store::open_read_only(dir.path(), &key)] {
            let error = opened.unwrap_err();
            assert!(matches!(error, StoreError::Io { .. }), "{error}");
            assert!(error.to_string().contains("symbolic link") && error.to_string().contains(name), "{error}");
        }
        fs::remove_file(&path).unwrap();

        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        for opened in [Store::open(dir.path(), &key), Store::open_read_only(dir.path(), &key)] {
            let error = opened.unwrap_err().to_string();
            assert!(error.contains("not a file"), "{error}");
        }
        fs::remove_file(&path).unwrap();
        fs::rename(&away, &path).unwrap();
    }
    // Links to the folder itself are the administrator's affair.
    let outer = tempfile::tempdir().unwrap();
    let link = outer.path().join("people");
    symlink(dir.path(), &link).unwrap();
    assert_eq!(Store::open(&link, &key).unwrap().check().unwrap().people, 1);
    assert_eq!(Store::open_read_only(&link, &key).unwrap().check().unwrap().people, 1);
}

#[test]
fn a_site_key_is_read_through_no_link() {
    let dir = tempfile::tempdir().unwrap();
    let (real, link) = (dir.path().join("real.key"), dir.path().join("site.key"));
    SiteKey::generate().unwrap().create_file(&real).unwrap();
    symlink(&real, &link).unwrap();
    let error = SiteKey::load(&KeySource::File(link.clone())).unwrap_err().to_string();
    assert!(error.contains("symbolic link"), "{error}");
    assert!(matches!(SiteKey::generate().unwrap().create_file(&link), Err(StoreError::AlreadyThere { .. })));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o400)).unwrap();
    SiteKey::load(&KeySource::File(real)).unwrap();
}
