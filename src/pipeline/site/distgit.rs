//! What concerns the files of a dist-git repository: the platforms there are hosts for, and sources fetched before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Fault, Note};
use super::fields::{Fields, Item};
use super::scalar;

/// Sources that somebody fetched before the build (container.yaml, `remote_source` and `remote_sources`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RemoteSourcesSite {
    /// The directory that holds them.
    pub directory: PathBuf,
}

impl RemoteSourcesSite {
    pub(super) fn read(item: &Item<'_>, base: &Path) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let place = fields.need("directory")?;
        let directory = scalar::path(&place, base)?;
        fields.refuse_rest()?;
        Ok(Self { directory })
    }
}

/// Whether there is a host that may be used, by platform: `clusters` of older maps, a list of clusters a platform, and
/// `remote_hosts.pools`, a map of hosts a platform. Which host it is does not matter: builds run where this program runs.
pub(super) fn hosts(top: &mut Fields<'_>, notes: &mut Vec<Note>) -> Result<BTreeMap<String, bool>, Fault> {
    const USED: &str = "used to know which platforms have hosts, and no more: builds run where this program runs";
    let mut hosts = BTreeMap::new();
    let lines = ["clusters", "remote_hosts"].map(|key| (key, top.line_of(key)));
    let mut note = |key: &str| {
        let line = lines.iter().find(|(name, _)| *name == key).map_or(1, |(_, line)| *line);
        notes.push(Note { line, key: key.to_owned(), text: USED.to_owned() });
    };
    if let Some(item) = top.take("clusters").filter(|item| !item.is_nothing()) {
        note("clusters");
        for (platform, clusters) in item.fields()?.rest() {
            let mut is_enabled = false;
            for cluster in clusters.list()? {
                is_enabled |= cluster.fields()?.read("enabled", Item::boolean)?.unwrap_or(true);
            }
            hosts.insert(platform.to_owned(), is_enabled);
        }
    }
    let Some(item) = top.take("remote_hosts").filter(|item| !item.is_nothing()) else { return Ok(hosts) };
    note("remote_hosts");
    let Some(pools) = item.fields()?.take("pools") else { return Ok(hosts) };
    for (platform, pool) in pools.fields()?.rest() {
        let mut is_enabled = false;
        for (_, host) in pool.fields()?.rest() {
            is_enabled |= host.fields()?.read("enabled", Item::boolean)?.unwrap_or(true);
        }
        hosts.insert(platform.to_owned(), is_enabled);
    }
    Ok(hosts)
}
