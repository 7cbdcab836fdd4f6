//! Whose turn it is after a failure to get the sources.

/// The kinds of failures a caller tells apart, usually by the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What was asked for is wrong: a reference that does not exist, a damaged `sources` file.
    Source,
    /// A checksum or a rule of the site says no.
    Refused,
    /// Something is missing here: the `git` program, space on the disk, permission.
    Environment,
    /// A server failed or denied us; a retry or credentials may help.
    Service,
    /// The caller asked to stop.
    Cancelled,
    /// The time allowed is over.
    TimedOut,
}
