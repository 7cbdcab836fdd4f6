//! Repository files for RUN steps, whoever asks for them: what the plugins `inject_yum_repos`, `koji`,
//! `add_yum_repo_by_url` and `add_yum_repo` have in common.
//!
//! Comes in: [`Wishes`]. Goes out: files that steps of stages on images see and no layer has, and a certificate where a
//! step needs one. A file that is known already, but for how it is reached, is not wished for twice.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use build::{Plan, StepNetwork};
use http::Url;
use pipeline::site::{RepoSource, Site};
use pipeline::{Changes, Class, Edit, Injected, PluginError, PreBuildView, Reasoned, Setup};
use rpm::repofile::{Entry, MAX_BYTES, RepoFile};
use serde_json::Value;

/// The end of a repository file's name, without which dnf does not read it.
const ENDING: &str = ".repo";
/// Where repository files are. Files that have no URL are named as if this and their name were one.
const DIRECTORY: &str = "/etc/yum.repos.d";
/// Where steps find the builder's certificates (atomic-reactor's place).
const CERTIFICATES: &str = "/tmp";
/// Repositories for every platform, in arguments that have lists by platform.
const EVERY_PLATFORM: &str = "noarch";

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wishes {
    /// The site's own.
    pub(crate) site: Vec<RepoSource>,
    /// The build's.
    pub(crate) urls: Vec<RepoUrl>,
    /// The proxy in all sections of the build's files.
    pub(crate) proxy: Option<String>,
    /// The repository of a Koji target.
    pub(crate) koji: Option<KojiTarget>,
    /// Repositories by name and base URL.
    pub(crate) given: Vec<(String, String)>,
    /// Whether the image is to be thrown away, so that files may come from anywhere.
    pub(crate) is_scratch: bool,
    /// The platform as Koji calls it, where the build system says.
    pub(crate) platform: Option<String>,
}

/// A repository file of the build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RepoUrl {
    /// The platform it is for; none is every.
    pub(crate) platform: Option<String>,
    /// Where it is.
    pub(crate) url: String,
}

/// A target of Koji whose repository is asked for.
#[derive(Clone, Debug)]
pub(crate) struct KojiTarget {
    pub(crate) name: String,
    /// Where the hub's files are.
    pub(crate) root_url: Option<String>,
    pub(crate) hub: Option<Arc<dyn koji::Hub>>,
    /// Whether it is used although other repositories are.
    pub(crate) is_included: bool,
}

/// A repository file as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fetched {
    /// In `/etc/yum.repos.d`.
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    /// Where it came from, without what may be secret.
    pub(crate) from: String,
    /// Who asked for it.
    pub(crate) reason: String,
    /// What every section is to have for a proxy.
    pub(crate) proxy: Option<String>,
}

/// The files RUN steps have already, each by name.
type Known<'k> = &'k [(String, Vec<u8>)];

/// Fetches what is at a URL.
type Download<'d> = &'d dyn Fn(&str) -> Result<(String, Vec<u8>), PluginError>;

/// What wishes are fulfilled with.
pub(crate) struct Around<'a> {
    pub(crate) site: &'a Site,
    /// As the site calls the one that is built for.
    pub(crate) platform: &'a str,
    /// Where a step finds the builder's certificates, and what they are; none where it needs none.
    pub(crate) certificate: Option<(String, Vec<u8>)>,
    /// The files RUN steps have already.
    pub(crate) known: Vec<(String, Vec<u8>)>,
    /// Name and content of the repository file at a URL.
    pub(crate) download: Download<'a>,
}

impl Wishes {
    /// For this build, with nothing wished for.
    pub(crate) fn of(setup: &Setup<'_>) -> Self {
        let task = &setup.wanted.task;
        Self { is_scratch: task.is_scratch, platform: task.platform.clone(), ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.site.is_empty() && self.urls.is_empty() && self.koji.is_none() && self.given.is_empty()
    }

    /// Fetches all files and decides what steps get.
    pub(crate) fn changes(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        if stages(view.plan).is_empty() {
            return Ok(Changes::default());
        }
        let files = view.request.repositories.iter();
        let around = Around {
            site: view.site,
            platform: view.site.platform(&view.request.platform.architecture),
            certificate: certificate(view)?,
            known: files.map(|file| (file.name.clone(), file.content.clone())).collect(),
            download: &|url| pipeline::fetch_repository_file(url, view.http),
        };
        let is_there = |path: &Path| view.request.step_inputs.files.iter().any(|file| file.target == path);
        let mut changes = self.decided(around)?;
        changes.edits.retain(|one| !matches!(&one.edit, Edit::Inject(Injected::File { path, .. }) if is_there(path)));
        Ok(changes)
    }

    /// What steps get.
    pub(crate) fn decided(&self, around: Around<'_>) -> Result<Changes, PluginError> {
        let mut changes = Changes::default();
        let fetched = self.fetch(&around, &mut changes.warnings)?;
        let Around { certificate, mut known, .. } = around;
        for fetched in fetched {
            let path = certificate.as_ref().map(|(path, _)| path.as_str());
            let Some(edit) = decide(fetched, path, &known)? else { continue };
            if let Edit::Inject(Injected::Repository { name, content }) = &edit.edit {
                known.push((name.clone(), content.clone()));
            }
            changes.edits.push(edit);
        }
        if let Some((path, content)) = certificate.filter(|_| !changes.edits.is_empty()) {
            let reason = "repositories are reached with the site's builder_ca_bundle".to_owned();
            let edit = Edit::Inject(Injected::File { path: path.into(), content });
            changes.edits.push(Reasoned { edit, reason });
        }
        Ok(changes)
    }

    fn fetch(&self, around: &Around<'_>, warnings: &mut Vec<String>) -> Result<Vec<Fetched>, PluginError> {
        let site_proxy = around.site.yum_proxy.as_ref().map(|proxy| proxy.reveal().to_owned());
        let urls = for_platform(&self.urls, self.platform.as_deref().unwrap_or(around.platform));
        let mut all = Vec::new();
        if let Some(koji) = &self.koji
            && (koji.is_included || urls.is_empty())
        {
            match koji_file(koji, site_proxy.as_deref())? {
                Ok(fetched) => all.push(fetched),
                Err(warning) => warnings.push(warning),
            }
        }
        for source in &self.site {
            all.push(match source {
                RepoSource::File(path) => Fetched { proxy: site_proxy.clone(), ..read(path)? },
                RepoSource::Url(url) => self.download(around, url, ("the site's yum_repos", site_proxy.as_ref()))?,
            });
        }
        for url in urls {
            all.push(self.download(around, url, ("the build's repositories", self.proxy.as_ref()))?);
        }
        let given = self.given.iter().map(|(name, baseurl)| given(name, baseurl));
        all.extend(given.collect::<Result<Vec<_>, _>>()?);
        Ok(all)
    }

    fn download(
        &self,
        around: &Around<'_>,
        url: &str,
        (whose, proxy): (&str, Option<&String>),
    ) -> Result<Fetched, PluginError> {
        let from = check_domain(url, self.allowed_domains(&around.site.yum_repo_allowed_domains))?;
        let (name, content) = (around.download)(url)?;
        Ok(Fetched { name, content, reason: format!("{whose} name {from}"), from, proxy: proxy.cloned() })
    }

    /// The hosts that files may come from; none is any.
    pub(crate) fn allowed_domains<'s>(&self, site: &'s [String]) -> &'s [String] {
        if self.is_scratch { &[] } else { site }
    }
}

/// The stages whose steps see what is injected, those that are not built among them.
pub(crate) fn stages(plan: &Plan<'_>) -> Vec<usize> {
    let mut stages: Vec<usize> =
        plan.needed.iter().chain(&plan.others).filter(|stage| stage.sees_injected()).map(|stage| stage.index).collect();
    stages.sort_unstable();
    stages
}

/// The URLs of a list, or of one by platform: `{x86_64: […], noarch: […]}`.
pub(crate) fn urls(setup: &Setup<'_>, argument: &str) -> Result<Vec<RepoUrl>, PluginError> {
    let wrong = |found: &Value| {
        let text = format!(
            "argument {argument} is {found}; it must be a list of URLs, or a map with such a list for each platform"
        );
        PluginError::new(Class::Configuration, text)
    };
    let list = |platform: Option<&String>, value: &Value| {
        let items = value.as_array().ok_or_else(|| wrong(value))?.iter();
        let url = |item: &Value| {
            let url = item.as_str().ok_or_else(|| wrong(item))?.to_owned();
            Ok(RepoUrl { platform: platform.filter(|name| *name != EVERY_PLATFORM).cloned(), url })
        };
        items.map(url).collect::<Result<Vec<_>, PluginError>>()
    };
    match setup.args.and_then(|args| args.get(argument)) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(map)) => {
            let lists = map.iter().map(|(platform, value)| list(Some(platform), value));
            Ok(lists.collect::<Result<Vec<_>, _>>()?.concat())
        }
        Some(value) => list(None, value),
    }
}

/// The URLs that a platform gets, each once.
pub(crate) fn for_platform<'u>(urls: &'u [RepoUrl], platform: &str) -> Vec<&'u str> {
    let mut found: Vec<&str> = Vec::new();
    for one in urls.iter().filter(|one| one.platform.as_deref().is_none_or(|name| name == platform)) {
        if !found.contains(&one.url.as_str()) {
            found.push(&one.url);
        }
    }
    found
}

/// The builder's certificates, where a step reaches repositories itself: with the gateway only that one does. The path
/// in the step, and what is there.
fn certificate(view: &PreBuildView<'_>) -> Result<Option<(String, Vec<u8>)>, PluginError> {
    let Some(bundle) = view.site.builder_ca_bundle.as_ref().filter(|_| view.request.network == StepNetwork::Host)
    else {
        return Ok(None);
    };
    let failed = |why: &str| {
        PluginError::new(Class::Configuration, format!("{}: the site's builder_ca_bundle: {why}", bundle.display()))
    };
    let path = certificate_path(bundle).ok_or_else(|| failed("it is no file name"))?;
    let mut content = Vec::new();
    let most = MAX_BYTES as u64 * 4;
    let done = File::open(bundle).and_then(|file| file.take(most + 1).read_to_end(&mut content));
    done.map_err(|error| failed(&error.to_string()))?;
    if content.len() as u64 > most {
        return Err(failed("larger than 4 MiB"));
    }
    Ok(Some((path, content)))
}

/// Where steps see a bundle.
pub(crate) fn certificate_path(bundle: &Path) -> Option<String> {
    let name = bundle.file_name()?.to_str().filter(|name| !name.chars().any(char::is_control))?;
    Some(format!("{CERTIFICATES}/{name}"))
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
    let from = path.display().to_string();
    let reason = format!("the site's yum_repos name {from}");
    Ok(Fetched { name: format!("{stem}{ENDING}"), content, from, reason, proxy: None })
}

/// The repository of a target's build tag, as the hub knows it now; else why there is none.
pub(crate) fn koji_file(target: &KojiTarget, proxy: Option<&str>) -> Result<Result<Fetched, String>, PluginError> {
    let name = &target.name;
    let wrong = |text: String| PluginError::new(Class::Configuration, text);
    let (Some(hub), Some(root)) = (&target.hub, &target.root_url) else {
        let text = format!("the repository of Koji's target {name} cannot be found: there is no way to the hub");
        return Err(wrong(text).help("give the site's `koji` with hub_url and root_url"));
    };
    let remote = |error: koji::HubError| PluginError::of(Class::Remote, &error);
    let found = hub.build_target(name).map_err(remote)?;
    let tag = found.ok_or_else(|| wrong(format!("Koji has no target {name}")))?.build_tag;
    let Some(number) = hub.repository(&tag).map_err(remote)? else {
        return Ok(Err(format!("no repository of Koji's target {name} is used: its build tag {tag} has none")));
    };
    if [name, &tag].iter().any(|text| text.contains(char::is_control)) {
        return Err(wrong(format!("{name:?}, {tag:?}: no name of a target or tag")));
    }
    let id = format!("atomic-reactor-koji-plugin-{name}");
    let baseurl = format!("{}/repos/{tag}/{number}/$basearch", root.trim_end_matches('/'));
    let mut content = section(&id, &baseurl);
    if baseurl.starts_with("https://") {
        content.push_str("sslverify=0\n");
    }
    content.extend(proxy.map(|proxy| format!("proxy={proxy}\n")));
    let (file, from) =
        (pipeline::repository_file_name(&format!("{DIRECTORY}/{name}"))?, format!("Koji's target {name}"));
    let reason = format!("{from} is built with tag {tag}, whose repository is {number}");
    Ok(Ok(Fetched { name: file, content: content.into_bytes(), from, reason, proxy: None }))
}

/// A repository that an argument describes.
pub(crate) fn given(name: &str, baseurl: &str) -> Result<Fetched, PluginError> {
    if [name, baseurl].iter().any(|text| text.is_empty() || text.contains(char::is_control)) {
        let text = format!("repo_name {name:?} and baseurl {baseurl:?} make no repository");
        return Err(PluginError::new(Class::Configuration, text));
    }
    let file = pipeline::repository_file_name(&format!("{DIRECTORY}/{name}"))?;
    let (from, reason) = (format!("repository {name}"), format!("the arguments name repository {name}"));
    Ok(Fetched { name: file, content: section(name, baseurl).into_bytes(), from, reason, proxy: None })
}

fn section(id: &str, baseurl: &str) -> String {
    format!("[{id}]\nname={id}\nbaseurl={baseurl}\nenabled=1\ngpgcheck=0\n")
}

/// The file as steps see it: checked, with a proxy and a certificate in every section where there are some. None where
/// it is known already.
pub(crate) fn decide(
    fetched: Fetched,
    certificate: Option<&str>,
    known: Known<'_>,
) -> Result<Option<Reasoned>, PluginError> {
    let Fetched { name, content, from, reason, proxy } = fetched;
    let wrong = |error| PluginError::of(Class::Configuration, &error).help(reason.clone());
    let mut file = RepoFile::parse(&from, &content).map_err(wrong)?;
    let content = match proxy {
        None => content,
        Some(proxy) => {
            for section in &mut file.sections {
                section.entries.retain(|entry| entry.key != "proxy");
                section.entries.push(Entry { key: "proxy".to_owned(), value: proxy.clone(), line: 0 });
            }
            file.to_text().into_bytes()
        }
    };
    let content = certificate.map_or_else(|| content.clone(), |path| certified(&content, path));
    match known.iter().find(|(known, _)| *known == name) {
        Some((_, other)) if is_same(other, &content) => Ok(None),
        Some(_) => {
            let text = format!("{from}: there is another repository file called {name}, and one would hide the other");
            Err(PluginError::new(Class::Configuration, text).help("give one of them another name"))
        }
        None => Ok(Some(Reasoned { edit: Edit::Inject(Injected::Repository { name, content }), reason })),
    }
}

/// `sslcacert` behind every header of a section, where what the section itself says still counts more.
fn certified(content: &[u8], path: &str) -> Vec<u8> {
    let mut made = Vec::with_capacity(content.len() + 128);
    for line in content.split_inclusive(|byte| *byte == b'\n') {
        made.extend_from_slice(line);
        if line.trim_ascii_start().starts_with(b"[") {
            if !line.ends_with(b"\n") {
                made.push(b'\n');
            }
            made.extend_from_slice(format!("sslcacert={path}\n").as_bytes());
        }
    }
    made
}

/// Whether two files are the same but for how their repositories are reached.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let bare = |content: &[u8]| {
        let file = RepoFile::parse("", content).ok()?;
        let sections = file.sections.into_iter().map(|section| {
            let entries = section.entries.into_iter().map(|entry| (entry.key, entry.value));
            (section.id, entries.filter(|(key, _)| key != "proxy" && key != "sslcacert").collect::<Vec<_>>())
        });
        Some(sections.collect::<Vec<_>>())
    };
    one == other || bare(one).is_some_and(|one| bare(other) == Some(one))
}

/// The host and port of `url` must be among `allowed`, unless that is empty. Returns the URL as it may be shown.
pub(crate) fn check_domain(url: &str, allowed: &[String]) -> Result<String, PluginError> {
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
mod tests;
