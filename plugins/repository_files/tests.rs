//! Tests of repository files: what is decided without a server.

use pipeline::site::Site;
use pipeline::{Setup, Wanted};
use serde_json::json;

use super::*;

const URL: &str = "http://r.example/my.repo";

fn fetched(content: &str) -> Fetched {
    Fetched {
        name: "my-f0ca2.repo".to_owned(),
        content: content.into(),
        from: URL.to_owned(),
        reason: format!("the site's yum_repos name {URL}"),
        proxy: None,
    }
}

#[track_caller]
fn injected(fetched: Fetched, certificate: Option<&str>, expected: &str) {
    let edit = Injected::Repository { name: "my-f0ca2.repo".to_owned(), content: expected.into() };
    let reason = "the site's yum_repos name http://r.example/my.repo".to_owned();
    let expected = Reasoned { edit: Edit::Inject(edit), reason };
    assert_eq!(decide(fetched, certificate, &[]).unwrap(), Some(expected));
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
fn an_image_that_is_thrown_away_may_use_any_host() {
    let site = ["r.example".to_owned()];
    assert_eq!(Wishes::default().allowed_domains(&site), site);
    assert!(Wishes { is_scratch: true, ..Wishes::default() }.allowed_domains(&site).is_empty());
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
    injected(fetched(content), None, content);
}

#[test]
fn a_proxy_is_in_every_section_in_place_of_another() {
    let content = "[a]\nbaseurl=u\nproxy=old\n[b]\nbaseurl=v\n";
    let expected = "[a]\nbaseurl=u\nproxy=http://p:1\n[b]\nbaseurl=v\nproxy=http://p:1\n";
    injected(Fetched { proxy: Some("http://p:1".to_owned()), ..fetched(content) }, None, expected);
}

#[test]
fn a_certificate_is_named_in_every_section() {
    let content = "# c\n[a]\nbaseurl=u\n\n [b]\nbaseurl=v";
    let expected = "# c\n[a]\nsslcacert=/tmp/ca.pem\nbaseurl=u\n\n [b]\nsslcacert=/tmp/ca.pem\nbaseurl=v";
    assert_eq!(String::from_utf8(certified(content.as_bytes(), "/tmp/ca.pem")).unwrap(), expected);
    injected(fetched("[a]\nbaseurl=u\n"), Some("/tmp/x"), "[a]\nsslcacert=/tmp/x\nbaseurl=u\n");
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line() {
    let error = decide(fetched("<html>"), None, &[]).unwrap_err();
    let text = "http://r.example/my.repo:1: line is not of the form key=value";
    let help = "the site's yum_repos name http://r.example/my.repo";
    assert_eq!(error, PluginError::new(Class::Configuration, text).help(help));
}

#[test]
fn a_name_is_given_once() {
    let content = "[a]\nbaseurl=u\n";
    let known = |content: &str| [("my-f0ca2.repo".to_owned(), content.as_bytes().to_vec())];
    assert_eq!(decide(fetched(content), None, &known(content)).unwrap(), None);
    assert_eq!(decide(fetched(content), None, &known("[a]\nbaseurl=u\nproxy=p\n")).unwrap(), None);
    let error = decide(fetched(content), None, &known("[b]\nbaseurl=u\n")).unwrap_err();
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

#[track_caller]
fn argument(value: &Value) -> Result<Vec<RepoUrl>, PluginError> {
    let args = json!({ "repourls": value });
    let (site, wanted) = (Site::default(), Wanted::default());
    urls(&Setup { site: &site, wanted: &wanted, args: args.as_object() }, "repourls")
}

#[test]
fn urls_are_one_list_or_one_for_each_platform() {
    assert_eq!(argument(&Value::Null).unwrap(), []);
    let all = argument(&json!({ "x86_64": ["u"], "noarch": ["v", "u"], "s390x": ["w"] })).unwrap();
    assert_eq!(for_platform(&all, "x86_64"), ["v", "u"]);
    assert_eq!(for_platform(&all, "s390x"), ["v", "u", "w"]);
    assert_eq!(for_platform(&argument(&json!(["u"])).unwrap(), "any"), ["u"]);
    let expected = "it must be a list of URLs, or a map with such a list for each platform";
    for wrong in [json!("u"), json!([1]), json!({ "x86_64": "u" })] {
        assert!(argument(&wrong).unwrap_err().text.ends_with(expected), "{wrong}");
    }
}

/// A hub with one target, whose tag has a repository or none.
#[derive(Debug)]
struct OneTarget(Option<u64>);

impl koji::Hub for OneTarget {
    fn build(&self, _: &str) -> Result<Option<koji::BuildInfo>, koji::HubError> {
        Ok(None)
    }
    fn build_target(&self, name: &str) -> Result<Option<koji::BuildTarget>, koji::HubError> {
        let target = koji::BuildTarget { build_tag: "f40-build".to_owned(), ..koji::BuildTarget::default() };
        Ok((name == "f40-container").then_some(target))
    }
    fn architectures(&self, _: &str) -> Result<Vec<String>, koji::HubError> {
        Ok(Vec::new())
    }
    fn repository(&self, _: &str) -> Result<Option<u64>, koji::HubError> {
        Ok(self.0)
    }
    fn next_release(&self, _: &str, _: &str) -> Result<String, koji::HubError> {
        Ok(String::new())
    }
}

fn target(name: &str, root: &str, repository: Option<u64>) -> KojiTarget {
    let hub: Option<Arc<dyn koji::Hub>> = Some(Arc::new(OneTarget(repository)));
    KojiTarget { name: name.to_owned(), root_url: Some(root.to_owned()), hub, is_included: false }
}

#[test]
fn the_repository_of_a_target_is_that_of_its_build_tag() {
    let found = koji_file(&target("f40-container", "https://k.example/koji/", Some(77)), Some("http://p:1")).unwrap();
    let found = found.unwrap();
    let expected = "[atomic-reactor-koji-plugin-f40-container]\nname=atomic-reactor-koji-plugin-f40-container\n\
                    baseurl=https://k.example/koji/repos/f40-build/77/$basearch\nenabled=1\ngpgcheck=0\nsslverify=0\n\
                    proxy=http://p:1\n";
    assert_eq!(String::from_utf8(found.content).unwrap(), expected);
    assert_eq!(found.name, "f40-container-c914c.repo");
    let found = koji_file(&target("f40-container", "http://k.example", Some(7)), None).unwrap().unwrap();
    assert!(String::from_utf8(found.content).unwrap().ends_with("f40-build/7/$basearch\nenabled=1\ngpgcheck=0\n"));
}

#[test]
fn a_target_that_is_not_there_fails_and_one_without_a_repository_is_said() {
    let error = koji_file(&target("nobody", "http://k.example", Some(7)), None).unwrap_err();
    assert_eq!(error.text, "Koji has no target nobody");
    let warning = koji_file(&target("f40-container", "http://k.example", None), None).unwrap().unwrap_err();
    assert_eq!(warning, "no repository of Koji's target f40-container is used: its build tag f40-build has none");
    let nowhere = KojiTarget { hub: None, ..target("f40-container", "http://k.example", None) };
    let text = "the repository of Koji's target f40-container cannot be found: there is no way to the hub";
    assert_eq!(koji_file(&nowhere, None).unwrap_err().text, text);
}

#[test]
fn a_repository_can_be_given_by_name() {
    let found = given("my-own", "http://r.example/$basearch").unwrap();
    let expected = "[my-own]\nname=my-own\nbaseurl=http://r.example/$basearch\nenabled=1\ngpgcheck=0\n";
    assert_eq!(String::from_utf8(found.content).unwrap(), expected);
    assert!(found.name.starts_with("my-own-") && given("a\nb", "u").is_err() && given("", "u").is_err());
}
