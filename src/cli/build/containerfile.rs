//! The Dockerfile of a build: finding it, reading it, joining several.
//!
//! Comes in: what `-f` says, and the source. Goes out: one text, what to call it, and where it came from, for the
//! ignore file beside it.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use dockerfile::{Dockerfile, MAX_FILE_BYTES};
use source::DOCKERFILES;

use super::bring::{Bring, STDIN, shown};
use super::context::{Files, Place};
use super::fetch::{Fetched, Given, is_web};
use super::inline::IN_BUILD;
use crate::diagnostic;
use crate::failure::{Failure, Status};
use crate::output;

const WHAT: &str = "the Dockerfile";
/// The end of a name that asks for the C preprocessor, as for buildah.
const PREPROCESSED: &str = ".in";

/// The Dockerfile of a build.
pub(super) struct Found {
    /// What to call it, all names if it was put together.
    pub(super) name: String,
    pub(super) dockerfile: Dockerfile,
    /// The files it came from.
    pub(super) places: Vec<Place>,
}

/// One file.
struct Part {
    name: String,
    text: Vec<u8>,
    place: Option<Place>,
}

/// What the user says about Dockerfiles.
pub(super) struct Asked<'a> {
    /// Every `-f`.
    pub(super) files: &'a [String],
    /// Flags for the preprocessor.
    pub(super) cpp_flags: Vec<String>,
    /// The Dockerfile that a Build object has, before all others.
    pub(super) inline: Option<&'a str>,
}

/// Finds and parses the Dockerfile: what `-f` names, joined, else the source itself, else the context's Containerfile
/// or Dockerfile.
pub(super) fn find(bring: &Bring<'_>, fetched: &Fetched, asked: &Asked<'_>) -> Result<Found, Failure> {
    if let Some(text) = asked.inline {
        return parse(vec![Part { name: IN_BUILD.to_owned(), text: text.as_bytes().to_vec(), place: None }]);
    }
    let files = Files::of(fetched);
    check_one(fetched, asked.files)?;
    let parts = match (&fetched.dockerfile, asked.files) {
        (Some(Given::Text(text)), _) => {
            vec![Part { name: fetched.shown.clone(), text: text.clone(), place: None }]
        }
        (Some(Given::File(path)), _) => vec![existing(&files, Place::Here(path.clone()))?],
        (None, []) => vec![discover(&files)?],
        (None, named) => named.iter().map(|name| part(bring, &files, name)).collect::<Result<_, _>>()?,
    };
    let preprocess = |part| preprocessed(part, fetched, asked, bring);
    parse(parts.into_iter().map(preprocess).collect::<Result<_, _>>()?)
}

/// Whether standard input is to be one thing at most, before anything is read of it.
pub(super) fn check_stdin(files: &[String], source: &str) -> Result<(), Failure> {
    let uses = files.iter().map(String::as_str).chain([source]).filter(|name| *name == "-").count();
    if uses > 1 {
        return Err(Failure::new(Status::Usage, format!("{STDIN} can be the source or one Dockerfile, not both")));
    }
    Ok(())
}

/// Whether there is one Dockerfile: the source, or those named.
fn check_one(fetched: &Fetched, files: &[String]) -> Result<(), Failure> {
    let usage = |text: String| Err(Failure::new(Status::Usage, text));
    match (&fetched.dockerfile, files.first()) {
        (Some(Given::Text(_)), Some(file)) => {
            usage(format!("{}: it is not a tar but a Dockerfile, and -f {file} names another", fetched.shown))
        }
        (Some(Given::File(path)), Some(_)) => {
            usage(format!("{}: the build context is neither a directory nor a tar", path.display()))
        }
        (Some(_), None) | (None, _) => Ok(()),
    }
}

/// What one `-f` names.
fn part(bring: &Bring<'_>, files: &Files<'_>, name: &str) -> Result<Part, Failure> {
    if name == "-" {
        return Ok(Part { name: STDIN.to_owned(), text: bring.stdin_text()?, place: None });
    }
    if is_web(name) {
        let (mut file, _) = bring.download(name, MAX_FILE_BYTES as u64)?;
        let mut text = Vec::new();
        let read = file.rewind().and_then(|()| file.read_to_end(&mut text));
        read.map_err(|error| bring.unreadable(&shown(name), &error))?;
        return Ok(Part { name: shown(name), text, place: None });
    }
    // As docker and buildah: a name that is not found as it is may be relative to the context.
    let here = Path::new(name);
    let place = if here.exists() { Place::Here(here.to_owned()) } else { Place::Inside(here.to_owned()) };
    let path = if files.is_ours { here.to_owned() } else { files.directory.join(here) };
    if let Some(inside) = [here, &path].into_iter().find(|path| path.is_dir()).and_then(default_in) {
        let text = format!("{name}: it is a directory, not a Dockerfile");
        return Err(Failure::new(Status::Source, text).help(format!("name the file: -f {}", inside.display())));
    }
    existing(files, place).map_err(|failure| match failure {
        Failure { status: Status::Usage, .. } => Failure::new(Status::Source, format!("{name}: no such Dockerfile")),
        failure => failure,
    })
}

/// The Dockerfile that a directory holds.
fn default_in(directory: &Path) -> Option<PathBuf> {
    let found = DOCKERFILES.iter().map(|name| directory.join(name)).find(|path| path.exists());
    found.or_else(|| Some(directory.join(DOCKERFILES.first()?)))
}

/// A file that has to be there; [`Status::Usage`] if it is not.
fn existing(files: &Files<'_>, place: Place) -> Result<Part, Failure> {
    let name = files.name(&place);
    let missing = || Failure::new(Status::Usage, format!("{name}: no such Dockerfile"));
    let text = files.read(&place, WHAT, MAX_FILE_BYTES)?.ok_or_else(missing)?;
    Ok(Part { name, text, place: Some(place) })
}

/// The Dockerfile of a context that nobody named one for.
fn discover(files: &Files<'_>) -> Result<Part, Failure> {
    for name in DOCKERFILES {
        let place = Place::Inside(PathBuf::from(name));
        if let Some(text) = files.read(&place, WHAT, MAX_FILE_BYTES)? {
            return Ok(Part { name: files.name(&place), text, place: Some(place) });
        }
    }
    let failed = |why: &str| Failure::new(Status::Source, format!("{}: {why}", files.shown));
    match files.directory.metadata() {
        Err(error) => Err(failed(&format!("the build context cannot be opened: {error}"))
            .help("a source is a directory, a tar, a git or http URL, or - for standard input")),
        Ok(metadata) if !metadata.is_dir() => Err(failed("the build context is not a directory")),
        Ok(_) => Err(failed("no Containerfile or Dockerfile in it").help("name one with -f")),
    }
}

/// A file called `….in` as the C preprocessor makes it.
fn preprocessed(part: Part, fetched: &Fetched, asked: &Asked<'_>, bring: &Bring<'_>) -> Result<Part, Failure> {
    let Some(place) = part.place.as_ref().filter(|_| part.name.ends_with(PREPROCESSED)) else { return Ok(part) };
    let refused = |status, why: String| Failure::new(status, format!("{}: {why}", part.name));
    if fetched.is_ours && matches!(place, Place::Inside(_)) {
        let why = "it would go through the C preprocessor, which can include any file of this machine: not done for \
                   sources from elsewhere";
        return Err(refused(Status::Refused, why.to_owned()).help("preprocess it, or build from a directory"));
    }
    let ran = cpp(&part.text, &fetched.directory, &asked.cpp_flags, bring.environment.get("PATH"));
    let (text, messages) = ran.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            let why = "it has to go through the program cpp, which is not here";
            return refused(Status::Environment, why.to_owned()).help("install cpp (it comes with gcc)");
        }
        refused(Status::Environment, format!("cannot run it through the program cpp: {error}"))
    })?;
    // As for buildah, what cpp complains about counts only if nothing comes out.
    if text.is_empty() {
        return Err(refused(Status::Source, format!("cpp makes nothing of it: {}", messages.trim())));
    }
    if !messages.trim().is_empty() {
        output::warning(&format!("{}: {}", part.name, messages.trim()));
    }
    Ok(Part { text, ..part })
}

/// Runs the C preprocessor with buildah's arguments; what it wrote, and its messages.
fn cpp(text: &[u8], directory: &Path, flags: &[String], path: Option<&str>) -> std::io::Result<(Vec<u8>, String)> {
    const MAX_MESSAGES: u64 = 4096;
    let mut command = Command::new("cpp");
    command.args(["-E", "-iquote"]).arg(directory).args(["-traditional", "-undef", "-"]).args(flags);
    command.env_clear().env("LC_ALL", "C").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut made, mut messages) = (Vec::new(), Vec::new());
    let read = std::thread::scope(|scope| {
        // It may write before it has read all, and complain all the time. Whether it takes all it is given is its own
        // matter: what comes out counts.
        scope.spawn(|| stdin.map(|mut stdin| stdin.write_all(text)));
        scope.spawn(|| {
            stderr.map(|mut stderr| {
                stderr.by_ref().take(MAX_MESSAGES).read_to_end(&mut messages)?;
                std::io::copy(&mut stderr, &mut std::io::sink())
            })
        });
        let read = stdout.map(|stdout| stdout.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut made)).transpose();
        // Nothing more is wanted of it; an error only means that it has ended.
        drop(child.kill());
        read
    });
    child.wait()?;
    read?;
    Ok((made, String::from_utf8_lossy(&messages).into_owned()))
}

/// Joins the parts in their order and parses them.
fn parse(parts: Vec<Part>) -> Result<Found, Failure> {
    let name = parts.iter().map(|part| part.name.as_str()).collect::<Vec<_>>().join(" + ");
    let text = join(parts.iter().map(|part| part.text.as_slice()));
    let places = parts.into_iter().filter_map(|part| part.place).collect();
    match dockerfile::parse_bytes(&text) {
        Ok(dockerfile) => Ok(Found { name, dockerfile, places }),
        Err(error) => {
            let text = String::from_utf8_lossy(&text);
            Err(diagnostic::failure(Status::Source, &error.diagnostic(), &name, &text))
        }
    }
}

/// Several files as one: each starts on a line of its own.
fn join<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for text in texts {
        if joined.is_empty() {
            joined.extend_from_slice(text);
            continue;
        }
        if !joined.ends_with(b"\n") {
            joined.push(b'\n');
        }
        joined.extend_from_slice(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_files_start_on_lines_of_their_own() {
        let join = |texts: &[&str]| String::from_utf8(super::join(texts.iter().map(|text| text.as_bytes()))).unwrap();
        assert_eq!(join(&["FROM a", "RUN b\n", "\u{feff}RUN c"]), "FROM a\nRUN b\nRUN c");
        assert_eq!(join(&["\u{feff}FROM a"]), "\u{feff}FROM a");
    }

    #[test]
    fn the_preprocessor_gets_buildahs_arguments() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("part.h"), "RUN included\n").unwrap();
        let text = b"FROM a\n#include \"part.h\"\n#ifdef DEBUG\nRUN debug\n#endif\n";
        #[expect(clippy::disallowed_methods, reason = "the tests' cpp is where their caller's is")]
        let path = std::env::var("PATH").unwrap();
        let (made, _) = match cpp(text, directory.path(), &["-DDEBUG".to_owned()], Some(&path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                eprintln!("skipped: there is no cpp here");
                return;
            }
            other => other.unwrap(),
        };
        let made = String::from_utf8(made).unwrap();
        let lines: Vec<&str> = made.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
        assert_eq!(lines, ["FROM a", "RUN included", "RUN debug"]);
    }
}
