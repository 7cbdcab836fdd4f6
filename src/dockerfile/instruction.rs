//! The typed instructions of a Dockerfile: what `parse` gives to the builder.
//!
//! Only types and what can be asked of them. Words are not expanded yet; see [`crate::expand`].

use std::time::Duration;

use crate::directive::{Directives, Escape};
use crate::heredoc::{self, Heredoc};
use crate::mount::Mount;
use crate::span::{Position, Span, Word, position};
use crate::{Keyword, tree::Flag};

/// A Dockerfile whose instructions are all well-formed.
///
/// It may still have no FROM, or name stages that do not exist: [`crate::stages()`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The text as it was given; all spans count in its bytes.
    pub text: String,
    /// The parser directives at its top.
    pub directives: Directives,
    /// The instructions in order.
    pub instructions: Vec<Instruction>,
    /// What someone should change, though it parses.
    pub warnings: Vec<Warning>,
}

impl Dockerfile {
    /// The escape character in force, which [`crate::expand`] needs.
    pub fn escape(&self) -> Escape {
        self.directives.escape()
    }

    /// The line and column of the byte at `offset`.
    pub fn position(&self, offset: usize) -> Position {
        position(&self.text, offset)
    }

    /// The text that `span` covers.
    pub fn slice(&self, span: Span) -> &str {
        span.of(&self.text)
    }
}

/// Something that parses but should be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A blank line within a continued instruction, which BuildKit says it will refuse one day.
    EmptyContinuation {
        /// The blank line.
        span: Span,
    },
}

/// One instruction with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The name as written.
    pub word: Word,
    /// Which instruction it is.
    pub keyword: Keyword,
    /// The flags as written; their meaning is in `kind`.
    pub flags: Vec<Flag>,
    /// The instruction itself.
    pub kind: Kind,
    /// The line with its continuations joined, without white space around it: what logs and histories show.
    pub line: String,
    /// From the name to the end of the last argument; heredoc bodies have their own spans.
    pub span: Span,
    /// The first line, from 1; below ONBUILD that of the ONBUILD.
    pub first_line: usize,
    /// The last line, with heredoc bodies and their delimiters.
    pub last_line: usize,
    /// The comments right above, without `#`.
    pub comments: Vec<Span>,
}

impl Instruction {
    /// The heredocs in order; those of an ONBUILD are on the instruction below it.
    pub fn heredocs(&self) -> &[Heredoc] {
        match &self.kind {
            Kind::Run { heredocs, .. } => heredocs,
            Kind::Copy(spec) => &spec.heredocs,
            Kind::Add(spec) => &spec.heredocs,
            Kind::Onbuild(inner) => inner.heredocs(),
            Kind::From { .. }
            | Kind::Arg(_)
            | Kind::Env(_)
            | Kind::Workdir(_)
            | Kind::User(_)
            | Kind::Label(_)
            | Kind::Cmd(_)
            | Kind::Entrypoint(_)
            | Kind::Expose(_)
            | Kind::Volume(_)
            | Kind::Stopsignal(_)
            | Kind::Healthcheck(_)
            | Kind::Shell(_)
            | Kind::Maintainer(_) => &[],
        }
    }

    /// The instruction as one text that parses again: the joined line with its heredoc bodies.
    ///
    /// For the instruction below ONBUILD this is what the image config's `OnBuild` holds.
    pub fn expression(&self) -> String {
        heredoc::appended(&self.line, self.heredocs())
    }
}

/// What an instruction is and what it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// FROM: the start of a stage.
    From {
        /// `--platform`.
        platform: Option<Word>,
        /// The base: an image, a stage, `scratch`, or an expression with variables.
        image: Word,
        /// The name after AS, as written; names are compared without regard to case.
        name: Option<Word>,
    },
    /// ARG: one or more build arguments.
    Arg(Vec<ArgDecl>),
    /// ENV: one or more variables, in order.
    Env(Vec<Pair>),
    /// RUN: a command.
    Run {
        /// Its flags.
        flags: RunFlags,
        /// What is run. With heredocs this is the shell text that announces them.
        command: Command,
        /// The bodies that a shell or an interpreter gets.
        heredocs: Vec<Heredoc>,
    },
    /// COPY: files from the context, a stage or an image.
    Copy(CopySpec),
    /// ADD: files, URLs, git repositories, archives.
    Add(AddSpec),
    /// WORKDIR: the rest of the line.
    Workdir(Word),
    /// USER: the rest of the line.
    User(Word),
    /// LABEL: one or more labels, in order.
    Label(Vec<Pair>),
    /// CMD: the default command.
    Cmd(Command),
    /// ENTRYPOINT: the entry point; an empty exec form takes an inherited one away.
    Entrypoint(Command),
    /// EXPOSE: ports, each of which may expand to several.
    Expose(Vec<Word>),
    /// VOLUME: paths, none of them empty.
    Volume(Vec<Word>),
    /// STOPSIGNAL: the rest of the line.
    Stopsignal(Word),
    /// HEALTHCHECK.
    Healthcheck(Healthcheck),
    /// SHELL: the program and its arguments, at least one.
    Shell(Vec<String>),
    /// ONBUILD: an instruction for builds on top of this image. Never FROM, MAINTAINER or ONBUILD.
    Onbuild(Box<Instruction>),
    /// MAINTAINER (deprecated): the rest of the line.
    Maintainer(Word),
}

/// `name` or `name=value` of an ARG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgDecl {
    /// The name; it may hold variables.
    pub name: Word,
    /// The default, quotes and variables still in it.
    pub value: Option<Word>,
}

/// A key and its value of ENV or LABEL, quotes and variables still in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The key.
    pub key: Word,
    /// The value.
    pub value: Word,
    /// What stood between them.
    pub separator: Separator,
}

/// What stands between a key and its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `name=value`.
    Equals,
    /// `name value`: the old form, where the value is the rest of the line.
    Blank,
}

/// A command in one of its two forms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// A text for the shell; empty where the instruction has no arguments.
    Shell(String),
    /// A program and its arguments, run as they are; empty for `[]`.
    Exec(Vec<String>),
}

/// How a command is started, heredocs resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// A text for the shell, with the heredocs that the shell must read behind it.
    Shell(String),
    /// A program and its arguments, run as they are.
    Exec(Vec<String>),
    /// A script with its own interpreter: it is put into a file called `name`, and the file is run.
    Script {
        /// The file's name: the heredoc's delimiter.
        name: String,
        /// The file's content, which starts with `#!`.
        content: String,
    },
}

impl Command {
    /// How RUN starts this command with the heredocs that it announces.
    ///
    /// A command that is nothing but one heredoc is that heredoc's body, for the shell or for the interpreter that
    /// its first line names. All else goes to the shell with the bodies behind it, as the Dockerfile has them.
    /// Nothing in the bodies is expanded here.
    pub fn invocation(&self, heredocs: &[Heredoc]) -> Invocation {
        let text = match self {
            Self::Exec(args) => return Invocation::Exec(args.clone()),
            Self::Shell(text) => text,
        };
        let is_alone = heredoc::parse(text).is_ok_and(|announced| announced.is_some());
        match heredocs.first().filter(|_| is_alone) {
            Some(only) if only.body().starts_with("#!") => {
                Invocation::Script { name: only.name.clone(), content: only.body().into_owned() }
            }
            Some(only) => Invocation::Shell(only.body().into_owned()),
            None => Invocation::Shell(heredoc::appended(text, heredocs)),
        }
    }
}

/// The flags of RUN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunFlags {
    /// `--mount`, in order.
    pub mounts: Vec<Mount>,
    /// `--network`.
    pub network: Network,
    /// `--security`.
    pub security: Security,
    /// `--device`, in order.
    pub devices: Vec<Device>,
}

/// `RUN --network`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// What the build uses.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Security {
    /// As every step.
    #[default]
    Sandbox,
    /// Without confinement.
    Insecure,
}

/// `RUN --device`: a device by its CDI name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The name, empty where the flag gives none.
    pub name: String,
    /// Whether the step fails without it.
    pub is_required: bool,
    /// The flag.
    pub span: Span,
}

/// A COPY.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySpec {
    /// `--from`: a stage's name or number, an image, or a named context.
    pub from: Option<Word>,
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The source paths, in order, without heredocs.
    pub sources: Vec<Word>,
    /// The files whose content is in the Dockerfile, in order; they are copied after `sources`.
    pub inline: Vec<InlineFile>,
    /// The destination.
    pub dest: Word,
    /// The heredocs as they were announced.
    pub heredocs: Vec<Heredoc>,
}

/// An ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddSpec {
    /// `--chown`.
    pub chown: Option<Word>,
    /// `--chmod`.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--keep-git-dir`, where it is given.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`.
    pub checksum: Option<Word>,
    /// `--unpack`, where it is given.
    pub unpack: Option<bool>,
    /// `--exclude`, in order.
    pub exclude: Vec<Word>,
    /// The source paths and URLs, in order, without heredocs.
    pub sources: Vec<Word>,
    /// The files whose content is in the Dockerfile, in order; they are added after `sources`.
    pub inline: Vec<InlineFile>,
    /// The destination.
    pub dest: Word,
    /// The heredocs as they were announced.
    pub heredocs: Vec<Heredoc>,
}

/// A file whose content is a heredoc of COPY or ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineFile {
    /// The file's name in the destination, if that is a directory.
    pub name: String,
    /// The content, leading tabs already dropped for `<<-`.
    pub content: String,
    /// Whether the content must still go through [`crate::expand::body`].
    pub expand: bool,
    /// The word that announces it.
    pub span: Span,
}

/// A HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Healthcheck {
    /// `NONE`: an inherited check is taken away.
    None,
    /// `CMD`.
    Probe(Probe),
}

/// `HEALTHCHECK CMD`; a flag that is missing or 0 leaves the runtime's default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What is run.
    pub command: Command,
    /// `--interval`.
    pub interval: Option<Duration>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
    /// `--start-period`.
    pub start_period: Option<Duration>,
    /// `--start-interval`.
    pub start_interval: Option<Duration>,
    /// `--retries`.
    pub retries: Option<u32>,
}
