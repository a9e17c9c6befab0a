//! The site key: where it comes from, how it is made, who may read it.
//!
//! File format: one line, `face-gate-key-1 ` and 64 hexadecimal digits.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gate_guard::files;
use gate_guard::memory::Locked;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::seal::{KEY_BYTES, Sealer, random};
use crate::{Result, StoreError};

/// The key's name among systemd credentials (`LoadCredential=face-gate.key:...`).
const CREDENTIAL: &str = "face-gate.key";
const PREFIX: &str = "face-gate-key-1 ";
/// More than any key file has; a wrong path must not fill the memory.
const MAX_FILE_BYTES: u64 = 4096;

/// Where the site key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A systemd credential. systemd guards it, so its mode is not checked.
    Credential(PathBuf),
    /// A file, which nobody but its owner may read.
    File(PathBuf),
}

impl KeySource {
    /// The first of: `$CREDENTIALS_DIRECTORY/face-gate.key` if it exists, the `configured` file, `site.key` in
    /// `store_dir`. The latter two need not exist: [`SiteKey::load`] then tells what to do.
    #[must_use]
    pub fn find(configured: Option<&Path>, store_dir: &Path) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self::find_among(credentials.as_deref(), configured, store_dir)
    }

    fn find_among(credentials: Option<&Path>, configured: Option<&Path>, store_dir: &Path) -> Self {
        let credential = credentials.map(|dir| dir.join(CREDENTIAL)).filter(|path| path.exists());
        match (credential, configured) {
            (Some(path), _) => KeySource::Credential(path),
            (None, Some(path)) => KeySource::File(path.to_path_buf()),
            (None, None) => KeySource::File(store_dir.join("site.key")),
        }
    }

    /// The file the key is read from.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            KeySource::Credential(path) | KeySource::File(path) => path,
        }
    }
}

/// The key that wraps every person's data key. Locked into memory, wiped when dropped; never printed.
#[derive(Clone)]
pub struct SiteKey {
    bytes: Arc<Locked<Zeroizing<[u8; KEY_BYTES]>>>,
}

impl fmt::Debug for SiteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SiteKey(..)")
    }
}

impl SiteKey {
    /// A new random key.
    ///
    /// # Errors
    /// [`StoreError::Random`] when the system has no random bytes.
    pub fn generate() -> Result<Self> {
        let mut bytes = Locked::new(Zeroizing::new([0; KEY_BYTES]));
        random(bytes.get_mut().as_mut_slice())?;
        Ok(Self { bytes: Arc::new(bytes) })
    }

    /// Reads the key.
    ///
    /// # Errors
    /// [`StoreError::KeyFile`] when the file is missing, is readable by others than its owner, or holds no key.
    pub fn load(source: &KeySource) -> Result<Self> {
        let path = source.path();
        let fault = |what: String| StoreError::KeyFile { path: path.to_path_buf(), what };
        let file = files::open_read(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => fault(
                "not found: `enroll-tool init` makes it together with a new store; restore it for an old one".into(),
            ),
            io::ErrorKind::PermissionDenied => fault("not readable: run as its owner, or as root".into()),
            io::ErrorKind::InvalidInput => fault(error.to_string()),
            _ => fault(format!("cannot be opened: {error}")),
        })?;
        let meta = file.metadata().map_err(|error| fault(format!("cannot be examined: {error}")))?;
        if matches!(source, KeySource::File(_)) && meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o777;
            let path = path.display();
            return Err(fault(format!("others may use it (mode {mode:04o}): run `chmod 0400 '{path}'`")));
        }
        // Room for the whole file from the start: a growing buffer would leave copies of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(MAX_FILE_BYTES as usize + 1));
        let read = file.take(MAX_FILE_BYTES).read_to_string(&mut text);
        read.map_err(|error| fault(format!("cannot be read: {error}")))?;
        Self::parse(&text).ok_or_else(|| {
            fault(format!("holds no site key (`{}` and 64 hexadecimal digits): restore it", PREFIX.trim_end()))
        })
    }

    /// Writes the key to a new file of mode 0400, durably.
    ///
    /// # Errors
    /// [`StoreError::AlreadyThere`] when there is a file: a key is never overwritten. Else [`StoreError::Io`].
    pub fn create_file(&self, path: &Path) -> Result<()> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o400).open(path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => StoreError::AlreadyThere { path: path.to_path_buf() },
            _ => StoreError::io("create", path, error),
        })?;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * KEY_BYTES + 1));
        text.push_str(PREFIX);
        for byte in self.bytes.get().iter() {
            text.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(digit.into(), 16)));
        }
        text.push('\n');
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| StoreError::io("write", path, error))?;
        sync_parent(path)
    }

    /// The sealer that wraps data keys.
    pub(crate) fn sealer(&self) -> Sealer {
        Sealer::new(self.bytes.get())
    }

    /// A key for another purpose, which tells nothing of this one.
    pub(crate) fn derive(&self, purpose: &[u8], context: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut hash = Sha256::new();
        for field in [purpose, self.bytes.get().as_slice(), context] {
            hash.update((field.len() as u64).to_le_bytes());
            hash.update(field);
        }
        Zeroizing::new(hash.finalize().into())
    }

    fn parse(text: &str) -> Option<Self> {
        let digits = text.trim_end().strip_prefix(PREFIX)?.as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return None;
        }
        let mut bytes = Locked::new(Zeroizing::new([0; KEY_BYTES]));
        for (byte, pair) in bytes.get_mut().iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = (high << 4 | low) as u8;
        }
        Some(Self { bytes: Arc::new(bytes) })
    }
}

/// Makes a new name in the directory of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let synced = File::open(parent).and_then(|dir| dir.sync_all());
    synced.map_err(|error| StoreError::io("sync", parent, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn made_file_is_0400_loads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.key");
        let key = SiteKey::generate().unwrap();
        key.create_file(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(PREFIX) && text.len() == PREFIX.len() + 65);
        let loaded = SiteKey::load(&KeySource::find_among(None, None, dir.path())).unwrap();
        assert_eq!(**loaded.bytes.get(), **key.bytes.get());
        let again = SiteKey::generate().unwrap().create_file(&path);
        assert!(matches!(again, Err(StoreError::AlreadyThere { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
        assert_eq!(format!("{key:?}"), "SiteKey(..)");
    }

    #[test]
    fn a_file_others_may_read_is_refused_with_the_command_to_run() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.key");
        SiteKey::generate().unwrap().create_file(&path).unwrap();
        for mode in [0o440, 0o404, 0o420, 0o644, 0o401] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = SiteKey::load(&KeySource::File(path.clone())).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 0400 '{}'", path.display())), "{error}");
            SiteKey::load(&KeySource::Credential(path.clone())).unwrap();
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        SiteKey::load(&KeySource::File(path)).unwrap();
    }

    #[test]
    fn no_key_in_the_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("site.key");
        let error = SiteKey::load(&KeySource::File(path.clone())).unwrap_err().to_string();
        assert!(error.contains("not found") && error.contains("enroll-tool init"), "{error}");
        let good = format!("{PREFIX}{}", "0f".repeat(32));
        for text in [
            "",
            "face-gate-key-1",
            &good[..good.len() - 1],
            &good.replace('f', "g"),
            &format!("{good}0"),
            &format!("{good} x"),
        ] {
            assert!(SiteKey::parse(text).is_none(), "{text}");
        }
        assert!(SiteKey::parse(&good).is_some() && SiteKey::parse(&format!("{good}\n")).is_some());
        fs::write(&path, [0xff; 8192]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(SiteKey::load(&KeySource::File(path)), Err(StoreError::KeyFile { .. })));
        let directory = SiteKey::load(&KeySource::Credential(dir.path().to_path_buf()));
        assert!(directory.unwrap_err().to_string().contains("a folder, not a file"));
    }

    #[test]
    fn a_credential_comes_first_then_the_configured_file_then_the_store() {
        let dir = tempfile::tempdir().unwrap();
        let store = Path::new("/var/lib/face-gate");
        let configured = Path::new("/etc/face-gate/site.key");
        let find = |configured| KeySource::find_among(Some(dir.path()), configured, store);
        assert_eq!(find(None), KeySource::File(store.join("site.key")));
        assert_eq!(find(Some(configured)), KeySource::File(configured.into()));
        fs::write(dir.path().join(CREDENTIAL), "").unwrap();
        assert_eq!(find(Some(configured)), KeySource::Credential(dir.path().join(CREDENTIAL)));
    }
}
