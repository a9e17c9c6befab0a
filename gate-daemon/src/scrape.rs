//! Serves the metrics: one GET of /metrics, one connection at a time, each with little time, on a thread of its own.
//!
//! Written by hand: it reads one line of one request and answers it, on a Unix socket or on loopback. Whatever a client does,
//! the gate's loop knows nothing of it.

use crate::metrics::{Metrics, registry};
use anyhow::{Context, Result, bail};
use gate_config::Listen;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one client may take, from its connection to the last byte of the answer.
const CLIENT_MAX: Duration = Duration::from_secs(2);
/// Longest request that is read.
const REQUEST_MAX: usize = 4096;
/// After an error of the listener, so that a system without free descriptors is not made worse.
const PAUSE: Duration = Duration::from_millis(200);

/// A server that runs until the process ends; its socket's file goes when it is dropped.
pub struct Scrape {
    socket: Option<PathBuf>,
}

impl Scrape {
    /// Listens, and serves from now on.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(listen: &Listen, metrics: Arc<Metrics>) -> Result<Self> {
        let registry = registry(metrics);
        let thread = std::thread::Builder::new().name("metrics".into());
        match listen {
            Listen::Unix(path) => {
                let listener = bind(path).with_context(|| format!("[metrics] listen: unix:{}", path.display()))?;
                thread.spawn(move || listener.incoming().for_each(|client| serve(client, &registry)))?;
                Ok(Self { socket: Some(path.clone()) })
            }
            Listen::Loopback(address) => {
                let advice = "; under systemd the unit's sandbox allows Unix sockets only, see [metrics] in gate.toml";
                let listener = TcpListener::bind(address)
                    .with_context(|| format!("[metrics] listen: {address} cannot be had{advice}"))?;
                thread.spawn(move || listener.incoming().for_each(|client| serve(client, &registry)))?;
                Ok(Self { socket: None })
            }
        }
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

/// A connection whose patience can be set.
trait Client: Read + Write {
    fn wait(&self, limit: Duration) -> std::io::Result<()>;
}

impl Client for UnixStream {
    fn wait(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit)).and_then(|()| self.set_write_timeout(Some(limit)))
    }
}

impl Client for TcpStream {
    fn wait(&self, limit: Duration) -> std::io::Result<()> {
        self.set_read_timeout(Some(limit)).and_then(|()| self.set_write_timeout(Some(limit)))
    }
}

fn serve(client: std::io::Result<impl Client>, registry: &Registry) {
    let answered = client.and_then(|mut client| answer(&mut client, registry, Instant::now() + CLIENT_MAX));
    if let Err(e) = answered {
        tracing::debug!("a scrape came to nothing: {e}");
        std::thread::sleep(PAUSE);
    }
}

fn answer(client: &mut impl Client, registry: &Registry, until: Instant) -> std::io::Result<()> {
    let (status, body) = match read_request(client, until)?.as_deref() {
        Some(line) => respond(line, registry),
        None => ("431 Request Header Fields Too Large", String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let bytes = [head.into_bytes(), body.into_bytes()].concat();
    let mut left = bytes.as_slice();
    while !left.is_empty() {
        client.wait(remaining(until)?)?;
        match client.write(left)? {
            0 => return Err(std::io::ErrorKind::WriteZero.into()),
            written => left = &left[written..],
        }
    }
    client.flush()
}

/// The first line of a request that is whole; `None` when it is too long.
fn read_request(client: &mut impl Client, until: Instant) -> std::io::Result<Option<String>> {
    let mut request = Vec::new();
    let mut buffer = [0; 512];
    // Its end is read, too: a client that is answered while it still speaks may see an error instead.
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() >= REQUEST_MAX {
            return Ok(None);
        }
        client.wait(remaining(until)?)?;
        match client.read(&mut buffer)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
    Ok(Some(String::from_utf8_lossy(&request).lines().next().unwrap_or_default().to_owned()))
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

fn remaining(until: Instant) -> std::io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
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
