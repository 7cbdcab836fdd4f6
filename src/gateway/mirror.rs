//! Repositories as a step sees them: the paths that rewritten URLs lead to.
//!
//! Comes in: a request for a path of the gateway. Goes out: verified bytes from the store or from upstream, or a
//! refusal that says what to do.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use http::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use http::{Method, Url};
use oci::Digest;

use crate::Shared;
use crate::answer::{Answer, fields};
use crate::blob::{Kept, Wanted};
use crate::exchange::{Entry, Exchange, Log, Refusal, What, masked};
use crate::repository::Inside;
use crate::sources::{Kind, Place, Upstream};
use crate::upstream::Attempts;
use crate::wire::{Head, IDLE};

/// Largest public key, in bytes.
const MAX_KEY: usize = 1 << 20;

impl Shared {
    /// Answers a request for `path`, which begins with a slash and may have a query.
    pub(crate) fn mirror(&self, path: &str, head: &Head, answer: &mut Answer<'_>, log: &Log) {
        let (what, url, place) = match self.locate(path, head) {
            Ok(place) => (place.what(), place.shown(), Ok(place)),
            Err(refusal) => {
                let what = What::Refused { why: refusal.why.clone() };
                (what, path.split('?').next().unwrap_or_default().to_owned(), Err(refusal))
            }
        };
        let mut entry = match log.begin(what, url) {
            Ok(entry) => entry,
            Err(refusal) => return answer.refuse(&refusal),
        };
        let outcome = place.and_then(|place| self.serve_place(&place, head, answer, &mut entry.exchange));
        if let Err(refusal) = outcome {
            answer.refuse(&refusal);
            entry.refuse(refusal);
        }
        (entry.exchange.status, entry.exchange.bytes) = (answer.status, answer.bytes);
    }

    fn locate(&self, path: &str, head: &Head) -> Result<Place, Refusal> {
        if !matches!(head.method, Method::GET | Method::HEAD) {
            return Err(Refusal { status: 405, why: format!("{} is not for repositories", head.method) });
        }
        let unknown =
            || Refusal::missing(format!("{path} is below no URL of a repository file that leads through the gateway"));
        if path.contains('?') {
            return Err(unknown());
        }
        crate::path::check(path).map_err(|why| Refusal::forbidden(format!("{path} is refused: {why}")))?;
        self.sources.find(path.trim_start_matches('/')).ok_or_else(unknown)
    }

    fn serve_place(
        &self,
        place: &Place,
        head: &Head,
        answer: &mut Answer<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Refusal> {
        if place.kind == Kind::Key {
            let key = self.key(place)?;
            (exchange.fetched, exchange.digest) = (key.len() as u64, Some(Digest::of(&key)));
            return send(answer, &key);
        }
        let repository = self.repositories.at(place)?;
        let (state, fetched) = repository.state(self)?;
        match Inside::of(&place.inside) {
            Inside::Repomd => {
                exchange.url = masked(&state.url);
                exchange.fetched = fetched;
                (exchange.digest, exchange.verified_by) = (Some(state.digest.clone()), state.verified_by.clone());
                send(answer, &state.repomd)
            }
            Inside::Signature => {
                let bytes = repository.signature(self, &state, &place.inside)?;
                exchange.fetched = fetched + bytes.len() as u64;
                exchange.digest = Some(Digest::of(&bytes));
                send(answer, &bytes)
            }
            Inside::Metadata => {
                exchange.fetched = fetched;
                let wanted = repository.metadata(&state, &place.inside)?;
                self.serve_file((&repository.upstream, &wanted), head, answer, exchange)
            }
            Inside::Package => {
                exchange.fetched = fetched;
                let (wanted, fetched) = repository.package(self, &state, &place.inside)?;
                exchange.fetched += fetched;
                self.serve_file((&repository.upstream, &wanted), head, answer, exchange)
            }
        }
    }

    fn serve_file(
        &self,
        (upstream, wanted): (&Upstream, &Wanted),
        head: &Head,
        answer: &mut Answer<'_>,
        exchange: &mut Exchange,
    ) -> Result<(), Refusal> {
        if let Some(url) = wanted.urls.first() {
            exchange.url = masked(url);
        }
        let headers = fields(&[(CONTENT_TYPE, "application/octet-stream"), (ACCEPT_RANGES, "bytes")]);
        if head.method == Method::HEAD
            && let Some(size) = wanted.size
        {
            return sent(answer.start(200, &headers, Some(size)).and_then(|()| answer.finish()));
        }
        let tee = if head.headers.contains_key(RANGE) { None } else { Some((&mut *answer, &headers)) };
        let kept = match self.keep_sending(wanted, upstream, tee) {
            Ok(kept) => kept,
            Err(error) => {
                exchange.fetched += error.fetched;
                return Err(error.refusal);
            }
        };
        exchange.fetched += kept.fetched;
        exchange.digest = Some(kept.digest.clone());
        exchange.verified_by = Some(wanted.verified_by.clone());
        if kept.is_sent || answer.is_started() {
            return Ok(());
        }
        // After a tee that was never used.
        sent(answer.set_patience(IDLE))?;
        self.send_kept(&kept, head, answer, headers)
    }

    fn send_kept(
        &self,
        kept: &Kept,
        head: &Head,
        answer: &mut Answer<'_>,
        mut headers: HeaderMap,
    ) -> Result<(), Refusal> {
        let file = self.store.blob(&kept.digest)?;
        let Some((first, length)) = range(&head.headers, kept.size) else {
            sent(answer.start(200, &headers, Some(kept.size)))?;
            return copy(file, kept.size, answer);
        };
        let shown = match length {
            0 => format!("bytes */{}", kept.size),
            _ => format!("bytes {first}-{}/{}", first + length - 1, kept.size),
        };
        if let Ok(value) = HeaderValue::from_str(&shown) {
            headers.insert(CONTENT_RANGE, value);
        }
        if length == 0 {
            return sent(answer.whole(416, &headers, b""));
        }
        let mut file = file;
        let sought = file.seek(SeekFrom::Start(first));
        sought.map_err(|error| Refusal { status: 500, why: format!("{}: {error}", kept.digest) })?;
        sent(answer.start(206, &headers, Some(length)))?;
        copy(file, length, answer)
    }

    /// A public key that a repository file names. Only keys: else any URL of the builder's network could be read.
    fn key(&self, place: &Place) -> Result<Vec<u8>, Refusal> {
        let url = place.url().ok_or_else(|| Refusal::malformed("the key's URL is malformed"))?;
        let key = self.get(&place.upstream, &url, Attempts::Patient)?.bytes(MAX_KEY)?;
        if is_public_key(&key) {
            return Ok(key);
        }
        Err(Refusal::failed(format!(
            "{} in gpgkey of the repository {} is not an OpenPGP public key",
            http::shown(&url),
            place.repository
        )))
    }
}

impl Place {
    fn what(&self) -> What {
        let repository = self.repository.clone();
        match (self.kind, Inside::of(&self.inside)) {
            (Kind::Key, _) => What::Key { repository },
            (_, Inside::Package) => What::Package { repository },
            (_, Inside::Repomd | Inside::Signature | Inside::Metadata) => What::Metadata { repository },
        }
    }

    /// The URL a list or key is fetched from; for a file of a repository where it would be without mirrors.
    fn url(&self) -> Option<Url> {
        let path = match self.kind {
            Kind::Base => format!("{}/{}", self.root, self.inside),
            Kind::Metalink | Kind::Mirrorlist | Kind::Key => self.root.clone(),
        };
        self.upstream.hidden.base.join(&path).ok()
    }

    fn shown(&self) -> String {
        self.url().map_or_else(|| self.root.clone(), |url| masked(&url))
    }
}

impl Entry {
    /// Notes that it was refused.
    pub(crate) fn refuse(&mut self, refusal: Refusal) {
        self.exchange.what = What::Refused { why: refusal.why };
    }
}

fn send(answer: &mut Answer<'_>, body: &[u8]) -> Result<(), Refusal> {
    sent(answer.whole(200, &fields(&[(CONTENT_TYPE, "application/octet-stream")]), body))
}

/// A step that hangs up is no failure of ours; its connection ends without that.
fn sent(outcome: std::io::Result<()>) -> Result<(), Refusal> {
    outcome.map_err(|_| Refusal { status: 0, why: "the step hung up".to_owned() })
}

fn copy(file: File, length: u64, answer: &mut Answer<'_>) -> Result<(), Refusal> {
    let mut file = file.take(length);
    let mut piece = vec![0; 128 << 10];
    loop {
        let read = file.read(&mut piece);
        match read.map_err(|error| Refusal { status: 500, why: format!("cannot read the store: {error}") })? {
            0 => return sent(answer.finish()),
            length => sent(answer.write(piece.get(..length).unwrap_or_default()))?,
        }
    }
}

/// The one range asked for, as first byte and length; the length 0 means that it cannot be served. `None` for no
/// range, several or one that is not understood, which RFC 9110, section 14.2 lets a server ignore.
fn range(headers: &HeaderMap, size: u64) -> Option<(u64, u64)> {
    let text = headers.get(RANGE)?.to_str().ok()?.trim().strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok().filter(|_| !text.trim().starts_with('+'));
    if first.trim().is_empty() {
        let length = number(last)?.min(size);
        return Some((size - length, length));
    }
    let first = number(first)?;
    let last = if last.trim().is_empty() { u64::MAX } else { number(last)? };
    if last < first {
        return None;
    }
    let end = last.saturating_add(1).min(size);
    Some((first, end.saturating_sub(first)))
}

/// Whether this begins like an OpenPGP public key: armour, or a public-key packet (RFC 9580, section 4.2 and 5.5).
fn is_public_key(bytes: &[u8]) -> bool {
    const ARMOUR: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
    const PUBLIC_KEY: u8 = 6;
    let is_armoured = bytes.split(|byte| *byte == b'\n').any(|line| line.trim_ascii() == ARMOUR);
    let tag = bytes.first().map(|first| match first & 0xc0 {
        0xc0 => first & 0x3f,
        0x80 => (first & 0x3c) >> 2,
        _ => 0,
    });
    is_armoured || tag == Some(PUBLIC_KEY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &'static str, expected: Option<(u64, u64)>) {
        assert_eq!(range(&fields(&[(RANGE, text)]), 10), expected, "{text}");
    }

    #[test]
    fn one_range_of_bytes_is_understood() {
        check("bytes=2-4", Some((2, 3)));
        check("bytes=2-", Some((2, 8)));
        check("bytes=-3", Some((7, 3)));
        check("bytes=-30", Some((0, 10)));
        check("bytes=5-100", Some((5, 5)));
        check("bytes=10-", Some((10, 0)));
        check("bytes=-0", Some((10, 0)));
        check("bytes=1-2,4-5", None);
        check("bytes=4-2", None);
        check("lines=1-2", None);
        check("bytes=0-18446744073709551615", Some((0, 10)));
    }

    #[test]
    fn a_key_is_told_by_its_beginning() {
        assert!(is_public_key(b"\n-----BEGIN PGP PUBLIC KEY BLOCK-----\r\n\r\nx"));
        assert!(is_public_key(&[0x99, 1, 13]));
        assert!(is_public_key(&[0xc6, 51]));
        assert!(!is_public_key(b"{\"Code\": \"Success\"}"));
        assert!(!is_public_key(b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n"));
        assert!(!is_public_key(b""));
    }
}
