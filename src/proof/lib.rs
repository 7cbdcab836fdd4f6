//! The checks on an image's packages; `inspect` and the gate share them.
//!
//! Comes in: package databases out of an image, as a tree or as layers, and the site's keys. Goes out: a [`Report`]
//! with a verdict for every package and the findings that follow from them, and on demand a bill of materials made of
//! it ([`sbom`]). Trust never comes from the image, an
//! image's own rpm is never run, and nothing here changes what is judged.

mod collect;
mod distribution;
mod report;
pub mod sbom;

pub use collect::{CollectError, Collected, Database, LOOKED_AT, from_image, from_tree};
pub use distribution::Distribution;
pub use report::{Code, Finding, Refused, Report, Severity, examine, verdict_name};
