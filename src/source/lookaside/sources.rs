//! The `sources` file of dist-git.

use std::collections::HashMap;

use super::Algorithm;

/// Bytes in the largest file taken.
const MAX_BYTES: usize = 1 << 20;
/// Entries in the longest.
const MAX_FILES: usize = 10_000;
/// Bytes in the longest file name the kernel takes.
const MAX_NAME: usize = 255;

/// One file of a `sources` file. There is no way to get one but [`parse_sources`], so its name is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    name: String,
    algorithm: Algorithm,
    hex: String,
    line: usize,
}

impl SourceFile {
    /// A plain file name: no slash, blank or control character, and not `.`, `..` or `.git`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The checksum's hash function.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The checksum, in lower case, as many digits as the function has.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// The line that declares it, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.line
    }
}

/// What is wrong in a `sources` file, and where. Columns count characters from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {reason}")]
pub struct SourcesError {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: BadSource,
}

/// What can be wrong in a `sources` file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSource {
    /// More than dist-git has.
    #[error("too large: a sources file has at most {MAX_FILES} entries in {MAX_BYTES} bytes")]
    TooLarge,
    /// Bytes that are not text.
    #[error("not UTF-8")]
    NotText,
    /// Neither form of a line.
    #[error("expected `SHA512 (file) = checksum`, or a checksum in MD5 and a file name")]
    Malformed,
    /// A hash function unknown here.
    #[error("`{0}` is not one of MD5, SHA1, SHA256 and SHA512")]
    Algorithm(String),
    /// A name that is more than a file's.
    #[error("`{0}` is not a plain file name")]
    Name(String),
    /// Not a checksum of the function.
    #[error("not a checksum in {algorithm}: it has {} hex digits", algorithm.hex_digits())]
    Checksum {
        /// The hash function.
        algorithm: Algorithm,
    },
    /// The file is declared twice, differently.
    #[error("`{name}` has another checksum in line {line}")]
    Contradiction {
        /// The file.
        name: String,
        /// The earlier line.
        line: usize,
    },
}

/// Parses a `sources` file in both forms, `SHA512 (file) = checksum` and the old `checksum  file` of MD5; `file` is
/// its name in errors. An entry that is there twice counts once; empty lines count as nothing.
///
/// # Errors
/// [`SourcesError`] for the first line that is wrong.
pub fn parse_sources(file: &str, text: &[u8]) -> Result<Vec<SourceFile>, SourcesError> {
    let fail = |line, column, reason| SourcesError { file: file.to_owned(), line, column, reason };
    if text.len() > MAX_BYTES {
        return Err(fail(1, 1, BadSource::TooLarge));
    }
    let mut entries = Entries::default();
    for (line, bytes) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let content = std::str::from_utf8(bytes).map_err(|error| (error.valid_up_to(), BadSource::NotText));
        let added = content.and_then(|content| match entry(content, line)? {
            Some(found) => entries.add(found).map_err(|reason| (0, reason)),
            None => Ok(()),
        });
        added.map_err(|(at, reason)| {
            let before = bytes.get(..at).unwrap_or_default();
            fail(line, String::from_utf8_lossy(before).chars().count() + 1, reason)
        })?;
    }
    Ok(entries.files)
}

/// The entries so far, and where in them each name is.
#[derive(Default)]
struct Entries {
    files: Vec<SourceFile>,
    known: HashMap<String, usize>,
}

impl Entries {
    fn add(&mut self, file: SourceFile) -> Result<(), BadSource> {
        match self.known.get(&file.name).and_then(|index| self.files.get(*index)) {
            Some(first) if (first.algorithm, &first.hex) == (file.algorithm, &file.hex) => Ok(()),
            Some(first) => Err(BadSource::Contradiction { name: file.name, line: first.line }),
            None if self.files.len() >= MAX_FILES => Err(BadSource::TooLarge),
            None => {
                self.known.insert(file.name.clone(), self.files.len());
                self.files.push(file);
                Ok(())
            }
        }
    }
}

/// One line; an error comes with the byte of the line where it is wrong.
fn entry(line: &str, number: usize) -> Result<Option<SourceFile>, (usize, BadSource)> {
    let at = |piece: &str| piece.as_ptr().addr().saturating_sub(line.as_ptr().addr());
    let text = line.trim_matches([' ', '\t', '\r']);
    if text.is_empty() {
        return Ok(None);
    }
    let (first, rest) = text.split_once([' ', '\t']).ok_or((at(text), BadSource::Malformed))?;
    let (algorithm, name, hex) = match rest.strip_prefix('(') {
        Some(inner) => {
            let (name, hex) = inner.split_once(") = ").ok_or((at(rest), BadSource::Malformed))?;
            let unknown = || (at(first), BadSource::Algorithm(shortened(first)));
            (Algorithm::named(first).ok_or_else(unknown)?, name, hex)
        }
        // A `*` marks files read as binary.
        None => {
            let name = rest.trim_start_matches([' ', '\t']);
            (Algorithm::Md5, name.strip_prefix('*').unwrap_or(name), first)
        }
    };
    if hex.len() != algorithm.hex_digits() || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err((at(hex), BadSource::Checksum { algorithm }));
    }
    if !is_plain(name) {
        return Err((at(name), BadSource::Name(shortened(name))));
    }
    let (name, hex) = (name.to_owned(), hex.to_ascii_lowercase());
    Ok(Some(SourceFile { name, algorithm, hex, line: number }))
}

fn is_plain(name: &str) -> bool {
    let is_reserved = matches!(name, "" | "." | "..") || name.eq_ignore_ascii_case(".git");
    let is_odd = |c: char| c == '/' || c.is_control() || c.is_whitespace();
    !is_reserved && name.len() <= MAX_NAME && !name.contains(is_odd)
}

fn shortened(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";
    const SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(parse_sources("sources", text.as_bytes()).unwrap_err().to_string(), shown);
    }

    #[test]
    fn both_forms_are_read_and_repetition_counts_once() {
        let text = format!(
            "SHA256 (a-1.0.tar.gz) = {}\n\n{MD5}  b.zip\r\n{MD5} *c\nSHA256 (a-1.0.tar.gz) = {SHA256}\n",
            SHA256.to_uppercase()
        );
        let files = parse_sources("sources", text.as_bytes()).unwrap();
        let shown: Vec<_> = files.iter().map(|file| (file.name(), file.algorithm(), file.hex(), file.line())).collect();
        let expected = [
            ("a-1.0.tar.gz", Algorithm::Sha256, SHA256, 1),
            ("b.zip", Algorithm::Md5, MD5, 3),
            ("c", Algorithm::Md5, MD5, 4),
        ];
        assert_eq!(shown, expected);
        assert_eq!(parse_sources("sources", b"").unwrap(), []);
    }

    #[test]
    fn errors_point_at_what_is_wrong() {
        let hex_of_md5 = "not a checksum in md5: it has 32 hex digits";
        let forms = "expected `SHA512 (file) = checksum`, or a checksum in MD5 and a file name";
        check("\nword\n", &format!("sources:2:1: {forms}"));
        check("SHA256 (a) == 00", &format!("sources:1:8: {forms}"));
        check("  CRC (a) = 00", "sources:1:3: `CRC` is not one of MD5, SHA1, SHA256 and SHA512");
        check("MD5 (ä) = 00", &format!("sources:1:11: {hex_of_md5}"));
        check("zz  file", &format!("sources:1:1: {hex_of_md5}"));
        check(&format!("{MD5}  a\nSHA256 (a) = {SHA256}"), "sources:2:1: `a` has another checksum in line 1");
        assert_eq!(parse_sources("s", b"ab\xff").unwrap_err().to_string(), "s:1:3: not UTF-8");
    }

    #[test]
    fn names_stay_in_their_directory() {
        for name in ["../a", "/etc/passwd", "a/b", "..", ".", ".git", "a b", "a\u{0}b", &"a".repeat(256)] {
            let error = parse_sources("sources", format!("MD5 ({name}) = {MD5}").as_bytes()).unwrap_err();
            assert!(matches!(error.reason, BadSource::Name(_)), "{name}");
        }
        check(&format!("{MD5}  ../x"), "sources:1:35: `../x` is not a plain file name");
    }

    #[test]
    fn more_than_a_package_has_is_refused() {
        let many: String = (0..=MAX_FILES).map(|number| format!("{MD5}  f{number}\n")).collect();
        let error = parse_sources("sources", many.as_bytes()).unwrap_err();
        assert_eq!((error.line, error.reason), (MAX_FILES + 1, BadSource::TooLarge));
        let large = vec![b'\n'; MAX_BYTES + 1];
        assert_eq!(parse_sources("sources", &large).unwrap_err().reason, BadSource::TooLarge);
    }
}
