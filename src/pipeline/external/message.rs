//! The messages of a program: one line to one message. Pure.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::error::ExternalError;
use super::text;

/// A message.
#[derive(Debug, PartialEq)]
pub(super) enum Message {
    Log(Log),
    Edit(EditMessage),
    Fact(FactMessage),
    Finding(FindingMessage),
    Error(ErrorMessage),
    Get(Wanted),
    Done,
}

impl Message {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Edit(_) => "edit",
            Self::Fact(_) => "fact",
            Self::Finding(_) => "finding",
            Self::Error(_) => "error",
            Self::Get(Wanted::ContextFile(_)) => "get context_file",
            Self::Get(Wanted::Labels) => "get labels",
            Self::Get(Wanted::Packages) => "get packages",
            Self::Done => "done",
        }
    }
}

/// What a program asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    ContextFile(String),
    Labels,
    Packages,
}

impl Wanted {
    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::ContextFile(_) => "context_file",
            Self::Labels => "labels",
            Self::Packages => "packages",
        }
    }
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    pub(super) level: Level,
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Warning,
    Info,
    Debug,
}

/// One change and why; exactly one of the others is there.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditMessage {
    pub(super) reason: String,
    pub(super) from: Option<FromMessage>,
    pub(super) labels: Option<Map<String, Value>>,
    pub(super) arguments: Option<Vec<String>>,
    pub(super) repository: Option<RepositoryMessage>,
    pub(super) file: Option<FileMessage>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FromMessage {
    pub(super) stage: usize,
    pub(super) image: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RepositoryMessage {
    pub(super) name: String,
    /// Base64.
    pub(super) content: String,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileMessage {
    pub(super) path: String,
    /// Base64.
    pub(super) content: String,
    /// Octal; none is 0644.
    pub(super) mode: Option<String>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FactMessage {
    pub(super) name: String,
    pub(super) value: Value,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FindingMessage {
    pub(super) severity: SeverityName,
    pub(super) code: String,
    pub(super) subject: String,
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SeverityName {
    Error,
    Warning,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorMessage {
    pub(super) class: ClassName,
    pub(super) text: String,
    pub(super) help: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ClassName {
    Configuration,
    Source,
    Refused,
    Environment,
    Remote,
}

/// A line as it is written: one of these, and `path` beside `get` only.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    log: Option<Log>,
    edit: Option<EditMessage>,
    fact: Option<FactMessage>,
    finding: Option<FindingMessage>,
    error: Option<ErrorMessage>,
    get: Option<String>,
    path: Option<String>,
    done: Option<bool>,
}

/// The message of a line without its end.
///
/// # Errors
/// [`ExternalError::NotText`], [`ExternalError::NoMessage`] with the beginning of the line.
pub(super) fn parse(bytes: &[u8]) -> Result<Message, ExternalError> {
    let no_message = |why: &str| ExternalError::NoMessage { line: text::beginning(bytes), why: text::line(why, 300) };
    let line = std::str::from_utf8(bytes).map_err(|_| ExternalError::NotText(text::beginning(bytes)))?;
    // A list would do for a struct; a message is an object.
    if !line.trim_start().starts_with('{') {
        return Err(no_message("not a JSON object"));
    }
    let line: Line = serde_json::from_str(line).map_err(|error| no_message(&error.to_string()))?;
    let Line { log, edit, fact, finding, error, get, path, done } = line;
    let has_path = path.is_some();
    let get = get.map(|get| wanted(&get, path).map_err(|why| no_message(&why))).transpose()?;
    let done = match done {
        Some(false) => return Err(no_message("done is true or not said")),
        Some(true) => Some(Message::Done),
        None => None,
    };
    let is_get = get.is_some();
    let all = [
        log.map(Message::Log),
        edit.map(Message::Edit),
        fact.map(Message::Fact),
        finding.map(Message::Finding),
        error.map(Message::Error),
        get.map(Message::Get),
        done,
    ];
    let mut found = all.into_iter().flatten();
    match (found.next(), found.next()) {
        (Some(_), _) if has_path && !is_get => Err(no_message("path belongs to get")),
        (Some(message), None) => Ok(message),
        (Some(first), Some(second)) => {
            Err(no_message(&format!("{} and {} are two messages; write a line for each", first.name(), second.name())))
        }
        (None, _) => Err(no_message("it says none of log, edit, fact, finding, error, get and done")),
    }
}

fn wanted(name: &str, path: Option<String>) -> Result<Wanted, String> {
    match (name, path) {
        ("context_file", Some(path)) => Ok(Wanted::ContextFile(path)),
        ("context_file", None) => Err("get context_file needs a path".to_owned()),
        ("labels", None) => Ok(Wanted::Labels),
        ("packages", None) => Ok(Wanted::Packages),
        ("labels" | "packages", Some(_)) => Err(format!("get {name} has no path")),
        (_, _) => Err(format!("nobody can get {name:?}; there are context_file, labels and packages")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let error = parse(line.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{line}: {error}");
    }

    #[test]
    fn a_line_is_one_message() {
        assert_eq!(parse(b"{\"done\":true}\r").unwrap(), Message::Done);
        let log = Log { level: Level::Info, text: "x".to_owned() };
        assert_eq!(parse(b" {\"log\":{\"level\":\"info\",\"text\":\"x\"}}").unwrap(), Message::Log(log));
        let get = Wanted::ContextFile("a b".to_owned());
        assert_eq!(parse(b"{\"get\":\"context_file\",\"path\":\"a b\"}").unwrap(), Message::Get(get));
        assert_eq!(parse(b"{\"get\":\"packages\"}").unwrap(), Message::Get(Wanted::Packages));
    }

    #[test]
    fn anything_else_is_named() {
        refused("", "not a JSON object: ``");
        refused("hello", "not a JSON object: `hello`");
        refused("[true]", "not a JSON object");
        refused("{", "EOF while parsing");
        refused("{}", "it says none of");
        refused("{\"edits\":[]}", "unknown field `edits`, expected one of `log`, `edit`");
        refused("{\"done\":true,\"fact\":{\"name\":\"x-a\",\"value\":1}}", "fact and done are two messages");
        refused("{\"done\":false}", "done is true or not said");
        refused("{\"done\":true,\"done\":true}", "duplicate field `done`");
        refused("{\"done\":true,\"path\":\"x\"}", "path belongs to get");
        refused("{\"log\":{\"level\":\"loud\",\"text\":\"\"}}", "unknown variant `loud`");
        refused("{\"get\":\"secrets\"}", "nobody can get \"secrets\"");
        refused("{\"get\":\"labels\",\"path\":\"x\"}", "get labels has no path");
        refused("{\"error\":{\"class\":\"bug\",\"text\":\"x\"}}", "unknown variant `bug`");
        refused(&format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), "not a JSON object");
        refused(&format!("{{\"fact\":{{\"name\":\"x-a\",\"value\":{}", "[".repeat(5000)), "recursion limit exceeded");
        assert_eq!(parse(b"{\xff").unwrap_err().to_string(), "it wrote a line that is not UTF-8: `{\u{fffd}`");
    }
}
