//! Threads that turn blocks into gzip members, in order.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::gzip::Members;
use super::{BLOCK, Output};

/// More blocks than this are never on their way: with input and output about 2 MiB each.
const MAX_SLOTS: usize = 16;

struct Job {
    sequence: u64,
    input: Vec<u8>,
    output: Vec<u8>,
}

struct Done {
    sequence: u64,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Of the member in `output`; `None` if the thread failed.
    length: Option<usize>,
}

/// Blocks go in, members come out to the sink in the same order. Only the thread that submits touches the sink.
///
/// Threads start with the first full block: a small layer needs none.
pub(super) struct Pool<S: Write> {
    sink: Output<S>,
    members: Members,
    threads: usize,
    slots: usize,
    running: Option<Running>,
    submitted: u64,
    written: u64,
    early: BTreeMap<u64, Done>,
    spare: Vec<(Vec<u8>, Vec<u8>)>,
}

struct Running {
    /// `None` only while being dropped.
    jobs: Option<Sender<Job>>,
    done: Receiver<Done>,
    workers: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for worker in self.workers.drain(..) {
            if worker.join().is_err() {
                tracing::debug!("a compressing thread panicked");
            }
        }
    }
}

impl<S: Write> Pool<S> {
    pub(super) fn new(sink: Output<S>, members: Members, threads: usize) -> Self {
        let slots = (2 * threads + 2).min(MAX_SLOTS).max(threads);
        let (early, spare) = (BTreeMap::new(), Vec::new());
        Self { sink, members, threads, slots, running: None, submitted: 0, written: 0, early, spare }
    }

    /// Takes a full block and leaves another in its place, of the same size and any content.
    pub(super) fn submit(&mut self, block: &mut Vec<u8>) -> io::Result<()> {
        while self.submitted - self.written >= self.slots as u64 {
            self.receive()?;
        }
        self.receive_ready()?;
        let (input, output) = self.spare.pop().unwrap_or_else(|| (vec![0; BLOCK], Vec::new()));
        let input = std::mem::replace(block, input);
        let job = Job { sequence: self.submitted, input, output };
        let jobs = self.running()?.jobs.as_ref();
        jobs.and_then(|jobs| jobs.send(job).ok()).ok_or_else(all_gone)?;
        self.submitted += 1;
        Ok(())
    }

    /// Writes all that is on its way and then `rest` as the last member, unless it is empty and not the only one.
    pub(super) fn finish(mut self, rest: &[u8]) -> io::Result<Output<S>> {
        // The last block is compressed here while the threads finish theirs.
        let mut output = Vec::new();
        let is_wanted = !rest.is_empty() || self.submitted == 0;
        let length = if is_wanted { self.members.encode(rest, &mut output) } else { 0 };
        while self.written < self.submitted {
            self.receive()?;
        }
        self.sink.write_all(output.get(..length).unwrap_or_default())?;
        Ok(self.sink)
    }

    fn running(&mut self) -> io::Result<&Running> {
        if self.running.is_none() {
            self.running = Some(start(&self.members, self.threads)?);
        }
        self.running.as_ref().ok_or_else(all_gone)
    }

    /// Waits for one member and writes what can be written.
    fn receive(&mut self) -> io::Result<()> {
        let done = self.running()?.done.recv().map_err(|_| all_gone())?;
        self.take(done)
    }

    /// Writes what can be written without waiting.
    fn receive_ready(&mut self) -> io::Result<()> {
        while let Some(done) = self.running.as_ref().and_then(|running| running.done.try_recv().ok()) {
            self.take(done)?;
        }
        Ok(())
    }

    fn take(&mut self, done: Done) -> io::Result<()> {
        self.early.insert(done.sequence, done);
        while let Some(done) = self.early.remove(&self.written) {
            let member = done.length.and_then(|length| done.output.get(..length)).ok_or_else(all_gone)?;
            self.sink.write_all(member)?;
            self.written += 1;
            self.spare.push((done.input, done.output));
        }
        Ok(())
    }
}

fn all_gone() -> io::Error {
    io::Error::other("a compressing thread failed")
}

fn start(members: &Members, threads: usize) -> io::Result<Running> {
    let (jobs, queue) = channel();
    let (results, done) = channel();
    let queue = Arc::new(Mutex::new(queue));
    let mut running = Running { jobs: Some(jobs), done, workers: Vec::new() };
    for _ in 0..threads {
        let (queue, results, members) = (Arc::clone(&queue), results.clone(), members.another());
        let spawned = thread::Builder::new().name("compress".to_owned()).spawn(move || work(&queue, &results, members));
        match spawned {
            Ok(worker) => running.workers.push(worker),
            // Fewer do it too, but not none.
            Err(error) if running.workers.is_empty() => return Err(error),
            Err(error) => {
                tracing::debug!(%error, "compressing with fewer threads than wanted");
                break;
            }
        }
    }
    Ok(running)
}

fn work(queue: &Mutex<Receiver<Job>>, results: &Sender<Done>, mut members: Members) {
    loop {
        let job = queue.lock().ok().and_then(|queue| queue.recv().ok());
        let Some(Job { sequence, input, mut output }) = job else { return };
        // The writer waits for every block, so a panic has to reach it as a result.
        let length = catch_unwind(AssertUnwindSafe(|| members.encode(&input, &mut output))).ok();
        if results.send(Done { sequence, input, output, length }).is_err() {
            return;
        }
    }
}
