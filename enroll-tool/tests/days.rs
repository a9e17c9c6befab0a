//! Days of validity: what staff wrote stays what it is, wherever it is read.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, sample};
use std::fs;

/// A machine in this time zone.
fn zone(name: &str) -> [(&str, &str); 1] {
    [("TZ", name)]
}

#[test]
fn a_day_stays_that_day_when_the_machines_zone_changes() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    let set = ["set", "ana", "--valid-from", "2026-01-31", "--valid-until", "2026-12-31", "--json"];
    let written = desk.run_on(&zone("UTC"), set).code(0).json();
    assert_eq!(written["valid_until"], "2027-01-01T00:00:00Z");
    for name in ["UTC", "Asia/Seoul", "America/Los_Angeles", "Pacific/Apia"] {
        let read = desk.run_on(&zone(name), ["show", "ana", "--json"]).code(0).json();
        assert_eq!(read, written, "{name}");
    }
    assert_eq!((&written["valid_until_day"], &written["valid_until_zone"]), (&"2026-12-31".into(), &"UTC".into()));
    assert_eq!((&written["valid_from_day"], &written["valid_from_zone"]), (&"2026-01-31".into(), &"UTC".into()));

    let list = |name| desk.run_on(&zone(name), ["list"]).code(0).out;
    assert!(list("UTC").contains("2026-01-31 to 2026-12-31\n"), "{}", list("UTC"));
    assert!(list("Asia/Seoul").contains("2026-01-31 (UTC) to 2026-12-31 (UTC)\n"), "{}", list("Asia/Seoul"));

    // What is changed elsewhere is meant there; what is not mentioned stays.
    let moved =
        desk.run_on(&zone("Asia/Seoul"), ["set", "ana", "--valid-until", "2026-12-31", "--json"]).code(0).json();
    assert_eq!(
        (&moved["valid_until"], &moved["valid_until_zone"]),
        (&"2026-12-31T15:00:00Z".into(), &"Asia/Seoul".into())
    );
    assert_eq!((&moved["valid_from"], &moved["valid_from_zone"]), (&written["valid_from"], &"UTC".into()));
    // An instant is an instant.
    let instant = desk.run(["set", "ana", "--valid-until", "2026-12-31T17:00:00Z", "--json"]).code(0).json();
    assert_eq!(instant["valid_until"], "2026-12-31T17:00:00Z");
    assert!(instant["valid_until_day"].is_null() && instant["valid_until_zone"].is_null());
}

#[test]
fn a_day_is_shown_as_it_was_written_where_midnight_does_not_exist() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    let santiago = zone("America/Santiago");
    let set = desk.run_on(&santiago, ["set", "ana", "--valid-until", "2026-09-05", "--json"]).code(0).json();
    assert_eq!(set["valid_until"], "2026-09-06T04:00:00Z");
    let shown = desk.run_on(&santiago, ["show", "ana"]).code(0).out;
    assert!(shown.contains("until 2026-09-05\n"), "{shown}");
}

#[test]
fn the_sites_zone_comes_before_the_machines_and_one_without_a_name_takes_no_days() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    let set = ["set", "ana", "--valid-until", "2026-12-31", "--json"];
    for name in ["XYZ-9", "Nowhere/Land"] {
        let nameless = desk.run_on(&zone(name), set).refused(None);
        assert!(nameless.contains("[enrol] time_zone"), "{nameless}");
    }

    let config = fs::read_to_string(desk.path("gate.toml")).unwrap();
    desk.write("gate.toml", config.replace("[enrol]\n", "[enrol]\ntime_zone = \"Asia/Seoul\"\n").as_bytes());
    for machine in [zone("XYZ-9"), zone("America/New_York")] {
        let written = desk.run_on(&machine, set).code(0).json();
        assert_eq!(
            (&written["valid_until"], &written["valid_until_zone"]),
            (&"2026-12-31T15:00:00Z".into(), &"Asia/Seoul".into())
        );
    }
    let csv = desk.write(
        "people.csv",
        format!("id,name,photo,valid_until\nben,Ben,{},2026-12-31\n", sample("obama.jpg").display()).as_bytes(),
    );
    desk.run(["import", csv.to_str().unwrap()]).code(0);
    assert_eq!(desk.run(["show", "ben", "--json"]).code(0).json()["valid_until_zone"], "Asia/Seoul");

    desk.write("gate.toml", config.replace("[enrol]\n", "[enrol]\ntime_zone = \"Asia/Soul\"\n").as_bytes());
    let unknown = desk.run(set).refused(None);
    assert!(unknown.contains("\"Asia/Soul\"") && unknown.contains("list-timezones"), "{unknown}");
    desk.run(["show", "ana"]).code(0);
}

#[test]
fn a_day_follows_the_rules_that_this_machine_has_now() {
    let desk = Desk::new();
    desk.add("ana", &[&sample("astronaut.png")]).code(0);
    let set = ["set", "ana", "--valid-until", "2026-12-31", "--json"];
    let written = desk.run_on(&zone("Asia/Seoul"), set).code(0).json();
    assert_eq!(written["valid_until"], "2026-12-31T15:00:00Z");

    // Seoul takes up the time of Kolkata, and a release of the rules says so.
    let rules = desk.path("zoneinfo");
    fs::create_dir_all(rules.join("Asia")).unwrap();
    fs::copy("/usr/share/zoneinfo/Asia/Kolkata", rules.join("Asia/Seoul")).unwrap();
    let machine = [("TZ", "UTC"), ("TZDIR", rules.to_str().unwrap())];
    let read = desk.run_on(&machine, ["show", "ana", "--json"]).code(0).json();
    assert_eq!(
        (&read["valid_until"], &read["valid_until_day"]),
        (&"2026-12-31T18:30:00Z".into(), &"2026-12-31".into())
    );

    // Without rules for that zone the instant counts that was written with the day.
    fs::rename(rules.join("Asia/Seoul"), rules.join("Asia/Kolkata")).unwrap();
    let read = desk.run_on(&machine, ["show", "ana", "--json"]).code(0).json();
    assert_eq!(read["valid_until"], written["valid_until"]);
    let shown = desk.run_on(&machine, ["show", "ana"]).code(0).out;
    assert!(shown.contains("until 2026-12-31 (Asia/Seoul, a zone unknown to this machine)"), "{shown}");
}
