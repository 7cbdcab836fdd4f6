//! Servers: `git daemon`, and files over http as the oldest servers give them.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::sync::{Arc, Mutex};
use std::thread;

use super::*;

/// Ends with the test.
struct Daemon(Child, u16);

impl Drop for Daemon {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// `git daemon` for all repositories of a site; `None`, said aloud, where it is not installed.
fn daemon(site: &Site) -> Option<Daemon> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // Not through `git`, which would leave the daemon behind when it is killed.
    let program = PathBuf::from(site.git("repo", &["--exec-path"])).join("git-daemon");
    let mut child = Command::new(program)
        .args(["--listen=127.0.0.1", &format!("--port={port}"), "--export-all", "--reuseaddr"])
        .arg(format!("--base-path={}", site.directory.path().display()))
        .arg(site.directory.path())
        .stderr(Stdio::null())
        .spawn()
        .inspect_err(|_| eprintln!("skipped: there is no git daemon here"))
        .ok()?;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(child.try_wait().unwrap().is_none(), "git daemon ended");
        thread::yield_now();
    }
    Some(Daemon(child, port))
}

#[test]
fn a_daemon_gives_out_branches_and_commits() {
    let Some(site) = Site::new() else { return };
    let first = site.commit("repo", "file", "first");
    let second = site.commit("repo", "file", "second");
    let Some(daemon) = daemon(&site) else { return };
    let url = format!("git://127.0.0.1:{}/repo", daemon.1);
    assert_eq!(site.check_out(&url).unwrap().commit, second);
    let checkout = site.check_out(&format!("{url}#{first}")).unwrap();
    assert_eq!((read(&checkout, "file"), history(&checkout)), ("first".to_owned(), 1));
    let error = site.check_out(&format!("git://127.0.0.1:{}/none", daemon.1)).unwrap_err();
    assert!(matches!(error, GitError::Fetch { .. }), "{error}");
}

#[test]
fn submodules_come_over_the_network_and_leave_no_link() {
    let Some(site) = Site::new() else { return };
    site.init("part", &[]);
    site.commit("part", "file", "part 1");
    site.commit("part", "file", "part 2");
    let Some(daemon) = daemon(&site) else { return };
    let base = format!("git://127.0.0.1:{}", daemon.1);
    site.git("repo", &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", "../part", "sub"]);
    site.git("repo/sub", &["checkout", "--quiet", "HEAD~1"]);
    site.commit("repo", "file", "x");
    let options = GitOptions { with_submodules: true, ..options(&|| false) };
    let checkout = site.check_out_with(&format!("{base}/repo"), &options).unwrap();
    assert_eq!(read(&checkout, "sub/file"), "part 1");
    assert!(!checkout.directory.join("sub/.git").exists());
}

/// Serves the files below `root` to who gives the right `Authorization`; what was asked for.
fn dumb(root: PathBuf, authorization: Option<&'static str>) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&seen);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let lines: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let target = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
            let path = root.join(target.split('?').next().unwrap().trim_start_matches('/'));
            let is_known = authorization.is_none_or(|value| {
                lines.iter().any(|line| line.eq_ignore_ascii_case(&format!("authorization: Basic {value}")))
            });
            log.lock().unwrap().push(target);
            let (status, body) = match (is_known, fs::read(path)) {
                (false, _) => ("401 No\r\nWWW-Authenticate: Basic realm=\"x\"", Vec::new()),
                (true, Ok(body)) => ("200 OK", body),
                (true, Err(_)) => ("404 No", Vec::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            // Who hangs up is part of the test.
            drop(stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)));
        }
    });
    (port, seen)
}

/// A site with three commits and what a plain file server needs; `None` where git speaks no http.
fn plain_files() -> Option<(Site, [String; 3])> {
    let site = Site::new()?;
    let exec_path = PathBuf::from(site.git("repo", &["--exec-path"]));
    if !exec_path.join("git-remote-http").exists() {
        eprintln!("skipped: git speaks no http here");
        return None;
    }
    let commits = ["first", "second", "third"].map(|content| site.commit("repo", "file", content));
    site.git("repo", &["update-server-info"]);
    Some((site, commits))
}

#[test]
fn plain_file_servers_give_everything_and_that_is_enough() {
    let Some((site, [first, second, third])) = plain_files() else { return };
    let (port, _) = dumb(site.path("repo"), None);
    for (reference, commit) in [("main", &third), (&first, &first), (short(&second, 8), &second)] {
        let checkout = site.check_out(&format!("http://127.0.0.1:{port}/.git#{reference}")).unwrap();
        assert_eq!(&checkout.commit, commit);
    }
}

#[test]
fn credentials_reach_their_server_and_no_message() {
    let Some((site, [_, _, third])) = plain_files() else { return };
    // user:hunter@2
    let (port, _) = dumb(site.path("repo"), Some("dXNlcjpodW50ZXJAMg=="));
    let checkout = site.check_out(&format!("http://user:hunter%402@127.0.0.1:{port}/.git")).unwrap();
    assert_eq!((checkout.commit, checkout.repository), (third, format!("http://127.0.0.1:{port}/.git")));
    let error = site.check_out(&format!("http://user:hunter3@127.0.0.1:{port}/.git")).unwrap_err();
    assert_eq!(error.class(), Class::Service);
    assert!(!format!("{error} {error:?}").contains("hunter3"), "{error}");
    // Nobody is asked.
    let error = site.check_out(&format!("http://127.0.0.1:{port}/.git")).unwrap_err();
    assert!(matches!(error, GitError::Fetch { .. }), "{error}");
    // token:
    let (port, _) = dumb(site.path("repo"), Some("dG9rZW46"));
    site.check_out(&format!("http://token@127.0.0.1:{port}/.git")).unwrap();
}

#[test]
fn credentials_do_not_follow_to_another_server() {
    let Some((site, _)) = plain_files() else { return };
    let (other, seen) = dumb(site.path("repo"), Some("dXNlcjpodW50ZXI="));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            let target = lines.next().unwrap_or_default().split(' ').nth(1).unwrap_or_default().to_owned();
            lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
            let answer = format!(
                "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:{other}{target}\r\n\
                 Content-Length: 0\r\nConnection: close\r\n\r\n"
            );
            // Who hangs up is part of the test.
            drop(stream.write_all(answer.as_bytes()));
        }
    });
    let error = site.check_out(&format!("http://user:hunter@127.0.0.1:{port}/.git")).unwrap_err();
    assert!(matches!(error, GitError::Fetch { .. }), "{error}");
    // It was asked, and answered 401 to what came without credentials.
    assert!(!seen.lock().unwrap().is_empty());
}
