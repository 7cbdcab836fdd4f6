//! OpenShift and Kubernetes: the API, and what a pod is given.
//!
//! Comes in: where the API is and who we are to it, as values ([`Surroundings`], [`Access`]). Goes out: objects read,
//! annotations and labels written, images imported; or a [`ClusterError`] that says whose turn it is. It reads no
//! environment and, of files, the token's only; it decides nothing about images, changes nothing of an object but what
//! it is told to, and shows a token nowhere.

mod access;
pub mod build_object;
mod client;
mod error;
mod fields;
mod images;
#[cfg(test)]
#[path = "../../tests/stories/support/cluster.rs"]
mod stand_in;
pub mod termination;
#[cfg(test)]
mod tests;
mod token;

pub use access::{Access, Surroundings};
pub use client::{Client, Marks, Object};
pub use error::{ClusterError, Denied, Kind};
pub use fields::WrongField;
pub use images::{ImageStream, ImageStreamTag, Import, Imported};
pub use token::ReadFile;
