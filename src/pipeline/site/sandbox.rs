//! How steps are confined.

use serde::Serialize;

use super::error::Fault;
use super::fields::Item;
use super::scalar;

/// The confinement of steps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SandboxSite {
    /// The isolation in the words of `sandbox::Isolation`; none means the best that works.
    pub isolation: Option<String>,
    /// Upper limits on resources (getrlimit(2)); they are only ever lowered.
    pub limits: Limits,
}

/// Upper limits on resources of a step, soft and hard alike. None leaves a resource alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Bytes of address space of a process.
    pub address_space: Option<u64>,
    /// Bytes of a core file.
    pub core_size: Option<u64>,
    /// Seconds of processor time of a process.
    pub cpu_seconds: Option<u64>,
    /// Bytes of a file.
    pub file_size: Option<u64>,
    /// Descriptors of a process.
    pub open_files: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
    /// Bytes of stack.
    pub stack: Option<u64>,
}

impl SandboxSite {
    pub(super) fn read(item: &Item<'_>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let isolation = fields.read("isolation", isolation)?;
        let limits = fields.read("limits", Limits::read)?.unwrap_or_default();
        fields.refuse_rest()?;
        Ok(Self { isolation, limits })
    }
}

impl Limits {
    fn read(item: &Item<'_>) -> Result<Self, Fault> {
        let mut fields = item.fields()?;
        let limits = Self {
            address_space: fields.read("address_space", scalar::size)?,
            core_size: fields.read("core_size", scalar::size)?,
            cpu_seconds: fields.read("cpu_seconds", Item::whole)?,
            file_size: fields.read("file_size", scalar::size)?,
            open_files: fields.read("open_files", Item::whole)?,
            processes: fields.read("processes", Item::whole)?,
            stack: fields.read("stack", scalar::size)?,
        };
        fields.refuse_rest()?;
        Ok(limits)
    }
}

fn isolation(item: &Item<'_>) -> Result<String, Fault> {
    const KIND: &str = "auto, sub, range, full, single or none";
    let text = item.any_text(KIND)?;
    let is_known = ["auto", "sub", "range", "full", "single", "none"].contains(&text);
    if is_known { Ok(text.to_owned()) } else { Err(item.expected(KIND)) }
}
