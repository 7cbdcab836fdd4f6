//! `import_image`: lets the cluster know that an image stream has new images.
//!
//! Reads where the image was published, its tags, and the arguments `imagestream` (its name), `docker_image_repo` (where
//! the cluster finds the images, if not where they were pushed to), `insecure` or `insecure_registry`.
//! Makes the stream if there is none, and imports the tags that move: floating ones, and primary ones without a dash.
//! Does nothing for an image that was not published, and where the argument `imagestream` names no stream. Fails the build when the cluster refuses one of them or is away,
//! unless it is allowed to fail. `url`, `verify_ssl`, `use_auth` and `build_json_dir` of older lists have no effect.

use std::collections::BTreeSet;
use std::sync::Arc;

use cluster::{Client, Import, Object};
use oci::Reference;
use pipeline::site::Site;
use pipeline::{Class, Exit, ExitView, Made, Plugin, PluginError, Setup, Tags};
use serde_json::Value;
use tracing::info;

use crate::in_cluster::{failed, obsolete, warn_of};

const OBSOLETE: [&str; 4] = ["url", "verify_ssl", "use_auth", "build_json_dir"];
const KNOWN: [&str; 4] = ["imagestream", "docker_image_repo", "insecure", "insecure_registry"];

#[derive(Debug)]
struct ImportImage {
    client: Option<Arc<Client>>,
    stream: Object,
    repository: Option<String>,
    is_insecure: Option<bool>,
    obsolete: Vec<&'static str>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Exit> {
    if setup.args.is_none() {
        return Ok(None);
    }
    let obsolete = obsolete(setup, &KNOWN, &OBSOLETE)?;
    let is_insecure = flag(setup, "insecure")?.or(flag(setup, "insecure_registry")?);
    // Lists that osbs-client makes have the plugin also for builds without a stream.
    let Some(name) = setup.text("imagestream")?.filter(|name| !name.is_empty()) else {
        info!("argument imagestream names no stream; no cluster is told of the image");
        return Ok(None);
    };
    let namespace = setup.wanted.task.build.as_ref().map(|build| build.namespace.clone()).unwrap_or_default();
    Ok(Some(Box::new(ImportImage {
        client: setup.wanted.cluster.clone(),
        stream: Object { namespace, name },
        repository: setup.text("docker_image_repo")?.filter(|repository| !repository.is_empty()),
        is_insecure,
        obsolete,
    })))
}

fn flag(setup: &Setup<'_>, name: &str) -> Result<Option<bool>, PluginError> {
    match setup.args.and_then(|args| args.get(name)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => {
            let text = format!("argument {name} is {other}; it must be true or false");
            Err(PluginError::new(Class::Configuration, text))
        }
    }
}

impl Plugin<Exit> for ImportImage {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        warn_of(&self.obsolete);
        let Some(published) = view.published else { return Ok(()) };
        let names: Vec<&Reference> = published.locations.iter().filter_map(transport::Location::in_registry).collect();
        let imports = decide(&names, view.facts.tags(), self.repository.as_deref(), |registry| {
            self.is_insecure.unwrap_or_else(|| is_insecure(view.site, registry))
        });
        if imports.is_empty() {
            info!(stream = self.stream.name, "no tag that moves was published; nothing to import");
            return Ok(());
        }
        let client = self.client.as_ref().ok_or_else(|| {
            let text = format!("there is no cluster whose stream {} could be told of the image", self.stream.name);
            PluginError::new(Class::Configuration, text).help("give the API's address with `openshift.url`")
        })?;
        import(client, &self.stream, &imports)
    }
}

/// What is to be imported from where.
fn decide(
    published: &[&Reference],
    tags: Option<&Tags>,
    repository: Option<&str>,
    is_insecure: impl Fn(&str) -> bool,
) -> Vec<Import> {
    let moves = |name: &Reference| match tags {
        Some(tags) => {
            let is_plain = !name.tag().unwrap_or("latest").contains('-');
            tags.floating.contains(name) || (tags.primary.contains(name) && is_plain)
        }
        // Whoever gave the names meant them all.
        None => true,
    };
    let mut seen = BTreeSet::new();
    let mut imports = Vec::new();
    for name in published.iter().filter(|name| moves(name)) {
        let tag = name.tag().unwrap_or("latest");
        if !seen.insert(tag) {
            continue;
        }
        let repository = repository.map_or_else(|| name.name(), |given| given.trim_end_matches('/').to_owned());
        let registry = repository.split('/').next().unwrap_or_default().to_owned();
        let from = format!("{repository}:{tag}");
        imports.push(Import { from, tag: tag.to_owned(), is_insecure: is_insecure(&registry) });
    }
    imports
}

fn is_insecure(site: &Site, registry: &str) -> bool {
    let push = site.registry.iter().map(|push| &push.registry);
    let mut all = site.source_registry.iter().chain(&site.pull_registries).chain(push);
    all.any(|known| known.insecure && known.url.host() == registry)
}

fn import(client: &Client, stream: &Object, imports: &[Import]) -> Result<(), PluginError> {
    let name = &stream.name;
    let what = format!("image stream {name}");
    if client.image_stream(stream).map_err(|error| failed(&what, &error))?.is_none() {
        client.create_image_stream(stream).map_err(|error| failed(&format!("{what} cannot be made"), &error))?;
        info!(stream = name, "image stream made");
    }
    let imported = client.import(stream, imports).map_err(|error| failed(&what, &error))?;
    let failures: Vec<String> =
        imported.iter().filter_map(|one| Some(format!("{name}:{}: {}", one.tag, one.error.as_ref()?))).collect();
    if failures.is_empty() {
        info!(stream = name, tags = imported.len(), "tags imported");
        return Ok(());
    }
    let text = format!("the cluster could not import every tag: {}", failures.join("; "));
    let help = "the cluster pulls with its own credentials: does the namespace have a secret for the registry?";
    Err(PluginError::new(Class::Remote, text).help(help))
}

#[cfg(test)]
mod tests;
