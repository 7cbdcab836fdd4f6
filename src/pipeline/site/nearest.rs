//! The known key nearest to a mistyped one.

/// Longer keys are not compared: nobody mistypes a key into this, and the comparison is quadratic.
const LONGEST: usize = 48;

/// The one of `known` that differs least from `word`, if it differs little enough to be meant.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    if word.is_empty() || word.len() > LONGEST {
        return None;
    }
    known
        .iter()
        .map(|name| (distance(word, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len().min(word.len()) / 5)
        .min()
        .map(|(_, name)| name)
}

/// Bytes to insert, delete, replace or exchange with their neighbour, case and the choice of dash or underscore aside,
/// that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let even = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    let (a, b): (Vec<u8>, Vec<u8>) = (a.bytes().map(even).collect(), b.bytes().map(even).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    let at = |rows: &[Vec<usize>], row: usize, column: usize| {
        rows.get(row).and_then(|row| row.get(column)).copied().unwrap_or(usize::MAX / 2)
    };
    for (row, x) in a.iter().enumerate() {
        let mut next = vec![row + 1];
        for (column, y) in b.iter().enumerate() {
            let replaced = at(&rows, row, column) + usize::from(x != y);
            let left = next.last().copied().unwrap_or_default() + 1;
            let mut least = replaced.min(at(&rows, row, column + 1) + 1).min(left);
            let before = |text: &[u8], index: usize| index.checked_sub(1).and_then(|index| text.get(index)).copied();
            if before(&a, row) == Some(*y) && before(&b, column) == Some(*x) {
                least = least.min(at(&rows, row - 1, column - 1) + 1);
            }
            next.push(least);
        }
        rows.push(next);
    }
    at(&rows, a.len(), b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["registry", "source_registry", "allowed_unsigned"];

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        assert_eq!(nearest("regsitry", &KEYS), Some("registry"));
        assert_eq!(nearest("kesy", &["keys", "koji"]), Some("keys"));
        assert_eq!(nearest("source-registry", &KEYS), Some("source_registry"));
        assert_eq!(nearest("Allowed_Unsinged", &KEYS), Some("allowed_unsigned"));
    }

    #[test]
    fn something_else_finds_nothing() {
        assert_eq!(nearest("koji", &KEYS), None);
        assert_eq!(nearest("", &KEYS), None);
        assert_eq!(nearest(&"r".repeat(1000), &KEYS), None);
    }
}
