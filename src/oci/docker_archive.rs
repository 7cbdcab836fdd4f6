//! The archive of `docker save` and `podman save`, in and out.
//!
//! Comes in: a tar of anybody, whose `manifest.json` lists images by config and layers (moby, image/spec/v1.2,
//! "Combined Image JSON + Filesystem Changeset Format"). Goes out: an image in Docker's media types. Such an archive
//! holds no registry manifest and names no digest of a layer: the manifest given here is made of what is there, the
//! same for the same archive. For writing: which entries an image becomes. It never unpacks anything.

mod legacy;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::ImageConfig;
use crate::digest::Hasher;
use crate::layout::LayoutError;
use crate::manifest::{Compression, Descriptor, Format, MAX_MANIFEST, Manifest, ManifestError, canonical};
use crate::parts::{BlobReader, Part, Parts};
use crate::tarball::{Content, Tarball};
use crate::{DiffId, Digest, Reference};

const MANIFEST: &str = "manifest.json";
const REPOSITORIES: &str = "repositories";
/// Bytes of the largest config read.
const MAX_CONFIG: u64 = 8 << 20;

/// Which image of an archive is meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Wanted {
    /// The only one there is.
    Only,
    /// The one of this name.
    Tag(Reference),
    /// The one at this position, from 0.
    Position(usize),
}

/// An image in an archive.
#[derive(Debug)]
pub struct DockerImage {
    parts: Parts,
    /// Its config as it is in the archive.
    pub config: Vec<u8>,
    /// A manifest for it.
    pub manifest: Manifest,
    /// The files of its layers, base first.
    layers: Vec<String>,
}

/// One image, as `manifest.json` lists it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// Why an archive has no image to be read.
#[derive(Debug, thiserror::Error)]
pub enum DockerArchiveError {
    /// The tar, or a file in it.
    #[error(transparent)]
    Parts(#[from] LayoutError),
    /// No archive of this kind.
    #[error("{archive}: it has no manifest.json, so it is no docker-archive; for a layout in a tar say oci-archive:")]
    NoManifest {
        /// The tar.
        archive: String,
    },
    /// Its list of images cannot be understood.
    #[error("{archive}: manifest.json is malformed: {source}")]
    Manifest {
        /// The tar.
        archive: String,
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// Its config cannot be understood.
    #[error("{archive}: {name}: {source}")]
    Config {
        /// The tar.
        archive: String,
        /// The config's name.
        name: String,
        /// What is wrong with it.
        source: ManifestError,
    },
    /// A file that `manifest.json` names and the archive does not have.
    #[error("{archive}: manifest.json names `{name}`, which is not in the archive")]
    Missing {
        /// The tar.
        archive: String,
        /// The file.
        name: String,
    },
    /// Layers and config disagree.
    #[error("{archive}: manifest.json lists {layers} layers, the config {diff_ids}")]
    LayerCount {
        /// The tar.
        archive: String,
        /// In `manifest.json`.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// No image of that name, or no name where there are several images.
    #[error("{archive}: {wanted}; the archive has: {present}")]
    NotFound {
        /// The tar.
        archive: String,
        /// What was looked for.
        wanted: String,
        /// The names there are.
        present: String,
    },
}

impl DockerImage {
    /// Finds an image in an archive. Layers that are compressed are read once, to know their digests.
    ///
    /// # Errors
    /// [`DockerArchiveError`].
    pub fn open(tarball: Arc<Tarball>, wanted: &Wanted) -> Result<Self, DockerArchiveError> {
        let archive = tarball.path().display().to_string();
        let parts = Parts::Tarball(tarball);
        let no_manifest = || DockerArchiveError::NoManifest { archive: archive.clone() };
        let text = parts.small(MANIFEST, MAX_MANIFEST as u64)?.ok_or_else(no_manifest)?;
        let items: Vec<Item> = serde_json::from_slice(&text)
            .map_err(|source| DockerArchiveError::Manifest { archive: archive.clone(), source })?;
        let item = select(&archive, items, wanted)?;
        let missing = |name: &str| DockerArchiveError::Missing { archive: archive.clone(), name: name.to_owned() };
        let config = parts.small(&item.config, MAX_CONFIG)?.ok_or_else(|| missing(&item.config))?;
        let parsed = ImageConfig::parse(&config).map_err(|source| DockerArchiveError::Config {
            archive: archive.clone(),
            name: item.config.clone(),
            source,
        })?;
        let layers = item.layers.unwrap_or_default();
        let diff_ids = &parsed.rootfs.diff_ids;
        if layers.len() != diff_ids.len() {
            let (layers, diff_ids) = (layers.len(), diff_ids.len());
            return Err(DockerArchiveError::LayerCount { archive, layers, diff_ids });
        }
        let mut descriptors = Vec::new();
        for (name, diff_id) in layers.iter().zip(diff_ids) {
            let part = parts.part(name)?.ok_or_else(|| missing(name))?;
            descriptors.push(descriptor(part, diff_id).map_err(parts.unreadable(name))?);
        }
        let described = Descriptor::new(Format::Docker.config(), Digest::of(&config), config.len() as u64);
        Ok(Self { parts, config, manifest: Manifest::new(Format::Docker, described, descriptors), layers })
    }

    /// A layer of the manifest as it lies in the archive, checked while it is read.
    ///
    /// # Errors
    /// [`LayoutError`].
    pub fn layer(&self, layer: &Descriptor) -> Result<BlobReader, LayoutError> {
        let position = self.manifest.layers.iter().position(|known| known.digest == layer.digest);
        let name = position.and_then(|position| self.layers.get(position));
        let missing = || LayoutError::Missing { path: self.parts.path().to_owned(), digest: layer.digest.clone() };
        self.parts.blob(name.ok_or_else(missing)?, layer)
    }
}

fn select(archive: &str, items: Vec<Item>, wanted: &Wanted) -> Result<Item, DockerArchiveError> {
    let is_it = |item: &Item, tag: &Reference| {
        let tags = item.repo_tags.iter().flatten();
        tags.filter_map(|text| text.parse::<Reference>().ok()).any(|known| known == *tag)
    };
    let position = match wanted {
        Wanted::Only => Some(0).filter(|_| items.len() == 1),
        Wanted::Tag(tag) => items.iter().position(|item| is_it(item, tag)),
        Wanted::Position(position) => Some(*position),
    };
    let present: Vec<String> = items.iter().flat_map(|item| item.repo_tags.iter().flatten()).cloned().collect();
    let count = items.len();
    let found = position.and_then(|position| items.into_iter().nth(position));
    found.ok_or_else(|| DockerArchiveError::NotFound {
        archive: archive.to_owned(),
        wanted: match wanted {
            Wanted::Only => "there is not exactly one image: say which one is meant".to_owned(),
            Wanted::Tag(tag) => format!("there is no image named `{tag}`"),
            Wanted::Position(position) => format!("there is no image @{position}"),
        },
        present: if present.is_empty() { format!("{count} images without names") } else { present.join(", ") },
    })
}

/// What points to a layer: by the config's word where it is a plain tar, which is checked when it is read.
fn descriptor(part: Part, diff_id: &DiffId) -> io::Result<Descriptor> {
    let size = part.size();
    let described = |compression, digest| {
        // Docker's family has no zstd; the reader goes by the bytes.
        let media_type = Format::Docker.layer(compression).or(Format::Oci.layer(compression));
        Descriptor::new(media_type.unwrap_or_default(), digest, size)
    };
    match crate::layer::read::compression_of(part)? {
        (Compression::None, _) => Ok(described(Compression::None, diff_id.0.clone())),
        (compression, mut whole) => {
            let mut hasher = Hasher::default();
            io::copy(&mut whole, &mut hasher)?;
            Ok(described(compression, hasher.finish()))
        }
    }
}

/// The entries of an archive that holds one image: config and layers under the names of their content, and what
/// readers of before 2016 look for.
///
/// `layers` are plain tars, base first; equal ones are written once. `names` are those a loader gives the image; a
/// name's digest is left out, because an archive cannot hold it.
///
/// # Errors
/// [`ManifestError::Json`] for a config that is no object; in practice never.
pub fn entries(
    config: &[u8],
    layers: Vec<(DiffId, Part)>,
    names: &[Reference],
) -> Result<BTreeMap<String, Content>, ManifestError> {
    let json = |source| ManifestError::Json { source };
    let mut entries = BTreeMap::new();
    let config_name = format!("{}.json", Digest::of(config).hex());
    let diff_ids: Vec<DiffId> = layers.iter().map(|(diff_id, _)| diff_id.clone()).collect();
    let top = legacy::add(&mut entries, config, &diff_ids).map_err(json)?;
    let mut tags: Vec<String> = Vec::new();
    let mut repositories: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for name in names {
        let tag = name.tag().unwrap_or("latest");
        let full = format!("{}:{tag}", name.name());
        if !tags.contains(&full) {
            tags.push(full);
        }
        if let Some(top) = &top {
            repositories.entry(name.name()).or_default().insert(tag, top);
        }
    }
    let item = Item {
        config: config_name.clone(),
        repo_tags: Some(tags),
        layers: Some(diff_ids.iter().map(layer_name).collect()),
    };
    entries.insert(REPOSITORIES.to_owned(), Content::Bytes(canonical(&repositories).map_err(json)?));
    entries.insert(MANIFEST.to_owned(), Content::Bytes(canonical(&[item]).map_err(json)?));
    entries.insert(config_name, Content::Bytes(config.to_vec()));
    for (diff_id, part) in layers {
        entries.insert(layer_name(&diff_id), Content::Part(part));
    }
    Ok(entries)
}

fn layer_name(diff_id: &DiffId) -> String {
    format!("{}.tar", diff_id.0.hex())
}

#[cfg(test)]
mod tests;
