//! A layout as the entries of a tar (containers-transports(5), "oci-archive").

use std::collections::BTreeMap;

use super::read::blob_path;
use super::write::empty_index;
use super::{BLOBS, INDEX, MARKER, REF_NAME, marker_text};
use crate::manifest::{Descriptor, ManifestError, canonical};
use crate::parts::Part;
use crate::tarball::Content;
use crate::{Digest, Reference};

/// What containerd and its users call an image in an index.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// The entries of a tar with one manifest or index, listed under each of `names`, and the blobs it needs.
///
/// # Errors
/// [`ManifestError::Json`]; in practice never.
pub fn entries(
    manifest: &Descriptor,
    names: &[String],
    blobs: Vec<(Digest, Part)>,
) -> Result<BTreeMap<String, Content>, ManifestError> {
    let mut index = empty_index();
    index.manifests = names.iter().map(|name| named(manifest, name)).collect();
    if index.manifests.is_empty() {
        index.manifests.push(manifest.clone());
    }
    let index = canonical(&index).map_err(|source| ManifestError::Json { source })?;
    let mut entries = BTreeMap::from([
        (INDEX.to_owned(), Content::Bytes(index)),
        (MARKER.to_owned(), Content::Bytes(marker_text().into_bytes())),
        (format!("{BLOBS}/"), Content::Directory),
    ]);
    for (digest, part) in blobs {
        let path = blob_path(&digest);
        let directory = path.trim_end_matches(digest.hex());
        entries.insert(directory.to_owned(), Content::Directory);
        entries.insert(path, Content::Part(part));
    }
    Ok(entries)
}

/// The descriptor under a name. A whole reference is what containerd looks for too.
fn named(manifest: &Descriptor, name: &str) -> Descriptor {
    let mut entry = manifest.clone();
    entry.annotations.insert(REF_NAME.to_owned(), name.to_owned());
    let is_reference = name.parse::<Reference>().is_ok_and(|reference| reference.to_string() == name);
    if is_reference {
        entry.annotations.insert(CONTAINERD_NAME.to_owned(), name.to_owned());
    }
    entry
}
