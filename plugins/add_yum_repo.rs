//! `add_yum_repo`: a repository that a list of plugins describes.
//!
//! Reads the arguments `repo_name` and `baseurl`. Returns a repository file, as `inject_yum_repos` does. Fails the
//! build when one of the two is missing, or they make no repository.

use pipeline::{Changes, Class, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::repository_files::Wishes;

#[derive(Debug)]
struct AddYumRepo(Wishes);

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let given = match (setup.text("repo_name")?, setup.text("baseurl")?) {
        (Some(name), Some(baseurl)) => vec![(name, baseurl)],
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(missing("baseurl")),
        (None, Some(_)) => return Err(missing("repo_name")),
    };
    Ok(Some(Box::new(AddYumRepo(Wishes { given, ..Wishes::of(setup) }))))
}

fn missing(name: &str) -> PluginError {
    PluginError::new(
        Class::Configuration,
        format!("argument {name} is missing; a repository has repo_name and baseurl"),
    )
}

impl Plugin<PreBuild> for AddYumRepo {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        self.0.changes(view)
    }
}
