//! A say in where requests go.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use reqwest::Url;

type Decide = dyn Fn(&Url) -> Result<(), String> + Send + Sync;

/// Asked before each request and before each redirect is followed; the error says why not.
#[derive(Clone)]
pub struct Judge(Arc<Decide>);

impl Judge {
    /// A judge that decides as `decide` does.
    pub fn new(decide: impl Fn(&Url) -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    pub(crate) fn decide(&self, url: &Url) -> Result<(), String> {
        (self.0)(url)
    }
}

impl Debug for Judge {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("Judge")
    }
}
