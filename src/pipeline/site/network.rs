//! What steps may reach, and who the builder is to those hosts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::error::Fault;
use super::fields::{Fields, Item};
use super::scalar;

/// The network of steps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NetworkSite {
    /// The way out; none leaves it to the caller.
    pub mode: Option<Mode>,
    /// Hosts that steps may reach through the gateway's proxy.
    pub allow: Vec<AllowedHost>,
    /// Whether the repositories of base images are served through the gateway.
    pub base_image_repositories: bool,
    /// How long one step may take.
    #[serde(serialize_with = "as_seconds")]
    pub step_timeout: Option<Duration>,
    /// Who the builder is to hosts of repositories; the first match counts.
    pub credentials: Vec<HostLogin>,
}

/// A step's way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Only the gateway.
    Gateway,
    /// The builder's network.
    Host,
    /// None.
    None,
}

/// A rule for hosts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct AllowedHost {
    /// The rule in the syntax of `gateway::HostRule`; only its shape was checked.
    pub rule: String,
    /// Where it stands in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// A login for hosts. The file itself never holds a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostLogin {
    /// The rule for the hosts, as in [`AllowedHost::rule`].
    pub host: String,
    /// A file with one line, `user:password`.
    pub login_path: PathBuf,
    /// Where it stands in the file, from 1.
    #[serde(skip)]
    pub line: usize,
}

impl Default for NetworkSite {
    fn default() -> Self {
        let (allow, credentials) = (Vec::new(), Vec::new());
        Self { mode: None, allow, base_image_repositories: true, step_timeout: None, credentials }
    }
}

impl NetworkSite {
    pub(super) fn read(item: &Item<'_>, base: &Path) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let mode = fields.read("mode", mode)?;
        let allow = fields.read("allow", |item| item.each(allowed_host))?.unwrap_or_default();
        let base_image_repositories = fields.read("base_image_repositories", Item::boolean)?.unwrap_or(true);
        let step_timeout = fields.read("step_timeout", scalar::duration)?;
        let credentials = fields.read("credentials", |item| item.each(|one| login(one, base)))?.unwrap_or_default();
        fields.refuse_rest()?;
        Ok(Self { mode, allow, base_image_repositories, step_timeout, credentials })
    }
}

fn mode(item: &Item<'_>) -> Result<Mode, Fault> {
    const KIND: &str = "gateway, host or none";
    match item.any_text(KIND)? {
        "gateway" => Ok(Mode::Gateway),
        "host" => Ok(Mode::Host),
        "none" => Ok(Mode::None),
        _ => Err(item.expected(KIND)),
    }
}

fn allowed_host(item: &Item<'_>) -> Result<AllowedHost, Fault> {
    Ok(AllowedHost { rule: scalar::host_rule(item)?, line: item.place.line })
}

fn login(item: &Item<'_>, base: &Path) -> Result<HostLogin, Fault> {
    let mut fields = item.fields()?;
    refuse_inline(&fields)?;
    let host = scalar::host_rule(&fields.need("host")?)?;
    let login_path = scalar::path(&fields.need("login_path")?, base)?;
    fields.refuse_rest()?;
    Ok(HostLogin { host, login_path, line: item.place.line })
}

/// A secret in the file would be in every copy of it. Neither the value nor its line is shown.
fn refuse_inline(fields: &Fields<'_>) -> Result<(), Fault> {
    const SECRETS: &[&str] =
        &["password", "passwd", "user", "username", "login", "userpass", "token", "secret", "auth"];
    match fields.rest().find(|(key, _)| SECRETS.contains(&key.to_ascii_lowercase().as_str())) {
        None => Ok(()),
        Some((_, item)) => Err(item
            .fault("no login is taken from the configuration itself")
            .help("write `user:password` into a file only the builder can read, and name it in login_path")
            .undrawn()),
    }
}

fn as_seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs()).serialize(serializer)
}
