//! A real docker-registry on a free loopback port, filled and looked into without other tools.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::image::{Image, descriptors, digest_of, names};
use super::program;
use super::web::{Answer, free_port, request};

/// `secret` as bcrypt, the only hash the registry takes.
const HTPASSWD: &str = "stratum:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
/// The credentials of [`Access::Password`], as the Authorization header wants them.
const BASIC: &str = "Basic c3RyYXR1bTpzZWNyZXQ=";

/// Who may talk to the registry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Anyone,
    /// User `stratum`, password `secret`.
    Password,
}

/// A running registry; it ends with this value.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    access: Access,
    dir: TempDir,
}

const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

impl Registry {
    /// An empty registry for anyone; skips aloud where docker-registry is not installed.
    pub(crate) fn start() -> Option<Self> {
        Self::start_for(Access::Anyone)
    }

    /// An empty registry.
    pub(crate) fn start_for(access: Access) -> Option<Self> {
        let program = program("docker-registry")?;
        let dir = tempfile::Builder::new().prefix("stratum-registry-").tempdir().unwrap();
        let port = free_port();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        fs::write(dir.path().join("config.yml"), configuration(dir.path(), port, access)).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new(program)
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let registry = Self { child, port, access, dir };
        registry.wait_until_it_listens();
        Some(registry)
    }

    fn wait_until_it_listens(&self) {
        for _ in 0..500 {
            if TcpStream::connect(self.address()).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the registry does not listen: {}", fs::read_to_string(self.dir.path().join("log")).unwrap());
    }

    /// Where it keeps everything.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// A reference to something in this registry.
    pub(crate) fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address())
    }

    /// The content of a docker config.json that lets its reader in.
    pub(crate) fn credentials(&self) -> String {
        format!(r#"{{"auths":{{"{}":{{"auth":"c3RyYXR1bTpzZWNyZXQ="}}}}}}"#, self.address())
    }

    /// Ends the registry at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        // It may be gone already.
        let _killed = self.child.kill();
        self.child.wait().unwrap();
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut all = headers.to_vec();
        if self.access == Access::Password {
            all.push(("Authorization", BASIC));
        }
        request(method, &self.address(), path, &all, body)
    }

    /// Puts the image called `tag` of an OCI layout at `repository:target`, an index with all it names; returns its digest.
    #[track_caller]
    pub(crate) fn push(&self, layout: impl AsRef<Path>, tag: &str, repository: &str, target: &str) -> String {
        let layout = layout.as_ref();
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        let descriptor = descriptors(&index, "manifests").find(|d| names(d, tag)).unwrap_or_else(|| panic!("no {tag}"));
        self.push_manifest(layout, descriptor, repository, target)
    }

    fn push_manifest(&self, layout: &Path, descriptor: &Value, repository: &str, target: &str) -> String {
        let bytes = blob_of(layout, descriptor);
        let manifest: Value = serde_json::from_slice(&bytes).unwrap();
        for child in descriptors(&manifest, "manifests") {
            self.push_manifest(layout, child, repository, child["digest"].as_str().unwrap());
        }
        for blob in descriptors(&manifest, "layers").chain(manifest.get("config")) {
            self.put_blob(repository, &blob_of(layout, blob));
        }
        let media_type = manifest["mediaType"].as_str().or(descriptor["mediaType"].as_str()).unwrap();
        self.put_manifest(repository, target, media_type, &bytes)
    }

    /// Stores a blob; returns its digest.
    #[track_caller]
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest_of(bytes);
        if self.ask("HEAD", &format!("/v2/{repository}/blobs/{digest}"), &[], &[]).status == 200 {
            return digest;
        }
        let opened = self.ask("POST", &format!("/v2/{repository}/blobs/uploads/"), &[], &[]);
        let location = opened.header("location").unwrap_or_else(|| panic!("no upload: {}", opened.status));
        let path = location.trim_start_matches(&format!("http://{}", self.address()));
        let mark = if path.contains('?') { '&' } else { '?' };
        let stream = [("Content-Type", "application/octet-stream")];
        let closed = self.ask("PUT", &format!("{path}{mark}digest={digest}"), &stream, bytes);
        assert_eq!(closed.status, 201, "{}", String::from_utf8_lossy(&closed.body));
        digest
    }

    /// Stores a manifest under a tag or digest; returns its digest.
    #[track_caller]
    pub(crate) fn put_manifest(&self, repository: &str, target: &str, media_type: &str, bytes: &[u8]) -> String {
        let path = format!("/v2/{repository}/manifests/{target}");
        let answer = self.ask("PUT", &path, &[("Content-Type", media_type)], bytes);
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        digest_of(bytes)
    }

    /// The bytes of the manifest at `repository` and a tag or digest, if the registry has it.
    pub(crate) fn manifest(&self, repository: &str, target: &str) -> Option<Vec<u8>> {
        let answer = self.ask("GET", &format!("/v2/{repository}/manifests/{target}"), &[("Accept", ACCEPT)], &[]);
        (answer.status == 200).then_some(answer.body)
    }

    /// The image at `repository` and a tag or digest, every byte checked.
    #[track_caller]
    pub(crate) fn image(&self, repository: &str, target: &str) -> Image {
        let manifest = self.manifest(repository, target).unwrap_or_else(|| panic!("no {repository}:{target}"));
        Image::from_manifest(&manifest, &|digest| self.blob(repository, digest))
    }

    /// The bytes of a blob.
    #[track_caller]
    pub(crate) fn blob(&self, repository: &str, digest: &str) -> Vec<u8> {
        let answer = self.ask("GET", &format!("/v2/{repository}/blobs/{digest}"), &[], &[]);
        assert_eq!(answer.status, 200, "{digest}");
        answer.body
    }

    /// The tags of `repository`; none where the registry does not know it.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        let answer = self.ask("GET", &format!("/v2/{repository}/tags/list"), &[], &[]);
        let list: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let mut tags: Vec<String> =
            list["tags"].as_array().into_iter().flatten().map(|t| t.as_str().unwrap().to_owned()).collect();
        tags.sort();
        tags
    }

    /// The digests of all blobs and manifests on the registry's disk: what an upload that was never closed is not among.
    pub(crate) fn committed(&self) -> BTreeSet<String> {
        let root = self.dir.path().join("storage/docker/registry/v2/blobs/sha256");
        let folders =
            |path: &Path| fs::read_dir(path).into_iter().flatten().map(|e| e.unwrap().path()).collect::<Vec<_>>();
        let digests = folders(&root).into_iter().flat_map(|prefix| folders(&prefix));
        digests
            .filter(|path| path.join("data").exists())
            .map(|path| format!("sha256:{}", path.file_name().unwrap().to_str().unwrap()))
            .collect()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}

fn configuration(dir: &Path, port: u16, access: Access) -> String {
    let root = dir.display();
    let auth = match access {
        Access::Anyone => String::new(),
        Access::Password => format!("auth: {{htpasswd: {{realm: stratum, path: {root}/htpasswd}}}}\n"),
    };
    format!(
        "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {root}/storage}}, delete: {{enabled: true}}}}\n\
         http: {{addr: \"127.0.0.1:{port}\"}}\n{auth}"
    )
}

fn blob_of(layout: &Path, descriptor: &Value) -> Vec<u8> {
    fs::read(layout.join("blobs").join(descriptor["digest"].as_str().unwrap().replace(':', "/"))).unwrap()
}

#[test]
fn an_image_pushed_to_the_registry_reads_back_unchanged() {
    let Some(registry) = Registry::start() else { return };
    let layout = super::testdata("base/oci");
    let digest = registry.push(&layout, "42", "test/base", "42");
    let (pushed, read) = (Image::in_layout(&layout, Some("42")), registry.image("test/base", "42"));
    assert_eq!((&read.digest, &read.layers), (&digest, &pushed.layers));
    assert_eq!(registry.tags("test/base"), ["42"]);
    let parts = pushed.layer_digests().len() + 2;
    assert_eq!(registry.committed().len(), parts, "layers, config and manifest");
}

#[test]
fn a_registry_with_a_password_lets_nobody_else_in() {
    let Some(registry) = Registry::start_for(Access::Password) else { return };
    assert_eq!(request("GET", &registry.address(), "/v2/", &[], &[]).status, 401);
    assert_eq!(registry.ask("GET", "/v2/", &[], &[]).status, 200);
}
