//! RUN.

mod agent;
mod error;
mod held;
mod mounts;
mod origin;
mod script;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::sync::Arc;

use dockerfile::{Command, Heredoc, RunFlags, Security};
use gateway::{Serving, What};
use sandbox::{Exit, Loopback, Network, Step, Stream};

use crate::instruction::Surroundings;
use crate::repositories::Repositories;
use crate::stage::{Failure, Stage};
use crate::{Event, InstructionError, Observer, Request, StepNetwork, copy, owner, step_options};

pub use error::{MountProblem, StepMountError};
use script::Start;

/// PATH of an image that has none (buildah's and docker's).
pub(crate) const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Lines of a failed step that are shown again.
const TAIL_LINES: usize = 40;
/// Refused requests of a step that are shown.
const MAX_REFUSED: usize = 10;
/// Bytes of one line that are shown again.
const TAIL_LINE: usize = 2000;

/// Runs a command in the stage.
pub(crate) fn run(
    around: &Surroundings<'_, '_, '_>,
    stage: &mut Stage<'_>,
    flags: &RunFlags,
    command: &Command,
    heredocs: &[Heredoc],
) -> Result<(), Failure> {
    refuse(around, flags)?;
    let start = script::start(&stage.config.config, command, heredocs);
    let is_blank = matches!(command, Command::Shell(text) if text.trim().is_empty());
    if start.argv.is_empty() || is_blank && heredocs.is_empty() {
        return Err(InstructionError::Invalid { what: "RUN has no command".to_owned() }.into());
    }
    let mut wire = Wire::open(around, network(around.request, flags)?, &stage.label)?;
    let mut step = step(around, stage, start)?;
    step.network = wire.network.clone();
    let provided = mounts::provide(around, stage, flags)?;
    provided.give(&mut step);
    let label = stage.label.clone();
    let workshop = &around.workshop;
    let observer = workshop.observer;
    let mut tail = Tail::default();
    let mut output = |stream: Stream, bytes: &[u8]| {
        tail.push(bytes);
        observer(Event::Output { stage: &label, stream, bytes });
    };
    let sees_injected = stage.sees_injected;
    let root = stage.root(workshop)?;
    let gateway = wire.serving.is_some().then_some(workshop.gateway).flatten();
    let repositories = Repositories::prepare(workshop, around.request, (root, sees_injected), gateway)?;
    step.mounts.extend(repositories.as_ref().map(|repositories| repositories.mount(workshop)));
    let exit = sandbox::run(root, &step, workshop.cancel, &mut output);
    let refused = wire.close(observer, &label);
    let exit = exit?;
    if exit == Exit::Code(0) {
        return repositories.map_or(Ok(()), |repositories| repositories.finish(workshop, root, gateway));
    }
    let store = around.workshop.store;
    let full = store.is_full().then(|| store.shown().to_owned());
    Err(InstructionError::Failed { exit, full, tail: tail.text(), refused }.into())
}

/// The network of a step; the build's own is the most it can have.
fn network(request: &Request, flags: &RunFlags) -> Result<StepNetwork, InstructionError> {
    match (flags.network, request.network) {
        (dockerfile::Network::Default, network) => Ok(network),
        (dockerfile::Network::None, _) => Ok(StepNetwork::None),
        (dockerfile::Network::Host, StepNetwork::Host) => Ok(StepNetwork::Host),
        (dockerfile::Network::Host, StepNetwork::None | StepNetwork::Gateway) => Err(InstructionError::HostNetwork),
    }
}

/// What a step has for a network while it runs.
struct Wire {
    network: Network,
    serving: Option<Serving>,
}

impl Wire {
    fn open(around: &Surroundings<'_, '_, '_>, network: StepNetwork, stage: &str) -> Result<Self, InstructionError> {
        let gateway = match (network, around.workshop.gateway) {
            (StepNetwork::Host, _) => return Ok(Self { network: Network::Host, serving: None }),
            (StepNetwork::None, _) | (StepNetwork::Gateway, None) => {
                return Ok(Self { network: Network::None, serving: None });
            }
            (StepNetwork::Gateway, Some(gateway)) => gateway,
        };
        let (loopback, listener) = Loopback::listen(gateway::ADDRESS)?;
        let serving = gateway.serve(listener, stage)?;
        Ok(Self { network: Network::Loopback(Arc::new(loopback)), serving: Some(serving) })
    }

    /// Ends the serving and tells what went over the wire; what was refused is returned, each once.
    fn close(&mut self, observer: Observer<'_>, stage: &str) -> Vec<String> {
        let Some(serving) = self.serving.take() else { return Vec::new() };
        let exchanges = serving.finish();
        observer(Event::Traffic { stage, exchanges: &exchanges });
        let mut refused: Vec<String> = Vec::new();
        for exchange in &exchanges {
            if let What::Refused { why } = &exchange.what {
                let line = format!("{}: {why}", exchange.url);
                if refused.len() < MAX_REFUSED && !refused.contains(&line) {
                    refused.push(line);
                }
            }
        }
        refused
    }
}

/// What no step of this builder can have.
fn refuse(around: &Surroundings<'_, '_, '_>, flags: &RunFlags) -> Result<(), Failure> {
    if flags.security == Security::Insecure {
        return Err(InstructionError::Insecure.into());
    }
    for device in &flags.devices {
        if device.is_required {
            return Err(InstructionError::Device { name: device.name.clone(), span: device.span }.into());
        }
        let text = format!("RUN --device={}: steps have no devices here; it goes on without", device.name);
        (around.workshop.observer)(Event::Warning(&text));
    }
    Ok(())
}

fn step(around: &Surroundings<'_, '_, '_>, stage: &mut Stage<'_>, start: Start) -> Result<Step, Failure> {
    let options = &around.request.steps;
    let hostname = step_options::hostname(options);
    let cwd = crate::stage::inside("", &stage.config.config.working_dir);
    let (uid, gid, groups, home) = {
        let text = stage.config.config.user.clone();
        let root = stage.root(&around.workshop)?;
        let user = owner::user(root.dir(), &text).map_err(InstructionError::from)?;
        copy::make_directories(root.dir(), &cwd, user.ids, around.workshop.owners)?;
        let mut groups = user.groups;
        groups.extend(owner::groups(root.dir(), &options.groups).map_err(InstructionError::from)?);
        (user.ids.uid, user.ids.gid, groups, user.home)
    };
    let mut env = stage.scope.run_env(&stage.config.config);
    for (name, value) in [("PATH", DEFAULT_PATH), ("HOME", home.as_str()), ("HOSTNAME", hostname)] {
        if !env.iter().any(|(known, _)| known == name) {
            env.push((name.to_owned(), value.to_owned()));
        }
    }
    let os = OsString::from;
    let mut step = Step {
        argv: start.argv.into_iter().map(os).collect(),
        env: env.into_iter().map(|(name, value)| (os(name), os(value))).collect(),
        cwd,
        uid,
        gid,
        groups,
        hostname: hostname.to_owned(),
        files: step_options::files(around.request, stage.sees_injected).into_iter().chain(start.script).collect(),
        limits: around.request.limits.clone(),
        timeout: around.request.step_timeout,
        ..Step::default()
    };
    step_options::apply(&mut step, options);
    Ok(step)
}

/// The last lines of what a step wrote.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<Vec<u8>>,
    open: Vec<u8>,
}

impl Tail {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.lines.push_back(std::mem::take(&mut self.open));
                if self.lines.len() > TAIL_LINES {
                    self.lines.pop_front();
                }
            } else if self.open.len() < TAIL_LINE {
                self.open.push(*byte);
            }
        }
    }

    pub(crate) fn text(mut self) -> String {
        if !self.open.is_empty() {
            self.lines.push_back(std::mem::take(&mut self.open));
        }
        let lines = self.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        lines.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_last_lines_whole_or_not() {
        let mut tail = Tail::default();
        for number in 0..100 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        tail.push(b"no end");
        let text = tail.text();
        assert!(text.starts_with("line 60\n") && text.ends_with("line 99\nno end"), "{text}");
    }
}
