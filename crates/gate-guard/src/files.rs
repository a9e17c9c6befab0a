//! Opening files in folders that another user may write to.
//!
//! A name in such a folder can be a symbolic link to `/etc/shadow`, a second name of somebody else's file, or a pipe
//! whose open never returns. Every function here opens a regular file under its own name, or fails. The kernel's
//! `O_NOFOLLOW` decides, so nothing can be exchanged between a check and the opening. The standard library adds
//! `O_CLOEXEC` to every open.
//!
//! A symbolic link earlier in the path is followed: the administrator may keep the store on another disk.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;

/// Mode of a new file: nobody but its owner reads it.
const PRIVATE: u32 = 0o600;
/// What group and others may not have in a log: writing, and for others anything.
const LAX: u32 = 0o027;

/// Opens a regular file to read.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for a symbolic link or anything but a regular file.
pub fn open_read(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true))
}

/// Opens whatever is there to read, links followed, without waiting for a pipe's other end: for a file that whoever
/// runs the program has named. What it is, the caller examines.
///
/// # Errors
/// What the system says.
pub fn open_any(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits()).open(path)
}

/// Opens a regular file to read and write. It must be there.
///
/// # Errors
/// As [`open_read`].
pub fn open_read_write(path: &Path) -> io::Result<File> {
    open_regular(path, OpenOptions::new().read(true).write(true))
}

/// Makes a file of mode 0600 to read and write. Nothing may have its name, not even a dangling link.
///
/// # Errors
/// What the system says; [`io::ErrorKind::AlreadyExists`] when something is there.
pub fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(PRIVATE).open(path)
}

/// Makes a file of mode 0600 in place of an earlier one. The earlier file is removed, not emptied, so whoever has it
/// open or knows it under a second name sees nothing of the new one.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] when something other than a regular file has the name.
pub fn replace(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        Ok(meta) => {
            is_regular(&meta)?;
            fs::remove_file(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    create_new(path)
}

/// The same, or a device or pipe that is there, opened without ever waiting for whoever reads it. And whether it is
/// a regular file.
///
/// # Errors
/// As [`replace`].
pub fn replace_or_special(path: &Path) -> io::Result<(File, bool)> {
    let there = fs::symlink_metadata(path).ok().map(|meta| meta.file_type());
    if there.is_some_and(|kind| kind.is_fifo() || kind.is_char_device()) {
        let file = nofollow(OpenOptions::new().write(true), OFlag::O_NONBLOCK).open(path).map_err(explain)?;
        return Ok((file, false));
    }
    Ok((replace(path)?, true))
}

/// A log to append to.
#[derive(Debug)]
pub struct Log {
    /// Opened for appending; a regular file for reading as well.
    pub file: File,
    /// Not a device or a pipe.
    pub is_regular: bool,
    /// The mode an existing file had, when group or others had more than reading by the group. It was taken away.
    pub was_lax: Option<u32>,
}

/// Opens a log to append to: a regular file, made with mode 0600, or a device or pipe that is there. From an existing
/// file everything is taken away but reading by its group, which an administrator may have granted on purpose.
///
/// # Errors
/// What the system says; [`io::ErrorKind::InvalidInput`] for a symbolic link, a folder or a socket.
pub fn open_log(path: &Path) -> io::Result<Log> {
    let there = fs::symlink_metadata(path).ok().map(|meta| meta.file_type());
    let special = there.is_some_and(|kind| kind.is_fifo() || kind.is_char_device() || kind.is_block_device());
    if special {
        // Not for reading as well: that would keep a pipe's other end from ever ending.
        let file = nofollow(OpenOptions::new().append(true), OFlag::empty()).open(path).map_err(explain)?;
        return Ok(Log { file, is_regular: false, was_lax: None });
    }

    let file = open_regular(path, OpenOptions::new().read(true).append(true).create(true).mode(PRIVATE))?;
    let mode = file.metadata()?.mode() & 0o777;
    let was_lax = (mode & LAX != 0).then_some(mode);
    if was_lax.is_some() {
        file.set_permissions(Permissions::from_mode(mode & !LAX))?;
    }
    Ok(Log { file, is_regular: true, was_lax })
}

/// Reads a small regular file whole.
///
/// # Errors
/// As [`open_read`]; [`io::ErrorKind::InvalidInput`] when it is longer than `max_bytes`.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_read(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is longer than {max_bytes} bytes")));
    }
    Ok(bytes)
}

/// Whether this is a regular file.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] with what it is instead.
pub fn is_regular(meta: &Metadata) -> io::Result<()> {
    let kind = meta.file_type();
    let what = match kind {
        _ if kind.is_file() => return Ok(()),
        _ if kind.is_symlink() => "a symbolic link, which is not followed here: put the file itself in its place",
        _ if kind.is_dir() => "a folder, not a file",
        _ => "a device, pipe or socket, not a file",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}")))
}

fn open_regular(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Without waiting: the open of a pipe would not return before somebody opens its other end.
    let file = nofollow(options, OFlag::O_NONBLOCK).open(path).map_err(explain)?;
    is_regular(&file.metadata()?)?;
    Ok(file)
}

fn nofollow(options: &mut OpenOptions, more: OFlag) -> &mut OpenOptions {
    options.custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NOCTTY | more).bits())
}

/// "Too many levels of symbolic links" and "No such device" tell nobody what is wrong.
fn explain(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::ELOOP) => io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is a symbolic link, which is not followed here: put the file itself in its place",
        ),
        Some(Errno::ENXIO) => {
            io::Error::new(io::ErrorKind::InvalidInput, "it is not a file: a socket, or a pipe that nobody reads")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    #[test]
    fn only_a_regular_file_under_its_own_name_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("victim"), "precious").unwrap();
        symlink(at("victim"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::create_dir(at("folder")).unwrap();

        for name in ["link", "dangling", "fifo", "socket", "folder"] {
            let path = at(name);
            assert!(open_read(&path).is_err(), "{name}");
            assert!(open_read_write(&path).is_err(), "{name}");
            assert!(read_small(&path, 9).is_err(), "{name}");
            assert!(create_new(&path).is_err(), "{name}");
            assert_eq!(replace(&path).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
        let told = open_read(&at("link")).unwrap_err().to_string();
        assert!(told.contains("symbolic link"), "{told}");
        assert!(
            open_log(&at("link")).is_err() && open_log(&at("dangling")).is_err() && open_log(&at("folder")).is_err()
        );
        assert_eq!(fs::read_to_string(at("victim")).unwrap(), "precious");
        assert!(!at("nowhere").exists());

        assert_eq!(read_small(&at("victim"), 8).unwrap(), b"precious");
        assert!(read_small(&at("victim"), 7).unwrap_err().to_string().contains("longer than 7 bytes"));
    }

    #[test]
    fn what_is_replaced_keeps_its_content_for_those_who_have_it_open() {
        let dir = tempfile::tempdir().unwrap();
        let (path, second) = (dir.path().join("trace"), dir.path().join("second"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
        fs::hard_link(&path, &second).unwrap();

        replace(&path).unwrap().write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_to_string(&second).unwrap(), "old");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_log_is_private_and_a_lax_one_is_tightened_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        assert_eq!(open_log(&path).unwrap().was_lax, None);
        for (before, after, told) in [
            (0o600, 0o600, false),
            (0o640, 0o640, false),
            (0o644, 0o640, true),
            (0o666, 0o640, true),
            (0o660, 0o640, true),
        ] {
            fs::set_permissions(&path, Permissions::from_mode(before)).unwrap();
            let log = open_log(&path).unwrap();
            assert!(log.is_regular);
            assert_eq!(log.was_lax, told.then_some(before), "{before:o}");
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, after, "{before:o}");
        }
        assert!(!open_log(Path::new("/dev/null")).unwrap().is_regular);
    }
}
