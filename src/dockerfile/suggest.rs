//! The nearest known name to a mistyped one.

/// Longer words are not compared: nobody mistypes a keyword into this, and the comparison is quadratic.
const LONGEST: usize = 32;

/// The candidate that differs least from `word`, if it differs little enough to be meant.
///
/// Case does not count. A swap of two neighbours counts as one difference.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(LONGEST + 1).collect();
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    candidates
        .into_iter()
        .map(|name| (distance(&word, &name.to_lowercase().chars().take(LONGEST).collect::<Vec<_>>()), name))
        .filter(|(distance, name)| *distance < word.len() && *distance <= 1 + name.len().min(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (i, &x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        let mut previous_b = None;
        for (j, &y) in b.iter().enumerate() {
            let value = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (value(&last, j) + usize::from(x != y)).min(value(&last, j + 1) + 1).min(value(&row, j) + 1);
            if j > 0 && previous_a == Some(y) && previous_b == Some(x) {
                best = best.min(value(&before_last, j - 1) + 1);
            }
            row.push(best);
            previous_b = Some(y);
        }
        before_last = std::mem::replace(&mut last, row);
        previous_a = Some(x);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 4] = ["RUN", "COPY", "ENTRYPOINT", "ENV"];

    #[test]
    fn a_slip_finds_the_name_that_was_meant() {
        assert_eq!(nearest("RNU", NAMES), Some("RUN"));
        assert_eq!(nearest("cpoy", NAMES), Some("COPY"));
        assert_eq!(nearest("ENTRYPIONT", NAMES), Some("ENTRYPOINT"));
        assert_eq!(nearest("envv", NAMES), Some("ENV"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(nearest("apt-get", NAMES), None);
        assert_eq!(nearest("", NAMES), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"R".repeat(1000), NAMES), None);
    }
}
