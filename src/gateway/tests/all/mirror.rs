//! Repositories through the gateway: what is verified, kept, and refused.

use std::time::Duration;

use oci::Digest;
use oci::digest::Algorithm;

use super::packages::{Draft, primary};
use super::*;
use crate::server::Body;

fn big() -> Vec<u8> {
    (0..1_000_000_u32).map(|number| (number % 251) as u8).collect()
}

fn lines(server: &Server, path: &str) -> usize {
    server.lines().iter().filter(|line| line.ends_with(path)).count()
}

#[test]
fn a_repository_is_served_and_recorded() {
    let store = tempfile::tempdir().unwrap();
    let all = Draft::new(&[("Packages/a.rpm", b"aaa"), ("Packages/b++.rpm", b"bb")]).files("/os/9");
    // What the step encodes more than the metadata does is asked for as the step wrote it.
    let mut served = all.clone();
    served.insert("/os/9/Packages/b%2B+.rpm".to_owned(), b"bb".to_vec());
    let server = files(served);
    let step = step(store.path(), options(&[]));
    let [base] = &step.site(&format!("baseurl={}", server.url("/os/$releasever/")))[..] else { panic!() };
    let base = base.replace("$releasever", "9");
    let list = primary(&all);
    let href = list.strip_prefix("/os/9/").unwrap();
    for path in ["repodata/repomd.xml", href, "Packages/a.rpm", "Packages/b%2B+.rpm"] {
        let (status, body) = step.get(&format!("{base}/{path}"));
        let expected = all.get(&format!("/os/9/{}", path.replace("%2B", "+")));
        assert_eq!((status, Some(&body)), (200, expected.filter(|_| status == 200)), "{path}");
    }
    let exchanges = step.finish();
    let package = &exchanges[2];
    assert_eq!(package.what, What::Package { repository: "r".to_owned() });
    assert_eq!(package.url, server.url("/os/9/Packages/a.rpm"));
    assert_eq!((package.status, package.bytes, package.fetched), (200, 3, 3));
    assert_eq!(package.digest, Some(Digest::of(b"aaa")));
    assert_eq!(package.verified_by, Some(format!("{} in {href}", Digest::of(b"aaa"))));
    assert_eq!(exchanges[1].verified_by, Some(format!("{} in repodata/repomd.xml", Digest::of(&all[&list]))));
    assert_eq!(
        (exchanges[0].digest.clone(), exchanges.len()),
        (Some(Digest::of(&all["/os/9/repodata/repomd.xml"])), 4)
    );
}

#[test]
fn a_second_build_downloads_no_package() {
    let store = tempfile::tempdir().unwrap();
    let server = files(Draft::new(&[("a.rpm", &big())]).files("/os"));
    let mut fetched = Vec::new();
    for _ in 0..2 {
        let step = step(store.path(), options(&[]));
        let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
        assert_eq!(step.get(&format!("{base}/a.rpm")), (200, big()));
        let last = step.finish().pop().unwrap();
        assert_eq!(last.bytes, 1_000_000);
        fetched.push(last.fetched >= 1_000_000);
    }
    assert_eq!((fetched, lines(&server, "/a.rpm")), (vec![true, false], 1));
}

#[test]
fn a_package_that_many_ask_for_is_downloaded_once() {
    let store = tempfile::tempdir().unwrap();
    let server = files(Draft::new(&[("a.rpm", &big())]).files("/os"));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(step.get(&format!("{base}/a.rpm")), (200, big())));
        }
    });
    assert_eq!((lines(&server, "/a.rpm"), lines(&server, "/repomd.xml")), (1, 1));
    assert_eq!(step.finish().iter().filter(|exchange| exchange.fetched >= 1_000_000).count(), 1);
}

#[test]
fn one_build_sees_one_state_of_a_repository() {
    let store = tempfile::tempdir().unwrap();
    let (old, new) = (Draft::new(&[("a.rpm", b"a")]).files("/os"), Draft::new(&[("a.rpm", b"b")]).files("/os"));
    let mut asked = 0;
    let (first, second) = (old.clone(), new);
    let server = serve(move |seen| {
        asked += 1;
        let files = if asked == 1 { &first } else { &second };
        files.get(&seen.target).map_or(Answer::new(404, ""), |content| Answer::new(200, content.clone()))
    });
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    for _ in 0..3 {
        assert_eq!(step.get(&format!("{base}/repodata/repomd.xml")).1, old["/os/repodata/repomd.xml"]);
    }
    assert_eq!(server.lines().len(), 1);
}

#[test]
fn a_tampered_package_is_never_whole() {
    for (content, tampered) in [
        (b"right".to_vec(), b"wrong".to_vec()),
        (big(), {
            let mut b = big();
            b[7] = 0xff;
            b
        }),
    ] {
        let store = tempfile::tempdir().unwrap();
        let mut all = Draft::new(&[("a.rpm", &content)]).files("/os");
        all.insert("/os/a.rpm".to_owned(), tampered.clone());
        let server = files(all);
        let step = step(store.path(), options(&[]));
        let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
        let (status, body) = step.get(&format!("{base}/a.rpm"));
        let is_small = content.len() < 1000;
        assert_eq!(status, if is_small { 502 } else { 0 });
        assert!(is_small || body.len() <= tampered.len() - (256 << 10), "{}", body.len());
        let last = step.finish().pop().unwrap();
        let expected = format!(
            "{}: its checksum is {}, and metadata says {}",
            server.url("/os/a.rpm"),
            Digest::of(&tampered),
            Digest::of(&content)
        );
        assert_eq!(why(&last), expected);
        assert!(!store.path().join("blobs/sha256").join(Digest::of(&tampered).hex()).exists());
    }
}

#[test]
fn a_package_of_another_size_or_cut_off_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let all =
        Draft::new(&[("a.rpm", b"aaaa"), ("b.rpm", b"bbbb"), ("c.rpm", b"cccc"), ("d.rpm", b"dddd")]).files("/os");
    let server = serve(move |seen| match seen.target.as_str() {
        "/os/a.rpm" => Answer::new(200, "aaaaa"),
        "/os/b.rpm" => Answer::with(200, Body::Cut(4, b"bb".to_vec())),
        "/os/c.rpm" => Answer::with(200, Body::Endless),
        "/os/d.rpm" => Answer::with(200, Body::Chunked(b"dddd".to_vec())),
        other => all.get(other).map_or(Answer::new(404, ""), |content| Answer::new(200, content.clone())),
    });
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    for path in ["a.rpm", "b.rpm", "c.rpm"] {
        assert_eq!(step.get(&format!("{base}/{path}")).0, 502, "{path}");
    }
    assert_eq!(step.get(&format!("{base}/d.rpm")), (200, b"dddd".to_vec()));
    let exchanges = step.finish();
    let expected = format!("{}: the server has 5 bytes, and metadata says 4", server.url("/os/a.rpm"));
    assert_eq!(why(&exchanges[0]), expected);
    assert!(why(&exchanges[2]).ends_with("larger than the 4 bytes metadata allows"), "{}", why(&exchanges[2]));
}

#[test]
fn tampered_metadata_is_refused() {
    let store = tempfile::tempdir().unwrap();
    let mut all = Draft::new(&[("a.rpm", b"a")]).files("/os");
    let path = primary(&all);
    all.get_mut(&path).unwrap()[20] ^= 1;
    let server = files(all);
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    assert_eq!(step.get(&format!("{base}{}", path.strip_prefix("/os").unwrap())).0, 502);
    assert_eq!(step.get(&format!("{base}/a.rpm")).0, 502);
    assert!(step.finish().iter().all(|exchange| why(exchange).contains("its checksum is")));
    assert_eq!(lines(&server, "/a.rpm"), 0);
}

#[test]
fn what_is_not_listed_is_not_served() {
    let store = tempfile::tempdir().unwrap();
    let mut all = Draft::new(&[("a.rpm", b"a")]).files("/os");
    for path in ["/os/b.rpm", "/os/repodata/x.xml", "/secret"] {
        all.insert(path.to_owned(), b"secret".to_vec());
    }
    let server = files(all);
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    let id = base.strip_suffix("/os").unwrap();
    let expected = [
        (format!("{base}/b.rpm"), 404, "b.rpm is not listed in the primary metadata of the repository r"),
        (
            format!("{base}/repodata/x.xml"),
            404,
            "repodata/x.xml is not listed in repodata/repomd.xml of the repository r",
        ),
        (format!("{base}/../secret"), 403, "it has a dot segment"),
        (format!("{base}/%2e%2E/secret"), 403, "it has a dot segment"),
        (format!("{base}/..%2fsecret"), 403, "it has an encoded slash or control character"),
        (format!("{id}/secret"), 404, "is below no URL"),
        (format!("{base}/a.rpm?x=1"), 404, "is below no URL"),
        ("/r/0123/os/a.rpm".to_owned(), 404, "is below no URL"),
        ("/".to_owned(), 404, "is below no URL"),
    ];
    for (target, status, _) in &expected {
        let (got, body) = step.get(target);
        assert_eq!(got, *status, "{target} {}", text(&body));
    }
    for (exchange, (target, status, reason)) in step.finish().iter().zip(&expected) {
        assert!(why(exchange).contains(reason), "{target}: {}", why(exchange));
        assert_eq!(exchange.status, *status);
    }
    assert_eq!(lines(&server, "secret") + lines(&server, "b.rpm") + lines(&server, "x.xml"), 0);
}

#[test]
fn weak_checksums_are_refused_with_the_remedy() {
    let store = tempfile::tempdir().unwrap();
    let mut draft = Draft::new(&[("a.rpm", b"a")]);
    draft.weak = Some(("sha", "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"));
    let server = files(draft.files("/os"));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    let expected = "repository r: a.rpm has only a sha checksum, which proves nothing; make the repository anew with createrepo_c --checksum sha256\n";
    let (status, body) = step.get(&format!("{base}/a.rpm"));
    assert_eq!((status, text(&body)), (502, expected));
}

#[test]
fn sha512_is_as_good() {
    let store = tempfile::tempdir().unwrap();
    let mut draft = Draft::new(&[("a.rpm", b"a")]);
    draft.algorithm = Algorithm::Sha512;
    let server = files(draft.files("/os"));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    for _ in 0..2 {
        assert_eq!(step.get(&format!("{base}/a.rpm")), (200, b"a".to_vec()));
    }
    assert_eq!(lines(&server, "/a.rpm"), 1);
    assert_eq!(step.finish()[0].digest, Some(Digest::of(b"a")));
}

#[test]
fn ranges_and_heads_are_answered_from_what_is_verified() {
    let store = tempfile::tempdir().unwrap();
    let server = files(Draft::new(&[("a.rpm", b"0123456789")]).files("/os"));
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    let ask = |method: &str, more: &str| {
        step.ask_whole(&format!("{method} {base}/a.rpm HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n"))
    };
    let (status, head, body) = ask("HEAD", "");
    assert_eq!((status, body.len(), lines(&server, "/a.rpm")), (200, 0, 0));
    assert!(head.contains("content-length: 10\r\n"), "{head}");
    let (status, head, body) = ask("GET", "Range: bytes=3-5\r\n");
    assert_eq!((status, body), (206, b"345".to_vec()));
    assert!(head.contains("content-range: bytes 3-5/10\r\n"), "{head}");
    let (status, head, _) = ask("GET", "Range: bytes=10-\r\n");
    assert!(status == 416 && head.contains("content-range: bytes */10\r\n"), "{head}");
    assert_eq!(ask("POST", "").0, 405);
}

#[test]
fn the_sites_credentials_go_to_its_server_and_not_along_a_redirect() {
    let store = tempfile::tempdir().unwrap();
    let all = Draft::new(&[("a.rpm", b"a")]).files("/os");
    let other = files(all.clone());
    let target = other.url("/os/a.rpm");
    let server = serve(move |seen| match (seen.target.as_str(), seen.header("authorization")) {
        (_, None) => Answer::new(401, ""),
        ("/os/a.rpm", Some(_)) => Answer::new(302, "").header("Location", &target),
        (path, Some(_)) => all.get(path).map_or(Answer::new(404, ""), |content| Answer::new(200, content.clone())),
    });
    let step = step(store.path(), options(&["127.0.0.1:*"]));
    let line = format!("baseurl={}\nusername=user\npassword=pass", server.url("/os"));
    let base = step.site(&line).remove(0);
    assert_eq!(step.get(&format!("{base}/a.rpm")), (200, b"a".to_vec()));
    assert_eq!(server.seen()[0].header("authorization"), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(other.seen()[0].header("authorization"), None);
}

#[test]
fn neither_an_image_nor_a_redirect_leads_to_the_builder_itself() {
    let store = tempfile::tempdir().unwrap();
    let secret = files(Draft::new(&[("a.rpm", b"a")]).files("/os"));
    let target = secret.url("/os/repodata/repomd.xml");
    let server = serve(move |_| Answer::new(302, "").header("Location", &target));
    let step = step(store.path(), options(&[]));
    let image = step.rewrite(&format!("baseurl={}", secret.url("/os")), Origin::Image).remove(0);
    let site = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    let metadata = step.rewrite("baseurl=http://169.254.169.254/latest", Origin::Image).remove(0);
    for base in [image, site, metadata] {
        let (status, body) = step.get(&format!("{base}/repodata/repomd.xml"));
        assert_eq!(status, 403);
        assert!(text(&body).contains("is a local address, which a step may not reach"), "{}", text(&body));
    }
    assert_eq!(secret.lines().len(), 0);
}

#[test]
fn only_keys_are_served_as_keys() {
    let store = tempfile::tempdir().unwrap();
    let key = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nx\n".to_vec();
    let all = [("/key?v=1".to_owned(), key.clone()), ("/secret".to_owned(), b"{\"secret\": 1}".to_vec())];
    let server = files(all.into());
    let step = step(store.path(), options(&[]));
    let line = format!("baseurl=http://x.example/\ngpgkey={} {}", server.url("/key?v=1"), server.url("/secret"));
    let urls = step.site(&line);
    assert_eq!(step.get(&urls[1]), (200, key.clone()));
    assert_eq!(step.get(&urls[2]).0, 502);
    let exchanges = step.finish();
    assert_eq!(exchanges[0].what, What::Key { repository: "r".to_owned() });
    assert_eq!(exchanges[0].digest, Some(Digest::of(&key)));
    assert!(why(&exchanges[1]).ends_with("in gpgkey of the repository r is not an OpenPGP public key"));
}

#[test]
fn signatures_of_repomd_pass() {
    let store = tempfile::tempdir().unwrap();
    let mut all = Draft::new(&[]).files("/os");
    all.insert("/os/repodata/repomd.xml.asc".to_owned(), b"signature".to_vec());
    let server = files(all);
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    assert_eq!(step.get(&format!("{base}/repodata/repomd.xml.asc")), (200, b"signature".to_vec()));
    assert_eq!(step.get(&format!("{base}/repodata/repomd.xml.key")).0, 404);
}

#[test]
fn the_end_of_a_step_ends_its_downloads() {
    let store = tempfile::tempdir().unwrap();
    let all = Draft::new(&[("a.rpm", &big())]).files("/os");
    let server = serve(move |seen| match seen.target.as_str() {
        "/os/a.rpm" => Answer::with(200, Body::Drip(Duration::from_millis(20))),
        other => all.get(other).map_or(Answer::new(404, ""), |content| Answer::new(200, content.clone())),
    });
    let step = step(store.path(), options(&[]));
    let base = step.site(&format!("baseurl={}", server.url("/os"))).remove(0);
    let mut stream = TcpStream::connect(step.address).unwrap();
    write!(stream, "GET {base}/a.rpm HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    while lines(&server, "/a.rpm") == 0 {
        std::thread::yield_now();
    }
    let began = std::time::Instant::now();
    let exchanges = step.finish();
    assert!(began.elapsed() < Duration::from_secs(4));
    assert_eq!((exchanges.len(), exchanges[0].bytes), (1, 0));
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
}
