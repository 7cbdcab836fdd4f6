//! What a RUN starts, heredocs included.
//!
//! Comes in: the command with its heredocs. Goes out: arguments, and the file that they run where a heredoc brings its
//! own interpreter. Variables in heredocs are the shell's: nothing is expanded here.

use std::path::{Path, PathBuf};

use dockerfile::{Command, Heredoc, Invocation};
use oci::config::ContainerConfig;
use sandbox::InjectedFile;

use crate::config;

/// Where buildah and BuildKit show a script to its step.
const DIRECTORY: &str = "/dev/pipes";

/// What is started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Start {
    pub(crate) argv: Vec<String>,
    /// A script that only this step sees.
    pub(crate) script: Option<InjectedFile>,
}

/// How `command` is started in an image of this config.
pub(crate) fn start(config: &ContainerConfig, command: &Command, heredocs: &[Heredoc]) -> Start {
    match command.invocation(heredocs) {
        Invocation::Exec(argv) => Start { argv, script: None },
        Invocation::Shell(text) => Start { argv: config::argv(config, &Command::Shell(text)), script: None },
        Invocation::Script { name, content } => {
            let target = target(&name);
            let argv = vec![target.display().to_string()];
            let contents = content.into_bytes();
            let script = InjectedFile { target, contents, mode: 0o755, uid: 0, gid: 0, is_dispensable: false };
            Start { argv, script: Some(script) }
        }
    }
}

/// The script's place; a delimiter may hold slashes, which make no file name.
fn target(name: &str) -> PathBuf {
    let is_plain = !name.is_empty() && !name.contains('/') && name != "." && name != "..";
    Path::new(DIRECTORY).join(if is_plain { name } else { "script" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(dockerfile: &str, argv: &[&str], script: Option<(&str, &str)>) {
        let parsed = dockerfile::parse(dockerfile).unwrap();
        let dockerfile::Kind::Run { command, heredocs, .. } = &parsed.instructions[1].kind else { panic!("no RUN") };
        let start = start(&ContainerConfig::default(), command, heredocs);
        assert_eq!(start.argv, argv);
        let found = start.script.map(|file| (file.target, String::from_utf8(file.contents).unwrap()));
        assert_eq!(found, script.map(|(target, text)| (PathBuf::from(target), text.to_owned())));
    }

    #[test]
    fn a_heredoc_alone_is_the_shells_and_one_with_an_interpreter_is_its_own() {
        check("FROM a\nRUN <<EOF\necho $x\nEOF\n", &["/bin/sh", "-c", "echo $x\n"], None);
        check("FROM a\nRUN cat <<EOF >/x\n$x\nEOF\n", &["/bin/sh", "-c", "cat <<EOF >/x\n$x\nEOF"], None);
        let script = "#!/usr/bin/env rev\nabc\n";
        check(&format!("FROM a\nRUN <<EOF\n{script}EOF\n"), &["/dev/pipes/EOF"], Some(("/dev/pipes/EOF", script)));
        check("FROM a\nRUN [\"a\", \"<<EOF\"]\n", &["a", "<<EOF"], None);
    }

    #[test]
    fn a_delimiter_with_a_slash_leads_nowhere_else() {
        assert_eq!(target("../../etc/x"), Path::new("/dev/pipes/script"));
        assert_eq!(target(".."), Path::new("/dev/pipes/script"));
    }
}
