//! Root is led to a stranger's files: nothing of theirs is run.
#![allow(clippy::unwrap_used)]

use gate_tests::programs::{gate_daemon, models, models_of_its_own};
use gate_tests::site::Answer;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

const EVE: u32 = 65_534;

/// A folder with all that a gate needs, whose library leaves a mark when it is loaded.
struct Trap {
    dir: tempfile::TempDir,
}

impl Trap {
    /// `None` where the tester cannot give files away.
    fn new() -> Option<Self> {
        let trap = Self { dir: tempfile::tempdir().unwrap() };
        chown(trap.dir.path(), Some(EVE), None).ok()?;
        chown(trap.dir.path(), Some(0), None).unwrap();
        models_of_its_own(&trap.path("models"));
        fs::remove_file(trap.path("models/cache/runtime")).unwrap();
        fs::create_dir(trap.path("models/cache/runtime")).unwrap();
        fs::write(trap.path("gate.toml"), "[store]\ndir = \"store\"\n").unwrap();

        let code = format!(
            "#include <stdio.h>\n__attribute__((constructor)) static void mark(void) {{ fclose(fopen({:?}, \"w\")); }}\n",
            trap.path("mark").display().to_string()
        );
        fs::write(trap.path("trap.c"), code).unwrap();
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-fPIC", "-o"]).arg(trap.library()).arg(trap.path("trap.c"));
        assert!(cc.status().unwrap().success());
        Some(trap)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn library(&self) -> PathBuf {
        self.path("models/cache/runtime/libonnxruntime.so")
    }

    /// `gate-daemon check` by root, who came by sudo, in this folder.
    fn check(&self, args: &[&str], library: Option<&Path>) -> (Answer, bool) {
        let mut command = Command::new(gate_daemon());
        command.args(args).arg("check").current_dir(self.dir.path());
        command.env("SUDO_UID", "1000").env("SUDO_USER", "eve").env_remove("ORT_DYLIB_PATH");
        command.envs(library.map(|path| ("ORT_DYLIB_PATH", path)));
        let answer = Answer::from(command.output().unwrap());
        (answer, fs::remove_file(self.path("mark")).is_ok())
    }

    /// Insists that nothing was run and that the answer names the remedy.
    fn refuses(&self, args: &[&str], library: Option<&Path>, remedy: &str) {
        let (answer, ran) = self.check(args, library);
        assert!(!ran, "a stranger's library was run: {answer:#?}");
        assert_eq!(answer.code, Some(1), "{answer:#?}");
        assert!(answer.stdout.contains(remedy), "{remedy} is not in {answer:#?}");
    }
}

#[test]
fn root_runs_no_library_that_others_could_have_put_there() {
    let Some(trap) = Trap::new() else { return };
    let config = ["--config", "gate.toml"];
    // The trap works: where all is root's, the library is loaded, and is none.
    assert!(trap.check(&config, None).1);
    assert!(trap.check(&config, Some(&trap.library())).1);
    // Root's own files in the working folder are not looked for, either.
    assert!(!trap.check(&[], None).1);

    let remedy = |verb: &str, path: &Path| format!("{verb} '{}'", path.display());
    for owned in ["models/cache/runtime/libonnxruntime.so", "models/cache/runtime", "models/cache", "models", ""] {
        let owned = if owned.is_empty() { trap.dir.path().to_path_buf() } else { trap.path(owned) };
        chown(&owned, Some(EVE), None).unwrap();
        trap.refuses(&config, None, &remedy("chown root:root", &owned));
        trap.refuses(&config, Some(&trap.library()), &remedy("chown root:root", &owned));
        chown(&owned, Some(0), None).unwrap();

        let mode = fs::metadata(&owned).unwrap().permissions();
        fs::set_permissions(&owned, Permissions::from_mode(mode.mode() | 0o020)).unwrap();
        trap.refuses(&config, None, &remedy("chmod go-w", &owned));
        fs::set_permissions(&owned, mode).unwrap();
    }

    // A provider beside root's library is loaded by it.
    let provider = trap.path("models/cache/runtime/libonnxruntime_providers_shared.so");
    fs::write(&provider, "").unwrap();
    chown(&provider, Some(EVE), None).unwrap();
    trap.refuses(&config, None, &remedy("chown root:root", &provider));
    fs::remove_file(&provider).unwrap();

    // A card, which says what is run.
    let card = trap.path("models/yunet.toml");
    chown(&card, Some(EVE), None).unwrap();
    let real = models().join("cache/runtime/libonnxruntime.so");
    trap.refuses(&config, Some(&real), &remedy("chown root:root", &card));
    chown(&card, Some(0), None).unwrap();

    // The configuration itself.
    chown(trap.path("gate.toml"), Some(EVE), None).unwrap();
    trap.refuses(&config, None, &remedy("chown root:root", &trap.path("gate.toml")));
}
