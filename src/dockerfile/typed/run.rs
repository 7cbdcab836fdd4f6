//! RUN.

use super::command;
use super::flags::{Flags, Shape};
use crate::Keyword;
use crate::error::ParseError;
use crate::instruction::{Device, Kind, Network, RunFlags, Security};
use crate::mount::{Mount, csv};
use crate::span::Word;
use crate::tree::Node;

pub(super) fn run(flags: Flags<'_>, node: &mut Node) -> Result<Kind, ParseError> {
    let known =
        [("mount", Shape::Texts), ("network", Shape::Text), ("security", Shape::Text), ("device", Shape::Texts)];
    let mut flags = flags.accept(&known)?;
    let flags = RunFlags {
        mounts: flags.texts("mount").iter().map(mount).collect::<Result<_, _>>()?,
        network: flags.texts("network").pop().map_or(Ok(Network::Default), network)?,
        security: flags.texts("security").pop().map_or(Ok(Security::Sandbox), security)?,
        devices: flags.texts("device").iter().map(device).collect::<Result<_, _>>()?,
    };
    Ok(Kind::Run { flags, command: command(node), heredocs: std::mem::take(&mut node.heredocs) })
}

fn mount(value: &Word) -> Result<Mount, ParseError> {
    let (instruction, flag, span) = (Keyword::Run, "mount", value.span);
    Mount::parse(&value.raw, span).ok_or(ParseError::BadList { instruction, flag, span })
}

fn network(value: Word) -> Result<Network, ParseError> {
    match value.raw.as_str() {
        "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(bad_value("network", value, "default, none or host")),
    }
}

fn security(value: Word) -> Result<Security, ParseError> {
    match value.raw.as_str() {
        "sandbox" => Ok(Security::Sandbox),
        "insecure" => Ok(Security::Insecure),
        _ => Err(bad_value("security", value, "sandbox or insecure")),
    }
}

fn bad_value(flag: &'static str, value: Word, allowed: &'static str) -> ParseError {
    let Word { raw, span } = value;
    ParseError::BadFlagValue { instruction: Keyword::Run, flag, value: raw, allowed, span }
}

/// `name`, `name=…` and `required`, in any order.
fn device(value: &Word) -> Result<Device, ParseError> {
    let (instruction, flag, span) = (Keyword::Run, "device", value.span);
    let fields = csv(&value.raw).ok_or(ParseError::BadList { instruction, flag, span })?;
    let mut device = Device { name: String::new(), is_required: false, span };
    for field in fields {
        match field.split_once('=') {
            None if field.eq_ignore_ascii_case("required") => device.is_required = true,
            Some((key, name)) if key.eq_ignore_ascii_case("name") && device.name.is_empty() => {
                name.clone_into(&mut device.name);
            }
            Some((key, is_required)) if key.eq_ignore_ascii_case("required") => {
                device.is_required = match is_required {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => true,
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => false,
                    _ => return Err(ParseError::BadDevice { field, span }),
                };
            }
            // A CDI name may hold an `=` itself.
            _ if device.name.is_empty() => device.name = field,
            _ => return Err(ParseError::BadDevice { field, span }),
        }
    }
    Ok(device)
}
