//! Verified files: from the store if they are there, else from the network, once, into the store and to the step.
//!
//! A step gets the bytes while they arrive, but the last [`HOLD_BACK`] of them only when the checksum is right. As long
//! as nothing was sent, a failure makes the next mirror's turn.

use std::collections::{HashMap, VecDeque};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::header::HeaderMap;
use http::{Bytes, Url, shown};
use oci::digest::Algorithm;
use oci::{Digest, Hasher};
use store::StoreError;
use tracing::{debug, info};

use crate::Shared;
use crate::answer::Answer;
use crate::exchange::Refusal;
use crate::sources::Upstream;
use crate::upstream::Attempts;

/// Bytes at the end of a file that wait for its checksum.
const HOLD_BACK: usize = 256 << 10;
/// How long a step may keep a download waiting, besides a second for each [`PACE`] bytes: others wait for it too.
const PATIENCE: Duration = Duration::from_secs(30);
const PACE: u64 = 1 << 20;

/// A file, what it must be, and where it is.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// What metadata says it hashes to.
    pub(crate) digest: Digest,
    /// In bytes, where metadata says it.
    pub(crate) size: Option<u64>,
    /// The most bytes that are taken.
    pub(crate) limit: u64,
    /// In the order to try them.
    pub(crate) urls: Vec<Url>,
    /// For the record.
    pub(crate) verified_by: String,
}

/// A file in the store.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    /// Its name there: SHA-256.
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    /// Bytes fetched for it just now.
    pub(crate) fetched: u64,
    /// Whether the step has it already.
    pub(crate) is_sent: bool,
}

/// Why a file could not be had; and what it cost.
#[derive(Debug)]
pub(crate) struct NotKept {
    pub(crate) refusal: Refusal,
    pub(crate) fetched: u64,
}

impl From<NotKept> for Refusal {
    fn from(error: NotKept) -> Self {
        error.refusal
    }
}

/// Downloads that run, and the names of files whose metadata gives SHA-512, which the store does not name blobs by.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    running: Mutex<HashMap<Digest, Weak<Mutex<()>>>>,
    names: Mutex<HashMap<Digest, Digest>>,
}

impl Flights {
    /// What to hold while fetching `digest`.
    fn turn(&self, digest: &Digest) -> Arc<Mutex<()>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = running.get(digest).and_then(Weak::upgrade) {
            return turn;
        }
        running.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        running.insert(digest.clone(), Arc::downgrade(&turn));
        turn
    }

    fn name(&self, digest: &Digest) -> Option<Digest> {
        match digest.algorithm() {
            Algorithm::Sha256 => Some(digest.clone()),
            Algorithm::Sha512 => self.names.lock().unwrap_or_else(PoisonError::into_inner).get(digest).cloned(),
        }
    }

    fn learn(&self, digest: &Digest, name: &Digest) {
        if digest.algorithm() == Algorithm::Sha512 {
            self.names.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.clone(), name.clone());
        }
    }
}

impl Shared {
    /// Brings `wanted` into the store, if it is not there.
    pub(crate) fn keep(&self, wanted: &Wanted, upstream: &Upstream) -> Result<Kept, NotKept> {
        self.keep_sending(wanted, upstream, None)
    }

    /// Like [`Shared::keep`]; a file that has to be fetched goes to the step at the same time.
    pub(crate) fn keep_sending(
        &self,
        wanted: &Wanted,
        upstream: &Upstream,
        answer: Option<(&mut Answer<'_>, &HeaderMap)>,
    ) -> Result<Kept, NotKept> {
        let turn = self.flights.turn(&wanted.digest);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.kept(wanted)? {
            return Ok(kept);
        }
        let answer = answer.filter(|_| wanted.size.is_some());
        let mut download = Download { shared: self, wanted, upstream, tee: Tee::new(answer, wanted), fetched: 0 };
        let outcome = download.try_all();
        let (fetched, is_sent) = (download.fetched, download.tee.is_complete);
        match outcome {
            Ok(name) => {
                self.flights.learn(&wanted.digest, &name.0);
                Ok(Kept { digest: name.0, size: name.1, fetched, is_sent })
            }
            Err(refusal) => Err(NotKept { refusal, fetched }),
        }
    }

    /// The file, if the store has it.
    fn kept(&self, wanted: &Wanted) -> Result<Option<Kept>, NotKept> {
        let Some(name) = self.flights.name(&wanted.digest).filter(|name| self.store.has_blob(name)) else {
            return Ok(None);
        };
        let not_kept = |refusal| NotKept { refusal, fetched: 0 };
        let file = self.store.blob(&name).map_err(|error| not_kept(error.into()))?;
        let size = file.metadata().map(|found| found.len());
        let size = size.map_err(|error| not_kept(Refusal { status: 500, why: format!("{name}: {error}") }))?;
        if wanted.size.is_some_and(|wanted| wanted != size) {
            let why = format!("{name} has {size} bytes, and metadata says otherwise");
            return Err(not_kept(Refusal::failed(why)));
        }
        Ok(Some(Kept { digest: name, size, fetched: 0, is_sent: false }))
    }
}

struct Download<'a, 'b> {
    shared: &'a Shared,
    wanted: &'a Wanted,
    upstream: &'a Upstream,
    tee: Tee<'a, 'b>,
    fetched: u64,
}

impl Download<'_, '_> {
    /// From the first URL that has the right bytes; their SHA-256 and number.
    fn try_all(&mut self) -> Result<(Digest, u64), Refusal> {
        let attempts = if self.wanted.urls.len() > 1 { Attempts::Once } else { Attempts::Patient };
        let mut problem = Refusal::failed("there is no URL to fetch it from");
        for url in &self.wanted.urls {
            match self.try_one(url, attempts) {
                Ok(done) => return Ok(done),
                Err(refusal) => problem = refusal,
            }
            if self.tee.sent > 0 || self.tee.is_stopped() {
                break;
            }
            self.tee.held.clear();
            self.tee.held_bytes = 0;
            debug!(why = problem.why, "trying the next mirror");
        }
        Err(problem)
    }

    fn try_one(&mut self, url: &Url, attempts: Attempts) -> Result<(Digest, u64), Refusal> {
        let refuse = |why: String| Refusal::failed(format!("{}: {why}", shown(url)));
        let response = self.shared.get(self.upstream, url, attempts)?;
        let (wanted, announced) = (self.wanted, response.content_length());
        if let (Some(wanted), Some(announced)) = (wanted.size, announced)
            && wanted != announced
        {
            return Err(refuse(format!("the server has {announced} bytes, and metadata says {wanted}")));
        }
        let mut body = response.into_body();
        let mut blob = self.shared.store.start_blob()?;
        let mut hashes = Hashes::new(&wanted.digest);
        let mut size = 0;
        while let Some(piece) = body.next_piece()? {
            size += piece.len() as u64;
            self.fetched += piece.len() as u64;
            hashes.update(&piece);
            if size > wanted.limit {
                return Err(refuse(format!("it is larger than the {} bytes metadata allows", wanted.limit)));
            }
            blob.write_all(&piece)
                .map_err(|error| Refusal { status: 500, why: format!("cannot write a blob in the store: {error}") })?;
            self.tee.add(piece);
            if self.tee.is_stopped() {
                return Err(refuse("the step is over".to_owned()));
            }
        }
        if let Some(wanted) = wanted.size.filter(|wanted| *wanted != size) {
            return Err(refuse(format!("the server has {size} bytes, and metadata says {wanted}")));
        }
        let wrong = |got: &Digest| refuse(format!("its checksum is {got}, and metadata says {}", wanted.digest));
        let name = hashes.finish(&wanted.digest).map_err(|got| wrong(&got))?;
        blob.commit(&name).map_err(|error| match error {
            StoreError::Mismatch { got, .. } => wrong(&got),
            error @ (StoreError::Io { .. } | StoreError::Record { .. }) => error.into(),
        })?;
        info!(url = shown(url), bytes = size, digest = %name, "fetched");
        self.tee.release();
        Ok((name, size))
    }
}

/// The hashes of a file that the store does not make itself: it names blobs by SHA-256.
struct Hashes {
    sha512: Option<(Hasher, Hasher)>,
}

impl Hashes {
    fn new(wanted: &Digest) -> Self {
        let sha512 = match wanted.algorithm() {
            Algorithm::Sha256 => None,
            Algorithm::Sha512 => Some((Hasher::new(Algorithm::Sha512), Hasher::default())),
        };
        Self { sha512 }
    }

    fn update(&mut self, piece: &[u8]) {
        if let Some((sha512, sha256)) = &mut self.sha512 {
            sha512.update(piece);
            sha256.update(piece);
        }
    }

    /// The name of the blob, which the store compares; or what the file hashes to instead of `wanted`.
    fn finish(self, wanted: &Digest) -> Result<Digest, Digest> {
        let Some((sha512, sha256)) = self.sha512 else { return Ok(wanted.clone()) };
        let got = sha512.finish();
        if got == *wanted { Ok(sha256.finish()) } else { Err(got) }
    }
}

/// What goes to the step while a file arrives. A step that hangs up or dawdles loses it; the download goes on.
struct Tee<'a, 'b> {
    stop: Option<&'b AtomicBool>,
    answer: Option<(&'a mut Answer<'b>, &'a HeaderMap)>,
    size: u64,
    held: VecDeque<Bytes>,
    held_bytes: usize,
    sent: u64,
    /// Time spent waiting for the step.
    waited: Duration,
    is_complete: bool,
}

impl<'a, 'b> Tee<'a, 'b> {
    fn new(answer: Option<(&'a mut Answer<'b>, &'a HeaderMap)>, wanted: &Wanted) -> Self {
        let stop = answer.as_ref().map(|(answer, _)| answer.stop());
        if let Some((answer, _)) = &answer {
            // A socket that takes no time limit is a broken one, which the first write tells.
            drop(answer.set_patience(PATIENCE));
        }
        Self {
            stop,
            answer,
            size: wanted.size.unwrap_or_default(),
            held: VecDeque::new(),
            held_bytes: 0,
            sent: 0,
            waited: Duration::ZERO,
            is_complete: false,
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    fn add(&mut self, piece: Bytes) {
        if self.answer.is_none() {
            return;
        }
        self.held_bytes += piece.len();
        self.held.push_back(piece);
        while let Some(first) = self.held.front().map(Bytes::len)
            && self.held_bytes - first >= HOLD_BACK
        {
            self.send_first();
        }
    }

    /// Sends what was held back: the checksum is right.
    fn release(&mut self) {
        while !self.held.is_empty() {
            self.send_first();
        }
        if let Some((answer, headers)) = &mut self.answer {
            let started = if answer.is_started() { Ok(()) } else { answer.start(200, headers, Some(self.size)) };
            self.is_complete = started.and_then(|()| answer.finish()).is_ok();
        }
    }

    fn send_first(&mut self) {
        let Some(piece) = self.held.pop_front() else { return };
        self.held_bytes -= piece.len();
        let Some((answer, headers)) = &mut self.answer else { return };
        let began = Instant::now();
        let started = if answer.is_started() { Ok(()) } else { answer.start(200, headers, Some(self.size)) };
        self.sent += piece.len() as u64;
        let outcome = started.and_then(|()| answer.write(&piece));
        self.waited += began.elapsed();
        let allowed = PATIENCE + Duration::from_secs(self.sent / PACE);
        if outcome.is_err() || self.waited > allowed {
            answer.close();
            self.answer = None;
            self.held.clear();
            self.held_bytes = 0;
        }
    }
}
