//! Which input a build is read from: `osv3`, `env` or `path`, as atomic-reactor has them.
//!
//! Comes in: `--input`, `--input-arg` and the environment. Goes out: one [`Input`]; or a failure that lists what was
//! looked for and what is there. It reads nothing but names and whether a file exists.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use super::Arguments;
use crate::environment::Environment;
use crate::failure::{Failure, Status};

/// The variable with a build.json, where `--input-arg env_name=` names no other.
const ENV_NAME: &str = "BUILD_JSON";
/// The file with a build.json, where `--input-arg path=` names no other.
const PATH: &str = "/run/share/build.json";

/// `--input`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum InputName {
    /// The only one that is there
    #[default]
    Auto,
    /// Variables of a build pod: BUILD, SOURCE_URI, OUTPUT_IMAGE, ATOMIC_REACTOR_PLUGINS, USER_PARAMS, …
    Osv3,
    /// A build.json in the variable BUILD_JSON (--input-arg env_name=NAME)
    Env,
    /// A build.json in the file /run/share/build.json (--input-arg path=FILE)
    Path,
}

/// Where a build is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Osv3,
    Env(String),
    Path(PathBuf),
}

impl Display for Input {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Osv3 => formatter.write_str("osv3"),
            Self::Env(name) => write!(formatter, "env {name}"),
            Self::Path(path) => write!(formatter, "path {}", path.display()),
        }
    }
}

/// Chooses the input.
pub(super) fn choose(arguments: &Arguments, environment: &Environment) -> Result<Input, Failure> {
    let Names { env, path } = Names::read(&arguments.input_arg, arguments.input)?;
    match arguments.input {
        InputName::Osv3 => Ok(Input::Osv3),
        InputName::Env => Ok(Input::Env(env)),
        InputName::Path => Ok(Input::Path(path)),
        InputName::Auto => {
            let has_parameters = arguments.user_params.is_some() || environment.get("USER_PARAMS").is_some();
            only([
                (Input::Osv3, "BUILD or USER_PARAMS", environment.get("BUILD").is_some() || has_parameters),
                (Input::Env(env.clone()), &env, environment.get(&env).is_some()),
                (Input::Path(path.clone()), &path.display().to_string(), path.exists()),
            ])
        }
    }
}

/// The one that is there.
fn only(inputs: [(Input, &str, bool); 3]) -> Result<Input, Failure> {
    let looked: Vec<String> = inputs
        .iter()
        .map(|(input, place, is_there)| {
            let (kind, kept) = match input {
                Input::Osv3 => ("osv3", "variable"),
                Input::Env(_) => ("env", "variable"),
                Input::Path(_) => ("path", "file"),
            };
            let state = if *is_there { "there" } else { "not there" };
            format!("{kind}: {kept} {place} is {state}")
        })
        .collect();
    let mut found = inputs.into_iter().filter(|(_, _, is_there)| *is_there).map(|(input, _, _)| input);
    let failed = |what: &str, help: &str| {
        let text = format!("{what}; looked for\n  {}", looked.join("\n  "));
        Failure::new(Status::Usage, text).help(help)
    };
    match (found.next(), found.next()) {
        (Some(input), None) => Ok(input),
        (None, _) => Err(failed(
            "there is no input",
            "this is the entry point of a build pod; elsewhere give a build.json with --input path --input-arg path=FILE, \
             or use `stratum build`",
        )),
        (Some(_), Some(_)) => Err(failed("there is more than one input", "say which with --input osv3|env|path")),
    }
}

/// What `--input-arg` names.
struct Names {
    env: String,
    path: PathBuf,
}

impl Names {
    fn read(texts: &[String], input: InputName) -> Result<Self, Failure> {
        let mut names = Self { env: ENV_NAME.to_owned(), path: Path::new(PATH).to_owned() };
        for text in texts {
            let usage = |why: &str| Failure::new(Status::Usage, format!("--input-arg {text}: {why}"));
            let (key, value) = text.split_once('=').ok_or_else(|| usage("expected KEY=VALUE"))?;
            match (key, input) {
                (_, _) if value.is_empty() => return Err(usage("the value is missing")),
                ("env_name", InputName::Auto | InputName::Env) => value.clone_into(&mut names.env),
                ("path", InputName::Auto | InputName::Path) => names.path = value.into(),
                _ => return Err(usage("input env takes env_name, input path takes path, and input osv3 nothing")),
            }
        }
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn find(line: &str, variables: &[(&str, &str)]) -> Result<Input, Failure> {
        let line = Line::parse_from(std::iter::once("x").chain(line.split_whitespace()));
        choose(&line.arguments, &Environment::of(variables))
    }

    #[test]
    fn the_only_input_there_is_is_taken() {
        let nowhere = "--input-arg path=/nonexistent/build.json";
        assert_eq!(find(nowhere, &[("BUILD", "{}")]).unwrap(), Input::Osv3);
        assert_eq!(find(nowhere, &[("USER_PARAMS", "{}")]).unwrap(), Input::Osv3);
        assert_eq!(find(nowhere, &[("BUILD_JSON", "{}")]).unwrap(), Input::Env("BUILD_JSON".into()));
        assert_eq!(
            find("--input-arg env_name=B --input-arg path=/nonexistent", &[("B", "{}")]).unwrap().to_string(),
            "env B"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        let line = format!("--input-arg path={}", file.path().display());
        assert_eq!(find(&line, &[]).unwrap(), Input::Path(file.path().to_owned()));
    }

    #[test]
    fn none_or_several_inputs_are_listed() {
        let nowhere = "--input-arg path=/nonexistent/build.json";
        let failure = find(nowhere, &[]).unwrap_err();
        let expected = "there is no input; looked for\n  osv3: variable BUILD or USER_PARAMS is not there\n  \
            env: variable BUILD_JSON is not there\n  path: file /nonexistent/build.json is not there";
        assert_eq!((failure.text.as_str(), failure.status), (expected, Status::Usage));
        let failure = find(nowhere, &[("BUILD", "{}"), ("BUILD_JSON", "{}")]).unwrap_err();
        assert!(
            failure.text.starts_with("there is more than one input; looked for\n  osv3: variable"),
            "{}",
            failure.text
        );
    }

    #[test]
    fn an_input_that_is_named_is_taken() {
        assert_eq!(find("--input osv3", &[("BUILD_JSON", "{}")]).unwrap(), Input::Osv3);
        assert_eq!(find("--input path", &[]).unwrap(), Input::Path(PATH.into()));
        for line in
            ["--input osv3 --input-arg path=x", "--input env --input-arg path=x", "--input-arg x=y", "--input-arg x"]
        {
            assert!(find(line, &[]).unwrap_err().text.starts_with("--input-arg "), "{line}");
        }
    }
}
