//! What the files of a dist-git repository mean.

use dockerfile::Base;
use pipeline::site::Site;
use pipeline::{Class, PluginError};

use super::{parse, rewritten};
use crate::check_and_set_platforms::{self, Asked};
use crate::{container_yaml, content_sets, fetch_maven_artifacts, image_build_conf};

/// A file that fetch_maven_artifacts fetches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// Where it is.
    pub url: String,
    /// Its path in the context.
    pub path: String,
    /// Names of hash functions and checksums in hex.
    pub checksums: Vec<(String, String)>,
}

/// Who asks for platforms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platforms {
    /// The architectures of the Koji target's tag; none where there is no target.
    pub koji: Option<Vec<String>>,
    /// What the user asks for.
    pub user: Vec<String>,
    /// Whether the image is scratch or isolated.
    pub is_for_few: bool,
}

/// The platforms an image is built for, as check_and_set_platforms decides them; `yaml` is container.yaml's text.
///
/// # Errors
/// As check_and_set_platforms; [`Class::Source`] for what is no container.yaml.
pub fn platforms(asked: &Platforms, yaml: Option<&str>, site: &Site) -> Result<Vec<String>, PluginError> {
    let Platforms { koji, user, is_for_few } = asked.clone();
    let yaml = yaml.map(container_yaml::parse).transpose()?.unwrap_or_default();
    let decided = check_and_set_platforms::decide(None, &Asked { koji, user, is_for_few }, &yaml, site);
    decided.map(|(platforms, _)| platforms)
}

/// Whether a file of a repository can be read, by the name of its schema (`container.json`), or by its own where it has
/// none (`image-build.conf`); none for one that nobody reads.
#[must_use]
pub fn is_valid(schema: &str, text: &str) -> Option<Result<(), PluginError>> {
    Some(match schema {
        "container.json" => container_yaml::parse(text).map(drop),
        "content_sets.json" => content_sets::parse(text).map(drop),
        "fetch-artifacts-url.json" => fetch_maven_artifacts::parse_by_url(text).map(drop),
        "fetch-artifacts-nvr.json" | "fetch-artifacts-koji.json" => {
            fetch_maven_artifacts::parse_by_koji(text).map(drop)
        }
        "fetch-artifacts-pnc.json" => fetch_maven_artifacts::parse_by_pnc(text),
        "user_params.json" => {
            let parsed = pipeline::Task::parse(text).map(drop);
            parsed.map_err(|error| PluginError::of(Class::Configuration, &error))
        }
        "config.json" => super::site(text).map(drop),
        "image-build.conf" => image_build_conf::parse(schema, text).map(drop),
        ".osbs-repo-config" => crate::stop_autorebuild_if_disabled::decide(schema, Some(text)),
        "env.json" | "cachito.env" => crate::download_remote_source::parse_variables(schema, text).map(drop),
        _ => return None,
    })
}

/// What fetch_maven_artifacts fetches for the text of a `fetch-artifacts-url.yaml`.
///
/// # Errors
/// As fetch_maven_artifacts.
pub fn downloads(text: &str, site: &Site) -> Result<Vec<Download>, PluginError> {
    let decided = fetch_maven_artifacts::decided(text, &site.artifacts_allowed_domains)?;
    let download = |one: fetch_maven_artifacts::Download| Download {
        url: one.url,
        path: one.target.to_string(),
        checksums: one.checksums.into_iter().map(|(algorithm, sum)| (algorithm.to_string(), sum)).collect(),
    };
    Ok(decided.into_iter().map(download).collect())
}

/// The Dockerfile with the archive `archive` in the place of the file system that Koji makes.
///
/// # Errors
/// [`Class::Source`] for what is no Dockerfile, and where two stages name different files for Koji's image-build.
pub fn with_filesystem(text: &str, archive: &str) -> Result<String, PluginError> {
    let file = parse(text)?;
    let failed = |error: dockerfile::StageError| PluginError::of(Class::Source, &error);
    let stages = dockerfile::stages(&file).map_err(failed)?;
    let arguments = dockerfile::Arguments { build: &|_| None, platform: &|_| None };
    let graph = stages.resolve(arguments).map_err(failed)?;
    let base = |(stage, needs): (usize, &dockerfile::Needs)| match &needs.base {
        Base::Image(name) => Some((stage, name.clone())),
        Base::Scratch | Base::Stage(_) => None,
    };
    let bases: Vec<(usize, String)> = graph.needs.iter().enumerate().filter_map(base).collect();
    image_build_conf::of(bases.iter().map(|(_, name)| (name.as_str(), dockerfile::Span::at(0))))?;
    rewritten(text, &image_build_conf::edits(bases.iter().map(|(stage, name)| (*stage, name.as_str())), archive))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const YAML: [&str; 4] =
        ["container.json", "content_sets.json", "fetch-artifacts-url.json", "fetch-artifacts-nvr.json"];

    #[track_caller]
    fn ends_with_an_error(what: &str, text: &str) {
        for schema in YAML {
            let began = Instant::now();
            assert!(is_valid(schema, text).unwrap().is_err(), "{what}: {schema}");
            assert!(began.elapsed() < Duration::from_secs(20), "{what}: {schema} took {:?}", began.elapsed());
        }
    }

    #[test]
    fn no_file_of_a_repository_fills_the_memory() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let below = vec![format!("*a{}", level - 1); 10].join(", ");
            laughs.push_str(&format!("a{level}: &a{level} [{below}]\n"));
        }
        ends_with_an_error("aliases", &format!("{laughs}compose: {{packages: *a19}}\n"));
        ends_with_an_error("depth", &"[".repeat(1 << 18));
        ends_with_an_error("depth of maps", &format!("{}x", "a: {".repeat(100_000)));
        ends_with_an_error("merges", &format!("{laughs}compose: {{<<: *a19}}\n"));
        ends_with_an_error("values", &format!("[{}]", "0,".repeat(400_000)));
    }

    #[test]
    fn no_help_file_takes_for_ever() {
        for piece in [
            "[", "*a ", "`", "|a|b\n", "> ", "- ", "\\", "<a", "![](", "_*", "# \n", "    x\n", "a\n: b\n", "&",
            "1. a\n",
        ] {
            let (text, began) = (piece.repeat((1 << 18) / piece.len()), Instant::now());
            let page = super::super::injected::manual(&text, "name", "", 0);
            assert!(began.elapsed() < Duration::from_secs(30), "{piece:?} took {:?}", began.elapsed());
            assert!(page.len() < 64 << 20, "{piece:?} became {} bytes", page.len());
        }
    }
}
