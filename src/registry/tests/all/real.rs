//! A real docker-registry on a free port, gone with its value.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tempfile::TempDir;

/// The bcrypt hash of the password `U*U`, a published test vector.
const HTPASSWD: &str = "user:$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n";

pub(crate) struct Real {
    pub(crate) address: SocketAddr,
    pub(crate) dir: TempDir,
    process: Child,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Plain,
    /// User `user`, password `U*U`.
    Password,
    /// The CA is in `ca.pem`.
    Tls,
    /// The certificate is `leaf.pem`, which is its own CA.
    SelfSigned,
    /// As `Tls`, and clients must show a certificate of that CA, such as `client.pem` with `client.key`.
    ClientCertificate,
}

impl Real {
    /// `None`, aloud, where docker-registry (or openssl) is not installed.
    pub(crate) fn start(mode: Mode) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        if matches!(mode, Mode::Tls | Mode::SelfSigned | Mode::ClientCertificate)
            && !make_certificates(dir.path(), mode)
        {
            eprintln!("skipped: openssl is not installed");
            return None;
        }
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        fs::write(dir.path().join("htpasswd"), HTPASSWD).unwrap();
        fs::write(dir.path().join("registry.yml"), config(dir.path(), address, mode)).unwrap();
        let Ok(process) = spawn(dir.path()) else {
            eprintln!("skipped: docker-registry is not installed");
            return None;
        };
        let real = Self { address, dir, process };
        real.wait();
        Some(real)
    }

    /// Kills it and starts it again at the same address, with what it has on disk.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.process = spawn(self.dir.path()).unwrap();
        self.wait();
    }

    fn wait(&self) {
        for _ in 0..500 {
            if TcpStream::connect(self.address).is_ok() {
                return;
            }
            sleep(Duration::from_millis(20));
        }
        panic!("docker-registry does not listen on {}", self.address);
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// How many uncommitted uploads with bytes there are in `repository`. (Of a deleted one docker-registry keeps an
    /// empty folder.)
    pub(crate) fn uploads(&self, repository: &str) -> usize {
        let folder = self.dir.path().join(format!("data/docker/registry/v2/repositories/{repository}/_uploads"));
        let Ok(entries) = fs::read_dir(folder) else { return 0 };
        entries.filter(|entry| entry.as_ref().unwrap().path().join("data").exists()).count()
    }

    pub(crate) fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It may have been killed already.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn spawn(dir: &Path) -> std::io::Result<Child> {
    let mut command = Command::new("docker-registry");
    command.args(["serve", "registry.yml"]).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn()
}

fn config(dir: &Path, address: SocketAddr, mode: Mode) -> String {
    let dir = dir.display();
    let auth = match mode {
        Mode::Password => format!("auth: {{htpasswd: {{realm: test, path: {dir}/htpasswd}}}}\n"),
        Mode::Plain | Mode::Tls | Mode::SelfSigned | Mode::ClientCertificate => String::new(),
    };
    let tls = match mode {
        Mode::Tls | Mode::SelfSigned => format!(", tls: {{certificate: {dir}/leaf.pem, key: {dir}/leaf.key}}"),
        Mode::ClientCertificate => {
            format!(", tls: {{certificate: {dir}/leaf.pem, key: {dir}/leaf.key, clientcas: [{dir}/ca.pem]}}")
        }
        Mode::Plain | Mode::Password => String::new(),
    };
    format!(
        "version: 0.1\nlog: {{level: error}}\n\
         storage: {{filesystem: {{rootdirectory: {dir}/data}}, delete: {{enabled: true}}}}\n\
         {auth}http: {{addr: \"{address}\", secret: test{tls}}}\n"
    )
}

fn make_certificates(dir: &Path, mode: Mode) -> bool {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2";
    let ca = format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=test-ca");
    let leaf =
        format!("req -x509 {key} -keyout leaf.key -out leaf.pem -subj /CN=leaf -addext subjectAltName=IP:127.0.0.1");
    let signed = format!("{leaf} -CA ca.pem -CAkey ca.key -addext basicConstraints=critical,CA:FALSE");
    let client = format!(
        "req -x509 {key} -keyout client.key -out client.pem -subj /CN=client -CA ca.pem -CAkey ca.key \
         -addext basicConstraints=critical,CA:FALSE"
    );
    let lines = match mode {
        Mode::SelfSigned => vec![leaf],
        Mode::ClientCertificate => vec![ca, signed, client],
        Mode::Tls | Mode::Plain | Mode::Password => vec![ca, signed],
    };
    lines.iter().all(|line| {
        let mut openssl = Command::new("openssl");
        openssl.args(line.split_whitespace()).current_dir(dir).stderr(Stdio::null());
        openssl.status().is_ok_and(|status| status.success())
    })
}
