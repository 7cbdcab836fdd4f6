//! What a build was told by Koji and by the compose service, as the record has it.
//!
//! Comes in: facts. Goes out: a part of the record, without tokens. Nobody is asked for anything here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Facts;

/// What Koji and the compose service said. The names are those of the metadata that Koji keeps of a build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KojiRecord {
    /// What the build is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvr: Option<String>,
    /// The number of the build whose name is reserved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<u64>,
    /// The number of the build that the parent is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_build_id: Option<u64>,
    /// By image, as the Dockerfile names it; null for one that is no build. None where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_image_builds: Option<BTreeMap<String, Option<ParentBuildRecord>>>,
    /// The task that made the file system the image is built on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filesystem_koji_task_id: Option<u64>,
    /// Composes; none where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odcs: Option<ComposesRecord>,
}

/// A build that a parent is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParentBuildRecord {
    /// Its number.
    pub id: u64,
    /// Its name, version and release.
    pub nvr: String,
}

/// The composes that packages could come from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComposesRecord {
    /// Their numbers.
    pub compose_ids: Vec<u64>,
    /// What their packages are signed with, all in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_intent: Option<String>,
    /// Whether that is another one than what the source asks for.
    pub signing_intent_overridden: bool,
}

impl KojiRecord {
    /// What these facts say; none where nobody was asked.
    #[must_use]
    pub fn of(facts: &Facts) -> Option<Self> {
        let release = facts.release();
        let parents = facts.parent_builds();
        let build = |build: &koji::BuildInfo| ParentBuildRecord { id: build.id, nvr: build.nvr.clone() };
        let composes = facts.composes().filter(|composes| !composes.composes.is_empty());
        let record = Self {
            nvr: release.map(|release| release.nvr.to_string()),
            build_id: release.and_then(|release| Some(release.reservation.as_ref()?.build_id)),
            parent_build_id: parents.and_then(|parents| Some(parents.base.as_ref()?.id)),
            parent_image_builds: parents.map(|parents| {
                parents.builds.iter().map(|(name, known)| (name.clone(), known.as_ref().map(build))).collect()
            }),
            filesystem_koji_task_id: facts.filesystem_task(),
            odcs: composes.map(|composes| ComposesRecord {
                compose_ids: composes.composes.iter().map(|compose| compose.id).collect(),
                signing_intent: composes.signing_intent.clone(),
                signing_intent_overridden: composes.is_overridden,
            }),
        };
        (record != Self::default()).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Composes, Fact, ParentBuilds, Release};

    #[test]
    fn the_record_has_what_koji_said_and_no_token() {
        assert_eq!(KojiRecord::of(&Facts::default()), None);
        let base = koji::BuildInfo { id: 5, nvr: "p-1-2".to_owned(), ..koji::BuildInfo::default() };
        let builds = [("p:1".to_owned(), Some(base.clone())), ("q:1".to_owned(), None)].into();
        let token = http::Secret::new("hidden");
        let reservation = Some(koji::Reservation { build_id: 7, token });
        let nvr = koji::Nvr::new("a", "1", "2").unwrap();
        let compose = koji::odcs::Compose { id: 9, ..koji::odcs::Compose::default() };
        let signing_intent = Some("release".to_owned());
        let composes = Composes { composes: vec![compose], signing_intent, is_overridden: true, ..Composes::default() };
        let mut facts = Facts::default();
        facts.state("k", Fact::ParentBuilds(ParentBuilds { base: Some(base), builds })).unwrap();
        facts.state("b", Fact::Release(Release { nvr, reservation })).unwrap();
        facts.state("r", Fact::Composes(composes)).unwrap();
        let expected = serde_json::json!({
            "nvr": "a-1-2", "buildId": 7, "parentBuildId": 5,
            "parentImageBuilds": {"p:1": {"id": 5, "nvr": "p-1-2"}, "q:1": null},
            "odcs": {"composeIds": [9], "signingIntent": "release", "signingIntentOverridden": true},
        });
        assert_eq!(serde_json::to_value(KojiRecord::of(&facts).unwrap()).unwrap(), expected);
    }
}
