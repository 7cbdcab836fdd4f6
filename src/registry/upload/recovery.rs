//! What becomes of an upload whose request did not do what it should.

use http::header::{LOCATION, RANGE};
use http::{Method, Request, StatusCode};
use tracing::debug;

use super::{Answered, Body, Failure, State, Upload, location};
use crate::RegistryError;
use crate::answer::{named, refusal};
use crate::pull::PROGRESS;

impl Upload {
    /// Makes the upload one that can go on from what the registry has of it.
    pub(super) fn recover(&mut self, failure: Failure) -> Result<(), RegistryError> {
        self.state = State::Failed;
        let (error, is_worth_it) = match failure {
            Failure::Answered(answered) => (self.judge(*answered)?, true),
            Failure::Lost(error) => (error, false),
        };
        if self.sent.saturating_sub(self.resumed_at) >= PROGRESS {
            self.retries = self.endpoint.client().retry().delays.len();
        }
        if !(is_worth_it || error.is_transient()) || self.retries == 0 {
            return Err(error);
        }
        self.wait();
        if self.endpoint.client().is_cancelled() {
            return Err(RegistryError::Cancelled { image: self.access.image.to_string() });
        }
        debug!(image = %self.access.image, sent = self.sent, %error, "resuming an upload");
        self.sent = match self.status() {
            Ok(Some(offset)) if self.tail.reaches(offset) => offset,
            Err(RegistryError::Unreachable { .. } | RegistryError::Cancelled { .. }) => return Err(error),
            Err(RegistryError::Server { status: StatusCode::NOT_FOUND, .. }) if self.tail.is_whole() => {
                self.reopen()?
            }
            Ok(_) | Err(_) if self.tail.is_whole() => {
                self.delete();
                self.reopen()?
            }
            Ok(_) | Err(_) if error.is_transient() => return Err(error),
            Ok(_) | Err(_) => {
                return Err(RegistryError::UploadLost { image: self.access.image.to_string(), sent: self.sent });
            }
        };
        self.resumed_at = self.sent;
        self.state = State::Idle;
        if !self.endpoint.takes_streams() {
            // The pieces have to be larger than what the stream was made of.
            let mut chunk = self.tail.take(self.sent);
            chunk.append(&mut self.chunk);
            self.chunk = chunk;
        }
        Ok(())
    }

    /// Whether it makes sense to go on after an answer, and if so, which error it is if that does not work.
    fn judge(&mut self, answered: Answered) -> Result<RegistryError, RegistryError> {
        let Answered { request, response, kind } = answered;
        let (image, status) = (self.access.image.to_string(), response.status());
        let lost = RegistryError::UploadLost { image: image.clone(), sent: self.sent };
        if status.is_success() {
            // It did not wait for the end.
            return Ok(lost);
        }
        let is_about_length = matches!(
            status,
            StatusCode::BAD_REQUEST
                | StatusCode::LENGTH_REQUIRED
                | StatusCode::PAYLOAD_TOO_LARGE
                | StatusCode::RANGE_NOT_SATISFIABLE
        );
        match kind {
            Body::Stream(shown) if status == StatusCode::UNAUTHORIZED => {
                if std::mem::replace(&mut self.was_refused, true) {
                    return Err(self.endpoint.refused(&response, &self.access));
                }
                self.endpoint.renew(response, shown.as_ref(), &self.access)?;
                Ok(lost)
            }
            Body::Stream(_) if is_about_length && self.endpoint.takes_streams() => {
                self.endpoint.refuses_streams();
                let refused = RegistryError::StreamRefused { image, status };
                if self.tail.is_whole() { Ok(refused) } else { Err(refused) }
            }
            Body::Stream(_) | Body::Whole => {
                let client = self.endpoint.client();
                let asked = response.retry_after().unwrap_or_default();
                let may_go_on = asked <= client.retry().longest && is_passing(status);
                let error = refusal(image, &named(&request), response);
                if !may_go_on {
                    return Err(error);
                }
                client.pause(asked);
                Ok(error)
            }
        }
    }

    /// Waits as the options say before another attempt.
    fn wait(&mut self) {
        let client = self.endpoint.client();
        let delays = &client.retry().delays;
        let delay = delays.get(delays.len().saturating_sub(self.retries)).copied().unwrap_or_default();
        client.pause(delay);
        self.retries = self.retries.saturating_sub(1);
    }

    /// How many bytes the registry has of the upload, if it says so.
    fn status(&mut self) -> Result<Option<u64>, RegistryError> {
        let request = Request::new(Method::GET, self.location.clone());
        let response = self.endpoint.send(&request, &self.access)?;
        if !response.status().is_success() {
            return Err(refusal(self.access.image.to_string(), &named(&request), response));
        }
        if response.header(&LOCATION).is_some() {
            self.location = location(&self.access, &request, &response)?;
        }
        let offset = response.header(&RANGE).and_then(offset);
        response.finish();
        Ok(offset)
    }

    /// Starts from the beginning in a new upload, and returns how many bytes that has.
    fn reopen(&mut self) -> Result<u64, RegistryError> {
        let (request, response) = self.endpoint.open_upload(&self.access)?;
        self.location = location(&self.access, &request, &response)?;
        response.finish();
        Ok(0)
    }
}

/// Whether an upload may go on after this answer: the registry is in trouble, or has not what we think it has.
fn is_passing(status: StatusCode) -> bool {
    let is_ours =
        matches!(status, StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::TOO_MANY_REQUESTS);
    status.is_server_error() || is_ours
}

/// The bytes that `Range: 0-last` stands for; `0-0` is what registries say of an empty upload.
fn offset(range: &str) -> Option<u64> {
    let range = range.trim();
    let last: u64 = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()?;
    if last == 0 { Some(0) } else { last.checked_add(1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_of_an_upload_is_read_in_both_spellings() {
        let texts = ["0-0", "0-1023", "bytes=0-9", "5-9", "0-", "", "0-18446744073709551615"];
        assert_eq!(texts.map(offset), [Some(0), Some(1024), Some(10), None, None, None, None]);
    }
}
