//! `stratum plugins`.

use std::path::PathBuf;

use pipeline::{Phase, Registered, Registry, Selected, Wanted};

use crate::failure::{self, Failure};
use crate::{koji, output, site};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Mark the plugins that take part with this configuration
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints the plugins in the order in which they run.
pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Failure> {
    let configuration = site::read(arguments.config.as_deref())?;
    configuration.notes.iter().for_each(|note| output::note(note));
    let (site, http) = (&configuration.site, http::ClientOptions::default());
    let (hub, odcs) = (koji::hub(site, &http)?, koji::compose_service(site, &http)?);
    let lineup = registry.choose(site, &Wanted { hub, odcs, ..Wanted::default() });
    let lineup = lineup.map_err(|error| failure::of_plugin(&error, None))?;
    lineup.notes.iter().chain(&lineup.warnings).for_each(|note| output::note(note));
    phase(&registry.source, &keys(&lineup.source));
    phase(&registry.pre_build, &keys(&lineup.pre_build));
    phase(&registry.post_build, &keys(&lineup.post_build));
    phase(&registry.publish, &keys(&lineup.publish));
    phase(&registry.exit, &keys(&lineup.exit));
    Ok(())
}

fn keys<P: Phase>(selected: &[Selected<P>]) -> Vec<&'static str> {
    selected.iter().map(|one| one.key).collect()
}

/// The plugins that take part in their order, then the others.
fn phase<P: Phase>(known: &[Registered<P>], active: &[&str]) {
    output::result(&format!("{}:", P::NAME.as_str()));
    let place = |key: &str| active.iter().position(|one| *one == key).unwrap_or(usize::MAX);
    let mut sorted: Vec<&Registered<P>> = known.iter().collect();
    sorted.sort_by_key(|registered| place(registered.key));
    for registered in sorted {
        let mark = if active.contains(&registered.key) { "*" } else { " " };
        output::result(&format!("{mark} {}", registered.key));
        output::result(&format!("      {}", registered.text));
        output::result(&format!("      acts {}", registered.acts));
        if !registered.also.is_empty() {
            output::result(&format!("      also called {}", registered.also.join(", ")));
        }
    }
}
