//! What one plugin found out and later ones may read. Each fact has one owner.

use std::collections::BTreeMap;
use std::sync::Arc;

use oci::{Descriptor, Digest, Reference};
use serde::Serialize;
use serde_json::Value;
use transport::SourceImage;

use crate::Bill;

/// Where the source comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SourceFact {
    /// The repository, without credentials; none for a directory that is no clone.
    pub uri: Option<String>,
    /// The commit, whole.
    pub commit: Option<String>,
    /// What was asked for: a commit, branch or tag.
    pub reference: Option<String>,
    /// The name the site knows the source by: the last part of `uri` without `.git`.
    pub package: Option<String>,
}

/// An image that a stage is built on.
#[derive(Clone, Debug)]
pub struct Parent {
    /// The stage, by number.
    pub stage: usize,
    /// As the Dockerfile has it, variables expanded.
    pub name: String,
    /// Where it really is, pinned by the digest the name stood for (of the index where there is one).
    pub pinned: Reference,
    /// Its manifest and config for the platform of the build.
    pub image: Arc<SourceImage>,
    /// The platforms of the index, `os/arch`; empty where there is no index.
    pub platforms: Vec<String>,
}

/// The names an image gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// Found again by this build only.
    pub unique: Vec<Reference>,
    /// Never moved: version and release.
    pub primary: Vec<Reference>,
    /// Moved with every build.
    pub floating: Vec<Reference>,
    /// Where the image is one of several platforms and all those names are their index's: the names of the images.
    pub group: Option<Group>,
}

/// The images of several platforms that one index holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name of this build's image.
    pub own: Reference,
    /// All of them, this build's too.
    pub members: Vec<Member>,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The platform as builds call it.
    pub platform: String,
    /// What images call its architecture.
    pub architecture: String,
    /// Where the image is once it is built.
    pub name: Reference,
}

/// An index of the images of several platforms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// What points to it.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The images it names, where they are now, by digest.
    pub images: Vec<Reference>,
    /// What images call the architectures in it, sorted.
    pub architectures: Vec<String>,
    /// The names it gets at once: unique, then primary.
    pub names: Vec<Reference>,
}

impl Tags {
    /// Those that the image itself gets, in the order in which they are written.
    pub fn of_image(&self) -> impl Iterator<Item = &Reference> {
        let own = self.group.as_ref().map(|group| &group.own);
        own.into_iter().chain(self.all().filter(|_| self.group.is_none()))
    }

    /// All but those of a platform, in the order in which they are written.
    pub fn all(&self) -> impl Iterator<Item = &Reference> {
        self.unique.iter().chain(&self.primary).chain(&self.floating)
    }
}

/// What a build will be called in Koji.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its name.
    pub nvr: koji::Nvr,
    /// What keeps the name for it, where that was asked for.
    pub reservation: Option<koji::Reservation>,
}

/// The builds in Koji of the images that stages are built on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ParentBuilds {
    /// That of the image which the stage to be built is built on, through the stages between.
    pub base: Option<koji::BuildInfo>,
    /// By image, as the Dockerfile names it; none for one that is no build in Koji.
    pub builds: BTreeMap<String, Option<koji::BuildInfo>>,
}

/// Composes, and the repositories they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Composes {
    /// The composes.
    pub composes: Vec<koji::odcs::Compose>,
    /// URLs of repository files by platform (`x86_64`); those under `noarch` are for every platform not listed.
    pub repositories: BTreeMap<String, Vec<String>>,
    /// Whether the repository of the Koji target is used too, for these may not hold all packages.
    pub include_koji_repo: bool,
    /// What the packages are signed with, all in all.
    pub signing_intent: Option<String>,
    /// Whether that is another one than what the source asks for.
    pub is_overridden: bool,
}

impl Composes {
    /// The URLs of repository files for a platform.
    #[must_use]
    pub fn repositories_for(&self, platform: &str) -> &[String] {
        let found = self.repositories.get(platform).or_else(|| self.repositories.get(Self::ANY));
        found.map(Vec::as_slice).unwrap_or_default()
    }

    /// Stands in `repositories` for every platform that is not listed.
    pub const ANY: &str = "noarch";
}

/// Something that is known from here on.
#[derive(Clone, Debug)]
pub enum Fact {
    /// The images the stages are built on.
    Parents(Vec<Parent>),
    /// The labels the image will have, in force when the Dockerfile was last edited for them.
    Labels(BTreeMap<String, String>),
    /// The names the image will have.
    Tags(Tags),
    /// The packages and what is to be said of them.
    Packages(Arc<proof::Report>),
    /// Files fetched into the context: name and digest.
    Fetched(Vec<(String, Digest)>),
    /// The index that the image is in.
    Index(Arc<Index>),
    /// The media types that the registry has for the image's name, sorted.
    MediaTypes(Vec<String>),
    /// Artifacts fetched into the context.
    Artifacts(Artifacts),
    /// The platforms the image is built for, as the build system calls them: `x86_64`; sorted.
    Platforms(Vec<String>),
    /// Whether a new parent triggered the build.
    Autorebuild(bool),
    /// The context's file that became the image's manual page; none where there is no such file.
    Help(Option<String>),
    /// What the build will be called in Koji, and whether that is kept for it.
    Release(Release),
    /// The builds in Koji of the images the stages are built on.
    ParentBuilds(ParentBuilds),
    /// The composes of the build, and the repositories they are.
    Composes(Composes),
    /// The number of the build in Koji.
    KojiBuild(u64),
    /// The number of the task in Koji that made the base filesystem.
    FilesystemTask(u64),
    /// The bill of materials, and where it goes.
    Sbom(Arc<Bill>),
    /// What a program of the site's found out, under a name that starts with `x-`.
    External {
        /// The name.
        name: String,
        /// What it is.
        value: Value,
    },
}

/// What was fetched by `fetch-artifacts-*.yaml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifacts {
    /// Paths in the context and digests.
    pub files: Vec<(String, Digest)>,
    /// Those that are files of builds in Koji.
    pub koji: Vec<KojiFile>,
}

/// A file of a build in Koji that is in the context (a component of the type `kojifile`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KojiFile {
    /// Its name.
    pub filename: String,
    /// Its size in bytes.
    pub filesize: u64,
    /// Its checksum in hex.
    pub checksum: String,
    /// The hash function: `md5`, `sha1` or `sha256`.
    pub checksum_type: String,
    /// The build.
    pub nvr: String,
    /// Its number as an archive.
    pub archive_id: u64,
}

impl Fact {
    /// What kind of fact it is.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Parents(_) => "parents",
            Self::Labels(_) => "labels",
            Self::Tags(_) => "tags",
            Self::Packages(_) => "packages",
            Self::Fetched(_) => "fetched",
            Self::Index(_) => "index",
            Self::MediaTypes(_) => "media types",
            Self::Artifacts(_) => "artifacts",
            Self::Platforms(_) => "platforms",
            Self::Autorebuild(_) => "autorebuild",
            Self::Help(_) => "help",
            Self::Release(_) => "release",
            Self::ParentBuilds(_) => "parent builds",
            Self::Composes(_) => "composes",
            Self::External { name, .. } => name,
            Self::KojiBuild(_) => "koji-build",
            Self::FilesystemTask(_) => "filesystem-task",
            Self::Sbom(_) => "sbom",
        }
    }
}

/// Two plugins say the same kind of thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{second} states the {fact} that {first} has stated already; leave one of the two plugins out")]
pub struct FactTaken {
    /// The kind of fact.
    pub fact: String,
    /// Who stated it.
    pub first: String,
    /// Who did again.
    pub second: String,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Facts {
    stated: Vec<(String, Fact)>,
}

impl Facts {
    /// Adds a fact of plugin `owner`.
    ///
    /// # Errors
    /// [`FactTaken`].
    pub fn state(&mut self, owner: &str, fact: Fact) -> Result<(), FactTaken> {
        match self.stated.iter().find(|(_, known)| known.name() == fact.name()) {
            Some((first, _)) => {
                let (fact, first) = (fact.name().to_owned(), first.clone());
                Err(FactTaken { fact, first, second: owner.to_owned() })
            }
            None => {
                self.stated.push((owner.to_owned(), fact));
                Ok(())
            }
        }
    }

    /// The images the stages are built on, if somebody looked.
    #[must_use]
    pub fn parents(&self) -> Option<&[Parent]> {
        self.find(|fact| if let Fact::Parents(parents) = fact { Some(parents.as_slice()) } else { None })
    }

    /// The labels the image will have, if somebody set them.
    #[must_use]
    pub fn labels(&self) -> Option<&BTreeMap<String, String>> {
        self.find(|fact| if let Fact::Labels(labels) = fact { Some(labels) } else { None })
    }

    /// The names the image will have, if somebody decided them.
    #[must_use]
    pub fn tags(&self) -> Option<&Tags> {
        self.find(|fact| if let Fact::Tags(tags) = fact { Some(tags) } else { None })
    }

    /// The packages, if somebody looked.
    #[must_use]
    pub fn packages(&self) -> Option<&Arc<proof::Report>> {
        self.find(|fact| if let Fact::Packages(report) = fact { Some(report) } else { None })
    }

    /// The files fetched into the context.
    #[must_use]
    pub fn fetched(&self) -> &[(String, Digest)] {
        self.find(|fact| if let Fact::Fetched(files) = fact { Some(files.as_slice()) } else { None })
            .unwrap_or_default()
    }

    /// The index that the image is in, if there is one.
    #[must_use]
    pub fn index(&self) -> Option<&Arc<Index>> {
        self.find(|fact| if let Fact::Index(index) = fact { Some(index) } else { None })
    }

    /// The media types that the registry has for the image's name, if somebody asked.
    #[must_use]
    pub fn media_types(&self) -> Option<&[String]> {
        self.find(|fact| if let Fact::MediaTypes(types) = fact { Some(types.as_slice()) } else { None })
    }

    /// The artifacts fetched into the context, if somebody looked.
    #[must_use]
    pub fn artifacts(&self) -> Option<&Artifacts> {
        self.find(|fact| if let Fact::Artifacts(artifacts) = fact { Some(artifacts) } else { None })
    }

    /// The platforms the image is built for, if somebody decided them.
    #[must_use]
    pub fn platforms(&self) -> Option<&[String]> {
        self.find(|fact| if let Fact::Platforms(platforms) = fact { Some(platforms.as_slice()) } else { None })
    }

    /// Whether a new parent triggered the build, if somebody looked.
    #[must_use]
    pub fn autorebuild(&self) -> Option<bool> {
        self.find(|fact| if let Fact::Autorebuild(is_one) = fact { Some(*is_one) } else { None })
    }

    /// The context's file that became the image's manual page, if somebody looked: none within where there is none.
    #[must_use]
    pub fn help(&self) -> Option<Option<&str>> {
        self.find(|fact| if let Fact::Help(file) = fact { Some(file.as_deref()) } else { None })
    }

    /// What the build will be called in Koji, if somebody decided it.
    #[must_use]
    pub fn release(&self) -> Option<&Release> {
        self.find(|fact| if let Fact::Release(release) = fact { Some(release) } else { None })
    }

    /// The parents' builds in Koji, if somebody looked.
    #[must_use]
    pub fn parent_builds(&self) -> Option<&ParentBuilds> {
        self.find(|fact| if let Fact::ParentBuilds(builds) = fact { Some(builds) } else { None })
    }

    /// The composes, if somebody looked.
    #[must_use]
    pub fn composes(&self) -> Option<&Composes> {
        self.find(|fact| if let Fact::Composes(composes) = fact { Some(composes) } else { None })
    }

    /// What programs of the site's found out, by name.
    #[must_use]
    pub fn external(&self) -> BTreeMap<&str, &Value> {
        let stated = self.stated.iter().map(|(_, fact)| fact);
        stated
            .filter_map(
                |fact| if let Fact::External { name, value } = fact { Some((name.as_str(), value)) } else { None },
            )
            .collect()
    }

    /// The number of the build in Koji, once it is there.
    #[must_use]
    pub fn koji_build(&self) -> Option<u64> {
        self.find(|fact| if let Fact::KojiBuild(id) = fact { Some(*id) } else { None })
    }

    /// The task in Koji that made the base filesystem, if one did.
    #[must_use]
    pub fn filesystem_task(&self) -> Option<u64> {
        self.find(|fact| if let Fact::FilesystemTask(id) = fact { Some(*id) } else { None })
    }

    /// The bill of materials, if somebody made one.
    #[must_use]
    pub fn sbom(&self) -> Option<&Arc<Bill>> {
        self.find(|fact| if let Fact::Sbom(bill) = fact { Some(bill) } else { None })
    }

    fn find<'f, T>(&'f self, which: impl Fn(&'f Fact) -> Option<T>) -> Option<T> {
        self.stated.iter().find_map(|(_, fact)| which(fact))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_has_one_owner() {
        let mut facts = Facts::default();
        facts.state("one", Fact::Tags(Tags::default())).unwrap();
        facts.state("one", Fact::Fetched(Vec::new())).unwrap();
        let error = facts.state("two", Fact::Tags(Tags::default())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "two states the tags that one has stated already; leave one of the two plugins out"
        );
    }
}
