//! The directory with the site's plugins: which programs there are, and what each says of itself.
//!
//! A program `NAME` or `NAME.EXTENSION` is the plugin `NAME`; `NAME.json` beside it is its header. Nothing is executed
//! to find out. What anybody may have changed is refused: a plugin sees what is built and decides over it.

use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::Deserialize;

use super::{PROTOCOL, text};
use crate::{Class, PhaseName, PluginError};

/// Bytes of the largest header.
const MAX_HEADER: u64 = 64 << 10;
/// Entries of the largest directory.
const MAX_ENTRIES: usize = 10_000;
/// Characters of a header's texts.
const MAX_TEXT: usize = 500;

/// A program of the site's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// Its key: the file's name without the extension.
    pub key: String,
    /// The program.
    pub program: PathBuf,
    /// What it says of itself, or why that cannot be known.
    pub header: Result<Header, PluginError>,
}

/// What a program says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its phase.
    pub phase: PhaseName,
    /// What it does, in one sentence.
    pub text: String,
    /// What makes it act.
    pub acts: String,
}

/// The programs of `directory`, by key.
///
/// # Errors
/// [`Class::Configuration`]: the directory cannot be read, others may write to it, or a name stands for two programs.
pub(crate) fn read(directory: &Path) -> Result<Vec<Offered>, PluginError> {
    let failed = |path: &Path, error: &std::io::Error| refused(path, &format!("cannot be read: {error}"));
    let directory = directory.canonicalize().map_err(|error| failed(directory, &error))?;
    check(&directory)?;
    let mut programs: Vec<Offered> = Vec::new();
    for entry in std::fs::read_dir(&directory).map_err(|error| failed(&directory, &error))?.take(MAX_ENTRIES) {
        let path = entry.map_err(|error| failed(&directory, &error))?.path();
        // A link may lead nowhere, and a file may just have gone.
        let Ok(metadata) = path.metadata() else { continue };
        let Some(key) = key(&path, &metadata) else { continue };
        if let Some(other) = programs.iter().find(|other| other.key == key) {
            let text = format!("two programs are the plugin {key}: {} and {}", other.program.display(), path.display());
            return Err(PluginError::new(Class::Configuration, text));
        }
        let header = check(&path).and_then(|()| header(&directory.join(format!("{key}.json"))));
        programs.push(Offered { key, program: path, header });
    }
    programs.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(programs)
}

/// The plugin that a file is; none for what is no program.
fn key(path: &Path, metadata: &Metadata) -> Option<String> {
    let is_program = metadata.is_file() && metadata.mode() & 0o111 != 0;
    let key = path.file_stem().and_then(|stem| stem.to_str())?;
    let is_header = path.extension().is_some_and(|extension| extension == "json");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_key = !key.starts_with('.') && key.len() <= 100 && key.chars().all(is_plain);
    (is_program && !is_header && is_key).then(|| key.to_owned())
}

/// Nobody else may have written it: it is root's or the user's own, and not open to everybody.
fn check(path: &Path) -> Result<(), PluginError> {
    let metadata = path.metadata().map_err(|error| refused(path, &format!("cannot be looked at: {error}")))?;
    let user = rustix::process::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != user {
        let text = format!("belongs to user {}; plugins must be root's or user {user}'s", metadata.uid());
        return Err(refused(path, &text));
    }
    // Volumes made from a config map are open to everybody, and cannot be written to.
    let is_sealed = || statvfs(path).is_ok_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    if metadata.mode() & 0o002 != 0 && !is_sealed() {
        return Err(refused(path, "anybody may write to it; take that right away with chmod o-w"));
    }
    Ok(())
}

fn refused(path: &Path, why: &str) -> PluginError {
    PluginError::new(Class::Configuration, format!("plugins.directory: {}: {why}", path.display()))
}

fn header(path: &Path) -> Result<Header, PluginError> {
    let help = "a plugin says its phase in a file NAME.json beside it; see docs/plugins.md";
    // Opening a pipe would wait for somebody to write.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(refused(path, "is no file").help(help));
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_HEADER + 1).read_to_end(&mut bytes));
    read.map_err(|error| refused(path, &format!("cannot be read: {error}")).help(help))?;
    check(path)?;
    if bytes.len() as u64 > MAX_HEADER {
        return Err(refused(path, "larger than 64 KiB").help(help));
    }
    parse(&bytes).map_err(|why| refused(path, &why).help(help))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    protocol: u64,
    phase: String,
    text: String,
    acts: Option<String>,
}

/// The header that these bytes are.
pub(super) fn parse(bytes: &[u8]) -> Result<Header, String> {
    let written: Written = serde_json::from_slice(bytes)
        .map_err(|error| format!("no header of a plugin: {}", text::line(&error.to_string(), 300)))?;
    if written.protocol != PROTOCOL {
        return Err(format!("protocol {}; this program speaks {PROTOCOL}", written.protocol));
    }
    let phases = [PhaseName::Source, PhaseName::PreBuild, PhaseName::PostBuild, PhaseName::Publish, PhaseName::Exit];
    let phase = phases.into_iter().find(|phase| phase.as_str() == written.phase).ok_or_else(|| {
        let names: Vec<&str> = phases.iter().map(|phase| phase.as_str()).collect();
        format!("phase {:?}; there are {}", text::line(&written.phase, 40), names.join(", "))
    })?;
    let acts = written.acts.as_deref().unwrap_or("where the site lists it");
    Ok(Header { phase, text: text::line(&written.text, MAX_TEXT), acts: text::line(acts, MAX_TEXT) })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(folder: &Path, name: &str, mode: u32, text: &str) {
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    const HEADER: &str = r#"{"protocol":1,"phase":"pre-build","text":"Does."}"#;

    #[test]
    fn programs_are_plugins_by_the_name_of_their_file() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "b.py", 0o755, "");
        put(folder.path(), "b.json", 0o755, HEADER);
        put(folder.path(), "a", 0o755, "");
        for (name, mode) in [("library.py", 0o644), (".hidden", 0o755), ("with blank", 0o755)] {
            put(folder.path(), name, mode, "");
        }
        let found = read(folder.path()).unwrap();
        let keys: Vec<&str> = found.iter().map(|one| one.key.as_str()).collect();
        assert_eq!(keys, ["a", "b"]);
        let (text, acts) = ("Does.".to_owned(), "where the site lists it".to_owned());
        assert_eq!(found[1].header, Ok(Header { phase: PhaseName::PreBuild, text, acts }));
        assert!(found[0].header.as_ref().unwrap_err().text.contains("a.json: cannot be read: No such file"));
        put(folder.path(), "a.sh", 0o755, "");
        assert!(read(folder.path()).unwrap_err().text.starts_with("two programs are the plugin a: "));
    }

    #[test]
    fn only_a_file_is_a_header() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a", 0o755, "");
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.path().join("a.json"), 0o644.into()).unwrap();
        let error = read(folder.path()).unwrap()[0].header.clone().unwrap_err();
        assert!(error.text.ends_with("/a.json: is no file"), "{error}");
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "a", 0o757, "");
        put(folder.path(), "a.json", 0o644, HEADER);
        let error = read(folder.path()).unwrap()[0].header.clone().unwrap_err();
        assert!(error.text.ends_with("/a: anybody may write to it; take that right away with chmod o-w"), "{error}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(read(folder.path()).unwrap_err().text.contains("anybody may write to it"));
        assert!(read(Path::new("/no/such")).unwrap_err().text.contains("/no/such: cannot be read: No such file"));
    }

    #[test]
    fn what_is_somebody_elses_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        if std::os::unix::fs::chown(folder.path(), Some(12_345), None).is_err() {
            return eprintln!("skipped: only root can give a directory away");
        }
        assert!(
            read(folder.path()).unwrap_err().text.contains("belongs to user 12345; plugins must be root's or user")
        );
    }

    #[test]
    fn a_header_says_protocol_and_phase() {
        let refused = |text: &str| parse(text.as_bytes()).unwrap_err();
        assert_eq!(refused(r#"{"protocol":2,"phase":"exit","text":""}"#), "protocol 2; this program speaks 1");
        let phases = "phase \"prebuild\"; there are source, pre-build, post-build, publish, exit";
        assert_eq!(refused(r#"{"protocol":1,"phase":"prebuild","text":""}"#), phases);
        assert!(refused(r#"{"protocol":1,"phase":"exit","text":"","name":"x"}"#).contains("unknown field `name`"));
        assert!(refused("").starts_with("no header of a plugin: EOF"));
    }
}
