//! Files a user names, read before anything is done.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::build::{Context, NamedContext, RepositoryFile};
use dockerfile::Dockerfile;
use dockerfile::ignore::Patterns;
use http::{CaBundle, ClientOptions, Proxies, Tls};
use registry::{Credentials, Options};
use rpm::repofile::RepoFile;
use source::{DOCKERFILES, Tree};
use transport::Location;

use crate::diagnostic;
use crate::environment::Environment;
use crate::failure::{Failure, Status};

/// Where distributions keep their CA bundle.
const CA_BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Bytes of any file read whole here.
const MAX_FILE: u64 = 64 << 20;

/// A file a user named; without it nothing can go on.
pub(crate) fn read(path: &Path, what: &str) -> Result<Vec<u8>, Failure> {
    read_if_there(path, what)?.ok_or_else(|| {
        let text = format!("{}: {what}: no such file", path.display());
        Failure::new(Status::Usage, text)
    })
}

fn read_if_there(path: &Path, what: &str) -> Result<Option<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Status::Usage, format!("{}: {what} cannot be read: {error}", path.display()))
    };
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Failure::new(Status::Usage, format!("{}: {what} is larger than 64 MiB", path.display())));
    }
    Ok(Some(bytes))
}

/// A Dockerfile and where it is.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) path: PathBuf,
    pub(crate) dockerfile: Dockerfile,
}

/// Finds and parses the Dockerfile: `file` if it is given, else the context's Containerfile or Dockerfile.
pub(crate) fn dockerfile(context: &Path, file: Option<&Path>) -> Result<Parsed, Failure> {
    let path = match file {
        Some(file) if file.exists() => file.to_owned(),
        // As docker and buildah: a name that is not found as it is may be relative to the context.
        Some(file) => Some(context.join(file))
            .filter(|path| path.exists())
            .ok_or_else(|| Failure::new(Status::Source, format!("{}: no such Dockerfile", file.display())))?,
        None => {
            let found = DOCKERFILES.iter().map(|name| context.join(name)).find(|path| path.exists());
            found.ok_or_else(|| {
                let text = format!("{}: no Containerfile or Dockerfile in it", context.display());
                Failure::new(Status::Source, text).help("name one with -f")
            })?
        }
    };
    let bytes = read(&path, "the Dockerfile").map_err(|failure| Failure { status: Status::Source, ..failure })?;
    match dockerfile::parse_bytes(&bytes) {
        Ok(dockerfile) => Ok(Parsed { path, dockerfile }),
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes);
            Err(diagnostic::failure(Status::Source, &error.diagnostic(), &path.display().to_string(), &text))
        }
    }
}

/// The context's tree without what its ignore file leaves out.
pub(crate) fn context(directory: &Path, dockerfile: &Path, ignore: Option<&Path>) -> Result<Tree, Failure> {
    let root = store::open_directory(directory).map_err(|error| {
        Failure::new(Status::Source, format!("{}: the build context cannot be opened: {error}", directory.display()))
    })?;
    if !directory.is_dir() {
        return Err(Failure::new(
            Status::Source,
            format!("{}: the build context is not a directory", directory.display()),
        ));
    }
    let candidates = match ignore {
        Some(file) => vec![file.to_owned()],
        None => source::ignore_candidates(directory, dockerfile),
    };
    let mut text = String::new();
    let found = candidates.iter().find(|path| path.exists());
    if let Some(path) = found {
        text = String::from_utf8_lossy(&read(path, "the ignore file")?).into_owned();
    }
    // Where there is no other place the store is in the current directory, which is often the context.
    text.push_str("\n.stratum\n");
    let patterns = Patterns::parse(&text).map_err(|error| {
        let path = found.map_or(directory, PathBuf::as_path);
        Failure::new(Status::Source, format!("{}: {error}", path.display()))
    })?;
    Ok(Tree::new(root, directory, Some(patterns)))
}

/// `--build-context NAME=VALUE`.
pub(crate) fn named_context(text: &str) -> Result<(String, NamedContext), Failure> {
    let usage = |why: &str| Failure::new(Status::Usage, format!("--build-context {text}: {why}"));
    let (name, value) = text.split_once('=').ok_or_else(|| usage("expected NAME=DIRECTORY or NAME=IMAGE"))?;
    let image = value.strip_prefix("docker-image://").or_else(|| value.strip_prefix("container-image://"));
    let is_location = ["docker://", "oci:", "oci-layout:", "store:"].iter().any(|prefix| value.starts_with(prefix));
    let context = match image {
        Some(image) => NamedContext::Image(
            image.parse::<oci::Reference>().map(Location::Registry).map_err(|e| usage(&e.to_string()))?,
        ),
        None if is_location => {
            NamedContext::Image(value.parse().map_err(|e: transport::LocationError| usage(&e.to_string()))?)
        }
        None if value.contains("://") => return Err(usage("URLs are not supported as contexts yet")),
        None => NamedContext::Tree(Arc::new(self::context(Path::new(value), Path::new("Dockerfile"), None)?)),
    };
    Ok((name.to_owned(), context))
}

/// `--build-arg NAME[=VALUE]`: without a value it is the environment's, and nothing where that has none.
pub(crate) fn build_args(texts: &[String], environment: &Environment) -> Vec<(String, String)> {
    let arg = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        None => Some((text.clone(), environment.get(text)?.to_owned())),
    };
    texts.iter().filter_map(arg).collect()
}

/// `NAME=VALUE` of `--label` and `--annotation`.
pub(crate) fn pairs(texts: &[String]) -> Vec<(String, String)> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    texts.iter().map(pair).collect()
}

/// `--add-repo FILE`: read and checked, so that a mistake shows here and not in a step.
pub(crate) fn repository(path: &Path) -> Result<RepositoryFile, Failure> {
    if path.to_str().is_some_and(|text| text.contains("://")) {
        let text = format!("--add-repo {}: URLs are not supported yet, name a file", path.display());
        return Err(Failure::new(Status::Usage, text));
    }
    let content = read(path, "the repository file")?;
    RepoFile::parse(&path.display().to_string(), &content).map_err(|error| Failure::of(Status::Usage, &error))?;
    let name = path.file_name().and_then(std::ffi::OsStr::to_str).unwrap_or("added.repo");
    let name = if name.ends_with(".repo") { name.to_owned() } else { format!("{name}.repo") };
    Ok(RepositoryFile { name, content })
}

/// How to reach registries: TLS, proxies, credentials.
pub(crate) fn registries(arguments: &RegistryArguments, environment: &Environment) -> Result<Options, Failure> {
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
        extra_roots: arguments.ca.iter().map(|path| bundle(path)).collect::<Result<_, _>>()?,
        proxies,
        ..ClientOptions::default()
    };
    Ok(Options { tls, credentials: credentials(arguments, environment)?, http, ..Options::default() })
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
    /// Trust the certificates in this PEM file too
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
}

fn credentials(arguments: &RegistryArguments, environment: &Environment) -> Result<Credentials, Failure> {
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

/// The tree as the build gets it.
pub(crate) fn tree(tree: Tree) -> Context {
    Context::Tree(Arc::new(tree))
}
