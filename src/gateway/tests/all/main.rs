//! The gateway between hostile steps and hostile servers, over real sockets.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked as tests, not their helpers")]

mod hostile;
mod lists;
mod mirror;
mod packages;
mod proxy;
#[path = "../../../http/tests/all/server.rs"]
#[expect(dead_code, reason = "the tests of `http` need more of it")]
mod server;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{ClientOptions, Retry};
use server::{Answer, Server, serve};
use store::Store;
use stratum_gateway::{Exchange, Gateway, Options, Origin, Rules, Serving, What};

/// A gateway that serves one step.
struct Step {
    gateway: Gateway,
    serving: Serving,
    address: SocketAddr,
}

fn options(rules: &[&str]) -> Options {
    let retry = Retry { delays: vec![Duration::ZERO; 2], longest: Duration::ZERO };
    let http = ClientOptions { retry, idle_timeout: Duration::from_secs(5), ..ClientOptions::default() };
    let rules = Rules { hosts: rules.iter().map(|rule| rule.parse().unwrap()).collect() };
    Options { http, rules, ..Options::default() }
}

fn step(store: &Path, options: Options) -> Step {
    let store = Store::open(store::open_directory(store).unwrap(), store, "test").unwrap();
    let gateway = Gateway::new(options, Arc::new(store)).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = gateway.serve(listener, "test").unwrap();
    Step { gateway, serving, address }
}

impl Step {
    /// Rewrites a site's file with the one line `line` in the section `[r]`; the URLs in it as paths of the gateway.
    fn site(&self, line: &str) -> Vec<String> {
        self.rewrite(line, Origin::Site)
    }

    fn rewrite(&self, line: &str, origin: Origin) -> Vec<String> {
        let text = format!("[r]\nname=R\n{line}\n");
        let text = self.gateway.rewrite("r.repo", text.as_bytes(), origin, &BTreeMap::new()).unwrap();
        let text = String::from_utf8(text).unwrap();
        let urls = text.split([' ', '\n']).filter_map(|word| Some(word.split_once("http://127.0.0.1:3128")?.1));
        urls.map(|path| path.trim_end_matches('/').to_owned()).collect()
    }

    fn get(&self, target: &str) -> (u16, Vec<u8>) {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    }

    /// Sends `request` as it is, and reads until the end; the status is 0 for a body that was cut.
    fn ask(&self, request: &str) -> (u16, Vec<u8>) {
        let (status, head, body) = self.ask_whole(request);
        let announced = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let is_cut = !request.starts_with("HEAD") && announced.is_some_and(|announced| announced != body.len());
        (if is_cut { 0 } else { status }, body)
    }

    fn ask_whole(&self, request: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A reset after the answer is as good as an end.
        drop(stream.read_to_end(&mut answer));
        drop(stream.shutdown(Shutdown::Both));
        let end = answer.windows(4).position(|window| window == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        (status, head, answer[end..].to_vec())
    }

    fn finish(self) -> Vec<Exchange> {
        self.serving.finish()
    }
}

/// Why the exchange was refused.
fn why(exchange: &Exchange) -> &str {
    match &exchange.what {
        What::Refused { why } => why,
        What::Metadata { .. } | What::Package { .. } | What::Key { .. } | What::Proxied { .. } | What::Tunnel => "",
    }
}

/// A server with `files` by path.
fn files(files: BTreeMap<String, Vec<u8>>) -> Server {
    serve(move |seen| match files.get(&seen.target) {
        Some(content) => Answer::new(200, content.clone()),
        None => Answer::new(404, "not here"),
    })
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}
