//! COPY and ADD as their author knows them: owners, modes, heredocs, archives, URLs, repositories, and mistakes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::builder::{Builder, as_everyone};
use crate::support::image::digest_of;
use crate::support::scratch::Person;
use crate::support::tree::{Kind, Tree};
use crate::support::{git, program, web};

/// Mode and owner of what is at `path`.
fn attributes(tree: &Tree, path: &str) -> (u32, u64, u64) {
    let node = tree.at(path);
    (node.mode, node.uid, node.gid)
}

#[test]
fn owners_are_found_in_the_image_and_modes_are_octal_or_symbolic() {
    as_everyone(|builder| {
        builder.scratch.write("context/src/run.sh", "#!/bin/sh\n");
        builder.scratch.write("context/src/sub/text", "text\n");
        let dockerfile = "FROM base\nRUN echo app:x:1001:1002::/: >> /etc/passwd; echo staff:x:50: >> /etc/group\n\
            COPY --chown=app:staff --chmod=u=rwX,go=rX src /symbolic\nCOPY --chmod=0400 src/sub/text /octal\n\
            COPY --chown=:staff src/sub/text /half\nCOPY --chown=7 src/sub/text /number\n";
        builder.build(dockerfile).expect(0);
        let tree = builder.image().tree();
        assert_eq!(attributes(&tree, "symbolic"), (0o755, 1001, 50));
        assert_eq!(attributes(&tree, "symbolic/sub"), (0o755, 1001, 50));
        assert_eq!(attributes(&tree, "symbolic/sub/text"), (0o644, 1001, 50));
        assert_eq!(attributes(&tree, "octal"), (0o400, 0, 0));
        assert_eq!(attributes(&tree, "half"), (0o644, 0, 50));
        assert_eq!(attributes(&tree, "number"), (0o644, 7, 7));
    });
}

#[test]
fn heredocs_are_files() {
    as_everyone(|builder| {
        let dockerfile = "FROM base\nARG NAME=world\nCOPY <<one <<\"two\" /etc/app/\nhello $NAME\none\nhello $NAME\ntwo\n\
            COPY --chmod=+x --chown=3:4 <<EOF /run.sh\n#!/bin/sh\nEOF\nADD <<-EOF /tabs\n\tindented\n\tEOF\n";
        builder.build_with(dockerfile, &["--source-date-epoch", "1700000000"]).expect(0);
        let tree = builder.image().tree();
        assert_eq!(tree.text("etc/app/one"), "hello world\n");
        assert_eq!(tree.text("etc/app/two"), "hello $NAME\n");
        assert_eq!(tree.text("tabs"), "indented\n");
        assert_eq!(attributes(&tree, "etc/app/one"), (0o644, 0, 0));
        assert_eq!(attributes(&tree, "run.sh"), (0o755, 3, 4));
        assert_eq!(tree.at("run.sh").mtime, 1_700_000_000);
    });
}

#[test]
fn parents_exclude_and_link_do_what_they_say() {
    let builder = Builder::new(Person::Me).unwrap();
    for file in ["x/y/a.txt", "x/y/b.md", "x/z/c.txt", "x/z/keep.txt"] {
        builder.scratch.write(&format!("context/{file}"), file);
    }
    let dockerfile = "FROM base\nRUN mkdir /real && ln -s real /link\nCOPY --parents x/y/*.txt /parents/\n\
        COPY --parents ./x/./**/*.txt /pivot/\nCOPY --exclude=z/*.txt --exclude=!z/keep.txt x /exclude\n\
        COPY --exclude=*.md x/y /files/\nCOPY x/y/a.txt /link/\nCOPY --link x/y/b.md /link/\n";
    builder.build(dockerfile).expect(0);
    let files = builder.image().top_layer().files();
    let expected = [
        "exclude/y/a.txt",
        "exclude/y/b.md",
        "exclude/z/keep.txt",
        "files/a.txt",
        "link/b.md",
        "parents/x/y/a.txt",
        "pivot/y/a.txt",
        "pivot/z/c.txt",
        "pivot/z/keep.txt",
        "real/a.txt",
    ];
    assert_eq!(files, expected);
}

/// A tar with files, and links by `name -> target`.
fn archive(entries: &[&str]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_uid(77);
        header.set_gid(78);
        header.set_mode(0o4755);
        let (name, target) = entry.split_once(" -> ").unwrap_or((entry, ""));
        // Names that climb are refused by the crate's own setters.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        if target.is_empty() {
            header.set_size(entry.len() as u64);
            header.set_cksum();
            tar.append(&header, entry.as_bytes()).unwrap();
        } else {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
            header.set_cksum();
            tar.append(&header, &[][..]).unwrap();
        }
    }
    tar.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn archives_are_unpacked_by_add_and_by_nothing_else() {
    as_everyone(|builder| {
        let tar = archive(&["bin/tool", "bin/alias -> tool"]);
        builder.scratch.write("context/a.tar", &tar);
        builder.scratch.write("context/a.tgz", gzip(&tar));
        builder.scratch.write("context/not.tar.gz", gzip(b"no tar"));
        let dockerfile = "FROM base\nADD --chown=5:6 a.tar /plain\nADD a.tgz /gzip/\nADD --unpack=false a.tgz /kept\n\
            COPY a.tar /copied\nADD not.tar.gz /file\n";
        builder.build(dockerfile).expect(0);
        let tree = builder.image().tree();
        for folder in ["plain", "gzip"] {
            assert_eq!(tree.text(&format!("{folder}/bin/tool")), "bin/tool");
            assert_eq!(tree.at(&format!("{folder}/bin/alias")).kind, Kind::Symlink("tool".into()));
            // The archive's own, whatever --chown says, and with its set-id bit.
            assert_eq!(attributes(&tree, &format!("{folder}/bin/tool")), (0o4755, 77, 78));
        }
        assert_eq!(attributes(&tree, "plain"), (0o755, 5, 6));
        assert_eq!(tree.at("copied").kind, Kind::File(tar.clone()));
        assert_eq!(tree.at("kept").kind, Kind::File(gzip(&tar)));
        assert_eq!(tree.at("file").kind, Kind::File(gzip(b"no tar")));
    });
}

#[test]
fn no_archive_writes_outside_its_image() {
    as_everyone(|builder| {
        let outside = builder.scratch.path().join("outside");
        std::fs::create_dir(&outside).unwrap();
        let link = format!("link -> {}", outside.display());
        let tar = archive(&["../../../../../../outside/climbed", &link, "link/through", "/absolute"]);
        builder.scratch.write("context/hostile.tar", &tar);
        // Whether it is refused or kept inside, nothing may be found outside.
        let outcome = builder.build("FROM base\nADD hostile.tar /into/\n");
        assert!(matches!(outcome.code(), Some(0 | 3)), "{:?}", outcome.stderr);
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
        assert!(!std::path::Path::new("/absolute").exists());
    });
}

#[test]
fn a_file_comes_from_a_url_if_its_checksum_is_right() {
    as_everyone(|builder| {
        let content = gzip(&archive(&["tool"]));
        builder.scratch.write("web/dir/a%20b.tgz", &content);
        builder.scratch.write("web/dir/tool.tgz", &content);
        let address = web::serve(builder.scratch.path().join("web"), "127.0.0.1:0").unwrap();
        let url = format!("http://{address}/dir/tool.tgz");
        let digest = digest_of(&content);
        let dockerfile = format!(
            "FROM base\nADD --checksum={digest} {url} /\nADD --chown=3:4 --chmod=644 {url}?x=y /named\n\
             ADD --unpack=true {url} /unpacked\n"
        );
        builder.build(&dockerfile).expect(0).says(&digest);
        let tree = builder.image().tree();
        assert_eq!(tree.at("tool.tgz").kind, Kind::File(content.clone()));
        assert_eq!((attributes(&tree, "tool.tgz"), tree.at("tool.tgz").mtime), ((0o600, 0, 0), 0));
        assert_eq!(attributes(&tree, "named"), (0o644, 3, 4));
        assert_eq!(tree.text("unpacked/tool"), "tool");
        let wrong = format!("FROM base\nADD --checksum=sha256:{} {url} /\n", "0".repeat(64));
        builder.build(&wrong).expect(5).says(&digest);
        builder.build(&format!("FROM base\nADD {url}.none /\n")).expect(3).says("the server answered 404");
        builder.build(&format!("FROM base\nADD http://{address}/ /x/\n")).expect(3);
    });
}

/// A server that says its file is 5000 s old and redirects `/away` to `target`.
fn redirecting(target: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let target = target.to_owned();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap_or(0);
            let answer = if request[..length].starts_with(b"GET /away") {
                format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            } else {
                let date = "Thu, 01 Jan 1970 01:23:20 GMT";
                format!("HTTP/1.1 200 OK\r\nLast-Modified: {date}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            };
            let _sent = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_gateways_rules_hold_for_add_and_for_redirects() {
    let builder = Builder::new(Person::Me).unwrap();
    let away = redirecting("http://nowhere.invalid/");
    let address = redirecting(&format!("http://{away}/file"));
    let allowed = ["--network", "gateway", "--allow-host", &address];
    builder.build_with(&format!("FROM base\nADD http://{address}/file /\n"), &allowed).expect(0);
    assert_eq!(builder.image().tree().at("file").mtime, 5000);
    std::fs::remove_dir_all(builder.scratch.path().join("image")).unwrap();
    let refused = format!("{away} may not be reached");
    let dockerfile = format!("FROM base\nADD http://{away}/file /\n");
    builder.build_with(&dockerfile, &allowed).expect(5).says(&refused);
    let dockerfile = format!("FROM base\nADD http://{address}/away /\n");
    builder.build_with(&dockerfile, &allowed).expect(5).says(&refused);
    builder.build_with("FROM base\nADD git://127.0.0.1:1/x.git /\n", &allowed).expect(5);
}

/// A server of repositories, stopped when dropped.
struct Daemon(Child);

impl Daemon {
    /// Serves the repositories below `base`, or `None` where git has no daemon. Runs the daemon itself: `git daemon`
    /// is its parent, whose end it survives.
    fn start(base: &Path, port: u16) -> Option<Self> {
        let git = Command::new(program("git")?).arg("--exec-path").output().unwrap();
        let daemon = Path::new(String::from_utf8(git.stdout).unwrap().trim()).join("git-daemon");
        if !daemon.exists() {
            return None;
        }
        let started = Command::new(daemon)
            .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
            .arg(format!("--port={port}"))
            .arg(format!("--base-path={}", base.display()))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stderr(Stdio::null())
            .spawn();
        let daemon = Self(started.unwrap());
        let started = Instant::now();
        while TcpStream::connect(format!("127.0.0.1:{port}")).is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "git-daemon does not listen");
            std::thread::yield_now();
        }
        Some(daemon)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ended = self.0.kill();
        let _ended = self.0.wait();
    }
}

#[test]
fn a_repository_is_added_at_its_commit() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.scratch.write("repo/docs/read.me", "docs\n");
    builder.scratch.write("repo/top", "top\n");
    let Some((_, commit)) = git::commit(&builder.scratch, "repo") else { return };
    let port = web::free_port();
    let Some(_daemon) = Daemon::start(builder.scratch.path(), port) else {
        eprintln!("skipped: git comes without git-daemon");
        return;
    };
    let url = format!("git://127.0.0.1:{port}/repo");
    let dockerfile = format!(
        "FROM base\nADD {url} /all\nADD --checksum={} {url}#main:docs /docs\nADD --keep-git-dir=true {url} /kept\n",
        commit.get(..10).unwrap()
    );
    builder.build(&dockerfile).expect(0).says(&commit);
    let tree = builder.image().tree();
    assert_eq!((tree.text("all/top"), tree.text("docs/read.me")), ("top\n".to_owned(), "docs\n".to_owned()));
    assert!(!tree.has("all/.git") && tree.has("kept/.git/HEAD"));
    // 2025-01-02T03:04:05Z, when it was committed.
    assert_eq!(tree.at("all/top").mtime, 1_735_787_045);
    let wrong = format!("FROM base\nADD --checksum=0123 {url} /all\n");
    builder.build(&wrong).expect(3).says("--checksum asks for 0123");
}

#[test]
fn mistakes_are_named() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.scratch.write("context/settings.toml", "");
    for (line, what) in [
        ("COPY setings.toml /", "did you mean settings.toml?"),
        ("COPY *.yaml /", "*.yaml: no such file or directory"),
        ("COPY --chown=nobody-here settings.toml /", "user `nobody-here` is not in the image's /etc/passwd"),
        ("COPY --chown=${NO}:${NO} settings.toml /", "`:` is not a user"),
        ("COPY --chmod=u+q settings.toml /", "`u+q` is no mode"),
        ("COPY --exclude=*.toml settings.toml /", "--exclude leaves nothing of it to copy"),
        ("COPY https://host.invalid/x /", "write ADD for https://host.invalid/x"),
        ("ADD file:///etc/passwd /", "a source has the scheme file://"),
        ("ADD --checksum=sha256:00 settings.toml /", "--checksum is for a single source"),
        ("COPY settings.toml /etc/passwd/", "already exists and is not a directory"),
    ] {
        builder.build(&format!("FROM base\n{line}\n")).expect(3).says(what);
    }
}
