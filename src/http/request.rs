//! What is sent: a request whose body is in memory and can be sent again.

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};

use crate::{HttpError, Secret, shown};

/// One request. Its body is in memory, so that it can be repeated; bodies that stream go through
/// [`Client::upload`](crate::Client::upload).
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// An absolute http or https URL.
    pub url: Url,
    /// Header fields. Values of credentials are marked sensitive, so that `Debug` does not print them.
    pub headers: HeaderMap,
    /// The body, empty for none; cheap to clone.
    pub body: Bytes,
}

impl Request {
    /// A request without header fields and body.
    #[must_use]
    pub fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// The same request with the field `name` set to `value`.
    ///
    /// # Errors
    /// [`HttpError::BadHeader`] for a value with control characters.
    pub fn header(mut self, name: HeaderName, value: &str) -> Result<Self, HttpError> {
        let value = self.value(&name, value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The same request with the field `name` set to a value that no log may show.
    ///
    /// # Errors
    /// [`HttpError::BadHeader`] for a value with control characters.
    pub fn secret_header(mut self, name: HeaderName, value: &Secret) -> Result<Self, HttpError> {
        let mut value = self.value(&name, value.reveal())?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }

    /// The same request with `body`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    fn value(&self, name: &HeaderName, value: &str) -> Result<HeaderValue, HttpError> {
        HeaderValue::from_str(value)
            .map_err(|_| HttpError::BadHeader { url: shown(&self.url), name: name.as_str().to_owned() })
    }
}
