use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use http::{ClientOptions, Retry};

use super::*;
use crate::Class;
use crate::server::{Answer, serve};

const MD5: &str = "900150983cd24fb0d6963f7d28e17f72";
const SHA1: &str = "a9993e364706816aba3e25717850c26c9cd0d89d";

fn client() -> Client {
    let retry = Retry { delays: vec![Duration::ZERO; 2], longest: Duration::ZERO };
    Client::new(&ClientOptions { retry, ..ClientOptions::default() }).unwrap()
}

/// Fetches `abc` to `target` below `artifacts` of `into`.
fn get(into: &Path, target: &str, checksums: &[(Algorithm, &str)]) -> Result<Vec<FetchedArtifact>, ArtifactError> {
    let server = serve(|_| Answer::new(200, *b"abc"));
    let artifact = Artifact {
        url: server.url("/a.jar"),
        target: Target::below("artifacts", target).unwrap(),
        checksums: checksums.iter().map(|(algorithm, hex)| (*algorithm, (*hex).to_owned())).collect(),
    };
    fetch(&[artifact], into, &client(), 1 << 20)
}

#[test]
fn a_file_whose_checksums_are_right_is_there() {
    let clone = tempfile::tempdir().unwrap();
    let sha256 = Digest::of(b"abc");
    let all = [(Algorithm::Md5, MD5), (Algorithm::Sha1, SHA1), (Algorithm::Sha256, sha256.hex())];
    let fetched = get(clone.path(), "deep/er/a.jar", &all).unwrap();
    let path = "artifacts/deep/er/a.jar".to_owned();
    assert_eq!(fs::read(clone.path().join(&path)).unwrap(), b"abc");
    assert_eq!(fetched, [FetchedArtifact { path, digest: sha256, bytes: 3 }]);
}

#[test]
fn every_checksum_counts_and_nothing_is_left_of_a_wrong_file() {
    let clone = tempfile::tempdir().unwrap();
    let zeros = "0".repeat(40);
    let zeros = zeros.as_str();
    for checksums in [[(Algorithm::Md5, MD5), (Algorithm::Sha1, zeros)], [(Algorithm::Sha1, zeros); 2]] {
        let error = get(clone.path(), "a.jar", &checksums).unwrap_err();
        let expected = format!("/a.jar has sha1 {SHA1}, but {zeros} was asked for");
        assert!(error.to_string().ends_with(&expected), "{error}");
        assert_eq!(error.class(), Class::Refused);
    }
    assert_eq!(fs::read_dir(clone.path().join("artifacts")).unwrap().count(), 0);
}

#[test]
fn what_is_there_is_not_replaced() {
    let clone = tempfile::tempdir().unwrap();
    fs::create_dir(clone.path().join("artifacts")).unwrap();
    fs::write(clone.path().join("artifacts/a.jar"), "mine").unwrap();
    let error = get(clone.path(), "a.jar", &[(Algorithm::Md5, MD5)]).unwrap_err();
    let text = "artifacts/a.jar: in the repository there is already a file or folder of that name";
    assert_eq!((error.to_string().as_str(), error.class()), (text, Class::Source));
    assert_eq!(fs::read(clone.path().join("artifacts/a.jar")).unwrap(), b"mine");
}

#[test]
fn a_link_in_the_repository_leads_nowhere() {
    let (clone, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    symlink(outside.path(), clone.path().join("artifacts")).unwrap();
    let error = get(clone.path(), "a.jar", &[(Algorithm::Md5, MD5)]).unwrap_err();
    let text = "artifacts/a.jar: in the repository there is already artifacts, which is no folder";
    assert_eq!(error.to_string(), text);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn a_path_that_leads_out_is_none() {
    let refused = |text: &str| Target::below("artifacts", text).unwrap_err();
    for text in ["../a", "a/../../b", "..", "a/.."] {
        assert_eq!(refused(text), TargetError::Upwards, "{text}");
    }
    assert_eq!(refused("/etc/passwd"), TargetError::Absolute);
    for text in ["", ".", "./a", "a/", "a//b", "a\nb", "a/./b", "\0"] {
        assert_eq!(refused(text), TargetError::Name, "{text:?}");
    }
    assert_eq!(refused(&"a".repeat(2000)), TargetError::Long);
    for text in ["a", "a/b.jar", "..a", "a b", "é"] {
        assert_eq!(Target::below("artifacts", text).unwrap().to_string(), format!("artifacts/{text}"));
    }
}
