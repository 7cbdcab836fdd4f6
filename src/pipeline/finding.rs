//! What post-build plugins say about an image; the gate opens when none of it is an error.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The gate stays shut.
    Error,
    /// Somebody should know.
    Warning,
}

/// The code of findings that say that a test of the image failed: the image is wrong, not against a policy.
pub const FAILED_TEST: &str = "test-failed";

/// One thing somebody should know about an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of thing it is, in words joined by dashes.
    pub code: String,
    /// The package, file or image.
    pub subject: String,
    /// The rest of the sentence about the subject.
    pub message: String,
}

impl From<&proof::Finding> for Finding {
    fn from(finding: &proof::Finding) -> Self {
        let severity = match finding.severity {
            proof::Severity::Error => Severity::Error,
            proof::Severity::Warning => Severity::Warning,
        };
        let (subject, message) = (finding.subject.clone(), finding.message.clone());
        Self { severity, code: finding.code.to_string(), subject, message }
    }
}
