//! The files of a dist-git repository as anything: read, or refused with file and place, never a panic; and whatever is
//! to be fetched goes below its folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pipeline::site::Site;
use plugins::decisions::files;

const FILES: [(&str, &str); 8] = [
    ("container.json", "container.yaml:"),
    ("content_sets.json", "content_sets.yml:"),
    ("fetch-artifacts-url.json", "fetch-artifacts-url.yaml:"),
    ("fetch-artifacts-nvr.json", "fetch-artifacts-koji.yaml:"),
    ("image-build.conf", "image-build.conf:"),
    (".osbs-repo-config", "a new parent triggered this build"),
    ("env.json", "env.json: "),
    ("cachito.env", "cachito.env: "),
];

fuzz_target!(|text: &str| {
    for (schema, name) in FILES {
        if let Some(Err(error)) = files::is_valid(schema, text) {
            assert!(error.text.starts_with(name), "{}", error.text);
        }
    }
    for download in files::downloads(text, &Site::default()).unwrap_or_default() {
        assert!(download.path.starts_with("artifacts/"));
        assert!(download.path.split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
});
