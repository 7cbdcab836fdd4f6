//! `bump_release`: which release the image is, and that its name is free in Koji.
//!
//! Reads the labels that the Dockerfile sets, what the build system demands (`release`, scratch), the site's
//! `koji.reserve_build`, and the hub. Returns the label `release` where it is not said already, and what the build
//! will be called in Koji, with its reservation where that is configured. Fails the build when the hub cannot be
//! asked, when the build is in Koji already, or when component or version are not said.

use std::sync::Arc;
use std::time::Duration;

use koji::{BUILD_FAULT, BuildState, Hub, HubError, Nvr, Reservation};
use pipeline::{
    Changes, Class, Edit, Fact, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Release, Setup, Task,
};

use crate::koji_rules::{failed, flag};
use crate::labels::{ALIASES, Labels};

/// How often a reservation is tried again with the next release, and after which wait.
const RETRIES: (usize, Duration) = (20, Duration::from_secs(2));
/// How many releases are looked at for one that is free.
const MOST_RELEASES: usize = 1000;

#[derive(Debug)]
struct BumpRelease {
    hub: Arc<dyn Hub>,
    rules: Rules,
}

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// What the build system demands.
    pub(crate) task: Task,
    /// Whether a number is appended to the release that the Dockerfile says.
    pub(crate) appends: bool,
    /// The content generator a build is reserved for; none where it is not.
    pub(crate) reserves_for: Option<String>,
}

/// What was decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decided {
    /// The label `release`, where it is to be set.
    pub(crate) label: Option<String>,
    /// What the build is called; none for one that is not for Koji.
    pub(crate) nvr: Option<Nvr>,
    /// What keeps that name.
    pub(crate) reservation: Option<Reservation>,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let (Some(hub), Some(koji)) = (&setup.wanted.hub, &setup.site.koji) else { return Ok(None) };
    let reserves = koji.reserve_build && !setup.wanted.is_dry_run;
    let rules = Rules {
        task: setup.wanted.task.clone(),
        appends: flag(setup, "append")?,
        reserves_for: reserves.then(|| koji.content_generator.clone()),
    };
    Ok(Some(Box::new(BumpRelease { hub: Arc::clone(hub), rules })))
}

impl Plugin<PreBuild> for BumpRelease {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let mut labels = view.written_labels()?;
        labels.extend(view.request.labels.iter().cloned());
        let pause = |wait| {
            view.http.pause(wait);
            !view.http.is_cancelled()
        };
        let decided = decide(&self.rules, &labels, (self.hub.as_ref(), &pause))?;
        let edits = decided.label.into_iter().map(|value| edit(&value)).collect();
        let (nvr, reservation) = (decided.nvr, decided.reservation);
        let facts = nvr.map(|nvr| Fact::Release(Release { nvr, reservation })).into_iter().collect();
        Ok(Changes { edits, facts, ..Changes::default() })
    }
}

/// The edit that makes this the release.
pub(crate) fn edit(release: &str) -> Reasoned {
    let edit = Edit::Label { name: "release".to_owned(), value: release.to_owned() };
    Reasoned {
        edit,
        reason: "the release that is free in Koji, or that the Dockerfile has under the old name".to_owned(),
    }
}

/// Waits, and says whether to go on.
pub(crate) type Pause<'p> = &'p dyn Fn(Duration) -> bool;

/// What the image is called by the labels of its Dockerfile.
struct Named<'l> {
    component: &'l str,
    version: &'l str,
    release: Option<&'l str>,
}

impl<'l> Named<'l> {
    fn of(labels: &'l Labels) -> Result<Self, PluginError> {
        let need = |name: &str| said(labels, name)?.ok_or_else(|| missing(name, ""));
        let (component, version) = (need("com.redhat.component")?, need("version")?);
        Ok(Self { component, version, release: said(labels, "release")? })
    }

    fn nvr(&self, release: &str) -> Result<Nvr, PluginError> {
        Nvr::new(self.component, self.version, release).map_err(|error| PluginError::of(Class::Source, &error))
    }
}

/// The value of a label under the new name where that is there, else under the old one; an empty one is no value.
fn said<'l>(labels: &'l Labels, name: &str) -> Result<Option<&'l str>, PluginError> {
    let old = ALIASES.iter().find(|(new, _)| *new == name).map_or(name, |(_, old)| *old);
    match labels.get(name).or_else(|| labels.get(old)).map(String::as_str) {
        Some("") => Err(missing(name, ": it is empty")),
        other => Ok(other),
    }
}

fn missing(name: &str, more: &str) -> PluginError {
    PluginError::new(Class::Source, format!("the image has no label {name}{more}"))
        .help(format!("add `LABEL {name}=…` to the Dockerfile"))
}

/// The release of an image with these labels of its own; `hub` is asked in the order of the reference.
pub(crate) fn decide(rules: &Rules, labels: &Labels, hub: (&dyn Hub, Pause<'_>)) -> Result<Decided, PluginError> {
    let named = Named::of(labels)?;
    let asking = Asking { rules, named: &named, hub: hub.0, pause: hub.1 };
    let is_scratch = rules.task.is_scratch;
    if let Some(release) = rules.task.release.as_deref().filter(|release| !release.is_empty()) {
        if is_scratch {
            return Ok(Decided::default());
        }
        let nvr = asking.free(release)?;
        let reservation = asking.reserve(&nvr)?;
        return Ok(Decided { label: None, nvr: Some(nvr), reservation });
    }
    let release = match named.release.filter(|_| !rules.appends) {
        Some(release) if is_scratch => release.to_owned(),
        Some(release) => asking.free(release)?.release().to_owned(),
        None if is_scratch => scratch(&rules.task),
        None => asking.next()?,
    };
    let label =
        |release: &str| (labels.get("release").map(String::as_str) != Some(release)).then(|| release.to_owned());
    if is_scratch {
        return Ok(Decided { label: label(&release), ..Decided::default() });
    }
    let mut nvr = named.nvr(&release)?;
    let reservation = if named.release.is_some() { asking.reserve(&nvr)? } else { asking.reserve_any(&mut nvr)? };
    Ok(Decided { label: label(nvr.release()), nvr: Some(nvr), reservation })
}

/// The release of an image that is thrown away: what names the build that makes it.
fn scratch(task: &Task) -> String {
    let build = task.build.as_ref().map(|build| build.name.clone()).filter(|name| !name.is_empty());
    let tag = || Some(task.image_tag.as_ref()?.rsplit_once(':')?.1.to_owned());
    build.or_else(tag).unwrap_or_else(|| "scratch".to_owned())
}

/// The hub, and what it is asked about.
struct Asking<'a> {
    rules: &'a Rules,
    named: &'a Named<'a>,
    hub: &'a dyn Hub,
    pause: Pause<'a>,
}

impl Asking<'_> {
    /// Whether a build of this name can be made: there is none, or one that came to nothing and can be taken over.
    fn is_free(&self, nvr: &Nvr) -> Result<Result<(), u64>, PluginError> {
        let build = self.hub.build(&nvr.to_string()).map_err(|error| failed(&error))?;
        let Some(build) = build else { return Ok(Ok(())) };
        let came_to_nothing = match build.state {
            BuildState::Failed | BuildState::Canceled => true,
            BuildState::Building | BuildState::Complete | BuildState::Deleted => false,
        };
        Ok(if came_to_nothing && self.rules.reserves_for.is_some() { Ok(()) } else { Err(build.id) })
    }

    /// The name with a release that somebody chose, which must be free.
    fn free(&self, release: &str) -> Result<Nvr, PluginError> {
        let nvr = self.named.nvr(release)?;
        match self.is_free(&nvr)? {
            Ok(()) => Ok(nvr),
            Err(id) => {
                let text = format!("{nvr} is in Koji already, as build {id}");
                Err(PluginError::new(Class::Refused, text).help("take another release, or none for the next one"))
            }
        }
    }

    /// The next release that is free.
    fn next(&self) -> Result<String, PluginError> {
        if self.rules.appends {
            let base = self.named.release.unwrap_or("1");
            return self.first_free((1..=MOST_RELEASES).map(|number| Ok(format!("{base}.{number}"))));
        }
        let first = match self.hub.next_release(self.named.component, self.named.version) {
            Ok(release) => counted(&release, 0)?,
            // The hub cannot count this release; we can, mostly.
            Err(HubError::Fault { code: BUILD_FAULT, .. }) => self.after_newest()?,
            Err(error) => return Err(failed(&error)),
        };
        let later = |first: String| {
            let mut next = Some(Ok(first));
            std::iter::from_fn(move || {
                let release = next.take()?;
                next = release.as_ref().ok().map(|release: &String| counted(release, 1));
                Some(release)
            })
        };
        self.first_free(later(first).take(MOST_RELEASES))
    }

    fn first_free(&self, releases: impl Iterator<Item = Result<String, PluginError>>) -> Result<String, PluginError> {
        for release in releases {
            let release = release?;
            if self.is_free(&self.named.nvr(&release)?)?.is_ok() {
                return Ok(release);
            }
        }
        let text = format!(
            "{}-{}: none of {MOST_RELEASES} releases is free in Koji",
            self.named.component, self.named.version
        );
        Err(PluginError::new(Class::Refused, text).help("choose a release with LABEL release=…"))
    }

    /// The release after that of the newest build whose release is a number, or two with a dot.
    fn after_newest(&self) -> Result<String, PluginError> {
        let (name, version) = (escaped(self.named.component), escaped(self.named.version));
        let newest = self.hub.newest_build(&format!(r"^{name}-{version}-\d+(\.\d+)?$"));
        let Some(id) = newest.map_err(|error| failed(&error))? else { return Ok("1".to_owned()) };
        let build = self.hub.build_by_id(id).map_err(|error| failed(&error))?;
        let gone = || PluginError::new(Class::Remote, format!("the hub found build {id}, and knows no such build"));
        let build = Nvr::parse(&build.ok_or_else(gone)?.nvr);
        let build = build.map_err(|error| PluginError::of(Class::Remote, &error))?;
        counted(build.release(), 1)
    }

    /// Reserves this name, once.
    fn reserve(&self, nvr: &Nvr) -> Result<Option<Reservation>, PluginError> {
        let Some(generator) = &self.rules.reserves_for else { return Ok(None) };
        self.hub.reserve(generator, nvr).map(Some).map_err(|error| failed(&error))
    }

    /// Reserves this name or, where somebody was faster, the next.
    fn reserve_any(&self, nvr: &mut Nvr) -> Result<Option<Reservation>, PluginError> {
        let Some(generator) = &self.rules.reserves_for else { return Ok(None) };
        let (retries, wait) = RETRIES;
        for tried in 0..=retries {
            match self.hub.reserve(generator, nvr) {
                Ok(reservation) => return Ok(Some(reservation)),
                // Whoever may not reserve at all need not try again.
                Err(error @ HubError::Fault { code: 1002 | 1004, .. }) => return Err(failed(&error)),
                Err(HubError::Fault { .. }) if tried < retries => {
                    if !(self.pause)(wait) {
                        return Err(PluginError::new(Class::Cancelled, "cancelled while waiting to reserve a build"));
                    }
                    *nvr = self.named.nvr(&self.next()?)?;
                }
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(PluginError::new(Class::Bug, format!("{nvr}: neither reserved nor refused")))
    }
}

/// A release without its second part if that is a number, and its first part `more` higher: `3.2.fc40` is `3.fc40`.
fn counted(release: &str, more: u64) -> Result<String, PluginError> {
    let mut parts = release.splitn(3, '.');
    let (first, second, rest) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let mut counted = first.to_owned();
    if more > 0 {
        let number = first.parse::<u64>().ok().and_then(|number| number.checked_add(more));
        counted = number.map(|number| number.to_string()).ok_or_else(|| {
            let text = format!("release `{release}` cannot be counted on: it does not begin with a number");
            PluginError::new(Class::Source, text).help("choose a release with LABEL release=…")
        })?;
    }
    let is_number = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    for part in second.filter(|part| !is_number(part)).into_iter().chain(rest) {
        counted = format!("{counted}.{part}");
    }
    Ok(counted)
}

/// A text in a regular expression. Dots are left as the reference leaves them.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars() {
        if r"\^$|?*+()[]{}".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests;
