//! Text from outside reaches neither the terminal nor a spreadsheet as a command.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, sample};
use std::os::unix::fs::symlink;

/// Clears the screen; made up as another line; read from right to left; a C1 escape; a line separator.
const HOSTILE: [&str; 5] = ["\x1b[2J\x1b]0;gone\x07", "\nobama  admitted", "\u{202e}gpj", "\u{9b}31m", "\u{2028}"];

/// No command in what a program said: a line may only end, or hold a tab.
#[track_caller]
fn harmless(text: &str) {
    let command = text.chars().find(|c| gate_core::terminal::is_command(*c) && !matches!(c, '\n' | '\t'));
    assert_eq!(command, None, "{text:?}");
}

#[test]
fn hostile_file_names_are_shown_and_not_obeyed() {
    let desk = Desk::new();
    desk.add("obama", &[&sample("obama.jpg")]).code(0);
    for hostile in HOSTILE {
        let name = format!("a{hostile}.jpg");
        let photo = desk.write(&name, &std::fs::read(sample("obama2.jpg")).unwrap());
        let broken = desk.write(&format!("broken{hostile}.jpg"), b"none");
        for flags in [vec![], vec!["--json"]] {
            for pictures in [[&photo], [&broken]] {
                let mut args: Vec<std::ffi::OsString> = vec!["identify".into()];
                args.extend(flags.iter().map(Into::into));
                args.extend(pictures.map(Into::into));
                let answer = desk.run(args);
                harmless(&answer.out);
                harmless(&answer.err);
                // A name cannot make up a line of its own.
                assert!(answer.out.lines().chain(answer.err.lines()).all(|line| !line.starts_with("obama ")));
            }
        }
        // JSON keeps the name as it is.
        let seen = desk.run(["identify".as_ref(), "--json".as_ref(), photo.as_os_str()]).code(0).json();
        assert!(seen["photo"].as_str().unwrap().ends_with(&name), "{seen}");

        let answer = desk.run(["identify", hostile, "--id", hostile]);
        harmless(&answer.err);
        let answer = desk.run(["show", hostile]);
        harmless(&answer.err);
        assert_eq!(answer.err.lines().count(), 1, "{}", answer.err);
    }
}

#[test]
fn a_name_that_commands_a_terminal_is_not_enrolled() {
    let desk = Desk::new();
    for hostile in HOSTILE {
        let name = format!("Ana{hostile}Silva");
        let photo = sample("obama.jpg");
        let answer = desk.run(["add", "--json", "--id", "ana", "--name", &name, photo.to_str().unwrap()]);
        assert!(answer.refused(None).contains("changes the direction"));
    }
    desk.add("ana", &[&sample("obama.jpg")]).code(0);
    let answer = desk.run(["set", "ana", "--name", "a\u{202e}b"]).code(2);
    harmless(&answer.err);
    // Letters that are read from right to left are a name.
    desk.run(["set", "ana", "--name", "\u{5d0}\u{5d1}\u{5d2} 김 Zoë"]).code(0);
    assert_eq!(desk.people(), [("ana".to_owned(), 1)]);
}

#[test]
fn a_list_reaches_neither_the_terminal_nor_a_spreadsheet_as_a_command() {
    let desk = Desk::new();
    let rows: String = HOSTILE
        .iter()
        .enumerate()
        .map(|(i, hostile)| format!("p{i},\"A{hostile}\",gone{i}.jpg\n\"=1+1{hostile}\",B{i},\"+gone{hostile}.jpg\"\n"))
        .collect();
    let csv = desk.write("people.csv", format!("id,name,photo\n{rows}").as_bytes());
    let report = desk.path("-report.csv");
    for json in [true, false] {
        let mut args = vec!["import", csv.to_str().unwrap(), "--report", report.to_str().unwrap()];
        args.extend(json.then_some("--json"));
        let answer = desk.run(args).code(1);
        harmless(&answer.out);
        harmless(&answer.err);
        if json {
            let ids = answer.json()["refused"].clone();
            assert!(ids.as_array().unwrap().iter().any(|r| r["id"] == "=1+1\x1b[2J\x1b]0;gone\x07"), "{ids}");
        }
    }

    let text = std::fs::read_to_string(&report).unwrap();
    harmless(&text);
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let ids: Vec<_> = rows.records().map(|row| row.unwrap()[1].to_owned()).collect();
    assert!(ids.iter().any(|id| id.starts_with("'=1+1")), "{ids:?}");
    assert!(ids.iter().all(|id| !id.starts_with(['=', '+', '-', '@'])), "{ids:?}");
}

#[test]
fn a_report_is_never_written_through_a_link() {
    let desk = Desk::new();
    let csv = desk.write("people.csv", b"id,name,photo\nana,Ana,gone.jpg\n");
    let victim = desk.write("victim", b"untouched");
    let link = desk.path("report.csv");
    symlink(&victim, &link).unwrap();
    let import = |report: &str| desk.run(["import", "--json", csv.to_str().unwrap(), "--report", report]);
    assert!(import(link.to_str().unwrap()).refused(None).contains("it is a symbolic link"));
    assert!(import("/dev/null").refused(None).contains("not a file"));
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert!(link.is_symlink());

    // A file that has another name elsewhere is replaced, not written to.
    let other = desk.path("other.csv");
    std::fs::hard_link(&victim, &other).unwrap();
    import(other.to_str().unwrap()).code(1);
    assert_eq!(std::fs::read(&victim).unwrap(), b"untouched");
    assert!(std::fs::read_to_string(&other).unwrap().contains("gone.jpg"));
}
