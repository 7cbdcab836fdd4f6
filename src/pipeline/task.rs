//! What a build system demands of one build besides its source: OSBS's user parameters and the Build object.
//!
//! Plugins get it with what they are made of ([`crate::Setup`]). The default is that of nobody: nothing is demanded.

mod parse;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

pub use parse::{TaskError, UserParams};

/// What a build system demands of one build. Keys are those of OSBS's `user_params` where it has one.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Task {
    /// Tags besides the usual ones (`additional_tags`).
    pub additional_tags: Vec<String>,
    /// Whether `additional_tags` came from container.yaml and so replace the usual ones.
    pub tags_from_yaml: bool,
    /// The Koji package the image is, as the caller understood it.
    pub component: Option<String>,
    /// Composes to be used, by number; they exclude `signing_intent`.
    pub compose_ids: Vec<u64>,
    /// The branch the commit is on.
    pub git_branch: Option<String>,
    /// `user/component:target-…`: where the image goes first; its tag is the unique one.
    pub image_tag: Option<String>,
    /// Whether the Koji target's repository is used although other repositories are.
    pub include_koji_repo: bool,
    /// Whether the build was triggered by a new parent.
    pub is_autorebuild: bool,
    /// Whether the image is for few: no floating tags; excludes `is_scratch`.
    pub is_isolated: bool,
    /// Whether the image is to be thrown away: not imported, only the unique tag.
    pub is_scratch: bool,
    /// The build in Koji to take the parent from, an N-V-R.
    pub koji_parent_build: Option<String>,
    /// The target of Koji.
    pub koji_target: Option<String>,
    /// The task in Koji that asked for the build.
    pub koji_task_id: Option<u64>,
    /// The platform of this build, as Koji calls it: `x86_64`.
    pub platform: Option<String>,
    /// The platforms that are asked for; empty is all.
    pub platforms: Vec<String>,
    /// The release, where it is not to be found out.
    pub release: Option<String>,
    /// Which keys must have signed the packages of composes.
    pub signing_intent: Option<String>,
    /// Who asked.
    pub user: Option<String>,
    /// What the caller wants to find again in Koji.
    pub userdata: Map<String, Value>,
    /// Repository files, by URL.
    pub yum_repourls: Vec<String>,
    /// The Build object in the cluster.
    pub build: Option<BuildObject>,
}

/// The object of the cluster that stands for a build (`build.openshift.io/v1`, Build).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BuildObject {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// The image whose change triggered the build.
    pub trigger_image: Option<String>,
}
