//! Instructions that only change the image config.

use std::collections::BTreeMap;
use std::time::Duration;

use dockerfile::{Command, Healthcheck, Pair, Word};
use oci::config::ContainerConfig;
use serde_json::{Value, json};

use crate::InstructionError;
use crate::scope::Scope;

/// The shell of shell-form instructions where SHELL says nothing (Dockerfile reference, "SHELL").
const DEFAULT_SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The arguments that run `command`, the shell form through the image's SHELL.
pub(crate) fn argv(config: &ContainerConfig, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(argv) => argv.clone(),
        Command::Shell(text) => {
            let default = || DEFAULT_SHELL.map(str::to_owned).to_vec();
            let mut argv = config.shell.clone().unwrap_or_else(default);
            argv.push(text.clone());
            argv
        }
    }
}

/// ENV: all values see the variables as they were before the line.
pub(crate) fn env(config: &mut ContainerConfig, scope: &Scope<'_>, pairs: &[Pair]) -> Result<(), InstructionError> {
    for (name, value) in expanded(config, scope, pairs)? {
        config.set_env(&name, &value);
    }
    Ok(())
}

/// LABEL.
pub(crate) fn label(config: &mut ContainerConfig, scope: &Scope<'_>, pairs: &[Pair]) -> Result<(), InstructionError> {
    let labels = expanded(config, scope, pairs)?;
    config.labels.extend(labels);
    Ok(())
}

fn expanded(
    config: &ContainerConfig,
    scope: &Scope<'_>,
    pairs: &[Pair],
) -> Result<Vec<(String, String)>, InstructionError> {
    pairs.iter().map(|pair| Ok((scope.word(config, &pair.key)?, scope.word(config, &pair.value)?))).collect()
}

/// EXPOSE: `port`, `port/protocol` and ranges of ports.
pub(crate) fn expose(config: &mut ContainerConfig, scope: &Scope<'_>, words: &[Word]) -> Result<(), InstructionError> {
    for word in words {
        for text in scope.words(config, word)? {
            for port in ports(&text)? {
                config.exposed_ports.insert(port, json!({}));
            }
        }
    }
    Ok(())
}

fn ports(text: &str) -> Result<Vec<String>, InstructionError> {
    let invalid =
        || InstructionError::Invalid { what: format!("`{text}` is not a port, a range of ports, or port/protocol") };
    let (range, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err(invalid());
    }
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let port = |text: &str| text.parse::<u16>().map_err(|_| invalid());
    let (first, last) = (port(first)?, port(last)?);
    if first > last {
        return Err(invalid());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// HEALTHCHECK, in the form Docker gives it in configs: times in nanoseconds.
pub(crate) fn healthcheck(config: &mut ContainerConfig, check: &Healthcheck) {
    config.healthcheck = Some(match check {
        Healthcheck::None => json!({ "Test": ["NONE"] }),
        Healthcheck::Probe(probe) => {
            let test: Vec<String> = match &probe.command {
                Command::Shell(text) => vec!["CMD-SHELL".to_owned(), text.clone()],
                Command::Exec(argv) => std::iter::once("CMD".to_owned()).chain(argv.iter().cloned()).collect(),
            };
            let mut fields = BTreeMap::from([("Test", json!(test))]);
            let times = [
                ("Interval", probe.interval),
                ("Timeout", probe.timeout),
                ("StartPeriod", probe.start_period),
                ("StartInterval", probe.start_interval),
            ];
            for (name, time) in times {
                fields.extend(nanoseconds(time).map(|time| (name, time)));
            }
            fields.extend(probe.retries.map(|retries| ("Retries", json!(retries))));
            json!(fields)
        }
    });
}

fn nanoseconds(time: Option<Duration>) -> Option<Value> {
    time.and_then(|time| u64::try_from(time.as_nanos()).ok()).map(Value::from)
}

/// The new working directory: relative ones are below the old one (Dockerfile reference, "WORKDIR").
pub(crate) fn workdir(old: &str, new: &str) -> String {
    let joined = if new.starts_with('/') { new.to_owned() } else { format!("{old}/{new}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in joined.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_directories_add_up() {
        assert_eq!(workdir("", "a"), "/a");
        assert_eq!(workdir("/a", "b/./c/"), "/a/b/c");
        assert_eq!(workdir("/a", "../../b"), "/b");
        assert_eq!(workdir("/a", "/"), "/");
    }

    #[test]
    fn ports_come_alone_and_in_ranges() {
        assert_eq!(ports("80").unwrap(), ["80/tcp"]);
        assert_eq!(ports("8000-8002/UDP").unwrap(), ["8000/udp", "8001/udp", "8002/udp"]);
        for text in ["", "http", "9-8", "70000", "80/icmp"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
