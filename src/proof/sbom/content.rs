//! What documents of every format say of packages.
//!
//! Comes in: the report on an image's packages. Goes out: its packages, sorted, each once, as texts that are there or
//! are not, within limits. It says nothing of what signatures are worth, which depends on who has which keys.

use rpm::{Nevra, Package};

use super::purl::Purl;
use super::{MAX_TEXT, SbomError};
use crate::{Distribution, Report};

/// The longest part of a name that is listed, in bytes: file systems, and so rpm files, have none longer.
const MAX_NAME: usize = 255;
/// The longest other text that is repeated, in bytes.
const MAX_VALUE: usize = 64 * 1024;
/// The longest licence that is looked at, in bytes, to find out whether it is an SPDX expression.
const MAX_EXPRESSION: usize = 16 * 1024;

/// The packages of an image.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// By package URL.
    pub(super) packages: Vec<Listed>,
    /// Rows of the database that name no package.
    pub(super) unreadable: usize,
}

/// A package as documents list it. Texts are not empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) purl: String,
    pub(super) name: String,
    /// `[epoch:]version-release`.
    pub(super) version: String,
    pub(super) sha256header: Option<String>,
    pub(super) sigmd5: Option<String>,
    pub(super) vendor: Option<String>,
    pub(super) license: Option<License>,
    pub(super) source_rpm: Option<String>,
    /// Keys that the signatures name.
    pub(super) keys: Vec<String>,
}

/// What a package says its licence is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum License {
    /// An SPDX licence expression.
    Expression(String),
    /// Any other text, such as Fedora's names before SPDX.
    Name(String),
}

impl License {
    pub(super) fn of(text: String) -> Self {
        if is_expression(&text) { Self::Expression(text) } else { Self::Name(text) }
    }
}

/// Whether a text is an SPDX expression whose licences are on SPDX's list and not deprecated.
fn is_expression(text: &str) -> bool {
    // `MIT and Zlib` is Fedora's old way of writing, in which MIT stood for more than SPDX's.
    let is_operator = |word: &str| ["and", "or", "with"].iter().any(|operator| word.eq_ignore_ascii_case(operator));
    let mut words = text.split(|c: char| c.is_whitespace() || c == '(' || c == ')');
    let is_lower = |word: &str| is_operator(word) && word.bytes().any(|byte| byte.is_ascii_lowercase());
    // Other documents and SPDX 3 have names that mean nothing in a document by itself.
    let is_foreign = ["DocumentRef-", "AdditionRef-"].iter().any(|prefix| text.contains(prefix));
    text.len() <= MAX_EXPRESSION
        && !is_foreign
        && !words.any(is_lower)
        && spdx::Expression::parse_mode(text, spdx::ParseMode::STRICT).is_ok()
}

impl Content {
    /// # Errors
    /// [`SbomError::TooLarge`].
    pub(super) fn of(report: &Report) -> Result<Self, SbomError> {
        let mut content = Self::default();
        let mut bytes = 0;
        for package in &report.packages {
            match package.nevra.as_ref().filter(|nevra| is_short(nevra)) {
                None => content.unreadable += 1,
                Some(nevra) => {
                    let listed = listed(package, nevra, report.distribution.as_ref());
                    bytes += listed.size();
                    content.packages.push(listed);
                }
            }
            if bytes > MAX_TEXT {
                return Err(SbomError::TooLarge);
            }
        }
        content.packages.sort();
        // Two databases that differ in the time of installation only list every package twice.
        content.packages.dedup();
        Ok(content)
    }

    /// The packages with names no two of them have, which are their package URLs but for what is there twice.
    pub(super) fn named(&self) -> impl Iterator<Item = (String, &Listed)> {
        let mut last: Option<(&str, usize)> = None;
        self.packages.iter().map(move |package| {
            let count = match last {
                Some((purl, count)) if purl == package.purl => count + 1,
                Some(_) | None => 1,
            };
            last = Some((&package.purl, count));
            // A package URL has its number signs encoded, so this is nobody else's.
            let name = if count == 1 { package.purl.clone() } else { format!("{}#{count}", package.purl) };
            (name, package)
        })
    }
}

fn is_short(nevra: &Nevra) -> bool {
    let arch = nevra.arch.as_deref().unwrap_or_default();
    [&nevra.name, &nevra.version, &nevra.release, arch].iter().all(|part| part.len() <= MAX_NAME)
}

fn listed(package: &Package, nevra: &Nevra, distribution: Option<&Distribution>) -> Listed {
    let evr = format!("{}-{}", nevra.version, nevra.release);
    let qualifiers = [
        ("arch", nevra.arch.clone()),
        ("distro", distribution.map(Distribution::name)),
        ("epoch", nevra.epoch.map(|epoch| epoch.to_string())),
    ];
    let purl = Purl {
        kind: "rpm",
        namespace: distribution.map(|distribution| distribution.id.as_str()),
        name: &nevra.name,
        version: Some(&evr),
        qualifiers: &qualifiers,
    };
    Listed {
        purl: purl.text(),
        name: nevra.name.clone(),
        version: nevra.epoch.map_or_else(|| evr.clone(), |epoch| format!("{epoch}:{evr}")),
        sha256header: package.sha256header.clone(),
        sigmd5: package.sigmd5.clone(),
        vendor: text(package.vendor.as_deref()),
        license: text(package.license.as_deref()).map(License::of),
        source_rpm: text(package.source_rpm.as_deref()),
        keys: package.signatures.iter().map(ToString::to_string).collect(),
    }
}

/// A text that says something: neither blank nor longer than people write.
fn text(value: Option<&str>) -> Option<String> {
    value.map(str::trim).filter(|value| !value.is_empty() && value.len() <= MAX_VALUE).map(str::to_owned)
}

impl Listed {
    /// Bytes of its texts, the package URL as often as a document has it.
    fn size(&self) -> usize {
        let license = match &self.license {
            Some(License::Expression(text) | License::Name(text)) => text.len(),
            None => 0,
        };
        let texts = [&self.vendor, &self.source_rpm].into_iter().flatten().map(String::len).sum::<usize>();
        self.purl.len() * 4 + self.name.len() + self.version.len() + license + texts + self.keys.len() * 16
    }
}
