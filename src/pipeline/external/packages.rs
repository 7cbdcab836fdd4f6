//! The packages of an image as a program is told of them.

use proof::{Report, verdict_name};
use serde_json::{Value, json};

/// A list of what is known of each package.
pub(super) fn listed(report: &Report) -> Value {
    let one = |package: &rpm::Package| {
        json!({
            "nevra": package.label(),
            "name": package.nevra.as_ref().map(|nevra| nevra.name.as_str()),
            "license": package.license,
            "vendor": package.vendor,
            "source_rpm": package.source_rpm,
            "verdict": verdict_name(&package.verdict),
        })
    };
    report.packages.iter().map(one).collect()
}
