//! Options of buildah and docker that ask for what is not done here, or for nothing.
//!
//! Comes in: the words after `stratum build`. Goes out: nothing, or a refusal that names the option, the reason and
//! what to do instead. An option that a build of theirs carries is never ignored unless leaving it out changes
//! nothing. docs/options.md lists them all.

mod table;

use clap::{Arg, ArgAction, ArgMatches, Command};

use self::table::TABLE;
use crate::failure::{Failure, Status};

/// One option that this program has in name only.
#[derive(Clone, Copy, Debug)]
struct Foreign {
    name: &'static str,
    short: Option<char>,
    takes: Takes,
    answer: Answer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    /// `--name` or `--name=BOOL`.
    Truth,
    /// `--name VALUE`.
    Value,
}

#[derive(Clone, Copy, Debug)]
enum Answer {
    /// With or without it the build is the same.
    Nothing,
    /// Refused, but for values that ask for what is so anyway.
    Refused { but: &'static [&'static str], why: &'static str, instead: &'static str },
}

/// The options of the table that were given, each with its values.
#[derive(Debug, Default)]
pub(crate) struct ForeignArguments(Vec<(&'static Foreign, Vec<String>)>);

impl clap::Args for ForeignArguments {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().fold(command, |command, option| command.arg(argument(option)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// Hidden: a help full of what is not there helps nobody.
fn argument(option: &'static Foreign) -> Arg {
    let arg = Arg::new(option.name).long(option.name).hide(true).action(ArgAction::Append);
    let arg = option.short.into_iter().fold(arg, Arg::short);
    match option.takes {
        Takes::Value => arg.num_args(1).allow_hyphen_values(true),
        Takes::Truth => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

impl clap::FromArgMatches for ForeignArguments {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |option: &'static Foreign| {
            let values = matches.get_many::<String>(option.name)?;
            Some((option, values.cloned().collect()))
        };
        Ok(Self(TABLE.iter().filter_map(given).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl ForeignArguments {
    /// Refuses the first that asks for what is not done here.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        for (option, values) in &self.0 {
            values.iter().try_for_each(|value| judge(option, value))?;
        }
        Ok(())
    }
}

fn judge(option: &Foreign, value: &str) -> Result<(), Failure> {
    let Answer::Refused { but, why, instead } = option.answer else { return Ok(()) };
    let value = match (option.takes, value.to_ascii_lowercase().as_str()) {
        (Takes::Truth, "1" | "t" | "true") => "true".to_owned(),
        (Takes::Truth, "0" | "f" | "false") => "false".to_owned(),
        (Takes::Truth | Takes::Value, _) => value.to_owned(),
    };
    if but.contains(&value.as_str()) {
        return Ok(());
    }
    let value = match option.takes {
        Takes::Truth => format!("={value}"),
        Takes::Value => format!(" {value}"),
    };
    Err(Failure::new(Status::Usage, format!("--{}{value}: {why}", option.name)).help(instead))
}

#[cfg(test)]
mod tests;
