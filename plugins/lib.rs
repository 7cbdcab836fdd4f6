//! The plugins of the default pipeline, one file each.
//!
//! Comes in: views of a build, the site's configuration. Goes out: what should change, and why. Each plugin decides
//! in a pure function and changes nothing itself; those of the exit phase act, but only outwards.

mod add_buildargs_in_dockerfile;
mod add_dockerfile;
mod add_filesystem;
mod add_help;
mod add_image_content_manifest;
mod add_labels_in_dockerfile;
mod add_yum_repo;
mod add_yum_repo_by_url;
mod all_rpm_packages;
mod annotations;
mod artifact;
mod attach_record;
mod bump_release;
mod cancel_build_reservation;
mod change_from_in_dockerfile;
mod check_and_set_platforms;
mod check_and_set_rebuild;
mod check_base_image;
mod check_image_size;
mod check_signatures;
mod check_user_settings;
mod compare_components;
mod compose_requests;
mod container_yaml;
mod content_sets;
pub mod decisions;
mod distgit_fetch_artefacts;
mod distribution_scope;
mod download_remote_source;
mod fetch_maven_artifacts;
mod generate_sbom;
mod group_manifests;
mod hide_files;
mod image_build_conf;
mod import_image;
mod in_cluster;
mod ini;
mod inject_parent_image;
mod inject_yum_repos;
mod koji_parent;
mod koji_plugins;
mod koji_repository;
mod koji_rules;
mod labels;
mod manual;
mod obsolete;
mod push_floating_tags;
mod repository_files;
mod resolve_composes;
mod signing_intents;
#[cfg(test)]
#[path = "../tests/stories/support/cluster.rs"]
mod stand_in;
mod stop_autorebuild_if_disabled;
mod store_metadata;
mod store_metadata_in_osv3;
mod store_sbom;
mod tag_and_push;
mod tag_from_config;
mod test_built_image;
mod verify_media;
mod wildcard;

use pipeline::{Registered, Registry};

/// All plugins, each phase in its default order.
#[must_use]
pub fn registry() -> Registry {
    Registry {
        source: source(),
        pre_build: settings().into_iter().chain(pre_build()).collect(),
        post_build: vec![
            Registered {
                key: "all_rpm_packages",
                also: &[],
                takes: &[],
                text: "Lists the image's packages and verifies their signatures.",
                acts: "where there are keys",
                always: true,
                make: all_rpm_packages::make,
            },
            Registered {
                key: "check_signatures",
                also: &[],
                takes: &[],
                text: "Refuses an image with a package that is not proven to be signed by a trusted key.",
                acts: "where there are keys, unless `policy.signatures` is off",
                always: true,
                make: check_signatures::make,
            },
            test_of_the_image(),
            koji_plugins::compare_components(),
            Registered {
                key: "check_image_size",
                also: &[],
                takes: &[],
                text: "Refuses an image whose layers are larger than the site allows.",
                acts: "where the site has `image_size_limit`",
                always: true,
                make: check_image_size::make,
            },
            bill_of_materials(),
        ],
        publish: publish(),
        exit: exit(),
        absent: obsolete::ABSENT,
    }
}

fn test_of_the_image() -> Registered<pipeline::PostBuild> {
    Registered {
        key: "test_built_image",
        also: &[],
        takes: &["command", "smoke", "timeout", "user", "network"],
        text: "Tries the image: runs a command or a script of the context in it, and refuses one that fails.",
        acts: "where the site lists it with `command` or `smoke`",
        always: false,
        make: test_built_image::make,
    }
}

fn bill_of_materials() -> Registered<pipeline::PostBuild> {
    Registered {
        key: "generate_sbom",
        also: &[],
        takes: &["format", "path", "attach"],
        text: "Makes a bill of materials of the image's rpm packages: CycloneDX or SPDX.",
        acts: "where that is asked for (--sbom, --sbom-output, --sbom-purl-output), or the site lists it with `path` or \
               `attach` or has a `record`",
        always: true,
        make: generate_sbom::make,
    }
}

fn exit() -> Vec<Registered<pipeline::Exit>> {
    vec![
        koji_plugins::cancel_build_reservation(),
        Registered {
            key: "import_image",
            also: &[],
            takes: &[
                "imagestream",
                "docker_image_repo",
                "insecure",
                "insecure_registry",
                "url",
                "verify_ssl",
                "use_auth",
                "build_json_dir",
            ],
            text: "Lets the cluster import the tags that move into an image stream.",
            acts: "where the site lists it with `imagestream`",
            always: false,
            make: import_image::make,
        },
        Registered {
            key: "store_metadata",
            also: &["store_logs_to_file"],
            takes: &["file_path"],
            text: "Writes the record of the build to a file.",
            acts: "where a record is asked for (--record, `record.path`)",
            always: true,
            make: store_metadata::make,
        },
        Registered {
            key: "attach_record",
            also: &[],
            takes: &[],
            text: "Attaches the record to the pushed image, as an artifact that refers to it.",
            acts: "where that is asked for (--push-record, `record.push`)",
            always: true,
            make: attach_record::make,
        },
        Registered {
            key: "store_sbom",
            also: &[],
            takes: &[],
            text: "Writes the bill of materials to files, and attaches it to the pushed image.",
            acts: "where generate_sbom does",
            always: true,
            make: store_sbom::make,
        },
        Registered {
            key: "store_metadata_in_osv3",
            also: &[],
            takes: &["url", "verify_ssl", "use_auth"],
            text: "Writes what became of the build to its object in the cluster, as annotations and labels.",
            acts: "where there is a Build object and the API of its cluster",
            always: false,
            make: store_metadata_in_osv3::make,
        },
    ]
}

fn publish() -> Vec<Registered<pipeline::Publish>> {
    vec![
        Registered {
            key: "tag_and_push",
            also: &[],
            takes: &[],
            text: "Gives the image its names where it was written to, but for those that move with every build.",
            acts: "always",
            always: true,
            make: tag_and_push::make,
        },
        Registered {
            key: "group_manifests",
            also: &[],
            takes: &["images"],
            text: "Puts an index of the images of all platforms under the image's names, once all are there.",
            acts: "where the build is for several platforms, or `group_manifests` is true",
            always: true,
            make: group_manifests::make,
        },
        Registered {
            key: "verify_media",
            also: &[],
            takes: &[],
            text: "Asks the registry which media types it has for the image's name, and compares.",
            acts: "where the site has `registry.expected_media_types`",
            always: false,
            make: verify_media::make,
        },
        Registered {
            key: "push_floating_tags",
            also: &[],
            takes: &[],
            text: "Moves the names that move with every build, last of all.",
            acts: "always",
            always: true,
            make: push_floating_tags::make,
        },
    ]
}

/// Whether a build system demands the build, or the site lists the plugin: then the build system's rules count.
fn is_demanded(setup: &pipeline::Setup<'_>) -> bool {
    let wanted = setup.wanted;
    setup.args.is_some() || wanted.hub.is_some() || wanted.task != pipeline::Task::default()
}

fn source() -> Vec<Registered<pipeline::Source>> {
    let plugin = |key, text, acts, make| Registered { key, also: &[], takes: &[], text, acts, always: false, make };
    vec![
        plugin(
            "check_and_set_rebuild",
            "Says whether a new parent triggered the build.",
            "where a new parent did",
            check_and_set_rebuild::make as fn(&pipeline::Setup<'_>) -> pipeline::Made<pipeline::Source>,
        )
        .takes(&["label_key", "label_value"]),
        plugin(
            "stop_autorebuild_if_disabled",
            "Cancels a build that a new parent triggered, unless the source's .osbs-repo-config enables such builds.",
            "where a new parent triggered the build",
            stop_autorebuild_if_disabled::make,
        )
        .takes(&["config_file"]),
        plugin(
            "distgit_fetch_artefacts",
            "Fetches the files named by the clone's `sources` from the lookaside cache, by checksum.",
            "where the site has `lookaside`",
            distgit_fetch_artefacts::make,
        ),
        plugin(
            "fetch_maven_artifacts",
            "Fetches what the clone's fetch-artifacts-url.yaml and fetch-artifacts-koji.yaml name into `artifacts/`.",
            "where there is a configuration",
            fetch_maven_artifacts::make,
        ),
    ]
}

/// What a repository's files say, before anything is looked at.
fn settings() -> Vec<Registered<pipeline::PreBuild>> {
    let plugin = |key, also, text, acts, make| Registered { key, also, takes: &[], text, acts, always: false, make };
    vec![
        plugin(
            "check_user_settings",
            &["assert_labels"][..],
            "Checks the Dockerfile's labels, container.yaml and the other files of a dist-git repository.",
            "where there is a configuration",
            check_user_settings::make as fn(&pipeline::Setup<'_>) -> pipeline::Made<pipeline::PreBuild>,
        )
        .takes(&["required_labels"]),
        plugin(
            "check_and_set_platforms",
            &[],
            "Decides which platforms the image is built for.",
            "where there is a Koji target, or a user asks for platforms",
            check_and_set_platforms::make,
        )
        .takes(&["koji_target"]),
        plugin(
            "download_remote_source",
            &["resolve_remote_source"],
            "Gives a build the remote sources of container.yaml that were fetched before it.",
            "where there is a configuration",
            download_remote_source::make,
        ),
    ]
}

fn pre_build() -> Vec<Registered<pipeline::PreBuild>> {
    let mut all = koji_plugins::before_parents();
    for one in [on_parents(), shown_to_steps(), put_into_the_image(), on_the_result()].into_iter().flatten() {
        let finds_parents = one.key == "check_base_image";
        all.push(one);
        if finds_parents {
            all.extend(koji_plugins::with_parents());
        }
    }
    all
}

fn plugin(
    key: &'static str,
    also: &'static [&'static str],
    text: &'static str,
    acts: &'static str,
    make: fn(&pipeline::Setup<'_>) -> pipeline::Made<pipeline::PreBuild>,
) -> Registered<pipeline::PreBuild> {
    Registered { key, also, takes: &[], text, acts, always: false, make }
}

fn on_parents() -> Vec<Registered<pipeline::PreBuild>> {
    vec![
        plugin(
            "check_base_image",
            &["pull_base_image"],
            "Checks that base images come from allowed registries and have the platform, and finds their digests.",
            "where the site has `source_registry` or `pull_registries`",
            check_base_image::make,
        ),
        plugin(
            "change_from_in_dockerfile",
            &[],
            "Makes every FROM name its image by registry and digest.",
            "where check_base_image does",
            change_from_in_dockerfile::make,
        ),
    ]
}

fn shown_to_steps() -> Vec<Registered<pipeline::PreBuild>> {
    vec![
        plugin(
            "koji",
            &[],
            "Shows RUN steps the repository of a Koji target; it gets into no layer.",
            "where the site lists it and there is a target; else inject_yum_repos does it",
            koji_repository::make,
        )
        .takes(&["target", "root"]),
        plugin(
            "add_yum_repo_by_url",
            &[],
            "Shows RUN steps repository files by URL; they get into no layer.",
            "where it has `repourls`",
            add_yum_repo_by_url::make,
        )
        .takes(&["repourls", "inject_proxy"]),
        plugin(
            "add_yum_repo",
            &[],
            "Shows RUN steps a repository given by name and base URL; it gets into no layer.",
            "where it has `repo_name` and `baseurl`",
            add_yum_repo::make,
        )
        .takes(&["repo_name", "baseurl"]),
        plugin(
            "inject_yum_repos",
            &["inject_yum_repo"],
            "Shows RUN steps the site's and the build's repository files; they get into no layer.",
            "where the site has `yum_repos`, the build has repositories or a Koji target, or the plugin has `repourls`",
            inject_yum_repos::make,
        )
        .takes(&["target", "repourls", "inject_proxy"]),
        plugin(
            "hide_files",
            &[],
            "Hides files of base images from RUN steps; the image keeps them.",
            "where the site has `hide_files`",
            hide_files::make,
        ),
    ]
}

fn put_into_the_image() -> Vec<Registered<pipeline::PreBuild>> {
    vec![
        plugin(
            "add_labels_in_dockerfile",
            &[],
            "Adds the site's labels, those known of every build, aliases and groups of equal labels.",
            "where the site has `image_labels`, `image_equal_labels` or `image_label_info_url_format`",
            add_labels_in_dockerfile::make,
        )
        .takes(&[
            "labels",
            "auto_labels",
            "aliases",
            "dont_overwrite",
            "dont_overwrite_if_in_dockerfile",
            "info_url_format",
            "equal_labels",
        ]),
        plugin(
            "add_help",
            &[],
            "Puts the context's help.md into the image, as the manual page /help.1.",
            "where the site has `registry` and the context a help.md",
            add_help::make,
        )
        .takes(&["help_file"]),
        plugin(
            "add_image_content_manifest",
            &["add_content_sets"],
            "Puts the names of the image's content sets into it, below /root/buildinfo/content_manifests.",
            "where the site has `registry` and the image a component, version and release",
            add_image_content_manifest::make,
        )
        .takes(&["destdir"]),
        plugin(
            "add_dockerfile",
            &[],
            "Puts the Dockerfile into the image, below /root/buildinfo.",
            "where the site has `registry`",
            add_dockerfile::make,
        )
        .takes(&["nvr", "destdir", "use_final_dockerfile"]),
    ]
}

fn on_the_result() -> Vec<Registered<pipeline::PreBuild>> {
    vec![
        plugin(
            "distribution_scope",
            &[],
            "Refuses an image that is to be distributed more widely than its parent.",
            "where check_base_image does",
            distribution_scope::make,
        ),
        plugin(
            "add_buildargs_in_dockerfile",
            &[],
            "Declares the build arguments in every stage, so that steps see them as variables.",
            "where the site lists it, or has `remote_sources`",
            add_buildargs_in_dockerfile::make,
        ),
        plugin(
            "tag_from_config",
            &["tag_by_labels"],
            "Names the image by its labels, additional-tags and container.yaml.",
            "where the site has `registry` and no name was given with -t",
            tag_from_config::make,
        )
        .takes(&["tag_suffixes", "image_tag", "platforms", "scratch", "isolated", "unique_tag_only"]),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use pipeline::site::Site;
    use pipeline::{Lineup, Phase, Registered, Selected, Wanted};

    use super::*;

    fn names<P: Phase>(registered: &[Registered<P>]) -> Vec<&'static str> {
        registered.iter().flat_map(|one| one.also.iter().copied().chain([one.key])).collect()
    }

    fn keys<P: Phase>(selected: &[Selected<P>]) -> Vec<&str> {
        selected.iter().map(|one| &*one.key).collect()
    }

    fn lineup(site: &str, wanted: &Wanted) -> Lineup {
        let (site, _) = Site::parse(Path::new("/etc/site.yaml"), site.as_bytes()).unwrap();
        registry().choose(&site, wanted).unwrap()
    }

    #[test]
    fn a_name_means_one_plugin() {
        let all = registry();
        let mut every = names(&all.source);
        every.extend([names(&all.pre_build), names(&all.post_build), names(&all.publish), names(&all.exit)].concat());
        assert_eq!(every.iter().collect::<BTreeSet<_>>().len(), every.len(), "{every:?}");
    }

    #[test]
    fn without_a_configuration_none_acts_but_the_push() {
        let chosen = registry().choose(&Site::default(), &Wanted::default()).unwrap();
        let none: [&str; 0] = [];
        assert_eq!((keys(&chosen.source), keys(&chosen.pre_build)), (none.to_vec(), none.to_vec()));
        assert_eq!((keys(&chosen.post_build), keys(&chosen.exit)), (none.to_vec(), none.to_vec()));
        assert_eq!(keys(&chosen.publish), ["tag_and_push", "group_manifests", "push_floating_tags"]);
    }

    const SITE: &str = "version: 1
source_registry: {url: src.example}
registry: {url: out.example}
image_labels: {vendor: corp}
yum_repos: [https://r.example/a.repo]
lookaside: {url: 'https://l.example/'}
keys: {files: [/k]}
record: {path: /r.json, push: true}
";

    #[test]
    fn a_site_that_configures_everything_gets_everything_in_order() {
        let chosen = lineup(SITE, &Wanted::default());
        assert_eq!(keys(&chosen.source), ["distgit_fetch_artefacts", "fetch_maven_artifacts"]);
        let pre_build = [
            "check_user_settings",
            "download_remote_source",
            "check_base_image",
            "change_from_in_dockerfile",
            "inject_yum_repos",
            "add_labels_in_dockerfile",
            "add_help",
            "add_image_content_manifest",
            "add_dockerfile",
            "distribution_scope",
            "tag_from_config",
        ];
        assert_eq!(keys(&chosen.pre_build), pre_build);
        assert_eq!(keys(&chosen.post_build), ["all_rpm_packages", "check_signatures"]);
        assert_eq!(keys(&chosen.exit), ["store_metadata", "attach_record"]);
    }

    #[test]
    fn names_on_the_command_line_are_those_the_image_gets() {
        let wanted = Wanted { names: vec!["r.example/a:1".parse().unwrap()], ..Wanted::default() };
        assert!(!keys(&lineup(SITE, &wanted).pre_build).contains(&"tag_from_config"));
    }

    #[test]
    fn no_list_leaves_out_the_gate() {
        let chosen = lineup(&format!("{SITE}plugins: {{postbuild: [], exit: [], publish: []}}\n"), &Wanted::default());
        assert_eq!(keys(&chosen.post_build), ["all_rpm_packages", "check_signatures"]);
        assert_eq!((keys(&chosen.publish).len(), keys(&chosen.exit).len()), (3, 2));
    }

    #[test]
    fn keys_that_older_lists_have_are_known() {
        let list = "plugins: {prebuild: [{name: pull_base_image}, {name: koji}, {name: add_yum_repo_by_url}]}\n";
        let chosen = lineup(list, &Wanted::default());
        assert_eq!(keys(&chosen.pre_build), [""; 0]);
        assert_eq!(chosen.notes.len(), 3, "{:?}", chosen.notes);
    }

    #[test]
    fn an_argument_that_a_plugin_does_not_take_is_noted() {
        let chosen = lineup("plugins: {prebuild: [{name: bump_release, args: {apend: true}}]}\n", &Wanted::default());
        let note = "plugin bump_release does without the arguments apend; it takes append";
        assert!(chosen.notes.iter().any(|found| found == note), "{:?}", chosen.notes);
    }

    #[test]
    fn signatures_without_keys_are_a_mistake_of_the_configuration() {
        let (site, _) = Site::parse(Path::new("s.yaml"), b"policy: {signatures: required}\n").unwrap();
        let error = registry().choose(&site, &Wanted::default()).unwrap_err();
        let text =
            "plugin check_signatures: policy.signatures asks for signatures, but there are no keys to verify them with";
        assert_eq!(error.text, text);
    }
}
