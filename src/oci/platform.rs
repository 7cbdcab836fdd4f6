//! Operating system and architecture of an image, in Go's names.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `os/architecture[/variant]` (OCI image-spec, image-index.md, "platform").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// `GOOS`, such as `linux`.
    pub os: String,
    /// `GOARCH`, such as `amd64`.
    pub architecture: String,
    /// The variant of the processor, such as `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is not a platform.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a platform: expected os/architecture or os/architecture/variant, such as linux/amd64")]
pub struct PlatformError {
    /// The text refused.
    pub text: String,
}

impl Platform {
    /// The platform this program was compiled for.
    #[must_use]
    pub fn host() -> Self {
        let (architecture, variant) = normalise(std::env::consts::ARCH, None);
        Self { os: "linux".to_owned(), architecture, variant }
    }

    /// Whether an image made for `self` is what a user who asks for `wanted` means.
    ///
    /// A variant that is not asked for matches any; `arm64` without a variant is `v8`.
    #[must_use]
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let (architecture, variant) = normalise(&self.architecture, self.variant.as_deref());
        let (asked, asked_variant) = normalise(&wanted.architecture, wanted.variant.as_deref());
        self.os == wanted.os
            && architecture == asked
            && (asked_variant.is_none() || variant.is_none() || variant == asked_variant)
    }
}

/// Architecture and variant under the names images use (containerd's platform normalisation).
fn normalise(architecture: &str, variant: Option<&str>) -> (String, Option<String>) {
    let named = |architecture: &str, variant: Option<&str>| (architecture.to_owned(), variant.map(str::to_owned));
    match (architecture, variant) {
        ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => named("amd64", None),
        ("aarch64" | "arm64", None | Some("8" | "v8")) => named("arm64", None),
        ("armhf", _) | ("arm", None | Some("7" | "v7")) => named("arm", Some("v7")),
        ("armel", _) => named("arm", Some("v6")),
        ("i386" | "i686" | "x86", variant) => named("386", variant),
        ("powerpc64le" | "powerpc64", None) => named("ppc64le", None),
        (architecture, variant) => named(architecture, variant),
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let is_part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        let parts: Vec<&str> = text.split('/').collect();
        let (os, architecture, variant) = match parts.as_slice() {
            [architecture] if is_part(architecture) && *architecture != "linux" => ("linux", *architecture, None),
            [os, architecture] if is_part(os) && is_part(architecture) => (*os, *architecture, None),
            [os, architecture, variant] if parts.iter().all(|part| is_part(part)) => {
                (*os, *architecture, Some(*variant))
            }
            _ => return Err(PlatformError { text: text.to_owned() }),
        };
        let (architecture, variant) = normalise(&architecture.to_ascii_lowercase(), variant);
        Ok(Self { os: os.to_ascii_lowercase(), architecture, variant })
    }
}

impl Display for Platform {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(formatter, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str) {
        assert_eq!(text.parse::<Platform>().unwrap().to_string(), shown);
    }

    #[test]
    fn kernel_names_become_image_names() {
        check("linux/x86_64", "linux/amd64");
        check("linux/aarch64", "linux/arm64");
        check("arm64/v8".split('/').next().unwrap(), "linux/arm64");
        check("linux/arm", "linux/arm/v7");
    }

    #[test]
    fn arm64_with_its_only_variant_is_arm64() {
        let plain: Platform = "linux/arm64".parse().unwrap();
        let variant = Platform { variant: Some("v8".to_owned()), ..plain.clone() };
        assert!(variant.satisfies(&plain) && plain.satisfies(&variant));
        assert!(!plain.satisfies(&"linux/amd64".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "linux", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
