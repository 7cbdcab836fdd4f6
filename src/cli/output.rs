//! Everything that is printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program prints")]

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tracing_subscriber::filter::LevelFilter;

use crate::failure::{Failure, Status};

/// A result a program may read, on stdout. A reader that went away is no failure of ours.
pub(crate) fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(writeln!(stdout, "{text}"));
}

/// A line for people, on stderr.
pub(crate) fn note(text: &str) {
    let mut stderr = std::io::stderr().lock();
    drop(writeln!(stderr, "{text}"));
}

/// Whether people watch stderr.
pub(crate) fn has_terminal() -> bool {
    std::io::stderr().is_terminal()
}

pub(crate) fn failure(failure: &Failure) {
    if failure.is_drawn {
        eprintln!("{}", failure.text);
    } else {
        eprintln!("error: {}", failure.text);
    }
    if let Some(help) = &failure.help {
        eprintln!("help: {help}");
    }
}

/// What clap says: help and version on stdout, errors on stderr.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        eprint!("{}", error.render());
        ExitCode::from(Status::Usage as u8)
    } else {
        print!("{}", error.render());
        ExitCode::SUCCESS
    }
}

pub(crate) fn start_log(is_verbose: bool) {
    let level = if is_verbose { LevelFilter::DEBUG } else { LevelFilter::WARN };
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(is_verbose);
    log.without_time().with_ansi(has_terminal()).init();
}
