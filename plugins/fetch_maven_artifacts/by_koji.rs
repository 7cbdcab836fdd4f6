//! `fetch-artifacts-koji.yaml`: files of builds in Koji that Maven knows.

use koji::{Hub, HubError, MavenArchive};
use pipeline::yaml::{self, Fault, Item, Meanings};
use pipeline::{Class, KojiFile, PluginError};
use source::lookaside::Algorithm;

use super::{Download, Place};
use crate::wildcard;

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "fetch-artifacts-koji.yaml";

const MEANINGS: &Meanings = &[
    ("nvr", "the name-version-release of a build in Koji"),
    ("archives", "which files of the build are wanted; without it, all"),
    ("archives.filename", "the name of a file, with * and ? for others"),
    ("archives.group_id", "the group that Maven knows a file by"),
];

/// A build whose files are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NvrRequest {
    nvr: String,
    /// None means all files.
    archives: Vec<Matcher>,
    place: Place,
}

/// Which files are meant: those that fit everything that is said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Matcher {
    filename: Option<String>,
    group_id: Option<String>,
    place: Place,
}

/// Reads the text of the file; an empty one asks for nothing.
///
/// # Errors
/// [`Class::Source`] names what is wrong, with file, line and column.
pub(crate) fn parse(text: &str) -> Result<Vec<NvrRequest>, PluginError> {
    yaml::read((NAME, text), MEANINGS, |item| item.map_or_else(|| Ok(Vec::new()), |item| item.each(request)))
}

fn request(item: &Item<'_>) -> Result<NvrRequest, Fault> {
    let mut fields = item.fields()?;
    let nvr = fields.need("nvr")?;
    let place = Place { file: NAME, position: nvr.position() };
    let nvr = nvr.any_text("a text")?.to_owned();
    let archives = fields.read("archives", |item| item.each(matcher))?.unwrap_or_default();
    fields.refuse_rest()?;
    Ok(NvrRequest { nvr, archives, place })
}

fn matcher(item: &Item<'_>) -> Result<Matcher, Fault> {
    let mut fields = item.fields()?;
    let text = |item: &Item<'_>| item.any_text("a text").map(str::to_owned);
    let (filename, group_id) = (fields.read("filename", text)?, fields.read("group_id", text)?);
    fields.refuse_rest()?;
    Ok(Matcher { filename, group_id, place: Place { file: NAME, position: item.position() } })
}

impl Matcher {
    fn fits(&self, archive: &MavenArchive) -> bool {
        self.filename.as_ref().is_none_or(|pattern| wildcard::matches(pattern, &archive.filename))
            && self.group_id.as_ref().is_none_or(|group| *group == archive.group_id)
    }
}

/// What is to be fetched of the builds that are asked for.
pub(super) fn decide(requests: &[NvrRequest], hub: Option<&dyn Hub>) -> Result<Vec<Download>, PluginError> {
    let mut downloads = Vec::new();
    for request in requests {
        let Some(hub) = hub else {
            let text = format!("{}: files of builds in Koji are asked for, and no hub is known", request.nvr);
            return Err(request
                .place
                .error(Class::Configuration, &text)
                .help("the site's configuration names it, with koji.hub_url"));
        };
        let Some(root) = hub.root_url() else {
            let text = format!("{}: nobody says where the files of Koji's builds are", request.nvr);
            return Err(request
                .place
                .error(Class::Configuration, &text)
                .help("the site's configuration names it, with koji.root_url"));
        };
        let build = hub.build(&request.nvr).map_err(|error| failed(&error))?;
        let build = build.ok_or_else(|| {
            request.place.error(Class::Source, &format!("{}: there is no such build in Koji", request.nvr))
        })?;
        let archives = hub.maven_archives(build.id).map_err(|error| failed(&error))?;
        downloads.extend(of_build(request, &archives, root)?);
    }
    Ok(downloads)
}

fn failed(error: &HubError) -> PluginError {
    PluginError::of(Class::Remote, error)
}

/// The files of one build that are wanted.
fn of_build(request: &NvrRequest, archives: &[MavenArchive], root: &str) -> Result<Vec<Download>, PluginError> {
    if let Some(unmatched) = request.archives.iter().find(|one| !archives.iter().any(|archive| one.fits(archive))) {
        let text = format!("the build {} has no file that fits this", request.nvr);
        let names: Vec<&str> = archives.iter().take(10).map(|archive| archive.filename.as_str()).collect();
        let help = if names.is_empty() {
            "it has no files that Maven knows".to_owned()
        } else {
            format!("it has {}", names.join(", "))
        };
        return Err(unmatched.place.error(Class::Source, &text).help(help));
    }
    let is_wanted =
        |archive: &&MavenArchive| request.archives.is_empty() || request.archives.iter().any(|one| one.fits(archive));
    archives.iter().filter(is_wanted).map(|archive| download(request, archive, root)).collect()
}

/// Where Koji keeps a file (koji, `PathInfo.mavenbuild` and `PathInfo.mavenfile`), and where it goes here.
fn download(request: &NvrRequest, archive: &MavenArchive, root: &str) -> Result<Download, PluginError> {
    let failed = |why: &str| request.place.error(Class::Remote, &format!("{}: {why}", request.nvr));
    let mut parts = request.nvr.rsplitn(3, '-');
    let (Some(release), Some(version), Some(name)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(request.place.error(Class::Source, &format!("{}: it is no name-version-release", request.nvr)));
    };
    let algorithm = match archive.checksum_type {
        0 => Algorithm::Md5,
        1 => Algorithm::Sha1,
        2 => Algorithm::Sha256,
        other => return Err(failed(&format!("{} has a checksum of an unknown kind, {other}", archive.filename))),
    };
    let group = archive.group_id.replace('.', "/");
    let path = format!("{group}/{}/{}/{}", archive.artifact_id, archive.version, archive.filename);
    let target = request.place.target(&path)?;
    let file = KojiFile {
        filename: archive.filename.clone(),
        filesize: archive.size,
        checksum: archive.checksum.clone(),
        checksum_type: algorithm.to_string(),
        nvr: request.nvr.clone(),
        archive_id: archive.id,
    };
    let url = format!("{}/packages/{name}/{version}/{release}/maven/{path}", root.trim_end_matches('/'));
    Ok(Download { url, target, checksums: vec![(algorithm, archive.checksum.clone())], koji: Some(file) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(filename: &str, group_id: &str) -> MavenArchive {
        MavenArchive {
            id: 7,
            filename: filename.to_owned(),
            size: 3,
            checksum: "900150983cd24fb0d6963f7d28e17f72".to_owned(),
            group_id: group_id.to_owned(),
            artifact_id: "art".to_owned(),
            version: "1.0".to_owned(),
            ..MavenArchive::default()
        }
    }

    #[track_caller]
    fn urls(text: &str) -> Result<Vec<String>, String> {
        let requests = parse(text).map_err(|error| error.text)?;
        let archives = [archive("a.jar", "org.a"), archive("a.pom", "org.a"), archive("b.jar", "org.b")];
        let found = of_build(&requests[0], &archives, "https://k.example/root/").map_err(|error| error.text)?;
        Ok(found.into_iter().map(|one| one.url).collect())
    }

    #[test]
    fn every_matcher_says_which_files_are_wanted() {
        let root = "https://k.example/root/packages/n-a/1/2/maven";
        let found = urls("- nvr: n-a-1-2\n  archives:\n  - {filename: '*.jar', group_id: org.a}\n").unwrap();
        assert_eq!(found, [format!("{root}/org/a/art/1.0/a.jar")]);
        assert_eq!(urls("- nvr: n-a-1-2\n").unwrap().len(), 3);
        let error =
            urls("- nvr: n-a-1-2\n  archives:\n  - {filename: '*.jar'}\n  - {filename: '*.war'}\n").unwrap_err();
        assert_eq!(error, "fetch-artifacts-koji.yaml:4:5: the build n-a-1-2 has no file that fits this");
    }

    #[test]
    fn a_file_keeps_its_path_and_is_known_as_a_component() {
        let request = &parse("- nvr: n-a-1-2").unwrap()[0];
        let found = download(request, &archive("a.jar", "org.a"), "https://k.example").unwrap();
        assert_eq!(found.target.to_string(), "artifacts/org/a/art/1.0/a.jar");
        let koji = found.koji.unwrap();
        assert_eq!((koji.checksum_type.as_str(), koji.nvr.as_str(), koji.archive_id), ("md5", "n-a-1-2", 7));
        let error = download(request, &archive("../../x", "org.a"), "https://k.example").unwrap_err();
        assert_eq!(error.class, Class::Refused);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        assert_eq!(urls("- {}").unwrap_err(), "fetch-artifacts-koji.yaml:1:3: [0]: nvr is missing");
        let error = urls("- {nvr: a-1-1, archive: []}").unwrap_err();
        assert_eq!(error, "fetch-artifacts-koji.yaml:1:16: [0].archive: unknown key");
        let error = decide(&parse("- nvr: a-1-1").unwrap(), None).unwrap_err();
        let text = "fetch-artifacts-koji.yaml:1:8: a-1-1: files of builds in Koji are asked for, and no hub is known";
        assert_eq!(error.text, text);
    }
}
