//! RPM data: headers, installed-package databases, signatures, repository files.
//!
//! What comes in: files out of an image (a package database and its write-ahead log), OpenPGP public
//! keys from the site's configuration, `.repo` files. What goes out: packages with a verdict each on
//! their header signature. The whole way is [`database::read`] → [`inspect()`](inspect::inspect).
//!
//! Everything out of an image is hostile: it is bounded, checked before it is used, and an answer about
//! a package comes only from the part of its header that the signature covers. This crate never runs
//! rpm, never asks a clock, and never takes a trust anchor from an image.

pub mod database;
pub mod header;
pub mod inspect;
pub mod keys;
pub mod nevra;
pub mod repofile;
pub mod repository;
pub mod signature;
#[cfg(test)]
mod testing;

pub use inspect::{Package, inspect};
pub use keys::{Fingerprint, KeyId, Keyring};
pub use nevra::Nevra;
pub use signature::{Policy, Verdict};
