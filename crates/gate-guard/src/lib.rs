//! What the programs ask of the operating system to protect themselves. Each rule has one owner here.
//!
//! ```text
//!  files    opens only regular files, never through a symbolic link          store, event log, trace, reports
//!  trusted  root takes code and configuration only from root's own files     gate.toml, cards, ONNX Runtime
//!  owner    root becomes the owner of a folder before it works there         enroll-tool on the store
//!  memory   no core dumps, no debugger, keys locked into memory              every program that opens the store
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod files;
pub mod memory;
pub mod owner;
pub mod trusted;

pub use owner::{Owner, OwnerError};
pub use trusted::Untrusted;

use nix::unistd::{Uid, User};

/// A user as an administrator knows them: name and number.
fn user(uid: u32) -> String {
    match User::from_uid(Uid::from_raw(uid)) {
        Ok(Some(user)) => format!("{} (uid {uid})", user.name),
        _ => format!("uid {uid}"),
    }
}

/// A path as a word of a shell command.
fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
