//! The compose service, and which keys stand for which intent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::error::{Fault, Note};
use super::fields::Item;
use super::koji::{text, url};
use super::scalar;

/// How long a compose is waited for where the file does not say.
const TIMEOUT: Duration = Duration::from_secs(3600);

/// A compose service (ODCS).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OdcsSite {
    /// The service, the version of its API included.
    pub api_url: String,
    /// Whether its certificate need not be valid.
    pub insecure: bool,
    /// How to log in.
    pub auth: OdcsAuth,
    /// What packages may be signed with, the most restrictive first.
    pub signing_intents: Vec<SigningIntent>,
    /// The intent of builds that name none; one of `signing_intents`.
    pub default_signing_intent: String,
    /// How long a compose is waited for, in seconds.
    #[serde(serialize_with = "seconds")]
    pub timeout: Duration,
}

/// How to log in at a compose service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OdcsAuth {
    /// The directory that holds `cert`.
    pub ssl_certs_dir: Option<PathBuf>,
    /// The directory that holds `token`.
    pub openidc_dir: Option<PathBuf>,
    /// A keytab of Kerberos.
    pub krb_keytab_path: Option<String>,
}

/// Keys that stand for how far a package may go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SigningIntent {
    /// Its name.
    pub name: String,
    /// The keys, hexadecimal; none for packages that need no signature.
    pub keys: Vec<String>,
    /// Keys that older composes have.
    pub deprecated_keys: Vec<String>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_secs())
}

impl OdcsSite {
    pub(super) fn read(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let api_url = url(&fields.need("api_url")?)?;
        let insecure = fields.read("insecure", Item::boolean)?.unwrap_or(false);
        let auth = match fields.take("auth") {
            Some(item) => read_auth(&item, base, notes)?,
            None => OdcsAuth::default(),
        };
        let signing_intents: Vec<SigningIntent> = fields.need("signing_intents")?.each(read_intent)?;
        let usual = fields.need("default_signing_intent")?;
        let default_signing_intent = usual.text()?.to_owned();
        if !signing_intents.iter().any(|intent| intent.name == default_signing_intent) {
            let names: Vec<&str> = signing_intents.iter().map(|intent| intent.name.as_str()).collect();
            return Err(usual.expected("the name of a signing intent").help(format!("there are {}", names.join(", "))));
        }
        let timeout = fields.read("timeout", scalar::duration)?.unwrap_or(TIMEOUT);
        fields.note_rest(notes);
        Ok(Self { api_url, insecure, auth, signing_intents, default_signing_intent, timeout })
    }
}

fn read_auth(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<OdcsAuth, Fault> {
    let mut fields = item.fields()?;
    let path = |item: &Item<'_>| scalar::path(item, base);
    let ssl_certs_dir = fields.read("ssl_certs_dir", path)?;
    let openidc_dir = fields.read("openidc_dir", path)?;
    let krb_keytab_path = text(&mut fields, "krb_keytab_path")?;
    fields.note_rest(notes);
    Ok(OdcsAuth { ssl_certs_dir, openidc_dir, krb_keytab_path })
}

fn read_intent(item: &Item<'_>) -> Result<SigningIntent, Fault> {
    let mut fields = item.fields()?;
    let name = fields.need("name")?.text()?.to_owned();
    let key = |item: &Item<'_>| item.text().map(str::to_owned);
    let keys = fields.need("keys")?.each(key)?;
    let deprecated_keys = fields.read("deprecated_keys", |item| item.each(key))?.unwrap_or_default();
    // A slip would let packages through, or none.
    fields.refuse_rest()?;
    Ok(SigningIntent { name, keys, deprecated_keys })
}
