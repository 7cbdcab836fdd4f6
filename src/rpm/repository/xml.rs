//! A reader of XML that goes down one element at a time.
//!
//! What comes in: a stream. What goes out: the elements inside of the current one, their attributes and
//! text, each asked for by whoever knows the format. No tree is built: memory is bounded by the largest
//! single piece (a tag, a run of text, a comment), which is bounded too. Names are compared with their
//! prefix, as libsolv does; namespaces are not resolved.

use std::io::{self, BufRead, Read};

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, BytesStart, Event};

use super::compression::{Beginning, Compression, decode, peek};
use super::{MAX_OPEN_BYTES, MAX_SMALL_BYTES, RepositoryError, RepositoryProblem, clipped};

/// Largest tag, run of text, comment or the like, in bytes.
const MAX_PIECE: usize = 4 * 1024 * 1024;
/// Largest text of an element that is asked for, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// Most elements inside of each other.
const MAX_DEPTH: usize = 64;
/// Most attributes of an element that is asked for.
const MAX_ATTRIBUTES: usize = 64;

/// A document that is read from its beginning to its end.
pub(super) struct Document<'r> {
    file: String,
    reader: Reader<Meter<'r>>,
    buffer: Vec<u8>,
    depth: usize,
    /// Where the current piece begins.
    at: u64,
}

/// The start of an element.
pub(super) struct Element {
    start: BytesStart<'static>,
    at: u64,
}

impl Element {
    pub(super) fn name(&self) -> &str {
        self.start.name().into_inner()
    }
}

impl<'r> Document<'r> {
    /// A document in memory, which is not compressed.
    pub(super) fn plain(file: &str, bytes: &'r [u8]) -> Result<Self, RepositoryError> {
        let document = Self::over(file, Compression::Plain, Box::new(bytes));
        if bytes.len() as u64 > MAX_SMALL_BYTES {
            return Err(document.error(RepositoryProblem::TooLarge { what: "bytes", limit: MAX_SMALL_BYTES }));
        }
        Ok(document)
    }

    /// A document from a stream in any compression.
    pub(super) fn open(file: &str, reader: impl Read + 'r) -> Result<Self, RepositoryError> {
        let error = |problem| RepositoryError { file: file.to_owned(), offset: 0, problem };
        let read =
            |compression, source: io::Error| error(RepositoryProblem::Read { compression, source: source.into() });
        let (beginning, reader) = peek(reader).map_err(|source| read(Compression::Plain, source))?;
        let compression = match beginning {
            Beginning::Metadata(compression) => compression,
            Beginning::Zchunk => return Err(error(RepositoryProblem::Zchunk)),
            Beginning::Unknown => return Err(error(RepositoryProblem::Format)),
        };
        let inner = decode(compression, reader).map_err(|source| read(compression, source))?;
        Ok(Self::over(file, compression, inner))
    }

    fn over(file: &str, compression: Compression, inner: Box<dyn BufRead + 'r>) -> Self {
        let mut reader = Reader::from_reader(Meter { inner, compression, piece: 0, total: 0, exceeded: None });
        reader.config_mut().expand_empty_elements = true;
        Self { file: file.to_owned(), reader, buffer: Vec::new(), depth: 0, at: 0 }
    }

    /// Goes into the outermost element, which must have this name.
    pub(super) fn root(&mut self, expected: &'static str) -> Result<(), RepositoryError> {
        let Some(root) = self.child()? else {
            return Err(self.error(malformed("no element in it")));
        };
        if root.name() == expected {
            return Ok(());
        }
        let found = clipped(root.name());
        Err(self.error(RepositoryProblem::Root { expected, found }))
    }

    /// Goes into the next element inside of the current one; at its end goes out of it and gives `None`.
    pub(super) fn child(&mut self) -> Result<Option<Element>, RepositoryError> {
        let is_outside = self.depth == 0;
        loop {
            match self.next()? {
                Event::Start(start) => {
                    let start = start.into_owned();
                    return Ok(Some(Element { start, at: self.at }));
                }
                Event::End(_) | Event::Eof => return Ok(None),
                Event::Text(text) if is_outside && !text.trim_ascii().is_empty() => {
                    return Err(self.error(malformed("text outside of its element")));
                }
                Event::CData(_) | Event::GeneralRef(_) if is_outside => {
                    return Err(self.error(malformed("text outside of its element")));
                }
                Event::Text(_)
                | Event::CData(_)
                | Event::GeneralRef(_)
                | Event::Empty(_)
                | Event::Comment(_)
                | Event::Decl(_)
                | Event::PI(_)
                | Event::DocType(_) => {}
            }
        }
    }

    /// Goes to the end of the current element, and out of it.
    pub(super) fn skip(&mut self) -> Result<(), RepositoryError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.next()?;
        }
        Ok(())
    }

    /// The text of the current element without space around it; goes out of it. `part` names it in errors.
    pub(super) fn text(&mut self, part: &'static str) -> Result<String, RepositoryError> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Event::Text(more) => text.push_str(&more.xml10_content()),
                Event::CData(more) => text.push_str(&more.xml10_content()),
                Event::GeneralRef(reference) => text.push_str(&resolve(&reference).unwrap_or_default()),
                Event::End(_) | Event::Eof => return Ok(text.trim().to_owned()),
                Event::Start(inner) => {
                    let problem = RepositoryProblem::value(part, inner.name().into_inner(), "text without elements");
                    return Err(self.error(problem));
                }
                Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            }
            if text.len() > MAX_TEXT {
                let problem = RepositoryProblem::TooLarge { what: "bytes in a text", limit: MAX_TEXT as u64 };
                return Err(self.error(problem));
            }
        }
    }

    /// The end of the document: nothing may follow the outermost element.
    pub(super) fn finish(&mut self) -> Result<(), RepositoryError> {
        match self.child()? {
            None => Ok(()),
            Some(_) => Err(self.error(malformed("a second outermost element"))),
        }
    }

    /// An attribute of an element that was gone into.
    pub(super) fn attribute(&self, element: &Element, name: &'static str) -> Result<Option<String>, RepositoryError> {
        attribute(&element.start, name).map_err(|problem| self.error_at(element.at, problem))
    }

    /// An attribute that must be there; `of` names the element in errors.
    pub(super) fn required(
        &self,
        element: &Element,
        of: &'static str,
        name: &'static str,
    ) -> Result<String, RepositoryError> {
        let missing = || self.error_at(element.at, RepositoryProblem::Missing { element: of, part: name });
        self.attribute(element, name)?.ok_or_else(missing)
    }

    /// A problem with the current piece.
    pub(super) fn error(&self, problem: RepositoryProblem) -> RepositoryError {
        self.error_at(self.at, problem)
    }

    /// A problem with an element.
    pub(super) fn error_in(&self, element: &Element, problem: RepositoryProblem) -> RepositoryError {
        self.error_at(element.at, problem)
    }

    /// The problem of an element that stands where there is one of its name already.
    pub(super) fn twice(&self, element: &Element) -> RepositoryError {
        let problem = RepositoryProblem::Twice { part: "element", value: clipped(element.name()) };
        self.error_in(element, problem)
    }

    fn error_at(&self, offset: u64, problem: RepositoryProblem) -> RepositoryError {
        RepositoryError { file: self.file.clone(), offset, problem }
    }

    /// The next piece, once it is sure that nothing in it is refused everywhere.
    fn next(&mut self) -> Result<Event<'_>, RepositoryError> {
        self.buffer.clear();
        self.reader.get_mut().piece = 0;
        self.at = self.reader.buffer_position();
        let error = |offset, problem| RepositoryError { file: self.file.clone(), offset, problem };
        let event = match self.reader.read_event_into(&mut self.buffer) {
            Ok(event) => event,
            Err(source) => {
                let offset = self.reader.error_position().max(self.at);
                return Err(error(offset, self.reader.get_mut().problem(source)));
            }
        };
        match count(&event, self.depth) {
            Ok(depth) => self.depth = depth,
            Err(problem) => return Err(error(self.at, problem)),
        }
        Ok(event)
    }
}

/// How deep it is after a piece; refuses what is refused everywhere.
fn count(event: &Event<'_>, depth: usize) -> Result<usize, RepositoryProblem> {
    match event {
        Event::Start(_) if depth >= MAX_DEPTH => {
            Err(RepositoryProblem::TooLarge { what: "elements inside of each other", limit: MAX_DEPTH as u64 })
        }
        Event::Start(_) => Ok(depth + 1),
        Event::End(_) => Ok(depth.saturating_sub(1)),
        Event::Eof if depth > 0 => Err(malformed("it ends inside of an element")),
        Event::DocType(_) => Err(RepositoryProblem::DocumentType),
        Event::GeneralRef(reference) => resolve(reference).map(|_| depth),
        Event::Empty(_)
        | Event::Text(_)
        | Event::CData(_)
        | Event::Comment(_)
        | Event::Decl(_)
        | Event::PI(_)
        | Event::Eof => Ok(depth),
    }
}

fn malformed(reason: impl ToString) -> RepositoryProblem {
    RepositoryProblem::Malformed { reason: clipped(&reason.to_string()) }
}

/// What a reference such as `&amp;` or `&#43;` stands for.
fn resolve(reference: &BytesRef<'_>) -> Result<String, RepositoryProblem> {
    if let Some(c) = reference.resolve_char_ref().map_err(malformed)? {
        return Ok(c.to_string());
    }
    let known = resolve_predefined_entity(reference).map(str::to_owned);
    known.ok_or_else(|| RepositoryProblem::Entity { name: clipped(reference) })
}

fn attribute(start: &BytesStart<'_>, name: &'static str) -> Result<Option<String>, RepositoryProblem> {
    let mut found = None;
    // The crate's own check for attributes that occur twice takes quadratic time.
    for (at, attribute) in start.attributes().with_checks(false).enumerate() {
        if at >= MAX_ATTRIBUTES {
            let (what, limit) = ("attributes of one element", MAX_ATTRIBUTES as u64);
            return Err(RepositoryProblem::TooLarge { what, limit });
        }
        let attribute = attribute.map_err(malformed)?;
        if attribute.key.into_inner() != name {
            continue;
        }
        let value = attribute.normalized_value(quick_xml::XmlVersion::Implicit1_0).map_err(malformed)?;
        if found.replace(value.into_owned()).is_some() {
            return Err(RepositoryProblem::Twice { part: "attribute", value: name.to_owned() });
        }
    }
    Ok(found)
}

/// Counts what is read, and stops at the limits.
struct Meter<'r> {
    inner: Box<dyn BufRead + 'r>,
    compression: Compression,
    /// Bytes since the current piece began.
    piece: usize,
    total: u64,
    /// The limit that made a read fail.
    exceeded: Option<RepositoryProblem>,
}

impl Meter<'_> {
    fn problem(&mut self, error: quick_xml::Error) -> RepositoryProblem {
        match (self.exceeded.take(), error) {
            (Some(exceeded), _) => exceeded,
            (None, quick_xml::Error::Io(source)) => RepositoryProblem::Read { compression: self.compression, source },
            (None, error) => malformed(error),
        }
    }

    fn limit(&mut self, what: &'static str, limit: u64) -> io::Error {
        self.exceeded = Some(RepositoryProblem::TooLarge { what, limit });
        io::Error::other("metadata is too large")
    }
}

impl Read for Meter<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for Meter<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.piece > MAX_PIECE {
            return Err(self.limit("bytes in one tag, text or comment", MAX_PIECE as u64));
        }
        if self.total > MAX_OPEN_BYTES {
            return Err(self.limit("bytes once decompressed", MAX_OPEN_BYTES));
        }
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.piece = self.piece.saturating_add(count);
        self.total = self.total.saturating_add(count as u64);
        self.inner.consume(count);
    }
}
