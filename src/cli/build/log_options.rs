//! Options on what is said, where, and on how layers are compressed.

use std::path::PathBuf;

use clap::ArgAction;
use clap::builder::BoolishValueParser;
use oci::Platform;

use crate::failure::{Failure, Status};
use crate::output;

/// Where a build tells of itself.
#[derive(Debug, clap::Args)]
pub(crate) struct LogArguments {
    /// Say nothing but warnings and errors, and print only the digest
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Write what would be said on stderr to this file; errors are said there too
    #[arg(long, value_name = "FILE")]
    logfile: Option<PathBuf>,
    /// Append the platform to the log file's name: FILE_OS_ARCH
    #[arg(long, value_name = "BOOL", default_value_t = false, action = ArgAction::Set, num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new(),
        requires = "logfile")]
    logsplit: bool,
    /// Leave new layers uncompressed where the image does not go to a registry
    #[arg(short = 'D', long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true", value_parser = BoolishValueParser::new(), conflicts_with = "compression")]
    pub(crate) disable_compression: Option<bool>,
    /// As --compression: gzip or zstd
    #[arg(long, value_name = "NAME", conflicts_with = "compression", value_parser = compression_format)]
    pub(crate) compression_format: Option<String>,
    /// The level of --compression-format
    #[arg(long, value_name = "LEVEL", conflicts_with = "compression")]
    pub(crate) compression_level: Option<i32>,
}

/// Words of buildah; what `--compression` does not know is refused with the reason.
fn compression_format(text: &str) -> Result<String, String> {
    match text {
        "gzip" | "zstd" => Ok(text.to_owned()),
        "zstd:chunked" => Err("layers are not written in pieces that can be fetched one by one; use zstd".to_owned()),
        _ => Err("expected gzip or zstd".to_owned()),
    }
}

impl LogArguments {
    /// Sends everything that is said from here on to the log file, if there is to be one.
    pub(crate) fn open(&self, platform: &Platform) -> Result<(), Failure> {
        let Some(path) = &self.logfile else { return Ok(()) };
        let mut name = path.clone().into_os_string();
        if self.logsplit {
            name.push(format!("_{}_{}", platform.os, platform.architecture));
        }
        let path = PathBuf::from(name);
        let failed =
            |error| Failure::new(Status::Usage, format!("{}: the log cannot be written: {error}", path.display()));
        let options = std::fs::OpenOptions::new().create(true).append(true).open(&path);
        output::log_to(options.map_err(failed)?);
        Ok(())
    }
}
