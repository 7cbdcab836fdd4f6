//! Everything that is printed.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is where the program prints")]

use std::fs::File;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::failure::{Failure, Status};
use crate::log::{self, Level};

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

/// `text` as a terminal and a reader of the log may have it: what would move the cursor, colour, or turn the reading
/// direction is spelled out (`\\u{1b}`); ends of lines and tabs stay. Much of it comes from repositories and servers.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a terminal or a reader takes `c` for more than a character of the text.
pub(crate) fn is_harmful(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whole lines, on stderr or in the log file.
pub(crate) fn lines(text: &str) {
    // Nobody could be told that telling failed.
    drop(Log.write_all(format!("{text}\n").as_bytes()));
}

/// A line for people.
pub(crate) fn note(text: &str) {
    log::say(Level::Info, text);
}

/// Something somebody should know.
pub(crate) fn warning(text: &str) {
    log::say(Level::Warning, text);
}

/// A failure, on stderr and in the log file where there is one.
pub(crate) fn failure(failure: &Failure) {
    let mut text = failure.text.clone();
    if let Some(help) = &failure.help {
        text = format!("{text}\nhelp: {help}");
    }
    let text = if failure.is_drawn { text.strip_prefix("error: ").unwrap_or(&text) } else { &text };
    if LOG.get().is_some() {
        eprintln!("error: {}", visible(text));
    }
    log::say(Level::Error, text);
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
