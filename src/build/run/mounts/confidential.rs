//! `--mount=type=secret` and `type=ssh`: what a step may use and nobody may keep.
//!
//! A secret is a file in the memory of the step's own namespace, or a variable; an agent is a socket that this
//! program serves. Neither is ever part of a message.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::ThreadPool;
use sandbox::{Access, InjectedFile};

use super::{Kit, Wanted};
use crate::owner::Owners;
use crate::run::agent::{Agent, Connect};
use crate::run::error::MountProblem;
use crate::run::held::{Folder, Held};
use crate::run::origin::io;
use crate::stage::{Failure, Workshop};
use crate::step_inputs::Secret;

/// Where secrets are files without a `target` (buildah's and docker's).
const SECRETS: &str = "/run/secrets";
/// Where agents are without a `target`, each with a number behind (buildah's and docker's).
const AGENTS: &str = "/run/buildkit/ssh_agent";
const SECRET_MODE: u32 = 0o400;
const AGENT_MODE: u32 = 0o600;

impl Kit<'_, '_, '_, '_> {
    /// Shows a secret, or nothing where it is neither given nor required.
    pub(super) fn secret(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let id = secret_id(wanted);
        let Some(secret) = self.around.request.step_inputs.secrets.get(&id) else {
            if wanted.spec.required {
                return Err(wanted.flag.refuse(MountProblem::NoSecret { id }));
            }
            tracing::debug!(id, "secret not given");
            return Ok(());
        };
        if let Some(name) = &wanted.spec.env {
            let name = if name.is_empty() { id.clone() } else { name.clone() };
            let variable = variable(name, &id, secret).map_err(|problem| wanted.flag.refuse(problem))?;
            self.provided.env.push(variable);
            if wanted.target.is_none() {
                return Ok(());
            }
        }
        let owner = wanted.owner();
        self.provided.files.push(InjectedFile {
            target: wanted.target.clone().unwrap_or_else(|| crate::stage::inside(SECRETS, &id)),
            contents: secret.bytes().to_vec(),
            mode: wanted.spec.mode.unwrap_or(SECRET_MODE) & 0o777,
            uid: owner.uid,
            gid: owner.gid,
            is_dispensable: false,
        });
        Ok(())
    }

    /// Serves an agent, or nothing where none is given nor required. The first is in SSH_AUTH_SOCK.
    pub(super) fn ssh(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        let id = wanted.spec.id.clone().unwrap_or_else(|| "default".to_owned());
        let inputs = &self.around.request.step_inputs;
        let Some(agent) = inputs.agents.get(&id) else {
            if wanted.spec.required {
                return Err(wanted.flag.refuse(MountProblem::NoAgent { id }));
            }
            tracing::debug!(id, "SSH agent not given");
            return Ok(());
        };
        let default = || PathBuf::from(format!("{AGENTS}.{}", self.agents));
        let target = wanted.target.clone().unwrap_or_else(default);
        let connect = connect(agent.clone(), inputs.threads.get().cloned());
        let served = serve(&self.around.workshop, wanted, connect);
        let (agent, folder, socket) = served.map_err(|problem| wanted.flag.refuse(problem))?;
        if self.agents == 0 {
            self.provided.env.push(("SSH_AUTH_SOCK".to_owned(), target.display().to_string()));
        }
        self.agents += 1;
        self.mount(target, socket, Access::ReadOnly);
        self.provided.held.push(Held::Agent { agent, folder });
        Ok(())
    }
}

/// The secret that a mount means: its id, or else the last name of its target.
fn secret_id(wanted: &Wanted) -> String {
    let spec = &wanted.spec;
    let named = spec.id.clone().or_else(|| spec.source.clone());
    named.unwrap_or_else(|| wanted.target().file_name().unwrap_or_default().to_string_lossy().into_owned())
}

fn variable(name: String, id: &str, secret: &Secret) -> Result<(String, String), MountProblem> {
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(MountProblem::VariableName { name });
    }
    let bytes = secret.bytes().to_vec();
    match String::from_utf8(bytes) {
        Ok(value) if !value.contains('\0') => Ok((name, value)),
        Ok(_) => Err(MountProblem::ZeroByte { id: id.to_owned() }),
        Err(_) => Err(MountProblem::NoText { id: id.to_owned() }),
    }
}

/// How the user's agent is reached: as the user, whose socket others may not use.
fn connect(socket: PathBuf, threads: Option<Arc<ThreadPool>>) -> Connect {
    Arc::new(move || match &threads {
        Some(threads) => threads.install(|| UnixStream::connect(&socket)),
        None => UnixStream::connect(&socket),
    })
}

/// A socket in a folder that nobody else can look into.
fn serve(workshop: &Workshop<'_>, wanted: &Wanted, connect: Connect) -> Result<(Agent, Folder, PathBuf), MountProblem> {
    let folder = Folder::fresh(workshop, "ssh")?.closed()?;
    let socket = folder.path.join("agent");
    let failed = |error: std::io::Error| io(Path::new("the agent's socket"), "be served", error);
    let agent = Agent::serve(&socket, connect).map_err(failed)?;
    give(workshop, wanted, &folder).map_err(failed)?;
    Ok((agent, folder, socket))
}

/// Gives the socket its owner and mode.
fn give(workshop: &Workshop<'_>, wanted: &Wanted, folder: &Folder) -> std::io::Result<()> {
    use std::os::unix::fs::{PermissionsExt, chown};
    let socket = folder.path.join("agent");
    let mode = wanted.spec.mode.unwrap_or(AGENT_MODE) & 0o777;
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(mode))?;
    let owner = wanted.owner();
    match workshop.owners {
        Owners::Real => chown(&socket, Some(owner.uid), Some(owner.gid)),
        // Steps are root, whoever they seem to be.
        Owners::Recorded => Ok(()),
    }
}
