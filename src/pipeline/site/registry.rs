//! Where images come from and go to.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::error::{Fault, Note};
use super::fields::{Fields, Item};
use super::scalar::{self, is_host_port};

/// A registry that images are pulled from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RegistrySite {
    /// Its address.
    pub url: RegistryUrl,
    /// Whether its certificate need not be valid, and http will do.
    pub insecure: bool,
    /// The file or directory with credentials for it, where it has one of its own (`auth.cfg_path`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cfg_path: Option<PathBuf>,
}

/// The registry that images are pushed to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushRegistry {
    /// The registry.
    #[serde(flatten)]
    pub registry: RegistrySite,
    /// The media types that must be there after a push. Empty: no check.
    pub expected_media_types: Vec<String>,
}

/// The address of a registry: a host, maybe with a port, and maybe how to speak to it.
///
/// Written `[http[s]://]host[:port][/v2]`. Displayed without `/v2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryUrl {
    scheme: Option<Scheme>,
    host: String,
}

/// How to speak to a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// Without encryption.
    Http,
    /// With TLS.
    Https,
}

impl RegistryUrl {
    /// `host` or `host:port`, as it stands at the front of an image's name.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The scheme, if the address names one.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme
    }

    /// The reference takes `/`, `/v2` and nothing else behind the host (`RegistryURI`); a v1 registry is no use.
    fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected host[:port], with http:// or https:// before and /v2 behind it or without";
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return Err(EXPECTED),
            None => (None, text),
        };
        let host = match rest.split_once('/') {
            None | Some((_, "" | "v2")) => rest.split('/').next().unwrap_or_default(),
            Some((_, "v1")) => return Err("a registry of version 1; only /v2 is spoken"),
            Some(_) => return Err(EXPECTED),
        };
        if host.contains('@') {
            return Err("an address with a user name or password; credentials go into registries_cfg_path");
        }
        if is_host_port(host) { Ok(Self { scheme, host: host.to_owned() }) } else { Err(EXPECTED) }
    }
}

impl Display for RegistryUrl {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            None => "",
            Some(Scheme::Http) => "http://",
            Some(Scheme::Https) => "https://",
        };
        write!(formatter, "{scheme}{}", self.host)
    }
}

impl Serialize for RegistryUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Every registry of the file.
#[derive(Debug, Default)]
pub(super) struct Registries {
    pub(super) source: Option<RegistrySite>,
    pub(super) pull: Vec<RegistrySite>,
    pub(super) push: Option<PushRegistry>,
}

/// Reads `source_registry`, `pull_registries`, `registry`, and the lists that older reactors had in their place.
///
/// One rule for both lists: the first counts, as if it had been written in the newer key; further ones to pull from
/// are `pull_registries`, further ones to push to are noted.
pub(super) fn read(top: &mut Fields<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Registries, Fault> {
    let mut found = Registries::default();
    if let Some(item) = top.take("source_registry") {
        found.source = Some(read_pull(&item, base, notes)?);
    }
    if let Some(item) = top.take("source_registries") {
        let mut list = read_list(&item, base, notes)?;
        if found.source.is_none() && !list.is_empty() {
            found.source = Some(list.remove(0));
        }
        found.pull = list;
    }
    if let Some(item) = top.take("pull_registries") {
        found.pull.extend(read_list(&item, base, notes)?);
    }
    if let Some(item) = top.take("registry") {
        found.push = Some(read_push(&item, base, notes)?);
    }
    if let Some(item) = top.take("registries") {
        read_push_list(&item, base, &mut found, notes)?;
    }
    Ok(found)
}

fn read_list(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Vec<RegistrySite>, Fault> {
    item.list()?.iter().map(|one| read_pull(one, base, notes)).collect()
}

fn read_push_list(item: &Item<'_>, base: &Path, found: &mut Registries, notes: &mut Vec<Note>) -> Result<(), Fault> {
    for one in item.list()? {
        let mut note = |text: &str| {
            notes.push(Note { line: one.place.line, key: one.path.clone(), text: text.to_owned() });
        };
        if is_version_one(&one)? {
            note("not used: a registry of version 1");
        } else if found.push.is_some() {
            note("not used: images are pushed to one registry");
        } else {
            found.push = Some(read_push(&one, base, notes)?);
        }
    }
    Ok(())
}

fn is_version_one(item: &Item<'_>) -> Result<bool, Fault> {
    let url = item.fields()?.need("url")?.text()?;
    Ok(url.trim_end_matches('/').ends_with("/v1"))
}

fn read_push(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<PushRegistry, Fault> {
    let mut fields = item.fields()?;
    let registry = read_registry(&mut fields, base, notes)?;
    let media_type = |item: &Item<'_>| {
        let text = item.text_of("a media type")?;
        if text.contains('/') { Ok(text.to_owned()) } else { Err(item.expected("a media type")) }
    };
    let expected = fields.read("expected_media_types", |item| item.each(media_type))?;
    fields.note_rest(notes);
    Ok(PushRegistry { registry, expected_media_types: expected.unwrap_or_default() })
}

fn read_pull(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<RegistrySite, Fault> {
    let mut fields = item.fields()?;
    let registry = read_registry(&mut fields, base, notes)?;
    fields.note_rest(notes);
    Ok(registry)
}

fn read_registry(fields: &mut Fields<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<RegistrySite, Fault> {
    let url = read_url(&fields.need("url")?)?;
    let insecure = fields.read("insecure", Item::boolean)?.unwrap_or(false);
    let cfg_path = match fields.take("auth") {
        None => None,
        Some(item) => {
            let mut auth = item.fields()?;
            let path = auth.read("cfg_path", |item| scalar::path(item, base))?;
            auth.note_rest(notes);
            path
        }
    };
    Ok(RegistrySite { url, insecure, cfg_path })
}

fn read_url(item: &Item<'_>) -> Result<RegistryUrl, Fault> {
    let text = item.text()?;
    RegistryUrl::parse(text).map_err(|why| {
        if text.contains('@') { item.fault(why).undrawn() } else { item.fault(&format!("{why}, found {text:?}")) }
    })
}
