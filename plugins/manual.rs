//! A manual page from Markdown: what go-md2man makes of a help file, without another program.
//!
//! Comes in: the text of a help file, which may begin with `% ` lines (title, author, date), and who is named where it
//! does not. Goes out: the page in roff, for man(7). Markdown is CommonMark with tables and definition lists; HTML is
//! left out, an image is its text. Pure; no text is refused.

use std::fmt::Write as _;

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

/// Begins a line of the title block.
const TITLE: &str = "% ";
/// What the pages of images are called where the file does not say.
const PAGES: &str = "Container Image Pages";

/// Who is named where the file has no title block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names<'n> {
    /// The image.
    pub(crate) name: &'n str,
    /// Who takes care of it.
    pub(crate) maintainer: &'n str,
    /// Seconds since 1970.
    pub(crate) epoch: u64,
}

/// The page.
pub(crate) fn page(markdown: &str, names: Names<'_>) -> String {
    let markdown = markdown.strip_prefix('\u{feff}').unwrap_or(markdown);
    let (title, body) = title(markdown, names);
    let mut page = format!("'\\\" t\n.nh\n.TH {title}\n");
    let options = Options::ENABLE_TABLES | Options::ENABLE_DEFINITION_LIST;
    let mut writer = Writer::new(&mut page);
    Parser::new_ext(body, options).for_each(|event| writer.event(event));
    writer.fresh_line();
    page
}

/// The arguments of the title, and the text behind the title block.
fn title<'m>(markdown: &'m str, names: Names<'_>) -> (String, &'m str) {
    let (mut lines, mut body) = (Vec::new(), markdown);
    while let Some(rest) = body.strip_prefix(TITLE) {
        let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
        lines.push(line.trim().to_owned());
        body = after;
    }
    if lines.is_empty() {
        lines = vec![format!("{} (1) {PAGES}", names.name), names.maintainer.to_owned(), date(names.epoch)];
    }
    let first = lines.first().map_or("", String::as_str);
    let (name, section, manual) =
        match first.split_once('(').and_then(|(name, rest)| Some((name, rest.split_once(')')?))) {
            Some((name, (section, manual))) => (name, section, manual),
            None => (first, "1", ""),
        };
    let rest = |at: usize| lines.get(at).map_or("", String::as_str);
    // man(7): title, section, date, source, manual.
    let all = [name, section, rest(2), rest(1), manual].map(|text| quoted(text.trim()));
    (all.join(" "), body)
}

/// A day in English: `November 21, 2026`.
fn date(epoch: u64) -> String {
    const MONTHS: [&str; 12] = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let stamp = build::timestamp(epoch);
    let mut parts = stamp.get(..10).unwrap_or_default().split('-');
    let year = parts.next().unwrap_or_default();
    let month = parts.next().and_then(|month| MONTHS.get(month.parse::<usize>().ok()?.checked_sub(1)?));
    let day = parts.next().unwrap_or_default().trim_start_matches('0');
    format!("{} {day}, {year}", month.unwrap_or(&""))
}

/// An argument of a macro.
fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('"', "\\(dq").replace('\n', " "))
}

/// Text that roff takes for nothing else, but for what begins a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '\n' | '\t' => escaped.push(character),
            _ if character.is_control() => {}
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A list that is open: the number of the next item, if they are numbered.
type List = Option<u64>;

/// The page while it is written.
struct Writer<'p> {
    page: &'p mut String,
    lists: Vec<List>,
    /// How many strong and emphasized texts are open.
    strong: usize,
    emphasized: usize,
    /// Whether a paragraph goes on behind the mark of an item.
    follows_mark: bool,
    is_code: bool,
    /// Where a link leads and where its text begins.
    links: Vec<(String, usize)>,
    cells: usize,
}

impl<'p> Writer<'p> {
    fn new(page: &'p mut String) -> Self {
        let (lists, links) = (Vec::new(), Vec::new());
        Self { page, lists, strong: 0, emphasized: 0, follows_mark: false, is_code: false, links, cells: 0 }
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => self.text(&text),
            Event::Code(text) => {
                self.page.push_str("\\fB");
                self.text(&text);
                self.font();
            }
            Event::SoftBreak => self.page.push('\n'),
            Event::HardBreak => self.request(".br"),
            Event::Rule => self.request(".ti 0\n\\l'\\n(.lu'"),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => self.text(&text),
            Event::Html(_) | Event::InlineHtml(_) | Event::TaskListMarker(_) => {}
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph => self.paragraph(),
            Tag::Heading { level, .. } => self.request_open(if level as usize <= 2 { ".SH " } else { ".SS " }),
            Tag::BlockQuote(_) => {
                self.paragraph();
                self.request(".RS");
            }
            Tag::CodeBlock(kind) => self.code_block(&kind),
            Tag::List(first) => {
                if !self.lists.is_empty() {
                    self.request(".RS");
                }
                self.lists.push(first);
            }
            Tag::Item => self.item(),
            Tag::Emphasis => self.emphasis(|writer| writer.emphasized += 1),
            Tag::Strong => self.emphasis(|writer| writer.strong += 1),
            Tag::Link { dest_url, .. } => self.links.push((dest_url.into_string(), self.page.len())),
            Tag::Table(columns) => {
                self.request(".TS\nallbox;");
                let row = vec!["l"; columns.len()].join(" ");
                self.request(&format!("{row}\n{row} ."));
            }
            Tag::TableHead | Tag::TableRow => self.cells = 0,
            Tag::TableCell => {
                if self.cells > 0 {
                    self.page.push('\t');
                }
                self.cells += 1;
                self.page.push_str("T{\n");
            }
            Tag::DefinitionListTitle => {
                self.request(".TP");
            }
            Tag::DefinitionListDefinition => self.follows_mark = true,
            Tag::DefinitionList
            | Tag::HtmlBlock
            | Tag::FootnoteDefinition(_)
            | Tag::Image { .. }
            | Tag::MetadataBlock(_)
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::Item | TagEnd::DefinitionListTitle => self.fresh_line(),
            TagEnd::DefinitionListDefinition => self.fresh_line(),
            TagEnd::BlockQuote(_) => self.request(".RE"),
            TagEnd::CodeBlock => {
                self.is_code = false;
                self.request(".fi\n.RE");
            }
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.request(".RE");
                }
            }
            TagEnd::Emphasis => self.emphasis(|writer| writer.emphasized = writer.emphasized.saturating_sub(1)),
            TagEnd::Strong => self.emphasis(|writer| writer.strong = writer.strong.saturating_sub(1)),
            TagEnd::Link => self.link(),
            TagEnd::Table => self.request(".TE"),
            TagEnd::TableHead | TagEnd::TableRow => self.page.push('\n'),
            TagEnd::TableCell => {
                self.fresh_line();
                self.page.push_str("T}");
            }
            TagEnd::DefinitionList
            | TagEnd::HtmlBlock
            | TagEnd::FootnoteDefinition
            | TagEnd::Image
            | TagEnd::MetadataBlock(_)
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript => {}
        }
    }

    fn paragraph(&mut self) {
        if std::mem::take(&mut self.follows_mark) {
            return self.fresh_line();
        }
        self.request(if self.lists.is_empty() { ".PP" } else { ".IP" });
    }

    fn code_block(&mut self, _: &CodeBlockKind<'_>) {
        self.follows_mark = false;
        self.request(".PP\n.RS\n.nf");
        self.is_code = true;
    }

    fn item(&mut self) {
        let mark = match self.lists.last_mut() {
            Some(Some(number)) => {
                let mark = format!(".IP \"{number}.\" 4");
                *number = number.saturating_add(1);
                mark
            }
            Some(None) | None => ".IP \\(bu 2".to_owned(),
        };
        self.request(&mark);
        self.follows_mark = true;
    }

    fn emphasis(&mut self, change: impl Fn(&mut Self)) {
        change(self);
        self.font();
    }

    /// The font that is in force.
    fn font(&mut self) {
        self.page.push_str(match (self.strong > 0, self.emphasized > 0) {
            (false, false) => "\\fR",
            (true, false) => "\\fB",
            (false, true) => "\\fI",
            (true, true) => "\\f(BI",
        });
    }

    /// The address behind a link's text, unless that is the text.
    fn link(&mut self) {
        let Some((url, begin)) = self.links.pop() else { return };
        let url = escaped(&url).replace('\n', "");
        if self.page.get(begin..).is_some_and(|text| text == url) {
            return;
        }
        // Writing to a String cannot fail.
        let _ = write!(self.page, " \\[la]{url}\\[ra]");
    }

    fn text(&mut self, text: &str) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                self.page.push('\n');
            }
            // First, for what stands before it may be left out.
            let line = escaped(line);
            // At the beginning of a line these two begin a request, and the last ends the cell of a table.
            if (line.starts_with(['.', '\'']) || line.starts_with("T}")) && self.is_at_line_start() {
                self.page.push_str("\\&");
            }
            self.page.push_str(&line);
        }
    }

    fn is_at_line_start(&self) -> bool {
        let fonts = ["\\fB", "\\fI", "\\fR", "\\f(BI"];
        let bare = fonts.iter().find_map(|font| self.page.strip_suffix(font)).unwrap_or(self.page);
        bare.ends_with('\n') || bare.is_empty()
    }

    /// A request on lines of its own.
    fn request(&mut self, request: &str) {
        self.fresh_line();
        self.page.push_str(request);
        self.page.push('\n');
    }

    /// A request whose argument follows.
    fn request_open(&mut self, request: &str) {
        self.fresh_line();
        self.page.push_str(request);
    }

    fn fresh_line(&mut self) {
        if !self.page.ends_with('\n') && !self.page.is_empty() {
            self.page.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
