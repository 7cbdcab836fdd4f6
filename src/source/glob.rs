//! Wildcards in COPY and ADD sources: Go's `filepath.Match` a component, and `**` for any depth as buildah has it.

/// Whether a source names more than itself.
#[must_use]
pub fn is_pattern(text: &[u8]) -> bool {
    text.iter().any(|byte| b"*?[\\".contains(byte))
}

/// A pattern Go's `filepath.Match` would refuse (`ErrBadPattern`).
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the pattern ends inside a class or an escape")]
pub struct BadPattern;

/// Whether one path component matches one pattern component (Go, `path/filepath.Match`).
///
/// # Errors
/// [`BadPattern`].
pub fn component_matches(pattern: &[u8], name: &[u8]) -> Result<bool, BadPattern> {
    let tokens = tokens(pattern)?;
    Ok(tokens_match(&tokens, name))
}

#[derive(Debug)]
enum Token {
    Any,
    One,
    Literal(u8),
    Class { is_negated: bool, ranges: Vec<(char, char)> },
}

fn tokens(pattern: &[u8]) -> Result<Vec<Token>, BadPattern> {
    let mut rest = pattern;
    let mut tokens = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'*' => tokens.push(Token::Any),
            b'?' => tokens.push(Token::One),
            b'\\' => {
                let (&escaped, tail) = rest.split_first().ok_or(BadPattern)?;
                rest = tail;
                tokens.push(Token::Literal(escaped));
            }
            b'[' => {
                let (class, tail) = class(rest)?;
                rest = tail;
                tokens.push(class);
            }
            literal => tokens.push(Token::Literal(literal)),
        }
    }
    Ok(tokens)
}

fn class(mut rest: &[u8]) -> Result<(Token, &[u8]), BadPattern> {
    let is_negated = rest.first() == Some(&b'^');
    if is_negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut ranges = Vec::new();
    loop {
        if rest.first() == Some(&b']') && !ranges.is_empty() {
            return Ok((Token::Class { is_negated, ranges }, rest.get(1..).unwrap_or_default()));
        }
        let (low, tail) = class_character(rest)?;
        rest = tail;
        let mut high = low;
        if rest.first() == Some(&b'-') {
            (high, rest) = class_character(rest.get(1..).unwrap_or_default())?;
        }
        ranges.push((low, high));
    }
}

fn class_character(rest: &[u8]) -> Result<(char, &[u8]), BadPattern> {
    match rest.split_first() {
        None | Some((b'-' | b']', _)) => Err(BadPattern),
        Some((b'\\', tail)) => first_character(tail).ok_or(BadPattern),
        Some(_) => first_character(rest).ok_or(BadPattern),
    }
}

/// The first character and what follows; a byte that starts none counts as U+FFFD, as in Go.
fn first_character(text: &[u8]) -> Option<(char, &[u8])> {
    let chunk = text.utf8_chunks().next()?;
    match chunk.valid().chars().next() {
        Some(character) => Some((character, text.get(character.len_utf8()..).unwrap_or_default())),
        None => Some((char::REPLACEMENT_CHARACTER, text.get(1..).unwrap_or_default())),
    }
}

/// Backtracks to the last `*` only, so the time is at most pattern length times name length.
fn tokens_match(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut rest) = (0, name);
    let mut retry: Option<(usize, &[u8])> = None;
    loop {
        let step = match tokens.get(token) {
            Some(Token::Any) => {
                retry = Some((token + 1, rest));
                token += 1;
                continue;
            }
            Some(wanted) => matches_one(wanted, rest),
            None if rest.is_empty() => return true,
            None => None,
        };
        if let Some(tail) = step {
            (token, rest) = (token + 1, tail);
            continue;
        }
        let Some((after_star, from)) = retry else { return false };
        let Some((_, tail)) = first_character(from) else { return false };
        retry = Some((after_star, tail));
        (token, rest) = (after_star, tail);
    }
}

fn matches_one<'a>(token: &Token, rest: &'a [u8]) -> Option<&'a [u8]> {
    match token {
        Token::Literal(byte) => rest.split_first().filter(|(first, _)| *first == byte).map(|(_, tail)| tail),
        Token::One => first_character(rest).map(|(_, tail)| tail),
        Token::Class { is_negated, ranges } => {
            let (character, tail) = first_character(rest)?;
            let is_in = ranges.iter().any(|(low, high)| (*low..=*high).contains(&character));
            (is_in != *is_negated).then_some(tail)
        }
        Token::Any => Some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, name: &str, is_match: bool) {
        assert_eq!(component_matches(pattern.as_bytes(), name.as_bytes()), Ok(is_match), "{pattern} {name}");
    }

    #[test]
    fn components_match_as_in_go() {
        for (pattern, name, is_match) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab", true),
            ("a*b*c*d*e*", "axbxcxdxe", true),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("[a-ζ]*", "α", true),
            ("*", "", true),
            ("?", "", false),
        ] {
            check(pattern, name, is_match);
        }
    }

    #[test]
    fn patterns_that_end_too_soon_are_refused() {
        for pattern in ["[]a]", "[-]", "[x-]", "[a-b-c]", "[", "[^", "a[", "a\\"] {
            assert_eq!(component_matches(pattern.as_bytes(), b"a"), Err(BadPattern), "{pattern}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let name = "a".repeat(10_000);
        check(&"a*".repeat(50), &format!("{name}b"), true);
        check(&format!("{}b", "a*".repeat(50)), &name, false);
    }
}
