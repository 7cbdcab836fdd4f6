//! What the environment says, read once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Variables of the environment, and the clock, as they were at the start.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    /// Seconds since 1970.
    pub(crate) now: u64,
    /// What a pod has for cloning the source and for nothing else.
    pub(crate) source_login: SourceLogin,
}

/// How the repository of the source is reached, where that differs from others.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceLogin {
    /// The secret's directory.
    pub(crate) secret: Option<PathBuf>,
    /// Proxy variables for git.
    pub(crate) proxies: Vec<(String, String)>,
}

/// Proxy variables, in lower case; both spellings are read and passed on.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

impl Environment {
    #[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os();
        let text = |name: std::ffi::OsString, value: std::ffi::OsString| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let variables = variables.filter_map(|(name, value)| text(name, value)).collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
        Self { variables, now, source_login: SourceLogin::default() }
    }

    /// The same with more variables, where they are not set already.
    pub(crate) fn with_defaults(&self, more: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut environment = self.clone();
        for (name, value) in more {
            environment.variables.entry(name).or_insert(value);
        }
        environment
    }

    /// The same with a login for the source.
    pub(crate) fn with_source_login(self, source_login: SourceLogin) -> Self {
        Self { source_login, ..self }
    }

    /// A variable that is set to something.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable that is set, perhaps to nothing.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// All variables whose names begin with `prefix`, by name.
    pub(crate) fn beginning_with(&self, prefix: &str) -> Vec<(String, String)> {
        let variables = self.variables.iter().filter(|(name, _)| name.starts_with(prefix));
        variables.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// A proxy variable in either spelling, the lower case one first.
    pub(crate) fn proxy(&self, name: &str) -> Option<&str> {
        self.get(name).or_else(|| self.get(&name.to_ascii_uppercase()))
    }

    /// The proxy variables as they are set, for RUN.
    pub(crate) fn proxies(&self) -> Vec<(String, String)> {
        let spellings = PROXIES.iter().flat_map(|name| [(*name).to_owned(), name.to_ascii_uppercase()]);
        spellings.filter_map(|name| Some((name.clone(), self.get(&name)?.to_owned()))).collect()
    }

    /// What git may see of the environment: where its configuration and keys are, and the proxies.
    pub(crate) fn for_git(&self) -> Vec<(String, String)> {
        let is_for_git = |name: &str| {
            matches!(name, "PATH" | "HOME" | "XDG_CONFIG_HOME" | "USER" | "TMPDIR" | "SSL_CERT_FILE" | "SSL_CERT_DIR")
                || name.starts_with("GIT_SSL_")
                || name.starts_with("SSH_")
                || PROXIES.contains(&name.to_ascii_lowercase().as_str())
        };
        let variables = self.variables.iter().filter(|(name, _)| is_for_git(name));
        variables.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Where this user keeps data (XDG Base Directory Specification).
    pub(crate) fn data_home(&self) -> Option<PathBuf> {
        self.path("XDG_DATA_HOME").or_else(|| Some(self.path("HOME")?.join(".local/share")))
    }
}

impl Environment {
    /// An environment of these variables.
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { variables: owned.collect(), now: 0, source_login: SourceLogin::default() }
    }
}
