//! A GIF, with its own delays; frames are composed to full pictures one at a time, never all at once.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use image::codecs::gif::GifDecoder;
use image::{AnimationDecoder, ImageDecoder, Limits};

use super::{PIXELS_MAX, Source, bad_frame, check_size, unsupported};
use crate::Frame;
use crate::camera::CameraError;

/// Browsers show delays of up to 10 ms as 100 ms; so files are made for that.
const DELAY_MIN_MS: u64 = 11;
const DELAY_DEFAULT_MS: u64 = 100;

type Decoded = Result<image::Frame, String>;

/// An animated GIF.
pub(super) struct Gif {
    path: PathBuf,
    size: (u32, u32),
    /// The decoder's iterator cannot move between threads, so it lives on one of its own and hands over composed
    /// frames. The thread ends when this receiver is dropped.
    frames: Receiver<Decoded>,
    due_ms: u64,
    next_due_ms: u64,
}

impl Gif {
    /// Opens a GIF and starts to read it.
    pub(super) fn open(path: &Path) -> Result<Self, CameraError> {
        // Opened here once for the sake of a clear error, and once on the thread.
        let size = open_decoder(path).map_err(|why| unsupported(path, why, REPAIR))?.dimensions();
        check_size(size.0, size.1).map_err(|why| unsupported(path, why, "take a smaller one"))?;
        let frames = start(path)?;
        Ok(Self { path: path.to_owned(), size, frames, due_ms: 0, next_due_ms: 0 })
    }
}

const REPAIR: &str = "the file is damaged: take another, or convert it to a folder of pictures";

fn open_decoder(path: &Path) -> Result<GifDecoder<BufReader<File>>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut decoder = GifDecoder::new(BufReader::new(file)).map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    // Three canvases of four bytes a pixel.
    limits.max_alloc = Some(PIXELS_MAX * 12);
    decoder.set_limits(limits).map_err(|error| error.to_string())?;
    Ok(decoder)
}

fn start(path: &Path) -> Result<Receiver<Decoded>, CameraError> {
    // One frame is decoded ahead; the thread waits then.
    let (sender, receiver) = sync_channel(1);
    let file = path.to_owned();
    let spawned = thread::Builder::new().name("gif".to_owned()).spawn(move || decode_all(&file, &sender));
    spawned.map_err(|error| unsupported(path, error, "the machine is out of threads or memory: free some"))?;
    Ok(receiver)
}

/// Sends every frame; stops at the first bad one, or when nobody listens any more.
fn decode_all(path: &Path, sender: &SyncSender<Decoded>) {
    let decoder = match open_decoder(path) {
        Ok(decoder) => decoder,
        Err(why) => {
            let _ = sender.send(Err(why));
            return;
        }
    };
    for frame in decoder.into_frames() {
        let frame = frame.map_err(|error| error.to_string());
        let is_bad = frame.is_err();
        if sender.send(frame).is_err() || is_bad {
            return;
        }
    }
}

impl Source for Gif {
    fn describe(&self) -> String {
        format!("{} (GIF {}x{})", self.path.display(), self.size.0, self.size.1)
    }

    fn next(&mut self, frame: &mut Frame) -> Result<bool, CameraError> {
        let Ok(decoded) = self.frames.recv() else { return Ok(false) };
        let decoded = decoded.map_err(|why| bad_frame(&self.path, why))?;
        let (numerator, denominator) = decoded.delay().numer_denom_ms();
        let delay_ms = u64::from(numerator / denominator.max(1));
        self.due_ms = self.next_due_ms;
        self.next_due_ms += if delay_ms < DELAY_MIN_MS { DELAY_DEFAULT_MS } else { delay_ms };
        let rgba = decoded.buffer();
        let rgb = frame.reshape(rgba.width(), rgba.height());
        for (from, to) in rgba.as_raw().chunks_exact(4).zip(rgb.chunks_exact_mut(3)) {
            // What no frame has covered is black.
            to.copy_from_slice(if from[3] == 0 { &[0; 3] } else { &from[..3] });
        }
        Ok(true)
    }

    fn due_ms(&self) -> u64 {
        self.due_ms
    }

    fn rewind(&mut self) -> Result<(), CameraError> {
        self.frames = start(&self.path)?;
        Ok(())
    }
}
