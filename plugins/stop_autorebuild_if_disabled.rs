//! `stop_autorebuild_if_disabled`: a repository says whether new parents rebuild its image.
//!
//! Reads whether a new parent triggered the build, and `[autorebuild] enabled` in the source's `.osbs-repo-config` (or
//! in the file that the argument `config_file` names). Returns nothing. Cancels such a build unless the file enables it:
//! where it is missing or cannot be read, it does not.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use pipeline::{Class, Found, Made, Plugin, PluginError, Setup, Source, SourceView};

use crate::{check_and_set_rebuild, ini};

/// The file where the arguments name none.
const NAME: &str = ".osbs-repo-config";
/// More bytes of it are not read.
const MAX_FILE: u64 = 64 << 10;

#[derive(Debug)]
struct StopAutorebuild {
    name: String,
}

pub(crate) fn make(setup: &Setup<'_>) -> Made<Source> {
    let name = setup.text("config_file")?.unwrap_or_else(|| NAME.to_owned());
    if name.contains('/') || name.is_empty() || name == ".." {
        let text = format!("argument config_file is {name:?}; it must be the name of a file beside the Dockerfile");
        return Err(PluginError::new(Class::Configuration, text));
    }
    let is_autorebuild = check_and_set_rebuild::is_autorebuild(&setup.wanted.task);
    Ok(if is_autorebuild { Some(Box::new(StopAutorebuild { name })) } else { None })
}

impl Plugin<Source> for StopAutorebuild {
    fn run(&self, view: &SourceView<'_>) -> Result<Found, PluginError> {
        let path = view.directory.join(&self.name);
        decide(&self.name, text_of(&path).as_deref()).map(|()| Found::default())
    }
}

/// The text of a file; none where it cannot be read, is too large or no file.
fn text_of(path: &Path) -> Option<String> {
    // A link would be followed out of the clone, and opening a pipe would wait.
    path.symlink_metadata().ok().filter(Metadata::is_file)?;
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text)).ok()?;
    (text.len() as u64 <= MAX_FILE).then_some(text)
}

/// Whether the build goes on, by the text of the file; none where it cannot be read.
pub(crate) fn decide(name: &str, text: Option<&str>) -> Result<(), PluginError> {
    let stopped = |why: &str| {
        let text = format!("a new parent triggered this build, and rebuilds are disabled: {name}{why}");
        let help = format!("write `[autorebuild]` and `enabled = true` into {name} where they are wanted");
        Err(PluginError::new(Class::Cancelled, text).help(help))
    };
    let Some(text) = text else { return stopped(" is not there or cannot be read") };
    let Ok(sections) = ini::parse(name, text) else { return stopped(" is no INI file") };
    let options = sections.into_iter().find(|section| section.name == "autorebuild").map(|section| section.options);
    let enabled = options.into_iter().flatten().find(|option| option.key == "enabled");
    match enabled.map(|option| option.value.to_ascii_lowercase()).as_deref() {
        // As configparser understands them.
        Some("1" | "yes" | "true" | "on") => Ok(()),
        Some(_) => stopped(" has them off"),
        None => stopped(" does not enable them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn stopped(text: Option<&str>, why: &str) {
        let error = decide(NAME, text).unwrap_err();
        assert_eq!(error.class, Class::Cancelled);
        assert!(error.text.ends_with(why), "{}", error.text);
    }

    #[test]
    fn only_a_file_is_read_and_only_whole() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "[autorebuild]\n").unwrap();
        assert_eq!(text_of(&at("file")).as_deref(), Some("[autorebuild]\n"));
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        std::fs::write(at("large"), vec![b'#'; usize::try_from(MAX_FILE).unwrap() + 1]).unwrap();
        // Whoever opened it would wait for somebody to write.
        assert!(std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
        for name in ["link", "large", "pipe", "none"] {
            assert_eq!(text_of(&at(name)), None, "{name}");
        }
    }

    #[test]
    fn a_rebuild_goes_on_only_where_it_is_enabled() {
        for value in ["true", "Yes", "1", "on"] {
            decide(NAME, Some(&format!("[autorebuild]\nenabled = {value}\n"))).unwrap();
        }
        stopped(None, "disabled: .osbs-repo-config is not there or cannot be read");
        stopped(Some("enabled = true\n"), "disabled: .osbs-repo-config is no INI file");
        stopped(Some("[autorebuild]\n"), "disabled: .osbs-repo-config does not enable them");
        stopped(Some("[autorebuild]\nenabled = maybe\n"), "disabled: .osbs-repo-config has them off");
    }
}
