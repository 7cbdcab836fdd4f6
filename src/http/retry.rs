//! How often and after what wait a request is tried again.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use crate::{HttpError, Response};

/// The waits between attempts. There is no jitter: a build makes few requests, and its log should read the same twice.
#[derive(Clone, Debug)]
pub struct Retry {
    /// The wait before each further attempt; empty means one attempt only.
    pub delays: Vec<Duration>,
    /// The longest wait that a server may ask for with `Retry-After`.
    pub longest: Duration,
}

impl Default for Retry {
    /// Three further attempts, after 0.25, 1 and 2 seconds; `Retry-After` is obeyed up to 20 seconds.
    fn default() -> Self {
        let delays = [250, 1000, 2000].map(Duration::from_millis).to_vec();
        Self { delays, longest: Duration::from_secs(20) }
    }
}

impl Retry {
    /// One attempt only.
    #[must_use]
    pub fn never() -> Self {
        Self { delays: Vec::new(), longest: Duration::ZERO }
    }

    /// How long to wait before attempt number `tried + 1`, `None` when `outcome` is final.
    #[must_use]
    pub fn wait(&self, tried: usize, outcome: &Result<Response, HttpError>) -> Option<Duration> {
        let delay = *self.delays.get(tried.checked_sub(1)?)?;
        match outcome {
            Ok(response) if is_transient(response.status()) => {
                Some(asked(response.headers()).map_or(delay, |asked| asked.min(self.longest)))
            }
            Ok(_) => None,
            Err(error) => error.is_transient().then_some(delay),
        }
    }
}

fn is_transient(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// `Retry-After` in seconds; the form with a date would need a clock.
fn asked(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
