//! Root becomes the owner of a folder before it works there.
//!
//! The store belongs to the gate's own user. Whatever root does in it by name, that user can redirect: by a link, a
//! second name, a folder put in another's place. So root does nothing in it. The process becomes the folder's owner
//! for good, with real, effective and saved ids and its groups, and every new file is the owner's from the start.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User, getegid, geteuid, getgid, getgrouplist, getuid, setgroups, setresgid, setresuid};

use crate::{memory, trusted, user};

/// Whom the process became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// Name and number, for messages.
    pub name: String,
}

/// Root's rights could not be given up. The caller must stop: it may still be root.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot become {owner}, who owns {}, to work there: {what}. Run this as that user: sudo -u '#{uid}' ...",
    folder.display()
)]
pub struct OwnerError {
    folder: PathBuf,
    owner: String,
    uid: u32,
    what: String,
}

/// Whether [`become_owner_of`] would change anything.
#[must_use]
pub fn belongs_to_another(folder: &Path) -> bool {
    is_root() && fs::metadata(folder).is_ok_and(|meta| meta.uid() != 0)
}

fn is_root() -> bool {
    geteuid().is_root() || getuid().is_root()
}

/// Becomes the owner of `folder`, for good, when this process is root and the folder is not. `None`: nothing to do,
/// because the process is not root, the folder is root's, or there is no such folder.
///
/// The caller reads what only root may read beforehand.
///
/// # Errors
/// When the system refuses, or the way back to root is still open.
pub fn become_owner_of(folder: &Path) -> Result<Option<Owner>, OwnerError> {
    if !is_root() {
        return Ok(None);
    }
    let meta = match fs::metadata(folder) {
        Ok(meta) => meta,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let (folder, what) = (folder.to_path_buf(), error.to_string());
            return Err(OwnerError { folder, owner: "whoever it is".into(), uid: 0, what });
        }
    };
    if meta.uid() == 0 {
        return Ok(None);
    }

    let owner = Owner { uid: meta.uid(), name: user(meta.uid()) };
    let fault =
        |what: String| OwnerError { folder: folder.to_path_buf(), owner: owner.name.clone(), uid: owner.uid, what };
    let uid = Uid::from_raw(meta.uid());
    let (gid, groups) = groups_of(uid, Gid::from_raw(meta.gid())).map_err(|error| fault(error.to_string()))?;
    trusted::was_root();
    // Groups first: without root's user there is no right to change them.
    setgroups(&groups)
        .and_then(|()| setresgid(gid, gid, gid))
        .and_then(|()| setresuid(uid, uid, uid))
        .map_err(|error| fault(error.to_string()))?;

    let root = Uid::from_raw(0);
    let is_back = setresuid(root, root, root).is_ok();
    if is_back || [getuid(), geteuid()] != [uid, uid] || [getgid(), getegid()] != [gid, gid] {
        return Err(fault("the system did not take root's rights away".into()));
    }
    // A change of user makes the process dumpable again, by the system's default.
    memory::keep_private().map_err(|error| fault(format!("core dumps cannot be switched off: {error}")))?;
    tracing::debug!(owner = owner.name, folder = %folder.display(), "became the folder's owner");
    Ok(Some(owner))
}

/// The user's own group and all their groups, such as `video` for the camera. A user without an account has the
/// folder's group.
fn groups_of(uid: Uid, folders: Gid) -> Result<(Gid, Vec<Gid>), Errno> {
    let Some(account) = User::from_uid(uid)? else { return Ok((folders, vec![folders])) };
    let name = CString::new(account.name).map_err(|_| Errno::EINVAL)?;
    Ok((account.gid, getgrouplist(&name, account.gid)?))
}
