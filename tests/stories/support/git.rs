//! Git repositories made for a story.

use std::process::Command;

use super::program;
use super::scratch::Scratch;

/// Commits the folder `name` of the scratch as it is; the URL of the repository and the commit. Skips aloud without
/// git.
pub(crate) fn commit(scratch: &Scratch, name: &str) -> Option<(String, String)> {
    program("git")?;
    let folder = scratch.at(name);
    let run = |arguments: &[&str]| run(&folder, arguments);
    run(&["init", "-q"]);
    run(&["add", "-A"]);
    run(&["commit", "-q", "-m", "import"]);
    // What a server of a forge has switched on.
    run(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    let commit = run(&["rev-parse", "HEAD"]);
    Some((format!("file://{folder}"), commit))
}

/// Gives the repository `name` of the scratch a branch with the same files and another history.
pub(crate) fn add_branch(scratch: &Scratch, name: &str, branch: &str) {
    let folder = scratch.at(name);
    let commit = run(&folder, &["commit-tree", "HEAD^{tree}", "-m", branch]);
    run(&folder, &["branch", branch, &commit]);
}

fn run(folder: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program("git").unwrap());
    command.args(["-C", folder, "-c", "user.name=Tester", "-c", "user.email=tester@example.org"]);
    command.args(["-c", "init.defaultBranch=main", "-c", "safe.directory=*", "-c", "commit.gpgsign=false"]);
    let time = "2025-01-02T03:04:05Z";
    command.args(arguments).env("GIT_AUTHOR_DATE", time).env("GIT_COMMITTER_DATE", time);
    command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
    let output = command.output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
