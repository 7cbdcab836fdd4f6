//! `change_from_in_dockerfile`: every FROM says exactly which image it means.
//!
//! Reads the parents that check_base_image found. Returns one edit a FROM: the image by registry and digest, all other
//! bytes as they were. A FROM that `--build-context` gives another meaning stays. Fails the build when no plugin before
//! it has looked at the parents.

use oci::Reference;
use pipeline::{Changes, Class, Edit, Made, Plugin, PluginError, PreBuild, PreBuildView, Reasoned, Setup};

use crate::check_base_image::{self, Rules};

/// Hexadecimal digits of a digest that tell it apart for people.
const SHOWN: usize = 12;

#[derive(Debug)]
struct ChangeFrom {
    rules: Rules,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<PreBuild> {
    let acts = check_base_image::acts(setup.site);
    Ok(if acts { Some(Box::new(ChangeFrom { rules: Rules::of(setup.site) })) } else { None })
}

impl Plugin<PreBuild> for ChangeFrom {
    fn run(&self, view: &PreBuildView<'_>) -> Result<Changes, PluginError> {
        let parents = view.facts.parents().ok_or_else(|| {
            let text = "the base images are not known; let check_base_image run before";
            PluginError::new(Class::Configuration, text)
        })?;
        let edits = parents.iter().map(|parent| decide(parent.stage, (&parent.name, &parent.pinned), &self.rules));
        Ok(Changes { edits: edits.collect(), ..Changes::default() })
    }
}

/// The edit that makes the FROM of `stage`, which says `name`, say `pinned`.
pub(crate) fn decide(stage: usize, (name, pinned): (&str, &Reference), rules: &Rules) -> Reasoned {
    let digest = pinned.digest().map_or("", |digest| digest.as_str());
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    let short = hex.get(..SHOWN).unwrap_or(hex);
    let why = rules.why(name, pinned);
    let reason = format!("{name} → {}@{algorithm}:{short}…: {why}, pinned", pinned.name());
    Reasoned { edit: Edit::From { stage, image: pinned.to_string() }, reason }
}

#[cfg(test)]
mod tests {
    use oci::Digest;

    use super::*;

    #[track_caller]
    fn check(name: &str, organization: Option<&str>, image: &str, reason: &str) {
        let rules = check_base_image::tests::rules(organization);
        let digest = Digest::of(b"image");
        let pinned: Reference = format!("{image}@{digest}").parse().unwrap();
        let edit = Edit::From { stage: 1, image: pinned.to_string() };
        let reason = reason.replace('#', digest.hex().get(..SHOWN).unwrap());
        assert_eq!(decide(1, (name, &pinned), &rules), Reasoned { edit, reason });
    }

    #[test]
    fn the_reason_says_which_rule_moved_the_image() {
        let moved = "fedora:42 → src.example/fedora@sha256:#…: source_registry, pinned";
        check("fedora:42", None, "src.example/fedora", moved);
        let given = "other.example/ns/img:2 → other.example/ns/img@sha256:#…: pull_registries, pinned";
        check("other.example/ns/img:2", None, "other.example/ns/img", given);
        let enclosed = "a/b:1 → src.example/org/a-b@sha256:#…: source_registry, registries_organization, pinned";
        check("a/b:1", Some("org"), "src.example/org/a-b", enclosed);
        let inside = "src.example/org/x:1 → src.example/org/x@sha256:#…: source_registry, pinned";
        check("src.example/org/x:1", Some("org"), "src.example/org/x", inside);
    }
}
