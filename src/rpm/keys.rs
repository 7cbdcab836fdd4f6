//! The OpenPGP keys a site trusts for packages.
//!
//! What comes in: key files of the site's configuration, armoured (any number of blocks, with text
//! around them) or binary. What goes out: a [`Keyring`] in which every certificate's bindings,
//! revocations and expiry have been verified once, so that a signature needs one look-up.
//!
//! Nothing from an image is ever added to a keyring; for keys that an image trusts there is
//! [`fingerprints`], which only names them. Revocation by a third party (a designated revoker) is not
//! followed: the site removes such a key from its configuration.

mod certificate;
mod id;
mod read;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::{fs, io};

pub use certificate::{Certificate, SigningKey};
pub use id::{Fingerprint, KeyId, ParseIdError};

/// Largest key file that is read, in bytes.
pub const MAX_KEY_FILE: u64 = 4 * 1024 * 1024;

/// Why keys could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key file or directory could not be read.
    #[error("{path}: cannot read the OpenPGP keys")]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A key file is larger than [`MAX_KEY_FILE`].
    #[error("{label}: larger than {MAX_KEY_FILE} bytes, which no key file is")]
    TooLarge {
        /// The file.
        label: String,
    },
    /// A directory holds no file with the name of a key file.
    #[error("{path}: no key file in it (*.asc, *.gpg, *.pub or RPM-GPG-KEY*)")]
    EmptyDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// The bytes are neither armoured nor binary OpenPGP data.
    #[error("{label}: not OpenPGP data: {why}")]
    Parse {
        /// The file.
        label: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no certificate in the file, or none that can verify a package signature.
    #[error("{label}: no usable public key: {why}")]
    NoUsableKey {
        /// The file.
        label: String,
        /// What was found instead.
        why: String,
    },
}

/// Certificates whose signatures count.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
}

impl Keyring {
    /// Reads key files, and all key files of directories, in the order given.
    ///
    /// Of a directory, regular files named `*.asc`, `*.gpg`, `*.pub` or `RPM-GPG-KEY*` are read, by name.
    ///
    /// # Errors
    /// [`KeyError`] names the first file that cannot be read, or that holds no usable key.
    pub fn load<P: AsRef<Path>>(paths: &[P]) -> Result<Self, KeyError> {
        let mut keyring = Self::default();
        for path in paths {
            for file in key_files(path.as_ref())? {
                keyring.add(&file.display().to_string(), &read_file(&file)?)?;
            }
        }
        Ok(keyring)
    }

    /// Adds every usable certificate in `bytes`; `label` names their origin in errors.
    ///
    /// A certificate already present is merged: a revocation in either copy counts.
    ///
    /// # Errors
    /// [`KeyError::Parse`] and [`KeyError::NoUsableKey`]; nothing is added then.
    pub fn add(&mut self, label: &str, bytes: &[u8]) -> Result<(), KeyError> {
        let mut refused = Vec::new();
        let mut usable = Vec::new();
        for key in read::public_keys(label, bytes)? {
            match Certificate::evaluate(key) {
                Ok(certificate) => usable.push(certificate),
                Err(why) => refused.push(why),
            }
        }
        if usable.is_empty() {
            let why = if refused.is_empty() { "it holds no key".into() } else { refused.join("; ") };
            return Err(KeyError::NoUsableKey { label: label.to_owned(), why });
        }
        usable.into_iter().for_each(|certificate| self.merge(certificate));
        Ok(())
    }

    fn merge(&mut self, new: Certificate) {
        let known = self.certificates.iter_mut().find(|old| old.fingerprint() == new.fingerprint());
        match known {
            Some(old) => old.merge(new),
            None => self.certificates.push(new),
        }
    }

    /// The certificates, in the order they were added.
    #[must_use]
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// Every primary key and subkey with that key id, with its certificate.
    pub(crate) fn find(&self, id: KeyId) -> impl Iterator<Item = (&Certificate, &SigningKey)> {
        let keys = |certificate| Certificate::keys(certificate).iter().map(move |key| (certificate, key));
        self.certificates.iter().flat_map(keys).filter(move |(_, key)| key.id() == id)
    }
}

/// The fingerprints of the primary keys in armoured or binary data nobody vouches for.
///
/// Nothing is verified, so this may only be shown. Data that cannot be parsed has none.
#[must_use]
pub fn fingerprints(bytes: &[u8]) -> Vec<Fingerprint> {
    let keys = read::public_keys("imported key", bytes).unwrap_or_default();
    keys.iter().map(Fingerprint::of).collect()
}

fn key_files(path: &Path) -> Result<Vec<PathBuf>, KeyError> {
    let error = |source| KeyError::Read { path: path.to_owned(), source };
    if !fs::metadata(path).map_err(error)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        let file = entry.map_err(error)?.path();
        if is_key_file_name(&file) && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(KeyError::EmptyDirectory { path: path.to_owned() }) } else { Ok(files) }
}

fn is_key_file_name(path: &Path) -> bool {
    let named = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"RPM-GPG-KEY"));
    named || path.extension().is_some_and(|ext| ["asc", "gpg", "pub"].iter().any(|known| ext == *known))
}

fn read_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    let error = |source| KeyError::Read { path: path.to_owned(), source };
    let length = fs::metadata(path).map_err(error)?.len();
    if length > MAX_KEY_FILE {
        return Err(KeyError::TooLarge { label: path.display().to_string() });
    }
    fs::read(path).map_err(error)
}
