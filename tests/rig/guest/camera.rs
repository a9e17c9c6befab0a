//! The camera before which things happen: a v4l2loopback device that shows what this thread writes into it.

use super::Random;
use crate::clips::{FPS, HEIGHT_PX, WIDTH_PX, read};
use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use v4l::video::Output as _;
use v4l::{Device, Format, FourCC};

/// A clip's frames.
type Clip = Arc<Vec<Vec<u8>>>;

/// What the camera does.
#[derive(Clone, Default)]
enum Doing {
    /// Shows the frames since then, once or again and again; nobody afterwards. In true time: a slow guest skips frames.
    Shows { clip: Clip, since: Instant, again: bool },
    /// Gives no frame, and no error.
    #[default]
    Silent,
    /// Gives these bytes for frames.
    Junk,
    /// Plays these frames again and again, to the last bit: a recording, and no sensor.
    Replays { clip: Clip, since: Instant },
}

/// The camera's other side.
pub struct Camera {
    node: PathBuf,
    clips: PathBuf,
    loaded: HashMap<String, Clip>,
    doing: Arc<Mutex<Doing>>,
    feeder: Option<Feeder>,
}

struct Feeder {
    stop: Arc<Mutex<bool>>,
    thread: JoinHandle<()>,
}

impl Camera {
    /// The camera at `node`, not plugged in yet.
    pub fn new(node: &Path, clips: &Path) -> Self {
        let mut camera = Self {
            node: node.to_owned(),
            clips: clips.to_owned(),
            loaded: HashMap::new(),
            doing: Arc::default(),
            feeder: None,
        };
        for name in ["nobody", "ana", "ana-stands", "ben", "ben-stands", "phone", "paper"] {
            camera.loaded.insert(name.to_owned(), Arc::new(read(&camera.clips, name)));
        }
        camera
    }

    /// Another camera, at `node`, with the same clips.
    pub fn beside(&self, node: &Path) -> Self {
        Self {
            node: node.to_owned(),
            clips: self.clips.clone(),
            loaded: self.loaded.clone(),
            doing: Arc::default(),
            feeder: None,
        }
    }

    /// Plugs it in: YUYV of the clips' size, nobody in view.
    pub fn plug(&mut self) {
        self.plug_as(b"YUYV", WIDTH_PX, HEIGHT_PX);
        self.nobody();
    }

    /// Plugs it in unless it is.
    pub fn plug_if_out(&mut self) {
        if self.feeder.is_none() {
            self.plug();
        }
    }

    /// Plugs it in with another format, giving junk of that format's size.
    pub fn plug_junk(&mut self, fourcc: &[u8; 4], width_px: u32, height_px: u32) {
        self.plug_as(fourcc, width_px, height_px);
        *self.lock() = Doing::Junk;
    }

    fn plug_as(&mut self, fourcc: &[u8; 4], width_px: u32, height_px: u32) {
        self.unplug();
        let device = Device::with_path(&self.node).unwrap_or_else(|e| panic!("{}: {e}", self.node.display()));
        let wanted = Format::new(width_px, height_px, FourCC::new(fourcc));
        // The gate looks again and again whether there is a camera; in such a moment the format is the old one's.
        let start = Instant::now();
        let got = loop {
            let got = device.set_format(&wanted).unwrap();
            if (got.fourcc, got.width, got.height) == (wanted.fourcc, width_px, height_px) {
                break got;
            }
            assert!(start.elapsed() < Duration::from_secs(5), "the loopback stays at {got}");
            sleep(Duration::from_millis(20));
        };
        let size = if got.size > 0 { got.size as usize } else { (width_px * height_px) as usize };
        let (stop, doing) = (Arc::new(Mutex::new(false)), Arc::clone(&self.doing));
        let ends = Arc::clone(&stop);
        let nobody = Arc::clone(&self.loaded["nobody"]);
        let thread = std::thread::spawn(move || feed(device, size, &doing, &ends, &nobody));
        self.feeder = Some(Feeder { stop, thread });
    }

    /// Pulls it out.
    pub fn unplug(&mut self) {
        if let Some(feeder) = self.feeder.take() {
            *feeder.stop.lock().unwrap() = true;
            feeder.thread.join().unwrap();
        }
    }

    /// Nobody is in view.
    pub fn nobody(&self) {
        self.show("nobody", true);
    }

    /// Plays a clip once; then nobody is in view. Returns when it began.
    pub fn play(&self, clip: &str) -> Instant {
        self.show(clip, false)
    }

    /// Plays a clip again and again.
    pub fn keep_playing(&self, clip: &str) -> Instant {
        self.show(clip, true)
    }

    fn show(&self, clip: &str, again: bool) -> Instant {
        let since = Instant::now();
        *self.lock() = Doing::Shows { clip: Arc::clone(&self.loaded[clip]), since, again };
        since
    }

    /// Plays a clip again and again without a sensor's noise, as a player in the camera's place does.
    pub fn replay(&self, clip: &str) {
        *self.lock() = Doing::Replays { clip: Arc::clone(&self.loaded[clip]), since: Instant::now() };
    }

    /// No frames, no error.
    pub fn fall_silent(&self) {
        *self.lock() = Doing::Silent;
    }

    /// Noise instead of pictures.
    pub fn give_junk(&self) {
        *self.lock() = Doing::Junk;
    }

    /// How long a clip takes.
    pub fn length(&self, clip: &str) -> Duration {
        Duration::from_secs(1) * self.loaded[clip].len() as u32 / FPS
    }

    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap()
    }
}

/// A sensor's noise: one level of brightness, here and there. Without it no picture would ever be new.
fn sense(yuyv: &mut [u8], noise: &mut Random) {
    for _ in 0..512 {
        let at = noise.below(yuyv.len() as u64) as usize & !1;
        yuyv[at] ^= 1;
    }
}

/// Writes a frame at each tick until it shall stop.
fn feed(mut device: Device, size: usize, doing: &Mutex<Doing>, stop: &Mutex<bool>, nobody: &Clip) {
    // Another junk and another noise at each plugging in.
    let mut noise = Random(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64);
    let mut junk = vec![0; size];
    let mut shot: Vec<u8> = Vec::new();
    let mut next = Instant::now();
    while !*stop.lock().unwrap() {
        let at = |since: &Instant| (since.elapsed().as_secs_f32() * FPS as f32) as usize;
        let mut has_noise = true;
        let frame: Option<(Clip, usize)> = {
            let doing = doing.lock().unwrap();
            match &*doing {
                Doing::Silent => None,
                Doing::Junk => {
                    noise.fill(&mut junk);
                    Some((Arc::new(Vec::new()), 0))
                }
                Doing::Shows { clip, since, again } => {
                    let at = at(since);
                    let shown = if *again || at < clip.len() { Arc::clone(clip) } else { Arc::clone(nobody) };
                    let at = at % shown.len();
                    Some((shown, at))
                }
                Doing::Replays { clip, since } => {
                    has_noise = false;
                    Some((Arc::clone(clip), at(since) % clip.len()))
                }
            }
        };
        if let Some((clip, at)) = frame {
            // Nobody may be reading: that is no trouble of a camera.
            let _ = match clip.get(at) {
                None => device.write(&junk),
                Some(frame) if !has_noise => device.write(frame),
                Some(frame) => {
                    shot.clone_from(frame);
                    sense(&mut shot, &mut noise);
                    device.write(&shot)
                }
            };
        }
        next += Duration::from_secs(1) / FPS;
        sleep(next.saturating_duration_since(Instant::now()));
    }
}
