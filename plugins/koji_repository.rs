//! `koji`: the repository of a Koji target, for lists of atomic-reactor before its own was merged into
//! `inject_yum_repos`.
//!
//! Reads the arguments `target` and `root`, else the build's target and the site's `koji.root_url`. Returns one
//! repository file, as `inject_yum_repos` does; one that a list names by its target is used whatever other repositories
//! there are. Fails the build when there is no such target.

use pipeline::{Changes, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::repository_files::{KojiTarget, Wishes};

#[derive(Debug)]
struct Koji(Wishes);

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let (named, task) = (setup.text("target")?, &setup.wanted.task);
    // Without a list `inject_yum_repos` does it.
    if setup.args.is_none() {
        return Ok(None);
    }
    // A list is for many builds; whether this one has repositories of its own, inject_yum_repos knows.
    let is_included = named.is_some() || task.include_koji_repo || task.yum_repourls.is_empty();
    let Some(name) = named.or_else(|| task.koji_target.clone()).filter(|_| is_included) else { return Ok(None) };
    let root_url = setup.text("root")?.or_else(|| setup.site.koji.as_ref().map(|koji| koji.root_url.clone()));
    let koji = Some(KojiTarget { name, root_url, hub: setup.wanted.hub.clone(), is_included });
    Ok(Some(Box::new(Koji(Wishes { koji, ..Wishes::of(setup) }))))
}

impl Plugin<PreBuild> for Koji {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        self.0.changes(view)
    }
}
