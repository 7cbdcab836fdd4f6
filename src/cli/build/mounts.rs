//! `--secret`, `--ssh` and `--volume`, in buildah's and docker's spelling: what RUN steps get from outside.
//!
//! Comes in: the flags' texts and the environment. Goes out: [`StepInputs`], secrets read and all else checked. An
//! option that is not known is refused by name, and a secret's value is in no message.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use ::build::{MAX_SECRET, Secret, StepInputs, Volume, VolumeAccess};

use super::Arguments;
use crate::environment::Environment;
use crate::failure::{Failure, Status};

/// Reads what the flags name. To be called as the user, whose files they are.
pub(super) fn step_inputs(arguments: &Arguments, environment: &Environment) -> Result<StepInputs, Failure> {
    let secrets = arguments.secret.iter().map(|text| secret(text, environment));
    let agents = arguments.ssh.iter().map(|text| agent(text, environment));
    let volumes = arguments.volume.iter().map(|text| volume(text));
    Ok(StepInputs {
        secrets: secrets.collect::<Result<BTreeMap<_, _>, Failure>>()?,
        agents: agents.collect::<Result<BTreeMap<_, _>, Failure>>()?,
        volumes: volumes.collect::<Result<Vec<_>, Failure>>()?,
        ..StepInputs::default()
    })
}

/// Where a secret comes from.
#[derive(Debug, PartialEq, Eq)]
enum SecretSource {
    File(PathBuf),
    Variable(String),
}

fn secret(text: &str, environment: &Environment) -> Result<(String, Secret), Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--secret {}: {why}", shown(text)));
    let is_set = |name: &str| environment.value(name).is_some();
    let (id, source) = parse_secret(text, &is_set).map_err(|why| usage(&why))?;
    let bytes = match source {
        SecretSource::Variable(name) => environment
            .value(&name)
            .map(|value| value.as_bytes().to_vec())
            .ok_or_else(|| usage(&format!("the environment has no {name}")))?,
        SecretSource::File(path) => {
            read_secret(&path).map_err(|error| usage(&format!("{}: {error}", path.display())))?
        }
    };
    let secret = Secret::new(bytes).ok_or_else(|| usage("it is larger than 500 KiB"))?;
    Ok((id, secret))
}

/// The flag without the values of options that are none: somebody may have written the secret itself there.
fn shown(text: &str) -> String {
    let known = ["id", "src", "source", "env", "type"];
    let field = |field: &str| match field.split_once('=') {
        Some((key, _)) if known.contains(&key) => field.to_owned(),
        Some((key, _)) => format!("{key}=***"),
        None => "***".to_owned(),
    };
    text.split(',').map(field).collect::<Vec<_>>().join(",")
}

fn parse_secret(text: &str, is_set: &dyn Fn(&str) -> bool) -> Result<(String, SecretSource), String> {
    let (mut id, mut source, mut variable, mut kind) = (None, None, None, None);
    for field in text.split(',') {
        let Some((key, value)) = field.split_once('=') else {
            return Err("expected id=ID, src=FILE, env=NAME or type=file|env".to_owned());
        };
        let place = match key {
            "id" => &mut id,
            "src" | "source" => &mut source,
            "env" => &mut variable,
            "type" => &mut kind,
            _ => return Err(format!("there is no option `{key}`, only id, src, env and type")),
        };
        *place = Some(value.to_owned()).filter(|value| !value.is_empty());
    }
    let id = id.ok_or("it has no id")?;
    let name = |given: Option<String>| given.unwrap_or_else(|| id.clone());
    let source = match (kind.as_deref(), variable) {
        (None | Some("env"), Some(variable)) => SecretSource::Variable(variable),
        (Some("env"), None) => SecretSource::Variable(name(source)),
        (Some("file"), _) => SecretSource::File(name(source).into()),
        // As buildah and docker: a variable of that name comes before a file of that name.
        (None, None) if source.is_none() && is_set(&id) => SecretSource::Variable(id.clone()),
        (None, None) => SecretSource::File(name(source).into()),
        (Some(other), _) => return Err(format!("its type is {other}, only file and env are possible")),
    };
    Ok((id, source))
}

fn read_secret(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than is allowed tells that there is more.
    let limit = u64::try_from(MAX_SECRET).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `--ssh ID[=SOCKET]`.
fn agent(text: &str, environment: &Environment) -> Result<(String, PathBuf), Failure> {
    use std::os::unix::fs::FileTypeExt;
    let usage = |why: &str| Failure::new(Status::Usage, format!("--ssh {text}: {why}"));
    let (id, path) = text.split_once('=').unwrap_or((text, ""));
    let id = if id.is_empty() { "default" } else { id };
    if path.contains(',') {
        return Err(usage("several keys need an agent that holds them").help(START_AGENT));
    }
    let socket = match (path, environment.path("SSH_AUTH_SOCK")) {
        ("", Some(socket)) => socket,
        ("", None) => return Err(usage("SSH_AUTH_SOCK is not set").help(START_AGENT)),
        (path, _) => PathBuf::from(path),
    };
    let found = socket.metadata().map_err(|error| usage(&format!("{}: {error}", socket.display())))?;
    if !found.file_type().is_socket() {
        let why = format!("{} is not the socket of an agent; keys cannot be given as files", socket.display());
        return Err(usage(&why).help(START_AGENT));
    }
    Ok((id.to_owned(), socket))
}

const START_AGENT: &str = "start an ssh-agent, add the key with ssh-add, and give --ssh default";

/// `--volume HOST:CONTAINER[:OPTIONS]`.
fn volume(text: &str) -> Result<Volume, Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--volume {text}: {why}"));
    let volume = parse_volume(text).map_err(|why| usage(&why))?;
    match volume.source.try_exists() {
        Ok(true) => Ok(volume),
        Ok(false) => Err(usage("there is no such file or directory on this machine")),
        Err(error) => Err(usage(&error.to_string())),
    }
}

fn parse_volume(text: &str) -> Result<Volume, String> {
    let parts = split_colons(text);
    let (source, target, options) = match parts.as_slice() {
        [source, target] => (source, target, ""),
        [source, target, options] => (source, target, options.as_str()),
        _ => return Err("expected HOST:CONTAINER[:OPTIONS]".to_owned()),
    };
    for path in [source, target] {
        if !path.starts_with('/') {
            return Err(format!("`{path}` is not an absolute path"));
        }
    }
    let access = volume_access(options)?;
    Ok(Volume { source: source.into(), target: target.into(), access })
}

/// What buildah's options make of a volume. Set-user-id bits and devices never count.
fn volume_access(options: &str) -> Result<VolumeAccess, String> {
    let (mut access, mut discards) = (None, false);
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" | "rw" if access.is_some() => return Err("ro and rw exclude each other".to_owned()),
            "ro" => access = Some(VolumeAccess::ReadOnly),
            "rw" => access = Some(VolumeAccess::Writable),
            "O" => discards = true,
            // Steps have mounts of their own that nothing is passed on from; the rest is so anyway, or for SELinux.
            "z" | "Z" | "private" | "rprivate" | "slave" | "rslave" | "bind" | "rbind" | "nosuid" | "nodev"
            | "exec" | "cached" | "delegated" | "consistent" => {}
            "U" => return Err("`U`, which changes the owner of files on this machine, is not possible".to_owned()),
            _ => return Err(format!("there is no option `{option}`, only ro, rw, O, z and Z")),
        }
    }
    match (access, discards) {
        (Some(VolumeAccess::ReadOnly), true) => Err("ro and O exclude each other".to_owned()),
        (_, true) => Ok(VolumeAccess::Discarded),
        (access, false) => Ok(access.unwrap_or(VolumeAccess::Writable)),
    }
}

/// The parts between colons; `\:` is a colon within one.
fn split_colons(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&':') => {
                letters.next();
                parts.last_mut().into_iter().for_each(|part| part.push(':'));
            }
            ':' => parts.push(String::new()),
            letter => parts.last_mut().into_iter().for_each(|part| part.push(letter)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_secret(text: &str, expected: Result<SecretSource, &str>) {
        let found = parse_secret(text, &|name| name == "SET");
        assert_eq!(found.map(|(_, source)| source), expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_secret_is_a_file_or_a_variable() {
        let file = |path: &str| Ok(SecretSource::File(path.into()));
        let variable = |name: &str| Ok(SecretSource::Variable(name.to_owned()));
        check_secret("id=a,src=/b", file("/b"));
        check_secret("source=b,type=file,id=a", file("b"));
        check_secret("id=a", file("a"));
        check_secret("id=SET", variable("SET"));
        check_secret("id=a,env=B", variable("B"));
        check_secret("type=env,id=a", variable("a"));
        check_secret("type=env,id=a,src=B", variable("B"));
        check_secret("src=a", Err("it has no id"));
        check_secret("id=a,type=x", Err("its type is x, only file and env are possible"));
        check_secret("id=a,value=x", Err("there is no option `value`, only id, src, env and type"));
        check_secret("a", Err("expected id=ID, src=FILE, env=NAME or type=file|env"));
    }

    #[test]
    fn a_mistaken_flag_is_shown_without_what_may_be_a_secret() {
        assert_eq!(shown("id=a,value=hunter2,hunter3"), "id=a,value=***,***");
    }

    #[track_caller]
    fn check_volume(text: &str, expected: Result<(&str, &str, VolumeAccess), &str>) {
        let volume = |(source, target, access): (&str, &str, VolumeAccess)| Volume {
            source: source.into(),
            target: target.into(),
            access,
        };
        assert_eq!(parse_volume(text), expected.map(volume).map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_volume_is_writable_unless_it_says_otherwise() {
        check_volume("/a:/b", Ok(("/a", "/b", VolumeAccess::Writable)));
        check_volume("/a:/b:z", Ok(("/a", "/b", VolumeAccess::Writable)));
        check_volume("/a:/b:ro,Z,rprivate", Ok(("/a", "/b", VolumeAccess::ReadOnly)));
        check_volume("/a:/b:O", Ok(("/a", "/b", VolumeAccess::Discarded)));
        check_volume("/a\\:b:/c", Ok(("/a:b", "/c", VolumeAccess::Writable)));
    }

    #[test]
    fn what_a_volume_cannot_be_is_refused_by_name() {
        check_volume("/a", Err("expected HOST:CONTAINER[:OPTIONS]"));
        check_volume("name:/b", Err("`name` is not an absolute path"));
        check_volume("/a:/b:ro,rw", Err("ro and rw exclude each other"));
        check_volume("/a:/b:suid", Err("there is no option `suid`, only ro, rw, O, z and Z"));
        check_volume("/a:/b:U", Err("`U`, which changes the owner of files on this machine, is not possible"));
    }
}
