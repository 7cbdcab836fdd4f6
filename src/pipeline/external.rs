//! Plugins that are programs of the site's: JSON, a line a message, over standard input and output.
//!
//! Comes in: the directory that the site names (`plugins.directory`), and the views of the phases. Goes out: the same edits,
//! facts and findings that plugins of this program answer, checked as theirs are and more. A program gets no secret, no
//! descriptor and no privilege, and has a deadline; whatever it does, the worst is that the build fails and says by
//! whose fault. `docs/plugins.md` describes the protocol, `docs/plugin-protocol.schema.json` its messages.

mod answer;
mod converse;
mod directory;
mod edits;
mod error;
mod first;
mod message;
mod packages;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rayon::ThreadPool;
use sandbox::Cancel;
use serde_json::{Map, Value};

use crate::site::{PluginRequest, Site};
use crate::{
    Changes, Class, Exit, ExitView, Findings, Found, Orders, PhaseName, Plugin, PluginError, PostBuild, PostBuildView,
    PreBuild, PreBuildView, Publish, PublishView, Setup, Source, SourceView, Task,
};

pub(crate) use directory::read;
pub use directory::{Header, Offered};

/// The version of the protocol.
pub const PROTOCOL: u64 = 1;

/// How long a program may take where nobody says.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long one of the exit phase may.
const EXIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one of the exit phase may when the build was told to stop.
const CANCELLED_TIMEOUT: Duration = Duration::from_secs(5);

/// What a line of a program is called, its edit, fact or finding checked too.
///
/// # Errors
/// Why it is no message, in words.
pub fn check_line(line: &[u8]) -> Result<&'static str, String> {
    let message = message::parse(line).map_err(|error| error.to_string())?;
    let name = message.name();
    let checked = match message {
        message::Message::Edit(edit) => edits::edit(edit).map(drop),
        message::Message::Fact(fact) => edits::fact(fact).map(drop),
        message::Message::Finding(finding) => edits::finding(&finding).map(drop),
        message::Message::Log(_) | message::Message::Error(_) | message::Message::Get(_) | message::Message::Done => {
            Ok(())
        }
    };
    checked.map(|()| name).map_err(|error| error.to_string())
}

/// What a header of a program says of it.
///
/// # Errors
/// Why it is no header, in words.
pub fn check_header(bytes: &[u8]) -> Result<Header, String> {
    directory::parse(bytes)
}

/// How programs are started. Set once by whoever knows, before the first of them runs.
#[derive(Debug)]
pub struct Launch {
    /// Whether to stop.
    pub cancel: Cancel,
    /// Threads with the user's identity, which live as long as this process.
    pub threads: Arc<ThreadPool>,
    /// A folder that is made if need be, and in it one for each program; absolute.
    pub folder: PathBuf,
    next: AtomicU64,
}

impl Launch {
    /// Programs are started by `threads`, in folders of their own in `folder`, and stopped with `cancel`.
    #[must_use]
    pub fn new(cancel: Cancel, threads: Arc<ThreadPool>, folder: PathBuf) -> Self {
        Self { cancel, threads, folder, next: AtomicU64::new(0) }
    }

    fn fresh(&self) -> PathBuf {
        self.folder.join(self.next.fetch_add(1, Ordering::Relaxed).to_string())
    }
}

/// A program that takes part.
#[derive(Debug)]
pub(crate) struct External {
    key: Arc<str>,
    program: PathBuf,
    timeout: Duration,
    args: Map<String, Value>,
    task: Task,
    launch: Arc<OnceLock<Launch>>,
}

impl External {
    /// The program `offered`, as `request` wants it.
    pub(crate) fn new(
        offered: &Offered,
        phase: PhaseName,
        (setup, request): (&Setup<'_>, &PluginRequest),
        launch: &Arc<OnceLock<Launch>>,
    ) -> Self {
        let usual = if phase == PhaseName::Exit { EXIT_TIMEOUT } else { TIMEOUT };
        Self {
            key: offered.key.as_str().into(),
            program: offered.program.clone(),
            timeout: request.timeout.or(setup.site.plugins.timeout).unwrap_or(usual),
            args: request.args.clone(),
            task: setup.wanted.task.clone(),
            launch: Arc::clone(launch),
        }
    }

    fn launch(&self) -> Result<&Launch, PluginError> {
        self.launch.get().ok_or_else(|| PluginError::new(Class::Bug, "nobody said how programs are started"))
    }

    /// The time it has from now on.
    fn time(&self, phase: PhaseName, cancel: &Cancel) -> Duration {
        let is_late = phase == PhaseName::Exit && cancel.is_set();
        if is_late { self.timeout.min(CANCELLED_TIMEOUT) } else { self.timeout }
    }

    fn common(&self, site: &Site) -> first::Common<'_> {
        first::Common { key: &self.key, args: &self.args, task: &self.task, site: site.to_json() }
    }
}

impl Plugin<Source> for External {
    fn run(&self, view: &SourceView<'_>) -> Result<Found, PluginError> {
        let first = first::source(self.common(view.site), view);
        let answers = converse::converse(self, PhaseName::Source, first, &mut answer::nothing)?;
        Ok(Found { facts: answers.facts, warnings: answers.warnings })
    }
}

impl Plugin<PreBuild> for External {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let first = first::pre_build(self.common(view.site), view);
        let mut reply = |wanted: &message::Wanted| answer::pre_build(view, wanted);
        let answers = converse::converse(self, PhaseName::PreBuild, first, &mut reply)?;
        edits::check(view, &answers.edits)?;
        Ok(Changes { edits: answers.edits, facts: answers.facts, warnings: answers.warnings })
    }
}

impl Plugin<PostBuild> for External {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let first = first::post_build(self.common(view.site), view);
        let mut reply = |wanted: &message::Wanted| answer::post_build(view, wanted);
        let answers = converse::converse(self, PhaseName::PostBuild, first, &mut reply)?;
        Ok(Findings { findings: answers.findings, facts: answers.facts, warnings: answers.warnings })
    }
}

impl Plugin<Publish> for External {
    fn run(&self, view: &PublishView<'_>) -> Result<Orders, PluginError> {
        let first = first::publish(self.common(view.site), view);
        let answers = converse::converse(self, PhaseName::Publish, first, &mut answer::nothing)?;
        Ok(Orders { warnings: answers.warnings, ..Orders::default() })
    }
}

impl Plugin<Exit> for External {
    fn run(&self, view: &ExitView<'_>) -> Result<(), PluginError> {
        let first = first::exit(self.common(view.site), view);
        converse::converse(self, PhaseName::Exit, first, &mut answer::nothing)?;
        Ok(())
    }
}

/// The environment of a program, whole. Proxies may hold passwords, so they are not in it.
fn environment(directory: &Path) -> Vec<(String, String)> {
    let home = directory.display().to_string();
    let own = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        own("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        own("LANG", "C.UTF-8"),
        own("HOME", &home),
        own("TMPDIR", &home),
        own("STRATUM_PLUGIN_PROTOCOL", &PROTOCOL.to_string()),
    ]
}
