//! A video file through `ffmpeg`, which is asked for its frames as PPM pictures on a pipe: each one tells its own size,
//! so that a film that was turned on its side or changes its size needs no special care.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{Source, bad_frame, check_size, due_ms, unsupported};
use crate::Frame;
use crate::camera::CameraError;

/// Bytes of ffmpeg's complaints that are kept.
const WORDS_MAX: u64 = 2_000;

/// A video file.
pub(super) struct Video {
    path: PathBuf,
    rate: Rate,
    player: Player,
    number: u64,
}

/// Frames a second, as a fraction: 30000/1001 is common.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Rate {
    frames: u32,
    seconds: u32,
}

/// A running ffmpeg; killed and reaped when dropped.
struct Player {
    child: Child,
    out: BufReader<ChildStdout>,
    words: Arc<Mutex<String>>,
}

impl Video {
    /// Asks ffprobe what the file is, and starts to read it.
    pub(super) fn open(path: &Path) -> Result<Self, CameraError> {
        let rate = probe(path)?;
        Ok(Self { path: path.to_owned(), rate, player: Player::start(path, rate)?, number: 0 })
    }
}

impl Source for Video {
    fn describe(&self) -> String {
        format!("{} (video, {:.3} frames/s)", self.path.display(), self.rate.fps())
    }

    fn next(&mut self, frame: &mut Frame) -> Result<bool, CameraError> {
        let read = read_ppm(&mut self.player.out, frame);
        if matches!(read, Ok(true)) {
            self.number += 1;
            return Ok(true);
        }
        frame.clear();
        let words = self.player.words();
        match read {
            Err(error) => Err(bad_frame(&self.path, format!("{error} {words}").trim())),
            // An end with complaints and no frame at all is no end of a film.
            _ if self.number == 0 => Err(unsupported(&self.path, no_frame(&words), DAMAGED)),
            _ => {
                if !words.is_empty() {
                    tracing::warn!(path = %self.path.display(), %words, "ffmpeg complained about the video");
                }
                Ok(false)
            }
        }
    }

    fn due_ms(&self) -> u64 {
        due_ms(self.number.saturating_sub(1), self.rate.fps())
    }

    fn rewind(&mut self) -> Result<(), CameraError> {
        self.player = Player::start(&self.path, self.rate)?;
        Ok(())
    }
}

const DAMAGED: &str = "the file is damaged or no video: play it with `ffplay`, take another";

fn no_frame(words: &str) -> String {
    if words.is_empty() { "it gave no frame".to_owned() } else { format!("it gave no frame ({words})") }
}

impl Rate {
    fn fps(self) -> f64 {
        f64::from(self.frames) / f64::from(self.seconds)
    }

    /// Reads `30000/1001`; `None` for what is no sane rate of a film.
    fn parse(text: &str) -> Option<Self> {
        let (frames, seconds) = text.split_once('/')?;
        let rate = Self { frames: frames.parse().ok()?, seconds: seconds.parse().ok().filter(|s| *s > 0)? };
        (0.1..=240.0).contains(&rate.fps()).then_some(rate)
    }
}

/// The command, in a place and language that do not matter, its path never taken for an option.
fn command(tool: &str, path: &Path, before: &[&str], after: &[&str]) -> Command {
    let mut command = Command::new(tool);
    // `file:` keeps a name with a colon from being taken for a protocol, and one with a dash for an option.
    let mut input = std::ffi::OsString::from("file:");
    input.push(path);
    command.args(before).arg("-i").arg(input).args(after).stdin(Stdio::null());
    command
}

/// The error of a tool that does not start.
fn tool_error(tool: &'static str, path: &Path, error: &io::Error) -> CameraError {
    let missing = error.kind() == io::ErrorKind::NotFound;
    CameraError::Tool {
        tool,
        path: path.display().to_string(),
        why: if missing { "it is not installed".to_owned() } else { format!("it does not start ({error})") },
        advice: "install the package ffmpeg (sudo apt install ffmpeg), or replay a GIF or a folder of pictures",
    }
}

/// The frame rate of the file's first video stream.
fn probe(path: &Path) -> Result<Rate, CameraError> {
    let entries = ["-select_streams", "v:0", "-show_entries", "stream=r_frame_rate,avg_frame_rate", "-of", "json"];
    let output = command("ffprobe", path, &["-v", "error"], &entries)
        .output()
        .map_err(|error| tool_error("ffprobe", path, &error))?;
    let words = String::from_utf8_lossy(&output.stderr);
    let words: String = words.trim().chars().take(WORDS_MAX as usize).collect();
    if !output.status.success() {
        return Err(unsupported(path, format!("ffprobe cannot read it ({words})"), DAMAGED));
    }
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stream = &json["streams"][0];
    if stream.is_null() {
        return Err(unsupported(path, "it has no video stream", "take a file with pictures in it"));
    }
    let rate = |key: &str| stream[key].as_str().and_then(Rate::parse);
    Ok(match (rate("r_frame_rate"), rate("avg_frame_rate")) {
        // The nominal rate, unless frames come at uneven times: then their mean.
        (Some(nominal), Some(mean)) if (nominal.fps() / mean.fps() - 1.0).abs() > 0.05 => mean,
        (Some(nominal), _) => nominal,
        (None, Some(mean)) => mean,
        (None, None) => Rate { frames: 25, seconds: 1 },
    })
}

impl Player {
    fn start(path: &Path, rate: Rate) -> Result<Self, CameraError> {
        let steady = format!("{}/{}", rate.frames, rate.seconds);
        // `-r`: frames at a steady rate, even where the file's come unevenly; so that frame n is due at n / rate.
        let out = ["-map", "0:v:0", "-r", &steady, "-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"];
        let failed = |error: &io::Error| tool_error("ffmpeg", path, error);
        let mut child = command("ffmpeg", path, &["-v", "error", "-nostdin"], &out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let words = Arc::new(Mutex::new(String::new()));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        if let Some(stderr) = stderr {
            let words = Arc::clone(&words);
            // Somebody must read what ffmpeg complains of, or it would wait for ever for room in the pipe.
            let _ = thread::Builder::new().name("ffmpeg".to_owned()).spawn(move || keep_words(stderr, &words));
        }
        let stdout = stdout.ok_or_else(|| failed(&io::ErrorKind::BrokenPipe.into()))?;
        Ok(Self { child, out: BufReader::with_capacity(1 << 16, stdout), words })
    }

    /// What ffmpeg has complained of so far.
    fn words(&self) -> String {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).trim().to_owned()
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended already; either way it must be reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Keeps the first of ffmpeg's complaints, which tell the cause, and drops the rest.
fn keep_words(mut stderr: impl Read, words: &Mutex<String>) {
    let mut first = Vec::new();
    let mut piece = [0; 1024];
    while let Ok(length @ 1..) = stderr.read(&mut piece) {
        if first.len() < WORDS_MAX as usize {
            first.extend_from_slice(&piece[..length]);
            *words.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(&first).into_owned();
        }
    }
}

/// Reads one binary PPM (`P6`, 8 bits) into `frame`; `false` at a clean end.
fn read_ppm(from: &mut impl BufRead, frame: &mut Frame) -> io::Result<bool> {
    if from.fill_buf()?.is_empty() {
        return Ok(false);
    }
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    // "P6\nWIDTH HEIGHT\n255\n": four words, one white space after each.
    let mut header = [0_u32; 3];
    if next_word(from)? != "P6" {
        return Err(bad("ffmpeg sent something that is no picture".to_owned()));
    }
    for number in &mut header {
        *number = next_word(from)?.parse().map_err(|_| bad("ffmpeg sent a picture without a size".to_owned()))?;
    }
    let [width_px, height_px, _levels] = header;
    check_size(width_px, height_px).map_err(bad)?;
    from.read_exact(frame.reshape(width_px, height_px))?;
    Ok(true)
}

/// The bytes up to the next white space, which is read too.
fn next_word(from: &mut impl BufRead) -> io::Result<String> {
    let mut word = String::new();
    // The longest word of a header has ten digits; garbage shall not be read to its end.
    while word.len() < 12 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        if byte[0].is_ascii_whitespace() {
            break;
        }
        word.push(char::from(byte[0]));
    }
    Ok(word)
}
