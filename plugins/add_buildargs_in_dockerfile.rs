//! `add_buildargs_in_dockerfile`: every stage declares the build arguments.
//!
//! Reads the build arguments that have a value and the Dockerfile. Returns one edit: `ARG` for each of them, sorted,
//! behind every FROM, so that steps see the values as variables. Never fails. It acts where the site lists it, or where a
//! remote source was found, whose variables they are: otherwise an argument means what docker makes of it, which is
//! nothing without the Dockerfile's own ARG.

use pipeline::{Changes, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::download_remote_source;

#[derive(Debug)]
struct AddBuildArgs {
    is_listed: bool,
}

#[expect(clippy::unnecessary_wraps, reason = "all plugins are made the same way")]
pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let is_listed = setup.args.is_some();
    let acts = is_listed || setup.site.remote_sources.is_some();
    Ok(if acts { Some(Box::new(AddBuildArgs { is_listed })) } else { None })
}

impl Plugin<PreBuild> for AddBuildArgs {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        if !self.is_listed && !view.request.contexts.contains_key(download_remote_source::CONTEXT) {
            return Ok(Changes::default());
        }
        let edits = decide(view.request.build_args.keys().map(String::as_str));
        Ok(Changes { edits: edits.into_iter().collect(), ..Changes::default() })
    }
}

/// The edit that declares `names`; none for none. What cannot be a variable's name is left out.
pub(crate) fn decide<'n>(names: impl Iterator<Item = &'n str>) -> Option<Reasoned> {
    let mut names: Vec<String> = names.filter(|name| is_name(name)).map(str::to_owned).collect();
    names.sort();
    names.dedup();
    let reason = "steps see the build arguments".to_owned();
    (!names.is_empty()).then_some(Reasoned { edit: Edit::Arguments(names), reason })
}

fn is_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty() && name.chars().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_once_and_in_order() {
        let edit = decide(["Z", "A", "Z", "a b", "1"].into_iter()).unwrap().edit;
        assert_eq!(edit, Edit::Arguments(vec!["A".to_owned(), "Z".to_owned()]));
        assert_eq!(decide([].into_iter()), None);
    }
}
