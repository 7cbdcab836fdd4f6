//! `fetch-artifacts-url.yaml`: files by URL and checksums.

use pipeline::yaml::{self, Fault, Fields, Item, Meanings};
use pipeline::{Class, PluginError};
use source::lookaside::Algorithm;

use super::{Download, Place};

/// The file's name, beside the Dockerfile.
pub(crate) const NAME: &str = "fetch-artifacts-url.yaml";

/// Keys of checksums, and of those of the file that the artifact was made from.
const SUMS: [(Algorithm, &str, &str); 3] = [
    (Algorithm::Md5, "md5", "source-md5"),
    (Algorithm::Sha1, "sha1", "source-sha1"),
    (Algorithm::Sha256, "sha256", "source-sha256"),
];

const MEANINGS: &Meanings = &[
    ("url", "where the file is"),
    ("md5", "the file's MD5, 32 digits in hexadecimal"),
    ("sha1", "the file's SHA-1, 40 digits in hexadecimal"),
    ("sha256", "the file's SHA-256, 64 digits in hexadecimal"),
    ("target", "where the file goes, below the folder artifacts"),
    ("source-url", "where the source of the file is"),
    ("source-md5", "the source's MD5"),
    ("source-sha1", "the source's SHA-1"),
    ("source-sha256", "the source's SHA-256"),
];

/// One file that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UrlRequest {
    url: String,
    target: Option<String>,
    /// At least one.
    checksums: Vec<(Algorithm, String)>,
    /// Where `url` and `target` stand.
    places: (Place, Place),
}

/// Reads the text of the file; an empty one asks for nothing.
///
/// # Errors
/// [`Class::Source`] names what is wrong, with file, line and column.
pub(crate) fn parse(text: &str) -> Result<Vec<UrlRequest>, PluginError> {
    yaml::read((NAME, text), MEANINGS, |item| item.map_or_else(|| Ok(Vec::new()), |item| item.each(request)))
}

fn request(item: &Item<'_>) -> Result<UrlRequest, Fault> {
    let mut fields = item.fields()?;
    let url = fields.need("url")?;
    let target = fields.take("target");
    let place = |item: &Item<'_>| Place { file: NAME, position: item.position() };
    let places = (place(&url), place(target.as_ref().unwrap_or(&url)));
    let target = target.map(|item| item.any_text("a text").map(str::to_owned)).transpose()?;
    let checksums = sums(&mut fields, |(_, key, _)| *key)?;
    if checksums.is_empty() {
        return Err(item.fault("a checksum is missing").help("give it one of md5, sha1 and sha256"));
    }
    let source = fields.read("source-url", |item| item.any_text("a text").map(str::to_owned))?;
    let source_sums = sums(&mut fields, |(_, _, key)| *key)?;
    if source.is_some() && source_sums.is_empty() {
        let fault = item.fault("source-url has no checksum");
        return Err(fault.help("give it one of source-md5, source-sha1 and source-sha256"));
    }
    let url = url.any_text("a text")?.to_owned();
    fields.refuse_rest()?;
    Ok(UrlRequest { url, target, checksums, places })
}

fn sums(
    fields: &mut Fields<'_>,
    key: impl Fn(&(Algorithm, &'static str, &'static str)) -> &'static str,
) -> Result<Vec<(Algorithm, String)>, Fault> {
    let mut sums = Vec::new();
    for row in SUMS {
        let algorithm = row.0;
        let sum = fields.read(key(&row), |item| checksum(item, algorithm))?;
        sums.extend(sum.map(|sum| (algorithm, sum)));
    }
    Ok(sums)
}

fn checksum(item: &Item<'_>, algorithm: Algorithm) -> Result<String, Fault> {
    let kind = format!("a text of {} digits in hexadecimal, letters small", algorithm.hex_digits());
    let text = item.any_text(&kind)?;
    let is_hex = text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    if is_hex && text.len() == algorithm.hex_digits() { Ok(text.to_owned()) } else { Err(item.expected(&kind)) }
}

/// What is to be fetched, if it may come from there and stays in the folder.
pub(super) fn decide(requests: &[UrlRequest], domains: &[String]) -> Result<Vec<Download>, PluginError> {
    requests.iter().map(|request| download(request, domains)).collect()
}

fn download(request: &UrlRequest, domains: &[String]) -> Result<Download, PluginError> {
    let (at_url, at_target) = &request.places;
    check(&request.url, domains).map_err(|(class, why)| {
        let error = at_url.error(class, &why);
        if class == Class::Refused {
            error.help(format!("the site's artifacts_allowed_domains are {}", domains.join(", ")))
        } else {
            error
        }
    })?;
    let last = || request.url.rsplit('/').next().unwrap_or_default();
    let target = at_target.target(request.target.as_deref().unwrap_or_else(last))?;
    Ok(Download { url: request.url.clone(), target, checksums: request.checksums.clone(), koji: None })
}

/// Whether a URL is one, and one that the site allows.
fn check(url: &str, domains: &[String]) -> Result<(), (Class, String)> {
    let wrong = || (Class::Source, "url: expected an http or https URL".to_owned());
    let parsed = http::Url::parse(url).map_err(|_| wrong())?;
    let host = parsed.host_str().ok_or_else(wrong)?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let host = parsed.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")).to_lowercase();
    let path = parsed.path().to_lowercase();
    if domains.is_empty() || domains.iter().any(|domain| allows(&domain.to_lowercase(), &host, &path)) {
        return Ok(());
    }
    Err((Class::Refused, format!("artifacts may not come from {host}{path} here")))
}

/// `host/path` allows everything below it, and a host alone all its ports; a host is whole, so that `a.example` does not
/// allow `a.example.evil`.
fn allows(domain: &str, host: &str, path: &str) -> bool {
    match domain.split_once('/') {
        Some((allowed, prefix)) => {
            allowed == host && path.strip_prefix('/').is_some_and(|path| path.starts_with(prefix))
        }
        None => host.strip_prefix(domain).is_some_and(|rest| rest.is_empty() || rest.starts_with(':')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";

    #[track_caller]
    fn refused(text: &str, class: Class, expected: &str) {
        let error = parse(text).and_then(|requests| decide(&requests, &["d.example/ok".to_owned()])).unwrap_err();
        assert_eq!((error.class, error.text.as_str()), (class, expected));
    }

    #[test]
    fn a_file_goes_to_its_target_or_is_named_by_its_url() {
        let text = format!(
            "- url: http://D.example/OK/a.jar\n  md5: {MD5}\n- {{url: 'https://d.example/ok/b', md5: {MD5}, target: c/d}}\n"
        );
        let found = decide(&parse(&text).unwrap(), &["d.EXAMPLE/ok".to_owned()]).unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.url.as_str(), one.target.to_string())).collect();
        let expected = [("http://D.example/OK/a.jar", "artifacts/a.jar"), ("https://d.example/ok/b", "artifacts/c/d")];
        assert_eq!(found, expected.map(|(url, target)| (url, target.to_owned())));
        assert_eq!(parse("---\n").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_with_the_file_is_said_with_its_place() {
        let name = NAME;
        refused("- url: http://d.example/ok/a\n", Class::Source, &format!("{name}:1:3: [0]: a checksum is missing"));
        let kind = "expected a text of 32 digits in hexadecimal, letters small, found the text \"x\"";
        refused("- {url: u, md5: x}", Class::Source, &format!("{name}:1:17: [0].md5: {kind}"));
        refused("- {url: u, md5: x, sha: y}", Class::Source, &format!("{name}:1:17: [0].md5: {kind}"));
        refused(
            &format!("- {{url: u, md5: {MD5}, sha: y}}"),
            Class::Source,
            &format!("{name}:1:51: [0].sha: unknown key"),
        );
        refused("- md5: x", Class::Source, &format!("{name}:1:3: [0]: url is missing"));
        let text = format!("- {{url: u, md5: {MD5}, source-url: s}}");
        refused(&text, Class::Source, &format!("{name}:1:3: [0]: source-url has no checksum"));
        refused("url: u", Class::Source, &format!("{name}:1:1: the file: expected a list, found a map"));
    }

    #[test]
    fn a_target_stays_in_the_folder() {
        let text = |target: &str| format!("- url: http://d.example/ok/a\n  md5: {MD5}\n  target: {target}\n");
        let out = "fetch-artifacts-url.yaml:3:11: target `../../etc/passwd`: a part of it is `..`, which leads out of the folder";
        refused(&text("../../etc/passwd"), Class::Refused, out);
        let out = "fetch-artifacts-url.yaml:3:11: target `/etc/passwd`: it is an absolute path";
        refused(&text("/etc/passwd"), Class::Refused, out);
        let url = format!("- {{url: http://d.example/ok/, md5: {MD5}}}");
        refused(&url, Class::Refused, "fetch-artifacts-url.yaml:1:9: target ``: a part of it is no name of a file");
    }

    #[test]
    fn a_file_comes_only_from_where_the_site_allows() {
        let from = |url: &str| format!("- {{url: '{url}', md5: {MD5}}}");
        for url in [
            "http://other.example/ok/a",
            "http://d.example.evil/ok/a",
            "http://d.example:81/ok/a",
            "http://d.example/no/a",
        ] {
            let error = decide(&parse(&from(url)).unwrap(), &["d.example/ok".to_owned()]).unwrap_err();
            assert_eq!(error.class, Class::Refused, "{url}");
            assert!(error.text.contains("artifacts may not come from "), "{}", error.text);
        }
        // What is before the @ is a login, and dots are followed before anybody is asked.
        refused(
            &from("http://d.example@evil.example/ok/a"),
            Class::Refused,
            "fetch-artifacts-url.yaml:1:9: artifacts may not come from evil.example/ok/a here",
        );
        refused(
            &from("http://d.example/ok/../a"),
            Class::Refused,
            "fetch-artifacts-url.yaml:1:9: artifacts may not come from d.example/a here",
        );
        refused(
            &from("ftp://d.example/ok/a"),
            Class::Source,
            "fetch-artifacts-url.yaml:1:9: url: expected an http or https URL",
        );
        let of_host = |url: &str| decide(&parse(&from(url)).unwrap(), &["D.example".to_owned()]).is_ok();
        assert!(of_host("http://d.example/a") && of_host("http://d.example:8080/a"));
        assert!(!of_host("http://d.example.evil/a") && !of_host("http://ad.example/a"));
        let anywhere = decide(&parse(&from("http://other.example/a")).unwrap(), &[]).unwrap();
        assert_eq!(anywhere.len(), 1);
    }
}
