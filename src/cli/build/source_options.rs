//! Options on what is built from: arguments, bases, platform, policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ::build::{Pull, SourcePolicy};
use clap::ArgAction;
use clap::builder::BoolishValueParser;
use oci::Platform;

use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs;

/// What goes into a build beside Dockerfile and context.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceArguments {
    /// Read build arguments from this file: NAME=VALUE lines, and comments that begin with #
    #[arg(long, value_name = "FILE")]
    build_arg_file: Vec<PathBuf>,
    /// Build on this image instead of that of the first FROM
    #[arg(long, value_name = "IMAGE")]
    pub(crate) from: Option<String>,
    /// When a registry is asked for a base: missing (from the store), always, newer, never; --pull alone means always
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "always",
        value_parser = pull, conflicts_with_all = ["pull_always", "pull_never"])]
    pull: Option<Pull>,
    /// As --pull=always
    #[arg(long, hide = true, conflicts_with = "pull_never")]
    pull_always: bool,
    /// As --pull=never
    #[arg(long, hide = true)]
    pull_never: bool,
    /// Build for this operating system
    #[arg(long, value_name = "OS", conflicts_with = "platform")]
    os: Option<String>,
    /// Build for this architecture
    #[arg(long, value_name = "ARCH", conflicts_with = "platform")]
    arch: Option<String>,
    /// Build for this variant of the architecture
    #[arg(long, value_name = "VARIANT", conflicts_with = "platform")]
    variant: Option<String>,
    /// Obey these rules on which images may be taken, in BuildKit's JSON
    #[arg(long, value_name = "FILE")]
    source_policy_file: Option<PathBuf>,
    /// Whether stages that the target does not need are left out
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    pub(crate) skip_unused_stages: bool,
}

/// `--pull` in the words of buildah and docker.
fn pull(text: &str) -> Result<Pull, String> {
    match text.to_ascii_lowercase().as_str() {
        "always" | "true" => Ok(Pull::Always),
        "missing" | "ifmissing" | "notpresent" | "false" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        "newer" | "ifnewer" => Ok(Pull::Newer),
        _ => Err("expected always, missing, never or newer".to_owned()),
    }
}

impl SourceArguments {
    /// With a site's configuration a name is its registry's, whatever earlier builds left in the store.
    pub(crate) fn pull(&self, has_site: bool) -> Pull {
        match (self.pull, self.pull_always, self.pull_never) {
            (Some(pull), _, _) => pull,
            (None, true, _) => Pull::Always,
            (None, false, true) => Pull::Never,
            (None, false, false) if has_site => Pull::Always,
            (None, false, false) => Pull::default(),
        }
    }

    /// The platform of `--os`, `--arch` and `--variant`, the machine's where they say nothing.
    pub(crate) fn platform(&self) -> Result<Platform, Failure> {
        let host = Platform::host();
        if self.os.is_none() && self.arch.is_none() && self.variant.is_none() {
            return Ok(host);
        }
        let os = self.os.as_deref().unwrap_or(&host.os);
        let architecture = self.arch.as_deref().unwrap_or(&host.architecture);
        let variant = self.variant.as_ref().map_or(String::new(), |variant| format!("/{variant}"));
        let platform = format!("{os}/{architecture}{variant}").parse();
        platform.map_err(|error: oci::platform::PlatformError| Failure::of(Status::Usage, &error))
    }

    pub(crate) fn source_policy(&self) -> Result<Option<SourcePolicy>, Failure> {
        let Some(path) = &self.source_policy_file else { return Ok(None) };
        let bytes = inputs::read(path, "the source policy")?;
        let policy = SourcePolicy::parse(&path.display().to_string(), &bytes);
        policy.map(Some).map_err(|error| Failure::of(Status::Usage, &error))
    }

    /// The build arguments: those of the files, then `given`, of which the last one counts.
    pub(crate) fn build_args(
        &self,
        given: &[String],
        environment: &Environment,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let mut args = BTreeMap::new();
        for path in &self.build_arg_file {
            let bytes = inputs::read(path, "the build arguments")?;
            let text = String::from_utf8(bytes).map_err(|_| {
                Failure::new(Status::Usage, format!("{}: the build arguments are not UTF-8", path.display()))
            })?;
            text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).for_each(|line| {
                inputs::add_build_arg(&mut args, line, environment);
            });
        }
        args.extend(inputs::build_args(given, environment));
        Ok(args)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_has_the_words_of_both() {
        for (text, expected) in
            [("always", Pull::Always), ("true", Pull::Always), ("false", Pull::Missing), ("Newer", Pull::Newer)]
        {
            assert_eq!(pull(text), Ok(expected));
        }
        assert!(pull("sometimes").is_err());
    }
}
