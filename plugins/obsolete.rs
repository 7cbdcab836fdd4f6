//! Plugins of atomic-reactor that this program does without.
//!
//! Comes in: nothing. Goes out: a table with every key of three generations that no plugin here answers to, and what its
//! absence means. A list that names one is never refused for it; what a build may count on and does not get is a warning.

use pipeline::Without::{Effect, Loss};
use pipeline::{Absent, Without};

const fn absent(key: &'static str, without: Without) -> Absent {
    Absent { key, without }
}

/// The table, in the order in which such plugins ran.
pub(crate) const ABSENT: &[Absent] = &[
    // Configuration and what other builders need.
    absent("reactor_config", Loss("the configuration is read before any plugin is asked (--config, REACTOR_CONFIG)")),
    absent("koji_delegate", Loss("a build is not handed back to Koji: whoever triggers it submits it there")),
    absent("orchestrate_build", Loss("one build is for one platform: whoever starts builds starts one for each")),
    absent("fetch_worker_metadata", Loss("there are no worker builds whose results must be fetched")),
    absent("remove_worker_metadata", Loss("there are no worker builds whose results must be removed")),
    absent("gather_builds_metadata", Loss("there are no builds on other hosts whose results must be gathered")),
    absent("change_source_registry", Loss("base images come from source_registry of the configuration")),
    absent("cp_dockerfile", Loss("the record has the Dockerfile as it was executed")),
    absent("dockerfile_content", Loss("the record has the Dockerfile as it was executed")),
    absent("fetch_docker_archive", Loss("the image is not on another host")),
    // Ways to build.
    absent("docker_api", Loss("this program builds the image itself")),
    absent("imagebuilder", Loss("this program builds the image itself")),
    absent("buildah_bud", Loss("this program builds the image itself")),
    absent("podman_remote", Loss("this program builds the image itself")),
    absent("binary_container", Loss("this program builds the image itself")),
    absent("source_container", Effect("no source image is built; that is another product")),
    absent("fetch_sources", Effect("no source image is built; that is another product")),
    absent("squash", Loss("the build makes one new layer by itself (--squash merges the base into it)")),
    absent("compress", Loss("layers are compressed while they are written (--compression)")),
    // Plugins for content that is not made here.
    absent("resolve_module_compose", Loss("there are no modules any more")),
    absent("hermeto_init", Effect("remote sources are not fetched")),
    absent("hermeto_postprocess", Effect("remote sources are not fetched")),
    absent("cachi2_init", Effect("remote sources are not fetched")),
    absent("cachi2_postprocess", Effect("remote sources are not fetched")),
    absent("pin_operator_digest", Effect("operator bundles are not edited")),
    absent("export_operator_manifests", Effect("manifests of operators are not exported")),
    absent("push_operator_manifests", Effect("manifests of operators are not pushed")),
    absent("flatpak_create_dockerfile", Loss("it acts on flatpaks, which are refused")),
    absent("flatpak_update_dockerfile", Loss("it acts on flatpaks, which are refused")),
    absent("add_flatpak_labels", Loss("it acts on flatpaks, which are refused")),
    absent("flatpak_create_oci", Loss("it acts on flatpaks, which are refused")),
    absent("generate_maven_metadata", Loss("artifacts that were fetched are in the record")),
    absent("maven_url_sources_metadata", Loss("artifacts that were fetched are in the record")),
    // Where images went once.
    absent("pulp_push", Effect("nothing is published with Pulp; the image is in the registry")),
    absent("pulp_sync", Effect("nothing is published with Pulp; the image is in the registry")),
    absent("pulp_tag", Effect("nothing is published with Pulp; the image is in the registry")),
    absent("pulp_pull", Effect("nothing is published with Pulp; the image is in the registry")),
    absent("pulp_publish", Effect("nothing is published with Pulp; the image is in the registry")),
    absent("delete_from_registry", Loss("the registry keeps the image: nothing moves it on to Pulp")),
    absent(
        "cp_built_image_to_nfs",
        Effect("nothing is copied to NFS; -o docker-archive:FILE writes the image to a file"),
    ),
    // Koji.
    absent("koji_promote", Effect("not here yet: the build is not imported into Koji")),
    absent("koji_upload", Effect("not here yet: nothing is uploaded to Koji")),
    absent("koji_import", Effect("not here yet: the build is not imported into Koji")),
    absent("koji_import_source_container", Effect("not here yet: the build is not imported into Koji")),
    absent("koji_tag_build", Effect("not here yet: the build is not tagged in Koji")),
    // Notification and cleaning.
    absent("remove_built_image", Loss("no daemon keeps the image")),
    absent(
        "sendmail",
        Effect("no mail is sent; let Koji's or the cluster's messages tell who should know (fedora-messaging)"),
    ),
];

#[cfg(test)]
mod tests;
