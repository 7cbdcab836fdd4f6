//! Which distribution an image is of, as its os-release says.
//!
//! Comes in: the bytes of an os-release file (os-release(5)). Goes out: the two values that names of packages need. The
//! file is the image's own word: nothing is proven by it. It never fails, for an image without such a file is one too.

use serde::{Deserialize, Serialize};

/// The largest os-release that is read, in bytes.
pub(crate) const MAX_OS_RELEASE: u64 = 64 * 1024;
/// Where the file is, the first one first (os-release(5)).
pub(crate) const OS_RELEASE_PATHS: [&str; 2] = ["etc/os-release", "usr/lib/os-release"];
/// The longest value that is taken, in bytes.
const MAX_VALUE: usize = 128;

/// What an image says it is. Serialises to an object with these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Distribution {
    /// `ID`: lower-case letters, digits, `.`, `_` and `-`.
    pub id: String,
    /// `VERSION_ID`, of the same characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

impl Distribution {
    /// Reads an os-release file; none where it has no usable `ID`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(bytes);
        // The last assignment counts, as in a shell.
        let value = |key: &str| {
            let assigned = |line: &str| line.trim().strip_prefix(key)?.strip_prefix('=').map(unquoted);
            text.lines().filter_map(assigned).next_back().filter(|value| is_plain(value))
        };
        Some(Self { id: value("ID")?, version_id: value("VERSION_ID") })
    }

    /// `ID-VERSION_ID`, as package URLs name a distribution.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.version_id {
            Some(version) => format!("{}-{version}", self.id),
            None => self.id.clone(),
        }
    }
}

/// A value without the quotes it may stand in. Those that are of use have nothing to escape.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = |quote: char| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(value).to_owned()
}

fn is_plain(value: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    !value.is_empty() && value.len() <= MAX_VALUE && value.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, name: Option<&str>) {
        assert_eq!(Distribution::parse(text.as_bytes()).map(|found| found.name()).as_deref(), name);
    }

    #[test]
    fn id_and_version_name_the_distribution() {
        check("NAME=\"Fedora Linux\"\nVERSION_ID=42\nID=fedora\nID_LIKE=x\n", Some("fedora-42"));
        check("ID=\"rhel\"\r\nVERSION_ID='9.4'\r\n", Some("rhel-9.4"));
        check("# ID=no\nID=arch\n", Some("arch"));
        check("ID=one\nID=two\n", Some("two"));
    }

    #[test]
    fn what_names_nothing_is_no_distribution() {
        for text in ["", "ID=\n", "ID=\"\"\n", "IDX=a\n", "ID=Fedora Linux\n", "ID=a/b\n", "ID=\"fedora\n"] {
            check(text, None);
        }
        check(&format!("ID={}\n", "a".repeat(129)), None);
        check("ID=a\nVERSION_ID=../..\n", Some("a"));
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        assert_eq!(Distribution::parse(b"\xff\xfe\nID=\xff\n"), None);
    }
}
