//! The command line of `stratum build` that means what a build pod is asked for.
//!
//! Comes in: the options, what was read, what the pod has. Goes out: words, and what is said of them. Options of the
//! user come last, so that they count.

use oci::Reference;
use pipeline::Task;
use pipeline::site::{Plugins, Site};

use super::pod::Files;
use super::{Arguments, Given};
use crate::failure::{Failure, Status};
use crate::inside_build::input::Input;

const SEE_IMAGE: &str = "see OUTPUT_IMAGE or `image`";

#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) words: Vec<String>,
    pub(super) notes: Vec<String>,
}

pub(super) fn words(
    arguments: &Arguments,
    given: &Given,
    files: &Files,
    (site, task): (&Site, &Task),
) -> Result<Line, Failure> {
    let mut line = Line::default();
    let mut add = |word: String| line.words.push(word);
    let note = match destination(given, site)? {
        Destination::OfTheSite => {
            add("--push".to_owned());
            None
        }
        Destination::Registry(name) => {
            add("--push".to_owned());
            add(format!("--tag={name}"));
            None
        }
        Destination::Store(name) => {
            add(format!("--tag={name}"));
            Some(format!("no registry is known, so {name} stays in the store"))
        }
    };
    let pull = if arguments.dont_pull_base_image { "missing" } else { "always" };
    add(format!("--pull={pull}"));
    add(format!("--format={}", arguments.format));
    if let Some(platform) = &task.platform {
        add(format!("--platform=linux/{}", site.goarch(platform)));
    }
    files.authorities.iter().for_each(|path| add(format!("--ca={}", path.display())));
    files.volumes.iter().for_each(|volume| add(format!("--volume={volume}")));
    line.words.extend(given.strategy.words.iter().cloned());
    line.words.extend(own(arguments));
    line.words.extend(arguments.more.iter().cloned());
    line.words.extend(["--".to_owned(), given.source.argument()]);
    line.notes.extend(note);
    line.notes.extend(files.volumes.iter().map(|volume| format!("steps see {volume}")));
    Ok(line)
}

/// Options that both subcommands have.
fn own(arguments: &Arguments) -> Vec<String> {
    let style = clap::ValueEnum::to_possible_value(&arguments.progress);
    let mut words = vec![format!("--progress={}", style.as_ref().map_or("auto", |style| style.get_name()))];
    let text = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("--{name}={value}"));
    words.extend(text("network", &arguments.network));
    words.extend(text("isolation", &arguments.isolation));
    words.extend(arguments.store.as_ref().map(|path| format!("--store={}", path.display())));
    words.extend(arguments.record.as_ref().map(|path| format!("--record={}", path.display())));
    words.extend(arguments.dry_run.then(|| "--dry-run".to_owned()));
    words
}

/// Where the image goes.
#[derive(Debug, PartialEq)]
enum Destination {
    /// To the site's registry, under the names that labels make.
    OfTheSite,
    /// There, under this name.
    Registry(Reference),
    /// Nowhere, under this name.
    Store(Reference),
}

fn destination(given: &Given, site: &Site) -> Result<Destination, Failure> {
    let usage = |text: String, help: &str| Failure::new(Status::Usage, text).help(help.to_owned());
    match (&site.registry, given.order.image.as_deref()) {
        // As atomic-reactor: an image that no plugin names has the name it was asked for under.
        (Some(registry), Some(image)) if names_nothing(site) => {
            let name = format!("{}/{}", registry.registry.url.host(), without_registry(image));
            let parsed = name.parse().map_err(|error| usage(format!("the image's name: {error}"), SEE_IMAGE))?;
            return Ok(Destination::Registry(parsed));
        }
        (Some(_), _) => return Ok(Destination::OfTheSite),
        (None, _) => {}
    }
    let Some(image) = given.order.image.as_deref() else {
        let text = "nothing says where the image goes: there is neither OUTPUT_IMAGE nor a registry in the site's configuration";
        return Err(usage(
            text.to_owned(),
            "say `registry: {url: …}` in the site's configuration, or give the Build an output",
        ));
    };
    let parse =
        |name: &str| name.parse::<Reference>().map_err(|error| usage(format!("the image's name: {error}"), SEE_IMAGE));
    let has_registry = without_registry(image) != image;
    match (&given.registry, has_registry, &given.input) {
        (Some(registry), _, _) => parse(&format!("{registry}/{image}")).map(Destination::Registry),
        (None, true, _) => parse(image).map(Destination::Registry),
        (None, false, Input::Env(_) | Input::Path(_)) => parse(image).map(Destination::Store),
        (None, false, Input::Osv3) => {
            let text = format!("nothing says which registry the image {image} goes to: OUTPUT_REGISTRY is not set");
            Err(usage(text, "say `registry: {url: …}` in the site's configuration, or give the Build an output"))
        }
    }
}

/// Whether lists of plugins leave out those that make names of labels.
fn names_nothing(site: &Site) -> bool {
    let Plugins { source, prebuild, build, prepublish, postbuild, publish, exit, .. } = &site.plugins;
    let all = [source, prebuild, build, prepublish, postbuild, publish, exit].into_iter().flatten().flatten();
    prebuild.is_some() && !all.into_iter().any(|one| ["tag_from_config", "tag_by_labels"].contains(&one.name.as_str()))
}

/// An image's name without the registry it may begin with.
pub(super) fn without_registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => rest,
        Some(_) | None => image,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::super::build_json::{Order, Source};
    use super::super::lists::Lists;
    use super::super::strategy::Strategy;
    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn given(image: &str, registry: Option<&str>, input: Input) -> Given {
        Given {
            input,
            user: pipeline::UserParams::default(),
            order: Order { image: Some(image.to_owned()).filter(|image| !image.is_empty()), ..Order::default() },
            source: Source::Git("https://a.example/x#main".to_owned()),
            lists: Lists::new("", serde_json::Map::new()),
            registry: registry.map(str::to_owned),
            build: None,
            strategy: Strategy::default(),
            inline: crate::build::Inline::default(),
            notes: Vec::new(),
        }
    }

    fn site(text: &str) -> Site {
        Site::parse(Path::new("x"), text.as_bytes()).unwrap().0
    }

    fn of(line: &str, given: &Given, site: &Site) -> Result<Vec<String>, String> {
        let line = Line::parse_from(std::iter::once("x").chain(line.split_whitespace()));
        let task = Task { platform: Some("aarch64".to_owned()), ..Task::default() };
        let files = Files { volumes: vec!["/a:/b:ro".to_owned()], authorities: vec!["/ca".into()], ..Files::default() };
        let line = words(&line.arguments, given, &files, (site, &task));
        line.map(|line| line.words).map_err(|failure| failure.text)
    }

    #[test]
    fn a_pod_pushes_in_dockers_format_and_the_user_has_the_last_word() {
        let given = given("jane/x:1", Some("out.example"), Input::Osv3);
        let found = of("--network none --record r -- --jobs 2", &given, &Site::default()).unwrap();
        let expected = [
            "--push",
            "--tag=out.example/jane/x:1",
            "--pull=always",
            "--format=docker",
            "--platform=linux/arm64",
            "--ca=/ca",
            "--volume=/a:/b:ro",
            "--progress=text",
            "--network=none",
            "--record=r",
            "--jobs",
            "2",
            "--",
            "https://a.example/x#main",
        ];
        assert_eq!(found, expected);
        crate::build::Arguments::of_words(&found).unwrap();
    }

    #[test]
    fn the_image_goes_to_the_sites_registry_before_all_others() {
        let names = |given: &Given, site: &Site| {
            let words = of("", given, site)?;
            Ok::<_, String>(
                words.into_iter().take_while(|word| !word.starts_with("--pull")).collect::<Vec<_>>().join(" "),
            )
        };
        let registry = site("registry: {url: site.example}");
        assert_eq!(names(&given("jane/x:1", Some("o.example"), Input::Osv3), &registry).unwrap(), "--push");
        let listed = "registry: {url: site.example}\nplugins: {prebuild: [{name: koji}], postbuild: [{name: ";
        let without = site(&format!("{listed}tag_and_push}}]}}"));
        let expected = "--push --tag=site.example/jane/x:1";
        assert_eq!(names(&given("o.example/jane/x:1", None, Input::Osv3), &without).unwrap(), expected);
        let with = site(&format!("{listed}tag_by_labels}}]}}"));
        assert_eq!(names(&given("jane/x:1", None, Input::Osv3), &with).unwrap(), "--push");
        let none = Site::default();
        let path = || Input::Path("b".into());
        assert_eq!(names(&given("o.example/x:1", None, path()), &none).unwrap(), "--push --tag=o.example/x:1");
        assert_eq!(names(&given("x:1", None, path()), &none).unwrap(), "--tag=docker.io/library/x:1");
        let text = "nothing says which registry the image x:1 goes to: OUTPUT_REGISTRY is not set";
        assert_eq!(names(&given("x:1", None, Input::Osv3), &none), Err(text.to_owned()));
        assert!(names(&given("", None, Input::Osv3), &none).unwrap_err().starts_with("nothing says where"));
    }
}
