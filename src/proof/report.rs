//! What is to be said of an image's packages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use rpm::database::Row;
use rpm::header::HeaderAnomaly;
use rpm::signature::BadSignature;
use rpm::{Keyring, Package, Policy, Verdict};
use serde::{Deserialize, Serialize};

use crate::{Collected, Database, Distribution};

/// Everything found in an image's package databases. Serialises to the JSON of `stratum inspect`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The databases, by path in the image.
    pub databases: Vec<PathBuf>,
    /// The packages, by name; keys the image trusts are not among them.
    pub packages: Vec<Package>,
    /// Keys the image's own rpm trusts. They prove nothing here.
    pub imported_keys: Vec<Package>,
    /// What follows, the worst first.
    pub findings: Vec<Finding>,
    /// The distribution that the image says it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,
}

/// One thing somebody should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is.
    pub code: Code,
    /// The package or file.
    pub subject: String,
    /// The whole sentence about the subject.
    pub message: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The gate stays shut.
    Error,
    /// Worth a look.
    Warning,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// There is no package database.
    NoDatabase,
    /// A database cannot be read.
    DatabaseUnreadable,
    /// Two databases of one image differ.
    DatabasesDiffer,
    /// No signature.
    Unsigned,
    /// Only a signature that a database cannot prove.
    LegacyOnly,
    /// A signature that does not stand.
    Bad,
    /// Signed by a key that is not trusted.
    UnknownKey,
    /// Signed after the key's end.
    Expired,
    /// Signed by a revoked key.
    Revoked,
    /// Signed over a weak hash.
    WeakHash,
    /// A header or signature that is not well formed.
    Malformed,
    /// A row that was changed behind rpm's back.
    Tampered,
}

impl Display for Code {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoDatabase => "no-database",
            Self::DatabaseUnreadable => "database-unreadable",
            Self::DatabasesDiffer => "databases-differ",
            Self::Unsigned => "unsigned",
            Self::LegacyOnly => "legacy-only",
            Self::Bad => "bad",
            Self::UnknownKey => "unknown-key",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::WeakHash => "weak-hash",
            Self::Malformed => "malformed",
            Self::Tampered => "tampered",
        })
    }
}

/// The gate's answer when it stays shut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the image was not published: {}", summary(.findings))]
pub struct Refused {
    /// The findings that shut it.
    pub findings: Vec<Finding>,
}

fn summary(findings: &[Finding]) -> String {
    const SHOWN: usize = 20;
    let mut lines: Vec<String> =
        findings.iter().take(SHOWN).map(|finding| format!("{}: {}", finding.subject, finding.message)).collect();
    if findings.len() > SHOWN {
        lines.push(format!("and {} more", findings.len() - SHOWN));
    }
    lines.join("\n  ")
}

impl Report {
    /// How many packages have each verdict, by its name.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for package in &self.packages {
            *counts.entry(verdict_name(&package.verdict)).or_insert(0) += 1;
        }
        counts
    }

    /// Opens the gate, or says why not.
    ///
    /// # Errors
    /// [`Refused`] with every finding of severity [`Severity::Error`].
    pub fn gate(&self) -> Result<(), Refused> {
        let findings: Vec<Finding> =
            self.findings.iter().filter(|finding| finding.severity == Severity::Error).cloned().collect();
        if findings.is_empty() { Ok(()) } else { Err(Refused { findings }) }
    }
}

/// The word for a verdict, as in the JSON.
#[must_use]
pub fn verdict_name(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Good { .. } => "good",
        Verdict::ImportedKey { .. } => "imported-key",
        Verdict::Unsigned => "unsigned",
        Verdict::LegacyOnly => "legacy-only",
        Verdict::Bad { .. } => "bad",
        Verdict::UnknownKey { .. } => "unknown-key",
        Verdict::Expired { .. } => "expired",
        Verdict::Revoked { .. } => "revoked",
        Verdict::WeakHash { .. } => "weak-hash",
        Verdict::Malformed { .. } => "malformed",
    }
}

/// Reads and judges what was `collected`; `scratch` is an existing directory for copies that do not stay.
///
/// Nothing is skipped: a database that cannot be read is a finding, and so is an image that has none, because then
/// nothing is proven.
#[must_use]
pub fn examine(collected: &Collected, keyring: &Keyring, policy: &Policy, scratch: &Path) -> Report {
    let databases = &collected.databases;
    let mut findings = Vec::new();
    let mut read: Vec<(&Database, Vec<Row>)> = Vec::new();
    for database in databases {
        match rpm::database::read(&database.copy, scratch) {
            Ok(rows) => read.push((database, rows)),
            Err(error) => findings.push(unreadable(database, &error)),
        }
    }
    if databases.is_empty() {
        findings.push(error(
            Code::NoDatabase,
            "rpm",
            "there is no rpm database in the image, so nothing can be proven; build without --keys if it holds no packages",
        ));
    }
    findings.extend(differing(&read));
    // The rows of differing databases are all judged: what only one of them lists is in the report too.
    let mut seen = BTreeSet::new();
    let rows: Vec<Row> =
        read.iter().flat_map(|(_, rows)| rows).filter(|row| seen.insert(row.blob.as_slice())).cloned().collect();
    let judged = rpm::inspect(&rows, keyring, policy);
    findings.extend(judged.iter().filter_map(verdict_finding));
    findings.extend(judged.iter().flat_map(anomaly_findings));
    findings.sort();
    let (imported_keys, packages) = judged.into_iter().partition(Package::is_gpg_pubkey);
    let databases = databases.iter().map(|database| database.in_image.clone()).collect();
    Report { databases, packages, imported_keys, findings, distribution: collected.distribution.clone() }
}

fn error(code: Code, subject: &str, message: &str) -> Finding {
    Finding { severity: Severity::Error, code, subject: subject.to_owned(), message: message.to_owned() }
}

fn unreadable(database: &Database, cause: &rpm::database::DatabaseError) -> Finding {
    let mut message = cause.to_string().replace(&database.copy.display().to_string(), "the database");
    let mut source = std::error::Error::source(cause);
    while let Some(deeper) = source {
        message = format!("{message}: {deeper}");
        source = deeper.source();
    }
    error(Code::DatabaseUnreadable, &database.in_image.display().to_string(), &message)
}

fn differing(read: &[(&Database, Vec<Row>)]) -> Option<Finding> {
    let blobs = |rows: &[Row]| {
        let mut blobs: Vec<Vec<u8>> = rows.iter().map(|row| row.blob.clone()).collect();
        blobs.sort_unstable();
        blobs
    };
    let ((first, rows), others) = read.split_first()?;
    let (other, _) = others.iter().find(|(_, other)| blobs(other) != blobs(rows))?;
    let message = format!("does not list the same packages as {}", other.in_image.display());
    Some(error(Code::DatabasesDiffer, &first.in_image.display().to_string(), &message))
}

fn verdict_finding(package: &Package) -> Option<Finding> {
    let (code, message) = match &package.verdict {
        Verdict::Good { .. } | Verdict::ImportedKey { .. } => return None,
        Verdict::Unsigned => (Code::Unsigned, "is not signed".to_owned()),
        Verdict::LegacyOnly => {
            (Code::LegacyOnly, "has only a signature over header and payload, which a database cannot prove".to_owned())
        }
        Verdict::Bad { key, why } => (Code::Bad, format!("the signature of key {key} {}", bad(*why))),
        Verdict::UnknownKey { key } => {
            (Code::UnknownKey, format!("is signed by key {key}, which is not among the keys given"))
        }
        Verdict::Expired { key, .. } => (Code::Expired, format!("is signed by key {key} after its end")),
        Verdict::Revoked { key, .. } => (Code::Revoked, format!("is signed by key {key}, which is revoked")),
        Verdict::WeakHash { key, hash } => {
            (Code::WeakHash, format!("the signature of key {key} is over {hash}, which can be made to collide"))
        }
        Verdict::Malformed { why } => (Code::Malformed, format!("its header or signature is malformed: {why}")),
    };
    Some(error(code, &package.label(), &message))
}

fn bad(why: BadSignature) -> &'static str {
    match why {
        BadSignature::Mismatch => "does not match the package: one of the two was changed or exchanged",
        BadSignature::KeyMayNotSign => "does not count: the key may not sign",
        BadSignature::BeforeKey => "says it was made before the key existed",
        BadSignature::FromTheFuture => "says it was made in the future",
    }
}

fn anomaly_findings(package: &Package) -> Vec<Finding> {
    let describe = |anomaly: &HeaderAnomaly| match anomaly {
        HeaderAnomaly::Shadow { tag } => {
            (Severity::Error, format!("tag {tag} was added behind the signed part, where rpm would believe it"))
        }
        HeaderAnomaly::DigestMismatch { tag } => {
            (Severity::Error, format!("the digest in tag {tag} is not that of the header"))
        }
        HeaderAnomaly::BadSignature { key } => {
            (Severity::Error, format!("a second signature, of key {key}, does not match"))
        }
        HeaderAnomaly::UnknownDribble { tag } => {
            (Severity::Warning, format!("tag {tag} stands behind the signed part, where rpm does not write it"))
        }
        HeaderAnomaly::DuplicateDribble { tag } => {
            (Severity::Error, format!("tag {tag} stands twice behind the signed part"))
        }
    };
    let finding = |anomaly| {
        let (severity, message) = describe(anomaly);
        Finding { severity, code: Code::Tampered, subject: package.label(), message }
    };
    package.anomalies.iter().map(finding).collect()
}
