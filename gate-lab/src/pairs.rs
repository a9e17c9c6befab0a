//! LFW's pairs files: which pictures are compared, and whether they show one person.
//!
//! ```text
//! View 1   500                     N genuine lines, then N impostor lines
//! View 2   10  300                 ten folds, each of 300 genuine lines, then 300 impostor lines
//! genuine  Abdullah_Gul  13  14    two pictures of one person
//! impostor Ana_Paz  1  Lea_Roth 2  pictures of two people
//! ```
//! Fields are separated by tabs or blanks. Anything else is a file of another form, and is refused by line: a label taken
//! for another would not be noticed later.

use std::fmt;

/// Most pairs in a file.
const PAIRS_MAX: usize = 10_000_000;

/// One picture, as a pairs file names it: `Name/Name_0001`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shot {
    /// The person.
    pub name: String,
    /// Which of the person's pictures, counted from 1.
    pub number: u32,
}

/// Two pictures to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// One.
    pub a: Shot,
    /// The other.
    pub b: Shot,
    /// Whether both show the same person.
    pub genuine: bool,
    /// Which fold, counted from 0.
    pub fold: usize,
}

/// A pairs file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pairs {
    /// As listed.
    pub pairs: Vec<Pair>,
    /// 1 for a file without folds.
    pub folds: usize,
}

/// Why a file is none. The message begins with the line.
#[derive(Debug, PartialEq, Eq)]
pub struct BadPairs {
    line: usize,
    why: String,
}

impl fmt::Display for BadPairs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl fmt::Display for Shot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{:04}", self.name, self.number)
    }
}

impl Pairs {
    /// Reads a file of either view.
    ///
    /// # Errors
    /// With the line, what was expected there and what was found.
    pub fn parse(text: &str) -> Result<Self, BadPairs> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines: Vec<(usize, &str)> = text
            .lines()
            .enumerate()
            .map(|(i, line)| (i + 1, line.trim()))
            .filter(|(_, line)| !line.is_empty())
            .collect();
        let Some(((at, header), rest)) = lines.split_first() else {
            return Err(BadPairs { line: 1, why: format!("the file is empty; {HEADER}") });
        };
        let (folds, each) = read_header(header).map_err(|why| BadPairs { line: *at, why })?;
        let wanted = folds * each * 2;
        let mut pairs = Vec::with_capacity(rest.len().min(wanted));
        for (index, (line, text)) in rest.iter().enumerate() {
            let bad = |why: String| BadPairs { line: *line, why };
            if index == wanted {
                return Err(bad(format!("the header promises {wanted} pairs, and there are more: {}", quote(text))));
            }
            let (fold, genuine) = (index / (each * 2), index % (each * 2) < each);
            let (a, b) = read_pair(text, genuine).map_err(bad)?;
            pairs.push(Pair { a, b, genuine, fold });
        }
        if pairs.len() < wanted {
            let line = rest.last().map_or(*at, |(line, _)| *line);
            let why = format!("the header promises {wanted} pairs, and the file ends after {}", pairs.len());
            return Err(BadPairs { line, why });
        }
        Ok(Self { pairs, folds })
    }
}

const HEADER: &str =
    "expected a header: the number of genuine (and of impostor) pairs, or the number of folds and that";

/// Folds, and pairs of each kind in one.
fn read_header(text: &str) -> Result<(usize, usize), String> {
    let numbers: Option<Vec<usize>> = text.split_whitespace().map(|field| field.parse().ok()).collect();
    let found = match numbers.as_deref() {
        Some(&[each]) => Some((1, each)),
        Some(&[folds, each]) => Some((folds, each)),
        _ => None,
    };
    let sound = |&(folds, each): &(usize, usize)| {
        folds > 0 && each > 0 && folds.checked_mul(each).is_some_and(|n| n <= PAIRS_MAX / 2)
    };
    found.filter(sound).ok_or_else(|| format!("{HEADER}; found {}", quote(text)))
}

fn read_pair(text: &str, genuine: bool) -> Result<(Shot, Shot), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let (a, b) = match (genuine, fields.as_slice()) {
        (true, [name, i, j]) => (shot(name, i)?, shot(name, j)?),
        (false, [name, i, other, j]) => (shot(name, i)?, shot(other, j)?),
        (true, _) => return Err(format!("expected a genuine pair, NAME NUMBER NUMBER; found {}", quote(text))),
        (false, _) => return Err(format!("expected an impostor pair, NAME NUMBER NAME NUMBER; found {}", quote(text))),
    };
    if !genuine && a.name == b.name {
        return Err(format!("expected two different people; found {} twice", a.name));
    }
    if a == b {
        return Err(format!("expected two different pictures; found {a} twice"));
    }
    Ok((a, b))
}

fn shot(name: &str, number: &str) -> Result<Shot, String> {
    // A name becomes a path.
    if name.contains(['/', '\\']) || name.starts_with('.') {
        return Err(format!("expected the name of a person's folder; found {}", quote(name)));
    }
    match number.parse() {
        Ok(number) if number > 0 => Ok(Shot { name: name.to_owned(), number }),
        _ => Err(format!("expected the number of a picture of {name}, from 1; found {}", quote(number))),
    }
}

/// What was found, short enough for a message.
fn quote(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    if short.len() < text.len() { format!("{short:?}...") } else { format!("{short:?}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> String {
        Pairs::parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn view_1_with_tabs_and_odd_names() {
        let text = "2\nAbdullah_Gul\t13\t14\nJean-Pierre_2nd\t1\t2\nA\t1\tB\t2\nA\t2\tC\t1\n";
        let got = Pairs::parse(text).unwrap();
        assert_eq!((got.pairs.len(), got.folds), (4, 1));
        assert_eq!(got.pairs.iter().map(|p| p.genuine).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(got.pairs[1].b, Shot { name: "Jean-Pierre_2nd".into(), number: 2 });
        assert_eq!(got.pairs[2].b.to_string(), "B_0002");
    }

    #[test]
    fn view_2_has_folds_and_blanks_do_as_well() {
        let text = "\u{feff}2 1\r\nA 1 2\r\nA 1 B 2\r\n\r\nC 1 2\r\nC 1 A 3\r\n";
        let got = Pairs::parse(text).unwrap();
        assert_eq!(got.folds, 2);
        let seen: Vec<_> = got.pairs.iter().map(|p| (p.fold, p.genuine)).collect();
        assert_eq!(seen, [(0, true), (0, false), (1, true), (1, false)]);
    }

    #[test]
    fn a_file_of_another_form_is_refused_by_line() {
        assert!(why("").starts_with("line 1: the file is empty"));
        assert!(why("name,imagenum1,imagenum2,\nA,1,4,\n").starts_with("line 1: expected a header"));
        assert!(why("0\n").starts_with("line 1: expected a header"));
        assert!(why("18446744073709551615 2\n").starts_with("line 1: expected a header"));
        assert!(why("1\nA 1 2\nA 1\n").contains("line 3: expected an impostor pair"));
        assert!(why("1\nA 1 B 2\nA 1 2\n").contains("line 2: expected a genuine pair, NAME NUMBER NUMBER"));
        assert!(why("1\nA 1 two\nA 1 B 2\n").contains("found \"two\""));
        assert!(why("1\nA 0 2\nA 1 B 2\n").contains("from 1"));
        assert!(why("1\n../etc 1 2\nA 1 B 2\n").contains("folder"));
    }

    #[test]
    fn too_few_too_many_and_contradictions_are_refused() {
        assert!(why("2\nA 1 2\n").contains("promises 4 pairs, and the file ends after 1"));
        assert!(
            why("1\nA 1 2\nA 1 B 1\nA 2 B 1\n").contains("line 4: the header promises 2 pairs, and there are more")
        );
        assert!(why("1\nA 1 2\nA 1 A 2\n").contains("two different people"));
        assert!(why("1\nA 1 1\nA 1 B 2\n").contains("two different pictures"));
    }
}
