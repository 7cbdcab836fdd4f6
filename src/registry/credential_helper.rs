//! Programs that keep credentials: `docker-credential-NAME` (docker-credential-helpers, "Development").
//!
//! Comes in: a helper's name and a registry. Goes out: the login it has, if it has one. The program is given little
//! time and little room, and what it says of secrets is shown to nobody.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use http::Secret;
use serde::Deserialize;

use crate::credentials::Login;

/// How long a helper may take: some ask a server.
const TIME: Duration = Duration::from_secs(30);
/// Bytes of the longest answer.
const MAX_ANSWER: u64 = 64 << 10;
/// Characters of what it says on stderr that are shown.
const SHOWN: usize = 300;
/// What helpers print when they have nothing, and end with an error.
const NOTHING: &str = "credentials not found";
/// The user that stands for an identity token.
const TOKEN_USER: &str = "<token>";

/// Why a helper did not help.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HelperError {
    /// A name that leads elsewhere.
    #[error("`{helper}` is not the name of a credential helper: letters, digits, dots, dashes and underscores")]
    Name {
        /// The name.
        helper: String,
    },
    /// There is no such program, or it cannot be started.
    #[error("docker-credential-{helper} cannot be run ({why}): install it, or log in without a helper")]
    Start {
        /// The name.
        helper: String,
        /// What the kernel said.
        why: String,
    },
    /// It ended with an error.
    #[error("docker-credential-{helper} failed for {server}: {said}")]
    Failed {
        /// The name.
        helper: String,
        /// The registry.
        server: String,
        /// What it said.
        said: String,
    },
    /// It took too long.
    #[error("docker-credential-{helper} gave no answer for {server} within {} s", TIME.as_secs())]
    Late {
        /// The name.
        helper: String,
        /// The registry.
        server: String,
    },
    /// Its answer is none. It is not shown.
    #[error("docker-credential-{helper} gave no usable answer for {server}")]
    Answer {
        /// The name.
        helper: String,
        /// The registry.
        server: String,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What a helper printed.
struct Output {
    is_success: bool,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

/// Asks `helper` for the login at `server`. The program is looked for in `folder`, or else in PATH.
pub(crate) fn get(helper: &str, server: &str, folder: Option<&Path>) -> Result<Option<Login>, HelperError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if helper.is_empty() || !helper.chars().all(is_plain) {
        return Err(HelperError::Name { helper: helper.to_owned() });
    }
    let name = format!("docker-credential-{helper}");
    let program = folder.map_or_else(|| name.clone().into(), |folder| folder.join(&name));
    let spawned =
        Command::new(program).arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let start = |error: std::io::Error| HelperError::Start { helper: helper.to_owned(), why: error.to_string() };
    let output = run(spawned.map_err(start)?, server).map_err(start)?;
    let (helper, server) = (helper.to_owned(), server.to_owned());
    let Some(output) = output else { return Err(HelperError::Late { helper, server }) };
    if output.is_success {
        let answer: Answer =
            serde_json::from_slice(&output.stdout).map_err(|_| HelperError::Answer { helper, server })?;
        return Ok(Some(login(answer)));
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if said.contains(NOTHING) {
        return Ok(None);
    }
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SHOWN).collect();
    Err(HelperError::Failed { helper, server, said })
}

fn login(answer: Answer) -> Login {
    let secret = Secret::new(answer.secret);
    if answer.username == TOKEN_USER {
        Login::Identity(secret)
    } else {
        Login::Password { user: answer.username, password: secret }
    }
}

/// Gives the server's name to the program and waits for its end; none if that does not come in time.
fn run(mut child: Child, server: &str) -> std::io::Result<Option<Output>> {
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not want to know says why it fails itself.
        drop(stdin.write_all(server.as_bytes()));
    }
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (send, done) = mpsc::channel();
    // The thread ends with the program, which is killed below at the latest; a grandchild that holds on to the
    // pipes keeps the thread, and nothing else.
    thread::Builder::new().name("credential-helper".to_owned()).spawn(move || {
        let error = stderr.map(|stderr| thread::spawn(move || read(stderr)));
        let stdout = stdout.map(read).unwrap_or_default();
        let stderr = error.and_then(|thread| thread.join().ok()).unwrap_or_default();
        drop(send.send((stdout, stderr)));
    })?;
    let Ok((stdout, stderr)) = done.recv_timeout(TIME) else {
        child.kill()?;
        child.wait()?;
        return Ok(None);
    };
    Ok(Some(Output { is_success: child.wait()?.success(), stdout, stderr }))
}

fn read(from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What was read before an error is all there is to go by.
    drop(from.take(MAX_ANSWER).read_to_end(&mut bytes));
    bytes
}

#[cfg(test)]
pub(crate) mod testing {
    use std::path::Path;
    use std::process::Command;

    /// Makes a program of a script. Another process writes it: a child that another test starts meanwhile would hold
    /// our descriptor for a moment, and a file that is open for writing cannot be executed.
    pub(crate) fn install(script: &str, path: &Path) {
        let text = path.with_extension("text");
        std::fs::write(&text, script).unwrap();
        assert!(Command::new("install").args(["-m", "755"]).args([&text, path]).status().unwrap().success());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: Result<Option<Login>, &str>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        testing::install(&format!("#!/bin/sh\n{script}\n"), &path);
        let got = get("test", "r.example", Some(folder.path()));
        assert_eq!(got.map_err(|error| error.to_string()), expected.map_err(str::to_owned));
    }

    #[test]
    fn a_helper_gives_a_password_a_token_or_nothing() {
        let password = Login::Password { user: "u".to_owned(), password: Secret::new("p") };
        check(r#"read s; echo "{\"ServerURL\":\"$s\",\"Username\":\"u\",\"Secret\":\"p\"}""#, Ok(Some(password)));
        let token = Login::Identity(Secret::new("t"));
        check(r#"echo '{"ServerURL":"r","Username":"<token>","Secret":"t"}'"#, Ok(Some(token)));
        check("echo credentials not found in native keychain; exit 1", Ok(None));
    }

    #[test]
    fn a_helper_that_fails_is_named_and_its_answer_is_not_shown() {
        check("echo locked >&2; exit 1", Err("docker-credential-test failed for r.example: locked"));
        check("echo hunter2", Err("docker-credential-test gave no usable answer for r.example"));
        let error = get("no-such", "r.example", Some(Path::new("/nonexistent"))).unwrap_err().to_string();
        assert!(error.starts_with("docker-credential-no-such cannot be run ("), "{error}");
        let error = get("../x", "r.example", None).unwrap_err().to_string();
        assert!(error.starts_with("`../x` is not the name of a credential helper"), "{error}");
    }
}
