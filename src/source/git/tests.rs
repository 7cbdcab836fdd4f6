//! Check-outs from repositories that the `git` program makes here, over files, `git daemon` and plain http.

mod hostile;
mod remote;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::Class;

/// A repository with a work tree, and a place for check-outs.
struct Site {
    directory: TempDir,
}

impl Site {
    /// `None`, said aloud, where there is no git.
    fn new() -> Option<Self> {
        if Command::new("git").arg("--version").stdout(Stdio::null()).status().is_err() {
            eprintln!("skipped: there is no git here");
            return None;
        }
        let site = Self { directory: tempfile::tempdir().unwrap() };
        site.init("repo", &[]);
        Some(site)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn url(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn init(&self, name: &str, arguments: &[&str]) {
        fs::create_dir(self.path(name)).unwrap();
        self.git(name, &[&["init", "--quiet", "--initial-branch=main"], arguments].concat());
    }

    /// Runs git in the repository `name`; what it printed.
    #[track_caller]
    fn git(&self, name: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.path(name))
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@a.example")])
            .envs([("GIT_COMMITTER_NAME", "A"), ("GIT_COMMITTER_EMAIL", "a@a.example")])
            .envs([("GIT_AUTHOR_DATE", "1000000000 +0000"), ("GIT_COMMITTER_DATE", "1700000000 +0200")])
            .output()
            .unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits `content` as `file`; the commit.
    fn commit(&self, name: &str, file: &str, content: &str) -> String {
        let path = self.path(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self.git(name, &["add", "--all"]);
        self.git(name, &["commit", "--quiet", "--message", content]);
        self.git(name, &["rev-parse", "HEAD"])
    }

    fn check_out(&self, url: &str) -> Result<Checkout, GitError> {
        self.check_out_with(url, &options(&|| false))
    }

    fn check_out_with(&self, url: &str, options: &GitOptions<'_>) -> Result<Checkout, GitError> {
        let into = tempfile::tempdir_in(self.directory.path()).unwrap().keep();
        check_out(&GitUrl::recognise(url).unwrap().unwrap(), &into, options)
    }
}

fn options(cancelled: &dyn Fn() -> bool) -> GitOptions<'_> {
    #[expect(clippy::disallowed_methods, reason = "the tests' git is where their caller's is")]
    let path = std::env::var("PATH").unwrap();
    let environment = [("PATH", path.as_str()), ("GIT_CONFIG_GLOBAL", "/dev/null")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    GitOptions {
        environment,
        cancelled,
        deadline: Some(Duration::from_secs(60)),
        with_submodules: false,
        keeps_git_directory: false,
        branch: None,
    }
}

fn read(checkout: &Checkout, file: &str) -> String {
    fs::read_to_string(checkout.directory.join(file)).unwrap()
}

fn short(commit: &str, digits: usize) -> &str {
    commit.get(..digits).unwrap()
}

/// Commits in a checkout's repository.
fn history(checkout: &Checkout) -> usize {
    let directory = checkout.work_tree.parent().unwrap().join("git");
    let output = Command::new("git").arg("--git-dir").arg(directory).args(["rev-list", "--count", "HEAD"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn a_checkout_is_the_commit_its_time_and_nothing_of_git() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "Dockerfile", "old");
    let commit = site.commit("repo", "Dockerfile", "new");
    let checkout = site.check_out(&site.url("repo")).unwrap();
    let expected = Checkout {
        directory: checkout.work_tree.clone(),
        work_tree: checkout.work_tree.clone(),
        commit,
        time: 1_700_000_000,
        repository: site.url("repo"),
        reference: None,
    };
    assert_eq!(checkout, expected);
    let names: Vec<_> = fs::read_dir(&checkout.directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!((names, read(&checkout, "Dockerfile")), (vec!["Dockerfile".into()], "new".to_owned()));
    assert_eq!(history(&checkout), 1);
}

#[test]
fn a_commit_that_is_not_on_its_branch_is_refused() {
    let Some(site) = Site::new() else { return };
    let old = site.commit("repo", "file", "old");
    site.git("repo", &["checkout", "--quiet", "-b", "f42"]);
    let ours = site.commit("repo", "file", "ours");
    let newest = site.commit("repo", "file", "newest");
    site.git("repo", &["checkout", "--quiet", "-b", "topic", &old]);
    let other = site.commit("repo", "file", "not merged");
    let on = |commit: &str, branch: &str| {
        let options = GitOptions { branch: Some(branch.to_owned()), ..options(&|| false) };
        site.check_out_with(&format!("{}#{commit}", site.url("repo")), &options).map(|checkout| checkout.commit)
    };
    for commit in [&newest, &ours, &old] {
        assert_eq!(&on(commit, "f42").unwrap(), commit);
    }
    let error = on(&other, "f42").unwrap_err();
    assert!(matches!(&error, GitError::NotOnBranch { commit, .. } if *commit == other), "{error}");
    assert_eq!(error.class(), Class::Source);
    for branch in ["f43", "--upload-pack=x", "a b"] {
        assert!(matches!(on(&newest, branch), Err(GitError::NoBranch { .. })), "{branch}");
    }
}

#[test]
fn the_git_directory_stays_if_it_is_wanted() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "sub/Dockerfile", "x");
    let commit = site.commit("repo", "file", "x");
    let options = GitOptions { keeps_git_directory: true, ..options(&|| false) };
    let checkout = site.check_out_with(&site.url("repo"), &options).unwrap();
    let git = |arguments: &[&str]| {
        let command = Command::new("git").args(arguments).current_dir(&checkout.work_tree).output().unwrap();
        String::from_utf8(command.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(git(&["rev-parse", "HEAD"]), commit);
    assert_eq!(
        (git(&["status", "--porcelain"]), git(&["remote", "get-url", "origin"])),
        (String::new(), site.url("repo"))
    );
    assert!(!checkout.work_tree.join(".git/FETCH_HEAD").exists() && !checkout.work_tree.join(".git/logs").exists());
}

#[test]
fn branches_tags_references_and_commits_are_found() {
    let Some(site) = Site::new() else { return };
    let first = site.commit("repo", "file", "first");
    site.git("repo", &["tag", "--annotate", "--message=x", "v1"]);
    site.git("repo", &["update-ref", "refs/changes/1", "HEAD"]);
    site.git("repo", &["checkout", "--quiet", "-b", "side/branch"]);
    let second = site.commit("repo", "file", "second");
    site.git("repo", &["checkout", "--quiet", "main"]);
    let third = site.commit("repo", "file", "third");
    let upper = first.to_uppercase();
    for (reference, commit) in [
        ("v1", &first),
        ("refs/tags/v1", &first),
        ("refs/changes/1", &first),
        ("side/branch", &second),
        ("main", &third),
        (first.as_str(), &first),
        (upper.as_str(), &first),
        (short(&first, 7), &first),
        (short(&second, 12), &second),
    ] {
        let checkout = site.check_out(&format!("{}#{reference}", site.url("repo"))).unwrap();
        assert_eq!((&checkout.commit, checkout.reference.as_deref()), (commit, Some(reference)));
    }
}

#[test]
fn a_commit_deep_in_history_is_found_where_asking_for_it_is_forbidden() {
    let Some(site) = Site::new() else { return };
    let first = site.commit("repo", "file", "first");
    for number in 0..70 {
        site.git("repo", &["commit", "--quiet", "--allow-empty", "--message", &number.to_string()]);
    }
    // Protocol 2 gives out anything that is there, protocol 0 only what a name leads to.
    let mut options = options(&|| false);
    let version = site.path("config");
    fs::write(&version, "[protocol]\nversion = 0\n").unwrap();
    options.environment.push(("GIT_CONFIG_GLOBAL".to_owned(), version.display().to_string()));
    let checkout = site.check_out_with(&format!("{}#{first}", site.url("repo")), &options).unwrap();
    assert_eq!((&checkout.commit, read(&checkout, "file")), (&first, "first".to_owned()));
    // It was searched for, not simply given.
    let found = checkout.work_tree.parent().unwrap().join("git/refs/remotes/stratum-source/main");
    assert!(found.exists());
}

#[test]
fn what_does_not_exist_is_the_sources_fault() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let blob = site.git("repo", &["rev-parse", "HEAD:file"]);
    site.git("repo", &["tag", "file-tag", &blob]);
    for reference in ["nothing", "1234567", "0123456789abcdef0123456789abcdef01234567"] {
        let error = site.check_out(&format!("{}#{reference}", site.url("repo"))).unwrap_err();
        assert!(matches!(&error, GitError::NoReference { reference: found, .. } if found == reference), "{error}");
        assert_eq!(error.class(), Class::Source);
    }
    let error = site.check_out(&format!("{}#file-tag", site.url("repo"))).unwrap_err();
    assert!(matches!(error, GitError::NoCommit { .. }), "{error}");
    site.init("empty", &[]);
    let error = site.check_out(&site.url("empty")).unwrap_err();
    assert!(matches!(error, GitError::NoReference { .. }), "{error}");
}

#[test]
fn a_tag_object_is_not_taken_for_the_commit_it_names() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    site.git("repo", &["tag", "--annotate", "--message=x", "v1"]);
    let tag = site.git("repo", &["rev-parse", "v1"]);
    let error = site.check_out(&format!("{}#{tag}", site.url("repo"))).unwrap_err();
    assert!(matches!(error, GitError::WrongCommit { .. }), "{error}");
}

#[test]
fn repositories_that_count_in_sha256_work_too() {
    let Some(site) = Site::new() else { return };
    site.init("sha256", &["--object-format=sha256"]);
    let commit = site.commit("sha256", "file", "x");
    assert_eq!(commit.len(), 64);
    for reference in ["main", &commit, short(&commit, 9)] {
        assert_eq!(site.check_out(&format!("{}#{reference}", site.url("sha256"))).unwrap().commit, commit);
    }
}

#[test]
fn a_folder_is_the_context_and_must_be_inside() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "image/Dockerfile", "FROM scratch");
    for (target, link) in [("/etc", "absolute"), ("../../..", "relative"), ("image", "inside"), ("../git", "beside")] {
        std::os::unix::fs::symlink(target, site.path("repo").join(link)).unwrap();
    }
    site.commit("repo", "file", "x");
    for folder in ["image", "inside", "/image/"] {
        let checkout = site.check_out(&format!("{}#:{folder}", site.url("repo"))).unwrap();
        assert_eq!(checkout.directory, checkout.work_tree.join("image"));
    }
    for folder in ["absolute", "relative", "beside", "missing", "file", "absolute/ssl"] {
        let error = site.check_out(&format!("{}#:{folder}", site.url("repo"))).unwrap_err();
        assert!(matches!(error, GitError::NoSubdirectory { .. }), "{folder}: {error}");
        assert_eq!(error.class(), Class::Source);
    }
}

#[test]
fn missing_programs_cancelling_and_deadlines_are_told_apart() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let url = site.url("repo");
    let class = |options: &GitOptions<'_>| site.check_out_with(&url, options).unwrap_err().class();
    let nowhere = vec![("PATH".to_owned(), "/nonexistent".to_owned())];
    assert_eq!(class(&GitOptions { environment: nowhere, ..options(&|| false) }), Class::Environment);
    assert_eq!(class(&options(&|| true)), Class::Cancelled);
    assert_eq!(class(&GitOptions { deadline: Some(Duration::ZERO), ..options(&|| false) }), Class::TimedOut);
    let error = site.check_out(&site.url("nowhere")).unwrap_err();
    assert!(matches!(error, GitError::Fetch { .. }), "{error}");
    assert_eq!(error.class(), Class::Service);
}

#[test]
fn an_existing_checkout_is_not_mixed_with_another() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let url = GitUrl::recognise(&site.url("repo")).unwrap().unwrap();
    let into = site.path("into");
    check_out(&url, &into, &options(&|| false)).unwrap();
    let error = check_out(&url, &into, &options(&|| false)).unwrap_err();
    assert!(matches!(error, GitError::Directory { .. }), "{error}");
}

#[test]
fn the_context_of_a_clean_work_tree_is_as_old_as_its_commit() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let path: &Path = &site.path("repo");
    let tree = crate::Tree::new(fs::File::open(path).unwrap().into(), path, None);
    assert_eq!(crate::context_time(path, &tree).unwrap(), crate::ContextTime::Commit(1_700_000_000));
    fs::write(path.join("file"), "changed").unwrap();
    assert!(matches!(crate::context_time(path, &tree).unwrap(), crate::ContextTime::Newest(_)));
}
