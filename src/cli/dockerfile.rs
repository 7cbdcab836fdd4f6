//! `stratum dockerfile`: the language by itself.

pub(crate) mod check;
pub(crate) mod report;
mod rewrite;
mod sarif;

use std::io::BufRead;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use crate::diagnostic;
use crate::environment::Environment;
use crate::failure::{Failure, Status};
use crate::inputs;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the instructions of a Dockerfile with flags, words, bodies and byte spans
    Parse {
        /// As JSON (the only form there is)
        #[arg(long)]
        json: bool,
        /// The Dockerfile
        file: PathBuf,
    },
    /// Say what a Dockerfile should say otherwise: docker's build checks
    Check(check::Arguments),
    /// Print a Dockerfile with other base images, more labels or arguments; all other bytes stay
    Rewrite(rewrite::Arguments),
    /// Expand words: reads JSON lines {"mode","word","env","escape"}, answers each with a JSON line
    Expand {
        /// As JSON (the only form there is)
        #[arg(long)]
        json: bool,
    },
    /// Match paths against ignore patterns: reads JSON lines {"patterns","path"}, answers each with a JSON line
    Ignore {
        /// As JSON (the only form there is)
        #[arg(long)]
        json: bool,
    },
}

pub(crate) fn run(command: &Command, environment: &Environment) -> Result<(), Failure> {
    match command {
        Command::Parse { file, .. } => parse(file),
        Command::Check(arguments) => check::run(arguments, environment),
        Command::Rewrite(arguments) => rewrite::run(arguments, environment),
        Command::Expand { .. } => answer_lines(dockerfile::json::expand_line),
        Command::Ignore { .. } => answer_lines(dockerfile::json::ignore_line),
    }
}

fn parse(file: &Path) -> Result<(), Failure> {
    let read = inputs::read(file, "the Dockerfile");
    let bytes = read.map_err(|failure| Failure { status: Status::Source, ..failure })?;
    match dockerfile::parse_tree_bytes(&bytes) {
        Ok(tree) => {
            output::result(&dockerfile::json::tree_json(&tree).to_string());
            Ok(())
        }
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes);
            Err(diagnostic::failure(Status::Source, &error.diagnostic(), &file.display().to_string(), &text))
        }
    }
}

fn answer_lines(answer: impl Fn(&str) -> String) -> Result<(), Failure> {
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| Failure::new(Status::Usage, format!("standard input: {error}")))?;
        output::result(&answer(&line));
    }
    Ok(())
}
