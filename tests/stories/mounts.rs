//! What a RUN step is lent: files, caches, secrets, agents, volumes. It has them, and the image does not.

use std::process::{Child, Command, Stdio};

use crate::support::binary::Outcome;
use crate::support::builder::{Builder, as_everyone};
use crate::support::image::Image;
use crate::support::scratch::Person;
use crate::support::{program, testdata};

/// Every secret of these stories has this in it, put together so that no Dockerfile has it.
const MARK: &str = "hunter";

/// The image has the layers of its base and no other.
#[track_caller]
fn no_new_layer(builder: &Builder) {
    let base = Image::in_layout(testdata("base/oci"), Some("42"));
    assert_eq!(builder.image().layer_digests(), base.layer_digests(), "{:?}", builder.image().top_layer().names());
}

#[test]
fn files_of_stages_and_the_context_are_lent_and_changes_to_them_are_thrown_away() {
    as_everyone(|builder| {
        builder.scratch.write("context/sub/file", "ours\n");
        let dockerfile = r#"FROM base AS one
RUN mkdir -p /d/e && echo one > /d/e/f && ln -s /d/e /link
FROM base
ARG FROM=one
ENV AT=/x
RUN --mount=from=one,source=d,target=$AT/y,rw rm /x/y/e/f && echo new > /x/y/e/g && cat /x/y/e/g
RUN --mount=from=$FROM,source=/d,target=/y test "$(cat /y/e/f)" = one && test ! -e /y/e/g && ! touch /y/h 2>/dev/null
RUN --mount=from=one,source=link/f,target=/file test "$(cat /file)" = one
RUN --mount=from=base,source=etc,target=/base test -e /base/passwd
RUN --mount=target=/c,rw test "$(cat /c/sub/file)" = ours && echo x > /c/sub/file && rm /c/Dockerfile && touch /c/new
RUN --mount=target=/c test "$(cat /c/sub/file)" = ours && test -e /c/Dockerfile && test ! -e /c/new
RUN --mount=source=sub/file,target=a/b/c,rw test "$(cat /a/b/c)" = ours && echo x > /a/b/c
RUN --mount=type=tmpfs,target=/t,size=1m --mount=source=sub,target=/t/deep/er test "$(cat /t/deep/er/file)" = ours
RUN --mount=type=tmpfs,target=/etc,tmpcopyup grep -q root /etc/passwd && touch /etc/gone
"#;
        builder.build(dockerfile).expect(0);
        assert_eq!(std::fs::read_to_string(builder.scratch.at("context/sub/file")).unwrap(), "ours\n");
        no_new_layer(builder);
    });
}

#[test]
fn a_cache_is_there_for_the_next_build_and_belongs_to_an_id_and_an_owner() {
    as_everyone(|builder| {
        let build = |text: &str| {
            let outcome = builder.build(&format!("FROM base\n{text}\n"));
            let _removed = std::fs::remove_dir_all(builder.scratch.path().join("image"));
            outcome.expect(0);
        };
        build("RUN --mount=type=cache,target=/c echo one > /c/file\nRUN test ! -e /c");
        build("RUN --mount=type=cache,target=/c,sharing=locked test \"$(cat /c/file)\" = one && echo two > /c/file");
        build("RUN --mount=type=cache,target=/d,id=/c,sharing=private test \"$(cat /d/file)\" = two");
        build("RUN --mount=type=cache,target=/c,id=other test ! -e /c/file && echo other > /c/file");
        build("RUN --mount=type=cache,target=/c --mount=type=cache,target=/o,id=other cat /c/file /o/file");
        build("RUN --mount=type=cache,target=/c,ro ! touch /c/x 2>/dev/null && test -e /c/file");
        build("RUN --mount=type=cache,target=/c,id=m,mode=0700 test \"$(stat -c %a /c)\" = 700");
    });
}

/// Files of the scratch folder that hold the mark. What whoever runs the story may not read is another id's; root
/// reads it all.
fn betrayed(builder: &Builder) -> Vec<String> {
    let arguments = ["-rlFs", "--exclude=stratum", "--", MARK];
    let found = Command::new("grep").args(arguments).arg(builder.scratch.path()).output().unwrap();
    let found = String::from_utf8(found.stdout).unwrap();
    found.lines().map(|line| line.replace(&builder.scratch.at(""), "")).collect()
}

fn secret_build(builder: &Builder, dockerfile: &str) -> Outcome {
    let given = builder.scratch.write("given", format!("{MARK}-file\n"));
    let context = builder.scratch.context("context", dockerfile);
    let output = format!("oci:{}", builder.scratch.at("image"));
    let (file, record) = (format!("id=file,src={}", given.display()), builder.scratch.at("record.json"));
    let arguments = ["build", "--verbose", "--build-context", &builder.base, "-o", &output, "--record", &record];
    let command = builder.scratch.stratum(&arguments);
    let command = command.args(&["--secret", &file, "--secret", "id=variable,env=GIVEN", &context]);
    command.env("GIVEN", &format!("{MARK}-variable")).run()
}

#[test]
fn a_secret_is_seen_by_its_step_and_found_nowhere_else() {
    as_everyone(|builder| {
        let dockerfile = r#"FROM base
RUN --mount=type=secret,id=file test "$(cut -c1-6 /run/secrets/file | rev)" = retnuh
RUN --mount=type=secret,id=file test "$(stat -c %a /run/secrets/file)" = 400
RUN --mount=type=secret,id=file,target=deep/er,mode=0440 test "$(stat -c %a /deep/er)" = 440
RUN --mount=type=secret,id=file,env=TOKEN test "$(echo $TOKEN | cut -c7-)" = -file && test ! -e /run/secrets
RUN --mount=type=secret,id=variable,env= test "$(echo $variable | cut -c7-)" = -variable
RUN --mount=type=secret,target=/x/variable test "$(cut -c7- /x/variable)" = -variable
RUN --mount=type=secret,id=nobody test ! -e /run/secrets/nobody
RUN ! env | grep -q TOKEN && test ! -e /run/secrets && test ! -e /deep
"#;
        let outcome = secret_build(builder, dockerfile).expect(0);
        assert!(!outcome.stderr.contains(MARK) && !outcome.stdout.contains(MARK), "{outcome}");
        no_new_layer(builder);
        assert_eq!(betrayed(builder), ["given"]);
        let failed =
            secret_build(builder, "FROM base\nRUN --mount=type=secret,id=file,env=T [\"/no/such\"]\n").expect(4);
        assert!(!failed.stderr.contains(MARK), "{failed}");
    });
}

#[test]
fn what_is_required_and_not_given_is_refused_with_the_flag_to_give() {
    let builder = Builder::new(Person::Me).unwrap();
    let outcome = builder.build("FROM base\nRUN true && \\\n  true\nRUN --mount=type=secret,id=s,required true\n");
    outcome.expect(2).says("Dockerfile:4:5").says("give it with --secret id=s,src=FILE");
    let outcome = builder.build("FROM base\nRUN --mount=type=ssh,required=true true\n");
    outcome.expect(2).says("Dockerfile:2:5").says("--ssh default");
    let outcome = builder.build_with("FROM base\nRUN true\n", &["--secret", &format!("id=s,value={MARK}")]).expect(2);
    assert!(!outcome.stderr.contains(MARK), "{outcome}");
    let key = builder.scratch.write("key", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let outcome = builder.build_with("FROM base\nRUN true\n", &["--ssh", &format!("default={}", key.display())]);
    outcome.expect(2).says("start an ssh-agent");
}

#[test]
fn a_mount_where_it_cannot_be_is_refused_by_name() {
    let builder = Builder::new(Person::Me).unwrap();
    let refused = |flag: &str, text: &str| {
        let outcome = builder.build(&format!("FROM base\nRUN ln -s /proc /p\nRUN --mount={flag} true\n"));
        outcome.expect(3).says(text).says("Dockerfile:3:");
    };
    for target in ["/", "/dev", "/proc", "/proc/sys/kernel", "/sys/../sys"] {
        refused(&format!("type=tmpfs,target={target}"), "nothing can be mounted on");
    }
    refused("type=tmpfs,target=/p", "/proc: nothing can be mounted there");
    refused("type=tmpfs,target=/etc/passwd/x", "/etc/passwd/x: cannot be mounted on in the image");
    refused("source=none,target=/x", "none: no such file or directory");
    refused("source=../../../etc/passwd,target=/x", "no such file or directory");
    refused("type=cache", "it needs a target");
    refused("type=bind,target=/x,size=1", "has no option `size`");
}

#[test]
fn what_is_more_than_a_step_may_have_is_refused_or_left_out_aloud() {
    let builder = Builder::new(Person::Me).unwrap();
    builder.build("FROM base\nRUN --security=insecure true\n").expect(5).says("--security=insecure is refused");
    builder
        .build("FROM base\nRUN --device=name=x.example/a=b,required true\n")
        .expect(3)
        .says("--device=x.example/a=b");
    builder.build("FROM base\nRUN --device=x.example/a=b true\n").expect(0).says("it goes on without");
}

#[test]
fn a_heredoc_is_a_script_of_the_shell_or_of_its_own_interpreter() {
    as_everyone(|builder| {
        let dockerfile = r#"FROM base
ARG WHO=arg
RUN <<EOF
set -e
who=shell
echo "$who $WHO" > /shell
EOF
RUN <<-EOF cat > /cat
	tabs are gone
	EOF
RUN <<'EOF'
#!/usr/bin/env -S sh -e
test "$0" = /dev/pipes/EOF
echo "$WHO" > /own
EOF
RUN test ! -e /dev/pipes
SHELL ["/bin/sh", "-xc"]
RUN <<EOF
case $- in *x*) echo traced > /traced;; esac
EOF
"#;
        let dockerfile = dockerfile.replace("/usr/bin/env -S sh -e", "/bin/sh -e");
        builder.build(&dockerfile).expect(0);
        let layer = builder.image().top_layer();
        let text = |name: &str| layer.text(name);
        assert_eq!((text("shell"), text("cat")), ("shell arg\n".to_owned(), "tabs are gone\n".to_owned()));
        assert_eq!((text("own"), text("traced")), ("arg\n".to_owned(), "traced\n".to_owned()));
        assert_eq!(layer.names(), ["cat", "own", "shell", "traced"]);
    });
}

#[test]
fn a_volume_is_in_every_step_and_in_no_layer() {
    as_everyone(|builder| {
        let file = builder.scratch.write("volume/file", "ours\n");
        let folder = builder.scratch.folder("volume");
        // On some rungs a step is another user of this machine.
        for path in [&file, &folder] {
            std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
        }
        let at = folder.display();
        let dockerfile = "FROM base\nRUN cat /v/file /ro/file /file && ! touch /ro/x 2>/dev/null\n\
            RUN echo step > /v/written && rm /o/file && touch /o/x && test -e /v/file\n\
            RUN test -e /o/file && test ! -e /o/x\n";
        let volumes = [format!("{at}:/v:z"), format!("{at}:/ro:ro"), format!("{at}:/o:O"), format!("{at}/file:/file")];
        let flags: Vec<&str> = volumes.iter().flat_map(|volume| ["-v", volume.as_str()]).collect();
        builder.build_with(dockerfile, &flags).expect(0);
        assert_eq!(std::fs::read_to_string(folder.join("written")).unwrap(), "step\n");
        assert_eq!(std::fs::read_to_string(file).unwrap(), "ours\n");
        no_new_layer(builder);
    });
    let builder = Builder::new(Person::Me).unwrap();
    builder.build_with("FROM base\n", &["--volume", "/etc:/e:U"]).expect(2).says("`U`");
}

/// An agent with a fresh key; it ends with this.
struct Agent(Child);

impl Agent {
    fn start(builder: &Builder, socket: &str) -> Option<Self> {
        let (agent, add, keygen) = (program("ssh-agent")?, program("ssh-add")?, program("ssh-keygen")?);
        let mut running = Command::new(agent);
        let child = running.args(["-D", "-a", socket]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let key = builder.scratch.at("key");
        let made = Command::new(keygen).args(["-q", "-t", "ed25519", "-N", "", "-f", &key]).status().unwrap();
        assert!(made.success());
        let started = Self(child);
        // ssh-add itself says when the socket is there.
        let is_added = || {
            let mut command = Command::new(&add);
            command.arg(&key).env("SSH_AUTH_SOCK", socket).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().unwrap().success()
        };
        let added = (0..1000).any(|_| is_added());
        assert!(added, "the agent did not take the key");
        Some(started)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn an_agent_can_be_asked_for_its_keys_by_the_step_that_mounts_it() {
    let builder = Builder::new(Person::Me).unwrap();
    let socket = builder.scratch.at("agent");
    let Some(_agent) = Agent::start(&builder, &socket) else { return };
    // SSH_AGENTC_REQUEST_IDENTITIES; the answer is of kind 12 and says how many keys there are.
    let dockerfile = r#"FROM base
RUN --mount=type=ssh,mode=0666 test "$SSH_AUTH_SOCK" = /run/buildkit/ssh_agent.0 && test -S "$SSH_AUTH_SOCK" && stat -c %a "$SSH_AUTH_SOCK" > /mode
RUN --mount=type=ssh,id=other,target=/a --mount=type=ssh test "$SSH_AUTH_SOCK" = /a && test -S /run/buildkit/ssh_agent.1
RUN test -z "$SSH_AUTH_SOCK" && test ! -e /run/buildkit
"#;
    let context = builder.scratch.context("context", dockerfile);
    let output = format!("oci:{}", builder.scratch.at("image"));
    let arguments = ["build", "--build-context", &builder.base, "-o", &output, "--ssh", "default"];
    let other = format!("other={socket}");
    let command = builder.scratch.stratum(&arguments).args(&["--ssh", &other, &context]);
    command.env("SSH_AUTH_SOCK", &socket).run().expect(0);
    let layer = builder.image().top_layer();
    assert_eq!((layer.text("mode"), layer.names()), ("666\n".to_owned(), vec!["mode".to_owned()]));
}
