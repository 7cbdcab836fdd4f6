//! A step's only way out: what the site allows, and nothing else.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::builder::{Builder, as_everyone};
use crate::support::pod::Pod;
use crate::support::scratch::{Person, Scratch};
use crate::support::testdata;
use crate::support::web::serve;

/// A server with one file, and its address.
fn server(scratch: &Scratch) -> String {
    scratch.write("www/file", "from the server\n");
    serve(scratch.path().join("www"), "127.0.0.1:0").unwrap()
}

fn record(scratch: &Scratch) -> Value {
    serde_json::from_str(&std::fs::read_to_string(scratch.at("record.json")).unwrap()).unwrap()
}

#[test]
fn without_the_proxy_a_step_reaches_nothing() {
    as_everyone(|builder| {
        let host = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = host.local_addr().unwrap().port();
        let dockerfile = format!(
            "FROM base\n\
             RUN ! nc -w 2 127.0.0.1 {port} </dev/null\n\
             RUN ! nslookup example.org\n\
             RUN unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY; ! wget -T 2 -O- http://192.0.2.1/\n\
             RUN test $(grep -c : /proc/net/dev) = 1\n"
        );
        builder.build_with(&dockerfile, &["--network", "gateway"]).expect(0);
    });
}

#[test]
fn a_host_that_is_not_allowed_is_refused_by_name() {
    let builder = Builder::new(Person::Me).unwrap();
    let outcome = builder.build_with("FROM base\nRUN wget -O- http://example.org/x\n", &["--network", "gateway"]);
    outcome.expect(4).says("example.org:80 may not be reached by a build step; the site's network.allow decides");
}

#[test]
fn a_host_that_is_allowed_is_reached_and_recorded() {
    as_everyone(|builder| {
        let address = server(&builder.scratch);
        let dockerfile = format!("FROM base\nRUN wget -O /got http://{address}/file\n");
        let record_path = builder.scratch.at("record.json");
        let arguments = ["--network", "gateway", "--allow-host", &address, "--record", &record_path];
        builder.build_with(&dockerfile, &arguments).expect(0);
        assert_eq!(builder.image().top_layer().text("got"), "from the server\n");
        let exchange = &record(&builder.scratch)["stages"][0]["steps"][0]["network"][0];
        assert_eq!((&exchange["kind"], &exchange["status"]), (&"proxied".into(), &200.into()));
        assert_eq!(exchange["url"], format!("http://{address}/file"));
        assert_eq!(exchange["bytes"], 16);
        assert!(exchange["digest"].as_str().unwrap().starts_with("sha256:"));
    });
}

#[test]
fn the_host_network_is_not_to_be_had_in_a_step() {
    let builder = Builder::new(Person::Me).unwrap();
    let outcome = builder.build_with("FROM base\nRUN --network=host true\n", &["--network", "gateway"]);
    outcome.expect(5).says("--network=host is not allowed here").says("Dockerfile:2:1");
}

const REPOSITORY: &str = "[x]\nname=x\nbaseurl=http://repo.example/$releasever/\nenabled=0\n";

/// What a step changes of the image's repository files stays, with the image's own URLs; nothing else does.
#[test]
fn repository_files_of_the_image_stay_its_own() {
    as_everyone(|builder| {
        for name in ["changed", "removed", "kept"] {
            builder.scratch.write(&format!("context/{name}.repo"), REPOSITORY);
        }
        builder.scratch.write("site.repo", "[s]\nname=s\nbaseurl=http://site.example/\n");
        let dockerfile = "FROM base AS b\n\
            COPY *.repo /etc/yum.repos.d/\n\
            FROM b\n\
            RUN grep -q 'http://127.0.0.1:3128/' /etc/yum.repos.d/changed.repo\n\
            RUN test -e /etc/yum.repos.d/site.repo && ! grep -r example /etc/yum.repos.d\n\
            RUN sed -i s/enabled=0/enabled=1/ /etc/yum.repos.d/changed.repo && rm /etc/yum.repos.d/removed.repo\n\
            RUN echo '[n]' > /etc/yum.repos.d/new.repo\n";
        let site = builder.scratch.at("site.repo");
        builder.build_with(dockerfile, &["--network", "gateway", "--add-repo", &site]).expect(0);
        let tree = builder.image().tree();
        let text = |name: &str| tree.text(&format!("etc/yum.repos.d/{name}.repo"));
        assert_eq!(text("changed"), REPOSITORY.replace("enabled=0", "enabled=1"));
        assert_eq!(text("kept"), REPOSITORY);
        assert_eq!(text("new"), "[n]\n");
        assert!(!tree.has("etc/yum.repos.d/removed.repo") && !tree.has("etc/yum.repos.d/site.repo"));
    });
}

#[test]
fn pods_that_allow_steps_have_the_gateway_too() {
    for profile in ["anyuid", "custom-privileged", "nested-container", "restricted-v2-oldcrio"] {
        let Some(pod) = Pod::new(profile) else { return };
        let scratch = Scratch::new();
        let address = server(&scratch);
        let base = format!("base=oci:{}:42", scratch.copy(&testdata("base/oci"), "base"));
        let dockerfile = format!("FROM base\nRUN wget -O /got http://{address}/file && ! nslookup example.org\n");
        let context = scratch.context("context", &dockerfile);
        let output = format!("oci:{}", scratch.at("out/image"));
        let arguments = ["build", "--network", "gateway", "--allow-host", &address, "--build-context", &base];
        let command: Vec<&str> = arguments.into_iter().chain(["-o", &output, &context]).collect();
        pod.stratum(&scratch, &command).run().expect(0);
    }
}
