//! `inject_yum_repos`: the repositories that steps install packages from.
//!
//! Reads the site's `yum_repos` (files and URLs), `yum_repo_allowed_domains`, `yum_proxy`, `builder_ca_bundle` and
//! `koji.root_url`, the build's repository URLs and Koji target, its composes, and the arguments `repourls`, `inject_proxy` and
//! `target` of older lists. Returns repository files that RUN steps of stages on images see and no layer has. The
//! repository of the target is among them where no URL covers the platform, or the build asks for it. Fails the build
//! when a file cannot be had, is no repository file, comes from a host that is not allowed (but for an image that is
//! thrown away), or is called as another one.

use pipeline::{Changes, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::repository_files::{self, KojiTarget, RepoUrl, Wishes};

#[derive(Debug)]
struct InjectYumRepos(Wishes);

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let task = &setup.wanted.task;
    let mut urls: Vec<RepoUrl> =
        task.yum_repourls.iter().map(|url| RepoUrl { platform: None, url: url.clone() }).collect();
    urls.extend(repository_files::urls(setup, "repourls")?);
    let target = setup.text("target")?.or_else(|| task.koji_target.clone());
    let root_url = setup.site.koji.as_ref().map(|koji| koji.root_url.clone());
    let koji = target.filter(|_| root_url.is_some()).map(|name| KojiTarget {
        name,
        root_url: root_url.clone(),
        hub: setup.wanted.hub.clone(),
        is_included: task.include_koji_repo,
    });
    let site = setup.site.yum_repos.clone();
    let wishes = Wishes { site, urls, proxy: setup.text("inject_proxy")?, koji, ..Wishes::of(setup) };
    // Composes are known only when they are there.
    Ok(if wishes.is_empty() && setup.site.odcs.is_none() { None } else { Some(Box::new(InjectYumRepos(wishes))) })
}

impl Plugin<PreBuild> for InjectYumRepos {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let mut wishes = self.0.clone();
        if let Some(composes) = view.facts.composes() {
            let platform = view.site.platform(&view.request.platform.architecture);
            let urls = composes.repositories_for(platform).iter();
            wishes.urls.extend(urls.map(|url| RepoUrl { platform: None, url: url.clone() }));
            if let Some(koji) = &mut wishes.koji {
                koji.is_included |= composes.include_koji_repo;
            }
        }
        if wishes.is_empty() { Ok(Changes::default()) } else { wishes.changes(view) }
    }
}
