//! What is injected into steps or added to the image: decisions as [`super`] has them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dockerfile::{Base, Kind};
use oci::ImageConfig;
use pipeline::site::Site;
use pipeline::{Class, Edit, Injected, PluginError, Reasoned};

use super::{request, rewritten};
use crate::add_dockerfile::{self, FOLDER, Snapshot};
use crate::repository_files::{self, Around, KojiTarget, RepoUrl, Wishes};
use crate::{add_image_content_manifest, hide_files, manual};

pub use koji::{BuildInfo, BuildTarget, Hub, HubError};

/// The parent of a build's image, as far as it matters.
#[derive(Clone, Debug, Default)]
pub struct Parent {
    /// Its USER.
    pub user: String,
    /// Its environment, `NAME=VALUE` each.
    pub env: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// What a build has for repositories.
#[derive(Debug)]
pub struct Repositories<'a> {
    /// The site.
    pub site: &'a Site,
    /// What is at the build's URLs; in their order.
    pub urls: Vec<(String, Vec<u8>)>,
    /// The argument `inject_proxy`.
    pub proxy: Option<String>,
    /// The target and the hub that knows it.
    pub koji: Option<(String, Arc<dyn koji::Hub>)>,
    /// Whether the target's repository is used though others are.
    pub include_koji_repo: bool,
    /// Whether the image is to be thrown away.
    pub is_scratch: bool,
}

/// What steps and the image have of what was injected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// The Dockerfile with all edits.
    pub dockerfile: String,
    /// What the last stage says of USER, as it is written; the parent's where it says nothing.
    pub final_user: String,
    /// The stages whose steps see files of the site, those that are not built among them.
    pub stages: Vec<usize>,
    /// The files they see, by path.
    pub seen: BTreeMap<String, String>,
    /// The files of bases that they do not see, by path.
    pub hidden: Vec<String>,
    /// Files that are written into the image, by path: their content, none for the Dockerfile as it is in the end.
    pub added: BTreeMap<String, Option<Vec<u8>>>,
}

/// What inject_yum_repos does for steps of hosts that reach repositories themselves.
///
/// # Errors
/// As inject_yum_repos.
pub fn repositories(text: &str, parent: &Parent, wanted: &Repositories<'_>) -> Result<Effects, PluginError> {
    if stages(text)?.is_empty() {
        return effects(text, parent, &[]);
    }
    let urls = wanted.urls.iter().map(|(url, _)| RepoUrl { platform: None, url: url.clone() });
    let wishes = Wishes {
        site: wanted.site.yum_repos.clone(),
        urls: urls.collect(),
        proxy: wanted.proxy.clone(),
        koji: wanted.koji.as_ref().map(|(name, hub)| KojiTarget {
            name: name.clone(),
            root_url: wanted.site.koji.as_ref().map(|koji| koji.root_url.clone()),
            hub: Some(Arc::clone(hub)),
            is_included: wanted.include_koji_repo,
        }),
        is_scratch: wanted.is_scratch,
        ..Wishes::default()
    };
    let bundle = wanted.site.builder_ca_bundle.as_deref().and_then(repository_files::certificate_path);
    let download = |url: &str| {
        let found = wanted.urls.iter().find(|(known, _)| known == url);
        let (_, content) = found.ok_or_else(|| PluginError::new(Class::Remote, format!("{url}: there is nothing")))?;
        Ok((pipeline::repository_file_name(url)?, content.clone()))
    };
    let around = Around {
        site: wanted.site,
        platform: "",
        certificate: bundle.map(|path| (path, Vec::new())),
        known: Vec::new(),
        download: &download,
    };
    effects(text, parent, &wishes.decided(around)?.edits)
}

/// What hide_files does.
///
/// # Errors
/// As hide_files.
pub fn hidden(text: &str, parent: &Parent, site: &Site) -> Result<Effects, PluginError> {
    let files = site.hide_files.as_ref().map_or(&[][..], |hide| &hide.files);
    effects(text, parent, hide_files::decide(files)?.as_slice())
}

/// What add_dockerfile does, with its arguments `nvr` and `use_final_dockerfile`.
///
/// # Errors
/// As add_dockerfile.
pub fn embedded(
    text: &str,
    parent: &Parent,
    (nvr, destdir, is_final): (Option<&str>, Option<&str>, bool),
) -> Result<Effects, PluginError> {
    let nvr = match nvr {
        Some(nvr) => nvr.to_owned(),
        None => add_dockerfile::nvr(&labels(text, parent)?)?,
    };
    let snapshot = if is_final { Snapshot::Final } else { Snapshot::Now };
    let edit = add_dockerfile::decide(&nvr, destdir.unwrap_or(FOLDER), (snapshot, text))?;
    effects(text, parent, &[Reasoned { edit, reason: String::new() }])
}

/// The content manifest that add_image_content_manifest makes of content_sets.yml: its name and what it holds.
///
/// # Errors
/// As add_image_content_manifest.
pub fn content_manifest(
    text: &str,
    parent: &Parent,
    (content_sets, platform, layers): (Option<&str>, &str, usize),
) -> Result<(String, Vec<u8>), PluginError> {
    let name = add_image_content_manifest::file_name(&labels(text, parent)?)?;
    let mut sets = content_sets.map(crate::content_sets::parse).transpose()?.unwrap_or_default();
    let request = request(text)?;
    let plan = build::plan(&request)?;
    let layer = add_image_content_manifest::layer(layers, &plan, request.layering);
    Ok((name, add_image_content_manifest::decide(&sets.remove(platform).unwrap_or_default(), layer)))
}

/// The manual page that add_help makes of a help file.
#[must_use]
pub fn manual(markdown: &str, name: &str, maintainer: &str, epoch: u64) -> String {
    manual::page(markdown, manual::Names { name, maintainer, epoch })
}

/// A repository file as dnf reads it: each section with its keys and values.
#[must_use]
pub fn sections(content: &str) -> Vec<(String, BTreeMap<String, String>)> {
    let (file, _) = rpm::repofile::RepoFile::parse_lenient("", content.as_bytes());
    let entries =
        |entries: Vec<rpm::repofile::Entry>| entries.into_iter().map(|entry| (entry.key, entry.value)).collect();
    file.sections.into_iter().map(|section| (section.id, entries(section.entries))).collect()
}

/// What comes of edits.
fn effects(text: &str, parent: &Parent, edits: &[Reasoned]) -> Result<Effects, PluginError> {
    let dockerfile = rewritten(text, edits)?;
    let mut effects = Effects { final_user: final_user(&dockerfile, &parent.user)?, dockerfile, ..Effects::default() };
    let shown = |path: &Path| path.display().to_string();
    let shown_text = |content: &[u8]| String::from_utf8_lossy(content).into_owned();
    for one in edits {
        match &one.edit {
            Edit::Inject(Injected::Repository { name, content }) => {
                effects.seen.insert(format!("/etc/yum.repos.d/{name}"), shown_text(content));
            }
            Edit::Inject(Injected::File { path, content }) => {
                effects.seen.insert(shown(path), shown_text(content));
            }
            Edit::Hide(paths) => effects.hidden.extend(paths.iter().map(|path| shown(path))),
            Edit::Add(added) => {
                effects.added.insert(shown(&added.path), Some(added.content.clone()));
            }
            Edit::AddDockerfile(path) => {
                effects.added.insert(shown(path), None);
            }
            Edit::From { .. }
            | Edit::Labels(_)
            | Edit::Arguments(_)
            | Edit::Label { .. }
            | Edit::Environment { .. }
            | Edit::Instruction { .. }
            | Edit::Reach(_)
            | Edit::Directory { .. }
            | Edit::Values(_) => {}
        }
    }
    if !(effects.seen.is_empty() && effects.hidden.is_empty()) {
        effects.stages = stages(text)?;
    }
    Ok(effects)
}

fn stages(text: &str) -> Result<Vec<usize>, PluginError> {
    Ok(repository_files::stages(&build::plan(&request(text)?)?))
}

/// The labels of the image, old ones of the parent among them.
fn labels(text: &str, parent: &Parent) -> Result<BTreeMap<String, String>, PluginError> {
    let request = request(text)?;
    let plan = build::plan(&request)?;
    let mut config = ImageConfig::scratch(&request.platform);
    config.config.user.clone_from(&parent.user);
    config.config.env.clone_from(&parent.env);
    config.config.labels.clone_from(&parent.labels);
    Ok(build::preview(&plan, &|_| Some(config.clone()))?.config.labels)
}

/// The last USER of the stages that the last one is built on and of itself, unexpanded; else the parent's.
fn final_user(text: &str, parent: &str) -> Result<String, PluginError> {
    let request = request(text)?;
    let plan = build::plan(&request)?;
    let parsed = dockerfile::stages(&request.dockerfile).map_err(|error| PluginError::of(Class::Source, &error))?;
    let mut at = plan.target();
    loop {
        let steps = parsed.stages.get(at).map_or(&[][..], |stage| stage.instructions);
        let user =
            steps.iter().rev().find_map(|step| if let Kind::User(word) = &step.kind { Some(word) } else { None });
        if let Some(user) = user {
            return Ok(user.raw.clone());
        }
        match plan.needed.iter().find(|stage| stage.index == at).map(|stage| &stage.base) {
            // Stages are built on earlier ones only.
            Some(Base::Stage(below)) => at = *below,
            Some(Base::Image(_)) => return Ok(parent.to_owned()),
            Some(Base::Scratch) | None => return Ok(String::new()),
        }
    }
}
