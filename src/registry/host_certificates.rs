//! Certificates by registry (containers-certs.d(5)): `DIR/HOST[:PORT]/` with CAs in `*.crt`, and a client certificate
//! in `*.cert` with its key in the `*.key` of the same name.
//!
//! Comes in: the directories that `cli` chose. Goes out: options that trust and show what lies there. The first
//! directory that has one for the registry counts.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use http::{CaBundle, ClientOptions, Identity, Secret};

/// Bytes in the largest file read.
const MAX_FILE: u64 = 1 << 20;

/// A file or directory that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{path}: cannot read the registry's certificates", path = path.display())]
pub struct CertificatesError {
    /// The file or directory.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// Adds what the `directories` have for `registry` to `options`; whether there is anything.
pub(crate) fn add(
    directories: &[PathBuf],
    registry: &str,
    options: &mut ClientOptions,
) -> Result<bool, CertificatesError> {
    let Some(directory) = directories.iter().map(|directory| directory.join(registry)).find(|path| path.is_dir())
    else {
        return Ok(false);
    };
    let failed = |source| CertificatesError { path: directory.clone(), source };
    let entries = fs::read_dir(&directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    let mut is_anything = false;
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => options.extra_roots.push(CaBundle { label: path.display().to_string(), pem: read(&path)? }),
            Some("cert") => options.identity = Some(identity(&path)?),
            Some(_) | None => continue,
        }
        is_anything = true;
    }
    Ok(is_anything)
}

fn identity(path: &Path) -> Result<Identity, CertificatesError> {
    let place = path.with_extension("key");
    let unreadable = |_| CertificatesError {
        path: place.clone(),
        source: io::Error::new(io::ErrorKind::InvalidData, "the key is not PEM text"),
    };
    let key = Secret::new(String::from_utf8(read(&place)?).map_err(unreadable)?);
    Ok(Identity { label: path.display().to_string(), certificates: read(path)?, key })
}

fn read(path: &Path) -> Result<Vec<u8>, CertificatesError> {
    let read = || {
        let mut bytes = Vec::new();
        fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 1 MiB"));
        }
        Ok(bytes)
    };
    read().map_err(|source| CertificatesError { path: path.to_owned(), source })
}
