//! `stratum plugins`.

use std::path::{Path, PathBuf};

use pipeline::external::Offered;
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
    lineup.notes.iter().for_each(|note| output::note(note));
    lineup.warnings.iter().for_each(|warning| output::warning(warning));
    let offered = registry.offered(&configuration.site);
    let offered = offered.map_err(|error| failure::of_plugin(&error, None))?;
    for error in offered.iter().filter_map(|program| program.header.as_ref().err()) {
        output::warning(&error.text);
    }
    phase(&registry.source, &keys(&lineup.source), &offered);
    phase(&registry.pre_build, &keys(&lineup.pre_build), &offered);
    phase(&registry.post_build, &keys(&lineup.post_build), &offered);
    phase(&registry.publish, &keys(&lineup.publish), &offered);
    phase(&registry.exit, &keys(&lineup.exit), &offered);
    Ok(())
}

fn keys<P: Phase>(selected: &[Selected<P>]) -> Vec<&str> {
    selected.iter().map(|one| &*one.key).collect()
}

/// The plugins that take part in their order, then the others.
fn phase<P: Phase>(known: &[Registered<P>], active: &[&str], offered: &[Offered]) {
    output::result(&format!("{}:", P::NAME.as_str()));
    let mut sorted: Vec<Described<'_>> = known.iter().map(Described::built_in).collect();
    sorted.extend(offered.iter().filter_map(|program| Described::program::<P>(program)));
    let place = |key: &str| active.iter().position(|one| *one == key).unwrap_or(usize::MAX);
    sorted.sort_by_key(|plugin| place(plugin.key));
    for plugin in sorted {
        let mark = if active.contains(&plugin.key) { "*" } else { " " };
        output::result(&format!("{mark} {}", plugin.key));
        output::result(&format!("      {}", plugin.text));
        output::result(&format!("      acts {}", plugin.acts));
        if !plugin.takes.is_empty() {
            output::result(&format!("      takes {}", plugin.takes.join(", ")));
        }
        if !plugin.also.is_empty() {
            output::result(&format!("      also called {}", plugin.also.join(", ")));
        }
        if let Some(program) = plugin.program {
            output::result(&format!("      is the program {}", program.display()));
        }
    }
}

/// What is told of a plugin.
struct Described<'a> {
    key: &'a str,
    text: &'a str,
    acts: &'a str,
    also: &'a [&'static str],
    takes: &'a [&'static str],
    program: Option<&'a Path>,
}

impl<'a> Described<'a> {
    fn built_in<P: Phase>(plugin: &'a Registered<P>) -> Self {
        let Registered { key, also, takes, text, acts, .. } = plugin;
        Self { key, text, acts, also, takes, program: None }
    }

    /// A program of the site's, if this is its phase.
    fn program<P: Phase>(offered: &'a Offered) -> Option<Self> {
        let header = offered.header.as_ref().ok().filter(|header| header.phase == P::NAME)?;
        let (text, acts) = (&header.text, &header.acts);
        Some(Self { key: &offered.key, text, acts, also: &[], takes: &[], program: Some(&offered.program) })
    }
}
