//! Serves the metrics: GET /metrics on a Unix socket or on loopback, each client with little time, on one thread.
//!
//! ```text
//!  listener ──accept──▶ clients, at most CLIENTS_MAX, oldest first ──▶ request read ──▶ answer written ──▶ closed
//!     │ none is open: waits                └── a step of each, in turn; past its time, or pushed out: closed
//! ```
//!
//! Written by hand: it reads one line of one request and answers it. No client waits for another: a silent one costs a
//! descriptor and a few kilobytes until its time is over, and the oldest makes room when there are too many. Whatever a
//! client does, the gate's loop knows nothing of it.

use crate::metrics::{Metrics, registry};
use anyhow::{Context, Result, bail};
use gate_config::Listen;
use gate_hal::{Heart, Heartbeat, heartbeat};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one client may take, from its connection to the last byte of the answer.
const CLIENT_MAX: Duration = Duration::from_secs(2);
/// Clients served at a time.
const CLIENTS_MAX: usize = 32;
/// Longest request that is read.
const REQUEST_MAX: usize = 4096;
/// How long after a round in which no client had anything the next one begins.
const MOMENT: Duration = Duration::from_millis(5);
/// After an error of the listener, so that a system without free descriptors is not made worse.
const PAUSE: Duration = Duration::from_millis(200);
/// One round takes microseconds; one that is not over by then hangs.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// A server that runs until the process ends; its socket's file goes when it is dropped.
pub struct Scrape {
    socket: Option<PathBuf>,
    thread: Heartbeat,
}

impl Scrape {
    /// Listens, and serves from now on.
    ///
    /// # Errors
    /// When the address cannot be had, or the system has no thread to give.
    pub fn start(listen: &Listen, metrics: Arc<Metrics>) -> Result<Self> {
        let registry = registry(metrics);
        let builder = std::thread::Builder::new().name("metrics".into());
        let (heart, thread) = heartbeat("metrics", ROUND_MAX);
        match listen {
            Listen::Unix(path) => {
                let listener = bind(path).with_context(|| format!("[metrics] listen: unix:{}", path.display()))?;
                builder.spawn(move || serve(&listener, &registry, &heart))?;
                Ok(Self { socket: Some(path.clone()), thread })
            }
            Listen::Loopback(address) => {
                let advice = "; under systemd the unit's sandbox allows Unix sockets only, see [metrics] in gate.toml";
                let listener = TcpListener::bind(address)
                    .with_context(|| format!("[metrics] listen: {address} cannot be had{advice}"))?;
                builder.spawn(move || serve(&listener, &registry, &heart))?;
                Ok(Self { socket: None, thread })
            }
        }
    }

    /// The thread that serves.
    pub fn thread(&self) -> Heartbeat {
        self.thread.clone()
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        if let Some(socket) = &self.socket {
            // Gone already, with its folder perhaps.
            let _ = std::fs::remove_file(socket);
        }
    }
}

/// A socket at `path`, in the place of one that a dead process has left.
fn bind(path: &Path) -> Result<UnixListener> {
    if let Ok(left) = std::fs::symlink_metadata(path) {
        if !left.file_type().is_socket() {
            bail!("there is something else; take it away or name another path");
        }
        if UnixStream::connect(path).is_ok() {
            bail!("another process serves there");
        }
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    // The gate's group may watch.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
    Ok(listener)
}

/// Where clients come from, and whether the next one is waited for.
trait Listener {
    type Client: Read + Write;
    fn wait_for_the_next(&self, wait: bool) -> std::io::Result<()>;
    /// The next client, whose reads and writes never wait.
    fn next(&self) -> std::io::Result<Self::Client>;
}

impl Listener for UnixListener {
    type Client = UnixStream;

    fn wait_for_the_next(&self, wait: bool) -> std::io::Result<()> {
        self.set_nonblocking(!wait)
    }

    fn next(&self) -> std::io::Result<UnixStream> {
        let (client, _) = self.accept()?;
        client.set_nonblocking(true).map(|()| client)
    }
}

impl Listener for TcpListener {
    type Client = TcpStream;

    fn wait_for_the_next(&self, wait: bool) -> std::io::Result<()> {
        self.set_nonblocking(!wait)
    }

    fn next(&self) -> std::io::Result<TcpStream> {
        let (client, _) = self.accept()?;
        client.set_nonblocking(true).map(|()| client)
    }
}

fn serve<L: Listener>(listener: &L, registry: &Registry, heart: &Heart) {
    let mut clients: VecDeque<Client<L::Client>> = VecDeque::with_capacity(CLIENTS_MAX);
    loop {
        let has_come = match welcome(listener, &mut clients, heart) {
            Ok(has_come) => has_come,
            Err(e) => {
                tracing::debug!("no scrape can be taken: {e}");
                std::thread::sleep(PAUSE);
                false
            }
        };
        let mut has_moved = has_come;
        clients.retain_mut(|client| {
            let step = client.step(registry);
            has_moved |= step == Step::Moved;
            step != Step::Over
        });
        if !has_moved && !clients.is_empty() {
            std::thread::sleep(MOMENT);
        }
    }
}

/// Takes whoever has come; waits for somebody where nobody is. Says whether somebody has.
fn welcome<L: Listener>(
    listener: &L,
    clients: &mut VecDeque<Client<L::Client>>,
    heart: &Heart,
) -> std::io::Result<bool> {
    let is_empty = clients.is_empty();
    listener.wait_for_the_next(is_empty)?;
    if is_empty {
        heart.rest();
    }
    let next = listener.next();
    heart.beat();
    match next {
        Ok(stream) => {
            if clients.len() == CLIENTS_MAX {
                clients.pop_front();
            }
            clients.push_back(Client::new(stream));
            Ok(true)
        }
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Somebody who is connected.
struct Client<S> {
    stream: S,
    until: Instant,
    /// What has been read of the request.
    request: Vec<u8>,
    /// What is still to be written, from `written` on; empty until the request is whole.
    answer: Vec<u8>,
    written: usize,
}

/// What became of a client in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Something was read or written.
    Moved,
    /// It has nothing to say, or does not listen, for the moment.
    Waits,
    /// Answered, gone, or out of time.
    Over,
}

impl<S: Read + Write> Client<S> {
    fn new(stream: S) -> Self {
        Self { stream, until: Instant::now() + CLIENT_MAX, request: Vec::new(), answer: Vec::new(), written: 0 }
    }

    /// Reads or writes once, as far as that goes without waiting.
    fn step(&mut self, registry: &Registry) -> Step {
        if Instant::now() >= self.until {
            return Step::Over;
        }
        let moved = if self.answer.is_empty() { self.read(registry) } else { self.write() };
        match moved {
            Ok(0) => Step::Over,
            Ok(_) if !self.answer.is_empty() && self.written == self.answer.len() => Step::Over,
            Ok(_) => Step::Moved,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Step::Waits,
            Err(e) => {
                tracing::debug!("a scrape came to nothing: {e}");
                Step::Over
            }
        }
    }

    fn read(&mut self, registry: &Registry) -> std::io::Result<usize> {
        let mut buffer = [0; 512];
        let read = self.stream.read(&mut buffer)?;
        self.request.extend_from_slice(&buffer[..read]);
        // Its end is read, too: a client that is answered while it still speaks may see an error instead.
        if self.request.windows(4).any(|end| end == b"\r\n\r\n") {
            let request = String::from_utf8_lossy(&self.request);
            self.answer = answer(respond(request.lines().next().unwrap_or_default(), registry));
        } else if self.request.len() >= REQUEST_MAX {
            self.answer = answer(("431 Request Header Fields Too Large", String::new()));
        }
        Ok(read)
    }

    fn write(&mut self) -> std::io::Result<usize> {
        let written = self.stream.write(&self.answer[self.written..])?;
        self.written += written;
        Ok(written)
    }
}

fn answer((status, body): (&str, String)) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

fn respond(line: &str, registry: &Registry) -> (&'static str, String) {
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    if !words.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
        return ("400 Bad Request", String::new());
    }
    if method != "GET" {
        return ("405 Method Not Allowed", String::new());
    }
    if target.split('?').next() != Some("/metrics") {
        return ("404 Not Found", String::new());
    }
    let mut body = String::new();
    match encode(&mut body, registry) {
        Ok(()) => ("200 OK", body),
        Err(_) => ("500 Internal Server Error", String::new()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ask(socket: &Path, request: &[u8]) -> String {
        let mut client = UnixStream::connect(socket).unwrap();
        client.write_all(request).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn one_get_is_answered_and_everything_else_is_refused_and_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("metrics.sock");
        // What a process that was killed has left is no hindrance.
        drop(UnixListener::bind(&socket).unwrap());
        let start = || Scrape::start(&Listen::Unix(socket.clone()), Arc::new(Metrics::new("cpu", Arc::default())));
        let server = start().unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(start().is_err(), "a socket that is in use is not taken away");
        // Somebody who hangs up, and somebody who says nothing for as long as they may.
        drop(UnixStream::connect(&socket).unwrap());
        let silent = UnixStream::connect(&socket).unwrap();
        let good = ask(&socket, b"GET /metrics HTTP/1.1\r\nHost: gate\r\n\r\n");
        assert!(good.starts_with("HTTP/1.1 200 OK\r\n") && good.ends_with("# EOF\n"), "{good}");
        drop(silent);
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("nonsense\r\n\r\n", "400"),
            ("\r\n\r\n", "400"),
            (&"x".repeat(REQUEST_MAX), "431"),
        ] {
            let answer = ask(&socket, request.as_bytes());
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        }
        drop(server);
        assert!(!socket.exists());
        std::fs::write(&socket, "a file").unwrap();
        assert!(start().is_err(), "nothing else is taken away, either");
    }

    #[test]
    fn silent_and_slow_clients_keep_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("metrics.sock");
        let _server =
            Scrape::start(&Listen::Unix(socket.clone()), Arc::new(Metrics::new("cpu", Arc::default()))).unwrap();
        let request = b"GET /metrics HTTP/1.1\r\n\r\n";
        // As many as are served at a time, and more: some say nothing, some half a word, some do not listen.
        for many in [20, CLIENTS_MAX, 3 * CLIENTS_MAX] {
            let mut others: Vec<_> = (0..many).map(|_| UnixStream::connect(&socket).unwrap()).collect();
            for (place, other) in others.iter_mut().enumerate() {
                match place % 3 {
                    0 => {}
                    1 => other.write_all(b"GET /me").unwrap(),
                    _ => other.write_all(request).unwrap(),
                }
            }
            let start = Instant::now();
            let good = ask(&socket, request);
            assert!(good.starts_with("HTTP/1.1 200 OK\r\n") && good.ends_with("# EOF\n"), "{many}: {good}");
            // One after the other they would have taken a client's time each.
            assert!(start.elapsed() < CLIENT_MAX * 5, "{many}: {:?}", start.elapsed());
        }
    }

    #[test]
    fn a_client_that_says_nothing_is_closed_and_the_thread_stays_well() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("metrics.sock");
        let server =
            Scrape::start(&Listen::Unix(socket.clone()), Arc::new(Metrics::new("cpu", Arc::default()))).unwrap();
        let mut silent = UnixStream::connect(&socket).unwrap();
        // A byte now and then does not lengthen its time.
        silent.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let (start, mut buffer) = (Instant::now(), [0; 16]);
        loop {
            let _ = silent.write(b"x");
            match silent.read(&mut buffer) {
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Ok(0) | Err(_) => break,
                Ok(_) => panic!("an answer to nothing"),
            }
            assert!(start.elapsed() < CLIENT_MAX * 10, "it is never closed");
        }
        assert!(start.elapsed() >= CLIENT_MAX / 2, "closed early: {:?}", start.elapsed());
        assert_eq!(server.thread().trouble(), None);
    }

    #[test]
    fn loopback_is_served_too() {
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _server = Scrape::start(&Listen::Loopback(address), Arc::new(Metrics::new("cpu", Arc::default()))).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"GET /metrics?x=1 HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("# EOF\n"), "{answer}");
    }
}
