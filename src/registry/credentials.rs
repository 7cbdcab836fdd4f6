//! Who we are at which registry: docker's config.json, containers' auth.json, or `--creds`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, PAD};
use base64::engine::{DecodePaddingMode, general_purpose};
use http::Secret;
use serde::Deserialize;

use crate::credential_helper::{self, HelperError};

/// Bytes in the largest credential file read.
const MAX_FILE: usize = 1 << 20;

/// Logins by registry or repository.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    everywhere: Option<Login>,
    files: Vec<File>,
    /// Where helper programs are, if not in PATH.
    helpers_in: Option<PathBuf>,
    asked: Arc<Mutex<Answers>>,
}

/// What helpers said, by helper and registry.
type Answers = BTreeMap<(String, String), Option<Login>>;

/// How to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// With a user and a password.
    Password {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// With a token that a token server changes into one for the request at hand (`identitytoken`).
    Identity(Secret),
    /// With a token that goes to the registry as it is (`registrytoken`).
    Registry(Secret),
}

/// Why credentials cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The argument of `--creds` has no colon.
    #[error("credentials must be given as user:password")]
    NoColon,
    /// The file is larger than any credential file.
    #[error("{label}: the credential file is larger than 1 MiB")]
    TooLarge {
        /// The file.
        label: String,
    },
    /// The file is no JSON, or not of the right shape. What it holds is not shown.
    #[error("{label}: not a docker config.json or containers auth.json (line {line}, column {column})")]
    Malformed {
        /// The file.
        label: String,
        /// Where.
        line: usize,
        /// Where.
        column: usize,
    },
    /// The entry that applies cannot be read.
    #[error("{label}: the entry for {key} has an `auth` that is not the base64 of user:password")]
    BadEntry {
        /// The file.
        label: String,
        /// The key in `auths`.
        key: String,
    },
    /// A helper program did not help.
    #[error("{label}: the credentials for {key} are with a helper: {source}")]
    Helper {
        /// The file.
        label: String,
        /// The key of the registry.
        key: String,
        /// Why not.
        source: HelperError,
    },
}

#[derive(Clone, Debug)]
struct File {
    label: String,
    entries: BTreeMap<String, Entry>,
    store: Option<String>,
    helpers: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
enum Entry {
    Login(Login),
    /// What docker leaves behind when the secret is in a store.
    Empty,
    Bad,
}

#[derive(Deserialize)]
struct RawFile {
    auths: Option<BTreeMap<String, Option<RawEntry>>>,
    #[serde(rename = "credsStore")]
    store: Option<String>,
    #[serde(rename = "credHelpers")]
    helpers: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
struct RawEntry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl Credentials {
    /// The login given as `user:password`, for every registry.
    ///
    /// # Errors
    /// [`CredentialsError::NoColon`].
    pub fn everywhere(text: &str) -> Result<Self, CredentialsError> {
        let (user, password) = text.split_once(':').ok_or(CredentialsError::NoColon)?;
        let login = Login::Password { user: user.to_owned(), password: Secret::new(password) };
        Ok(Self { everywhere: Some(login), ..Self::default() })
    }

    /// The logins in the bytes of a docker config.json or containers auth.json; `label` names the file in errors.
    ///
    /// An entry that cannot be read is an error only when it is the one needed.
    ///
    /// # Errors
    /// [`CredentialsError::TooLarge`] or [`CredentialsError::Malformed`].
    pub fn parse(label: &str, bytes: &[u8]) -> Result<Self, CredentialsError> {
        if bytes.len() > MAX_FILE {
            return Err(CredentialsError::TooLarge { label: label.to_owned() });
        }
        let raw: RawFile = serde_json::from_slice(bytes).map_err(|error| CredentialsError::Malformed {
            label: label.to_owned(),
            line: error.line(),
            column: error.column(),
        })?;
        let mut entries = BTreeMap::new();
        for (key, entry) in raw.auths.unwrap_or_default() {
            let (key, entry) = (normalised(&key), entry.unwrap_or_default().read());
            // Two keys may mean one registry; what is empty says nothing against the other.
            if !matches!(entry, Entry::Empty) || !entries.contains_key(&key) {
                entries.insert(key, entry);
            }
        }
        let file = File {
            label: label.to_owned(),
            entries,
            store: raw.store.filter(|store| !store.is_empty()),
            helpers: raw.helpers.unwrap_or_default().into_iter().map(|(key, name)| (normalised(&key), name)).collect(),
        };
        Ok(Self { files: vec![file], ..Self::default() })
    }

    /// These credentials, and where they have nothing, those of `other`.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        self.everywhere = self.everywhere.or(other.everywhere);
        self.files.extend(other.files);
        self
    }

    /// The login for `repository` at `registry`, the most specific key of the first file that has one
    /// (containers-auth.json(5)). `None` means anonymous.
    ///
    /// A helper program is asked once for each registry.
    ///
    /// # Errors
    /// [`CredentialsError::BadEntry`] or [`CredentialsError::Helper`].
    pub fn find(&self, registry: &str, repository: &str) -> Result<Option<Login>, CredentialsError> {
        if let Some(login) = &self.everywhere {
            return Ok(Some(login.clone()));
        }
        for file in &self.files {
            let found = match file.find(&format!("{registry}/{repository}"))? {
                Some(Found::Login(login)) => Some(login.clone()),
                Some(Found::Helper { helper, key }) => self.ask(&file.label, helper, &key)?,
                None => None,
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn ask(&self, label: &str, helper: &str, key: &str) -> Result<Option<Login>, CredentialsError> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let question = (helper.to_owned(), key.to_owned());
        if let Some(known) = asked.get(&question) {
            return Ok(known.clone());
        }
        // Docker keeps its own registry under the name it had first.
        let server = if key == "docker.io" { "https://index.docker.io/v1/" } else { key };
        let answer = credential_helper::get(helper, server, self.helpers_in.as_deref());
        let login = answer.map_err(|source| CredentialsError::Helper {
            label: label.to_owned(),
            key: key.to_owned(),
            source,
        })?;
        asked.insert(question, login.clone());
        Ok(login)
    }
}

/// What a file says about a repository.
enum Found<'f> {
    Login(&'f Login),
    Helper { helper: &'f str, key: String },
}

impl File {
    fn find(&self, name: &str) -> Result<Option<Found<'_>>, CredentialsError> {
        let mut key = name;
        loop {
            if let Some(entry) = self.entries.get(key).filter(|entry| !matches!(entry, Entry::Empty)) {
                return match entry {
                    Entry::Login(login) => Ok(Some(Found::Login(login))),
                    Entry::Bad | Entry::Empty => {
                        Err(CredentialsError::BadEntry { label: self.label.clone(), key: key.to_owned() })
                    }
                };
            }
            let is_stored = self.entries.contains_key(key);
            if let Some(helper) = self.helpers.get(key).or(self.store.as_ref().filter(|_| is_stored)) {
                return Ok(Some(Found::Helper { helper, key: key.to_owned() }));
            }
            match key.rsplit_once('/') {
                Some((parent, _)) => key = parent,
                // A store may have what the file does not mention at all.
                None => {
                    let registry = key.to_owned();
                    return Ok(self.store.as_deref().map(|helper| Found::Helper { helper, key: registry }));
                }
            }
        }
    }
}

impl RawEntry {
    fn read(self) -> Entry {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        if let Some(token) = given(self.identitytoken) {
            return Entry::Login(Login::Identity(Secret::new(token)));
        }
        if let Some(token) = given(self.registrytoken) {
            return Entry::Login(Login::Registry(Secret::new(token)));
        }
        if let Some(auth) = given(self.auth) {
            return decoded(&auth).map_or(Entry::Bad, Entry::Login);
        }
        match (given(self.username), given(self.password)) {
            (Some(user), Some(password)) => Entry::Login(Login::Password { user, password: Secret::new(password) }),
            (None, None) => Entry::Empty,
            (Some(_), None) | (None, Some(_)) => Entry::Bad,
        }
    }
}

fn decoded(auth: &str) -> Option<Login> {
    // Files written by hand often lack the padding.
    const LENIENT: GeneralPurposeConfig = PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let bytes = GeneralPurpose::new(&base64::alphabet::STANDARD, LENIENT).decode(auth.trim()).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    // Docker pads what it encodes with zero bytes.
    let password = Secret::new(password.trim_matches('\0'));
    Some(Login::Password { user: user.to_owned(), password })
}

/// The key as `registry[/path]`: docker writes URLs, and its own registry under a legacy name.
fn normalised(key: &str) -> String {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let is_url = bare.is_some();
    let bare = bare.unwrap_or(key).trim_end_matches('/');
    let (registry, path) = bare.split_once('/').map_or((bare, None), |(registry, path)| (registry, Some(path)));
    let registry = match registry {
        "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => "docker.io",
        registry => registry,
    };
    // A URL means the whole host, but docker also keeps its own tokens under https://index.docker.io/v1/access-token.
    let is_api = |path: &str| matches!(path, "v1" | "v2") || (is_url && !path.starts_with("v1/"));
    match path.filter(|path| !is_api(path)) {
        Some(path) => format!("{registry}/{path}"),
        None => registry.to_owned(),
    }
}

/// `user:password` in base64, as the Basic scheme wants it.
pub(crate) fn basic(user: &str, password: &Secret) -> Secret {
    let text = general_purpose::STANDARD.encode(format!("{user}:{}", password.reveal()));
    Secret::new(format!("Basic {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{
        "auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOm9uZQ=="},
            "https://index.docker.io/v1/access-token": {"auth": "eDp5"},
            "docker.io": {},
            "quay.io": {"auth": "cXVheTp0d28"},
            "quay.io/org": {"username": "org", "password": "three"},
            "quay.io/org/app": {"identitytoken": "four"},
            "stored.example": {},
            "empty.example": null,
            "bad.example": {"auth": "!"}
        },
        "credHelpers": {"gcr.io": "gcloud"}
    }"#;

    fn password(user: &str, password: &str) -> Login {
        Login::Password { user: user.to_owned(), password: Secret::new(password) }
    }

    #[track_caller]
    fn check(registry: &str, repository: &str, expected: Option<&Login>) {
        let credentials = Credentials::parse("auth.json", FILE.as_bytes()).unwrap();
        assert_eq!(credentials.find(registry, repository).unwrap().as_ref(), expected);
    }

    #[test]
    fn the_longest_matching_key_wins() {
        check("docker.io", "library/busybox", Some(&password("hub", "one")));
        check("quay.io", "other/app", Some(&password("quay", "two")));
        check("quay.io", "org/other", Some(&password("org", "three")));
        check("quay.io", "org/app/part", Some(&Login::Identity(Secret::new("four"))));
        check("quay.io", "organisation", Some(&password("quay", "two")));
        check("ghcr.io", "a", None);
        check("stored.example", "a", None);
        check("empty.example", "a", None);
    }

    #[test]
    fn a_helper_is_asked_once_for_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = format!(
            "#!/bin/sh\nread server; echo $server >> {}\n[ $server = public.example ] && echo credentials not found && \
             exit 1\necho \"{{\\\"ServerURL\\\":\\\"\\\",\\\"Username\\\":\\\"u\\\",\\\"Secret\\\":\\\"p\\\"}}\"\n",
            log.display()
        );
        for name in ["gcloud", "pass"] {
            let path = folder.path().join(format!("docker-credential-{name}"));
            crate::credential_helper::testing::install(&script, &path);
        }
        let with_store = FILE.replacen('{', r#"{"credsStore": "pass","#, 1);
        let mut credentials = Credentials::parse("f", with_store.as_bytes()).unwrap();
        credentials.helpers_in = Some(folder.path().to_owned());
        for registry in ["gcr.io", "stored.example", "gcr.io", "public.example"] {
            let expected = (registry != "public.example").then(|| password("u", "p"));
            assert_eq!(credentials.find(registry, "a").unwrap(), expected, "{registry}");
        }
        assert_eq!(credentials.find("quay.io", "other").unwrap(), Some(password("quay", "two")));
        assert_eq!(std::fs::read_to_string(log).unwrap(), "gcr.io\nstored.example\npublic.example\n");
    }

    #[test]
    fn a_broken_entry_is_an_error_only_where_it_is_needed() {
        let credentials = Credentials::parse("f", FILE.as_bytes()).unwrap();
        let error = credentials.find("bad.example", "a").unwrap_err().to_string();
        assert_eq!(error, "f: the entry for bad.example has an `auth` that is not the base64 of user:password");
    }

    #[test]
    fn credentials_given_by_hand_go_first() {
        let file = Credentials::parse("f", FILE.as_bytes()).unwrap();
        let both = Credentials::everywhere("me:a:b").unwrap().or(file);
        assert_eq!(both.find("quay.io", "org").unwrap(), Some(password("me", "a:b")));
    }

    #[test]
    fn a_malformed_file_is_not_shown() {
        let error = Credentials::parse("f", b"{\"auths\": \"hunter2\"}").unwrap_err().to_string();
        assert_eq!(error, "f: not a docker config.json or containers auth.json (line 1, column 19)");
    }
}
