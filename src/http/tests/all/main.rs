//! The client against servers that misbehave.

#![expect(clippy::unwrap_used, reason = "clippy knows only functions marked as tests, not their helpers")]

mod cancel;
mod requests;
mod server;
mod tunnel;
mod uploads;

use std::time::Duration;

use stratum_http::{Client, ClientOptions, Method, Request, Retry, Url};

/// A client that does not wait long.
fn client() -> Client {
    Client::new(&quick()).unwrap()
}

fn quick() -> ClientOptions {
    let retry = Retry { delays: vec![Duration::ZERO; 3], longest: Duration::from_secs(1) };
    let (connect_timeout, idle_timeout) = (Duration::from_secs(5), Duration::from_millis(400));
    ClientOptions { retry, connect_timeout, idle_timeout, ..ClientOptions::default() }
}

fn get(url: &str) -> Request {
    Request::new(Method::GET, Url::parse(url).unwrap())
}
