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

/// Bytes to insert, delete or replace, case and the choice of dash or underscore aside, that turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let even = |byte: u8| if byte == b'-' { b'_' } else { byte.to_ascii_lowercase() };
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, x) in a.bytes().enumerate() {
        let mut left = row + 1;
        let mut next = vec![left];
        for (y, pair) in b.bytes().zip(last.windows(2)) {
            let (diagonal, above) =
                (pair.first().copied().unwrap_or_default(), pair.last().copied().unwrap_or_default());
            left = (diagonal + usize::from(even(x) != even(y))).min(above + 1).min(left + 1);
            next.push(left);
        }
        last = next;
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["registry", "source_registry", "allowed_unsigned"];

    #[test]
    fn a_slip_finds_the_key_that_was_meant() {
        assert_eq!(nearest("regsitry", &KEYS), Some("registry"));
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
