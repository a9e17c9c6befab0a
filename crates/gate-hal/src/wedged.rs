//! For tests: outputs whose thread is wedged or killed for real.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use crate::{Output, OutputError, OutputSpec, SystemClock, open_output};

/// The other end of a pipe that an output writes its changes to.
pub(crate) struct Pipe(File);

/// A simulated line whose trace is a pipe in `folder`.
pub(crate) fn output_into_a_pipe(folder: &Path, name: &'static str) -> (Box<dyn Output>, Pipe) {
    let path = folder.join("trace");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    // Both ends, so that opening waits for nobody.
    let pipe = File::options().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
    let spec = OutputSpec::Simulated { trace: Some(path) };
    (open_output(&spec, name, Arc::new(SystemClock::new())).unwrap(), Pipe(pipe))
}

impl Pipe {
    /// From now on whoever drives the line hangs.
    pub(crate) fn fill(&mut self) {
        for chunk in [&[b' '; 4096][..], b" "] {
            while self.0.write(chunk).is_ok() {}
        }
    }

    /// Lets the driver go on, and returns what it has written.
    pub(crate) fn drain(&mut self) -> String {
        let (mut all, mut some) = (Vec::new(), [0; 4096]);
        while let Ok(read) = self.0.read(&mut some) {
            all.extend_from_slice(&some[..read]);
        }
        String::from_utf8(all).unwrap().trim_start().to_owned()
    }
}

/// A line whose driver panics when it is switched on, in a way that no guard against panics survives.
pub(crate) struct Deadly;

impl Output for Deadly {
    fn describe(&self) -> String {
        "deadly".to_owned()
    }

    fn set(&mut self, on: bool) -> Result<(), OutputError> {
        if on {
            std::panic::panic_any(Bomb);
        }
        Ok(())
    }
}

/// What a panic carries, and what panics once more when it is thrown away.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("the driver's panic panics");
    }
}
