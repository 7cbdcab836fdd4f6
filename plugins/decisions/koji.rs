//! What the plugins that ask Koji decide, given a hub that answers from a script.

use std::sync::{Mutex, PoisonError};

use koji::component::{self, Component};
use koji::{Archive, BUILD_FAULT, BuildTarget, Hub, HubError, Nvr, Reservation};
use pipeline::site::Site;
use pipeline::{Class, PluginError};
use serde_json::{Value, json};

pub use koji::{BuildInfo, BuildState};
pub use pipeline::{BuildObject, Task};

use crate::bump_release::{self, Rules};
use crate::compare_components;
use crate::signing_intents::Intents;

use super::{publish, rewritten};

/// A hub that answers from a script and notes what it was asked.
#[derive(Debug, Default)]
pub struct Scripted {
    /// The builds there are.
    pub builds: Vec<BuildInfo>,
    /// The answer of `getNextRelease`; a fault of a release that cannot be counted for none.
    pub next_release: Option<String>,
    /// The build that `search` finds.
    pub newest: Option<u64>,
    /// What `listArchives` answers, whatever the build.
    pub archives: Vec<Archive>,
    /// The number that the next reservation gets.
    pub reserves: u64,
    /// What was asked so far.
    pub asked: Mutex<Vec<Value>>,
}

impl Scripted {
    /// What was asked, in order: the call, then its arguments.
    #[must_use]
    pub fn calls(&self) -> Vec<Value> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, call: Value) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(call);
    }
}

fn named(nvr: &str) -> Value {
    match Nvr::parse(nvr) {
        Ok(nvr) => json!({ "name": nvr.name(), "version": nvr.version(), "release": nvr.release() }),
        Err(_) => json!(nvr),
    }
}

impl Hub for Scripted {
    fn build(&self, nvr: &str) -> Result<Option<BuildInfo>, HubError> {
        self.note(json!(["getBuild", named(nvr)]));
        Ok(self.builds.iter().find(|build| build.nvr == nvr).cloned())
    }

    fn build_target(&self, name: &str) -> Result<Option<BuildTarget>, HubError> {
        self.note(json!(["getBuildTarget", name]));
        Ok(None)
    }

    fn architectures(&self, tag: &str) -> Result<Vec<String>, HubError> {
        self.note(json!(["getBuildConfig", tag]));
        Ok(Vec::new())
    }

    fn repository(&self, tag: &str) -> Result<Option<u64>, HubError> {
        self.note(json!(["getRepo", tag]));
        Ok(None)
    }

    fn next_release(&self, name: &str, version: &str) -> Result<String, HubError> {
        self.note(json!(["getNextRelease", { "name": name, "version": version }]));
        let fault =
            || HubError::Fault { call: "getNextRelease", code: BUILD_FAULT, text: "it cannot be counted".to_owned() };
        self.next_release.clone().ok_or_else(fault)
    }

    fn build_by_id(&self, id: u64) -> Result<Option<BuildInfo>, HubError> {
        self.note(json!(["getBuild", id]));
        Ok(self.builds.iter().find(|build| build.id == id).cloned())
    }

    fn archives(&self, build: u64) -> Result<Vec<Archive>, HubError> {
        self.note(json!(["listArchives", build]));
        Ok(self.archives.clone())
    }

    fn newest_build(&self, regexp: &str) -> Result<Option<u64>, HubError> {
        self.note(json!(["search", regexp]));
        Ok(self.newest)
    }

    fn reserve(&self, generator: &str, nvr: &Nvr) -> Result<Reservation, HubError> {
        self.note(json!(["CGInitBuild", generator, named(&nvr.to_string())]));
        Ok(Reservation { build_id: self.reserves, token: http::Secret::new("token") })
    }
}

/// What bump_release decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bumped {
    /// The Dockerfile with the release.
    pub dockerfile: String,
    /// The number of the reserved build.
    pub reserved_build_id: Option<u64>,
}

/// The Dockerfile with the release that bump_release finds; nothing is waited for. `appends` is its argument `append`,
/// `generator` whom the build is reserved for.
///
/// # Errors
/// As bump_release; [`Class::Source`] for what is no Dockerfile.
pub fn bumped(
    dockerfile: &str,
    task: &Task,
    (appends, generator): (bool, Option<&str>),
    hub: &dyn Hub,
) -> Result<Bumped, PluginError> {
    let rules = Rules { task: task.clone(), appends, reserves_for: generator.map(str::to_owned) };
    let decided = bump_release::decide(
        &rules,
        &publish::labels(dockerfile, &Default::default(), &Default::default())?.1,
        (hub, &|_| true),
    )?;
    let edits: Vec<_> = decided.label.iter().map(|value| bump_release::edit(value)).collect();
    let reserved_build_id = decided.reservation.map(|reservation| reservation.build_id);
    Ok(Bumped { dockerfile: rewritten(dockerfile, &edits)?, reserved_build_id })
}

/// The name of the signing intent that a compose with these keys has.
///
/// # Errors
/// [`Class::Refused`] where no intent of the site knows the keys; [`Class::Configuration`] where the site has none.
pub fn signing_intent(site: &Site, keys: &[String]) -> Result<String, PluginError> {
    let odcs = site.odcs.as_ref().ok_or_else(|| PluginError::new(Class::Configuration, "the site has no `odcs`"))?;
    Intents(&odcs.signing_intents).of_keys(keys).map(|intent| intent.name.clone())
}

/// Compares the components of platforms, JSON lists as Koji's metadata has them, as compare_components does.
///
/// # Errors
/// [`Class::Refused`] names the packages that differ; [`Class::Configuration`] for what is no list of components.
pub fn compared(lists: &[Value], task: &Task, site: &Site) -> Result<(), PluginError> {
    let wrong = |error: serde_json::Error| PluginError::of(Class::Configuration, &error);
    let lists = lists.iter().map(|list| serde_json::from_value(list.clone()).map_err(wrong));
    let lists: Vec<Vec<Component>> = lists.collect::<Result<_, _>>()?;
    let lists: Vec<&[Component]> = lists.iter().map(Vec::as_slice).collect();
    let found = if task.is_scratch {
        Vec::new()
    } else {
        compare_components::decide(&lists, &site.package_comparison_exceptions)
    };
    if found.is_empty() {
        return Ok(());
    }
    let shown: Vec<String> = found.iter().map(|finding| format!("{}: {}", finding.subject, finding.message)).collect();
    Err(PluginError::new(Class::Refused, shown.join("; ")))
}

/// The components of rows that `rpm -qa` printed, as JSON.
///
/// # Errors
/// [`Class::Source`] for what is no row.
pub fn components(rows: &[&str]) -> Result<Value, PluginError> {
    let found = component::of_rows(rows.iter().copied()).map_err(|error| PluginError::of(Class::Source, &error))?;
    Ok(json!(found))
}

/// The tags that `rpm -qa` is asked for, in order, and what stands between them.
#[must_use]
pub fn query() -> (&'static [&'static str], &'static str) {
    (&component::QUERY_TAGS, component::SEPARATOR)
}
