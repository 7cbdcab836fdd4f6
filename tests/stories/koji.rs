//! A build asks Koji: which release is free, that its name is not taken, and that nobody else takes it meanwhile.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::binary::Outcome;
use crate::support::hub::{BuildState, Hub as StandIn};
use crate::support::image::Image;
use crate::support::scratch::Scratch;
use crate::support::testdata;
use crate::support::web::free_port;

const DOCKERFILE: &str =
    "FROM scratch\nLABEL com.redhat.component=hello-container version=1.0 name=hello\nCOPY Dockerfile /Dockerfile\n";
const NEXT: (&str, &str) = ("getNextRelease", "<string>3.2.fc43</string>");
const NO_BUILD: (&str, &str) = ("getBuild", "<nil/>");
const LOGIN: (&str, &str) = (
    "login",
    "<struct><member><name>session-id</name><value><int>1</int></value></member>\
     <member><name>session-key</name><value>key</value></member>\
     <member><name>header-auth</name><value><boolean>1</boolean></value></member></struct>",
);
const RESERVED: (&str, &str) = (
    "CGInitBuild",
    "<struct><member><name>build_id</name><value><int>7</int></value></member>\
     <member><name>token</name><value>hidden-token</value></member></struct>",
);
const REFUNDED: (&str, &str) = ("CGRefundBuild", "<nil/>");

/// A hub that answers a call with the same value each time, and notes the calls.
struct Hub {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Hub {
    fn start(answers: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/kojihub", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (mut reader, mut length) = (BufReader::new(stream.try_clone().unwrap()), 0);
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                    if line.trim().is_empty() {
                        break;
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let body = String::from_utf8(body).unwrap();
                let call = body.split_once("<methodName>").unwrap().1.split_once('<').unwrap().0.to_owned();
                let value = answers.iter().find(|(name, _)| *name == call).map_or("", |(_, value)| value);
                noted.lock().unwrap().push(call);
                let text =
                    format!("<methodResponse><params><param><value>{value}</value></param></params></methodResponse>");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", text.len());
                // A client that has gone away is no matter of the server's.
                let _answered = stream.write_all(format!("{head}{text}").as_bytes());
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Builds with a site that has this hub; `more` is in its `koji`.
fn build(scratch: &Scratch, hub: &str, more: &str, dockerfile: &str) -> Outcome {
    scratch.write("password", "secret\n");
    let site = format!("version: 1\nkoji: {{hub_url: '{hub}', root_url: '{hub}/files'{more}}}\n");
    let site = scratch.write("site.yaml", site);
    let (site, context) = (site.to_str().unwrap(), scratch.context("context", dockerfile));
    let output = format!("oci:{}:1", scratch.at("image"));
    scratch.stratum(&["build", "--retry", "0", "--config", site, "-o", &output, &context]).run()
}

fn release(scratch: &Scratch) -> String {
    let image = Image::in_layout(scratch.path().join("image"), Some("1"));
    image.config["config"]["Labels"]["release"].as_str().unwrap().to_owned()
}

const RESERVES: &str = ", reserve_build: true, auth: {user: osbs, password_file: password}";

#[test]
fn the_image_has_the_release_that_is_free_in_koji() {
    let (scratch, hub) = (Scratch::new(), Hub::start(&[NEXT, NO_BUILD]));
    build(&scratch, &hub.url, "", DOCKERFILE).expect(0).says("bump_release: label release");
    assert_eq!(release(&scratch), "3.fc43");
    assert_eq!(hub.asked(), ["getNextRelease", "getBuild"]);
}

#[test]
fn a_build_that_is_in_koji_already_is_refused() {
    const COMPLETE: &str = "<struct><member><name>id</name><value><int>12</int></value></member>\
        <member><name>nvr</name><value>hello-container-1.0-4</value></member>\
        <member><name>state</name><value><int>1</int></value></member></struct>";
    let (scratch, hub) = (Scratch::new(), Hub::start(&[("getBuild", COMPLETE)]));
    let outcome = build(&scratch, &hub.url, "", &format!("{DOCKERFILE}LABEL release=4\n"));
    outcome.expect(5).says("hello-container-1.0-4 is in Koji already, as build 12");
    assert!(!scratch.path().join("image/index.json").exists());
}

#[test]
fn a_hub_that_is_away_is_worth_another_try() {
    let (scratch, hub) = (Scratch::new(), format!("http://127.0.0.1:{}/kojihub", free_port()));
    build(&scratch, &hub, "", DOCKERFILE).expect(7).says("getNextRelease").says(&hub).says("cannot connect");
}

#[test]
fn a_reservation_of_a_build_that_fails_is_given_back_and_its_token_is_not_shown() {
    let (scratch, hub) = (Scratch::new(), Hub::start(&[NEXT, NO_BUILD, LOGIN, RESERVED, REFUNDED]));
    let outcome = build(&scratch, &hub.url, RESERVES, &format!("{DOCKERFILE}COPY nosuch /\n")).expect(3);
    assert!(!outcome.stderr.contains("hidden-token") && !outcome.stderr.contains("secret"), "{}", outcome.stderr);
    assert_eq!(hub.asked(), ["getNextRelease", "getBuild", "login", "CGInitBuild", "CGRefundBuild"]);
}

#[test]
fn a_reservation_of_a_build_that_is_told_to_stop_is_given_back() {
    let (scratch, hub) = (Scratch::new(), Hub::start(&[NEXT, NO_BUILD, LOGIN, RESERVED, REFUNDED]));
    let site = format!(
        "version: 1\nnetwork: {{mode: none}}\nkoji: {{hub_url: '{0}', root_url: '{0}/files'{RESERVES}}}\n",
        hub.url
    );
    scratch.write("password", "secret\n");
    let site = scratch.write("site.yaml", site);
    let base = format!("base=oci:{}:42", scratch.copy(&testdata("base/oci"), "base"));
    let labels = "LABEL com.redhat.component=hello-container name=hello version=1.0\n";
    let context = scratch.context("context", &format!("FROM base\n{labels}RUN echo now; sleep 60\n"));
    let output = format!("oci:{}:1", scratch.at("image"));
    let options = ["build", "--config", site.to_str().unwrap(), "--build-context", &base, "-o", &output, &context];
    let mut running = scratch.stratum(&options).start();
    running.until("now").signal("TERM");
    running.wait().expect(8);
    assert_eq!(hub.asked().last().map(String::as_str), Some("CGRefundBuild"));
}

#[test]
fn nothing_is_reserved_where_nothing_is_built() {
    let (scratch, hub) = (Scratch::new(), Hub::start(&[NEXT, NO_BUILD, LOGIN, RESERVED, REFUNDED]));
    let site = format!("version: 1\nkoji: {{hub_url: '{0}', root_url: '{0}/files'{RESERVES}}}\n", hub.url);
    scratch.write("password", "secret\n");
    let site = scratch.write("site.yaml", site);
    let context = scratch.context("context", DOCKERFILE);
    let arguments = ["build", "--dry-run", "--config", site.to_str().unwrap(), &context];
    scratch.stratum(&arguments).run().expect(0);
    assert_eq!(hub.asked(), ["getNextRelease", "getBuild"]);
}

#[test]
fn a_reservation_without_a_way_to_log_in_is_refused() {
    let (scratch, hub) = (Scratch::new(), Hub::start(&[NEXT, NO_BUILD]));
    let more = ", reserve_build: true, auth: {krb_principal: p, krb_keytab_path: /k}";
    let text = "koji.auth.krb_principal: logging in with Kerberos is not possible yet";
    build(&scratch, &hub.url, more, DOCKERFILE).expect(2).says(text);
}

#[test]
fn a_hub_checked_against_koji_reserves_a_release_and_takes_it_back() {
    let scratch = Scratch::new();
    let Some(hub) = StandIn::start(&scratch) else { return };
    let more = format!("{RESERVES}, content_generator: stratum-cg");
    let state = || hub.build("hello-container-1.0-1")["state"].as_u64().unwrap();
    build(&scratch, &hub.url(), &more, &format!("{DOCKERFILE}COPY nosuch /\n")).expect(3);
    assert_eq!(state(), BuildState::Failed as u64);
    build(&scratch, &hub.url(), &more, DOCKERFILE).expect(0);
    assert_eq!(release(&scratch), "1", "the name of a failed build can be taken over");
    assert_eq!(state(), BuildState::Building as u64);
    build(&scratch, &hub.url(), "", DOCKERFILE).expect(0);
    assert_eq!(release(&scratch), "2");
}
