//! The plugins that ask Koji or the compose service, or compare what Koji is told.

use pipeline::{Exit, Made, PostBuild, PreBuild, Registered, Setup};

use crate::{
    add_filesystem, bump_release, cancel_build_reservation, compare_components, inject_parent_image, koji_parent,
    resolve_composes,
};

/// Those that say what the parents are.
pub(crate) fn before_parents() -> Vec<Registered<PreBuild>> {
    vec![
        plugin(
            "inject_parent_image",
            "Takes the image of a build in Koji for the parent.",
            "where the build system demands `koji_parent_build`",
            inject_parent_image::make,
        )
        .takes(&["koji_parent_build"]),
        plugin(
            "add_filesystem",
            "Fills a stage on `koji/image-build` with the file system that a task of Koji made.",
            "where the site has `koji`",
            add_filesystem::make,
        )
        .takes(&["from_task_id"]),
    ]
}

/// Those that come when the parents are known.
pub(crate) fn with_parents() -> Vec<Registered<PreBuild>> {
    vec![
        plugin(
            "koji_parent",
            "Waits for the parents' builds in Koji and compares their digests.",
            "where check_base_image does and the site has `koji`, unless the build is for scratch",
            koji_parent::make,
        )
        .takes(&["poll_interval", "poll_timeout"]),
        plugin(
            "resolve_composes",
            "Asks the compose service for repositories, and waits for them.",
            "where the site has `odcs` or `koji`",
            resolve_composes::make,
        )
        .takes(&["minimum_time_to_expire"]),
        plugin(
            "bump_release",
            "Finds a release that is free in Koji, and reserves it where that is configured.",
            "where the site has `koji`",
            bump_release::make,
        )
        .takes(&["append"]),
    ]
}

fn plugin(
    key: &'static str,
    text: &'static str,
    acts: &'static str,
    make: fn(&Setup<'_>) -> Made<PreBuild>,
) -> Registered<PreBuild> {
    Registered { key, also: &[], takes: &[], text, acts, always: false, make }
}

/// The packages of all platforms are the same.
pub(crate) fn compare_components() -> Registered<PostBuild> {
    Registered {
        key: "compare_components",
        also: &[],
        takes: &["components"],
        text: "Refuses an image whose packages differ from those of the other platforms.",
        acts: "where its argument `components` names those of other platforms, unless the build is for scratch",
        always: false,
        make: compare_components::make,
    }
}

/// A name that came to nothing is given back.
pub(crate) fn cancel_build_reservation() -> Registered<Exit> {
    Registered {
        key: "cancel_build_reservation",
        also: &[],
        takes: &[],
        text: "Gives back the name that a failed or cancelled build has reserved in Koji.",
        acts: "where the site has `koji.reserve_build`",
        always: true,
        make: cancel_build_reservation::make,
    }
}
