//! What plugins change: the Dockerfile's text, files that only steps see, files that get into the image.

mod label;

use std::path::PathBuf;

use dockerfile::edit::{self, EditError};
use dockerfile::{Dockerfile, Escape, Instruction, ParseError, Span};
use serde::Serialize;

/// Where the directory of an [`Edit::Directory`] is beside its own context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DirectoryPlace {
    /// In RUN, at this absolute path, which RUN cannot change.
    Steps(PathBuf),
    /// In the build context, as the folder of this name.
    Context(String),
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The FROM of a stage names another image; its other bytes stay.
    From {
        /// The stage, by number.
        stage: usize,
        /// What stands there afterwards.
        image: String,
    },
    /// One LABEL instruction at the end of the stage that is built.
    Labels(Vec<(String, String)>),
    /// A file that RUN sees and no layer has.
    Inject(Injected),
    /// A file that is written into the image after the last instruction.
    Add(Added),
    /// ARG instructions behind every FROM, one for each name.
    Arguments(Vec<String>),
    /// An ENV instruction behind every FROM.
    Environment {
        /// The variable.
        name: String,
        /// Its value.
        value: String,
    },
    /// An instruction behind the FROM of one stage.
    Instruction {
        /// The stage, by number.
        stage: usize,
        /// Its line, as it stands there.
        line: String,
    },
    /// A directory of this machine that COPY and ADD may name as a context, and where else it is.
    Directory {
        /// The name of the context.
        context: String,
        /// Its path on this machine.
        source: PathBuf,
        /// Where else it is.
        place: DirectoryPlace,
    },
    /// Build arguments that have values from here on, unless they have some already.
    Values(Vec<(String, String)>),
    /// Absolute paths of files of bases that RUN does not see and the image keeps.
    Hide(Vec<PathBuf>),
    /// A URL that ADD fetches whatever steps may reach: the site's own, which an instruction of a plugin names.
    Reach(String),
    /// The Dockerfile, as all plugins left it, written into the image at this path after the last instruction.
    AddDockerfile(PathBuf),
    /// One label of the stage that is built: its value where the stage sets it last, else one LABEL at its end.
    Label {
        /// The label.
        name: String,
        /// Its value afterwards.
        value: String,
    },
}

/// A file that RUN sees and no layer has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Injected {
    /// A repository file of yum and dnf, by its name in `/etc/yum.repos.d`.
    Repository {
        /// Its file name, ending in `.repo`.
        name: String,
        /// Its content.
        content: Vec<u8>,
    },
    /// Any other file, over whatever the image has there.
    File {
        /// Its absolute path in the step.
        path: PathBuf,
        /// Its content.
        content: Vec<u8>,
    },
}

/// A file that is written into the image, owned by root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its path in the image.
    pub path: PathBuf,
    /// Its content.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// A change and why it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reasoned {
    /// The change.
    pub edit: Edit,
    /// Why, for the log and the record.
    pub reason: String,
}

/// A change that was made, as the record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Made {
    /// Who wanted it.
    pub plugin: String,
    /// What was changed: `from`, `label`, `repository`, `file`, `argument`, `environment`, `instruction`, `context`,
    /// `value`, `step-file`, `hidden` or `download`.
    pub kind: &'static str,
    /// What it is about: the stage, the labels, the file.
    pub subject: String,
    /// What is there now: the image, the labels, the digest of the content.
    pub value: String,
    /// Why.
    pub reason: String,
}

impl Edit {
    /// How the record tells of it.
    #[must_use]
    pub fn made(&self, plugin: &str, reason: &str) -> Made {
        let (kind, subject, value) = match self {
            Self::From { stage, image } => ("from", format!("stage {stage}"), image.clone()),
            Self::Labels(pairs) => {
                let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
                ("label", names.join(" "), label_line(pairs, Escape::Backslash))
            }
            Self::Inject(Injected::Repository { name, content }) => {
                ("repository", name.clone(), oci::Digest::of(content).to_string())
            }
            Self::Inject(Injected::File { path, content }) => {
                ("step-file", path.display().to_string(), oci::Digest::of(content).to_string())
            }
            Self::Hide(paths) => {
                let paths = paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
                ("hidden", paths.join(" "), "steps do not see it".to_owned())
            }
            Self::Reach(url) => ("download", url.clone(), "ADD fetches it from the site".to_owned()),
            Self::AddDockerfile(path) => {
                ("file", path.display().to_string(), "the Dockerfile as it is built".to_owned())
            }
            Self::Add(added) => ("file", added.path.display().to_string(), oci::Digest::of(&added.content).to_string()),
            Self::Arguments(names) => ("argument", names.join(" "), argument_lines(names).join("; ")),
            Self::Environment { name, value } => {
                ("environment", name.clone(), environment_line(name, value, Escape::Backslash))
            }
            Self::Instruction { stage, line } => ("instruction", format!("stage {stage}"), line.clone()),
            Self::Directory { context, source, .. } => ("context", context.clone(), source.display().to_string()),
            Self::Values(pairs) => {
                let names: Vec<&str> = pairs.iter().map(|(name, _)| name.as_str()).collect();
                let values: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
                ("value", names.join(" "), values.join(" "))
            }
            Self::Label { name, value } => ("label", name.clone(), label::line(name, value, Escape::Backslash)),
        };
        let (plugin, reason) = (plugin.to_owned(), reason.to_owned());
        Made { plugin, kind, subject, value, reason }
    }
}

/// Edits of a Dockerfile's text that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RewriteError {
    /// One of them cannot be made.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// What comes out is no Dockerfile.
    #[error("the edited Dockerfile cannot be read: {0}")]
    Parse(#[from] ParseError),
    /// What was added would become a part of an instruction that does not end.
    #[error("the Dockerfile ends in the middle of a continued line, so nothing can be added")]
    Swallowed,
}

/// `file` with those of `edits` made that are of its text; none if that changes nothing. `target` is the stage that
/// is built. All bytes that no edit is about stay as they are.
///
/// # Errors
/// [`RewriteError`].
pub fn rewrite(file: &Dockerfile, target: usize, edits: &[Reasoned]) -> Result<Option<Dockerfile>, RewriteError> {
    let text = apply(file, target, edits)?;
    if text == file.text {
        return Ok(None);
    }
    let made = dockerfile::parse(&text)?;
    let stages = dockerfile::stages(file).map_err(EditError::from)?.stages.len();
    let added = edits.iter().map(|one| match &one.edit {
        Edit::Labels(pairs) => usize::from(!pairs.is_empty()),
        Edit::Arguments(names) => names.len() * stages,
        Edit::Environment { .. } => stages,
        Edit::Instruction { .. } => 1,
        Edit::From { .. }
        | Edit::Inject(_)
        | Edit::Add(_)
        | Edit::Directory { .. }
        | Edit::Values(_)
        | Edit::Hide(_)
        | Edit::Reach(_)
        | Edit::AddDockerfile(_) => 0,
        Edit::Label { name, .. } => usize::from(label::place(file, target, name).is_none()),
    });
    if made.instructions.len() != file.instructions.len() + added.sum::<usize>() {
        return Err(RewriteError::Swallowed);
    }
    Ok(Some(made))
}

/// The edits of `file`'s text among `edits`, made.
fn apply(file: &Dockerfile, target: usize, edits: &[Reasoned]) -> Result<String, EditError> {
    let mut changes = Vec::new();
    for Reasoned { edit, .. } in edits {
        match edit {
            Edit::From { stage, image } => changes.push(edit::pin_from(file, *stage, image)?),
            Edit::Labels(pairs) if !pairs.is_empty() => {
                changes.push(append(file, target, &label_line(pairs, file.escape()))?)
            }
            Edit::Arguments(names) if !names.is_empty() => {
                let lines = argument_lines(names);
                changes.extend(dockerfile::stages(file)?.stages.iter().map(|stage| behind(file, stage.from, &lines)));
            }
            Edit::Label { name, value } => changes.push(match label::place(file, target, name) {
                Some(span) => dockerfile::Edit { span, replacement: label::word(value, file.escape()) },
                None => append(file, target, &label::line(name, value, file.escape()))?,
            }),
            Edit::Environment { name, value } => {
                let line = [environment_line(name, value, file.escape())];
                changes.extend(dockerfile::stages(file)?.stages.iter().map(|stage| behind(file, stage.from, &line)));
            }
            Edit::Instruction { stage, line } => {
                let stages = dockerfile::stages(file)?.stages;
                let count = stages.len();
                let found = stages.get(*stage).ok_or(EditError::NoStage { stage: *stage, count })?;
                changes.push(behind(file, found.from, std::slice::from_ref(line)));
            }
            Edit::Labels(_)
            | Edit::Arguments(_)
            | Edit::Inject(_)
            | Edit::Add(_)
            | Edit::Directory { .. }
            | Edit::Values(_)
            | Edit::Hide(_)
            | Edit::Reach(_)
            | Edit::AddDockerfile(_) => {}
        }
    }
    edit::apply(&file.text, &changes)
}

/// An instruction after the last one of a stage, on a line of its own.
fn append(file: &Dockerfile, stage: usize, line: &str) -> Result<dockerfile::Edit, EditError> {
    let stages = dockerfile::stages(file)?.stages;
    let count = stages.len();
    let found = stages.get(stage).ok_or(EditError::NoStage { stage, count })?;
    let last = found.instructions.last().unwrap_or(found.from);
    Ok(behind(file, last, &[line.to_owned()]))
}

/// `lines` behind an instruction.
fn behind(file: &Dockerfile, last: &Instruction, lines: &[String]) -> dockerfile::Edit {
    // An instruction ends with its line, and where it announces heredocs with the line behind the last of their bodies.
    let end = last.heredocs().last().map_or(last.span.end, |heredoc| heredoc.span.end);
    let rest = file.text.get(end..).unwrap_or_default();
    let ending = if file.text.contains("\r\n") { "\r\n" } else { "\n" };
    let at = rest.find('\n').map_or(file.text.len(), |length| end + length + 1);
    let has_line_end = file.text.get(..at).is_some_and(|before| before.ends_with('\n'));
    let before = if has_line_end { "" } else { ending };
    let lines: String = lines.iter().map(|line| format!("{line}{ending}")).collect();
    dockerfile::Edit { span: Span::at(at), replacement: format!("{before}{lines}") }
}

fn argument_lines(names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("ARG {name}")).collect()
}

/// `ENV name=value`, quoted where that is needed.
fn environment_line(name: &str, value: &str, escape: Escape) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '~');
    if !value.is_empty() && value.chars().all(is_plain) {
        return format!("ENV {name}={value}");
    }
    format!("ENV {name}={}", quoted(value, escape))
}

/// `text` in quotes, so that it is read back as it is.
fn quoted(text: &str, escape: Escape) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        if matches!(character, '"' | '$') || character == escape.as_char() {
            quoted.push(escape.as_char());
        }
        // A line end would end the instruction.
        quoted.push(if character.is_control() { ' ' } else { character });
    }
    quoted.push('"');
    quoted
}

/// `LABEL "name"="value" …`.
fn label_line(pairs: &[(String, String)], escape: Escape) -> String {
    let quoted = |text: &str| quoted(text, escape);
    let pairs = pairs.iter().map(|(name, value)| format!("{}={}", quoted(name), quoted(value)));
    format!("LABEL {}", pairs.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests;
