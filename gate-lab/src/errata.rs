//! Label errors of a data set, written down: what is wrong is left out by name, in the open.
//!
//! ```text
//! # anything after a number sign is for people to read
//! same  Joseph_Blatter Sepp_Blatter          one person under two names
//! wrong Recep_Tayyip_Erdogan_0004            a picture that shows somebody else: left out
//! ```

use crate::refusal::refuse;
use anyhow::Result;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// What a file of label errors says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Errata {
    /// Second name -> first name.
    same: HashMap<String, String>,
    /// File names without their ending.
    wrong: HashSet<String>,
}

impl Errata {
    /// Reads a file.
    ///
    /// # Errors
    /// A refusal with the line, when it is of another form.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| refuse(format!("--errata {}: {e}", path.display())))?;
        Self::parse(&text).map_err(|why| refuse(format!("--errata {}, {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut errata = Self::default();
        for (number, line) in text.lines().enumerate() {
            let said = line.split('#').next().unwrap_or_default();
            match said.split_whitespace().collect::<Vec<_>>().as_slice() {
                [] => {}
                ["same", one, other] if one != other => {
                    errata.same.insert((*other).into(), (*one).into());
                }
                ["wrong", picture] => {
                    errata.wrong.insert((*picture).into());
                }
                _ => {
                    let number = number + 1;
                    return Err(format!(
                        "line {number}: {line:?} is neither \"same NAME NAME\" nor \"wrong NAME_NUMBER\""
                    ));
                }
            }
        }
        Ok(errata)
    }

    /// The name under which somebody's pictures are taken together.
    #[must_use]
    pub fn name<'a>(&'a self, name: &'a str) -> &'a str {
        self.same.get(name).map_or(name, String::as_str)
    }

    /// Whether a picture shows somebody else than its label says.
    #[must_use]
    pub fn is_wrong(&self, picture: &Path) -> bool {
        picture.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| self.wrong.contains(stem))
    }

    /// How many corrections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.same.len() + self.wrong.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_joined_pictures_left_out_and_anything_else_is_refused_with_its_line() {
        let errata = Errata::parse("# labels\nsame A_B B_A # turned round\n\n wrong C_0004\n").unwrap();
        assert_eq!((errata.name("B_A"), errata.name("A_B"), errata.name("D")), ("A_B", "A_B", "D"));
        assert!(errata.is_wrong(Path::new("x/C_0004.jpg")) && !errata.is_wrong(Path::new("x/C_0005.jpg")));
        assert_eq!(errata.len(), 2);
        assert!(Errata::parse("same A B\nA B\n").unwrap_err().starts_with("line 2"));
        assert!(Errata::parse("same A A").is_err());
    }
}
