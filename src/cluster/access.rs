//! Where the API is, and who we are to it.

use std::path::PathBuf;

use http::{CaBundle, ClientOptions, Tls, Url};

use crate::token::TokenFile;
use crate::{Client, ClusterError, ReadFile};

/// What a pod is given by the cluster it runs in. Whoever reads environment and files fills it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `KUBERNETES_SERVICE_HOST`: a name or address.
    pub host: Option<String>,
    /// `KUBERNETES_SERVICE_PORT`; 443 where it is missing.
    pub port: Option<String>,
    /// The file with the service account's token, where there is one. It is read for every request.
    pub token_path: Option<PathBuf>,
    /// The certificates of the service account.
    pub ca: Option<CaBundle>,
    /// The namespace of the pod.
    pub namespace: Option<String>,
    /// How the token's file is read.
    pub read: ReadFile,
}

/// What a site says of the API (`openshift`).
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Its URL; none for that of the pod's own cluster.
    pub url: Option<String>,
    /// Whether its certificate is not checked, and http will do.
    pub is_insecure: bool,
    /// Whether we go without a token.
    pub is_anonymous: bool,
    /// The namespace of builds whose object names none; none for the pod's.
    pub namespace: Option<String>,
}

impl Client {
    /// A client for the API the site names, else for that of the pod's cluster; none where there is neither.
    /// `http` holds proxies, roots and patience. Nothing is sent.
    ///
    /// # Errors
    /// [`ClusterError::BadUrl`], or [`ClusterError::Http`] for certificates that are none.
    pub fn open(access: &Access, around: &Surroundings, mut http: ClientOptions) -> Result<Option<Self>, ClusterError> {
        let Some(base) = base(access, around)? else { return Ok(None) };
        if access.is_insecure {
            http.tls = Tls::NoVerify;
        }
        http.extra_roots.extend(around.ca.clone());
        let token = around.token_path.clone().filter(|_| !access.is_anonymous);
        let token = token.map(|path| TokenFile { path, read: around.read.clone() });
        let namespace = access.namespace.clone().or_else(|| around.namespace.clone());
        Ok(Some(Self { http: http::Client::new(&http)?, base, token, namespace }))
    }
}

/// The URL of the API, without a slash at its end.
fn base(access: &Access, around: &Surroundings) -> Result<Option<Url>, ClusterError> {
    let text = match (&access.url, &around.host) {
        (Some(url), _) => url.clone(),
        (None, Some(host)) => {
            // An IPv6 address is given bare.
            let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.clone() };
            format!("https://{host}:{}", around.port.as_deref().unwrap_or("443"))
        }
        (None, None) => return Ok(None),
    };
    let shown = without_login(&text);
    let bad = |why: &str| ClusterError::BadUrl { url: shown.clone(), why: why.to_owned() };
    let url = Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("it holds a login; the service account's token is what is used"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("it has a query or a fragment"));
    }
    match url.scheme() {
        "https" => Ok(Some(url)),
        "http" if access.is_insecure || is_loopback(&url) => Ok(Some(url)),
        "http" => Err(bad("it would show the token to everybody on the way; say https, or `openshift.insecure: true`")),
        _ => Err(bad("it begins with neither https:// nor http://")),
    }
}

fn without_login(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((_, rest)) => format!("…@{rest}"),
        None => text.to_owned(),
    }
}

fn is_loopback(url: &Url) -> bool {
    let Some(host) = url.host_str() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: Option<&str>) -> Surroundings {
        Surroundings { host: Some(host.to_owned()), port: port.map(str::to_owned), ..Surroundings::default() }
    }

    #[track_caller]
    fn check(url: Option<&str>, around: &Surroundings, expected: &str) {
        let access = Access { url: url.map(str::to_owned), ..Access::default() };
        let found = match base(&access, around) {
            Ok(url) => url.map_or_else(|| "none".to_owned(), |url| url.to_string()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn the_site_s_url_goes_before_the_pod_s() {
        check(None, &Surroundings::default(), "none");
        check(None, &at("10.0.0.1", Some("6443")), "https://10.0.0.1:6443/");
        check(None, &at("fd00::1", None), "https://[fd00::1]/");
        check(Some("https://api.example:8443/"), &at("10.0.0.1", None), "https://api.example:8443/");
        check(Some("http://127.0.0.1:1"), &Surroundings::default(), "http://127.0.0.1:1/");
    }

    #[test]
    fn a_url_that_shows_a_token_or_holds_a_login_is_refused() {
        let none = Surroundings::default();
        let start = "http://api.example: not the URL of an API server: it would show the token";
        check(
            Some("http://api.example"),
            &none,
            &format!("{start} to everybody on the way; say https, or `openshift.insecure: true`"),
        );
        check(
            Some("https://me:secret@api.example"),
            &none,
            "…@api.example: not the URL of an API server: it holds a login; the service account's token is what is used",
        );
    }
}
