//! Identify, verify, compare: the JSON that is promised, and the exit codes.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Desk, keys, pixels, sample, side_by_side};
use serde_json::Value;

#[test]
fn identify_prints_one_line_a_picture_with_exactly_the_promised_keys() {
    let desk = Desk::new();
    let (obama, biden) = (sample("obama.jpg"), sample("biden.jpg"));
    let (other_day, both) =
        (sample("obama3.jpg"), desk.save("both.jpg", &side_by_side(&pixels("obama.jpg"), &pixels("biden.jpg"))));
    let nothing = desk.path("nothing.jpg");
    // Nobody enrolled: nobody is near.
    let empty = desk.run(["identify", "--json", "--scores", obama.to_str().unwrap()]).code(1).json();
    assert!(empty["faces"][0]["d2"].is_null() && empty["faces"][0]["person"].is_null(), "{empty}");
    desk.add("obama", &[&obama]).code(0);
    let alone = desk.run(["identify", "--json", "--scores", other_day.to_str().unwrap()]).code(0).json();
    assert!(alone["faces"][0]["runner_up_d2"].is_null() && alone["faces"][0]["d2"].is_number(), "{alone}");
    desk.add("biden", &[&biden]).code(0);

    let photos = [&other_day, &nothing, &both].map(|path| path.to_str().unwrap());
    let answer = desk.run([&["identify", "--json", "--scores"], &photos[..]].concat()).code(2);
    let lines: Vec<Value> = answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|l| l["photo"].as_str().unwrap()).collect::<Vec<_>>(), photos);
    assert_eq!(keys(&lines[1]), ["error", "photo"]);
    for line in [&lines[0], &lines[2]] {
        assert_eq!(keys(line), ["faces", "photo", "tau"]);
        assert!(line["tau"].is_number());
        for face in line["faces"].as_array().unwrap() {
            assert_eq!(keys(face), ["box", "d2", "person", "quality", "runner_up_d2", "score"]);
            assert_eq!(face["box"].as_array().unwrap().iter().filter(|v| v.is_number()).count(), 4);
            assert!(face["quality"].is_object() && face["score"].is_number());
            assert!(face["d2"].as_f64() < face["runner_up_d2"].as_f64());
            assert!(face["d2"].as_f64() <= line["tau"].as_f64());
        }
    }
    // Without --scores the same answers, and nothing of how near.
    let plain = desk.run([&["identify", "--json"], &photos[..]].concat()).code(2);
    for (line, with_scores) in plain.out.lines().zip(&lines).filter(|(_, line)| line["faces"].is_array()) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(keys(&line), ["faces", "photo"]);
        for (face, with_scores) in
            line["faces"].as_array().unwrap().iter().zip(with_scores["faces"].as_array().unwrap())
        {
            assert_eq!(keys(face), ["box", "person", "quality"]);
            assert!(["box", "person", "quality"].iter().all(|key| face[key] == with_scores[key]), "{face}");
        }
    }
    let mut people: Vec<_> =
        lines[2]["faces"].as_array().unwrap().iter().map(|f| f["person"].as_str().unwrap()).collect();
    people.sort_unstable();
    assert_eq!(people, ["biden", "obama"]);
    // Every picture must have somebody for 0.
    desk.run(["identify", photos[0], photos[2]]).code(0);
    let stranger = sample("astronaut.png");
    let text = desk.run(["identify", photos[0], stranger.to_str().unwrap()]).code(1).out;
    assert!(text.contains("obama  obama") && text.contains("nobody enrolled"), "{text}");
}

#[test]
fn how_near_a_picture_comes_is_told_to_nobody_who_does_not_ask_for_scores() {
    let desk = Desk::new();
    let photos = ["obama.jpg", "obama3.jpg", "biden.jpg"].map(sample);
    let [obama, other_day, biden] = [0, 1, 2].map(|i: usize| photos[i].to_str().unwrap());
    desk.add("obama", &[&photos[0]]).code(0);
    let commands: [&[&str]; 6] = [
        &["identify", other_day, biden],
        &["verify", "--id", "obama", other_day],
        &["verify", "--id", "obama", biden],
        &["compare", obama, biden],
        // Refused: somebody who is enrolled already, and a reference of somebody else.
        &["add", "--id", "barry", "--name", "Barry", other_day],
        &["add", "--id", "obama", "--more", biden],
    ];
    for command in commands {
        for json in [&[][..], &["--json"]] {
            let answer = desk.run([command, json].concat());
            for word in ["d2", "tau", "score", "nearest", "runner"] {
                let said =
                    format!("{}{}", answer.out, answer.err).replace(photos[0].parent().unwrap().to_str().unwrap(), "");
                assert!(!said.contains(word), "{command:?}: {word} in {said}");
            }
            let engineer = desk.run([command, json, &["--scores"]].concat());
            assert!(format!("{}{}", engineer.out, engineer.err).contains("tau"), "{command:?}: {}", engineer.out);
            assert_eq!(engineer.code, answer.code);
        }
    }
}

#[test]
fn verify_and_compare_say_exactly_what_is_promised() {
    let desk = Desk::new();
    desk.add("obama", &[&sample("obama.jpg")]).code(0);
    let [obama, other_day, biden] = ["obama.jpg", "obama3.jpg", "biden.jpg"].map(sample);
    let [obama, other_day, biden] = [&obama, &other_day, &biden].map(|path| path.to_str().unwrap());
    let verify = |photo: &str| desk.run(["verify", "--json", "--scores", "--id", "obama", photo]);
    let yes = verify(other_day).code(0).json();
    assert_eq!(keys(&yes), ["d2", "match", "person", "tau"]);
    assert!(yes["match"] == true && yes["person"] == "obama" && yes["d2"].as_f64() <= yes["tau"].as_f64(), "{yes}");
    let plain = desk.run(["verify", "--json", "--id", "obama", other_day]).code(0).json();
    assert_eq!((keys(&plain), &plain["match"]), (vec!["match", "person"], &Value::Bool(true)));
    let no = verify(biden).code(1).json();
    assert!(no["match"] == false && no["d2"].as_f64() > no["tau"].as_f64(), "{no}");
    let nobody = desk.run(["verify", "--json", "--id", "ghost", obama]).refused(None);
    assert!(nobody.contains("nobody is enrolled as `ghost`"), "{nobody}");

    let same = desk.run(["compare", "--json", "--scores", obama, other_day]).code(0).json();
    assert_eq!(keys(&same), ["d2", "same", "tau"]);
    assert!(same["same"] == true && same["d2"] == yes["d2"] && same["tau"] == yes["tau"], "{same} {yes}");
    let two = desk.run(["compare", "--json", obama, biden]).code(1).json();
    assert_eq!((keys(&two), &two["same"]), (vec!["same"], &Value::Bool(false)));
    let blank = desk.save("blank.jpg", &image::RgbImage::new(300, 300));
    let refusal = desk.run(["compare", "--json", obama, blank.to_str().unwrap()]).refused(Some("NoFace"));
    assert!(refusal.contains("blank.jpg"), "{refusal}");
    // The same for people to read.
    assert!(desk.run(["verify", "--id", "obama", biden]).code(1).out.starts_with("NO match"));
    assert!(desk.run(["compare", obama, other_day]).code(0).out.starts_with("the same person"));
    desk.run(["suspend", "obama"]).code(0);
    assert!(desk.run(["verify", "--id", "obama", obama]).code(0).out.contains("suspended: the gate refuses"));
}

#[test]
fn bad_use_is_2_help_is_0_and_a_missing_runtime_is_3() {
    let desk = Desk::new();
    for args in [&["identify"][..], &["frob"], &[], &["add", "--id", "x"], &["set", "x"], &["verify", "x.jpg"]] {
        desk.run(args).code(2);
    }
    let message = desk.run(["identify", "--json"]).refused_by_clap();
    assert!(message.contains("required arguments"), "{message}");
    assert!(desk.run(["--help"]).code(0).out.contains("Exit codes:"));
    for command in [
        "init", "add", "import", "list", "show", "set", "suspend", "resume", "remove", "verify", "identify", "compare",
        "check", "restore",
    ] {
        assert!(desk.run([command, "--help"]).code(0).out.contains("Example"), "{command}");
    }
    desk.write("broken.toml", b"[vision]\nruntime = \"/nowhere/libonnxruntime.so\"\n");
    let photo = sample("obama.jpg");
    let photo = photo.to_str().unwrap();
    let fault =
        desk.run_with(&["--config".as_ref(), "broken.toml".as_ref()], ["compare", "--json", photo, photo]).code(3);
    assert_eq!(keys(&fault.json()), ["error", "reason"]);
    desk.write("typo.toml", b"[stor]\n");
    let typo = desk.run_with(&["--config".as_ref(), "typo.toml".as_ref()], ["list"]).code(2);
    assert!(typo.err.contains("typo.toml:1"), "{}", typo.err);
    desk.run_with(&["--config".as_ref(), "missing.toml".as_ref()], ["list"]).code(2);
}

impl common::Answer {
    /// Clap's message goes to standard error in its own form.
    fn refused_by_clap(self) -> String {
        let answer = self.code(2);
        assert_eq!(keys(&answer.json()), ["error", "reason"]);
        answer.json()["error"].as_str().unwrap().to_owned()
    }
}
