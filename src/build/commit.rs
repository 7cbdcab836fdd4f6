//! From directories to layers, and from layers to an image.

use std::cell::RefCell;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use oci::layer::{self, Clamp, DiffOptions, Written, write_grafted};
use sandbox::{Cancel, Root};
use transport::{PendingBlob, Sink};

use crate::graft::Graft;
use crate::stage::Link;
use crate::{BuildError, Event, LayerTimes, Owners, Request, Workshop};

/// What becomes a layer.
pub(crate) struct Source<'s> {
    pub(crate) stage: &'s str,
    /// The files.
    pub(crate) upper: OwnedFd,
    /// What is below them, the topmost first: a layer holds the difference.
    pub(crate) lowers: Vec<OwnedFd>,
    /// Files that belong into `upper`.
    pub(crate) grafts: &'s [Graft],
}

impl<'s> Source<'s> {
    /// What a stage changed over what is below it.
    pub(crate) fn of_stage(
        workshop: &Workshop<'_>,
        (upper, stage): (&Path, &'s str),
        below: &[Link],
    ) -> Result<Self, BuildError> {
        let lowers = crate::stage::lowers(workshop, below)?;
        let lowers = lowers.iter().map(|path| open(workshop, path)).collect::<Result<Vec<OwnedFd>, _>>()?;
        Ok(Self { stage, upper: open(workshop, upper)?, lowers, grafts: &[] })
    }

    /// All files of a tree.
    pub(crate) fn of_tree(workshop: &Workshop<'_>, root: &Root, stage: &'s str) -> Result<Self, BuildError> {
        let upper = root.dir().try_clone_to_owned().map_err(|source| {
            let path = workshop.store.shown().to_owned();
            BuildError::Store(store::StoreError::Io { path, action: "open the tree of a stage", source })
        })?;
        Ok(Self { stage, upper, lowers: Vec::new(), grafts: &[] })
    }
}

/// Writes a layer to all `sinks` at once; `None` if there is nothing in it.
pub(crate) fn write_layer<'w>(
    workshop: &Workshop<'w>,
    request: &Request,
    source: &Source<'_>,
    sinks: &[&Sink<'w>],
) -> Result<Option<(Written, Vec<PendingBlob<'w>>)>, BuildError> {
    let stage = source.stage;
    (workshop.observer)(Event::LayerStarted { stage });
    let lowers: Vec<BorrowedFd<'_>> = source.lowers.iter().map(AsFd::as_fd).collect();
    let options = DiffOptions {
        format: request.format,
        compress: request.compression.clone(),
        owners: workshop.owners.of_layers(),
        clamp: Some(clamp(request)),
    };
    let mut tee = Tee::start(sinks, workshop.cancel);
    let failure = RefCell::new(None);
    let grafts = source.grafts.iter().map(|graft| grafted(graft, workshop.owners, &failure)).collect();
    let written = write_grafted((source.upper.as_fd(), grafts), &lowers, &options, &mut tee);
    // What the sink or a source met says more than that the layer could not be written.
    let blobs = tee.finish()?;
    if let Some(failure) = failure.into_inner() {
        return Err(failure);
    }
    let written = written?;
    if written.skipped_sockets > 0 {
        let text = format!("{} sockets left out of the layer: an image cannot hold them", written.skipped_sockets);
        (workshop.observer)(Event::Warning(&text));
    }
    if written.entries == 0 {
        return Ok(None);
    }
    (workshop.observer)(Event::LayerDone {
        stage,
        layer: &written.descriptor,
        diff_id: &written.diff_id,
        uncompressed: written.uncompressed,
        entries: written.entries,
    });
    Ok(Some((written, blobs)))
}

/// Files for the layer that are in no tree; why they cannot be had goes into `failure`.
fn grafted<'g>(graft: &'g Graft, owners: Owners, failure: &'g RefCell<Option<BuildError>>) -> layer::Graft<'g> {
    let fill = move |add: &mut layer::Add<'_>| graft.fill(owners, &mut failure.borrow_mut(), add);
    layer::Graft { directory: graft.path(), fill: Box::new(fill) }
}

fn open(workshop: &Workshop<'_>, relative: &Path) -> Result<OwnedFd, BuildError> {
    store::open_directory(&workshop.store.path(relative)).map_err(|source| {
        let path = workshop.store.shown().join(relative);
        BuildError::Store(store::StoreError::Io { path, action: "open an unpacked layer", source })
    })
}

/// Hands every byte to several growing blobs; they are opened when the first byte comes.
struct Tee<'s, 'w> {
    sinks: &'s [&'s Sink<'w>],
    blobs: Vec<PendingBlob<'w>>,
    failure: Option<BuildError>,
    cancel: &'s Cancel,
}

impl<'s, 'w> Tee<'s, 'w> {
    fn start(sinks: &'s [&'s Sink<'w>], cancel: &'s Cancel) -> Self {
        Self { sinks, blobs: Vec::new(), failure: None, cancel }
    }

    fn open(&mut self) -> io::Result<()> {
        for sink in self.sinks {
            match sink.start_blob() {
                Ok(blob) => self.blobs.push(blob),
                Err(source) => {
                    self.failure = Some(BuildError::Publish { location: sink.location().clone(), source });
                    return Err(io::Error::other("the destination failed"));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<PendingBlob<'w>>, BuildError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        for blob in &mut self.blobs {
            let closed = blob.close();
            closed.map_err(|source| BuildError::Publish { location: blob.location().clone(), source })?;
        }
        Ok(self.blobs)
    }
}

impl Write for Tee<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A large layer takes longer than there is between SIGTERM and SIGKILL.
        if self.cancel.is_set() {
            self.failure.get_or_insert(BuildError::Cancelled);
            return Err(io::Error::other("cancelled"));
        }
        if self.blobs.is_empty() {
            self.open()?;
        }
        for blob in &mut self.blobs {
            blob.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What becomes of times in new layers.
pub(crate) fn clamp(request: &Request) -> Clamp {
    let signed = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
    let to = signed(request.epoch);
    let since = match request.layer_times {
        LayerTimes::OfBuild => signed(request.started),
        LayerTimes::AtMostImage => signed(request.started).min(to),
        LayerTimes::Image => i64::MIN,
    };
    Clamp { since, to }
}

/// `seconds` since 1970 as RFC 3339 in UTC: what `created` holds.
#[must_use]
pub fn timestamp(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// The date that lies `days` after 1970-01-01, in the Gregorian calendar counted from a 1 March.
fn date(days: u64) -> (u64, u64, u64) {
    const DAYS_IN_400_YEARS: u64 = 146_097;
    const DAYS_FROM_0000_03_01: u64 = 719_468;
    let shifted = days + DAYS_FROM_0000_03_01;
    let (era, day) = (shifted / DAYS_IN_400_YEARS, shifted % DAYS_IN_400_YEARS);
    let year_of_era = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day_of_month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(timestamp(seconds), text);
        }
    }
}
