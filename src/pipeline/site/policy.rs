//! Whom to trust, and what an image must prove.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::Fault;
use super::fields::{Fields, Item};
use super::scalar;

/// The trust anchors for signatures of packages. Keys never come from an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Keys {
    /// Files with OpenPGP certificates, armoured or not.
    pub files: Vec<PathBuf>,
    /// Directories whose files hold such certificates.
    pub directories: Vec<PathBuf>,
}

impl Keys {
    /// Files and directories, in this order.
    #[must_use]
    pub fn paths(&self) -> Vec<&Path> {
        self.files.iter().chain(&self.directories).map(PathBuf::as_path).collect()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.directories.is_empty()
    }

    pub(super) fn read(item: &Item<'_>, base: &Path) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let paths = |item: &Item<'_>| item.each(|one| scalar::path(one, base));
        let files = fields.read("files", paths)?.unwrap_or_default();
        let directories = fields.read("directories", paths)?.unwrap_or_default();
        fields.refuse_rest()?;
        Ok(Self { files, directories })
    }
}

/// What an image must prove before it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Policy {
    /// What signatures of packages are for; none where the file does not say, see [`Policy::signatures`].
    pub signatures: Option<SignaturePolicy>,
    /// Names of packages that need no signature. A signature that does not stand is refused all the same.
    pub allowed_unsigned: Vec<String>,
    /// What a key's expiry means for signatures made before it.
    pub expired_keys: ExpiredKeyPolicy,
}

/// What signatures of packages are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignaturePolicy {
    /// An image with a package that is not proven is refused.
    Required,
    /// Such packages are reported and published.
    Report,
    /// Nobody looks.
    Off,
}

/// What a key's expiry means for signatures made before it. As in [`rpm::signature::ExpiredKeys`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExpiredKeyPolicy {
    /// They stay good, as old packages of a distribution must.
    #[default]
    GoodIfSignedBefore,
    /// They are refused once the key is expired.
    Refuse,
}

impl Policy {
    /// The rule in force: what the file says, else required where there are keys and off where there are none.
    #[must_use]
    pub fn signatures(&self, has_keys: bool) -> SignaturePolicy {
        let usual = if has_keys { SignaturePolicy::Required } else { SignaturePolicy::Off };
        self.signatures.unwrap_or(usual)
    }

    pub(super) fn read(item: &Item<'_>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let signatures = fields.read("signatures", signature_policy)?;
        let allowed_unsigned = fields.read("allowed_unsigned", |item| item.each(package))?.unwrap_or_default();
        let expired_keys = read_expired(&mut fields)?;
        fields.refuse_rest()?;
        Ok(Self { signatures, allowed_unsigned, expired_keys })
    }
}

fn signature_policy(item: &Item<'_>) -> Result<SignaturePolicy, Fault> {
    // YAML reads `off` without quotes as false.
    match item.boolean() {
        Ok(false) => Ok(SignaturePolicy::Off),
        Ok(true) | Err(_) => match item.any_text("required, report or off")? {
            "required" => Ok(SignaturePolicy::Required),
            "report" => Ok(SignaturePolicy::Report),
            "off" => Ok(SignaturePolicy::Off),
            _ => Err(item.expected("required, report or off")),
        },
    }
}

fn read_expired(fields: &mut Fields<'_>) -> Result<ExpiredKeyPolicy, Fault> {
    const KIND: &str = "good-if-signed-before or refuse";
    let read = |item: &Item<'_>| match item.any_text(KIND)? {
        "good-if-signed-before" => Ok(ExpiredKeyPolicy::GoodIfSignedBefore),
        "refuse" => Ok(ExpiredKeyPolicy::Refuse),
        _ => Err(item.expected(KIND)),
    };
    Ok(fields.read("expired_keys", read)?.unwrap_or_default())
}

/// A package's name: exact, for a pattern would let in what nobody thought of.
fn package(item: &Item<'_>) -> Result<String, Fault> {
    let name = item.text_of("the name of a package")?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte));
    if is_name {
        return Ok(name.to_owned());
    }
    Err(item.expected("the name of a package").help("names are exact: list each package, without version or pattern"))
}
