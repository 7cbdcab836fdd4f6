//! `--output type=tar` and `type=local`: the files of an image, after the gate and before its names.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use ::build::{Approved, BuildError};
use oci::layer::{Applied, ApplyOptions, Owners};
use sandbox::Rung;

use super::outputs::{self, TreeOutput, Wish};
use super::{Arguments, Job};
use crate::failure::{Failure, Status};
use crate::output;

/// Whether the files of the image go to stdout, so that nothing else may.
pub(super) fn take_stdout(arguments: &Arguments) -> bool {
    let is_stdout = |text: &String| matches!(outputs::parse(text), Ok(Wish::Tree(TreeOutput::Stdout)));
    arguments.output.iter().any(is_stdout)
}

/// Writes the files to all `trees`.
pub(super) fn write(
    job: &Job<'_>,
    image: &Approved<'_>,
    trees: &[TreeOutput],
    drawn: &dyn Fn(&BuildError) -> Failure,
) -> Result<(), Failure> {
    for tree in trees {
        match tree {
            TreeOutput::Stdout => {
                let mut stdout = io::BufWriter::with_capacity(256 << 10, io::stdout().lock());
                image.write_tree(&mut stdout).map_err(|error| drawn(&error))?;
                stdout.flush().map_err(|error| unwritable(Path::new("stdout"), &error))?;
            }
            TreeOutput::Tar(path) => {
                tar(job, path, |to| image.write_tree(to).map(drop).map_err(|error| drawn(&error)))?
            }
            TreeOutput::Local(path) => {
                let write = |to: &mut io::PipeWriter| image.write_tree(to).map(drop).map_err(|error| drawn(&error));
                local(job, path, write)?;
            }
        }
    }
    Ok(())
}

fn unwritable(path: &Path, error: &dyn std::error::Error) -> Failure {
    Failure::new(Status::Environment, format!("{}: cannot be written: {error}", path.display()))
}

/// What the reader of a pipe has to know: an end may be that of the tar, or that of a writer that failed.
#[derive(Default)]
struct Ending {
    is_whole: AtomicBool,
    was_cut: AtomicBool,
}

impl Ending {
    /// To be asked when the pipe has ended.
    fn check(&self) -> io::Result<()> {
        if self.is_whole.load(Ordering::Acquire) {
            return Ok(());
        }
        self.was_cut.store(true, Ordering::Release);
        Err(io::Error::other("the image's files could not be read to their end"))
    }
}

/// Lets `write` write and `read` read, each as who it has to be: the image's files may be opened by root inside only,
/// what the user named by the user only.
fn piped<T: Send>(
    job: &Job<'_>,
    write: impl FnOnce(&mut io::PipeWriter) -> Result<(), Failure>,
    read: impl FnOnce(io::PipeReader, &Ending) -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let (from, mut to) = io::pipe().map_err(|error| unwritable(Path::new("a pipe"), &error))?;
    let ending = Ending::default();
    let mut result = None;
    let written = job.session.entered.outside().pool().in_place_scope(|scope| {
        scope.spawn(|_| result = Some(read(from, &ending)));
        let written = write(&mut to);
        ending.is_whole.store(written.is_ok(), Ordering::Release);
        drop(to);
        written
    });
    match (written, result) {
        // A reader that failed makes the writer fail too.
        (Err(_), Some(Err(failure))) if !ending.was_cut.load(Ordering::Acquire) => Err(failure),
        (Err(failure), _) => Err(failure),
        (Ok(()), Some(result)) => result,
        (Ok(()), None) => Err(Failure::new(Status::Bug, "nothing read the image's files")),
    }
}

fn tar(
    job: &Job<'_>,
    path: &Path,
    write: impl FnOnce(&mut io::PipeWriter) -> Result<(), Failure>,
) -> Result<(), Failure> {
    piped(job, write, |mut from, ending| {
        let fill = |to: &mut dyn Write| io::copy(&mut from, to).and_then(|_| ending.check());
        transport::replace_file(path, fill).map_err(|error| unwritable(path, &error))
    })
}

fn local(
    job: &Job<'_>,
    path: &Path,
    write: impl FnOnce(&mut io::PipeWriter) -> Result<(), Failure>,
) -> Result<(), Failure> {
    // Where every id is itself the user is root and may give files away; elsewhere they stay the user's.
    let owners = if job.session.entered.rung == Rung::Full { Owners::Real } else { Owners::Dropped };
    let applied = piped(job, write, |from, ending| {
        let is_new = !path.exists();
        let unpacked = unpack(from, path, owners, ending);
        if unpacked.is_err() && is_new {
            // What failed says more than that something stays.
            drop(std::fs::remove_dir_all(path));
        }
        unpacked
    })?;
    if job.arguments.style().is_silent() {
        return Ok(());
    }
    if owners == Owners::Dropped {
        let what = "its files belong to you, without setuid and setgid bits and extended attributes";
        output::note(&format!("{}: {what}", path.display()));
    }
    if !applied.skipped_devices.is_empty() {
        output::note(&format!("{}: {} devices left out", path.display(), applied.skipped_devices.len()));
    }
    Ok(())
}

fn unpack(mut from: io::PipeReader, path: &Path, owners: Owners, ending: &Ending) -> Result<Applied, Failure> {
    std::fs::create_dir_all(path).map_err(|error| unwritable(path, &error))?;
    let directory = store::open_directory(path).map_err(|error| unwritable(path, &error))?;
    let options = ApplyOptions { owners, ..ApplyOptions::default() };
    let applied = oci::layer::apply(&mut from, directory.as_fd(), &options);
    // The tar ends before the pipe does, and a writer that is not heard fails.
    let drained = io::copy(&mut from, &mut io::sink()).and_then(|_| ending.check());
    let applied = applied.map_err(|error| unwritable(path, &error))?;
    drained.map_err(|error| unwritable(path, &error))?;
    Ok(applied)
}
