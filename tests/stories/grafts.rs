//! COPY whose files nobody needs before they are in the layer: they are not copied, and nobody can tell.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::support::builder::{Builder, as_everyone};
use crate::support::scratch::Person;
use crate::support::tree::Tree;

const EPOCH: [&str; 2] = ["--source-date-epoch", "1700000000"];

/// How often a build put the copying off.
fn deferred(log: &str) -> usize {
    log.lines().filter(|line| line.contains("is_deferred=true")).count()
}

/// Builds with copying put off and, because the files are asked for, without: the image must be the same.
#[track_caller]
fn check(builder: &Builder, instructions: &str, times: usize) {
    let dockerfile = format!("FROM base\n{instructions}\n");
    let build = |more: &[&str]| builder.build_with(&dockerfile, &[&EPOCH[..], more].concat()).expect(0);
    let later = build(&["--verbose"]);
    assert_eq!(deferred(&later.stderr), times, "{instructions}:\n{}", later.stderr);
    let layer = builder.image().top_layer().files();
    let tar = builder.scratch.at("tree.tar");
    let now = build(&["-o", &format!("type=tar,dest={tar}")]);
    assert_eq!(later.digest(), now.digest(), "{instructions}");
    let tree = Tree::of_layer(&std::fs::read(&tar).unwrap());
    let missing: Vec<&String> = layer.iter().filter(|file| !file.contains(".wh.") && !tree.has(file)).collect();
    assert_eq!(missing, Vec::<&String>::new(), "{instructions}");
}

fn fill(builder: &Builder) {
    for file in ["src/a", "src/sub/b", "src/sub-/c", "other/d", "one", "two"] {
        builder.scratch.write(&format!("context/{file}"), file);
    }
    // Of nobody else's business, and not to be lost.
    let secret = builder.scratch.write("context/src/secret", "secret");
    std::fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("a", builder.scratch.path().join("context/src/link")).unwrap();
}

#[test]
fn files_that_nobody_needs_are_the_same_in_the_layer() {
    as_everyone(|builder| {
        fill(builder);
        for (instructions, times) in [
            ("COPY src /opt/tree", 1),
            ("WORKDIR /app\nCOPY . .\nWORKDIR /app\nENV a=b\nCMD [\"x\"]", 1),
            ("COPY --chown=7:8 --chmod=u=rwX,go=rX src /opt/tree\nVOLUME /data", 1),
            ("COPY src /one\nCOPY other /two\nADD one two /three/", 3),
            ("COPY --exclude=sub --link src /opt/tree", 1),
            ("COPY --parents src/sub other /opt/tree/", 1),
            ("RUN mkdir -p /app && ln -s /app /link\nCOPY src /link/", 1),
        ] {
            check(builder, instructions, times);
        }
    });
}

#[test]
fn whoever_needs_the_files_finds_them() {
    let builder = Builder::new(Person::Me).unwrap();
    fill(&builder);
    for (instructions, times) in [
        ("COPY src /opt/tree\nRUN test $(cat /opt/tree/sub/b) = src/sub/b && rm /opt/tree/a", 1),
        ("COPY src /opt/tree\nCOPY other /opt/tree/sub/", 1),
        ("COPY src /opt/tree\nCOPY one /opt/tree/link\nCOPY two /opt/tree", 1),
        ("COPY src /opt/tree\nWORKDIR /opt/tree/sub\nCOPY other .", 1),
        ("COPY src /opt/tree\nWORKDIR /opt/tree/sub/new\nCOPY other .", 2),
        ("RUN ln -s /opt/tree/sub /in\nCOPY src /opt/tree\nCOPY one /in/", 1),
        (
            "RUN mkdir /etc/new && mv /etc/passwd /etc/new/ && ln -s new/passwd /etc/passwd\nCOPY --chown=root src /new",
            1,
        ),
        (
            "RUN rm -rf /etc/passwd && mkdir /u && ln -s /u/one /etc/passwd\nCOPY one two /u/\nCOPY --chown=5 src /new",
            2,
        ),
        ("RUN rm /etc/greeting/*\nCOPY one two /etc/greeting/", 0),
        ("RUN echo x > /kept && mkdir /was && echo y > /was/one\nRUN rm /was/one\nCOPY one two /was/", 1),
    ] {
        check(&builder, instructions, times);
    }
    let stages = "FROM base AS one\nCOPY src /opt/tree\nFROM base\nCOPY --from=one /opt/tree /copied\n";
    let built = builder.build_with(stages, &["--verbose"]).expect(0);
    assert_eq!(deferred(&built.stderr), 0);
    assert!(builder.image().top_layer().has("copied/sub/b"));
    for option in ["--layers", "--squash"] {
        let built = builder.build_with("FROM base\nCOPY src /opt/tree\n", &["--verbose", option]).expect(0);
        assert_eq!(deferred(&built.stderr), 0, "{option}");
        assert!(builder.image().top_layer().has("opt/tree/sub/b"), "{option}");
    }
}

#[test]
fn names_of_owners_may_come_from_a_copy() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.scratch.write("context/etc/passwd", "app:x:1001:1002::/:\n");
    builder.scratch.write("context/src/a", "a");
    let dockerfile = "FROM scratch\nCOPY etc /names\nCOPY --chown=app src /new\n";
    builder.build(dockerfile).expect(3);
    let dockerfile = "FROM scratch\nCOPY etc /etc\nCOPY --chown=app src /new\n";
    builder.build(dockerfile).expect(0);
    assert_eq!(builder.image().tree().at("new/a").uid, 1001);
}
