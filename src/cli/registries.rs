//! How registries, repositories and other servers are reached: TLS, proxies, credentials, mirrors.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gateway::{HostCredentials, HostRule, RepositoryHosts, Rules};
use http::{CaBundle, ClientOptions, Proxies, Retry, Secret, Tls};
use pipeline::site::{HostLogin, Site};
use registry::{Credentials, Options, RegistriesConf};

use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs::{read, read_if_there};

/// Where distributions keep their CA bundle.
const CA_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Where registries.conf is for everybody.
const REGISTRIES_CONF: &str = "/etc/containers/registries.conf";
/// Where certificates by registry are for everybody (containers-certs.d(5)).
const CERTS_D: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// How to reach registries: TLS, proxies, credentials.
pub(crate) fn options(
    arguments: &RegistryArguments,
    environment: &Environment,
    site: &Site,
) -> Result<Options, Failure> {
    let tls = if arguments.tls_verify { Tls::Verify } else { Tls::NoVerify };
    let proxies = Proxies {
        http: environment.proxy("http_proxy").map(str::to_owned),
        https: environment.proxy("https_proxy").map(str::to_owned),
        except: environment.proxy("no_proxy").map(str::to_owned),
    };
    let bundle = |path: &Path| -> Result<CaBundle, Failure> {
        Ok(CaBundle { label: path.display().to_string(), pem: read(path, "the CA bundle")? })
    };
    let system =
        environment.path("SSL_CERT_FILE").or_else(|| CA_BUNDLES.iter().map(PathBuf::from).find(|path| path.exists()));
    let http = ClientOptions {
        tls,
        roots: system.map(|path| bundle(&path)).transpose()?,
        extra_roots: arguments
            .ca
            .iter()
            .chain(&site.builder_ca_bundle)
            .map(|path| bundle(path))
            .collect::<Result<_, _>>()?,
        proxies,
        retry: arguments.retries(),
        ..ClientOptions::default()
    };
    let mut certs_d = arguments.cert_dir.clone();
    certs_d.extend(environment.path("HOME").map(|home| home.join(".config/containers/certs.d")));
    certs_d.extend(CERTS_D.map(PathBuf::from));
    let credentials = credentials(arguments, environment, site)?;
    Ok(Options { tls, credentials, http, conf: conf(arguments, environment, site)?, certs_d })
}

/// registries.conf with its drop-ins (containers-registries.conf(5)), and what the site says of its registries.
fn conf(arguments: &RegistryArguments, environment: &Environment, site: &Site) -> Result<RegistriesConf, Failure> {
    let mut conf = RegistriesConf::default();
    for path in conf_files(arguments, environment) {
        let is_demanded = arguments.registries_conf.as_ref() == Some(&path);
        let found =
            if is_demanded { Some(read(&path, "registries.conf")?) } else { read_if_there(&path, "registries.conf")? };
        let Some(bytes) = found else { continue };
        let label = path.display().to_string();
        let text = String::from_utf8_lossy(&bytes);
        let later = RegistriesConf::parse(&label, &text).map_err(|error| Failure::of(Status::Usage, &error))?;
        conf = conf.and(later);
    }
    let push = site.registry.iter().map(|push| &push.registry);
    let all = site.source_registry.iter().chain(&site.pull_registries).chain(push);
    let insecure = all.filter(|registry| registry.insecure);
    Ok(insecure.fold(conf, |conf, registry| conf.with_insecure(registry.url.host())))
}

/// The file that counts, then its drop-ins.
fn conf_files(arguments: &RegistryArguments, environment: &Environment) -> Vec<PathBuf> {
    let own = environment.path("XDG_CONFIG_HOME").or_else(|| Some(environment.path("HOME")?.join(".config")));
    let own = own.map(|config| config.join("containers/registries.conf"));
    let demanded = arguments.registries_conf.clone().or_else(|| environment.path("CONTAINERS_REGISTRIES_CONF"));
    let is_demanded = demanded.is_some();
    let file = demanded.or_else(|| own.clone().filter(|path| path.exists()));
    let file = file.unwrap_or_else(|| PathBuf::from(REGISTRIES_CONF));
    let mut folders = Vec::new();
    match environment.path("CONTAINERS_REGISTRIES_CONF_DIR") {
        Some(folder) => folders.push(folder),
        None if is_demanded => {}
        None => {
            folders.push(PathBuf::from(format!("{REGISTRIES_CONF}.d")));
            folders.extend(own.map(|path| path.with_extension("conf.d")));
        }
    }
    let mut files = vec![file];
    for folder in folders {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut drop_ins: Vec<PathBuf> =
            entries.filter(|path| path.extension().is_some_and(|extension| extension == "conf")).collect();
        drop_ins.sort();
        files.extend(drop_ins);
    }
    files
}

/// What steps may reach, and how: the site's rules and those of `--allow-host`.
pub(crate) fn gateway(allowed: &[String], site: &Site, http: &ClientOptions) -> Result<gateway::Options, Failure> {
    let rule = |text: &str, place: &str| {
        text.parse::<HostRule>().map_err(|error| Failure::new(Status::Usage, format!("{place}: {error}")))
    };
    let configured =
        site.network.allow.iter().map(|host| rule(&host.rule, &format!("network.allow, line {}", host.line)));
    let demanded = allowed.iter().map(|text| rule(text, "--allow-host"));
    let hosts = configured.chain(demanded).collect::<Result<Vec<HostRule>, Failure>>()?;
    let mut http = http.clone();
    if let Some(proxy) = &site.yum_proxy {
        http.proxies.http = Some(proxy.reveal().to_owned());
        http.proxies.https = Some(proxy.reveal().to_owned());
    }
    let logins = site.network.credentials.iter().map(login);
    Ok(gateway::Options {
        http,
        rules: Rules { hosts },
        repository_hosts: if site.network.base_image_repositories {
            RepositoryHosts::Any
        } else {
            RepositoryHosts::Listed(Vec::new())
        },
        credentials: logins.collect::<Result<Vec<HostCredentials>, Failure>>()?,
    })
}

/// A file with `user:password` for a host.
fn login(login: &HostLogin) -> Result<HostCredentials, Failure> {
    let shown = login.login_path.display();
    let usage = |why: String| Failure::new(Status::Usage, format!("{shown}: {why}"));
    let bytes = read(&login.login_path, "the login")?;
    let text = String::from_utf8(bytes).map_err(|_| usage("the login is not UTF-8".to_owned()))?;
    let parts = text.trim_end_matches(['\r', '\n']).split_once(':');
    let (user, password) = parts.ok_or_else(|| usage("expected user:password on one line".to_owned()))?;
    let host = login.host.parse::<HostRule>().map_err(|error| usage(error.to_string()))?;
    Ok(HostCredentials { host, user: user.to_owned(), password: Secret::new(password) })
}

/// Options of every subcommand that talks to registries.
#[derive(Debug, clap::Args)]
pub(crate) struct RegistryArguments {
    /// Require https with a certificate that can be verified
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_verify: bool,
    /// Credentials for all registries
    #[arg(long, value_name = "USER:PASSWORD")]
    pub(crate) creds: Option<String>,
    /// Credentials by registry: auth.json of containers, config.json of docker
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,
    /// Look for certificates and keys by registry in this directory too (HOST:PORT/*.crt, *.cert, *.key)
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Vec<PathBuf>,
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
    /// Ask a server that fails this often again
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=1000))]
    retry: Option<u16>,
    /// Wait this long before asking again, such as 2s
    #[arg(long, value_name = "DURATION", value_parser = crate::values::duration)]
    retry_delay: Option<Duration>,
    /// Read this registries.conf instead of the machine's and the user's
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,
    /// Credentials that a pod was given: files, or directories as `registries_cfg_path` has them.
    #[arg(skip)]
    pub(crate) secrets: Vec<PathBuf>,
}

impl RegistryArguments {
    /// How a server that fails is asked again: buildah's three times and two seconds where only the other is given.
    fn retries(&self) -> Retry {
        let usual = Retry::default();
        if self.retry.is_none() && self.retry_delay.is_none() {
            return usual;
        }
        let delay = self.retry_delay.unwrap_or(Duration::from_secs(2));
        Retry { delays: vec![delay; usize::from(self.retry.unwrap_or(3))], ..usual }
    }
}

fn credentials(arguments: &RegistryArguments, environment: &Environment, site: &Site) -> Result<Credentials, Failure> {
    let usage = |error: registry::CredentialsError| Failure::of(Status::Usage, &error);
    let mut credentials = match &arguments.creds {
        Some(text) => Credentials::everywhere(text).map_err(usage)?,
        None => Credentials::default(),
    };
    let demanded = arguments.authfile.clone().or_else(|| environment.path("REGISTRY_AUTH_FILE"));
    if let Some(path) = demanded {
        let bytes = read(&path, "the credentials")?;
        let parsed = Credentials::parse(&path.display().to_string(), &bytes).map_err(usage)?;
        return Ok(credentials.or(parsed));
    }
    let own = site.registry.iter().map(|push| &push.registry).chain(&site.source_registry).chain(&site.pull_registries);
    let own = own.filter_map(|registry| registry.cfg_path.as_ref());
    for path in arguments.secrets.iter().chain(own).chain(&site.registries_cfg_path) {
        let path = site_credentials(path);
        let bytes = read(&path, "the credentials")?;
        let parsed = Credentials::parse(&path.display().to_string(), &bytes).map_err(usage)?;
        credentials = credentials.or(parsed);
    }
    let home = |below: &str| environment.path("HOME").map(|home| home.join(below));
    let usual = [
        environment.path("XDG_RUNTIME_DIR").map(|directory| directory.join("containers/auth.json")),
        home(".config/containers/auth.json"),
        environment.path("DOCKER_CONFIG").map(|directory| directory.join("config.json")),
        home(".docker/config.json"),
    ];
    for path in usual.into_iter().flatten() {
        if let Some(bytes) = read_if_there(&path, "the credentials")? {
            let parsed = Credentials::parse(&path.display().to_string(), &bytes).map_err(usage)?;
            credentials = credentials.or(parsed);
        }
    }
    Ok(credentials)
}

/// The file of `registries_cfg_path`: itself, or the secret's in it as OpenShift mounts it.
fn site_credentials(path: &Path) -> PathBuf {
    let inside = [".dockerconfigjson", ".dockercfg"].map(|name| path.join(name));
    inside.into_iter().find(|file| file.exists()).unwrap_or_else(|| path.to_owned())
}
