//! The login for the repository of a source, as OpenShift mounts it: `username`, `password`, `ssh-privatekey`,
//! `known_hosts`, `.gitconfig`, `ca.crt` in one directory (kubernetes.io/basic-auth, kubernetes.io/ssh-auth).
//!
//! Comes in: the directory's path, with the environment. Goes out: what git gets, and the URL with its login. No value
//! of the secret is on a command line, in a message or in a file other than the copy of a key, which ssh wants to be
//! readable by nobody else; it lies in the build's scratch and goes with it.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use source::git::GitUrl;

use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs;

const WHAT: &str = "the source secret";
/// The user beside a password that stands alone, as a token does: servers take any.
const ANY_USER: &str = "git";

/// What git may see of the environment, with what the source's secret adds. `folder` makes a place for a key.
pub(crate) fn for_git(
    environment: &Environment,
    folder: impl FnOnce() -> Result<PathBuf, Failure>,
) -> Result<Vec<(String, String)>, Failure> {
    let mut variables = environment.for_git();
    let mut set = |name: &str, value: String| {
        variables.retain(|(known, _)| known != name);
        variables.push((name.to_owned(), value));
    };
    for (name, value) in &environment.source_login.proxies {
        set(name, value.clone());
    }
    let Some(secret) = &environment.source_login.secret else { return Ok(variables) };
    let there = |name: &str| Some(secret.join(name)).filter(|path| path.is_file());
    if let Some(path) = there("ca.crt") {
        set("GIT_SSL_CAINFO", path.display().to_string());
    }
    if let Some(path) = there(".gitconfig") {
        set("GIT_CONFIG_GLOBAL", path.display().to_string());
    }
    if let Some(path) = there("ssh-privatekey") {
        let key = copy_key(&path, &folder()?)?;
        set("GIT_SSH_COMMAND", ssh_command(&key, there("known_hosts").as_deref()));
    }
    Ok(variables)
}

/// The URL with the secret's login, where it is spoken to over http and has none of its own.
pub(crate) fn with_login(environment: &Environment, url: &GitUrl) -> Result<GitUrl, Failure> {
    let Some(secret) = &environment.source_login.secret else { return Ok(url.clone()) };
    let text = |name: &str| -> Result<Option<String>, Failure> {
        let path = secret.join(name);
        let Some(bytes) = inputs::read_if_there(&path, WHAT)? else { return Ok(None) };
        let text = String::from_utf8(bytes);
        let text = text.map_err(|_| Failure::new(Status::Usage, format!("{}: {WHAT} is not UTF-8", path.display())))?;
        let text = text.trim_end_matches(['\r', '\n']).to_owned();
        if text.contains(char::is_control) {
            let text = format!("{}: {WHAT} has a control character in it: it is no login", path.display());
            return Err(
                Failure::new(Status::Usage, text).help("make the Secret of a text file, one line, not encoded twice")
            );
        }
        Ok(Some(text).filter(|text| !text.is_empty()))
    };
    let password = match text("password")? {
        Some(password) => Some(password),
        None => text("token")?,
    };
    let Some(password) = password else { return Ok(url.clone()) };
    let user = text("username")?.unwrap_or_else(|| ANY_USER.to_owned());
    Ok(url.clone().with_login(&user, &password))
}

/// A copy of the key that its owner alone may read: a mounted secret is readable by its group, and ssh refuses it.
fn copy_key(path: &Path, folder: &Path) -> Result<PathBuf, Failure> {
    let mut bytes = inputs::read(path, WHAT)?;
    if !bytes.ends_with(b"\n") {
        // OpenSSH takes no key whose last line has no end.
        bytes.push(b'\n');
    }
    let key = folder.join("ssh-privatekey");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key);
    file.and_then(|mut file| file.write_all(&bytes)).map_err(|error| {
        Failure::new(Status::Environment, format!("{}: cannot write a copy of {WHAT}: {error}", key.display()))
    })?;
    Ok(key)
}

/// How git calls ssh. Without known hosts every server is believed, as OpenShift does it: nobody could be asked.
fn ssh_command(key: &Path, known_hosts: Option<&Path>) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let hosts = match known_hosts {
        Some(path) => format!("-o StrictHostKeyChecking=yes -o UserKnownHostsFile={}", quoted(path)),
        None => "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null".to_owned(),
    };
    format!("ssh -i {} -o IdentitiesOnly=yes -o BatchMode=yes {hosts}", quoted(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::SourceLogin;

    fn with_secret(files: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        let login = SourceLogin {
            secret: Some(folder.path().to_owned()),
            proxies: vec![("https_proxy".to_owned(), "http://proxy.example:3128".to_owned())],
        };
        (folder, Environment::of(&[("PATH", "/bin"), ("https_proxy", "x")]).with_source_login(login))
    }

    fn value(variables: &[(String, String)], name: &str) -> Option<String> {
        let mut values = variables.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone());
        let first = values.next();
        assert_eq!(values.next(), None, "{name} is set twice");
        first
    }

    #[test]
    fn git_gets_key_configuration_and_authority_of_the_secret() {
        use std::os::unix::fs::PermissionsExt;
        let (secret, environment) = with_secret(&[("ssh-privatekey", "KEY"), (".gitconfig", "[a]"), ("ca.crt", "C")]);
        let scratch = tempfile::tempdir().unwrap();
        let variables = for_git(&environment, || Ok(scratch.path().to_owned())).unwrap();
        let at = |name: &str| Some(secret.path().join(name).display().to_string());
        assert_eq!(value(&variables, "GIT_SSL_CAINFO"), at("ca.crt"));
        assert_eq!(value(&variables, "GIT_CONFIG_GLOBAL"), at(".gitconfig"));
        assert_eq!(value(&variables, "https_proxy").as_deref(), Some("http://proxy.example:3128"));
        let key = scratch.path().join("ssh-privatekey");
        assert_eq!(std::fs::read_to_string(&key).unwrap(), "KEY\n");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let ssh = value(&variables, "GIT_SSH_COMMAND").unwrap();
        assert!(ssh.starts_with(&format!("ssh -i '{}' ", key.display())), "{ssh}");
        assert!(!variables.iter().any(|(_, value)| value.contains("KEY")));
    }

    #[test]
    fn hosts_are_verified_where_they_are_known() {
        let known = ssh_command(Path::new("/k"), Some(Path::new("/it's")));
        assert!(known.ends_with(r"StrictHostKeyChecking=yes -o UserKnownHostsFile='/it'\''s'"), "{known}");
        assert!(ssh_command(Path::new("/k"), None).contains("StrictHostKeyChecking=no"));
    }

    #[test]
    fn a_login_goes_into_urls_that_have_none() {
        let (_secret, environment) = with_secret(&[("username", "me\n"), ("password", "hunter2\n")]);
        let url = |text: &str| GitUrl::recognise(text).unwrap().unwrap();
        let found = with_login(&environment, &url("https://host.example/a.git")).unwrap();
        assert!(found.has_login() && !format!("{found:?} {found}").contains("hunter2"), "{found:?}");
        assert!(!with_login(&environment, &url("ssh://git@host.example/a")).unwrap().has_login());
        assert!(!with_login(&Environment::of(&[]), &url("https://host.example/a.git")).unwrap().has_login());
    }

    #[test]
    fn a_login_that_git_cannot_be_given_is_named_by_its_file() {
        let url = GitUrl::recognise("https://host.example/a.git").unwrap().unwrap();
        for password in ["hunter2\0", "hunter2\nhost=evil.example"] {
            let (secret, environment) = with_secret(&[("password", password)]);
            let failure = with_login(&environment, &url).unwrap_err();
            let file = secret.path().join("password");
            let expected =
                format!("{}: the source secret has a control character in it: it is no login", file.display());
            assert_eq!((failure.text, failure.status), (expected, Status::Usage));
        }
    }
}
