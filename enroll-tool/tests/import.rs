//! Many people at once: folders and CSV files, with bad ones among them, interrupted and run again.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, keys, pixels, sample, shrunk};
use serde_json::Value;
use std::path::Path;

fn copy(from: &str, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::copy(sample(from), to).unwrap();
}

fn counts(json: &Value) -> (u64, u64, u64, usize) {
    assert_eq!(keys(json), ["enrolled", "references", "refused", "skipped"]);
    let number = |key: &str| json[key].as_u64().unwrap();
    (number("enrolled"), number("references"), number("skipped"), json["refused"].as_array().unwrap().len())
}

#[test]
fn a_folder_is_taken_but_for_its_bad_pictures_and_again_skips_who_is_there() {
    let desk = Desk::new();
    let folder = desk.path("photos");
    copy("obama.jpg", &folder.join("obama/1.jpg"));
    copy("obama3.jpg", &folder.join("obama/2.jpg"));
    copy("biden.jpg", &folder.join("obama/wrong person.jpg"));
    copy("astronaut.png", &folder.join("eileen.png"));
    shrunk(&pixels("biden.jpg"), 0.2).save(folder.join("joe.jpg")).unwrap();
    std::fs::write(folder.join("notes.txt"), "to do").unwrap();
    std::fs::write(folder.join(".DS_Store"), "litter").unwrap();
    copy("biden.jpg", &folder.join("a b.jpg"));

    let report = desk.path("refused.csv");
    let args = ["import", "--json", "photos", "--report", report.to_str().unwrap()];
    let first = desk.run(args).code(1).json();
    assert_eq!(counts(&first), (2, 3, 0, 4));
    assert_eq!(desk.people(), [("eileen".to_owned(), 1), ("obama".to_owned(), 2)]);
    let refused = first["refused"].as_array().unwrap();
    for (row, (file, reason, advice)) in refused.iter().zip([
        ("photos/a b.jpg", None, "not a usable id"),
        ("photos/joe.jpg", Some("TooFar"), "come closer"),
        ("photos/notes.txt", None, "not a JPEG"),
        ("photos/obama/wrong person.jpg", None, "not the same person as"),
    ]) {
        assert_eq!(keys(row), ["advice", "file", "id", "reason"]);
        assert_eq!((row["file"].as_str(), row["reason"].as_str()), (Some(file), reason));
        assert!(row["advice"].as_str().unwrap().contains(advice), "{row}");
    }
    let mut rows = csv::Reader::from_path(&report).unwrap();
    assert_eq!(rows.headers().unwrap(), &["file", "id", "reason", "advice"][..]);
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!((rows.len(), &rows[1][0], &rows[1][2]), (4, "photos/joe.jpg", "TooFar"));

    // The bad one is replaced, and it is run again.
    copy("biden.jpg", &folder.join("joe.jpg"));
    std::fs::remove_file(folder.join("a b.jpg")).unwrap();
    let second = desk.run(["import", "photos", "--json"]).code(1).json();
    assert_eq!(counts(&second), (1, 1, 2, 1));
    std::fs::remove_file(folder.join("notes.txt")).unwrap();
    let third = desk.run(["import", "photos"]).code(0);
    assert!(
        third.out.contains("enrolled  0 people") && third.out.contains("3 people, enrolled already"),
        "{}",
        third.out
    );
}

#[test]
fn a_csv_file_brings_names_and_validity_and_one_bad_line_loses_no_other() {
    let desk = Desk::new();
    copy("obama.jpg", &desk.path("pictures/o.jpg"));
    copy("biden.jpg", &desk.path("pictures/b.jpg"));
    desk.write(
        "people.csv",
        b"id,name,photo,valid_from,valid_until\n\
          obama,Barack Obama,pictures/o.jpg,2026-01-01,2999-12-31\n\
          ghost,Nobody,pictures/none.jpg,,\n\
          late,Too Late,pictures/b.jpg,2026-12-31,2026-01-01\n\
          again,The Same,pictures/o.jpg,,\n\
          joe,Joe,pictures/b.jpg,,\n",
    );
    // From another folder: pictures are relative to the file.
    let answer = desk.run(["import", desk.path("people.csv").to_str().unwrap(), "--json"]).code(1);
    assert_eq!(answer.err, "");
    let json = answer.json();
    assert_eq!(counts(&json), (2, 2, 0, 3));
    let advice: Vec<&str> = json["refused"].as_array().unwrap().iter().map(|r| r["advice"].as_str().unwrap()).collect();
    for part in ["before it begins", "No such file", "already enrolled as `obama`"] {
        assert!(advice.iter().any(|advice| advice.contains(part)), "{part}: {advice:?}");
    }
    let shown = desk.run(["show", "obama"]).code(0).out;
    assert!(shown.contains("Barack Obama") && shown.contains("2026-01-01 to 2999-12-31"), "{shown}");
    assert_eq!(desk.people(), [("joe".to_owned(), 1), ("obama".to_owned(), 1)]);

    desk.run(["import", "--json", "nowhere"]).refused(None);
    std::fs::create_dir(desk.path("bare")).unwrap();
    assert!(desk.run(["import", "--json", "bare"]).refused(None).contains("names nobody"));
}
