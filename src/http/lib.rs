//! The one HTTP stack: TLS roots, proxies, redirects, retries, streaming bodies and tunnels, all of it blocking.
//!
//! Comes in: requests, and options whose values `cli` took from arguments, environment and files. Goes out: answers
//! whose bodies are read as [`std::io::Read`], and uploads written as [`std::io::Write`]. HTTP/1.1 only.
//!
//! Inside, `reqwest` runs on one private thread with a single-threaded tokio runtime. **That thread starts with the
//! first request, not with [`Client::new`]**, because no thread may exist before the program enters its user
//! namespace. Blocking calls must not come from an async task.
//!
//! It never reads the environment or files, never sets a deadline on a whole body (only on idleness and on its pace),
//! never sends credentials on to another origin, never goes from https to http, never waits on once the options' flag
//! says that everything is to stop, and never shows a query or a password in an error.

mod cancel;
mod client;
mod error;
mod judge;
mod options;
mod pipe;
mod redirect;
mod request;
mod response;
mod retry;
mod runtime;
mod secret;
mod tls;
mod tunnel;
mod upload;

pub use bytes::Bytes;
pub use client::Client;
pub use error::{Cause, HttpError, Phase, shown, with_causes};
pub use judge::Judge;
pub use options::{CaBundle, ClientOptions, Floor, Identity, Proxies, Tls};
pub use redirect::is_same_origin;
pub use request::Request;
pub use reqwest::{Method, StatusCode, Url, header};
pub use response::{BodyReader, Response};
pub use retry::{Retry, unix_time};
pub use secret::Secret;
pub use upload::{BodyWriter, CHUNK, ResponseHandle};
