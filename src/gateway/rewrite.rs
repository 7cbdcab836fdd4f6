//! Repository files as a step may see them: URLs lead through the gateway, and the builder's keys are gone.
//!
//! Comes in: a file's bytes, what images may name. Goes out: the new bytes, and what each new URL stands for. Pure:
//! the same file gives the same text. Lines are changed one by one, so that everything else stays byte for byte.
//!
//! A site's file is checked as a whole first, and a URL in it that cannot be served is an error. An image's file may be
//! as broken as dnf tolerates: what cannot be led through the gateway stays, and leads nowhere.

use std::collections::BTreeMap;

use http::{Secret, Tls};
use rpm::repofile::{MAX_BYTES, RepoFile};
use tracing::warn;

use crate::sources::{Found, Kind};
use crate::url::{Section as Settings, take_apart};
use crate::{ADDRESS, GatewayError, Options, Origin, Problem};

/// Begins a line of an image's file that was taken out; [`restore`](crate::restore) puts it back.
pub(crate) const TAKEN_OUT: &str = "#gateway: ";

/// A file and what its URLs stand for.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) content: Vec<u8>,
    pub(crate) found: Vec<Found>,
}

/// One `key = value` with the lines it is on.
#[derive(Debug)]
struct Entry<'a> {
    key: &'a str,
    /// Continued lines are joined by a space.
    value: String,
    lines: Vec<usize>,
}

#[derive(Debug)]
struct Section<'a> {
    id: &'a str,
    entries: Vec<Entry<'a>>,
}

/// What becomes of a line.
enum Change {
    Gone,
    Text(String),
}

/// Rewrites `content`; see [`Gateway::rewrite`](crate::Gateway::rewrite).
pub(crate) fn rewrite(
    file: &str,
    content: &[u8],
    options: &Options,
    (origin, variables): (Origin, &BTreeMap<String, String>),
) -> Result<Rewritten, GatewayError> {
    if content.len() > MAX_BYTES {
        return Err(GatewayError::File { file: file.to_owned(), line: 1, problem: Problem::TooLarge });
    }
    if origin == Origin::Site {
        RepoFile::parse(file, content)?;
    }
    let Ok(text) = std::str::from_utf8(content) else {
        warn!(file, "the image's repository file is not UTF-8; it is left as it is and leads nowhere");
        return Ok(Rewritten { content: content.to_vec(), found: Vec::new() });
    };
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let mut rewriter =
        Rewriter { file, lines: &lines, options, origin, variables, changes: BTreeMap::new(), found: Vec::new() };
    for section in sections(&lines) {
        rewriter.section(&section)?;
    }
    let (changes, found) = (rewriter.changes, rewriter.found);
    let mut content = Vec::with_capacity(text.len() + 256);
    for (at, line) in lines.iter().enumerate() {
        match changes.get(&at) {
            None => content.extend_from_slice(line.as_bytes()),
            Some(Change::Gone) => {}
            Some(Change::Text(text)) => content.extend_from_slice(text.as_bytes()),
        }
    }
    Ok(Rewritten { content, found })
}

/// The sections of a file, as loosely as dnf reads them.
fn sections<'a>(lines: &[&'a str]) -> Vec<Section<'a>> {
    let mut sections: Vec<Section<'a>> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let line = if at == 0 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        let trimmed = line.trim();
        if trimmed.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            if let Some(entry) = sections.last_mut().and_then(|section| section.entries.last_mut()) {
                entry.value = format!("{} {trimmed}", entry.value);
                entry.lines.push(at);
            }
        } else if let Some((id, _)) = trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            sections.push(Section { id, entries: Vec::new() });
        } else if let Some((key, value)) = trimmed.split_once('=')
            && let Some(section) = sections.last_mut()
        {
            let (key, value) = (key.trim_end(), value.trim_start().to_owned());
            section.entries.push(Entry { key, value, lines: vec![at] });
        }
    }
    sections
}

impl Section<'_> {
    /// The entry that counts: the last one with a value.
    fn last(&self, key: &str) -> Option<&Entry<'_>> {
        self.entries.iter().rev().find(|entry| entry.key == key).filter(|entry| !entry.value.is_empty())
    }
}

struct Rewriter<'a> {
    file: &'a str,
    lines: &'a [&'a str],
    options: &'a Options,
    origin: Origin,
    variables: &'a BTreeMap<String, String>,
    changes: BTreeMap<usize, Change>,
    found: Vec<Found>,
}

impl Rewriter<'_> {
    fn section(&mut self, section: &Section<'_>) -> Result<(), GatewayError> {
        let settings = self.settings(section)?;
        let mut lists = Vec::new();
        for (key, kind) in [("metalink", Kind::Metalink), ("mirrorlist", Kind::Mirrorlist)] {
            if let Some(entry) = section.last(key)
                && let Some(url) = self.url(entry, &entry.value, kind, &settings)?
            {
                lists.push((entry, url));
            }
        }
        for entry in &section.entries {
            match entry.key {
                "baseurl" => self.urls(entry, Kind::Base, &settings)?,
                "gpgkey" => self.urls(entry, Kind::Key, &settings)?,
                key if is_builders(key) => self.take_out(entry),
                _ => {}
            }
        }
        self.place_lists(section, lists);
        Ok(())
    }

    /// The keys of `section` that say how the builder reaches it.
    fn settings(&self, section: &Section<'_>) -> Result<Settings, GatewayError> {
        let value = |key| section.last(key).map(|entry| entry.value.clone());
        let mut settings = Settings {
            id: section.id.to_owned(),
            origin: self.origin,
            credentials: value("username").map(|user| (user, Secret::new(value("password").unwrap_or_default()))),
            tls: Tls::Verify,
            proxy: None,
            variables: self.variables.clone(),
        };
        if self.origin == Origin::Image {
            return Ok(settings);
        }
        if let Some(entry) = section.last("sslverify") {
            settings.tls = match entry.value.to_ascii_lowercase().as_str() {
                "1" | "yes" | "true" | "on" => Tls::Verify,
                "0" | "no" | "false" | "off" => Tls::NoVerify,
                _ => {
                    let (repository, value) = (section.id.to_owned(), entry.value.clone());
                    return Err(self.error(entry, Problem::Switch { repository, value }));
                }
            };
        }
        // An empty value and `_none_` mean a direct connection (dnf.conf(5)).
        let proxy = section.entries.iter().rev().find(|entry| entry.key == "proxy").map(|entry| entry.value.as_str());
        settings.proxy = proxy.map(|proxy| Secret::new(if proxy == "_none_" { "" } else { proxy }));
        Ok(settings)
    }

    /// The gateway's URL for `url`; `None` where it stays as it is.
    fn url(
        &mut self,
        entry: &Entry<'_>,
        url: &str,
        kind: Kind,
        settings: &Settings,
    ) -> Result<Option<String>, GatewayError> {
        match take_apart(url, kind, settings, self.options) {
            Ok(None) => Ok(None),
            Ok(Some(found)) => {
                let rewritten = found.url();
                self.found.push(found);
                Ok(Some(rewritten))
            }
            Err(problem) if self.origin == Origin::Site => Err(self.error(entry, problem)),
            Err(problem) => {
                warn!(file = self.file, %problem, "a repository of the image is left as it is and leads nowhere");
                Ok(None)
            }
        }
    }

    /// Replaces the URLs in a list of them.
    fn urls(&mut self, entry: &Entry<'_>, kind: Kind, settings: &Settings) -> Result<(), GatewayError> {
        for (number, at) in entry.lines.iter().enumerate() {
            let Some(line) = self.lines.get(*at) else { continue };
            let start = if number == 0 { line.find('=').map_or(0, |equals| equals + 1) } else { 0 };
            let (head, tail) = line.split_at_checked(start).unwrap_or((line, ""));
            let mut text = head.to_owned();
            for piece in tail.split_inclusive(is_apart) {
                let word = piece.trim_end_matches(is_apart);
                let rewritten = if word.is_empty() { None } else { self.url(entry, word, kind, settings)? };
                text.push_str(rewritten.as_deref().unwrap_or(word));
                text.push_str(piece.strip_prefix(word).unwrap_or_default());
            }
            self.changes.insert(*at, Change::Text(text));
        }
        Ok(())
    }

    fn take_out(&mut self, entry: &Entry<'_>) {
        for at in &entry.lines {
            let line = self.lines.get(*at).copied().unwrap_or_default();
            let change = match self.origin {
                Origin::Site => Change::Gone,
                Origin::Image => Change::Text(format!("{TAKEN_OUT}{line}")),
            };
            self.changes.insert(*at, change);
        }
    }

    /// Makes base URLs of metalink and mirrorlist: ahead of those there are, because of two `baseurl` only one counts.
    fn place_lists(&mut self, section: &Section<'_>, lists: Vec<(&Entry<'_>, String)>) {
        let Some((first, _)) = lists.first() else { return };
        let target = section.last("baseurl").unwrap_or(first);
        let urls: Vec<&str> = lists.iter().map(|(_, url)| url.as_str()).collect();
        let urls = urls.join(" ");
        for (entry, _) in &lists {
            for at in &entry.lines {
                self.changes.insert(*at, Change::Gone);
            }
        }
        let Some(at) = target.lines.first() else { return };
        let line = self.lines.get(*at).copied().unwrap_or_default();
        let text = match self.changes.get(at) {
            Some(Change::Text(text)) => match text.split_once('=') {
                Some((key, rest)) => format!("{key}={urls} {}", rest.trim_start_matches([' ', '\t'])),
                None => text.clone(),
            },
            Some(Change::Gone) | None => {
                let end = line.get(line.trim_end().len()..).unwrap_or_default();
                let space = line.split_once('=').map(|(key, _)| key.get(key.trim_end().len()..).unwrap_or_default());
                format!("baseurl{}={urls}{}", space.unwrap_or_default(), end)
            }
        };
        self.changes.insert(*at, Change::Text(text));
    }

    fn error(&self, entry: &Entry<'_>, problem: Problem) -> GatewayError {
        let line = entry.lines.first().map_or(1, |at| at + 1);
        GatewayError::File { file: self.file.to_owned(), line, problem }
    }
}

impl Found {
    /// The URL that stands in the rewritten file.
    fn url(&self) -> String {
        let text = match self.kind {
            Kind::Base => self.text.clone(),
            Kind::Metalink | Kind::Mirrorlist => format!("/{}/", crate::pattern::escape(&self.text)),
            Kind::Key => format!("/{}", crate::pattern::escape(&self.text)),
        };
        format!("http://{ADDRESS}/{}/{}{text}", self.kind.letter(), self.id)
    }
}

/// What stands between the URLs of a list.
fn is_apart(c: char) -> bool {
    c.is_whitespace() || c == ','
}

/// Keys that say how to reach a server, which is the builder's business (dnf.conf(5)).
fn is_builders(key: &str) -> bool {
    key.starts_with("proxy") || key.starts_with("ssl") || matches!(key, "username" | "password")
}

#[cfg(test)]
mod tests;
