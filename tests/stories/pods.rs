//! The same image in every pod that allows a namespace by any road, and a clear word in one that allows none.

use crate::support::image::Image;
use crate::support::pod::Pod;
use crate::support::scratch::Scratch;
use crate::support::testdata;

/// Builds testdata/hello in a pod; the digest of the image, and what was said.
fn hello(profile: &str, code: i32) -> Option<(Scratch, String)> {
    let pod = Pod::new(profile)?;
    let scratch = Scratch::new();
    let base = format!("base=oci:{}:42", scratch.copy(&testdata("base/oci"), "base"));
    let keys = scratch.copy(&testdata("base/keys"), "keys");
    let context = scratch.copy(&testdata("hello"), "hello");
    let output = format!("oci:{}", scratch.at("out/image"));
    let arguments = ["build", "--source-date-epoch", "1735689600", "--build-context", &base, "--keys", &keys];
    let command: Vec<&str> = arguments.into_iter().chain(["-o", &output, &context]).collect();
    let outcome = pod.stratum(&scratch, &command).run().expect(code);
    Some((scratch, outcome.stderr))
}

#[test]
fn pods_with_mapped_ids_give_one_digest() {
    let mut digests = Vec::new();
    for (profile, rung) in [("anyuid", "range"), ("custom-unprivileged", "range"), ("nested-container", "sub")] {
        let Some((scratch, said)) = hello(profile, 0) else { return };
        assert!(said.contains(&format!("isolation: {rung}")), "{profile}: {said}");
        digests.push(Image::in_layout(scratch.path().join("out/image"), None).digest);
    }
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn a_pod_with_a_single_id_builds_too() {
    let Some((scratch, said)) = hello("restricted-v2-oldcrio", 0) else { return };
    assert!(said.contains("isolation: single"), "{said}");
    let tree = Image::in_layout(scratch.path().join("out/image"), None).tree();
    assert_eq!((tree.at("usr/local/bin/serve").uid, tree.at("var/lib/hello/greeting.txt").uid), (0, 1001));
}

#[test]
fn a_pod_that_allows_nothing_is_told_what_to_ask_for() {
    let Some((_, said)) = hello("restricted-v2", 6) else { return };
    assert!(said.contains("the pod's seccomp filter answers ENOSYS (CRI-O RuntimeDefault)"), "{said}");
    assert!(said.contains("help: run the build with SCC nested-container"), "{said}");
    assert!(!said.contains("pulling"), "{said}");
}
