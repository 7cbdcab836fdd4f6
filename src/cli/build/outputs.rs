//! Where an image goes.

mod long_form;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci::Reference;
use pipeline::Tags;
use transport::{ArchiveImage, Location};

use super::Arguments;
use crate::failure::{Failure, Status};
use long_form::LongForm;

/// Everything a build writes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outputs {
    /// Where the image goes as an image.
    pub(super) locations: Vec<Location>,
    /// Where its files go.
    pub(super) trees: Vec<TreeOutput>,
}

/// A place for the files of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreeOutput {
    /// A tar.
    Tar(PathBuf),
    /// A tar on stdout.
    Stdout,
    /// A directory.
    Local(PathBuf),
}

/// What one `--output` asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// A place for the image, under this name.
    Location(Location),
    /// An archive of these names, or of those given with `-t`.
    OciArchive(PathBuf, Vec<Reference>),
    /// The same for `docker load`.
    DockerArchive(PathBuf, Vec<Reference>),
    /// To be pushed under these names, or those given with `-t`.
    Push(Vec<Reference>),
    /// To be kept in the store likewise.
    Keep(Vec<Reference>),
    /// Its files.
    Tree(TreeOutput),
}

fn usage(error: &dyn std::error::Error) -> Failure {
    Failure::of(Status::Usage, error)
}

/// The names given with `-t`.
pub(super) fn names(arguments: &Arguments) -> Result<Vec<Reference>, Failure> {
    arguments.tag.iter().map(|tag| tag.parse::<Reference>().map_err(|error| usage(&error))).collect()
}

/// Named locations, pushed tags, else the store. `tags` are those the site's configuration gives.
pub(super) fn of(arguments: &Arguments, names: &[Reference], tags: Option<&Tags>) -> Result<Outputs, Failure> {
    let given: Vec<&Reference> =
        if names.is_empty() { tags.into_iter().flat_map(Tags::of_image).collect() } else { names.iter().collect() };
    let mut outputs = Outputs::default();
    for text in &arguments.output {
        outputs.add(text, parse(text)?, &given)?;
    }
    if arguments.push {
        if given.is_empty() {
            let failure = Failure::new(Status::Usage, "--push: no name to push to");
            return Err(failure.help("give one with -t REGISTRY/NAME:TAG"));
        }
        outputs.locations.extend(given.iter().copied().cloned().map(Location::Registry));
    }
    if outputs.locations.is_empty() {
        outputs.locations.extend(given.iter().map(|tag| Location::Store(tag.to_string())));
    }
    if outputs.locations.is_empty() && outputs.trees.is_empty() {
        outputs.locations.push(Location::Store(String::new()));
    }
    outputs.check_paths()?;
    Ok(outputs)
}

/// What one `--output` says: a location of ours first, then the long form of docker and buildah, then a directory.
pub(super) fn parse(text: &str) -> Result<Wish, Failure> {
    if Location::is_named_by(text) {
        let location = text.parse::<Location>().map_err(|error| usage(&error))?;
        if let Location::DockerArchive { path, image: ArchiveImage::Only } = location {
            return Ok(Wish::DockerArchive(path, Vec::new()));
        }
        return Ok(Wish::Location(location));
    }
    if text.contains('=') || text.contains(',') {
        return LongForm::parse(text)
            .and_then(LongForm::wish)
            .map_err(|why| Failure::new(Status::Usage, format!("--output {text}: {why}")));
    }
    if text == "-" {
        return Ok(Wish::Tree(TreeOutput::Stdout));
    }
    if text.is_empty() {
        return Err(Failure::new(Status::Usage, "--output: nothing follows"));
    }
    // A directory to docker and buildah; but who writes this more likely thinks of a registry.
    let last = text.rsplit('/').next().unwrap_or(text);
    if last.contains(':') && !text.starts_with(['/', '.']) {
        let failure = Failure::new(Status::Usage, format!("--output {text}: neither a directory nor a location"));
        return Err(failure.help(format!("say docker://{text} for a registry, ./{text} for a directory")));
    }
    Ok(Wish::Tree(TreeOutput::Local(text.into())))
}

impl Outputs {
    fn add(&mut self, text: &str, wish: Wish, given: &[&Reference]) -> Result<(), Failure> {
        let or_given = |names: Vec<Reference>| -> Vec<Reference> {
            if names.is_empty() { given.iter().copied().cloned().collect() } else { names }
        };
        match wish {
            Wish::Location(location) => self.locations.push(location),
            Wish::Tree(tree) => self.trees.push(tree),
            Wish::OciArchive(path, names) => {
                let archive = |name: Option<String>| Location::OciArchive { path: path.clone(), name };
                let names = or_given(names);
                self.locations.extend(names.iter().map(|name| archive(Some(name.to_string()))));
                self.locations.extend(names.is_empty().then(|| archive(None)));
            }
            Wish::DockerArchive(path, names) => {
                let archive = |image| Location::DockerArchive { path: path.clone(), image };
                let names = or_given(names).into_iter().filter(|name| name.digest().is_none());
                let before = self.locations.len();
                self.locations.extend(names.map(|name| archive(ArchiveImage::Tag(name))));
                let is_nameless = self.locations.len() == before;
                self.locations.extend(is_nameless.then(|| archive(ArchiveImage::Only)));
            }
            Wish::Push(names) => {
                let names = or_given(names);
                if names.is_empty() {
                    let failure = Failure::new(Status::Usage, format!("--output {text}: no name to push to"));
                    return Err(failure.help("give one with name=REGISTRY/NAME:TAG or -t"));
                }
                self.locations.extend(names.into_iter().map(Location::Registry));
            }
            Wish::Keep(names) => {
                let names = or_given(names);
                self.locations.extend(names.iter().map(|name| Location::Store(name.to_string())));
                self.locations.extend(names.is_empty().then(|| Location::Store(String::new())));
            }
        }
        Ok(())
    }

    /// One file cannot be two things.
    fn check_paths(&self) -> Result<(), Failure> {
        let mut kinds: BTreeMap<&Path, &str> = BTreeMap::new();
        let locations = self.locations.iter().filter_map(|location| match location {
            Location::OciArchive { path, .. } => Some((path.as_path(), "oci-archive")),
            Location::DockerArchive { path, .. } => Some((path.as_path(), "docker-archive")),
            Location::Directory(path) => Some((path.as_path(), "dir")),
            Location::Layout { path, .. } => Some((path.as_path(), "oci")),
            Location::Registry(_) | Location::Store(_) => None,
        });
        let trees = self.trees.iter().filter_map(|tree| match tree {
            TreeOutput::Tar(path) => Some((path.as_path(), "tar")),
            TreeOutput::Local(path) => Some((path.as_path(), "local")),
            TreeOutput::Stdout => None,
        });
        for (path, kind) in locations.chain(trees) {
            if let Some(other) = kinds.insert(path, kind).filter(|other| *other != kind) {
                let text = format!("--output: {} cannot be both {other} and {kind}", path.display());
                return Err(Failure::new(Status::Usage, text));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn location(text: &str) -> String {
        let mut outputs = Outputs::default();
        let name = "host.example/a:1".parse().unwrap();
        outputs.add(text, parse(text).unwrap(), &[&name]).unwrap();
        outputs.locations.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        parse(text).unwrap_err().text
    }

    #[test]
    fn a_transport_counts_before_a_directory() {
        assert_eq!(location("oci:a,b=c"), "oci:a,b=c");
        assert_eq!(location("dir:x"), "dir:x");
        assert_eq!(location("docker-archive:x"), "docker-archive:x:host.example/a:1");
        assert_eq!(location("docker-archive:x:b"), "docker-archive:x:docker.io/library/b:latest");
        assert_eq!(parse("out").unwrap(), Wish::Tree(TreeOutput::Local("out".into())));
        assert_eq!(parse("./a:1").unwrap(), Wish::Tree(TreeOutput::Local("./a:1".into())));
        assert_eq!(parse("-").unwrap(), Wish::Tree(TreeOutput::Stdout));
        assert!(refused("quay.io/a/b:1").contains("neither a directory nor a location"));
        assert!(refused("docker-daemon:x").contains("transport `docker-daemon` is not supported"));
    }

    #[test]
    fn the_long_forms_of_docker_and_buildah_are_taken() {
        assert_eq!(location("type=oci,dest=a.tar"), "oci-archive:a.tar:host.example/a:1");
        assert_eq!(location("type=oci,dest=a.tar,name=b.example/c:2"), "oci-archive:a.tar:b.example/c:2");
        assert_eq!(location("type=oci,dest=a,tar=false"), "oci:a");
        assert_eq!(location("type=docker,dest=a.tar"), "docker-archive:a.tar:host.example/a:1");
        assert_eq!(
            location("type=image,\"name=b.example/c:1,b.example/c:2\",push=true"),
            "docker://b.example/c:1 docker://b.example/c:2"
        );
        assert_eq!(location("type=registry"), "docker://host.example/a:1");
        assert_eq!(location("type=image"), "store:host.example/a:1");
        assert_eq!(parse("type=tar,dest=-").unwrap(), Wish::Tree(TreeOutput::Stdout));
        assert_eq!(parse("type=tar,dest=x.tar").unwrap(), Wish::Tree(TreeOutput::Tar("x.tar".into())));
        assert_eq!(parse("type=local,dest=x").unwrap(), Wish::Tree(TreeOutput::Local("x".into())));
    }

    #[test]
    fn what_a_long_form_cannot_do_is_refused_by_name() {
        for (text, why) in [
            ("type=moby", "there is no type `moby`"),
            ("dest=x", "`type` is missing"),
            ("type=local", "`dest` is missing"),
            ("type=local,dest=-", "only type=tar writes to stdout"),
            ("type=docker", "without `dest` it would load into a docker daemon"),
            ("type=oci,dest=a,unpack=true", "type=oci has no `unpack`"),
            ("type=oci,dest=a,compression=zstd", "say --compression"),
            ("type=oci,dest=a,dest=b", "`dest` is there twice"),
            ("type=oci,a", "`a` is not KEY=VALUE"),
            ("type=oci,dest=a,tar=perhaps", "`tar=perhaps` is neither true nor false"),
            ("type=tar,dest=a,name=b", "type=tar has no `name`"),
        ] {
            let text = refused(text);
            assert!(text.contains(why), "{text}");
        }
    }

    #[test]
    fn one_path_is_one_kind_of_output() {
        let outputs = |texts: [&str; 2]| {
            let mut outputs = Outputs::default();
            texts.iter().for_each(|text| outputs.add(text, parse(text).unwrap(), &[]).unwrap());
            outputs.check_paths()
        };
        assert!(outputs(["oci-archive:a", "docker-archive:a"]).is_err());
        assert!(outputs(["oci-archive:a:1", "oci-archive:a:2"]).is_ok());
    }
}
