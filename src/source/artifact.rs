//! Files that a repository names by URL and checksums, put below a folder of a clone.
//!
//! Comes in: a URL, checksums, the path below a directory. Goes out: the file there, when every checksum is right. No
//! path leads out of the directory: neither by `..` nor through a symbolic link that somebody committed. Nothing that is
//! there already is replaced.

mod error;
mod target;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use http::Client;
use oci::Digest;

use crate::download;
use crate::lookaside::{Algorithm, Sums};

pub use error::ArtifactError;
pub use target::{Target, TargetError};

/// A file to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Artifact {
    /// Where it is.
    pub url: String,
    /// Where it goes.
    pub target: Target,
    /// What it must be: every one of them, in lower case hex. At least one.
    pub checksums: Vec<(Algorithm, String)>,
}

/// A file that is there now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedArtifact {
    /// Its path below the directory.
    pub path: String,
    /// The SHA-256 of its bytes.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}

/// Puts `artifacts` below the directory `into`, in their order; `limit` is the largest of them, in bytes.
///
/// Files are made 0644, folders 0755. The first error ends it; what was right before it stays.
///
/// # Errors
/// [`ArtifactError`].
pub fn fetch(
    artifacts: &[Artifact],
    into: &Path,
    client: &Client,
    limit: u64,
) -> Result<Vec<FetchedArtifact>, ArtifactError> {
    artifacts.iter().map(|artifact| one(artifact, into, client, limit)).collect()
}

fn one(artifact: &Artifact, into: &Path, client: &Client, limit: u64) -> Result<FetchedArtifact, ArtifactError> {
    let place = artifact.target.open(into)?;
    let mut partial = place.create()?;
    let received = receive(artifact, &mut partial, client, limit);
    match received.and_then(|(digest, bytes)| place.name_it().map(|()| (digest, bytes))) {
        Ok((digest, bytes)) => Ok(FetchedArtifact { path: artifact.target.to_string(), digest, bytes }),
        Err(error) => {
            place.discard();
            Err(error)
        }
    }
}

/// The SHA-256 and size of what came into `file`.
fn receive(artifact: &Artifact, file: &mut File, client: &Client, limit: u64) -> Result<(Digest, u64), ArtifactError> {
    let came = download::fetch(client, &artifact.url, file, limit, None)?;
    let sha256 = artifact.checksums.iter().filter(|(algorithm, _)| *algorithm == Algorithm::Sha256);
    for (_, expected) in sha256 {
        compare(artifact, (Algorithm::Sha256, expected), came.digest.hex())?;
    }
    let others = artifact.checksums.iter().filter(|(algorithm, _)| *algorithm != Algorithm::Sha256);
    for (algorithm, expected) in others {
        let found = sum(file, *algorithm).map_err(|source| artifact.target.failure("read it again", source))?;
        compare(artifact, (*algorithm, expected), &found)?;
    }
    Ok((came.digest, came.bytes))
}

fn compare(artifact: &Artifact, (algorithm, expected): (Algorithm, &str), found: &str) -> Result<(), ArtifactError> {
    if found == expected {
        return Ok(());
    }
    let (path, url) = (artifact.target.to_string(), http::Url::parse(&artifact.url));
    let url = url.map_or_else(|_| String::new(), |url| http::shown(&url));
    Err(ArtifactError::Checksum { path, url, algorithm, expected: expected.to_owned(), found: found.to_owned() })
}

/// The checksum of a whole file, in hex.
fn sum(file: &mut File, algorithm: Algorithm) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut sums = Sums::new(algorithm);
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(sums.finish().0),
            length => sums.update(piece.get(..length).unwrap_or_default()),
        }
    }
}
