//! From a URL to a directory with the files of one commit.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use tracing::info;

use super::fetch::{check_branch, fetch, is_other_format};
use super::reference::Wanted;
use super::run::Git;
use super::{GitError, GitOptions, GitUrl, measure};
use crate::{Entry, Kind, Tree};

/// Files of one commit, on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// The build context: the folder that was asked for, else the whole work tree. It is inside `work_tree`, and no
    /// component of it below that is a symbolic link.
    pub directory: PathBuf,
    /// All files of the commit.
    pub work_tree: PathBuf,
    /// The commit, 40 or 64 hex digits.
    pub commit: String,
    /// When it was committed, in seconds since 1970.
    pub time: u64,
    /// The repository's address, without credentials.
    pub repository: String,
    /// What was asked for; `None` for the default branch.
    pub reference: Option<String>,
}

/// Checks out what `url` names below `into`, which is made if it is not there: the files in `into/tree`, git's own
/// ones in `into/git`, neither of which may exist. With [`GitOptions::keeps_git_directory`] the latter end as
/// `into/tree/.git`, with the commit checked out and `origin` being the repository's address without credentials.
///
/// Files are 0644 or 0755 and directories 0755, whatever the umask is; all are as old as the commit. Links are as they
/// are in the repository, so the result has to be read with [`Tree`]. Only the commit itself is fetched where
/// the server allows that. Files written before an error stay.
///
/// # Errors
/// [`GitError`]; a commit given by its whole id is that commit, or [`GitError::WrongCommit`].
pub fn check_out(url: &GitUrl, into: &Path, options: &GitOptions<'_>) -> Result<Checkout, GitError> {
    let into = create(into)?;
    let (directory, work_tree) = (into.join("git"), into.join("tree"));
    make(&directory)?;
    make(&work_tree)?;
    let mut git = Git::new(url, &directory, &work_tree, options);
    let commit = get(&mut git, &directory, url)?;
    if let Some(wanted) = url.commit().filter(|wanted| !commit.starts_with(*wanted)) {
        return Err(GitError::WrongCommit { repository: git.repository(), wanted: wanted.to_owned(), found: commit });
    }
    if let Some(branch) = &options.branch {
        check_branch(&git, &directory, &commit, branch)?;
    }
    measure::check(&git, &commit)?;
    git.expect("check out the commit", &["checkout", "--quiet", "--force", "--detach", &commit])?;
    if options.with_submodules {
        submodules(&mut git, &directory)?;
    }
    let seconds = git.expect("read the commit", &["log", "-1", "--format=%ct", &commit])?;
    let no_time = |_| GitError::NoCommit { repository: git.repository(), reference: commit.clone() };
    let time = seconds.trim().parse().map_err(no_time)?;
    if options.keeps_git_directory {
        keep(&git, &directory, &work_tree, &commit)?;
    }
    tidy(&git, &work_tree, time)?;
    let context = match url.subdirectory() {
        Some(folder) => inside(&work_tree, folder).ok_or_else(|| GitError::NoSubdirectory {
            repository: git.repository(),
            subdirectory: folder.to_owned(),
            commit: commit.clone(),
        })?,
        None => work_tree.clone(),
    };
    info!(repository = url.repository(), commit, "checked out");
    let reference = url.reference().map(str::to_owned);
    Ok(Checkout { directory: context, work_tree, commit, time, repository: url.repository().to_owned(), reference })
}

/// Fetches into a new repository that counts as the other side does.
fn get(git: &mut Git<'_>, directory: &Path, url: &GitUrl) -> Result<String, GitError> {
    let wanted = Wanted::of(url.reference());
    let is_sha256 = matches!(&wanted, Wanted::Commit(id) if id.len() == 64);
    initialise(git, is_sha256)?;
    match fetch(git, directory, &wanted) {
        Err(error) if is_other_format(&error) && !is_sha256 => {
            fs::remove_dir_all(directory).map_err(failure(directory, "remove a directory"))?;
            make(directory)?;
            initialise(git, true)?;
            fetch(git, directory, &wanted)
        }
        result => result,
    }
}

fn initialise(git: &mut Git<'_>, is_sha256: bool) -> Result<(), GitError> {
    let format = if is_sha256 { "--object-format=sha256" } else { "--object-format=sha1" };
    git.expect("create a repository", &["init", "--quiet", "--template=", format])?;
    // ssh asks on the terminal unless told not to; who has set it up otherwise knows why.
    let is_set = git.has("GIT_SSH_COMMAND") || git.has("GIT_SSH");
    if !is_set && !git.run("read the configuration", &["config", "--get", "core.sshCommand"])?.is_success {
        git.set("GIT_SSH_COMMAND", "ssh -o BatchMode=yes");
    }
    Ok(())
}

/// Shallow first, whole where a server does not give out a commit by its id.
fn submodules(git: &mut Git<'_>, directory: &Path) -> Result<(), GitError> {
    const ACTION: &str = "get the submodules";
    // A repository must not name files of this machine (CVE-2022-39253).
    git.set("GIT_ALLOW_PROTOCOL", "http:https:ssh:git");
    // Addresses such as `../other` start from here, in the file because each submodule has an origin of its own.
    git.expect("write the configuration", &["config", "remote.origin.url", &git.repository()])?;
    let update = ["submodule", "--quiet", "update", "--init", "--recursive", "--checkout", "--force"];
    let output = git.run(ACTION, &[update.as_slice(), &["--depth=1"]].concat())?;
    if output.is_success {
        return Ok(());
    }
    if output.messages.contains("' not allowed") {
        return Err(GitError::ForbiddenSubmodule { repository: git.repository(), output: output.messages });
    }
    git.run(ACTION, &["submodule", "--quiet", "deinit", "--all", "--force"])?;
    match fs::remove_dir_all(directory.join("modules")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failure(directory, "remove a directory")(error));
        }
        Ok(()) | Err(_) => {}
    }
    let output = git.run(ACTION, &update)?;
    if output.is_success {
        return Ok(());
    }
    Err(GitError::Submodules { repository: git.repository(), output: output.messages })
}

/// Makes git's `directory` the `.git` of the work tree, without what this machine and the moment left in it.
fn keep(git: &Git<'_>, directory: &Path, work_tree: &Path, commit: &str) -> Result<(), GitError> {
    const ACTION: &str = "write the configuration";
    git.expect(ACTION, &["config", "remote.origin.url", &git.repository()])?;
    git.expect(ACTION, &["config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"])?;
    // Set by `init`, because the work tree was elsewhere; older versions of git do not.
    git.run(ACTION, &["config", "--unset-all", "core.worktree"])?;
    // An index read anew has no inode numbers and times.
    git.expect("read the commit into the index", &["read-tree", commit])?;
    for name in ["FETCH_HEAD", "ORIG_HEAD", "logs", "refs/remotes"] {
        let path = directory.join(name);
        let is_directory = path.symlink_metadata().map(|metadata| metadata.is_dir());
        let removed = match is_directory {
            Ok(true) => fs::remove_dir_all(&path),
            Ok(false) => fs::remove_file(&path),
            Err(_) => Ok(()),
        };
        removed.map_err(failure(&path, "remove what only this check-out needed"))?;
    }
    fs::rename(directory, work_tree.join(".git")).map_err(failure(directory, "move git's files"))
}

/// Takes away what submodules leave, and the marks of umask and clock.
fn tidy(git: &Git<'_>, work_tree: &Path, time: u64) -> Result<(), GitError> {
    let unreadable = |source| GitError::Tree { repository: git.repository(), source };
    let root = fs::File::open(work_tree).map_err(failure(work_tree, "open a directory"))?;
    let tree = Tree::new(root.into(), work_tree, None);
    let (mut entries, mut links) = (tree.walk(Path::new("")).map_err(unreadable)?, Vec::new());
    for entry in &entries {
        let path = work_tree.join(&entry.path);
        let is_git = entry.path.file_name().is_some_and(|name| name == ".git");
        if is_git && entry.path.parent() != Some(Path::new("")) {
            // Nothing a commit holds is called that: git refuses to check it out.
            fs::remove_file(&path).map_err(failure(&path, "remove a submodule's link to its repository"))?;
            links.push(entry.path.clone());
        } else if let Some(mode) = portable_mode(entry) {
            fs::set_permissions(&path, Permissions::from_mode(mode)).map_err(failure(&path, "set permissions"))?;
        }
    }
    entries.retain(|entry| !links.contains(&entry.path));
    for entry in entries {
        set_time(&work_tree.join(entry.path), time)?;
    }
    Ok(())
}

/// Makes a file as old as the commit. What is in a directory does not change that any more.
fn set_time(path: &Path, time: u64) -> Result<(), GitError> {
    let time = Timespec { tv_sec: i64::try_from(time).unwrap_or(i64::MAX), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let set = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
    set.map_err(|error| failure(path, "set the time of change")(error.into()))
}

/// The mode that git means, if the file has another.
fn portable_mode(entry: &Entry) -> Option<u32> {
    let mode = match entry.kind {
        Kind::File(_) if entry.mode & 0o100 == 0 => 0o644,
        Kind::File(_) | Kind::Directory => 0o755,
        Kind::Symlink(_) | Kind::Fifo | Kind::Socket | Kind::Device => return None,
    };
    (entry.mode != mode).then_some(mode)
}

/// The real path of `folder`, if that is a directory below `work_tree`, which is real itself.
fn inside(work_tree: &Path, folder: &Path) -> Option<PathBuf> {
    // Whatever keeps it from being resolved, there is no such folder.
    let real = fs::canonicalize(work_tree.join(folder)).ok()?;
    (real.starts_with(work_tree) && real.is_dir()).then_some(real)
}

fn create(into: &Path) -> Result<PathBuf, GitError> {
    fs::create_dir_all(into).map_err(failure(into, "create a directory"))?;
    fs::canonicalize(into).map_err(failure(into, "resolve a directory"))
}

fn make(directory: &Path) -> Result<(), GitError> {
    fs::create_dir(directory).map_err(failure(directory, "create a directory"))
}

fn failure(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> GitError {
    let path = path.to_owned();
    move |source| GitError::Directory { path, action, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_what_git_means_and_not_what_the_umask_left() {
        let entry = |kind, mode| Entry { path: "x".into(), kind, mode, uid: 0, gid: 0, mtime: (0, 0), link: None };
        assert_eq!(portable_mode(&entry(Kind::File(1), 0o600)), Some(0o644));
        assert_eq!(portable_mode(&entry(Kind::File(1), 0o664)), Some(0o644));
        assert_eq!(portable_mode(&entry(Kind::File(1), 0o700)), Some(0o755));
        assert_eq!(portable_mode(&entry(Kind::Directory, 0o2775)), Some(0o755));
        assert_eq!(portable_mode(&entry(Kind::File(1), 0o644)), None);
        assert_eq!(portable_mode(&entry(Kind::Symlink("y".into()), 0o777)), None);
    }
}
