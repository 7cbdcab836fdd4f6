//! The headers of our own tars: ustar where everything fits, PAX records for what does not.
//!
//! Comes in: an [`Entry`]. Goes out: its header blocks, the same for the same entry. Times are whole seconds, users
//! and groups are numbers without names, and there is no access or change time, as in other builders' layers.

use tar::{EntryType, Header};

/// Bytes in a block of a tar.
pub const BLOCK: usize = 512;
/// Two blocks of zeros.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

const NAME: usize = 100;
const PREFIX: usize = 155;
/// What 7 and 11 octal digits hold.
const MAX_ID: u64 = 0o777_7777;
const MAX_SIZE: u64 = 0o777_7777_7777;

/// One file to be written into a layer.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The path below the root: components joined by `/`, neither the first nor the last byte being one.
    pub path: &'a [u8],
    /// What it is.
    pub kind: EntryKind<'a>,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: i64,
    /// Extended attributes, sorted by name.
    pub xattrs: &'a [(Vec<u8>, Vec<u8>)],
}

/// What an [`Entry`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind<'a> {
    /// A file of that many bytes, which must follow.
    Regular {
        /// How many.
        size: u64,
    },
    /// A directory.
    Directory,
    /// A symlink.
    Symlink {
        /// Where it leads.
        target: &'a [u8],
    },
    /// Another name of a file written before.
    HardLink {
        /// Its first name, written like [`Entry::path`].
        target: &'a [u8],
    },
    /// A named pipe.
    Fifo,
    /// A character device.
    Character {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
    /// A block device.
    Block {
        /// Major number.
        major: u32,
        /// Minor number.
        minor: u32,
    },
}

/// Why an entry cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// No name, or a NUL byte in a name.
    #[error("the name or link target is empty or has a NUL byte")]
    Name,
    /// PAX records cannot hold the attribute.
    #[error("an extended attribute has a name with `=`, which tars cannot hold")]
    Xattr,
    /// A device number of more than 21 bits.
    #[error("the device number is too large for a tar")]
    Device,
}

/// Appends the header blocks of `entry` to `blocks`.
///
/// # Errors
/// [`EncodeError`] for what no tar can hold.
pub fn encode(entry: &Entry<'_>, blocks: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut path = entry.path.to_vec();
    if entry.kind == EntryKind::Directory {
        path.push(b'/');
    }
    let target = match entry.kind {
        EntryKind::Symlink { target } | EntryKind::HardLink { target } => target,
        EntryKind::Regular { .. }
        | EntryKind::Directory
        | EntryKind::Fifo
        | EntryKind::Character { .. }
        | EntryKind::Block { .. } => b"-",
    };
    if entry.path.is_empty() || target.is_empty() || path.contains(&0) || target.contains(&0) {
        return Err(EncodeError::Name);
    }
    let mut header = Header::new_ustar();
    let records = fill(&mut header, entry, &path)?;
    if !records.is_empty() {
        extended(&records, blocks);
    }
    blocks.extend_from_slice(header.as_bytes());
    Ok(())
}

/// Fills the header and gives the PAX records for what does not fit.
fn fill(header: &mut Header, entry: &Entry<'_>, path: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let mut records = Vec::new();
    let size = match entry.kind {
        EntryKind::Regular { size } => size,
        EntryKind::Directory
        | EntryKind::Symlink { .. }
        | EntryKind::HardLink { .. }
        | EntryKind::Fifo
        | EntryKind::Character { .. }
        | EntryKind::Block { .. } => 0,
    };
    let mut fitting = |key: &str, value: u64, most: u64| {
        if value <= most {
            return value;
        }
        record(key.as_bytes(), value.to_string().as_bytes(), &mut records);
        0
    };
    header.set_uid(fitting("uid", entry.uid.into(), MAX_ID));
    header.set_gid(fitting("gid", entry.gid.into(), MAX_ID));
    header.set_size(fitting("size", size, MAX_SIZE));
    let mtime = u64::try_from(entry.mtime).ok().filter(|mtime| *mtime <= MAX_SIZE);
    if mtime.is_none() {
        record(b"mtime", entry.mtime.to_string().as_bytes(), &mut records);
    }
    header.set_mtime(mtime.unwrap_or(0));
    header.set_mode(entry.mode & 0o7777);
    let kind = fill_kind(header, entry.kind, &mut records)?;
    header.set_entry_type(kind);
    fill_path(header, path, &mut records);
    for (name, value) in entry.xattrs {
        if name.contains(&b'=') || name.contains(&0) {
            return Err(EncodeError::Xattr);
        }
        record(&[b"SCHILY.xattr.", name.as_slice()].concat(), value, &mut records);
    }
    header.set_cksum();
    Ok(records)
}

fn fill_kind(header: &mut Header, kind: EntryKind<'_>, records: &mut Vec<u8>) -> Result<EntryType, EncodeError> {
    let mut device = |major: u32, minor: u32| {
        if u64::from(major.max(minor)) > MAX_ID {
            return Err(EncodeError::Device);
        }
        let set = header.set_device_major(major).and_then(|()| header.set_device_minor(minor));
        set.map_err(|_| EncodeError::Device)
    };
    Ok(match kind {
        EntryKind::Regular { .. } => EntryType::Regular,
        EntryKind::Directory => EntryType::Directory,
        EntryKind::Fifo => EntryType::Fifo,
        EntryKind::Character { major, minor } => {
            device(major, minor)?;
            EntryType::Char
        }
        EntryKind::Block { major, minor } => {
            device(major, minor)?;
            EntryType::Block
        }
        EntryKind::Symlink { target } | EntryKind::HardLink { target } => {
            if target.len() > NAME {
                record(b"linkpath", target, records);
            }
            put(&mut header.as_old_mut().linkname, target);
            if matches!(kind, EntryKind::Symlink { .. }) { EntryType::Symlink } else { EntryType::Link }
        }
    })
}

/// The path as name, as prefix and name, or as a record.
fn fill_path(header: &mut Header, path: &[u8], records: &mut Vec<u8>) {
    let Some(ustar) = header.as_ustar_mut() else { return };
    if path.len() <= NAME {
        put(&mut ustar.name, path);
        return;
    }
    // The slash between the two is not stored; the name must not be empty.
    let is_split = |at: &usize| path.get(*at) == Some(&b'/') && path.len() - at - 1 <= NAME;
    let last = path.len() - 2;
    match (1..=last.min(PREFIX)).rev().find(is_split) {
        Some(at) => {
            put(&mut ustar.prefix, path.get(..at).unwrap_or_default());
            put(&mut ustar.name, path.get(at + 1..).unwrap_or_default());
        }
        None => {
            record(b"path", path, records);
            put(&mut ustar.name, path);
        }
    }
}

/// Copies as much as fits.
fn put(field: &mut [u8], value: &[u8]) {
    field.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
}

/// Appends `length key=value\n`, the length counting its own digits.
fn record(key: &[u8], value: &[u8], records: &mut Vec<u8>) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

fn extended(records: &[u8], blocks: &mut Vec<u8>) {
    let mut header = Header::new_ustar();
    put(&mut header.as_old_mut().name, b"././@PaxHeader");
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(records.len() as u64);
    header.set_entry_type(EntryType::XHeader);
    header.set_cksum();
    blocks.extend_from_slice(header.as_bytes());
    blocks.extend_from_slice(records);
    blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
}

#[cfg(test)]
mod tests;
