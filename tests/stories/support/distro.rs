//! The generated RPM distribution: real signed packages, repositories over HTTP, base images, sample sources.

use std::env;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use super::scratch::Scratch;
use super::web::{request, serve};
use super::{shared, skip};

/// The state folder that `../shared/distro/make.sh` filled.
pub(crate) struct Distro {
    state: PathBuf,
}

/// The distribution in $STRATUM_DISTRO, its repositories being served; skips aloud where there is none.
pub(crate) fn distro() -> Option<Distro> {
    #[expect(
        clippy::disallowed_methods,
        reason = "a story is not the program: its material is named by the environment"
    )]
    let Some(state) = env::var_os("STRATUM_DISTRO") else {
        return skip("STRATUM_DISTRO does not name the state folder of ../shared/distro/make.sh");
    };
    let distro = Distro { state: PathBuf::from(state) };
    assert!(distro.state.join("expect-base.json").exists(), "{}: not complete", distro.state.display());
    distro.serve();
    Some(distro)
}

impl Distro {
    /// The address baked into the base image's repository files, `http://127.0.0.1:PORT`.
    pub(crate) fn url(&self) -> String {
        let vars = self.state.join("work/base/etc/dnf/vars/disturl");
        fs::read_to_string(&vars).unwrap_or_else(|e| panic!("{}: {e}", vars.display())).trim().to_owned()
    }

    /// Serves the repositories at that address, unless another process or an earlier story already does.
    fn serve(&self) {
        let url = self.url();
        let address = url.trim_start_matches("http://");
        if let Err(error) = serve(self.state.join("www"), address) {
            let path = "/42/os/x86_64/repodata/repomd.xml";
            assert!(TcpStream::connect(address).is_ok(), "{address}: {error}");
            assert_eq!(request("HEAD", address, path, &[], &[]).status, 200, "{address} serves something else");
        }
    }

    /// A public key: release, second, subkey, untrusted, expired, revoked, revoked-after.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.state.join(format!("keys/{name}.asc"))
    }

    /// A folder in `scratch` with the keys named, for `--keys`.
    pub(crate) fn keys(&self, scratch: &Scratch, names: &[&str]) -> String {
        scratch.folder("keys");
        for name in names {
            scratch.copy(&self.key(name), &format!("keys/{name}.asc"));
        }
        scratch.at("keys")
    }

    /// An OCI layout of base images: tundra-minimal or tundra.
    pub(crate) fn layout(&self, name: &str) -> PathBuf {
        self.state.join("oci").join(name)
    }

    /// A repository file in `scratch` for `--add-repo`, with the repositories named: os, updates, unsigned, extra.
    pub(crate) fn repo_file(&self, scratch: &Scratch, repositories: &[&str]) -> String {
        let url = self.url();
        let section = |name: &&str| {
            format!(
                "[added-{name}]\nname=added {name}\nbaseurl={url}/42/{name}/x86_64\nenabled=1\ngpgcheck=1\n\
                 gpgkey={url}/keys/release.asc {url}/keys/second.asc {url}/keys/subkey.asc\n"
            )
        };
        let text: String = repositories.iter().map(section).collect();
        scratch.write("tundra.repo", text);
        scratch.at("tundra.repo")
    }

    /// A copy in `scratch` of one of the sample sources; skips aloud where they are absent.
    pub(crate) fn sample(&self, scratch: &Scratch, name: &str) -> Option<String> {
        Some(scratch.copy(&shared(&format!("distro/samples/{name}"))?, name))
    }

    /// The state folder.
    pub(crate) fn state(&self) -> &Path {
        &self.state
    }
}

#[test]
fn the_packages_of_the_distribution_are_served() {
    let Some(distro) = distro() else { return };
    let url = distro.url();
    let address = url.trim_start_matches("http://");
    let answer = request("GET", address, "/keys/release.asc", &[], &[]);
    assert_eq!((answer.status, answer.body), (200, fs::read(distro.key("release")).unwrap()));
    assert_eq!(request("GET", address, "/../keys.json", &[], &[]).status, 404);
}
