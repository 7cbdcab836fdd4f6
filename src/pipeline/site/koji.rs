//! Where Koji is, and how to log in there.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Fault, Note};
use super::fields::{Fields, Item};
use super::scalar;

/// The content generator that builds are reserved for where the file names none: the reference's own.
const GENERATOR: &str = "atomic-reactor";

/// A Koji.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KojiSite {
    /// The hub, http or https.
    pub hub_url: String,
    /// Where its files are, without a slash at the end.
    pub root_url: String,
    /// How to log in.
    pub auth: KojiAuth,
    /// Whether files are uploaded as they are.
    pub use_fast_upload: bool,
    /// Whether a build is reserved before it begins.
    pub reserve_build: bool,
    /// Whether the certificate of `root_url` need not be valid.
    pub insecure_download: bool,
    /// The content generator that the hub ties reservations and permissions to.
    pub content_generator: String,
}

/// How to log in at a hub. No secret is in it: keys and passwords are in files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KojiAuth {
    /// The principal of Kerberos.
    pub krb_principal: Option<String>,
    /// Its keytab, a path, with `FILE:` before it or not.
    pub krb_keytab_path: Option<String>,
    /// The cache of tickets, a path, with `FILE:` before it or not.
    pub krb_cache_path: Option<String>,
    /// The directory that holds `cert`.
    pub ssl_certs_dir: Option<PathBuf>,
    /// Who the session is to be of, where that is another one.
    pub proxyuser: Option<String>,
    /// The user of `password_file`.
    pub user: Option<String>,
    /// The file that holds a password, for hubs of tests.
    pub password_file: Option<PathBuf>,
}

impl KojiSite {
    pub(super) fn read(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let hub_url = url(&fields.need("hub_url")?)?;
        let root_url = url(&fields.need("root_url")?)?;
        let auth = match fields.take("auth") {
            Some(item) => read_auth(&item, base, notes)?,
            None => KojiAuth::default(),
        };
        let flag = |fields: &mut Fields<'_>, key, usual| Ok(fields.read(key, Item::boolean)?.unwrap_or(usual));
        let site = Self {
            hub_url,
            root_url: root_url.trim_end_matches('/').to_owned(),
            auth,
            use_fast_upload: flag(&mut fields, "use_fast_upload", true)?,
            reserve_build: flag(&mut fields, "reserve_build", false)?,
            insecure_download: flag(&mut fields, "insecure_download", false)?,
            content_generator: text(&mut fields, "content_generator")?.unwrap_or_else(|| GENERATOR.to_owned()),
        };
        fields.note_rest(notes);
        Ok(site)
    }
}

fn read_auth(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<KojiAuth, Fault> {
    let mut fields = item.fields()?;
    let path = |item: &Item<'_>| scalar::path(item, base);
    let auth = KojiAuth {
        krb_principal: text(&mut fields, "krb_principal")?,
        krb_keytab_path: text(&mut fields, "krb_keytab_path")?,
        krb_cache_path: text(&mut fields, "krb_cache_path")?,
        ssl_certs_dir: fields.read("ssl_certs_dir", path)?,
        proxyuser: text(&mut fields, "proxyuser")?,
        user: text(&mut fields, "user")?,
        password_file: fields.read("password_file", path)?,
    };
    if auth.krb_principal.is_some() != auth.krb_keytab_path.is_some() {
        return Err(item.fault("krb_principal and krb_keytab_path belong together; one of them is missing"));
    }
    if auth.user.is_some() != auth.password_file.is_some() {
        return Err(item.fault("user and password_file belong together; one of them is missing"));
    }
    let ways = [auth.krb_principal.is_some(), auth.ssl_certs_dir.is_some(), auth.user.is_some()];
    if ways.iter().filter(|is_there| **is_there).count() > 1 {
        return Err(item.fault("more than one way to log in; keep krb_principal, ssl_certs_dir or user"));
    }
    fields.note_rest(notes);
    Ok(auth)
}

/// A text that may be missing.
pub(super) fn text(fields: &mut Fields<'_>, key: &'static str) -> Result<Option<String>, Fault> {
    fields.read(key, |item| item.text().map(str::to_owned))
}

/// An http or https URL without user and password, which would get into logs.
pub(super) fn url(item: &Item<'_>) -> Result<String, Fault> {
    let text = item.text_of("an http or https URL").map_err(Fault::undrawn)?;
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = host.map(|rest| rest.split('/').next().unwrap_or_default()).unwrap_or_default();
    if host.contains('@') {
        return Err(item.fault("a URL with a user name or password; credentials go into `auth`").undrawn());
    }
    let is_url = !host.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if is_url { Ok(text.to_owned()) } else { Err(item.expected("an http or https URL")) }
}
