//! The options of buildah 1.45 and docker buildx that are answered without being executed.

use super::{Answer, Foreign, Takes};

const fn nothing(name: &'static str, takes: Takes) -> Foreign {
    Foreign { name, short: None, takes, answer: Answer::Nothing }
}

const fn refused(
    name: &'static str,
    takes: Takes,
    but: &'static [&'static str],
    (why, instead): (&'static str, &'static str),
) -> Foreign {
    Foreign { name, short: None, takes, answer: Answer::Refused { but, why, instead } }
}

const fn with_short(option: Foreign, short: char) -> Foreign {
    Foreign { short: Some(short), ..option }
}

const CGROUPS: (&str, &str) = (
    "a build without privilege may not change control groups",
    "limit the pod or the unit that the build runs in, or use --ulimit",
);
const NAMESPACES: (&str, &str) = (
    "a step always has namespaces of its own, and they cannot be exchanged",
    "leave the option out; `stratum doctor` says which isolation is possible here",
);
const ID_MAPS: (&str, &str) = (
    "ids are mapped once, as /etc/subuid and /etc/subgid or the pod allow",
    "see `stratum doctor`; --isolation chooses the rung",
);
const CACHE: (&str, &str) =
    ("results of steps are neither fetched from nor kept in a registry", "leave the option out");
const SCANNER: (&str, &str) = (
    "no scanner runs in a build; the packages are read from the image's rpm database",
    "--sbom-output FILE writes the bill of materials, --sbom true attaches it to the pushed image",
);
const SBOM_IN_IMAGE: (&str, &str) = (
    "packages are known once the image's layers are written, and then nothing is put into it any more",
    "attach it to the pushed image with --sbom true, or write it to a file with --sbom-output or --sbom-purl-output",
);
const ATTESTATION: (&str, &str) =
    ("attestations in BuildKit's form are not made", "--record writes the build down, --push-record attaches it");
const SIGNING: (&str, &str) = ("images are not signed here", "sign the digest that is printed");
const RUNTIME: (&str, &str) =
    ("steps are run by this program itself and not by an OCI runtime", "leave the option out");
const LIST: (&str, &str) =
    ("images of several platforms are not put together yet", "build each with --platform and join them afterwards");
const STAGES: (&str, &str) = ("images of stages are not kept", "build the stage by itself, with --target NAME and -t");
const USAGE: (&str, &str) =
    ("what steps use is not measured", "--record and the summary have the time that each step took");
const DAEMON: (&str, &str) = ("there is no daemon and no builder to choose", "leave the option out");

const OWN: &[&str] = &["", "private", "container"];
const ZERO: &[&str] = &["", "0"];
const FALSE: &[&str] = &["false"];

/// In the order of docs/options.md.
pub(super) const TABLE: &[Foreign] = &[
    // Without a cache nothing is left out, and what steps leave is always taken away.
    nothing("no-cache", Takes::Truth),
    nothing("no-cache-filter", Takes::Value),
    nothing("rm", Takes::Truth),
    nothing("force-rm", Takes::Truth),
    // The context does not travel.
    nothing("compress", Takes::Truth),
    nothing("loglevel", Takes::Value),
    refused(
        "disable-content-trust",
        Takes::Truth,
        &["true"],
        ("images are not checked against Docker's notary", "pin bases by digest"),
    ),
    with_short(refused("memory", Takes::Value, ZERO, CGROUPS), 'm'),
    refused("memory-swap", Takes::Value, &["", "0", "-1"], CGROUPS),
    refused("cpu-period", Takes::Value, ZERO, CGROUPS),
    refused("cpu-quota", Takes::Value, &["", "0", "-1"], CGROUPS),
    with_short(refused("cpu-shares", Takes::Value, ZERO, CGROUPS), 'c'),
    refused("cpuset-cpus", Takes::Value, &[""], CGROUPS),
    refused("cpuset-mems", Takes::Value, &[""], CGROUPS),
    refused("cgroup-parent", Takes::Value, &[""], CGROUPS),
    refused("cgroupns", Takes::Value, OWN, NAMESPACES),
    refused("ipc", Takes::Value, OWN, NAMESPACES),
    refused("pid", Takes::Value, OWN, NAMESPACES),
    refused("uts", Takes::Value, OWN, NAMESPACES),
    refused("userns", Takes::Value, &["", "private", "container", "auto"], NAMESPACES),
    refused("userns-uid-map", Takes::Value, &[], ID_MAPS),
    refused("userns-gid-map", Takes::Value, &[], ID_MAPS),
    refused("userns-uid-map-user", Takes::Value, &[], ID_MAPS),
    refused("userns-gid-map-group", Takes::Value, &[], ID_MAPS),
    refused("runtime", Takes::Value, &[], RUNTIME),
    refused("runtime-flag", Takes::Value, &[], RUNTIME),
    refused("hooks-dir", Takes::Value, &[], RUNTIME),
    refused(
        "cdi-config-dir",
        Takes::Value,
        &[],
        ("no device of the machine can be given to steps", "leave the option out"),
    ),
    refused(
        "stdin",
        Takes::Truth,
        FALSE,
        ("steps read nothing: their standard input is empty", "pass answers as arguments, or in a heredoc"),
    ),
    refused("cache-from", Takes::Value, &[], CACHE),
    refused("cache-to", Takes::Value, &[], CACHE),
    refused("cache-ttl", Takes::Value, &["0", "0s"], CACHE),
    refused("blob-cache", Takes::Value, &[], ("blobs are kept in the store only", "--store says where that is")),
    refused("manifest", Takes::Value, &[], LIST),
    refused("all-platforms", Takes::Truth, FALSE, LIST),
    refused("save-stages", Takes::Truth, FALSE, STAGES),
    refused("stage-labels", Takes::Truth, FALSE, STAGES),
    refused(
        "layer-label",
        Takes::Value,
        &[],
        ("there are no intermediate images that could have labels", "use --label for the image"),
    ),
    refused(
        "identity-label",
        Takes::Truth,
        FALSE,
        ("no label names the builder", "set one with --label if somebody looks for it"),
    ),
    refused(
        "force-compression",
        Takes::Truth,
        FALSE,
        ("layers of the base are passed on as they are", "--compression says how new layers are compressed"),
    ),
    refused(
        "mount",
        Takes::Value,
        &[],
        ("mounts are not added to every RUN", "write --mount at the RUN that needs it, or use --volume"),
    ),
    refused(
        "compat-volumes",
        Takes::Truth,
        FALSE,
        ("what RUN changes in a VOLUME is kept, as buildah and BuildKit do by default", "leave the option out"),
    ),
    refused(
        "iidfile-raw",
        Takes::Value,
        &[],
        ("the ID is only written with the name of its algorithm", "use --iidfile and take `sha256:` off"),
    ),
    refused("sign-by", Takes::Value, &[], SIGNING),
    refused(
        "signature-policy",
        Takes::Value,
        &[],
        (
            "policy.json is not obeyed: signatures of images are not checked",
            "pin bases by digest, or allow them with --source-policy-file",
        ),
    ),
    refused(
        "decryption-key",
        Takes::Value,
        &[],
        ("encrypted layers cannot be read", "decrypt the base first, such as with skopeo copy"),
    ),
    refused(
        "cw",
        Takes::Value,
        &[],
        ("images for confidential workloads are not made", "convert the finished image with another tool"),
    ),
    refused("sbom-scanner-image", Takes::Value, &[], SCANNER),
    refused("sbom-scanner-command", Takes::Value, &[], SCANNER),
    refused("sbom-merge-strategy", Takes::Value, &[], SCANNER),
    refused("sbom-image-output", Takes::Value, &[], SBOM_IN_IMAGE),
    refused("sbom-image-purl-output", Takes::Value, &[], SBOM_IN_IMAGE),
    refused("provenance", Takes::Value, FALSE, ATTESTATION),
    refused("log-rusage", Takes::Truth, FALSE, USAGE),
    refused("rusage", Takes::Truth, FALSE, USAGE),
    refused("rusage-logfile", Takes::Value, &[], USAGE),
    refused(
        "allow",
        Takes::Value,
        &["network.host"],
        (
            "no step is given more than the sandbox has",
            "--network host gives steps the machine's network; RUN --security=insecure does not exist here",
        ),
    ),
    refused("builder", Takes::Value, &["default"], DAEMON),
    refused(
        "load",
        Takes::Truth,
        FALSE,
        ("there is no daemon to load the image into", "write an archive with -o and load that"),
    ),
    refused("debug", Takes::Truth, FALSE, ("there is no debugger for builds", "-v says more")),
    refused(
        "policy",
        Takes::Value,
        &[],
        ("Rego policies are not evaluated", "--source-policy-file takes rules in JSON"),
    ),
];
