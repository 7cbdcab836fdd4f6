//! Paths inside a repository, as metadata gives them.
//!
//! What comes in: the text of an `href`. What goes out: a relative path that stays in the repository
//! whether or not somebody decodes its `%` escapes; or what is wrong with it.

use super::RepositoryProblem;

/// Longest `href`, in bytes.
const MAX_BYTES: usize = 4096;

/// The path without `.` segments, which an HTTP client takes out as well (RFC 3986, 5.2.4).
pub(super) fn relative(href: &str) -> Result<String, RepositoryProblem> {
    let problem = |wanted| RepositoryProblem::value("href", href, wanted);
    if href.len() > MAX_BYTES {
        return Err(RepositoryProblem::TooLarge { what: "bytes in an href", limit: MAX_BYTES as u64 });
    }
    if href.chars().any(|c| c.is_control() || c.is_whitespace() || "\\?#".contains(c)) {
        return Err(problem("a path without spaces, control characters and \\?#"));
    }
    if href.starts_with('/') || has_scheme(href) {
        return Err(problem("a path relative to the repository"));
    }
    let mut path = String::with_capacity(href.len());
    for segment in href.split('/').filter(|segment| *segment != ".") {
        check_segment(segment).map_err(problem)?;
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(segment);
    }
    if path.is_empty() || path.ends_with('/') { Err(problem("the path of a file")) } else { Ok(path) }
}

/// A colon before the first slash makes it a URL with a scheme (RFC 3986, 4.2).
fn has_scheme(href: &str) -> bool {
    href.split('/').next().is_some_and(|first| first.contains(':'))
}

/// Refuses `..`, and what becomes `.`, `..` or two segments once decoded.
fn check_segment(segment: &str) -> Result<(), &'static str> {
    let decoded = segment.to_ascii_lowercase().replace("%2e", ".");
    if decoded == ".." || decoded == "." {
        return Err("a path without .. in it");
    }
    if ["%2f", "%5c", "%00"].iter().any(|escape| decoded.contains(escape)) {
        return Err("a path without an escaped slash, backslash or NUL");
    }
    Ok(())
}
