//! Metalinks and mirror lists: which mirror is believed.

use oci::Digest;

use super::packages::Draft;
use super::*;

fn metalink(repomd: &str, mirrors: &[String]) -> Vec<u8> {
    let urls: String = (0..)
        .zip(mirrors)
        .map(|(number, url)| {
            format!("<url protocol=\"http\" type=\"http\" preference=\"{}\">{url}</url>", 100 - number)
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?><metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"><files>\
         <file name=\"repomd.xml\"><verification>{repomd}</verification><resources>{urls}</resources></file></files></metalink>"
    )
    .into_bytes()
}

fn hash(repomd: &[u8]) -> String {
    format!("<hash type=\"sha256\">{}</hash>", Digest::of(repomd).hex())
}

/// A server of metalinks and lists whose one answer is `content`.
fn lists(content: Vec<u8>) -> Server {
    serve(move |_| Answer::new(200, content.clone()))
}

#[test]
fn mirrors_that_fail_lie_or_are_behind_are_passed_over() {
    let store = tempfile::tempdir().unwrap();
    let (all, stale) = (Draft::new(&[("a.rpm", b"a")]).files("/os"), Draft::new(&[("a.rpm", b"b")]).files("/os"));
    let repomd = all["/os/repodata/repomd.xml"].clone();
    let mut tampered = all.clone();
    tampered.insert("/os/a.rpm".to_owned(), b"x".to_vec());
    let mirrors = [files(BTreeMap::new()), files(stale), files(tampered), files(all)];
    let urls: Vec<String> = mirrors.iter().map(|mirror| mirror.url("/os/repodata/repomd.xml")).collect();
    let list = lists(metalink(&hash(&repomd), &urls));
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let base = step.site(&format!("metalink={}", list.url("/m?repo=f-$releasever&arch=$basearch"))).remove(0);
    let base = base.replace("$releasever", "42").replace("$basearch", "x86_64");
    assert_eq!(step.get(&format!("{base}/repodata/repomd.xml")), (200, repomd.clone()));
    assert_eq!(step.get(&format!("{base}/a.rpm")), (200, b"a".to_vec()));
    assert_eq!(list.lines(), ["GET /m?repo=f-42&arch=x86_64"]);
    let exchanges = step.finish();
    assert_eq!(exchanges[0].verified_by, Some(format!("{} in metalink", Digest::of(&repomd))));
    assert_eq!(exchanges[0].url, urls[2]);
}

#[test]
fn no_mirror_with_what_the_metalink_says_is_a_refusal() {
    let store = tempfile::tempdir().unwrap();
    let mirror = files(Draft::new(&[]).files("/os"));
    let url = mirror.url("/os/repodata/repomd.xml");
    let list = lists(metalink(&hash(b"other"), std::slice::from_ref(&url)));
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let base = step.site(&format!("metalink={}", list.url("/m"))).remove(0);
    let (status, body) = step.get(&format!("{base}/repodata/repomd.xml"));
    assert_eq!(
        (status, text(&body)),
        (502, format!("repository r: {url} is not the file its metalink describes\n").as_str())
    );
}

#[test]
fn a_metalink_with_weak_checksums_only_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let mirror = files(Draft::new(&[]).files("/os"));
    let weak = "<hash type=\"md5\">0cc175b9c0f1b6a831c399e269772661</hash>";
    let list = lists(metalink(weak, &[mirror.url("/os/repodata/repomd.xml")]));
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let base = step.site(&format!("metalink={}", list.url("/m"))).remove(0);
    let (status, body) = step.get(&format!("{base}/repodata/repomd.xml"));
    assert_eq!(status, 502);
    assert!(text(&body).starts_with("repository r: its metalink has only a md5 checksum"), "{}", text(&body));
}

#[test]
fn a_metalink_does_not_lead_to_the_builder_itself() {
    let store = tempfile::tempdir().unwrap();
    let mirror = files(Draft::new(&[]).files("/os"));
    let list = lists(metalink(&hash(b""), &[mirror.url("/os/repodata/repomd.xml")]));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("metalink={}", list.url("/m"))).remove(0);
    assert_eq!(step.get(&format!("{base}/repodata/repomd.xml")).0, 403);
    assert_eq!(mirror.lines().len(), 0);
}

#[test]
fn a_mirror_list_is_tried_in_order() {
    let store = tempfile::tempdir().unwrap();
    let (empty, mirror) = (files(BTreeMap::new()), files(Draft::new(&[("a.rpm", b"a")]).files("/os")));
    let list = lists(format!("# mirrors\n{}\n{}\n", empty.url("/os"), mirror.url("/os/")).into_bytes());
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let base = step.site(&format!("mirrorlist={}", list.url("/l?p=https,http"))).remove(0);
    assert_eq!(step.get(&format!("{base}/a.rpm")), (200, b"a".to_vec()));
    assert_eq!(list.lines(), ["GET /l?p=https,http"]);
    assert_eq!(empty.lines(), ["GET /os/repodata/repomd.xml"]);
}

#[test]
fn only_values_of_variables_can_be_put_into_a_list_url() {
    let store = tempfile::tempdir().unwrap();
    let list = lists(b"x".to_vec());
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("metalink={}", list.url("/m?repo=$r"))).remove(0);
    for value in ["1&x=2", "1~26x=2", "1~2Fy", "1~0D~0A"] {
        let (status, _) = step.get(&format!("{}/repodata/repomd.xml", base.replace("$r", value)));
        assert_eq!(status, 404, "{value}");
    }
    assert_eq!(list.lines().len(), 0);
}
