//! The rungs of the isolation ladder, and why one was not taken.
//!
//! Names only: what a rung needs and how it is entered is in `map` and `enter`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One way to be root without being root, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rung {
    /// Ids of /etc/subuid, mapped by newuidmap: 0 is the caller, all other ids are subordinate.
    Sub,
    /// A map of about 65,536 ids written by ourselves that leaves the parent's id 0 out.
    Range,
    /// Every id mapped to itself, id 0 included.
    Full,
    /// One id: 0 is the caller. Changes of owner are forged.
    Single,
    /// No namespace: RUN is not possible.
    None,
}

impl Rung {
    /// The rungs that have a namespace, best first.
    pub const LADDER: [Self; 4] = [Self::Sub, Self::Range, Self::Full, Self::Single];

    /// The word for it on the command line and in logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sub => "sub",
            Self::Range => "range",
            Self::Full => "full",
            Self::Single => "single",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which rung to enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// The best that works, [`Rung::None`] if nothing does.
    Auto,
    /// This one or an error.
    Exactly(Rung),
}

impl Isolation {
    /// The rungs to try, in order.
    #[must_use]
    pub fn candidates(self) -> Vec<Rung> {
        match self {
            Self::Auto => Rung::LADDER.to_vec(),
            Self::Exactly(Rung::None) => Vec::new(),
            Self::Exactly(rung) => vec![rung],
        }
    }
}

/// A word that names no isolation.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no isolation: use auto, sub, range, full, single or none")]
pub struct UnknownIsolation(String);

impl FromStr for Isolation {
    type Err = UnknownIsolation;

    fn from_str(text: &str) -> Result<Self, UnknownIsolation> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        Rung::LADDER
            .into_iter()
            .chain([Rung::None])
            .find(|rung| rung.name() == text)
            .map(Self::Exactly)
            .ok_or_else(|| UnknownIsolation(text.to_owned()))
    }
}

/// Why a rung was not taken, in two lines for the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The rung.
    pub rung: Rung,
    /// What was tried and what answered.
    pub cause: String,
    /// What to change so that it works.
    pub remedy: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} (remedy: {})", self.rung, self.cause, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rung_is_named_as_it_is_parsed() {
        for rung in Rung::LADDER.into_iter().chain([Rung::None]) {
            assert_eq!(rung.to_string().parse(), Ok(Isolation::Exactly(rung)));
        }
    }

    #[test]
    fn an_unknown_word_is_refused_by_name() {
        let error = "chroot".parse::<Isolation>().unwrap_err();
        assert_eq!(error.to_string(), "\"chroot\" is no isolation: use auto, sub, range, full, single or none");
    }
}
