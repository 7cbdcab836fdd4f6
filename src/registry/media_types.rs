//! Which media types a registry has for a name.

use http::header::{ACCEPT, CONTENT_TYPE};
use http::{Method, Request, StatusCode};
use oci::Reference;

use crate::answer::{named, refusal};
use crate::endpoint::Access;
use crate::{Registries, RegistryError};

impl Registries {
    /// Those of `types` that the registry which `image` is pushed to gives for it, each asked for alone.
    ///
    /// A registry may give one manifest in several types, and for an index the manifest of one platform.
    ///
    /// # Errors
    /// What can go wrong on the way; that it has none of a type is no error.
    pub fn media_types<'t>(&self, image: &Reference, types: &[&'t str]) -> Result<Vec<&'t str>, RegistryError> {
        let access = Access::pull(&self.target(image)?);
        let endpoint = self.endpoint(&access)?;
        let mut found = Vec::new();
        for media_type in types {
            let url = endpoint.url(&access, &format!("manifests/{}", access.image.manifest_name()))?;
            let request = Request::new(Method::HEAD, url).header(ACCEPT, media_type);
            let request = request.map_err(|error| access.unreachable(error))?;
            let response = endpoint.send(&request, &access)?;
            match response.status() {
                StatusCode::OK => {
                    let given = response.header(&CONTENT_TYPE);
                    found.extend(given.filter(|given| is_same(given, media_type)).map(|_| *media_type));
                }
                StatusCode::NOT_FOUND | StatusCode::NOT_ACCEPTABLE | StatusCode::BAD_REQUEST => {}
                _ => return Err(refusal(access.image.to_string(), &named(&request), response)),
            }
        }
        Ok(found)
    }
}

/// Whether a media type is the one that was asked for: signed manifests of version 1 have another suffix.
fn is_same(given: &str, asked: &str) -> bool {
    let without_suffix = |text: &str| text.split(['+', ';']).next().unwrap_or_default().trim().to_ascii_lowercase();
    without_suffix(given) == without_suffix(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_the_same_whatever_its_suffix() {
        let first = "application/vnd.docker.distribution.manifest.v1+json";
        assert!(is_same("application/vnd.docker.distribution.manifest.v1+prettyjws; charset=utf-8", first));
        assert!(!is_same("application/vnd.docker.distribution.manifest.v2+json", first));
    }
}
