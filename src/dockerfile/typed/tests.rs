//! Tests of typed instructions; what is refused is in `testdata/dockerfile`.

use std::time::Duration;

use super::*;
use crate::Escape;
use crate::expand;
use crate::instruction::{Device, Healthcheck, InlineFile, Invocation, Network, Probe, RunFlags, Security, Separator};

/// The only instruction of `text`.
#[track_caller]
fn only(text: &str) -> Instruction {
    let mut instructions = parse(text).unwrap().instructions;
    assert_eq!(instructions.len(), 1);
    instructions.remove(0)
}

#[track_caller]
fn check_run(text: &str, expected: Invocation) {
    let Kind::Run { command, heredocs, .. } = only(text).kind else { panic!("{text}") };
    assert_eq!(command.invocation(&heredocs), expected, "{text}");
}

fn word(raw: &str, start: usize, end: usize) -> Word {
    Word { raw: raw.to_owned(), span: Span::new(start, end) }
}

#[test]
fn from_has_a_platform_an_image_and_a_name() {
    assert_eq!(
        only("FROM --platform=linux/arm64 base as Name").kind,
        Kind::From {
            platform: Some(word("linux/arm64", 5, 27)),
            image: word("base", 28, 32),
            name: Some(word("Name", 36, 40)),
        }
    );
}

#[test]
fn arg_has_names_with_and_without_defaults() {
    assert_eq!(
        only("ARG A B='x y' C=").kind,
        Kind::Arg(vec![
            ArgDecl { name: word("A", 4, 5), value: None },
            ArgDecl { name: word("B", 6, 7), value: Some(word("'x y'", 8, 13)) },
            ArgDecl { name: word("C", 14, 15), value: Some(word("", 16, 16)) },
        ])
    );
}

#[test]
fn env_keeps_its_order_and_its_form() {
    let pair = |key, value, separator| Pair { key, value, separator };
    assert_eq!(
        only("ENV Z=1 A=$Z").kind,
        Kind::Env(vec![
            pair(word("Z", 4, 5), word("1", 6, 7), Separator::Equals),
            pair(word("A", 8, 9), word("$Z", 10, 12), Separator::Equals),
        ])
    );
    assert_eq!(only("ENV A b c").kind, Kind::Env(vec![pair(word("A", 4, 5), word("b c", 6, 9), Separator::Blank)]));
}

#[test]
fn run_has_its_flags() {
    let text = "RUN --network=none --security=insecure --device=vendor.com/x=y,required --mount=type=tmpfs,target=/t --mount=from=b,target=/u cmd";
    let Kind::Run { flags, command, .. } = only(text).kind else { panic!() };
    assert_eq!(command, Command::Shell("cmd".into()));
    let RunFlags { mounts, network, security, devices } = flags;
    assert_eq!((network, security), (Network::None, Security::Insecure));
    assert_eq!(devices, [Device { name: "vendor.com/x=y".into(), is_required: true, span: Span::new(39, 71) }]);
    assert_eq!(mounts[0].fields, ["type=tmpfs", "target=/t"]);
    assert_eq!(mounts[1].from(), Some("b"));
}

#[test]
fn a_command_is_a_text_or_a_list() {
    assert_eq!(only("CMD a  \"b\"").kind, Kind::Cmd(Command::Shell("a  \"b\"".into())));
    assert_eq!(
        only("ENTRYPOINT [\"a\", \"b c\"]").kind,
        Kind::Entrypoint(Command::Exec(vec!["a".into(), "b c".into()]))
    );
    assert_eq!(only("ENTRYPOINT []").kind, Kind::Entrypoint(Command::Exec(vec![])));
    assert_eq!(
        only("RUN").kind,
        Kind::Run { flags: RunFlags::default(), command: Command::Shell(String::new()), heredocs: vec![] }
    );
}

#[test]
fn a_heredoc_alone_is_the_script() {
    check_run("RUN <<EOF\na\nb\nEOF\n", Invocation::Shell("a\nb\n".into()));
    check_run("RUN <<-EOF\n\ta\n\tEOF\n", Invocation::Shell("a\n".into()));
    check_run(
        "RUN <<-X\n\t#!/bin/x\n\ta\nX\n",
        Invocation::Script { name: "X".into(), content: "#!/bin/x\na\n".into() },
    );
    check_run("RUN <<EOF\nEOF\n", Invocation::Shell(String::new()));
}

#[test]
fn a_heredoc_for_a_program_goes_through_the_shell() {
    check_run(
        "RUN python3 <<'E' - && cat <<-F\na\nE\n\tb\n\tF\n",
        Invocation::Shell("python3 <<'E' - && cat <<-F\na\nE\n\tb\nF".into()),
    );
    check_run("RUN [\"a\"]", Invocation::Exec(vec!["a".into()]));
}

#[test]
fn copy_has_paths_and_files_of_its_own() {
    let text = "COPY --from=b --chown=1:2 --chmod=u+x --link --parents=false --exclude=x --exclude=y a <<-F <<'G' /d/\n\t$A\nF\n$B\nG\n";
    let Kind::Copy(spec) = only(text).kind else { panic!() };
    let raw = |word: &Option<Word>| word.as_ref().map(|word| word.raw.clone());
    assert_eq!(raw(&spec.from).as_deref(), Some("b"));
    assert_eq!(raw(&spec.chown).as_deref(), Some("1:2"));
    assert_eq!(raw(&spec.chmod).as_deref(), Some("u+x"));
    assert!(spec.link && !spec.parents);
    assert_eq!(spec.exclude.iter().map(|word| word.raw.as_str()).collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(spec.sources, [word("a", 85, 86)]);
    assert_eq!(spec.dest, word("/d/", 98, 101));
    let file = |name: &str, content: &str, expand, start, end| InlineFile {
        name: name.to_owned(),
        content: content.to_owned(),
        expand,
        span: Span::new(start, end),
    };
    assert_eq!(spec.inline, [file("F", "$A\n", true, 87, 91), file("G", "$B\n", false, 92, 97)]);
    assert_eq!(expand::body(&spec.inline[0].content, &|_| Some("x".into())).unwrap(), "x\n");
}

#[test]
fn add_knows_what_was_not_given() {
    let Kind::Add(spec) = only("ADD --keep-git-dir --checksum=sha256:0 --chown= http://h/f /d").kind else { panic!() };
    assert_eq!((spec.keep_git_dir, spec.unpack, spec.chown), (Some(true), None, None));
    assert_eq!(spec.checksum.unwrap().raw, "sha256:0");
}

#[test]
fn a_healthcheck_has_durations() {
    let text = "HEALTHCHECK --interval=1m30.5s --timeout=0 --start-period=1h2ms --retries=3 CMD [\"x\"]";
    assert_eq!(
        only(text).kind,
        Kind::Healthcheck(Healthcheck::Probe(Probe {
            command: Command::Exec(vec!["x".into()]),
            interval: Some(Duration::from_millis(90_500)),
            timeout: None,
            start_period: Some(Duration::from_millis(3_600_002)),
            start_interval: None,
            retries: Some(3),
        }))
    );
    assert_eq!(only("HEALTHCHECK none").kind, Kind::Healthcheck(Healthcheck::None));
    for bad in ["1", "-1s", "1x", "s", "1s2", ".s", "999999999h", "1e3s", ""] {
        let text = format!("HEALTHCHECK --interval=\"{bad}\" CMD x");
        assert_eq!(parse(&text).is_ok(), bad.is_empty(), "{bad}");
    }
    for bad in ["-1", "x", "2147483648"] {
        assert!(parse(&format!("HEALTHCHECK --retries={bad} CMD x")).is_err(), "{bad}");
    }
}

#[test]
fn onbuild_holds_an_instruction_that_can_be_written_again() {
    let onbuild = only("onbuild  copy --from=x <<E \\\n /d\n a\nE\n");
    let Kind::Onbuild(inner) = onbuild.kind else { panic!() };
    assert_eq!(inner.expression(), "copy --from=x <<E  /d\n a\nE");
    assert_eq!((inner.first_line, inner.last_line), (1, 4));
    assert_eq!(only(&inner.expression()).heredocs()[0].content, " a\n");
}

#[test]
fn the_escape_directive_is_kept_for_expansion() {
    assert_eq!(parse("# escape=`\nFROM a").unwrap().escape(), Escape::Backtick);
}

#[test]
fn a_diagnostic_has_a_place_and_help() {
    let diagnostic = parse("FROM a\nRUN <<EOF\n").unwrap_err().diagnostic();
    assert_eq!(diagnostic.message, "heredoc `EOF` is not terminated");
    assert_eq!(diagnostic.help.as_deref(), Some("end it with a line that holds only `EOF`"));
    assert_eq!(diagnostic.span, Span::new(7, 16));
}
