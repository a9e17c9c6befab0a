//! Labelled clips on disk: a folder for each attack species, one named `bona_fide`, people below if they are told apart.
//!
//! ```text
//!  DIR/bona_fide/walk.mp4            a clip: a video, a GIF, a picture, or a folder of pictures
//!  DIR/phone/ana/01.mp4              the same with the person's name: a folder that holds clips
//!  DIR/print/ana/02/000000.jpg
//! ```

use crate::refusal::refuse;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of live presentations.
pub const BONA_FIDE: &str = "bona_fide";

const PICTURES: [&str; 6] = ["jpg", "jpeg", "png", "bmp", "webp", "ppm"];
const FILMS: [&str; 10] = ["mp4", "mov", "m4v", "mkv", "webm", "avi", "gif", "mpg", "mpeg", "ts"];

/// One presentation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clip {
    /// The folder's name: `bona_fide` or an attack species.
    pub species: String,
    /// Whose face it is: the folder's name, or the clip's own where people are not told apart.
    pub person: String,
    /// File or folder.
    pub path: PathBuf,
}

impl Clip {
    /// Whether a live person stands there.
    #[must_use]
    pub fn is_bona_fide(&self) -> bool {
        self.species == BONA_FIDE
    }

    /// Whether it is one picture, which is looked at as a clip that stands still.
    #[must_use]
    pub fn is_picture(&self) -> bool {
        self.path.is_file() && has_ending(&self.path, &PICTURES)
    }
}

/// Every clip below `folder`, in order.
///
/// # Errors
/// When the folder cannot be read, or holds no clips where they belong.
pub fn list(folder: &Path) -> Result<Vec<Clip>> {
    let mut clips = Vec::new();
    for species in entries(folder)?.into_iter().filter(|path| path.is_dir()) {
        let name = name_of(&species);
        for entry in entries(&species)? {
            if is_clip(&entry)? {
                clips.push(Clip { species: name.clone(), person: format!("{name}/{}", stem_of(&entry)), path: entry });
            } else if entry.is_dir() {
                let person = name_of(&entry);
                for inner in entries(&entry)? {
                    if is_clip(&inner)? {
                        clips.push(Clip { species: name.clone(), person: person.clone(), path: inner });
                    }
                }
            }
        }
    }
    if clips.is_empty() {
        let form = "it takes a folder for each attack species and one named bona_fide, each with videos, GIFs, pictures or \
                    folders of pictures";
        return Err(refuse(format!("{}: no clips there; {form}", folder.display())));
    }
    clips.sort();
    Ok(clips)
}

/// Whether this is one presentation: a film, a picture, or a folder with nothing but pictures in it.
fn is_clip(path: &Path) -> Result<bool> {
    if path.is_file() {
        return Ok(has_ending(path, &PICTURES) || has_ending(path, &FILMS));
    }
    let inside = entries(path)?;
    // One picture of each person in a person's folder would look the same: frames are numbered, people's pictures are not.
    let frame = |p: &PathBuf| has_ending(p, &PICTURES) && stem_of(p).bytes().all(|b| b.is_ascii_digit());
    Ok(!inside.is_empty() && inside.iter().all(frame))
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut all = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    all.retain(|path| !name_of(path).starts_with('.'));
    all.sort();
    Ok(all)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|e| e.to_str()).unwrap_or("").to_ascii_lowercase();
    endings.contains(&ending.as_str())
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn stem_of(path: &Path) -> String {
    path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn species_people_and_clips_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let touch = |path: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        };
        for path in
            ["bona_fide/a.mp4", "bona_fide/ana/1.gif", "phone/ana/2/0001.jpg", "phone/ana/2/0002.jpg", "print/x.PNG"]
        {
            touch(path);
        }
        touch("bona_fide/notes.txt");
        let found = list(dir.path()).unwrap();
        let short: Vec<_> = found.iter().map(|c| (c.species.as_str(), c.person.as_str())).collect();
        assert_eq!(short, [("bona_fide", "ana"), ("bona_fide", "bona_fide/a"), ("phone", "ana"), ("print", "print/x")]);
        assert!(found[3].is_picture() && !found[2].is_picture());
        let empty = tempfile::tempdir().unwrap();
        assert!(list(empty.path()).unwrap_err().to_string().contains("bona_fide"));
    }
}
