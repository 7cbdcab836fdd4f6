use super::*;
use crate::{Gateway, HostRule, RepositoryHosts, Rules};

/// The text a step sees; ids of servers become `A`, `B` … in the order they occur.
fn rewritten(text: &str, origin: Origin) -> String {
    let rewritten = rewrite("x.repo", text.as_bytes(), &Options::default(), (origin, &BTreeMap::new())).unwrap();
    let mut text = String::from_utf8(rewritten.content).unwrap();
    let mut ids: Vec<&str> = Vec::new();
    for found in &rewritten.found {
        if !ids.contains(&found.id.as_str()) {
            ids.push(&found.id);
        }
    }
    for (letter, id) in ('A'..).zip(ids) {
        text = text.replace(id, &letter.to_string());
    }
    text.replace("http://127.0.0.1:3128/", "G/")
}

#[track_caller]
fn check(origin: Origin, text: &str, expected: &str) {
    assert_eq!(rewritten(text, origin), expected);
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    let error = rewrite("x.repo", text.as_bytes(), &Options::default(), (Origin::Site, &BTreeMap::new())).unwrap_err();
    assert_eq!(error.to_string(), expected);
}

fn gateway(directory: &std::path::Path) -> Gateway {
    let store = store::Store::open(store::open_directory(directory).unwrap(), directory, "test").unwrap();
    Gateway::new(Options::default(), std::sync::Arc::new(store)).unwrap()
}

#[test]
fn urls_lead_through_the_gateway_and_the_rest_stays() {
    check(
        Origin::Site,
        "# c\n[a]\nname = A $basearch\nbaseurl = https://h:8443/a/$releasever/$basearch/os/\r\ngpgkey=file:///k https://h:8443/k?x=1\nenabled=1",
        "# c\n[a]\nname = A $basearch\nbaseurl = G/r/A/a/$releasever/$basearch/os/\r\ngpgkey=file:///k G/k/A/~2Fk~3Fx=1\nenabled=1",
    );
}

#[test]
fn several_base_urls_are_each_rewritten() {
    check(
        Origin::Site,
        "[a]\nbaseurl=http://x/1, http://y/2\n  http://x/3\n",
        "[a]\nbaseurl=G/r/A/1, G/r/B/2\n  G/r/A/3\n",
    );
}

#[test]
fn lists_become_base_urls() {
    check(
        Origin::Image,
        "[a]\nmetalink = https://m/metalink?repo=f-$releasever&arch=$basearch\n",
        "[a]\nbaseurl =G/m/A/~2Fmetalink~3Frepo=f-$releasever&arch=$basearch/\n",
    );
    check(
        Origin::Image,
        "[a]\nmirrorlist=https://m/l?p=https,http\nx=1\nbaseurl=https://n/b\n",
        "[a]\nx=1\nbaseurl=G/l/A/~2Fl~3Fp=https~2Chttp/ G/r/B/b\n",
    );
}

#[test]
fn keys_of_the_builder_are_gone() {
    let keys = "username=u\npassword=p\nsslverify=0\nsslcacert=/x\nproxy=http://p:1\nproxy_password=q\n";
    check(Origin::Site, &format!("[a]\nbaseurl=http://x/\n{keys}gpgcheck=1\n"), "[a]\nbaseurl=G/r/A/\ngpgcheck=1\n");
    check(Origin::Image, "[a]\nbaseurl=http://x/\nsslverify=0\n", "[a]\nbaseurl=G/r/A/\n#gateway: sslverify=0\n");
}

#[test]
fn only_a_site_switches_verification_off() {
    let found = |origin| {
        let text = b"[a]\nbaseurl=https://x/\nsslverify=0\nproxy=_none_\n";
        let found = rewrite("x", text, &Options::default(), (origin, &BTreeMap::new())).unwrap().found;
        (found[0].hidden.tls, found[0].hidden.proxy.is_some())
    };
    assert_eq!(found(Origin::Site), (Tls::NoVerify, true));
    assert_eq!(found(Origin::Image), (Tls::Verify, false));
}

#[test]
fn the_same_file_gives_the_same_text_and_a_new_password_does_not_change_it() {
    let text = |password: &str, origin| {
        let text = format!("[a]\nbaseurl=https://x/\nusername=u\npassword={password}\n");
        rewrite("x", text.as_bytes(), &Options::default(), (origin, &BTreeMap::new())).unwrap().content
    };
    assert_eq!(text("1", Origin::Site), text("2", Origin::Site));
    assert_ne!(text("1", Origin::Site), text("1", Origin::Image));
}

#[test]
fn mistakes_of_a_site_are_named_with_their_line() {
    check_error(
        "[a]\nbaseurl=https://$host/x\n",
        "x.repo:2: repository [a]: https://$host/x has a variable in its scheme or host, which the gateway must know; write them out",
    );
    check_error(
        "[a]\nbaseurl=ftp://u:p@h/x?t=1\n",
        "x.repo:2: repository [a]: ftp://h/x is neither an http nor an https nor a file URL",
    );
    check_error(
        "[a]\nbaseurl=https://h/a/%2e%2e/b\n",
        "x.repo:2: repository [a]: https://h/a/%2e%2e/b is not a URL the gateway can serve: it has a dot segment",
    );
    check_error(
        "[a]\nbaseurl=https://h/?t=$v\n",
        "x.repo:2: repository [a]: https://h/ has a variable in its query, which the gateway keeps to itself",
    );
    check_error(
        "[a]\nbaseurl=https://h/\nsslverify=perhaps\n",
        "x.repo:3: sslverify is \"perhaps\"; it must be 1 or 0 (or yes, no, true, false, on, off)",
    );
    check_error("", "x.repo:1: no repository in the file; it needs a section such as [my-repo]");
}

#[test]
fn what_an_image_got_wrong_stays_as_it_is() {
    for text in [
        "",
        "# nothing\n",
        "x\n[a\n[b]\n  y\nz\n",
        "[a]\nbaseurl=https://$host/x\n",
        "[a]\nbaseurl=ftp://h/x\nmetalink=nonsense\n",
        "[a]\nbaseurl=\n",
    ] {
        check(Origin::Image, text, text);
    }
    let latin = b"[a]\nname=\xe4\nbaseurl=http://h/\n";
    let rewritten = rewrite("x", latin, &Options::default(), (Origin::Image, &BTreeMap::new())).unwrap();
    assert_eq!(rewritten.content, latin);
}

#[test]
fn an_image_may_name_only_the_hosts_it_may() {
    let rules: HostRule = "known.example".parse().unwrap();
    let hosts = RepositoryHosts::Listed(vec!["listed.example".parse().unwrap()]);
    let options = Options { rules: Rules { hosts: vec![rules] }, repository_hosts: hosts, ..Options::default() };
    let text = b"[a]\nbaseurl=https://listed.example/ https://known.example/ https://other.example/\n";
    let found = rewrite("x", text, &options, (Origin::Image, &BTreeMap::new())).unwrap().found;
    let hosts: Vec<&str> = found.iter().filter_map(|found| found.hidden.base.host_str()).collect();
    assert_eq!(hosts, ["listed.example", "known.example"]);
    let found = rewrite("x", text, &options, (Origin::Site, &BTreeMap::new())).unwrap().found;
    assert_eq!(found.len(), 3);
}

#[test]
fn what_an_image_wrote_comes_back() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = gateway(directory.path());
    for text in [
        "[a]\nbaseurl=https://u:p@h:8443/a/$releasever/?t=1\ngpgkey = https://h/k file:///k\nproxy=http://p\n",
        "[a]\nmetalink=https://m/metalink?repo=f-$releasever&arch=$basearch\nenabled=0\n",
        "[a]\nmirrorlist=https://m/l?a=1,2\nbaseurl=http://x/y\n",
        "[a]\nmirrorlist=https://m/l\r\n",
    ] {
        let rewritten = gateway.rewrite("x", text.as_bytes(), Origin::Image, &BTreeMap::new()).unwrap();
        assert_ne!(rewritten, text.as_bytes());
        assert_eq!(String::from_utf8(gateway.restore(&rewritten)).unwrap(), text);
    }
}

#[test]
fn a_sites_secrets_do_not_come_back() {
    let directory = tempfile::tempdir().unwrap();
    let gateway = gateway(directory.path());
    let text = "[a]\nbaseurl=https://u:secret@h/a?token=secret\npassword=secret\n";
    let rewritten = gateway.rewrite("x", text.as_bytes(), Origin::Site, &BTreeMap::new()).unwrap();
    let restored = String::from_utf8(gateway.restore(&rewritten)).unwrap();
    assert_eq!(restored, "[a]\nbaseurl=https://h/a\n");
    assert!(!format!("{gateway:?}").contains("secret"));
}
