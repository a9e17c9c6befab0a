//! Which pictures are there, and whose: folders of people, and the pictures that a pairs file names.

use crate::args::Data;
use crate::errata::Errata;
use crate::pairs::{Pair, Pairs, Shot};
use crate::refusal::refuse;
use anyhow::Result;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// What file managers leave behind.
const LITTER: [&str; 3] = ["Thumbs.db", "desktop.ini", "__MACOSX"];
/// LFW's pictures are JPEG; the same set in another format is as good.
const ENDINGS: [&str; 6] = ["jpg", "jpeg", "png", "webp", "bmp", "gif"];

/// One picture file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Where it is.
    pub path: PathBuf,
    /// Whose: an index into [`Listing::people`].
    pub person: u32,
}

/// Two listed pictures that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPair {
    /// Indices into [`Listing::pictures`].
    pub pictures: [u32; 2],
    /// Whether both show the same person.
    pub genuine: bool,
    /// Which fold.
    pub fold: usize,
}

/// All pictures that a measurement is about.
#[derive(Debug, Default)]
pub struct Listing {
    /// Names; folders of the same name are the same person.
    pub people: Vec<String>,
    /// Each file once.
    pub pictures: Vec<Picture>,
    /// The listed pairs whose pictures are there; `None` without a pairs file.
    pub pairs: Option<Vec<ListedPair>>,
    /// Folds of the pairs file.
    pub folds: usize,
    /// Listed pairs that name a missing picture.
    pub pairs_without_picture: usize,
    /// Pictures that the pairs file names and that are not there, for a person to read.
    pub missing: Vec<String>,
    /// Folders without a picture, and files outside of any person's folder.
    pub left_out: Vec<PathBuf>,
    /// Listed pairs whose label is known to be wrong.
    pub pairs_in_errata: usize,
    /// Label errors that are corrected.
    pub errata: Errata,
    place_of_person: HashMap<String, u32>,
    place_of_file: HashMap<PathBuf, u32>,
}

impl Listing {
    /// Lists what the command line names.
    ///
    /// # Errors
    /// A refusal when a folder or the pairs file cannot be read, and when nothing can be measured with what is there.
    pub fn read(data: &Data) -> Result<Self> {
        let errata = data.errata.as_deref().map(Errata::read).transpose()?.unwrap_or_default();
        let mut listing = Self { errata, ..Self::default() };
        match (&data.pairs, &data.images) {
            (Some(pairs), Some(images)) => listing.add_pairs(pairs, images)?,
            (None, None) if data.people.is_none() => {
                return Err(refuse("name the pictures: --people DIR, or --pairs FILE --images DIR"));
            }
            _ => {}
        }
        if let Some(people) = &data.people {
            listing.add_people(people)?;
        }
        if listing.pictures.is_empty() {
            let missing = listing.missing.first().map(|first| format!(" (the first: {first})")).unwrap_or_default();
            let where_ = data.people.as_ref().or(data.images.as_ref()).map(|p| p.display().to_string());
            return Err(refuse(format!(
                "{}: no picture is there{missing}; a folder for each person is expected, with pictures in it",
                where_.unwrap_or_default()
            )));
        }
        Ok(listing)
    }

    /// Refuses what has no impostors.
    ///
    /// # Errors
    /// With one person only.
    pub fn several_people(&self) -> Result<()> {
        match self.people.as_slice() {
            [only] => Err(refuse(format!(
                "only one person is there ({only}): error rates need pictures of two people at least, and of many to say much"
            ))),
            _ => Ok(()),
        }
    }

    fn add_pairs(&mut self, file: &Path, images: &Path) -> Result<()> {
        let text = fs::read(file).map_err(|error| refuse(format!("--pairs {}: {error}", file.display())))?;
        let Ok(text) = String::from_utf8(text) else {
            return Err(refuse(format!("--pairs {}: it is not a text file in UTF-8", file.display())));
        };
        let Pairs { pairs, folds } =
            Pairs::parse(&text).map_err(|error| refuse(format!("--pairs {}, {error}", file.display())))?;
        if !images.is_dir() {
            return Err(refuse(format!("--images {}: there is no such folder", images.display())));
        }
        let mut shots: BTreeMap<&Shot, Option<u32>> = BTreeMap::new();
        for shot in pairs.iter().flat_map(|pair| [&pair.a, &pair.b]) {
            shots.insert(shot, None);
        }
        for (shot, place) in &mut shots {
            match find(images, shot) {
                Some(path) if self.errata.is_wrong(&path) => {}
                Some(path) => *place = Some(self.add(&shot.name, path)),
                None => self.missing.push(shot.to_string()),
            }
        }
        let place = |shot: &Shot| shots.get(shot).copied().flatten();
        let wrong = |shot: &Shot| self.errata.is_wrong(Path::new(&format!("{shot}.")));
        let same = |pair: &&Pair| self.errata.name(&pair.a.name) == self.errata.name(&pair.b.name);
        let (right, mislabelled): (Vec<&Pair>, Vec<&Pair>) =
            pairs.iter().partition(|pair| !wrong(&pair.a) && !wrong(&pair.b) && same(pair) == pair.genuine);
        let there: Vec<ListedPair> = right
            .iter()
            .filter_map(|pair| {
                let pictures = [place(&pair.a)?, place(&pair.b)?];
                Some(ListedPair { pictures, genuine: pair.genuine, fold: pair.fold })
            })
            .collect();
        self.pairs_without_picture = right.len() - there.len();
        self.pairs_in_errata = mislabelled.len();
        self.pairs = Some(there);
        self.folds = folds;
        Ok(())
    }

    fn add_people(&mut self, folder: &Path) -> Result<()> {
        for path in entries(folder)? {
            let name = path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
            let Some(name) = name.filter(|_| path.is_dir()) else {
                self.left_out.push(path);
                continue;
            };
            let files: Vec<PathBuf> = entries(&path)?.into_iter().filter(|path| path.is_file()).collect();
            if files.is_empty() {
                self.left_out.push(path);
            }
            for file in files.into_iter().filter(|file| !self.errata.is_wrong(file)).collect::<Vec<_>>() {
                self.add(&name, file);
            }
        }
        Ok(())
    }

    /// The place of a picture, which may be there already.
    fn add(&mut self, name: &str, path: PathBuf) -> u32 {
        let file = fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        if let Some(place) = self.place_of_file.get(&file) {
            return *place;
        }
        let people = &mut self.people;
        let name = self.errata.name(name);
        let person = *self.place_of_person.entry(name.to_owned()).or_insert_with(|| {
            people.push(name.to_owned());
            people.len() as u32 - 1
        });
        let place = self.pictures.len() as u32;
        self.pictures.push(Picture { path, person });
        self.place_of_file.insert(file, place);
        place
    }
}

fn find(images: &Path, shot: &Shot) -> Option<PathBuf> {
    let folder = images.join(&shot.name);
    ENDINGS.iter().map(|ending| folder.join(format!("{shot}.{ending}"))).find(|path| path.is_file())
}

/// What lies in a folder, by name, without litter.
///
/// # Errors
/// A refusal when it cannot be read.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |error: std::io::Error| refuse(format!("{}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && !LITTER.iter().any(|litter| name == *litter) {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
