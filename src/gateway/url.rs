//! URLs of repository files, taken apart into what is hidden and what a step sees.
//!
//! Done by hand up to the path, because variables are no part of a URL's syntax and must come out as they went in.

use std::collections::BTreeMap;

use http::{Secret, Tls, Url};
use oci::Digest;

use crate::pattern::has_variable;
use crate::rules::Reach;
use crate::sources::{Found, Hidden, Kind};
use crate::{Options, Origin, Problem};

/// Hexadecimal digits of an id: enough that nobody makes a second server with the same one.
const ID_LENGTH: usize = 20;

/// What a section says about reaching its servers.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) id: String,
    pub(crate) origin: Origin,
    pub(crate) credentials: Option<(String, Secret)>,
    pub(crate) tls: Tls,
    pub(crate) proxy: Option<Secret>,
    /// Variables of dnf whose values are known, for schemes and hosts.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A URL cut at its delimiters.
struct Parts<'a> {
    scheme: String,
    user: Option<&'a str>,
    /// Host and port.
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

/// What `text` stands for; `None` for what is no business of the gateway's: files of the step.
pub(crate) fn take_apart(
    text: &str,
    kind: Kind,
    section: &Section,
    options: &Options,
) -> Result<Option<Found>, Problem> {
    let head = head(text);
    let expanded = expand(head, &section.variables);
    let rest = text.get(head.len()..).unwrap_or_default();
    let whole = format!("{expanded}{rest}");
    // What a variable brought along of a path cannot be told from it any more.
    let written = (expanded != head && !expanded.splitn(4, '/').skip(3).any(|path| !path.is_empty())).then_some(head);
    let judged = if expanded == head { section.clone() } else { as_image(section, &whole)? };
    let found = take_apart_known(&whole, kind, &judged, options)?;
    Ok(found.map(|mut found| {
        if let Some(written) = written {
            written.clone_into(&mut found.hidden.written);
        }
        found
    }))
}

/// The section for a URL whose host comes from a variable: the image has set that, so the host is judged as one that
/// an image names, and nothing of the site's goes there.
fn as_image(section: &Section, url: &str) -> Result<Section, Problem> {
    if section.origin == Origin::Image {
        return Ok(section.clone());
    }
    if head(url).contains('@') {
        let url = cut(url).map(|parts| parts.shown()).unwrap_or_default();
        return Err(Problem::VariableInHost { repository: section.id.clone(), url });
    }
    let settings =
        Section { origin: Origin::Image, credentials: None, tls: Tls::Verify, proxy: None, ..section.clone() };
    Ok(settings)
}

/// Scheme and authority, or the variable that stands for them.
fn head(text: &str) -> &str {
    let start = text.find("://").map_or(0, |at| at + 3);
    let end = text.get(start..).and_then(|rest| rest.find(['/', '?', '#'])).map_or(text.len(), |at| start + at);
    text.get(..end).unwrap_or(text)
}

/// `text` with the values of the variables that are known; others stay, and are refused by whoever meets them.
fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once('$') {
        expanded.push_str(before);
        let braced = from.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let plain = from.split_at_checked(from.find(|c| !is_name(c)).unwrap_or(from.len())).unwrap_or((from, ""));
        let (name, after) = braced.unwrap_or(plain);
        match variables.get(name) {
            Some(value) => {
                expanded.push_str(value);
                rest = after;
            }
            None => {
                expanded.push('$');
                rest = from;
            }
        }
    }
    expanded + rest
}

fn take_apart_known(text: &str, kind: Kind, section: &Section, options: &Options) -> Result<Option<Found>, Problem> {
    let Some(parts) = cut(text) else {
        return if text.starts_with('/') { Ok(None) } else { Err(bad(section, text, "it has no scheme")) };
    };
    if parts.scheme == "file" {
        return Ok(None);
    }
    let shown = parts.shown();
    let repository = section.id.clone();
    if has_variable(&parts.scheme) || has_variable(parts.authority) || parts.user.is_some_and(has_variable) {
        return Err(Problem::VariableInHost { repository, url: shown });
    }
    if !matches!(parts.scheme.as_str(), "http" | "https") {
        return Err(Problem::Scheme { repository, url: shown });
    }
    check_text(&parts).map_err(|why| bad(section, &shown, why))?;
    let base = format!("{}://{}/", parts.scheme, parts.authority);
    let base = Url::parse(&base).map_err(|_| bad(section, &shown, "its host or port is malformed"))?;
    let (text, query) = match kind {
        Kind::Base if parts.query.is_some_and(has_variable) => {
            return Err(Problem::VariableInQuery { repository, url: shown });
        }
        Kind::Base => (parts.path.to_owned(), parts.query.map(Secret::new)),
        Kind::Metalink | Kind::Mirrorlist | Kind::Key => {
            let query = parts.query.map(|query| format!("?{query}")).unwrap_or_default();
            (format!("{}{query}", parts.path), None)
        }
    };
    let hidden = hide(&parts, base, query, section, options)?;
    let identity = identity(&hidden, section);
    let id = Digest::of(identity.as_bytes()).hex().chars().take(ID_LENGTH).collect();
    Ok(Some(Found { id, identity, hidden, kind, text, repository }))
}

fn bad(section: &Section, url: &str, why: &'static str) -> Problem {
    Problem::BadUrl { repository: section.id.clone(), url: url.to_owned(), why }
}

fn cut(text: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = text.split_once("://")?;
    let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
    let (before, query) = match rest.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (rest, None),
    };
    let (authority, path) = before.split_at_checked(before.find('/').unwrap_or(before.len()))?;
    let (user, authority) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    Some(Parts { scheme: scheme.to_ascii_lowercase(), user, authority, path, query })
}

impl Parts<'_> {
    /// Without credentials and query.
    fn shown(&self) -> String {
        format!("{}://{}{}", self.scheme, self.authority, self.path)
    }
}

/// Refuses what a request line cannot carry, and dot segments, which would climb out of what was rewritten.
fn check_text(parts: &Parts<'_>) -> Result<(), &'static str> {
    let query = parts.query.unwrap_or_default();
    let is_sendable =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'"' | b'<' | b'>'));
    if !is_sendable(parts.path) || !is_sendable(query) {
        return Err("it has characters that must be percent-encoded");
    }
    if parts.authority.is_empty() {
        return Err("it has no host");
    }
    crate::path::check(parts.path)
}

fn hide(
    parts: &Parts<'_>,
    base: Url,
    query: Option<Secret>,
    section: &Section,
    options: &Options,
) -> Result<Hidden, Problem> {
    let host = base.host_str().unwrap_or_default();
    let port = base.port_or_known_default().unwrap_or_default();
    let reach = match section.origin {
        Origin::Site => Some(Reach::Everywhere),
        Origin::Image => options.repository_hosts.reach(&options.rules, host, port),
    };
    let reach = reach.ok_or_else(|| Problem::Host { repository: section.id.clone(), host: host.to_owned() })?;
    let in_url = parts.user.map(|user| {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        (crate::path::decode(name), Secret::new(crate::path::decode(password)))
    });
    let user =
        parts.user.filter(|_| section.origin == Origin::Image).map(|user| format!("{user}@")).unwrap_or_default();
    Ok(Hidden {
        written: format!("{}://{user}{}", parts.scheme, parts.authority),
        origin: section.origin,
        reach,
        credentials: in_url.or_else(|| section.credentials.clone()),
        query,
        tls: section.tls,
        proxy: section.proxy.clone(),
        base,
    })
}

/// What makes a server another one than the rest. No password is in it: a new one must not change the rewritten file.
fn identity(hidden: &Hidden, section: &Section) -> String {
    let origin = match hidden.origin {
        Origin::Site => "site",
        Origin::Image => "image",
    };
    let mut identity = format!("{origin} {}", hidden.base);
    let is_special =
        hidden.credentials.is_some() || hidden.query.is_some() || hidden.tls == Tls::NoVerify || hidden.proxy.is_some();
    if is_special {
        let user = hidden.credentials.as_ref().map_or("", |(user, _)| user);
        identity = format!(
            "{identity} [{}] user {user:?} query {} verify {:?} proxy {}",
            section.id,
            hidden.query.is_some(),
            hidden.tls,
            hidden.proxy.is_some()
        );
    }
    identity
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(origin: Origin) -> Section {
        let variables =
            [("disturl", "http://repo.example:8080"), ("domain", "example.org"), ("deep", "http://a.example/b")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let credentials = Some(("user".to_owned(), Secret::new("password")));
        Section { id: "x".to_owned(), origin, credentials, tls: Tls::Verify, proxy: None, variables }
    }

    #[track_caller]
    fn check(text: &str, base: &str, path: &str, written: &str) {
        let found = take_apart(text, Kind::Base, &section(Origin::Image), &Options::default()).unwrap().unwrap();
        assert_eq!((found.hidden.base.as_str(), found.text.as_str()), (base, path));
        assert_eq!(found.hidden.written, written);
    }

    #[test]
    fn known_variables_may_stand_for_scheme_and_host() {
        check("$disturl/$releasever/os", "http://repo.example:8080/", "/$releasever/os", "$disturl");
        check("https://yum.${domain}/x", "https://yum.example.org/", "/x", "https://yum.${domain}");
        check("$deep/c", "http://a.example/", "/b/c", "http://a.example");
        check("http://a.example/$disturl", "http://a.example/", "/$disturl", "http://a.example");
    }

    #[test]
    fn a_host_that_the_image_chooses_gets_nothing_of_the_sites() {
        let site = section(Origin::Site);
        let found = take_apart("$disturl/os", Kind::Base, &site, &Options::default()).unwrap().unwrap();
        assert_eq!((found.hidden.reach, found.hidden.origin), (Reach::NotLocal, Origin::Image));
        assert!(found.hidden.credentials.is_none());
        let problem = take_apart("https://a:b@${domain}/x", Kind::Base, &site, &Options::default()).unwrap_err();
        let url = "https://example.org/x".to_owned();
        assert_eq!(problem, Problem::VariableInHost { repository: "x".to_owned(), url });
        let found = take_apart("https://known.example/os", Kind::Base, &site, &Options::default()).unwrap().unwrap();
        assert_eq!((found.hidden.reach, found.hidden.credentials.is_some()), (Reach::Everywhere, true));
    }
}
