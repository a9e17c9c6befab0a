//! Notes when the program was made: no true clock shows an earlier time. The same sources give the same moment.

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["HEAD", "logs/HEAD"] {
        // A file that is not there would run this script at every build.
        let path = git(&["rev-parse", "--path-format=absolute", "--git-path", name]);
        if let Some(path) = path.filter(|path| Path::new(path).exists()) {
            println!("cargo::rerun-if-changed={path}");
        }
    }

    let stated = std::env::var("SOURCE_DATE_EPOCH").ok();
    let made_s =
        stated.or_else(|| git(&["log", "-1", "--format=%ct"])).and_then(|text| text.trim().parse::<i64>().ok());
    // A commit made under a clock that was ahead must not date the program into the future.
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    // Sources without a history and without a stated time: 0, which raises no floor.
    println!("cargo::rustc-env=GATE_MADE_S={}", made_s.unwrap_or(0).clamp(0, now_s));
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (!text.is_empty()).then_some(text)
}
