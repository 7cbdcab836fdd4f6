//! `distgit_fetch_artefacts`: the lookaside cache of dist-git.
//!
//! Reads `sources` in a clone this build made; fetches each file from the site's `lookaside` by its checksum, into the
//! clone. Returns the files with their digests; nothing where there is no such file, or where the source is a directory
//! of the user's, which is not written to: then it warns of files that are not there. Fails the build when a file is not there, is not what its checksum says, or
//! has a checksum that can be forged and the site does not allow that.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use pipeline::site::LookasideSite;
use pipeline::{Class, Fact, Found, Made, Plugin, PluginError, Setup, Source, SourceView};
use source::lookaside::{self, FetchLimits, FetchOptions, FetchedSource, Lookaside, LookasideError, SourceFile, Weak};

/// The file that names the others.
const SOURCES: &str = "sources";
/// More bytes of it are not read; `source` has a limit of its own below that.
const MAX_SOURCES: u64 = 4 << 20;

#[derive(Debug)]
struct DistgitFetchArtefacts {
    from: Lookaside,
    limits: FetchLimits,
    weak: Weak,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Source> {
    match &setup.site.lookaside {
        Some(site) => Ok(Some(Box::new(DistgitFetchArtefacts::of(site)?))),
        None => Ok(None),
    }
}

impl Plugin<Source> for DistgitFetchArtefacts {
    fn run(&self, view: &SourceView<'_>) -> Result<Found, PluginError> {
        let Some(text) = read(view.directory)? else { return Ok(Found::default()) };
        if !view.is_clone {
            // What is no list of the lookaside cache is the user's own business here.
            let files = decide(&text).unwrap_or_default();
            let warnings = missing(&files, view.directory).into_iter().collect();
            return Ok(Found { warnings, ..Found::default() });
        }
        let files = decide(&text)?;
        let options = FetchOptions {
            from: &self.from,
            package: view.source.package.as_deref().unwrap_or_default(),
            client: view.http,
            limits: self.limits,
            weak: self.weak,
            cancelled: &|| false,
        };
        let fetched = lookaside::fetch(&files, view.directory, &options).map_err(|error| failed(&error))?;
        Ok(fact(fetched).into())
    }
}

impl DistgitFetchArtefacts {
    fn of(site: &LookasideSite) -> Result<Self, PluginError> {
        let from = Lookaside::parse(&site.url).map_err(|error| PluginError::of(Class::Configuration, &error))?;
        let usual = FetchLimits::default();
        let limits = FetchLimits { max_file: site.max_size.unwrap_or(usual.max_file), ..usual };
        let weak = if site.allow_weak_checksums { Weak::Allow } else { Weak::Refuse };
        Ok(Self { from, limits, weak })
    }
}

/// What is to be said of files that are named and not there, in a directory that is not written to.
fn missing(files: &[SourceFile], directory: &Path) -> Option<String> {
    let missing: Vec<&str> = files.iter().map(SourceFile::name).filter(|name| !directory.join(name).exists()).collect();
    (!missing.is_empty()).then(|| {
        let names = missing.join(", ");
        format!(
            "{SOURCES} names {names}, which is not there: files are fetched for a git repository, not into a directory"
        )
    })
}

/// The text of `sources`; none where there is no file of that name. A folder of that name is the user's own business.
fn read(directory: &Path) -> Result<Option<Vec<u8>>, PluginError> {
    let path = directory.join(SOURCES);
    let failed = |error: io::Error| PluginError::new(Class::Environment, format!("{SOURCES}: cannot read it: {error}"));
    let kind = match path.symlink_metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if kind.is_dir() {
        return Ok(None);
    }
    if !kind.is_file() {
        let text = format!("{SOURCES}: it is no regular file, so the files it names are not fetched");
        return Err(PluginError::new(Class::Source, text).help("commit the file itself, not a link to it"));
    }
    let mut text = Vec::new();
    File::open(&path).and_then(|file| file.take(MAX_SOURCES).read_to_end(&mut text)).map_err(failed)?;
    Ok(Some(text))
}

/// The files that the text names.
fn decide(text: &[u8]) -> Result<Vec<SourceFile>, PluginError> {
    lookaside::parse_sources(SOURCES, text).map_err(|error| PluginError::of(Class::Source, &error))
}

fn fact(fetched: Vec<FetchedSource>) -> Fact {
    Fact::Fetched(fetched.into_iter().map(|file| (file.name, file.digest)).collect())
}

fn failed(error: &LookasideError) -> PluginError {
    let failed = PluginError::of(error.class().into(), error);
    match error {
        LookasideError::Weak { .. } => {
            failed.help("upload the file again with SHA-512, or have the site set lookaside.allow_weak_checksums")
        }
        LookasideError::TooLarge { .. } => failed.help("the site's limit is lookaside.max_size"),
        LookasideError::Address { .. }
        | LookasideError::Http { .. }
        | LookasideError::Status { .. }
        | LookasideError::Checksum { .. }
        | LookasideError::InTheWay { .. }
        | LookasideError::Io { .. }
        | LookasideError::Cancelled { .. } => failed,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use oci::Digest;

    use super::*;

    #[test]
    fn a_folder_or_nothing_of_that_name_means_nothing_to_fetch() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
        fs::create_dir(folder.path().join(SOURCES)).unwrap();
        assert_eq!(read(folder.path()).unwrap(), None);
    }

    #[test]
    fn a_link_of_that_name_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", folder.path().join(SOURCES)).unwrap();
        let text = "sources: it is no regular file, so the files it names are not fetched";
        let help = "commit the file itself, not a link to it";
        assert_eq!(read(folder.path()).unwrap_err(), PluginError::new(Class::Source, text).help(help));
    }

    #[test]
    fn what_is_not_fetched_into_a_directory_is_said() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("here"), "").unwrap();
        let line = |name: &str| format!("SHA512 ({name}) = {}\n", "a".repeat(128));
        let files = decide(format!("{}{}", line("here"), line("app.tar.gz")).as_bytes()).unwrap();
        let text = "sources names app.tar.gz, which is not there: \
            files are fetched for a git repository, not into a directory";
        assert_eq!(missing(&files, folder.path()).as_deref(), Some(text));
        fs::write(folder.path().join("app.tar.gz"), "").unwrap();
        assert_eq!(missing(&files, folder.path()), None);
    }

    #[test]
    fn files_are_named_with_their_checksums() {
        let text = format!("SHA512 (app.tar.gz) = {}\n", "a".repeat(128));
        let files = decide(text.as_bytes()).unwrap();
        assert_eq!(files.iter().map(SourceFile::name).collect::<Vec<_>>(), ["app.tar.gz"]);
        assert_eq!(decide(b"no\n").unwrap_err().class, Class::Source);
    }

    #[test]
    fn the_site_says_how_large_and_how_weak() {
        let site =
            LookasideSite { url: "https://l.example/".to_owned(), allow_weak_checksums: true, max_size: Some(7) };
        let plugin = DistgitFetchArtefacts::of(&site).unwrap();
        assert_eq!((plugin.weak, plugin.limits.max_file), (Weak::Allow, 7));
        let site = LookasideSite { allow_weak_checksums: false, max_size: None, ..site };
        let plugin = DistgitFetchArtefacts::of(&site).unwrap();
        assert_eq!((plugin.weak, plugin.limits), (Weak::Refuse, FetchLimits::default()));
    }

    #[test]
    fn the_fact_has_each_file_by_its_sha256() {
        let digest = Digest::of(b"bytes");
        let file = FetchedSource { name: "a".to_owned(), url: None, digest: digest.clone(), bytes: 5 };
        let Fact::Fetched(files) = fact(vec![file]) else { panic!("another fact") };
        assert_eq!(files, [("a".to_owned(), digest)]);
    }

    #[test]
    fn a_weak_checksum_is_refused_with_the_way_out() {
        let (name, algorithm) = ("a".to_owned(), lookaside::Algorithm::Md5);
        let error = failed(&LookasideError::Weak { name, line: 2, algorithm });
        let text = "a: line 2 of sources declares it by md5 only, which this site does not accept";
        let help = "upload the file again with SHA-512, or have the site set lookaside.allow_weak_checksums";
        assert_eq!(error, PluginError::new(Class::Refused, text).help(help));
    }
}
