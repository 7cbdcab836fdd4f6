//! `add_yum_repo_by_url`: repository files by URL, for lists of atomic-reactor before its own was merged into
//! `inject_yum_repos`.
//!
//! Reads the arguments `repourls` (a list, or one for each platform) and `inject_proxy`. Returns repository files, as
//! `inject_yum_repos` does, and fails as that.

use pipeline::{Changes, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::repository_files::{self, Wishes};

#[derive(Debug)]
struct AddYumRepoByUrl(Wishes);

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let (urls, proxy) = (repository_files::urls(setup, "repourls")?, setup.text("inject_proxy")?);
    let wishes = Wishes { urls, proxy, ..Wishes::of(setup) };
    Ok(if wishes.is_empty() { None } else { Some(Box::new(AddYumRepoByUrl(wishes))) })
}

impl Plugin<PreBuild> for AddYumRepoByUrl {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        self.0.changes(view)
    }
}
