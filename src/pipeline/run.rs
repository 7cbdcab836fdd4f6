//! Runs the plugins of a build, phase by phase, and makes the changes they ask for.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use build::{Image, Published, RepositoryFile, Request, SeenIn, StepFile};
use dockerfile::Dockerfile;
use oci::Reference;
use source::Tree;
use std::sync::Arc;
use tracing::{debug, info};
use transport::{Location, Transports};

use crate::edit::{self, RewriteError};
use crate::phase::{Examine, Order};
use crate::plugin::Selected;
use crate::record::{EditRecord, FindingRecord, PluginRun, Recorder};
use crate::site::Site;
use crate::{
    Added, Answer, Class, DirectoryPlace, Edit, ExitView, Facts, Finding, Injected, Lineup, Phase, PluginError,
    PostBuildView, PreBuildView, PublishView, Severity, SourceFact, SourceView,
};

/// The plugins of one build at work.
#[derive(Debug)]
pub struct Run<'a> {
    site: &'a Site,
    lineup: &'a Lineup,
    recorder: &'a Recorder,
    clock: Clock<'a>,
    facts: Facts,
}

/// How long the build has been going on.
#[derive(Clone, Copy)]
pub struct Clock<'a>(pub &'a (dyn Fn() -> Duration + Sync));

impl std::fmt::Debug for Clock<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Clock({:?})", (self.0)())
    }
}

/// What plugins of the pre-build phase may look at besides the site and the facts.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Where the source comes from.
    pub source: &'a SourceFact,
    /// Names demanded with `-t`.
    pub names: &'a [Reference],
    /// The build context, if there is one.
    pub context: Option<&'a Arc<Tree>>,
    /// The ways to images.
    pub transports: &'a Transports,
    /// Connections for downloads.
    pub http: &'a http::Client,
}

/// Why the image was not let through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image was not published: {}", summary(.findings))]
pub struct Refused {
    /// The findings that shut the gate.
    pub findings: Vec<Finding>,
}

fn summary(findings: &[Finding]) -> String {
    const SHOWN: usize = 20;
    let shown = findings.iter().take(SHOWN).map(|finding| format!("{}: {}", finding.subject, finding.message));
    let more = (findings.len() > SHOWN).then(|| format!("and {} more", findings.len() - SHOWN));
    shown.chain(more).collect::<Vec<_>>().join("\n  ")
}

impl<'a> Run<'a> {
    /// A run of `lineup` for `site`; times and changes go to `recorder`.
    #[must_use]
    pub fn new(site: &'a Site, lineup: &'a Lineup, recorder: &'a Recorder, clock: Clock<'a>) -> Self {
        Self { site, lineup, recorder, clock, facts: Facts::default() }
    }

    /// What is known so far.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Whether a plugin will look at all files of the image.
    #[must_use]
    pub fn needs_all_files(&self) -> bool {
        self.lineup.post_build.iter().any(|selected| selected.plugin.needs_all_files())
    }

    /// Completes the context in `directory`, which is a clone this build made if `is_clone`.
    ///
    /// # Errors
    /// The first plugin's that fails and may not.
    pub fn source(
        &mut self,
        source: &SourceFact,
        (directory, is_clone): (&Path, bool),
        http: &http::Client,
    ) -> Result<(), PluginError> {
        let lineup = self.lineup;
        for selected in &lineup.source {
            let view = SourceView { site: self.site, source, directory, is_clone, http };
            for fact in self.one(selected, &view)?.unwrap_or_default().facts {
                self.state(&selected.key, fact)?;
            }
        }
        Ok(())
    }

    /// Lets plugins edit `request`, one after the other; each sees what those before it changed.
    ///
    /// # Errors
    /// The first plugin's that fails and may not; edits that cannot be made; a Dockerfile that is broken.
    pub fn pre_build(&mut self, request: &mut Request, around: Surroundings<'_>) -> Result<(), PluginError> {
        let lineup = self.lineup;
        let written = request.dockerfile.clone();
        let mut embedded = Vec::new();
        for selected in &lineup.pre_build {
            let changes = {
                let plan = build::plan(request)?;
                let view = PreBuildView {
                    site: self.site,
                    source: around.source,
                    request,
                    plan: &plan,
                    written: &written,
                    names: around.names,
                    facts: &self.facts,
                    context: around.context,
                    transports: around.transports,
                    http: around.http,
                    opened: &OnceCell::new(),
                };
                let mut changes = self.one(selected, &view)?.unwrap_or_default();
                // First what is known: edits that cannot be made must not lose what is to be given back.
                for fact in std::mem::take(&mut changes.facts) {
                    self.state(&selected.key, fact)?;
                }
                let target = plan.target();
                if let Some(text) = edited(&request.dockerfile, target, &changes.edits, &selected.key)? {
                    drop(plan);
                    request.dockerfile = text;
                }
                changes
            };
            for reasoned in changes.edits {
                self.note(&selected.key, &reasoned);
                embedded.extend(made(request, reasoned.edit)?);
            }
        }
        for path in embedded {
            let content = request.dockerfile.text.clone().into_bytes();
            request.added.push(build::AddedFile { path, content, mode: 0o644 });
        }
        Ok(())
    }

    fn note(&self, key: &str, reasoned: &crate::Reasoned) {
        let made = reasoned.edit.made(key, &reasoned.reason);
        debug!(plugin = key, kind = made.kind, subject = made.subject, reason = made.reason, "edit");
        let edit = EditRecord {
            plugin: made.plugin,
            kind: made.kind.to_owned(),
            subject: made.subject,
            value: made.value,
            reason: made.reason,
        };
        self.recorder.change(|record| record.edits.push(edit));
    }

    /// Looks at the image; at the end is the gate.
    ///
    /// # Errors
    /// [`Class::Refused`] with every finding that shuts the gate, [`Class::Step`] where all are tests that failed; else the first plugin's that fails and may not.
    pub fn post_build(&mut self, image: &Image<'_>, examine: Examine<'_>) -> Result<(), PluginError> {
        let lineup = self.lineup;
        let mut shut = Vec::new();
        for selected in &lineup.post_build {
            let view = PostBuildView { site: self.site, image, facts: &self.facts, examine };
            let answer = self.one(selected, &view)?.unwrap_or_default();
            for finding in answer.findings {
                self.find(&selected.key, &finding);
                shut.extend((finding.severity == Severity::Error).then_some(finding));
            }
            for fact in answer.facts {
                self.state(&selected.key, fact)?;
            }
        }
        if shut.is_empty() {
            return Ok(());
        }
        shut.sort();
        // An image that fails its own test is not against a policy: it does not work.
        let is_broken = shut.iter().all(|finding| finding.code == crate::FAILED_TEST);
        let class = if is_broken { Class::Step } else { Class::Refused };
        Err(PluginError::of(class, &Refused { findings: shut }))
    }

    fn find(&self, key: &str, finding: &Finding) {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let record = FindingRecord {
            plugin: key.to_owned(),
            severity: severity.to_owned(),
            code: finding.code.clone(),
            subject: finding.subject.clone(),
            message: finding.message.clone(),
        };
        self.recorder.change(|all| all.findings.push(record));
    }

    /// Asks what is to be done with an image that passed the gate, and has each plugin's orders carried out before the
    /// next plugin is asked.
    ///
    /// # Errors
    /// The first plugin's that fails and may not; that of `carry_out`, after which no plugin is asked any more.
    pub fn publish(
        &mut self,
        (digest, outputs): (&oci::Digest, &[Location]),
        transports: &Transports,
        carry_out: &mut dyn FnMut(&Order) -> Result<(), PluginError>,
    ) -> Result<(), PluginError> {
        let lineup = self.lineup;
        let mut done = Vec::new();
        for selected in &lineup.publish {
            let view = PublishView { site: self.site, digest, outputs, facts: &self.facts, transports };
            let answer = self.one(selected, &view)?.unwrap_or_default();
            for order in answer.orders {
                if !done.contains(&order) {
                    carry_out(&order)?;
                    done.push(order);
                }
            }
            for fact in answer.facts {
                self.state(&selected.key, fact)?;
            }
        }
        Ok(())
    }

    /// Runs all plugins of the exit phase, whatever happened and whatever fails among them.
    ///
    /// # Errors
    /// The first that failed and may not, after all have run.
    pub fn exit(&mut self, published: Option<&Published>, outwards: Outwards<'_>) -> Result<(), PluginError> {
        let lineup = self.lineup;
        let mut failed = None;
        for selected in &lineup.exit {
            let record = self.recorder.record();
            let view = ExitView {
                site: self.site,
                facts: &self.facts,
                record: &record,
                published,
                record_path: outwards.record_path,
                write: outwards.write,
                registries: outwards.registries,
            };
            if let Err(error) = self.one(selected, &view) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Runs one plugin; none for one that failed and may.
    fn one<P: Phase>(&self, selected: &Selected<P>, view: &P::View<'_>) -> Result<Option<P::Answer>, PluginError> {
        let began = (self.clock.0)();
        let span = tracing::info_span!("plugin", key = &*selected.key, phase = P::NAME.as_str());
        let answer = span.in_scope(|| selected.plugin.run(view));
        let took = (self.clock.0)().saturating_sub(began);
        let milliseconds = crate::record::milliseconds(took);
        span.in_scope(|| match &answer {
            Ok(_) => info!(milliseconds, "done"),
            Err(error) => info!(milliseconds, %error, "failed"),
        });
        let run = PluginRun {
            plugin: selected.key.to_string(),
            phase: P::NAME.as_str().to_owned(),
            milliseconds,
            error: answer.as_ref().err().map(ToString::to_string),
            began: crate::record::milliseconds(began),
        };
        self.recorder.change(|record| record.plugins.push(run));
        match answer {
            Ok(mut answer) => {
                let warnings = answer.take_warnings();
                let said = warnings.iter().map(|warning| format!("{}: {warning}", selected.key));
                self.recorder.change(|record| record.warnings.extend(said));
                Ok(Some(answer))
            }
            Err(error) if selected.is_allowed_to_fail => {
                let text = format!("plugin {} failed, which it may: {error}", selected.key);
                self.recorder.change(|record| record.warnings.push(text));
                Ok(None)
            }
            Err(error) => Err(PluginError { text: format!("plugin {}: {}", selected.key, error.text), ..error }),
        }
    }

    fn state(&mut self, key: &str, fact: crate::Fact) -> Result<(), PluginError> {
        self.facts.state(key, fact).map_err(|error| PluginError::of(Class::Configuration, &error))
    }
}

/// What plugins of the exit phase may reach.
#[derive(Clone, Copy)]
pub struct Outwards<'a> {
    /// Where the record was demanded.
    pub record_path: Option<&'a Path>,
    /// Writes a file as the user.
    pub write: crate::WriteFile<'a>,
    /// The ways to registries.
    pub registries: &'a registry::Registries,
}

impl std::fmt::Debug for Outwards<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Outwards").field("record_path", &self.record_path).finish_non_exhaustive()
    }
}

/// Lets `request` use a directory of this machine, as the context of this name and at its place.
fn add_directory(
    request: &mut Request,
    (context, source): (String, PathBuf),
    place: DirectoryPlace,
) -> Result<(), PluginError> {
    let failed = |error: std::io::Error| {
        PluginError::new(Class::Environment, format!("{}: cannot be opened: {error}", source.display()))
    };
    let tree = Tree::new(std::fs::File::open(&source).map_err(failed)?.into(), &source, None);
    if let Some(threads) = request.step_inputs.threads.get() {
        tree.read_through(threads);
    }
    request.contexts.insert(context.clone(), build::NamedContext::Tree(Arc::new(tree)));
    match place {
        DirectoryPlace::Steps(target) => {
            let access = build::VolumeAccess::ReadOnly;
            request.step_inputs.volumes.push(build::Volume { source, target, access });
        }
        DirectoryPlace::Context(folder) => drop(request.folders.insert(folder, context)),
    }
    Ok(())
}

/// The Dockerfile with the text edits among `edits`; none if there are none.
fn edited(
    file: &Dockerfile,
    target: usize,
    edits: &[crate::Reasoned],
    key: &str,
) -> Result<Option<Dockerfile>, PluginError> {
    let failed = |error: &dyn std::error::Error| {
        let error = PluginError::of(Class::Bug, error);
        PluginError { text: format!("plugin {key}: its edits of the Dockerfile: {}", error.text), ..error }
    };
    edit::rewrite(file, target, edits).map_err(|error| match error {
        RewriteError::Swallowed => PluginError::new(Class::Source, format!("plugin {key}: {error}"))
            .help("end the last instruction without the escape character"),
        RewriteError::Edit(_) | RewriteError::Parse(_) => failed(&error),
    })
}

/// Makes an edit that is not of the Dockerfile's text; returns where the Dockerfile is to be written in the end.
fn made(request: &mut Request, edit: Edit) -> Result<Option<PathBuf>, PluginError> {
    match edit {
        Edit::From { .. }
        | Edit::Labels(_)
        | Edit::Arguments(_)
        | Edit::Label { .. }
        | Edit::Environment { .. }
        | Edit::Instruction { .. } => {}
        Edit::Directory { context, source, place } => add_directory(request, (context, source), place)?,
        Edit::Values(pairs) => {
            for (name, value) in pairs {
                request.build_args.entry(name).or_insert(value);
            }
        }
        Edit::Inject(Injected::Repository { name, content }) => {
            let seen_in = SeenIn::StagesOnImages;
            request.repositories.push(RepositoryFile { name, content, seen_in });
        }
        Edit::Inject(Injected::File { path, content }) => {
            request.step_inputs.files.push(StepFile { target: path, contents: content });
        }
        Edit::Hide(paths) => request.step_inputs.hidden.extend(paths),
        Edit::Reach(url) => drop(request.step_inputs.reached.insert(url)),
        Edit::Add(Added { path, content, mode }) => request.added.push(build::AddedFile { path, content, mode }),
        Edit::AddDockerfile(path) => return Ok(Some(path)),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;
    use crate::{Made, Plugin, Registered, Registry, Setup, Source, Wanted};

    #[derive(Debug)]
    struct Fails;

    impl Plugin<Source> for Fails {
        fn run(&self, _: &SourceView<'_>) -> Result<crate::Found, PluginError> {
            Err(PluginError::new(Class::Remote, "the cache is away"))
        }
    }

    impl Plugin<crate::Exit> for Fails {
        fn run(&self, _: &ExitView<'_>) -> Result<(), PluginError> {
            Err(PluginError::new(Class::Environment, "the disk is full"))
        }
    }

    fn lineup(yaml: &str) -> (Site, Lineup) {
        let source: fn(&Setup<'_>) -> Made<Source> = |_| Ok(Some(Box::new(Fails)));
        let exit: fn(&Setup<'_>) -> Made<crate::Exit> = |_| Ok(Some(Box::new(Fails)));
        let one = |key| Registered { key, also: &[], takes: &[], text: "", acts: "", always: false, make: exit };
        let registry = Registry {
            source: vec![Registered {
                key: "fetch",
                also: &[],
                takes: &[],
                text: "",
                acts: "",
                always: false,
                make: source,
            }],
            exit: vec![one("one"), one("two")],
            ..Registry::default()
        };
        let (site, _) = Site::parse(Path::new("site.yaml"), yaml.as_bytes()).unwrap();
        let lineup = registry.choose(&site, &Wanted::default()).unwrap();
        (site, lineup)
    }

    /// The error of the phases source and exit, and the record.
    fn run(yaml: &str) -> (Result<(), PluginError>, Result<(), PluginError>, Record) {
        let (site, lineup) = lineup(yaml);
        let recorder = Recorder::new(Record::default());
        let clock = || Duration::from_millis(5);
        let mut run = Run::new(&site, &lineup, &recorder, Clock(&clock));
        let http = http::Client::new(&http::ClientOptions::default()).unwrap();
        let source = run.source(&SourceFact::default(), (Path::new("/"), false), &http);
        let registries = registry::Registries::new(registry::Options::default()).unwrap();
        let write = |_: &Path, _: &[u8]| Ok(());
        let outwards = Outwards { record_path: None, write: &write, registries: &registries };
        let exit = run.exit(None, outwards);
        (source, exit, recorder.record())
    }

    #[test]
    fn a_failure_is_the_plugins_by_name_and_the_exit_phase_runs_whole() {
        let (source, exit, record) = run("version: 1\n");
        assert_eq!(source.unwrap_err().text, "plugin fetch: the cache is away");
        assert_eq!(exit.unwrap_err().text, "plugin one: the disk is full");
        let ran: Vec<(&str, Option<&str>)> =
            record.plugins.iter().map(|run| (run.plugin.as_str(), run.error.as_deref())).collect();
        let full = Some("the disk is full");
        assert_eq!(ran, [("fetch", Some("the cache is away")), ("one", full), ("two", full)]);
    }

    #[derive(Debug)]
    struct Warns;

    impl Plugin<Source> for Warns {
        fn run(&self, _: &SourceView<'_>) -> Result<crate::Found, PluginError> {
            Ok(crate::Found { warnings: vec!["mind this".to_owned()], ..crate::Found::default() })
        }
    }

    #[test]
    fn a_plugin_of_the_source_phase_can_warn() {
        let make: fn(&Setup<'_>) -> Made<Source> = |_| Ok(Some(Box::new(Warns)));
        let one = Registered { key: "fetch", also: &[], takes: &[], text: "", acts: "", always: false, make };
        let registry = Registry { source: vec![one], ..Registry::default() };
        let (site, _) = Site::parse(Path::new("site.yaml"), b"version: 1\n").unwrap();
        let lineup = registry.choose(&site, &Wanted::default()).unwrap();
        let recorder = Recorder::new(Record::default());
        let clock = || Duration::ZERO;
        let http = http::Client::new(&http::ClientOptions::default()).unwrap();
        let mut run = Run::new(&site, &lineup, &recorder, Clock(&clock));
        run.source(&SourceFact::default(), (Path::new("/"), false), &http).unwrap();
        assert_eq!(recorder.record().warnings, ["fetch: mind this"]);
    }

    #[test]
    fn what_is_allowed_to_fail_leaves_a_warning() {
        let (source, _, record) = run("plugins: {source: [{name: fetch, is_allowed_to_fail: true}]}\n");
        source.unwrap();
        assert_eq!(record.warnings, ["plugin fetch failed, which it may: the cache is away"]);
    }
}
