//! Wildcards as sites and repositories write them (Python, `fnmatch`): `*`, `?`, `[a-z]`, `[!a-z]`.

/// Whether `pattern` means all of `text`. A bracket that is not closed means itself.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    // The matcher's own spelling: a caret negates, and a backslash would escape.
    let pattern = pattern.replace('\\', "\\\\").replace("[!", "[^");
    source::glob::component_matches(pattern.as_bytes(), text.as_bytes()).unwrap_or(pattern == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_mean_what_fnmatch_means() {
        for (pattern, text) in
            [("*.jar", "a.jar"), ("*", ""), ("a?c", "abc"), ("[!a]b", "xb"), ("[a", "[a"), ("a/*", "a/b/c")]
        {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("*.jar", "a.jar.asc"), ("a?c", "ac"), ("[!a]b", "ab"), ("a", "A"), ("f40", "f40-x")] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
