//! The primary file: which packages a repository has.
//!
//! What comes in: a stream, compressed or not. What goes out: package after package, where it is and what
//! it must hash to. Nothing is kept: the caller decides what of 70,000 packages it wants to remember.

use std::io::Read;

use super::repomd::checksum;
use super::xml::{Document, Element};
use super::{Checksum, MAX_PACKAGES, RepositoryError, RepositoryProblem, href, is_word};
use crate::Nevra;

/// A package of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageLocation {
    /// Where it is, relative to `base` or else to the repository: no `..`, no scheme, nothing absolute.
    pub href: String,
    /// The URL it is relative to, if that is not the repository (`xml:base`); as written, without spaces.
    pub base: Option<String>,
    /// Of the whole package file.
    pub checksum: Checksum,
    /// Of the package file, in bytes.
    pub size: u64,
    /// `name-epoch:version-release.arch`, without an epoch of 0. What the metadata says, not a header.
    pub nevra: String,
}

/// Calls `each` for every package of a primary file as it is read, and counts them.
///
/// Plain, gzip, zstd, xz and bzip2 are told by the first bytes; `href` only names the file in errors. Memory
/// stays bounded, whatever the file. `each` has seen the packages before a mistake by the time of an error.
///
/// # Errors
/// [`RepositoryError`] for the first mistake, and where `reader` fails.
pub fn read_primary(
    reader: impl Read,
    href: &str,
    each: &mut dyn FnMut(PackageLocation),
) -> Result<u64, RepositoryError> {
    let mut document = Document::open(href, reader)?;
    document.root("metadata")?;
    let mut count = 0;
    while let Some(element) = document.child()? {
        if element.name() != "package" {
            document.skip()?;
            continue;
        }
        count += 1;
        if count > MAX_PACKAGES {
            let problem = RepositoryProblem::TooLarge { what: "packages", limit: MAX_PACKAGES };
            return Err(document.error_in(&element, problem));
        }
        each(package(&mut document, &element)?);
    }
    document.finish()?;
    Ok(count)
}

/// What a `<package>` says, before it is known whether that is all.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    arch: Option<String>,
    version: Option<Version>,
    checksum: Option<Checksum>,
    size: Option<u64>,
    location: Option<Location>,
}

struct Version {
    epoch: Option<u32>,
    version: String,
    release: String,
}

struct Location {
    href: String,
    base: Option<String>,
}

impl Draft {
    /// Takes in one element of a package, and goes out of it.
    fn take(&mut self, document: &mut Document<'_>, element: &Element) -> Result<(), RepositoryError> {
        let is_twice = match element.name() {
            "name" => self.name.replace(word(document, element, "name")?).is_some(),
            "arch" => self.arch.replace(word(document, element, "arch")?).is_some(),
            "checksum" => self.checksum.replace(checksum(document, element)?).is_some(),
            "version" => self.version.replace(version(document, element)?).is_some(),
            "size" => self.size.replace(size(document, element)?).is_some(),
            "location" => self.location.replace(location(document, element)?).is_some(),
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

    /// The package, or what is missing.
    fn finish(self) -> Result<PackageLocation, &'static str> {
        let Location { href, base } = self.location.ok_or("location")?;
        let Version { epoch, version, release } = self.version.ok_or("version")?;
        let name = self.name.ok_or("name")?;
        let nevra = Nevra { name, epoch, version, release, arch: Some(self.arch.ok_or("arch")?) }.to_string();
        let checksum = self.checksum.ok_or("checksum")?;
        Ok(PackageLocation { href, base, checksum, size: self.size.ok_or("size")?, nevra })
    }
}

fn package(document: &mut Document<'_>, package: &Element) -> Result<PackageLocation, RepositoryError> {
    let mut draft = Draft::default();
    while let Some(element) = document.child()? {
        draft.take(document, &element)?;
    }
    let missing = |part| RepositoryProblem::Missing { element: "package", part };
    draft.finish().map_err(|part| document.error_in(package, missing(part)))
}

fn word(document: &mut Document<'_>, element: &Element, part: &'static str) -> Result<String, RepositoryError> {
    let text = document.text(part)?;
    checked_word(part, text).map_err(|problem| document.error_in(element, problem))
}

fn checked_word(part: &'static str, text: String) -> Result<String, RepositoryProblem> {
    if is_word(&text) && text.len() <= 1024 {
        Ok(text)
    } else {
        Err(RepositoryProblem::value(part, &text, "a word of at most 1024 bytes"))
    }
}

fn version(document: &mut Document<'_>, element: &Element) -> Result<Version, RepositoryError> {
    let error = |problem| document.error_in(element, problem);
    let part = |name| checked_word(name, document.required(element, "version", name)?).map_err(error);
    let epoch = document.attribute(element, "epoch")?.unwrap_or_default();
    let epoch = match epoch.as_str() {
        "" => 0,
        text => text.parse().map_err(|_| error(RepositoryProblem::value("epoch", text, "a number")))?,
    };
    let version =
        Version { epoch: Some(epoch).filter(|epoch| *epoch != 0), version: part("ver")?, release: part("rel")? };
    document.skip()?;
    Ok(version)
}

fn size(document: &mut Document<'_>, element: &Element) -> Result<u64, RepositoryError> {
    let text = document.required(element, "size", "package")?;
    let problem = |_| document.error_in(element, RepositoryProblem::value("size", &text, "a number of bytes"));
    let size = text.parse().map_err(problem)?;
    document.skip()?;
    Ok(size)
}

fn location(document: &mut Document<'_>, element: &Element) -> Result<Location, RepositoryError> {
    let href = document.required(element, "location", "href")?;
    let href = href::relative(&href).map_err(|problem| document.error_in(element, problem))?;
    let base = document.attribute(element, "xml:base")?.filter(|base| !base.is_empty());
    let base = base.map(|base| checked_word("xml:base", base)).transpose();
    let base = base.map_err(|problem| document.error_in(element, problem))?;
    document.skip()?;
    Ok(Location { href, base })
}
