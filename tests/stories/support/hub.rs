//! A Koji hub: the stand-in of `../shared/koji-hub`, which agrees with Koji, its files served beside it.
//!
//! `hub.py` serves it. A story fills it with builds, archives, tasks and files, and reads it back.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::scratch::Scratch;
use super::web::{free_port, request, serve};
use super::{program, repository, shared};

/// Where a build stands (koji, `BUILD_STATES`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BuildState {
    Building = 0,
    Complete = 1,
    Deleted = 2,
    Failed = 3,
    Canceled = 4,
}

/// Where a task stands (koji, `TASK_STATES`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TaskState {
    Open = 1,
    Closed = 2,
    Failed = 5,
}

/// A running hub; it ends with this value.
pub(crate) struct Hub {
    process: Child,
    address: String,
    /// `127.0.0.1:PORT` of its files.
    files: String,
    folder: PathBuf,
}

impl Hub {
    /// Starts it; skips aloud where the stand-in or Python is absent.
    pub(crate) fn start(scratch: &Scratch) -> Option<Self> {
        let (stand_in, python) = (shared("koji-hub")?, program("python3")?);
        let state = scratch.folder("hub");
        let folder = scratch.folder("hub/files");
        std::fs::copy(stand_in.join("seed.json"), state.join("seed.json")).unwrap();
        let port = free_port().to_string();
        let mut command = Command::new(python);
        command.arg("-B").arg(repository().join("tests/stories/support/hub.py")).arg(stand_in).arg(&port);
        let process = command.env("KOJI_STATE", &state).stdin(Stdio::null()).spawn().unwrap();
        let address = format!("127.0.0.1:{port}");
        let files = serve(folder.clone(), "127.0.0.1:0").unwrap();
        let hub = Self { process, address, files, folder };
        hub.wait_until_it_listens();
        Some(hub)
    }

    fn wait_until_it_listens(&self) {
        for _ in 0..500 {
            if TcpStream::connect(&self.address).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("the stand-in for a hub does not start");
    }

    /// `koji.hub_url` of a site.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/kojihub", self.address)
    }

    /// `koji` of a site's configuration, a line; `more` is within it, with a comma before.
    pub(crate) fn site(&self, more: &str) -> String {
        format!("koji: {{hub_url: '{}', root_url: 'http://{}'{more}}}\n", self.url(), self.files)
    }

    /// Adds a build; its number.
    pub(crate) fn add_build(&self, nvr: &str, state: BuildState, extra: &Value) -> u64 {
        let mut parts = nvr.rsplitn(3, '-');
        let (release, version, name) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        self.put("packages", &json!({"name": name}));
        let row = json!({
            "name": name, "version": version, "release": release, "epoch": null, "state": state as u8, "extra": extra,
            "source": null, "task_id": null, "owner": 2, "cg": null, "event": 1, "creation": 1, "start": 1,
            "completion": null, "token": null,
        });
        self.put("builds", &row)
    }

    /// Changes where a build stands.
    pub(crate) fn change_build(&self, id: u64, state: BuildState) {
        self.put("builds", &json!({"id": id, "state": state as u8}));
    }

    /// Adds the archive of an image to a build.
    pub(crate) fn add_archive(&self, build: u64, extra: &Value) {
        let row = json!({"build_id": build, "btype": "image", "filename": "image.tar.gz", "buildroot_id": null,
            "checksum": "", "extra": extra});
        self.put("archives", &row);
    }

    /// Adds a task, below another or not; its number.
    pub(crate) fn add_task(&self, method: &str, state: TaskState, parent: Option<u64>) -> u64 {
        self.put("tasks", &json!({"method": method, "state": state as u8, "parent": parent, "owner": 2}))
    }

    /// Adds a file that a task has left.
    pub(crate) fn leave(&self, task: u64, name: &str, content: &[u8]) {
        let folder = self.folder.join(format!("work/tasks/{}/{task}", task % 10_000));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), content).unwrap();
    }

    /// Gives a tag a repository with these files below `repos/TAG/NUMBER`.
    pub(crate) fn add_repository(&self, tag: u64, number: u64) {
        self.put("tags", &json!({"id": tag, "repo": number}));
    }

    /// A build as the hub has it; null where it has none.
    pub(crate) fn build(&self, nvr: &str) -> Value {
        let state = self.ask(&json!({}));
        let named = |row: &&Value| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            format!("{}-{}-{}", text("name"), text("version"), text("release")) == nvr
        };
        state["builds"].as_array().unwrap().iter().find(named).cloned().unwrap_or_default()
    }

    /// The calls it got, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        let asked = self.ask(&json!({"asked": true}));
        asked.as_array().unwrap().iter().map(|call| call.as_str().unwrap().to_owned()).collect()
    }

    fn put(&self, table: &str, row: &Value) -> u64 {
        self.ask(&json!({"table": table, "row": row})).as_u64().unwrap()
    }

    fn ask(&self, wanted: &Value) -> Value {
        let answer = request("POST", &self.address, "/story", &[], wanted.to_string().as_bytes());
        let text = String::from_utf8_lossy(&answer.body);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{wanted}: {error}: {text}"))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
