//! Build arguments that nothing asks for.

use dockerfile::{ArgDecl, Dockerfile, Kind};

use crate::Request;

/// Arguments that mean something without an ARG: proxies, platforms, and what builders are told through them.
const KNOWN: [&str; 15] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "TARGETARCH",
    "TARGETOS",
    "TARGETPLATFORM",
    "TARGETVARIANT",
    "BUILDARCH",
    "BUILDOS",
    "BUILDPLATFORM",
    "BUILDVARIANT",
    "TARGETSTAGE",
    "SOURCE_DATE_EPOCH",
];

/// The names among [`Request::build_args`] that no ARG of the Dockerfile declares, sorted.
#[must_use]
pub fn unused_build_args(request: &Request) -> Vec<String> {
    let declared = declared(&request.dockerfile);
    // A name that only expansion gives may be any.
    if declared.iter().any(|name| name.contains('$')) {
        return Vec::new();
    }
    let is_used = |name: &str| {
        let upper = name.to_ascii_uppercase();
        declared.contains(&name) || KNOWN.contains(&upper.as_str()) || upper.starts_with("BUILDKIT_")
    };
    request.build_args.keys().filter(|name| !is_used(name)).cloned().collect()
}

fn declared(dockerfile: &Dockerfile) -> Vec<&str> {
    let arguments = dockerfile.instructions.iter().filter_map(|instruction| {
        if let Kind::Arg(declarations) = &instruction.kind { Some(declarations) } else { None }
    });
    arguments.flatten().map(|ArgDecl { name, .. }| name.raw.trim_matches(['"', '\''])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_declared_anywhere() {
        let text = "ARG A=1 B\nFROM x\nARG C\nFROM y AS z\nARG D=$A\n";
        assert_eq!(declared(&dockerfile::parse(text).unwrap()), ["A", "B", "C", "D"]);
    }
}
