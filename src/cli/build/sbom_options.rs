//! Options on the bill of materials, in the spellings of buildah and docker.
//!
//! Comes in: what stands on the command line. Goes out: what is demanded, or a refusal that names the option, the reason
//! and what to do instead. No scanner is run: what theirs would look for in files is not looked for.

use std::path::PathBuf;

use pipeline::SbomDemand;
use proof::sbom::Format;
use transport::Location;

use crate::failure::{Failure, Status};

#[derive(Debug, Default, clap::Args)]
pub(crate) struct SbomArguments {
    /// Attach a bill of materials to the pushed image (true); or say what kind of document is written: cyclonedx, spdx,
    /// or buildah's names syft[-cyclonedx|-spdx] and trivy[-cyclonedx|-spdx]
    #[arg(long, value_name = "BOOL|KIND", overrides_with = "sbom")]
    sbom: Option<String>,
    /// Write a bill of materials, the image's rpm packages, to this file
    #[arg(long, value_name = "FILE")]
    sbom_output: Option<PathBuf>,
    /// Write the package URLs of the image's rpm packages to this file
    #[arg(long, value_name = "FILE")]
    sbom_purl_output: Option<PathBuf>,
    /// As docker: type=sbom attaches a bill of materials; disabled=true does not
    #[arg(long, value_name = "ATTESTATION")]
    attest: Vec<String>,
}

/// What `--sbom` or one `--attest` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Nothing,
    Attach,
    Kind(Format),
}

fn usage(text: impl Into<String>, help: &str) -> Failure {
    Failure::new(Status::Usage, text).help(help)
}

const NO_SCANNER: &str = "no scanner runs in a build; the packages are read from the image's rpm database";
const WITHOUT_SCANNER: &str = "say --sbom true, or --sbom-output FILE, without it";

impl SbomArguments {
    /// What is demanded.
    pub(super) fn demand(&self) -> Result<SbomDemand, Failure> {
        let (output, purl_output) = (self.sbom_output.clone(), self.sbom_purl_output.clone());
        let mut demand = SbomDemand { output, purl_output, ..SbomDemand::default() };
        if let Some(text) = &self.sbom {
            match asked(text)? {
                Asked::Nothing => {}
                Asked::Attach => demand.attach = true,
                Asked::Kind(format) => {
                    if !demand.is_demanded() {
                        let text = format!("--sbom {text}: nothing says where the bill of materials goes");
                        return Err(usage(text, "give --sbom-output FILE or --sbom-purl-output FILE"));
                    }
                    demand.format = Some(format);
                }
            }
        }
        for text in &self.attest {
            demand.attach |= attested(text)? == Asked::Attach;
        }
        Ok(demand)
    }
}

/// What is to be attached needs a registry to be attached in.
pub(super) fn check_goes_to_registry(demand: &SbomDemand, outputs: &[Location]) -> Result<(), Failure> {
    if !demand.attach || outputs.iter().any(|output| output.in_registry().is_some()) {
        return Ok(());
    }
    let text = "--sbom true: the image goes to no registry where a bill of materials could be attached to it";
    Err(usage(text, "push it (--push, -o docker://REF), or write the document to a file with --sbom-output"))
}

/// A truth value as docker reads it (Go's strconv.ParseBool).
fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn asked(text: &str) -> Result<Asked, Failure> {
    if let Some(is_wanted) = truth(text) {
        return Ok(if is_wanted { Asked::Attach } else { Asked::Nothing });
    }
    match text {
        // buildah: an empty preset is none.
        "" => Ok(Asked::Nothing),
        "cyclonedx" | "syft" | "syft-cyclonedx" | "trivy" | "trivy-cyclonedx" => Ok(Asked::Kind(Format::CycloneDx)),
        "spdx" | "syft-spdx" | "trivy-spdx" => Ok(Asked::Kind(Format::Spdx)),
        _ if text.starts_with("generator=") => Err(usage(format!("--sbom {text}: {NO_SCANNER}"), WITHOUT_SCANNER)),
        _ => Err(usage(
            format!("--sbom {text}: neither true or false nor a kind of bill of materials"),
            "there are cyclonedx, spdx, and buildah's syft, syft-cyclonedx, syft-spdx, trivy, trivy-cyclonedx, trivy-spdx",
        )),
    }
}

/// One `--attest`: keys and values with commas between them, as BuildKit reads it.
fn attested(text: &str) -> Result<Asked, Failure> {
    let (mut kind, mut is_disabled) = (None, false);
    for pair in text.split(',') {
        let wrong = |why: &str| usage(format!("--attest {text}: {why}"), "say type=sbom or type=sbom,disabled=true");
        match pair.split_once('=') {
            Some(("type", value)) => kind = Some(value),
            Some(("disabled", value)) => {
                is_disabled = truth(value).ok_or_else(|| wrong("disabled must be true or false"))?;
            }
            Some(("generator", _)) => return Err(usage(format!("--attest {text}: {NO_SCANNER}"), WITHOUT_SCANNER)),
            // Options of attestations that are refused below by their type.
            Some(_) if kind.is_some_and(|kind| kind != "sbom") => {}
            Some(_) | None => return Err(wrong(&format!("{pair} means nothing here"))),
        }
    }
    match kind {
        Some("sbom" | "provenance") if is_disabled => Ok(Asked::Nothing),
        Some("sbom") => Ok(Asked::Attach),
        Some(_) => Err(usage(
            format!("--attest {text}: attestations in BuildKit's form are not made"),
            "--record writes the build down, --push-record attaches it; type=sbom attaches a bill of materials",
        )),
        None => Err(usage(format!("--attest {text}: no type"), "say type=sbom")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(sbom: &str, attest: &str, output: Option<&str>) -> Result<SbomDemand, String> {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let arguments = SbomArguments {
            sbom: some(sbom),
            sbom_output: output.map(PathBuf::from),
            sbom_purl_output: None,
            attest: some(attest).into_iter().collect(),
        };
        arguments.demand().map_err(|failure| format!("{}; {}", failure.text, failure.help.unwrap_or_default()))
    }

    #[test]
    fn buildahs_presets_say_the_kind_of_the_file() {
        for (name, format) in [
            ("syft", Format::CycloneDx),
            ("syft-cyclonedx", Format::CycloneDx),
            ("trivy", Format::CycloneDx),
            ("trivy-cyclonedx", Format::CycloneDx),
            ("cyclonedx", Format::CycloneDx),
            ("syft-spdx", Format::Spdx),
            ("trivy-spdx", Format::Spdx),
            ("spdx", Format::Spdx),
        ] {
            let demanded = demand(name, "", Some("f")).unwrap();
            let output = Some(PathBuf::from("f"));
            assert_eq!(demanded, SbomDemand { format: Some(format), output, ..SbomDemand::default() }, "{name}");
            let refused = demand(name, "", None).unwrap_err();
            assert!(refused.starts_with(&format!("--sbom {name}: nothing says where")), "{refused}");
        }
    }

    #[test]
    fn dockers_forms_attach() {
        let attach = SbomDemand { attach: true, ..SbomDemand::default() };
        assert_eq!(demand("true", "", None), Ok(attach.clone()));
        assert_eq!(demand("", "type=sbom", None), Ok(attach.clone()));
        assert_eq!(demand("", "type=sbom,disabled=false", None), Ok(attach));
        for (sbom, attest) in
            [("false", ""), ("0", ""), ("", "type=sbom,disabled=true"), ("", "type=provenance,disabled=true")]
        {
            assert_eq!(demand(sbom, attest, None), Ok(SbomDemand::default()), "{sbom} {attest}");
        }
    }

    #[track_caller]
    fn check(sbom: &str, attest: &str, text: &str) {
        let refused = demand(sbom, attest, Some("f")).unwrap_err();
        assert!(refused.starts_with(text), "{refused}");
    }

    #[test]
    fn what_is_not_done_is_refused_by_name() {
        check("generator=docker/scout", "", "--sbom generator=docker/scout: no scanner runs in a build");
        check("grype", "", "--sbom grype: neither true or false nor a kind of bill of materials; there are cyclonedx");
        check("", "type=sbom,generator=x", "--attest type=sbom,generator=x: no scanner runs");
        check("", "type=provenance,mode=max", "--attest type=provenance,mode=max: attestations in BuildKit's form");
        check("", "type=sbom,mode=max", "--attest type=sbom,mode=max: mode=max means nothing here");
        check("", "disabled=true", "--attest disabled=true: no type");
        check("", "sbom", "--attest sbom: sbom means nothing here");
    }

    #[test]
    fn there_is_something_to_attach_to_or_a_refusal() {
        let attach = SbomDemand { attach: true, ..SbomDemand::default() };
        let at = |text: &str| text.parse::<Location>().unwrap();
        assert!(check_goes_to_registry(&attach, &[at("oci:a"), at("docker://r.example/a:1")]).is_ok());
        assert!(check_goes_to_registry(&SbomDemand::default(), &[at("oci:a")]).is_ok());
        let refused = check_goes_to_registry(&attach, &[at("oci:a"), at("store:a")]).unwrap_err();
        assert!(refused.text.starts_with("--sbom true: the image goes to no registry"), "{}", refused.text);
    }
}
