//! The API of the cluster (`openshift`): where it is, and whether it is spoken to with a token.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::error::{Fault, Note};
use super::fields::Item;
use super::scalar;

/// Keys of `openshift.auth` for logins that are not used: a pod has a token.
const LOGINS: [&str; 4] = ["krb_cache_path", "krb_principal", "krb_keytab_path", "ssl_certs_dir"];

/// The API of the cluster that builds are objects of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenshiftSite {
    /// Its URL.
    pub url: String,
    /// Whether its certificate is not checked.
    pub insecure: bool,
    /// Whether the service account's token is sent (`auth.enable`).
    pub sends_token: bool,
    /// The file with the token, in place of the service account's (`auth.token_path`).
    pub token_path: Option<PathBuf>,
    /// The namespace of builds whose object names none.
    pub namespace: Option<String>,
}

impl OpenshiftSite {
    pub(super) fn read(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let url = scalar::url(&fields.need("url")?)?;
        let insecure = fields.read("insecure", Item::boolean)?.unwrap_or(false);
        let (sends_token, token_path) = match fields.take("auth") {
            None => (true, None),
            Some(auth) => read_auth(&auth, base, notes)?,
        };
        let namespace = fields.read("namespace", namespace)?;
        let line = fields.line_of("build_json_dir");
        if fields.take("build_json_dir").is_some() {
            let text = "not used: no BuildConfig is made from templates".to_owned();
            notes.push(Note { line, key: "openshift.build_json_dir".to_owned(), text });
        }
        fields.note_rest(notes);
        Ok(Self { url, insecure, sends_token, token_path, namespace })
    }
}

fn read_auth(item: &Item<'_>, base: &Path, notes: &mut Vec<Note>) -> Result<(bool, Option<PathBuf>), Fault> {
    let mut auth = item.fields()?;
    let sends_token = auth.read("enable", Item::boolean)?.unwrap_or(true);
    let token_path = auth.read("token_path", |item| scalar::path(item, base))?;
    for key in LOGINS {
        let line = auth.line_of(key);
        if auth.read(key, |item| item.text().map(drop))?.is_some() {
            let text = "not used: the token of the pod's service account is what is sent".to_owned();
            notes.push(Note { line, key: format!("openshift.auth.{key}"), text });
        }
    }
    auth.note_rest(notes);
    Ok((sends_token, token_path))
}

/// As Kubernetes has it (RFC 1123, a label).
fn namespace(item: &Item<'_>) -> Result<String, Fault> {
    const KIND: &str = "the name of a namespace: small letters, digits and `-`, 63 at most";
    let text = item.text_of(KIND)?;
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() > 63 || !text.bytes().all(is_inner) || text.starts_with('-') || text.ends_with('-') {
        return Err(item.expected(KIND));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Site;
    use super::*;

    fn parse(text: &str) -> Result<(Option<OpenshiftSite>, Vec<String>), String> {
        let (site, notes) = Site::parse(Path::new("s.yaml"), text.as_bytes()).map_err(|error| error.to_string())?;
        let notes = notes.into_iter().map(|note| format!("{}: {}: {}", note.line, note.key, note.text));
        Ok((site.openshift, notes.collect()))
    }

    #[test]
    fn the_token_is_sent_unless_it_is_said_not_to_be() {
        let text = "openshift:\n  url: https://api.example:6443\n  auth:\n    enable: true\n    krb_principal: me\n    \
            krb_keytab_path: FILE:/k\n";
        let (site, notes) = parse(text).unwrap();
        let url = "https://api.example:6443".to_owned();
        let expected = OpenshiftSite { url, insecure: false, sends_token: true, token_path: None, namespace: None };
        assert_eq!(site, Some(expected.clone()));
        let why = "not used: the token of the pod's service account is what is sent";
        let expected_notes =
            [format!("5: openshift.auth.krb_principal: {why}"), format!("6: openshift.auth.krb_keytab_path: {why}")];
        assert_eq!(notes, expected_notes);
        let text =
            "openshift: {url: 'https://api.example:6443', insecure: true, auth: {enable: false}, namespace: osbs}";
        let namespace = Some("osbs".to_owned());
        let expected = OpenshiftSite { insecure: true, sends_token: false, namespace, ..expected };
        assert_eq!(parse(text), Ok((Some(expected), Vec::new())));
    }

    #[test]
    fn the_token_may_be_in_another_file() {
        let (site, _) = parse("openshift: {url: 'https://a', auth: {token_path: /run/token}}\n").unwrap();
        assert_eq!(site.unwrap().token_path, Some("/run/token".into()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let error = parse("version: 1\nopenshift: {insecure: true}\n").unwrap_err();
        assert!(error.starts_with("s.yaml:2:1: openshift: url is missing"), "{error}");
        let error = parse("openshift: {url: 'https://a', namespace: A_b}\n").unwrap_err();
        assert!(error.contains("openshift.namespace: expected the name of a namespace"), "{error}");
    }
}
