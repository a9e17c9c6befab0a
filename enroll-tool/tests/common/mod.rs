//! A desk to test at: the real binary, the real models, a store of its own, and pictures made from the samples.
#![allow(dead_code)] // each test file uses its part

use image::{DynamicImage, RgbImage, imageops};
use serde_json::Value;
use std::ffi::OsStr;
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
        assert_eq!(self.out.lines().count(), 1, "one line: {}", self.out);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// A refusal with `--json`: the message; it must be on standard error, too.
    #[track_caller]
    pub fn refused(self, reason: Option<&str>) -> String {
        let answer = self.code(2);
        let json = answer.json();
        assert_eq!(keys(&json), ["error", "reason"]);
        assert_eq!(json["reason"].as_str(), reason, "{json}");
        let message = json["error"].as_str().unwrap().to_owned();
        assert!(answer.err.contains(&message), "{} lacks {message}", answer.err);
        message
    }
}

/// The keys of a JSON object, sorted.
#[track_caller]
pub fn keys(json: &Value) -> Vec<&str> {
    json.as_object().expect("an object").keys().map(String::as_str).collect()
}

pub struct Desk {
    pub folder: tempfile::TempDir,
}

impl Desk {
    /// A desk with an empty store.
    pub fn new() -> Self {
        let desk = Self::without_store();
        desk.run(["init"]).code(0);
        desk
    }

    pub fn without_store() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let models = project().join("models");
        for needed in ["cache/face_detection_yunet_2023mar.onnx", "cache/samples/obama.jpg", "cache/runtime"] {
            assert!(models.join(needed).exists(), "models/{needed} is missing: run make setup");
        }
        // A little stricter than the default, so that a sample that is turned a little is turned away.
        let config = format!(
            "[vision]\nmodels = {:?}\n[store]\ndir = \"store\"\n[enrol]\nmax_yaw_deg = 22\n[camera]\nreplay_pace = \"fast\"\n",
            models.display().to_string()
        );
        std::fs::write(folder.path().join("gate.toml"), config).unwrap();
        Self { folder }
    }

    /// A path in the desk's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn run<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Answer {
        self.run_with(&["--config".as_ref(), self.path("gate.toml").as_os_str()], args)
    }

    /// Runs the tool on a machine that is set up in another way: environment variables.
    pub fn run_on<A: AsRef<OsStr>>(&self, machine: &[(&str, &str)], args: impl IntoIterator<Item = A>) -> Answer {
        self.run_as(&["--config".as_ref(), self.path("gate.toml").as_os_str()], machine, args)
    }

    pub fn run_with<A: AsRef<OsStr>>(&self, global: &[&OsStr], args: impl IntoIterator<Item = A>) -> Answer {
        self.run_as(global, &[], args)
    }

    fn run_as<A: AsRef<OsStr>>(
        &self,
        global: &[&OsStr],
        machine: &[(&str, &str)],
        args: impl IntoIterator<Item = A>,
    ) -> Answer {
        let mut command = Command::new(env!("CARGO_BIN_EXE_enroll-tool"));
        command.args(global).args(args).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_remove("CREDENTIALS_DIRECTORY").env_remove("TZDIR").env("TZ", "Europe/Madrid");
        command.envs(machine.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let code = status.code().expect("not killed");
        Answer { code, out: String::from_utf8(stdout).unwrap(), err: String::from_utf8(stderr).unwrap() }
    }

    /// `add --id ID --name ID PHOTO...`
    pub fn add(&self, id: &str, photos: &[&Path]) -> Answer {
        let mut args: Vec<&OsStr> = ["add", "--json", "--id", id, "--name", id].map(OsStr::new).to_vec();
        args.extend(photos.iter().map(|photo| photo.as_os_str()));
        self.run(args)
    }

    /// Everybody enrolled: id and number of references.
    pub fn people(&self) -> Vec<(String, usize)> {
        let list = self.run(["list", "--json"]).code(0).json();
        let person = |p: &Value| (p["id"].as_str().unwrap().to_owned(), p["references"].as_array().unwrap().len());
        list.as_array().unwrap().iter().map(person).collect()
    }

    /// Saves a picture as JPEG.
    pub fn save(&self, name: &str, picture: &RgbImage) -> PathBuf {
        let path = self.path(name);
        picture.save_with_format(&path, image::ImageFormat::Jpeg).unwrap();
        path
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A sample picture's path.
pub fn sample(name: &str) -> PathBuf {
    project().join("models/cache/samples").join(name)
}

pub fn pixels(name: &str) -> RgbImage {
    image::open(sample(name)).unwrap().into_rgb8()
}

/// Every channel value changed.
pub fn mapped(mut picture: RgbImage, change: impl Fn(f32) -> f32) -> RgbImage {
    for value in picture.iter_mut() {
        *value = change(f32::from(*value)) as u8;
    }
    picture
}

pub fn shrunk(picture: &RgbImage, scale: f32) -> RgbImage {
    let side = |side: u32| (side as f32 * scale) as u32;
    imageops::resize(picture, side(picture.width()), side(picture.height()), imageops::FilterType::Triangle)
}

pub fn side_by_side(left: &RgbImage, right: &RgbImage) -> RgbImage {
    let mut both = RgbImage::new(left.width() + right.width(), left.height().max(right.height()));
    imageops::replace(&mut both, left, 0, 0);
    imageops::replace(&mut both, right, i64::from(left.width()), 0);
    both
}

/// JPEG bytes that lie on their side, with an EXIF orientation that says so.
pub fn lying_with_exif(picture: &RgbImage) -> Vec<u8> {
    let lying = DynamicImage::from(picture.clone()).rotate270();
    let mut jpeg = std::io::Cursor::new(Vec::new());
    lying.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
    with_exif_6(&jpeg.into_inner())
}

/// A JPEG with the EXIF orientation 6 (0x0112): turn it 90 degrees clockwise to see it upright.
pub fn with_exif_6(jpeg: &[u8]) -> Vec<u8> {
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let mut segment = vec![0xFF, 0xE1];
    segment.extend(((exif.len() + 2) as u16).to_be_bytes());
    segment.extend(exif);
    let mut jpeg = jpeg.to_vec();
    jpeg.splice(2..2, segment);
    jpeg
}
