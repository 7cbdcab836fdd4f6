//! `distribution_scope`: an image goes no further than its parent.
//!
//! Reads the label `distribution-scope` of the image and of its parent. Returns nothing. Fails the build when the
//! image's is wider; where one of them has none, or one nobody knows, there is no check.

use pipeline::{Changes, Class, Made, Plugin, PluginError, PreBuild, PreBuildView, Setup};

use crate::{check_base_image, labels};

const LABEL: &str = "distribution-scope";
/// From narrow to wide.
const SCOPES: [&str; 4] = ["private", "authoritative-source-only", "restricted", "public"];

#[derive(Debug)]
struct DistributionScope;

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let acts = setup.args.is_some() || check_base_image::acts(setup.site);
    Ok(if acts { Some(Box::new(DistributionScope)) } else { None })
}

impl Plugin<PreBuild> for DistributionScope {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let Some(parent) = view.parent_config() else { return Ok(Changes::default()) };
        let image = labels::in_force(view)?;
        let parent = &parent.config.labels;
        let root = view.plan.needed.iter().find(|stage| Some(stage.index) == view.plan.root_stage());
        let place = |error: PluginError| match root {
            Some(stage) => error.at(stage.base_span),
            None => error,
        };
        decide(image.get(LABEL).map(String::as_str), parent.get(LABEL).map(String::as_str)).map_err(place)?;
        Ok(Changes::default())
    }
}

pub(crate) fn decide(image: Option<&str>, parent: Option<&str>) -> Result<(), PluginError> {
    let (Some(image), Some(parent)) = (image, parent) else { return Ok(()) };
    let width = |scope: &str| SCOPES.iter().position(|known| *known == scope);
    let (Some(image_width), Some(parent_width)) = (width(image), width(parent)) else { return Ok(()) };
    if image_width <= parent_width {
        return Ok(());
    }
    let text = format!("the image's {LABEL} is {image}, which is wider than its parent's, {parent}");
    let help = format!("say `LABEL {LABEL}={parent}`, or a narrower one, in the Dockerfile");
    Err(PluginError::new(Class::Refused, text).help(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_may_be_narrower_but_not_wider() {
        for (image, parent, is_fine) in [
            (Some("private"), Some("public"), true),
            (Some("restricted"), Some("restricted"), true),
            (Some("public"), Some("restricted"), false),
            (Some("restricted"), Some("authoritative-source-only"), false),
            (Some("authoritative-source-only"), Some("private"), false),
        ] {
            assert_eq!(decide(image, parent).is_ok(), is_fine, "{image:?} {parent:?}");
        }
    }

    #[test]
    fn there_is_no_check_where_a_scope_is_missing_or_unknown() {
        for (image, parent) in [
            (Some("public"), None),
            (None, Some("private")),
            (Some("bogus"), Some("private")),
            (Some("public"), Some("")),
        ] {
            decide(image, parent).unwrap();
        }
    }

    #[test]
    fn the_refusal_names_both_scopes() {
        let error = decide(Some("public"), Some("private")).unwrap_err();
        let text = "the image's distribution-scope is public, which is wider than its parent's, private";
        let help = "say `LABEL distribution-scope=private`, or a narrower one, in the Dockerfile";
        assert_eq!(error, PluginError::new(Class::Refused, text).help(help));
    }
}
