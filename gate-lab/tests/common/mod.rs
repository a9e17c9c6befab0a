//! A bench to test at: the real binary, the real models, and folders of people made from the samples.
#![allow(dead_code)] // each test file uses its part
#![allow(clippy::unwrap_used, clippy::expect_used)]

use image::{RgbImage, imageops};
use serde_json::Value;
use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What one call answered.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Panics with everything it said when the exit code is another.
    #[track_caller]
    pub fn code(self, wanted: i32) -> Self {
        assert_eq!(self.code, wanted, "stdout: {}\nstderr: {}", self.out, self.err);
        self
    }

    /// The only line of standard output, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        assert_eq!(self.out.lines().count(), 1, "one line: {}\n{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Refused as bad input, with this on standard error.
    #[track_caller]
    pub fn refused(self, why: &str) {
        let answer = self.code(2);
        assert!(answer.err.contains(why), "{:?} lacks {why:?}", answer.err);
        assert!(answer.out.is_empty(), "nothing is invented: {}", answer.out);
    }
}

pub struct Bench {
    pub folder: tempfile::TempDir,
}

impl Bench {
    pub fn new() -> Self {
        let models = models();
        for needed in ["cache/face_detection_yunet_2023mar.onnx", "cache/samples/obama.jpg", "cache/runtime"] {
            assert!(models.join(needed).exists(), "models/{needed} is missing: run make setup");
        }
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Answer {
        self.run_with(&models(), args)
    }

    pub fn run_with<A: AsRef<OsStr>>(&self, models: &Path, args: impl IntoIterator<Item = A>) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gate-lab"));
        command.arg("--models").arg(models).args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let code = status.code().expect("not killed");
        Answer { code, out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Saves a picture as JPEG.
    pub fn save(&self, name: &str, picture: &RgbImage) -> PathBuf {
        let path = self.write(name, []);
        picture.save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
        path
    }

    /// `lfw/`: two people with two pictures each, one with one and a half, named as LFW names them.
    pub fn three_people(&self) {
        for (number, name) in ["obama.jpg", "obama2.jpg", "obama3.jpg"].iter().enumerate() {
            self.save(&format!("lfw/Barack_Obama/Barack_Obama_{:04}.jpg", number + 1), &face(name));
        }
        let biden = face("biden.jpg");
        self.save("lfw/Joe_Biden-2/Joe_Biden-2_0001.jpg", &biden);
        self.save("lfw/Joe_Biden-2/Joe_Biden-2_0002.jpg", &imageops::flip_horizontal(&biden));
        self.save("lfw/Eileen_Collins/Eileen_Collins_0001.jpg", &face("astronaut.png"));
        self.save("lfw/Eileen_Collins/Eileen_Collins_0002.jpg", &imageops::brighten(&face("astronaut.png"), 30));
    }

    /// `many/`: so many folders with five pictures each: those of the samples, changed a little. Nobody's error rates, but enough
    /// comparisons to state some.
    pub fn many(&self, people: u32) {
        let faces = ["obama.jpg", "biden.jpg", "astronaut.png", "obama3.jpg"].map(face);
        for person in 0..people {
            let base = &faces[person as usize % faces.len()];
            let turned = imageops::huerotate(base, (person * 37 % 360) as i32);
            for number in 0..5 {
                let picture = imageops::brighten(&turned, number * 12 - 24);
                self.save(&format!("many/p{person:02}/{number}.jpg"), &picture);
            }
        }
    }
}

/// The permission bits of a file.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("models")
}

/// A sample picture, small enough to be quick.
pub fn face(name: &str) -> RgbImage {
    let picture = image::open(models().join("cache/samples").join(name)).unwrap();
    picture.thumbnail(360, 360).into_rgb8()
}
