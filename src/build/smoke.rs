//! Trying an image before it has a name.
//!
//! Comes in: an image that waits at the gate, and a command or a script of the context. Goes out: how it ended and its
//! last lines. It runs as RUN does, in the image's own environment, on files that are thrown away; no secret, volume,
//! proxy or repository file of the build is in its sight.

use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci::ImageConfig;
use sandbox::{Exit, InjectedFile, Network, Step, Stream};

use crate::run::{DEFAULT_PATH, Tail};
use crate::stage::{self, Link, Stubs, inside};
use crate::{BuildError, Context, Event, InstructionError, StepNetwork, Workshop, copy, owner, step_options};

/// What its output is shown under.
const LABEL: &str = "test";
/// Where a script is seen, as those of heredocs are.
const DIRECTORY: &str = "/dev/pipes";
/// Bytes of the largest script.
const MAX_SCRIPT: u64 = 1 << 20;

/// What is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial {
    /// What runs.
    pub command: TrialCommand,
    /// Who runs it, as USER says it; none is the image's own user.
    pub user: Option<String>,
    /// The network it has.
    pub network: TrialNetwork,
    /// How long it may take.
    pub timeout: Option<Duration>,
}

/// What runs in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrialCommand {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A line for the image's shell.
    Shell(String),
    /// A file of the context, which the image need not have: a program if it begins with `#!`, else for `/bin/sh`.
    Script(PathBuf),
}

/// The network of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialNetwork {
    /// Loopback only.
    None,
    /// The builder's, where steps have that too.
    Host,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// How.
    pub exit: Exit,
    /// The last lines of what it wrote.
    pub tail: String,
}

/// Runs `trial` on the files of `chain`.
pub(crate) fn run(
    workshop: &Workshop<'_>,
    (config, chain): (&ImageConfig, &[Link]),
    trial: &Trial,
) -> Result<Tried, BuildError> {
    let failed = |source: InstructionError| BuildError::Trial { source: Box::new(source) };
    let host = workshop.request.network == StepNetwork::Host;
    let network = match trial.network {
        TrialNetwork::None => Network::None,
        TrialNetwork::Host if host => Network::Host,
        TrialNetwork::Host => return Err(failed(InstructionError::HostNetwork)),
    };
    let (argv, script) = start(workshop, config, &trial.command).map_err(failed)?;
    let lowers = stage::lowers(workshop, chain)?;
    let (root, _) = stage::mount(workshop, &lowers, LABEL, Stubs::Shown)?;
    let user = trial.user.as_deref().unwrap_or(&config.config.user);
    let user = owner::user(root.dir(), user).map_err(|error| failed(error.into()))?;
    let cwd = inside("", &config.config.working_dir);
    copy::make_directories(root.dir(), &cwd, user.ids, workshop.owners).map_err(|error| failed(error.into()))?;
    let options = &workshop.request.steps;
    let mut step = Step {
        argv: argv.into_iter().map(OsString::from).collect(),
        env: environment(config, &user.home, step_options::hostname(options)),
        cwd,
        uid: user.ids.uid,
        gid: user.ids.gid,
        groups: user.groups,
        network,
        hostname: step_options::hostname(options).to_owned(),
        files: step_options::files(workshop.request, false).into_iter().chain(script).collect(),
        limits: workshop.request.limits.clone(),
        timeout: trial.timeout.or(workshop.request.step_timeout),
        ..Step::default()
    };
    step_options::apply(&mut step, options);
    let mut tail = Tail::default();
    let mut is_open = false;
    let mut output = |stream: Stream, bytes: &[u8]| {
        tail.push(bytes);
        is_open = !bytes.ends_with(b"\n");
        (workshop.observer)(Event::Output { stage: LABEL, stream, bytes });
    };
    let exit = sandbox::run(&root, &step, workshop.cancel, &mut output).map_err(|error| failed(error.into()))?;
    if is_open {
        (workshop.observer)(Event::Output { stage: LABEL, stream: Stream::Stdout, bytes: b"\n" });
    }
    if exit == Exit::Cancelled {
        return Err(BuildError::Cancelled);
    }
    Ok(Tried { exit, tail: tail.text() })
}

/// The arguments, and the script that only this command sees.
fn start(
    workshop: &Workshop<'_>,
    config: &ImageConfig,
    command: &TrialCommand,
) -> Result<(Vec<String>, Option<InjectedFile>), InstructionError> {
    match command {
        TrialCommand::Exec(argv) => Ok((argv.clone(), None)),
        TrialCommand::Shell(line) => {
            Ok((crate::config::argv(&config.config, &dockerfile::Command::Shell(line.clone())), None))
        }
        TrialCommand::Script(path) => {
            let contents = script(&workshop.request.context, path)?;
            let target = Path::new(DIRECTORY).join(LABEL);
            let place = target.display().to_string();
            let argv = if contents.starts_with(b"#!") { vec![place] } else { vec!["/bin/sh".to_owned(), place] };
            let file = InjectedFile { target, contents, mode: 0o755, uid: 0, gid: 0, is_dispensable: false };
            Ok((argv, Some(file)))
        }
    }
}

fn script(context: &Context, path: &Path) -> Result<Vec<u8>, InstructionError> {
    let Context::Tree(tree) = context else { return Err(InstructionError::NoContext) };
    let file = tree.open(path)?;
    let invalid = |why: String| InstructionError::Invalid { what: format!("{}: {why}", path.display()) };
    let mut contents = Vec::new();
    file.take(MAX_SCRIPT + 1).read_to_end(&mut contents).map_err(|error| invalid(error.to_string()))?;
    if contents.len() as u64 > MAX_SCRIPT {
        return Err(invalid("a script of more than 1 MiB".to_owned()));
    }
    Ok(contents)
}

/// The image's variables, and those every program expects.
fn environment(config: &ImageConfig, home: &str, hostname: &str) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(&str, &str)> = config.config.env.iter().filter_map(|line| line.split_once('=')).collect();
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", home), ("HOSTNAME", hostname)] {
        if !environment.iter().any(|(known, _)| *known == name) {
            environment.push((name, value));
        }
    }
    environment.into_iter().map(|(name, value)| (name.into(), value.into())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_the_images_with_what_is_missing() {
        let mut config = ImageConfig::scratch(&"linux/amd64".parse().unwrap());
        config.config.env = vec!["A=b=c".to_owned(), "HOME=/h".to_owned(), "broken".to_owned()];
        let found = environment(&config, "/root", "me");
        let expected = [("A", "b=c"), ("HOME", "/h"), ("PATH", DEFAULT_PATH), ("HOSTNAME", "me")];
        assert_eq!(found, expected.map(|(name, value)| (name.into(), value.into())));
    }
}
