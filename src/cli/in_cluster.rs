//! What a pod is given by its cluster, read; and the way to the cluster's API.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cluster::{Access, Client, ReadFile, Surroundings};
use http::{CaBundle, ClientOptions, Tls};
use pipeline::site::Site;
use rayon::ThreadPool;

use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::last_words::LastWords;

/// Where a pod finds its service account (Kubernetes, "Accessing the Kubernetes API from a Pod").
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Largest file that is read of it.
const LIMIT: u64 = 64 << 10;

/// Threads that may read the user's files, from the moment there are some.
#[derive(Clone, Debug, Default)]
pub(crate) struct UserThreads(Arc<OnceLock<Arc<ThreadPool>>>);

impl UserThreads {
    /// Namespaces were entered: the user's files are read there from now on.
    pub(crate) fn are(&self, pool: Arc<ThreadPool>) {
        // A process enters them once.
        drop(self.0.set(pool));
    }

    fn read_file(&self) -> ReadFile {
        let threads = self.clone();
        ReadFile::new(move |path| match threads.0.get() {
            Some(pool) => pool.install(|| read(path)),
            None => read(path),
        })
    }
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LIMIT + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the pod is given; nothing outside one. A build may have no use for it, so what cannot be read is not there.
pub(crate) fn surroundings(environment: &Environment, threads: &UserThreads) -> Surroundings {
    let folder = Path::new(SERVICE_ACCOUNT);
    let (token, ca, namespace) = (folder.join("token"), folder.join("ca.crt"), folder.join("namespace"));
    let found = |path: &Path| match read(path) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "not used");
            None
        }
    };
    let (pem, namespace) = (found(&ca), found(&namespace));
    let namespace = namespace.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    Surroundings {
        host: environment.get("KUBERNETES_SERVICE_HOST").map(str::to_owned),
        port: environment.get("KUBERNETES_SERVICE_PORT").map(str::to_owned),
        token_path: Some(token).filter(|path| path.exists()),
        ca: pem.map(|pem| CaBundle { label: ca.display().to_string(), pem }),
        namespace: namespace.filter(|name| !name.is_empty()),
        read: threads.read_file(),
    }
}

/// The API of the cluster, if the site names one or the pod is in one. It is asked nothing yet.
///
/// It is spoken to at the end of a build, so only `last_words` stops it; `--tls-verify=false` is about registries.
pub(crate) fn client(
    site: &Site,
    around: &Surroundings,
    http: &ClientOptions,
    last_words: &LastWords,
) -> Result<Option<Arc<Client>>, Failure> {
    let access = match &site.openshift {
        None => Access::default(),
        Some(openshift) => Access {
            url: Some(openshift.url.clone()),
            is_insecure: openshift.insecure,
            is_anonymous: !openshift.sends_token,
            namespace: openshift.namespace.clone(),
        },
    };
    let options = ClientOptions {
        tls: Tls::Verify,
        identity: None,
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(20),
        cancelled: Some(last_words.flag()),
        ..http.clone()
    };
    let mut around = around.clone();
    if let Some(path) = site.openshift.as_ref().and_then(|openshift| openshift.token_path.clone()) {
        around.token_path = Some(path);
    }
    match Client::open(&access, &around, options) {
        Ok(client) => Ok(client.map(Arc::new)),
        Err(error) if site.openshift.is_some() => Err(Failure::of(Status::Usage, &error)),
        // The build may have no use for it; who has one finds no client.
        Err(error) => {
            tracing::warn!(%error, "the API of the pod's cluster cannot be used");
            Ok(None)
        }
    }
}

/// The file with why this process failed: the one that is named, else that of a pod.
pub(crate) fn termination_log(environment: &Environment) -> Option<(PathBuf, std::fs::File)> {
    let named = environment.path("STRATUM_TERMINATION_LOG");
    let mut options = std::fs::OpenOptions::new();
    options.write(true);
    let path = match named {
        Some(path) => {
            options.create(true);
            path
        }
        // Kubelet makes it before the program starts; elsewhere there is none to be made.
        None => {
            environment.get("KUBERNETES_SERVICE_HOST")?;
            PathBuf::from("/dev/termination-log")
        }
    };
    match options.open(&path) {
        Ok(file) => Some((path, file)),
        Err(error) => {
            tracing::debug!(path = %path.display(), %error, "no termination message can be written");
            None
        }
    }
}

/// Writes why this process fails, for whoever looks at the pod.
pub(crate) fn terminate((path, mut file): (PathBuf, std::fs::File), failure: &Failure) {
    use std::io::Write;
    let ending = cluster::termination::Ending {
        code: failure.status as u8,
        cause: failure.status.cause(),
        text: failure.text.trim_start_matches("error: "),
        help: failure.help.as_deref(),
    };
    let message = cluster::termination::message(&ending);
    if let Err(error) = file.set_len(0).and_then(|()| file.write_all(message.as_bytes())) {
        tracing::warn!(path = %path.display(), %error, "the termination message cannot be written");
    }
}
