//! A stage's root: unpacked layers, stacked as an overlay with one upper directory.
//!
//! What comes in: [`RootSpec`], names relative to one open directory. What goes out: a mounted
//! tree, unmounted when the [`Root`] is dropped. The upper directory holds the changes afterwards.
//! It never writes to a lower directory.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use thiserror::Error;
use tracing::{debug, warn};

use crate::ids::{self, IdMaps};
use crate::targets;

/// The directories of a stage's root; all names are relative to `base`.
#[derive(Debug, Clone)]
pub struct RootSpec<'a> {
    /// The directory the names are relative to. To be opened after [`crate::enter`].
    pub base: BorrowedFd<'a>,
    /// Unpacked layers, topmost first; the last may be one that [`write_stubs`] filled. None at
    /// all is an empty image.
    pub lowers: Vec<PathBuf>,
    /// Where changes go. Made if missing, with the mode and owner of the topmost lower's root.
    pub upper: PathBuf,
    /// The overlay's scratch directory, on the file system of `upper`. Made if missing; what a
    /// former mount left in it is removed.
    pub work: PathBuf,
    /// Where the tree is mounted. Made if missing.
    pub mount: PathBuf,
}

/// Why a root could not be mounted.
#[derive(Debug, Error)]
pub enum MountError {
    /// The overlay's options have no way to say this name.
    #[error("{}: a layer's directory must have a plain relative name", .name.display())]
    Name {
        /// The name.
        name: PathBuf,
    },
    /// A directory could not be made or cleaned.
    #[error("{}: cannot prepare this directory for the image's root", .path.display())]
    Prepare {
        /// Its name.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// More layers than this kernel takes.
    #[error("{count} layers do not fit one overlay on this kernel; Linux 6.5 takes 500, or squash the base image")]
    TooManyLayers {
        /// How many.
        count: usize,
    },
    /// The overlay was refused.
    #[error("{}: cannot mount the image's root: {hint}", .path.display())]
    Overlay {
        /// Where.
        path: PathBuf,
        /// What it means and what to do.
        hint: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// A mounted root.
#[derive(Debug)]
pub struct Root {
    pub(crate) directory: OwnedFd,
    pub(crate) ids: IdMaps,
}

impl Root {
    /// The merged tree.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub(crate) fn ids(&self) -> &IdMaps {
        &self.ids
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Err(error) = sys::unmount_lazily(self.directory.as_fd()) {
            warn!(%error, "the image's root stays mounted until the program ends");
        }
    }
}

/// Fills a directory with empty mount points, to be used as the last of [`RootSpec::lowers`]: an
/// image that lacks `/proc` or `/etc/resolv.conf` then shows one without having it, and a step
/// leaves no trace in the upper directory. `files` and `directories` are what else steps will be given. Without
/// its stub a missing mount point is made for the step and removed after it, and the image's directory it
/// lay in stays in the upper directory, copied and unchanged.
///
/// # Errors
/// What the file system says.
pub fn write_stubs(directory: BorrowedFd<'_>, files: &[&Path], directories: &[&Path]) -> io::Result<()> {
    targets::write_stubs(directory, files, directories)
}

/// How an overlay is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Overlay {
    /// One option string for mount(2), which takes less than a page.
    Options(String),
    /// One option a lower, which Linux 6.5 takes.
    Separate(Vec<(CString, CString)>),
}

/// Bytes of options that mount(2) takes: a page, with its end.
const MAX_OPTIONS: usize = 4095;
/// Bytes of a value that fsconfig(2) takes.
const MAX_VALUE: usize = 255;
/// Lowers that an overlay takes (Linux 6.5 and later).
const MAX_LOWERS: usize = 500;

/// Whether data is written back when the overlay goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sync {
    /// Not: the upper directory is thrown away if the machine fails.
    Volatile,
    /// Yes, for kernels before 5.10.
    Always,
}

/// Mounts the root.
///
/// # Errors
/// [`MountError`] names the directory. EINVAL is told apart: an upper directory on an overlay is
/// refused by the kernel.
pub fn mount_root(spec: &RootSpec<'_>) -> Result<Root, MountError> {
    let lowers = prepare(spec)?;
    match mount_overlay(spec, &lowers, Sync::Volatile) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            debug!("no volatile overlay, trying a plain one");
            clean_work(spec)?;
            mount_overlay(spec, &lowers, Sync::Always)
        }
        other => other,
    }
    .map_err(|source| explain(spec, lowers.len(), source))?;
    let directory =
        open(spec.base, &spec.mount).map_err(|source| MountError::Prepare { path: spec.mount.clone(), source })?;
    Ok(Root { directory, ids: own_ids() })
}

pub(crate) fn own_ids() -> IdMaps {
    // Always readable; an empty map makes a step's user unknown, which is then reported.
    let read = |path| ids::parse_map(&fs::read_to_string(path).unwrap_or_default());
    IdMaps { uids: read("/proc/self/uid_map"), gids: read("/proc/self/gid_map") }
}

/// Makes what is missing; the lowers to use.
fn prepare(spec: &RootSpec<'_>) -> Result<Vec<PathBuf>, MountError> {
    let names = spec.lowers.iter().chain([&spec.upper, &spec.work, &spec.mount]);
    for name in names {
        if !is_plain(name) {
            return Err(MountError::Name { name: name.clone() });
        }
    }
    let mut lowers = spec.lowers.clone();
    if lowers.is_empty() {
        let mut empty = spec.work.clone().into_os_string();
        empty.push("-empty");
        let empty = PathBuf::from(empty);
        make_directory(spec.base, &empty)?;
        lowers.push(empty);
    }
    make_upper(spec, lowers.first())?;
    make_directory(spec.base, &spec.work)?;
    make_directory(spec.base, &spec.mount)?;
    clean_work(spec)?;
    Ok(lowers)
}

/// Whether a name can stand in an option string: relative, without the characters that separate
/// options and lowers.
fn is_plain(name: &Path) -> bool {
    let bytes = name.as_os_str().as_bytes();
    name.is_relative()
        && !bytes.is_empty()
        && name.to_str().is_some()
        && !bytes.iter().any(|byte| matches!(byte, b',' | b':' | b'\\' | 0))
}

pub(crate) fn make_directory(base: BorrowedFd<'_>, path: &Path) -> Result<bool, MountError> {
    let failed = |error: Errno| MountError::Prepare { path: path.to_owned(), source: error.into() };
    let mut at = PathBuf::new();
    let mut is_new = false;
    for name in targets::names(path) {
        at.push(name);
        is_new = match rustix::fs::mkdirat(base, &at, Mode::from_raw_mode(0o755)) {
            Ok(()) => true,
            Err(Errno::EXIST) => false,
            Err(error) => return Err(failed(error)),
        };
    }
    Ok(is_new)
}

/// The upper directory is what the merged root looks like, so a new one copies the topmost lower.
fn make_upper(spec: &RootSpec<'_>, topmost: Option<&PathBuf>) -> Result<(), MountError> {
    if !make_directory(spec.base, &spec.upper)? {
        return Ok(());
    }
    let Some(topmost) = topmost else {
        return Ok(());
    };
    let copy = || -> io::Result<()> {
        let from = rustix::fs::fstat(open(spec.base, topmost)?)?;
        let upper = open(spec.base, &spec.upper)?;
        let owner = (Uid::from_raw(from.st_uid), Gid::from_raw(from.st_gid));
        rustix::fs::fchown(&upper, Some(owner.0), Some(owner.1))?;
        rustix::fs::fchmod(&upper, Mode::from_raw_mode(from.st_mode & 0o7777))?;
        Ok(())
    };
    copy().map_err(|source| MountError::Prepare { path: spec.upper.clone(), source })
}

/// Removes what a former mount left: a volatile one leaves a mark that makes the next fail.
fn clean_work(spec: &RootSpec<'_>) -> Result<(), MountError> {
    let at = format!("/proc/self/fd/{}", spec.base.as_raw_fd());
    for name in ["work", "index", "incompat"] {
        let path = Path::new(&at).join(&spec.work).join(name);
        match fs::remove_dir_all(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => {
                let path = spec.work.join(name);
                return Err(MountError::Prepare { path, source });
            }
        }
    }
    Ok(())
}

pub(crate) fn open(base: BorrowedFd<'_>, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat2(base, path, flags, Mode::empty(), ResolveFlags::BENEATH)?;
    Ok(fd)
}

/// The options of an overlay of these directories.
fn plan_overlay(spec: &RootSpec<'_>, lowers: &[PathBuf], sync: Sync) -> io::Result<Overlay> {
    let rest = [
        ("upperdir", spec.upper.display().to_string()),
        ("workdir", spec.work.display().to_string()),
        ("index", "off".to_owned()),
        // The overlay's own marks as user attributes: trusted ones are refused in a namespace.
        ("userxattr", String::new()),
    ];
    let mut rest = rest.to_vec();
    if sync == Sync::Volatile {
        rest.push(("volatile", String::new()));
    }
    let stack: Vec<String> = lowers.iter().map(|path| path.display().to_string()).collect();
    let mut options = format!("lowerdir={}", stack.join(":"));
    for (key, value) in &rest {
        options.push(',');
        options.push_str(key);
        if !value.is_empty() {
            options.push('=');
            options.push_str(value);
        }
    }
    if options.len() <= MAX_OPTIONS {
        return Ok(Overlay::Options(options));
    }
    if stack.len() > MAX_LOWERS || stack.iter().any(|name| name.len() > MAX_VALUE) {
        return Err(io::Error::from_raw_os_error(libc::E2BIG));
    }
    let lowers = stack.into_iter().map(|name| ("lowerdir+", name));
    lowers
        .chain(rest)
        .map(|(key, value)| Ok((CString::new(key)?, CString::new(value)?)))
        .collect::<io::Result<_>>()
        .map(Overlay::Separate)
}

/// Mounts in a thread of its own, whose current directory is `base`: relative names keep the
/// options short and need no way through the parents of `base`.
pub(crate) fn mount_overlay(spec: &RootSpec<'_>, lowers: &[PathBuf], sync: Sync) -> io::Result<()> {
    let overlay = plan_overlay(spec, lowers, sync)?;
    std::thread::scope(|scope| {
        let mounting = scope.spawn(|| {
            sys::unshare_directory(spec.base)?;
            match &overlay {
                Overlay::Options(options) => sys::mount_overlay(&spec.mount, options),
                Overlay::Separate(options) => mount_separate(spec, options),
            }
        });
        mounting.join().unwrap_or_else(|_| Err(io::Error::other("the mounting thread panicked")))
    })
}

fn mount_separate(spec: &RootSpec<'_>, options: &[(CString, CString)]) -> io::Result<()> {
    let context = sys::FsContext::open(c"overlay")?;
    for (key, value) in options {
        context.set(key, value).map_err(|error| {
            // A kernel before 6.5 does not know `lowerdir+`; the caller names the count.
            match key.as_c_str() == c"lowerdir+" {
                true => io::Error::from_raw_os_error(libc::E2BIG),
                false => error,
            }
        })?;
    }
    let mount = context.mount(sys::Attributes::NONE)?;
    let target = open(spec.base, &spec.mount)?;
    sys::move_mount(mount.as_fd(), target.as_fd())
}

pub(crate) fn explain(spec: &RootSpec<'_>, count: usize, source: io::Error) -> MountError {
    /// `OVERLAYFS_SUPER_MAGIC` of <linux/magic.h>.
    const OVERLAY: rustix::fs::FsWord = 0x794c_7630;
    let on_overlay = || {
        open(spec.base, &spec.upper)
            .and_then(|upper| Ok(rustix::fs::fstatfs(upper)?))
            .is_ok_and(|found| found.f_type == OVERLAY)
    };
    let hint = match source.raw_os_error() {
        Some(libc::E2BIG) => return MountError::TooManyLayers { count },
        Some(libc::EINVAL) if on_overlay() => {
            "the store lies on an overlay; use an emptyDir or another volume with --store"
        }
        Some(libc::EINVAL) => "this kernel or file system cannot hold an unprivileged overlay; it takes Linux 5.11",
        Some(libc::EPERM) => "no user namespace, or this kernel is older than Linux 5.11",
        Some(libc::EACCES) => "the store's group has no mapping or SELinux forbids it; let this program make the store",
        Some(libc::ENODEV) => "this kernel has no overlay file system; load the module overlay",
        Some(libc::ENOENT) => "a layer's directory is missing",
        _ => "the kernel refused the overlay",
    };
    MountError::Overlay { path: spec.mount.clone(), hint, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(base: &fs::File, lowers: Vec<PathBuf>) -> RootSpec<'_> {
        RootSpec { base: base.as_fd(), lowers, upper: "s/upper".into(), work: "s/work".into(), mount: "s/root".into() }
    }

    #[test]
    fn a_few_lowers_are_one_option_string() {
        let base = fs::File::open("/").unwrap();
        let lowers = vec![PathBuf::from("l/a"), PathBuf::from("l/b")];
        let spec = spec(&base, lowers.clone());
        assert_eq!(
            plan_overlay(&spec, &lowers, Sync::Volatile).unwrap(),
            Overlay::Options(
                "lowerdir=l/a:l/b,upperdir=s/upper,workdir=s/work,index=off,userxattr,volatile".to_owned()
            )
        );
    }

    #[test]
    fn many_lowers_are_given_one_by_one() {
        let base = fs::File::open("/").unwrap();
        let lowers: Vec<PathBuf> = (0..400).map(|n| format!("layers/{n:064}").into()).collect();
        let spec = spec(&base, lowers.clone());
        let Overlay::Separate(options) = plan_overlay(&spec, &lowers, Sync::Always).unwrap() else {
            panic!("an option string of that length");
        };
        assert_eq!(options.len(), 404);
        assert_eq!(options[0].0.as_c_str(), c"lowerdir+");
    }

    #[test]
    fn more_lowers_than_the_kernel_takes_are_refused() {
        let base = fs::File::open("/").unwrap();
        let lowers: Vec<PathBuf> = (0..501).map(|n| format!("layers/{n:064}").into()).collect();
        let error = plan_overlay(&spec(&base, lowers.clone()), &lowers, Sync::Always).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::E2BIG));
    }

    #[test]
    fn names_that_would_change_the_options_are_refused() {
        for name in ["", "/a", "a:b", "a,b", "a\\b"] {
            assert!(!is_plain(Path::new(name)), "{name}");
        }
        assert!(is_plain(Path::new("layers/sha256-00")));
    }
}
