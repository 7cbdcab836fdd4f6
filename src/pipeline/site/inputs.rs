//! What comes in besides the source, and the record that goes out.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Fault, Note};
use super::fields::Item;
use super::scalar;

/// Where files named by a `sources` file are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LookasideSite {
    /// The address, in the syntax of [`source::lookaside::Lookaside`], which takes it.
    pub url: String,
    /// Whether a file may be proven by MD5 or SHA-1 alone.
    pub allow_weak_checksums: bool,
    /// Largest file, in bytes; none leaves it to the caller.
    pub max_size: Option<u64>,
}

/// A repository file that every build gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepoSource {
    /// A file of this machine.
    File(PathBuf),
    /// An http or https URL of a file.
    Url(String),
}

/// What becomes of the record of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RecordSite {
    /// Whether it is attached to the image in the registry.
    pub push: bool,
    /// The file it is written to.
    pub path: Option<PathBuf>,
}

/// Files that no step may see (`hide_files`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HideFiles {
    /// Where the reference moves them to in the image; of no use here, where nothing is moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tmpdir: Option<PathBuf>,
    /// The files, as paths in the image.
    pub files: Vec<PathBuf>,
}

impl LookasideSite {
    pub(super) fn read(item: &Item<'_>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let url = template(&fields.need("url")?)?;
        let allow_weak_checksums = fields.read("allow_weak_checksums", Item::boolean)?.unwrap_or(false);
        let max_size = fields.read("max_size", scalar::size)?;
        fields.refuse_rest()?;
        Ok(Self { url, allow_weak_checksums, max_size })
    }
}

/// An address that `source` takes.
fn template(item: &Item<'_>) -> Result<String, Fault> {
    let text = scalar::url(item)?;
    source::lookaside::Lookaside::parse(&text).map_err(|error| item.fault(&error.to_string()))?;
    Ok(text)
}

impl RepoSource {
    pub(super) fn read(item: &Item<'_>, base: &Path) -> Result<Self, Fault> {
        if item.text_of("a path or an http or https URL")?.contains("://") {
            scalar::url(item).map(Self::Url)
        } else {
            scalar::path(item, base).map(Self::File)
        }
    }
}

impl RecordSite {
    pub(super) fn read(item: &Item<'_>, base: &Path) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let push = fields.read("push", Item::boolean)?.unwrap_or(false);
        let path = fields.read("path", |item| scalar::path(item, base))?;
        fields.refuse_rest()?;
        Ok(Self { push, path })
    }
}

impl HideFiles {
    pub(super) fn read(item: &Item<'_>, notes: &mut Vec<Note>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let path = |item: &Item<'_>| item.text_of("a path").map(PathBuf::from);
        let tmpdir = fields.take("tmpdir");
        notes.extend(tmpdir.iter().map(|item| {
            let text = "not used: files are hidden where they are".to_owned();
            Note { line: item.place.line, key: item.path.clone(), text }
        }));
        let tmpdir = tmpdir.as_ref().map(path).transpose()?;
        let files = fields.need("files")?.each(path)?;
        fields.note_rest(notes);
        Ok(Self { tmpdir, files })
    }
}
