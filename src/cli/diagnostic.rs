//! Errors with a place, drawn into the line they are about.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use dockerfile::Diagnostic;

use crate::failure::{Failure, Status};

/// Lines longer than this are not drawn: nobody could read them.
const MAX_LINE: usize = 4096;

/// A failure drawn as `path:line:column` with the line and a caret.
pub(crate) fn failure(status: Status, diagnostic: &Diagnostic, path: &str, text: &str) -> Failure {
    let mut failure = Failure::new(status, draw(Weight::Error, diagnostic, path, text));
    failure.is_drawn = true;
    failure
}

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug)]
enum Weight {
    Error,
    Warning,
}

/// A warning drawn in the same way.
pub(crate) fn warning(diagnostic: &Diagnostic, path: &str, text: &str) -> String {
    draw(Weight::Warning, diagnostic, path, text)
}

fn draw(weight: Weight, diagnostic: &Diagnostic, path: &str, text: &str) -> String {
    let start = floor(text, diagnostic.span.start.min(text.len()));
    // Of an instruction over many lines the first is enough.
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length);
    let end = floor(text, diagnostic.span.end.clamp(start, line_end));
    let line_start = text.get(..start).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    if line_end - line_start > MAX_LINE {
        let position = dockerfile::position(text, start);
        let word = match weight {
            Weight::Error => "error",
            Weight::Warning => "warning",
        };
        return format!("{word}: {path}:{}:{}: {}", position.line, position.column, diagnostic.message);
    }
    let level = match weight {
        Weight::Error => Level::ERROR,
        Weight::Warning => Level::WARNING,
    };
    let snippet = Snippet::source(text).path(path).annotation(AnnotationKind::Primary.span(start..end));
    let mut group = level.primary_title(diagnostic.message.as_str()).element(snippet);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    Renderer::plain().render(&[group])
}

/// The start of the character that `offset` is in.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use dockerfile::Span;

    use super::*;

    fn drawn(text: &str, start: usize, end: usize) -> String {
        let help = Some("say RUN".to_owned());
        let diagnostic = Diagnostic { message: "unknown instruction RNU".to_owned(), span: Span { start, end }, help };
        draw(Weight::Error, &diagnostic, "Dockerfile", text)
    }

    #[test]
    fn the_line_is_shown_with_a_caret_below() {
        let shown = drawn("FROM a\nRNU x\n", 7, 10);
        assert!(shown.starts_with("error: unknown instruction RNU\n"), "{shown}");
        assert!(shown.contains("Dockerfile:2:1"), "{shown}");
        assert!(shown.contains("RNU x") && shown.contains("^^^"), "{shown}");
        assert!(shown.contains("help: say RUN"), "{shown}");
    }

    #[test]
    fn places_outside_the_text_do_no_harm() {
        for (start, end) in [(0, 0), (5, 900), (900, 901), (3, 1)] {
            assert!(drawn("FROM é\n", start, end).contains("unknown instruction"));
        }
        assert!(drawn(&"x".repeat(10_000), 5000, 5001).starts_with("error: Dockerfile:1:5001: unknown"));
        assert!(drawn("", 0, 0).contains("unknown instruction"));
    }
}
