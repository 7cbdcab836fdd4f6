//! `stratum doctor`.

use std::path::PathBuf;

use sandbox::Verdict;

use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::{output, session};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The store whose place is tried too
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let chosen = store::choose(&session::candidates(arguments.store.as_deref(), environment));
    let place = chosen.as_ref().ok().map(|(candidate, _)| candidate.path.as_path());
    let reports = sandbox::doctor(place).map_err(|error| Failure::of(Status::Environment, &error))?;
    match &chosen {
        Ok((candidate, skipped)) => {
            for skipped in skipped {
                output::result(&format!("store    passed over {skipped}"));
            }
            output::result(&format!("store    {} ({})", candidate.path.display(), candidate.origin));
        }
        Err(error) => output::result(&format!("store    none: {error}")),
    }
    for report in &reports {
        line(report.rung.name(), "", &report.verdict);
        for facility in &report.facilities {
            line("", facility.name, &facility.verdict);
        }
    }
    let best = reports.iter().find(|report| report.verdict == Verdict::Works);
    let best = best.map_or("none", |report| report.rung.name());
    output::result(&format!("\nRUN steps would be isolated by rung `{best}`."));
    Ok(())
}

fn line(rung: &str, facility: &str, verdict: &Verdict) {
    let name = if facility.is_empty() { "can be entered" } else { facility };
    match verdict {
        Verdict::Works => output::result(&format!("{rung:8} {name:28} ok")),
        Verdict::Refused { cause, remedy } => {
            output::result(&format!("{rung:8} {name:28} no: {cause}"));
            output::result(&format!("{:8} {:28} remedy: {remedy}", "", ""));
        }
    }
}
