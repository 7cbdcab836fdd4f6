//! What the stories share: a scratch folder, the binary, a registry, a distribution, pods, and an image reader.
#![allow(dead_code, reason = "a story uses what it needs; a part that waits for its first story stays")]

pub(crate) mod binary;
pub(crate) mod builder;
pub(crate) mod cluster;
pub(crate) mod distro;
pub(crate) mod gate;
pub(crate) mod git;
pub(crate) mod hub;
pub(crate) mod image;
pub(crate) mod odcs;
pub(crate) mod pod;
pub(crate) mod registry;
pub(crate) mod scratch;
pub(crate) mod tree;
pub(crate) mod web;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A path below `testdata/`.
pub(crate) fn testdata(path: &str) -> PathBuf {
    repository().join("testdata").join(path)
}

/// A path in the folder of shared test material beside the repository; skips aloud where it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let found = repository().join("../shared").join(path);
    if found.exists() {
        return Some(found.canonicalize().unwrap());
    }
    skip(&format!("../shared/{path} is not beside the repository"))
}

/// Says why a story does not run here.
pub(crate) fn skip<T>(why: &str) -> Option<T> {
    eprintln!("skipped: {why}");
    None
}

/// Where `name` is among the machine's programs; skips aloud where it is absent.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let places = ["/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = places.iter().map(|place| Path::new(place).join(name)).find(|path| path.exists());
    if found.is_none() {
        return skip(&format!("{name} is not installed"));
    }
    found
}

/// True where this process may become any user.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}
