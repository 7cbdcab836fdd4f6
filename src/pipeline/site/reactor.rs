//! Keys of atomic-reactor's configuration map: what is read here, and what is merely known.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Site;
use super::error::{Fault, Note};
use super::fields::{Fields, Item};
use super::inputs::HideFiles;
use super::scalar::{self, ProxyUrl};

const NO_HOSTS: &str = "not used: builds run where this program runs";
const NO_SCOPE: &str = "out of scope";

/// Keys that a configuration of atomic-reactor may have and that have no effect here, with the reason.
const UNUSED: &[(&str, &str)] = &[
    ("smtp", "not used: no mail is sent"),
    ("flatpak", NO_SCOPE),
    ("cachito", NO_SCOPE),
    ("pnc", NO_SCOPE),
    ("operator_manifests", NO_SCOPE),
    ("omps", NO_SCOPE),
    ("source_container", NO_SCOPE),
    ("remote_sources_default_version", NO_SCOPE),
    ("allow_multiple_remote_sources", NO_SCOPE),
    ("clusters_client_config_dir", NO_HOSTS),
    ("arrangement_version", NO_HOSTS),
    ("worker_token_secrets", NO_HOSTS),
    ("required_secrets", NO_HOSTS),
    ("build_env_vars", NO_HOSTS),
    ("sources_command", "not used: no command runs; say where the files are kept with lookaside.url"),
    ("content_versions", "not used: only media types of version 2 and OCI are spoken"),
    ("prefer_schema1_digest", "not used: only media types of version 2 and OCI are spoken"),
    ("default_image_build_method", "not used: there is one way to build"),
    ("buildstep_alias", "not used: there is one way to build"),
    ("pulp", NO_SCOPE),
    ("nfs", NO_SCOPE),
    ("pdc", NO_SCOPE),
    ("source_containers", NO_SCOPE),
    ("build_image_override", NO_HOSTS),
    ("list_rpms_from_scratch", "not used: packages are listed of every image that has an rpm database"),
];

/// What a platform's architecture is called in images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlatformDescriptor {
    /// The name builds use, such as `x86_64`.
    pub platform: String,
    /// The name images use (`GOARCH`), such as `amd64`.
    pub architecture: String,
}

/// Reads the keys of the reference's map that hold one value or one list.
pub(super) fn read(top: &mut Fields<'_>, site: &mut Site, notes: &mut Vec<Note>) -> Result<(), Fault> {
    top.read("version", version)?;
    site.registries_organization = top.read("registries_organization", text)?;
    read_labels(top, site)?;
    let texts = |item: &Item<'_>| item.each(text);
    site.platform_descriptors = read_platforms(top, notes)?;
    site.yum_repo_allowed_domains =
        top.read("yum_repo_allowed_domains", |item| item.each(scalar::domain))?.unwrap_or_default();
    site.artifacts_allowed_domains =
        top.read("artifacts_allowed_domains", |item| item.each(scalar::domain_path))?.unwrap_or_default();
    site.platform_hosts = super::distgit::hosts(top, notes)?;
    site.yum_proxy = top.read("yum_proxy", ProxyUrl::read)?;
    site.hide_files = top.read("hide_files", |item| HideFiles::read(item, notes))?;
    site.package_comparison_exceptions = top.read("package_comparison_exceptions", texts)?.unwrap_or_default();
    site.allowed_build_targets = top.read("allowed_build_targets", texts)?.unwrap_or_default();
    site.image_size_limit = read_size_limit(top, notes)?;
    site.group_manifests = top.read("group_manifests", Item::boolean)?;
    for (key, value) in [
        ("skip_koji_check_for_base_image", &mut site.skip_koji_check_for_base_image),
        ("deep_manifest_list_inspection", &mut site.deep_manifest_list_inspection),
        ("fail_on_digest_mismatch", &mut site.fail_on_digest_mismatch),
    ] {
        *value = top.read(key, Item::boolean)?.unwrap_or(*value);
    }
    Ok(())
}

/// Notes what is left: keys that are known and of no use, and keys that nobody knows.
pub(super) fn note_rest(top: &mut Fields<'_>, notes: &mut Vec<Note>) {
    for (key, reason) in UNUSED {
        let line = top.line_of(key);
        if top.take(key).is_some() {
            notes.push(Note { line, key: (*key).to_owned(), text: (*reason).to_owned() });
        }
    }
}

fn version(item: &Item<'_>) -> Result<(), Fault> {
    if item.integer() == Some(1) { Ok(()) } else { Err(item.expected("1, the only version there is")) }
}

fn text(item: &Item<'_>) -> Result<String, Fault> {
    item.text().map(str::to_owned)
}

fn read_labels(top: &mut Fields<'_>, site: &mut Site) -> Result<(), Fault> {
    site.image_labels = top.read("image_labels", labels)?.unwrap_or_default();
    site.image_label_info_url_format = top.read("image_label_info_url_format", text)?;
    site.image_equal_labels =
        top.read("image_equal_labels", |item| item.each(|one| one.each(text)))?.unwrap_or_default();
    Ok(())
}

fn labels(item: &Item<'_>) -> Result<BTreeMap<String, String>, Fault> {
    let label = |(key, value): (&str, Item<'_>)| {
        // Between quotes in a LABEL, all others stand for themselves.
        let is_name = !key.is_empty() && !key.chars().any(|c| c.is_control() || "=\"'\\$`".contains(c));
        if !is_name {
            return Err(value.fault("the name of a label has no control character and none of = \" ' \\ $ `"));
        }
        Ok((key.to_owned(), value.any_text("a text")?.to_owned()))
    };
    item.fields()?.rest().map(label).collect()
}

fn read_platforms(top: &mut Fields<'_>, notes: &mut Vec<Note>) -> Result<Vec<PlatformDescriptor>, Fault> {
    let Some(item) = top.take("platform_descriptors") else { return Ok(Vec::new()) };
    let mut descriptors = Vec::new();
    for one in item.list()? {
        let mut fields = one.fields()?;
        let platform = text(&fields.need("platform")?)?;
        let architecture = text(&fields.need("architecture")?)?;
        fields.note_rest(notes);
        descriptors.push(PlatformDescriptor { platform, architecture });
    }
    Ok(descriptors)
}

/// Nought means no limit, by the reference's schema.
fn read_size_limit(top: &mut Fields<'_>, notes: &mut Vec<Note>) -> Result<Option<u64>, Fault> {
    let Some(item) = top.take("image_size_limit") else { return Ok(None) };
    let mut fields = item.fields()?;
    let limit = fields.read("binary_image", scalar::size)?;
    fields.note_rest(notes);
    Ok(limit.filter(|limit| *limit > 0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn keys_of_every_release_of_the_reference_are_known() {
        let text = "pdc: {}\nsource_containers: {}\nbuild_image_override: {}\nlist_rpms_from_scratch: true\nnfs: {}\n";
        let (_, notes) = Site::parse(Path::new("x"), text.as_bytes()).unwrap();
        let unknown: Vec<_> = notes.iter().filter(|note| note.text.contains("unknown")).collect();
        assert!(notes.len() == 5 && unknown.is_empty(), "{notes:?}");
    }
}
