//! `check_image_size`: an image is not larger than the site allows.
//!
//! Reads `image_size_limit.binary_image` and the bytes of all layers before compression, those of the base too; a layer
//! of the base that the build did not need is fetched for it. Returns a finding that shuts the gate where it is larger.
//! Fails the build when a layer cannot be read.

use pipeline::{Finding, Findings, Made, Plugin, PluginError, PostBuild, PostBuildView, Setup, Severity};

#[derive(Debug)]
struct CheckImageSize {
    limit: u64,
}

#[expect(clippy::unnecessary_wraps, reason = "all plugins are made the same way")]
pub(crate) fn make(setup: &Setup<'_>) -> Made<PostBuild> {
    let limit = setup.site.image_size_limit.filter(|limit| *limit > 0);
    Ok(limit.map(|limit| Box::new(CheckImageSize { limit }) as Box<dyn Plugin<PostBuild>>))
}

impl Plugin<PostBuild> for CheckImageSize {
    fn run(&self, view: &PostBuildView<'_>) -> Result<Findings, PluginError> {
        let findings = decide(view.image.uncompressed()?, self.limit).into_iter().collect();
        Ok(Findings { findings, ..Findings::default() })
    }
}

fn decide(size: u64, limit: u64) -> Option<Finding> {
    let message = format!("its layers have {size} bytes before compression; image_size_limit allows {limit}");
    (size > limit).then(|| Finding {
        severity: Severity::Error,
        code: "image-too-large".to_owned(),
        subject: "the image".to_owned(),
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_may_be_as_large_as_the_limit_but_not_larger() {
        assert_eq!(decide(10, 10), None);
        let message = "its layers have 11 bytes before compression; image_size_limit allows 10";
        assert_eq!(decide(11, 10).unwrap().message, message);
    }
}
