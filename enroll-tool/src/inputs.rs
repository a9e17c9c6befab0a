//! Pictures that staff hand in.
//!
//! Before root touches the store, it becomes the store's owner, and that user may not read the staff's pictures. So
//! they are opened beforehand and read through the open files.

use crate::desk::{Desk, plain};
use crate::refusal::refuse;
use anyhow::{Context, Result, bail};
use gate_guard::{memory, owner};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the system keeps for libraries, models and the store.
const SPARE_FILES: u64 = 64;

static HELD: Mutex<Option<HashMap<PathBuf, File>>> = Mutex::new(None);

/// Opens the pictures, where opening the store means becoming another user. A picture that cannot be opened is refused
/// in its turn, when it is read.
///
/// # Errors
/// When there are more pictures than files that may be open.
pub fn hold<P: AsRef<Path>>(desk: &Desk, pictures: impl IntoIterator<Item = P>) -> Result<()> {
    if !owner::belongs_to_another(desk.site.store_dir()) {
        return Ok(());
    }
    let most = memory::raise_open_files().context("the number of files that may be open cannot be raised")?;
    let mut held = HashMap::new();
    for picture in pictures {
        if held.len() as u64 + SPARE_FILES >= most {
            bail!(
                "these are more pictures than files that may be open ({most}): hand them in in several parts, or run \
                 this as the owner of {}",
                desk.site.store_dir().display()
            );
        }
        let picture = picture.as_ref();
        if let Ok(file) = open_now(picture) {
            held.insert(picture.to_path_buf(), file);
        }
    }
    *HELD.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
    Ok(())
}

/// A picture to read: one that was opened beforehand, or opened now.
///
/// # Errors
/// A refusal: whatever is wrong with it, it is bad input.
pub fn open(picture: &Path) -> Result<File> {
    let held = HELD.lock().unwrap_or_else(PoisonError::into_inner);
    let file = match held.as_ref().and_then(|held| held.get(picture)) {
        Some(file) => file.try_clone(),
        None => open_now(picture),
    };
    let opened = file.and_then(|file| Ok((file.metadata()?, file)));
    let (meta, file) = opened.map_err(|error| refuse(format!("{}: {error}", picture.display())))?;
    plain(picture, &meta)?;
    Ok(file)
}

/// Without waiting: the open of a pipe would not return before somebody opens its other end.
fn open_now(picture: &Path) -> io::Result<File> {
    gate_guard::files::open_any(picture)
}
