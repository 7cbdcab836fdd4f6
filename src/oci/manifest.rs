//! Manifests and indexes of both families: OCI and Docker's schema 2.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Digest, Platform};

/// Bytes in the largest manifest or index read; registries refuse larger ones too
/// (distribution-spec, "Pushing Manifests").
pub const MAX_MANIFEST: usize = 4 << 20;

/// The media types of the two families, and of what both may point to.
pub mod media_type {
    /// OCI image manifest.
    pub const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// OCI image index.
    pub const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// OCI image config.
    pub const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// OCI layer, uncompressed.
    pub const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// OCI layer, gzip.
    pub const OCI_LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
    /// OCI layer, zstd.
    pub const OCI_LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
    /// Docker manifest, schema 2.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// Docker image config.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// Docker layer, gzip.
    pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
    /// Docker layer, uncompressed.
    pub const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
    /// What a pull accepts, in order of preference.
    pub const MANIFESTS: [&str; 4] = [OCI_INDEX, DOCKER_LIST, OCI_MANIFEST, DOCKER_MANIFEST];
}

/// Which family of media types an image is written in (`--format`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Format {
    /// OCI image-spec.
    #[default]
    Oci,
    /// Docker image manifest version 2, schema 2.
    Docker,
}

/// How a layer's tar is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, possibly of several members.
    Gzip,
    /// zstd.
    Zstd,
}

impl Format {
    /// The media type of manifests.
    #[must_use]
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    /// The media type of image configs.
    #[must_use]
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::OCI_CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// The media type of layers, `None` where the family has none (zstd in Docker's).
    #[must_use]
    pub fn layer(self, compression: Compression) -> Option<&'static str> {
        match (self, compression) {
            (Self::Oci, Compression::None) => Some(media_type::OCI_LAYER),
            (Self::Oci, Compression::Gzip) => Some(media_type::OCI_LAYER_GZIP),
            (Self::Oci, Compression::Zstd) => Some(media_type::OCI_LAYER_ZSTD),
            (Self::Docker, Compression::None) => Some(media_type::DOCKER_LAYER),
            (Self::Docker, Compression::Gzip) => Some(media_type::DOCKER_LAYER_GZIP),
            (Self::Docker, Compression::Zstd) => None,
        }
    }
}

/// What points to a blob or manifest (OCI image-spec, descriptor.md).
///
/// Fields this program does not know stay in `other`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// The media type of what is pointed to.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// The platform, in the entries of an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor of these bytes with nothing else said.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            platform: None,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// How the layer is compressed, going by the media type.
    ///
    /// `None` for a media type that is no layer's, foreign (non-distributable) layers of both families included
    /// among those that are.
    #[must_use]
    pub fn compression(&self) -> Option<Compression> {
        let is_layer = self.media_type.starts_with("application/vnd.oci.image.layer.")
            || self.media_type.starts_with("application/vnd.docker.image.rootfs.");
        let suffix = self.media_type.rsplit(['.', '+']).next().unwrap_or_default();
        match suffix {
            "gzip" if is_layer => Some(Compression::Gzip),
            "zstd" if is_layer => Some(Compression::Zstd),
            "tar" if is_layer => Some(Compression::None),
            _ => None,
        }
    }
}

/// An image manifest (OCI image-spec, manifest.md), of either family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own media type; OCI lets it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, base first.
    pub layers: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else, such as `subject` and `artifactType`.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// An image index (OCI image-spec, image-index.md) or Docker manifest list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own media type; OCI lets it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// One descriptor a platform.
    pub manifests: Vec<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Everything else.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// What a registry or layout has under an image's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Manifest),
    /// A choice of images by platform.
    Index(Index),
}

/// Why bytes are not a manifest, or a manifest not an image of ours.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any registry accepts.
    #[error("the manifest has {size} bytes, more than the {MAX_MANIFEST} allowed")]
    TooLarge {
        /// How many there are.
        size: usize,
    },
    /// No JSON, or not of the right shape.
    #[error("not a manifest: {source}")]
    Json {
        /// What the parser says, with line and column.
        source: serde_json::Error,
    },
    /// JSON, but of a kind this program does not read.
    #[error("a manifest of media type `{media_type}` is not supported{hint}")]
    Unsupported {
        /// What the document calls itself.
        media_type: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// No entry of an index fits.
    #[error("there is no image for {wanted}; there is one for: {present}")]
    NoPlatform {
        /// The platform asked for.
        wanted: Platform,
        /// The platforms there are.
        present: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    schema_version: Option<u32>,
    media_type: Option<String>,
    manifests: Option<Value>,
    config: Option<Value>,
}

impl Document {
    /// Reads the bytes of a manifest or index; `content_type` is what the server called them, if one did.
    ///
    /// # Errors
    /// [`ManifestError`]; a document whose own media type contradicts its content is refused
    /// (the confusion of CVE-2021-41190).
    pub fn parse(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST {
            return Err(ManifestError::TooLarge { size: bytes.len() });
        }
        let json = |source| ManifestError::Json { source };
        let probe: Probe = serde_json::from_slice(bytes).map_err(json)?;
        match probe.kind(content_type)? {
            Kind::Manifest => serde_json::from_slice(bytes).map(Self::Manifest).map_err(json),
            Kind::Index => serde_json::from_slice(bytes).map(Self::Index).map_err(json),
        }
    }
}

enum Kind {
    Manifest,
    Index,
}

impl Probe {
    fn kind(&self, content_type: Option<&str>) -> Result<Kind, ManifestError> {
        let unsupported =
            |media_type: &str, hint| Err(ManifestError::Unsupported { media_type: media_type.to_owned(), hint });
        if self.schema_version == Some(1) {
            return unsupported(
                "schema 1",
                "; push the image again with a tool of this decade, or copy it with `skopeo copy --format v2s2`",
            );
        }
        let content_type = content_type.map(|text| text.split(';').next().unwrap_or(text).trim());
        let said = self.media_type.as_deref().or(content_type.filter(|text| text.starts_with("application/vnd.")));
        match (said, self.manifests.is_some(), self.config.is_some()) {
            (Some(media_type::OCI_MANIFEST | media_type::DOCKER_MANIFEST) | None, false, true) => Ok(Kind::Manifest),
            (Some(media_type::OCI_INDEX | media_type::DOCKER_LIST) | None, true, false) => Ok(Kind::Index),
            (Some(said), true, true) => unsupported(said, ": it is both an image and an index"),
            (said, _, _) => unsupported(said.unwrap_or("unknown"), ", or the document does not look like one"),
        }
    }
}

impl Manifest {
    /// A manifest in `format` with the given parts.
    #[must_use]
    pub fn new(format: Format, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(format.manifest().to_owned()),
            config,
            layers,
            annotations: BTreeMap::new(),
            other: Map::new(),
        }
    }

    /// The bytes to publish: the same for equal manifests, keys sorted.
    ///
    /// # Errors
    /// [`ManifestError::Json`]; in practice never.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ManifestError> {
        canonical(self).map_err(|source| ManifestError::Json { source })
    }
}

impl Index {
    /// The entry for `wanted`: the first that satisfies it. Entries that are no images (attestations, platform
    /// `unknown/unknown`) never do.
    ///
    /// # Errors
    /// [`ManifestError::NoPlatform`] names the platforms there are.
    pub fn select(&self, wanted: &Platform) -> Result<&Descriptor, ManifestError> {
        let fits =
            |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(|platform| platform.satisfies(wanted));
        let only = || self.manifests.first().filter(|first| self.manifests.len() == 1 && first.platform.is_none());
        self.manifests.iter().find(fits).or_else(only).ok_or_else(|| {
            let present: Vec<String> =
                self.manifests.iter().filter_map(|entry| entry.platform.as_ref()).map(Platform::to_string).collect();
            ManifestError::NoPlatform { wanted: wanted.clone(), present: present.join(", ") }
        })
    }
}

/// Compact JSON with sorted keys: equal values give equal bytes.
///
/// # Errors
/// What the serialiser says; in practice never for the types of this crate.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    // Going through `Value`, whose maps are sorted, is what orders the fields of structs too.
    serde_json::to_vec(&serde_json::to_value(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> Descriptor {
        Descriptor::new(media_type, Digest::of(b"x"), 1)
    }

    #[test]
    fn what_we_write_is_read_back_whole_and_known_to_oci_spec() {
        for format in [Format::Oci, Format::Docker] {
            let layer = descriptor(format.layer(Compression::Gzip).unwrap());
            let manifest = Manifest::new(format, descriptor(format.config()), vec![layer]);
            let bytes = manifest.to_bytes().unwrap();
            assert_eq!(Document::parse(&bytes, None).unwrap(), Document::Manifest(manifest));
            let theirs = oci_spec::image::ImageManifest::from_reader(bytes.as_slice()).unwrap();
            assert_eq!(theirs.layers().len(), 1);
        }
    }

    #[test]
    fn fields_we_do_not_know_survive() {
        let text = format!(
            r#"{{"config":{{"digest":"{0}","mediaType":"{1}","newField":[1],"size":1}},"layers":[],"schemaVersion":2,"subject":{{"a":1}}}}"#,
            Digest::of(b"x"),
            media_type::OCI_CONFIG
        );
        let Document::Manifest(manifest) = Document::parse(text.as_bytes(), None).unwrap() else { panic!("an index") };
        assert_eq!(String::from_utf8(manifest.to_bytes().unwrap()).unwrap(), text);
    }

    #[test]
    fn a_document_that_is_two_things_is_refused() {
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{}","config":{{}},"manifests":[]}}"#, media_type::OCI_MANIFEST);
        let error = Document::parse(text.as_bytes(), None).unwrap_err().to_string();
        assert!(error.ends_with("it is both an image and an index"), "{error}");
    }

    #[test]
    fn an_index_called_a_manifest_by_the_server_is_refused() {
        let error = Document::parse(br#"{"schemaVersion":2,"manifests":[]}"#, Some(media_type::OCI_MANIFEST));
        assert!(matches!(error, Err(ManifestError::Unsupported { .. })));
    }

    #[test]
    fn bytes_that_are_not_json_say_where() {
        let error = Document::parse(b"<html>", None).unwrap_err().to_string();
        assert_eq!(error, "not a manifest: expected value at line 1 column 1");
    }

    #[test]
    fn a_missing_platform_names_those_there_are() {
        let mut entry = descriptor(media_type::OCI_MANIFEST);
        entry.platform = Some("linux/s390x".parse().unwrap());
        let index = Index {
            schema_version: 2,
            media_type: None,
            manifests: vec![entry],
            annotations: BTreeMap::new(),
            other: Map::new(),
        };
        let error = index.select(&"linux/amd64".parse().unwrap()).unwrap_err().to_string();
        assert_eq!(error, "there is no image for linux/amd64; there is one for: linux/s390x");
        assert!(index.select(&"linux/s390x".parse().unwrap()).is_ok());
    }

    #[test]
    fn the_compression_is_read_off_the_media_type() {
        let of = |text: &str| descriptor(text).compression();
        assert_eq!(of(media_type::DOCKER_LAYER_GZIP), Some(Compression::Gzip));
        assert_eq!(of(media_type::OCI_LAYER_ZSTD), Some(Compression::Zstd));
        assert_eq!(of(media_type::OCI_LAYER), Some(Compression::None));
        assert_eq!(of("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), Some(Compression::Gzip));
        assert_eq!(of(media_type::OCI_CONFIG), None);
    }
}
