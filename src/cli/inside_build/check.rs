//! What a build pod is given as texts, read as a build reads it, and nothing done.
//!
//! Comes in: variables of a pod. Goes out: what is said of them, or why no build can be made of them. It looks for no
//! file but one that the variables name.

use clap::Parser;

use super::{Arguments, configuration, derive, pod, words};
use crate::environment::Environment;
use crate::failure::Failure;

/// The options of an entry point that has none.
#[derive(Parser)]
struct Line {
    #[command(flatten)]
    arguments: Arguments,
}

/// What `stratum inside-build` says of these variables: of BUILD and what goes with it, or of BUILD_JSON where that is
/// among them.
///
/// # Errors
/// The text of the failure.
pub fn check_pod(variables: &[(&str, &str)]) -> Result<Vec<String>, String> {
    read(variables).map_err(|failure| failure.text)
}

fn read(variables: &[(&str, &str)]) -> Result<Vec<String>, Failure> {
    let environment = Environment::of(variables);
    let arguments = Line::parse_from(["inside-build"]).arguments;
    let is_json = environment.get("BUILD_JSON").is_some();
    let input = if is_json { super::Input::Env("BUILD_JSON".to_owned()) } else { super::Input::Osv3 };
    let mut given = super::read(input, &arguments, &environment)?;
    let derived = derive::derive(&given.lists);
    let configuration = configuration::read(None, (&environment, &given.user), &mut given.lists, &derived)?;
    let task = super::task(&mut given, &derived, &configuration);
    let line = words::words(&arguments, &given, &pod::Files::default(), (&configuration.site, &task))?;
    Ok(given.notes.into_iter().chain(configuration.notes).chain(line.notes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_read_whole_and_what_is_wrong_is_said() {
        let build = r#"{"metadata": {"name": "b"}, "spec": {"source": {"git": {"uri": "https://a.example/x"}}}}"#;
        check_pod(&[("BUILD", build), ("OUTPUT_IMAGE", "r.example/x:1"), ("REACTOR_CONFIG", "version: 1\n")]).unwrap();
        let json =
            r#"{"source": {"provider": "git", "uri": "https://a.example/x"}, "image": "r.example/x:1", "odd": 1}"#;
        assert_eq!(check_pod(&[("BUILD_JSON", json)]).unwrap(), ["BUILD_JSON: odd: unknown key, not used"]);
        assert!(check_pod(&[("BUILD", "{")]).unwrap_err().starts_with("BUILD: "));
    }
}
