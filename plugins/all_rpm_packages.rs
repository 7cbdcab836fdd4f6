//! `all_rpm_packages`: what is installed.
//!
//! Reads the package databases of the image. Returns the packages, each with what its signature is worth. Fails the
//! build when a database is out of reach; what is to be thought of the packages is check_signatures' business.

use std::sync::Arc;

use pipeline::{Fact, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, Setup};

#[derive(Debug)]
struct AllRpmPackages;

pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    let acts = setup.wanted.has_keys || !setup.site.keys.is_empty();
    Ok(if acts { Some(Box::new(AllRpmPackages)) } else { None })
}

impl Plugin<PostBuild> for AllRpmPackages {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let report = (view.examine)()?;
        Ok(Findings { facts: vec![Fact::Packages(Arc::new(report))], ..Findings::default() })
    }
}
