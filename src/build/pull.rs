//! Where the image that a name stands for is looked for: in the store, in a registry, or in both.
//!
//! Comes in: a name as the Dockerfile has it. Goes out: the image, opened. Names in the store are those given with
//! `-t` to earlier builds; layers of pulled bases are kept, but under no name.

use oci::{Platform, Reference};
use transport::{Location, SourceImage, TransportError, Transports};

use crate::BuildError;
use dockerfile::Span;

/// `--pull`: when a registry is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pull {
    /// For what the store does not have.
    #[default]
    Missing,
    /// Always; the store does not count.
    Always,
    /// Never.
    Never,
    /// Always; the store counts where the registry does not answer or does not have the image.
    Newer,
}

/// A name and how it is looked for.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) name: &'a str,
    pub(crate) span: Span,
    pub(crate) platform: &'a Platform,
    pub(crate) pull: Pull,
}

/// Opens the image; `reference` is what registries.conf makes of the name.
pub(crate) fn open(
    transports: &Transports,
    wanted: Wanted<'_>,
    reference: &Reference,
) -> Result<SourceImage, BuildError> {
    let registry = || transports.open(&Location::Registry(reference.clone()), wanted.platform);
    let opened = match wanted.pull {
        Pull::Always => registry(),
        Pull::Missing => match stored(transports, wanted, reference)? {
            Some(image) => Ok(image),
            None => registry(),
        },
        Pull::Never => stored(transports, wanted, reference)?.map(Ok).ok_or_else(|| not_stored(wanted))?,
        Pull::Newer => match registry() {
            Ok(image) => Ok(image),
            Err(error) => stored(transports, wanted, reference)?.ok_or(error),
        },
    };
    opened.map_err(|source| failed(wanted, source))
}

/// The image of that name in the store, if it is for the platform.
fn stored(
    transports: &Transports,
    wanted: Wanted<'_>,
    reference: &Reference,
) -> Result<Option<SourceImage>, BuildError> {
    for name in names(wanted.name, reference) {
        let is_there = transports.store().image(&name).map_err(|error| failed(wanted, error.into()))?.is_some();
        if is_there {
            let image = transports.open(&Location::Store(name), wanted.platform);
            let image = image.map_err(|source| failed(wanted, source))?;
            if image.config.platform().satisfies(wanted.platform) {
                return Ok(Some(image));
            }
        }
    }
    Ok(None)
}

/// The names an image may have in the store: as `-t` writes it, and what registries.conf makes of it.
fn names(name: &str, reference: &Reference) -> Vec<String> {
    // buildah puts `localhost/` before what `-t` names without a registry.
    let bare = name.strip_prefix("localhost/").unwrap_or(name);
    let parsed = [name, bare].map(|name| name.parse::<Reference>().map(|reference| reference.to_string()));
    let mut names: Vec<String> = Vec::new();
    for known in parsed.into_iter().flatten().chain([reference.to_string()]) {
        if !names.contains(&known) {
            names.push(known);
        }
    }
    names
}

fn failed(wanted: Wanted<'_>, source: TransportError) -> BuildError {
    BuildError::Base { name: wanted.name.to_owned(), span: wanted.span, advice: None, source }
}

fn not_stored(wanted: Wanted<'_>) -> BuildError {
    let name = wanted.name.to_owned();
    let why = format!(
        "the store has no such image for {}, and --pull=never forbids to ask a registry; build it with `-t {name}` first, or leave out --pull",
        wanted.platform
    );
    BuildError::Unusable { name, span: wanted.span, why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_looked_for_as_it_was_given_to_t() {
        let reference: Reference = "registry.example/app:latest".parse().unwrap();
        assert_eq!(names("app", &reference), ["docker.io/library/app:latest", "registry.example/app:latest"]);
        assert_eq!(names("registry.example/app", &reference), ["registry.example/app:latest"]);
        let reference: Reference = "localhost/app:latest".parse().unwrap();
        assert_eq!(names("localhost/app", &reference), ["localhost/app:latest", "docker.io/library/app:latest"]);
    }
}
