//! A bill of materials: what an image is made of, for programs that look for known faults and licences.
//!
//! Comes in: what the image is ([`Subject`]) and the [`Report`] on its packages. Goes out: a document, CycloneDX 1.6 or
//! SPDX 2.3, and the package URLs in it. The document follows from the image and its name alone: one image under one
//! name gives the same bytes whoever makes them, when and where, and whatever keys they have. What a header does not
//! say is absent; nothing is guessed, and no scanner is run. Only packages of rpm are listed, and the document says so.

mod content;
mod cyclonedx;
mod purl;
mod spdx;
mod subject;

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::Serialize;
use serde_json::json;

use crate::{Code, Report};
use content::Content;
pub use subject::{Base, Subject};

/// The most that names and texts in a document may add up to, in bytes; thousands of packages have some megabytes.
pub const MAX_TEXT: usize = 64 << 20;

/// The kinds of documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// CycloneDX 1.6, as JSON.
    #[default]
    CycloneDx,
    /// SPDX 2.3, as JSON.
    Spdx,
}

impl Format {
    /// The media type of a document.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::CycloneDx => "application/vnd.cyclonedx+json",
            Self::Spdx => "application/spdx+json",
        }
    }

    /// What names of such files end in.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::CycloneDx => "cdx.json",
            Self::Spdx => "spdx.json",
        }
    }
}

/// Not the name of a format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no kind of bill of materials; there are cyclonedx and spdx")]
pub struct FormatError {
    /// The text.
    pub text: String,
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        match text {
            "cyclonedx" => Ok(Self::CycloneDx),
            "spdx" => Ok(Self::Spdx),
            _ => Err(FormatError { text: text.to_owned() }),
        }
    }
}

impl Display for Format {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::CycloneDx => "cyclonedx",
            Self::Spdx => "spdx",
        })
    }
}

/// A bill of materials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sbom {
    /// What it is.
    pub format: Format,
    /// The document: JSON in lines, with a line end.
    pub document: Vec<u8>,
    /// The package URLs of the packages, sorted, each once.
    pub purls: Vec<String>,
}

/// Why there is no bill of materials.
#[derive(Debug, thiserror::Error)]
pub enum SbomError {
    /// Packages would be missing from it.
    #[error("{database}: {message}, so packages would be missing from the bill of materials")]
    Unreadable {
        /// The database, by its path in the image.
        database: String,
        /// What is wrong with it.
        message: String,
    },
    /// More text than packages have.
    #[error("the names, licences and vendors of the image's packages add up to more than {MAX_TEXT} bytes")]
    TooLarge,
    /// The document cannot be written down.
    #[error("the bill of materials cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

/// The bill of materials of `subject`, whose packages `report` has.
///
/// An image without a package database gives a document without packages. Rows that cannot be read are counted in the
/// document, which calls itself incomplete then.
///
/// # Errors
/// [`SbomError`].
pub fn make(subject: &Subject, report: &Report, format: Format) -> Result<Sbom, SbomError> {
    if let Some(finding) = report.findings.iter().find(|finding| finding.code == Code::DatabaseUnreadable) {
        let (database, message) = (finding.subject.clone(), finding.message.clone());
        return Err(SbomError::Unreadable { database, message });
    }
    let content = Content::of(report)?;
    let document = match format {
        Format::CycloneDx => cyclonedx::document(subject, &content)?,
        Format::Spdx => spdx::document(subject, &content)?,
    };
    let mut purls: Vec<String> = content.packages.iter().map(|package| package.purl.clone()).collect();
    purls.dedup();
    Ok(Sbom { format, document, purls })
}

impl Sbom {
    /// The list of package URLs as `buildah build --sbom-purl-output` writes it: JSON in one line, with a line end.
    #[must_use]
    pub fn purl_list(&self) -> Vec<u8> {
        let mut contents = serde_json::Map::new();
        if !self.purls.is_empty() {
            contents.insert("dependencies".to_owned(), json!(self.purls));
        }
        format!("{}\n", json!({"image_contents": contents})).into_bytes()
    }
}

/// The program that makes documents.
const TOOL: (&str, &str) = ("stratum", env!("CARGO_PKG_VERSION"));

fn in_lines(document: &impl Serialize) -> Result<Vec<u8>, SbomError> {
    let mut bytes = serde_json::to_vec_pretty(document)?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// A UUID that follows from `bytes` (RFC 9562, version 8: bits of their SHA-256).
fn uuid(bytes: &[u8]) -> String {
    let digest = oci::Digest::of(bytes);
    let mut text = String::with_capacity(36);
    for (position, digit) in digest.hex().chars().take(32).enumerate() {
        if [8, 12, 16, 20].contains(&position) {
            text.push('-');
        }
        text.push(match position {
            12 => '8',
            // The variant takes the two highest bits.
            16 => ['8', '9', 'a', 'b'].get(digit.to_digit(16).unwrap_or(0) as usize % 4).copied().unwrap_or('8'),
            _ => digit,
        });
    }
    text
}

#[cfg(test)]
mod tests;
