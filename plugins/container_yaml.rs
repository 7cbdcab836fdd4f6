//! `container.yaml`: what a repository says of how its image is built (OSBS, "Image configuration").
//!
//! Comes in: the file's text. Goes out: [`ContainerYaml`], or the first thing that is wrong, with file, line, column,
//! the key and what it means; a key nobody knows is wrong too. What is accepted is what the reference's schema
//! accepts. Some rules of that schema are OSBS's and not the file's (sources that exclude each other): [`read`] goes on
//! after them and hands the complaints over, [`parse`] does not. Nothing here decides what becomes of a key.

mod compose;
mod meaning;
mod sources;
#[cfg(test)]
mod tests;

use pipeline::yaml::{self, Fault, Fields, Item};
use pipeline::{Class, PluginError, PreBuildView};

pub(crate) use compose::{Compose, KojiTags};
pub(crate) use sources::RemoteSources;

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "container.yaml";
/// Names that somebody who meant it gave the file.
const SLIPS: [&str; 5] = ["container.yml", ".container.yaml", ".container.yml", "Container.yaml", "containers.yaml"];

/// What was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ContainerYaml {
    /// `platforms.only`; empty means all.
    pub(crate) only: Vec<String>,
    /// `platforms.not`.
    pub(crate) not: Vec<String>,
    /// `tags`.
    pub(crate) tags: Option<Vec<String>>,
    /// `set_release_env`: the variable that holds the release.
    pub(crate) set_release_env: Option<String>,
    /// `compose`.
    pub(crate) compose: Option<Compose>,
    /// Whether there is `flatpak`.
    pub(crate) is_flatpak: bool,
    /// `operator_manifests.manifests_dir`.
    pub(crate) operator_manifests: Option<String>,
    /// `remote_source`, `remote_sources` or `go`.
    pub(crate) sources: Option<RemoteSources>,
    /// `buildtime_limit`, in seconds.
    pub(crate) buildtime_limit: Option<u64>,
    /// Keys that have no effect any more.
    pub(crate) deprecated: Vec<&'static str>,
}

/// Reads the text of the file; an empty one says nothing.
///
/// # Errors
/// The first thing that is wrong, OSBS's rules included.
pub(crate) fn parse(text: &str) -> Result<ContainerYaml, PluginError> {
    let (yaml, complaints) = read(text)?;
    complaints.into_iter().next().map_or(Ok(yaml), Err)
}

/// The same, and what OSBS would not accept of it.
///
/// # Errors
/// The first thing that can mean nothing.
pub(crate) fn read(text: &str) -> Result<(ContainerYaml, Vec<PluginError>), PluginError> {
    yaml::read_with_complaints((NAME, text), meaning::OF_KEYS, |item, complaints| match item {
        Some(item) => top(&item, complaints),
        None => Ok(ContainerYaml::default()),
    })
}

/// That of a build; what is not there says nothing.
///
/// # Errors
/// As [`read`]; a file that is there under a name nobody reads.
pub(crate) fn of(view: &PreBuildView<'_>) -> Result<ContainerYaml, PluginError> {
    with_complaints(view).map(|(yaml, _)| yaml)
}

/// The same, and what OSBS would not accept of it.
///
/// # Errors
/// As [`of`].
pub(crate) fn with_complaints(view: &PreBuildView<'_>) -> Result<(ContainerYaml, Vec<PluginError>), PluginError> {
    match view.context_file(NAME)? {
        Some(text) => read(&text),
        None => match SLIPS.into_iter().find(|slip| matches!(view.context_file(slip), Ok(Some(_)))) {
            Some(slip) => Err(misspelt(slip)),
            None => Ok((ContainerYaml::default(), Vec::new())),
        },
    }
}

fn misspelt(slip: &str) -> PluginError {
    PluginError::new(Class::Source, format!("{slip}: nobody reads a file of this name"))
        .help(format!("call it {NAME}, or remove it"))
}

fn top(item: &Item<'_>, complaints: &mut Vec<Fault>) -> Result<ContainerYaml, Fault> {
    let mut top = item.fields()?;
    let mut yaml = ContainerYaml::default();
    if let Some(item) = top.take("platforms").filter(|item| !item.is_nothing()) {
        let mut fields = item.fields()?;
        yaml.only = fields.read("only", one_or_many)?.unwrap_or_default();
        yaml.not = fields.read("not", one_or_many)?.unwrap_or_default();
        fields.refuse_rest()?;
    }
    yaml.compose = read_some(&mut top, "compose", Compose::read)?;
    yaml.tags = top.read("tags", texts)?;
    yaml.set_release_env = top.read("set_release_env", text)?;
    yaml.is_flatpak = read_some(&mut top, "flatpak", |item| item.fields().map(drop))?.is_some();
    yaml.operator_manifests = match top.take("operator_manifests") {
        Some(item) if item.is_nothing() => {
            complaints.push(item.expected("a map of keys and values"));
            None
        }
        Some(item) => Some(operator_manifests(&item)?),
        None => None,
    };
    yaml.sources = sources::read(&mut top, complaints)?;
    yaml.buildtime_limit = top.read("buildtime_limit", |item| whole_from(item, 0))?;
    yaml.deprecated = deprecated(&mut top)?;
    top.refuse_rest()?;
    Ok(yaml)
}

/// Reads and forgets what had an effect once; which of it there was.
fn deprecated(top: &mut Fields<'_>) -> Result<Vec<&'static str>, Fault> {
    let mut found = Vec::new();
    let autorebuild = |item: &Item<'_>| {
        let mut fields = item.fields()?;
        for key in ["from_latest", "add_timestamp_to_release", "ignore_isolated_builds"] {
            fields.read(key, Item::boolean)?;
        }
        fields.refuse_rest()
    };
    found.extend(read_some(top, "autorebuild", autorebuild)?.map(|()| "autorebuild"));
    let method = |item: &Item<'_>| one_of(item, &["docker_api", "imagebuilder", "buildah_bud"]);
    found.extend(top.read("image_build_method", method)?.map(|_| "image_build_method"));
    found.extend(top.read("version", |item| whole_from(item, 1))?.map(|_| "version"));
    Ok(found)
}

fn operator_manifests(item: &Item<'_>) -> Result<String, Fault> {
    const KIND: &str = "a path in the repository that does not begin with a slash";
    let mut fields = item.fields()?;
    let place = fields.need("manifests_dir")?;
    let directory = place.any_text(KIND)?;
    if directory.is_empty() || directory.starts_with('/') {
        return Err(place.expected(KIND));
    }
    for key in ["enable_digest_pinning", "enable_repo_replacements", "enable_registry_replacements", "skip_all"] {
        fields.read(key, Item::boolean)?;
    }
    fields.read("repo_replacements", |item| item.each(repo_replacement))?;
    fields.refuse_rest()?;
    Ok(directory.to_owned())
}

fn repo_replacement(item: &Item<'_>) -> Result<(), Fault> {
    let mut fields = item.fields()?;
    text(&fields.need("registry")?)?;
    fields.need("package_mappings")?.fields()?.rest().try_for_each(|(_, item)| text(&item).map(drop))?;
    fields.refuse_rest()
}

/// The value of a key that may be there and say nothing.
fn read_some<T>(
    fields: &mut Fields<'_>,
    key: &'static str,
    read: impl FnOnce(&Item<'_>) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    fields.take(key).filter(|item| !item.is_nothing()).map(|item| read(&item)).transpose()
}

fn text(item: &Item<'_>) -> Result<String, Fault> {
    item.any_text("a text").map(str::to_owned)
}

fn texts(item: &Item<'_>) -> Result<Vec<String>, Fault> {
    item.each(text)
}

/// A text, or a list of them.
fn one_or_many(item: &Item<'_>) -> Result<Vec<String>, Fault> {
    match (item.any_text("a text"), item.list()) {
        (Ok(text), _) => Ok(vec![text.to_owned()]),
        (Err(_), Ok(_)) => texts(item),
        (Err(_), Err(_)) => Err(item.expected("a text or a list of texts")),
    }
}

fn one_of(item: &Item<'_>, known: &[&'static str]) -> Result<&'static str, Fault> {
    let kind = known.join(", ");
    let text = item.any_text(&kind)?;
    known.iter().find(|one| **one == text).copied().ok_or_else(|| item.expected(&kind))
}

/// A whole number from `least`, written with or without a fraction that is nought.
fn whole_from(item: &Item<'_>, least: u32) -> Result<u64, Fault> {
    let wrong = || item.expected(&format!("a whole number from {least}"));
    let number = item.number().ok_or_else(wrong)?;
    if number < f64::from(least) || number.fract() != 0.0 || number > 9e15 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole, and between the bounds")]
    Ok(number as u64)
}
