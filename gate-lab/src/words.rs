//! Numbers and tables for people to read.

use gate_stats::Rate;

/// `1 person`, `2 people`.
#[must_use]
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", thousands(n), if n == 1 { one } else { many })
}

/// `12,454,344`.
#[must_use]
pub fn thousands(n: u64) -> String {
    grouped(n, ',')
}

/// Digits in groups of three.
#[must_use]
pub fn grouped(n: u64, separator: char) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out
}

/// `99.4 %`, `0.62 %`: about three digits that mean something.
#[must_use]
pub fn percent(part: f64) -> String {
    let p = part * 100.0;
    let decimals = match p {
        p if p >= 10.0 => 1,
        p if p >= 1.0 || p == 0.0 => 2,
        p if p >= 0.1 => 3,
        _ => 4,
    };
    format!("{p:.decimals$} %")
}

/// `0.21 to 1.3 %`, the interval of a rate.
#[must_use]
pub fn interval(low: f64, high: f64) -> String {
    format!("{} to {}", percent(low).trim_end_matches(" %"), percent(high))
}

/// The trials behind a rate: `5 of 853 of 400 people`.
#[must_use]
pub fn trials(rate: &Rate) -> String {
    let people = count(rate.people.into(), "person", "people");
    format!("{} of {} of {people}", thousands(rate.errors), thousands(rate.trials))
}

/// `1e-3`.
#[must_use]
pub fn power(rate: f64) -> String {
    format!("{rate:e}")
}

/// Rows as aligned columns, two blanks apart; a cell stays one line, whatever is in it. The last cell of a row may be as long as it likes.
#[must_use]
pub fn columns(rows: &[Vec<String>]) -> String {
    let shown = |row: &Vec<String>| row.iter().map(|cell| gate_cli::line(cell).to_string()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let cells = |column: usize| rows.iter().filter(move |row| row.len() > column + 1).map(move |row| &row[column]);
    let width = |column: usize| cells(column).map(|cell| cell.chars().count()).max();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let gap = width(column).unwrap_or(0).saturating_sub(cell.chars().count()) + 2;
            line.push_str(cell);
            line.push_str(&" ".repeat(gap));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!(thousands(12_454_344), "12,454,344");
        assert_eq!((thousands(0), thousands(999)), ("0".into(), "999".into()));
        assert_eq!(percent(0.994), "99.4 %");
        assert_eq!(percent(0.0062), "0.620 %");
        assert_eq!(interval(0.0, 0.013), "0.00 to 1.30 %");
        let rows = [vec!["a", "b", "c"], vec!["aa", "a long remark"], vec!["a", "bb", "c"]];
        let rows = rows.map(|row| row.into_iter().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(columns(&rows), "a   b   c\naa  a long remark\na   bb  c\n");
        assert_eq!((power(1e-3), power(3e-2)), ("1e-3".into(), "3e-2".into()));
    }
}
