//! What is in files: bytes, digests, extended attributes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use oci::{Digest, Hasher};
use rustix::fs::{XattrFlags, fsetxattr};
use rustix::io::Errno;
use source::Attribute;

use super::Digests;

/// Bytes read at once; files up to this size are read and written, larger ones copied by the kernel.
const BUFFER: usize = 128 << 10;

/// Copies contents through one buffer.
pub(super) struct Contents {
    buffer: Vec<u8>,
    digests: Digests,
}

impl Contents {
    pub(super) fn new(digests: Digests) -> Self {
        Self { buffer: vec![0; BUFFER], digests }
    }

    /// Copies a file of `size` bytes: how many there were in the end, and their digest if it is wanted.
    ///
    /// A file that grows meanwhile is cut off at `size`; a file being written to is no sound source anyway.
    pub(super) fn copy(&mut self, from: &mut File, size: u64, to: &mut File) -> io::Result<(u64, Option<Digest>)> {
        match self.digests {
            Digests::Unwanted if size > BUFFER as u64 => Ok((io::copy(from, to)?, None)),
            Digests::Unwanted => Ok((self.pieces(from, size, to, |_| ())?, None)),
            Digests::Wanted => {
                let mut hasher = Hasher::default();
                let bytes = self.pieces(from, size, to, |piece| hasher.update(piece))?;
                Ok((bytes, Some(hasher.finish())))
            }
        }
    }

    fn pieces(&mut self, from: &mut File, size: u64, to: &mut File, mut seen: impl FnMut(&[u8])) -> io::Result<u64> {
        let mut bytes = 0;
        while bytes < size {
            let read = from.read(&mut self.buffer)?;
            let Some(piece) = self.buffer.get(..read).filter(|piece| !piece.is_empty()) else { break };
            seen(piece);
            to.write_all(piece)?;
            bytes += read as u64;
        }
        Ok(bytes)
    }
}

/// Sets attributes as far as the file system takes any.
pub(super) fn set_xattrs(to: impl AsFd, attributes: &[Attribute]) -> rustix::io::Result<()> {
    for Attribute { name, value } in attributes {
        match fsetxattr(&to, name.as_slice(), value, XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
