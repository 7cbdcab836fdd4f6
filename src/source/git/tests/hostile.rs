//! Repositories and addresses that try to run or to read something here.

use std::os::unix::fs::symlink;

use super::*;
use crate::{Tree, TreeError};

fn with_submodules(cancelled: &dyn Fn() -> bool) -> GitOptions<'_> {
    GitOptions { with_submodules: true, ..options(cancelled) }
}

#[test]
fn links_in_a_repository_end_inside() {
    let Some(site) = Site::new() else { return };
    symlink("/etc/passwd", site.path("repo").join("Dockerfile")).unwrap();
    site.commit("repo", "file", "x");
    let checkout = site.check_out(&site.url("repo")).unwrap();
    let root = fs::File::open(&checkout.directory).unwrap().into();
    let tree = Tree::new(root, &checkout.directory, None);
    assert!(matches!(tree.open(Path::new("Dockerfile")), Err(TreeError::Missing { .. })));
}

#[test]
fn attributes_start_no_filter_and_hooks_and_templates_do_not_run() {
    let Some(site) = Site::new() else { return };
    let mark = site.path("mark");
    let touch = format!("#!/bin/sh\ntouch '{}'\n", mark.display());
    site.commit("repo", ".gitattributes", "* filter=evil\n*.txt text eol=lf\n");
    site.commit("repo", ".git-hooks/post-checkout", &touch);
    site.commit("repo", ".gitconfig", &format!("[filter \"evil\"]\nsmudge = touch '{}'\n", mark.display()));
    // Even a person's own configuration gets no hook to run here.
    let (template, config) = (site.path("template"), site.path("config"));
    fs::create_dir_all(template.join("hooks")).unwrap();
    fs::write(template.join("hooks/post-checkout"), &touch).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(template.join("hooks/post-checkout"), mode).unwrap();
    fs::write(&config, format!("[init]\ntemplateDir = {0}\n[core]\nhooksPath = {0}/hooks\n", template.display()))
        .unwrap();
    let mut options = options(&|| false);
    options.environment.retain(|(name, _)| name != "GIT_CONFIG_GLOBAL");
    options.environment.push(("GIT_CONFIG_GLOBAL".to_owned(), config.display().to_string()));
    let checkout = site.check_out_with(&site.url("repo"), &options).unwrap();
    assert_eq!((read(&checkout, ".git-hooks/post-checkout"), mark.exists()), (touch, false));
}

#[test]
fn a_callers_git_variables_cannot_point_elsewhere() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let mut options = options(&|| false);
    for (name, value) in [
        ("GIT_DIR", "/nonexistent"),
        ("GIT_INDEX_FILE", "/nonexistent/index"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_PARAMETERS", "'core.bare=true'"),
        ("GIT_OBJECT_DIRECTORY", "/nonexistent"),
    ] {
        options.environment.push((name.to_owned(), value.to_owned()));
    }
    assert_eq!(read(&site.check_out_with(&site.url("repo"), &options).unwrap(), "file"), "x");
}

#[test]
fn other_protocols_are_not_spoken_even_when_configuration_leads_there() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let (mark, config) = (site.path("mark"), site.path("config"));
    let evil = format!("ext::sh -c touch% {}", mark.display());
    let here = site.url("repo");
    for (url, target) in [("https://git.example/a.git", evil.as_str()), ("https://git.example/a.git", &here)] {
        let text = format!("[url \"{target}\"]\ninsteadOf = {url}\n[protocol \"ext\"]\nallow = always\n");
        fs::write(&config, text).unwrap();
        let mut options = options(&|| false);
        options.environment.retain(|(name, _)| name != "GIT_CONFIG_GLOBAL");
        options.environment.push(("GIT_CONFIG_GLOBAL".to_owned(), config.display().to_string()));
        let error = site.check_out_with(url, &options).unwrap_err();
        assert!(error.to_string().contains("not allowed"), "{error}");
    }
    assert!(!mark.exists());
}

#[test]
fn submodules_stay_empty_unless_asked_for_and_never_come_from_files() {
    let Some(site) = Site::new() else { return };
    site.init("secret", &[]);
    site.commit("secret", "file", "secret");
    let secret = site.path("secret").display().to_string();
    site.git("repo", &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &secret, "sub"]);
    for url in [site.url("secret"), secret, "ext::sh -c id".to_owned(), "../secret".to_owned()] {
        site.git("repo", &["config", "--file", ".gitmodules", "submodule.sub.url", &url]);
        site.commit("repo", "url", &url);
        let plain = site.check_out(&site.url("repo")).unwrap();
        assert_eq!(fs::read_dir(plain.directory.join("sub")).unwrap().count(), 0);
        let error = site.check_out_with(&site.url("repo"), &with_submodules(&|| false)).unwrap_err();
        assert!(matches!(&error, GitError::ForbiddenSubmodule { .. }), "{error}");
        assert_eq!(error.class(), Class::Source);
    }
}

#[test]
fn cancelling_ends_git_and_what_it_started() {
    let Some(site) = Site::new() else { return };
    // A server that accepts and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/a.git", listener.local_addr().unwrap());
    let asked = std::cell::Cell::new(0);
    let cancelled = || {
        asked.set(asked.get() + 1);
        asked.get() > 20
    };
    let error = site.check_out_with(&url, &options(&cancelled)).unwrap_err();
    assert_eq!(error.class(), Class::Cancelled);
    let patient = GitOptions { deadline: Some(Duration::from_millis(300)), ..options(&|| false) };
    assert_eq!(site.check_out_with(&url, &patient).unwrap_err().class(), Class::TimedOut);
}

#[test]
fn trees_that_stand_for_more_files_than_a_disk_takes_are_not_checked_out() {
    let Some(site) = Site::new() else { return };
    site.commit("repo", "file", "x");
    let blob = site.git("repo", &["rev-parse", "HEAD:file"]);
    let mut inner = format!("100644 blob {blob}");
    for _ in 0..8 {
        let lines: String = (0..10).map(|number| format!("{inner}\t{number}\n")).collect();
        fs::write(site.path("lines"), lines).unwrap();
        let script = format!("git mktree < '{}'", site.path("lines").display());
        let made = Command::new("sh").args(["-c", &script]).current_dir(site.path("repo")).output().unwrap();
        inner = format!("040000 tree {}", String::from_utf8(made.stdout).unwrap().trim());
    }
    let tree = inner.rsplit(' ').next().unwrap();
    let commit = site.git("repo", &["commit-tree", "-m", "bomb", tree]);
    site.git("repo", &["reset", "--quiet", "--soft", &commit]);
    let error = site.check_out(&site.url("repo")).unwrap_err();
    assert!(matches!(&error, GitError::TooMuch { what: "files", .. }), "{error}");
    assert_eq!(error.class(), Class::Source);
}
