//! The order of `stratum build --help`: options by what they are about.
//!
//! In one place and not at each option, so that the list can be read as its readers see it.

use clap::{Arg, Command, CommandFactory};

/// Headings and the options below them, by the names of their fields.
const HEADINGS: &[(&str, &[&str])] = &[
    (
        "Source",
        &[
            "file",
            "build_arg",
            "build_arg_file",
            "build_context",
            "ignorefile",
            "cpp_flag",
            "target",
            "platform",
            "os",
            "arch",
            "variant",
            "from",
            "pull",
            "source_policy_file",
            "skip_unused_stages",
            "config",
        ],
    ),
    (
        "Steps",
        &[
            "isolation",
            "secret",
            "ssh",
            "volume",
            "add_repo",
            "cap_add",
            "cap_drop",
            "security_opt",
            "ulimit",
            "shm_size",
            "device",
            "group_add",
            "jobs",
        ],
    ),
    (
        "Network of steps",
        &[
            "network",
            "allow_host",
            "add_host",
            "no_hosts",
            "hostname",
            "no_hostname",
            "dns",
            "dns_search",
            "dns_option",
            "http_proxy",
        ],
    ),
    ("Registry", &["tls_verify", "creds", "authfile", "cert_dir", "ca", "retry", "retry_delay", "registries_conf"]),
    (
        "Image",
        &[
            "label",
            "annotation",
            "env",
            "unsetenv",
            "unsetlabel",
            "unsetannotation",
            "inherit_labels",
            "inherit_annotations",
            "created_annotation",
            "omit_history",
            "os_version",
            "os_feature",
            "format",
            "layers",
            "squash",
            "squash_all",
            "compression",
            "compression_format",
            "compression_level",
            "disable_compression",
        ],
    ),
    ("Reproducibility", &["source_date_epoch", "timestamp", "rewrite_timestamp"]),
    (
        "Output",
        &[
            "tag",
            "push",
            "output",
            "iidfile",
            "metadata_file",
            "digestfile",
            "keys",
            "record",
            "push_record",
            "sbom",
            "sbom_output",
            "sbom_purl_output",
            "attest",
            "dry_run",
            "check",
            "call",
            "progress",
            "quiet",
            "logfile",
            "logsplit",
            "store",
        ],
    ),
];

/// What `build --help` ends with.
const FOREIGN: &str = "For users of other builders:
  Options of `buildah build` and `docker buildx build` that are not listed here are accepted where they change
  nothing, and refused with the reason and a remedy where they do. docs/options.md lists them all.";

/// The command line with its headings.
pub(crate) fn command<Arguments: CommandFactory>() -> Command {
    Arguments::command().mut_subcommand("build", |build| build.mut_args(headed).after_help(FOREIGN))
}

fn headed(argument: Arg) -> Arg {
    let id = argument.get_id().as_str();
    match HEADINGS.iter().find(|(_, ids)| ids.contains(&id)) {
        Some((heading, _)) => argument.help_heading(*heading),
        None => argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_option_of_build_has_a_heading() {
        let command = command::<crate::Arguments>();
        let build = command.find_subcommand("build").unwrap();
        let is_bare = |argument: &&Arg| argument.get_help_heading().is_none() && !argument.is_hide_set();
        let bare: Vec<&str> = build.get_opts().filter(is_bare).map(|argument| argument.get_id().as_str()).collect();
        assert_eq!(bare, ["verbose"; 0], "say in help.rs which heading these belong to");
    }
}
