//! A store's life: made, looked after, examined, and what happens with a wrong key.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, keys, sample};
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;

#[test]
fn init_makes_key_and_store_once_and_never_overwrites() {
    let desk = Desk::without_store();
    let missing = desk.run(["list", "--json"]).code(3);
    assert!(missing.err.contains("enroll-tool init"), "{}", missing.err);
    let made = desk.run(["init", "--json"]).code(0).json();
    assert_eq!(keys(&made), ["key", "key_made", "store"]);
    assert_eq!(made["key_made"], true);
    let key = desk.path("store/site.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o400);
    let before = std::fs::read(&key).unwrap();
    assert!(desk.run(["init", "--json"]).refused(None).contains("there already"));
    assert_eq!(std::fs::read(&key).unwrap(), before);
    assert_eq!(desk.people(), []);
    // A key that is there already serves another store.
    let config = std::fs::read_to_string(desk.path("gate.toml")).unwrap();
    let config = config.replace("dir = \"store\"", "dir = \"second\"\nkey_file = \"store/site.key\"");
    let second = desk.write("second.toml", config.as_bytes());
    let global: [&OsStr; 2] = ["--config".as_ref(), second.as_os_str()];
    let text = desk.run_with(&global, ["init"]).code(0).out;
    assert!(text.contains("was there, used") && text.contains("Back the key up"), "{text}");
    desk.run_with(&global, ["list"]).code(0);
}

#[test]
fn staff_suspend_renew_rename_and_erase() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    assert_eq!(desk.run(["suspend", "ana", "--json"]).code(0).json()["refusal"], "Suspended");
    assert!(desk.run(["list"]).code(0).out.contains("suspended"));
    assert!(desk.run(["resume", "ana", "--json"]).code(0).json()["refusal"].is_null());

    let set = |args: &[&str]| desk.run([&["set", "ana", "--json"], args].concat());
    assert_eq!(set(&["--valid-until", "2020-02-29"]).code(0).json()["refusal"], "Expired");
    assert!(desk.run(["list"]).code(0).out.contains("over, until 2020-02-29"));
    assert_eq!(set(&["--valid-until", "none", "--valid-from", "2999-01-01"]).code(0).json()["refusal"], "NotYetValid");
    let order = set(&["--valid-until", "2998-01-01"]).refused(None);
    assert!(order.contains("before it begins"), "{order}");
    let renamed = set(&["--valid-from", "none", "--name", "Ana Silva"]).code(0).json();
    assert!(renamed["name"] == "Ana Silva" && renamed["valid_from"].is_null() && renamed["refusal"].is_null());
    assert!(set(&["--name", ""]).refused(None).contains("not usable"));
    assert!(desk.run(["suspend", "bob", "--json"]).refused(None).contains("nobody is enrolled as `bob`"));

    let person = desk.run(["show", "ana", "--json"]).code(0).json();
    let days =
        ["valid_from", "valid_from_day", "valid_from_zone", "valid_until", "valid_until_day", "valid_until_zone"];
    let wanted =
        ["enrolled", "id", "name", "picture_confirmed", "references", "refusal", "suspended"].into_iter().chain(days);
    assert_eq!(keys(&person), wanted.collect::<Vec<_>>());
    assert_eq!(keys(&person["references"][0]), ["encoder_sha256", "made", "number", "picture"]);
    assert!(desk.run(["show", "ana"]).code(0).out.contains("sface"));

    let asked = desk.run(["remove", "ana", "--json"]).refused(None);
    assert!(asked.contains("--yes"), "{asked}");
    let removed = desk.run(["remove", "ana", "--yes", "--json"]).code(0).json();
    assert!(removed["removed"] == "ana" && removed["warning"].is_null(), "{removed}");
    assert_eq!(desk.people(), []);
    assert!(desk.run(["remove", "ana", "--yes", "--json"]).refused(None).contains("nobody"));
    // The id may be given again.
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
}

#[test]
fn a_wrong_key_and_a_damaged_file_are_faults_of_the_system_and_lose_nothing() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    let checked = desk.run(["check", "--json"]).code(0).json();
    assert!(checked["sound"] == true && checked["people"] == 1 && checked["references"] == 1, "{checked}");

    let key = desk.path("store/site.key");
    let right = std::fs::read_to_string(&key).unwrap();
    let digits = right.trim_end().chars().rev().take(64).collect::<String>();
    let wrong = right.replace(&digits.chars().rev().collect::<String>(), &"0f".repeat(32));
    replace(&key, &wrong);
    for args in [&["list", "--json"][..], &["check", "--json"], &["remove", "ana", "--yes", "--json"]] {
        let fault = desk.run(args).code(3);
        assert!(fault.json()["error"].as_str().unwrap().contains("site key does not open"), "{}", fault.err);
    }
    replace(&key, &right);
    assert_eq!(desk.people(), [("ana".to_owned(), 1)]);

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let open = desk.run(["list"]).code(3);
    assert!(open.err.contains("chmod 0400"), "{}", open.err);
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();

    // Her data key is lost: she cannot be read, is told of, and can still be erased.
    let keys_file = desk.path("store/people.keys");
    let mut keys = std::fs::read(&keys_file).unwrap();
    let last = keys.iter().rposition(|byte| *byte != 0).unwrap();
    keys[last] ^= 1;
    std::fs::write(&keys_file, keys).unwrap();
    let list = desk.run(["list", "--json"]).code(0);
    assert!(list.json() == serde_json::json!([]) && list.err.contains("ana"), "{}", list.err);
    let checked = desk.run(["check", "--json"]).code(3).json();
    assert!(checked["sound"] == false && checked["damaged"][0] == "ana", "{checked}");
    desk.run(["remove", "ana", "--yes"]).code(0);
    desk.run(["check"]).code(0);
}

fn replace(key: &std::path::Path, text: &str) {
    std::fs::remove_file(key).unwrap();
    std::fs::write(key, text).unwrap();
    std::fs::set_permissions(key, std::fs::Permissions::from_mode(0o400)).unwrap();
}
