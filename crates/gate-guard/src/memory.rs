//! Keys and templates stay in this process: no core dump, no debugger, no swap for keys.

use std::fmt;
use std::io;
use std::sync::Once;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Larger than any page of the systems we run on (4 kB; a Raspberry Pi 5 has 16 kB), so that a locked value shares
/// its pages with nothing. A page's lock is not counted: unlocking a neighbour would unlock it, too.
#[repr(align(65536))]
struct Alone<T>(Option<T>);

/// Makes core dumps and debuggers of other processes of the same user impossible, for good. To be called first in
/// `main`. Children that run another program get the core limit, and decide about debuggers for themselves.
///
/// # Errors
/// What the system says.
pub fn keep_private() -> io::Result<()> {
    nix::sys::prctl::set_dumpable(false)?;
    Ok(setrlimit(Resource::RLIMIT_CORE, 0, 0)?)
}

/// Lets this process open as many files as the system allows, and returns that number.
///
/// # Errors
/// What the system says.
pub fn raise_open_files() -> io::Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

/// A secret on pages of its own that are never swapped out. The value must wipe itself when dropped, as `Zeroizing`
/// does; it is dropped before its pages are unlocked.
///
/// Where the system refuses to lock (`RLIMIT_MEMLOCK`, a seccomp filter), that is logged once and the value is kept
/// as it is. The gate's service does not depend on it: its unit forbids swapping altogether.
pub struct Locked<T> {
    /// Dropped first of the fields, while the pages are still there.
    _lock: Option<region::LockGuard>,
    page: Box<Alone<T>>,
}

impl<T> Locked<T> {
    /// Moves `value` to locked pages. Fill in the secret afterwards where that is possible: moving may leave a copy on
    /// the stack.
    #[must_use]
    pub fn new(value: T) -> Self {
        static TOLD: Once = Once::new();
        let page = Box::new(Alone(Some(value)));
        let lock = region::lock(&raw const *page, size_of::<Option<T>>());
        if let Err(error) = &lock {
            TOLD.call_once(|| {
                tracing::warn!(
                    "the site key cannot be locked into memory ({error}): raise `ulimit -l`, or switch swap off"
                );
            });
        }
        Self { _lock: lock.ok(), page }
    }

    /// The value.
    ///
    /// # Panics
    /// Never: the value leaves only when this is dropped.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn get(&self) -> &T {
        self.page.0.as_ref().expect("the value is there until the drop")
    }

    /// The value, to fill in the secret.
    ///
    /// # Panics
    /// Never: the value leaves only when this is dropped.
    #[must_use]
    #[allow(clippy::expect_used)]
    pub fn get_mut(&mut self) -> &mut T {
        self.page.0.as_mut().expect("the value is there until the drop")
    }
}

impl<T> Drop for Locked<T> {
    fn drop(&mut self) {
        // Wiped while it is still locked; the fields follow, the lock first.
        self.page.0 = None;
    }
}

impl<T> fmt::Debug for Locked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(..)")
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    /// Kilobytes of this process that are locked.
    fn locked_kb() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn a_secret_is_locked_alone_and_unlocked_after_it_was_wiped() {
        let before = locked_kb();
        let mut one = Locked::new(Zeroizing::new([0u8; 32]));
        let other = Locked::new(Zeroizing::new([7u8; 32]));
        one.get_mut()[0] = 9;
        assert_eq!((one.get()[0], other.get()[0]), (9, 7));
        assert_eq!(format!("{one:?}"), "Locked(..)");
        let both = locked_kb();
        assert!(both > before, "{both} kB are locked, {before} kB before");
        drop(other);
        let left = locked_kb();
        assert!(before < left && left < both, "one of the two is left: {before}, {left}, {both} kB");
        assert_eq!(one.get()[0], 9);
        drop(one);
        assert_eq!(locked_kb(), before);
    }

    #[test]
    fn a_value_is_dropped_once_before_its_pages_go() {
        use std::rc::Rc;
        let counted = Rc::new(());
        let locked = Locked::new(Rc::clone(&counted));
        assert_eq!(Rc::strong_count(&counted), 2);
        drop(locked);
        assert_eq!(Rc::strong_count(&counted), 1);
    }
}
