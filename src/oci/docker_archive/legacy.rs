//! What readers before Docker 1.10 look for: a directory a layer with `VERSION`, `json` and `layer.tar`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::layer_name;
use crate::manifest::canonical;
use crate::tarball::Content;
use crate::{DiffId, Digest};

/// The members of an image config that the topmost layer's `json` repeats (moby, image/spec/v1.md).
const OF_CONFIG: [&str; 7] =
    ["architecture", "config", "container", "container_config", "created", "docker_version", "os"];

/// Adds a directory for each layer; gives the topmost layer's id, `None` where there are no layers.
pub(super) fn add(
    entries: &mut BTreeMap<String, Content>,
    config: &[u8],
    diff_ids: &[DiffId],
) -> Result<Option<String>, serde_json::Error> {
    let config: Map<String, Value> = serde_json::from_slice(config)?;
    let mut parent: Option<String> = None;
    let mut chain: Option<Digest> = None;
    for (position, diff_id) in diff_ids.iter().enumerate() {
        let below = chain.take();
        let chained =
            below.map_or_else(|| diff_id.0.clone(), |below| Digest::of(format!("{below} {diff_id}").as_bytes()));
        let mut layer = Map::new();
        if position + 1 == diff_ids.len() {
            let repeated = OF_CONFIG.iter().filter_map(|name| Some(((*name).to_owned(), config.get(*name)?.clone())));
            layer.extend(repeated);
        }
        layer.extend(parent.take().map(|parent| ("parent".to_owned(), json!(parent))));
        // An id names the layer with all below it.
        layer.insert("layer_id".to_owned(), json!(chained.to_string()));
        let id = Digest::of(&canonical(&layer)?).hex().to_owned();
        layer.remove("layer_id");
        layer.insert("id".to_owned(), json!(id));
        entries.insert(format!("{id}/VERSION"), Content::Bytes(b"1.0".to_vec()));
        entries.insert(format!("{id}/json"), Content::Bytes(canonical(&layer)?));
        entries.insert(format!("{id}/layer.tar"), Content::Symlink(format!("../{}", layer_name(diff_id))));
        (parent, chain) = (Some(id), Some(chained));
    }
    Ok(parent)
}
