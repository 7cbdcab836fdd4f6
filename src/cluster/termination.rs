//! What a pod says when it ends: the few lines that `oc describe pod` shows.
//!
//! Comes in: why a program fails. Goes out: a text of [`LIMIT`] bytes at most, which is what kubelet reads of
//! `terminationMessagePath` (Kubernetes, "Determine the Reason for Pod Failure"). It writes nothing.

/// Most bytes that kubelet reads.
pub const LIMIT: usize = 4096;

/// Most bytes of what is to be done.
const HELP: usize = 600;

/// Bytes of the beginning of a long text; the rest of the room is for its end.
const HEAD: usize = 1200;

const GAP: &str = "…\n";

/// How a program ended that did not do what it was to do.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// Its exit code.
    pub code: u8,
    /// Whose turn it is, in a few words: `a RUN step failed`.
    pub cause: &'a str,
    /// What failed and where; lines.
    pub text: &'a str,
    /// What to do about it.
    pub help: Option<&'a str>,
}

/// The message: cause and exit code, the text, what to do. A long text loses its middle.
#[must_use]
pub fn message(ending: &Ending<'_>) -> String {
    let start = format!("stratum: {} (exit code {})\n", ending.cause, ending.code);
    let help = ending.help.map_or_else(String::new, |help| format!("help: {}\n", begin(help.trim(), HELP)));
    let room = LIMIT.saturating_sub(start.len() + help.len() + 1);
    let text = ending.text.trim_end();
    let text = if text.len() <= room { text.to_owned() } else { without_middle(text, room) };
    format!("{start}{text}\n{help}")
}

fn without_middle(text: &str, room: usize) -> String {
    let head = begin(text, HEAD.min(room / 2));
    // Whole lines where there are some.
    let head = head.rsplit_once('\n').map_or(head, |(lines, _)| lines);
    let left = room.saturating_sub(head.len() + 1 + GAP.len());
    let tail = end(text, left);
    let tail = tail.split_once('\n').map_or(tail, |(_, lines)| lines);
    format!("{head}\n{GAP}{tail}")
}

/// The first bytes of a text, `most` at most, cut between characters.
fn begin(text: &str, most: usize) -> &str {
    let at = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..at).unwrap_or_default()
}

/// The last bytes of a text, likewise.
fn end(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let at = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    text.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_failure_is_said_whole() {
        let ending = Ending {
            code: 4,
            cause: "a RUN step failed",
            text: "Dockerfile:3: `RUN false` ended with exit code 1",
            help: Some("look at it"),
        };
        let expected = "stratum: a RUN step failed (exit code 4)\nDockerfile:3: `RUN false` ended with exit code 1\n\
            help: look at it\n";
        assert_eq!(message(&ending), expected);
    }

    #[track_caller]
    fn check_long(text: &str, help: &str) {
        let said = message(&Ending { code: 1, cause: "c", text, help: Some(help) });
        assert!(said.len() <= LIMIT && said.len() > LIMIT - 400, "{} bytes", said.len());
        assert!(said.starts_with("stratum: c (exit code 1)\n") && said.contains("\n…\n"), "{said}");
        let last = text.trim_end().chars().next_back().unwrap();
        assert!(said.contains(&format!("{last}\nhelp: ")), "{said}");
    }

    #[test]
    fn a_long_failure_loses_its_middle_between_characters() {
        let lines: String = (0..2000).map(|n| format!("line {n} é\n")).collect();
        check_long(&lines, "do");
        check_long(&"é".repeat(10_000), &"ü".repeat(5_000));
    }
}
