//! Root takes code and configuration only from files that nobody but root can change.
//!
//! A configuration names the library that is loaded; a model card names what that library runs. Whoever can write
//! either gets their code run by whoever starts the program. For an ordinary user that is their own affair. When root
//! starts it, in a stranger's folder perhaps, it is that stranger's way to become root. `sudo` lowers nothing: the
//! process is root's, whatever `SUDO_UID` says.
//!
//! The rule, for the file and for every folder on the way to it, links included:
//! - root owns it, and
//! - neither group nor others can write to it. Access lists count, since the system shows their mask as the group's
//!   rights.
//!
//! One exception. A folder that root owns, that others can write to and that has the sticky bit, as `/tmp`, may be on
//! the way: there, only root can rename or remove an entry that root owns. Its entry must be root's, like any other.
//!
//! Nothing can change between check and use: every component is root's, so only root could change it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::unistd::{geteuid, getuid};

use crate::{quoted, user};

/// As many links as the kernel follows.
const LINKS_MAX: usize = 40;
const OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Set when root's rights were given up: what root was asked to do goes on under root's rule.
static WAS_ROOT: AtomicBool = AtomicBool::new(false);

/// A file that root does not take.
#[derive(Debug, thiserror::Error)]
#[error(
    "{}: as root, configuration, model cards and libraries are taken only from files that root alone can change. \
     {what}. {remedy}", path.display()
)]
pub struct Untrusted {
    /// The file that was to be used.
    pub path: PathBuf,
    /// Which component, and what is wrong with it.
    what: String,
    /// What to do.
    remedy: String,
}

/// Whether this process acts for root: its real or effective user is root, or was before it became another.
#[must_use]
pub fn acts_for_root() -> bool {
    getuid().is_root() || geteuid().is_root() || WAS_ROOT.load(Ordering::Relaxed)
}

/// Remembers that root's rights were given up.
pub(crate) fn was_root() {
    WAS_ROOT.store(true, Ordering::Relaxed);
}

/// Refuses, for root, a file that others could have written. For any other user, and for a file that is not there,
/// there is nothing to refuse.
///
/// # Errors
/// [`Untrusted`], with the component at fault, its owner and the command that mends it.
pub fn check(path: &Path) -> Result<(), Untrusted> {
    if acts_for_root() { examine(path) } else { Ok(()) }
}

/// The rule itself, whoever asks.
fn examine(path: &Path) -> Result<(), Untrusted> {
    let fault = |what: String, remedy: String| Untrusted { path: path.to_path_buf(), what, remedy };
    let unreadable = |at: &Path, error: io::Error| {
        fault(format!("{} cannot be examined: {error}", at.display()), "Name another file".into())
    };
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, error))?;
    let mut left = components(&absolute);
    let mut at = PathBuf::from("/");
    let mut links = 0;
    is_roots(&at, &fs::symlink_metadata(&at).map_err(|error| unreadable(&at, error))?, false, &fault)?;

    while let Some(name) = left.pop_front() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(&name);
        let meta = match fs::symlink_metadata(&at) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return is_absent(&at, &fault),
            Err(error) => return Err(unreadable(&at, error)),
        };
        is_roots(&at, &meta, left.is_empty(), &fault)?;
        if !meta.is_symlink() {
            continue;
        }

        links += 1;
        if links > LINKS_MAX {
            return Err(fault(format!("{} leads through too many links", at.display()), "Name the file itself".into()));
        }
        let target = fs::read_link(&at).map_err(|error| unreadable(&at, error))?;
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for name in components(&target).into_iter().rev() {
            left.push_front(name);
        }
    }
    Ok(())
}

/// Nothing is there, so nothing is taken from there; unless others could put something there in the next moment.
fn is_absent(at: &Path, fault: &impl Fn(String, String) -> Untrusted) -> Result<(), Untrusted> {
    let folder = at.parent().unwrap_or(at);
    match fs::symlink_metadata(folder) {
        Ok(meta) if meta.mode() & OTHERS_WRITE == 0 => Ok(()),
        _ => {
            let what = format!("{} is not there, and others could put it there", at.display());
            Err(fault(what, "Name another file".into()))
        }
    }
}

/// The names of a path, `..` among them.
fn components(path: &Path) -> VecDeque<OsString> {
    let name = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components().filter_map(name).collect()
}

fn is_roots(
    at: &Path,
    meta: &Metadata,
    is_last: bool,
    fault: &impl Fn(String, String) -> Untrusted,
) -> Result<(), Untrusted> {
    let (shown, quoted) = (at.display(), quoted(at));
    if meta.uid() != 0 {
        // A link's own owner is changed with -h; without it, chown changes what the link points to.
        let how = if meta.is_symlink() { "-h " } else { "" };
        let remedy = format!("Run `chown {how}root:root {quoted}` if you trust what is in it, or name another file");
        return Err(fault(format!("{shown} belongs to {}", user(meta.uid())), remedy));
    }
    let open_to_others = !meta.is_symlink() && meta.mode() & OTHERS_WRITE != 0;
    let guarded_by_sticky_bit = meta.is_dir() && !is_last && meta.mode() & STICKY != 0;
    if open_to_others && !guarded_by_sticky_bit {
        let what = format!("{shown} can be written by others (mode {:04o})", meta.mode() & 0o7777);
        if meta.mode() & STICKY != 0 {
            // As /tmp: it is meant to be so.
            return Err(fault(what, "Name another folder".into()));
        }
        let remedy = format!("Run `chmod go-w {quoted}` if you trust what is in it, or name another file");
        return Err(fault(what, remedy));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;

    const EVE: u32 = 65_534;

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    /// `root/conf/gate.toml` in a folder of root's; `None` where the tester cannot give files away.
    fn bench() -> Option<(tempfile::TempDir, PathBuf)> {
        let dir = tempfile::tempdir().unwrap();
        if !geteuid().is_root() {
            // An ordinary user's files are refused to root, and to nobody else.
            let file = dir.path().join("gate.toml");
            fs::write(&file, "").unwrap();
            assert!(examine(&file).unwrap_err().to_string().contains("belongs to"));
            assert!(check(&file).is_ok() && !acts_for_root());
            return None;
        }
        fs::create_dir(dir.path().join("conf")).unwrap();
        let file = dir.path().join("conf/gate.toml");
        fs::write(&file, "").unwrap();
        Some((dir, file))
    }

    fn refused(path: &Path, words: &[&str]) {
        let said = examine(path).unwrap_err().to_string();
        for word in words {
            assert!(said.contains(word), "{word:?} is not in: {said}");
        }
    }

    #[test]
    fn roots_own_file_is_taken_even_below_a_sticky_tmp() {
        let Some((dir, file)) = bench() else { return };
        examine(&file).unwrap();
        assert!(acts_for_root() && check(&file).is_ok());
        // A folder as /tmp on the way.
        mode(dir.path(), 0o1777);
        examine(&file).unwrap();
        // Nothing there: nothing to refuse.
        examine(&dir.path().join("conf/none.toml")).unwrap();
        // Unless somebody else could put it there before it is opened.
        refused(&dir.path().join("none/gate.toml"), &["others could put it there"]);
        mode(dir.path(), 0o700);
        examine(&dir.path().join("none/gate.toml")).unwrap();
    }

    #[test]
    fn what_others_could_have_written_is_refused_with_the_command_that_mends_it() {
        let Some((dir, file)) = bench() else { return };
        let conf = dir.path().join("conf");
        for bits in [0o660, 0o606, 0o622] {
            mode(&file, bits);
            refused(&file, &["gate.toml can be written by others", &format!("chmod go-w '{}'", file.display())]);
        }
        mode(&file, 0o644);
        for bits in [0o775, 0o757, 0o777] {
            mode(&conf, bits);
            refused(&file, &[&format!("chmod go-w '{}'", conf.display())]);
        }
        // Sticky helps on the way, not for the folder that is named itself.
        mode(&conf, 0o1777);
        examine(&file).unwrap();
        refused(&conf, &["mode 1777"]);
        mode(&conf, 0o755);

        chown(&file, Some(EVE), None).unwrap();
        refused(&file, &["belongs to", "65534", &format!("chown root:root '{}'", file.display())]);
        chown(&file, Some(0), None).unwrap();
        chown(&conf, Some(EVE), None).unwrap();
        refused(&file, &["conf belongs to"]);
        // An owner of the folder above could exchange the one below.
        chown(&conf, Some(0), None).unwrap();
        chown(dir.path(), Some(EVE), None).unwrap();
        refused(&file, &[&format!("{} belongs to", dir.path().display())]);
        // The sticky bit guards entries from everybody but the folder's owner.
        mode(dir.path(), 0o1777);
        refused(&file, &[&format!("{} belongs to", dir.path().display())]);
        chown(dir.path(), Some(0), None).unwrap();
        examine(&file).unwrap();
    }

    #[test]
    fn a_link_is_as_good_as_itself_and_everything_it_leads_through() {
        let Some((dir, file)) = bench() else { return };
        let at = |name: &str| dir.path().join(name);
        symlink("conf/gate.toml", at("link")).unwrap();
        symlink(at("conf"), at("folder")).unwrap();
        examine(&at("link")).unwrap();
        examine(&at("folder/gate.toml")).unwrap();
        examine(&at("folder/../link")).unwrap();

        lchown(at("link"), Some(EVE), None).unwrap();
        refused(&at("link"), &["link belongs to", &format!("chown -h root:root '{}'", at("link").display())]);
        lchown(at("folder"), Some(EVE), None).unwrap();
        refused(&at("folder/gate.toml"), &["folder belongs to"]);

        // Root's link through a stranger's folder back to root's own file.
        fs::create_dir(at("eves")).unwrap();
        symlink(at("conf"), at("eves/conf")).unwrap();
        symlink(at("eves/conf"), at("via")).unwrap();
        chown(at("eves"), Some(EVE), None).unwrap();
        refused(&at("via/gate.toml"), &["eves belongs to"]);
        // `..` after a link is the parent of what the link leads to, not of where it stands.
        symlink(at("eves"), at("jump")).unwrap();
        refused(&at("jump/../conf/gate.toml"), &["eves belongs to"]);

        symlink("loop", at("loop")).unwrap();
        refused(&at("loop"), &["too many links"]);
        assert!(file.exists());
    }

    #[test]
    fn a_quote_in_a_name_does_not_end_the_word_in_the_command() {
        let Some((dir, _)) = bench() else { return };
        let odd = dir.path().join("it's; rm");
        fs::write(&odd, "").unwrap();
        mode(&odd, 0o666);
        refused(&odd, &[r"it'\''s; rm'"]);
    }
}
