//! `repomd.xml`: which metadata files a repository has.
//!
//! What comes in: its bytes. What goes out: the files, with where they are and what they must hash to.

use super::xml::{Document, Element};
use super::{Checksum, MAX_FILES, RepositoryError, RepositoryProblem, href, is_word};

/// What `repomd.xml` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repomd {
    /// The repository's revision; createrepo_c writes the time in seconds.
    pub revision: Option<String>,
    /// In the order of the file; no kind occurs twice.
    pub files: Vec<MetadataFile>,
}

/// A metadata file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataFile {
    /// `primary`, `filelists`, `updateinfo`, `primary_zck`, ….
    pub kind: String,
    /// Where it is, relative to the repository: no `..`, no scheme, nothing absolute.
    pub href: String,
    /// Of the file as it is served.
    pub checksum: Checksum,
    /// Of the file once decompressed.
    pub open_checksum: Option<Checksum>,
    /// In bytes, as it is served.
    pub size: Option<u64>,
    /// In bytes, once decompressed.
    pub open_size: Option<u64>,
}

impl Repomd {
    /// Parses the bytes of a `repomd.xml`, which is never compressed.
    ///
    /// # Errors
    /// [`RepositoryError`] for the first mistake. A kind that occurs twice is one, and so is a path with two
    /// checksums or a file that is not below the repository (`xml:base`).
    pub fn parse(bytes: &[u8]) -> Result<Self, RepositoryError> {
        let mut document = Document::plain("repomd.xml", bytes)?;
        document.root("repomd")?;
        let mut repomd = Self { revision: None, files: Vec::new() };
        while let Some(element) = document.child()? {
            match element.name() {
                "revision" => {
                    let text = document.text("revision")?;
                    repomd.revision = Some(text).filter(|text| !text.is_empty());
                }
                "data" => {
                    let file = file(&mut document, &element)?;
                    repomd.add(file).map_err(|problem| document.error_in(&element, problem))?;
                }
                _ => document.skip()?,
            }
        }
        document.finish()?;
        Ok(repomd)
    }

    /// The file of a kind.
    #[must_use]
    pub fn file(&self, kind: &str) -> Option<&MetadataFile> {
        self.files.iter().find(|file| file.kind == kind)
    }

    fn add(&mut self, file: MetadataFile) -> Result<(), RepositoryProblem> {
        if self.files.len() as u64 >= MAX_FILES {
            return Err(RepositoryProblem::TooLarge { what: "metadata files", limit: MAX_FILES });
        }
        if self.file(&file.kind).is_some() {
            return Err(RepositoryProblem::Twice { part: "data type", value: file.kind });
        }
        let is_other = |known: &MetadataFile| known.href == file.href && known.checksum != file.checksum;
        if self.files.iter().any(is_other) {
            return Err(RepositoryProblem::Twice { part: "href", value: file.href });
        }
        self.files.push(file);
        Ok(())
    }
}

/// What a `<data>` says, before it is known whether that is all.
#[derive(Default)]
struct Draft {
    href: Option<String>,
    checksum: Option<Checksum>,
    open_checksum: Option<Checksum>,
    size: Option<u64>,
    open_size: Option<u64>,
}

impl Draft {
    /// Takes in one element of a `<data>`, and goes out of it.
    fn take(&mut self, document: &mut Document<'_>, element: &Element) -> Result<(), RepositoryError> {
        let is_twice = match element.name() {
            "checksum" => self.checksum.replace(checksum(document, element)?).is_some(),
            "open-checksum" => self.open_checksum.replace(checksum(document, element)?).is_some(),
            "location" => self.href.replace(location(document, element)?).is_some(),
            "size" => self.size.replace(number(document, element, "size")?).is_some(),
            "open-size" => self.open_size.replace(number(document, element, "open-size")?).is_some(),
            _ => {
                document.skip()?;
                false
            }
        };
        if is_twice {
            return Err(document.twice(element));
        }
        Ok(())
    }
}

fn file(document: &mut Document<'_>, data: &Element) -> Result<MetadataFile, RepositoryError> {
    let kind = document.required(data, "data", "type")?;
    if !is_word(&kind) || kind.len() > 64 {
        let problem = RepositoryProblem::value("data type", &kind, "a word of at most 64 bytes");
        return Err(document.error_in(data, problem));
    }
    let mut draft = Draft::default();
    while let Some(element) = document.child()? {
        draft.take(document, &element)?;
    }
    let missing = |part| document.error_in(data, RepositoryProblem::Missing { element: "data", part });
    let Draft { href, checksum, open_checksum, size, open_size } = draft;
    let href = href.ok_or_else(|| missing("location"))?;
    let checksum = checksum.ok_or_else(|| missing("checksum"))?;
    Ok(MetadataFile { kind, href, checksum, open_checksum, size, open_size })
}

/// Where a file is; goes out of the element.
fn location(document: &mut Document<'_>, element: &Element) -> Result<String, RepositoryError> {
    if let Some(base) = document.attribute(element, "xml:base")? {
        let problem = RepositoryProblem::value("xml:base", &base, "absent from the location of metadata");
        return Err(document.error_in(element, problem));
    }
    let href = document.required(element, "location", "href")?;
    let href = href::relative(&href).map_err(|problem| document.error_in(element, problem))?;
    document.skip()?;
    Ok(href)
}

/// The checksum an element with a `type` has as its text; goes out of the element.
pub(super) fn checksum(document: &mut Document<'_>, element: &Element) -> Result<Checksum, RepositoryError> {
    let algorithm = document.required(element, "checksum", "type")?;
    let digits = document.text("checksum")?;
    Checksum::parse(&algorithm, &digits).map_err(|problem| document.error_in(element, problem))
}

/// The number an element has as its text; goes out of the element.
pub(super) fn number(
    document: &mut Document<'_>,
    element: &Element,
    part: &'static str,
) -> Result<u64, RepositoryError> {
    let text = document.text(part)?;
    let problem = |_| document.error_in(element, RepositoryProblem::value(part, &text, "a number of bytes"));
    text.parse().map_err(problem)
}
