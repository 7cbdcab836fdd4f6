//! One program from its start to its end: what it is told, what it says, and when that is enough.
//!
//! Nothing here waits for the program but [`Tool::turn`], which has a limit; nothing it says is kept beyond limits.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use sandbox::{Ask, Tool, ToolExit, ToolStart};
use serde_json::Value;
use tracing::{debug, info, warn};

use super::error::ExternalError;
use super::message::{self, Level, Message, Wanted};
use super::{External, Launch, answer, edits, environment, text};
use crate::{Fact, Finding, PhaseName, PluginError, Reasoned};

/// Bytes of the longest line.
const MAX_LINE: usize = 8 << 20;
/// The most messages.
const MAX_MESSAGES: usize = 10_000;
/// Bytes of the lines that state facts: later plugins are told of them, and in memory each is many times as large.
const MAX_FACTS: usize = 2 << 20;
/// Bytes of everything on standard output.
const MAX_OUTPUT: usize = 64 << 20;
/// Bytes of everything on standard error.
const MAX_STDERR: usize = 4 << 20;
/// The most lines on standard error.
const MAX_STDERR_LINES: usize = 100_000;
/// Bytes of answers that wait to be read; until then no further message is looked at.
const MAX_BACKLOG: usize = 8 << 20;
/// Lines of standard error that get into the log.
const LOGGED_LINES: usize = 500;
/// Characters of such a line.
const LOGGED_LINE: usize = 500;
/// Lines of standard error that an error repeats.
const LAST_LINES: usize = 5;
/// How long a program may go on after it said done.
const LINGER: Duration = Duration::from_secs(5);
/// How long a program has between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// The longest wait in one go.
const PAUSE: Duration = Duration::from_secs(1);

/// Answers a program's question; none where its phase does not have that.
pub(super) type Replies<'a> = &'a mut dyn FnMut(&Wanted) -> Option<Result<Value, PluginError>>;

/// What a program wants.
#[derive(Debug, Default)]
pub(super) struct Answers {
    pub(super) edits: Vec<Reasoned>,
    pub(super) facts: Vec<Fact>,
    pub(super) findings: Vec<Finding>,
    pub(super) warnings: Vec<String>,
}

/// Starts the program, tells it `first`, and hears it out.
///
/// # Errors
/// What the program says went wrong, or what it did wrong; nothing of it runs any more then either.
pub(super) fn converse(
    external: &External,
    phase: PhaseName,
    first: Value,
    replies: Replies<'_>,
) -> Result<Answers, PluginError> {
    let launch = external.launch()?;
    let folder = launch.fresh();
    let result =
        launch.threads.install(|| make_folder(&folder)).map_err(|error| error.said(phase, &[])).and_then(|()| {
            let mut talk = Talk::new(external, launch, phase);
            talk.tell(first);
            let heard = talk.hear_out(&folder, replies);
            match (heard, talk.failure) {
                (Ok(()), None) => Ok(talk.answers),
                (Ok(()), Some(failure)) => Err(failure),
                (Err(error), _) => Err(error.said(phase, talk.stderr.last.make_contiguous())),
            }
        });
    // What cannot be removed goes with the scratch that it is in.
    launch.threads.install(|| drop(store::remove_tree(&folder)));
    result
}

fn make_folder(folder: &std::path::Path) -> Result<(), ExternalError> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().mode(0o700).recursive(true).create(folder);
    made.map_err(|source| ExternalError::Folder { path: folder.to_owned(), source })
}

/// A conversation under way.
struct Talk<'a> {
    external: &'a External,
    launch: &'a Launch,
    phase: PhaseName,
    time: Duration,
    answers: Answers,
    /// Set when it says that it failed.
    failure: Option<PluginError>,
    has_finished: bool,
    messages: usize,
    output: usize,
    /// Bytes of the facts it stated.
    stated: usize,
    /// What it has not read yet.
    outgoing: Vec<u8>,
    /// What it wrote and nobody looked at yet.
    incoming: Vec<u8>,
    /// Bytes of `incoming` that are known to hold no line end.
    searched: usize,
    stderr: Stderr,
}

impl<'a> Talk<'a> {
    fn new(external: &'a External, launch: &'a Launch, phase: PhaseName) -> Self {
        Self {
            external,
            launch,
            phase,
            time: external.time(phase, &launch.cancel),
            answers: Answers::default(),
            failure: None,
            has_finished: false,
            messages: 0,
            output: 0,
            stated: 0,
            outgoing: Vec::new(),
            incoming: Vec::new(),
            searched: 0,
            stderr: Stderr::default(),
        }
    }

    /// The first message, with the time there is.
    fn tell(&mut self, mut first: Value) {
        if let Some(first) = first.as_object_mut() {
            first.insert("deadline_seconds".to_owned(), self.time.as_secs_f64().into());
        }
        self.send(&first);
    }

    fn send(&mut self, message: &Value) {
        self.outgoing.extend_from_slice(message.to_string().as_bytes());
        self.outgoing.push(b'\n');
    }

    fn hear_out(&mut self, folder: &std::path::Path, replies: Replies<'_>) -> Result<(), ExternalError> {
        let environment = environment(folder);
        let start = ToolStart { program: &self.external.program, environment: &environment, directory: folder };
        let mut tool = self.launch.threads.install(|| Tool::start(&start)).map_err(ExternalError::Start)?;
        let heard = self.follow(&mut tool, replies);
        self.stderr.flush(&self.external.key);
        // One that did what it should has ended; of another nothing is to be learned any more.
        let stopped = tool.stop(if heard.is_ok() { Duration::ZERO } else { GRACE });
        heard?;
        stopped.map_err(ExternalError::Start)
    }

    fn follow(&mut self, tool: &mut Tool, replies: Replies<'_>) -> Result<(), ExternalError> {
        let mut until = Instant::now() + self.time;
        // In the exit phase a build that was told to stop is told about.
        let cancel = (self.phase != PhaseName::Exit).then_some(&self.launch.cancel);
        loop {
            let was_finished = self.has_finished;
            // Finding out what it asks for is not its time.
            let began = Instant::now();
            self.look(replies)?;
            until += began.elapsed();
            if self.has_finished && !was_finished {
                tool.hang_up();
                self.outgoing.clear();
                until = until.min(Instant::now() + LINGER);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let lingers = self.has_finished && tool.exit().is_none();
                return Err(if lingers {
                    ExternalError::Lingers(LINGER.min(self.time))
                } else {
                    ExternalError::TimedOut(self.time)
                });
            }
            let reads = self.outgoing.len() < MAX_BACKLOG;
            let ask = Ask { outgoing: &self.outgoing, reads, limit: left.min(PAUSE), cancel };
            let turn = tool.turn(&ask).map_err(ExternalError::Start)?;
            self.outgoing.drain(..turn.written);
            if !tool.listens() {
                self.outgoing.clear();
            }
            self.stderr.take(&self.external.key, &turn.stderr)?;
            let is_quiet = turn.stdout.is_empty();
            self.take(turn.stdout)?;
            if turn.is_cancelled {
                return Err(ExternalError::Cancelled);
            }
            if let (Some(exit), true) = (tool.exit(), is_quiet && turn.stderr.is_empty()) {
                return self.ended(exit, replies);
            }
            if tool.is_silent() && !self.has_finished && tool.exit().is_none() && self.incoming.is_empty() {
                self.wait_for_exit(tool, until)?;
            }
        }
    }

    /// It will say nothing any more: its end tells why, if it comes soon.
    fn wait_for_exit(&mut self, tool: &mut Tool, until: Instant) -> Result<(), ExternalError> {
        let until = until.min(Instant::now() + PAUSE);
        while tool.exit().is_none() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ExternalError::Silent);
            }
            let turn = tool.turn(&Ask { outgoing: &[], reads: false, limit: left, cancel: None });
            self.stderr.take(&self.external.key, &turn.map_err(ExternalError::Start)?.stderr)?;
        }
        Ok(())
    }

    /// Judges the end, when everything it wrote is here.
    fn ended(&mut self, exit: ToolExit, replies: Replies<'_>) -> Result<(), ExternalError> {
        // It reads no answers any more.
        self.outgoing.clear();
        self.look(replies)?;
        if !self.incoming.is_empty() {
            // A last line without an end.
            self.incoming.push(b'\n');
            self.look(replies)?;
        }
        let is_well = exit == ToolExit::Code(0) && self.has_finished;
        // One that says why it failed need not say it again by its status.
        if is_well || self.failure.is_some() {
            return Ok(());
        }
        Err(if self.has_finished { ExternalError::EndedBadly(exit) } else { ExternalError::Ended(exit) })
    }

    /// Keeps what it wrote until it is looked at.
    fn take(&mut self, bytes: Vec<u8>) -> Result<(), ExternalError> {
        self.output += bytes.len();
        if self.output > MAX_OUTPUT {
            return Err(ExternalError::TooMuch { limit: MAX_OUTPUT, what: "bytes" });
        }
        self.incoming.extend(bytes);
        Ok(())
    }

    /// Looks at every whole line, while it reads its answers.
    fn look(&mut self, replies: Replies<'_>) -> Result<(), ExternalError> {
        let mut at = 0;
        while self.outgoing.len() < MAX_BACKLOG {
            let rest = self.incoming.get(self.searched.max(at)..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
                self.searched = self.incoming.len();
                break;
            };
            let end = self.searched.max(at) + length;
            let line = self.incoming.get(at..end).unwrap_or_default().to_vec();
            at = end + 1;
            self.searched = at;
            if line.len() > MAX_LINE {
                return Err(ExternalError::LongLine(text::beginning(&line)));
            }
            self.one(&line, replies)?;
        }
        self.incoming.drain(..at);
        self.searched -= at;
        if self.searched > MAX_LINE {
            return Err(ExternalError::LongLine(text::beginning(&self.incoming)));
        }
        Ok(())
    }

    fn one(&mut self, line: &[u8], replies: Replies<'_>) -> Result<(), ExternalError> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        if self.has_finished {
            return Err(ExternalError::AfterDone(text::beginning(line)));
        }
        self.messages += 1;
        if self.messages > MAX_MESSAGES {
            return Err(ExternalError::TooMuch { limit: MAX_MESSAGES, what: "messages" });
        }
        let message = message::parse(line)?;
        self.allow(&message)?;
        match message {
            Message::Log(log) => self.log(log.level, &log.text),
            Message::Edit(edit) => self.answers.edits.push(edits::edit(edit)?),
            Message::Fact(fact) => self.state(edits::fact(fact)?, line.len())?,
            Message::Finding(finding) => self.answers.findings.push(edits::finding(&finding)?),
            Message::Error(error) => {
                self.failure = Some(edits::failure(&error));
                self.has_finished = true;
            }
            Message::Get(wanted) => {
                let reply = replies(&wanted);
                let line = answer::line(wanted, reply)?;
                self.send(&line);
            }
            Message::Done => self.has_finished = true,
        }
        Ok(())
    }

    /// Keeps a fact that `length` bytes stated.
    fn state(&mut self, fact: Fact, length: usize) -> Result<(), ExternalError> {
        self.stated += length;
        if self.stated > MAX_FACTS {
            return Err(ExternalError::TooMuch { limit: MAX_FACTS, what: "bytes of facts" });
        }
        if self.answers.facts.iter().any(|known| known.name() == fact.name()) {
            return Err(ExternalError::Wrong(format!("it states the fact {} twice", fact.name())));
        }
        self.answers.facts.push(fact);
        Ok(())
    }

    /// Whether the phase has this message. What can be got, its replies know.
    fn allow(&self, message: &Message) -> Result<(), ExternalError> {
        let is_allowed = match (message, self.phase) {
            (Message::Log(_) | Message::Error(_) | Message::Done | Message::Get(_), _) => true,
            (Message::Edit(_), phase) => phase == PhaseName::PreBuild,
            (Message::Finding(_), phase) => phase == PhaseName::PostBuild,
            (Message::Fact(_), phase) => {
                matches!(phase, PhaseName::Source | PhaseName::PreBuild | PhaseName::PostBuild)
            }
        };
        if is_allowed {
            return Ok(());
        }
        Err(ExternalError::WrongPhase { message: message.name() })
    }

    fn log(&mut self, level: Level, given: &str) {
        const LONGEST: usize = 2000;
        let (plugin, said) = (&*self.external.key, text::line(given, LONGEST));
        match level {
            // The runner says it, and the record keeps it, unless that is written by now.
            Level::Warning if self.phase != PhaseName::Exit => self.answers.warnings.push(said),
            Level::Warning => warn!(plugin, "{said}"),
            Level::Info => info!(plugin, "{said}"),
            Level::Debug => debug!(plugin, "{said}"),
        }
    }
}

/// What a program writes for people.
#[derive(Debug, Default)]
struct Stderr {
    bytes: usize,
    lines: usize,
    open: Vec<u8>,
    last: VecDeque<String>,
}

impl Stderr {
    fn take(&mut self, plugin: &str, bytes: &[u8]) -> Result<(), ExternalError> {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line(plugin);
            } else if self.open.len() < 4 * LOGGED_LINE {
                self.open.push(*byte);
            }
        }
        self.bytes += bytes.len();
        if self.bytes > MAX_STDERR {
            return Err(ExternalError::TooMuch { limit: MAX_STDERR, what: "bytes on standard error" });
        }
        if self.lines > MAX_STDERR_LINES {
            return Err(ExternalError::TooMuch { limit: MAX_STDERR_LINES, what: "lines on standard error" });
        }
        Ok(())
    }

    fn end_line(&mut self, plugin: &str) {
        let line = text::line(&String::from_utf8_lossy(&self.open), LOGGED_LINE);
        self.open.clear();
        if line.is_empty() {
            return;
        }
        self.lines += 1;
        if self.lines <= LOGGED_LINES {
            info!(plugin, stream = "stderr", "{line}");
        }
        self.last.push_back(line);
        if self.last.len() > LAST_LINES {
            self.last.pop_front();
        }
    }

    /// The last line, and what was left out.
    fn flush(&mut self, plugin: &str) {
        self.end_line(plugin);
        if self.lines > LOGGED_LINES {
            warn!(plugin, lines = self.lines - LOGGED_LINES, "lines on standard error were left out");
        }
    }
}
