//! Everything that is printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program prints")]

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use tracing_subscriber::filter::LevelFilter;

use crate::failure::{Failure, Status};

/// A result a program may read, on stdout. A reader that went away is no failure of ours.
pub(crate) fn result(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(writeln!(stdout, "{text}"));
}

/// A result whose bytes are all given, on stdout.
pub(crate) fn bytes(text: &str) {
    let mut stdout = std::io::stdout().lock();
    drop(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()));
}

/// Where lines for people go instead of stderr, once it is set.
static LOG: OnceLock<Mutex<File>> = OnceLock::new();

/// Sends lines for people to `file` from now on. Only the first call counts.
pub(crate) fn log_to(file: File) {
    // A process writes one log.
    drop(LOG.set(Mutex::new(file)));
}

/// Writes to the log file, else to stderr.
#[derive(Debug)]
struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match LOG.get() {
            Some(file) => file.lock().unwrap_or_else(PoisonError::into_inner).write(bytes),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line for people, on stderr or in the log file.
pub(crate) fn note(text: &str) {
    // Nobody could be told that telling failed.
    drop(Log.write_all(format!("{text}\n").as_bytes()));
}

/// Whether people watch stderr.
pub(crate) fn has_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A failure, on stderr and in the log file where there is one.
pub(crate) fn failure(failure: &Failure) {
    let mut text = if failure.is_drawn { failure.text.clone() } else { format!("error: {}", failure.text) };
    if let Some(help) = &failure.help {
        text = format!("{text}\nhelp: {help}");
    }
    eprintln!("{text}");
    if LOG.get().is_some() {
        note(&text);
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
    let log = tracing_subscriber::fmt().with_max_level(level).with_writer(|| Log).with_target(is_verbose);
    log.without_time().with_ansi(has_terminal()).init();
}
