//! `inject_yum_repos`: repositories that every build of the site has.
//!
//! Reads the site's `yum_repos` (files and URLs), `yum_repo_allowed_domains` and `yum_proxy`, and the argument
//! `repourls` of older lists. Returns repository files that RUN steps see and no layer has. Fails the build when a file
//! cannot be had, is no repository file, comes from a host that is not allowed, or is called as another one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use http::Url;
use pipeline::site::RepoSource;
use pipeline::{Changes, Class, Edit, Injected, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};
use rpm::repofile::{Entry, MAX_BYTES, RepoFile};

/// The end of a repository file's name, without which dnf does not read it.
const ENDING: &str = ".repo";

#[derive(Debug)]
struct InjectYumRepos {
    sources: Vec<RepoSource>,
}

/// A repository file as it came.
#[derive(Debug)]
struct Fetched {
    /// In `/etc/yum.repos.d`.
    name: String,
    content: Vec<u8>,
    /// Where it came from, without what may be secret.
    from: String,
}

/// The files RUN steps have already, each by name.
type Known<'k> = &'k [build::RepositoryFile];

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let mut sources = setup.site.yum_repos.clone();
    sources.extend(setup.texts("repourls")?.unwrap_or_default().into_iter().map(RepoSource::Url));
    Ok(if sources.is_empty() { None } else { Some(Box::new(InjectYumRepos { sources })) })
}

impl Plugin<PreBuild> for InjectYumRepos {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let mut known = view.request.repositories.clone();
        let mut edits = Vec::new();
        for source in &self.sources {
            let fetched = match source {
                RepoSource::File(path) => read(path)?,
                RepoSource::Url(url) => {
                    let from = check_domain(url, &view.site.yum_repo_allowed_domains)?;
                    let (name, content) = pipeline::fetch_repository_file(url, view.http)?;
                    Fetched { name, content, from }
                }
            };
            let proxy = view.site.yum_proxy.as_ref().map(|proxy| proxy.reveal());
            let Some(edit) = decide(fetched, proxy, &known)? else { continue };
            if let Edit::Inject(Injected::Repository { name, content }) = &edit.edit {
                known.push(build::RepositoryFile { name: name.clone(), content: content.clone() });
            }
            edits.push(edit);
        }
        Ok(Changes { edits, ..Changes::default() })
    }
}

/// A file of this machine.
fn read(path: &Path) -> Result<Fetched, PluginError> {
    let failed = |why: &str| {
        let text = format!("{}: the site's yum_repos name it: {why}", path.display());
        PluginError::new(Class::Configuration, text)
    };
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).ok_or_else(|| failed("it is no file name"))?;
    let stem = name.strip_suffix(ENDING).unwrap_or(name);
    let mut content = Vec::new();
    // One byte more, so that what is too large is refused as that.
    let most = MAX_BYTES as u64 + 1;
    let done = File::open(path).and_then(|file| file.take(most).read_to_end(&mut content));
    done.map_err(|error| failed(&error.to_string()))?;
    Ok(Fetched { name: format!("{stem}{ENDING}"), content, from: path.display().to_string() })
}

/// The file as steps see it: checked, and with the site's proxy in every section. None where it is known already.
fn decide(fetched: Fetched, proxy: Option<&str>, known: Known<'_>) -> Result<Option<Reasoned>, PluginError> {
    let Fetched { name, content, from } = fetched;
    let wrong = |error| PluginError::of(Class::Configuration, &error).help("the site's yum_repos name this file");
    let mut file = RepoFile::parse(&from, &content).map_err(wrong)?;
    let content = match proxy {
        None => content,
        Some(proxy) => {
            for section in &mut file.sections {
                section.entries.retain(|entry| entry.key != "proxy");
                section.entries.push(Entry { key: "proxy".to_owned(), value: proxy.to_owned(), line: 0 });
            }
            file.to_text().into_bytes()
        }
    };
    match known.iter().find(|file| file.name == name) {
        Some(file) if file.content == content => Ok(None),
        Some(_) => {
            let text = format!("{from}: there is another repository file called {name}, and one would hide the other");
            Err(PluginError::new(Class::Configuration, text).help("give one of them another name"))
        }
        None => {
            let reason = format!("the site's yum_repos name {from}");
            Ok(Some(Reasoned { edit: Edit::Inject(Injected::Repository { name, content }), reason }))
        }
    }
}

/// The host and port of `url` must be among `allowed`, unless that is empty. Returns the URL as it may be shown.
fn check_domain(url: &str, allowed: &[String]) -> Result<String, PluginError> {
    let configuration =
        |why: &str| PluginError::new(Class::Configuration, format!("the URL of a repository file {why}"));
    let parsed = Url::parse(url).map_err(|error| configuration(&format!("cannot be understood: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(configuration("is neither http nor https"));
    }
    // As the URL has it, so that a usual port means the same as none.
    let is_host = |domain: &&String| {
        let domain = Url::parse(&format!("{}://{domain}/", parsed.scheme()));
        domain.is_ok_and(|domain| (domain.host_str(), domain.port()) == (parsed.host_str(), parsed.port()))
    };
    if allowed.is_empty() || allowed.iter().any(|domain| is_host(&domain)) {
        return Ok(http::shown(&parsed));
    }
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    let host = format!("{}{port}", parsed.host_str().unwrap_or_default());
    let text = format!("{}: repository files may not come from {host} here", http::shown(&parsed));
    let help = format!("yum_repo_allowed_domains has {}", allowed.join(", "));
    Err(PluginError::new(Class::Refused, text).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "http://r.example/my.repo";

    fn fetched(content: &str) -> Fetched {
        Fetched { name: "my-f0ca2.repo".to_owned(), content: content.into(), from: URL.to_owned() }
    }

    #[track_caller]
    fn injected(content: &str, proxy: Option<&str>, expected: &str) {
        let edit = Injected::Repository { name: "my-f0ca2.repo".to_owned(), content: expected.into() };
        let reason = "the site's yum_repos name http://r.example/my.repo".to_owned();
        let expected = Reasoned { edit: Edit::Inject(edit), reason };
        assert_eq!(decide(fetched(content), proxy, &[]).unwrap(), Some(expected));
    }

    #[test]
    fn hosts_are_compared_whole_with_their_ports() {
        let allowed = ["r.example".to_owned(), "p.example:8080".to_owned(), "q.example:443".to_owned()];
        for (url, is_fine) in [
            ("http://r.example/my.repo", true),
            ("http://r.example:80/my.repo", true),
            ("http://p.example:8080/my.repo", true),
            ("https://q.example/my.repo", true),
            ("http://q.example/my.repo", false),
            ("http://p.example/my.repo", false),
            ("http://r.example.evil/my.repo", false),
            ("http://r.example@evil/my.repo", false),
            ("http://evil\\@r.example/my.repo", false),
            ("ftp://r.example/my.repo", false),
        ] {
            assert_eq!(check_domain(url, &allowed).is_ok(), is_fine, "{url}");
        }
        assert_eq!(check_domain("http://any.example/x.repo?token=s", &[]).unwrap(), "http://any.example/x.repo");
    }

    #[test]
    fn a_host_that_is_not_allowed_is_named_without_the_query() {
        let error = check_domain("http://evil:81/x.repo?token=s", &["r.example".to_owned()]).unwrap_err();
        let text = "http://evil:81/x.repo: repository files may not come from evil:81 here";
        let help = "yum_repo_allowed_domains has r.example";
        assert_eq!(error, PluginError::new(Class::Refused, text).help(help));
    }

    #[test]
    fn a_file_is_injected_as_it_is() {
        let content = "# c\n[a]\nname=a\nbaseurl=http://r.example/$basearch\n";
        injected(content, None, content);
    }

    #[test]
    fn the_sites_proxy_is_in_every_section_in_place_of_another() {
        let content = "[a]\nbaseurl=u\nproxy=old\n[b]\nbaseurl=v\n";
        let expected = "[a]\nbaseurl=u\nproxy=http://p:1\n[b]\nbaseurl=v\nproxy=http://p:1\n";
        injected(content, Some("http://p:1"), expected);
    }

    #[test]
    fn a_file_that_is_none_is_refused_with_its_line() {
        let error = decide(fetched("<html>"), None, &[]).unwrap_err();
        let text = "http://r.example/my.repo:1: line is not of the form key=value";
        let help = "the site's yum_repos name this file";
        assert_eq!(error, PluginError::new(Class::Configuration, text).help(help));
    }

    #[test]
    fn a_name_is_given_once() {
        let content = "[a]\nbaseurl=u\n";
        let known = |content: &str| build::RepositoryFile { name: "my-f0ca2.repo".to_owned(), content: content.into() };
        assert_eq!(decide(fetched(content), None, &[known(content)]).unwrap(), None);
        let error = decide(fetched(content), None, &[known("[b]\nbaseurl=u\n")]).unwrap_err();
        let text = "http://r.example/my.repo: there is another repository file called my-f0ca2.repo, \
                    and one would hide the other";
        assert_eq!(error.text, text);
    }

    #[test]
    fn a_file_of_this_machine_gets_the_ending_dnf_wants() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("site");
        std::fs::write(&path, "[a]\n").unwrap();
        let found = read(&path).unwrap();
        assert_eq!((found.name.as_str(), found.content.as_slice()), ("site.repo", b"[a]\n".as_slice()));
        let error = read(&folder.path().join("none.repo")).unwrap_err();
        let text = "none.repo: the site's yum_repos name it: No such file or directory (os error 2)";
        assert!(error.text.ends_with(text), "{}", error.text);
    }
}
