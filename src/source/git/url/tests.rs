use super::*;

#[track_caller]
fn parsed(text: &str) -> GitUrl {
    GitUrl::recognise(text).unwrap().unwrap()
}

#[track_caller]
fn check(text: &str, repository: &str, reference: Option<&str>, folder: Option<&str>) {
    let url = parsed(text);
    assert_eq!((url.repository(), url.reference()), (repository, reference));
    assert_eq!(url.subdirectory(), folder.map(Path::new));
}

#[test]
fn the_forms_that_docker_and_buildah_take_are_git() {
    let plain = "https://git.example/a/b.git";
    check(plain, plain, None, None);
    check("https://git.example/a/b.git#v1", plain, Some("v1"), None);
    check("https://git.example/a/b.git#v1:dir/sub", plain, Some("v1"), Some("dir/sub"));
    check("https://git.example/a/b.git#:dir", plain, None, Some("dir"));
    check("https://git.example/a/b.git#", plain, None, None);
    check("https://git.example/a/b#main", "https://git.example/a/b", Some("main"), None);
    check("git://git.example/a", "git://git.example/a", None, None);
    check("ssh://git@git.example:22/~/a#x", "ssh://git@git.example:22/~/a", Some("x"), None);
    check("git@git.example:a/b.git#x:y", "git@git.example:a/b.git", Some("x"), Some("y"));
    check("file:///srv/a b.git".replace(' ', "%20").as_str(), "file:///srv/a%20b.git", None, None);
    check("github.com/a/b#main", "https://github.com/a/b", Some("main"), None);
    check("HTTPS://git.example/a.git", "https://git.example/a.git", None, None);
}

#[test]
fn folders_are_cleaned_and_stay_inside() {
    let plain = "https://git.example/a.git";
    check("https://git.example/a.git#x:/dir/./sub/", plain, Some("x"), Some("dir/sub"));
    check("https://git.example/a.git#x:.", plain, Some("x"), None);
    for text in ["..", "a/../..", "/..", "a/../b"] {
        let error = GitUrl::recognise(&format!("{plain}#x:{text}")).unwrap().unwrap_err();
        assert!(matches!(error, GitUrlError::Subdirectory { .. }), "{text}");
    }
}

#[test]
fn everything_else_is_not_git() {
    let others = [
        ".",
        "-",
        "",
        "dir",
        "./a@b:c",
        "/srv/a.git",
        "dir.git",
        "https://host.example/a.tar.gz",
        "--upload-pack=x",
        "-o@host:path",
        "ext::sh -c id",
        "docker://host.example/a",
        "a:b",
        "@host:path",
        "http://host.example/",
    ];
    for text in others {
        assert!(GitUrl::recognise(text).is_none(), "{text}");
    }
}

#[test]
fn what_git_or_ssh_could_take_for_an_option_is_refused() {
    let hostile = [
        "ssh://-oProxyCommand=id/a",
        "ssh://-oProxyCommand=id@host.example/a",
        "git@-oProxyCommand.example:a",
        "git@host.example:--upload-pack=id",
        "git@host.example:",
        "git://host.example/a#--upload-pack=id",
        "git://host.example/a#+refs/*:refs/*",
        "git://host.example/a%0ahost=b",
        "git://host.example",
        "git://user:pass@host.example/a",
        "https://host.example/a b.git",
        "https://user%0a@host.example/a.git",
        "https:///a.git",
        "file://host/a.git",
        "file://a",
    ];
    for text in hostile {
        let found = GitUrl::recognise(text);
        // `https:///a.git` is a URL with the host `a.git` to browsers, and then has no path.
        assert!(found.unwrap().is_err(), "{text}");
    }
}

#[test]
fn credentials_are_kept_and_never_shown() {
    let url = parsed("https://us%65r:hunter%402@git.example:8443/a.git#v1:x");
    assert_eq!(url.to_string(), "https://git.example:8443/a.git#v1:x");
    assert!(!format!("{url:?}").contains("hunter"));
    let credentials = url.credentials().unwrap();
    assert_eq!(credentials.user.reveal(), "user");
    assert_eq!(credentials.password.as_ref().unwrap().reveal(), "hunter@2");
    let error = GitUrl::recognise("https://user:hunter2@git.example/a b.git").unwrap().unwrap_err();
    assert_eq!(
        error.to_string(),
        "https://***@git.example/a b.git: not the address of a git repository: \
         it holds a blank, a backslash or a control character"
    );
}

#[test]
fn only_a_whole_commit_id_pins_a_source() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    assert!(parsed(&format!("https://git.example/a.git#{id}")).is_pinned());
    assert!(!parsed("https://git.example/a.git#0123456").is_pinned());
    assert!(!parsed("https://git.example/a.git").is_pinned());
}
