//! `check_signatures`: the signed-content gate.
//!
//! Reads the packages that all_rpm_packages found, and the site's policy. Returns a finding for each package that is
//! not proven to be signed by a trusted key; one of severity error keeps the image from being published. It fails the
//! build itself only when nobody has looked at the packages.

use pipeline::site::{Policy, SignaturePolicy};
use pipeline::{Class, Finding, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, Setup, Severity};
use proof::{Code, Report};

#[derive(Debug)]
struct CheckSignatures {
    policy: Policy,
    rule: SignaturePolicy,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    let has_keys = setup.wanted.has_keys || !setup.site.keys.is_empty();
    let policy = setup.site.policy.clone();
    let rule = policy.signatures(has_keys);
    if rule == SignaturePolicy::Off {
        return Ok(None);
    }
    if !has_keys {
        let text = "policy.signatures asks for signatures, but there are no keys to verify them with";
        return Err(PluginError::new(Class::Configuration, text).help("name them under `keys`, or give --keys"));
    }
    Ok(Some(Box::new(CheckSignatures { policy, rule })))
}

impl Plugin<PostBuild> for CheckSignatures {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let report = view.facts.packages().ok_or_else(|| {
            PluginError::new(Class::Configuration, "nobody looked at the packages; let all_rpm_packages run before")
        })?;
        Ok(Findings { findings: decide(report, &self.policy, self.rule), ..Findings::default() })
    }
}

fn decide(report: &Report, policy: &Policy, rule: SignaturePolicy) -> Vec<Finding> {
    let finding = |found: &proof::Finding| {
        let mut finding = Finding::from(found);
        if found.code == Code::Unsigned && is_allowed(report, policy, &found.subject) {
            finding.severity = Severity::Warning;
            finding.message = format!("{}, which policy.allowed_unsigned allows", finding.message);
        } else if rule == SignaturePolicy::Report {
            finding.severity = Severity::Warning;
        }
        finding
    };
    report.findings.iter().map(finding).collect()
}

/// Whether the package of this label may do without a signature.
fn is_allowed(report: &Report, policy: &Policy, label: &str) -> bool {
    let package = report.packages.iter().find(|package| package.label() == label);
    let name = package.and_then(|package| package.nevra.as_ref()).map(|nevra| nevra.name.as_str());
    name.is_some_and(|name| policy.allowed_unsigned.iter().any(|allowed| allowed == name))
}

#[cfg(test)]
mod tests {
    use proof::Severity as Found;
    use rpm::{Nevra, Package, Verdict};

    use super::*;

    fn package(name: &str) -> Package {
        let (version, release) = ("1".to_owned(), "1".to_owned());
        let nevra = Nevra { name: name.to_owned(), epoch: None, version, release, arch: Some("noarch".to_owned()) };
        Package {
            hnum: 1,
            nevra: Some(nevra),
            vendor: None,
            license: None,
            source_rpm: None,
            buildtime: None,
            size: None,
            installtime: None,
            sigmd5: None,
            sha256header: None,
            signatures: Vec::new(),
            verdict: Verdict::Unsigned,
            anomalies: Vec::new(),
        }
    }

    /// What is said of a package of this name of which the report says `code`, with `foo` in allowed_unsigned.
    fn judged(name: &str, code: Code, rule: SignaturePolicy) -> (Severity, String) {
        let package = package(name);
        let (subject, message) = (package.label(), "is not signed".to_owned());
        let findings = vec![proof::Finding { severity: Found::Error, code, subject, message }];
        let (databases, imported_keys) = (Vec::new(), Vec::new());
        let report = Report { databases, packages: vec![package], imported_keys, findings, distribution: None };
        let policy = Policy { allowed_unsigned: vec!["foo".to_owned()], ..Policy::default() };
        let mut found = decide(&report, &policy, rule);
        let finding = found.remove(0);
        assert_eq!((found.len(), finding.subject, finding.code), (0, format!("{name}-1-1.noarch"), code.to_string()));
        (finding.severity, finding.message)
    }

    #[test]
    fn what_is_not_proven_shuts_the_gate_unless_it_is_only_reported() {
        let message = "is not signed".to_owned();
        let required = judged("bar", Code::Unsigned, SignaturePolicy::Required);
        assert_eq!(required, (Severity::Error, message.clone()));
        assert_eq!(judged("bar", Code::Unsigned, SignaturePolicy::Report), (Severity::Warning, message.clone()));
        assert_eq!(judged("bar", Code::Tampered, SignaturePolicy::Report), (Severity::Warning, message));
    }

    #[test]
    fn a_package_of_an_allowed_name_may_be_unsigned() {
        let message = "is not signed, which policy.allowed_unsigned allows".to_owned();
        assert_eq!(judged("foo", Code::Unsigned, SignaturePolicy::Required), (Severity::Warning, message));
    }

    #[test]
    fn names_are_exact_and_a_signature_that_does_not_stand_is_not_allowed() {
        for (name, code) in [
            ("foo-libs", Code::Unsigned),
            ("fo", Code::Unsigned),
            ("foo", Code::Bad),
            ("foo", Code::UnknownKey),
            ("foo", Code::LegacyOnly),
            ("foo", Code::Tampered),
        ] {
            assert_eq!(judged(name, code, SignaturePolicy::Required).0, Severity::Error, "{name} {code}");
        }
    }
}
