//! Lists of three generations, and every key there ever was.

use std::collections::BTreeSet;
use std::path::Path;

use pipeline::site::Site;
use pipeline::{Lineup, Phase, Registered, Registry, Wanted};
use serde_json::Value;

use super::*;
use crate::registry;

fn names<P: Phase>(registered: &[Registered<P>]) -> Vec<&'static str> {
    registered.iter().flat_map(|one| one.also.iter().copied().chain([one.key])).collect()
}

fn known(all: &Registry) -> BTreeSet<&'static str> {
    let (pre, post, publish) = (names(&all.pre_build), names(&all.post_build), names(&all.publish));
    [names(&all.source), pre, post, publish, names(&all.exit)].concat().into_iter().collect()
}

/// The plugins chosen by a list of `testdata/plugins`.
fn lineup(folder: &str) -> Lineup {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/plugins").join(folder).join("in.json");
    let mut lists: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let extra = serde_json::json!({
        "version": 1,
        "source_registry": {"url": "src.example"},
        "registry": {"url": "out.example", "expected_media_types": ["application/vnd.oci.image.manifest.v1+json"]},
    });
    lists.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    let (site, _) = Site::parse(Path::new("lists.json"), lists.to_string().as_bytes()).unwrap();
    registry().choose(&site, &Wanted::default()).unwrap()
}

fn keys(lineup: &Lineup) -> Vec<String> {
    let pre = lineup.pre_build.iter().map(|one| one.key.to_string());
    let post = lineup.post_build.iter().map(|one| one.key.to_string());
    pre.chain(post).chain(lineup.publish.iter().map(|one| one.key.to_string())).collect()
}

#[track_caller]
fn says(said: &[String], text: &str) {
    assert!(said.iter().any(|line| line == text), "{text:?} is not in {said:#?}");
}

#[test]
fn a_list_of_the_first_generation_is_accepted_and_every_difference_named() {
    let lineup = lineup("generation-a");
    for key in ["check_base_image", "add_labels_in_dockerfile", "tag_from_config", "push_floating_tags"] {
        assert!(keys(&lineup).iter().any(|one| one == key), "{key}");
    }
    for text in [
        "plugin docker_api is not needed: this program builds the image itself",
        "plugin squash is not needed: the build makes one new layer by itself (--squash merges the base into it)",
        "plugin compress is not needed: layers are compressed while they are written (--compression)",
        "plugin remove_built_image is not needed: no daemon keeps the image",
        "plugin tag_and_push does without the arguments registries; it takes none",
        "plugin all_rpm_packages does without the arguments image_id; it takes none",
    ] {
        says(&lineup.notes, text);
    }
    says(
        &lineup.warnings,
        "plugin koji_promote is required and does not act: not here yet: the build is not imported into Koji",
    );
    says(
        &lineup.warnings,
        "plugin koji_tag_build is required and does not act: not here yet: the build is not tagged in Koji",
    );
    assert!(
        !format!("{:?} {:?}", lineup.notes, lineup.warnings).contains("/var/run/secrets"),
        "a value is in a notice"
    );
}

#[test]
fn lists_of_the_second_generation_are_accepted() {
    let worker = lineup("generation-b-worker");
    for key in ["docker_api", "imagebuilder", "buildah_bud"] {
        says(&worker.notes, &format!("plugin {key} is not needed: this program builds the image itself"));
    }
    says(
        &worker.warnings,
        "plugin koji_upload is required and does not act: not here yet: nothing is uploaded to Koji",
    );
    let orchestrator = lineup("generation-b-orchestrator");
    let text = "one build is for one platform: whoever starts builds starts one for each";
    says(&orchestrator.notes, &format!("plugin orchestrate_build is not needed: {text}"));
    let publish = ["tag_and_push", "group_manifests", "verify_media", "push_floating_tags"];
    assert!(publish.iter().all(|key| keys(&orchestrator).iter().any(|one| one == key)), "{:?}", keys(&orchestrator));
}

#[test]
fn a_list_of_the_third_generation_is_accepted_in_its_order() {
    let lineup = lineup("generation-c");
    let publish: Vec<String> = lineup.publish.iter().map(|one| one.key.to_string()).collect();
    assert_eq!(publish, ["tag_and_push", "group_manifests", "verify_media", "push_floating_tags"]);
    says(
        &lineup.warnings,
        "plugin koji_import is required and does not act: not here yet: the build is not imported into Koji",
    );
}

#[test]
fn a_key_has_one_meaning() {
    let here = known(&registry());
    let mut seen = BTreeSet::new();
    for absent in ABSENT {
        assert!(!here.contains(absent.key), "{} is a plugin; leave it out of the table", absent.key);
        assert!(seen.insert(absent.key), "{} is there twice", absent.key);
    }
}

/// Keys of the lists of all generations and of plugins that no default list had.
const EVERY: &str = "reactor_config check_user_settings check_and_set_platforms check_and_set_rebuild
    stop_autorebuild_if_disabled koji_delegate distgit_fetch_artefacts inject_parent_image pull_base_image
    check_base_image add_filesystem koji_parent resolve_composes resolve_module_compose bump_release assert_labels
    add_labels_in_dockerfile change_from_in_dockerfile add_help add_dockerfile add_image_content_manifest
    add_content_sets fetch_maven_artifacts koji add_yum_repo add_yum_repo_by_url inject_yum_repo inject_yum_repos
    hide_files distribution_scope add_buildargs_in_dockerfile resolve_remote_source download_remote_source hermeto_init
    hermeto_postprocess pin_operator_digest export_operator_manifests push_operator_manifests flatpak_create_dockerfile
    flatpak_update_dockerfile add_flatpak_labels flatpak_create_oci docker_api imagebuilder buildah_bud
    orchestrate_build fetch_sources source_container squash test_built_image all_rpm_packages compress tag_by_labels
    tag_from_config tag_and_push push_floating_tags group_manifests verify_media compare_components
    cp_built_image_to_nfs import_image pulp_push pulp_sync pulp_tag pulp_pull pulp_publish delete_from_registry
    fetch_worker_metadata remove_worker_metadata gather_builds_metadata fetch_docker_archive maven_url_sources_metadata
    generate_maven_metadata generate_sbom koji_promote koji_upload koji_import koji_import_source_container
    koji_tag_build cancel_build_reservation store_metadata_in_osv3 store_metadata store_logs_to_file
    remove_built_image sendmail change_source_registry cp_dockerfile dockerfile_content";

#[test]
fn every_key_of_the_reference_is_known() {
    let here = known(&registry());
    let is_known = |key: &&str| here.contains(*key) || ABSENT.iter().any(|absent| absent.key == *key);
    let unknown: Vec<&str> = EVERY.split_whitespace().filter(|key| !is_known(key)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(EVERY.split_whitespace().count() >= 85);
}
