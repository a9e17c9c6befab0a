//! Whom an import names: a folder of pictures, or a CSV file.
//!
//! One line or one file that makes no sense is refused by itself; the others go on.

use crate::desk::plain_file;
use crate::enrol::admission;
use crate::refusal::{Refusal, refuse};
use crate::when::{When, Zone};
use anyhow::Result;
use csv::{ByteRecord, ReaderBuilder, Trim};
use gate_core::reason::Reason;
use gate_store::Admission;
use serde::Serialize;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Longest CSV file, bytes: a million people.
const CSV_MAX_BYTES: u64 = 64 << 20;
/// What file managers leave behind.
const LITTER: [&str; 3] = ["Thumbs.db", "desktop.ini", "__MACOSX"];
const HEADINGS: [&str; 5] = ["id", "name", "photo", "valid_from", "valid_until"];

/// Somebody to enrol.
#[derive(Debug)]
pub struct Planned {
    /// The id.
    pub id: String,
    /// The name.
    pub name: String,
    /// Whether and when they may come in.
    pub admission: Admission,
    /// Pictures; each becomes a reference.
    pub photos: Vec<PathBuf>,
}

/// What was not taken, and what to do about it.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The picture, or the line of the CSV file.
    pub file: String,
    /// Whose it is.
    pub id: Option<String>,
    /// The typed reason when it is the face.
    pub reason: Option<Reason>,
    /// For people.
    pub advice: String,
}

impl Refused {
    /// From a refusal of `file`.
    #[must_use]
    pub fn new(file: String, id: Option<&str>, refusal: &Refusal) -> Self {
        // The message begins with the file's name, which stands beside it here.
        let advice = refusal.message.strip_prefix(&format!("{file}: ")).unwrap_or(&refusal.message).to_owned();
        Self { file, id: id.map(str::to_owned), reason: refusal.reason, advice }
    }
}

/// Everybody named, and what makes no sense.
#[derive(Debug, Default)]
pub struct List {
    /// In order; each id once.
    pub people: Vec<Planned>,
    /// Lines and files.
    pub refused: Vec<Refused>,
    places: HashMap<String, usize>,
}

/// Reads a folder or a CSV file.
///
/// # Errors
/// A refusal when it names nobody at all, or is neither.
pub fn read(source: &Path, zone: &Zone) -> Result<List> {
    let list = if source.is_dir() { read_folder(source)? } else { read_csv(source, zone)? };
    if list.people.is_empty() && list.refused.is_empty() {
        let advice = "names nobody: see `enroll-tool import --help` for what it must hold";
        return Err(refuse(format!("{} {advice}", source.display())));
    }
    Ok(list)
}

impl List {
    /// Adds pictures of a person, who may be there already.
    fn add(&mut self, planned: Planned) -> std::result::Result<(), String> {
        let Some(place) = self.places.get(&planned.id) else {
            self.places.insert(planned.id.clone(), self.people.len());
            self.people.push(planned);
            return Ok(());
        };
        let person = &mut self.people[*place];
        if person.name != planned.name || person.admission != planned.admission {
            return Err(format!("the id `{}` stands above with another name or validity", planned.id));
        }
        person.photos.extend(planned.photos);
        Ok(())
    }
}

fn read_folder(folder: &Path) -> Result<List> {
    let mut list = List::default();
    for path in entries(folder)? {
        let is_folder = path.is_dir();
        let id = if is_folder { path.file_name() } else { path.file_stem() };
        let Some(id) = id.and_then(|id| id.to_str()).map(str::to_owned) else {
            list.refused.push(refused(&path, "a name that is not UTF-8: rename it"));
            continue;
        };
        let photos = if is_folder { entries(&path)? } else { vec![path.clone()] };
        if photos.is_empty() {
            list.refused.push(refused(&path, "an empty folder: put a picture of the person in it"));
            continue;
        }
        if let Err(why) = list.add(Planned { name: id.clone(), id, admission: Admission::default(), photos }) {
            list.refused.push(refused(&path, &why));
        }
    }
    Ok(list)
}

fn refused(path: &Path, advice: &str) -> Refused {
    Refused { file: path.display().to_string(), id: None, reason: None, advice: advice.to_owned() }
}

/// What lies in a folder, by name, without litter.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
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

fn read_csv(file: &Path, zone: &Zone) -> Result<List> {
    plain_file(file)?;
    let fault = |why: String| refuse(format!("{}: {why}", file.display()));
    if fs::metadata(file).is_ok_and(|meta| meta.len() > CSV_MAX_BYTES) {
        return Err(fault(format!("larger than {} MB: import it in parts", CSV_MAX_BYTES >> 20)));
    }
    let bytes = fs::read(file).map_err(|error| fault(error.to_string()))?;
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
    let heading = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    // Spreadsheets of many countries write semicolons.
    let delimiter = if heading.contains(&b';') && !heading.contains(&b',') { b';' } else { b',' };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(Trim::All).from_reader(bytes);
    let columns = Columns::find(reader.byte_headers().map_err(|error| fault(error.to_string()))?).map_err(fault)?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut list = List::default();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record).map_err(|error| fault(error.to_string()))? {
        let line = record.position().map_or(0, |position| line_of(bytes, position));
        if let Err(advice) = columns.planned(&record, folder, zone).and_then(|planned| list.add(planned)) {
            let id = columns.text(&record, 0).ok().filter(|id| !id.is_empty()).map(str::to_owned);
            list.refused.push(Refused { file: format!("{}:{line}", file.display()), id, reason: None, advice });
        }
    }
    Ok(list)
}

/// The line a record stands on: the reader's position is before the line ends that it passed over.
fn line_of(bytes: &[u8], position: &csv::Position) -> usize {
    let rest = usize::try_from(position.byte()).ok().and_then(|at| bytes.get(at..)).unwrap_or_default();
    let passed = rest.iter().take_while(|byte| b"\r\n".contains(byte)).filter(|byte| **byte == b'\n').count();
    position.line() as usize + passed
}

/// Where each heading stands, in the order of [`HEADINGS`].
struct Columns([Option<usize>; HEADINGS.len()]);

impl Columns {
    fn find(headings: &ByteRecord) -> std::result::Result<Self, String> {
        let mut found = [None; HEADINGS.len()];
        for (column, heading) in headings.iter().enumerate() {
            let name = String::from_utf8_lossy(heading).to_ascii_lowercase();
            // A misspelt `valid_until` would admit somebody for ever.
            let known = HEADINGS.iter().position(|known| *known == name);
            let known = known.ok_or_else(|| {
                format!("the heading {name:?} is none of {}: the first line must be these", HEADINGS.join(","))
            })?;
            found[known] = Some(column);
        }
        match found[..3].iter().position(Option::is_none) {
            Some(missing) => Err(format!(
                "the heading {:?} is missing: the first line must be id,name,photo[,valid_from,valid_until]",
                HEADINGS[missing]
            )),
            None => Ok(Self(found)),
        }
    }

    /// A cell, empty when the line is shorter.
    fn text<'a>(&self, record: &'a ByteRecord, heading: usize) -> std::result::Result<&'a str, String> {
        let cell = self.0[heading].and_then(|column| record.get(column)).unwrap_or_default();
        std::str::from_utf8(cell).map_err(|_| format!("{} is not UTF-8: save the file as UTF-8", HEADINGS[heading]))
    }

    fn planned(&self, record: &ByteRecord, folder: &Path, zone: &Zone) -> std::result::Result<Planned, String> {
        let needed = |heading| match self.text(record, heading)? {
            "" => Err(format!("no {} in this line", HEADINGS[heading])),
            text => Ok(text),
        };
        let when = |heading| match self.text(record, heading)? {
            "" => Ok(None),
            text => When::parse(text).map(Some).map_err(|why| format!("{} {text:?}: {why}", HEADINGS[heading])),
        };
        let (from, until) = (when(3)?, when(4)?);
        let admission = admission(zone, Admission::ALWAYS, from, until).map_err(|error| error.to_string())?;
        let photos = vec![folder.join(needed(2)?)];
        Ok(Planned { id: needed(0)?.to_owned(), name: needed(1)?.to_owned(), admission, photos })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gate_site::Site;

    fn csv(text: &[u8]) -> Result<List> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("people.csv");
        fs::write(&file, text).unwrap();
        read(&file, &Zone::of_site(&Site::load(None, None).unwrap()))
    }

    #[test]
    fn one_bad_line_is_refused_by_itself_with_its_number() {
        let list =
            csv(b"id,name,photo,valid_until\nana,Ana,a.jpg,2026-12-31\nbob,Bob\n\ncy,Cy,c.jpg,soon\ndi,D\xe9,d.jpg\n\
                         ana,Ana,b.jpg,2026-12-31\nana,Anna,c.jpg\nzoe,Zo\xc3\xab,z.jpg,\n")
            .unwrap();
        let people: Vec<_> = list.people.iter().map(|p| (p.id.as_str(), p.name.as_str(), p.photos.len())).collect();
        assert_eq!(people, [("ana", "Ana", 2), ("zoe", "Zoë", 1)]);
        assert!(list.people[0].admission.until.is_some() && list.people[1].admission == Admission::default());
        let refused: Vec<_> = list.refused.iter().map(|r| (r.id.as_deref().unwrap(), r.advice.as_str())).collect();
        for ((id, advice), (want_id, part)) in refused.iter().zip([
            ("bob", "no photo"),
            ("cy", "valid_until \"soon\": write a day as"),
            ("di", "not UTF-8"),
            ("ana", "stands above"),
        ]) {
            assert!(*id == want_id && advice.contains(part), "{id}: {advice}");
        }
        assert_eq!(refused.len(), 4);
        assert!(list.refused[1].file.ends_with("people.csv:5"), "{}", list.refused[1].file);
    }

    #[test]
    fn spreadsheets_marks_and_semicolons_are_understood() {
        let list = csv("\u{feff}ID;Name;Photo\r\nana;\"Silva; Ana\";a.jpg\r\n\r\nbob\r\n".as_bytes()).unwrap();
        assert!(list.refused[0].file.ends_with("people.csv:4"), "{}", list.refused[0].file);
        assert_eq!((list.people[0].id.as_str(), list.people[0].name.as_str()), ("ana", "Silva; Ana"));
    }

    #[test]
    fn wrong_headings_and_empty_files_are_refused() {
        for (text, part) in [
            ("id,name\nana,Ana\n", "\"photo\" is missing"),
            ("id,name,photo,valid_untl\n", "\"valid_untl\" is none of"),
            ("id,name,photo\n", "names nobody"),
            ("", "\"id\" is missing"),
        ] {
            let error = csv(text.as_bytes()).unwrap_err();
            assert!(error.is::<Refusal>() && error.to_string().contains(part), "{error}");
        }
    }
}
