//! The arguments that plugins take, by the names lists call them.
//!
//! Comes in: nothing. Goes out: a table. An argument of a plugin in the table that is not there is left out with a notice,
//! as the reference does it; of a plugin that is not in the table no argument is missed, since it reads them itself.

/// Key and arguments.
pub(crate) const ARGUMENTS: &[(&str, &[&str])] = &[
    ("distgit_fetch_artefacts", &[]),
    ("check_base_image", &[]),
    ("pull_base_image", &[]),
    ("change_from_in_dockerfile", &[]),
    (
        "add_labels_in_dockerfile",
        &[
            "labels",
            "auto_labels",
            "aliases",
            "dont_overwrite",
            "dont_overwrite_if_in_dockerfile",
            "info_url_format",
            "equal_labels",
        ],
    ),
    ("add_dockerfile", &["nvr", "destdir", "use_final_dockerfile"]),
    ("distribution_scope", &[]),
    ("add_buildargs_in_dockerfile", &[]),
    ("tag_from_config", &["tag_suffixes", "image_tag", "platforms", "scratch", "isolated"]),
    ("tag_by_labels", &["unique_tag_only"]),
    ("all_rpm_packages", &[]),
    ("check_signatures", &[]),
    ("check_image_size", &[]),
    ("tag_and_push", &[]),
    ("group_manifests", &[]),
    ("verify_media", &[]),
    ("push_floating_tags", &[]),
    ("attach_record", &[]),
    ("store_logs_to_file", &["file_path"]),
    ("generate_sbom", &["format", "path", "attach"]),
    ("store_sbom", &[]),
];
