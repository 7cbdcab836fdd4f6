//! What a site configures, read from YAML.
//!
//! Comes in: the bytes of a file that somebody wrote for this program or for atomic-reactor. Goes out: a [`Site`] whose
//! values were checked once, and [`Note`]s on keys that have no effect; or a [`SiteError`] with line, column and key.
//! Keys that atomic-reactor has keep its names and meaning, ours are in sections of their own (`keys`, `policy`,
//! `network`, `sandbox`, `lookaside`, `yum_repos`, `record`, `plugins`, `remote_sources`). A slip in one of ours is an error, for it must
//! not weaken anything in silence; elsewhere it is a note, so that a map of atomic-reactor is accepted as it is. No
//! file but this one is read, and no password is taken from it.

mod distgit;
mod error;
mod fields;
mod inputs;
mod koji;
mod nearest;
mod network;
mod odcs;
mod openshift;
mod outline;
mod plugins;
mod policy;
mod reactor;
mod registry;
mod sandbox;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use distgit::RemoteSourcesSite;
pub use error::{Note, SiteError};
pub use inputs::{HideFiles, LookasideSite, RecordSite, RepoSource};
pub use koji::{KojiAuth, KojiSite};
pub use network::{AllowedHost, HostLogin, Mode, NetworkSite};
pub use odcs::{OdcsAuth, OdcsSite, SigningIntent};
pub use openshift::OpenshiftSite;
pub use outline::{Key, outline};
pub use plugins::{PluginRequest, Plugins};
pub use policy::{ExpiredKeyPolicy, Keys, Policy, SignaturePolicy};
pub use reactor::PlatformDescriptor;
pub use registry::{PushRegistry, RegistrySite, RegistryUrl, Scheme};
pub use sandbox::{Limits, SandboxSite};
pub use scalar::ProxyUrl;

pub use error::Fault;
pub use fields::{Fields, Item};
pub(crate) use tree::read as read_tree;

/// What a site configures. The default is that of nobody: nothing is edited, nothing is demanded.
///
/// `Debug` and JSON show no secret. Paths are absolute where that of the file is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Site {
    /// Where parents come from that name no registry.
    pub source_registry: Option<RegistrySite>,
    /// Further registries that parents may come from.
    pub pull_registries: Vec<RegistrySite>,
    /// Where images go to.
    pub registry: Option<PushRegistry>,
    /// The file with credentials for registries, or the directory that holds `.dockercfg` or `.dockerconfigjson`.
    pub registries_cfg_path: Option<PathBuf>,
    /// The organization that repositories are enclosed in.
    pub registries_organization: Option<String>,
    /// Labels for every image.
    pub image_labels: BTreeMap<String, String>,
    /// The value of the label `url`, with `{label}` for other labels' values.
    pub image_label_info_url_format: Option<String>,
    /// Groups of labels that must have one value.
    pub image_equal_labels: Vec<Vec<String>>,
    /// Platforms and their architectures, see [`Site::goarch`].
    pub platform_descriptors: Vec<PlatformDescriptor>,
    /// Whether images become parts of an index: true also where there is one platform only, false never; where
    /// nothing is said, if there are several platforms.
    pub group_manifests: Option<bool>,
    /// Hosts that repository files may come from, each `host` or `host:port`. Empty: any.
    pub yum_repo_allowed_domains: Vec<String>,
    /// Prefixes `host/path` that artifacts may come from, in any case. Empty: any.
    pub artifacts_allowed_domains: Vec<String>,
    /// The proxy of repositories.
    pub yum_proxy: Option<ProxyUrl>,
    /// The certificates of authorities that the builder trusts, PEM.
    pub builder_ca_bundle: Option<PathBuf>,
    /// Files that no step may see.
    pub hide_files: Option<HideFiles>,
    /// Whether a parent need not be a build in Koji.
    pub skip_koji_check_for_base_image: bool,
    /// Whether a list's entries are compared when its digest differs from Koji's.
    pub deep_manifest_list_inspection: bool,
    /// Whether a parent whose digest differs from Koji's fails the build.
    pub fail_on_digest_mismatch: bool,
    /// Packages that may differ between platforms.
    pub package_comparison_exceptions: Vec<String>,
    /// Patterns of Koji targets that may be built for. Empty: any.
    pub allowed_build_targets: Vec<String>,
    /// Largest image, in bytes, uncompressed (`image_size_limit.binary_image`).
    pub image_size_limit: Option<u64>,
    /// The trust anchors for signatures of packages.
    pub keys: Keys,
    /// What an image must prove.
    pub policy: Policy,
    /// The network of steps.
    pub network: NetworkSite,
    /// The confinement of steps.
    pub sandbox: SandboxSite,
    /// Where files named by a `sources` file are kept.
    pub lookaside: Option<LookasideSite>,
    /// Repository files that every build gets.
    pub yum_repos: Vec<RepoSource>,
    /// What becomes of the record.
    pub record: RecordSite,
    /// Which plugins take part.
    pub plugins: Plugins,
    /// The platforms there are hosts for, and whether one of these may be used (`clusters`, `remote_hosts.pools`).
    /// Empty: nobody says.
    #[serde(rename = "clusters")]
    pub platform_hosts: BTreeMap<String, bool>,
    /// Sources that somebody fetched before the build.
    pub remote_sources: Option<RemoteSourcesSite>,
    /// Where builds are known.
    pub koji: Option<KojiSite>,
    /// Where repositories are composed.
    pub odcs: Option<OdcsSite>,
    /// The API of the cluster.
    pub openshift: Option<OpenshiftSite>,
}

impl Default for Site {
    fn default() -> Self {
        Self {
            source_registry: None,
            pull_registries: Vec::new(),
            registry: None,
            registries_cfg_path: None,
            registries_organization: None,
            image_labels: BTreeMap::new(),
            image_label_info_url_format: None,
            image_equal_labels: Vec::new(),
            platform_descriptors: Vec::new(),
            group_manifests: None,
            yum_repo_allowed_domains: Vec::new(),
            artifacts_allowed_domains: Vec::new(),
            yum_proxy: None,
            builder_ca_bundle: None,
            hide_files: None,
            skip_koji_check_for_base_image: true,
            deep_manifest_list_inspection: true,
            fail_on_digest_mismatch: true,
            package_comparison_exceptions: Vec::new(),
            allowed_build_targets: Vec::new(),
            image_size_limit: None,
            keys: Keys::default(),
            policy: Policy::default(),
            network: NetworkSite::default(),
            sandbox: SandboxSite::default(),
            lookaside: None,
            yum_repos: Vec::new(),
            record: RecordSite::default(),
            plugins: Plugins::default(),
            platform_hosts: BTreeMap::new(),
            remote_sources: None,
            koji: None,
            odcs: None,
            openshift: None,
        }
    }
}

/// Sections that only this program has.
const OURS: [&str; 9] =
    ["keys", "policy", "network", "sandbox", "lookaside", "yum_repos", "record", "plugins", "remote_sources"];

/// Platforms whose images use another name, where the file does not say otherwise.
const GOARCH: [(&str, &str); 2] = [("x86_64", "amd64"), ("aarch64", "arm64")];

impl Site {
    /// Reads `bytes`, the text of the file `path`; relative paths in it start at its folder.
    ///
    /// Notes come in the order of lines. A file without a document is the default. At most 1 MiB is read.
    ///
    /// # Errors
    /// [`SiteError`] at the first thing that is wrong.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<(Self, Vec<Note>), SiteError> {
        let mut notes = Vec::new();
        let base = path.parent().unwrap_or(Path::new(""));
        let site = read(base, bytes, &mut notes).map_err(|fault| fault.of(&path.display().to_string(), bytes))?;
        notes.sort_by_key(|note| note.line);
        Ok((site, notes))
    }

    /// What is configured, as JSON without secrets.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        // Its parts are maps with texts for keys and numbers that are finite: there is nothing to fail.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// What images call the architecture of `platform`: as the file says, else as is usual, else the same.
    #[must_use]
    pub fn goarch<'a>(&'a self, platform: &'a str) -> &'a str {
        self.architectures().find(|(name, _)| *name == platform).map_or(platform, |(_, architecture)| architecture)
    }

    /// The platform whose images call their architecture `goarch`: the inverse of [`Site::goarch`].
    #[must_use]
    pub fn platform<'a>(&'a self, goarch: &'a str) -> &'a str {
        self.architectures().find(|(_, name)| *name == goarch).map_or(goarch, |(platform, _)| platform)
    }

    fn architectures(&self) -> impl Iterator<Item = (&str, &str)> {
        let named = self.platform_descriptors.iter().map(|one| (one.platform.as_str(), one.architecture.as_str()));
        named.chain(GOARCH)
    }
}

fn read(base: &Path, bytes: &[u8], notes: &mut Vec<Note>) -> Result<Site, Fault> {
    let mut site = Site::default();
    let Some(node) = tree::read(bytes)? else { return Ok(site) };
    let mut top = Item::root(&node).fields()?;
    let registries = registry::read(&mut top, base, notes)?;
    site.source_registry = registries.source;
    site.pull_registries = registries.pull;
    site.registry = registries.push;
    site.registries_cfg_path = top.read("registries_cfg_path", |item| scalar::path(item, base))?;
    site.builder_ca_bundle = top.read("builder_ca_bundle", |item| scalar::path(item, base))?;
    reactor::read(&mut top, &mut site, notes)?;
    read_ours(&mut top, &mut site, base)?;
    site.koji = top.read("koji", |item| KojiSite::read(item, base, notes))?;
    site.openshift = top.read("openshift", |item| OpenshiftSite::read(item, base, notes))?;
    site.odcs = top.read("odcs", |item| OdcsSite::read(item, base, notes))?;
    site.plugins = Plugins::read(&mut top, base, notes)?;
    reactor::note_rest(&mut top, notes);
    top.refuse_slips(&OURS)?;
    top.note_rest(notes);
    Ok(site)
}

fn read_ours(top: &mut Fields<'_>, site: &mut Site, base: &Path) -> Result<(), Fault> {
    site.keys = top.read("keys", |item| Keys::read(item, base))?.unwrap_or_default();
    site.policy = top.read("policy", Policy::read)?.unwrap_or_default();
    site.network = top.read("network", |item| NetworkSite::read(item, base))?.unwrap_or_default();
    site.sandbox = top.read("sandbox", SandboxSite::read)?.unwrap_or_default();
    site.lookaside = top.read("lookaside", LookasideSite::read)?;
    site.yum_repos = top.read("yum_repos", |item| item.each(|one| RepoSource::read(one, base)))?.unwrap_or_default();
    site.record = top.read("record", |item| RecordSite::read(item, base))?.unwrap_or_default();
    site.remote_sources = top.read("remote_sources", |item| RemoteSourcesSite::read(item, base))?;
    Ok(())
}
