//! What of a repository is wanted: a commit, or a name that leads to one.

/// Bytes in the longest reference name taken.
const MAX_BYTES: usize = 1024;
/// Hex digits in the shortest commit id taken for one.
const MIN_SHORT_ID: usize = 7;

/// Why a text is not the name of a reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{reference}` is not a commit, tag or branch: {why}")]
pub struct BadReference {
    /// The text.
    pub reference: String,
    /// What is wrong.
    pub why: &'static str,
}

/// What to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A whole object id, in lower case.
    Commit(String),
    /// A tag, branch or full reference name, as git looks names up: tags before branches.
    Name(String),
    /// The same, or the start of a commit id where no such name exists.
    NameOrShortId(String),
}

impl Wanted {
    /// `None` stands for the repository's default branch.
    pub(super) fn of(reference: Option<&str>) -> Self {
        let Some(text) = reference else { return Self::Name("HEAD".to_owned()) };
        let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            40 | 64 if is_hex => Self::Commit(text.to_ascii_lowercase()),
            length if is_hex && (MIN_SHORT_ID..64).contains(&length) => Self::NameOrShortId(text.to_owned()),
            _ => Self::Name(text.to_owned()),
        }
    }
}

/// Whether `reference` may be given to git as a name (git-check-ref-format) and nothing else, such as an option, a
/// refspec or a pattern.
pub(super) fn check(reference: &str) -> Result<(), BadReference> {
    let bad = |why| Err(BadReference { reference: reference.chars().take(80).collect(), why });
    if reference.len() > MAX_BYTES {
        return bad("it is too long");
    }
    if reference.starts_with('-') {
        return bad("it starts with a `-`");
    }
    if reference.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\+".contains(c)) {
        return bad("it holds a character that names of references cannot");
    }
    if reference.contains("..") || reference.contains("@{") || reference == "@" {
        return bad("it is an expression, not a name");
    }
    let is_bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    if reference.split('/').any(is_bad_part) || reference.ends_with('.') {
        return bad("a part of it is empty, starts or ends with a dot, or ends with `.lock`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_commits_are_references() {
        for text in ["main", "v1.0", "refs/heads/a/b", "HEAD", "deadbee", "feature/x-1_2", "ünïcode"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_git_could_take_for_something_else_is_refused() {
        let hostile = [
            "",
            "-x",
            "--upload-pack=/bin/sh",
            "+main",
            "a:b",
            "refs/heads/*",
            "^main",
            "a..b",
            "main@{1}",
            "@",
            "a b",
            "a\nb",
            "a~1",
            "/a",
            "a/",
            "a//b",
            ".a",
            "a/.b",
            "a.lock",
            "a.",
            "a\\b",
            "a[b]",
        ];
        for text in hostile {
            assert!(check(text).is_err(), "{text}");
        }
        assert!(check(&"a".repeat(1025)).is_err());
    }

    #[test]
    fn hex_is_a_commit_when_it_is_long_enough() {
        let full = "0123456789ABCDEF0123456789abcdef01234567";
        assert_eq!(Wanted::of(Some(full)), Wanted::Commit(full.to_ascii_lowercase()));
        assert_eq!(Wanted::of(Some("abcdef1")), Wanted::NameOrShortId("abcdef1".to_owned()));
        assert_eq!(Wanted::of(Some("abcdef")), Wanted::Name("abcdef".to_owned()));
        assert_eq!(Wanted::of(Some("v1")), Wanted::Name("v1".to_owned()));
        assert_eq!(Wanted::of(None), Wanted::Name("HEAD".to_owned()));
    }
}
