//! Repositories as one build sees them: `repomd.xml` fetched once, and what it vouches for.
//!
//! Comes in: places of rewritten URLs. Goes out: for a path inside a repository the checksum, size and URLs of the
//! file, or why it is not served. Nothing unverified is believed: `repomd.xml` is as good as its server, or as its
//! metalink's checksums; the primary metadata is what `repomd.xml` says; packages are what primary says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{Url, shown};
use oci::{Digest, Hasher};
use rpm::repository::{Checksum, ChecksumAlgorithm, MetadataFile, Metalink, Repomd, parse_mirrorlist, read_primary};
use tracing::{debug, info};

use crate::Shared;
use crate::blob::Wanted;
use crate::exchange::Refusal;
use crate::path::decode;
use crate::sources::{Kind, Place, Upstream};
use crate::upstream::Attempts;

/// Repositories of one build, counted with every value of their variables.
const MOST_REPOSITORIES: usize = 200;
/// Mirrors tried for one file.
const MOST_MIRRORS: usize = 10;
/// Largest `repomd.xml`, metalink, mirror list and signature, in bytes.
const MAX_SMALL: usize = 4 << 20;
/// Largest metadata file whose size `repomd.xml` does not say, in bytes.
const MAX_UNSIZED: u64 = 1 << 30;
/// Most bytes of paths and checksums kept for one repository's packages.
const MAX_INDEX: usize = 512 << 20;

/// All repositories of one build.
#[derive(Debug, Default)]
pub(crate) struct Repositories {
    states: Mutex<HashMap<(String, Kind, String), Arc<Repository>>>,
}

/// One repository.
#[derive(Debug)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) upstream: Arc<Upstream>,
    kind: Kind,
    root: String,
    /// Held while somebody fetches, so that others wait instead of fetching too.
    state: Mutex<Option<Arc<State>>>,
    packages: Mutex<Option<Arc<Packages>>>,
}

/// What a repository is during this build.
#[derive(Debug)]
pub(crate) struct State {
    /// The bytes of `repomd.xml`.
    pub(crate) repomd: Vec<u8>,
    pub(crate) digest: Digest,
    /// Where it came from.
    pub(crate) url: Url,
    /// What vouches for it, if there was a metalink.
    pub(crate) verified_by: Option<String>,
    /// Bytes fetched to learn all that.
    pub(crate) fetched: u64,
    files: Vec<MetadataFile>,
    /// Where the repository is, first the one that `repomd.xml` came from; with a slash last.
    mirrors: Vec<Url>,
}

/// Packages by decoded path.
type Packages = HashMap<Box<str>, Package>;

#[derive(Debug)]
struct Package {
    /// `sha256:…` or `sha512:…`; else the name of the weak algorithm.
    checksum: Result<Box<str>, Box<str>>,
    size: u64,
}

impl Repositories {
    /// The repository at `place`.
    ///
    /// # Errors
    /// A refusal when there are too many.
    pub(crate) fn at(&self, place: &Place) -> Result<Arc<Repository>, Refusal> {
        let mut states = lock(&self.states);
        let key = (place.id.clone(), place.kind, place.root.clone());
        if let Some(known) = states.get(&key) {
            return Ok(Arc::clone(known));
        }
        if states.len() >= MOST_REPOSITORIES {
            return Err(Refusal::forbidden(format!("one build can use {MOST_REPOSITORIES} repositories at most")));
        }
        let repository = Arc::new(Repository {
            name: place.repository.clone(),
            upstream: Arc::clone(&place.upstream),
            kind: place.kind,
            root: place.root.clone(),
            state: Mutex::default(),
            packages: Mutex::default(),
        });
        states.insert(key, Arc::clone(&repository));
        Ok(repository)
    }
}

/// What is asked for inside a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// `repomd.xml` itself.
    Repomd,
    /// Its signature, or the key for that.
    Signature,
    /// Another file below `repodata/`.
    Metadata,
    /// Anything else must be a package.
    Package,
}

impl Inside {
    pub(crate) fn of(path: &str) -> Self {
        match path {
            "repodata/repomd.xml" => Self::Repomd,
            "repodata/repomd.xml.asc" | "repodata/repomd.xml.key" => Self::Signature,
            other if other.starts_with("repodata/") => Self::Metadata,
            _ => Self::Package,
        }
    }
}

impl Repository {
    /// The repository's state, and the bytes fetched for it just now.
    pub(crate) fn state(&self, shared: &Shared) -> Result<(Arc<State>, u64), Refusal> {
        let mut state = lock(&self.state);
        if let Some(known) = &*state {
            return Ok((Arc::clone(known), 0));
        }
        let loaded = Arc::new(self.load(shared)?);
        info!(repository = self.name, url = shown(&loaded.url), digest = %loaded.digest, "repository read");
        *state = Some(Arc::clone(&loaded));
        let fetched = loaded.fetched;
        Ok((loaded, fetched))
    }

    fn load(&self, shared: &Shared) -> Result<State, Refusal> {
        let list = self.mirrors(shared)?;
        let attempts = if list.mirrors.len() > 1 { Attempts::Once } else { Attempts::Patient };
        let mut problem = self.refuse("it has no mirrors that can be used");
        for mirror in list.mirrors.iter().take(MOST_MIRRORS) {
            match self.load_from(shared, mirror, &list, attempts) {
                Ok(state) => return Ok(state),
                Err(refusal) => {
                    debug!(repository = self.name, why = refusal.why, "trying the next mirror");
                    problem = refusal;
                }
            }
        }
        Err(problem)
    }

    fn load_from(&self, shared: &Shared, mirror: &Url, list: &Mirrors, attempts: Attempts) -> Result<State, Refusal> {
        let url = inside(mirror, "repodata/repomd.xml").ok_or_else(|| self.refuse("its URL is malformed"))?;
        let repomd = shared.get(&self.upstream, &url, attempts)?.bytes(MAX_SMALL)?;
        let digest = Digest::of(&repomd);
        let verified_by = self.check_metalink(&repomd, list, &url)?;
        let files = Repomd::parse(&repomd).map_err(|error| self.refuse(&error.to_string()))?.files;
        let mut mirrors = vec![mirror.clone()];
        mirrors.extend(list.mirrors.iter().filter(|other| *other != mirror).cloned());
        mirrors.truncate(MOST_MIRRORS);
        let fetched = list.fetched + repomd.len() as u64;
        Ok(State { repomd, digest, url, verified_by, fetched, files, mirrors })
    }

    /// Compares `repomd.xml` with what the metalink says, if there is one.
    fn check_metalink(&self, repomd: &[u8], list: &Mirrors, url: &Url) -> Result<Option<String>, Refusal> {
        let Some(expected) = &list.expected else { return Ok(None) };
        let mut strong = expected.iter().filter_map(|checksum| Some((checksum, digest(checksum)?))).peekable();
        if strong.peek().is_none() {
            return Err(self.weak("its metalink", expected.first().map_or("no checksum", |known| name(known))));
        }
        let found = strong.find(|(_, digest)| {
            let mut hasher = Hasher::new(digest.algorithm());
            hasher.update(repomd);
            hasher.finish() == *digest
        });
        match found {
            Some((checksum, _)) => Ok(Some(format!("{checksum} in metalink"))),
            None => Err(self.refuse(&format!("{} is not the file its metalink describes", shown(url)))),
        }
    }

    /// Where the repository is.
    fn mirrors(&self, shared: &Shared) -> Result<Mirrors, Refusal> {
        let base = &self.upstream.hidden.base;
        let malformed = || self.refuse("its URL is malformed");
        if self.kind == Kind::Base {
            let mut url = base.join(&format!("{}/", self.root)).map_err(|_| malformed())?;
            url.set_query(self.upstream.hidden.query.as_ref().map(http::Secret::reveal));
            return Ok(Mirrors { mirrors: vec![url], expected: None, fetched: 0 });
        }
        let url = base.join(&self.root).map_err(|_| malformed())?;
        let bytes = shared.get(&self.upstream, &url, Attempts::Patient)?.bytes(MAX_SMALL)?;
        let fetched = bytes.len() as u64;
        // dnf, too, tells a metalink by what it is: `mirrorlist=` often names one.
        let (mirrors, expected) = if bytes.trim_ascii_start().starts_with(b"<") {
            let metalink = Metalink::parse(&bytes).map_err(|error| self.refuse(&error.to_string()))?;
            (metalink.mirrors, Some(metalink.repomd))
        } else {
            (parse_mirrorlist(&bytes), None)
        };
        let mirrors = mirrors.iter().filter_map(|mirror| mirror_url(mirror)).collect();
        Ok(Mirrors { mirrors, expected, fetched })
    }

    /// A file of the metadata that `repomd.xml` lists.
    pub(crate) fn metadata(&self, state: &State, path: &str) -> Result<Wanted, Refusal> {
        let path = decode(path);
        let file = state.files.iter().find(|file| decode(&file.href) == path);
        let file = file.ok_or_else(|| {
            Refusal::missing(format!("{path} is not listed in repodata/repomd.xml of the repository {}", self.name))
        })?;
        self.wanted(state, file)
    }

    fn wanted(&self, state: &State, file: &MetadataFile) -> Result<Wanted, Refusal> {
        let digest = digest(&file.checksum).ok_or_else(|| self.weak(&file.href, name(&file.checksum)))?;
        let verified_by = format!("{digest} in repodata/repomd.xml");
        let urls = state.urls(&file.href);
        Ok(Wanted { digest, size: file.size, limit: file.size.unwrap_or(MAX_UNSIZED), urls, verified_by })
    }

    /// A package that the primary metadata lists; and the bytes fetched to learn that.
    pub(crate) fn package(&self, shared: &Shared, state: &State, path: &str) -> Result<(Wanted, u64), Refusal> {
        let primary = state.files.iter().find(|file| file.kind == "primary");
        let primary = primary.ok_or_else(|| self.refuse("its repomd.xml lists no primary metadata"))?;
        let (packages, fetched) = self.packages(shared, state, primary)?;
        let package = packages.get(decode(path).as_str()).ok_or_else(|| {
            Refusal::missing(format!("{path} is not listed in the primary metadata of the repository {}", self.name))
        })?;
        let digest = match &package.checksum {
            Ok(text) => text.parse().map_err(|error: oci::DigestError| self.refuse(&error.to_string()))?,
            Err(algorithm) => return Err(self.weak(path, algorithm)),
        };
        let verified_by = format!("{digest} in {}", primary.href);
        let urls = state.urls(path);
        Ok((Wanted { digest, size: Some(package.size), limit: package.size, urls, verified_by }, fetched))
    }

    fn packages(
        &self,
        shared: &Shared,
        state: &State,
        primary: &MetadataFile,
    ) -> Result<(Arc<Packages>, u64), Refusal> {
        let mut packages = lock(&self.packages);
        if let Some(known) = &*packages {
            return Ok((Arc::clone(known), 0));
        }
        let wanted = self.wanted(state, primary)?;
        let kept = shared.keep(&wanted, &self.upstream)?;
        let file = shared.store.blob(&kept.digest)?;
        let read = Arc::new(self.read_packages(file, &primary.href)?);
        debug!(repository = self.name, packages = read.len(), "primary metadata read");
        *packages = Some(Arc::clone(&read));
        Ok((read, kept.fetched))
    }

    fn read_packages(&self, file: std::fs::File, href: &str) -> Result<Packages, Refusal> {
        let (mut packages, mut bytes) = (Packages::new(), 0);
        let read = read_primary(std::io::BufReader::new(file), href, &mut |package| {
            // A package below another base is asked for there, not here.
            if package.base.is_some() || bytes > MAX_INDEX {
                return;
            }
            let checksum = match package.checksum.digest_text() {
                Some(text) => Ok(text.into_boxed_str()),
                None => Err(name(&package.checksum).into()),
            };
            let path = decode(&package.href).into_boxed_str();
            bytes += path.len() + package.checksum.hex.len();
            packages.insert(path, Package { checksum, size: package.size });
        });
        read.map_err(|error| self.refuse(&error.to_string()))?;
        if bytes > MAX_INDEX {
            return Err(self.refuse(&format!("its list of packages takes more than {MAX_INDEX} bytes")));
        }
        Ok(packages)
    }

    /// A signature of `repomd.xml`, or the key for it, from the server that had it.
    pub(crate) fn signature(&self, shared: &Shared, state: &State, path: &str) -> Result<Vec<u8>, Refusal> {
        let url = state.urls(path).into_iter().next().ok_or_else(|| self.refuse("its URL is malformed"))?;
        Ok(shared.get(&self.upstream, &url, Attempts::Patient)?.bytes(MAX_SMALL)?)
    }

    fn refuse(&self, why: &str) -> Refusal {
        Refusal::failed(format!("repository {}: {why}", self.name))
    }

    fn weak(&self, what: &str, algorithm: &str) -> Refusal {
        self.refuse(&format!(
            "{what} has only a {algorithm} checksum, which proves nothing; make the repository anew with createrepo_c --checksum sha256"
        ))
    }
}

/// Where `repomd.xml` may be fetched, and what it must be.
#[derive(Debug)]
struct Mirrors {
    mirrors: Vec<Url>,
    /// Only of a metalink: one of these.
    expected: Option<Vec<Checksum>>,
    fetched: u64,
}

impl State {
    /// Where `path` may be fetched, in order.
    fn urls(&self, path: &str) -> Vec<Url> {
        self.mirrors.iter().filter_map(|mirror| inside(mirror, path)).collect()
    }
}

/// The URL of `path` below `base`; the query of `base` stays.
fn inside(base: &Url, path: &str) -> Option<Url> {
    let mut url = base.clone();
    crate::path::check(path).ok()?;
    url.set_path(&format!("{}{path}", base.path()));
    Some(url)
}

/// A mirror as a list gives it.
fn mirror_url(text: &str) -> Option<Url> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Some(url)
}

fn digest(checksum: &Checksum) -> Option<Digest> {
    checksum.digest_text()?.parse().ok()
}

fn name(checksum: &Checksum) -> &str {
    match &checksum.algorithm {
        ChecksumAlgorithm::Sha256 => "sha256",
        ChecksumAlgorithm::Sha512 => "sha512",
        ChecksumAlgorithm::Weak(name) => name,
    }
}

/// The value, also after a panic of another holder: it is only ever replaced as a whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
