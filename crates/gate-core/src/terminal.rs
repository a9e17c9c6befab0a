//! Text from outside on a terminal: names, file names, cells, settings, devices' names.
//!
//! A terminal obeys what it is sent. An escape sequence can recolour, move or erase what stands there, a line break can make up a
//! line, and a mark of direction can show `resu` for `user`. So programs print such text by [`line()`] and [`lines()`] only, which
//! write each of these characters as JSON would: `\u001b`. JSON itself stays JSON, with the same values.

use core::fmt::{self, Display, Formatter};

/// Whether a terminal may take this character for a command, a line's end or a change of direction.
#[must_use]
pub const fn is_command(c: char) -> bool {
    matches!(c,
        // C0 and C1 control characters and DEL: escape sequences begin with one of them.
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Marks, embeddings, overrides and isolates of direction (Unicode Standard Annex 9).
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
        // Line and paragraph separators.
        | '\u{2028}' | '\u{2029}')
}

/// Text as one line, whatever is in it.
#[must_use]
pub const fn line(text: &str) -> Shown<'_> {
    Shown { text, is_one_line: true }
}

/// Text of several lines: line feeds and tabs stay.
#[must_use]
pub const fn lines(text: &str) -> Shown<'_> {
    Shown { text, is_one_line: false }
}

/// Text in which every command is written out.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    text: &'a str,
    is_one_line: bool,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut rest = self.text;
        let is_unsafe = |c: char| is_command(c) && (self.is_one_line || !matches!(c, '\n' | '\t'));
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| is_unsafe(*c)) {
            f.write_str(&rest[..at])?;
            match c {
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                // None of them is beyond four digits.
                _ => write!(f, "\\u{:04x}", c as u32)?,
            }
            rest = &rest[at + c.len_utf8()..];
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    #[test]
    fn commands_are_written_out_and_all_else_stays() {
        let name = "Zoë \u{5d0}\u{5d1} 김 \u{200d}👩";
        assert_eq!(line(name).to_string(), name);
        for (text, shown) in [
            ("\x1b[2Jgone", "\\u001b[2Jgone"),
            ("\u{9b}31m", "\\u009b31m"),
            ("a\u{202e}gpj.exe", "a\\u202egpj.exe"),
            ("\u{2066}\u{2069}\u{61c}\u{200f}\u{2028}\x7f", "\\u2066\\u2069\\u061c\\u200f\\u2028\\u007f"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ] {
            assert_eq!(line(text).to_string(), shown);
            assert!(!line(text).to_string().chars().any(is_command));
        }
        assert_eq!(lines("a\r\nb\tc\x1b").to_string(), "a\\r\nb\tc\\u001b");
    }
}
