//! Arguments and environment to configuration; one file per subcommand.
//!
//! The only place that reads arguments, environment, clock and current directory, and the only one that prints:
//! results a program may read on stdout, everything else on stderr. It decides nothing about images.

mod build;
mod copy;
mod diagnostic;
mod dockerfile;
mod doctor;
mod environment;
mod examine;
mod failure;
mod help;
mod in_cluster;
mod inputs;
mod inside_build;
mod inspect;
mod koji;
mod last_words;
mod log;
mod migrate;
mod output;
mod plugins;
mod progress;
mod registries;
mod session;
mod site;
mod size;
mod source_secret;
mod summary;
mod values;

use std::process::ExitCode;

use clap::{FromArgMatches, Parser, Subcommand};

use crate::environment::Environment;
use crate::failure::Status;

pub use inside_build::check_pod;

/// Builds container images inside constrained, unprivileged build pods.
#[derive(Debug, Parser)]
#[command(name = "stratum", version, after_help = EXIT_CODES, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Say more on stderr: decisions, and why
    #[arg(long, global = true)]
    verbose: bool,
    /// As --verbose, before the subcommand only: atomic-reactor's spelling
    #[arg(short = 'v', long = "debug", hide = true)]
    is_debug: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build an image from a Dockerfile
    Build(Box<build::Arguments>),
    /// Build what a build pod is given: the entry point of OpenShift's custom strategy, in atomic-reactor's place
    InsideBuild(Box<inside_build::Arguments>),
    /// List an image's packages with the verdict on each signature
    Inspect(Box<inspect::Arguments>),
    /// Copy an image from one place to another, its digests unchanged
    Copy(Box<copy::Arguments>),
    /// Look into the Dockerfile language: check, rewrite, parse, expand, ignore
    #[command(subcommand)]
    Dockerfile(dockerfile::Command),
    /// List the plugins of a build, phase by phase, in their order
    Plugins(plugins::Arguments),
    /// Say which isolation is possible here, why not better, and what to ask for
    Doctor(doctor::Arguments),
    /// Say what carries over from another builder's configuration
    #[command(subcommand)]
    Migrate(migrate::Command),
}

impl Command {
    /// How it tells of itself.
    fn style(&self) -> log::Style {
        match self {
            Self::Build(arguments) => arguments.style(),
            Self::InsideBuild(arguments) => arguments.progress,
            Self::Inspect(_)
            | Self::Copy(_)
            | Self::Dockerfile(_)
            | Self::Plugins(_)
            | Self::Doctor(_)
            | Self::Migrate(_) => log::Style::Plain,
        }
    }
}

const EXIT_CODES: &str = "Exit codes:
  0  done
  1  a bug of this program
  2  usage or configuration
  3  the source is wrong: Dockerfile, context, or a base image that does not exist
  4  a RUN step failed
  5  a check refused the image; nothing was published
  6  this environment cannot do it: isolation, storage, disk full
  7  a remote service failed or denied access; a retry or credentials may help
  8  cancelled or out of time";

/// Runs the program with the plugins it is given and returns its exit status.
#[must_use]
pub fn main(registry: &pipeline::Registry) -> ExitCode {
    let matches = help::command::<Arguments>().try_get_matches();
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(error) => return output::usage(&error),
    };
    log::start(arguments.command.style(), arguments.verbose || arguments.is_debug);
    let environment = Environment::read();
    let termination_log = in_cluster::termination_log(&environment);
    let result = match arguments.command {
        Command::Build(arguments) => build::run(&arguments, &environment, registry),
        Command::InsideBuild(arguments) => inside_build::run(&arguments, &environment, registry),
        Command::Inspect(arguments) => inspect::run(&arguments, &environment),
        Command::Copy(arguments) => copy::run(&arguments, &environment),
        Command::Dockerfile(command) => dockerfile::run(&command, &environment),
        Command::Plugins(arguments) => plugins::run(&arguments, registry),
        Command::Doctor(arguments) => doctor::run(&arguments, &environment),
        Command::Migrate(command) => migrate::run(&command, registry),
    };
    match result {
        Ok(()) => ExitCode::from(Status::Done as u8),
        Err(failure) => {
            output::failure(&failure);
            if let Some(log) = termination_log {
                in_cluster::terminate(log, &failure);
            }
            ExitCode::from(failure.status as u8)
        }
    }
}
