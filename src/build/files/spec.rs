//! What COPY and ADD were given: as written, and expanded.

use dockerfile::{AddSpec, CopySpec, InlineFile, Word};
use oci::config::ContainerConfig;

use super::Mode;
use super::remote::{Checksum, Source};
use crate::InstructionError;
use crate::scope::Scope;

/// What both have, words not expanded.
#[derive(Default)]
pub(super) struct Files<'a> {
    is_add: bool,
    from: Option<&'a Word>,
    chown: Option<&'a Word>,
    chmod: Option<&'a Word>,
    checksum: Option<&'a Word>,
    link: bool,
    parents: bool,
    keep_git_dir: bool,
    unpack: Option<bool>,
    exclude: &'a [Word],
    sources: &'a [Word],
    inline: &'a [InlineFile],
    destination: Option<&'a Word>,
}

impl<'a> Files<'a> {
    pub(super) fn of_copy(spec: &'a CopySpec) -> Self {
        Self {
            from: spec.from.as_ref(),
            chown: spec.chown.as_ref(),
            chmod: spec.chmod.as_ref(),
            link: spec.link,
            parents: spec.parents,
            exclude: &spec.exclude,
            sources: &spec.sources,
            inline: &spec.inline,
            destination: Some(&spec.dest),
            ..Self::default()
        }
    }

    pub(super) fn of_add(spec: &'a AddSpec) -> Self {
        Self {
            is_add: true,
            chown: spec.chown.as_ref(),
            chmod: spec.chmod.as_ref(),
            checksum: spec.checksum.as_ref(),
            link: spec.link,
            keep_git_dir: spec.keep_git_dir.unwrap_or_default(),
            unpack: spec.unpack,
            exclude: &spec.exclude,
            sources: &spec.sources,
            inline: &spec.inline,
            destination: Some(&spec.dest),
            ..Self::default()
        }
    }
}

/// What is asked for, everything expanded.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) from: Option<String>,
    /// The text of `--chown`; names are looked up in the stage.
    pub(super) chown: Option<String>,
    pub(super) mode: Option<Mode>,
    pub(super) checksum: Option<Checksum>,
    pub(super) link: bool,
    pub(super) parents: bool,
    pub(super) keep_git_dir: bool,
    pub(super) unpack: Unpacking,
    pub(super) exclude: Vec<String>,
    pub(super) sources: Vec<Source>,
    /// Names and contents of heredocs.
    pub(super) inline: Vec<(String, String)>,
    pub(super) destination: String,
}

/// Which archives are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unpacking {
    /// Those of the context.
    pub(super) local: bool,
    /// Those that come from a URL.
    pub(super) remote: bool,
}

impl Asked {
    pub(super) fn expand(
        files: &Files<'_>,
        scope: &Scope<'_>,
        config: &ContainerConfig,
    ) -> Result<Self, InstructionError> {
        let word = |word: &Word| scope.word(config, word);
        let words = |words: &[Word]| words.iter().map(word).collect::<Result<Vec<String>, _>>();
        let flag = |flag: &str, value: Option<&Word>| value.map(word).transpose()?.map_or(Ok(None), some(flag));
        let texts = words(files.sources)?;
        let sources = texts.iter().map(|text| source(files.is_add, text)).collect::<Result<Vec<Source>, _>>()?;
        let mode = flag("--chmod", files.chmod)?.map(|text| Mode::parse(&text)).transpose();
        let checksum = flag("--checksum", files.checksum)?;
        let inline = files.inline.iter().map(|file| {
            let name = file.name.rsplit('/').next().unwrap_or_default().to_owned();
            if matches!(name.as_str(), "" | "." | "..") {
                return Err(invalid(format!("`{}` cannot be the name of a file", file.name)));
            }
            let content = if file.expand { scope.body(config, &file.content)? } else { file.content.clone() };
            Ok((name, content))
        });
        Ok(Self {
            from: flag("--from", files.from)?,
            chown: flag("--chown", files.chown)?,
            mode: mode.map_err(|error| invalid(format!("--chmod: {error}")))?,
            checksum: checksum.map(|text| Checksum::parse(&text, &sources)).transpose()?,
            link: files.link,
            parents: files.parents,
            keep_git_dir: files.keep_git_dir,
            unpack: Unpacking { local: files.unpack.unwrap_or(files.is_add), remote: files.unpack.unwrap_or_default() },
            exclude: words(files.exclude)?,
            inline: inline.collect::<Result<_, _>>()?,
            destination: files.destination.map(word).transpose()?.unwrap_or_default(),
            sources,
        })
    }

    /// Whether something is to be read from a tree.
    pub(super) fn has_paths(&self) -> bool {
        self.sources.iter().any(|source| matches!(source, Source::Path(_)))
    }
}

/// A flag that expands to nothing is a mistake (buildah).
fn some(flag: &str) -> impl Fn(String) -> Result<Option<String>, InstructionError> {
    move |text| {
        if text.is_empty() { Err(invalid(format!("{flag} expands to nothing"))) } else { Ok(Some(text)) }
    }
}

fn source(is_add: bool, text: &str) -> Result<Source, InstructionError> {
    // An empty source is the whole tree, as in buildah and docker.
    let source = Source::of(text)?;
    match source {
        Source::Path(_) => Ok(source),
        Source::Url(_) | Source::Git(_) if is_add => Ok(source),
        Source::Url(_) | Source::Git(_) => {
            Err(invalid(format!("COPY takes files of a context, a stage or an image; write ADD for {source}")))
        }
    }
}

fn invalid(what: String) -> InstructionError {
    InstructionError::Invalid { what }
}
