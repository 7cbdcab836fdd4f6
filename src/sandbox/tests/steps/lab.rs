//! What every case starts from: an entered sandbox and a root with busybox in it.

use std::fs;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stratum_sandbox::{
    Cancel, EnterError, EnterOptions, Entered, Exit, Isolation, Network, Root, RootSpec, RunError, Rung, Step, Stream,
    enter, mount_root, run, write_stubs,
};

pub(crate) const BUSYBOX: &str = "/bin/busybox";
const APPLETS: [&str; 29] = [
    "sh", "cat", "chown", "env", "ls", "sleep", "stat", "id", "touch", "mount", "unshare", "dd", "echo", "readlink",
    "ip", "pwd", "hostname", "setsid", "kill", "ps", "true", "mkdir", "rm", "seq", "mknod", "umount", "wc", "grep",
    "nc",
];

pub(crate) struct Lab {
    pub(crate) entered: Entered,
    pub(crate) cancel: Cancel,
    pub(crate) scratch: PathBuf,
    /// The store, as a path that root inside can walk.
    pub(crate) store: PathBuf,
}

/// What a step wrote and how it ended.
pub(crate) struct Outcome {
    pub(crate) exit: Exit,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    /// None where this rung does not work here.
    pub(crate) fn new(isolation: &str, scratch: &Path) -> Option<Self> {
        let options =
            EnterOptions { isolation: isolation.parse::<Isolation>().unwrap(), owned: vec![scratch.join("store")] };
        let entered = match enter(&options) {
            Ok(entered) => entered,
            Err(EnterError::Refused(refused)) => {
                println!("  {refused}");
                return None;
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        };
        if entered.rung == Rung::None {
            println!("  nothing works here: {:?}", entered.refused);
            return None;
        }
        let fd = std::os::fd::AsRawFd::as_raw_fd(&entered.owned[0]);
        let lab = Self {
            store: PathBuf::from(format!("/proc/self/fd/{fd}")),
            cancel: Cancel::new().unwrap(),
            scratch: scratch.to_owned(),
            entered,
        };
        lab.fill();
        Some(lab)
    }

    fn fill(&self) {
        let image = self.store.join("image");
        for directory in ["bin", "etc", "tmp", "run"] {
            fs::create_dir_all(image.join(directory)).unwrap();
        }
        let mut program = fs::File::create(image.join("bin/busybox")).unwrap();
        program.write_all(&fs::read(BUSYBOX).unwrap()).unwrap();
        drop(program);
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(image.join("bin/busybox"), mode).unwrap();
        for applet in APPLETS {
            symlink("busybox", image.join("bin").join(applet)).unwrap();
        }
        fs::create_dir(self.store.join("stubs")).unwrap();
        let stubs = fs::File::open(self.store.join("stubs")).unwrap();
        let repo = Path::new("/etc/yum.repos.d/x.repo");
        write_stubs(stubs.as_fd(), &[repo], &[Path::new("/srv/stub")]).unwrap();
    }

    /// A root of the image and these further lowers, topmost first.
    pub(crate) fn root(&self, lowers: &[&str]) -> Root {
        let spec = RootSpec {
            base: self.entered.owned[0].as_fd(),
            lowers: lowers.iter().map(PathBuf::from).collect(),
            upper: "upper".into(),
            work: "work".into(),
            mount: "root".into(),
        };
        mount_root(&spec).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }

    pub(crate) fn usual_root(&self) -> Root {
        self.root(&["image", "stubs"])
    }

    pub(crate) fn try_run(&self, root: &Root, step: &Step) -> Result<Outcome, RunError> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let exit = run(root, step, &self.cancel, &mut |stream, bytes| match stream {
            Stream::Stdout => stdout.extend_from_slice(bytes),
            Stream::Stderr => stderr.extend_from_slice(bytes),
        })?;
        Ok(Outcome {
            exit,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        })
    }

    pub(crate) fn run(&self, root: &Root, step: &Step) -> Outcome {
        self.try_run(root, step).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)))
    }

    /// Standard output of a shell script that must succeed.
    #[track_caller]
    pub(crate) fn shell(&self, root: &Root, script: &str) -> String {
        let outcome = self.run(root, &shell(script));
        assert_eq!((outcome.exit, outcome.stderr.as_str()), (Exit::Code(0), ""), "{script}");
        outcome.stdout
    }

    /// Paths below the upper directory, sorted.
    pub(crate) fn upper(&self) -> Vec<String> {
        let top = self.store.join("upper");
        let mut found = Vec::new();
        let mut open = vec![top.clone()];
        while let Some(directory) = open.pop() {
            for entry in fs::read_dir(&directory).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                found.push(path.strip_prefix(&top).unwrap().display().to_string());
                if entry.file_type().unwrap().is_dir() {
                    open.push(path);
                }
            }
        }
        found.sort();
        found
    }
}

pub(crate) fn step(argv: &[&str]) -> Step {
    Step {
        argv: argv.iter().map(Into::into).collect(),
        env: vec![("PATH".into(), "/bin".into())],
        cwd: "/".into(),
        hostname: "build".into(),
        network: Network::Host,
        ..Step::default()
    }
}

pub(crate) fn shell(script: &str) -> Step {
    step(&["/bin/sh", "-c", script])
}

/// How many processes of this machine have this argument.
pub(crate) fn processes_with(argument: &str) -> usize {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    entries
        .filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
        .count()
}
