//! The ways to Koji and to the compose service, as the site's configuration says.

use std::path::Path;
use std::sync::Arc;

use ::koji::Hub;
use ::koji::client::{HubClient, Login};
use ::koji::odcs::{self, ComposeService};
use http::{Client, ClientOptions, Identity, Secret, Tls};
use pipeline::site::{KojiAuth, OdcsAuth, Site};

use crate::failure::{Failure, Status};
use crate::inputs::read;

/// The site's hub; none where it has none. Nothing is sent yet.
pub(crate) fn hub(site: &Site, options: &ClientOptions) -> Result<Option<Arc<dyn Hub>>, Failure> {
    let Some(koji) = &site.koji else { return Ok(None) };
    let http = Client::new(options).map_err(|error| Failure::of(Status::Usage, &error))?;
    let client = HubClient::new(&koji.hub_url, http, login(&koji.auth)?);
    let client = client.map(|client| client.with_root_url(&koji.root_url));
    Ok(Some(Arc::new(client.map_err(|error| Failure::of(Status::Usage, &error))?)))
}

/// How to log in at the hub where a call needs it.
fn login(auth: &KojiAuth) -> Result<Login, Failure> {
    if let (Some(user), Some(path)) = (&auth.user, &auth.password_file) {
        let password = secret(path, "the password for Koji")?;
        return Ok(Login::Password { user: user.clone(), password });
    }
    let not_yet = |key: &str, what: &str| format!("koji.auth.{key}: logging in with {what} is not possible yet");
    Ok(Login::Missing(if auth.krb_principal.is_some() {
        not_yet("krb_principal", "Kerberos")
    } else if auth.ssl_certs_dir.is_some() {
        not_yet("ssl_certs_dir", "a certificate")
    } else {
        "the site's koji.auth names no way to log in".to_owned()
    }))
}

/// The site's compose service; none where it has none. Nothing is sent yet.
pub(crate) fn compose_service(site: &Site, options: &ClientOptions) -> Result<Option<Arc<ComposeService>>, Failure> {
    let Some(site) = &site.odcs else { return Ok(None) };
    let usage = |error: &dyn std::error::Error| Failure::of(Status::Usage, error);
    let tls = if site.insecure { Tls::NoVerify } else { options.tls };
    let (login, identity) = compose_login(&site.auth)?;
    let options = ClientOptions { tls, identity: identity.or(options.identity.clone()), ..options.clone() };
    let http = Client::new(&options).map_err(|error| usage(&error))?;
    let service = ComposeService::new(&site.api_url, http, login, site.timeout).map_err(|error| usage(&error))?;
    Ok(Some(Arc::new(service)))
}

/// How to log in at the compose service: a token or certificate from the file that the reference has for it.
fn compose_login(auth: &OdcsAuth) -> Result<(odcs::Login, Option<Identity>), Failure> {
    if let Some(directory) = &auth.openidc_dir {
        return Ok((odcs::Login::Token(secret(&directory.join("token"), "the token for ODCS")?), None));
    }
    if let Some(directory) = &auth.ssl_certs_dir {
        let path = directory.join("cert");
        let pem = read(&path, "the certificate for ODCS")?;
        let key = Secret::new(String::from_utf8_lossy(&pem));
        let identity = Identity { label: path.display().to_string(), certificates: pem, key };
        return Ok((odcs::Login::Connection, Some(identity)));
    }
    let why = if auth.krb_keytab_path.is_some() {
        "odcs.auth.krb_keytab_path: logging in with Kerberos is not possible yet"
    } else {
        "the site's odcs.auth names no way to log in"
    };
    Ok((odcs::Login::Missing(why.to_owned()), None))
}

/// The first line of a file.
fn secret(path: &Path, what: &str) -> Result<Secret, Failure> {
    let bytes = read(path, what)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(Secret::new(text.lines().next().unwrap_or_default().trim()))
}
