//! Writing a tar: the same bytes for the same files.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use crate::layer::tar_write::{BLOCK, END, Entry, EntryKind, encode};
use crate::parts::Part;

/// What an entry of a tar is.
#[derive(Debug)]
pub enum Content {
    /// A directory.
    Directory,
    /// A small file.
    Bytes(Vec<u8>),
    /// A file that lies somewhere already.
    Part(Part),
    /// A symlink to this target.
    Symlink(String),
}

/// Writes `entries` in the order of their names, owned by 0:0, as old as 1970, `0644` and `0755`.
///
/// # Errors
/// What reading or writing gave; [`io::ErrorKind::InvalidInput`] for a name no tar can hold.
pub fn write(entries: BTreeMap<String, Content>, to: &mut impl Write) -> io::Result<()> {
    for (name, content) in entries {
        entry(name.trim_end_matches('/'), content, to)?;
    }
    to.write_all(&END)
}

fn entry(name: &str, content: Content, to: &mut impl Write) -> io::Result<()> {
    match content {
        Content::Directory => header(name, EntryKind::Directory, 0o755, to),
        Content::Symlink(target) => header(name, EntryKind::Symlink { target: target.as_bytes() }, 0o777, to),
        Content::Bytes(bytes) => {
            header(name, EntryKind::Regular { size: bytes.len() as u64 }, 0o644, to)?;
            to.write_all(&bytes)?;
            pad(bytes.len() as u64, to)
        }
        Content::Part(part) => {
            let size = part.size();
            header(name, EntryKind::Regular { size }, 0o644, to)?;
            let copied = io::copy(&mut part.take(size), to)?;
            if copied != size {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "a file became shorter while it was read"));
            }
            pad(size, to)
        }
    }
}

fn header(name: &str, kind: EntryKind<'_>, mode: u32, to: &mut impl Write) -> io::Result<()> {
    let entry = Entry { path: name.as_bytes(), kind, mode, uid: 0, gid: 0, mtime: 0, xattrs: &[] };
    let mut blocks = Vec::new();
    encode(&entry, &mut blocks).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    to.write_all(&blocks)
}

fn pad(size: u64, to: &mut impl Write) -> io::Result<()> {
    let padding = usize::try_from(size.wrapping_neg() % BLOCK as u64).unwrap_or_default();
    to.write_all(END.get(..padding).unwrap_or_default())
}
