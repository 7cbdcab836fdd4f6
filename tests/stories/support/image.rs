//! Reads an image from an OCI layout or a registry and checks every digest, size and diff_id on the way.

use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::tree::Tree;

/// An image whose bytes have all been checked.
pub(crate) struct Image {
    pub(crate) digest: String,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
    /// Uncompressed layer tars, lowest first.
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Image {
    /// The image called `tag` in the OCI layout `dir`; without a tag, the only image there.
    #[track_caller]
    pub(crate) fn in_layout(dir: impl AsRef<Path>, tag: Option<&str>) -> Self {
        let dir = dir.as_ref();
        let text = |name: &str| fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{}/{name}: {e}", dir.display()));
        let version: Value = serde_json::from_slice(&text("oci-layout")).unwrap();
        assert_eq!(version["imageLayoutVersion"], "1.0.0");
        let index: Value = serde_json::from_slice(&text("index.json")).unwrap();
        let found: Vec<&Value> =
            descriptors(&index, "manifests").filter(|d| tag.is_none_or(|tag| names(d, tag))).collect();
        let [descriptor] = found.as_slice() else { panic!("wanted one image called {tag:?} in {index}") };
        let blob = |digest: &str| text(&format!("blobs/{}", digest.replace(':', "/")));
        let bytes = blob(descriptor["digest"].as_str().unwrap());
        assert_eq!(descriptor["size"], bytes.len(), "size of the manifest in index.json");
        let image = Self::from_manifest(&bytes, &blob);
        assert_eq!(descriptor["digest"], image.digest.as_str());
        image
    }

    /// The image of a manifest whose blobs `blob` delivers by digest.
    #[track_caller]
    pub(crate) fn from_manifest(manifest: &[u8], blob: &dyn Fn(&str) -> Vec<u8>) -> Self {
        let checked = |descriptor: &Value| {
            let digest = descriptor["digest"].as_str().unwrap();
            let bytes = blob(digest);
            assert_eq!(digest, digest_of(&bytes), "the blob lies about its digest");
            assert_eq!(descriptor["size"], bytes.len(), "size of {digest}");
            bytes
        };
        let digest = digest_of(manifest);
        let manifest: Value = serde_json::from_slice(manifest).unwrap();
        let config: Value = serde_json::from_slice(&checked(&manifest["config"])).unwrap();
        let media = |d: &Value| d["mediaType"].as_str().unwrap().to_owned();
        let layers: Vec<Vec<u8>> =
            descriptors(&manifest, "layers").map(|d| uncompressed(&media(d), checked(d))).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| digest_of(layer)).collect();
        assert_eq!(config["rootfs"]["diff_ids"], serde_json::json!(diff_ids));
        Self { digest, manifest, config, layers }
    }

    /// The digests of the layer blobs, lowest first.
    pub(crate) fn layer_digests(&self) -> Vec<String> {
        descriptors(&self.manifest, "layers").map(|d| d["digest"].as_str().unwrap().to_owned()).collect()
    }

    /// The entries of the topmost layer.
    pub(crate) fn top_layer(&self) -> Tree {
        Tree::of_layer(self.layers.last().unwrap())
    }

    /// What a container would see.
    pub(crate) fn tree(&self) -> Tree {
        let layers: Vec<Tree> = self.layers.iter().map(|layer| Tree::of_layer(layer)).collect();
        Tree::flatten(&layers)
    }
}

/// `sha256:` and the hash of `bytes`.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// The descriptors in the list `key` of a manifest or index.
pub(crate) fn descriptors<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

/// True where index.json calls `descriptor` by `tag`.
pub(crate) fn names(descriptor: &Value, tag: &str) -> bool {
    descriptor["annotations"]["org.opencontainers.image.ref.name"] == tag
}

fn uncompressed(media_type: &str, blob: Vec<u8>) -> Vec<u8> {
    if media_type.ends_with(".tar") {
        return blob;
    }
    assert!(media_type.ends_with("gzip"), "no reader for {media_type}");
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(blob.as_slice()).read_to_end(&mut tar).unwrap();
    tar
}
