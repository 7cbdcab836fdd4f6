//! What a build pod is given as files: credentials, the source's secret, authorities, what steps are to see.
//!
//! Comes in: the environment, and the root under which files are looked for. Goes out: paths; it reads no secret.
//! What a step is to see it sees read-only, in no layer.

use std::path::{Path, PathBuf};

use super::strategy::Strategy;
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs;

/// Variables with directories of credentials for registries; to push comes first.
const CREDENTIALS: [&str; 2] = ["PUSH_DOCKERCFG_PATH", "PULL_DOCKERCFG_PATH"];
/// The beginning of those for images that files come from.
const MORE_CREDENTIALS: &str = "PULL_SOURCE_DOCKERCFG_PATH";
/// Authorities that the cluster puts into a pod.
const AUTHORITIES: [&str; 5] = [
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "var/run/configs/openshift.io/pki/tls-ca-bundle.pem",
    "var/run/configs/openshift.io/certs/service-ca.crt",
    "var/run/secrets/kubernetes.io/serviceaccount/ca.crt",
    "var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt",
];
/// What every step sees of the pod: the subscription. The rest of /run/secrets is the pod's own, its token among it.
const SHOWN: [&str; 4] =
    ["etc/pki/entitlement", "run/secrets/etc-pki-entitlement", "run/secrets/rhsm", "run/secrets/redhat.repo"];
/// Files with what steps see, the first that is there (containers-mounts.conf(5)).
const MOUNTS_CONF: [&str; 2] = ["etc/containers/mounts.conf", "usr/share/containers/mounts.conf"];

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Credentials for registries, the most important first.
    pub(super) credentials: Vec<PathBuf>,
    /// The source's secret.
    pub(super) source_secret: Option<PathBuf>,
    /// PEM files.
    pub(super) authorities: Vec<PathBuf>,
    /// As `--volume` takes them.
    pub(super) volumes: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Looks for everything below `root`.
pub(super) fn look(environment: &Environment, strategy: &Strategy, root: &Path) -> Result<Files, Failure> {
    let mut files = Files::default();
    let more = environment.beginning_with(MORE_CREDENTIALS).into_iter().map(|(name, _)| name);
    for name in CREDENTIALS.iter().map(|name| (*name).to_owned()).chain(more) {
        let Some(path) = environment.path(&name) else { continue };
        match credentials_in(&path) {
            Some(file) => files.credentials.push(file),
            None => files.notes.push(format!(
                "{name}: {}: no .dockerconfigjson, .dockercfg or config.json there; not used",
                path.display()
            )),
        }
    }
    if let Some(path) = environment.path("SOURCE_SECRET_PATH") {
        if path.is_dir() {
            files.source_secret = Some(path);
        } else {
            files.notes.push(format!("SOURCE_SECRET_PATH: {}: no such directory; not used", path.display()));
        }
    }
    let authorities = AUTHORITIES.iter().map(|path| root.join(path));
    files.authorities = authorities.filter(|path| holds_certificate(path)).collect();
    for path in SHOWN {
        let shown = root.join(path);
        if exists_with_files(&shown) {
            add(&mut files, &shown, &format!("/{path}"));
        }
    }
    from_mounts_conf(root, &mut files)?;
    for (place, target) in &strategy.volumes {
        if !place.exists() {
            let text = format!("BUILD: the build volume for {target} is not at {}", place.display());
            return Err(Failure::new(Status::Usage, text).help("only volumes that the pod has can be shown to steps"));
        }
        add(&mut files, place, target);
    }
    Ok(files)
}

/// The file with credentials that a variable means.
fn credentials_in(path: &Path) -> Option<PathBuf> {
    if path.is_file() {
        return Some(path.to_owned());
    }
    let names = [".dockerconfigjson", ".dockercfg", "config.json"];
    names.iter().map(|name| path.join(name)).find(|file| file.is_file())
}

/// Whether a file has a certificate in it; the cluster's bundles may be empty.
fn holds_certificate(path: &Path) -> bool {
    // What cannot be read helps nobody, and is nobody's demand.
    let bytes = inputs::read_if_there(path, "the authorities").ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).contains("-----BEGIN CERTIFICATE-----")
}

/// A file, or a directory that is not empty.
fn exists_with_files(path: &Path) -> bool {
    path.is_file() || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_some())
}

/// `SOURCE:TARGET` lines; a line without a colon means the same path in steps.
fn from_mounts_conf(root: &Path, files: &mut Files) -> Result<(), Failure> {
    const WHAT: &str = "the list of mounts";
    for name in MOUNTS_CONF {
        let path = root.join(name);
        let Some(bytes) = inputs::read_if_there(&path, WHAT)? else { continue };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (source, target) = line.split_once(':').unwrap_or((line, line));
            let place = format!("{}:{}", path.display(), number + 1);
            if !source.starts_with('/') || !target.starts_with('/') {
                let text = format!("{place}: `{line}`: expected SOURCE:TARGET, absolute paths both");
                return Err(Failure::new(Status::Usage, text));
            }
            let shown = root.join(source.trim_start_matches('/'));
            if shown.exists() {
                add(files, &shown, target);
            } else {
                files.notes.push(format!("{place}: {source} is not there; steps do not see it"));
            }
        }
        return Ok(());
    }
    Ok(())
}

/// Shows `source` at `target`. What links in a directory lead to is shown itself, for steps have no such paths.
fn add(files: &mut Files, source: &Path, target: &str) {
    let target = target.trim_end_matches('/');
    let entries: Vec<PathBuf> =
        std::fs::read_dir(source).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let is_plain = source.is_file() || !entries.iter().any(|entry| entry.is_symlink() && is_outside(entry, source));
    if is_plain {
        show(files, source, target);
        return;
    }
    let mut entries = entries;
    entries.sort();
    for entry in entries {
        let Some(name) = entry.file_name().and_then(|name| name.to_str()) else { continue };
        match entry.canonicalize() {
            Ok(real) => show(files, &real, &format!("{target}/{name}")),
            Err(_) => files.notes.push(format!("{}: leads nowhere; steps do not see it", entry.display())),
        }
    }
}

/// Whether a link leads out of `folder`. Secrets are links within their own directory.
fn is_outside(link: &Path, folder: &Path) -> bool {
    match (link.canonicalize(), folder.canonicalize()) {
        (Ok(real), Ok(folder)) => !real.starts_with(folder),
        (_, _) => true,
    }
}

fn show(files: &mut Files, source: &Path, target: &str) {
    let escaped = |text: &str| text.replace(':', "\\:");
    let volume = format!("{}:{}:ro", escaped(&source.display().to_string()), escaped(target));
    let is_new = |known: &String| !known.ends_with(&format!(":{}:ro", escaped(target)));
    if files.volumes.iter().all(is_new) {
        files.volumes.push(volume);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World(tempfile::TempDir);

    impl World {
        fn of(files: &[(&str, &str)]) -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for (path, content) in files {
                let path = world.0.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, content).unwrap();
            }
            world
        }

        fn at(&self, path: &str) -> String {
            self.0.path().join(path).display().to_string()
        }

        fn look(&self, variables: &[(&str, &str)]) -> Result<Files, Failure> {
            look(&Environment::of(variables), &Strategy::default(), self.0.path())
        }
    }

    #[test]
    fn secrets_are_found_where_the_variables_say() {
        let world = World::of(&[("push/.dockercfg", "{}"), ("pull/.dockerconfigjson", "{}"), ("git/password", "x")]);
        let (push, pull) = (world.at("push"), world.at("pull"));
        let (git, none) = (world.at("git"), world.at("none"));
        let variables = [
            ("PULL_DOCKERCFG_PATH", pull.as_str()),
            ("PUSH_DOCKERCFG_PATH", &push),
            ("PULL_SOURCE_DOCKERCFG_PATH_0", &none),
            ("SOURCE_SECRET_PATH", &git),
        ];
        let files = world.look(&variables).unwrap();
        let credentials = [world.at("push/.dockercfg"), world.at("pull/.dockerconfigjson")].map(PathBuf::from);
        assert_eq!((files.credentials, files.source_secret), (credentials.to_vec(), Some(git.clone().into())));
        let note = format!(
            "PULL_SOURCE_DOCKERCFG_PATH_0: {none}: no .dockerconfigjson, .dockercfg or config.json there; not used"
        );
        assert_eq!(files.notes, [note]);
    }

    #[test]
    fn steps_see_the_subscription_and_what_mounts_conf_lists_but_no_token() {
        let world = World::of(&[
            ("etc/pki/entitlement/1.pem", "x"),
            ("run/secrets/kubernetes.io/serviceaccount/token", "secret"),
            (
                "usr/share/containers/mounts.conf",
                "# comment\n\n/usr/share/rhel/secrets:/run/secrets\n/none:/none\n/a:b\\c\n",
            ),
            ("etc/containers/mounts.conf", "/usr/share/rhel/secrets:/run/secrets/\n/none\n"),
            ("usr/share/rhel/secrets/redhat.repo", "x"),
        ]);
        let link = world.0.path().join("usr/share/rhel/secrets/etc-pki-entitlement");
        std::os::unix::fs::symlink(world.at("etc/pki/entitlement"), link).unwrap();
        let files = world.look(&[]).unwrap();
        let real = world.0.path().canonicalize().unwrap().display().to_string();
        let expected = [
            format!("{}:/etc/pki/entitlement:ro", world.at("etc/pki/entitlement")),
            format!("{real}/etc/pki/entitlement:/run/secrets/etc-pki-entitlement:ro"),
            format!("{real}/usr/share/rhel/secrets/redhat.repo:/run/secrets/redhat.repo:ro"),
        ];
        assert_eq!(files.volumes, expected);
        assert_eq!(
            files.notes,
            [format!("{}:2: /none is not there; steps do not see it", world.at("etc/containers/mounts.conf"))]
        );
    }

    #[test]
    fn authorities_count_where_they_have_a_certificate() {
        let pem = "-----BEGIN CERTIFICATE-----\n";
        let world = World::of(&[
            ("var/run/secrets/kubernetes.io/serviceaccount/ca.crt", pem),
            ("var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt", ""),
        ]);
        let expected = PathBuf::from(world.at("var/run/secrets/kubernetes.io/serviceaccount/ca.crt"));
        assert_eq!(world.look(&[]).unwrap().authorities, [expected]);
    }

    #[test]
    fn a_list_of_mounts_that_is_none_is_shown_with_its_line() {
        let world = World::of(&[("etc/containers/mounts.conf", "\na:b\n")]);
        let place = world.at("etc/containers/mounts.conf");
        let text = format!("{place}:2: `a:b`: expected SOURCE:TARGET, absolute paths both");
        assert_eq!(world.look(&[]).unwrap_err().text, text);
    }

    #[test]
    fn a_build_volume_that_the_pod_has_not_is_refused() {
        let strategy = Strategy { volumes: vec![("/nonexistent/v".into(), "/etc/x".into())], ..Strategy::default() };
        let failure = look(&Environment::of(&[]), &strategy, Path::new("/nonexistent")).unwrap_err();
        assert_eq!(failure.text, "BUILD: the build volume for /etc/x is not at /nonexistent/v");
    }
}
