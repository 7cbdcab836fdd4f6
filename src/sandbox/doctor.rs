//! What is possible here, why not more, and what to ask for.
//!
//! What comes in: the directory that would be the store. What goes out: a report for each rung,
//! made by doing everything in forked children. Nothing stays changed: the directory made below
//! the store is removed, all else ends with the child.

use std::ffi::CString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use sys::{Attributes, Kind, MountOp, Op, ProcessOp, Program, Tree};

use crate::enter::{EnterError, prepare, try_rung};
use crate::facts::{Facts, Privilege, Problem, describe, explain};
use crate::map::plan_map;
use crate::root::{RootSpec, mount_root};
use crate::rung::Rung;
use crate::seccomp::{Owners, plan_filter};

/// Whether something works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Works,
    /// It does not.
    Refused {
        /// What was tried and what answered.
        cause: String,
        /// What to change, or what happens instead.
        remedy: String,
    },
}

/// One thing that steps use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// Its name, a few words.
    pub name: &'static str,
    /// Whether it works.
    pub verdict: Verdict,
}

/// A rung, and what it offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RungReport {
    /// The rung.
    pub rung: Rung,
    /// Whether it can be entered.
    pub verdict: Verdict,
    /// What works on it; empty if it cannot be entered.
    pub facilities: Vec<Facility>,
}

/// How a facility is tried, and what to say if it fails.
struct Trial {
    name: &'static str,
    remedy: &'static str,
    namespaces: i32,
    ops: Vec<Op>,
}

const OVERLAY: &str = "overlay on the store";
const OVERLAY_REMEDY: &str = "name a directory on an emptyDir, a volume or a local disk with --store";

/// Tries every rung and, on those that can be entered, every facility.
///
/// # Errors
/// [`EnterError::Threads`] if this process has threads: the kernel would refuse every rung.
pub fn doctor(store: Option<&Path>) -> Result<Vec<RungReport>, EnterError> {
    let count = sys::thread_count().map_err(|source| EnterError::System { action: "count threads", source })?;
    if count != 1 {
        return Err(EnterError::Threads { count });
    }
    let facts = Facts::load();
    let mut reports: Vec<RungReport> = Rung::LADDER.into_iter().map(|rung| report(rung, &facts, store)).collect();
    let is_sub = |report: &RungReport| report.rung == Rung::Sub && report.verdict == Verdict::Works;
    let sub_works = reports.iter().any(is_sub);
    reports.push(RungReport {
        rung: Rung::None,
        verdict: Verdict::Works,
        facilities: vec![newuidmap(&facts, sub_works)],
    });
    Ok(reports)
}

fn report(rung: Rung, facts: &Facts, store: Option<&Path>) -> RungReport {
    match try_facilities(rung, facts, store) {
        Ok(facilities) => RungReport { rung, verdict: Verdict::Works, facilities },
        Err(problem) => {
            let (cause, remedy) = explain(rung, &problem, facts);
            RungReport { rung, verdict: Verdict::Refused { cause, remedy }, facilities: Vec::new() }
        }
    }
}

/// Enters the rung in a child, which tries everything and sends the error numbers.
fn try_facilities(rung: Rung, facts: &Facts, store: Option<&Path>) -> Result<Vec<Facility>, Problem> {
    let trials = plan_trials();
    let place = store.map(|store| make_place(rung, facts, store));
    let (mut reader, writer) = io::pipe().map_err(|error| Problem::Probe(error.to_string()))?;
    let mut sender = Some(writer);
    let path = place.as_ref().and_then(|place| place.as_deref().ok());
    let entered = try_rung(rung, facts, path, |base| {
        let mut writer = sender.take();
        let mut send = |number: i32| {
            // A missing number is reported as a failed trial.
            let _ = writer.as_mut().map(|pipe| pipe.write_all(&number.to_ne_bytes()));
        };
        for trial in &trials {
            send(try_one(trial));
        }
        if let Some(base) = base {
            send(try_overlay(&base));
        }
        Ok(())
    });
    drop(sender);
    let mut facilities: Vec<Facility> = Vec::new();
    for trial in &trials {
        let verdict = verdict(trial.name, trial.remedy, receive(&mut reader));
        facilities.push(Facility { name: trial.name, verdict });
    }
    facilities.extend(place.map(|place| overlay_facility(place, &mut reader)));
    entered.map(|_| facilities)
}

fn overlay_facility(place: Result<PathBuf, EnterError>, reader: &mut io::PipeReader) -> Facility {
    let verdict = match place {
        Ok(place) => {
            let tried = verdict(OVERLAY, OVERLAY_REMEDY, receive(reader));
            // The child removed what it owns; nothing is lost if this is not empty.
            let _ = fs::remove_dir_all(&place);
            tried
        }
        Err(error) => Verdict::Refused { cause: error.to_string(), remedy: OVERLAY_REMEDY.to_owned() },
    };
    Facility { name: OVERLAY, verdict }
}

fn receive(reader: &mut io::PipeReader) -> i32 {
    let mut bytes = [0; 4];
    match reader.read_exact(&mut bytes) {
        Ok(()) => i32::from_ne_bytes(bytes),
        Err(_) => libc::EIO,
    }
}

fn verdict(name: &str, remedy: &str, errno: i32) -> Verdict {
    match errno {
        0 => Verdict::Works,
        errno => Verdict::Refused { cause: format!("{name}: {}", describe(errno)), remedy: remedy.to_owned() },
    }
}

/// An own directory below the store that root of this rung may use.
fn make_place(rung: Rung, facts: &Facts, store: &Path) -> Result<PathBuf, EnterError> {
    let place = store.join(format!(".doctor-{}-{rung}", std::process::id()));
    let owner = plan_map(rung, facts).ok().and_then(|plan| plan.ids.root_outside()).unwrap_or((facts.uid, facts.gid));
    prepare(&place, owner)?;
    Ok(place)
}

fn try_overlay(base: &OwnedFd) -> i32 {
    let spec = RootSpec {
        base: base.as_fd(),
        lowers: Vec::new(),
        upper: "upper".into(),
        work: "work".into(),
        mount: "root".into(),
    };
    let mounted = mount_root(&spec);
    let errno = match &mounted {
        Ok(_) => 0,
        Err(error) => std::error::Error::source(error)
            .and_then(|source| source.downcast_ref::<io::Error>())
            .and_then(io::Error::raw_os_error)
            .unwrap_or(libc::EIO),
    };
    drop(mounted);
    let place = PathBuf::from(format!("/proc/self/fd/{}", base.as_raw_fd()));
    for name in ["upper", "work", "work-empty", "root"] {
        // What is left here lies in a directory named after us, which the parent tries to remove.
        let _ = fs::remove_dir_all(place.join(name));
    }
    errno
}

/// The error number of the first operation that fails, or 0.
fn try_one(trial: &Trial) -> i32 {
    let program = Program { namespaces: trial.namespaces, setup: trial.ops.clone(), command: Vec::new() };
    let mut spawned = match sys::spawn(&program) {
        Ok(spawned) => spawned,
        Err(error) => return error.raw_os_error().unwrap_or(libc::EIO),
    };
    let record = spawned.record();
    match (record, spawned.pid.wait()) {
        (Ok(Some(record)), Ok(_)) if record.kind == Kind::Failed => record.value,
        (Ok(Some(_)), Ok(_)) => 0,
        (Ok(None) | Err(_), _) | (_, Err(_)) => libc::EIO,
    }
}

fn trial(name: &'static str, remedy: &'static str, namespaces: i32, ops: Vec<Op>) -> Trial {
    let mut all: Vec<Op> = vec![ProcessOp::Unshare(libc::CLONE_NEWNS).into()];
    all.extend(ops);
    Trial { name, remedy, namespaces, ops: all }
}

fn mount(kind: &str) -> Op {
    let attributes = Attributes::NO_SUID | Attributes::NO_DEV | Attributes::NO_EXEC;
    MountOp::NewMount {
        // Our own words hold no zero byte.
        kind: CString::new(kind).unwrap_or_default(),
        options: Vec::new(),
        attributes,
        into: 0,
    }
    .into()
}

fn bind(path: &str) -> Op {
    MountOp::CloneTree { from: Tree::Absolute(CString::new(path).unwrap_or_default()), recursive: true, into: 0 }.into()
}

fn plan_trials() -> Vec<Trial> {
    let network = libc::CLONE_NEWNET;
    let bound_instead = "the pod's is used instead; no change needed";
    let policy = "check the pod's seccomp, AppArmor and SELinux policy";
    vec![
        trial("own process ids", policy, libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS, Vec::new()),
        trial(
            "fresh /proc",
            "the pod's /proc is used instead, with its numbers; for a fresh one ask for \
             hostUsers: false with procMount: Unmasked",
            libc::CLONE_NEWPID,
            vec![mount("proc")],
        ),
        trial("bound /proc", policy, libc::CLONE_NEWPID, vec![bind("/proc")]),
        trial("file system in memory", policy, 0, vec![mount("tmpfs")]),
        trial("devices of /dev", policy, 0, vec![bind("/dev/null"), bind("/dev/urandom")]),
        trial("terminals (devpts)", bound_instead, 0, vec![mount("devpts")]),
        trial("bound /sys", "steps see an empty /sys", 0, vec![bind("/sys")]),
        trial("fresh /sys", bound_instead, network, vec![mount("sysfs")]),
        // `none` makes it by clone(2), `gateway` by unshare(2).
        trial(
            "own network (none, gateway)",
            "allow clone and unshare to make network namespaces, or use --network host",
            network,
            vec![ProcessOp::LoopbackUp.into(), ProcessOp::Unshare(network).into(), ProcessOp::LoopbackUp.into()],
        ),
        trial(
            "own host name",
            "steps see the pod's host name",
            libc::CLONE_NEWUTS,
            vec![ProcessOp::Hostname(b"doctor".to_vec()).into()],
        ),
        trial(
            "seccomp filter",
            "run on a kernel with CONFIG_SECCOMP_FILTER",
            0,
            vec![ProcessOp::Filter(plan_filter(Owners::Real)).into()],
        ),
    ]
}

/// How newuidmap is installed, which decides rung `sub` in pods.
fn newuidmap(facts: &Facts, sub_works: bool) -> Facility {
    let refused = |cause: &str, remedy: &str| Verdict::Refused { cause: cause.to_owned(), remedy: remedy.to_owned() };
    let verdict = match &facts.newuidmap {
        Some(_) if sub_works => Verdict::Works,
        Some((_, Privilege::FileCapability)) => Verdict::Works,
        Some((_, Privilege::SetUserId)) => refused(
            "newuidmap has the set-user-id bit, which fails in pods without DAC_OVERRIDE",
            "give it the file capability cap_setuid=ep, and newgidmap cap_setgid=ep",
        ),
        Some((_, Privilege::Unknown)) => refused(
            "newuidmap has neither file capabilities nor the set-user-id bit",
            "give it the file capability cap_setuid=ep, and newgidmap cap_setgid=ep",
        ),
        None => {
            refused("newuidmap is not installed", "install the package uidmap or shadow-utils; only rung sub needs it")
        }
    };
    Facility { name: "newuidmap", verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_number_becomes_a_cause_that_names_the_facility() {
        assert_eq!(verdict("fresh /proc", "r", 0), Verdict::Works);
        let Verdict::Refused { cause, .. } = verdict("fresh /proc", "r", libc::EPERM) else {
            panic!("an error that works");
        };
        assert_eq!(cause, "fresh /proc: Operation not permitted (os error 1)");
    }

    #[test]
    fn a_process_with_threads_is_not_examined() {
        assert!(matches!(doctor(None), Err(EnterError::Threads { .. })));
    }
}
