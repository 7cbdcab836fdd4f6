//! What of a repository is wanted, in a query: `?ref=v1&subdir=image`.
//!
//! BuildKit's words (frontend/dockerfile/docs, "Git URL query parameters"). Those that change how a repository is
//! checked out are refused by name, as is anything said twice with different values.

use super::{GitUrl, GitUrlError, decode};

/// Adds what a query says to what the fragment said. An empty query says nothing.
pub(super) fn add(mut url: GitUrl, query: &str) -> Result<GitUrl, GitUrlError> {
    let (mut reference, mut folder) = (url.reference.clone(), None);
    for (key, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|p| p.split_once('=').unwrap_or((p, ""))) {
        let bad = |why: String| GitUrlError::Query { url: url.repository.clone(), why };
        let key: String = key.chars().filter(|c| !c.is_control()).take(40).collect();
        let value = decode(value).ok_or_else(|| bad(format!("the value of `{key}` is not text")))?;
        if value.is_empty() {
            return Err(bad(format!("`{key}` has no value, or is not a word known there")));
        }
        let place = match key.as_str() {
            "ref" | "tag" | "branch" => &mut reference,
            "subdir" => &mut folder,
            "commit" | "checksum" => &mut url.commit,
            _ => {
                let known = "there are ref, tag, branch, subdir, commit and checksum";
                return Err(bad(format!("`{key}` is not supported; {known}")));
            }
        };
        let value = full_name(&key, value);
        if place.as_ref().is_some_and(|known| *known != value) {
            return Err(bad(format!("`{key}` contradicts what is said before it")));
        }
        *place = Some(value);
    }
    finish(url, reference, folder)
}

/// A tag or branch by its whole name, so that one is not taken for the other.
fn full_name(key: &str, value: String) -> String {
    let prefix = match key {
        "tag" => "refs/tags/",
        "branch" => "refs/heads/",
        "commit" | "checksum" => return value.to_ascii_lowercase(),
        _ => return value,
    };
    if value.starts_with(prefix) { value } else { format!("{prefix}{value}") }
}

fn finish(mut url: GitUrl, reference: Option<String>, folder: Option<String>) -> Result<GitUrl, GitUrlError> {
    if let Some(commit) = &url.commit {
        let is_id = (7..=64).contains(&commit.len()) && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id {
            let why = "`commit` is not the id of one, in 7 to 64 hex digits".to_owned();
            return Err(GitUrlError::Query { url: url.repository, why });
        }
    }
    if let Some(reference) = reference.or_else(|| url.commit.clone()) {
        url = url.with_reference(&reference)?;
    }
    match folder {
        None => Ok(url),
        Some(_) if url.subdirectory.is_some() => {
            let why = "`subdir` contradicts the folder behind the `#`".to_owned();
            Err(GitUrlError::Query { url: url.repository, why })
        }
        Some(folder) => url.with_subdirectory(&folder),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<String, String> {
        let url = GitUrl::recognise(&format!("https://host.example/a.git{query}")).unwrap();
        url.map(|url| url.to_string().replace("https://host.example/a.git", "")).map_err(|error| error.to_string())
    }

    #[test]
    fn a_query_says_what_a_fragment_says() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        for (query, same) in [
            ("?ref=v1", "#v1"),
            ("?tag=v1", "#refs/tags/v1"),
            ("?branch=a/b&subdir=image%2Fx", "#refs/heads/a/b:image/x"),
            ("?subdir=/image", "#:image"),
            ("?ref=v1#v1:image", "#v1:image"),
            ("?", ""),
            (&format!("?commit={id}"), &format!("#{id}")),
            (&format!("?checksum={id}&ref=v1"), "#v1"),
        ] {
            assert_eq!(parse(query).as_deref(), Ok(same), "{query}");
        }
    }

    #[test]
    fn queries_that_say_something_else_are_refused() {
        for (query, why) in [
            (
                "?submodules=true",
                "`submodules` is not supported; there are ref, tag, branch, subdir, commit and checksum",
            ),
            ("?keep-git-dir", "`keep-git-dir` has no value, or is not a word known there"),
            ("?ref=a&ref=b", "`ref` contradicts what is said before it"),
            ("?tag=a&branch=a", "`branch` contradicts what is said before it"),
            ("?ref=a#b", "`ref` contradicts what is said before it"),
            ("?subdir=a#:b", "`subdir` contradicts the folder behind the `#`"),
            ("?commit=v1", "`commit` is not the id of one, in 7 to 64 hex digits"),
        ] {
            let message = format!("https://host.example/a.git: cannot take a commit from its query: {why}");
            assert_eq!(parse(query), Err(message), "{query}");
        }
        assert!(parse("?ref=--upload-pack").is_err());
        assert!(parse("?subdir=..").is_err());
    }
}
