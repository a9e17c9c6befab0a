//! "Did you mean ...?"

/// The candidate most like `word`, when one is like enough that a slip of the finger explains it.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let (likeness, best) = candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, candidate), candidate))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness >= 0.8 || strsim::osa_distance(&word, best) <= 2).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_explained_and_a_stranger_is_not() {
        let keys = ["pulse_ms", "pulse_max_ms", "driver", "line"];
        assert_eq!(nearest("puls_ms", keys), Some("pulse_ms"));
        assert_eq!(nearest("pulse-ms", keys), Some("pulse_ms"));
        assert_eq!(nearest("Lines", keys), Some("line"));
        assert_eq!(nearest("colour", keys), None);
        assert_eq!(nearest("x", []), None);
    }
}
