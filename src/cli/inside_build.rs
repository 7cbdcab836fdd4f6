//! `stratum inside-build`: the entry point of a build pod, in the place of `atomic-reactor inside-build`.
//!
//! Comes in: what OpenShift's custom strategy, osbs-client or a build.json say (docs/inside-build.md). Goes out: the
//! command line of `stratum build` that means the same, a site's configuration and what is demanded of the build; from
//! there on it is `stratum build`. What is not used is named.

mod build_json;
mod build_object;
mod check;
mod configuration;
mod derive;
mod input;
mod lists;
mod osv3;
mod pod;
mod spec;
mod strategy;
mod substitute;
mod words;

use std::path::{Path, PathBuf};

use pipeline::{BuildObject, Registry, Task, UserParams};

use crate::build::{self, Demand, Inline};
use crate::environment::{Environment, SourceLogin};
use crate::failure::{Failure, Status};
use crate::inputs;
use crate::log::Style;
use crate::output;
use build_json::{Order, Source};
use build_object::Build;
use derive::Derived;
use input::{Input, InputName};
use lists::Lists;
use osv3::Pod;
use strategy::Strategy;

pub use check::check_pod;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the build is read from
    #[arg(long, value_enum, default_value_t)]
    input: InputName,
    /// For input env: env_name=NAME; for input path: path=FILE
    #[arg(long, value_name = "KEY=VALUE")]
    input_arg: Vec<String>,
    /// Change a value of the build: KEY.KEY…=VALUE, or LIST.PLUGIN.ARGUMENT=VALUE for an argument of a plugin
    #[arg(long, value_name = "PATH=VALUE")]
    substitute: Vec<String>,
    /// The user parameters, JSON or a file with it, instead of $USER_PARAMS
    #[arg(long, value_name = "JSON|FILE")]
    user_params: Option<String>,
    /// The site's configuration, a file or a directory with config.yaml, instead of $REACTOR_CONFIG
    #[arg(long, visible_alias = "config", value_name = "FILE|DIR")]
    config_file: Option<PathBuf>,
    /// The media types to write
    #[arg(long, value_name = "oci|docker", default_value = "docker")]
    format: String,
    /// As `stratum build --network`
    #[arg(long, value_name = "NAME")]
    network: Option<String>,
    /// As `stratum build --isolation`
    #[arg(long, value_name = "NAME")]
    isolation: Option<String>,
    /// As `stratum build --store`
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// As `stratum build --record`
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_enum, default_value_t = Style::Text)]
    pub(crate) progress: Style,
    /// Print what would be done; build nothing
    #[arg(long)]
    dry_run: bool,
    /// Take base images from the store where they are there
    #[arg(long, hide = true)]
    dont_pull_base_image: bool,
    /// Further options of `stratum build`
    #[arg(last = true, value_name = "OPTION")]
    more: Vec<String>,
}

/// What is known of the build before its configuration is read.
struct Given {
    input: Input,
    user: UserParams,
    order: Order,
    source: Source,
    lists: Lists,
    registry: Option<String>,
    build: Option<Build>,
    strategy: Strategy,
    inline: Inline,
    notes: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment, registry: &Registry) -> Result<(), Failure> {
    // Who stops a pod says so once, perhaps while it still reads what to do; process 1 would not even hear it.
    sandbox::Cancel::on_signals().map_err(|error| Failure::of(Status::Environment, &error))?;
    let input = input::choose(arguments, environment)?;
    let environment = match input {
        Input::Osv3 => &osv3::completed(environment)?,
        Input::Env(_) | Input::Path(_) => environment,
    };
    let mut given = read(input, arguments, environment)?;
    let files = pod::look(environment, &given.strategy, Path::new("/"))?;
    let derived = derive::derive(&given.lists);
    let configuration =
        configuration::read(arguments.config_file.as_deref(), (environment, &given.user), &mut given.lists, &derived)?;
    let task = task(&mut given, &derived, &configuration);
    let line = words::words(arguments, &given, &files, (&configuration.site, &task))?;
    let mut build = build::Arguments::of_words(&line.words).map_err(|error| of_words(&error))?;
    if !arguments.progress.is_silent() {
        output::note(&first_line(&given, &configuration));
        given.notes.iter().chain(&files.notes).chain(&line.notes).for_each(|note| output::note(note));
    }
    build.add_credentials(files.credentials);
    let login = SourceLogin { secret: files.source_secret, proxies: given.strategy.git_proxies.clone() };
    let environment = environment.clone().with_source_login(login);
    let (base, inline) = (given.strategy.base, given.inline);
    build::run_as(&build, &environment, registry, Demand { configuration, task, base, inline })
}

/// Reads the input, with what is to be substituted.
fn read(input: Input, arguments: &Arguments, environment: &Environment) -> Result<Given, Failure> {
    let user = user_params(arguments, environment)?;
    let (mut pod, name) = match &input {
        Input::Osv3 => {
            let pod = osv3::read(environment, &user)?;
            let name = pod.lists_name.to_owned();
            (pod, name)
        }
        Input::Env(name) => {
            let missing = || Failure::new(Status::Usage, format!("{name}: the environment has no such variable"));
            let json = build_json::parse(name, environment.get(name).ok_or_else(missing)?)?;
            (Pod { json, ..Pod::default() }, name.clone())
        }
        Input::Path(path) => {
            let bytes = inputs::read(path, "the build.json")?;
            let name = path.display().to_string();
            (Pod { json: build_json::parse(&name, &String::from_utf8_lossy(&bytes))?, ..Pod::default() }, name)
        }
    };
    let mut notes: Vec<String> = user.notes.iter().map(|note| format!("USER_PARAMS: {note}")).collect();
    notes.append(&mut pod.notes);
    notes.extend(substitute::substitute(&mut pod.json, &arguments.substitute)?);
    let place = if input == Input::Osv3 { osv3::REPOSITORY } else { &name };
    let mut order = build_json::read(&name, place, pod.json)?;
    notes.append(&mut order.notes);
    let source = order.source.take().or(pod.source).ok_or_else(|| {
        let text = format!("{name}: nothing says what to build");
        Failure::new(Status::Usage, text).help("`source` has a provider and a uri")
    })?;
    let mut lists = Lists::new(&name, std::mem::take(&mut order.lists));
    notes.extend(lists.replace_magic(&source));
    notes.extend(lists.complete_parents());
    let Pod { registry, build, strategy, inline, .. } = pod;
    Ok(Given { input, user, order, source, lists, registry, build, strategy, inline, notes })
}

/// The user parameters: JSON, or the file it is in.
fn user_params(arguments: &Arguments, environment: &Environment) -> Result<UserParams, Failure> {
    let given = arguments.user_params.as_deref().or_else(|| environment.get("USER_PARAMS"));
    let Some(given) = given else { return Ok(UserParams::default()) };
    let is_json = given.trim_start().starts_with(['{', '[', '"']) || given.trim() == "null";
    let read = |path: &str| inputs::read(Path::new(path), "the user parameters");
    let text = if is_json { given.to_owned() } else { String::from_utf8_lossy(&read(given)?).into_owned() };
    Task::parse(&text)
        .map_err(|error| Failure::new(Status::Usage, format!("USER_PARAMS: {}", http::with_causes(&error))))
}

/// What is demanded: by the user parameters, then by labels of the Build, then by arguments of plugins.
fn task(given: &mut Given, derived: &Derived, configuration: &crate::site::Configuration) -> Task {
    let mut task = given.user.task.clone();
    derived.complete(&mut task);
    if configuration.site.registry.is_some() && task.image_tag.is_none() {
        task.image_tag = given.order.image.as_deref().map(|image| words::without_registry(image).to_owned());
    }
    if let Some(build) = &given.build {
        let label = |name: &str| build.labels.get(name).filter(|value| !value.is_empty());
        if let (None, Some(text)) = (task.koji_task_id, label("koji-task-id")) {
            task.koji_task_id = text.parse().ok();
            if task.koji_task_id.is_none() {
                given.notes.push(format!("BUILD: label koji-task-id is {text}; expected a number; not used"));
            }
        }
        task.git_branch = task.git_branch.take().or_else(|| label("git-branch").cloned());
        task.is_autorebuild = label("is_autorebuild").is_some_and(|value| value.eq_ignore_ascii_case("true"));
        task.build = Some(BuildObject {
            name: build.name.clone(),
            namespace: build.namespace.clone(),
            labels: build.labels.clone(),
            trigger_image: build.trigger_image.clone(),
        });
    }
    task
}

/// What starts the log: who builds what, from where, by whose rules.
fn first_line(given: &Given, configuration: &crate::site::Configuration) -> String {
    let site = match &configuration.path {
        Some(path) => format!("site configuration {path} {}", oci::Digest::of(&configuration.bytes)),
        None => "no site configuration".to_owned(),
    };
    let version = env!("CARGO_PKG_VERSION");
    format!("stratum {version}: input {}, source {}, {site}", given.input, given.source.shown())
}

/// What is wrong with an option that was handed on.
fn of_words(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let text = text.trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned();
    Failure::new(Status::Usage, text).help("options behind `--` are those of `stratum build`")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::site::Configuration;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn given(variables: &[(&str, &str)]) -> Given {
        let line = Line::parse_from(["x"]);
        read(Input::Osv3, &line.arguments, &Environment::of(variables)).unwrap()
    }

    const BUILD: &str = r#"{"metadata": {"name": "b-1", "namespace": "osbs",
        "labels": {"koji-task-id": "42", "is_autorebuild": "True", "git-branch": "f42"}},
        "spec": {"source": {"git": {"uri": "https://u:hunter2@a.example/x"}},
        "triggeredBy": [{"imageChangeBuild": {"imageID": "r.example/base@sha256:0"}}]}}"#;

    #[test]
    fn labels_of_the_build_demand_what_the_user_parameters_do_not() {
        let variables = [("BUILD", BUILD), ("OUTPUT_IMAGE", "r.example:5000/jane/x:t-1")];
        let mut given = given(&variables);
        let (site, _) = pipeline::site::Site::parse(Path::new("x"), b"registry: {url: out.example}").unwrap();
        let configuration = Configuration { site, ..Configuration::default() };
        let derived = Derived { koji_target: Some("f42-candidate".to_owned()), ..Derived::default() };
        let task = task(&mut given, &derived, &configuration);
        assert_eq!((task.koji_task_id, task.is_autorebuild, task.git_branch.as_deref()), (Some(42), true, Some("f42")));
        assert_eq!(task.image_tag.as_deref(), Some("jane/x:t-1"));
        assert_eq!(task.koji_target.as_deref(), Some("f42-candidate"));
        let build = task.build.unwrap();
        assert_eq!((build.name.as_str(), build.namespace.as_str()), ("b-1", "osbs"));
        assert_eq!(build.trigger_image.as_deref(), Some("r.example/base@sha256:0"));
    }

    #[test]
    fn a_repository_that_cannot_be_is_said_of_what_names_it() {
        let line = Line::parse_from(["x"]);
        let environment = Environment::of(&[("BUILD", BUILD), ("SOURCE_CONTEXT_DIR", "../..")]);
        let failure = read(Input::Osv3, &line.arguments, &environment).err().unwrap();
        let start =
            "SOURCE_URI, SOURCE_REF, SOURCE_CONTEXT_DIR, BUILD or USER_PARAMS: source: https://a.example/x: `../..`";
        assert!(failure.text.starts_with(start), "{}", failure.text);
        assert_eq!(failure.status, Status::Usage);
    }

    #[test]
    fn the_first_line_says_who_builds_what_by_whose_rules_and_no_password() {
        let given = given(&[("BUILD", BUILD), ("SOURCE_REF", "f42")]);
        let version = env!("CARGO_PKG_VERSION");
        let line = first_line(&given, &Configuration::default());
        let expected = format!("stratum {version}: input osv3, source https://a.example/x#f42, no site configuration");
        assert_eq!(line, expected);
        let configuration = Configuration { path: Some("REACTOR_CONFIG".to_owned()), ..Configuration::default() };
        let digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let line = first_line(&given, &configuration);
        assert!(line.ends_with(&format!(", site configuration REACTOR_CONFIG {digest}")), "{line}");
    }
}
