//! Entering the best rung, once, before any thread exists.
//!
//! What comes in: [`EnterOptions`]. What goes out: a process in a user and mount namespace of its
//! own, as root of it, with a few threads that kept the outer identity, and descriptors of the
//! directories it owns. Each rung is tried in a forked child first; a rung that fails leaves
//! nothing behind. It never goes back.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, Uid};
use thiserror::Error;
use tracing::debug;

use crate::facts::{Facts, Problem, explain};
use crate::ids::IdMaps;
use crate::map::{MapPlan, Writer, plan_map, write_maps};
use crate::outside::Outside;
use crate::rung::{Isolation, Refused, Rung};

/// What [`enter`] shall do.
#[derive(Debug, Clone)]
pub struct EnterOptions {
    /// Which rung.
    pub isolation: Isolation,
    /// Directories that root inside shall own. They are made if missing, given to the id that
    /// root will be, and lose the set-group-id bit that an emptyDir has: a directory whose group
    /// has no mapping is out of reach of every capability in the namespace.
    pub owned: Vec<PathBuf>,
}

/// The process after [`enter`].
#[derive(Debug)]
pub struct Entered {
    /// The rung it is on.
    pub rung: Rung,
    /// Why no higher one, best first.
    pub refused: Vec<Refused>,
    /// [`EnterOptions::owned`], open, in the same order. Their parents may be out of reach by now:
    /// use `/proc/self/fd/N` or names relative to the descriptor.
    pub owned: Vec<OwnedFd>,
    /// The ids that exist inside, and what they are outside.
    pub ids: IdMaps,
    outside: Outside,
}

impl Entered {
    /// The threads that kept the outer identity.
    #[must_use]
    pub fn outside(&self) -> &Outside {
        &self.outside
    }
}

/// Why [`enter`] did not.
#[derive(Debug, Error)]
pub enum EnterError {
    /// The kernel refuses a user namespace to a process with threads.
    #[error("this process has {count} threads already; enter the sandbox before starting any")]
    Threads {
        /// How many.
        count: usize,
    },
    /// The rung that was asked for does not work here.
    #[error("isolation {} is not possible: {}; remedy: {}", .0.rung, .0.cause, .0.remedy)]
    Refused(Refused),
    /// It worked in a child and failed in this process.
    #[error("isolation {rung}: worked in a trial, then failed: {cause}; remedy: {remedy}")]
    Lost {
        /// The rung.
        rung: Rung,
        /// What answered.
        cause: String,
        /// What to change.
        remedy: String,
    },
    /// A directory of ours cannot be made ready.
    #[error("{path}: cannot {action} this directory for the build; name another place with --store")]
    Owned {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A step that always works did not.
    #[error("cannot {action} while entering the sandbox")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

fn system(action: &'static str) -> impl Fn(io::Error) -> EnterError {
    move |source| EnterError::System { action, source }
}

/// Takes this process into the best rung that works.
///
/// Afterwards the calling thread, and every thread started from it, is root of the namespace;
/// mounts are private; the process is not dumpable.
///
/// # Errors
/// [`EnterError::Threads`] before anything was done; [`EnterError::Refused`] where the rung asked
/// for does not work. With [`Isolation::Auto`] a place that allows nothing is no error but
/// [`Rung::None`].
pub fn enter(options: &EnterOptions) -> Result<Entered, EnterError> {
    let count = sys::thread_count().map_err(system("count threads"))?;
    if count != 1 {
        return Err(EnterError::Threads { count });
    }
    let facts = Facts::load();
    let mut refused = Vec::new();
    for rung in options.isolation.candidates() {
        match try_rung(rung, &facts, None, |_| Ok(())) {
            Ok(plan) => return enter_rung(rung, &plan, &facts, options, refused),
            Err(problem) => {
                let (cause, remedy) = explain(rung, &problem, &facts);
                debug!(%rung, cause, "rung refused");
                refused.push(Refused { rung, cause, remedy });
            }
        }
    }
    match (options.isolation, refused.pop()) {
        (Isolation::Exactly(_), Some(last)) => Err(EnterError::Refused(last)),
        (_, last) => {
            refused.extend(last);
            stay_outside(&facts, options, refused)
        }
    }
}

fn stay_outside(facts: &Facts, options: &EnterOptions, refused: Vec<Refused>) -> Result<Entered, EnterError> {
    // Without a namespace any directory will do that can be written to.
    for path in &options.owned {
        let failed = |source| EnterError::Owned { path: path.clone(), action: "create", source };
        fs::create_dir_all(path).map_err(failed)?;
    }
    let owned = open_all(&options.owned)?;
    let outside = Outside::start().map_err(system("start threads"))?;
    sys::set_dumpable(false).map_err(system("hide this process's memory"))?;
    debug!(rung = %Rung::None, "no isolation");
    Ok(Entered {
        rung: Rung::None,
        refused,
        owned,
        ids: IdMaps { uids: facts.uid_map.clone(), gids: facts.gid_map.clone() },
        outside,
    })
}

fn enter_rung(
    rung: Rung,
    plan: &MapPlan,
    facts: &Facts,
    options: &EnterOptions,
    refused: Vec<Refused>,
) -> Result<Entered, EnterError> {
    let lost = |problem: Problem| {
        let (cause, remedy) = explain(rung, &problem, facts);
        EnterError::Lost { rung, cause, remedy }
    };
    let root = plan.ids.root_outside().unwrap_or((facts.uid, facts.gid));
    prepare_all(&options.owned, root)?;
    unshare_mapped(plan).map_err(lost)?;
    // Still the outer identity: it may walk where root inside may not, and open descriptors must
    // be of the new mount namespace to be mounted on.
    let owned = open_all(&options.owned)?;
    let outside = Outside::start().map_err(system("start threads"))?;
    become_root(plan).map_err(lost)?;
    sys::set_dumpable(false).map_err(system("hide this process's memory"))?;
    debug!(%rung, "isolation");
    Ok(Entered { rung, refused, owned, ids: plan.ids.clone(), outside })
}

const NEW_NAMESPACES: i32 = libc::CLONE_NEWUSER | libc::CLONE_NEWNS;

/// Goes through all of a rung in a forked child, then through `more` there, with `place` open.
pub(crate) fn try_rung(
    rung: Rung,
    facts: &Facts,
    place: Option<&Path>,
    more: impl FnOnce(Option<OwnedFd>) -> Result<(), Problem>,
) -> Result<MapPlan, Problem> {
    let plan = plan_map(rung, facts)?;
    let (child, mut ends) = fork_with_pipes(|ends| probe_child(&plan, ends, place, more))?;
    let result = drive(child, &plan, &mut ends);
    // A child that still waits for its maps ends with the pipe.
    drop(ends);
    child.wait().map_err(probe)?;
    result.map(|()| plan)
}

fn probe(error: io::Error) -> Problem {
    Problem::Probe(error.to_string())
}

/// One side's ends of two pipes.
struct Ends {
    read: io::PipeReader,
    write: io::PipeWriter,
}

/// Forks, with a pipe each way. The child has only its own ends: a copy of the parent's would keep
/// it from seeing that the parent has given up.
fn fork_with_pipes(work: impl FnOnce(Ends) -> u8) -> Result<(sys::Pid, Ends), Problem> {
    let (parent_read, child_write) = io::pipe().map_err(probe)?;
    let (child_read, parent_write) = io::pipe().map_err(probe)?;
    let mut parent = Some(Ends { read: parent_read, write: parent_write });
    let mut child = Some(Ends { read: child_read, write: child_write });
    let pid = sys::fork_alone(|| {
        drop(parent.take());
        child.take().map_or(1, work)
    })
    .map_err(probe)?;
    drop(child);
    match parent {
        Some(ends) => Ok((pid, ends)),
        // Only the child takes it.
        None => Err(Problem::Probe("the pipes are gone".to_owned())),
    }
}

/// The parent's side of a trial.
fn drive(child: sys::Pid, plan: &MapPlan, ends: &mut Ends) -> Result<(), Problem> {
    receive(&mut ends.read)?;
    let pid = u32::try_from(child.number()).unwrap_or(0);
    write_maps(pid, plan)?;
    ends.write.write_all(b"g").map_err(probe)?;
    receive(&mut ends.read)
}

/// The child's side of a trial.
fn probe_child(
    plan: &MapPlan,
    mut ends: Ends,
    place: Option<&Path>,
    more: impl FnOnce(Option<OwnedFd>) -> Result<(), Problem>,
) -> u8 {
    let unshared = unshare();
    send(&mut ends.write, &unshared);
    let mut byte = [0];
    if unshared.is_err() || ends.read.read_exact(&mut byte).is_err() {
        return 1;
    }
    // As in `enter`: the outer identity may walk where root inside may not.
    let place = place.and_then(|path| open(path).ok());
    let inside = become_root(plan).and_then(|()| try_mount()).and_then(|()| more(place));
    send(&mut ends.write, &inside);
    0
}

fn unshare() -> Result<(), Problem> {
    sys::unshare(NEW_NAMESPACES).map_err(|error| Problem::Unshare(errno(&error)))
}

/// A tmpfs that is attached nowhere: the least that every rung must allow.
fn try_mount() -> Result<(), Problem> {
    sys::FsContext::open(c"tmpfs")
        .and_then(|context| context.mount(sys::Attributes::NONE))
        .map(drop)
        .map_err(|error| Problem::Inside("mount", errno(&error)))
}

/// This process's new namespaces, with the maps written by a child that stays outside.
fn unshare_mapped(plan: &MapPlan) -> Result<(), Problem> {
    let parent = std::process::id();
    let (helper, mut ends) = fork_with_pipes(|ends| map_helper(parent, plan, ends))?;
    let mapped =
        unshare().and_then(|()| ends.write.write_all(b"g").map_err(probe)).and_then(|()| receive(&mut ends.read));
    drop(ends);
    helper.wait().map_err(probe)?;
    mapped
}

fn map_helper(parent: u32, plan: &MapPlan, mut ends: Ends) -> u8 {
    let mut byte = [0];
    if ends.read.read_exact(&mut byte).is_err() {
        return 1;
    }
    send(&mut ends.write, &write_maps(parent, plan));
    0
}

/// Root of the namespace in the calling thread, and private mounts.
fn become_root(plan: &MapPlan) -> Result<(), Problem> {
    let inside = |what| move |error: io::Error| Problem::Inside(what, errno(&error));
    match plan.writer {
        // The one id there is, is root already, and groups were given up.
        Writer::WithoutGroups => {}
        Writer::Direct | Writer::Programs { .. } => {
            sys::become_groups(&[]).map_err(inside("set groups"))?;
            sys::become_user(0, 0).map_err(inside("become root"))?;
        }
    }
    sys::set_private().map_err(inside("make mounts private"))
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

/// One answer on a pipe: a kind, a number, and a text to the end of the line.
fn send(pipe: &mut io::PipeWriter, answer: &Result<(), Problem>) {
    let line = match answer {
        Ok(()) => "ok 0 ".to_owned(),
        Err(Problem::Unshare(errno)) => format!("unshare {errno} "),
        Err(Problem::WriteMap(errno)) => format!("map {errno} "),
        Err(Problem::Inside(what, errno)) => format!("inside {errno} {what}"),
        Err(Problem::Newuidmap(text)) => format!("newuidmap 0 {text}"),
        Err(other) => format!("probe 0 {other:?}"),
    };
    // The reader takes a missing answer for a failed trial.
    let _ = pipe.write_all(format!("{}\n", line.replace('\n', " ")).as_bytes());
}

fn receive(pipe: &mut io::PipeReader) -> Result<(), Problem> {
    let mut line = Vec::new();
    let mut byte = [0];
    while pipe.read_exact(&mut byte).is_ok() && byte != *b"\n" {
        line.extend(byte);
    }
    let line = String::from_utf8_lossy(&line);
    let mut words = line.splitn(3, ' ');
    let kind = words.next().unwrap_or_default();
    let errno = words.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    let text = words.next().unwrap_or_default();
    match kind {
        "ok" => Ok(()),
        "unshare" => Err(Problem::Unshare(errno)),
        "map" => Err(Problem::WriteMap(errno)),
        "inside" => Err(Problem::Inside(known(text), errno)),
        "newuidmap" => Err(Problem::Newuidmap(text.to_owned())),
        _ => Err(Problem::Probe(if text.is_empty() { "the trial process died".to_owned() } else { text.to_owned() })),
    }
}

/// The words of [`become_root`] and [`try_mount`], which have to be static.
fn known(text: &str) -> &'static str {
    ["set groups", "become root", "make mounts private", "mount"]
        .into_iter()
        .find(|word| *word == text)
        .unwrap_or("work")
}

fn prepare_all(paths: &[PathBuf], owner: (u32, u32)) -> Result<(), EnterError> {
    paths.iter().try_for_each(|path| prepare(path, owner))
}

/// What a directory's mode becomes: usable by its owner, traversable by a step's other users,
/// and without the set-group-id bit, which would hand an unmapped group to everything in it.
fn plan_mode(mode: u32) -> u32 {
    (mode & 0o1777) | 0o711
}

pub(crate) fn prepare(path: &Path, owner: (u32, u32)) -> Result<(), EnterError> {
    let failed = |action| move |source| EnterError::Owned { path: path.to_owned(), action, source };
    let is_new = !path.exists();
    fs::create_dir_all(path).map_err(failed("create"))?;
    let directory = File::open(path).map_err(failed("open"))?;
    let found = directory.metadata().map_err(failed("look at"))?;
    if (found.uid(), found.gid()) != owner {
        let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
        // Not its owner and without CAP_CHOWN: a group alone may still be put right.
        rustix::fs::fchown(&directory, Some(uid), Some(gid))
            .map_err(|error| failed("change the owner of")(error.into()))?;
    }
    let mode = if is_new { 0o711 } else { found.permissions().mode() & 0o7777 };
    if plan_mode(mode) != found.permissions().mode() & 0o7777 {
        directory.set_permissions(fs::Permissions::from_mode(plan_mode(mode))).map_err(failed("set the mode of"))?;
    }
    Ok(())
}

fn open_all(paths: &[PathBuf]) -> Result<Vec<OwnedFd>, EnterError> {
    paths
        .iter()
        .map(|path| open(path).map_err(|source| EnterError::Owned { path: path.clone(), action: "open", source }))
        .collect()
}

fn open(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_dir_loses_its_group_bit_and_keeps_the_rest() {
        assert_eq!(plan_mode(0o2777), 0o777);
        assert_eq!(plan_mode(0o2700), 0o711);
        assert_eq!(plan_mode(0o1777), 0o1777);
    }

    #[track_caller]
    fn check(answer: Result<(), Problem>) {
        let (mut reader, mut writer) = io::pipe().unwrap();
        send(&mut writer, &answer);
        assert_eq!(receive(&mut reader), answer);
    }

    #[test]
    fn an_answer_comes_back_from_the_pipe() {
        check(Ok(()));
        check(Err(Problem::Unshare(38)));
        check(Err(Problem::WriteMap(1)));
        check(Err(Problem::Inside("become root", 22)));
        check(Err(Problem::Newuidmap("newuidmap: open of uid_map failed".to_owned())));
    }

    #[test]
    fn silence_is_a_failed_trial() {
        let (mut reader, writer) = io::pipe().unwrap();
        drop(writer);
        assert_eq!(receive(&mut reader), Err(Problem::Probe("the trial process died".to_owned())));
    }

    #[test]
    fn a_process_with_threads_is_refused() {
        let options = EnterOptions { isolation: Isolation::Auto, owned: vec![] };
        // The test harness itself has more than one.
        assert!(matches!(enter(&options), Err(EnterError::Threads { .. })));
    }
}
