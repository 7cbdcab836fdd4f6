//! What keys of atomic-reactor's configuration mean here where that is not the same, and what such a file lacks.

use pipeline::site::Site;

use super::Fate;

/// Keys whose meaning is worth a word.
const MEANINGS: &[(&str, Fate, &str)] = &[
    ("version", Fate::Kept, "1, as before"),
    ("registry", Fate::Kept, "where images are pushed, after the gate has let them pass"),
    ("registry.insecure", Fate::Changed, "https without verification, then http; for this registry only"),
    ("source_registry", Fate::Kept, "parents that name no registry come from here, pinned by digest"),
    ("pull_registries", Fate::Kept, "further registries that parents may come from"),
    ("registries_cfg_path", Fate::Kept, "credentials, for pulling and pushing; steps never see them"),
    ("image_labels", Fate::Changed, "as before, but `release` of the Dockerfile or the build is not overwritten"),
    ("image_size_limit", Fate::Changed, "0 and absent mean no limit; it is checked before the image is published"),
    ("yum_repo_allowed_domains", Fate::Kept, "repository files from elsewhere are refused"),
    ("yum_proxy", Fate::Changed, "the gateway's proxy for repositories; steps are not told of it"),
    ("builder_ca_bundle", Fate::Changed, "trusted by the builder; no certificate is copied into an image"),
    ("hide_files", Fate::Changed, "hidden from steps by a mount; the Dockerfile is not edited"),
    ("artifacts_allowed_domains", Fate::Kept, "artifacts from elsewhere are refused"),
    ("platform_descriptors", Fate::Kept, "names of platforms in images"),
];

/// What `path` means here, if that is worth a word.
pub(super) fn of(path: &str) -> Option<(Fate, &'static str)> {
    MEANINGS.iter().find(|(known, ..)| *known == path).map(|(_, fate, text)| (*fate, *text))
}

/// What would make more of a site.
pub(super) fn advice(site: &Site) -> Vec<&'static str> {
    let is_list_of_plugins_only = site.registry.is_none() && site.source_registry.is_none();
    if is_list_of_plugins_only {
        return Vec::new();
    }
    let all = [
        (site.keys.paths().is_empty(), "keys: no trust anchors, so no signature of a package is verified"),
        (site.lookaside.is_none(), "lookaside: files named by `sources` are fetched by this program, not by a command"),
        (site.record.path.is_none() && !site.record.push, "record: nothing keeps the record of a build"),
        (site.registry.is_none(), "registry: nowhere to push images to"),
    ];
    all.into_iter().filter(|(is_missing, _)| *is_missing).map(|(_, text)| text).collect()
}
