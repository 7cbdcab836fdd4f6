//! Text with dnf's variables in it: matching what dnf made of it, and carrying it inside a path.
//!
//! Variables are `$name`, `${name}` and dnf5's `${name:-other}` and `${name:+other}` (dnf.conf(5), "VARIABLES"). The
//! step's dnf puts values in their place before it asks; the gateway only sees the result. A value holds letters,
//! digits and a few signs, never a slash or what ends a query's value, so it stays where the variable was. It may hold
//! a dollar sign, because dnf leaves unknown variables as they are.

/// Signs a variable's value may hold besides letters and digits.
const VALUE_SIGNS: &[u8] = b"._-+~:@${}";
/// What stands in an escaped text as it is, besides letters and digits.
const PLAIN_SIGNS: &[u8] = b"._-=&+@:";

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pattern {
    text: String,
}

enum Piece<'a> {
    Literal(&'a str),
    Variable(&'a str),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned() }
    }

    /// Whether `text` is this with values for its variables.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let parts = parts(&self.text);
        matches(&parts, text.as_bytes())
    }

    /// Where in `path` what lies below this path begins: behind its last segment's slash. `None` if it is not below.
    pub(crate) fn below(&self, path: &str) -> Option<usize> {
        let mut at = 0;
        for segment in split_segments(self.text.trim_end_matches('/')) {
            let rest = path.get(at..)?;
            let end = rest.find('/')?;
            if !matches(&parts(segment), rest.get(..end)?.as_bytes()) {
                return None;
            }
            at += end + 1;
        }
        Some(at)
    }

    /// How many segments it has: more are more specific.
    pub(crate) fn depth(&self) -> usize {
        self.text.trim_end_matches('/').matches('/').count()
    }
}

/// Splits at slashes outside of variables: `${a:-x/y}` is one piece.
fn split_segments(text: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    let (mut start, mut at) = (0, 0);
    for piece in pieces(text) {
        let length = match piece {
            Piece::Literal(literal) => {
                for (slash, _) in literal.match_indices('/') {
                    segments.push(text.get(start..at + slash).unwrap_or_default());
                    start = at + slash + 1;
                }
                literal.len()
            }
            Piece::Variable(variable) => variable.len(),
        };
        at += length;
    }
    segments.push(text.get(start..).unwrap_or_default());
    segments
}

/// Whether there is a variable in `text`.
pub(crate) fn has_variable(text: &str) -> bool {
    pieces(text).iter().any(|piece| matches!(piece, Piece::Variable(_)))
}

/// The literal texts between the variables; one more than there are variables.
fn parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    for piece in pieces(text) {
        match piece {
            Piece::Literal(literal) => {
                if let Some(last) = parts.last_mut() {
                    last.push_str(literal);
                }
            }
            Piece::Variable(_) => parts.push(String::new()),
        }
    }
    parts
}

/// Whether `text` is `parts` with values between them.
///
/// Each part is taken where it comes first: what a later variable cannot hold, an earlier one cannot either.
fn matches(parts: &[String], text: &[u8]) -> bool {
    let Some((first, others)) = parts.split_first() else { return text.is_empty() };
    let Some(mut rest) = text.strip_prefix(first.as_bytes()) else { return false };
    let Some((last, middle)) = others.split_last() else { return rest.is_empty() };
    for part in middle {
        let found = (0..=rest.len()).find(|at| rest.get(*at..).is_some_and(|tail| tail.starts_with(part.as_bytes())));
        let Some(at) = found else { return false };
        if !rest.get(..at).is_some_and(is_value) {
            return false;
        }
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.strip_suffix(last.as_bytes()).is_some_and(is_value)
}

fn is_value(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || VALUE_SIGNS.contains(byte))
}

fn pieces(text: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        if !before.is_empty() {
            pieces.push(Piece::Literal(before));
        }
        let length = variable_length(from);
        let (piece, after) = from.split_at_checked(length.max(1)).unwrap_or((from, ""));
        pieces.push(if length > 0 { Piece::Variable(piece) } else { Piece::Literal(piece) });
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Literal(rest));
    }
    pieces
}

/// Bytes of the variable that `text`, which begins with a dollar sign, begins with; 0 for none.
fn variable_length(text: &str) -> usize {
    let name_length = |text: &str| text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let after = text.strip_prefix('$').unwrap_or_default();
    match after.strip_prefix('{') {
        Some(braced) if name_length(braced) > 0 => closing_brace(braced).map_or(0, |end| end + 3),
        Some(_) => 0,
        None => match name_length(after) {
            0 => 0,
            length => length + 1,
        },
    }
}

/// Where the brace is that closes the one before `text`; braces nest (`${a:-${b}}`).
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// `text` as one segment of a path; variables stay for dnf to see.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 16);
    for piece in pieces(text) {
        match piece {
            Piece::Variable(variable) => escaped.push_str(variable),
            Piece::Literal(literal) => {
                for byte in literal.bytes() {
                    if byte.is_ascii_alphanumeric() || PLAIN_SIGNS.contains(&byte) {
                        escaped.push(char::from(byte));
                    } else {
                        escaped.push_str(&format!("~{byte:02X}"));
                    }
                }
            }
        }
    }
    escaped
}

/// What [`escape`] made `segment` from, `None` for what it never makes.
pub(crate) fn unescape(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut parts = segment.split('~');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let code = part.get(..2)?;
        if !code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')) {
            return None;
        }
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
    }

    #[track_caller]
    fn check_below(pattern: &str, path: &str, inside: Option<&str>) {
        let found = Pattern::new(pattern).below(path).map(|at| path.get(at..).unwrap());
        assert_eq!(found, inside, "{pattern} {path}");
    }

    #[test]
    fn a_variable_stands_for_a_value_and_not_for_more() {
        check("/m?repo=fedora-$releasever&arch=$basearch", "/m?repo=fedora-42&arch=x86_64", true);
        check("/m?repo=fedora-$releasever&arch=$basearch", "/m?repo=fedora-42&x=1&arch=x86_64", false);
        check("/m?repo=fedora-$releasever&arch=$basearch", "/m?repo=fedora-42&arch=x86_64&y=2", false);
        check("/a/${v:-9}/b", "/a/9/b", true);
        check("/a/$v/b", "/a/9/8/b", false);
        check("/a/$infra/b", "/a/$infra/b", true);
        check("x$a$b-z", "x1-2-z", true);
        check("$a", "", true);
        check("a$", "a$", true);
        check("a${", "a1", false);
    }

    #[test]
    fn what_is_below_a_path_is_found_segment_by_segment() {
        check_below("/a/$r/os/", "/a/9/os/repodata/repomd.xml", Some("repodata/repomd.xml"));
        check_below("/a/$r/os", "/a/9/os/x", Some("x"));
        check_below("/a/$r/os", "/a/9/osx/x", None);
        check_below("/a/$r/os", "/a/9/8/os/x", None);
        check_below("/a/$r/os", "/a/9/os", None);
        check_below("/", "/x/y", Some("x/y"));
        check_below("", "/x", Some("x"));
        check_below("/a/${b:-x/y}/c", "/a/1/c/d", Some("d"));
    }

    #[test]
    fn what_is_escaped_comes_back_and_variables_stay() {
        let text = "/metalink?repo=f-$releasever&arch=${basearch}&protocol=https,http~x";
        let escaped = escape(text);
        assert_eq!(escaped, "~2Fmetalink~3Frepo=f-$releasever&arch=${basearch}&protocol=https~2Chttp~7Ex");
        assert_eq!(unescape(&escaped).as_deref(), Some(text));
        assert_eq!(unescape("~2"), None);
        assert_eq!(unescape("~2f"), None);
        assert_eq!(unescape("~FF"), None);
    }
}
