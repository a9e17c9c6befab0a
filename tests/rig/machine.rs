//! One machine: a User-Mode Linux kernel, its disk, and what it prints.

use anyhow::{Context, Result};
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What the kernel calls itself in its own folder.
const NAME: &str = "machine";

/// What a machine is made of.
pub struct Parts<'a> {
    /// The kernel, a program of this host.
    pub kernel: &'a Path,
    /// The disk that nobody writes to.
    pub disk: &'a Path,
    /// Where this machine's own changes to the disk go.
    pub changes: &'a Path,
    /// A folder that host and guest both see.
    pub shared: &'a Path,
    /// What runs first in the guest.
    pub init: &'a str,
    /// More for the kernel's command line.
    pub more: &'a [&'a str],
    /// Memory, MiB.
    pub memory_mib: u32,
    /// Cores.
    pub cores: u32,
    /// Whether it takes only what other machines leave of this host: nothing in it is measured by the clock.
    pub patient: bool,
}

/// A running machine; its power goes when it is dropped.
pub struct Machine {
    child: Child,
    lines: Receiver<String>,
    /// Where the kernel has the socket by which it can be asked.
    own: TempDir,
}

impl Machine {
    /// Switches it on.
    pub fn start(parts: &Parts<'_>) -> Result<Self> {
        let own = tempfile::tempdir().context("a folder for the kernel's socket")?;
        let mut child = Command::new("nice")
            .args(["-n", if parts.patient { "10" } else { "0" }])
            .arg(parts.kernel)
            .arg(format!("mem={}M", parts.memory_mib))
            // Several cores need it.
            .args(["seccomp=on", &format!("ncpus={}", parts.cores)])
            .arg(format!("ubd0={},{}", parts.changes.display(), parts.disk.display()))
            .args(["root=/dev/ubda", "rw", "quiet", "panic=1", "con=null", "con0=null,fd:1"])
            .arg(format!("init={}", parts.init))
            .arg(format!("rig.shared={}", parts.shared.display()))
            .args([format!("uml_dir={}", own.path().display()), format!("umid={NAME}")])
            .args(parts.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The kernel keeps its memory in a file there: a real disk would write all of it back.
            .env("TMPDIR", "/dev/shm")
            .spawn()
            .with_context(|| format!("starting {}", parts.kernel.display()))?;
        let output = child.stdout.take().context("the kernel's output")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, own })
    }

    /// The next line that it prints; `None` when it is off, or nothing came until `deadline`.
    pub fn line(&self, deadline: Instant) -> Option<String> {
        self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
    }

    /// Whether it is still on.
    pub fn is_on(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_none())
    }

    /// Has a kernel that has fallen silent print where each of its tasks stands. Returns that.
    pub fn tasks(&self) -> Result<Vec<String>> {
        let socket = UnixDatagram::unbound()?;
        // First, that it prints all.
        for key in ["9", "l", "t"] {
            socket.send_to(&request(&format!("sysrq {key}")), self.own.path().join(NAME).join("mconsole"))?;
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        Ok(std::iter::from_fn(|| self.line(deadline)).collect())
    }

    /// Cuts the power. Returns what it still had printed.
    pub fn cut(mut self) -> Vec<String> {
        self.kill();
        let deadline = Instant::now() + Duration::from_secs(1);
        std::iter::from_fn(|| self.line(deadline)).collect()
    }

    fn kill(&mut self) {
        // Its processes are processes of this host, in one group with others: the kernel's death takes them along, for
        // each is traced by it or dies with its parent.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A request to User-Mode Linux's mconsole: magic, version, length, and room for the words (arch/um/drivers/mconsole.h).
fn request(words: &str) -> Vec<u8> {
    const ROOM: usize = 512;
    let mut request: Vec<u8> =
        [0xcafe_babe, 2, words.len() as u32].iter().flat_map(|n: &u32| n.to_ne_bytes()).collect();
    let head = request.len();
    request.extend(words.as_bytes());
    request.resize(head + ROOM, 0);
    request
}

/// A file for a machine's changes to its disk, in memory where that can be: a real disk would write all of it.
pub fn changes(dir: &Path, name: &str) -> PathBuf {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { memory } else { dir };
    let file = dir.join(format!("face-gate-rig-{}-{name}", std::process::id()));
    let _ = std::fs::remove_file(&file);
    file
}

/// Makes a disk of `mib` from a folder.
pub fn make_disk(folder: &Path, disk: &Path, mib: u32) -> Result<()> {
    let part = PathBuf::from(format!("{}.part", disk.display()));
    let file = std::fs::File::create(&part).with_context(|| format!("making {}", part.display()))?;
    file.set_len(u64::from(mib) << 20)?;
    let made = Command::new("mke2fs")
        .args(["-q", "-t", "ext4", "-d"])
        .arg(folder)
        .arg(&part)
        .output()
        .context("mke2fs cannot be started: apt install e2fsprogs")?;
    anyhow::ensure!(made.status.success(), "mke2fs: {}", String::from_utf8_lossy(&made.stderr));
    std::fs::rename(part, disk)?;
    Ok(())
}
