//! A bill of materials on its way from who demands it to where it goes.

use std::path::PathBuf;
use std::sync::Arc;

use proof::sbom::{Format, Sbom};

/// What was demanded on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SbomDemand {
    /// The kind of document; none leaves it to the site.
    pub format: Option<Format>,
    /// The file it is written to (`--sbom-output`).
    pub output: Option<PathBuf>,
    /// The file the package URLs are written to (`--sbom-purl-output`).
    pub purl_output: Option<PathBuf>,
    /// Whether it is to be attached to the pushed image (`--sbom true`).
    pub attach: bool,
}

impl SbomDemand {
    /// Whether there is to be one at all.
    #[must_use]
    pub fn is_demanded(&self) -> bool {
        self.output.is_some() || self.purl_output.is_some() || self.attach
    }
}

/// A bill of materials, and what is to be done with it once the image is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bill {
    /// It.
    pub sbom: Arc<Sbom>,
    /// Files it is written to.
    pub files: Vec<PathBuf>,
    /// Files its package URLs are written to.
    pub purl_files: Vec<PathBuf>,
    /// Whether it is written beside every file that the record is written to.
    pub beside_record: bool,
    /// Whether it is attached to the image in each registry.
    pub attach: bool,
}
