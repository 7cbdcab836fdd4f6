//! Edits, facts and findings from outside: from messages to what plugins of this program answer, each value checked.

use std::path::{Component, Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::ExternalError;
use super::message::{
    ClassName, EditMessage, ErrorMessage, FactMessage, FileMessage, FindingMessage, FromMessage, RepositoryMessage,
    SeverityName,
};
use super::text;
use crate::edit::Added;
use crate::{
    Class, Edit, Fact, Finding, Injected, PluginError, PreBuildView, Reasoned, RewriteError, Severity, rewrite,
};

/// Bytes of the largest file.
const MAX_FILE: usize = 4 << 20;
/// Bytes of the longest label's value.
const MAX_VALUE: usize = 64 << 10;
/// Characters of a sentence.
const MAX_SENTENCE: usize = 2000;
/// Characters of a name or code.
const MAX_NAME: usize = 300;
/// Places that are the kernel's in every container.
const RESERVED: [&str; 3] = ["/dev", "/proc", "/sys"];

fn wrong<T>(text: impl Into<String>) -> Result<T, ExternalError> {
    Err(ExternalError::Wrong(text.into()))
}

/// A sentence that is not empty, on one line.
fn sentence(what: &str, given: &str) -> Result<String, ExternalError> {
    let shown = text::line(given, MAX_SENTENCE);
    if shown.is_empty() { wrong(format!("{what} is empty")) } else { Ok(shown) }
}

/// The change that a message is.
pub(super) fn edit(message: EditMessage) -> Result<Reasoned, ExternalError> {
    let reason = sentence("the reason of an edit", &message.reason)?;
    let EditMessage { from, labels, arguments, repository, file, .. } = message;
    let edit = match (from, labels, arguments, repository, file) {
        (Some(from), None, None, None, None) => self::from(from)?,
        (None, Some(labels), None, None, None) => self::labels(labels)?,
        (None, None, Some(arguments), None, None) => self::arguments(arguments)?,
        (None, None, None, Some(repository), None) => self::repository(&repository)?,
        (None, None, None, None, Some(file)) => self::file(&file)?,
        (_, _, _, _, _) => return wrong("an edit has one of from, labels, arguments, repository and file"),
    };
    Ok(Reasoned { edit, reason })
}

fn from(from: FromMessage) -> Result<Edit, ExternalError> {
    match from.image.parse::<oci::Reference>() {
        Ok(_) => Ok(Edit::From { stage: from.stage, image: from.image }),
        Err(error) => wrong(format!("{:?} is no image: {error}", text::line(&from.image, MAX_NAME))),
    }
}

fn labels(labels: serde_json::Map<String, serde_json::Value>) -> Result<Edit, ExternalError> {
    let mut pairs = Vec::new();
    for (name, value) in labels {
        let shown = text::line(&name, MAX_NAME);
        let is_unfit = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '=' | '"' | '\'');
        if name.is_empty() || name.len() > MAX_NAME || name.contains(is_unfit) {
            return wrong(format!("{shown:?} is no name of a label"));
        }
        let serde_json::Value::String(value) = value else { return wrong(format!("label {shown} is not a text")) };
        if value.len() > MAX_VALUE || value.contains(char::is_control) {
            return wrong(format!("label {shown} is longer than 64 KiB or has control characters"));
        }
        pairs.push((name, value));
    }
    if pairs.is_empty() { wrong("an edit has no label") } else { Ok(Edit::Labels(pairs)) }
}

fn arguments(names: Vec<String>) -> Result<Edit, ExternalError> {
    let is_name = |name: &String| {
        let mut characters = name.chars();
        let starts = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        starts && name.len() <= MAX_NAME && characters.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => wrong(format!("{:?} is no name of a build argument", text::line(name, MAX_NAME))),
        None if names.is_empty() => wrong("an edit has no argument"),
        None => Ok(Edit::Arguments(names)),
    }
}

fn repository(repository: &RepositoryMessage) -> Result<Edit, ExternalError> {
    let name = &repository.name;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
    let is_name = name.strip_suffix(".repo").is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'));
    if !is_name || name.len() > 255 || !name.chars().all(is_plain) {
        return wrong(format!(
            "{:?} is no file name of a repository: it ends in .repo and has no slash",
            text::line(name, MAX_NAME)
        ));
    }
    let content = content(name, &repository.content)?;
    // What a step or the gateway would refuse later, when nobody knows any more whose it is.
    if let Err(error) = rpm::repofile::RepoFile::parse(name, &content) {
        return wrong(error.to_string());
    }
    Ok(Edit::Inject(Injected::Repository { name: name.clone(), content }))
}

fn file(file: &FileMessage) -> Result<Edit, ExternalError> {
    let path = path(&file.path)?;
    let shown = text::line(&file.path, MAX_NAME);
    let mode = file.mode.as_deref().unwrap_or("0644");
    let is_octal = mode.len() <= 5 && mode.bytes().all(|byte| byte.is_ascii_digit());
    let Some(mode) = u32::from_str_radix(mode, 8).ok().filter(|mode| is_octal && *mode <= 0o777) else {
        return wrong(format!("{shown}: mode {:?}; it is octal and at most 0777", text::line(mode, MAX_NAME)));
    };
    Ok(Edit::Add(Added { path, content: content(&shown, &file.content)?, mode }))
}

/// A path in the image: absolute, and each of its parts a name.
fn path(given: &str) -> Result<PathBuf, ExternalError> {
    let shown = text::line(given, MAX_NAME);
    let why = |why: &str| wrong(format!("{shown:?} is no path of a file in the image: {why}"));
    let path = Path::new(given);
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return why("it must be absolute");
    }
    // `components` passes over `.`, which is no name either.
    if given.split('/').any(|part| part == "." || part == "..")
        || !parts.all(|part| matches!(part, Component::Normal(_)))
    {
        return why("it must go straight down");
    }
    if given.contains(char::is_control) || given.len() > 4000 || given.split('/').any(|part| part.len() > 255) {
        return why("it is too long or has control characters");
    }
    if path.file_name().is_none() || given.ends_with('/') {
        return why("it names no file");
    }
    if given.split('/').any(|part| part.starts_with(".wh.")) {
        return why("names that begin with .wh. cannot be in a layer");
    }
    if RESERVED.iter().any(|reserved| path.starts_with(reserved)) {
        return why("nothing in /dev, /proc and /sys gets into an image");
    }
    Ok(path.to_owned())
}

fn content(what: &str, base64: &str) -> Result<Vec<u8>, ExternalError> {
    // Four characters for three bytes.
    if base64.len() / 4 > MAX_FILE / 3 + 1 {
        return wrong(format!("{what}: larger than 4 MiB"));
    }
    match STANDARD.decode(base64) {
        Ok(content) if content.len() <= MAX_FILE => Ok(content),
        Ok(_) => wrong(format!("{what}: larger than 4 MiB")),
        Err(error) => wrong(format!("{what}: its content is no base64: {error}")),
    }
}

/// The fact that a message is.
pub(super) fn fact(message: FactMessage) -> Result<Fact, ExternalError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let rest = message.name.strip_prefix("x-").filter(|rest| !rest.is_empty() && rest.chars().all(is_plain));
    if rest.is_none() || message.name.len() > MAX_NAME {
        let shown = text::line(&message.name, MAX_NAME);
        return wrong(format!(
            "fact {shown:?}: facts of programs are called x-…, of lower-case letters, digits and dashes"
        ));
    }
    Ok(Fact::External { name: message.name, value: message.value })
}

/// The finding that a message is.
pub(super) fn finding(message: &FindingMessage) -> Result<Finding, ExternalError> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let code = &message.code;
    // Its own kinds only: those of this program mean something to it.
    if code.is_empty() || code.len() > MAX_NAME || !code.chars().all(is_plain) || code == crate::FAILED_TEST {
        let shown = text::line(code, MAX_NAME);
        return wrong(format!("{shown:?} is no code of a finding: words of lower-case letters, joined by dashes"));
    }
    let severity = match message.severity {
        SeverityName::Error => Severity::Error,
        SeverityName::Warning => Severity::Warning,
    };
    let subject = sentence("the subject of a finding", &message.subject)?;
    let message = sentence("the message of a finding", &message.message)?;
    Ok(Finding { severity, code: code.clone(), subject, message })
}

/// The failure that a message is.
pub(super) fn failure(message: &ErrorMessage) -> PluginError {
    let class = match message.class {
        ClassName::Configuration => Class::Configuration,
        ClassName::Source => Class::Source,
        ClassName::Refused => Class::Refused,
        ClassName::Environment => Class::Environment,
        ClassName::Remote => Class::Remote,
    };
    let text = text::line(&message.text, MAX_SENTENCE);
    let text = if text.is_empty() { "it failed and did not say why".to_owned() } else { text };
    let help = message.help.as_deref().map(|help| text::line(help, MAX_SENTENCE)).filter(|help| !help.is_empty());
    PluginError { help, ..PluginError::new(class, text) }
}

/// Finds out whether the edits can be made, so that one that cannot is its plugin's failure.
pub(super) fn check(view: &PreBuildView<'_>, edits: &[Reasoned]) -> Result<(), PluginError> {
    let failed = |text: String| Err(ExternalError::Wrong(text).said(crate::PhaseName::PreBuild, &[]));
    if let Some(text) = clash(edits) {
        return failed(text);
    }
    match rewrite(&view.request.dockerfile, view.plan.target(), edits) {
        // A Dockerfile that nothing can be added to is its author's affair, which the runner says.
        Ok(_) | Err(RewriteError::Swallowed) => Ok(()),
        Err(error @ (RewriteError::Edit(_) | RewriteError::Parse(_))) => {
            failed(format!("its edits of the Dockerfile cannot be made: {error}"))
        }
    }
}

/// Two files that cannot both be there, in words.
fn clash(edits: &[Reasoned]) -> Option<String> {
    let paths = edits.iter().filter_map(|one| if let Edit::Add(added) = &one.edit { Some(&added.path) } else { None });
    let mut paths: Vec<&PathBuf> = paths.collect();
    // By parts: whatever is below a path comes right behind it.
    paths.sort();
    let both = paths.iter().zip(paths.iter().skip(1)).find(|(above, below)| below.starts_with(above))?;
    let (above, below) = (both.0.display(), both.1.display());
    Some(if both.0 == both.1 {
        format!("its edits write the file {above} twice")
    } else {
        format!("its edits write the file {above} and the file {below} below it")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::message::{self, Message};
    use super::*;

    fn made(edit: Value) -> Result<Edit, String> {
        let mut edit = edit;
        edit["reason"] = json!("because");
        let line = json!({ "edit": edit }).to_string();
        let message = message::parse(line.as_bytes()).map_err(|error| error.to_string())?;
        let Message::Edit(message) = message else { panic!("{message:?}") };
        super::edit(message).map(|reasoned| reasoned.edit).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn refused(edit: Value, why: &str) {
        let error = made(edit.clone()).unwrap_err();
        assert!(error.contains(why), "{edit}: {error}");
    }

    #[test]
    fn edits_are_those_of_plugins_of_this_program() {
        let pairs = vec![("a".to_owned(), "b $x \"é\"".to_owned())];
        assert_eq!(made(json!({"labels": {"a": "b $x \"é\""}})), Ok(Edit::Labels(pairs)));
        let image = "r.example/a@sha256:".to_owned() + &"0".repeat(64);
        assert_eq!(made(json!({"from": {"stage": 1, "image": image}})), Ok(Edit::From { stage: 1, image }));
        assert_eq!(
            made(json!({"arguments": ["A", "_b1"]})),
            Ok(Edit::Arguments(vec!["A".to_owned(), "_b1".to_owned()]))
        );
        let (name, content) = ("a b-1.repo".to_owned(), b"[a]\nbaseurl=http://h/\n".to_vec());
        let repository = Edit::Inject(Injected::Repository { name, content });
        assert_eq!(
            made(json!({"repository": {"name": "a b-1.repo", "content": "W2FdCmJhc2V1cmw9aHR0cDovL2gvCg=="}})),
            Ok(repository)
        );
        let added = Added { path: "/etc/a/..b".into(), content: vec![0], mode: 0o640 };
        assert_eq!(
            made(json!({"file": {"path": "/etc/a/..b", "content": "AA==", "mode": "0640"}})),
            Ok(Edit::Add(added))
        );
    }

    #[test]
    fn no_path_leads_out_of_the_image_or_to_the_kernel() {
        for path in
            ["etc/x", "", "../x", "/../x", "/a/../x", "/a/./b", "/", "/a/", "/proc/x", "/dev/../etc/x", "/a\n", "/a/.."]
        {
            refused(json!({"file": {"path": path, "content": ""}}), "is no path of a file in the image");
        }
        refused(json!({"file": {"path": format!("/{}", "a".repeat(256)), "content": ""}}), "too long");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let half = json!({"repository": {"name": "x.repo", "content": "W2FdCmJhc2V1cmw9AAo="}});
        refused(half, "x.repo:2: repository file is not plain text");
        for path in ["/.wh.etc", "/etc/.wh..wh..opq"] {
            refused(json!({"file": {"path": path, "content": ""}}), "names that begin with .wh. cannot be in a layer");
        }
        for mode in ["4755", "1777", "+644", "rw", "", "0o644"] {
            refused(json!({"file": {"path": "/x", "content": "", "mode": mode}}), "it is octal and at most 0777");
        }
        refused(json!({"file": {"path": "/x", "content": "%"}}), "/x: its content is no base64");
        refused(json!({"file": {"path": "/x", "content": "A".repeat(6 << 20)}}), "/x: larger than 4 MiB");
        for name in ["x", ".repo", "../x.repo", "a/b.repo", "..repo", "x.repo\n"] {
            refused(json!({"repository": {"name": name, "content": ""}}), "is no file name of a repository");
        }
        for name in ["", "a b", "a=b", "a\nRUN x", "\"a\""] {
            refused(json!({"labels": {name: "x"}}), "is no name of a label");
        }
        refused(json!({"labels": {"a": "x\nRUN y"}}), "has control characters");
        refused(json!({"labels": {"a": 5}}), "label a is not a text");
        refused(json!({"labels": {}}), "an edit has no label");
        refused(json!({"arguments": ["A=b"]}), "is no name of a build argument");
        refused(json!({"from": {"stage": 0, "image": "a b"}}), "is no image");
        refused(json!({}), "an edit has one of");
        refused(json!({"arguments": ["A"], "labels": {"a": "b"}}), "an edit has one of");
        refused(json!({"mount": "/x"}), "unknown field `mount`");
    }

    #[test]
    fn files_that_cannot_both_be_there_are_named() {
        let clash = |paths: &[&str]| {
            let add = |path: &&str| Edit::Add(Added { path: path.into(), content: Vec::new(), mode: 0o644 });
            super::clash(
                &paths.iter().map(|path| Reasoned { edit: add(path), reason: String::new() }).collect::<Vec<_>>(),
            )
        };
        assert_eq!(clash(&["/a", "/a-b", "/ab"]), None);
        assert_eq!(clash(&["/b", "/a", "/b"]).unwrap(), "its edits write the file /b twice");
        assert_eq!(
            clash(&["/a/b/c", "/a-b", "/a"]).unwrap(),
            "its edits write the file /a and the file /a/b/c below it"
        );
    }

    #[test]
    fn facts_and_findings_have_names_of_their_own() {
        let fact = |name: &str| super::fact(FactMessage { name: name.to_owned(), value: json!(1) }).is_ok();
        assert!(fact("x-licences"));
        for name in ["tags", "x-", "x-A", "x-a b", "X-a"] {
            assert!(!fact(name), "{name}");
        }
        let finding = |code: &str, subject: &str| {
            let (severity, message) = (SeverityName::Error, "m".to_owned());
            let (code, subject) = (code.to_owned(), subject.to_owned());
            super::finding(&FindingMessage { severity, code, subject, message }).is_ok()
        };
        assert!(finding("forbidden-licence", "a"));
        assert!(!finding("A", "a") && !finding("", "a") && !finding("a", "\u{1b}") && !finding("test-failed", "a"));
    }
}
