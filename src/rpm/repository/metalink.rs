//! Metalinks and mirror lists: where else a repository is.
//!
//! What comes in: what a server answers for `metalink` and `mirrorlist` of a `.repo` file. What goes out:
//! URLs of the repository over http or https, and what a metalink says its `repomd.xml` must hash to. The
//! format is Metalink 3.0 with MirrorManager's `mm0:alternates`, which names older `repomd.xml` that
//! mirrors may still have.

use std::cmp::Reverse;

use super::repomd::{checksum, number};
use super::xml::{Document, Element};
use super::{Checksum, MAX_MIRRORS, MAX_SMALL_BYTES, RepositoryError, RepositoryProblem, is_word};

/// What a metalink says about the `repomd.xml` of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metalink {
    /// Where the repository is: the URLs of its `repodata/repomd.xml` without that end, with a slash last.
    /// Only http and https; the best first, by `preference`, then in the order of the file.
    pub mirrors: Vec<String>,
    /// Any of these may match `repomd.xml`: first those of the newest, then those of its alternates. Of one
    /// file there can be several, weak ones too.
    pub repomd: Vec<Checksum>,
    /// Of the newest `repomd.xml`, in bytes; an alternate can have another.
    pub size: Option<u64>,
}

/// Where a repository has its `repomd.xml`.
const REPOMD: &str = "repodata/repomd.xml";
/// Longest URL, in bytes; longer ones are left out.
const MAX_URL: usize = 2048;
/// Most checksums of a `repomd.xml`.
const MAX_CHECKSUMS: u64 = 1_000;

impl Metalink {
    /// Parses a metalink.
    ///
    /// # Errors
    /// [`RepositoryError`] for the first mistake. A metalink without a file `repomd.xml` is one; one without
    /// mirrors or checksums is not.
    pub fn parse(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let mut document = Document::plain("metalink", bytes)?;
        document.root("metalink")?;
        let mut found = None;
        while let Some(element) = document.child()? {
            match element.name() {
                "files" => files(&mut document, &mut found)?,
                _ => document.skip()?,
            }
        }
        document.finish()?;
        let missing = RepositoryProblem::Missing { element: "files", part: "file repomd.xml" };
        found.map(Draft::finish).ok_or_else(|| document.error(missing))
    }
}

/// The URLs of a mirror list: one a line, `#` begins a comment; what is not http or https is left out.
///
/// Each is of the repository, as written. No more than [`MAX_MIRRORS`] of the first [`MAX_SMALL_BYTES`]
/// bytes are given; nothing is a mistake, so an HTML page in its place gives an empty list.
#[must_use]
pub fn parse_mirrorlist(bytes: &[u8]) -> Vec<String> {
    let limit = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let bytes = bytes.get(..limit(MAX_SMALL_BYTES)).unwrap_or(bytes);
    let lines = bytes.split(|byte| matches!(byte, b'\n' | b'\r'));
    let texts = lines.filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim);
    texts.filter(|url| is_web(url)).map(str::to_owned).take(limit(MAX_MIRRORS)).collect()
}

fn is_web(url: &str) -> bool {
    let has_host = |(scheme, rest): (&str, &str)| {
        let is_scheme = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        is_scheme && !rest.is_empty() && !rest.starts_with('/')
    };
    url.len() <= MAX_URL && is_word(url) && url.split_once("://").is_some_and(has_host)
}

#[derive(Default)]
struct Draft {
    mirrors: Vec<(Reverse<u32>, String)>,
    repomd: Vec<Checksum>,
    size: Option<u64>,
}

impl Draft {
    fn finish(self) -> Metalink {
        let Self { mut mirrors, repomd, size } = self;
        mirrors.sort_by_key(|(preference, _)| *preference);
        Metalink { mirrors: mirrors.into_iter().map(|(_, url)| url).collect(), repomd, size }
    }
}

fn files(document: &mut Document<'_>, found: &mut Option<Draft>) -> Result<(), RepositoryError> {
    while let Some(element) = document.child()? {
        let name = document.attribute(&element, "name")?;
        if element.name() != "file" || name.as_deref() != Some("repomd.xml") {
            document.skip()?;
        } else if found.replace(file(document)?).is_some() {
            let problem = RepositoryProblem::Twice { part: "file", value: "repomd.xml".to_owned() };
            return Err(document.error_in(&element, problem));
        }
    }
    Ok(())
}

fn file(document: &mut Document<'_>) -> Result<Draft, RepositoryError> {
    let mut draft = Draft::default();
    while let Some(element) = document.child()? {
        match element.name() {
            "size" => draft.size = Some(number(document, &element, "size")?),
            "verification" => verification(document, &mut draft)?,
            "mm0:alternates" => alternates(document, &mut draft)?,
            "resources" => resources(document, &mut draft)?,
            _ => document.skip()?,
        }
    }
    Ok(draft)
}

fn verification(document: &mut Document<'_>, draft: &mut Draft) -> Result<(), RepositoryError> {
    while let Some(element) = document.child()? {
        if element.name() != "hash" {
            document.skip()?;
            continue;
        }
        draft.repomd.push(checksum(document, &element)?);
        if draft.repomd.len() as u64 > MAX_CHECKSUMS {
            let problem = RepositoryProblem::TooLarge { what: "checksums", limit: MAX_CHECKSUMS };
            return Err(document.error_in(&element, problem));
        }
    }
    Ok(())
}

fn alternates(document: &mut Document<'_>, draft: &mut Draft) -> Result<(), RepositoryError> {
    while let Some(element) = document.child()? {
        if element.name() != "mm0:alternate" {
            document.skip()?;
            continue;
        }
        while let Some(element) = document.child()? {
            match element.name() {
                "verification" => verification(document, draft)?,
                _ => document.skip()?,
            }
        }
    }
    Ok(())
}

fn resources(document: &mut Document<'_>, draft: &mut Draft) -> Result<(), RepositoryError> {
    while let Some(element) = document.child()? {
        if element.name() != "url" {
            document.skip()?;
            continue;
        }
        let preference = preference(document, &element)?;
        let url = document.text("url")?;
        // Mirrors over rsync and ftp stand among the others; they are of no use here.
        let root = url.strip_suffix(REPOMD).filter(|root| is_web(root) && root.ends_with('/'));
        let Some(root) = root else { continue };
        draft.mirrors.push((Reverse(preference), root.to_owned()));
        if draft.mirrors.len() as u64 > MAX_MIRRORS {
            let problem = RepositoryProblem::TooLarge { what: "mirrors", limit: MAX_MIRRORS };
            return Err(document.error_in(&element, problem));
        }
    }
    Ok(())
}

/// 100 is best; nothing, and what is no number, is worst: order decides nothing but speed.
fn preference(document: &Document<'_>, element: &Element) -> Result<u32, RepositoryError> {
    let text = document.attribute(element, "preference")?;
    Ok(text.and_then(|text| text.trim().parse().ok()).unwrap_or(0))
}
