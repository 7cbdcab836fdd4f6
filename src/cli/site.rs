//! The site's configuration, read.

use std::path::Path;

use dockerfile::{Diagnostic, Span};
use pipeline::site::Site;

use crate::failure::{Failure, Status};
use crate::{diagnostic, inputs};

/// Of a key that is read and checked, and nothing more.
const UNUSED: &str = "read, but not used yet";

/// What a site configures; nothing where no file was given.
#[derive(Debug, Default)]
pub(crate) struct Configuration {
    /// The file, as it was named.
    pub(crate) path: Option<String>,
    /// What it holds.
    pub(crate) bytes: Vec<u8>,
    /// What that means.
    pub(crate) site: Site,
    /// Keys that mean nothing here.
    pub(crate) notices: Vec<Notice>,
    /// The same as lines of a log.
    pub(crate) notes: Vec<String>,
}

/// A key that means nothing here, and why.
#[derive(Debug)]
pub(crate) struct Notice {
    /// Its path.
    pub(crate) key: String,
    /// Why, or what was probably meant.
    pub(crate) text: String,
}

/// Reads the file, if one was given.
pub(crate) fn read(path: Option<&Path>) -> Result<Configuration, Failure> {
    let Some(path) = path else { return Ok(Configuration::default()) };
    parse(path, inputs::read(path, "the site's configuration")?)
}

/// What `bytes` configure, which are the file `path` or were given under that name.
pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Configuration, Failure> {
    let shown = path.display().to_string();
    match Site::parse(path, &bytes) {
        Ok((site, notes)) => {
            let note = |note: &pipeline::site::Note| format!("{shown}:{}: {}: {}", note.line, note.key, note.text);
            let unused = unused(&site);
            let unused_notes = unused.iter().map(|key| format!("{shown}: {key}: {UNUSED}"));
            let all = notes.iter().map(note).chain(unused_notes).collect();
            let notices = notes.into_iter().map(|note| Notice { key: note.key, text: note.text });
            let unused = unused.into_iter().map(|key| Notice { key: key.to_owned(), text: UNUSED.to_owned() });
            let notices = notices.chain(unused).collect();
            Ok(Configuration { path: Some(shown), bytes, site, notices, notes: all })
        }
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes);
            let span = Span { start: error.span.start, end: error.span.end };
            if may_hold_secret(&text, error.line) {
                let text = format!("{shown}:{}:{}: {}", error.line, error.column, error.message);
                return Err(Failure { help: error.help, ..Failure::new(Status::Usage, text) });
            }
            let diagnostic = Diagnostic { message: error.message, span, help: error.help };
            Err(diagnostic::failure(Status::Usage, &diagnostic, &shown, &text))
        }
    }
}

/// Whether a line is better not repeated in a log.
fn may_hold_secret(text: &str, line: usize) -> bool {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default().to_ascii_lowercase();
    ["@", "password", "passwd", "secret", "token"].iter().any(|word| line.contains(word))
}

/// Keys whose values are read and checked, and which nothing obeys yet.
fn unused(site: &Site) -> Vec<&'static str> {
    let all = [
        ("koji.auth.krb_principal", site.koji.as_ref().is_some_and(|koji| koji.auth.krb_principal.is_some())),
        ("koji.auth.ssl_certs_dir", site.koji.as_ref().is_some_and(|koji| koji.auth.ssl_certs_dir.is_some())),
        ("koji.auth.proxyuser", site.koji.as_ref().is_some_and(|koji| koji.auth.proxyuser.is_some())),
        ("koji.use_fast_upload", site.koji.as_ref().is_some_and(|koji| !koji.use_fast_upload)),
        ("koji.insecure_download", site.koji.as_ref().is_some_and(|koji| koji.insecure_download)),
    ];
    all.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
}
