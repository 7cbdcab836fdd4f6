//! One build from its source to its names.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use ::build::{Approved, Event, Image, LookedAt, Plan, Published, StepNetwork, Workshop};
use gateway::Gateway;
use pipeline::record::{Executed, Recorder};
use pipeline::site::ExpiredKeyPolicy;
use pipeline::{PhaseName, PluginError, Run, SourceFact, Surroundings};
use proof::Report;
use rpm::signature::ExpiredKeys;
use sandbox::Rung;

use super::bring::Bring;
use super::fetch::{self, Fetched};
use super::outputs::Outputs;
use super::prepare::{self, Prepared, Settings};
use super::publishing::Publishing;
use super::{Arguments, Inline, LastBase, checking, containerfile, dry_run, outputs, recording, sbom_options, trees};
use crate::environment::Environment;
use crate::failure::{self, Failure, Status};
use crate::progress::Progress;
use crate::session::Session;
use crate::site::Configuration;
use crate::{examine, log, output, registries};

/// Everything a build is made with.
pub(super) struct Job<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) environment: &'a Environment,
    pub(super) configuration: &'a Configuration,
    pub(super) settings: &'a Settings,
    pub(super) session: &'a Session,
    pub(super) recorder: &'a Recorder,
    pub(super) progress: &'a Progress,
    pub(super) base: &'a LastBase,
    pub(super) inline: &'a Inline,
    pub(super) start: Instant,
    /// How many of the record's warnings have been said.
    pub(super) told: AtomicUsize,
}

impl Job<'_> {
    /// All phases but the exit phase. `published` is set as soon as the image has its names.
    pub(super) fn build(&self, run: &mut Run<'_>, published: &mut Option<Published>) -> Result<(), Failure> {
        log::phase(PhaseName::Source.as_str());
        containerfile::check_stdin(&self.arguments.file, &self.arguments.source)?;
        let http = http::Client::new(&self.session.http).map_err(|error| Failure::of(Status::Usage, &error))?;
        let outside = self.session.entered.outside();
        let bring = Bring::new(self.session, self.environment, &http, !self.arguments.style().is_silent());
        let within = (self.inline, self.settings.wanted.task.git_branch.as_deref());
        let fetched = outside.run(|| fetch::fetch(&bring, &self.arguments.source, within));
        let built = fetched.and_then(|fetched| self.build_from(&fetched, run, &bring, published));
        // These files are the user's, so root inside could not remove them with the rest.
        outside.run(|| bring.remove());
        built
    }

    fn build_from(
        &self,
        fetched: &Fetched,
        run: &mut Run<'_>,
        bring: &Bring<'_>,
        published: &mut Option<Published>,
    ) -> Result<(), Failure> {
        let (outside, http) = (self.session.entered.outside(), bring.http);
        let place = (fetched.directory.as_path(), fetched.is_ours);
        let completed = outside.run(|| run.source(&fetched.fact, place, http));
        self.say_warnings();
        completed.map_err(|error| failure::of_plugin(&error, None))?;
        let settings = (self.settings, &self.configuration.site);
        let last_base = self.base.image(self.settings.wanted.cluster.as_deref())?;
        let instead = (last_base.as_deref(), self.inline.dockerfile.as_deref());
        let prepared = outside.run(|| prepare::read(self.arguments, settings, fetched, bring, instead));
        let mut prepared = prepared?;
        prepared.request.read_through(&outside.pool());
        self.recorder.change(|record| recording::source(record, fetched, &prepared, run.facts()));
        self.check_isolation(&prepared)?;
        let gateway = self.gateway(&mut prepared)?;
        self.edit(run, &fetched.fact, &mut prepared, http)?;
        self.execute(run, &prepared, (gateway.as_ref(), http), published)
    }

    /// The ways to registries of the exit phase, which goes on when everything else was told to stop.
    pub(super) fn last_registries(&self) -> Result<registry::Registries, Failure> {
        let last_words = &self.settings.last_words;
        last_words.begin(&self.session.cancel).map_err(|error| Failure::of(Status::Environment, &error))?;
        let mut options = self.session.registries.clone();
        options.http.cancelled = Some(last_words.flag());
        registry::Registries::new(options).map_err(|error| Failure::of(Status::Usage, &error))
    }

    /// Steps that need isolation have it, or nothing is fetched.
    fn check_isolation(&self, prepared: &Prepared) -> Result<(), Failure> {
        let plan = ::build::plan(&prepared.request);
        let plan =
            plan.map_err(|error| failure::of_build(&error, &prepared.path, &prepared.request.dockerfile.text))?;
        let Some(first) = plan.first_isolated() else { return Ok(()) };
        if self.session.entered.rung != Rung::None {
            self.say_rung();
            return Ok(());
        }
        let position = prepared.request.dockerfile.position(first.span.start);
        let line = crate::progress::shortened(&first.line);
        Err(self.unisolated(&format!("{}:{}: `{line}`", prepared.path, position.line)))
    }

    /// The failure of `what`, which needs isolation that there is not.
    fn unisolated(&self, what: &str) -> Failure {
        let mut text = format!("{what} needs isolation, and none is possible here");
        for refused in &self.session.entered.refused {
            text = format!("{text}\n  {}: {}", refused.rung, refused.cause);
        }
        // The lowest rung asks for least, so what keeps it away is what to change.
        let lowest = self.session.entered.refused.last();
        let help = lowest.map_or("see `stratum doctor`", |refused| refused.remedy.as_str());
        Failure::new(Status::Environment, text).help(help)
    }

    fn say_rung(&self) {
        if self.arguments.style().is_silent() {
            return;
        }
        let entered = &self.session.entered;
        let why: Vec<String> =
            entered.refused.iter().map(|refused| format!("{}: {}", refused.rung, refused.cause)).collect();
        let why = if why.is_empty() { String::new() } else { format!(" (not {})", why.join("; not ")) };
        output::note(&format!("isolation: {}{why}", entered.rung));
        self.session.notes.iter().for_each(|note| output::note(note));
    }

    /// The way out of steps, if they are to have one.
    fn gateway(&self, prepared: &mut Prepared) -> Result<Option<Gateway>, Failure> {
        if self.settings.network != StepNetwork::Gateway {
            return Ok(None);
        }
        let options = registries::gateway(&self.arguments.allow_host, &self.configuration.site, &self.session.http)?;
        let gateway = Gateway::new(options, Arc::clone(self.session.transports.store()));
        let gateway = gateway.map_err(|error| Failure::of(Status::Usage, &error))?;
        if self.arguments.steps.http_proxy {
            prepared.request.run_env = gateway.environment();
        }
        prepared.request.resolv_conf = b"# Names are resolved by the gateway.\n".to_vec();
        Ok(Some(gateway))
    }

    /// Lets the plugins edit what is asked for.
    fn edit(
        &self,
        run: &mut Run<'_>,
        source: &SourceFact,
        prepared: &mut Prepared,
        http: &http::Client,
    ) -> Result<(), Failure> {
        log::phase(PhaseName::PreBuild.as_str());
        let context = match &prepared.request.context {
            ::build::Context::Tree(tree) => Some(Arc::clone(tree)),
            ::build::Context::Absent => None,
        };
        let around = Surroundings {
            source,
            names: &self.settings.wanted.names,
            context: context.as_ref(),
            transports: &self.session.transports,
            http,
        };
        let outside = self.session.entered.outside();
        let edited = outside.run(|| run.pre_build(&mut prepared.request, around));
        self.say_edits();
        let text = &prepared.request.dockerfile.text;
        edited.map_err(|error| failure::of_plugin(&error, Some((prepared.path.as_str(), text.as_str()))))
    }

    /// What plugins changed, and what they are not content with.
    fn say_edits(&self) {
        let record = self.recorder.record();
        if !self.arguments.style().is_silent() && !self.arguments.dry_run {
            for edit in &record.edits {
                let text = format!("{} {}: {}", edit.kind, edit.subject, edit.reason);
                log::say_of(&edit.plugin, &text);
            }
        }
        self.say_warnings();
    }

    /// Says what is to be said and has not been said.
    pub(super) fn say_warnings(&self) {
        let warnings = self.recorder.record().warnings;
        let told = self.told.swap(warnings.len(), Ordering::Relaxed);
        warnings.iter().skip(told).for_each(|warning| output::warning(warning));
    }

    /// Keeps in the record what was said in another way.
    pub(super) fn note_said(&self, warnings: Vec<String>) {
        self.say_warnings();
        self.told.fetch_add(warnings.len(), Ordering::Relaxed);
        self.recorder.change(|record| record.warnings.extend(warnings));
    }

    fn execute(
        &self,
        run: &mut Run<'_>,
        prepared: &Prepared,
        (gateway, http): (Option<&Gateway>, &http::Client),
        published: &mut Option<Published>,
    ) -> Result<(), Failure> {
        log::phase("build");
        let request = &prepared.request;
        let drawn = |error: &::build::BuildError| failure::of_build(error, &prepared.path, &request.dockerfile.text);
        let observer = |event: Event<'_>| {
            self.recorder.event(self.start.elapsed(), event);
            self.progress.event(event);
        };
        let plan: Plan<'_> = ::build::plan(request).map_err(|error| drawn(&error))?;
        warn_of_unused(request, &observer);
        let resolved = plan.resolve(&self.session.transports, &observer).map_err(|error| drawn(&error))?;
        checking::before_build(self, prepared, &resolved)?;
        let executed = Executed {
            digest: oci::Digest::of(resolved.dockerfile.as_bytes()).to_string(),
            text: resolved.dockerfile.clone(),
        };
        self.recorder.change(|record| record.source.executed = Some(executed));
        let tags = run.facts().tags();
        let Outputs { locations: outputs, trees } = outputs::of(self.arguments, &self.settings.wanted.names, tags)?;
        sbom_options::check_goes_to_registry(&self.settings.wanted.sbom, &outputs)?;
        if self.arguments.dry_run {
            dry_run::print(&self.recorder.record(), &resolved, &outputs, &prepared.written);
            return Ok(());
        }
        let workshop = Workshop {
            request,
            transports: &self.session.transports,
            store: self.session.transports.store(),
            observer: &observer,
            cancel: &self.session.cancel,
            owners: self.session.owners,
            looked_at: if trees.is_empty() && !run.needs_all_files() {
                LookedAt::Below(&proof::LOOKED_AT)
            } else {
                LookedAt::Everything
            },
            gateway,
            outputs: &outputs,
            jobs: self.arguments.jobs(),
            http,
            git_environment: &self.environment.for_git(),
        };
        let image = ::build::build(workshop, &resolved).map_err(|error| self.not_built(&error, drawn))?;
        self.recorder.change(|record| recording::image(record.image.get_or_insert_default(), &image));
        let digest = image.digest();
        log::phase(PhaseName::PostBuild.as_str());
        let approved = self.gate(run, image)?;
        log::phase(PhaseName::Publish.as_str());
        *published = Some(self.publish(run, approved, (&digest, &outputs, &trees))?);
        Ok(())
    }

    /// What became of a build, in words; `drawn` points into the Dockerfile.
    fn not_built(&self, error: &::build::BuildError, drawn: impl Fn(&::build::BuildError) -> Failure) -> Failure {
        match (error, self.session.entered.rung) {
            (::build::BuildError::Mount { .. }, Rung::None) => {
                self.unisolated("putting together the image's files, which plugins add to or look at,")
            }
            _ => drawn(error),
        }
    }

    /// Gives the image its names, in the order in which the plugins ask for them.
    fn publish<'w>(
        &self,
        run: &mut Run<'_>,
        approved: Approved<'w>,
        (digest, outputs, trees): (&oci::Digest, &[transport::Location], &[outputs::TreeOutput]),
    ) -> Result<Published, Failure> {
        let transports = &self.session.transports;
        let mut publishing = Publishing::new(approved, run.facts().tags(), transports);
        // What fails while files are written is a failure of ours, whole.
        let mut unwritten = None;
        let mut write = |approved: &Approved<'w>| {
            let drawn = |error: &::build::BuildError| failure::of_build(error, "", "");
            trees::write(self, approved, trees, &drawn).map_err(|failure| {
                let error = PluginError::new(failure.class(), failure.text.clone());
                unwritten = Some(failure);
                error
            })
        };
        let done = run.publish((digest, outputs), transports, &mut |order| publishing.carry_out(order, &mut write));
        self.recorder.change(|record| record.outputs.extend(publishing.index_outputs()));
        self.say_warnings();
        if let Some(failure) = unwritten {
            return Err(failure);
        }
        done.map_err(|error| failure::of_plugin(&error, None))?;
        let text = "no plugin of the publish phase asked for the image to be written";
        let missing = || Failure::new(Status::Usage, text).help("leave tag_and_push in the site's list of plugins");
        publishing.stored().map(::build::Stored::published).ok_or_else(missing)
    }

    /// Lets the image through if no plugin objects.
    fn gate<'w>(&self, run: &mut Run<'_>, image: Image<'w>) -> Result<Approved<'w>, Failure> {
        image.approve(|image| {
            let examine = || self.examine(image);
            let passed = run.post_build(image, &examine);
            self.say_warnings();
            passed.map_err(|error| failure::of_plugin(&error, None))
        })
    }

    fn examine(&self, image: &Image<'_>) -> Result<Report, pipeline::PluginError> {
        let none = rpm::Keyring::default();
        let keyring = self.settings.keys.as_ref().map_or(&none, |(_, keyring)| keyring);
        let transports = &self.session.transports;
        let expired_keys = match self.configuration.site.policy.expired_keys {
            ExpiredKeyPolicy::GoodIfSignedBefore => ExpiredKeys::GoodIfSignedBefore,
            ExpiredKeyPolicy::Refuse => ExpiredKeys::Refuse,
        };
        let policy = rpm::Policy { now: self.environment.now, expired_keys };
        let report = examine::examine(self.session, (keyring, &policy), |scratch| match (image.root(), image.base()) {
            (Some(root), _) => proof::from_tree(root.dir(), scratch),
            (None, Some(base)) => proof::from_image(transports, base, scratch),
            (None, None) => Ok(proof::Collected::default()),
        });
        let report = report.map_err(|failure| pipeline::PluginError::new(failure.class(), failure.text))?;
        self.recorder.packages(&report);
        Ok(report)
    }
}

impl std::fmt::Debug for Job<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Job").field("arguments", self.arguments).finish_non_exhaustive()
    }
}

/// Build arguments that no ARG declares are likely slips.
fn warn_of_unused(request: &::build::Request, observer: &dyn Fn(Event<'_>)) {
    let unused = ::build::unused_build_args(request);
    if !unused.is_empty() {
        observer(Event::Warning(&format!("one or more build args were not consumed: [{}]", unused.join(" "))));
    }
}
