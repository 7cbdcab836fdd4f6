//! Answers that are not what was wanted, as errors.

use http::{Request, Response, StatusCode};
use serde::Deserialize;

use crate::RegistryError;

/// Bytes read of an error's body.
const MAX_ERROR: usize = 64 << 10;

/// Characters shown of a message from a registry.
const MAX_MESSAGE: usize = 300;

/// The error for `response`, an answer to `request` that the caller has no use for.
pub(crate) fn refusal(image: String, request: &str, response: Response) -> RegistryError {
    let (status, again_in) = (response.status(), response.retry_after());
    // A body that cannot be read only costs the details.
    let body = response.bytes(MAX_ERROR).unwrap_or_default();
    let (code, message) = told(&body);
    match status {
        StatusCode::UNAUTHORIZED => RegistryError::Unauthorized { image, had_credentials: false },
        StatusCode::FORBIDDEN => {
            RegistryError::Denied { image, message: message.unwrap_or_else(|| "it gave no reason".to_owned()) }
        }
        status => match again_in.filter(|_| matches!(status.as_u16(), 429 | 503)) {
            Some(again_in) => RegistryError::Busy { image, status, again_in, message },
            None => RegistryError::Server { image, request: request.to_owned(), status, code, message },
        },
    }
}

/// The method and path of `request`, for errors.
pub(crate) fn named(request: &Request) -> String {
    format!("{} {}", request.method, request.url.path())
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Told>,
}

#[derive(Deserialize)]
struct Told {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// Code and message of an error body (distribution-spec, "Error Codes").
fn told(body: &[u8]) -> (Option<String>, Option<String>) {
    let Ok(Errors { errors }) = serde_json::from_slice(body) else { return (None, None) };
    let Some(first) = errors.into_iter().next() else { return (None, None) };
    let code = Some(sanitised(&first.code)).filter(|code| !code.is_empty());
    let texts: Vec<String> = code.iter().cloned().chain([sanitised(&first.message)]).collect();
    let message = texts.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(": ");
    (code, Some(message).filter(|message| !message.is_empty()))
}

/// `text` on one line, without anything a terminal would act on, and not too long.
fn sanitised(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_format(*c));
    let mut shown: String = printable.take(MAX_MESSAGE).collect();
    if shown.len() < text.len() && text.chars().count() > MAX_MESSAGE {
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Characters that change the direction or the look of text without showing themselves.
fn is_format(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_and_message_are_taken_from_the_body() {
        let body = br#"{"errors":[{"code":"NAME_INVALID","message":"bad\u001b[31m\nname","detail":{}}]}"#;
        let expected = (Some("NAME_INVALID".to_owned()), Some("NAME_INVALID: bad [31m name".to_owned()));
        assert_eq!(told(body), expected);
    }

    #[test]
    fn a_body_that_is_no_error_document_says_nothing() {
        for body in [&b""[..], b"<html>", b"{}", b"{\"errors\":[]}", b"{\"errors\":[{}]}"] {
            assert_eq!(told(body), (None, None));
        }
    }

    #[test]
    fn a_long_message_is_cut() {
        assert_eq!(sanitised(&"ä".repeat(1000)).chars().count(), MAX_MESSAGE + 1);
    }
}
