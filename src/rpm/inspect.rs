//! From the rows of a database to packages with verdicts.
//!
//! What comes in: rows, the site's keyring, a policy. What goes out: one [`Package`] for each row, in a
//! stable order, whatever the row holds: a row that cannot be read is reported, never skipped (a forged
//! row that rpm skips is an attack that was seen). Decides nothing about the image.

use std::borrow::Cow;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::database::Row;
use crate::header::{Header, HeaderAnomaly, HeaderError, Section, hex, tag};
use crate::keys::{KeyId, Keyring};
use crate::nevra::Nevra;
use crate::signature::{self, Policy, Verdict};

/// Rows a thread must have to be worth starting.
const ROWS_PER_THREAD: usize = 16;
/// Most threads that are started.
const MAX_THREADS: usize = 16;

/// One row of a package database.
///
/// Serialises to an object with these names; absent values are `null`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Number of the row in its database.
    pub hnum: u32,
    /// From the signed part; absent where the header cannot be read.
    pub nevra: Option<Nevra>,
    /// From the signed part.
    pub vendor: Option<String>,
    /// From the signed part.
    pub license: Option<String>,
    /// File name of the source package, from the signed part.
    pub source_rpm: Option<String>,
    /// Seconds since 1970, from the signed part.
    pub buildtime: Option<u32>,
    /// Installed size in bytes, from the signed part.
    pub size: Option<u64>,
    /// Seconds since 1970. **Unsigned**: rpm's note at installation.
    pub installtime: Option<u32>,
    /// Hexadecimal MD5 of the package file's header and payload. **Unsigned**.
    pub sigmd5: Option<String>,
    /// Hexadecimal SHA-256 of the signed part, computed here.
    pub sha256header: Option<String>,
    /// Keys named by the header signatures, whatever became of them.
    pub signatures: Vec<KeyId>,
    /// What is to be thought of the package.
    pub verdict: Verdict,
    /// What honest software does not write into a row.
    pub anomalies: Vec<HeaderAnomaly>,
}

impl Package {
    /// Whether this is a key that the image's rpm trusts, not a package.
    #[must_use]
    pub fn is_gpg_pubkey(&self) -> bool {
        matches!(self.verdict, Verdict::ImportedKey { .. })
    }

    /// The package's name as rpm prints it, or the number of its row.
    #[must_use]
    pub fn label(&self) -> String {
        self.nevra.as_ref().map_or_else(|| format!("row {}", self.hnum), ToString::to_string)
    }

    fn unreadable(hnum: u32, error: &HeaderError) -> Self {
        Self {
            hnum,
            nevra: None,
            vendor: None,
            license: None,
            source_rpm: None,
            buildtime: None,
            size: None,
            installtime: None,
            sigmd5: None,
            sha256header: None,
            signatures: Vec::new(),
            verdict: error.into(),
            anomalies: Vec::new(),
        }
    }
}

/// Judges every row; the result is sorted by NEVRA, then by row, unreadable rows first.
///
/// Rows are spread over threads; the result does not depend on their number.
#[must_use]
pub fn inspect(rows: &[Row], keyring: &Keyring, policy: &Policy) -> Vec<Package> {
    let processors = thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    let threads = processors.min(rows.len() / ROWS_PER_THREAD).max(1);
    let mut packages = inspect_with(threads, rows, keyring, policy);
    packages.sort_by(|a, b| (&a.nevra, a.hnum).cmp(&(&b.nevra, b.hnum)));
    packages
}

fn inspect_with(threads: usize, rows: &[Row], keyring: &Keyring, policy: &Policy) -> Vec<Package> {
    let judge = |rows: &[Row]| -> Vec<Package> { rows.iter().map(|row| inspect_row(row, keyring, policy)).collect() };
    if threads < 2 {
        return judge(rows);
    }
    thread::scope(|scope| {
        let parts = rows.chunks(rows.len().div_ceil(threads));
        let running: Vec<_> = parts.map(|part| scope.spawn(move || judge(part))).collect();
        let done = running.into_iter().map(thread::ScopedJoinHandle::join);
        // A panic in a thread is a bug of ours and stays one.
        done.flat_map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

/// Judges one row.
#[must_use]
pub fn inspect_row(row: &Row, keyring: &Keyring, policy: &Policy) -> Package {
    match Header::parse(&row.blob).and_then(|header| Ok((header.nevra()?, header))) {
        Ok((nevra, header)) => describe(row.hnum, nevra, &header, keyring, policy),
        Err(error) => Package::unreadable(row.hnum, &error),
    }
}

fn describe(hnum: u32, nevra: Nevra, header: &Header<'_>, keyring: &Keyring, policy: &Policy) -> Package {
    let (region, dribbles) = (header.region(), header.dribbles());
    let signed = header.signed_bytes();
    let judgement = signature::judge(header, &signed, keyring, policy);
    let contradicted = judgement.contradicted.into_iter().map(|key| HeaderAnomaly::BadSignature { key });
    let mut anomalies = header.anomalies(&signed);
    anomalies.extend(contradicted);
    let text = |tag| region.string(tag).map(Cow::into_owned);
    Package {
        hnum,
        nevra: Some(nevra),
        vendor: text(tag::VENDOR),
        license: text(tag::LICENSE),
        source_rpm: text(tag::SOURCE_RPM),
        buildtime: region.u32(tag::BUILD_TIME),
        size: size(region),
        installtime: dribbles.u32(tag::INSTALL_TIME),
        sigmd5: dribbles.binary(tag::SIG_MD5).filter(|md5| md5.len() == 16).map(hex),
        sha256header: Some(Header::sha256(&signed)),
        signatures: judgement.keys,
        verdict: judgement.verdict,
        anomalies,
    }
}

fn size(region: Section<'_>) -> Option<u64> {
    let long = region.u64s(tag::LONG_SIZE).and_then(|sizes| sizes.first().copied());
    long.or_else(|| region.u32(tag::SIZE).map(u64::from))
}

#[cfg(test)]
mod tests;
