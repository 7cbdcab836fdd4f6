//! Reading tar streams that somebody else wrote.
//!
//! Comes in: the bytes of a tar (v7, ustar, GNU, PAX). Goes out: one [`Member`] after the other, each followed by
//! its content in pieces. It never holds more than one extended header and one buffer in memory, and where tar
//! readers differ it reads what Go's `archive/tar` reads, because that is what registries' users unpack with.

mod fields;
mod pax;
mod sparse;

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read, Seek};

use tar::{GnuExtSparseHeader, Header};

use self::fields::{kind, number, until_nul};
use self::pax::Records;
use self::sparse::Extent;
use super::{Limits, shown};

const BLOCK: usize = 512;
const BUFFER: usize = 256 << 10;
/// Bytes in the largest extended header read; Go's limit too.
const MAX_SPECIAL: u64 = 1 << 20;

/// Why a tar cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The source failed, or decompressing did.
    #[error("cannot read the tar at byte {position}: {source}")]
    Read {
        /// Where in the tar.
        position: u64,
        /// What the source said.
        source: io::Error,
    },
    /// The tar ends in the middle of something.
    #[error("the tar ends at byte {position}, in the middle of an entry")]
    Truncated {
        /// Where it ends.
        position: u64,
    },
    /// The tar breaks its format, or asks what no honest writer asks.
    #[error("the tar is malformed at byte {position}: {what}")]
    Malformed {
        /// The end of the header in question.
        position: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// An entry of a kind that image layers do not have.
    #[error("{path}: entries of type `{kind}` are not supported", path = path.display())]
    Unsupported {
        /// The entry.
        path: std::path::PathBuf,
        /// The type flag.
        kind: char,
    },
    /// More than [`Limits`] allows.
    #[error("the tar has more than {limit} {what}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// How much is allowed.
        limit: u64,
    },
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    HardLink,
    Symlink,
    Character,
    Block,
    Directory,
    Fifo,
}

/// A point in time as tars give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    pub(crate) nanoseconds: u32,
}

/// An extended attribute; the name without NUL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Xattr {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// One entry, names as they are in the tar.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) path: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Time,
    pub(crate) major: u32,
    pub(crate) minor: u32,
    /// Of the content, holes included.
    pub(crate) size: u64,
    pub(crate) xattrs: Vec<Xattr>,
}

/// A piece of an entry's content.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Piece<'a> {
    Bytes(&'a [u8]),
    Hole(u64),
}

#[derive(Clone, Copy, Debug)]
enum Segment {
    Bytes(u64),
    Hole(u64),
}

/// A tar being read.
pub(crate) struct Archive<'l, R> {
    reader: BufReader<R>,
    limits: &'l Limits,
    position: u64,
    /// What is left of the current member's content, and then of its padding.
    segments: VecDeque<Segment>,
    padding: u64,
    entries: u64,
    bytes: u64,
}

/// What extended headers said about the member that follows.
#[derive(Default)]
struct Extended {
    records: Records,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
}

impl<'l, R: Read> Archive<'l, R> {
    pub(crate) fn new(reader: R, limits: &'l Limits) -> Self {
        let reader = BufReader::with_capacity(BUFFER, reader);
        Self { reader, limits, position: 0, segments: VecDeque::new(), padding: 0, entries: 0, bytes: 0 }
    }

    /// How many members there were, and how many bytes of content they had.
    pub(crate) fn totals(&self) -> (u64, u64) {
        (self.entries, self.bytes)
    }

    /// The next member; what was not read of the one before is skipped.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, ArchiveError> {
        self.content(|_| Ok::<(), ArchiveError>(()))?;
        let mut extended = Extended::default();
        let mut has_extension = false;
        while let Some(block) = self.header()? {
            let header = Header::from_byte_slice(&block);
            self.count_entry()?;
            match header.as_old().linkflag[0] {
                b'x' | b'X' => {
                    extended.records = Records::parse(&self.special(header)?).map_err(|what| self.bad(what))?
                }
                b'L' => extended.path = Some(until_nul(&self.special(header)?).to_vec()),
                b'K' => extended.link = Some(until_nul(&self.special(header)?).to_vec()),
                // A global header sets defaults that Go does not apply either; git puts a comment there.
                b'g' => drop(self.special(header)?),
                _ => return self.member(header, extended).map(Some),
            }
            has_extension = true;
        }
        if has_extension { Err(self.bad("an extended header without an entry")) } else { Ok(None) }
    }

    fn bad(&self, what: &'static str) -> ArchiveError {
        ArchiveError::Malformed { position: self.position, what }
    }

    fn count_entry(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        let limit = self.limits.entries;
        if self.entries > limit { Err(ArchiveError::Limit { what: "entries", limit }) } else { Ok(()) }
    }

    /// The next header, checksum verified, `None` at the end: two blocks of zeros, or nothing more.
    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = [0; BLOCK];
        if !self.block(&mut block)? {
            return Ok(None);
        }
        if block.iter().all(|byte| *byte == 0) {
            let is_end = !self.block(&mut block)? || block.iter().all(|byte| *byte == 0);
            return if is_end { Ok(None) } else { Err(self.bad("a lone block of zeros")) };
        }
        if has_checksum(&block) { Ok(Some(block)) } else { Err(self.bad("the checksum of a header is wrong")) }
    }

    /// Fills `block`; `false` if there is nothing more.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, ArchiveError> {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) if filled == 0 => return Ok(false),
                Ok(0) => return Err(ArchiveError::Truncated { position: self.position }),
                Ok(count) => {
                    filled += count;
                    self.position += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Read { position: self.position, source }),
            }
        }
        Ok(true)
    }

    /// The content of an extended header.
    fn special(&mut self, header: &Header) -> Result<Vec<u8>, ArchiveError> {
        let size = number(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
        let size = size.filter(|size| *size <= MAX_SPECIAL);
        let size = size.ok_or_else(|| self.bad("an extended header of more than 1 MiB"))?;
        self.begin(VecDeque::from([Segment::Bytes(size)]), size);
        let mut content = Vec::new();
        self.content(|piece| {
            if let Piece::Bytes(bytes) = piece {
                content.extend_from_slice(bytes);
            }
            Ok::<(), ArchiveError>(())
        })?;
        Ok(content)
    }

    fn begin(&mut self, segments: VecDeque<Segment>, stored: u64) {
        self.segments = segments;
        self.padding = stored.wrapping_neg() % BLOCK as u64;
    }

    fn member(&mut self, header: &Header, mut extended: Extended) -> Result<Member, ArchiveError> {
        let fields = header.as_old();
        let flag = fields.linkflag[0];
        let mut member = self.names(header, &mut extended)?;
        member.kind = kind(flag)
            .ok_or_else(|| ArchiveError::Unsupported { path: shown(&member.path), kind: char::from(flag) })?;
        self.owner_and_times(&mut member, header, &extended.records)?;
        let is_link = matches!(member.kind, Kind::HardLink | Kind::Symlink);
        if is_link && member.link.is_empty() {
            return Err(self.bad("a link without a target"));
        }
        if member.kind == Kind::Regular {
            self.start_content(&mut member, header, &mut extended.records)?;
            if flag == 0 && member.path.ends_with(b"/") {
                member.kind = Kind::Directory;
            }
        } else {
            // Whatever the size says: no reader takes content for these (Go, GNU tar, Python).
            self.begin(VecDeque::new(), 0);
        }
        member.xattrs = extended.records.xattrs;
        Ok(member)
    }

    fn names(&self, header: &Header, extended: &mut Extended) -> Result<Member, ArchiveError> {
        let fields = header.as_old();
        let mut path = until_nul(&fields.name).to_vec();
        if let Some(prefix) = header.as_ustar().map(|ustar| until_nul(&ustar.prefix)).filter(|text| !text.is_empty()) {
            path = [prefix, b"/", &path].concat();
        }
        let long = extended.path.take().filter(|path| !path.is_empty());
        path = long.or(extended.records.path.take()).unwrap_or(path);
        let long = extended.link.take().filter(|link| !link.is_empty());
        let link = long.or(extended.records.link.take()).unwrap_or_else(|| until_nul(&fields.linkname).to_vec());
        if path.contains(&0) || link.contains(&0) {
            return Err(self.bad("a name with a NUL byte"));
        }
        let (kind, mtime) = (Kind::Regular, Time::default());
        let xattrs = Vec::new();
        Ok(Member { path, link, kind, mode: 0, uid: 0, gid: 0, mtime, major: 0, minor: 0, size: 0, xattrs })
    }

    fn owner_and_times(&self, member: &mut Member, header: &Header, records: &Records) -> Result<(), ArchiveError> {
        let fields = header.as_old();
        // chown(2) takes the largest number for "leave it".
        let id = |record: Option<u64>, field: &[u8]| {
            let value = record.map_or_else(|| number(field).and_then(|value| u64::try_from(value).ok()), Some);
            value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value != u32::MAX)
        };
        member.uid = id(records.uid, &fields.uid).ok_or_else(|| self.bad("the uid is no 32-bit number"))?;
        member.gid = id(records.gid, &fields.gid).ok_or_else(|| self.bad("the gid is no 32-bit number"))?;
        let mode = number(&fields.mode).ok_or_else(|| self.bad("the mode is not a number"))?;
        member.mode = u32::try_from(mode & 0o7777).unwrap_or_default();
        let seconds = || number(&fields.mtime).ok_or_else(|| self.bad("the mtime is not a number"));
        member.mtime = match records.mtime {
            Some(time) => time,
            None => Time { seconds: seconds()?, nanoseconds: 0 },
        };
        if matches!(member.kind, Kind::Character | Kind::Block) {
            let device = |field: Option<&[u8; 8]>| field.and_then(|field| number(field)?.try_into().ok());
            let (major, minor) = match (header.as_ustar(), header.as_gnu()) {
                (Some(ustar), _) => (device(Some(&ustar.dev_major)), device(Some(&ustar.dev_minor))),
                (None, Some(gnu)) => (device(Some(&gnu.dev_major)), device(Some(&gnu.dev_minor))),
                (None, None) => (None, None),
            };
            let bad = || self.bad("a device without a number");
            (member.major, member.minor) = (major.ok_or_else(bad)?, minor.ok_or_else(bad)?);
        }
        Ok(())
    }

    /// Finds out where the content of a regular file is, holes and all.
    fn start_content(
        &mut self,
        member: &mut Member,
        header: &Header,
        records: &mut Records,
    ) -> Result<(), ArchiveError> {
        let stored = records.size.or_else(|| number(&header.as_old().size)?.try_into().ok());
        let stored = stored.filter(|size| *size <= i64::MAX as u64);
        let stored = stored.ok_or_else(|| self.bad("the size is not a number, or a negative one"))?;
        member.size = stored;
        let extents = if header.as_old().linkflag[0] == b'S' {
            let (extents, size) = self.old_sparse_map(header)?;
            member.size = size;
            self.begin(VecDeque::from([Segment::Bytes(stored)]), stored);
            Some((extents, stored))
        } else {
            self.begin(VecDeque::from([Segment::Bytes(stored)]), stored);
            self.pax_sparse_map(member, records)?
        };
        if let Some((extents, left)) = extents {
            let segments = sparse::segments(&extents, left, member.size).map_err(|what| self.bad(what))?;
            self.segments = segments;
        }
        self.bytes = self.bytes.saturating_add(member.size);
        let limit = self.limits.unpacked_bytes;
        let is_too_much = self.bytes > limit;
        if is_too_much { Err(ArchiveError::Limit { what: "bytes in its files", limit }) } else { Ok(()) }
    }

    /// The map of a file of type `S`, part of which follows the header.
    fn old_sparse_map(&mut self, header: &Header) -> Result<(Vec<Extent>, u64), ArchiveError> {
        let gnu = header.as_gnu().ok_or_else(|| self.bad("a sparse file in a tar that is not GNU's"))?;
        let size = number(&gnu.realsize).and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| self.bad("a sparse file without a size"))?;
        let mut extents = Vec::new();
        let mut is_done = sparse::old_extents(&gnu.sparse, &mut extents).map_err(|what| self.bad(what))?;
        let mut has_more = gnu.isextended[0] != 0;
        while has_more {
            let mut more = GnuExtSparseHeader::new();
            if !self.block(more.as_mut_bytes())? {
                return Err(ArchiveError::Truncated { position: self.position });
            }
            has_more = more.isextended[0] != 0;
            if !is_done {
                is_done = sparse::old_extents(&more.sparse, &mut extents).map_err(|what| self.bad(what))?;
            }
        }
        Ok((extents, size))
    }

    /// The map of a file that PAX records call sparse, and how many stored bytes are left for the content.
    fn pax_sparse_map(
        &mut self,
        member: &mut Member,
        records: &mut Records,
    ) -> Result<Option<(Vec<Extent>, u64)>, ArchiveError> {
        let Some(sparse) = records.sparse.take() else { return Ok(None) };
        let stored = member.size;
        if let Some(name) = sparse.name {
            member.path = name;
        }
        member.size = sparse.size.ok_or_else(|| self.bad("a sparse file without a size"))?;
        let Some(version) = sparse.major.filter(|major| *major != 0) else {
            return Ok(Some((sparse.extents, stored)));
        };
        if version != 1 {
            return Err(self.bad("a sparse file of a version unknown to us"));
        }
        let (extents, used) = self.embedded_map(stored)?;
        Ok(Some((extents, stored.saturating_sub(used))))
    }

    /// The map of PAX sparse format 1.0, which stands before the content, padded to a block.
    fn embedded_map(&mut self, stored: u64) -> Result<(Vec<Extent>, u64), ArchiveError> {
        let mut map = sparse::EmbeddedMap::default();
        let mut used = 0;
        let mut block = [0; BLOCK];
        while !map.is_complete() {
            used += BLOCK as u64;
            if used > stored || !self.block(&mut block)? {
                return Err(self.bad("the map of a sparse file is cut short"));
            }
            map.add(&block).map_err(|what| self.bad(what))?;
        }
        Ok((map.into_extents(), used))
    }

    /// Hands out what is left of the current member's content.
    pub(crate) fn content<E: From<ArchiveError>>(
        &mut self,
        mut put: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(segment) = self.segments.pop_front() {
            match segment {
                Segment::Hole(length) => put(Piece::Hole(length))?,
                Segment::Bytes(length) => self.bytes(length, &mut put)?,
            }
        }
        let padding = std::mem::take(&mut self.padding);
        self.bytes(padding, |_| Ok::<(), E>(()))
    }

    fn bytes<E: From<ArchiveError>>(
        &mut self,
        mut left: u64,
        mut put: impl FnMut(Piece<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while left > 0 {
            let position = self.position;
            let available = match self.reader.fill_buf() {
                Ok([]) => return Err(ArchiveError::Truncated { position }.into()),
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => return Err(ArchiveError::Read { position, source }.into()),
            };
            let count = available.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            put(Piece::Bytes(available.get(..count).unwrap_or(available)))?;
            self.reader.consume(count);
            self.position += count as u64;
            left -= count as u64;
        }
        Ok(())
    }
}

/// Whether these bytes, the first 512 of a file, are the beginning of a tar that is not empty.
///
/// The header's checksum tells: the oldest tars have no magic number.
#[must_use]
pub fn starts_tar(start: &[u8]) -> bool {
    let block: Option<&[u8; BLOCK]> = start.first_chunk();
    block.is_some_and(|block| block.iter().any(|byte| *byte != 0) && has_checksum(block))
}

fn has_checksum(block: &[u8; BLOCK]) -> bool {
    let stored = number(&Header::from_byte_slice(block).as_old().cksum);
    let sum = |value: &dyn Fn(u8) -> i64| -> i64 {
        let blanked = |at: usize| (148..156).contains(&at);
        block.iter().enumerate().map(|(at, byte)| value(if blanked(at) { b' ' } else { *byte })).sum()
    };
    // Old writers summed signed bytes.
    stored == Some(sum(&i64::from)) || stored == Some(sum(&|byte| i64::from(byte.cast_signed())))
}

impl<R: Read + Seek> Archive<'_, R> {
    /// Where the current member's content is and how many bytes it has; `None` where it is stored with holes.
    pub(crate) fn extent(&self) -> Option<(u64, u64)> {
        match (self.segments.front(), self.segments.len()) {
            (None, _) => Some((self.position, 0)),
            (Some(Segment::Bytes(length)), 1) => Some((self.position, *length)),
            (Some(_), _) => None,
        }
    }

    /// Goes past the current member's content without reading it; nothing says whether it is all there.
    pub(crate) fn skip(&mut self) -> Result<(), ArchiveError> {
        let padding = Segment::Bytes(std::mem::take(&mut self.padding));
        for segment in std::mem::take(&mut self.segments).into_iter().chain([padding]) {
            let Segment::Bytes(length) = segment else { continue };
            let position = self.position;
            let distance = i64::try_from(length).map_err(|_| self.bad("a size that no file has"))?;
            self.reader.seek_relative(distance).map_err(|source| ArchiveError::Read { position, source })?;
            self.position = position.saturating_add(length);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
