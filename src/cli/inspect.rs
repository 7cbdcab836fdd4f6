//! `stratum inspect`.

use std::path::PathBuf;

use oci::Platform;
use pipeline::site::Site;
use proof::sbom::{self, Format, SbomError, Subject};
use proof::{Report, Severity, verdict_name};
use rpm::{Keyring, Policy, Verdict};
use sandbox::Isolation;
use transport::Location;

use crate::environment::Environment;
use crate::failure::{self, Failure, Status};
use crate::registries::{self, RegistryArguments};
use crate::{examine, output, session};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The image: docker://REF, oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:REF], dir:DIR or store:REF
    image: String,
    /// The keys packages must be signed with
    #[arg(long, value_name = "FILE|DIR")]
    keys: Vec<PathBuf>,
    /// Print the whole report as JSON
    #[arg(long)]
    json: bool,
    /// Print a bill of materials instead: cyclonedx, where nothing is said, or spdx
    #[arg(long, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "cyclonedx",
        conflicts_with = "json")]
    sbom: Option<Format>,
    /// The platform, where there is a choice
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Where trees and blobs are kept
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArguments,
}

pub(crate) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), Failure> {
    let usage = |error: &dyn std::error::Error| Failure::of(Status::Usage, error);
    let location: Location = arguments.image.parse().map_err(|error: transport::LocationError| usage(&error))?;
    let platform = match &arguments.platform {
        Some(text) => text.parse().map_err(|error: oci::platform::PlatformError| usage(&error))?,
        None => Platform::host(),
    };
    let keyring = Keyring::load(&arguments.keys).map_err(|error| usage(&error))?;
    let registries = registries::options(&arguments.registry, environment, &Site::default())?;
    let session = session::open(Isolation::Auto, arguments.store.as_deref(), registries, environment)?;
    let image = session.transports.open(&location, &platform).map_err(|error| failure::of_transport(&error))?;
    let report = examine::examine(&session, (&keyring, &Policy::at(environment.now)), |scratch| {
        proof::from_image(&session.transports, &image, scratch)
    })?;
    if let Some(format) = arguments.sbom {
        let subject = Subject::of(&location, &image.descriptor.digest, &image.manifest, &image.config);
        let made = sbom::make(&subject, &report, format).map_err(|error| failure_of(&error))?;
        output::bytes(&String::from_utf8_lossy(&made.document));
    } else if arguments.json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::of(Status::Bug, &error))?;
        output::result(&text);
    } else {
        table(&report);
    }
    let is_unreadable = |finding: &proof::Finding| finding.code == proof::Code::DatabaseUnreadable;
    if arguments.keys.is_empty() && !report.findings.iter().any(is_unreadable) {
        return Ok(());
    }
    report.gate().map_err(|refused| {
        let text = format!("{} of {} packages are not proven", refused.findings.len(), report.packages.len());
        Failure::new(Status::Refused, text)
    })
}

fn failure_of(error: &SbomError) -> Failure {
    let status = match error {
        SbomError::Unreadable { .. } | SbomError::TooLarge => Status::Refused,
        SbomError::Json(_) => Status::Bug,
    };
    Failure::of(status, error)
}

fn table(report: &Report) {
    let width = report.packages.iter().map(|package| package.label().len()).max().unwrap_or(0).min(60);
    for package in &report.packages {
        let line =
            format!("{:width$}  {:<12}  {}", package.label(), verdict_name(&package.verdict), signer(&package.verdict));
        output::result(line.trim_end());
    }
    for key in &report.imported_keys {
        output::result(&format!(
            "{:width$}  {:<12}  a key the image trusts; it proves nothing",
            key.label(),
            "imported-key"
        ));
    }
    let counts = report.counts().iter().map(|(verdict, count)| format!("{count} {verdict}")).collect::<Vec<_>>();
    output::note(&format!("{} packages: {}", report.packages.len(), counts.join(", ")));
    for finding in &report.findings {
        let severity = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        output::note(&format!("{severity}: {}: {} ({})", finding.subject, finding.message, finding.code));
    }
}

fn signer(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Good { key, name, .. } => format!("{key} {name}"),
        Verdict::Bad { key, .. }
        | Verdict::UnknownKey { key }
        | Verdict::Expired { key, .. }
        | Verdict::Revoked { key, .. }
        | Verdict::WeakHash { key, .. } => key.to_string(),
        Verdict::ImportedKey { .. } | Verdict::Unsigned | Verdict::LegacyOnly | Verdict::Malformed { .. } => {
            String::new()
        }
    }
}
