//! `stratum copy`.

use std::cell::RefCell;
use std::path::PathBuf;
use std::time::Instant;

use oci::Platform;
use pipeline::site::Site;
use sandbox::Isolation;
use transport::{Copied, CopyEvent, Location, Which};

use crate::environment::Environment;
use crate::failure::{self, Failure, Status};
use crate::registries::{self, RegistryArguments};
use crate::{output, session, size};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The image: docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF|:@N], dir:DIR, store:REF
    source: String,
    /// Where it goes: the same, without @N
    destination: String,
    /// Copy the images for all platforms, with their index
    #[arg(long, conflicts_with = "platform")]
    all: bool,
    /// The platform, where there is a choice
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Write the digest of the manifest to this file
    #[arg(long, value_name = "FILE")]
    digestfile: Option<PathBuf>,
    /// Print nothing but the digest
    #[arg(short, long)]
    quiet: bool,
    /// Where trees and blobs are kept
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

/// Blobs and bytes by what it took to have them at the destination.
#[derive(Default)]
struct Counts {
    sent: (u64, u64),
    mounted: (u64, u64),
    there: (u64, u64),
}

impl Counts {
    fn add(&mut self, event: CopyEvent<'_>) {
        let (count, blob) = match event {
            CopyEvent::Sent(blob) => (&mut self.sent, blob),
            CopyEvent::Mounted(blob) => (&mut self.mounted, blob),
            CopyEvent::WasThere(blob) => (&mut self.there, blob),
        };
        *count = (count.0 + 1, count.1.saturating_add(blob.size));
    }
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let start = Instant::now();
    let usage = |error: &dyn std::error::Error| Failure::of(Status::Usage, error);
    let location = |text: &str| text.parse::<Location>().map_err(|error| usage(&error));
    let (from, to) = (location(&arguments.source)?, location(&arguments.destination)?);
    let platform = match &arguments.platform {
        Some(text) => text.parse().map_err(|error: oci::platform::PlatformError| usage(&error))?,
        None => Platform::host(),
    };
    let which = if arguments.all { Which::All } else { Which::Platform(&platform) };
    let registries = registries::options(&arguments.registry, environment, &Site::default())?;
    let session = session::open(Isolation::Auto, arguments.store.as_deref(), registries, environment)?;
    let counts = RefCell::new(Counts::default());
    let observe = |event: CopyEvent<'_>| {
        counts.borrow_mut().add(event);
        if !arguments.quiet {
            say(event);
        }
    };
    let sink = session.transports.sink(&to);
    let copied = sink.and_then(|sink| session.transports.copy(&from, which, &sink, &observe));
    let copied = copied.map_err(|error| match session.cancel.is_set() {
        true => Failure::new(Status::Cancelled, "cancelled"),
        false => failure::of_transport(&error),
    })?;
    let digest = copied.descriptor.digest.to_string();
    if let Some(path) = &arguments.digestfile {
        let write = || transport::replace_file(path, |to| to.write_all(digest.as_bytes()));
        session.entered.outside().run(write).map_err(|error| {
            Failure::new(Status::Environment, format!("{}: cannot be written: {error}", path.display()))
        })?;
    }
    if !arguments.quiet {
        summary(&copied, &to, &counts.into_inner());
        output::note(&format!("  time      {}", size::time(start.elapsed())));
    }
    output::result(&digest);
    Ok(())
}

fn say(event: CopyEvent<'_>) {
    let (what, blob) = match event {
        CopyEvent::Sent(blob) => ("sent", blob),
        CopyEvent::Mounted(blob) => ("mounted", blob),
        CopyEvent::WasThere(blob) => ("was there", blob),
    };
    output::note(&format!("{} {what}: {}", blob.digest, size::bytes(blob.size)));
}

fn summary(copied: &Copied, to: &Location, counts: &Counts) {
    let part =
        |(count, bytes): (u64, u64), what: &str| (count > 0).then(|| format!("{count} {what}, {}", size::bytes(bytes)));
    let parts = [part(counts.sent, "sent"), part(counts.mounted, "mounted"), part(counts.there, "there before")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    output::note(&format!("  from      {}", copied.from));
    output::note(&format!("  image     {to}"));
    output::note(&format!("            {}", copied.descriptor.digest));
    if !copied.keeps_digest {
        output::note(
            "            (a docker-archive keeps no manifest: the digest is the source's; config and files are equal)",
        );
    }
    output::note(&format!("  layers    {}", if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }));
}
