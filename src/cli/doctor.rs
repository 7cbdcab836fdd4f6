//! `stratum doctor`.

use std::path::PathBuf;

use crate::environment::Environment;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The store whose place is tried too
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub(crate) fn run(_arguments: &Arguments, _environment: &Environment) -> Result<(), Failure> {
    Ok(())
}
