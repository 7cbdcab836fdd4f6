//! The protocol against a real registry, and against one that misbehaves on demand.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "clippy knows only functions marked as tests, not their helpers"
)]

mod auth;
mod docker_registry;
mod killed;
mod mirrors;
mod pull;
mod push;
mod real;
mod referrers;
mod resume;
#[path = "../../../http/tests/all/server.rs"]
mod server;

use std::time::Duration;

use http::{ClientOptions, Retry};
use oci::manifest::media_type;
use oci::{Descriptor, Digest, Format, Manifest, Reference};
use stratum_registry::{Credentials, Options, Registries, RegistriesConf, RegistryError, Tls};

/// Options that do not wait, for registries without TLS or with any certificate.
fn quick(credentials: Credentials) -> Options {
    let retry = Retry { delays: vec![Duration::ZERO; 3], longest: Duration::from_secs(1) };
    let http = ClientOptions { retry, idle_timeout: Duration::from_secs(5), ..ClientOptions::default() };
    Options { tls: Tls::NoVerify, credentials, http, ..Options::default() }
}

/// What a registries.conf with `text` says.
fn conf(text: &str) -> RegistriesConf {
    RegistriesConf::parse("registries.conf", text).unwrap()
}

fn anonymous() -> Registries {
    Registries::new(quick(Credentials::default())).unwrap()
}

fn with(user_and_password: &str) -> Registries {
    Registries::new(quick(Credentials::everywhere(user_and_password).unwrap())).unwrap()
}

/// `name` at `address`.
fn image(address: std::net::SocketAddr, name: &str) -> Reference {
    format!("{address}/{name}").parse().unwrap()
}

/// Resolves an image that must be refused, and tells whether the error says that credentials were sent.
fn is_refused_with_credentials(registries: &Registries, image: &Reference) -> bool {
    let error = registries.resolve(image).unwrap_err();
    let RegistryError::Unauthorized { had_credentials, .. } = error else { panic!("{error:?}") };
    had_credentials
}

/// Bytes that do not repeat soon.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn descriptor(bytes: &[u8]) -> Descriptor {
    Descriptor::new(media_type::OCI_LAYER_GZIP, Digest::of(bytes), bytes.len() as u64)
}

/// A manifest whose parts nobody asks for.
fn manifest() -> Vec<u8> {
    Manifest::new(Format::Oci, descriptor(b"config"), vec![descriptor(b"layer")]).to_bytes().unwrap()
}
