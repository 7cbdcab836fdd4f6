//! What a variable means at one place of a Dockerfile.

use std::collections::BTreeMap;

use dockerfile::{ArgDecl, Escape, Mount, MountError, MountSpec, Word, expand};
use oci::Platform;
use oci::config::ContainerConfig;

use crate::{InstructionError, Request};

/// Build arguments that are known without ARG (docker build, "Predefined ARGs"), in upper case.
const PREDEFINED: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The value of a platform argument (`TARGETARCH`, …).
pub(crate) fn platform_argument(request: &Request, name: &str) -> Option<String> {
    let (platform, part) = match (name.strip_prefix("TARGET"), name.strip_prefix("BUILD")) {
        (Some(part), _) => (request.platform.clone(), part),
        (None, Some(part)) => (Platform::host(), part),
        (None, None) => return None,
    };
    match part {
        "PLATFORM" => Some(platform.to_string()),
        "OS" => Some(platform.os),
        "ARCH" => Some(platform.architecture),
        "VARIANT" => Some(platform.variant.unwrap_or_default()),
        _ => None,
    }
}

/// The ARGs of one stage, and how its words are expanded.
#[derive(Debug)]
pub(crate) struct Scope<'r> {
    request: &'r Request,
    globals: &'r BTreeMap<String, String>,
    escape: Escape,
    args: BTreeMap<String, String>,
}

impl<'r> Scope<'r> {
    /// The scope of a stage; one that is built on another stage inherits its ARGs.
    pub(crate) fn new(
        request: &'r Request,
        globals: &'r BTreeMap<String, String>,
        inherited: BTreeMap<String, String>,
    ) -> Self {
        Self { request, globals, escape: request.dockerfile.escape(), args: inherited }
    }

    /// The ARGs, for a stage built on this one.
    pub(crate) fn args(&self) -> BTreeMap<String, String> {
        self.args.clone()
    }

    /// Expands a word to one text. ENV wins over ARG.
    pub(crate) fn word(&self, config: &ContainerConfig, word: &Word) -> Result<String, InstructionError> {
        Ok(expand::word(&word.raw, self.escape, &|name| self.value(config, name))?)
    }

    /// Expands a word to any number of texts.
    pub(crate) fn words(&self, config: &ContainerConfig, word: &Word) -> Result<Vec<String>, InstructionError> {
        Ok(expand::words(&word.raw, self.escape, &|name| self.value(config, name))?)
    }

    /// Expands and checks the options of a mount.
    pub(crate) fn mount(&self, config: &ContainerConfig, mount: &Mount) -> Result<MountSpec, MountError> {
        mount.resolve(self.escape, &|name| self.value(config, name))
    }

    /// Expands the body of a heredoc.
    pub(crate) fn body(&self, config: &ContainerConfig, text: &str) -> Result<String, InstructionError> {
        Ok(expand::body(text, &|name| self.value(config, name))?)
    }

    fn value(&self, config: &ContainerConfig, name: &str) -> Option<String> {
        config.env(name).map(str::to_owned).or_else(|| self.args.get(name).cloned())
    }

    /// Executes one ARG.
    pub(crate) fn declare(&mut self, config: &ContainerConfig, arg: &ArgDecl) -> Result<(), InstructionError> {
        let name = self.word(config, &arg.name)?;
        let default = arg.value.as_ref().map(|value| self.word(config, value)).transpose()?;
        let value = self.request.build_args.get(&name).cloned().or(default).or_else(|| {
            let global = self.globals.get(&name).cloned();
            global.or_else(|| platform_argument(self.request, &name))
        });
        if let Some(value) = value {
            self.args.insert(name, value);
        }
        Ok(())
    }

    /// The environment of a RUN step: the image's, then what only steps see.
    pub(crate) fn run_env(&self, config: &ContainerConfig) -> Vec<(String, String)> {
        let split = |line: &String| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut env: Vec<(String, String)> = config.env.iter().filter_map(split).collect();
        let is_predefined = |name: &str| PREDEFINED.contains(&name.to_ascii_uppercase().as_str());
        let given = self.request.build_args.iter().filter(|(name, _)| is_predefined(name));
        let args = self.args.iter().chain(given).map(|(name, value)| (name.clone(), value.clone()));
        for (name, value) in args.chain(self.request.run_env.iter().cloned()) {
            if !env.iter().any(|(known, _)| *known == name) {
                env.push((name, value));
            }
        }
        env
    }
}
