//! Texts from outside, fit to be shown.

/// `text` on one line without control characters, cut at `most` characters.
pub(super) fn line(text: &str, most: usize) -> String {
    let plain = text.chars().map(|character| if is_unfit(character) { ' ' } else { character });
    let mut shown: String = plain.clone().take(most).collect();
    if plain.count() > most {
        shown.push('…');
    }
    shown.trim().to_owned()
}

/// Control characters, and those that turn the direction of what follows.
fn is_unfit(character: char) -> bool {
    character.is_control() || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The beginning of a line of unknown bytes.
pub(super) fn beginning(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    let start = bytes.get(..bytes.len().min(4 * SHOWN)).unwrap_or_default();
    line(&String::from_utf8_lossy(start), SHOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_steers_a_terminal_is_shown() {
        assert_eq!(line("a\u{1b}[31mred\r\nb\u{202e}c\0", 100), "a [31mred  b c");
        assert_eq!(line("abcdef", 3), "abc…");
        assert_eq!(beginning(b"\xff\xfe{"), "\u{fffd}\u{fffd}{");
    }
}
