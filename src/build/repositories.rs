//! `/etc/yum.repos.d` as a RUN step sees it: the image's files, those of the site, all leading through the gateway.
//!
//! A directory of the scratch lies over the image's while the step runs. It can be written to, because package
//! managers replace their repository files; what the step changed goes back into the image afterwards, with the
//! image's own URLs in it. What the site put there stays out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use gateway::{Gateway, Origin};
use oci::layer::open_inside;
use rustix::fs::{AtFlags, OFlags, unlinkat};
use sandbox::{Access, MountSource, Root, StepMount};
use source::{Kind, Tree};
use store::StoreError;

use crate::copy::{self, CopyRequest, Digests, Links, Mtime};
use crate::stage::{Failure, Workshop};
use crate::{BuildError, Event, InstructionError, Request};

/// Where repository files are.
pub(crate) const DIRECTORY: &str = "/etc/yum.repos.d";
/// Where variables are; the later counts.
const VARIABLES: [&str; 2] = ["/etc/yum/vars", "/etc/dnf/vars"];
/// Bytes of the largest variable.
const MAX_VARIABLE: u64 = 4096;
/// Bytes of the largest repository file that is looked into.
const MAX_FILE: u64 = 1 << 20;

/// The directory that lies over the image's during one step.
pub(crate) struct Repositories {
    /// Relative to the store.
    folder: PathBuf,
    /// The content of each file before the step.
    before: BTreeMap<PathBuf, Vec<u8>>,
    /// Files that are the site's.
    injected: BTreeSet<PathBuf>,
}

impl Repositories {
    /// Prepares the directory; none where the step sees the image's own.
    pub(crate) fn prepare(
        workshop: &Workshop<'_>,
        request: &Request,
        (root, sees_injected): (&Root, bool),
        gateway: Option<&Gateway>,
    ) -> Result<Option<Self>, Failure> {
        let own = own_files(root.dir());
        let given: Vec<_> = request.repositories.iter().filter(|file| file.is_seen(sees_injected)).collect();
        if given.is_empty() && (gateway.is_none() || own.is_none()) {
            return Ok(None);
        }
        let folder = workshop.store.scratch().fresh_folder("repositories").map_err(|error| failed(workshop, error))?;
        let path = workshop.store.path(&folder);
        open_to_all(&path).map_err(|error| failed(workshop, error))?;
        if let Some(own) = own {
            copy_all(workshop, &own, &path)?;
        }
        let variables = if gateway.is_some() { variables(root.dir()) } else { BTreeMap::new() };
        let mut repositories = Self { folder, before: BTreeMap::new(), injected: BTreeSet::new() };
        if let Some(gateway) = gateway {
            repositories.rewrite(workshop, &path, gateway, &variables)?;
        }
        for repository in given {
            let content = match gateway {
                Some(gateway) => gateway
                    .rewrite(&repository.name, &repository.content, Origin::Site, &variables)
                    .map_err(InstructionError::Gateway)?,
                None => repository.content.clone(),
            };
            let name = PathBuf::from(&repository.name);
            replace(&path.join(&name), &content).map_err(|error| failed(workshop, error))?;
            repositories.injected.insert(name);
        }
        repositories.before = contents(&path).map_err(|error| failed(workshop, error))?;
        Ok(Some(repositories))
    }

    /// How the directory gets into the step.
    pub(crate) fn mount(&self, workshop: &Workshop<'_>) -> StepMount {
        let source = MountSource::Bind { source: workshop.store.path(&self.folder), access: Access::Writable };
        StepMount { target: DIRECTORY.into(), source }
    }

    /// Makes the image's own repository files lead through the gateway.
    fn rewrite(
        &self,
        workshop: &Workshop<'_>,
        path: &Path,
        gateway: &Gateway,
        variables: &BTreeMap<String, String>,
    ) -> Result<(), Failure> {
        for (name, content) in contents(path).map_err(|error| failed(workshop, error))? {
            if name.extension().is_none_or(|extension| extension != "repo") {
                continue;
            }
            match gateway.rewrite(&name.display().to_string(), &content, Origin::Image, variables) {
                Ok(rewritten) if rewritten == content => {}
                Ok(rewritten) => {
                    keep_attributes(&path.join(&name), &rewritten).map_err(|error| failed(workshop, error))?;
                }
                Err(error) => {
                    let text = format!("{DIRECTORY}/{}: out of reach for steps: {error}", name.display());
                    (workshop.observer)(Event::Warning(&text));
                }
            }
        }
        Ok(())
    }

    /// Puts into the image what the step changed in the directory.
    pub(crate) fn finish(self, workshop: &Workshop<'_>, root: &Root, gateway: Option<&Gateway>) -> Result<(), Failure> {
        let path = workshop.store.path(&self.folder);
        let after = contents(&path).map_err(|error| failed(workshop, error))?;
        let is_own = |name: &PathBuf| !self.injected.contains(name);
        let mut changed = Vec::new();
        for (name, content) in after.iter().filter(|(name, _)| is_own(name)) {
            if self.before.get(name) == Some(content) {
                continue;
            }
            if let Some(restored) = gateway.map(|gateway| gateway.restore(content)).filter(|text| text != content) {
                keep_attributes(&path.join(name), &restored).map_err(|error| failed(workshop, error))?;
            }
            changed.push(name.clone());
        }
        if !changed.is_empty() {
            let back = tree(&path).map_err(|error| failed(workshop, error))?;
            copy::copy(root.dir(), &back, &changed, &whole(DIRECTORY.into()), workshop.owners)?;
        }
        for name in self.before.keys().filter(|name| is_own(name) && !after.contains_key(*name)) {
            remove(root.dir(), name).map_err(|error| failed(workshop, error))?;
        }
        Ok(())
    }
}

/// The image's own variables of dnf and yum (dnf.conf(5), "VARIABLES"): one a file, its first line.
fn variables(root: BorrowedFd<'_>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for place in VARIABLES {
        let Ok(directory) = open_inside(root, Path::new(place), OFlags::RDONLY | OFlags::DIRECTORY) else { continue };
        let tree = Tree::new(directory, Path::new(place), None);
        for entry in tree.walk(Path::new("")).unwrap_or_default() {
            let mut text = String::new();
            let read = tree.open(&entry.path).map(|file| file.take(MAX_VARIABLE).read_to_string(&mut text));
            // What cannot be read is no variable to dnf either.
            if let (Ok(Ok(_)), Some(name)) = (read, entry.path.to_str()) {
                variables.insert(name.to_owned(), text.lines().next().unwrap_or_default().trim().to_owned());
            }
        }
    }
    variables
}

/// Everything as it is, into a directory.
pub(crate) fn whole(destination: PathBuf) -> CopyRequest {
    CopyRequest {
        destination,
        into_directory: true,
        links: Links::Followed,
        owner: None,
        mode: None,
        mtime: Mtime::Kept,
        drops_set_id: false,
        digests: Digests::Unwanted,
    }
}

/// The image's directory, if it has one.
fn own_files(root: BorrowedFd<'_>) -> Option<Tree> {
    let directory = open_inside(root, Path::new(DIRECTORY), OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    Some(Tree::new(directory, Path::new(DIRECTORY), None))
}

fn copy_all(workshop: &Workshop<'_>, own: &Tree, to: &Path) -> Result<(), Failure> {
    let target = store::open_directory(to).map_err(|error| failed(workshop, error))?;
    let names: Vec<PathBuf> = own.walk(Path::new(""))?.into_iter().map(|entry| entry.path).collect();
    let top = names.into_iter().filter(|name| name.components().count() == 1).collect::<Vec<_>>();
    copy::copy(target.as_fd(), own, &top, &whole("/".into()), workshop.owners)?;
    Ok(())
}

fn tree(path: &Path) -> io::Result<Tree> {
    Ok(Tree::new(store::open_directory(path)?, Path::new(DIRECTORY), None))
}

/// The regular files at the top of a directory with what they hold; of huge ones the beginning.
fn contents(path: &Path) -> io::Result<BTreeMap<PathBuf, Vec<u8>>> {
    let tree = tree(path)?;
    let entries = tree.walk(Path::new("")).map_err(io::Error::other)?;
    let mut contents = BTreeMap::new();
    for entry in entries {
        if entry.path.components().count() != 1 || !matches!(entry.kind, Kind::File(_)) {
            continue;
        }
        let mut content = Vec::new();
        tree.open(&entry.path).map_err(io::Error::other)?.take(MAX_FILE).read_to_end(&mut content)?;
        contents.insert(entry.path, content);
    }
    Ok(contents)
}

/// A new file in place of whatever has that name.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    fs::write(path, content)?;
    set_mode(path, 0o644)
}

/// Other content in a file that keeps its mode and time.
fn keep_attributes(path: &Path, content: &[u8]) -> io::Result<()> {
    let modified = fs::metadata(path)?.modified()?;
    fs::write(path, content)?;
    File::options().write(true).open(path)?.set_modified(modified)
}

fn remove(root: BorrowedFd<'_>, name: &Path) -> io::Result<()> {
    let directory = open_inside(root, Path::new(DIRECTORY), OFlags::RDONLY | OFlags::DIRECTORY)?;
    Ok(unlinkat(directory.as_fd(), name, AtFlags::empty())?)
}

fn open_to_all(path: &Path) -> io::Result<()> {
    set_mode(path, 0o755)
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn failed(workshop: &Workshop<'_>, source: io::Error) -> Failure {
    let path = workshop.store.shown().to_owned();
    BuildError::Store(StoreError::Io { path, action: "keep the repository files of a step", source }).into()
}
